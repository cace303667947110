//! Arguments that choose between the derivative of the data's score and that of the trained weights.

use anyhow::{Result, bail, ensure};
use clap::{Args, ValueEnum};
use datasway_cli::memory::ensure_room;
use datasway_cli::number::{self, count, real};
use datasway_fs::plural;
use datasway_sensitivity::Through;
use datasway_sensitivity::learner::{
    Damping, FiniteTraining, LearnerConfig, PreconditionerKind, SolverBytes,
};

/// The derivative, and the options of the one through the weights.
#[derive(Args)]
pub struct ThroughArgs {
    /// Object that the change of the data moves
    #[arg(long, value_enum, default_value_t = ThroughArg::Data)]
    through: ThroughArg,
    /// Draws of the training loss for its curvature, through weights [default: 1536]
    #[arg(long, value_name = "COUNT", value_parser = count(number::DRAWS))]
    draws: Option<usize>,
    /// Damping of the curvature, through weights: a fraction of its largest eigenvalue, or `training` for the length and the
    /// optimiser of a training [default: 0.001]
    #[arg(long, value_name = "FRACTION|training", value_parser = damping)]
    damping: Option<DampingArg>,
    /// Optimiser steps of the training that damps [default: those of the checkpoint]
    #[arg(long, value_name = "STEPS", value_parser = count(number::TRAINING_STEPS))]
    training_steps: Option<u64>,
    /// Learning rate of the training that damps [default: that of the checkpoint]
    #[arg(long, value_name = "RATE", value_parser = real(number::LEARNING_RATE))]
    training_rate: Option<f64>,
    /// Preconditioner of the solver with a damping by a fraction, through weights [default: kronecker]
    #[arg(long, value_enum)]
    preconditioner: Option<PreconditionerArg>,
    /// Estimated relative error at which the solver stops, through weights: in the norm of the curvature, and in δ of a ranking
    /// [default: 0.1]
    #[arg(long, value_name = "FRACTION", value_parser = real(number::SHARE))]
    tolerance: Option<f64>,
    /// Largest number of iterations of the solver, through weights [default: 32]
    #[arg(long, value_name = "COUNT", value_parser = count(number::ITERATIONS))]
    iterations: Option<usize>,
}

/// `--through`.
#[derive(Clone, Copy, ValueEnum)]
enum ThroughArg {
    /// The ideal score of the training data, compared with a log-density
    Data,
    /// The weights of the network, near the minimum of its training loss
    Weights,
}

/// `--damping`.
#[derive(Clone, Copy)]
enum DampingArg {
    /// A fraction of the largest eigenvalue.
    Fraction(f64),
    /// The length of a training.
    Training,
}

/// `--preconditioner`.
#[derive(Clone, Copy, ValueEnum)]
enum PreconditionerArg {
    /// Plain conjugate gradients
    None,
    /// The damped inverse of Kronecker factors, from random gradients
    Kronecker,
}

impl From<PreconditionerArg> for PreconditionerKind {
    fn from(argument: PreconditionerArg) -> Self {
        match argument {
            PreconditionerArg::None => Self::None,
            PreconditionerArg::Kronecker => Self::Kronecker,
        }
    }
}

/// Parser of `--damping`.
fn damping(text: &str) -> Result<DampingArg, String> {
    if text.trim() == "training" {
        return Ok(DampingArg::Training);
    }
    let fraction = real(number::DAMPING)(text).map(DampingArg::Fraction);
    fraction.map_err(|advice| format!("{advice}, or training"))
}

impl From<ThroughArg> for Through {
    fn from(argument: ThroughArg) -> Self {
        match argument {
            ThroughArg::Data => Self::Data,
            ThroughArg::Weights => Self::Weights,
        }
    }
}

impl ThroughArgs {
    /// The derivative.
    pub fn through(&self) -> Through {
        self.through.into()
    }

    /// Options of the derivative through the weights of a model that was trained as `run` says, if that is known.
    ///
    /// # Errors
    /// If the length of a training is to damp, and it is not known.
    pub fn learner(
        &self,
        run: Option<FiniteTraining>,
        batch: usize,
        seed: u64,
    ) -> Result<LearnerConfig> {
        let default = LearnerConfig::default();
        let damping = match self.damping {
            None => default.damping,
            Some(DampingArg::Fraction(fraction)) => Damping::Fraction(fraction),
            Some(DampingArg::Training) => Damping::Training(self.training(run)?),
        };
        Ok(LearnerConfig {
            curvature_draws: self.draws.unwrap_or(default.curvature_draws),
            damping,
            preconditioner: self
                .preconditioner
                .map_or(default.preconditioner, PreconditionerKind::from),
            tolerance: self.tolerance.unwrap_or(default.tolerance),
            iterations: self.iterations.unwrap_or(default.iterations),
            batch,
            seed,
            ..default
        })
    }

