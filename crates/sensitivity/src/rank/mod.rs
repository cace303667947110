//! `sensitivity`: samples ranked by their sensitivity to changes of the training data.

mod compare;
mod directions;
mod output;
pub mod page;
mod prepared;
mod run;
mod shard;
pub mod strip;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use datasway_cli::number::{self, count, real};
use datasway_cli::progress_bar;
use datasway_fs::output::Kind;
use datasway_fs::plural;
use datasway_report::plot::number as short;
use datasway_sensitivity::Through;
use datasway_sensitivity::density::DensityKind;
use datasway_sensitivity::learner::LearnerConfig;
use datasway_sensitivity::{
    Change, Direction, RankedDirection, RankedSample, RankedSensitivities, SensitivityConfig,
    TrainedModel,
};

use crate::default_model;
use crate::model_arguments::ModelArgs;
use crate::picture_arguments::PictureArgs;
use crate::replay::FromArgs;
use crate::resolution::resolve;
use crate::run_info::{LearnerInfo, RunInfo, SamplerKind};
use crate::shard::{ShardArgs, Share};
use crate::through_arguments::ThroughArgs;
use directions::MODEL;
use run::{RankRun, zero_check_text};

/// Samples to draw, where nothing else is said.
const SAMPLES: usize = 64;

/// Arguments of the ranking.
#[derive(clap::Args)]
pub struct RankArgs {
    /// Data to add: images, such as attr:Eyeglasses, class:8 or folder:PATH, or what another model was
    /// trained on, model:CHECKPOINT; repeatable
    #[arg(long, value_name = "SELECTION")]
    add: Vec<String>,
    /// Images to remove; repeatable
    #[arg(long, value_name = "SELECTION")]
    remove: Vec<String>,
    /// Samples to draw [default: 64]
    #[arg(long, value_parser = count(number::SAMPLES))]
    samples: Option<usize>,
    #[command(flatten)]
    pictures: PictureArgs,
    /// Also tell for every sample the largest |η| up to which the prediction ηδ holds to a tenth, from the second
    /// derivative; takes three to four times as long
    #[arg(long)]
    limit: bool,
    /// Also tell what each step of the sampler adds to ‖δ‖: at which noise levels a direction acts; takes a backward pass
    #[arg(long)]
    by_step: bool,
    #[command(flatten)]
    through: ThroughArgs,
    /// Draws of the training loss for the gradient of each set of images, through weights [default: 32768]
    #[arg(long, value_name = "COUNT", value_parser = count(number::DRAWS))]
    gradient_draws: Option<usize>,
    /// Measure the noise of the draws in δ, through weights: two solutions with half of the draws each
    #[arg(long)]
    draw_noise: bool,
    /// Mass of each change relative to that of the training data, through weights: the weights are moved by it and the samples drawn
    /// again, in the place of the derivative; a removal takes the whole group at most
    #[arg(long, value_parser = real(number::MASS))]
    mass: Option<f64>,
    /// Times that the training loss is taken as quadratic on the way of the weights by --mass, with --damping training: more follow a
    /// large change better and take as many times as long [default: 1]
    #[arg(long, value_name = "COUNT", value_parser = count(number::LINEARIZATIONS))]
    linearizations: Option<usize>,
    #[command(flatten)]
    model: ModelArgs,
    /// Compare with an earlier run of the same samples and changes by another form, and warn where the two do not agree: the
    /// folder of its results
    #[arg(long, value_name = "FOLDER")]
    compare: Option<PathBuf>,
    /// Leave the direction's own images out of the page
    #[arg(long)]
    no_photos: bool,
    /// Folder of the results
    #[arg(long, default_value = "runs/sensitivity")]
    out: PathBuf,
    #[command(flatten)]
    pub shard: ShardArgs,
    #[command(flatten)]
    pub replay: FromArgs,
}

/// The files of a ranking.
static FOLDER: Kind = Kind {
    name: "run of `sensitivity`",
    files: &[
        "sensitivities.safetensors",
        "ranking.csv",
        "pictures.csv",
        "add-*.png",
        "remove-*.png",
        "index.html",
        "summary.json",
    ],
    marks: &[
        ("sensitivities.safetensors", ""),
        ("summary.json", "\"sway\""),
    ],
};

