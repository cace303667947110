//! Signed heat maps: blue where a change darkens the image, red where it lightens it, white where it is zero.

use crate::{Picture, ReportError};
use image::{Rgb, RgbImage};

/// ColorBrewer's RdBu, from blue to red. It is safe for the common forms of colour blindness.
pub const DIVERGING: [[u8; 3]; 9] = [
    [33, 102, 172],
    [67, 147, 195],
    [146, 197, 222],
    [209, 229, 240],
    [247, 247, 247],
    [253, 219, 199],
    [244, 165, 130],
    [214, 96, 77],
    [178, 24, 43],
];

/// A heat map and the value of its strongest colour.
#[derive(Debug, Clone)]
pub struct HeatMap {
    /// One pixel per pixel of the sensitivity.
    pub image: RgbImage,
    /// The deepest blue is `-scale`, the deepest red `+scale`, in pixels per unit of mass summed over channels.
    pub scale: f32,
}

/// δ summed over its channels on a scale symmetric about zero. Without `scale`, the largest finite magnitude is used.
///
/// # Errors
/// If the values do not fill the shape.
pub fn heat_map(delta: &Picture<'_>, scale: Option<f32>) -> Result<HeatMap, ReportError> {
    delta.check()?;
    let plane = delta.height * delta.width;
    let summed: Vec<f32> = (0..plane)
        .map(|pixel| {
            (0..delta.channels)
                .map(|c| delta.values[c * plane + pixel])
                .sum()
        })
        .collect();
    let largest = summed
        .iter()
        .filter(|v| v.is_finite())
        .fold(0.0f32, |m, v| m.max(v.abs()));
    let scale = scale.unwrap_or(largest);
    let image = RgbImage::from_fn(delta.width as u32, delta.height as u32, |x, y| {
        let value = summed[y as usize * delta.width + x as usize];
        Rgb(diverging(if scale > 0.0 { value / scale } else { 0.0 }))
    });
    Ok(HeatMap { image, scale })
}

/// The colour of a value in [-1, 1]. Larger values are clipped, and NaN is grey.
pub fn diverging(value: f32) -> [u8; 3] {
    if value.is_nan() {
        return [128; 3];
    }
    let last = DIVERGING.len() - 1;
    let place = (value.clamp(-1.0, 1.0) + 1.0) * 0.5 * last as f32;
    let low = (place as usize).min(last - 1);
    let fraction = place - low as f32;
    std::array::from_fn(|c| {
        let (a, b) = (
            f32::from(DIVERGING[low][c]),
            f32::from(DIVERGING[low + 1][c]),
        );
        (a + (b - a) * fraction).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_symmetric_and_channels_are_summed() {
        let delta = Picture {
            channels: 3,
            height: 1,
            width: 2,
            values: &[1.0, 0.0, 1.0, -0.5, 1.0, -0.5],
        };
        let map = heat_map(&delta, None).unwrap();
        assert_eq!(map.scale, 3.0);
        assert_eq!(map.image.get_pixel(0, 0).0, DIVERGING[8]);
        assert_eq!(map.image.get_pixel(1, 0).0, diverging(-1.0 / 3.0));
    }

    #[test]
    fn zero_is_white_and_nothing_divides_by_zero() {
        let map = heat_map(
            &Picture {
                channels: 1,
                height: 1,
                width: 1,
                values: &[0.0],
            },
            None,
        )
        .unwrap();
        assert_eq!(map.image.get_pixel(0, 0).0, DIVERGING[4]);
        assert_eq!(diverging(-7.0), DIVERGING[0]);
        assert_eq!(diverging(f32::NAN), [128; 3]);
    }
}
