//! Influence of training features through a ridge-regularised inverse Gram matrix.

use burn::tensor::{Tensor, TensorData};

use crate::AttributionError;

/// The linear map `ψ ↦ ψᵀ(ΦᵀΦ/m + λ·c·1)⁻¹φ_j` for all j, where c is the mean of the diagonal of `ΦᵀΦ/m`.
pub(super) struct RidgeInfluence {
    /// `(ΦᵀΦ/m + λ·c·1)⁻¹Φᵀ`, `[k, m]`.
    map: Tensor<2>,
}

impl RidgeInfluence {
    /// The map of training features Φ `[m, k]` for a ridge λ.
    ///
    /// # Errors
    /// [`AttributionError::Options`] if the matrix is not positive definite.
    pub fn new(features: &Tensor<2>, lambda: f64) -> Result<Self, AttributionError> {
        let [m, k] = features.dims();
        let gram = features.clone().transpose().matmul(features.clone()) / m as f64;
        let mut gram: Vec<f64> = gram.into_data().iter::<f64>().collect();
        let mean = (0..k).map(|i| gram[i * k + i]).sum::<f64>() / k as f64;
        (0..k).for_each(|i| gram[i * k + i] += lambda * mean);
        let inverse = inverse(gram, k).ok_or_else(|| {
            AttributionError::Options(format!(
                "the Gram matrix of {m} gradients is not positive definite with λ = {lambda}: choose a larger ridge or fewer dimensions"
            ))
        })?;
        let inverse: Vec<f32> = inverse.into_iter().map(|v| v as f32).collect();
        let inverse: Tensor<2> =
            Tensor::from_data(TensorData::new(inverse, [k, k]), &features.device());
        Ok(Self {
            map: inverse.matmul(features.clone().transpose()),
        })
    }

    /// Influences `[n, m]` on functions with features ψ `[n, k]`.
    pub fn apply(&self, features: &Tensor<2>) -> Tensor<2> {
        features.clone().matmul(self.map.clone())
    }
}

/// Inverse of a symmetric positive definite matrix `[k, k]` by its Cholesky factor L: `A⁻¹ = L⁻ᵀL⁻¹`.
/// None if the matrix is not positive definite.
fn inverse(mut a: Vec<f64>, k: usize) -> Option<Vec<f64>> {
    cholesky(&mut a, k)?;
    // Rows of L⁻ᵀ, that is columns of L⁻¹, which start at the diagonal.
    let mut columns = vec![0.0; k * k];
    for j in 0..k {
        let column = &mut columns[j * k..(j + 1) * k];
        for i in j..k {
            let eliminated = dot(&a[i * k + j..i * k + i], &column[j..i]);
            column[i] = (f64::from(u8::from(i == j)) - eliminated) / a[i * k + i];
        }
    }
    let mut inverse = vec![0.0; k * k];
    for i in 0..k {
        for j in 0..=i {
            let (x, y) = (
                &columns[i * k + i..(i + 1) * k],
                &columns[j * k + i..(j + 1) * k],
            );
            let value = dot(x, y);
            inverse[i * k + j] = value;
            inverse[j * k + i] = value;
        }
    }
    Some(inverse)
}

/// Replaces the lower half of a symmetric matrix `[k, k]` by its Cholesky factor, row by row.
/// None if the matrix is not positive definite.
fn cholesky(a: &mut [f64], k: usize) -> Option<()> {
    for i in 0..k {
        for j in 0..i {
            let (above, row) = a.split_at(i * k);
            let remainder = row[j] - dot(&row[..j], &above[j * k..j * k + j]);
            a[i * k + j] = remainder / a[j * k + j];
        }
        let row = &a[i * k..i * k + i];
        let pivot = a[i * k + i] - dot(row, row);
        if pivot.is_nan() || pivot <= 0.0 {
            return None;
        }
        a[i * k + i] = pivot.sqrt();
    }
    Some(())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_undoes_its_matrix() {
        let k = 7;
        let wave = |i: usize, j: usize| ((i * 5 + j * 3) as f64).sin();
        let entry = |i: usize, j: usize| -> f64 {
            (0..9).map(|l| wave(i, l) * wave(j, l)).sum::<f64>() + if i == j { 0.1 } else { 0.0 }
        };
        let matrix: Vec<f64> = (0..k * k).map(|p| entry(p / k, p % k)).collect();
        let inverse = inverse(matrix.clone(), k).unwrap();
        for i in 0..k {
            for j in 0..k {
                let product: f64 = (0..k).map(|l| matrix[i * k + l] * inverse[l * k + j]).sum();
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((product - expected).abs() < 1e-10, "{i} {j}: {product}");
            }
        }
        assert_eq!(super::inverse(vec![1.0, 2.0, 2.0, 1.0], 2), None);
    }
}
