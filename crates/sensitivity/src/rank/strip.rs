//! A picture of the samples at both ends of a ranking.

use datasway_data::Shape;
use datasway_report::exaggerate::{exaggeration, moved};
use datasway_report::{GridStyle, Picture, ReportError, heat_map, png_bytes, tile};
use datasway_sensitivity::{Change, RankedDirection, RankedSensitivities};

/// Samples at each end of the ranking.
const LENGTH: usize = 6;

/// A PNG of the samples that move most in direction k, from the left, and of those that move least.
///
/// # Errors
/// If the values do not fill the shape.
pub fn ends(results: &RankedSensitivities, k: usize, shape: Shape) -> Result<Vec<u8>, ReportError> {
    let RankedDirection { direction, ranking } = &results.directions[k];
    let numbers = &results.sensitivities;
    let picture = |values| Picture {
        channels: shape.channels,
        height: shape.height,
        width: shape.width,
        values,
    };
    // The two ends do not overlap.
    let last = ranking.len().saturating_sub(LENGTH);
    let last = last.max(LENGTH.min(ranking.len()));
    let ends = ranking.iter().take(LENGTH).chain(&ranking[last..]);
    let (samples, deltas): (Vec<_>, Vec<_>) = ends
        .map(|row| {
            let sample = numbers.sample(row.index);
            (picture(sample), picture(numbers.delta(k, row.index)))
        })
        .unzip();
    let size = match (direction.signed_mass(), direction.change()) {
        (Some(mass), _) => ChangeSize::Mass(mass),
        (None, Change::Add) => ChangeSize::Visible { sign: 1.0 },
        (None, Change::Remove) => ChangeSize::Visible { sign: -1.0 },
    };
    strip_png(&samples, &deltas, size)
}

/// The factor of δ in the changed picture.
#[derive(Debug, Clone, Copy)]
pub enum ChangeSize {
    /// The mass η, for which δ was computed.
    Mass(f64),
    /// ±c, with c chosen for each sample so that the change can be seen.
    Visible {
        /// 1, or −1 for a removal.
        sign: f64,
    },
}

/// A PNG of three rows with a column for each sample: x; `x + η·δ` or `x ± c·δ`; and the heat map of δ.
///
/// # Errors
/// If there is no sample, or if the pictures differ in shape.
pub fn strip_png(
    samples: &[Picture<'_>],
    deltas: &[Picture<'_>],
    size: ChangeSize,
) -> Result<Vec<u8>, ReportError> {
    let (mut before, mut after, mut heat) = (Vec::new(), Vec::new(), Vec::new());
    for (sample, delta) in samples.iter().zip(deltas) {
        if sample.shape() != samples[0].shape() || delta.shape() != samples[0].shape() {
            return Err(ReportError::Mixed {
                expected: samples[0].shape(),
                found: delta.shape(),
            });
        }
        let factor = match size {
            ChangeSize::Mass(mass) => mass,
            ChangeSize::Visible { sign } => sign * exaggeration(delta),
        };
        let values = moved(sample, delta, factor);
        let changed = Picture {
            values: &values,
            ..*sample
        };
        before.push(sample.to_rgb()?);
        after.push(changed.to_rgb()?);
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
        let center = |k: u32| padding + k * (side + padding) + side / 2;
        image.get_pixel(center(column), center(row)).0
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
        let visible = |sign| ChangeSize::Visible { sign };
        let add = strip_png(&[picture(&x)], &[picture(&delta)], visible(1.0)).unwrap();
        let remove = strip_png(&[picture(&x)], &[picture(&delta)], visible(-1.0)).unwrap();
        assert!(pixel(&add, 0, 1)[0] > pixel(&add, 0, 0)[0] + 20);
        assert!(pixel(&remove, 0, 1)[0] + 20 < pixel(&remove, 0, 0)[0]);
        let [red, _, blue] = pixel(&add, 0, 2);
        assert!(red > blue, "lighter is red in the heat map");
        // A small mass hardly changes it: 2·0.01 of 255/2.
        let mass = ChangeSize::Mass(-0.01);
        let little = strip_png(&[picture(&x)], &[picture(&delta)], mass).unwrap();
        let [before, after] = [0, 1].map(|row| i32::from(pixel(&little, 0, row)[0]));
        assert!((1..=4).contains(&(before - after)), "{before}, {after}");
        assert!(matches!(
            strip_png(&[], &[], visible(1.0)),
            Err(ReportError::Empty)
        ));
    }
}
