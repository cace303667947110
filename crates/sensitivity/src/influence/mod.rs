//! `sensitivity influence`: the influence of training images on functionals of samples.

pub mod functional_spec;
mod groups;
mod output;
pub mod page;
mod run;
mod shard;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use datasway_cli::memory::ensure_room;
use datasway_cli::number::{self, count};
use datasway_cli::progress_bar;
use datasway_data::Selection;
use datasway_fs::output::Kind;
use datasway_fs::plural;
use datasway_sensitivity::Through;
use datasway_sensitivity::influence::{
    Functional, Influences, compute_through_weights, compute_with_candidates, solved_together,
};
use datasway_sensitivity::learner::{LearnerConfig, SolverReport};
use datasway_sensitivity::measure::ImagePoints;
use datasway_sensitivity::{ResolvedConfig, SensitivityConfig, TrainedModel};

use self::run::{ImageSets, InfluenceRun};
use crate::model_arguments::ModelArgs;
use crate::picture_arguments::{GivenPictures, PictureArgs};
use crate::replay::FromArgs;
use crate::resolution::resolve;
use crate::run_info::{LearnerInfo, RunInfo};
use crate::shard::{ShardArgs, Share};
use crate::through_arguments::ThroughArgs;

/// Samples to draw, where nothing else is said.
const SAMPLES: usize = 16;

/// The files of an influence run.
static FOLDER: Kind = Kind {
    name: "run of `sensitivity influence`",
    files: &[
        "influence.safetensors",
        "images.csv",
        "groups.csv",
        "candidates.csv",
        "pictures.csv",
        "index.html",
        "summary.json",
    ],
    marks: &[("influence.safetensors", ""), ("summary.json", "\"sway\"")],
};

/// For each sample the influence of every training image on what you ask of it, by one sweep back through the sampler:
/// which images made it so, and which stood against it. Writes tensors, tables and a page. Unless told otherwise, what a
/// model learns from an image is that of the blurred training set: --bandwidth auto.
#[derive(clap::Args)]
pub struct InfluenceArgs {
    /// Functional of a sample; repeatable.
    /// principal: how far it is along the line on which training images move it most.
    /// region:X,Y,WIDTH,HEIGHT or region:MASK.png: the mean of its pixels there.
    /// image:PATH or image:INDEX: its squared distance to that image, or that training image.
    /// log-odds:FILE.safetensors:LABEL: the log-odds of a label, such as attr:Eyeglasses, by a classifier of `train classifier`.
    /// linear:FILE.safetensors:TENSOR: its product with a direction of d numbers, or of `[n, d]`, one for each sample
    #[arg(
        long = "of",
        value_name = "FUNCTIONAL",
        default_value = "principal",
        verbatim_doc_comment
    )]
    functionals: Vec<String>,
    /// Samples to draw [default: 16]
    #[arg(long, value_parser = count(number::SAMPLES))]
    samples: Option<usize>,
    #[command(flatten)]
    pictures: PictureArgs,
    /// Images outside the training set, such as folder:PATH: the influence that each would have if it were added
    #[arg(long, value_name = "SELECTION")]
    candidates: Option<String>,
    /// Images to show at either end for each sample
    #[arg(long, default_value_t = 8, value_name = "COUNT", value_parser = count(number::SHOWN))]
    top: usize,
    /// Also write what each step of the sampler adds to the influence of every image: at which noise levels it acts
    #[arg(long)]
    by_step: bool,
    #[command(flatten)]
    through: ThroughArgs,
    /// Draws of the training loss of each image, through weights [default: 64]
    #[arg(long, value_name = "COUNT", value_parser = count(number::DRAWS))]
    image_draws: Option<usize>,
    #[command(flatten)]
    model: ModelArgs,
    /// Leave training images out of the page
    #[arg(long)]
    no_photos: bool,
    /// Folder of the results
    #[arg(long, default_value = "runs/influence")]
    out: PathBuf,
    #[command(flatten)]
    pub shard: ShardArgs,
    #[command(flatten)]
    pub replay: FromArgs,
}

