//! CIFAR-10's binary batches: one label byte, then 3 x 32 x 32 bytes an image.

use std::path::Path;

use image::{Rgb, RgbImage};

use crate::listing::{Listing, centre, read};
use crate::{Classes, DataError};

const RECORD: usize = 1 + 3 * 32 * 32;
const CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// Lists the training batches `data_batch_1.bin` to `data_batch_5.bin` present under `root`.
pub(crate) fn list(root: &Path) -> Result<Listing, DataError> {
    let files: Vec<_> = (1..=5)
        .map(|b| root.join(format!("data_batch_{b}.bin")))
        .filter(|p| p.is_file())
        .collect();
    if files.is_empty() {
        return Err(DataError::Missing(root.join("data_batch_1.bin")));
    }
    let (mut bytes, mut origins) = (Vec::new(), Vec::new());
    for path in &files {
        let batch = read(path)?;
        if batch.is_empty() || batch.len() % RECORD != 0 {
            return Err(DataError::BadBinary {
                path: path.clone(),
                reason: format!(
                    "has the wrong length: {} bytes, not a multiple of {RECORD}",
                    batch.len()
                ),
            });
        }
        if batch.iter().step_by(RECORD).any(|&label| label > 9) {
            return Err(DataError::BadBinary {
                path: path.clone(),
                reason: "has a label above 9".into(),
            });
        }
        origins.extend(vec![path.clone(); batch.len() / RECORD]);
        bytes.extend(batch);
    }
    Ok(Listing {
        names: (0..origins.len()).map(|i| format!("train-{i}")).collect(),
        attributes: None,
        classes: Some(Classes {
            names: CLASSES.map(Into::into).to_vec(),
            labels: bytes
                .iter()
                .step_by(RECORD)
                .map(|&l| usize::from(l))
                .collect(),
        }),
        origins,
        files,
        grey: false,
        decode: Box::new(move |i| {
            let record = &bytes[i * RECORD + 1..(i + 1) * RECORD];
            let image = RgbImage::from_fn(32, 32, |x, y| {
                let at = (y * 32 + x) as usize;
                Rgb([record[at], record[1024 + at], record[2048 + at]])
            });
            Ok((image, centre(32, 32)))
        }),
    })
}
