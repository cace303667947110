//! The schedulers of diffusers: what they say about the model.
//!
//! A scheduler says which noise levels a model was trained on and what it predicts, which decides the denoiser, and how samples
//! are drawn, which has no effect here.

mod betas;
mod edm;

use datasway_diffusion::loss::NoiseDistribution;
use datasway_diffusion::parameterization::{
    EpsilonPrediction, FlowMatching, Parameterization, SamplePrediction, ScorePrediction,
    TimeTable, VelocityPrediction,
};
use datasway_diffusion::precondition::Precondition;
use datasway_diffusion::schedule::{HIGHEST, LOWEST};
use datasway_diffusion::training_noise::TrainingNoise;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fields::{Fields, check_count};
use betas::{BetaSchedule, MAX_STEPS};
use edm::EdmPrediction;

/// Classes with a table of increments β.
const WITH_BETAS: [&str; 17] = [
    "DDPMScheduler",
    "DDIMScheduler",
    "DDIMInverseScheduler",
    "DDPMParallelScheduler",
    "DDIMParallelScheduler",
    "PNDMScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "DPMSolverSDEScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LMSDiscreteScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
];
/// Classes whose first and last increments are others by default.
const WITH_OTHER_BETAS: [&str; 4] = [
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "DPMSolverSDEScheduler",
];

/// Classes that clamp denoised images unless told otherwise.
const CLIPPING: [&str; 5] = [
    "DDPMScheduler",
    "DDIMScheduler",
    "DDIMInverseScheduler",
    "DDPMParallelScheduler",
    "DDIMParallelScheduler",
];

/// Fields of provenance.
const PROVENANCE: [&str; 3] = ["_class_name", "_diffusers_version", "_name_or_path"];

/// Fields that decide how diffusers draws samples, and not what the model is.
const OF_THEIR_SAMPLER: [&str; 35] = [
    "algorithm_type",
    "base_image_seq_len",
    "base_shift",
    "correct_steps",
    "disable_corrector",
    "dynamic_thresholding_ratio",
    "euler_at_final",
    "final_sigmas_type",
    "flow_shift",
    "interpolation_type",
    "lambda_min_clipped",
    "lower_order_final",
    "max_image_seq_len",
    "max_shift",
    "noise_sampler_seed",
    "predict_x0",
    "rho",
    "sample_max_value",
    "sampling_eps",
    "set_alpha_to_one",
    "shift",
    "shift_terminal",
    "sigma_schedule",
    "skip_prk_steps",
    "snr",
    "solver_order",
    "solver_p",
    "solver_type",
    "steps_offset",
    "stochastic_sampling",
    "time_shift_type",
    "timestep_spacing",
    "use_beta_sigmas",
    "use_dynamic_shifting",
    "use_lu_lambdas",
];
/// Quantity that a network was trained to predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PredictionType {
    /// The noise.
    Epsilon,
    /// The image.
    Sample,
    /// The velocity of a variance-preserving path.
    VPrediction,
}

/// The part of a scheduler that belongs to the model.
#[derive(Debug, Clone, PartialEq)]
pub struct SchedulerConfig {
    path: Path,
    clip: Option<f64>,
    notes: Vec<String>,
}

/// The path from images to noise.
#[derive(Debug, Clone, PartialEq)]
enum Path {
    /// Variance preserving, by a table of noise levels.
    Preserving {
        sigmas: Vec<f64>,
        prediction: PredictionType,
        learned_variance: bool,
    },
    /// Variance exploding, with a score network.
    Exploding { range: [f64; 2], steps: usize },
    /// The preconditioning of EDM.
    Edm {
        range: [f64; 2],
        prediction: EdmPrediction,
    },
    /// Straight lines from images to noise.
    Flow { steps: usize },
}