/// Ranks samples by their sensitivity to each change of the training data, and writes the folder.
///
/// # Errors
/// If the arguments contradict each other, the model or its images are not found, the computation fails, the results
/// cannot be written, or a sensitivity is not finite.
pub fn execute(mut arguments: RankArgs) -> Result<()> {
    arguments.name_default_changes()?;
    let config = arguments.config()?;
    arguments.check(&config)?;
    if let Some(shard) = arguments.shard.shard() {
        let share = Share::open(&arguments.out, shard)?;
        let at_a_time = config.batch;
        let prepared = arguments.prepare(config, at_a_time)?;
        return arguments.compute_share(&prepared, &share);
    }
    let folder = datasway_cli::result_folder(&arguments.out, &FOLDER)?;
    let prepared = arguments.prepare(config, usize::MAX)?;
    let (model, config, directions) = (prepared.model, prepared.config, prepared.directions);
    let earlier = arguments.earlier_run(&model, &directions, &config)?;
    let photos = if arguments.no_photos {
        vec![Vec::new(); directions.len()]
    } else {
        directions::photos(&directions, &config, &model)?
    };
    let (mut results, info) = match arguments.through.through() {
        Through::Data => arguments.through_data(&model, directions, &config)?,
        Through::Weights => arguments.through_weights(&model, directions, &config)?,
    };
    if let Some(earlier) = &earlier {
        results.compare(&earlier.deltas);
    }
    let clip_sample = model.clip_difference(&results.sensitivities.samples, &config)?;
    let info = info.with_clip_sample(clip_sample);
    let mut run = RankRun::new(info, &results, arguments.limit, model.images.shape);
    run.recorded = arguments.replay.recorded.clone();
    run.pictures = prepared.pictures;
    run.compared_with = earlier.map(|earlier| earlier.form);
    output::write(folder.path(), &results, &photos, &run)?;
    folder.finish()?;
    if let Some(solution) = run.info.weights() {
        datasway_cli::tell(solution);
    }
    datasway_cli::tell_if(run.info.weights_warning());
    tell_results(&results, &arguments.out.join("index.html"));
    ensure_finite(&results, arguments.through.through())
}

impl RankArgs {
    /// Sensitivities of the ideal score of the training data.
    fn through_data(
        &self,
        model: &TrainedModel,
        directions: Vec<Direction>,
        config: &SensitivityConfig,
    ) -> Result<(RankedSensitivities, RunInfo)> {
        let resolved = resolve(model, config)?;
        let info = RunInfo::new(model, self.model.sampler_info(model), config, &resolved);
        self.replay.check_model(&info)?;
        if let Some(shards) = &self.shard.merged {
            let (results, _) = self.merged(shards, model, config)?;
            return Ok((RankedSensitivities::new(directions, results), info));
        }
        datasway_cli::tell(start_message(&directions, config.samples, &info));
        let bar = progress_bar(
            config.samples as u64,
            "{bar:30} {pos}/{len} samples  {eta} left",
        )?;
        let results = model.ranked_sensitivities(directions, &resolved, |n| bar.inc(n as u64))?;
        bar.finish_and_clear();
        Ok((results, info))
    }

    /// Sensitivities of the weights of the model.
    fn through_weights(
        &self,
        model: &TrainedModel,
        directions: Vec<Direction>,
        config: &SensitivityConfig,
    ) -> Result<(RankedSensitivities, RunInfo)> {
        let info = self.weights_info(model, config);
        self.replay.check_model(&info)?;
        let learner = self.learner(model)?;
        if let Some(shards) = &self.shard.merged {
            let (results, report) = self.merged(shards, model, config)?;
            let info = match report {
                Some(report) => info.with_weights(LearnerInfo::of_tangent(&learner, report)),
                None => info,
            };
            return Ok((RankedSensitivities::new(directions, results), info));
        }
        datasway_cli::tell(start_message(&directions, config.samples, &info));
        let bar = progress_bar(1000, "{bar:30} {percent} %  at most {eta} left")?;
        let at = |fraction: f64| bar.set_position((1000.0 * fraction) as u64);
        let (results, solution) = model.weight_sensitivities(directions, config, learner, at)?;
        bar.finish_and_clear();
        let weights = LearnerInfo::of_tangent(&learner, solution.report);
        Ok((results, info.with_weights(weights)))
    }

