//! Kronecker factors of the curvature, and their damped inverse as a preconditioner.
//!
//! A parameter is a matrix: a linear map as it is stored, a convolution `[out, in·k·k]`, a vector a single row. Let g be its matrix in
//! a random gradient whose covariance is G. With the second moments `L = E[g·gᵀ]` and `R = E[gᵀ·g]` the block of the parameter in G is
//! about `L ⊗ R / tr L`, exactly so where it is a Kronecker product (Morwani et al., arXiv 2406.17748). In the eigenbases
//! `L = U·diag(l)·Uᵀ` and `R = V·diag(r)·Vᵀ` it is diagonal, `s_ij = l_i·r_j/tr L`, and so is its damped inverse:
//!
//! `X ↦ U·((Uᵀ·X·V)_ij/(s_ij + λ))·Vᵀ`
//!
//! The curvature between two parameters is left out. Of a side of more than [`MAX_SIDE`] entries the diagonal stands for the
//! moments.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use burn::module::ParamId;
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_jvp::{DynTensor, ParameterTangents};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use nalgebra::DMatrix;
use rayon::prelude::*;

use super::conjugate_gradients::Preconditioner;
use super::draws::LossDraws;
use super::random_gradients::read_random_gradients;

/// Largest number of entries of a side whose moments are a matrix: its eigenvectors take 16 MiB in single precision.
pub(super) const MAX_SIDE: usize = 2_048;
/// Draws of one random gradient.
const DRAWS_OF_GRADIENT: usize = 8;
/// Largest number of draws of all random gradients.
const MAX_DRAWS: usize = 2_048;
/// The least damping relative to the largest eigenvalue, which keeps rounding from being divided by.
const LEAST_DAMPING: f64 = 1e-7;

/// The second moments of random gradients of every parameter.
#[derive(Default)]
pub struct KroneckerFactors {
    sums: BTreeMap<ParamId, [Moments; 2]>,
    gradients: usize,
}

/// The sum of the second moments of a side of a parameter.
enum Moments {
    /// Of all pairs of entries, `[m, m]`.
    Matrix(Tensor<2>),
    /// Of the entries of a long side, `[m]`.
    Diagonal(Tensor<1>),
}

/// The damped inverse of a Kronecker-factored curvature.
pub struct KroneckerInverse(BTreeMap<ParamId, Block>);

/// The damped inverse for one parameter.
struct Block {
    /// U and V, `[1, m, m]`; none for the identity.
    eigenvectors: [Option<Tensor<3>>; 2],
    /// `1/(s_ij + λ)`, `[1, m, n]`.
    inverses: Tensor<3>,
}

/// The eigenvalues of the moments of a side, none negative, and the eigenvectors as columns, `[1, m, m]`; none for the unit vectors.
struct Spectrum {
    eigenvalues: Vec<f64>,
    eigenvectors: Option<Tensor<3>>,
}

/// The mean moments of a side in double precision, on the host.
enum HostMoments {
    Matrix(DMatrix<f64>),
    Diagonal(Vec<f64>),
}

/// The eigenvalues of moments, and their eigenvectors as columns, `[1, m, m]`; none for the unit vectors.
type HostSpectrum = (Vec<f64>, Option<TensorData>);

/// Draws that [`KroneckerFactors::new`] reads of a list of this length.
pub(super) fn factor_draws(draws: usize) -> usize {
    draws.min(MAX_DRAWS)
}

