//! Report of the trace estimators.

use burn::tensor::{DType, Device, Tensor};
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::random::{RandomStream, generator};
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule;
use datasway_report::section::{Section, Table, rounded};
use datasway_sensitivity::jacobian_trace::Colouring;
use datasway_stats::root_mean_square;
use nalgebra::DMatrix;

use super::trace_estimators::{TraceEstimator, jacobian, probing};
use crate::problems::random_mixture::RandomMixture;
use crate::{StudyError, StudyScale};

/// Noise levels of the Jacobians.
const SIGMAS: [f64; 6] = [0.05, 0.2, 0.5, 1.0, 3.0, 10.0];
/// Periods of the colourings; the other estimators have as many products as there are colours.
const PERIODS: [usize; 3] = [2, 3, 4];
/// Number of columns: the randomised estimators, then probing.
const COLUMNS: usize = TraceEstimator::ALL.len() + 1;

/// Jacobian of a model at one point.
struct Case {
    model: String,
    sigma: f64,
    shape: [usize; 3],
    jacobian: DMatrix<f64>,
}

/// Section of the report with the errors of the trace estimators, on a mixture and on the model of a checkpoint.
///
/// # Errors
/// If a model cannot be differentiated.
pub fn section(scale: &StudyScale<'_>, checkpoint: &Checkpoint) -> Result<Section, StudyError> {
    let mut cases = mixture(scale)?;
    cases.extend(image_network(scale, checkpoint)?);
    let header = &checkpoint.header;
    let text = format!(
        "log p needs tr J at every step, from products with J. Hutchinson's probes (random signs, or Gaussian), Hutch++ and XTrace \
         beside probing with colours, on exact Jacobians of 8×8 pictures of a Gaussian mixture with noise added, then on those of an \
         image U-Net, trained {} steps on {}, at a sample of its own with noise added. An error of 1 is an error of about one nat in \
         log r for each e-fold of σ.",
        header.step, header.data
    );
    let errors = all_errors(scale, &cases);
    Ok(Section {
        title: "Trace estimators",
        text: vec![text],
        tables: vec![summary(&errors), table(&errors)],
        figures: vec![],
    })
}

/// Errors of all estimators on one Jacobian.
struct Errors<'a> {
    case: &'a Case,
    /// Products with the Jacobian.
    products: usize,
    /// Root mean square error of each estimator.
    errors: [f64; COLUMNS],
}

fn all_errors<'a>(scale: &StudyScale<'_>, cases: &'a [Case]) -> Vec<Errors<'a>> {
    let mut results = Vec::new();
    for case in cases {
        scale.report_progress(format!(
            "trace estimators: {}, σ = {}",
            case.model, case.sigma
        ));
        for period in PERIODS {
            let colouring = Colouring {
                shape: case.shape,
                period,
            };
            results.push(Errors {
                case,
                products: colouring.count(),
                errors: errors(scale, case, colouring),
            });
        }
    }
    results
}

/// Root mean square errors over independent estimates.
fn errors(scale: &StudyScale<'_>, case: &Case, colouring: Colouring) -> [f64; COLUMNS] {
    let (j, truth) = (&case.jacobian, case.jacobian.trace());
    let trials = scale.scaled(40, 3) as u64;
    std::array::from_fn(|k| {
        let error = |trial: u64| {
            let index = [trial, k as u64, colouring.period as u64];
            let mut rng = generator(scale.seed, RandomStream::Probe, index);
            let estimate = match TraceEstimator::ALL.get(k) {
                Some(estimator) => estimator.estimate(j, colouring.count(), &mut rng),
                None => probing(j, colouring, &mut rng),
            };
            estimate - truth
        };
        root_mean_square(&(0..trials).map(error).collect::<Vec<f64>>())
    })
}