impl SchedulerConfig {
    /// The configuration in a `scheduler_config.json`.
    ///
    /// # Errors
    /// A sentence that names the field that is not valid, not known or not supported.
    pub fn parse(config: &Value) -> Result<Self, String> {
        let mut fields = Fields::new(config)?;
        let class: String = fields.take("_class_name", "DDPMScheduler".to_owned())?;
        fields.ignore(&PROVENANCE);
        let clip = clip(&class, &mut fields)?;
        let mut notes = notes(clip, &mut fields)?;
        let path = match class.as_str() {
            class if WITH_BETAS.contains(&class) => preserving(class, &mut fields)?,
            "ScoreSdeVeScheduler" => exploding(&mut fields)?,
            "EDMEulerScheduler" | "EDMDPMSolverMultistepScheduler" => edm_path(&mut fields)?,
            "FlowMatchEulerDiscreteScheduler" | "FlowMatchHeunDiscreteScheduler" => Path::Flow {
                steps: steps(&mut fields)?,
            },
            other => {
                return Err(format!(
                    "the scheduler is a {other}, which is not supported: {}, ScoreSdeVeScheduler, EDMEulerScheduler and \
                     FlowMatchEulerDiscreteScheduler are",
                    WITH_BETAS.join(", ")
                ));
            }
        };
        fields.ignore(&["use_karras_sigmas", "use_exponential_sigmas"]);
        fields.ignore(&OF_THEIR_SAMPLER);
        fields.finish()?;
        if let Path::Preserving { sigmas, .. } = &path
            && config.get("rescale_betas_zero_snr") == Some(&json!(true))
        {
            notes.push(format!(
                "the last step of training has no signal: noise levels end at {:.0}, that of the step before",
                sigmas[sigmas.len() - 1]
            ));
        }
        Ok(Self { path, clip, notes })
    }

    /// From the output of the network to the denoiser. `whole_steps` rounds to time steps of training, for a network that knows no
    /// others.
    ///
    /// # Errors
    /// If the noise levels make no table.
    pub fn parameterization(&self, whole_steps: bool) -> Result<Box<dyn Parameterization>, String> {
        Ok(match &self.path {
            Path::Preserving {
                sigmas, prediction, ..
            } => {
                let times = TimeTable::new(sigmas).map_err(|error| error.to_string())?;
                let times = if whole_steps { times.rounded() } else { times };
                match prediction {
                    PredictionType::Epsilon => Box::new(EpsilonPrediction { times }),
                    PredictionType::Sample => Box::new(SamplePrediction { times }),
                    PredictionType::VPrediction => Box::new(VelocityPrediction { times }),
                }
            }
            Path::Exploding { .. } => Box::new(ScorePrediction),
            Path::Edm { prediction, .. } => Box::new(*prediction),
            Path::Flow { steps } => Box::new(FlowMatching {
                times: *steps as f64,
            }),
        })
    }

    /// Lowest and highest noise level of training.
    pub fn sigma_range(&self) -> [f64; 2] {
        match &self.path {
            Path::Preserving { sigmas, .. } => [sigmas[0], sigmas[sigmas.len() - 1]],
            Path::Exploding { range, .. } | Path::Edm { range, .. } => *range,
            Path::Flow { steps } => {
                let levels = flow_levels(*steps);
                [levels[0], levels[levels.len() - 1]]
            }
        }
    }

    /// The distribution of noise levels in training.
    pub fn training_noise(&self) -> TrainingNoise {
        match &self.path {
            Path::Preserving { sigmas, .. } => TrainingNoise::Levels(sigmas.clone()),
            Path::Exploding {
                range: [low, high],
                steps,
            } => {
                let fraction = |i: usize| i as f64 / (steps - 1) as f64;
                let level = |i: usize| low * (high / low).powf(fraction(i));
                TrainingNoise::Levels((0..*steps).map(level).collect())
            }
            Path::Edm { .. } => TrainingNoise::LogNormal(NoiseDistribution::EDM),
            Path::Flow { steps } => TrainingNoise::Levels(flow_levels(*steps)),
        }
    }