    /// Checks that there is room for what the solver keeps for right-hand sides that are solved together, which takes `bytes`.
    ///
    /// `fewer` says how to have fewer of them.
    ///
    /// # Errors
    /// If there is not, with what needs less.
    pub fn ensure_room(
        learner: &LearnerConfig,
        bytes: SolverBytes,
        right_hand_sides: usize,
        fewer: &str,
    ) -> Result<()> {
        let vectors = format!(
            "the vectors of the solver for {}",
            plural(right_hand_sides, "right-hand side")
        );
        let (what, advice) = match (learner.damping, learner.preconditioner) {
            (Damping::Training(_), _) => (
                format!("{vectors} and {}", plural(learner.iterations, "iteration")),
                format!("choose fewer --iterations, or {fewer}"),
            ),
            (Damping::Fraction(_), PreconditionerKind::None) => {
                (vectors, format!("choose {fewer}"))
            }
            (Damping::Fraction(_), PreconditionerKind::Kronecker) => (
                format!("Kronecker factors and {vectors}"),
                format!("choose --preconditioner none, or {fewer}"),
            ),
        };
        ensure_room(bytes.total(), &what, &advice)
    }

    /// The training that damps: that of the model, with the given length and learning rate.
    fn training(&self, run: Option<FiniteTraining>) -> Result<FiniteTraining> {
        let Some(mut run) = run else {
            bail!(
                "--damping training needs the optimiser's settings, which the model does not name: give a checkpoint of \
                 datasway's train, or a number"
            );
        };
        let optimization = &mut run.optimization;
        optimization.steps = self.training_steps.unwrap_or(optimization.steps);
        optimization.learning_rate = self.training_rate.unwrap_or(optimization.learning_rate);
        Ok(run)
    }

    /// True if the length of a training is the regularisation.
    pub fn is_by_training(&self) -> bool {
        matches!(self.damping, Some(DampingArg::Training))
    }

    /// Checks that the options of the weights' derivative come with it.
    ///
    /// # Errors
    /// If one of them is given for the other derivative.
    pub fn check(&self) -> Result<()> {
        let given = [
            ("--draws", self.draws.is_some()),
            ("--damping", self.damping.is_some()),
            ("--training-steps", self.training_steps.is_some()),
            ("--training-rate", self.training_rate.is_some()),
            ("--preconditioner", self.preconditioner.is_some()),
            ("--tolerance", self.tolerance.is_some()),
            ("--iterations", self.iterations.is_some()),
        ];
        given
            .into_iter()
            .try_for_each(|(option, is_given)| self.check_option(option, is_given))?;
        let by_training = self.is_by_training();
        for (option, is_given) in [
            ("--training-steps", self.training_steps.is_some()),
            ("--training-rate", self.training_rate.is_some()),
        ] {
            ensure!(
                by_training || !is_given,
                "{option} is for --damping training: leave it out or add that"
            );
        }
        ensure!(
            !by_training || self.preconditioner.is_none(),
            "--preconditioner is for a damping by a fraction: leave it out, or --damping training"
        );
        Ok(())
    }

    /// Checks that an option of the weights' derivative comes with it.
    ///
    /// # Errors
    /// If it is given for the other derivative.
    pub fn check_option(&self, option: &str, is_given: bool) -> Result<()> {
        ensure!(
            !is_given || self.through() == Through::Weights,
            "{option} is for --through weights: leave it out or add that"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The refusal of a solver that needs more than any machine has.
    fn refusal(preconditioner: PreconditionerKind) -> String {
        let learner = LearnerConfig {
            preconditioner,
            ..LearnerConfig::default()
        };
        let bytes = SolverBytes {
            vectors: 1 << 60,
            factors: 1 << 60,
        };
        let room = ThroughArgs::ensure_room(&learner, bytes, 3, "fewer directions at a time");
        room.expect_err("a refusal").to_string()
    }

    #[test]
    fn a_refusal_for_memory_names_what_needs_less() {
        let kronecker = refusal(PreconditionerKind::Kronecker);
        assert!(
            kronecker.starts_with(
                "Kronecker factors and the vectors of the solver for 3 right-hand sides need 2147483648.0 GiB"
            ),
            "{kronecker}"
        );
        assert!(
            kronecker.ends_with(": choose --preconditioner none, or fewer directions at a time"),
            "{kronecker}"
        );
        let plain = refusal(PreconditionerKind::None);
        assert!(
            plain.starts_with("the vectors of the solver for "),
            "{plain}"
        );
        assert!(
            plain.ends_with(": choose fewer directions at a time"),
            "{plain}"
        );
    }
}
