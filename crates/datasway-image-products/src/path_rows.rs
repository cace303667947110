//! The evaluations of recorded paths as rows, and the gradients that images are multiplied with there.

use super::layout::{ImageTiles, LEVELS};
use super::rows::{Form, PackedParts, Rows, packed};
use super::simd::inner_product;

/// The evaluations of n paths as rows: row `p·n + i` is evaluation p of path i, R in all.
pub struct PathRows<'a> {
    pub(super) images: &'a ImageTiles,
    pub(super) rows: Rows,
    /// Number of paths, n.
    pub(super) paths: usize,
    /// The weight of every row divided by the number of copies of an image, `[R]`.
    pub(super) shares: Vec<f64>,
}

/// One evaluation of n paths.
pub struct PathEvaluation {
    /// Noise level of the comparison.
    pub sigma: f64,
    /// The weight of the comparison.
    pub weight: f64,
    /// x in pixels, `[n, d]`.
    pub points: Vec<f64>,
}

impl<'a> PathRows<'a> {
    /// The rows of some evaluations of n paths.
    pub fn new(images: &'a ImageTiles, paths: usize, evaluations: Vec<PathEvaluation>) -> Self {
        let (mut points, mut sigmas, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for evaluation in evaluations {
            points.extend(evaluation.points);
            sigmas.extend(vec![evaluation.sigma; paths]);
            shares.extend(vec![evaluation.weight / images.copies() as f64; paths]);
        }
        Self {
            rows: Rows::new(images, points, &sigmas),
            images,
            paths,
            shares,
        }
    }

    /// Number of rows, R.
    pub(super) fn count(&self) -> usize {
        self.rows.count
    }
}

/// The `G_p` of K functionals at the rows of some paths.
pub struct PathGradients {
    /// Number of functionals, K.
    pub(super) functionals: usize,
    /// G in pixels, `[K, R, d]`.
    gradients: Vec<f64>,
    /// Packed parts of the matrix, with `K·R` columns.
    pub(super) parts: PackedParts,
    /// `⟨G, c⟩` with the centre c of the grey levels in pixels, `[K, R]`.
    origins: Vec<f64>,
}

impl PathGradients {
    /// The gradients of some evaluations, `[K, n, d]` each, in the order of the rows.
    pub fn new(path: &PathRows<'_>, functionals: usize, evaluations: &[Vec<f64>]) -> Self {
        let (layout, count) = (&*path.images.layout, path.count());
        let block = path.paths * layout.dim;
        let mut gradients = Vec::with_capacity(functionals * count * layout.dim);
        for k in 0..functionals {
            for evaluation in evaluations {
                gradients.extend_from_slice(&evaluation[k * block..(k + 1) * block]);
            }
        }
        let (parts, _) = packed(layout, &gradients, functionals * count, Form::Direction);
        let center: Vec<f64> = (layout.center.iter())
            .map(|level| f64::from(*level) / LEVELS - 1.0)
            .collect();
        let origins = gradients.chunks_exact(layout.dim);
        Self {
            functionals,
            parts,
            origins: origins.map(|row| inner_product(row, &center)).collect(),
            gradients,
        }
    }

    /// G of a row of K·R.
    pub(super) fn row(&self, row: usize) -> &[f64] {
        let dim = self.gradients.len() / self.origins.len();
        &self.gradients[row * dim..(row + 1) * dim]
    }

    /// The inner product with grey levels about the centre, from that with pixels.
    pub(super) fn in_levels(&self, row: usize, in_pixels: f64) -> f64 {
        (in_pixels - self.origins[row]) * LEVELS
    }

    /// The inverse of [`in_levels`](Self::in_levels).
    pub(super) fn in_pixels(&self, row: usize, in_levels: f64) -> f64 {
        in_levels / LEVELS + self.origins[row]
    }
}