    /// True if the model also predicts variances, in further channels.
    pub fn learned_variance(&self) -> bool {
        match self.path {
            Path::Preserving {
                learned_variance, ..
            } => learned_variance,
            Path::Exploding { .. } | Path::Edm { .. } | Path::Flow { .. } => false,
        }
    }

    /// True if the network predicts a score of a variance-exploding path.
    pub fn is_score(&self) -> bool {
        matches!(self.path, Path::Exploding { .. })
    }

    /// Name of the predicted quantity, in a few words.
    pub fn prediction(&self) -> &'static str {
        match &self.path {
            Path::Preserving { prediction, .. } => match prediction {
                PredictionType::Epsilon => "prediction of the noise",
                PredictionType::Sample => "prediction of the image",
                PredictionType::VPrediction => "prediction of the velocity",
            },
            Path::Exploding { .. } => "prediction of the score",
            Path::Edm { .. } => "preconditioning of EDM",
            Path::Flow { .. } => "flow matching",
        }
    }

    /// The magnitude to which their sampler clamps every denoised image; none if it does not clamp.
    pub fn clip(&self) -> Option<f64> {
        self.clip
    }

    /// Sentences about settings of their sampler that change its samples and have no effect here.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// `clip_sample_range` where `clip_sample` is set.
fn clip(class: &str, fields: &mut Fields) -> Result<Option<f64>, String> {
    let clips = fields.take("clip_sample", Some(CLIPPING.contains(&class)))?;
    let range: Option<f64> = fields.take("clip_sample_range", None)?;
    let range = range.unwrap_or(1.0);
    if clips != Some(true) {
        return Ok(None);
    }
    if range > 0.0 && range.is_finite() {
        return Ok(Some(range));
    }
    Err(format!(
        "the field clip_sample_range must be positive, not {range}"
    ))
}

/// Notes about settings that change their samples, and refusals of those that change the model.
fn notes(clip: Option<f64>, fields: &mut Fields) -> Result<Vec<String>, String> {
    fields.require("use_flow_sigmas", &[json!(false), Value::Null])?;
    // The network would be told the time step of 1 − s, and predict the negative velocity.
    fields.require("invert_sigmas", &[json!(false), Value::Null])?;
    // A continuous network is told ln(σ)/4 and no time step.
    fields.require("timestep_type", &[json!("discrete")])?;
    let thresholds = fields.take("thresholding", Some(false))?;
    let mut notes = Vec::new();
    if let Some(range) = clip {
        notes.push(format!(
            "clip_sample: their sampler clamps every denoised image to [-{range}, {range}]; it is not clamped here, so that samples \
             depend smoothly on the data"
        ));
    }
    if thresholds == Some(true) {
        notes.push(
            "thresholding: their sampler scales every denoised image by its own quantile; it is not scaled here".to_owned(),
        );
    }
    Ok(notes)
}

fn steps(fields: &mut Fields) -> Result<usize, String> {
    let steps = fields.take("num_train_timesteps", 1000)?;
    check_count("num_train_timesteps", steps, MAX_STEPS)?;
    if steps < 2 {
        return Err("the field num_train_timesteps must be at least 2".to_owned());
    }
    Ok(steps)
}

