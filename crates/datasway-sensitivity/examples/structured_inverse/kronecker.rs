//! Kronecker-factored approximations of a curvature, and their damped inverses.
//!
//! A parameter is a matrix M: a linear map as it is stored, a convolution `[out, in·k·k]`, a vector a single row. With the second
//! moments `L = E[M·Mᵀ]` and `R = E[Mᵀ·M]` of random gradients whose covariance is G, the block of the parameter is
//! `G ≈ L ⊗ R / tr L`, which is exact where the block is a Kronecker product (Morwani et al., arXiv 2406.17748). In the eigenbasis
//! `L = U·diag(l)·Uᵀ`, `R = V·diag(r)·Vᵀ` it is diagonal, `s_ij = l_i·r_j/tr L`, and so is its damped inverse:
//!
//! `(G + λ)⁻¹·M = U·((Uᵀ·M·V)_ij/(s_ij + λ))·Vᵀ`
//!
//! The best diagonal in this basis is `s_ij = E[(Uᵀ·M·V)_ij²]` (EK-FAC; George et al., arXiv 1806.03884).

use std::collections::BTreeMap;

use burn::module::ParamId;
use burn::tensor::{DType, Tensor, TensorData};
use burn_jvp::{DynTensor, ParameterTangents};
use nalgebra::DMatrix;

/// The second moments L and R of every parameter: sums over random gradients.
#[derive(Default)]
pub struct KroneckerMoments {
    sums: BTreeMap<ParamId, [Tensor<2>; 2]>,
    count: usize,
}

/// Every parameter's eigenbasis and eigenvalues.
pub struct KroneckerBasis(BTreeMap<ParamId, Block>);

#[derive(Clone)]
struct Block {
    /// U, `[m, m]`.
    left: Tensor<2>,
    /// V, `[n, n]`.
    right: Tensor<2>,
    /// s, `[m, n]`.
    eigenvalues: Tensor<2>,
}

impl KroneckerMoments {
    /// Adds a stack of gradients.
    pub fn add(&mut self, gradients: &ParameterTangents) {
        self.count += gradients.k();
        for (id, stack) in gradients.iter() {
            let m = matrices(stack);
            let transposed = m.clone().swap_dims(1, 2);
            let left = m
                .clone()
                .matmul(transposed.clone())
                .sum_dim(0)
                .squeeze_dim(0);
            let right = transposed.matmul(m).sum_dim(0).squeeze_dim(0);
            let sums = match self.sums.remove(&id) {
                Some([l, r]) => [l + left, r + right],
                None => [left, right],
            };
            self.sums.insert(id, sums);
        }
    }

    /// The eigenbasis, with the eigenvalues `l_i·r_j/tr L`.
    pub fn basis(&self) -> KroneckerBasis {
        let blocks = self.sums.iter().map(|(id, sums)| {
            let [(l, left), (r, right)] = sums.clone().map(|sum| eigen(sum / self.count as f64));
            let trace = l.clone().sum();
            let outer = l.unsqueeze_dim::<2>(1) * r.unsqueeze_dim::<2>(0);
            let block = Block {
                left,
                right,
                eigenvalues: outer / trace.unsqueeze_dim::<2>(0),
            };
            (*id, block)
        });
        KroneckerBasis(blocks.collect())
    }
}

impl KroneckerBasis {
    /// `(Uᵀ·M·V)_ij²` of a stack of gradients, summed over the stack.
    pub fn squares(&self, gradients: &ParameterTangents) -> BTreeMap<ParamId, Tensor<2>> {
        let squares = gradients.iter().map(|(id, stack)| {
            let projected = self.0[&id].project(matrices(stack));
            let sum = projected.powi_scalar(2).sum_dim(0).squeeze_dim(0);
            (id, sum)
        });
        squares.collect()
    }

    /// The same basis with other eigenvalues.
    pub fn with_eigenvalues(&self, eigenvalues: &BTreeMap<ParamId, Tensor<2>>) -> Self {
        let blocks = self.0.iter().map(|(id, block)| {
            let eigenvalues = eigenvalues[id].clone();
            (
                *id,
                Block {
                    eigenvalues,
                    ..block.clone()
                },
            )
        });
        Self(blocks.collect())
    }

    /// `(G + λ)⁻¹·b_k` of a stack of K directions, each parameter by its own block.
    pub fn solve(&self, damping: f64, right: &ParameterTangents) -> ParameterTangents {
        let solved = right.iter().map(|(id, stack)| {
            let block = &self.0[&id];
            let damped = block.eigenvalues.clone() + damping;
            let divided = block.project(matrices(stack)) / damped.unsqueeze_dim::<3>(0);
            (id, shaped(block.expand(divided), &stack.shape()))
        });
        solved.collect()
    }
}

impl Block {
    /// `Uᵀ·M·V`.
    fn project(&self, m: Tensor<3>) -> Tensor<3> {
        let left = self.left.clone().transpose().unsqueeze_dim::<3>(0);
        left.matmul(m)
            .matmul(self.right.clone().unsqueeze_dim::<3>(0))
    }

    /// `U·M·Vᵀ`.
    fn expand(&self, m: Tensor<3>) -> Tensor<3> {
        let right = self.right.clone().transpose().unsqueeze_dim::<3>(0);
        let left = self.left.clone().unsqueeze_dim::<3>(0);
        left.matmul(m).matmul(right)
    }
}

/// The eigenvalues, none negative, and eigenvectors of a symmetric matrix, computed in double precision.
fn eigen(matrix: Tensor<2>) -> (Tensor<1>, Tensor<2>) {
    let n = matrix.dims()[0];
    let like = (&matrix.device(), matrix.dtype());
    let entries: Vec<f64> = matrix.into_data_dtype(DType::F64).iter::<f64>().collect();
    let eigen = DMatrix::from_vec(n, n, entries).symmetric_eigen();
    let values: Vec<f64> = eigen.eigenvalues.iter().map(|l| l.max(0.0)).collect();
    // nalgebra stores columns, Burn rows.
    let vectors = TensorData::new(eigen.eigenvectors.transpose().as_slice().to_vec(), [n, n]);
    (
        Tensor::from_data(values.as_slice(), like),
        Tensor::from_data(vectors, like),
    )
}

/// A stack of parameters as matrices, `[K, m, n]`.
fn matrices(stack: &DynTensor) -> Tensor<3> {
    let shape = stack.shape();
    match shape[..] {
        [k, n] => stack.get::<2>().reshape([k, 1, n]),
        [_, _, _] => stack.get::<3>(),
        [k, m, i, h, w] => stack.get::<5>().reshape([k, m, i * h * w]),
        _ => panic!("a stack of parameters of the shape {shape:?} is no stack of matrices"),
    }
}

/// A stack of matrices in the shape of its parameters.
fn shaped(matrices: Tensor<3>, shape: &[usize]) -> DynTensor {
    match *shape {
        [k, n] => matrices.reshape([k, n]).into(),
        [k, m, i, h, w] => matrices.reshape([k, m, i, h, w]).into(),
        _ => matrices.into(),
    }
}
