//! Damage of SafeTensors files that leaves them SafeTensors files: a length, a header in JSON, and tensors.

use std::collections::BTreeMap;
use std::ops::Range;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::{bytes, json, one, text, times};

/// The tensor that a checksum is kept in.
const CHECKSUM: &str = "checksum";
/// Numbers of a tensor whose type is changed.
const MOST: u64 = 1 << 20;

/// A file in its parts.
struct Parts {
    header: Value,
    body: Vec<u8>,
}

/// The file with its tensors and what it says of itself changed; `entry` is where the metadata hold a header in JSON of their own.
pub fn damage(rng: &mut ChaCha8Rng, file: &[u8], other: &[u8], entry: &str) -> Vec<u8> {
    if rng.random_bool(0.2) {
        return bytes::damage(rng, file.to_vec(), other);
    }
    let mut parts = split(file);
    for _ in 0..times(rng) {
        match rng.random_range(0..12) {
            0..=4 => own_header(rng, &mut parts, entry),
            5 => json::damage(rng, &mut parts.header),
            6..=8 => kind(rng, &mut parts),
            9 => name(rng, &mut parts, entry),
            _ => values(rng, &mut parts),
        }
    }
    if rng.random_bool(0.05) {
        let header = parts.header.to_string();
        let header = text::damage(rng, &header, &header);
        return join(&header, &parts.body);
    }
    join(parts.header.to_string().as_bytes(), &parts.body)
}

/// The file as it was before files had a checksum, which would hide all other damage: of its own header only these keys.
pub fn with_only(file: &[u8], entry: &str, keys: &[&str]) -> Vec<u8> {
    let mut parts = split(file);
    if let Some(checksum) = tensors(&parts).iter().find(|t| t.name == CHECKSUM) {
        remove(&mut parts, checksum);
    }
    let mut own = read_own(&parts, entry).expect("a valid file");
    let entries = own.as_object_mut().expect("a header is an object");
    entries.retain(|key, _| keys.contains(&key.as_str()));
    parts.header["__metadata__"] = json!({ entry: own.to_string() });
    join(parts.header.to_string().as_bytes(), &parts.body)
}

/// Whether a file that can be read has a checksum, and is of a type of number that goes without saying.
pub fn is_sealed(file: &[u8]) -> bool {
    let kinds = kinds(file);
    kinds.contains_key(CHECKSUM)
        && kinds
            .values()
            .all(|kind| ["F32", "U8"].contains(&kind.as_str()))
}

/// The tensor of a file that can be read whose numbers are no floats, but for those that are bytes.
pub fn not_floats(file: &[u8]) -> Option<String> {
    let floats = ["F16", "BF16", "F32", "F64"];
    let bytes = [CHECKSUM, "optimizer"];
    let odd = |(name, kind): &(String, String)| {
        !floats.contains(&kind.as_str()) && !bytes.contains(&name.as_str())
    };
    kinds(file).into_iter().find(odd).map(|(name, _)| name)
}

/// Every tensor's type of number.
fn kinds(file: &[u8]) -> BTreeMap<String, String> {
    let parts = split(file);
    let entries = parts.header.as_object().into_iter().flatten();
    let kind = |(name, value): (&String, &Value)| {
        Some((name.clone(), value["dtype"].as_str()?.to_owned()))
    };
    entries.filter_map(kind).collect()
}

fn split(file: &[u8]) -> Parts {
    let length = u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize;
    Parts {
        header: serde_json::from_slice(&file[8..8 + length]).expect("a valid file"),
        body: file[8 + length..].to_vec(),
    }
}

fn join(header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(body);
    file
}

fn read_own(parts: &Parts, entry: &str) -> Option<Value> {
    let text = parts.header["__metadata__"][entry].as_str()?;
    serde_json::from_str(text).ok()
}