fn preserving(class: &str, fields: &mut Fields) -> Result<Path, String> {
    let [first, last] = if WITH_OTHER_BETAS.contains(&class) {
        [0.00085, 0.012]
    } else {
        [0.0001, 0.02]
    };
    let steps = steps(fields)?;
    let range = [
        fields.take("beta_start", first)?,
        fields.take("beta_end", last)?,
    ];
    let schedule: BetaSchedule = fields.take("beta_schedule", BetaSchedule::Linear)?;
    let trained: Option<Vec<f32>> = fields.take("trained_betas", None)?;
    let no_terminal_signal = fields.take("rescale_betas_zero_snr", false)?;
    let prediction = prediction(fields)?;
    // Of the sampler of EulerDiscreteScheduler, where they replace the ends of its own noise levels.
    fields.ignore(&["sigma_min", "sigma_max"]);
    let variance: Option<String> = fields.take("variance_type", None)?;
    if !range.iter().all(|beta| *beta > 0.0 && *beta < 1.0) {
        return Err(format!(
            "the fields beta_start and beta_end must be between 0 and 1, not {} and {}",
            range[0], range[1]
        ));
    }
    let betas = match trained {
        Some(betas) => checked_betas(betas)?,
        None => schedule.betas(range, steps),
    };
    let betas = if no_terminal_signal {
        betas::without_terminal_signal(&betas)
    } else {
        betas
    };
    let sigmas = betas::noise_levels(&betas::signals(&betas));
    // The range of the table, and that it is one.
    TimeTable::new(&sigmas).map_err(|error| format!("the noise levels are no table: {error}"))?;
    Ok(Path::Preserving {
        sigmas,
        prediction,
        learned_variance: variance.is_some_and(|variance| variance.starts_with("learned")),
    })
}

/// Increments that are given one by one.
fn checked_betas(betas: Vec<f32>) -> Result<Vec<f32>, String> {
    check_count("trained_betas", betas.len(), MAX_STEPS)?;
    if betas.iter().all(|beta| *beta > 0.0 && *beta < 1.0) {
        return Ok(betas);
    }
    Err("the field trained_betas must hold numbers between 0 and 1".to_owned())
}

/// `prediction_type`, or `predict_epsilon` of early versions.
fn prediction(fields: &mut Fields) -> Result<PredictionType, String> {
    let early: Option<bool> = fields.take("predict_epsilon", None)?;
    let default = if early == Some(false) {
        PredictionType::Sample
    } else {
        PredictionType::Epsilon
    };
    let prediction = fields.take("prediction_type", None)?;
    match (prediction, early) {
        (Some(PredictionType::Sample), Some(true))
        | (Some(PredictionType::Epsilon), Some(false)) => {
            Err("the fields prediction_type and predict_epsilon contradict each other".to_owned())
        }
        (prediction, _) => Ok(prediction.unwrap_or(default)),
    }
}

fn exploding(fields: &mut Fields) -> Result<Path, String> {
    let steps = fields.take("num_train_timesteps", 2000)?;
    check_count("num_train_timesteps", steps, MAX_STEPS)?;
    let range = sigma_range(fields, [0.01, 1348.0])?;
    Ok(Path::Exploding {
        range,
        steps: steps.max(2),
    })
}

fn edm_path(fields: &mut Fields) -> Result<Path, String> {
    fields.ignore(&["num_train_timesteps"]);
    let range = sigma_range(fields, [0.002, 80.0])?;
    let sigma_data = fields.take("sigma_data", 0.5)?;
    let edm = Precondition::new(sigma_data).map_err(|error| error.to_string())?;
    let is_negative = match prediction(fields)? {
        PredictionType::Epsilon => false,
        PredictionType::VPrediction => true,
        PredictionType::Sample => {
            return Err(
                "the field prediction_type is sample, or predict_epsilon is false, which EDM's schedulers do not have: a prediction_type of epsilon \
                     or v_prediction is expected"
                    .to_owned(),
            );
        }
    };
    Ok(Path::Edm {
        range,
        prediction: EdmPrediction { edm, is_negative },
    })
}

/// `sigma_min` and `sigma_max`.
fn sigma_range(fields: &mut Fields, [low, high]: [f64; 2]) -> Result<[f64; 2], String> {
    let range @ [low, high] = [
        fields.take("sigma_min", low)?,
        fields.take("sigma_max", high)?,
    ];
    if LOWEST <= low && low < high && high <= HIGHEST {
        return Ok(range);
    }
    Err(format!(
        "the fields sigma_min and sigma_max must be rising and between {LOWEST:e} and {HIGHEST:e}, not {low:e} and {high:e}"
    ))
}

