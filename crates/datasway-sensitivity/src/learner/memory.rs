//! Memory of the solver for the weights.

use super::config::{Damping, LearnerConfig, PreconditionerKind};
use super::kronecker::{MAX_SIDE, sides};
use super::subsets::POINTS_TOGETHER;

/// Vectors of each right-hand side in an iteration of conjugate gradients, at its peak.
const CONJUGATE_GRADIENTS: usize = 7;
/// Vectors of each right-hand side for the preconditioned residuals.
const PRECONDITIONED: usize = 1;
/// Vectors of each right-hand side in an iteration of Lanczos's method, beside one for each iteration.
const LANCZOS: usize = 6;
/// Vectors of each right-hand side for the effect of the last iterations.
const EFFECT: usize = 4;
/// Vectors for the product with the curvature of a group beside that of the training set.
const GROUP_PRODUCT: u128 = 2;
/// Vectors of a later linearisation: the moved weights, and the gradient there with its parts.
const LATER_LEG: u128 = 3;
/// Vectors of each group that a later linearisation keeps: its start, its first gradient and the average.
const LEG_STATES: u128 = 3;
/// Vectors of each group beside a leg of checkpoints: the second result of the leg, its start and the average.
const BESIDE_LEG: u128 = 3;
/// Vectors for the largest eigenvalue.
const SPECTRUM: usize = 12;
/// Vectors of a random gradient while its moments are added.
const RANDOM_GRADIENT: usize = 2;
/// Bytes for each entry of a matrix of moments while its eigenvectors are computed: the matrix and they, in double precision.
const DECOMPOSITION: u128 = 16;

/// Bytes that a solution for the weights takes at its peak, beside the model and the evaluation of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SolverBytes {
    /// Vectors of the size of the weights.
    pub vectors: u128,
    /// Kronecker factors, with the eigenvectors that are being computed; 0 without a preconditioner.
    pub factors: u128,
}

impl SolverBytes {
    /// All bytes.
    pub fn total(self) -> u128 {
        self.vectors.saturating_add(self.factors)
    }
}

impl LearnerConfig {
    /// Bytes of [`Learner::solve`](super::Learner::solve) for right-hand sides that are solved together, with parameters of these
    /// shapes in single precision.
    ///
    /// The numbers of draws add nothing: a batch of them is in memory at a time. With a damping the number of iterations adds nothing
    /// either.
    pub fn solution_bytes(&self, shapes: &[Vec<usize>], right_hand_sides: usize) -> SolverBytes {
        let kept = Kept::default();
        self.peak(shapes, right_hand_sides, kept)
    }

    /// Bytes of [`Learner::subset_tangents`](super::Learner::subset_tangents) for so many subsets, with parameters of these shapes in
    /// single precision.
    pub fn subset_bytes(&self, shapes: &[Vec<usize>], subsets: usize) -> SolverBytes {
        let solving = self.solution_bytes(shapes, subsets);
        // A block of gradients and their stack, and their parts in the sums, the sums so far and the new sums.
        let gradients = (2 * POINTS_TOGETHER + 3 * subsets) as u128 * vector_bytes(shapes);
        let adding = SolverBytes {
            vectors: gradients,
            factors: 0,
        };
        std::cmp::max_by_key(solving, adding, |bytes| bytes.total())
    }

    /// Bytes of [`Learner::weight_change`](super::Learner::weight_change) for so many groups, with finite masses or as a derivative,
    /// with parameters of these shapes in single precision.
    pub fn weight_change_bytes(
        &self,
        shapes: &[Vec<usize>],
        groups: usize,
        is_finite: bool,
    ) -> SolverBytes {
        let kept = Kept {
            effect: true,
            first_half: self.draw_noise,
        };
        let derivative = self.peak(shapes, groups, kept);
        if is_finite {
            self.with_masses(derivative, shapes, groups)
        } else {
            derivative
        }
    }

    /// Bytes of [`Learner::finite_change`](super::Learner::finite_change) for so many groups, with parameters of these shapes in
    /// single precision.
    pub fn finite_change_bytes(&self, shapes: &[Vec<usize>], groups: usize) -> SolverBytes {
        self.with_masses(self.solution_bytes(shapes, groups), shapes, groups)
    }

