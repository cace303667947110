//! `cargo run -p sensitivity`: how samples move when the training data change, ranked.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use burn::tensor::Device;
use clap::{Parser, ValueEnum};
use data::{Dataset, LoadOptions, Selected, Selection, Source};
use diffusion::checkpoint::Checkpoint;
use diffusion::device::{device, widest_float};
use diffusion::network::NetworkDenoiser;
use diffusion::sampler::Sampler;
use diffusion::schedule::karras;
use indicatif::{ProgressBar, ProgressStyle};
use sensitivity::experiment::{Estimator, Sensitivities, Settings, points, run};
use sensitivity::measure::{Empirical, Measure};
use sensitivity::output::{Facts, Shown, peak_memory, write};
use sensitivity::ranking::rank;
use serde_json::json;

/// How samples of a trained model move when its training data change, ranked by how far.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A checkpoint of `train`
    #[arg(long)]
    checkpoint: PathBuf,
    /// The training images, if not where the checkpoint says
    #[arg(long)]
    data: Option<String>,
    /// Images to add, such as attr:Eyeglasses or class:8; repeatable
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
    /// Random probes of the trace, for probability-flow
    #[arg(long, default_value_t = 1)]
    probes: usize,
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

fn main() -> ExitCode {
    match execute(&Arguments::parse()) {
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
    images: Dataset,
    measure: Empirical,
}

fn execute(arguments: &Arguments) -> Result<()> {
    if arguments.add.is_empty() && arguments.remove.is_empty() {
        bail!("name a change of the data with --add or --remove, such as --add attr:Eyeglasses");
    }
    let settings = settings(arguments)?;
    let device = device(&arguments.device)?;
    let checkpoint = Checkpoint::load(&arguments.checkpoint)?;
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
        arguments.checkpoint.display(),
        header.data,
        header.fingerprint,
        images.fingerprint
    );
    let directions = directions(arguments, &images, &options, &device)?;
    let measures: Vec<&dyn Measure> = directions.iter().map(|v| &v.measure as _).collect();

    let bar = ProgressBar::new(settings.samples as u64);
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} samples  {eta} left",
    )?);
    let training = points(&images, &device);
    let results = run(&model, &training, &measures, &settings, |n| {
        bar.inc(n as u64)
    })?;
    bar.finish_and_clear();

    let shown = shown(arguments, &directions, &results);
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

fn settings(arguments: &Arguments) -> Result<Settings> {
    ensure!(arguments.steps > 0, "--steps must be at least 1");
    Ok(Settings {
        samples: arguments.samples,
        batch: arguments.batch,
        sampler: match arguments.sampler {
            SamplerKind::Euler => Sampler::Euler,
            SamplerKind::Heun => Sampler::Heun,
            // EDM's settings for CIFAR-10 (Table 5), the churn scaled to the number of steps by the sampler.
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
        density: match arguments.density {
            DensityKind::Empirical => Estimator::Empirical,
            DensityKind::ProbabilityFlow => Estimator::ProbabilityFlow {
                probes: arguments.probes,
            },
        },
        seed: arguments.seed,
    })
}

fn directions(
    arguments: &Arguments,
    images: &Dataset,
    options: &LoadOptions,
    device: &Device,
) -> Result<Vec<Direction>> {
    let added = arguments.add.iter().map(|text| (text, false));
    let removed = arguments.remove.iter().map(|text| (text, true));
    added
        .chain(removed)
        .map(|(text, removing)| {
            let images = match Selection::parse(text)?.resolve(images, options)? {
                Selected::Indices(indices) => images.subset(&indices),
                Selected::External(_) if removing => {
                    bail!("--remove {text}: only images of the training set can be removed")
                }
                Selected::External(set) => set,
            };
            Ok(Direction {
                selection: text.clone(),
                removing,
                measure: Empirical::new(points(&images, device))?
                    .with_precision(widest_float(device)),
                images,
            })
        })
        .collect()
}

fn shown(arguments: &Arguments, directions: &[Direction], results: &Sensitivities) -> Vec<Shown> {
    let show = |(k, direction): (usize, &Direction)| {
        let mut pictures = Vec::new();
        if !arguments.no_photos {
            let first: Vec<usize> = (0..direction.images.len().min(SHOWN)).collect();
            direction.images.fill(&first, &mut pictures);
        }
        Shown {
            selection: direction.selection.clone(),
            removing: direction.removing,
            count: direction.images.len(),
            pictures,
            ranking: rank(results, k),
        }
    };
    directions.iter().enumerate().map(show).collect()
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
    let density_text = match arguments.density {
        DensityKind::Empirical => density.clone(),
        DensityKind::ProbabilityFlow => format!("{density}, {} probe(s)", arguments.probes),
    };
    let mut rows = vec![
        (
            "Model".to_owned(),
            arguments.checkpoint.display().to_string(),
        ),
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
            "checkpoint": arguments.checkpoint.display().to_string(),
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
