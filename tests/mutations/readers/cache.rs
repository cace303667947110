//! Files of decoded images: whatever happens to one, the images are those of the source.

use std::path::{Path, PathBuf};

use datasway_data::{Dataset, LoadOptions};
use flate2::Crc;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::{SIZE, idx, load, sound};
use crate::damage::{bytes, json, one, times};
use crate::trial::{Answer, Reader};

/// Lengths of the header and checksum.
const PRELUDE: usize = 16;
/// Where the decoded images of each source are.
const SOURCES: [&str; 2] = ["mnist:mnist", "faces:3"];

/// The checksum fits the rest: such a file cannot be told from one that was written, and need only be sound.
const SEALED: u8 = 0x80;

/// Reads caches.
pub struct Caches {
    sets: [Dataset; 2],
    files: [PathBuf; 2],
    valid: Vec<Vec<u8>>,
}

impl Caches {
    /// Decoded images with classes and with attributes.
    pub fn new(_: &Path) -> Self {
        std::fs::create_dir("mnist").expect("the folder is ours");
        let [images, labels] = idx::twelve();
        for (name, bytes) in [("images-idx3", images), ("labels-idx1", labels)] {
            let path = format!("mnist/train-{name}-ubyte");
            std::fs::write(path, bytes).expect("the folder is ours");
        }
        let sets = [0, 1].map(|i| load(SOURCES[i], &cached(i)).expect("a valid source"));
        let files = [0, 1].map(|i| {
            let folder = std::fs::read_dir(folder(i)).expect("a cache was written");
            let mut files = folder.map(|entry| entry.expect("a file").path());
            files.next().expect("a cache was written")
        });
        let valid: Vec<Vec<u8>> = (files.iter().enumerate())
            .map(|(i, path)| {
                let file = std::fs::read(path).expect("a cache was written");
                assert_eq!(sealed(file.clone()), file, "caches have another form");
                [&[i as u8], file.as_slice()].concat()
            })
            .collect();
        Self { sets, files, valid }
    }
}

fn folder(i: usize) -> String {
    format!("cache-{i}")
}

fn cached(i: usize) -> LoadOptions {
    LoadOptions {
        size: Some(SIZE),
        cache_dir: Some(folder(i).into()),
        ..LoadOptions::default()
    }
}

/// The file with the checksum that it should have.
fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    if file.len() >= PRELUDE {
        let mut crc = Crc::new();
        crc.update(&file[PRELUDE..]);
        file[8..PRELUDE].copy_from_slice(&u64::from(crc.sum()).to_le_bytes());
    }
    file
}

/// The file with values of its header changed, and the header's length with them.
fn with_header(rng: &mut ChaCha8Rng, file: &[u8]) -> Vec<u8> {
    let length = u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize;
    let (header, pixels) = file[PRELUDE..].split_at(length);
    let mut header: Value = serde_json::from_slice(header).expect("a valid file");
    for _ in 0..times(rng) {
        json::damage(rng, &mut header);
    }
    let header = header.to_string();
    let prelude = [(header.len() as u64).to_le_bytes(), [0; 8]].concat();
    [&prelude, header.as_bytes(), pixels].concat()
}

impl Reader for Caches {
    fn valid(&self) -> &[Vec<u8>] {
        &self.valid
    }

    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let (input, other) = (one(rng, &self.valid), one(rng, &self.valid));
        let (mut first, file) = (input[0], &input[1..]);
        let seal = rng.random();
        let mut damaged = if seal && rng.random_bool(0.7) {
            with_header(rng, file)
        } else {
            bytes::damage(rng, file.to_vec(), &other[1..])
        };
        if seal {
            damaged = sealed(damaged);
            first |= SEALED;
        }
        [&[first], damaged.as_slice()].concat()
    }

    fn read(&mut self, input: &[u8]) -> Answer {
        let i = usize::from(input[0] & !SEALED) % SOURCES.len();
        // A new file: the old one may still be mapped.
        let _ = std::fs::remove_file(&self.files[i]);
        std::fs::write(&self.files[i], &input[1..]).expect("the folder is ours");
        let (set, whole) = (load(SOURCES[i], &cached(i)), &self.sets[i]);
        if let Ok(set) = &set
            && input[0] & SEALED == 0
        {
            let says = |set: &Dataset| {
                let Dataset {
                    shape,
                    names,
                    attributes,
                    classes,
                    fingerprint,
                    ..
                } = set.clone();
                (shape, names, attributes, classes, fingerprint)
            };
            if says(set) != says(whole) || (0..set.len()).any(|j| set.image(j) != whole.image(j)) {
                return Answer::Nonsense("other images than the source has".into());
            }
        }
        match set.map(|set| sound(&set)) {
            Ok(Ok(())) => Answer::Read,
            Ok(Err(why)) => Answer::Nonsense(why),
            Err(why) => {
                Answer::Nonsense(format!("a cache that cannot be read ends the run: {why}"))
            }
        }
    }
}
