//! Points whose products with images are computed.

use burn_cpu_kernels::panels::Panels;

use super::layout::{ImageTiles, LEVELS, Layout};

/// R points with a noise level each.
pub struct Rows {
    /// Number of points, R.
    pub(super) count: usize,
    /// The points in pixels, `[R, d]`.
    pub(super) exact: Vec<f64>,
    /// The parts in grey levels about the centre.
    pub(super) parts: PackedParts,
    /// `‖x‖²` of the parts as they are in f32, `[R]`.
    pub(super) squares: Vec<f64>,
    /// `1/2σ²`, `[R]`, for distances in pixels.
    pub(super) scales: Vec<f64>,
}

impl Rows {
    /// Points in pixels, `[R, d]`, with R noise levels.
    pub fn new(images: &ImageTiles, points: Vec<f64>, sigmas: &[f64]) -> Self {
        let layout = &*images.layout;
        let (parts, squares) = packed(layout, &points, sigmas.len(), Form::Point);
        Self {
            count: sigmas.len(),
            exact: points,
            parts,
            squares,
            scales: sigmas.iter().map(|s| 1.0 / (2.0 * s * s)).collect(),
        }
    }

    /// Point i in pixels.
    pub(super) fn exact(&self, i: usize) -> &[f64] {
        let dim = self.exact.len() / self.count;
        &self.exact[i * dim..(i + 1) * dim]
    }
}

/// The meaning of a row of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A point, in pixels, which is shifted by the centre.
    Point,
    /// A direction, which is not.
    Direction,
}

/// The even and odd parts of R rows, packed once for the products with all tiles.
pub(super) struct PackedParts {
    /// `[k_e, R]`.
    pub even: Panels,
    /// `[k_o, R]`.
    pub odd: Panels,
}

/// The parts of rows `[R, d]`, and the squared norms of their f32, `[R]`. Points are in grey levels about the centre.
pub(super) fn packed(
    layout: &Layout,
    rows: &[f64],
    count: usize,
    form: Form,
) -> (PackedParts, Vec<f64>) {
    let mut parts = PackedParts {
        even: Panels::zeros(layout.even(), count),
        odd: Panels::zeros(layout.odd(), count),
    };
    let mut squares = Vec::with_capacity(count);
    for (i, row) in rows.chunks_exact(layout.dim).enumerate() {
        let entries: Vec<f64> = match form {
            Form::Point => {
                let entries = row.iter().zip(&layout.center);
                entries
                    .map(|(x, center)| (x + 1.0) * LEVELS - f64::from(*center))
                    .collect()
            }
            Form::Direction => row.to_vec(),
        };
        let (even, odd) = layout.point_parts(&entries);
        let rounded =
            |values: &[f64]| -> Vec<f64> { values.iter().map(|v| f64::from(*v as f32)).collect() };
        let (even, odd) = (rounded(&even), rounded(&odd));
        squares.push(layout.square_of_parts(&even, &odd));
        for (k, value) in even.into_iter().enumerate() {
            parts.even.set(k, i, value as f32);
        }
        for (k, value) in odd.into_iter().enumerate() {
            parts.odd.set(k, i, value as f32);
        }
    }
    (parts, squares)
}
