//! `cargo run -p sensitivity`: how samples move when the training data change, ranked.

mod convergence;
mod shipped;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use burn::tensor::{DType, Device};
use clap::{Parser, ValueEnum};
use data::{Dataset, LoadOptions, Selected, Selection, Source};
use diffusion::checkpoint::{Checkpoint, Header};
use diffusion::denoiser::Denoiser;
use diffusion::device::{device, widest_float};
use diffusion::network::NetworkDenoiser;
use diffusion::sampler::{FrozenNoise, Sampler, sample};
use diffusion::schedule::karras;
use indicatif::{ProgressBar, ProgressStyle};
use sensitivity::density::Smoothed;
use sensitivity::experiment::{Estimator, Sensitivities, Settings, points, run};
use sensitivity::measure::{Empirical, Gaussian, Learned, Measure};
use sensitivity::output::{Facts, Shown, peak_memory, write};
use sensitivity::ranking::rank;
use sensitivity::trace::{ProbeLaw, Trace};
use serde_json::json;

/// How samples of a trained model move when its training data change, ranked by how far.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// A checkpoint of `train` [default: the model of procedural faces that comes with Sway]
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// The training images, if not where the checkpoint says
    #[arg(long)]
    data: Option<String>,
    /// What to add: images, such as attr:Eyeglasses, class:8 or folder:PATH, or what another model was
    /// trained on, model:CHECKPOINT; repeatable
    #[arg(long, value_name = "SELECTION")]
    add: Vec<String>,
    /// Images to remove; repeatable
    #[arg(long, value_name = "SELECTION")]
    remove: Vec<String>,
    /// Samples to draw
    #[arg(long, default_value_t = 64)]
    samples: usize,
    /// Samples propagated together
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// How noise becomes a sample; `stochastic` needs --density empirical
    #[arg(long, value_enum, default_value_t = SamplerKind::Heun)]
    sampler: SamplerKind,
    /// Sampler steps
    #[arg(long, default_value_t = 18)]
    steps: usize,
    /// Highest noise level
    #[arg(long, default_value_t = 80.0)]
    sigma_max: f64,
    /// Lowest noise level above 0
    #[arg(long, default_value_t = 0.002)]
    sigma_min: f64,
    /// Estimator of the model's log-density
    #[arg(long, value_enum, default_value_t = DensityKind::ProbabilityFlow)]
    density: DensityKind,
    /// Random probes of the trace, for probability-flow; one alone cannot tell how uncertain it is
    #[arg(long, default_value_t = 2)]
    probes: usize,
    /// With --density empirical: compare the direction with the training images, all smoothed by a
    /// Gaussian of this standard deviation, in pixels of [-1, 1]; 0 smooths nothing but leaves the network out
    #[arg(long, value_name = "H")]
    bandwidth: Option<f64>,
    /// Noise level below which directions move nothing
    #[arg(long, default_value_t = 0.0, value_name = "SIGMA")]
    sigma_cut: f64,
    /// Seed of the samples' noise and the probes
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to compute: flex (CPU), wgpu (GPU, cargo feature wgpu), ndarray (cargo feature ndarray)
    #[arg(long, default_value = "flex")]
    device: String,
    /// Leave the direction's own images out of the page
    #[arg(long)]
    no_photos: bool,
    /// Where the results go
    #[arg(long, default_value = "runs/sensitivity")]
    out: PathBuf,
    /// Where decoded images are kept for the next start
    #[arg(long, default_value = "datasets/cache")]
    cache: PathBuf,
}