    /// The information of a model and of options for the change through its weights.
    fn weights_info(&self, model: &TrainedModel, config: &SensitivityConfig) -> RunInfo {
        let sampler = self.model.sampler_info(model);
        RunInfo::through_weights(model, sampler, config)
            .with_mass(self.mass, self.linearizations.unwrap_or(1))
    }

    /// Options of the derivative through the weights.
    fn learner(&self, model: &TrainedModel) -> Result<LearnerConfig> {
        let (batch, seed) = (self.model.batch(), self.model.seed());
        let config = self.through.learner(model.training.run, batch, seed)?;
        Ok(LearnerConfig {
            gradient_draws: self.gradient_draws.unwrap_or(config.gradient_draws),
            linearizations: self.linearizations.unwrap_or(config.linearizations),
            draw_noise: self.draw_noise,
            ..config
        })
    }

    /// The changes that show the shipped model, where the arguments name neither a change nor a checkpoint.
    fn name_default_changes(&mut self) -> Result<()> {
        if !self.add.is_empty() || !self.remove.is_empty() {
            return Ok(());
        }
        if self.model.checkpoint.is_some() {
            bail!(
                "name a change of the data with --add or --remove, such as --add attr:Eyeglasses"
            );
        }
        self.add = vec![default_model::ADD.to_owned()];
        self.remove = vec![default_model::REMOVE.to_owned()];
        Ok(())
    }

    /// Options of the sensitivities. The second derivative and the data of another model need the model's own density.
    fn config(&self) -> Result<SensitivityConfig> {
        let added_model = self.add.iter().find(|text| text.starts_with(MODEL));
        let model_density = self.limit || added_model.is_some();
        ensure!(
            !model_density || self.model.sampler() != SamplerKind::Stochastic,
            "--sampler stochastic does not go with --limit or a direction {MODEL}CHECKPOINT, which follow an ODE: use heun or euler"
        );
        let config = SensitivityConfig {
            curvature: self.limit,
            by_step: self.by_step,
            ..self
                .model
                .config(self.samples.unwrap_or(SAMPLES), model_density)
        };
        let density = config.density.density;
        ensure!(
            !self.limit || density == DensityKind::ProbabilityFlow,
            "the limit follows the model's own density: --limit needs --density probability-flow"
        );
        if let Some(text) = added_model {
            ensure!(
                density == DensityKind::ProbabilityFlow,
                "--add {text}: another model's density can only be compared with this model's own, not with that of the training images: \
                 use --density probability-flow and no --bandwidth"
            );
        }
        Ok(config)
    }

    /// Checks that the changes can be read and are different, and that the other arguments go together.
    fn check(&self, config: &SensitivityConfig) -> Result<()> {
        directions::check("--add", &self.add, Change::Add)?;
        directions::check("--remove", &self.remove, Change::Remove)?;
        self.pictures.check(self.samples, self.model.sampler())?;
        self.through.check()?;
        self.through
            .check_option("--gradient-draws", self.gradient_draws.is_some())?;
        self.through.check_option("--draw-noise", self.draw_noise)?;
        self.through.check_option("--mass", self.mass.is_some())?;
        for (option, is_given) in [
            ("--draw-noise", self.draw_noise),
            ("--by-step", self.by_step),
        ] {
            ensure!(
                self.mass.is_none() || !is_given,
                "{option} is for the derivative, which --mass does not compute: leave one of them out"
            );
        }
        if self.linearizations.is_some() {
            ensure!(
                self.mass.is_some() && self.through.is_by_training(),
                "--linearizations is for --mass with --damping training: leave it out or add those"
            );
        }
        if self.through.through() == Through::Data {
            return self.model.check(config);
        }
        ensure!(
            !self.limit,
            "--limit is for --through data: the derivative through the weights has no second order yet"
        );
        let mut added = self.add.iter();
        if let Some(text) = added.find(|text| text.starts_with(MODEL)) {
            bail!(
                "--add {text}: --through weights needs the images of a change, not a model of them"
            );
        }
        self.model.check_without_density()
    }

