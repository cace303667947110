//! Several files of weights with an index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::tensor::TensorData;
use serde::Deserialize;
use serde_json::Value;

use super::MAX_INDEX_BYTES;
use crate::PretrainedError;

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

/// The tensors of all files that an index names.
///
/// # Errors
/// If the index or a file cannot be read, or a tensor is not where the index has it.
pub fn read(path: &Path) -> Result<BTreeMap<String, TensorData>, PretrainedError> {
    let refused = |message: String| PretrainedError::File {
        path: path.to_owned(),
        message,
    };
    let text = datasway_fs::read_text(path, MAX_INDEX_BYTES).map_err(|e| refused(e.to_string()))?;
    let index: Index = serde_json::from_str(&text)
        .map_err(|error| refused(format!("is no index of shards ({error})")))?;
    let files: BTreeSet<&String> = index.weight_map.values().collect();
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut tensors = BTreeMap::new();
    for file in files {
        // A name that leads out of the folder, or to another index.
        if file.contains(['/', '\\']) || file.ends_with(".json") {
            return Err(refused(format!("{file} is no name of a shard beside it")));
        }
        let shard = folder.join(file);
        if !shard.is_file() {
            return Err(refused(format!(
                "{file} is missing beside it: fetch all shards"
            )));
        }
        for (name, data) in super::read(&shard)? {
            if index.weight_map.get(&name) != Some(file) {
                return Err(refused(format!(
                    "{name} is in {file}, where the index does not have it"
                )));
            }
            tensors.insert(name, data);
        }
    }
    match index
        .weight_map
        .keys()
        .find(|name| !tensors.contains_key(*name))
    {
        None => Ok(tensors),
        Some(name) => Err(refused(format!(
            "{name} is not in {}: fetch that file again",
            index.weight_map[name]
        ))),
    }
}