    /// Bytes of [`Learner::change_along`](super::Learner::change_along) for so many groups, with finite masses or as a derivative,
    /// with parameters of these shapes in single precision. The models of the checkpoints are not counted.
    pub fn change_along_bytes(
        &self,
        shapes: &[Vec<usize>],
        groups: usize,
        is_finite: bool,
    ) -> SolverBytes {
        let leg = if is_finite {
            self.finite_change_bytes(shapes, groups)
        } else {
            self.solution_bytes(shapes, groups)
        };
        let beside = BESIDE_LEG * groups as u128 * vector_bytes(shapes);
        SolverBytes {
            vectors: leg.vectors.saturating_add(beside),
            ..leg
        }
    }

    /// A solution by finite masses: its matrix has the curvature of each group beside that of the training set.
    fn with_masses(
        &self,
        solving: SolverBytes,
        shapes: &[Vec<usize>],
        groups: usize,
    ) -> SolverBytes {
        let vector = vector_bytes(shapes);
        let with = |vectors: u128, more: u128| SolverBytes {
            vectors: vectors.saturating_add(more.saturating_mul(vector)),
            ..solving
        };
        let once = with(solving.vectors, GROUP_PRODUCT);
        if self.linearizations == 1 {
            return once;
        }
        let groups = groups as u128;
        // A leg has two results.
        let first = with(once.vectors, groups);
        // A later leg solves for one group after the other.
        let one = self.solution_bytes(shapes, 1);
        let later = with(one.vectors, GROUP_PRODUCT + LATER_LEG + LEG_STATES * groups);
        std::cmp::max_by_key(first, later, |bytes| bytes.total())
    }

    /// The peak of all phases.
    fn peak(&self, shapes: &[Vec<usize>], right_hand_sides: usize, kept: Kept) -> SolverBytes {
        let vector = vector_bytes(shapes);
        let with_factors = |factors: u128, alone: usize, of_each: usize| {
            let of_each = of_each.saturating_add(usize::from(kept.first_half)) as u128;
            let of_all = of_each.saturating_mul(right_hand_sides as u128);
            SolverBytes {
                vectors: of_all.saturating_add(alone as u128).saturating_mul(vector),
                factors,
            }
        };
        let without_factors = |alone: usize, of_each: usize| with_factors(0, alone, of_each);
        let effect = if kept.effect { EFFECT } else { 0 };
        let phases = match (self.damping, self.preconditioner) {
            (Damping::Training(_), _) => {
                let beside = LANCZOS + effect;
                // The square root of the metric is one vector.
                vec![without_factors(1, self.iterations.saturating_add(beside))]
            }
            (Damping::Fraction(_), PreconditionerKind::None) => vec![
                without_factors(SPECTRUM, 1),
                without_factors(0, CONJUGATE_GRADIENTS + effect),
            ],
            (Damping::Fraction(_), PreconditionerKind::Kronecker) => {
                let [moments, decompositions] = factor_bytes(shapes);
                let of_each = CONJUGATE_GRADIENTS + PRECONDITIONED + effect;
                vec![
                    without_factors(SPECTRUM, 1),
                    with_factors(moments + decompositions, RANDOM_GRADIENT, 1),
                    // The damped inverse of every entry of a block is as large as the weights.
                    with_factors(moments + vector, 0, of_each),
                ]
            }
        };
        let largest = phases.into_iter().max_by_key(|bytes| bytes.total());
        largest.expect("there is a phase")
    }
}

/// What is kept for each right-hand side beside the iterations.
#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    /// The last iterations and their effect.
    effect: bool,
    /// The solution from the first half of the draws.
    first_half: bool,
}

/// Bytes of a vector of the size of the weights.
fn vector_bytes(shapes: &[Vec<usize>]) -> u128 {
    let weights = shapes.iter().map(|shape| shape.iter().product::<usize>());
    (size_of::<f32>() * weights.sum::<usize>()) as u128
}

/// Bytes of the matrices of moments, whose place their eigenvectors take, and of the decompositions that are made at once.
fn factor_bytes(shapes: &[Vec<usize>]) -> [u128; 2] {
    let sides = shapes.iter().flat_map(|shape| sides(shape));
    let (matrices, diagonals): (Vec<usize>, Vec<usize>) = sides.partition(|side| *side <= MAX_SIDE);
    let mut entries: Vec<u128> = matrices.iter().map(|side| (side * side) as u128).collect();
    let moments = entries.iter().sum::<u128>() + diagonals.iter().sum::<usize>() as u128;
    entries.sort_unstable();
    let at_once = entries.iter().rev().take(rayon::current_num_threads());
    [
        size_of::<f32>() as u128 * moments,
        DECOMPOSITION * at_once.sum::<u128>(),
    ]
}
