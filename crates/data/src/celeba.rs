//! CelebA's layout: `img_align_celeba/`, `list_attr_celeba.txt`, optional partition and identity files.

use std::path::Path;

use crate::listing::{Listing, Square, decode, read};
use crate::{Attributes, DataError};

/// The face's square: side 148 centred at (89, 121) of 178 x 218, in proportion to `width` x `height`.
pub(crate) fn crop(width: u32, height: u32) -> Square {
    let (w, h) = (f64::from(width), f64::from(height));
    let side = ((w * 148.0 / 178.0).round() as u32).min(height).max(1);
    let start = |centre: f64, limit: u32| {
        ((centre - f64::from(side) / 2.0).round().max(0.0) as u32).min(limit - side)
    };
    (
        start(w / 2.0, width),
        start(h * 121.0 / 218.0, height),
        side,
    )
}

/// Whether `width` x `height` is 178 x 218 in proportion, either side rounded to the nearest pixel.
pub(crate) fn is_aligned(width: u32, height: u32) -> bool {
    let round = |a: u32, b: u32, c: u32| (f64::from(a) * f64::from(b) / f64::from(c)).round();
    round(width, 218, 178) == f64::from(height) || round(height, 178, 218) == f64::from(width)
}

/// Lists the images named by the attribute table under `root`.
pub(crate) fn list(root: &Path) -> Result<Listing, DataError> {
    let table = root.join("list_attr_celeba.txt");
    let (names, attributes) = read_attributes(&table)?;
    let mut files = vec![table.clone()];
    for optional in ["list_eval_partition.txt", "identity_CelebA.txt"] {
        let path = root.join(optional);
        if path.exists() {
            check_names(&path, &names)?;
            files.push(path);
        }
    }
    let folder = root.join("img_align_celeba");
    if !folder.is_dir() {
        return Err(DataError::Missing(folder));
    }
    let origins: Vec<_> = names.iter().map(|n| folder.join(n)).collect();
    files.extend(origins.iter().cloned());
    let paths = origins.clone();
    Ok(Listing {
        names,
        attributes: Some(attributes),
        classes: None,
        origins,
        files,
        grey: false,
        decode: Box::new(move |i| {
            let image = decode(&paths[i]).map_err(|error| match error {
                DataError::Missing(path) => DataError::MissingImage {
                    path,
                    table: table.clone(),
                },
                other => other,
            })?;
            let square = crop(image.width(), image.height());
            Ok((image, square))
        }),
    })
}

/// Reads count, attribute names, then one line an image with 1 or -1 for each.
fn read_attributes(path: &Path) -> Result<(Vec<String>, Attributes), DataError> {
    let bad = |reason: String| DataError::BadAttributes {
        path: path.into(),
        reason,
    };
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default().trim();
    let count: usize = first
        .parse()
        .map_err(|_| bad(format!("starts with `{first}` instead of a count")))?;
    let header: Vec<String> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(Into::into)
        .collect();
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for line in lines.filter(|l| !l.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        let row: Option<Vec<bool>> = words
            .map(|w| match w {
                "1" => Some(true),
                "-1" | "0" => Some(false),
                _ => None,
            })
            .collect();
        let row = row
            .filter(|r| r.len() == header.len())
            .ok_or_else(|| bad(format!("does not give {} values to {name}", header.len())))?;
        names.push(name.to_owned());
        values.push(row);
    }
    if names.len() != count {
        return Err(bad(format!(
            "announces {count} images and lists {}",
            names.len()
        )));
    }
    Ok((
        names,
        Attributes {
            names: header,
            values,
        },
    ))
}

/// Fails unless the table at `path` has a line for every image.
fn check_names(path: &Path, names: &[String]) -> Result<(), DataError> {
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let listed: std::collections::HashSet<_> = text
        .lines()
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    match names.iter().find(|n| !listed.contains(n.as_str())) {
        Some(name) => Err(DataError::BadAttributes {
            path: path.into(),
            reason: format!("does not list {name}"),
        }),
        None => Ok(()),
    }
}
