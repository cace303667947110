//! `cargo run -p sensitivity`: how samples move when the training data change, ranked.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::{DType, Device, Tensor, TensorData};
use clap::{Parser, ValueEnum};
use data::{Dataset, LoadOptions, Selected, Selection, Source};
use diffusion::checkpoint::Checkpoint;
use diffusion::network::NetworkDenoiser;
use diffusion::sampler::{FrozenNoise, Sampler};
use diffusion::schedule::karras;
use indicatif::{ProgressBar, ProgressStyle};
use report::{Card, DirectionSection, Picture, SensitivityPage, write_atomic};
use safetensors::tensor::{Dtype, TensorView};
use sensitivity::density::{ClosedForm, Density, GaussianStart, ProbabilityFlow, Trace};
use sensitivity::measure::{Empirical, Measure};
use sensitivity::tangent::propagate;

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
    /// Sampler steps
    #[arg(long, default_value_t = 18)]
    steps: usize,
    /// Estimator of the model's log-density
    #[arg(long, value_enum, default_value_t = DensityKind::ProbabilityFlow)]
    density: DensityKind,
    /// Random probes of the trace, for probability-flow
    #[arg(long, default_value_t = 1)]
    probes: usize,
    /// Seed of the samples' noise and the probes
    #[arg(long, default_value_t = 0)]
    seed: u64,
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

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum DensityKind {
    /// Integrate the trace of the network's Jacobian along the path
    ProbabilityFlow,
    /// The closed form over the training set
    Empirical,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One change of the training data.
struct Direction {
    name: String,
    removing: bool,
    images: Dataset,
    measure: Empirical,
}

/// Everything computed, on the CPU: `[n, d]` samples and per direction `[n, d]` sensitivities and
/// `[stages, n]` log-ratios.
#[derive(Default)]
struct Results {
    samples: Vec<f32>,
    sensitivities: Vec<Vec<f32>>,
    log_ratios: Vec<Vec<Vec<f32>>>,
    sigmas: Vec<f64>,
}

fn run(arguments: &Arguments) -> Result<()> {
    let started = Instant::now();
    ensure!(
        arguments.samples > 0 && arguments.batch > 0 && arguments.steps > 0,
        "--samples, --batch and --steps must be at least 1"
    );
    if arguments.add.is_empty() && arguments.remove.is_empty() {
        bail!("name a change of the data with --add or --remove, such as --add attr:Eyeglasses");
    }
    let device = Device::flex();
    let checkpoint = Checkpoint::load(&arguments.checkpoint)?;
    let model = NetworkDenoiser::from_checkpoint(&checkpoint, &device)?;
    let header = &checkpoint.header;
    let options = LoadOptions {
        size: Some(header.network.image_size),
        grey: header.network.image_channels == 1,
        cache_dir: Some(arguments.cache.clone()),
        progress: true,
        ..LoadOptions::default()
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
    let results = sensitivities(arguments, &model, &images, &directions, &device)?;
    write(arguments, &checkpoint, &images, &directions, &results)?;
    eprintln!(
        "{} samples ranked in {:.0} s; open {}",
        arguments.samples,
        started.elapsed().as_secs_f64(),
        arguments.out.join("index.html").display()
    );
    Ok(())
}

fn points(images: &Dataset, device: &Device) -> Tensor<2> {
    let all: Vec<usize> = (0..images.len()).collect();
    let mut values = Vec::new();
    images.fill(&all, &mut values);
    Tensor::from_data(
        TensorData::new(values, [images.len(), images.shape.dim()]),
        device,
    )
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
            let selected = match Selection::parse(text)?.resolve(images, options)? {
                Selected::Indices(indices) => images.subset(&indices),
                Selected::External(_) if removing => {
                    bail!("--remove {text}: only images of the training set can be removed")
                }
                Selected::External(set) => set,
            };
            Ok(Direction {
                name: format!("{} {text}", if removing { "remove" } else { "add" }),
                removing,
                measure: Empirical::new(points(&selected, device))?.with_precision(DType::F64),
                images: selected,
            })
        })
        .collect()
}

