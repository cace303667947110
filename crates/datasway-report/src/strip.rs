//! A figure for a paper or a README: samples, where they go, and their sensitivities, in three rows.

use crate::exaggerate::{exaggeration, moved};
use crate::grid::tile;
use crate::png::png_bytes;
use crate::{GridStyle, Picture, ReportError, heat_map};

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
    let (mut before, mut after, mut heat) = (Vec::new(), Vec::new(), Vec::new());
    for (sample, delta) in samples.iter().zip(deltas) {
        if sample.shape() != samples[0].shape() || delta.shape() != samples[0].shape() {
            return Err(ReportError::Mixed {
                expected: samples[0].shape(),
                found: delta.shape(),
            });
        }
        let values = moved(sample, delta, sign * exaggeration(delta));
        let there = Picture {
            values: &values,
            ..*sample
        };
        before.push(sample.to_rgb()?);
        after.push(there.to_rgb()?);
        heat.push(heat_map(delta, None)?.image);
    }
    let rows = [before, after, heat].concat();
    if rows.is_empty() {
        return Err(ReportError::Empty);
    }
    let style = GridStyle {
        columns: samples.len(),
        ..GridStyle::default()
    };
    png_bytes(&tile(&rows, &style))
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
