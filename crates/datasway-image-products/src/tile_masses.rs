//! The softmax masses of the images of one tile at all rows.

use super::log_weights::ExactPair;

/// The masses of a tile of c images.
#[derive(Clone, Copy)]
pub(super) struct TileMasses<'a> {
    /// The logarithms that the masses are relative to, `[R]`.
    pub tops: &'a [f64],
    /// S, `[c, R]`.
    pub sums: &'a [f32],
    /// Δ, `[c, R]`; empty without mirror images.
    pub differences: &'a [f32],
    /// The pairs whose distance was computed in f64.
    pub exact: &'a [ExactPlace],
}

/// A pair of an image and a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExactPlace {
    pub row: u32,
    pub image: u16,
    pub copy: u16,
}

impl ExactPlace {
    pub fn of(pair: &ExactPair) -> Self {
        Self {
            row: pair.row as u32,
            image: pair.image as u16,
            copy: pair.copy as u16,
        }
    }
}
