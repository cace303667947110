//! Decoding of image files to upright pictures without transparency.

use std::io::Cursor;
use std::path::Path;

use flate2::Crc;
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use crate::exif::orientation;
use crate::input::{MOST_IMAGE, read};
use crate::limits::{MOST, affordable};
use crate::{DataError, jpeg};

/// Background of an image. Transparent parts are white, as on paper and most pages.
const PAPER: (u8, &str) = (255, "white");
/// Background of a mask. Transparent parts are not selected.
const NOT_CHOSEN: (u8, &str) = (0, "black");

/// Decodes an image file to RGB: turned upright, on a white background, the first frame of an animation.
pub(crate) fn decode(path: &Path) -> Result<RgbImage, DataError> {
    open(path, PAPER)
}

/// Reads a mask: a picture's brightness, turned upright, black where it is transparent.
///
/// # Errors
/// If the file is missing, damaged or not a picture.
pub fn mask(path: &Path) -> Result<GrayImage, DataError> {
    Ok(DynamicImage::ImageRgb8(open(path, NOT_CHOSEN)?).into_luma8())
}

fn open(path: &Path, background: (u8, &str)) -> Result<RgbImage, DataError> {
    let bytes = read(path, MOST_IMAGE)?;
    upright(&bytes)
        .and_then(|image| opaque(image, background))
        .map_err(|reason| DataError::BadImage {
            path: path.into(),
            reason,
        })
}

/// Decodes by content, not by file name, and applies the EXIF orientation.
fn upright(bytes: &[u8]) -> Result<DynamicImage, String> {
    if bytes.is_empty() {
        return Err("it is empty".into());
    }
    let (mut image, orientation) = if jpeg::is(bytes) {
        jpeg::decode(bytes)?
    } else {
        other(bytes)?
    };
    image.apply_orientation(orientation);
    Ok(image)
}

/// Decodes PNG, WebP and BMP.
fn other(bytes: &[u8]) -> Result<(DynamicImage, Orientation), String> {
    let format = image::guess_format(bytes).map_err(|e| e.to_string())?;
    let mut exif = None;
    match format {
        // EXIF data may also follow the pixels, where the decoder does not read them.
        ImageFormat::Png => exif = png_exif(bytes)?,
        ImageFormat::WebP => webp_is_complete(bytes)?,
        ImageFormat::Bmp => {}
        _ => {
            return Err(format!(
                "it holds a {format:?} picture; JPEG, PNG, WebP and BMP are read"
            ));
        }
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MOST);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|e| e.to_string())?;
    let (width, height) = decoder.dimensions();
    let pixel = u64::from(decoder.color_type().bytes_per_pixel());
    // A WebP decoder keeps another picture with transparency.
    let beside = if format == ImageFormat::WebP { 4 } else { 0 };
    affordable(width.into(), height.into(), pixel + beside)?;
    if exif.is_none() {
        exif = decoder.exif_metadata().map_err(|e| e.to_string())?;
    }
    let orientation = orientation(exif.as_deref());
    let image = DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?;
    Ok((image, orientation))
}

/// Converts to RGB on a background. A picture that is invisible on it is refused.
fn opaque(image: DynamicImage, (ground, name): (u8, &str)) -> Result<RgbImage, String> {
    if !image.color().has_alpha() {
        return Ok(image.into_rgb8());
    }
    let rgba = image.into_rgba8();
    if rgba.pixels().all(|p| p.0[3] == 0) {
        return Err("it is transparent everywhere".into());
    }
    let transparent = rgba.pixels().any(|p| p.0[3] < 255);
    let (width, height) = rgba.dimensions();
    let mix = |value: u8, alpha: u8| {
        let (v, a) = (u32::from(value), u32::from(alpha));
        ((v * a + u32::from(ground) * (255 - a) + 127) / 255) as u8
    };
    let pixels: Vec<u8> = rgba
        .pixels()
        .flat_map(|p| [0, 1, 2].map(|c| mix(p.0[c], p.0[3])))
        .collect();
    if transparent && pixels.iter().all(|&v| v == ground) {
        return Err(format!(
            "it is {name} where it is not transparent, so nothing of it is left on a {name} background"
        ));
    }
    RgbImage::from_raw(width, height, pixels).ok_or_else(|| "it has no pixel".into())
}

/// The EXIF data of a PNG file; fails unless every chunk is whole, to the last.
fn png_exif(bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut chunks = &bytes[8..];
    let mut exif = None;
    loop {
        let too_early = || "the PNG data end too early".to_owned();
        let length = chunks.first_chunk().ok_or_else(too_early)?;
        let length = u32::from_be_bytes(*length) as usize;
        let chunk = chunks.get(4..8 + length).ok_or_else(too_early)?;
        let sum = chunks.get(8 + length..12 + length).ok_or_else(too_early)?;
        let mut crc = Crc::new();
        crc.update(chunk);
        let name = String::from_utf8_lossy(&chunk[..4]);
        if sum != crc.sum().to_be_bytes() {
            return Err(format!("the PNG chunk {name} does not have its checksum"));
        }
        match &chunk[..4] {
            b"eXIf" => exif = Some(chunk[4..].to_vec()),
            b"IEND" => return Ok(exif),
            _ => {}
        }
        chunks = &chunks[12 + length..];
    }
}

/// Fails if a WebP file is shorter than the length in its header.
fn webp_is_complete(bytes: &[u8]) -> Result<(), String> {
    let length = bytes.get(4..8).and_then(|l| l.try_into().ok());
    match length.map(u32::from_le_bytes) {
        Some(length) if length as usize <= bytes.len() - 8 => Ok(()),
        _ => Err("the WebP data end too early".into()),
    }
}
