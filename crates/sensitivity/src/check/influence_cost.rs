//! Time and memory of the influences that are asked for.

use std::collections::BTreeMap;

use anyhow::Result;
use burn::tensor::{DType, Tensor};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::FrozenNoise;
use datasway_fs::plural;
use datasway_fs::process::measured;
use datasway_sensitivity::density::Bandwidth;
use datasway_sensitivity::influence::{self, Functional, MAX_KEPT};
use datasway_sensitivity::{ResolvedConfig, SensitivityConfig, TrainedModel};
use serde::Serialize;

use super::cost::{RunCost, TrialPlace};
use super::peaks::Peaks;
use super::plan::duration;
use super::products::{CountingDenoiser, Product};

/// Strongest images of each sample on a page.
const SHOWN: usize = 8;

/// Measured and estimated cost of the influence of all training images through the data.
#[derive(Serialize)]
pub struct InfluenceCost {
    /// The functionals.
    of: Vec<String>,
    /// The work of the network.
    products: Vec<ProductCost>,
    /// Samples that were computed together to measure the network.
    measured_batch: usize,
    /// Seconds of a sample for all but the network: the training images, and the page's strongest ones among them.
    seconds_of_images: f64,
    /// Samples of the run without the network that tells this.
    measured_samples: usize,
    /// Samples of the run.
    samples: usize,
    /// Estimated seconds of the run.
    seconds: f64,
    /// Estimated peak memory of the run in bytes; null where the system does not tell.
    memory: Option<u64>,
}

/// The cost of a product of the network.
#[derive(Serialize)]
struct ProductCost {
    /// `forward`, `jvp` or `vjp`; the last two have an evaluation in them.
    product: &'static str,
    /// Tangents or cotangents.
    vectors: usize,
    /// Products for each sample of the run.
    evaluations: f64,
    /// Seconds of one for a sample in a batch.
    seconds: f64,
}

/// A run of influences that is estimated.
pub struct InfluenceTrial<'a> {
    /// The model.
    pub model: &'a TrainedModel,
    /// The options of the run.
    pub config: &'a SensitivityConfig,
    /// The functionals.
    pub functionals: &'a [Box<dyn Functional>],
    /// The cost of the ranking, which knows the bandwidth and the peak of loading.
    pub ranking: &'a RunCost,
}

/// The work of a run but the network's.
struct ImageWork {
    /// The points of each product of the network.
    points: BTreeMap<Product, usize>,
    /// Samples of the run.
    samples: usize,
    seconds: f64,
    peaks: Peaks,
}

