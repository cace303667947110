//! An estimator of sensitivities as experiment files describe it.

use datasway_diffusion::validate::{self, distinct, within};
use datasway_sensitivity::Through;
use datasway_sensitivity::density::EstimatorSpec;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::checks::SEED;
use super::weights::WeightsSpec;
use crate::RetrainError;

/// The field that tells the derivative of the weights from an estimator of the density.
const THROUGH: &str = "through";
/// The field that tells a combination.
const COMBINE: &str = "combine";
/// The field that tells a mean over base models.
const AVERAGE: &str = "average";

/// An estimator of sensitivities.
///
/// The serialised form of the first two kinds is part of the keys of stored results.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum SensitivityEstimator {
    /// The derivative of the ideal score, with an estimator of the density.
    Density(EstimatorSpec),
    /// The derivative of the weights.
    Weights(WeightsSpec),
    /// A weighted sum of the predictions of two others.
    Combination(CombinationSpec),
    /// The mean of the predictions of another from several base models.
    Average(AverageSpec),
}

impl<'de> Deserialize<'de> for SensitivityEstimator {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = toml::Table::deserialize(deserializer)?;
        let estimator = if table.contains_key(THROUGH) {
            weights(table)
        } else if table.contains_key(COMBINE) {
            table.try_into().map(Self::Combination)
        } else if table.contains_key(AVERAGE) {
            table.try_into().map(Self::Average)
        } else {
            table.try_into().map(Self::Density)
        };
        estimator.map_err(|error| D::Error::custom(error.message()))
    }
}

/// The derivative of the weights, of a table that names what it goes through.
fn weights(table: toml::Table) -> Result<SensitivityEstimator, toml::de::Error> {
    let weights: WeightsSpec = table.try_into()?;
    match weights.through {
        Through::Weights => Ok(SensitivityEstimator::Weights(weights)),
        Through::Data => Err(toml::de::Error::custom(
            "through = \"data\" is every estimator with a density: name that in its place",
        )),
    }
}

/// A weighted sum of the predictions of two other estimators, at the length of the first:
/// `(1 − share)·δ₁ + share·δ₂·‖δ₁‖/‖δ₂‖` for each sample and direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CombinationSpec {
    /// Name in tables; the names and the share if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Names of two estimators that are listed before.
    pub combine: [String; 2],
    /// The part of the second.
    pub share: f64,
}

/// The mean of the predictions of another estimator from base models with several seeds, as a prediction for every seed of the
/// experiment.
///
/// A base model is trained on unchanged data alone, so that further ones are cheap beside models of changed data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AverageSpec {
    /// Name in tables; the name of the other and the number of models if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Name of an estimator that is listed before.
    pub average: String,
    /// Seeds of the base models.
    pub seeds: Vec<u64>,
}

impl SensitivityEstimator {
    /// Checks that every number is in its range and that the options go together; `earlier` are the names of the estimators before it.
    ///
    /// # Errors
    /// If a number is out of its range, or a combination names no earlier estimator.
    pub fn check(&self, earlier: &[String]) -> Result<(), RetrainError> {
        let (name, field) = (self.given_name(), |field: &str| {
            format!("estimator {}: {field}", self.name())
        });
        if let Some(name) = name {
            validate::title("an estimator's name", name)?;
        }
        match self {
            Self::Density(estimator) => estimator.check()?,
            Self::Weights(weights) => weights.check(&field)?,
            Self::Combination(combination) => {
                within(&field("share"), combination.share, 0.0..=1.0)?;
                let mut names = combination.combine.iter();
                if let Some(unknown) = names.find(|name| !earlier.contains(name)) {
                    return Err(RetrainError::experiment(format!(
                        "{}: {unknown} is no estimator that is listed before it: name one of {}",
                        field(COMBINE),
                        earlier.join(", ")
                    )));
                }
            }
            Self::Average(average) => {
                let among = field("seeds");
                if average.seeds.is_empty() {
                    return Err(RetrainError::experiment(format!(
                        "{among} is empty; name at least one"
                    )));
                }
                for seed in &average.seeds {
                    within(&among, *seed, SEED)?;
                }
                distinct(&among, average.seeds.iter().map(u64::to_string))?;
                if !earlier.contains(&average.average) {
                    return Err(RetrainError::experiment(format!(
                        "{}: {} is no estimator that is listed before it: name one of {}",
                        field(AVERAGE),
                        average.average,
                        earlier.join(", ")
                    )));
                }
            }
        }
        Ok(())
    }