    /// Bytes of the results: in memory, as the arrays of a file, and as the file.
    fn result_bytes(&self, samples: usize, model: &TrainedModel) -> u128 {
        let directions = self.add.len() + self.remove.len();
        let derivatives = directions * (1 + usize::from(self.limit));
        // Noise, samples, zero check and all derivatives are as large as a sample; the other arrays are small.
        let images = samples as u128 * (3 + derivatives as u128);
        3 * 4 * images * model.images.shape.dim() as u128
    }
}

/// The line before the computation, for the reader to check.
fn start_message(directions: &[Direction], samples: usize, info: &RunInfo) -> String {
    let change = |direction: &Direction| {
        let verb = match direction.change() {
            Change::Add => "adding",
            Change::Remove => "removing",
        };
        format!("{verb} {}", direction.selection())
    };
    let changes: Vec<String> = directions.iter().map(change).collect();
    format!(
        "{} of {}: how would each move on {}? ({})",
        plural(samples, "sample"),
        info.model(),
        changes.join(" and on "),
        info.form()
    )
}

/// The lines after the computation.
fn tell_results(results: &RankedSensitivities, page: &Path) {
    for direction in &results.directions {
        datasway_cli::tell(result_message(direction));
    }
    let sensitivities = &results.sensitivities;
    if let Some(text) = zero_check_text(sensitivities) {
        datasway_cli::tell(format!("zero check ‖δ(all)‖: {text}"));
    }
    datasway_cli::tell(format!(
        "{} in {:.0} s; open {}",
        plural(sensitivities.count(), "sample"),
        sensitivities.cost.total,
        page.display()
    ));
}

/// The line about one direction after the computation.
fn result_message(ranked: &RankedDirection) -> String {
    let (ranking, radii) = (&ranked.ranking, ranked.trust_radii());
    let radius = match radii.get(radii.len() / 2) {
        Some(radius) => format!("; half of them are trusted up to |η| = {radius:.2e}"),
        None => String::new(),
    };
    let agreements = ranked.agreements();
    let agreement = match agreements.get(agreements.len() / 2) {
        Some(agreement) => format!("; half of them agree with the other form to {agreement:.2}"),
        None => String::new(),
    };
    let noises = ranked.relative_draw_noises();
    let noise = match noises.get(noises.len() / 2) {
        Some(noise) => format!(
            "; the draws leave half of them a noise of {:.0} % at most",
            100.0 * noise
        ),
        None => String::new(),
    };
    let warned = ranking.iter().filter(|row| !row.warnings.is_empty());
    let images = match ranked.direction.images().map(datasway_data::Dataset::len) {
        None => String::new(),
        Some(count) => format!("{}; ", plural(count, "image")),
    };
    let mass = match ranked.direction.signed_mass() {
        None => String::new(),
        Some(mass) => format!(" (mass {})", short(mass)),
    };
    format!(
        "{}{mass}: {images}sample {} moves most (‖δ‖ = {:.3}); {} of {} with a warning{radius}{noise}{agreement}",
        ranked.direction,
        ranking[0].index,
        ranking[0].score,
        warned.count(),
        plural(ranking.len(), "sample")
    )
}

fn ensure_finite(results: &RankedSensitivities, through: Through) -> Result<()> {
    let rows = || results.directions.iter().flat_map(|d| &d.ranking);
    let is_lost = |row: &&RankedSample| !row.score.is_finite();
    let lost = rows().filter(is_lost).count();
    let why = match through {
        Through::Data => {
            "because the density ratio overflowed; they stand last in the ranking and have no score: use --bandwidth auto, or another \
             --density"
        }
        Through::Weights => {
            "because the change of the model overflowed; they stand last in the ranking and have no score: use more --damping, or a smaller --mass if \
             there is one"
        }
    };
    ensure!(
        lost == 0,
        "{lost} of {} sensitivities are not finite, {why}",
        rows().count()
    );
    Ok(())
}