#[derive(clap::Subcommand)]
enum Command {
    Convergence(convergence::Arguments),
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum SamplerKind {
    /// First order
    Euler,
    /// Second order (EDM, Algorithm 1)
    Heun,
    /// With fresh noise, frozen by the seed (EDM, Algorithm 2)
    Stochastic,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum DensityKind {
    /// Integrate the trace of the network's Jacobian along the path
    ProbabilityFlow,
    /// The closed form over the training set
    Empirical,
}

/// Images of a direction shown on the page.
const SHOWN: usize = 20;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match execute(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One change of the training data.
struct Direction {
    selection: String,
    removing: bool,
    /// Number of images; 0 where the direction is a model.
    count: usize,
    /// Pictures for the page, `[k, d]`.
    pictures: Vec<f32>,
    measure: Box<dyn Measure>,
}

fn execute(mut arguments: Arguments) -> Result<()> {
    if let Some(Command::Convergence(convergence)) = &arguments.command {
        return convergence::execute(convergence);
    }
    let checkpoint = shipped::or_shipped(arguments.checkpoint.as_deref())?;
    if arguments.add.is_empty() && arguments.remove.is_empty() {
        if arguments.checkpoint.is_some() {
            bail!(
                "name a change of the data with --add or --remove, such as --add attr:Eyeglasses"
            );
        }
        arguments.add = vec![shipped::ADD.to_owned()];
        arguments.remove = vec![shipped::REMOVE.to_owned()];
    }
    let arguments = &arguments;
    ensure!(arguments.steps > 0, "--steps must be at least 1");
    let device = device(&arguments.device)?;
    let model = NetworkDenoiser::from_checkpoint(&checkpoint, &device)?;
    let header = &checkpoint.header;
    let options = LoadOptions {
        size: Some(header.network.image_size),
        grey: header.network.image_channels == 1,
        limit: header.limit,
        skip_bad: header.skip_bad,
        cache_dir: Some(arguments.cache.clone()),
        progress: true,
    };
    let name = arguments.data.as_deref().unwrap_or(&header.data);
    let images = data::load(&Source::parse(name)?, &options)?;
    ensure!(
        images.fingerprint == header.fingerprint,
        "{} was trained on {} (fingerprint {}), but {name} has fingerprint {}: pass the training images with --data",
        model_name(arguments),
        header.data,
        header.fingerprint,
        images.fingerprint
    );
    let flip = flip(&checkpoint)?;
    let settings = settings(arguments, &checkpoint, &images, flip, &device)?;
    let directions = directions(arguments, &settings, &images, &options, flip, &device)?;
    eprintln!("{}", announcement(arguments, &checkpoint.header));
    let measures: Vec<&dyn Measure> = directions.iter().map(|v| v.measure.as_ref()).collect();

    let bar = ProgressBar::new(settings.samples as u64);
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} samples  {eta} left",
    )?);
    let results = run(&model, &measures, &settings, &device, |n| bar.inc(n as u64))?;
    bar.finish_and_clear();

    let shown = shown(directions, &results);
    write(
        &arguments.out,
        &results,
        &shown,
        &facts(arguments, &checkpoint, &images, &results),
    )?;
    for direction in &shown {
        let doubtful = direction
            .ranking
            .iter()
            .filter(|r| !r.warnings.is_empty())
            .count();
        eprintln!(
            "{}: {} images; sample {} moves most (‖δ‖ = {:.3}); {doubtful} of {} samples carry a warning",
            direction.name(),
            direction.count,
            direction.ranking[0].sample,
            direction.ranking[0].score,
            direction.ranking.len()
        );
    }
    eprintln!(
        "{} samples in {:.0} s; open {}",
        results.count(),
        results.cost.total,
        arguments.out.join("index.html").display()
    );
    Ok(())
}

fn model_name(arguments: &Arguments) -> String {
    match &arguments.checkpoint {
        Some(file) => file.display().to_string(),
        None => shipped::NAME.to_owned(),
    }
}

/// What is about to be done, for the reader to check.
fn announcement(arguments: &Arguments, header: &Header) -> String {
    let added = arguments.add.iter().map(|text| format!("adding {text}"));
    let removed = arguments
        .remove
        .iter()
        .map(|text| format!("removing {text}"));
    let changes: Vec<String> = added.chain(removed).collect();
    format!(
        "{} samples of {}, trained {} steps on {}: how would each move on {}?",
        arguments.samples,
        model_name(arguments),
        header.step,
        header.data,
        changes.join(" and on ")
    )
}

