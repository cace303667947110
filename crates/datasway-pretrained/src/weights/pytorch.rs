//! Weights of `torch.save`.
//!
//! The file is an archive with a pickle, a program of a stack machine that may call any function of Python. The reader follows
//! the few instructions that build dictionaries of tensors, and calls nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use burn::tensor::TensorData;
use datasway_diffusion::tensor_file::FloatReader;
use pytorch_reader::{DType, PickleValue, PytorchError, PytorchReader, Tensor};
use safetensors::tensor::{Dtype, TensorView};

use super::size;

/// The first bytes of an archive.
const ARCHIVE: &[u8] = b"PK";
/// Bytes of tensors for each byte of their file: two tensors may share their numbers, as those of a downsampling do.
const MOST_SHARED: u64 = 4;

/// The advice for a file that holds more than tensors.
const REMEDY: &str = "load it in PyTorch if you trust it, and save its state_dict() as SafeTensors";

/// The tensors of a file, which holds a dictionary of tensors and nothing else.
///
/// # Errors
/// A clause that says why not.
pub fn read(path: &Path) -> Result<BTreeMap<String, TensorData>, String> {
    size::check(path)?;
    check_archive(path)?;
    let incomplete = |error: PytorchError| {
        format!("is no complete file of weights of PyTorch ({error}): fetch it again")
    };
    let pickle = PytorchReader::read_pickle_data(path, None).map_err(incomplete)?;
    let PickleValue::Dict(entries) = pickle else {
        return Err(format!(
            "holds a whole object and not its tensors alone: {REMEDY}"
        ));
    };
    let file = PytorchReader::new(path).map_err(incomplete)?;
    check_tensors_alone(entries.keys(), &file)?;
    check_bytes(path, &file)?;
    let mut reader = FloatReader::default();
    let mut tensors = BTreeMap::new();
    for (name, tensor) in file.into_tensors() {
        let data = numbers(&mut reader, &name, &tensor);
        tensors.insert(name, data?);
    }
    Ok(tensors)
}

/// Checks that a file is the archive that PyTorch has written since version 1.6.
fn check_archive(path: &Path) -> Result<(), String> {
    let mut first = Vec::new();
    let file = File::open(path).map_err(|error| format!("cannot be read ({error})"))?;
    file.take(ARCHIVE.len() as u64)
        .read_to_end(&mut first)
        .map_err(|error| format!("cannot be read ({error})"))?;
    if first == ARCHIVE {
        return Ok(());
    }
    Err(
        "is no archive of PyTorch 1.6 or later: load it in PyTorch if you trust it, and save its tensors as SafeTensors"
            .to_owned(),
    )
}

/// Checks that the entries of the pickle are tensors: other objects may be calls of any function.
fn check_tensors_alone<'a>(
    names: impl Iterator<Item = &'a String>,
    file: &PytorchReader,
) -> Result<(), String> {
    let mut others: Vec<&String> = names.filter(|name| file.get(name).is_none()).collect();
    others.sort();
    match others.first() {
        None => Ok(()),
        Some(name) => Err(format!(
            "holds more than tensors, such as {}, which may be code: {REMEDY}",
            name.chars().take(80).collect::<String>()
        )),
    }
}

/// Checks that the tensors are not far larger than their file, before they are read.
fn check_bytes(path: &Path, file: &PytorchReader) -> Result<(), String> {
    let length = std::fs::metadata(path).map_err(|error| format!("cannot be read ({error})"))?;
    let tensors = file.tensors().values();
    let total = tensors.fold(0_u64, |sum, tensor| {
        sum.saturating_add(tensor.byte_len() as u64)
    });
    if total <= MOST_SHARED * length.len() {
        return Ok(());
    }
    Err(format!(
        "has {} bytes and says that its tensors have {total}: fetch it again",
        length.len()
    ))
}

/// The numbers of a tensor in single precision.
fn numbers(reader: &mut FloatReader, name: &str, tensor: &Tensor) -> Result<TensorData, String> {
    let dtype = match tensor.dtype() {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        other => {
            return Err(format!(
                "{name} holds {other:?} numbers and not floating-point ones"
            ));
        }
    };
    let bytes = tensor
        .read()
        .map_err(|error| format!("is damaged ({error}): fetch it again"))?;
    let view = TensorView::new(dtype, tensor.shape().to_vec(), &bytes)
        .map_err(|error| format!("{name} is damaged ({error}): fetch the file again"))?;
    reader.read(name, &view)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> std::path::PathBuf {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/torch");
        data.join(name)
    }

    #[test]
    fn tensors_of_every_type_and_layout_are_read() {
        let tensors = read(&file("tensors.bin")).unwrap();
        let values = |name: &str| -> Vec<f32> { tensors[name].iter::<f32>().collect() };
        let rows = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(tensors["a"].shape().as_slice(), [2, 3]);
        for name in ["a", "shared", "half"] {
            assert_eq!(values(name), rows, "{name}");
        }
        assert_eq!(tensors["turned"].shape().as_slice(), [3, 2]);
        assert_eq!(values("turned"), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(values("brain"), [3.0, 4.0, 5.0]);
        assert_eq!(tensors.len(), 5);
    }

    #[test]
    fn code_other_objects_and_old_formats_are_refused_in_a_sentence() {
        for (name, says) in [
            ("code.bin", "more than tensors, such as extra"),
            ("object.bin", "a whole object"),
            ("whole_numbers.bin", "whole holds I64 numbers"),
            ("not_finite.bin", "a holds NaN"),
            ("legacy.bin", "no archive of PyTorch 1.6"),
        ] {
            let message = read(&file(name)).unwrap_err();
            assert!(message.contains(says), "{name}: {message}");
        }
    }

    #[test]
    fn a_file_that_is_cut_off_is_refused() {
        let bytes = std::fs::read(file("tensors.bin")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.bin");
        for length in [0, 1, 100, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(read(&path).is_err(), "{length} bytes");
        }
    }
}