impl KroneckerFactors {
    /// The factors of the Gauss–Newton matrix over a list of draws, from random gradients of eight draws each.
    ///
    /// The first 2,048 draws are read at most, which takes one VJP in the weights of each: no more than half of the work of a
    /// product of the matrix with one direction. `progress` receives the number of draws that each gradient adds.
    ///
    /// # Errors
    /// If shapes do not fit, or the model fails.
    pub fn new(
        model: &dyn LearnedDenoiser,
        draws: &LossDraws<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self, DiffusionError> {
        let mut factors = Self::default();
        let draws = draws.clone().first(MAX_DRAWS);
        let mut add = |gradient: &ParameterTangents| factors.add(gradient);
        read_random_gradients(model, &draws, DRAWS_OF_GRADIENT, progress, &mut add)?;
        Ok(factors)
    }

    /// Adds a stack of random gradients.
    pub fn add(&mut self, gradients: &ParameterTangents) {
        self.gradients += gradients.k();
        for (id, stack) in gradients.iter() {
            let rows = matrices(stack);
            let columns = rows.clone().swap_dims(1, 2);
            let moments = [Moments::of_rows(&rows), Moments::of_rows(&columns)];
            let sums = match self.sums.remove(&id) {
                Some([left, right]) => {
                    let [of_rows, of_columns] = moments;
                    [left.plus(of_rows), right.plus(of_columns)]
                }
                None => moments,
            };
            self.sums.insert(id, sums);
        }
    }

    /// The inverse with a damping λ, at least 10⁻⁷ of the largest eigenvalue.
    ///
    /// The eigenvectors take the place of the moments, as many at a time as there are threads.
    ///
    /// # Errors
    /// If a moment is not finite.
    pub fn damped_inverse(self, damping: f64) -> Result<KroneckerInverse, DiffusionError> {
        let likes = self.sums.iter().map(|(id, [left, _])| (*id, left.like()));
        let likes: BTreeMap<ParamId, (Device, DType)> = likes.collect();
        let spectra = self.spectra()?;
        let largest = spectra.values().map(largest_eigenvalue);
        let damping = damping.max(LEAST_DAMPING * largest.fold(0.0, f64::max));
        let blocks = spectra.into_iter().map(|(id, sides)| {
            let block = Block::new(sides, damping, &likes[&id]);
            (id, block)
        });
        Ok(KroneckerInverse(blocks.collect()))
    }

    /// The spectra of both sides of every parameter.
    ///
    /// # Errors
    /// If a moment is not finite.
    fn spectra(self) -> Result<BTreeMap<ParamId, [Spectrum; 2]>, DiffusionError> {
        let gradients = self.gradients;
        let parameters: Vec<ParamId> = self.sums.keys().copied().collect();
        let sums = self.sums.into_iter();
        let sides = sums.flat_map(|(id, [left, right])| [((id, 0), left), ((id, 1), right)]);
        let mut sides: Vec<((ParamId, usize), Moments)> = sides.collect();
        // Matrices of equal size take equally long.
        sides.sort_by_key(|(_, sum)| Reverse(sum.side()));
        let mut sides = sides.into_iter().peekable();
        let mut spectra = BTreeMap::new();
        while sides.peek().is_some() {
            let together = sides.by_ref().take(rayon::current_num_threads());
            let means = together.map(|(place, sum)| {
                let like = sum.like();
                Ok((place, like, sum.mean(gradients)?))
            });
            let means = means.collect::<Result<Vec<_>, DiffusionError>>()?;
            let solved = means.into_par_iter();
            let solved = solved.map(|(place, like, mean)| (place, like, mean.spectrum()));
            for (place, (device, dtype), spectrum) in solved.collect::<Vec<_>>() {
                let (eigenvalues, vectors) = spectrum;
                let spectrum = Spectrum {
                    eigenvalues,
                    eigenvectors: vectors.map(|data| Tensor::from_data(data, (&device, dtype))),
                };
                spectra.insert(place, spectrum);
            }
        }
        let mut spectrum = |place| spectra.remove(&place).expect("every side has a spectrum");
        let pairs = parameters.into_iter();
        let pairs = pairs.map(|id| (id, [spectrum((id, 0)), spectrum((id, 1))]));
        Ok(pairs.collect())
    }
}

/// The largest `s_ij`.
fn largest_eigenvalue(sides: &[Spectrum; 2]) -> f64 {
    products(sides).fold(0.0, f64::max)
}

/// `s_ij = l_i·r_j/tr L`, row by row; 0 where the moments are.
fn products([left, right]: &[Spectrum; 2]) -> impl Iterator<Item = f64> + '_ {
    let trace: f64 = left.eigenvalues.iter().sum();
    left.eigenvalues.iter().flat_map(move |l| {
        let share = if trace > 0.0 { l / trace } else { 0.0 };
        right.eigenvalues.iter().map(move |r| share * r)
    })
}

impl Moments {
    /// The moments of the rows of matrices `[K, m, n]`, summed over the stack.
    fn of_rows(matrices: &Tensor<3>) -> Self {
        let [_, rows, _] = matrices.dims();
        if rows > MAX_SIDE {
            let squares = matrices.clone().powi_scalar(2).sum_dim(2).sum_dim(0);
            return Self::Diagonal(squares.reshape([rows]));
        }
        let products = matrices.clone().matmul(matrices.clone().swap_dims(1, 2));
        Self::Matrix(products.sum_dim(0).reshape([rows, rows]))
    }

    fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Matrix(a), Self::Matrix(b)) => Self::Matrix(a + b),
            (Self::Diagonal(a), Self::Diagonal(b)) => Self::Diagonal(a + b),
            _ => unreachable!("the length of the side decides, which does not change"),
        }
    }

    /// The device and the element type.
    fn like(&self) -> (Device, DType) {
        match self {
            Self::Matrix(sum) => (sum.device(), sum.dtype()),
            Self::Diagonal(sum) => (sum.device(), sum.dtype()),
        }
    }

    /// Number of entries of the side if its moments are a matrix, whose eigenvectors take time; 0 of a diagonal.
    fn side(&self) -> usize {
        match self {
            Self::Matrix(sum) => sum.dims()[0],
            Self::Diagonal(_) => 0,
        }
    }

    /// The mean over so many gradients, on the host.
    ///
    /// # Errors
    /// If a moment is not finite.
    fn mean(self, gradients: usize) -> Result<HostMoments, DiffusionError> {
        let side = self.side();
        let (data, is_matrix) = match self {
            Self::Matrix(sum) => (sum.into_data_dtype(DType::F64), true),
            Self::Diagonal(sum) => (sum.into_data_dtype(DType::F64), false),
        };
        let sums = data.iter::<f64>();
        let moments: Vec<f64> = sums.map(|sum| sum / gradients as f64).collect();
        if !moments.iter().all(|moment| moment.is_finite()) {
            return Err(DiffusionError::NotFinite(
                "a gradient of the training loss is not finite: the model has diverged".to_owned(),
            ));
        }
        Ok(if is_matrix {
            HostMoments::Matrix(DMatrix::from_vec(side, side, moments))
        } else {
            HostMoments::Diagonal(moments)
        })
    }
}

impl HostMoments {
    /// The spectrum. Rounding leaves no eigenvalue below 0.
    fn spectrum(self) -> HostSpectrum {
        match self {
            Self::Matrix(moments) => {
                let n = moments.nrows();
                let eigen = moments.symmetric_eigen();
                let eigenvalues = eigen.eigenvalues.iter().map(|l| l.max(0.0)).collect();
                // nalgebra stores columns, Burn rows.
                let rows: Vec<f64> = eigen.eigenvectors.transpose().data.into();
                (eigenvalues, Some(TensorData::new(rows, [1, n, n])))
            }
            Self::Diagonal(moments) => (moments, None),
        }
    }
}

impl Preconditioner for KroneckerInverse {
    /// Each parameter by its own block.
    ///
    /// # Panics
    /// If a parameter has no factors.
    fn precondition(&self, residuals: &ParameterTangents) -> ParameterTangents {
        let solved = residuals.iter().map(|(id, stack)| {
            let block = self.0.get(&id).expect("every parameter has factors");
            let solved = block.solve(matrices(stack));
            (id, DynTensor::from(solved).reshaped(&stack.shape()))
        });
        solved.collect()
    }
}

impl Block {
    /// The block of a parameter, for tensors on a device and of an element type.
    fn new(sides: [Spectrum; 2], damping: f64, (device, dtype): &(Device, DType)) -> Self {
        let shape = [1, sides[0].eigenvalues.len(), sides[1].eigenvalues.len()];
        let inverses: Vec<f64> = products(&sides).map(|s| 1.0 / (s + damping)).collect();
        Self {
            inverses: Tensor::from_data(TensorData::new(inverses, shape), (device, *dtype)),
            eigenvectors: sides.map(|side| side.eigenvectors),
        }
    }

    /// `U·((Uᵀ·X·V)_ij/(s_ij + λ))·Vᵀ` of matrices `[K, m, n]`.
    fn solve(&self, matrices: Tensor<3>) -> Tensor<3> {
        let [left, right] = &self.eigenvectors;
        let turned = |vectors: &Tensor<3>| vectors.clone().swap_dims(1, 2);
        let projected = product(left.as_ref().map(turned), matrices, right.clone());
        let divided = projected * self.inverses.clone();
        product(left.clone(), divided, right.as_ref().map(turned))
    }
}

/// `A·X·B`, without a factor that is none.
fn product(left: Option<Tensor<3>>, x: Tensor<3>, right: Option<Tensor<3>>) -> Tensor<3> {
    let x = match left {
        Some(left) => left.matmul(x),
        None => x,
    };
    match right {
        Some(right) => x.matmul(right),
        None => x,
    }
}

/// A stack of parameters as matrices, `[K, m, n]`.
fn matrices(stack: &DynTensor) -> Tensor<3> {
    let shape = stack.shape();
    let [rows, columns] = sides(&shape[1..]);
    stack
        .clone()
        .reshaped(&[shape[0], rows, columns])
        .get::<3>()
}

/// Rows and columns of a parameter of this shape as a matrix.
pub(super) fn sides(shape: &[usize]) -> [usize; 2] {
    let rows = match shape {
        [] | [_] => 1,
        _ => shape[0],
    };
    [rows, shape.iter().product::<usize>() / rows.max(1)]
}
