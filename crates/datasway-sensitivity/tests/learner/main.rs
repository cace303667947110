//! The derivative of the learner: weights at a minimum against minima of changed data, and the tangent against its adjoint.

mod adjoint;
mod checkpoints;
mod finite_training;
mod kronecker;
mod linearizations;
mod minimum;
mod models;
mod moved_weights;
mod noise;
mod products;
mod stopping;