    fn given_name(&self) -> Option<&String> {
        match self {
            Self::Density(_) => None,
            Self::Weights(weights) => weights.name.as_ref(),
            Self::Combination(combination) => combination.name.as_ref(),
            Self::Average(average) => average.name.as_ref(),
        }
    }

    /// The options in a few characters.
    pub fn label(&self) -> String {
        match self {
            Self::Density(estimator) => estimator.label(),
            Self::Weights(weights) => weights.label(),
            Self::Combination(CombinationSpec { combine, share, .. }) => {
                format!("{}+{share}*{}", combine[0], combine[1])
            }
            Self::Average(AverageSpec { average, seeds, .. }) => {
                format!("{average}-by-{}-models", seeds.len())
            }
        }
    }

    /// Name in tables.
    pub fn name(&self) -> String {
        match self {
            Self::Density(estimator) => estimator.name(),
            Self::Weights(_) | Self::Combination(_) | Self::Average(_) => {
                self.given_name().cloned().unwrap_or_else(|| self.label())
            }
        }
    }

    /// The estimator without its name and what is evaluated beside it, for the keys of results.
    pub fn unnamed(&self) -> Self {
        match self.clone() {
            Self::Density(estimator) => Self::Density(estimator.unnamed()),
            Self::Weights(weights) => Self::Weights(weights.unnamed()),
            Self::Combination(combination) => Self::Combination(CombinationSpec {
                name: None,
                ..combination
            }),
            Self::Average(average) => Self::Average(AverageSpec {
                name: None,
                ..average
            }),
        }
    }

    /// Steps of the base model's training whose weights are used.
    pub fn checkpoints(&self) -> &[u64] {
        match self {
            Self::Weights(weights) => &weights.checkpoints,
            Self::Density(_) | Self::Combination(_) | Self::Average(_) => &[],
        }
    }

    /// True if the length of a variant's training decides the result.
    pub fn depends_on_training(&self) -> bool {
        matches!(self, Self::Weights(weights) if weights.depends_on_training())
    }

    /// True if the masses of the directions decide the result.
    pub fn depends_on_masses(&self) -> bool {
        matches!(self, Self::Weights(weights) if weights.has_changed_curvature() || weights.moves_weights())
    }

    /// True if the real changes of the weights are compared with their derivative.
    pub fn compares_weights(&self) -> bool {
        matches!(self, Self::Weights(weights) if weights.alignment)
    }