/// Computes the influences and writes the folder.
///
/// # Errors
/// If the arguments contradict each other, the model or its images are not found, the computation fails, the results
/// cannot be written, or an influence is not finite.
pub fn execute(mut arguments: InfluenceArgs) -> Result<()> {
    let config = SensitivityConfig {
        zero_check: false,
        by_step: arguments.by_step,
        ..arguments
            .model
            .config(arguments.samples.unwrap_or(SAMPLES), false)
    };
    datasway_cli::distinct("--of", &arguments.functionals, functional_spec::meaning)?;
    if let Some(shard) = arguments.shard.shard() {
        arguments.check(&config)?;
        let share = Share::open(&arguments.out, shard)?;
        let at_a_time = config.batch;
        let prepared = arguments.prepare(config, at_a_time)?;
        return arguments.compute_share(&prepared, &share);
    }
    let folder = datasway_cli::result_folder(&arguments.out, &FOLDER)?;
    arguments.check(&config)?;
    let Prepared {
        model,
        config,
        pictures,
        candidates,
    } = arguments.prepare(config, usize::MAX)?;
    let samples = config.samples;
    let functionals = arguments.functionals.iter();
    let functionals = functionals
        .map(|text| functional_spec::parse(text, samples, &model))
        .collect::<Result<Vec<_>>>()?;
    let resolved = resolve(&model, &config)?;
    let sampler = arguments.model.sampler_info(&model);
    let info = RunInfo::new(&model, sampler, &config, &resolved);
    arguments.replay.check_model(&info)?;
    datasway_cli::tell(format!(
        "{} of {}: which of its {} made {} so?",
        plural(samples, "sample"),
        model.name,
        plural(model.images.len(), "training image"),
        if samples == 1 { "it" } else { "them" }
    ));
    let bar = progress_bar(1000, "{bar:30} {percent} %  {eta} left")?;
    let at = |fraction: f64| bar.set_position((1000.0 * fraction) as u64);
    let candidates = candidates.as_ref();
    let (results, report) = if arguments.shard.merged.is_some() {
        arguments.merged(&model, &config, &functionals, candidates)?
    } else {
        arguments.computed(&model, candidates, &functionals, &resolved, at)?
    };
    let info = match report {
        Some(report) => {
            let learner = arguments.learner(&model)?;
            info.with_weights(LearnerInfo::of_influences(&learner, report))
        }
        None => info,
    };
    bar.finish_and_clear();

    if let Some(solution) = info.weights() {
        datasway_cli::tell(solution);
    }
    let clip_sample = model.clip_difference(&results.samples, &config)?;
    let run = InfluenceRun {
        info: info.with_clip_sample(clip_sample),
        of: arguments.functionals.clone(),
        recorded: arguments.replay.recorded.clone(),
        pictures,
    };
    let sets = ImageSets {
        training: &model.images,
        candidates: candidates.map(ImagePoints::set),
        shown: !arguments.no_photos,
    };
    output::write(folder.path(), &results, &sets, &run)?;
    folder.finish()?;
    datasway_cli::tell(format!(
        "{} in {:.0} s; open {}",
        plural(samples, "sample"),
        results.seconds,
        arguments.out.join("index.html").display()
    ));
    ensure_finite(&results, arguments.through.through())
}

/// Inputs of the computation.
struct Prepared {
    model: TrainedModel,
    config: SensitivityConfig,
    pictures: Option<GivenPictures>,
    candidates: Option<ImagePoints>,
}

impl InfluenceArgs {
    /// The model, the candidates and the pictures. There must be room for the results of so many samples at a time.
    fn prepare(&mut self, config: SensitivityConfig, at_a_time: usize) -> Result<Prepared> {
        let model = self.model.model()?;
        let mut config = self.model.within_training(config, &model)?;
        let candidates = self.candidates(&model)?;
        let pictures = self.pictures.encode(&model, &mut config)?;
        if pictures.is_none() {
            self.replay.recorded.set_samples(config.samples);
        }
        ensure_room(
            self.result_bytes(config.samples.min(at_a_time), &model, candidates.as_ref()),
            "so many influences",
            "ask for fewer --samples or fewer questions at a time, or leave --by-step out",
        )?;
        if self.through.through() == Through::Weights {
            let together = solved_together(
                self.functionals.len(),
                config.samples.min(self.model.batch()),
            );
            let (learner, shapes) = (self.learner(&model)?, model.weight_shapes()?);
            let bytes = learner.solution_bytes(&shapes, together);
            ThroughArgs::ensure_room(
                &learner,
                bytes,
                together,
                "fewer questions at a time or a smaller --batch",
            )?;
        }
        Ok(Prepared {
            model,
            config,
            pictures,
            candidates,
        })
    }

