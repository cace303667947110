//! Cost of a prediction, and its growth with each size.

use std::time::Instant;

use burn::tensor::{DType, Device, Distribution, Tensor};
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::precondition::Precondition;
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_diffusion::schedule::karras;
use datasway_diffusion::unet::UNet;
use datasway_diffusion::{DiffusionError, weights};
use datasway_fs::process::{cpu_seconds, peak_memory, resident_memory};
use datasway_sensitivity::density::ProbabilityFlow;
use datasway_sensitivity::jacobian_trace::{ProbeLaw, Trace};
use datasway_sensitivity::measure::{Empirical, Gaussian, Measure};
use datasway_sensitivity::trajectory::tangent::sample_with_tangents;
use nalgebra::{DMatrix, DVector};

use crate::problems::problem::rows;

/// Sizes of one prediction: a small U-Net of grey images, Heun's method, the probability-flow density and empirical ν.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    /// Number of rows and of columns of an image, √d.
    pub side: usize,
    /// Number of samples n, all in one batch.
    pub samples: usize,
    /// Number of steps S of the sampler.
    pub steps: usize,
    /// Number of probes P of the trace.
    pub probes: usize,
    /// Number of directions K.
    pub directions: usize,
    /// Number of points m of each ν.
    pub points: usize,
}

/// A size that is varied, with its values.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Name of the size.
    pub factor: &'static str,
    /// Values of the size, each with the whole workload.
    pub workloads: Vec<(f64, Workload)>,
}

/// A sweep of each size, with all others as in `base`.
pub fn sweeps(base: &Workload) -> Vec<Sweep> {
    let sweep = |factor: &'static str, values: &[usize], set: fn(&mut Workload, usize)| {
        let workload = |value: &usize| {
            let mut workload = *base;
            set(&mut workload, *value);
            let size = if factor == "d" { value * value } else { *value };
            (size as f64, workload)
        };
        Sweep {
            factor,
            workloads: values.iter().map(workload).collect(),
        }
    };
    vec![
        sweep("d", &[8, 16, 32, 64], |workload, side| workload.side = side),
        sweep("samples", &[16, 32, 64, 128], |workload, n| {
            workload.samples = n
        }),
        sweep("steps", &[8, 16, 32, 64], |workload, steps| {
            workload.steps = steps
        }),
        sweep("probes", &[1, 4, 16, 64], |workload, probes| {
            workload.probes = probes
        }),
        sweep("directions", &[1, 4, 16, 64], |workload, count| {
            workload.directions = count
        }),
        sweep(
            "points of ν",
            &[1_000, 10_000, 30_000, 100_000],
            |workload, m| workload.points = m,
        ),
    ]
}

impl Workload {
    /// The sizes of which one is varied.
    pub const BASE: Self = Self {
        side: 16,
        samples: 16,
        steps: 8,
        probes: 1,
        directions: 1,
        points: 1_000,
    };

    /// Evaluations of the network for each sample: two in each step but the last, which has one.
    pub fn evaluations(&self) -> usize {
        2 * self.steps - 1
    }

    /// Terms of the cost model: evaluations of D, products with its Jacobian, and passes over the points of ν.
    /// Each is multiplied by the number of entries that it touches.
    pub fn terms(&self) -> [f64; 3] {
        let d = (self.side * self.side) as f64;
        let passes = (self.samples * self.evaluations()) as f64 * d;
        [
            passes,
            passes * (self.directions + self.probes) as f64,
            passes * (self.directions * self.points) as f64,
        ]
    }

