//! MNIST and Fashion-MNIST: idx files, gzipped or not, training split.

use std::io::Read;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};

use crate::listing::{Listing, centre, read};
use crate::{Classes, DataError};

/// Lists the training images under `root`.
pub(crate) fn list(root: &Path) -> Result<Listing, DataError> {
    let images = find(root, "train-images-idx3-ubyte")?;
    let labels = find(root, "train-labels-idx1-ubyte")?;
    let (sizes, pixels) = parse(&images, 3)?;
    let (counts, values) = parse(&labels, 1)?;
    let bad = |reason| DataError::BadBinary {
        path: labels.clone(),
        reason,
    };
    if counts[0] != sizes[0] {
        return Err(bad(format!(
            "has {} labels for {} images",
            counts[0], sizes[0]
        )));
    }
    if values.iter().any(|&v| v > 9) {
        return Err(bad("has a label above 9".into()));
    }
    let (n, height, width) = (sizes[0], sizes[1] as u32, sizes[2] as u32);
    Ok(Listing {
        names: (0..n).map(|i| format!("train-{i}")).collect(),
        attributes: None,
        classes: Some(Classes {
            names: (0..10).map(|c| c.to_string()).collect(),
            labels: values.into_iter().map(usize::from).collect(),
        }),
        origins: vec![images.clone(); n],
        files: vec![images, labels],
        grey: true,
        decode: Box::new(move |i| {
            let image = RgbImage::from_fn(width, height, |x, y| {
                Rgb([pixels[(i * height as usize + y as usize) * width as usize + x as usize]; 3])
            });
            Ok((image, centre(width, height)))
        }),
    })
}

/// The file `name` under `root`, or its gzipped form.
pub(crate) fn find(root: &Path, name: &str) -> Result<PathBuf, DataError> {
    let plain = root.join(name);
    let gz = root.join(format!("{name}.gz"));
    if plain.is_file() {
        Ok(plain)
    } else if gz.is_file() {
        Ok(gz)
    } else {
        Err(DataError::Missing(plain))
    }
}

/// The sizes and bytes of an idx file of unsigned bytes with `rank` dimensions.
fn parse(path: &Path, rank: usize) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let bad = |reason: String| DataError::BadBinary {
        path: path.into(),
        reason,
    };
    let mut bytes = read(path)?;
    if path.extension().is_some_and(|e| e == "gz") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(bytes.as_slice())
            .read_to_end(&mut plain)
            .map_err(|e| bad(format!("is not whole gzip ({e})")))?;
        bytes = plain;
    }
    let header = 4 + 4 * rank;
    if bytes.len() < header || bytes[..4] != [0, 0, 8, rank as u8] {
        return Err(bad(format!("has the wrong idx magic (not 0x08{rank:02x})")));
    }
    let sizes: Vec<usize> = bytes[4..header]
        .chunks_exact(4)
        .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize)
        .collect();
    let body = bytes.split_off(header);
    if Some(body.len()) != sizes.iter().try_fold(1usize, |a, &b| a.checked_mul(b)) {
        return Err(bad(format!(
            "has the wrong length: {} bytes for sizes {sizes:?}",
            body.len()
        )));
    }
    Ok((sizes, body))
}
