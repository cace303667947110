//! EXIF data of pictures.

use image::metadata::Orientation;

/// Orientation of a picture by its EXIF data.
pub(crate) fn orientation(exif: Option<&[u8]>) -> Orientation {
    let tiff = exif.map(|e| e.strip_prefix(b"Exif\0\0").unwrap_or(e));
    tiff.and_then(Orientation::from_exif_chunk)
        .unwrap_or(Orientation::NoTransforms)
}