/// What the program wrote of the file, as a value or as text.
fn own_header(rng: &mut ChaCha8Rng, parts: &mut Parts, entry: &str) {
    let Some(mut own) = read_own(parts, entry) else {
        return;
    };
    let changed = match rng.random_range(0..8) {
        0 => {
            let written = own.to_string();
            let changed = text::damage(rng, &written, &written);
            String::from_utf8_lossy(&changed).into_owned()
        }
        1 => {
            // One key twice.
            let keys: Vec<&String> = own.as_object().into_iter().flat_map(|o| o.keys()).collect();
            let first = keys.first().map(|key| format!("{{\"{key}\":0,"));
            own.to_string().replacen('{', &first.unwrap_or_default(), 1)
        }
        _ => {
            json::damage(rng, &mut own);
            own.to_string()
        }
    };
    parts.header["__metadata__"][entry] = json!(changed);
}

/// One tensor's name, type, shape and place in the body.
struct Tensor {
    name: String,
    shape: Vec<u64>,
    range: Range<usize>,
}

fn tensors(parts: &Parts) -> Vec<Tensor> {
    let entries = parts.header.as_object().into_iter().flatten();
    let read = |(name, value): (&String, &Value)| {
        let shape = value["shape"].as_array()?.iter().map(Value::as_u64);
        let (start, end) = (
            value["data_offsets"][0].as_u64()? as usize,
            value["data_offsets"][1].as_u64()? as usize,
        );
        (start <= end && end <= parts.body.len()).then_some(Tensor {
            name: name.clone(),
            shape: shape.collect::<Option<_>>()?,
            range: start..end,
        })
    };
    entries.filter_map(read).collect()
}

/// A tensor's type or shape, with as many bytes as before or with bytes of its own.
fn kind(rng: &mut ChaCha8Rng, parts: &mut Parts) {
    let types = [
        ("F16", 2),
        ("BF16", 2),
        ("F64", 8),
        ("I8", 1),
        ("U8", 1),
        ("I16", 2),
        ("I32", 4),
        ("U32", 4),
        ("I64", 8),
        ("U64", 8),
        ("BOOL", 1),
        ("F8_E4M3", 1),
        ("F32", 4),
    ];
    let all = tensors(parts);
    if all.is_empty() {
        return;
    }
    let tensor = one(rng, &all);
    let (kind, width) = *one(rng, &types);
    let bytes = tensor.range.len() as u64;
    // A shape that is damaged already may hold no number at all.
    let product = tensor
        .shape
        .iter()
        .try_fold(1_u64, |a, &b| a.checked_mul(b));
    let Some(numbers) = product.filter(|&numbers| numbers > 0 && numbers < MOST) else {
        return;
    };
    let entry = &mut parts.header[&tensor.name];
    match rng.random_range(0..4) {
        // The same bytes as numbers of another type, in as many or in fewer or more of them.
        0 | 1 => {
            entry["dtype"] = json!(kind);
            if numbers * width != bytes && bytes.is_multiple_of(width) {
                let mut shape = tensor.shape.clone();
                match shape.first_mut() {
                    Some(first) if (*first * bytes).is_multiple_of(numbers * width) => {
                        *first = *first * bytes / (numbers * width);
                    }
                    _ => shape = vec![bytes / width],
                }
                entry["shape"] = json!(shape);
            }
        }
        // As many numbers of another type.
        2 => {
            entry["dtype"] = json!(kind);
            resize(rng, parts, tensor, (numbers * width) as usize);
        }
        // Another shape.
        _ => {
            let mut shape = tensor.shape.clone();
            match rng.random_range(0..5) {
                0 => shape.reverse(),
                1 => shape.push(1),
                2 => shape.insert(0, 0),
                3 => shape = vec![numbers],
                _ => shape.insert(0, *one(rng, &[2, 1 << 32, 1 << 63, u64::MAX])),
            }
            entry["shape"] = json!(shape);
        }
    }
}

/// Gives a tensor this many bytes, those it had or zeros.
fn resize(rng: &mut ChaCha8Rng, parts: &mut Parts, tensor: &Tensor, length: usize) {
    let mut values = vec![0; length];
    if rng.random() {
        let old = &parts.body[tensor.range.clone()];
        let shared = length.min(old.len());
        values[..shared].copy_from_slice(&old[..shared]);
    }
    replace(parts, tensor, values);
}

