//! The names of tensors in old files of diffusers.

use std::collections::BTreeMap;

use burn::tensor::TensorData;

/// Old and new names of the linear maps of an attention.
const ATTENTION: [(&str, &str); 4] = [
    ("query", "to_q"),
    ("key", "to_k"),
    ("value", "to_v"),
    ("proj_attn", "to_out.0"),
];

/// Names under which a tensor may be stored once more, and the names that the network has.
const COPIES: [(&str, &str); 2] = [
    ("Conv2d_0.", "conv."),
    // The frequencies of a Fourier embedding.
    ("time_proj.W", "time_proj.weight"),
];

/// The tensors by their current names.
///
/// # Errors
/// A sentence that names two copies of a tensor that differ.
pub fn current(
    tensors: BTreeMap<String, TensorData>,
) -> Result<BTreeMap<String, TensorData>, String> {
    let mut renamed: BTreeMap<String, TensorData> = BTreeMap::new();
    for (old, data) in tensors {
        let name = current_name(&old);
        let data = squeezed(&name, data);
        match renamed.get(&name) {
            Some(other) if *other != data => {
                return Err(format!(
                    "the file has {name} under two names, {old} is the second, with different numbers: it is damaged"
                ));
            }
            Some(_) => {}
            None => {
                renamed.insert(name, data);
            }
        }
    }
    Ok(renamed)
}

fn current_name(name: &str) -> String {
    let mut current = name.to_owned();
    if let Some((module, rest)) = name.split_once(".attentions.") {
        for (old, new) in ATTENTION {
            let rest = rest.replacen(&format!(".{old}."), &format!(".{new}."), 1);
            let candidate = format!("{module}.attentions.{rest}");
            if candidate != name {
                current = candidate;
            }
        }
    }
    for (copy, original) in COPIES {
        current = current.replace(copy, original);
    }
    current
}

/// The weight of a linear map that is stored as a 1×1 convolution, as a matrix.
fn squeezed(name: &str, data: TensorData) -> TensorData {
    let is_attention = ATTENTION
        .iter()
        .any(|(_, new)| name.ends_with(&format!("{new}.weight")));
    match *data.shape().as_slice() {
        [rows, columns, 1] | [rows, columns, 1, 1] if is_attention => {
            let (bytes, _, dtype) = data.into_parts();
            TensorData::from_bytes(bytes, [rows, columns], dtype)
        }
        _ => data,
    }
}
