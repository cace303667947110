//! Arguments that choose between the derivative of the data's score and that of the trained weights.

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use datasway_cli::number::{self, count, real};
use datasway_sensitivity::Through;
use datasway_sensitivity::learner::LearnerConfig;

/// The derivative, and the options of the one through the weights.
#[derive(Args)]
pub struct ThroughArgs {
    /// What the change of the data changes
    #[arg(long, value_enum, default_value_t = ThroughArg::Data)]
    through: ThroughArg,
    /// Draws of the training loss for its curvature, through weights [default: 1536]
    #[arg(long, value_name = "COUNT", value_parser = count(number::DRAWS))]
    draws: Option<usize>,
    /// Damping of the curvature, as a fraction of its largest eigenvalue, through weights [default: 0.001]
    #[arg(long, value_name = "FRACTION", value_parser = real(number::DAMPING))]
    damping: Option<f64>,
    /// Estimated relative error, in the norm of the curvature, at which the solver stops, through weights [default: 0.1]
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

    /// Options of the derivative through the weights.
    pub fn learner(&self, batch: usize, seed: u64) -> LearnerConfig {
        let default = LearnerConfig::default();
        LearnerConfig {
            curvature_draws: self.draws.unwrap_or(default.curvature_draws),
            damping: self.damping.unwrap_or(default.damping),
            tolerance: self.tolerance.unwrap_or(default.tolerance),
            iterations: self.iterations.unwrap_or(default.iterations),
            batch,
            seed,
            ..default
        }
    }

    /// Checks that the options of the weights' derivative come with it.
    ///
    /// # Errors
    /// If one of them is given for the other derivative.
    pub fn check(&self) -> Result<()> {
        let given = [
            ("--draws", self.draws.is_some()),
            ("--damping", self.damping.is_some()),
            ("--tolerance", self.tolerance.is_some()),
            ("--iterations", self.iterations.is_some()),
        ];
        given
            .into_iter()
            .try_for_each(|(option, is_given)| self.check_option(option, is_given))
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