fn settings(
    arguments: &Arguments,
    checkpoint: &Checkpoint,
    images: &Dataset,
    flip: bool,
    device: &Device,
) -> Result<Settings> {
    Ok(Settings {
        samples: arguments.samples,
        batch: arguments.batch,
        sampler: match arguments.sampler {
            SamplerKind::Euler => Sampler::Euler,
            SamplerKind::Heun => Sampler::Heun,
            // EDM's settings for VP on CIFAR-10 (Table 5).
            SamplerKind::Stochastic => Sampler::Stochastic {
                s_churn: 30.0,
                s_min: 0.01,
                s_max: 1.0,
                s_noise: 1.007,
            },
        },
        sigmas: karras(
            arguments.steps,
            arguments.sigma_min,
            arguments.sigma_max,
            7.0,
        ),
        density: match (arguments.density, arguments.bandwidth) {
            (DensityKind::Empirical, None) => {
                Estimator::Empirical(empirical(images, flip, device)?)
            }
            (DensityKind::Empirical, Some(bandwidth)) => Estimator::Smoothed(Smoothed {
                data: empirical(images, flip, device)?,
                bandwidth,
            }),
            (DensityKind::ProbabilityFlow, None) => Estimator::ProbabilityFlow {
                start: start(checkpoint, device)?,
                probes: arguments.probes,
            },
            (DensityKind::ProbabilityFlow, Some(_)) => {
                bail!("--bandwidth smooths the training images and so needs --density empirical")
            }
        },
        cutoff: arguments.sigma_cut,
        seed: arguments.seed,
    })
}

/// The measure of a set of images, and of their mirror images if the model was trained on those too,
/// summed in the widest precision that the device has.
fn empirical(images: &Dataset, flip: bool, device: &Device) -> Result<Empirical> {
    let measure = Empirical::new(points(images, flip, device))?;
    Ok(measure.with_precision(widest_float(device)))
}

/// Whether the model was trained on mirror images too.
fn flip(checkpoint: &Checkpoint) -> Result<bool> {
    let training: toml::Table = checkpoint.header.training.parse()?;
    Ok(training.get("flip").and_then(toml::Value::as_bool) == Some(true))
}

/// The Gaussian that matches a model's training data.
fn start(checkpoint: &Checkpoint, device: &Device) -> Result<Gaussian> {
    let (mean, variance) = (&checkpoint.data_mean, &checkpoint.data_variance);
    Ok(Gaussian::from_moments(mean, variance, device, DType::F32)?)
}

fn directions(
    arguments: &Arguments,
    settings: &Settings,
    images: &Dataset,
    options: &LoadOptions,
    flip: bool,
    device: &Device,
) -> Result<Vec<Direction>> {
    let added = arguments.add.iter().map(|text| (text, false));
    let removed = arguments.remove.iter().map(|text| (text, true));
    added
        .chain(removed)
        .map(|(text, removing)| match text.strip_prefix("model:") {
            Some(_) if removing => {
                bail!("--remove {text}: only images of the training set can be removed")
            }
            Some(file) => model_direction(arguments, settings, text, file, device),
            None => image_direction(arguments, text, removing, images, options, flip, device),
        })
        .collect()
}

fn image_direction(
    arguments: &Arguments,
    text: &str,
    removing: bool,
    images: &Dataset,
    options: &LoadOptions,
    flip: bool,
    device: &Device,
) -> Result<Direction> {
    let images = match Selection::parse(text)?.resolve(images, options)? {
        Selected::Indices(indices) => images.subset(&indices),
        Selected::External(_) if removing => {
            bail!("--remove {text}: only images of the training set can be removed")
        }
        Selected::External(set) => set,
    };
    let mut pictures = Vec::new();
    if !arguments.no_photos {
        let first: Vec<usize> = (0..images.len().min(SHOWN)).collect();
        images.fill(&first, &mut pictures);
    }
    Ok(Direction {
        selection: text.to_owned(),
        removing,
        count: images.len(),
        pictures,
        measure: Box::new(empirical(&images, flip, device)?),
    })
}