fn sensitivities(
    arguments: &Arguments,
    model: &NetworkDenoiser,
    images: &Dataset,
    directions: &[Direction],
    device: &Device,
) -> Result<Results> {
    let sigmas = karras(arguments.steps, 0.002, 80.0, 7.0);
    let training = points(images, device);
    let d = images.shape.dim();
    let measures: Vec<&dyn Measure> = directions.iter().map(|v| &v.measure as _).collect();
    let mut results = Results {
        sensitivities: vec![Vec::new(); directions.len()],
        log_ratios: vec![Vec::new(); directions.len()],
        ..Results::default()
    };
    let bar = ProgressBar::new(arguments.samples as u64);
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} samples  {eta} left",
    )?);
    for first in (0..arguments.samples).step_by(arguments.batch) {
        let n = arguments.batch.min(arguments.samples - first);
        let noise = FrozenNoise::new(arguments.seed).starting_at(first as u64);
        let density: Box<dyn Density> = match arguments.density {
            DensityKind::Empirical => Box::new(ClosedForm(
                Empirical::new(training.clone())?.with_precision(DType::F64),
            )),
            DensityKind::ProbabilityFlow => Box::new(ProbabilityFlow {
                start: GaussianStart::fitted(&training, true)?,
                trace: Trace::Hutchinson {
                    probes: arguments.probes,
                    seed: arguments.seed,
                    first: first as u64,
                },
            }),
        };
        let start = noise.start([n, d], device, DType::F32);
        let path = propagate(
            model,
            &measures,
            density.as_ref(),
            &Sampler::Heun,
            &sigmas,
            start,
            &noise,
        )?;
        results.samples.extend(values(path.samples)?);
        let stages = path.sigmas.len();
        results.sigmas = path.sigmas;
        for (k, _) in directions.iter().enumerate() {
            let delta = path.sensitivities.clone().narrow(0, k, 1);
            results.sensitivities[k].extend(values(delta.reshape([n, d]))?);
            let ratio = path.log_ratio.clone().narrow(0, k, 1).reshape([stages, n]);
            let ratio = values(ratio.transpose())?;
            results.log_ratios[k].extend(ratio.chunks_exact(stages).map(<[f32]>::to_vec));
        }
        bar.inc(n as u64);
    }
    bar.finish_and_clear();
    Ok(results)
}

fn values(tensor: Tensor<2>) -> Result<Vec<f32>> {
    let data = tensor.cast(DType::F32).into_data();
    data.try_to_vec::<f32>()
        .map_err(|error| anyhow::anyhow!("a tensor could not be read back: {error:?}"))
}

/// The sample indices of a direction, the most sensitive first; δ that is not finite comes last.
fn ranking(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let key = |i: usize| {
        if scores[i].is_finite() {
            scores[i]
        } else {
            -1.0
        }
    };
    order.sort_by(|a, b| key(*b).total_cmp(&key(*a)));
    order
}

fn norm(row: &[f32]) -> f64 {
    row.iter()
        .map(|v| f64::from(*v).powi(2))
        .sum::<f64>()
        .sqrt()
}

/// `samples` and, per direction, `sensitivity/NAME`, both `[n, d]`; `log_ratio/NAME` is `[n, stages]`
/// at the noise levels `sigmas`.
fn tensors(directions: &[Direction], results: &Results, d: usize) -> Result<Vec<u8>> {
    let n = results.samples.len() / d;
    let mut parts: Vec<(String, Vec<usize>, Vec<f32>)> =
        vec![("samples".into(), vec![n, d], results.samples.clone())];
    let sigmas: Vec<f32> = results.sigmas.iter().map(|sigma| *sigma as f32).collect();
    for (k, direction) in directions.iter().enumerate() {
        let delta = results.sensitivities[k].clone();
        let ratio = results.log_ratios[k].concat();
        let shape = vec![n, sigmas.len()];
        parts.push((format!("sensitivity/{}", direction.name), vec![n, d], delta));
        parts.push((format!("log_ratio/{}", direction.name), shape, ratio));
    }
    parts.push(("sigmas".into(), vec![sigmas.len()], sigmas));
    let bytes: Vec<Vec<u8>> = parts
        .iter()
        .map(|(.., values)| values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let views = parts.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes)?;
        Ok((name.as_str(), view))
    });
    let views: Vec<_> = views.collect::<Result<_>>()?;
    Ok(safetensors::serialize(views, None)?)
}

