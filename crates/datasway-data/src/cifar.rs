//! CIFAR-10's binary batches: for each image one label byte and 3 x 32 x 32 pixel bytes.

use std::path::Path;

use image::{Rgb, RgbImage};
use sha2::{Digest, Sha256};

use crate::input::{MOST_IMAGE, read};
use crate::listing::{Listing, centre};
use crate::report::Report;
use crate::{Classes, DataError};

const RECORD: usize = 1 + 3 * 32 * 32;
const BATCHES: usize = 5;
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

/// Tells whether a folder holds CIFAR in any form, supported or not.
pub(crate) fn is_at(root: &Path) -> bool {
    (1..=BATCHES).any(|b| root.join(batch_name(b)).exists()) || other_form(root).is_some()
}

/// Lists the training batches `data_batch_1.bin` to `data_batch_5.bin` under `root`; the last ones may be absent.
pub(crate) fn list(root: &Path) -> Result<Listing, DataError> {
    let paths: Vec<_> = (1..=BATCHES).map(|b| root.join(batch_name(b))).collect();
    let present = (paths.iter().rposition(|p| p.exists())).map_or(0, |last| last + 1);
    if present == 0 {
        return Err(match other_form(root) {
            Some(reason) => DataError::BadPath {
                path: root.into(),
                reason: format!("{reason}; fetch the binary version of CIFAR-10"),
            },
            None => DataError::Missing(paths[0].clone()),
        });
    }
    let (mut bytes, mut origins, mut tables) = (Vec::new(), Vec::new(), Sha256::new());
    let mut seen: Vec<[u8; 32]> = Vec::new();
    for path in &paths[..present] {
        let bad = |reason: String| DataError::BadBinary {
            path: path.clone(),
            reason,
        };
        let batch = read(path, MOST_IMAGE)?;
        if batch.is_empty() || batch.len() % RECORD != 0 {
            return Err(bad(format!(
                "has the wrong length: {} bytes, not a multiple of {RECORD}",
                batch.len()
            )));
        }
        if batch.iter().step_by(RECORD).any(|&label| label > 9) {
            return Err(bad("has a label above 9".into()));
        }
        let digest = Sha256::digest(&batch).into();
        if let Some(twin) = seen.iter().position(|s| *s == digest) {
            return Err(bad(format!("holds the same as {}", batch_name(twin + 1))));
        }
        seen.push(digest);
        tables.update(digest);
        origins.extend(vec![path.clone(); batch.len() / RECORD]);
        bytes.extend(batch);
    }
    let mut notices = Vec::new();
    if present < BATCHES {
        notices.push(format!(
            "{} holds {present} of CIFAR-10's {BATCHES} training batches",
            root.display()
        ));
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
        by_class: false,
        report: Report {
            held: origins.len(),
            notices,
            ..Report::default()
        },
        origins,
        files: Vec::new(),
        tables,
        grey: false,
        decode: Box::new(move |i| {
            let record = &bytes[i * RECORD + 1..(i + 1) * RECORD];
            let image = RgbImage::from_fn(32, 32, |x, y| {
                let pixel = (y * 32 + x) as usize;
                Rgb([record[pixel], record[1024 + pixel], record[2048 + pixel]])
            });
            Ok((image, centre(32, 32)))
        }),
    })
}

fn batch_name(batch: usize) -> String {
    format!("data_batch_{batch}.bin")
}

/// An unsupported form of CIFAR under `root`.
fn other_form(root: &Path) -> Option<&'static str> {
    if root.join("data_batch_1").exists() {
        Some("holds the Python version of CIFAR-10")
    } else if root.join("fine_label_names.txt").exists() || root.join("train.bin").exists() {
        Some("holds CIFAR-100, which is not read")
    } else {
        None
    }
}