/// A direction known only through a second model; the page shows samples of it.
fn model_direction(
    arguments: &Arguments,
    settings: &Settings,
    text: &str,
    file: &str,
    device: &Device,
) -> Result<Direction> {
    let checkpoint = Checkpoint::load(Path::new(file))?;
    let model = NetworkDenoiser::from_checkpoint(&checkpoint, device)?;
    let mut pictures = Vec::new();
    if !arguments.no_photos {
        let noise = FrozenNoise::new(settings.seed);
        let unit = noise.start([SHOWN, model.dim()], device, DType::F32);
        let samples = sample(&model, &Sampler::Heun, &settings.sigmas, unit, &noise)?;
        pictures = samples.into_data().iter::<f32>().collect();
    }
    let trace = Trace::Hutchinson {
        law: ProbeLaw::Rademacher,
        probes: arguments.probes,
        seed: arguments.seed,
        first: 0,
    };
    let start = start(&checkpoint, device)?;
    Ok(Direction {
        selection: text.to_owned(),
        removing: false,
        count: 0,
        pictures,
        measure: Box::new(Learned::new(model, start, trace, &settings.sigmas)?),
    })
}

fn shown(directions: Vec<Direction>, results: &Sensitivities) -> Vec<Shown> {
    let show = |(k, direction): (usize, Direction)| Shown {
        selection: direction.selection,
        removing: direction.removing,
        count: direction.count,
        pictures: direction.pictures,
        ranking: rank(results, k),
    };
    directions.into_iter().enumerate().map(show).collect()
}

fn facts(
    arguments: &Arguments,
    checkpoint: &Checkpoint,
    images: &Dataset,
    results: &Sensitivities,
) -> Facts {
    let header = &checkpoint.header;
    let kebab = |kind: Option<clap::builder::PossibleValue>| {
        kind.map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    };
    let sampler = kebab(arguments.sampler.to_possible_value());
    let density = kebab(arguments.density.to_possible_value());
    let (cost, each) = (&results.cost, results.cost.evaluations);
    let mut density_text = match (arguments.density, arguments.bandwidth) {
        (DensityKind::Empirical, None) => density.clone(),
        (DensityKind::Empirical, Some(h)) => format!("{density}, smoothed by h = {h}"),
        (DensityKind::ProbabilityFlow, _) => format!("{density}, {} probe(s)", arguments.probes),
    };
    if arguments.sigma_cut > 0.0 {
        density_text += &format!("; directions count from σ = {} up", arguments.sigma_cut);
    }
    let mut rows = vec![
        ("Model".to_owned(), model_name(arguments)),
        (
            "Training".to_owned(),
            format!("{} steps on {}", header.step, header.data),
        ),
        ("Training images".to_owned(), images.len().to_string()),
        ("Data fingerprint".to_owned(), header.fingerprint.clone()),
        (
            "Sampler".to_owned(),
            format!("{sampler}, {} steps", arguments.steps),
        ),
        ("Log-density".to_owned(), density_text),
        ("Seed".to_owned(), arguments.seed.to_string()),
        (
            "Network evaluations".to_owned(),
            format!(
                "{} for each sample; products with its Jacobian: {} for the density, {} for δ",
                each.path, each.density, each.tangent
            ),
        ),
        (
            "Time".to_owned(),
            format!(
                "{:.1} s, of which path {:.1}, density {:.1}, tangent {:.1}",
                cost.total, cost.path, cost.density, cost.tangent
            ),
        ),
        ("Sway".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ];
    if let Some(bytes) = peak_memory() {
        rows.push(("Peak memory".to_owned(), format!("{} MiB", bytes >> 20)));
    }
    Facts {
        summary: format!(
            "{} samples of a model trained on {}, ranked by how far each moves per unit of mass.",
            arguments.samples, header.data
        ),
        rows,
        json: json!({
            "sway": env!("CARGO_PKG_VERSION"),
            "checkpoint": model_name(arguments),
            "training_step": header.step,
            "data": header.data,
            "fingerprint": header.fingerprint,
            "add": arguments.add,
            "remove": arguments.remove,
            "sampler": sampler,
            "steps": arguments.steps,
            "sigma_min": arguments.sigma_min,
            "sigma_max": arguments.sigma_max,
            "density": density,
            "bandwidth": arguments.bandwidth,
            "sigma_cut": arguments.sigma_cut,
            "mirrored": flip(checkpoint).ok(),
            "probes": arguments.probes,
            "seed": arguments.seed,
            "batch": arguments.batch,
        }),
        shape: [
            images.shape.channels,
            images.shape.height,
            images.shape.width,
        ],
    }
}
