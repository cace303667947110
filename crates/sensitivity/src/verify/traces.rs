//! Estimators of the trace at equal numbers of products with the Jacobian.

use anyhow::Result;
use burn::tensor::{DType, Device, Tensor};
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::random::{RandomStream, generator};
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule;
use datasway_sensitivity::jacobian_trace::Colouring;
use datasway_stats::root_mean_square;
use datasway_verification::problems::random_mixture::RandomMixture;
use datasway_verification::studies::trace_estimators::{ESTIMATORS, jacobian, probing};
use nalgebra::DMatrix;

use super::StudyScale;
use super::section::{Section, Table, short};

/// Noise levels of the Jacobians.
const SIGMAS: [f64; 6] = [0.05, 0.2, 0.5, 1.0, 3.0, 10.0];
/// Periods of the colours; the other estimators get as many products as there are colours.
const PERIODS: [usize; 3] = [2, 3, 4];
const NAMES: [&str; 5] = [
    "Rademacher",
    "Gaussian",
    "Hutch++",
    "XTrace",
    "probing with colours",
];

/// The Jacobian of a model at one point.
struct Case {
    model: String,
    sigma: f64,
    shape: [usize; 3],
    jacobian: DMatrix<f64>,
}

pub fn section(effort: &StudyScale, checkpoint: &Checkpoint) -> Result<Section> {
    let mut cases = mixture(effort)?;
    cases.extend(image_network(effort, checkpoint)?);
    let header = &checkpoint.header;
    let text = format!(
        "log p needs tr J at every step, from products with J. Hutchinson's probes (random signs, or Gaussian), Hutch++ and XTrace \
         beside probing with colours, on exact Jacobians of 8×8 pictures of a Gaussian mixture with noise added, then on those of an \
         image U-Net, trained {} steps on {}, at a sample of its own with noise added. An error of 1 is an error of about one nat in \
         log r for each e-fold of σ.",
        header.step, header.data
    );

    let columns = [&["model", "σ", "tr J", "products"][..], &NAMES].concat();
    let mut table = Table::new(
        "traces",
        Some(
            "Root mean square error of tr J over independent estimates, at equal numbers of products with J.".to_owned(),
        ),
        &columns,
    );
    // log(RMSE/RMSE of Rademacher) by model and products.
    let mut ratios: Vec<(String, usize, Vec<[f64; 5]>)> = Vec::new();
    for case in &cases {
        effort.says(format!(
            "trace estimators: {}, σ = {}",
            case.model, case.sigma
        ));
        for period in PERIODS {
            let colouring = Colouring {
                shape: case.shape,
                period,
            };
            let products = colouring.count();
            let errors = errors(effort, case, colouring);
            let mut row = vec![
                case.model.clone(),
                case.sigma.to_string(),
                short(case.jacobian.trace()),
                products.to_string(),
            ];
            row.extend(errors.map(short));
            table.rows.push(row);
            let logs = errors.map(|error| (error / errors[0]).ln());
            match ratios
                .iter_mut()
                .find(|r| r.0 == case.model && r.1 == products)
            {
                Some(found) => found.2.push(logs),
                None => ratios.push((case.model.clone(), products, vec![logs])),
            }
        }
    }
    let columns = [&["model", "products"][..], &NAMES].concat();
    let mut summary = Table::new(
        "traces-summary",
        Some("The same error divided by Rademacher's: geometric mean over the noise levels. Less is better.".to_owned()),
        &columns,
    );
    for (model, products, logs) in ratios {
        let mean = |k: usize| logs.iter().map(|row| row[k]).sum::<f64>() / logs.len() as f64;
        let mut row = vec![model, products.to_string()];
        row.extend((0..NAMES.len()).map(|k| short(mean(k).exp())));
        summary.rows.push(row);
    }
    Ok(Section {
        title: "Trace estimators",
        text: vec![text],
        tables: vec![summary, table],
        figures: vec![],
    })
}

/// Root mean square errors, in the order of [`NAMES`].
fn errors(effort: &StudyScale, case: &Case, colouring: Colouring) -> [f64; 5] {
    let (j, truth) = (&case.jacobian, case.jacobian.trace());
    let trials = effort.size(40, 3) as u64;
    std::array::from_fn(|k| {
        let trial = |trial: u64| {
            let index = [trial, k as u64, colouring.period as u64];
            let mut rng = generator(effort.seed, RandomStream::Probe, index);
            let estimate = match ESTIMATORS.get(k) {
                Some(estimator) => estimator.estimate(j, colouring.count(), &mut rng),
                None => probing(j, colouring, &mut rng),
            };
            estimate - truth
        };
        root_mean_square(&(0..trials).map(trial).collect::<Vec<f64>>())
    })
}

fn mixture(effort: &StudyScale) -> Result<Vec<Case>> {
    let (side, device) = (8, Device::flex());
    let mixture = RandomMixture::pictures(side, effort.seed);
    let data = mixture.data(&device, DType::F64)?;
    let clean = mixture.draw(1, effort.seed, &device, DType::F64);
    let noise = FrozenNoise::new(effort.seed).start([1, mixture.dim()], &device, DType::F64);
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

fn image_network(effort: &StudyScale, checkpoint: &Checkpoint) -> Result<Vec<Case>> {
    let device = Device::flex();
    let network = NetworkDenoiser::from_checkpoint(checkpoint, &device)?;
    let d = network.dim();
    let config = &checkpoint.header.network;
    let [channels, side] = [config.image_channels, config.image_size];
    let noise = FrozenNoise::new(effort.seed);
    let unit = |k: usize| -> Tensor<2> { noise.step(k, [1, d], &device, DType::F32) };
    let levels = schedule::edm(18);
    let clean = sample(&network, &Sampler::Heun, &levels, unit(0), &noise)?;
    let count = effort.size(SIGMAS.len(), 1);
    let case = |(k, sigma): (usize, f64)| {
        effort.says(format!(
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