    /// The estimator of the density; none for other kinds.
    pub fn density(&self) -> Option<&EstimatorSpec> {
        match self {
            Self::Density(estimator) => Some(estimator),
            Self::Weights(_) | Self::Combination(_) | Self::Average(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SensitivityEstimator, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_field_tells_the_kinds_apart() {
        let density = read("density = \"empirical\"\nbandwidth = 4.0").unwrap();
        assert_eq!(density.name(), "empirical-h4");
        let weights = read("through = \"weights\"\niterations = 8").unwrap();
        assert_eq!(weights.name(), "weights-8");
        let sum = read("combine = [\"weights-8\", \"empirical-h4\"]\nshare = 0.5").unwrap();
        assert_eq!(sum.name(), "weights-8+0.5*empirical-h4");
        let earlier = [weights.name(), density.name()];
        sum.check(&earlier).unwrap();
        let error = sum.check(&earlier[..1]).unwrap_err().to_string();
        assert!(error.contains("empirical-h4 is no estimator"), "{error}");
    }

    /// A result that was stored before there were preconditioners keeps its key.
    #[test]
    fn a_preconditioner_has_a_name_and_its_absence_leaves_no_trace() {
        let plain = read("through = \"weights\"").unwrap();
        let form = serde_json::to_value(&plain).unwrap();
        assert!(form.get("preconditioner").is_none(), "{form}");
        let named = read("through = \"weights\"\npreconditioner = \"none\"").unwrap();
        assert_eq!(named, plain);
        let kronecker = read("through = \"weights\"\npreconditioner = \"kronecker\"").unwrap();
        assert_eq!(kronecker.name(), "weights-24-kronecker");
        kronecker.check(&[]).unwrap();
        let training =
            "through = \"weights\"\npreconditioner = \"kronecker\"\ndamping = \"training\"";
        let error = read(training).unwrap().check(&[]).unwrap_err().to_string();
        assert!(error.contains("a damping by a number"), "{error}");
    }

    #[test]
    fn a_mean_over_models_names_an_earlier_estimator_and_different_seeds() {
        let average = |seeds: &str| read(&format!("average = \"paper\"\nseeds = {seeds}")).unwrap();
        let earlier = ["paper".to_owned()];
        let mean = average("[0, 5]");
        assert_eq!(mean.name(), "paper-by-2-models");
        mean.check(&earlier).unwrap();
        for (estimator, earlier, says) in [
            (average("[]"), &earlier[..], "is empty"),
            (average("[3, 3]"), &earlier, "3"),
            (average("[0]"), &[], "is no estimator that is listed before"),
        ] {
            let error = estimator.check(earlier).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn checkpoints_divide_the_length_of_a_training_in_order() {
        let with = |more: &str| read(&format!("through = \"weights\"\n{more}")).unwrap();
        let training = "damping = \"training\"\ncheckpoints = ";
        let right = with(&format!("{training}[5, 20]"));
        right.check(&[]).unwrap();
        assert_eq!(right.name(), "weights-24-training-passing-5-20");
        assert_eq!(right.checkpoints(), [5, 20]);
        let form = serde_json::to_value(with("")).unwrap();
        assert!(form.get("checkpoints").is_none(), "{form}");
        let several = "curvature = \"changed\"\nlinearizations = 2";
        for (estimator, says) in [
            (with(&format!("{training}[0, 20]")), "from 1 on"),
            (with(&format!("{training}[20, 5]")), "ascending"),
            (with(&format!("{training}[5, 5]")), "ascending"),
            (
                with("checkpoints = [5]"),
                "in place of a damping by a number",
            ),
            (
                with(&format!("{training}[5]\n{several}")),
                "as linearizations do",
            ),
            (
                with(&format!("{training}[5]\nalignment = true")),
                "alignment compares",
            ),
        ] {
            let error = estimator.check(&[]).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn the_curvature_of_changed_data_has_a_name_and_its_absence_leaves_no_trace() {
        let plain = read("through = \"weights\"").unwrap();
        let form = serde_json::to_value(&plain).unwrap();
        assert!(form.get("curvature").is_none(), "{form}");
        assert!(!plain.depends_on_masses());
        let changed = read("through = \"weights\"\ncurvature = \"changed\"").unwrap();
        assert_eq!(changed.name(), "weights-24-changed");
        assert!(changed.depends_on_masses());
    }

    #[test]
    fn linearisations_divide_a_finite_change_by_a_training() {
        let weights = "through = \"weights\"";
        let (training, changed) = ("damping = \"training\"", "curvature = \"changed\"");
        let read = |more: &[&str], times: usize| {
            let times = format!("linearizations = {times}");
            let lines = [&[weights], more, &[times.as_str()]].concat();
            read(&lines.join("\n")).unwrap()
        };
        let once = read(&[training, changed], 1);
        let form = serde_json::to_value(&once).unwrap();
        assert!(form.get("linearizations").is_none(), "{form}");
        assert_eq!(once.name(), "weights-24-training-changed");
        let twice = read(&[training, changed], 2);
        assert_eq!(twice.name(), "weights-24-training-changed2");
        twice.check(&[]).unwrap();
        for (estimator, says) in [
            (read(&[training], 2), "add curvature = \"changed\""),
            (read(&[changed], 2), "in place of a damping by a number"),
            (read(&[training, changed], 0), "between 1 and 100"),
            (read(&[training, changed], 101), "between 1 and 100"),
        ] {
            let error = estimator.check(&[]).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_field_of_another_kind_is_refused_by_name() {
        for (text, field) in [
            ("through = \"weights\"\nbandwidth = 4.0", "bandwidth"),
            ("density = \"empirical\"\niterations = 4", "iterations"),
            ("combine = [\"a\", \"b\"]\nshare = 0.5\ndraws = 3", "draws"),
            ("combine = [\"a\"]\nshare = 0.5", "2"),
            ("through = \"data\"", "data"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(field), "{text}: {error}");
        }
        let negative = read("through = \"weights\"\ndamping = -1.0").unwrap();
        assert!(negative.check(&[]).is_err());
    }

    /// The key of a stored result holds the serialised form.
    #[test]
    fn the_form_of_a_density_is_that_of_its_own() {
        let density = read("density = \"probability-flow\"").unwrap();
        let alone = serde_json::to_value(density.density().unwrap().unnamed()).unwrap();
        assert_eq!(serde_json::to_value(density.unnamed()).unwrap(), alone);
    }
}
