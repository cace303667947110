//! A folder of images; a subfolder is a class.
//!
//! An image of CelebA's aligned proportions (178 x 218, 89 x 109, ...) is cropped as in CelebA's layout, so that
//! faces from both line up; of any other image the centre square is kept.

use std::path::{Path, PathBuf};

use crate::listing::{Listing, centre, decode, io};
use crate::{Classes, DataError, celeba};

/// Lists the images under `root`, sorted by path, or if there is none those of its subfolders, each a class.
///
/// A file is an image by its name's ending; other files are passed over.
pub(crate) fn list(root: &Path) -> Result<Listing, DataError> {
    let (mut paths, mut classes, mut labels) = (images(root)?, Vec::new(), Vec::new());
    if paths.is_empty() {
        for folder in entries(root)?.into_iter().filter(|p| p.is_dir()) {
            let inside = images(&folder)?;
            if inside.is_empty() {
                continue;
            }
            labels.extend(vec![classes.len(); inside.len()]);
            classes.push(file_name(&folder));
            paths.extend(inside);
        }
    }
    let classes = (!classes.is_empty()).then_some(Classes {
        names: classes,
        labels,
    });
    Ok(files(paths, classes))
}

/// The image files `paths`.
pub(crate) fn files(paths: Vec<PathBuf>, classes: Option<Classes>) -> Listing {
    let names = match &classes {
        Some(c) => paths
            .iter()
            .zip(&c.labels)
            .map(|(p, &l)| format!("{}/{}", c.names[l], file_name(p)))
            .collect(),
        None => paths.iter().map(|p| file_name(p)).collect(),
    };
    Listing {
        names,
        attributes: None,
        classes,
        origins: paths.clone(),
        files: paths.clone(),
        grey: false,
        decode: Box::new(move |i| {
            let image = decode(&paths[i])?;
            let square = match image.dimensions() {
                (width, height) if celeba::is_aligned(width, height) => celeba::crop(width, height),
                (width, height) => centre(width, height),
            };
            Ok((image, square))
        }),
    }
}

fn images(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let known = ["jpg", "jpeg", "png", "bmp", "webp"];
    let is_image = |p: &PathBuf| {
        p.extension()
            .is_some_and(|e| known.contains(&e.to_string_lossy().to_lowercase().as_str()))
    };
    Ok(entries(folder)?.into_iter().filter(is_image).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut paths = std::fs::read_dir(folder)
        .and_then(|d| {
            d.map(|e| e.map(|e| e.path()))
                .collect::<Result<Vec<_>, _>>()
        })
        .map_err(|e| io(folder, e))?;
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