impl InfluenceTrial<'_> {
    /// The cost, from a run with a linear denoiser in the place of the network and the network's products at `place` for `batch`
    /// samples. The first takes about so many `seconds` at most, if it takes less for a single sample.
    ///
    /// # Errors
    /// If the model fails.
    pub fn measure(
        &self,
        place: &TrialPlace<'_>,
        batch: usize,
        seconds: f64,
    ) -> Result<InfluenceCost> {
        let images = self.image_work(place.sigma, seconds)?;
        let config = self.config;
        let (mut products, mut network) = (Vec::new(), None);
        for (&product, &points) in &images.points {
            let (seconds, peaks) = self.time(place, product, batch)?;
            let (name, vectors) = product.name_and_vectors();
            products.push(ProductCost {
                product: name,
                vectors,
                evaluations: points as f64 / images.samples as f64,
                seconds,
            });
            network = network.max(peaks.with_batch(self.run_batch()));
        }
        let seconds_of_images = images.seconds / images.samples as f64;
        let products_of_sample = products.iter().map(|p| p.evaluations * p.seconds);
        let seconds_of_sample = seconds_of_images + products_of_sample.sum::<f64>();
        let seconds = self.ranking.seconds_beside_samples(self.model, config)
            + seconds_of_sample * config.samples as f64;
        let memory = self.memory(&images.peaks, network);
        let of = self.functionals.iter().map(|f| f.name().to_owned());
        Ok(InfluenceCost {
            of: of.collect(),
            products,
            measured_batch: batch,
            seconds_of_images,
            measured_samples: images.samples,
            samples: config.samples,
            seconds,
            memory,
        })
    }

    /// Samples of the first batch of the run.
    fn run_batch(&self) -> usize {
        self.config.batch.min(self.config.samples)
    }

    /// A run of 1, 2, 4, … samples up to a batch with a linear denoiser, while the next would take no more than about so many seconds.
    fn image_work(&self, scale: f64, seconds: f64) -> Result<ImageWork> {
        let resolved = self.resolved()?;
        let (dim, device) = (self.model.images.shape.dim(), &self.model.device);
        let denoiser = CountingDenoiser::new(dim, scale, device)?;
        let images = self.model.image_points();
        let run = |samples: usize| {
            let config = ResolvedConfig {
                samples,
                ..resolved.clone()
            };
            influence::compute(&denoiser, &images, self.functionals, &config, SHOWN, |_| ())
        };
        let (mut samples, mut spent) = (1, 0.0);
        let (results, alone) = measured(|| run(samples));
        results?;
        let mut points = denoiser.take_points();
        let mut together = alone;
        while samples < self.run_batch() && spent + 3.0 * together.seconds <= seconds {
            spent += together.seconds;
            samples = (2 * samples).min(self.run_batch());
            let (results, cost) = measured(|| run(samples));
            results?;
            points = denoiser.take_points();
            together = cost;
        }
        Ok(ImageWork {
            points,
            samples,
            seconds: together.seconds,
            peaks: Peaks::new(alone, together, samples),
        })
    }

    /// The options with the bandwidth that has been chosen.
    fn resolved(&self) -> Result<ResolvedConfig> {
        let mut config = SensitivityConfig {
            zero_check: false,
            ..self.config.clone()
        };
        let chosen = self.ranking.bandwidth().map(Bandwidth::Fixed);
        config.density.bandwidth = chosen.or(config.density.bandwidth);
        Ok(self.model.resolve(&config)?)
    }

    /// Seconds of a product for each of `batch` samples, and the peaks of memory.
    fn time(&self, place: &TrialPlace<'_>, product: Product, batch: usize) -> Result<(f64, Peaks)> {
        let (noise, denoiser) = (FrozenNoise::new(self.config.seed), place.denoiser);
        let d = denoiser.dim();
        let compute = |samples: usize| -> Result<(), DiffusionError> {
            let draw = |rows: usize| -> Tensor<2> {
                noise.start([rows, d], &self.model.device, DType::F32)
            };
            let x = draw(samples) * place.sigma;
            let vectors = |k: usize| draw(k * samples).reshape([k, samples, d]);
            // The numbers are read, so that they are computed.
            let _ = match product {
                Product::Forward => denoiser.denoise(x, place.sigma)?.into_data(),
                Product::Jacobian(k) => denoiser.jvp(x, place.sigma, vectors(k))?.1.into_data(),
                Product::Transposed(k) => denoiser.vjp(x, place.sigma, vectors(k))?.1.into_data(),
            };
            Ok(())
        };
        // The first evaluation pays for what the later ones share.
        let (done, alone) = measured(|| compute(1));
        done?;
        let (done, together) = measured(|| compute(batch));
        done?;
        let seconds = together.seconds / batch as f64;
        Ok((seconds, Peaks::new(alone, together, batch)))
    }

    /// The estimated peak: that of loading, of the network beside the paths, or of the images, and the results.
    fn memory(&self, images: &Peaks, network: Option<u64>) -> Option<u64> {
        let (batch, samples) = (self.run_batch(), self.config.samples);
        let (m, d) = (self.model.images.len(), self.model.images.shape.dim());
        let k = self.functionals.len();
        // x, D, the gradients and the changes of the denoiser: 4·E·d·(2 + 2K) bytes a sample.
        let path = 4 * self.ranking.evaluations() * d * (2 + 2 * k);
        let images = images.with_limit(batch, path as u64, MAX_KEPT as u64)?;
        let network = network? + (path * batch) as u64;
        // Samples, gradients and influences: in memory, as the arrays of a file, and as the file.
        let results = 3 * 4 * samples * (k * (m + d) + d);
        let running = images.max(network) + results as u64;
        Some(running.max(self.ranking.peak_of_loading().unwrap_or(0)))
    }
}

impl InfluenceCost {
    /// The cost in one line.
    pub fn text(&self) -> String {
        let products = self.products.iter().map(|product| {
            let ProductCost {
                product,
                vectors,
                evaluations,
                seconds,
            } = product;
            match vectors {
                0 => format!("{evaluations:.0} {product} of {seconds:.4} s"),
                _ => format!("{evaluations:.0} {product} (K = {vectors}) of {seconds:.4} s"),
            }
        });
        let products: Vec<String> = products.collect();
        let memory = self.memory.map_or(String::new(), |bytes| {
            format!(" and {} MiB of memory", bytes >> 20)
        });
        format!(
            "influence on {}: {} and {:.4} s for the images a sample: {} take about {}{memory}",
            self.of.join(", "),
            products.join(", "),
            self.seconds_of_images,
            plural(self.samples, "sample"),
            duration(self.seconds)
        )
    }
}
