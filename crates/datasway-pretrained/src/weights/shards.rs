//! Several files of weights with an index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use serde::Deserialize;
use serde_json::Value;

use crate::PretrainedError;

/// Largest index of shards.
const MAX_INDEX_BYTES: u64 = 64 << 20;
/// The tensors of a file by name, or the reason why not.
type Tensors = Result<BTreeMap<String, TensorData>, PretrainedError>;

/// The index of shards, `*.index.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    /// The size of all shards, for people.
    #[serde(default)]
    #[expect(dead_code, reason = "read so that other fields are refused")]
    metadata: Option<Value>,
    /// The file of each tensor.
    weight_map: BTreeMap<String, String>,
}

/// True if the name of a file is that of an index.
pub fn is_index(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".index.json")
}

/// The shards that an index names, all of which are there.
///
/// # Errors
/// If the index cannot be read, or a shard is missing.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, PretrainedError> {
    let index = Index::read(path)?;
    let names: BTreeSet<&String> = index.weight_map.values().collect();
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut shards = Vec::with_capacity(names.len());
    for name in names {
        // A name that leads out of the folder, or to another index.
        if name.contains(['/', '\\']) || name.ends_with(".json") {
            return Err(refused(path)(format!(
                "{name} is no name of a shard beside it"
            )));
        }
        let shard = folder.join(name);
        if !shard.is_file() {
            return Err(refused(path)(format!(
                "{name} is missing beside it: fetch all shards"
            )));
        }
        shards.push(shard);
    }
    Ok(shards)
}

/// The tensors of all files that an index names, each read by `read_shard`.
///
/// # Errors
/// If the index or a file cannot be read, or a tensor is not where the index has it.
pub fn read(path: &Path, read_shard: impl Fn(&Path) -> Tensors) -> Tensors {
    let index = Index::read(path)?;
    let mut tensors = BTreeMap::new();
    for shard in files(path)? {
        let file = shard.file_name().unwrap_or_default().to_string_lossy();
        for (name, data) in read_shard(&shard)? {
            if index.weight_map.get(&name).map(String::as_str) != Some(&file) {
                return Err(refused(path)(format!(
                    "{name} is in {file}, where the index does not have it"
                )));
            }
            tensors.insert(name, data);
        }
    }
    let mut names = index.weight_map.iter();
    match names.find(|(name, _)| !tensors.contains_key(*name)) {
        None => Ok(tensors),
        Some((name, file)) => Err(refused(path)(format!(
            "{name} is not in {file}: fetch that file again"
        ))),
    }
}

impl Index {
    fn read(path: &Path) -> Result<Self, PretrainedError> {
        let text = datasway_fs::read_text(path, MAX_INDEX_BYTES);
        let text = text.map_err(|error| refused(path)(error.to_string()))?;
        serde_json::from_str(&text)
            .map_err(|error| refused(path)(format!("is no index of shards ({error})")))
    }
}

fn refused(path: &Path) -> impl Fn(String) -> PretrainedError {
    let path = path.to_owned();
    move |message| PretrainedError::File {
        path: path.clone(),
        message,
    }
}