/// Column names: `first`, then the estimators.
fn columns(first: &[&'static str]) -> Vec<&'static str> {
    let estimators = TraceEstimator::ALL.map(TraceEstimator::name);
    [first, &estimators, &["probing with colours"]].concat()
}

/// Errors of all cases.
fn table(errors: &[Errors<'_>]) -> Table {
    let mut table = Table::new(
        "traces",
        Some(
            "Root mean square error of tr J over independent estimates, at equal numbers of products with J.".to_owned(),
        ),
        &columns(&["model", "σ", "tr J", "products"]),
    );
    for Errors {
        case,
        products,
        errors,
    } in errors
    {
        let mut row = vec![
            case.model.clone(),
            case.sigma.to_string(),
            rounded(case.jacobian.trace()),
            products.to_string(),
        ];
        row.extend(errors.map(rounded));
        table.rows.push(row);
    }
    table
}

/// Errors relative to the first estimator, geometric mean over the noise levels of each model.
fn summary(errors: &[Errors<'_>]) -> Table {
    let mut table = Table::new(
        "traces-summary",
        Some("The same error divided by Rademacher's: geometric mean over the noise levels. Less is better.".to_owned()),
        &columns(&["model", "products"]),
    );
    let mut groups: Vec<(&str, usize)> = Vec::new();
    for row in errors {
        let group = (row.case.model.as_str(), row.products);
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    for (model, products) in groups {
        let is_of_group = |row: &&Errors<'_>| row.case.model == model && row.products == products;
        let logarithms: Vec<[f64; COLUMNS]> = errors
            .iter()
            .filter(is_of_group)
            .map(|row| row.errors.map(|error| (error / row.errors[0]).ln()))
            .collect();
        let mean = |k: usize| {
            let sum: f64 = logarithms.iter().map(|row| row[k]).sum();
            sum / logarithms.len() as f64
        };
        let mut row = vec![model.to_owned(), products.to_string()];
        row.extend((0..COLUMNS).map(|k| rounded(mean(k).exp())));
        table.rows.push(row);
    }
    table
}

/// Jacobians of the exact denoiser of a mixture of images, at a point with noise added.
fn mixture(scale: &StudyScale<'_>) -> Result<Vec<Case>, StudyError> {
    let (side, device) = (8, Device::flex());
    let mixture = RandomMixture::images(side, scale.seed);
    let data = mixture.data(&device, DType::F64)?;
    let clean = mixture.draw(1, scale.seed, &device, DType::F64);
    let noise = FrozenNoise::new(scale.seed).start([1, mixture.dim()], &device, DType::F64);
    let case = |sigma: f64| {
        let x = clean.clone() + noise.clone() * sigma;
        Ok(Case {
            model: "mixture, 8×8 grey".to_owned(),
            sigma,
            shape: [1, side, side],
            jacobian: jacobian(&data, &x, sigma)?,
        })
    };
    SIGMAS.into_iter().map(case).collect()
}

/// Jacobians of the network of a checkpoint, at one of its samples with noise added.
fn image_network(scale: &StudyScale<'_>, checkpoint: &Checkpoint) -> Result<Vec<Case>, StudyError> {
    let device = Device::flex();
    let network = NetworkDenoiser::from_checkpoint(checkpoint, &device)?;
    let d = network.dim();
    let config = &checkpoint.header.network;
    let [channels, side] = [config.image_channels, config.image_size];
    let noise = FrozenNoise::new(scale.seed);
    let unit = |k: usize| -> Tensor<2> { noise.step(k, [1, d], &device, DType::F32) };
    let levels = schedule::edm(18);
    let clean = sample(&network, &Sampler::Heun, &levels, unit(0), &noise)?;
    let count = scale.scaled(SIGMAS.len(), 1);
    let case = |(k, sigma): (usize, f64)| {
        scale.report_progress(format!(
            "trace estimators: the U-Net's Jacobian at σ = {sigma}"
        ));
        let x = clean.clone() + unit(k + 1) * sigma;
        Ok(Case {
            model: format!("U-Net, {side}×{side}×{channels}"),
            sigma,
            shape: [channels, side, side],
            jacobian: jacobian(&network, &x, sigma)?,
        })
    };
    SIGMAS
        .into_iter()
        .take(count)
        .enumerate()
        .map(case)
        .collect()
}
