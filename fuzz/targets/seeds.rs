//! Seeds of the corpus, written where `FUZZ_SEEDS` says before the fuzzer reads it.

use std::path::PathBuf;

/// Writes valid inputs, if they are asked for.
pub fn write(seeds: impl IntoIterator<Item = Vec<u8>>) {
    let Some(folder) = std::env::var_os("FUZZ_SEEDS").map(PathBuf::from) else {
        return;
    };
    for (i, seed) in seeds.into_iter().enumerate() {
        let path = folder.join(format!("seed-{i}"));
        std::fs::write(path, seed).expect("FUZZ_SEEDS names a folder that can be written");
    }
}