    /// Runs the workload once in this process and measures it.
    ///
    /// # Errors
    /// As [`sample_with_tangents`], or if a size is 0.
    pub fn measure(&self) -> Result<MeasuredCost, DiffusionError> {
        let device = Device::flex();
        let config = UNetConfig {
            image_channels: 1,
            image_size: self.side,
            channels: 16,
            multipliers: vec![1, 2],
            blocks: 1,
            attention: vec![],
            head_channels: 16,
            groups: None,
        };
        let network = weights::draw(0, &device, || UNet::new(&config, &device))?;
        let precondition = Precondition { sigma_data: 0.5 };
        let model = NetworkDenoiser::new(network, config, precondition);
        let d = self.side * self.side;
        // Made in place, so that only the points are resident before the run.
        let cloud = |_| {
            let shape = [self.points, d];
            let law = Distribution::Normal(0.0, 0.5);
            Empirical::new(Tensor::random(shape, law, (&device, DType::F32)))
        };
        let directions: Result<Vec<Empirical>, _> = (0..self.directions).map(cloud).collect();
        let directions = directions?;
        let measures: Vec<&dyn Measure> = directions.iter().map(|v| v as &dyn Measure).collect();
        let noise = FrozenNoise::new(0);
        let start = noise.start([self.samples, d], &device, DType::F32);
        let density = ProbabilityFlow {
            start: Gaussian::diagonal(&vec![0.0; d], &vec![0.25; d], &device, DType::F32)?,
            trace: Trace::Hutchinson {
                law: ProbeLaw::Rademacher,
                probes: self.probes,
                seed: 0,
                first: 0,
            },
        };
        let sigmas = karras(self.steps, 0.02, 80.0, 7.0);
        let (before, started, processor) = (resident_memory(), Instant::now(), cpu_seconds());
        let solution = sample_with_tangents(
            &model,
            &measures,
            &density,
            &Sampler::Heun,
            &sigmas,
            start,
            &noise,
        )?;
        rows(&solution.samples)?;
        let wall = started.elapsed().as_secs_f64();
        let memory = peak_memory().zip(before);
        Ok(MeasuredCost {
            wall,
            processor: cpu_seconds().zip(processor).map(|(to, from)| to - from),
            memory: memory.map(|(peak, before)| peak.saturating_sub(before)),
        })
    }
}

/// Cost of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredCost {
    /// Wall time in seconds.
    pub wall: f64,
    /// Processor time of all threads in seconds; none if the system does not report it (Linux does).
    pub processor: Option<f64>,
    /// Peak of memory in bytes above the memory that was resident before the run, which includes the points of ν.
    /// It is right for the first run of a process only, since the peak does not fall.
    /// None if the system does not report it.
    pub memory: Option<u64>,
}

/// Fits `cost = Σ_i c_i·term_i` by least squares of the relative error.
///
/// Returns the coefficients and the median relative error; none if the terms do not determine the coefficients.
pub fn fit_cost_model<const N: usize>(observed: &[([f64; N], f64)]) -> Option<([f64; N], f64)> {
    let rows = observed.len();
    let scaled = DMatrix::from_fn(rows, N, |i, j| observed[i].0[j] / observed[i].1);
    // Columns differ by many powers of ten.
    let size: Vec<f64> = (0..N).map(|j| scaled.column(j).norm()).collect();
    let even = DMatrix::from_fn(rows, N, |i, j| scaled[(i, j)] / size[j]);
    let solution = even
        .svd(true, true)
        .solve(&DVector::from_element(rows, 1.0), 1e-12)
        .ok()?;
    let coefficients: [f64; N] = std::array::from_fn(|j| solution[j] / size[j]);
    let errors: Vec<f64> = (0..rows)
        .map(|i| {
            let fitted: f64 = (0..N).map(|j| scaled[(i, j)] * coefficients[j]).sum();
            (fitted - 1.0).abs()
        })
        .collect();
    Some((coefficients, datasway_stats::median(&errors)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_law_is_found_over_many_powers_of_ten() {
        let observed: Vec<([f64; 2], f64)> = (0..6)
            .map(|i| {
                let terms = [10f64.powi(i), 10f64.powi(2 * (i % 3) + 3)];
                (terms, 3e-9 * terms[0] + 2e-12 * terms[1])
            })
            .collect();
        let ([a, b], error) = fit_cost_model(&observed).expect("a law");
        assert!(
            (a / 3e-9 - 1.0).abs() < 1e-6 && (b / 2e-12 - 1.0).abs() < 1e-6,
            "{a} {b}"
        );
        assert!(error < 1e-6);
    }

    #[test]
    fn one_size_differs_in_each_sweep() {
        for sweep in sweeps(&Workload::BASE) {
            let workloads = sweep.workloads;
            assert!(workloads.windows(2).all(|pair| pair[0].0 < pair[1].0));
            let base = workloads.iter().filter(|pair| pair.1 == Workload::BASE);
            assert_eq!(base.count(), 1);
        }
    }

    #[test]
    fn a_load_is_measured() {
        let workload = Workload {
            side: 8,
            samples: 2,
            steps: 2,
            points: 10,
            ..Workload::BASE
        };
        let cost = workload.measure().expect("a cost");
        assert!(cost.wall > 0.0 && cost.processor.is_none_or(|s| s <= 60.0));
        assert_eq!(workload.evaluations(), 3);
    }
}
