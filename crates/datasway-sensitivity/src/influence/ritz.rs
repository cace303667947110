//! The top eigenvector of a symmetric matrix of each sample, from products with few vectors.

use burn::tensor::{Tensor, TensorData};
use datasway_diffusion::DiffusionError;
use nalgebra::DMatrix;

use crate::tensors::{rows_dot, values};

/// The top Ritz vectors of n symmetric matrices in Krylov spaces, by Lanczos's method with full orthogonalisation.
///
/// With an orthonormal basis Q of the space of a start, the top eigenvector c of `Qᵀ·M·Q` gives the unit vector `v = Q·c` of
/// the space with the largest `⟨v, M·v⟩` (Saad, Numerical Methods for Large Eigenvalue Problems, 2011, 6.6). Where the two largest
/// eigenvalues are close, the power method needs many times as many products.
///
/// A sample whose products are not finite has vectors that are not.
pub(super) struct RitzVectors {
    /// Orthonormal vectors, `[n, d]` each; the last is not yet multiplied. Zero where a space is exhausted.
    basis: Vec<Tensor<2>>,
    /// Their products.
    products: Vec<Tensor<2>>,
    /// `M·v`, `[n, d]`, of length 1; the start before there is a product.
    multiplied: Tensor<2>,
}

impl RitzVectors {
    /// Spaces of n starts, `[n, d]`.
    pub fn new(start: Tensor<2>) -> Self {
        let start = unit(start);
        Self {
            basis: vec![start.clone()],
            products: Vec::new(),
            multiplied: start,
        }
    }

    /// The unit vectors whose product extends the spaces, `[n, d]`.
    pub fn newest(&self) -> &Tensor<2> {
        &self.basis[self.products.len()]
    }

    /// Extends the spaces by the product of [`newest`](Self::newest). The result is the sine of the angle between every Ritz
    /// vector and its product, 0 at an eigenvector.
    ///
    /// # Errors
    /// If a number cannot be read from its device.
    pub fn extend(&mut self, product: Tensor<2>) -> Result<Vec<f64>, DiffusionError> {
        self.products.push(product.clone());
        let coordinates = self.coordinates()?;
        let combine = |vectors: &[Tensor<2>]| {
            let terms = vectors.iter().zip(&coordinates);
            let sum = terms
                .map(|(v, c)| v.clone() * c.clone())
                .reduce(|sum, term| sum + term);
            unit(sum.unwrap_or_else(|| unreachable!("a product was added")))
        };
        self.multiplied = combine(&self.products);
        let apart = rejected(self.multiplied.clone(), &[combine(&self.basis)]);
        let sines = values(rows_dot(apart.clone(), apart).sqrt())?;
        self.basis.push(unit(rejected(product, &self.basis)));
        Ok(sines.into_iter().map(f64::from).collect())
    }

    /// M times the top Ritz vectors, `[n, d]`, of length 1; the starts before there is a product.
    pub fn multiplied(&self) -> Tensor<2> {
        self.multiplied.clone()
    }

    /// c of every sample: k tensors `[n, 1]`.
    fn coordinates(&self) -> Result<Vec<Tensor<2>>, DiffusionError> {
        let k = self.products.len();
        let (x, n) = (&self.basis[0], self.basis[0].dims()[0]);
        let mut entries = Vec::with_capacity(k * k);
        for vector in &self.basis[..k] {
            for product in &self.products {
                entries.push(values(rows_dot(vector.clone(), product.clone()))?);
            }
        }
        let mut coordinates = vec![vec![0.0_f32; n]; k];
        for sample in 0..n {
            let entry = |i: usize, j: usize| f64::from(entries[i * k + j][sample]);
            let matrix = DMatrix::from_fn(k, k, |i, j| (entry(i, j) + entry(j, i)) / 2.0);
            if !matrix.iter().all(|entry| entry.is_finite()) {
                coordinates
                    .iter_mut()
                    .for_each(|row| row[sample] = f32::NAN);
                continue;
            }
            let eigen = matrix.symmetric_eigen();
            let top = eigen.eigenvalues.imax();
            for (i, row) in coordinates.iter_mut().enumerate() {
                row[sample] = eigen.eigenvectors[(i, top)] as f32;
            }
        }
        let tensor =
            |row| Tensor::from_data(TensorData::new(row, [n, 1]), (&x.device(), x.dtype()));
        Ok(coordinates.into_iter().map(tensor).collect())
    }
}

