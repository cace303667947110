//! Decoding of JPEG files that refuses incomplete ones.
//!
//! A decoder fills the missing part of a truncated file with grey, and an end marker after the cut hides the damage.
//! Therefore bytes of ones are inserted before the end marker. No code word consists of ones only, so a decoder that still
//! needs bits fails there.

use std::collections::BTreeMap;

use image::metadata::Orientation;
use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::exif::orientation;
use crate::limits::affordable;

/// Bytes of ones before the end marker: more than a decoder reads ahead.
const ONES: usize = 64;
/// Coefficients of a block.
const BLOCK: usize = 64;

/// Tells whether these are the first bytes of a JPEG file.
pub(crate) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8])
}

/// Decodes a complete JPEG file. Also returns its EXIF orientation.
pub(crate) fn decode(bytes: &[u8]) -> Result<(DynamicImage, Orientation), String> {
    let outline = Outline::of(bytes)?;
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let mut headers = JpegDecoder::new_with_options(ZCursor::new(&outline.bytes), options);
    headers.decode_headers().map_err(damaged)?;
    let (width, height) = headers.dimensions().ok_or("it has no size")?;
    // Of a picture in several scans, the decoder keeps the coefficients: two bytes each.
    let coefficients = if outline.scans > 1 { 6 } else { 0 };
    affordable(width as u64, height as u64, 3 + coefficients)?;
    let orientation = orientation(headers.exif().map(Vec::as_slice));
    let colours = match headers.input_colorspace() {
        Some(
            kept @ (ColorSpace::RGB | ColorSpace::RGBA | ColorSpace::Luma | ColorSpace::LumaA),
        ) => kept,
        _ => ColorSpace::RGB,
    };
    let options = options.jpeg_set_out_colorspace(colours);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&outline.bytes), options);
    let pixels = decoder.decode().map_err(damaged)?;
    let (width, height) = (width as u32, height as u32);
    let image = match colours {
        ColorSpace::Luma => GrayImage::from_raw(width, height, pixels).map(Into::into),
        ColorSpace::LumaA => GrayAlphaImage::from_raw(width, height, pixels).map(Into::into),
        ColorSpace::RGBA => RgbaImage::from_raw(width, height, pixels).map(Into::into),
        _ => RgbImage::from_raw(width, height, pixels).map(Into::into),
    };
    Ok((image.ok_or("its size and its data disagree")?, orientation))
}

fn damaged(error: DecodeErrors) -> String {
    let reason = error.to_string();
    format!(
        "the JPEG data are cut or damaged: {}",
        reason.trim().trim_matches('"')
    )
}

/// The segments of a JPEG file without other bytes, and with ones inserted before the end marker.
struct Outline {
    bytes: Vec<u8>,
    scans: usize,
}

impl Outline {
    /// Visits the segments. A file whose scans leave a coefficient incomplete is refused.
    fn of(bytes: &[u8]) -> Result<Self, String> {
        const TOO_EARLY: &str = "the JPEG data end too early";
        let mut outline = Self {
            bytes: vec![0xff, 0xd8],
            scans: 0,
        };
        let mut missing = Missing::default();
        let mut position = 2;
        loop {
            position += bytes[position..]
                .iter()
                .position(|&b| b == 0xff)
                .ok_or(TOO_EARLY)?;
            let marker = *bytes.get(position + 1).ok_or(TOO_EARLY)?;
            match marker {
                0xd9 => break,
                // A fill byte.
                0xff => position += 1,
                // A stuffed zero or a lone marker: no length follows.
                0x00 | 0x01 | 0xd0..=0xd8 => position += 2,
                _ => {
                    let length = bytes.get(position + 2..position + 4).ok_or(TOO_EARLY)?;
                    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
                    let segment = bytes
                        .get(position..position + 2 + length)
                        .ok_or(TOO_EARLY)?;
                    let content = segment.get(4..).ok_or("a JPEG segment is too short")?;
                    outline.bytes.extend(segment);
                    position += segment.len();
                    match marker {
                        0xc0..=0xc2 => missing.frame(content, marker == 0xc2)?,
                        0xda => {
                            missing.scan(content)?;
                            outline.scans += 1;
                            let scan = &bytes[position..];
                            let scan = &scan[..scan_length(scan).ok_or(TOO_EARLY)?];
                            outline.bytes.extend(scan);
                            position += scan.len();
                        }
                        _ => {}
                    }
                }
            }
        }
        if !missing.nothing() {
            return Err(TOO_EARLY.into());
        }
        outline.bytes.extend([0xff, 0x00].repeat(ONES));
        outline.bytes.extend([0xff, 0xd9]);
        Ok(outline)
    }
}

/// Length of the coded data up to a marker that is not a restart.
fn scan_length(bytes: &[u8]) -> Option<usize> {
    let mut pairs = bytes.windows(2);
    pairs.position(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff | 0xd0..=0xd7))
}

/// Coefficients that no scan has completed, by component.
#[derive(Default)]
struct Missing {
    progressive: bool,
    components: BTreeMap<u8, [bool; BLOCK]>,
}

impl Missing {
    fn frame(&mut self, content: &[u8], progressive: bool) -> Result<(), String> {
        let count = *content.get(5).ok_or("the JPEG frame is too short")?;
        let components = content.get(6..).unwrap_or_default().chunks_exact(3);
        self.progressive = progressive;
        self.components = components
            .take(count.into())
            .map(|component| (component[0], [true; BLOCK]))
            .collect();
        Ok(())
    }

    fn scan(&mut self, content: &[u8]) -> Result<(), String> {
        let short = "a JPEG scan is too short";
        let count = usize::from(*content.first().ok_or(short)?);
        let [first, last, bits] = content
            .get(1 + 2 * count..4 + 2 * count)
            .and_then(|fields| fields.try_into().ok())
            .ok_or(short)?;
        let (first, last) = (usize::from(first), usize::from(last));
        for selector in content[1..1 + 2 * count].chunks_exact(2) {
            let Some(component) = self.components.get_mut(&selector[0]) else {
                return Err("a JPEG scan names an unknown component".into());
            };
            if !self.progressive {
                *component = [false; BLOCK];
            } else if let Some(sent) = component.get_mut(first..=last) {
                // The low half holds the number of missing bits.
                sent.fill(bits & 0x0f != 0);
            }
        }
        Ok(())
    }

    fn nothing(&self) -> bool {
        !self.components.is_empty() && self.components.values().flatten().all(|missing| !missing)
    }
}