    /// Checks that the arguments go together.
    fn check(&self, config: &SensitivityConfig) -> Result<()> {
        self.pictures.check(self.samples, self.model.sampler())?;
        if let Some(text) = &self.candidates {
            Selection::parse(text)
                .map_err(|error| anyhow::Error::new(error).context("--candidates"))?;
        }
        self.through.check()?;
        ensure!(
            !self.by_step || self.through.through() == Through::Data,
            "--by-step is for --through data: through the weights the part of each step in an influence needs a solution of its own, as many \
             as there are steps; `sensitivity --by-step --through weights` splits the change of a sample"
        );
        self.through
            .check_option("--image-draws", self.image_draws.is_some())?;
        self.model.check(config)
    }

    /// The images outside the training set, with their mirror images if the model was trained on those.
    fn candidates(&self, model: &TrainedModel) -> Result<Option<ImagePoints>> {
        let Some(text) = &self.candidates else {
            return Ok(None);
        };
        let selected = model.select(text)?;
        if !selected.is_in_training_set() {
            datasway_cli::tell(selected.images().summary());
        }
        let points = ImagePoints::new(selected.images(), model.mirrored, &model.device);
        Ok(Some(points))
    }

    /// Options of the derivative through the weights.
    fn learner(&self, model: &TrainedModel) -> Result<LearnerConfig> {
        let (batch, seed) = (self.model.batch(), self.model.seed());
        let config = self.through.learner(model.training.run, batch, seed)?;
        Ok(LearnerConfig {
            image_draws: self.image_draws.unwrap_or(config.image_draws),
            ..config
        })
    }

    /// The influences, and the systems that were solved for them; none through the data.
    fn computed(
        &self,
        model: &TrainedModel,
        candidates: Option<&ImagePoints>,
        functionals: &[Box<dyn Functional>],
        resolved: &ResolvedConfig,
        progress: impl FnMut(f64),
    ) -> Result<(Influences, Option<SolverReport>)> {
        let images = model.image_points();
        match self.through.through() {
            Through::Data => {
                let results = compute_with_candidates(
                    model.score_model.denoiser(),
                    &images,
                    candidates,
                    functionals,
                    resolved,
                    self.top,
                    progress,
                )?;
                Ok((results, None))
            }
            Through::Weights => {
                let learner = model.learner(&images, self.learner(model)?)?;
                let (results, report) = compute_through_weights(
                    &learner,
                    &images,
                    candidates,
                    functionals,
                    resolved,
                    self.top,
                    progress,
                )?;
                Ok((results, Some(report)))
            }
        }
    }

    /// Bytes of the results: in memory, as the arrays of a file, and as the file.
    fn result_bytes(
        &self,
        samples: usize,
        model: &TrainedModel,
        candidates: Option<&ImagePoints>,
    ) -> u128 {
        let [functionals, samples, images, entries, steps] = [
            self.functionals.len(),
            samples,
            model.images.len() + candidates.map_or(0, |candidates| candidates.set().len()),
            model.images.shape.dim(),
            if self.by_step {
                self.model.sampler_info(model).steps
            } else {
                0
            },
        ]
        .map(|count| count as u128);
        3 * 4 * samples * (functionals * (images * (1 + steps) + entries) + entries)
    }
}

fn ensure_finite(results: &Influences, through: Through) -> Result<()> {
    let functionals = results.functionals.iter();
    let influences = functionals.flat_map(|functional| {
        let candidates = functional.candidates.iter();
        let candidates = candidates.flat_map(|candidates| &candidates.influence);
        functional.influence.iter().chain(candidates)
    });
    let all = influences.clone().count();
    let lost = influences.filter(|a| !a.is_finite()).count();
    let why = match through {
        Through::Data => {
            "because the density ratio overflowed: use --bandwidth auto, or another --density"
        }
        Through::Weights => "because the derivative of the model overflowed: use more --damping",
    };
    ensure!(
        lost == 0,
        "{lost} of {} are not finite, {why}",
        plural(all, "influence")
    );
    Ok(())
}