/// Gives a tensor these bytes, and moves those behind it.
fn replace(parts: &mut Parts, tensor: &Tensor, values: Vec<u8>) {
    let shift = |at: usize| at - tensor.range.len() + values.len();
    for later in tensors(parts) {
        if later.range.start >= tensor.range.end && later.name != tensor.name {
            parts.header[&later.name]["data_offsets"] =
                json!([shift(later.range.start), shift(later.range.end)]);
        }
    }
    let start = tensor.range.start;
    parts.header[&tensor.name]["data_offsets"] = json!([start, start + values.len()]);
    parts.body.splice(tensor.range.clone(), values);
}

/// Takes a tensor out, and moves those behind it.
fn remove(parts: &mut Parts, tensor: &Tensor) {
    replace(parts, tensor, Vec::new());
    let entries = parts.header.as_object_mut().expect("tensors are entries");
    entries.remove(&tensor.name);
}

/// Leaves out or renames a tensor, or gives it another's values, or changes the metadata.
fn name(rng: &mut ChaCha8Rng, parts: &mut Parts, entry: &str) {
    let all = tensors(parts);
    if all.is_empty() {
        return;
    }
    let (tensor, other) = (one(rng, &all), one(rng, &all));
    match rng.random_range(0..5) {
        0 => {
            resize(rng, parts, tensor, 0);
            parts
                .header
                .as_object_mut()
                .map(|all| all.remove(&tensor.name));
        }
        1 => {
            let names = [
                "",
                "x",
                "ema/",
                "ema/x\ny",
                "model/x",
                "optimizer",
                "data_mean",
                "head.weight",
                "../x",
            ];
            let value = parts.header[&tensor.name].take();
            let entries = parts.header.as_object_mut().expect("tensors are entries");
            entries.remove(&tensor.name);
            entries.insert((*one(rng, &names)).to_owned(), value);
        }
        2 => {
            let value = parts.header[&other.name].clone();
            parts.header[&tensor.name] = value;
        }
        3 => {
            let (a, b) = (
                parts.header[&tensor.name].take(),
                parts.header[&other.name].take(),
            );
            parts.header[&tensor.name] = b;
            if tensor.name != other.name {
                parts.header[&other.name] = a;
            }
        }
        _ => {
            // Earlier damage may have left something else there.
            let own = parts.header.get("__metadata__");
            let text = own.and_then(|own| own.get(entry)).cloned();
            let metadata = [json!({}), json!({ "other": text }), json!(null)];
            parts.header["__metadata__"] = one(rng, &metadata).clone();
        }
    }
}

/// A tensor's numbers.
fn values(rng: &mut ChaCha8Rng, parts: &mut Parts) {
    let all = tensors(parts);
    let filled: Vec<&Tensor> = all.iter().filter(|t| t.range.len() >= 4).collect();
    if filled.is_empty() {
        return;
    }
    let values = &mut parts.body[one(rng, &filled).range.clone()];
    let numbers = values.len() / 4;
    let odd = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        1e-45,
        0.0,
        -1.0,
        1e30,
    ];
    let odd = one(rng, &odd).to_le_bytes();
    match rng.random_range(0..3) {
        0 => values
            .chunks_exact_mut(4)
            .for_each(|v| v.copy_from_slice(&odd)),
        1 => values[4 * rng.random_range(0..numbers)..][..4].copy_from_slice(&odd),
        _ => {
            let (at, bit) = (rng.random_range(0..values.len()), rng.random_range(0..8));
            values[at] ^= 1 << bit;
        }
    }
}

/// The file with one tensor's type, shape and bytes replaced, given its bytes.
pub fn with_tensor(
    file: &[u8],
    name: &str,
    new: impl FnOnce(Vec<u8>) -> (Value, Value, Vec<u8>),
) -> Vec<u8> {
    let mut parts = split(file);
    let tensor = tensors(&parts)
        .into_iter()
        .find(|t| t.name == name)
        .expect("the tensor is there");
    let (kind, shape, bytes) = new(parts.body[tensor.range.clone()].to_vec());
    replace(&mut parts, &tensor, bytes);
    parts.header[name]["dtype"] = kind;
    parts.header[name]["shape"] = shape;
    join(parts.header.to_string().as_bytes(), &parts.body)
}
