//! The images of a source before decoding.

use std::path::PathBuf;

use image::RgbImage;
use sha2::Sha256;

use crate::report::Report;
use crate::{Attributes, Classes, DataError};

/// A square in pixels: left, top, side.
pub(crate) type Square = (u32, u32, u32);

/// Decoder of image `i`, with the square that is kept.
pub(crate) type Decode = Box<dyn Fn(usize) -> Result<(RgbImage, Square), DataError> + Sync>;

/// The images of a source: names, labels and decoder.
pub(crate) struct Listing {
    pub names: Vec<String>,
    pub attributes: Option<Attributes>,
    pub classes: Option<Classes>,
    /// True if the images of each class are contiguous.
    pub by_class: bool,
    /// Origin of image `i`, for messages.
    pub origins: Vec<PathBuf>,
    /// The image files. The cache depends on their state.
    pub files: Vec<PathBuf>,
    /// Content of the tables that were read. The cache depends on it.
    pub tables: Sha256,
    /// True if the images are grey in the source.
    pub grey: bool,
    pub report: Report,
    pub decode: Decode,
}

impl Listing {
    /// Indices of the images within a limit, ascending: the first ones, or an even share of each class if the images are sorted by
    /// class.
    pub fn within(&self, limit: Option<usize>) -> Vec<usize> {
        let n = self.names.len();
        let limit = limit.unwrap_or(n).min(n);
        match &self.classes {
            Some(classes) if self.by_class && limit < n => even_share(classes, limit),
            _ => (0..limit).collect(),
        }
    }
}

/// `limit` images, taken in turn from every class.
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
