//! Pictures as PNG files.

use crate::ReportError;
use base64::{Engine, engine::general_purpose::STANDARD};
use image::{ImageFormat, RgbImage};
use std::io::Cursor;
use std::path::Path;

/// An image as the bytes of a PNG file.
///
/// # Errors
/// If the image cannot be encoded.
pub fn png_bytes(image: &RgbImage) -> Result<Vec<u8>, ReportError> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// Writes an image as a PNG file, complete or not at all.
///
/// # Errors
/// If the image cannot be encoded or the file cannot be written.
pub fn write_png(path: &Path, image: &RgbImage) -> Result<(), ReportError> {
    Ok(datasway_fs::write(path, &png_bytes(image)?)?)
}

/// An image as the address of an `img` element that holds it.
///
/// # Errors
/// If the image cannot be encoded.
pub fn data_uri(image: &RgbImage) -> Result<String, ReportError> {
    let base64 = STANDARD.encode(png_bytes(image)?);
    Ok(format!("data:image/png;base64,{base64}"))
}