fn write(
    arguments: &Arguments,
    checkpoint: &Checkpoint,
    images: &Dataset,
    directions: &[Direction],
    results: &Results,
) -> Result<()> {
    let out: &Path = &arguments.out;
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let shape = images.shape;
    let d = shape.dim();
    let picture = |values| Picture {
        channels: shape.channels,
        height: shape.height,
        width: shape.width,
        values,
    };
    let scores: Vec<Vec<f64>> = results
        .sensitivities
        .iter()
        .map(|delta| delta.chunks_exact(d).map(norm).collect())
        .collect();

    write_atomic(
        &out.join("sensitivities.safetensors"),
        &tensors(directions, results, d)?,
    )?;

    let mut csv = String::from("direction,rank,sample,score,max_log_ratio\n");
    let peak = |k: usize, i: usize| {
        let ratios = results.log_ratios[k][i].iter().copied();
        ratios.fold(f32::NEG_INFINITY, f32::max)
    };
    for (k, direction) in directions.iter().enumerate() {
        for (rank, i) in ranking(&scores[k]).into_iter().enumerate() {
            csv += &format!(
                "{:?},{},{i},{},{}\n",
                direction.name,
                rank + 1,
                scores[k][i],
                peak(k, i)
            );
        }
    }
    write_atomic(&out.join("ranking.csv"), csv.as_bytes())?;

    let shown: Vec<Vec<f32>> = directions
        .iter()
        .map(|direction| {
            let mut pixels = Vec::new();
            if !arguments.no_photos {
                let first: Vec<usize> = (0..direction.images.len().min(20)).collect();
                direction.images.fill(&first, &mut pixels);
            }
            pixels
        })
        .collect();
    let sections = directions.iter().enumerate().map(|(k, direction)| {
        let cards = ranking(&scores[k]).into_iter().map(|i| {
            let row = i * d..(i + 1) * d;
            let curve = results.sigmas.iter().zip(&results.log_ratios[k][i]);
            let mut warnings = Vec::new();
            if !scores[k][i].is_finite() {
                warnings.push("δ is not finite: the density ratio overflowed".to_owned());
            } else if peak(k, i) > 10.0 {
                warnings.push(format!(
                    "the density ratio reaches e^{:.0}: δ is outside the range where it can be trusted",
                    peak(k, i)
                ));
            }
            Card {
                index: i,
                sample: picture(&results.samples[row.clone()]),
                delta: picture(&results.sensitivities[k][row]),
                score: scores[k][i],
                log_ratio: curve.map(|(s, r)| (*s, f64::from(*r))).collect(),
                warnings,
            }
        });
        DirectionSection {
            name: direction.name.clone(),
            removing: direction.removing,
            pictures: shown[k].chunks_exact(d).map(picture).collect(),
            picture_count: direction.images.len(),
            cards: cards.collect(),
        }
    });
    let header = &checkpoint.header;
    let page = SensitivityPage {
        title: "How the samples move".to_owned(),
        summary: format!(
            "{} samples of a model trained on {}, ranked by how far each moves per unit of mass.",
            arguments.samples, header.data
        ),
        facts: vec![
            (
                "checkpoint".into(),
                arguments.checkpoint.display().to_string(),
            ),
            ("training step".into(), header.step.to_string()),
            ("data fingerprint".into(), header.fingerprint.clone()),
            ("seed".into(), arguments.seed.to_string()),
            ("sampler".into(), format!("Heun, {} steps", arguments.steps)),
            ("Sway".into(), env!("CARGO_PKG_VERSION").into()),
        ],
        directions: sections.collect(),
    };
    page.write(&out.join("index.html"))?;
    Ok(())
}
