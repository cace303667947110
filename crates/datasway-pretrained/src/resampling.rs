//! Resampling by a factor of 2 with a separable filter, as two products with matrices.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};

/// ScaleChange of a resampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScaleChange {
    /// To half the resolution.
    Down,
    /// To twice the resolution.
    Up,
}

/// Resampling of each channel with taps f along both axes.
///
/// Down: `y[i] = Σ_k f[k]·x[2i + k − p]`. Up: `y[2i + k − p] += 2·f[k]·x[i]`. The padding p is `(taps − 1)/2`, and pixels outside
/// are zero.
#[derive(Module, Debug)]
pub struct Resampling {
    filter: Vec<f64>,
    up: bool,
}

impl Resampling {
    /// A resampling with taps of sum 1, an even number of them.
    pub fn new(filter: Vec<f64>, direction: ScaleChange) -> Self {
        Self {
            filter,
            up: direction == ScaleChange::Up,
        }
    }

    /// Pixels of padding on each side.
    pub fn padding(&self) -> usize {
        (self.filter.len() - 1) / 2
    }

    /// Pictures `[n, c, h, w]` in the other resolution.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let size = |pixels: usize| if self.up { 2 * pixels } else { pixels / 2 };
        self.along_both(x, size, self.padding())
    }

    /// Pictures `[n, c, h + 2p, w + 2p]` to `[n, c, h/2, w/2]`: the padding is there already.
    pub fn down_padded(&self, x: Tensor<4>) -> Tensor<4> {
        let padding = self.padding();
        self.along_both(x, |pixels| (pixels - 2 * padding) / 2, 0)
    }

    fn along_both(&self, x: Tensor<4>, size: impl Fn(usize) -> usize, padding: usize) -> Tensor<4> {
        let x = self.along_rows(x, &size, padding).swap_dims(2, 3);
        self.along_rows(x, &size, padding).swap_dims(2, 3)
    }

    /// `[n, c, h, w]` times a matrix `[w, size(w)]`.
    fn along_rows(&self, x: Tensor<4>, size: impl Fn(usize) -> usize, padding: usize) -> Tensor<4> {
        let [n, c, h, w] = x.dims();
        let resampled = size(w);
        let matrix = self.matrix(w, resampled, padding);
        let matrix = TensorData::new(matrix, [w, resampled]);
        let matrix = Tensor::<2>::from_data(matrix, (&x.device(), x.dtype()));
        let rows = x.reshape([n * c * h, w]).matmul(matrix);
        rows.reshape([n, c, h, resampled])
    }

    /// The matrix `[from, to]`, row-major.
    fn matrix(&self, from: usize, to: usize, padding: usize) -> Vec<f64> {
        let mut matrix = vec![0.0; from * to];
        let coarse = if self.up { from } else { to };
        let fine = if self.up { to } else { from };
        for i in 0..coarse {
            for (k, tap) in self.filter.iter().enumerate() {
                let Some(j) = (2 * i + k).checked_sub(padding).filter(|j| *j < fine) else {
                    continue;
                };
                if self.up {
                    matrix[i * to + j] += 2.0 * tap;
                } else {
                    matrix[j * to + i] += tap;
                }
            }
        }
        matrix
    }
}
