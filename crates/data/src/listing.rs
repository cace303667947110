//! What a source holds before anything is decoded.

use std::path::{Path, PathBuf};

use image::RgbImage;

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
    /// Where image `i` comes from, for messages.
    pub origins: Vec<PathBuf>,
    /// Every file read: the cache depends on them.
    pub files: Vec<PathBuf>,
    /// Whether images are grey in the source.
    pub grey: bool,
    pub decode: Decode,
}

/// Reads a whole file; a path that does not exist is its own error.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    std::fs::read(path).map_err(|e| io(path, e))
}

/// A system error about `path`.
pub(crate) fn io(path: &Path, reason: std::io::Error) -> DataError {
    if reason.kind() == std::io::ErrorKind::NotFound {
        return DataError::Missing(path.into());
    }
    DataError::Io {
        path: path.into(),
        reason,
    }
}

/// Decodes an image file to RGB.
pub(crate) fn decode(path: &Path) -> Result<RgbImage, DataError> {
    let bytes = read(path)?;
    let bad = |reason: String| DataError::BadImage {
        path: path.into(),
        reason,
    };
    if bytes.starts_with(&[0xff, 0xd8]) && !jpeg_ends(&bytes) {
        return Err(bad("the JPEG data end too early".into()));
    }
    image::load_from_memory(&bytes)
        .map(|i| i.to_rgb8())
        .map_err(|e| bad(e.to_string()))
}

/// Whether a JPEG file reaches its end marker. The decoder fills what a truncated file lacks with grey.
fn jpeg_ends(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(skip) = bytes[at..].iter().position(|&b| b == 0xff) {
        at += skip + 1;
        match bytes.get(at) {
            Some(0xd9) => return true,
            // A stuffed zero, a lone marker or a fill byte: no length follows.
            Some(0x00 | 0x01 | 0xd0..=0xd8 | 0xff) => {}
            Some(_) => {
                let length = bytes.get(at + 1..at + 3);
                let length = length.map_or(0, |l| u16::from_be_bytes([l[0], l[1]]));
                at += 1 + usize::from(length);
            }
            None => {}
        }
        at = at.min(bytes.len());
    }
    false
}

/// The largest centred square of a `width` x `height` image.
pub(crate) fn centre(width: u32, height: u32) -> Square {
    let side = width.min(height);
    ((width - side) / 2, (height - side) / 2, side)
}