/// `σ = s/(1 − s)` at the middles of even parts s of (0, 1).
fn flow_levels(steps: usize) -> Vec<f64> {
    let level = |i: usize| {
        let s = (i as f64 + 0.5) / steps as f64;
        s / (1.0 - s)
    };
    (0..steps).map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(config: Value) -> Result<SchedulerConfig, String> {
        SchedulerConfig::parse(&config)
    }

    #[test]
    fn ranges_of_noise_levels_are_those_of_the_usual_schedules() {
        // Computed by diffusers.
        for (config, [low, high]) in [
            (json!({}), [0.0100, 157.4]),
            (
                json!({"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}),
                [0.0292, 14.6],
            ),
            (
                json!({"beta_schedule": "squaredcos_cap_v2"}),
                [0.0064, 20_291.0],
            ),
        ] {
            let range = parse(config).unwrap().sigma_range();
            assert!((range[0] / low - 1.0).abs() < 5e-3, "{range:?}");
            assert!((range[1] / high - 1.0).abs() < 5e-3, "{range:?}");
        }
    }

    /// A scheduler for each path from images to noise, and each table of increments.
    fn schedulers() -> Vec<Value> {
        let class = |name: &str| json!({"_class_name": name});
        let betas = |schedule: &str| json!({"beta_schedule": schedule});
        vec![
            betas("linear"),
            betas("scaled_linear"),
            betas("squaredcos_cap_v2"),
            betas("sigmoid"),
            betas("laplace"),
            json!({"rescale_betas_zero_snr": true}),
            json!({"trained_betas": [0.1, 0.2, 0.4]}),
            class("HeunDiscreteScheduler"),
            class("ScoreSdeVeScheduler"),
            class("EDMEulerScheduler"),
            class("FlowMatchEulerDiscreteScheduler"),
        ]
    }

    /// Noise levels and coefficients are numbers, and the levels rise.
    fn check_sound(scheduler: &SchedulerConfig) -> Result<(), String> {
        let [low, high] = scheduler.sigma_range();
        if !(low > 0.0 && low < high && high.is_finite()) {
            return Err(format!("noise levels from {low} to {high}"));
        }
        let clip = scheduler.clip();
        if clip.is_some_and(|range| !(range > 0.0 && range.is_finite())) {
            return Err(format!("denoised images are clamped to {clip:?}"));
        }
        let noise = scheduler.training_noise();
        let trained = [1e-9, 0.5, 1.0 - 1e-9].map(|quantile| noise.quantile(quantile));
        let ends = [low, (low.ln() / 2.0 + high.ln() / 2.0).exp(), high];
        for whole_steps in [false, true] {
            let p = scheduler.parameterization(whole_steps)?;
            for sigma in [trained, ends].concat() {
                let all = [p.c_skip(sigma), p.c_out(sigma), p.c_in(sigma)];
                let all = [&all[..], &[sigma, p.c_noise(sigma), p.loss_weight(sigma)]].concat();
                if !all.iter().all(|number| number.is_finite()) || p.c_in(sigma) <= 0.0 {
                    return Err(format!("coefficients {all:?} at {sigma}"));
                }
            }
        }
        Ok(())
    }

    #[test]
    fn an_odd_value_of_any_field_is_refused_by_name_or_gives_noise_levels_that_are_numbers() {
        let odd = [
            json!(null),
            json!(true),
            json!(false),
            json!(""),
            json!("NaN"),
            json!("1"),
            json!([]),
            json!([0.5]),
            json!([0.5, 0.5]),
            json!([0.0, 1.0]),
            json!([1e-300, 1e300]),
            json!([0.999, 0.999, 0.999]),
            json!({}),
            json!(0),
            json!(1),
            json!(2),
            json!(-1),
            json!(0.5),
            json!(0.999999999),
            json!(5e-324),
            json!(1e-30),
            json!(1e-7),
            json!(1e7),
            json!(1e30),
            json!(1e300),
            json!(-1e300),
            json!(MAX_STEPS),
            json!(u64::MAX),
        ];
        let fields = [
            "num_train_timesteps",
            "beta_start",
            "beta_end",
            "beta_schedule",
            "trained_betas",
            "rescale_betas_zero_snr",
            "prediction_type",
            "predict_epsilon",
            "variance_type",
            "clip_sample",
            "clip_sample_range",
            "thresholding",
            "sigma_min",
            "sigma_max",
            "sigma_data",
            "timestep_type",
            "use_karras_sigmas",
            "use_flow_sigmas",
            "invert_sigmas",
        ];
        let mut wrong = Vec::new();
        for scheduler in schedulers() {
            for field in fields.iter().chain(&OF_THEIR_SAMPLER) {
                for value in &odd {
                    let mut config = scheduler.clone();
                    config[*field] = value.clone();
                    let shown: String = config.to_string().chars().take(200).collect();
                    match parse(config) {
                        Ok(read) => {
                            wrong.extend(check_sound(&read).err().map(|why| shown + ": " + &why))
                        }
                        Err(message) => {
                            if !message.contains(field) && !message.contains("no table") {
                                wrong.push(shown + " does not name the field: " + &message);
                            }
                            if OF_THEIR_SAMPLER.contains(field) {
                                wrong.push(format!(
                                    "{field} has no effect and is refused: {message}"
                                ));
                            }
                        }
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn a_field_that_changes_the_model_is_honoured_or_refused_by_name() {
        for (config, says) in [
            (json!({"surprise": 1}), "surprise"),
            (json!({"beta_schedule": "square"}), "beta_schedule"),
            (
                json!({"prediction_type": "flow_prediction"}),
                "prediction_type",
            ),
            (
                json!({"predict_epsilon": false, "prediction_type": "epsilon"}),
                "contradict",
            ),
            (json!({"beta_start": -1.0}), "beta_start"),
            (json!({"trained_betas": [0.1, 2.0]}), "trained_betas"),
            (json!({"clip_sample_range": -1.0}), "clip_sample_range"),
            (
                json!({"num_train_timesteps": 1_000_000_000}),
                "num_train_timesteps",
            ),
            (json!({"num_train_timesteps": 1}), "num_train_timesteps"),
            (
                json!({"_class_name": "KarrasVeScheduler"}),
                "KarrasVeScheduler",
            ),
            (
                json!({"_class_name": "EDMEulerScheduler", "prediction_type": "sample"}),
                "prediction_type",
            ),
            (
                json!({"_class_name": "ScoreSdeVeScheduler", "sigma_min": 2.0, "sigma_max": 1.0}),
                "sigma_min",
            ),
            (
                json!({"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"}),
                "timestep_type",
            ),
            (
                json!({"_class_name": "FlowMatchEulerDiscreteScheduler", "invert_sigmas": true}),
                "invert_sigmas",
            ),
            (
                json!({"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": true}),
                "use_flow_sigmas",
            ),
        ] {
            let error = parse(config).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        let clipped = parse(json!({"_class_name": "DDPMScheduler"})).unwrap();
        assert!(clipped.notes()[0].starts_with("clip_sample"));
        assert_eq!(clipped.clip(), Some(1.0));
        let wide = json!({"_class_name": "DDIMScheduler", "clip_sample_range": 2.5});
        assert_eq!(parse(wide).unwrap().clip(), Some(2.5));
        for off in [
            json!({"_class_name": "DDPMScheduler", "clip_sample": false}),
            json!({"_class_name": "DPMSolverMultistepScheduler"}),
        ] {
            assert_eq!(parse(off).unwrap().clip(), None);
        }
        let early = parse(json!({"predict_epsilon": false})).unwrap();
        assert_eq!(early.prediction(), "prediction of the image");
        let zero =
            parse(json!({"rescale_betas_zero_snr": true, "prediction_type": "v_prediction"}));
        let zero = zero.unwrap();
        assert!(zero.sigma_range()[1].is_finite());
        // A DDPMScheduler clips where its file is silent.
        let says = |words: &str| zero.notes().iter().any(|note| note.contains(words));
        assert!(says("no signal") && says("clip_sample"));
    }
}
