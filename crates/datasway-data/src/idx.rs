//! MNIST and Fashion-MNIST: idx files, gzipped or not, training split.

use std::io::Read;
use std::path::{Path, PathBuf};

use datasway_fs::plural;
use image::{Rgb, RgbImage};
use sha2::{Digest, Sha256};

use crate::input::{MOST_TABLE, read};
use crate::listing::{Listing, centre};
use crate::report::Report;
use crate::{Classes, DataError, memory};

/// File names of the images: as published, and as in many downloads.
pub(crate) const IMAGES: [&str; 2] = ["train-images-idx3-ubyte", "train-images.idx3-ubyte"];
const LABELS: [&str; 2] = ["train-labels-idx1-ubyte", "train-labels.idx1-ubyte"];

/// Largest expansion of gzip, in bytes per byte.
const DENSEST: usize = 1032;

/// Lists the training images under `root`.
pub(crate) fn list(root: &Path) -> Result<Listing, DataError> {
    let images = find(root, &IMAGES)?;
    let labels = find(root, &LABELS)?;
    let mut tables = Sha256::new();
    let (sizes, pixels) = parse(&images, 3, &mut tables)?;
    let (counts, values) = parse(&labels, 1, &mut tables)?;
    let bad = |path: &Path, reason| DataError::BadBinary {
        path: path.into(),
        reason,
    };
    if counts[0] != sizes[0] {
        return Err(bad(
            &labels,
            format!(
                "has {} for {}",
                plural(counts[0], "label"),
                plural(sizes[0], "image")
            ),
        ));
    }
    if let Some(label) = values.iter().find(|&&v| v > 9) {
        return Err(bad(
            &labels,
            format!("has a label above 9, {label}, where ten classes are read"),
        ));
    }
    let n = sizes[0];
    let (Ok(height), Ok(width)) = (u32::try_from(sizes[1]), u32::try_from(sizes[2])) else {
        return Err(bad(&images, format!("has absurd sizes {sizes:?}")));
    };
    Ok(Listing {
        names: (0..n).map(|i| format!("train-{i}")).collect(),
        attributes: None,
        classes: Some(Classes {
            names: (0..10).map(|c| c.to_string()).collect(),
            labels: values.into_iter().map(usize::from).collect(),
        }),
        by_class: false,
        origins: vec![images; n],
        files: Vec::new(),
        tables,
        grey: true,
        report: Report {
            held: n,
            ..Report::default()
        },
        decode: Box::new(move |i| {
            let image = RgbImage::from_fn(width, height, |x, y| {
                Rgb([pixels[(i * height as usize + y as usize) * width as usize + x as usize]; 3])
            });
            Ok((image, centre(width, height)))
        }),
    })
}

/// The file of one of the `names` under `root`, or its gzipped form.
pub(crate) fn find(root: &Path, names: &[&str]) -> Result<PathBuf, DataError> {
    names
        .iter()
        .flat_map(|name| [root.join(name), root.join(format!("{name}.gz"))])
        .find(|path| path.exists())
        .ok_or_else(|| DataError::Missing(root.join(names[0])))
}

/// The sizes and bytes of an idx file of unsigned bytes with `rank` dimensions; what was read is added to `tables`.
fn parse(
    path: &Path,
    rank: usize,
    tables: &mut Sha256,
) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let bad = |reason: String| DataError::BadBinary {
        path: path.into(),
        reason,
    };
    let stored = read(path, MOST_TABLE)?;
    tables.update(Sha256::digest(&stored));
    let zipped = stored.starts_with(&[0x1f, 0x8b]);
    let mut plain: Box<dyn Read> = if zipped {
        Box::new(flate2::read::MultiGzDecoder::new(stored.as_slice()))
    } else {
        Box::new(stored.as_slice())
    };
    let unzipped = |e: std::io::Error| {
        if zipped {
            bad(format!("is not whole gzip ({e})"))
        } else {
            bad(format!("cannot be read ({e})"))
        }
    };
    let mut header = Vec::new();
    let length = 4 + 4 * rank;
    (&mut plain)
        .take(length as u64)
        .read_to_end(&mut header)
        .map_err(unzipped)?;
    if header.len() < length || header[..4] != [0, 0, 8, rank as u8] {
        return Err(bad(format!(
            "has the wrong idx magic (not 0x08{rank:02x}){}",
            instead(&header, rank)
        )));
    }
    let sizes: Vec<usize> = header[4..]
        .chunks_exact(4)
        .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize)
        .collect();
    if sizes.contains(&0) {
        return Err(bad(format!("holds nothing: its sizes are {sizes:?}")));
    }
    let expected = sizes.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
    let densest = if zipped { DENSEST } else { 1 };
    if expected.is_none_or(|e| e / densest > stored.len()) {
        return Err(bad(format!(
            "has the wrong length: {} bytes cannot hold what its sizes {sizes:?} need",
            stored.len()
        )));
    }
    memory::needed(&path.display().to_string(), expected.unwrap_or(0), 1, 1)?;
    // Only the bytes that the sizes need are unzipped, and one more to detect a surplus.
    let most = expected.map_or(0, |e| e as u64) + 1;
    let mut body = Vec::new();
    let read = (&mut plain).take(most).read_to_end(&mut body);
    // This also reads the checksum at the end and any surplus.
    read.map_err(unzipped)?;
    if Some(body.len()) != expected {
        let more = if body.len() as u64 == most {
            " or more"
        } else {
            ""
        };
        return Err(bad(format!(
            "has the wrong length: {}{more} bytes for sizes {sizes:?}",
            body.len()
        )));
    }
    Ok((sizes, body))
}

/// Description of an idx header that is not one of unsigned bytes in `rank` dimensions, if it is a valid header.
fn instead(header: &[u8], rank: usize) -> String {
    match header.get(..4) {
        Some([0, 0, 8, other]) if usize::from(*other) != rank => {
            format!(": it has {other} dimensions, not {rank}")
        }
        Some([0, 0, 9, _]) => ": it holds signed bytes".into(),
        Some([0, 0, 0x0b | 0x0c, _]) => ": it holds longer whole numbers".into(),
        Some([0, 0, 0x0d | 0x0e, _]) => ": it holds floating-point numbers".into(),
        _ => String::new(),
    }
}
