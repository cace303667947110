//! What a source holds before anything is decoded.

use std::path::PathBuf;

use image::RgbImage;
use sha2::Sha256;

use crate::report::Report;
use crate::{Attributes, Classes, DataError};

/// A square in pixels: left, top, side.
pub(crate) type Square = (u32, u32, u32);

/// How image `i` is decoded and which square of it is kept.
pub(crate) type Decode = Box<dyn Fn(usize) -> Result<(RgbImage, Square), DataError> + Sync>;

/// A source's images by name, and how to decode each.
pub(crate) struct Listing {
    pub names: Vec<String>,
    pub attributes: Option<Attributes>,
    pub classes: Option<Classes>,
    /// Whether all images of a class come one after the other.
    pub by_class: bool,
    /// Where image `i` comes from, for messages.
    pub origins: Vec<PathBuf>,
    /// The image files, one after the other: the cache depends on their state.
    pub files: Vec<PathBuf>,
    /// What was read to list them: the cache depends on its content.
    pub tables: Sha256,
    /// Whether images are grey in the source.
    pub grey: bool,
    pub report: Report,
    pub decode: Decode,
}

impl Listing {
    /// The images that a limit leaves, ascending: the first ones, or where images lie class by class an even share of each class,
    /// the first of each.
    pub fn within(&self, limit: Option<usize>) -> Vec<usize> {
        let n = self.names.len();
        let limit = limit.unwrap_or(n).min(n);
        match &self.classes {
            Some(classes) if self.by_class && limit < n => even_share(classes, limit),
            _ => (0..limit).collect(),
        }
    }
}

/// `limit` images, taken by turns from every class.
fn even_share(classes: &Classes, limit: usize) -> Vec<usize> {
    let mut turns = vec![0; classes.names.len()];
    let mut images: Vec<(usize, usize)> = classes
        .labels
        .iter()
        .enumerate()
        .map(|(i, &class)| {
            turns[class] += 1;
            (turns[class], i)
        })
        .collect();
    images.sort_unstable();
    images.truncate(limit);
    let mut images: Vec<usize> = images.into_iter().map(|(_, i)| i).collect();
    images.sort_unstable();
    images
}

/// The largest centred square of a `width` x `height` image.
pub(crate) fn centre(width: u32, height: u32) -> Square {
    let side = width.min(height);
    ((width - side) / 2, (height - side) / 2, side)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_share_takes_turns_over_the_classes_and_gives_what_a_small_one_lacks_to_others() {
        let classes = Classes {
            names: ["a", "b", "c"].map(Into::into).to_vec(),
            labels: vec![0, 0, 0, 0, 1, 2, 2, 2],
        };
        for (limit, kept) in [
            (0, vec![]),
            (2, vec![0, 4]),
            (3, vec![0, 4, 5]),
            (5, vec![0, 1, 4, 5, 6]),
            (7, vec![0, 1, 2, 4, 5, 6, 7]),
        ] {
            assert_eq!(even_share(&classes, limit), kept, "{limit}");
        }
    }
}
