//! Limits of image sizes.

/// Largest side of decoded images in pixels.
pub(crate) const MOST_SIDE: usize = 4096;
/// Largest memory of decoding one picture, in bytes.
pub(crate) const MOST: u64 = 448 << 20;

/// Fails if a picture, `bytes` a pixel while it is decoded, takes more memory than one may.
pub(crate) fn affordable(width: u64, height: u64, bytes: u64) -> Result<(), String> {
    // Three more bytes for what it is turned or converted to.
    let needed = width
        .checked_mul(height)
        .and_then(|p| p.checked_mul(bytes + 3));
    match needed {
        Some(0) => Err("it has no pixel".into()),
        Some(needed) if needed <= MOST => Ok(()),
        _ => Err(format!(
            "its {width}x{height} pixels take more than {} MiB to decode",
            MOST >> 20
        )),
    }
}