/// The parts of vectors `[n, d]` that are orthogonal to others. Twice, because one pass leaves rounding errors.
fn rejected(vectors: Tensor<2>, others: &[Tensor<2>]) -> Tensor<2> {
    let mut rest = vectors;
    for _ in 0..2 {
        for other in others {
            rest = rest.clone() - other.clone() * rows_dot(rest, other.clone());
        }
    }
    rest
}

/// Every row divided by its length. Scaled first, because squares of large numbers overflow.
fn unit(v: Tensor<2>) -> Tensor<2> {
    let v = v.clone() / v.abs().max_dim(1).clamp_min(f32::MIN_POSITIVE);
    let length = (v.clone() * v.clone()).sum_dim(1).sqrt();
    v / length.clamp_min(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;

    /// Numbers in [-1, 1) that look random.
    fn numbers(count: usize) -> Vec<f32> {
        let mut state = 1_u32;
        let next = || {
            state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    fn tensor(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
    }

    /// Products with diagonal matrices, `[n, d]`.
    fn spaces(diagonals: &Tensor<2>, products: usize) -> (RitzVectors, Vec<f64>) {
        let shape = diagonals.dims();
        let start = tensor(numbers(shape[0] * shape[1]), shape, &diagonals.device());
        let mut space = RitzVectors::new(start);
        let mut turned = Vec::new();
        for _ in 0..products {
            let product = space.newest().clone() * diagonals.clone();
            turned = space.extend(product).unwrap();
        }
        (space, turned)
    }

    #[test]
    fn as_many_products_as_eigenvalues_find_the_top_one() {
        let device = Device::flex();
        // Eigenvalues of three kinds for each sample; the top one has few and small entries of the start.
        let row = |top: f32| (0..40).map(move |i| if i == 7 { top } else { [0.95, 0.3][i % 2] });
        let diagonals = tensor(row(1.0).chain(row(2e12)).collect(), [2, 40], &device);
        let (space, turned) = spaces(&diagonals, 3);
        assert!(turned.iter().all(|sine| *sine < 1e-4), "{turned:?}");
        let found = values(space.multiplied()).unwrap();
        for row in found.chunks_exact(40) {
            assert!((row[7].abs() - 1.0).abs() < 1e-6, "{row:?}");
        }
        // The power method is far from it: 0.95³ against 1, of 20 entries against one.
        let (_, turned) = spaces(&diagonals, 1);
        assert!(turned[0] > 0.1, "{turned:?}");
    }

    #[test]
    fn a_space_that_is_exhausted_stays_in_the_top_eigenspace() {
        let device = Device::flex();
        let halves = (0..12).map(|i| if i < 6 { 2.0 } else { 0.0 });
        let (space, turned) = spaces(&tensor(halves.collect(), [1, 12], &device), 6);
        let found = values(space.multiplied()).unwrap();
        let length = found[..6].iter().map(|v| v * v).sum::<f32>();
        assert!(
            turned[0] < 1e-5 && (length - 1.0).abs() < 1e-5,
            "{turned:?} {found:?}"
        );
        assert!(found[6..].iter().all(|v| v.abs() < 1e-6), "{found:?}");
        let zeros = tensor(vec![0.0; 12], [1, 12], &device);
        let (space, _) = spaces(&zeros, 2);
        assert!(
            values(space.multiplied())
                .unwrap()
                .iter()
                .all(|v| *v == 0.0)
        );
    }

    #[test]
    fn a_sample_that_is_not_finite_leaves_the_others() {
        let device = Device::flex();
        let row = |top: f32| (0..10).map(move |i| if i == 2 { top } else { 0.1 });
        let diagonals = tensor(row(f32::NAN).chain(row(1.0)).collect(), [2, 10], &device);
        let (space, turned) = spaces(&diagonals, 3);
        let found = values(space.multiplied()).unwrap();
        assert!(found[..10].iter().any(|v| v.is_nan()) && turned[0].is_nan());
        assert!((found[12].abs() - 1.0).abs() < 1e-6 && turned[1] < 1e-4);
    }
}
