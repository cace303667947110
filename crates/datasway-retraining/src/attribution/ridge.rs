//! `ψᵀ(ΦᵀΦ/m + λ·c·1)⁻¹φ_j`, c being the mean of the diagonal of ΦᵀΦ/m.

use burn::tensor::{Tensor, TensorData};

use crate::RetrainError;

/// The map from features ψ to one number for each φ_j.
pub(super) struct Influence {
    /// `(ΦᵀΦ/m + λ·c·1)⁻¹Φᵀ`, `[k, m]`.
    solved: Tensor<2>,
}

impl Influence {
    /// From Φ, `[m, k]`.
    pub fn new(features: &Tensor<2>, lambda: f64) -> Result<Self, RetrainError> {
        let [m, k] = features.dims();
        let gram = features.clone().transpose().matmul(features.clone()) / m as f64;
        let mut gram: Vec<f64> = gram.into_data().iter::<f64>().collect();
        let mean = (0..k).map(|i| gram[i * k + i]).sum::<f64>() / k as f64;
        (0..k).for_each(|i| gram[i * k + i] += lambda * mean);
        let inverse = inverse(gram, k).ok_or_else(|| {
            RetrainError::experiment(format!(
                "the Gram matrix of {m} gradients is not positive definite with λ = {lambda}: choose a larger ridge or fewer dimensions"
            ))
        })?;
        let inverse: Tensor<2> = Tensor::from_data(
            TensorData::new(
                inverse.into_iter().map(|v| v as f32).collect::<Vec<f32>>(),
                [k, k],
            ),
            &features.device(),
        );
        Ok(Self {
            solved: inverse.matmul(features.clone().transpose()),
        })
    }

    /// For ψ, `[n, k]`: `[n, m]`.
    pub fn of(&self, features: &Tensor<2>) -> Tensor<2> {
        features.clone().matmul(self.solved.clone())
    }
}

/// The inverse of a symmetric positive definite matrix, `[k, k]`, by Cholesky's factor L: `A⁻¹ = L⁻ᵀL⁻¹`; none if it is not one.
fn inverse(mut a: Vec<f64>, k: usize) -> Option<Vec<f64>> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // L in the lower half, row by row.
    for i in 0..k {
        for j in 0..=i {
            let (above, row) = a.split_at(i * k);
            let known = match i == j {
                true => dot(&row[..j], &row[..j]),
                false => dot(&row[..j], &above[j * k..j * k + j]),
            };
            let rest = row[j] - known;
            a[i * k + j] = match i == j {
                true if rest > 0.0 => rest.sqrt(),
                true => return None,
                false => rest / a[j * k + j],
            };
        }
    }
    // Rows of L⁻ᵀ, that is columns of L⁻¹, which start at the diagonal.
    let mut columns = vec![0.0; k * k];
    for j in 0..k {
        let column = &mut columns[j * k..(j + 1) * k];
        for i in j..k {
            let known = dot(&a[i * k + j..i * k + i], &column[j..i]);
            column[i] = (f64::from(u8::from(i == j)) - known) / a[i * k + i];
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_undoes_its_matrix() {
        let k = 7;
        let wave = |i: usize, j: usize| ((i * 5 + j * 3) as f64).sin();
        let at = |i: usize, j: usize| -> f64 {
            (0..9).map(|l| wave(i, l) * wave(j, l)).sum::<f64>() + if i == j { 0.1 } else { 0.0 }
        };
        let matrix: Vec<f64> = (0..k * k).map(|p| at(p / k, p % k)).collect();
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
