//! Sensitivities through the weights: the derivative of the learner.
//!
//! The other modules differentiate the ideal score of the data. Here the network is differentiated as it learns. Trained
//! weights are near a minimum of the training loss `L_ρ(θ)`. On `ρ_η ∝ ρ + ην` the loss is
//! `L_η = (L_ρ + η·L_ν)/(1 + η)`, and its minimum moves by
//!
//! `dθ/dη = −(G + λ)⁻¹·(∇L_ν − ∇L_ρ)`
//!
//! with the Gauss–Newton matrix `G = E[J_θᵀ·(2w/d)·J_θ]` of the loss and a damping λ ([`Learner::weight_tangent`]). G stands
//! for the Hessian, from which it differs by the second derivative of the network times the mean residual.
//!
//! - Forwards, a sample moves by the sampler's own tangent with `J_θ·dθ/dη` as change of the denoiser
//!   ([`sample_with_weight_tangents`]). For a finite mass ([`GroupMass`]) it can be drawn again with the moved weights
//!   ([`Learner::sensitivities`]).
//! - Backwards, `g = ∂f/∂θ` of a functional f is the sum of `J_θᵀ·G_p` along the path ([`weight_gradients`]), one solve gives
//!   `u = (G + λ)⁻¹·g`, and image j has the influence `a_j = −⟨∇ℓ_j − ∇L_ρ, u⟩`, one forward-mode product
//!   ([`Learner::influences`]).
//!
//! Samples are drawn with an average of the weights over the last steps of training. The derivative of an average is the
//! average of the derivatives, and near a minimum all of them are the derivative of the minimum, so it is taken at the
//! averaged weights.

mod adam;
mod adjoint;
mod batched;
mod checkpoints;
mod config;
mod conjugate_gradients;
mod curvature;
mod damping_spec;
mod draws;
mod finite_mass;
mod finite_training;
mod first_samples;
mod halves;
mod inverse;
mod kronecker;
mod lanczos;
mod linearizations;
mod loss;
mod memory;
mod moved_weights;
mod random_gradients;
mod solve;
mod solver_report;
mod spectrum;
mod step_parts;
mod stopping;
mod subsets;
mod tangent;
mod training_flow;
mod weight_change;

pub use adjoint::weight_gradients;
pub use checkpoints::PassedWeights;
pub use config::{Damping, LearnerConfig, PreconditionerKind};
pub use conjugate_gradients::{DampedCurvature, Preconditioner, Solution, conjugate_gradients};
pub use curvature::{Curvature, GaussNewton};
pub use damping_spec::{DampingSpec, TrainingLength};
pub use draws::{DataPoints, DrawBatch, LossDraws};
pub use finite_mass::GroupMass;
pub use finite_training::{FiniteTraining, TrainingFilter};
pub use halves::HalvedSolution;
pub use inverse::{CurvatureInverse, CurvatureSolution};
pub use kronecker::{KroneckerFactors, KroneckerInverse};
pub use lanczos::KrylovSpaces;
pub use loss::{loss_derivatives, loss_gradient};
pub use memory::SolverBytes;
pub use random_gradients::read_random_gradients;
pub use solve::{Learner, WeightInfluences};
pub use solver_report::SolverReport;
pub use spectrum::largest_eigenvalue;
pub use step_parts::weight_step_parts;
pub use stopping::{DELAY, Effect, StoppingRule};
pub use tangent::sample_with_weight_tangents;
pub use weight_change::{ChangedGroups, WeightChange};
