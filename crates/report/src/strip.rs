//! A figure for a paper or a README: samples, where they go, and their sensitivities, in three rows.

use crate::exaggerate::{exaggeration, moved};
use crate::{GridStyle, Picture, ReportError, grid_png, heat_map};

/// A PNG of three rows with a column for each sample: x; `x + c·δ`, or `x − c·δ` if `removing`, with c chosen for each
/// sample so that the change can be seen; and the heat map of δ.
///
/// # Errors
/// If there is no sample, or if the pictures differ in shape.
pub fn strip_png(
    samples: &[Picture<'_>],
    deltas: &[Picture<'_>],
    removing: bool,
) -> Result<Vec<u8>, ReportError> {
    let sign = if removing { -1.0 } else { 1.0 };
    let (mut after, mut heat) = (Vec::new(), Vec::new());
    for (sample, delta) in samples.iter().zip(deltas) {
        let values = moved(sample, delta, sign * exaggeration(delta));
        after.push(planes(sample, |c, at| {
            values[(c % sample.channels) * sample.height * sample.width + at]
        }));
        let map = heat_map(delta, None)?.image;
        heat.push(planes(sample, |c, at| {
            let (x, y) = (at % sample.width, at / sample.width);
            f32::from(map.get_pixel(x as u32, y as u32).0[c]) / 127.5 - 1.0
        }));
    }
    let before: Vec<Vec<f32>> = samples
        .iter()
        .map(|s| {
            let plane = s.height * s.width;
            planes(s, |c, at| s.values[(c % s.channels) * plane + at])
        })
        .collect();
    let colour = |values| Picture {
        channels: 3,
        values,
        ..samples[0]
    };
    let rows = [before, after, heat].concat();
    let pictures: Vec<Picture<'_>> = rows.iter().map(|values| colour(values)).collect();
    let style = GridStyle {
        columns: samples.len(),
        ..GridStyle::default()
    };
    grid_png(&pictures, &style)
}

/// Three planes of a picture's size, one a colour.
fn planes(like: &Picture<'_>, value: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let plane = like.height * like.width;
    (0..3 * plane)
        .map(|i| value(i / plane, i % plane))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixel(png: &[u8], column: u32, row: u32) -> [u8; 3] {
        let image = image::load_from_memory(png).unwrap().to_rgb8();
        let (side, padding) = (64, 4);
        let at = |k: u32| padding + k * (side + padding) + side / 2;
        image.get_pixel(at(column), at(row)).0
    }

    #[test]
    fn a_grey_sample_grows_lighter_and_one_in_a_removal_darker() {
        let (x, delta) = ([0.0f32], [2.0f32]);
        let picture = |values| Picture {
            channels: 1,
            height: 1,
            width: 1,
            values,
        };
        let add = strip_png(&[picture(&x)], &[picture(&delta)], false).unwrap();
        let remove = strip_png(&[picture(&x)], &[picture(&delta)], true).unwrap();
        assert!(pixel(&add, 0, 1)[0] > pixel(&add, 0, 0)[0] + 20);
        assert!(pixel(&remove, 0, 1)[0] + 20 < pixel(&remove, 0, 0)[0]);
        let [red, _, blue] = pixel(&add, 0, 2);
        assert!(red > blue, "lighter is red in the heat map");
        assert!(matches!(
            strip_png(&[], &[], false),
            Err(ReportError::Empty)
        ));
    }
}
