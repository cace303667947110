//! Lanczos's method (1950) for several starts at once: Krylov spaces of a curvature and its functions there.
//!
//! The orthonormal vectors `V = (v_1 … v_n)` of the Krylov space of b satisfy `Vᵀ·A·V = T`, a tridiagonal matrix, and a function
//! of A is `f(A)·b ≈ ‖b‖·V·f(T)·e_1`, which is exact for polynomials below degree n (Saad, SIAM J. Numer. Anal. 29, 1992).

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use nalgebra::{DMatrix, DVector};

/// Krylov spaces of K starts, each with its own coefficients.
#[derive(Debug, Clone)]
pub struct KrylovSpaces {
    /// The orthonormal vectors of all K spaces; the last is not yet multiplied.
    basis: Vec<ParameterTangents>,
    /// The length of each start.
    lengths: Vec<f64>,
    /// The diagonal of T, `[K][n]`.
    diagonals: Vec<Vec<f64>>,
    /// The entries beside the diagonal of T and the next, `[K][n]`.
    off_diagonals: Vec<Vec<f64>>,
}

impl KrylovSpaces {
    /// The spaces of K starts, of dimension 0. A start of zero has the function zero.
    ///
    /// # Errors
    /// If a start is not finite.
    pub fn new(starts: &ParameterTangents) -> Result<Self, DiffusionError> {
        let lengths: Vec<f64> = starts
            .dot(starts)
            .iter()
            .map(|square| square.sqrt())
            .collect();
        if let Some(length) = lengths.iter().find(|length| !length.is_finite()) {
            return Err(DiffusionError::NotFinite(format!(
                "a gradient of the training loss has the length {length}: the model has diverged"
            )));
        }
        Ok(Self {
            basis: vec![starts.scale(&inverses(&lengths))],
            diagonals: vec![Vec::new(); lengths.len()],
            off_diagonals: vec![Vec::new(); lengths.len()],
            lengths,
        })
    }

    /// The vectors whose product with A extends the spaces.
    pub fn newest(&self) -> &ParameterTangents {
        self.basis.last().expect("there is a start")
    }

    /// Extends every space by the product of [`newest`](Self::newest) with A.
    ///
    /// # Errors
    /// If a number is not finite.
    pub fn extend(&mut self, product: ParameterTangents) -> Result<(), DiffusionError> {
        // w = A·v_n, α_n = ⟨w, v_n⟩
        let alphas = product.dot(self.newest());
        // Against all earlier vectors, twice, because those of a three-term recurrence lose their orthogonality.
        let mut w = product;
        for _ in 0..2 {
            for vector in &self.basis {
                let back: Vec<f64> = w.dot(vector).iter().map(|c| -c).collect();
                w = w.add(&vector.scale(&back));
            }
        }
        // β_n·v_{n+1} = w
        let mut betas: Vec<f64> = w.dot(&w).iter().map(|square| square.sqrt()).collect();
        if !alphas.iter().chain(&betas).all(|number| number.is_finite()) {
            return Err(DiffusionError::NotFinite(
                "the curvature of the training loss is not finite: the model has diverged"
                    .to_owned(),
            ));
        }
        for (k, (alpha, beta)) in alphas.iter().zip(&mut betas).enumerate() {
            // A space that is exhausted has no next vector.
            if *beta <= f64::from(f32::EPSILON) * alpha.abs() {
                *beta = 0.0;
            }
            self.diagonals[k].push(*alpha);
            self.off_diagonals[k].push(*beta);
        }
        self.basis.push(w.scale(&inverses(&betas)));
        Ok(())
    }

    /// T of the first `n` vectors of space k.
    fn tridiagonal(&self, k: usize, n: usize) -> DMatrix<f64> {
        DMatrix::from_fn(n, n, |i, j| match i.abs_diff(j) {
            0 => self.diagonals[k][i],
            1 => self.off_diagonals[k][i.min(j)],
            _ => 0.0,
        })
    }

    /// The dimension n.
    pub fn dimension(&self) -> usize {
        self.basis.len() - 1
    }

    /// True if no space has a next vector: the functions are exact.
    pub fn is_exhausted(&self) -> bool {
        let last = self.off_diagonals.iter().filter_map(|row| row.last());
        self.dimension() > 0 && last.copied().fold(0.0, f64::max) == 0.0
    }

    /// The largest eigenvalue of T of all spaces, which bounds that of A from below.
    pub fn largest_eigenvalue(&self) -> f64 {
        let n = self.dimension();
        let spaces = 0..self.lengths.len();
        let largest = spaces.map(|k| self.tridiagonal(k, n).symmetric_eigenvalues().max());
        largest.fold(f64::NEG_INFINITY, f64::max)
    }

    /// `y = ‖b‖·f(T)·e_1` of the first `n` vectors of space k: the coordinates of `f(A)·b`.
    fn coordinates(&self, k: usize, n: usize, f: &dyn Fn(f64) -> f64) -> DVector<f64> {
        let eigen = self.tridiagonal(k, n).symmetric_eigen();
        let mut first = eigen.eigenvectors.row(0).transpose();
        for (entry, value) in first.iter_mut().zip(eigen.eigenvalues.iter()) {
            *entry *= f(*value) * self.lengths[k];
        }
        eigen.eigenvectors * first
    }

    /// `y_n − y_m` of space k, the change of the coordinates since dimension m.
    fn coordinate_change(&self, k: usize, m: usize, f: &dyn Fn(f64) -> f64) -> DVector<f64> {
        let mut change = self.coordinates(k, self.dimension(), f);
        if m > 0 {
            let before = self.coordinates(k, m, f);
            change.rows_mut(0, m).zip_apply(&before, |a, b| *a -= b);
        }
        change
    }

    /// `f(A)·b_k` of every start.
    pub fn function(&self, f: &dyn Fn(f64) -> f64) -> ParameterTangents {
        self.function_since(0, f)
    }

    /// The change of `f(A)·b_k` of every start since dimension m.
    pub fn function_since(&self, m: usize, f: &dyn Fn(f64) -> f64) -> ParameterTangents {
        let columns = 0..self.lengths.len();
        let coordinates: Vec<_> = columns.map(|k| self.coordinate_change(k, m, f)).collect();
        let mut sum = ParameterTangents::new();
        for (i, vector) in self.basis.iter().take(self.dimension()).enumerate() {
            let factors: Vec<f64> = coordinates.iter().map(|y| y[i]).collect();
            sum = sum.add(&vector.scale(&factors));
        }
        sum
    }

    /// `‖y_n − y_m‖/‖y_n‖` in the norm of A, for every space: the progress of `f(A)·b` since dimension m.
    pub fn progress_since(&self, m: usize, f: &dyn Fn(f64) -> f64) -> Vec<f64> {
        let n = self.dimension();
        let columns = 0..self.lengths.len();
        let progress = columns.map(|k| {
            let t = self.tridiagonal(k, n);
            let square = |y: &DVector<f64>| y.dot(&(&t * y)).max(0.0);
            let size = square(&self.coordinates(k, n, f));
            if size > 0.0 {
                (square(&self.coordinate_change(k, m, f)) / size).sqrt()
            } else {
                0.0
            }
        });
        progress.collect()
    }
}

/// `1/x`, 0 of 0.
fn inverses(numbers: &[f64]) -> Vec<f64> {
    let inverse = |x: &f64| if *x > 0.0 { 1.0 / x } else { 0.0 };
    numbers.iter().map(inverse).collect()
}
