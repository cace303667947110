//! The work of a check: fewer images and samples where a model is slow.

use std::time::Instant;

use anyhow::Result;
use burn::tensor::{DType, Tensor};
use datasway_diffusion::sampler::FrozenNoise;
use datasway_fs::plural;
use datasway_sensitivity::{CLIPPED_SAMPLES, SensitivityConfig, TrainedModel};
use serde::Serialize;

/// Images whose loss is measured if there is time.
const IMAGES: usize = 256;
/// Fewest images whose loss is measured.
const LEAST_IMAGES: usize = 8;
/// Samples on the page if there is time.
const SHOWN: usize = 32;
/// Fewest samples on the page.
const LEAST_SHOWN: usize = 8;
/// Largest share of the time for one path in single and in double precision.
const SHARE_OF_PRECISION: f64 = 0.25;
/// Largest share of the time for a step of the ranking, and for the network's products of influences.
const SHARE_OF_TRIAL: f64 = 0.125;
/// Largest share of the time for what influences do with the images.
const SHARE_OF_IMAGES: f64 = 0.0625;
/// Seconds of an evaluation in double precision for each second in single precision, about.
const DOUBLE: f64 = 3.0;
/// Seconds of a product with J for each second of an evaluation, about.
const PRODUCT: f64 = 1.0;
/// Seconds of a product with Jᵀ for each second of an evaluation, about.
const TRANSPOSED: f64 = 3.0;
/// Seconds after which larger batches are not tried.
const TIMED: f64 = 0.3;

/// Seconds of a model for each sample.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// Of an evaluation in a batch.
    pub forward: f64,
    /// Of an evaluation of a single sample.
    pub alone: f64,
    /// Of a comparison with the blurred training images; 0 until it is known.
    pub comparison: f64,
}

impl Speed {
    /// Times the model on noise: a single sample, then batches of 2, 4, … until a batch of the run, or one that takes long enough.
    ///
    /// # Errors
    /// If the model fails.
    pub fn measure(model: &TrainedModel, config: &SensitivityConfig) -> Result<Self> {
        let denoiser = model.score_model.denoiser();
        let (noise, sigma) = (FrozenNoise::new(config.seed), config.sigmas[0]);
        let time = |rows: usize| -> Result<f64> {
            let x: Tensor<2> =
                noise.start([rows, denoiser.dim()], &model.device, DType::F32) * sigma;
            let started = Instant::now();
            let denoised = denoiser.denoise(x, sigma)?.into_data();
            drop(denoised);
            Ok(started.elapsed().as_secs_f64())
        };
        // The first evaluation pays for what the later ones share.
        time(1)?;
        let alone = time(1)?;
        let (mut rows, mut seconds) = (1, alone);
        while seconds < TIMED && rows < config.batch {
            rows = (2 * rows).min(config.batch);
            seconds = time(rows)?;
        }
        Ok(Self {
            forward: seconds / rows as f64,
            alone,
            comparison: 0.0,
        })
    }
}

/// The work of a check for each image and each sample, and the sizes that limit it.
#[derive(Debug, Clone, Copy)]
pub struct CheckSize {
    /// Evaluations for the losses of one image.
    pub evaluations_per_image: usize,
    /// Comparisons with the blurred training images for the losses of one image.
    pub comparisons_per_image: usize,
    /// Evaluations for one sample.
    pub evaluations_per_sample: usize,
    /// Images of the data.
    pub images: usize,
    /// Samples that are computed together, at most.
    pub batch: usize,
    /// Samples of the first batch of the run.
    pub run_batch: usize,
    /// Changes of the data in the ranking.
    pub changes: usize,
    /// Functionals of the influences.
    pub functionals: usize,
    /// True if a functional needs products of its own, with J and with Jᵀ.
    pub needs_products: bool,
    /// True if samples are drawn again with clamped denoised images.
    pub clips: bool,
    /// True if the device has double precision.
    pub has_double: bool,
}

impl CheckSize {
    /// Evaluations for each sample of a step of the ranking, with products with J counted as such: itself, and one forward and one
    /// with products to tell their time.
    pub fn evaluations_of_ranking(&self) -> f64 {
        3.0 + 2.0 * PRODUCT * self.changes as f64
    }

    /// Evaluations for each sample of the products of influences, each with an evaluation in it, and of one forward.
    pub fn evaluations_of_influences(&self) -> f64 {
        let pulled = 1.0 + TRANSPOSED * self.functionals as f64;
        let own = if self.needs_products {
            2.0 + PRODUCT + TRANSPOSED
        } else {
            0.0
        };
        1.0 + pulled + own
    }

    /// Samples in a trial that has so many evaluations for each: a batch, or the power of two that the time allows.
    pub fn trial(&self, speed: &Speed, evaluations: f64, seconds: f64) -> usize {
        let allowed = SHARE_OF_TRIAL * seconds / (speed.forward * evaluations);
        if allowed >= self.run_batch as f64 {
            return self.run_batch;
        }
        let power = allowed.max(2.0).log2() as u32;
        (1 << power).min(self.run_batch)
    }
}

/// Planned seconds of a trial of so many samples, which one sample alone precedes.
pub fn trial_seconds(speed: &Speed, evaluations: f64, samples: usize) -> f64 {
    (1 + samples) as f64 * evaluations * speed.forward
}

/// The time that a check may take.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimit {
    /// The limit.
    pub minutes: f64,
    /// Seconds of it that the trials take.
    pub trials: f64,
}

impl TimeLimit {
    /// The limit in seconds.
    pub fn seconds(&self) -> f64 {
        60.0 * self.minutes
    }

    /// Seconds for what influences do with the images, if that is not more for a single sample.
    pub fn seconds_of_images(&self) -> f64 {
        SHARE_OF_IMAGES * self.seconds()
    }
}

/// The images and samples of a check, and its planned seconds.
#[derive(Debug, Clone, Serialize)]
pub struct CheckPlan {
    /// Images whose loss is measured.
    pub images: usize,
    /// Samples on the page.
    pub samples: usize,
    /// True if one path is computed in double precision too.
    pub precision: bool,
    /// Planned seconds of all parts but the trials of the runs.
    pub seconds: f64,
    /// Planned seconds without a limit, if that is more.
    pub unlimited_seconds: Option<f64>,
    /// The limit, in minutes.
    pub minutes: f64,
}

impl CheckPlan {
    /// The most work that takes no longer than the limit with the trials, or else the least: images and samples are halved until it
    /// does. `images` are a number that is asked for.
    pub fn new(size: &CheckSize, speed: &Speed, limit: TimeLimit, images: Option<usize>) -> Self {
        let precision_seconds = precision_seconds(size, speed);
        let plan = |halvings: u32, precision: bool| {
            let measured = images.unwrap_or((IMAGES >> halvings).max(LEAST_IMAGES));
            let measured = measured.min(size.images);
            let samples = (SHOWN >> halvings).max(LEAST_SHOWN).min(size.batch);
            let parts = [
                loss_seconds(size, speed, measured),
                sample_seconds(size, speed, samples),
                clip_seconds(size, speed, samples),
                if precision { precision_seconds } else { 0.0 },
            ];
            Self {
                images: measured,
                samples,
                precision,
                seconds: parts.iter().sum(),
                unlimited_seconds: None,
                minutes: limit.minutes,
            }
        };
        let precision =
            size.has_double && precision_seconds <= SHARE_OF_PRECISION * limit.seconds();
        let unlimited = plan(0, size.has_double);
        let most_halvings = (IMAGES / LEAST_IMAGES).ilog2();
        let mut plans = (0..=most_halvings).map(|halvings| plan(halvings, precision));
        let plan = plans
            .find(|plan| plan.seconds + limit.trials <= limit.seconds())
            .unwrap_or_else(|| plan(most_halvings, precision));
        let is_limited = plan.seconds < unlimited.seconds;
        Self {
            unlimited_seconds: is_limited.then_some(unlimited.seconds),
            ..plan
        }
    }

    /// The plan in one line.
    pub fn text(&self) -> String {
        let work = format!(
            "losses of {}, {}",
            plural(self.images, "image"),
            plural(self.samples, "sample")
        );
        let Some(unlimited) = self.unlimited_seconds else {
            return work;
        };
        let precision = if self.precision {
            ""
        } else {
            ", nothing in double precision"
        };
        format!(
            "{work}{precision}: everything would take {}, and --minutes is {}",
            duration(unlimited),
            self.minutes
        )
    }
}

/// Planned seconds of the losses.
pub fn loss_seconds(size: &CheckSize, speed: &Speed, images: usize) -> f64 {
    let forward = size.evaluations_per_image as f64 * speed.forward;
    let comparisons = size.comparisons_per_image as f64 * speed.comparison;
    images as f64 * (forward + comparisons)
}

/// Planned seconds of the samples.
pub fn sample_seconds(size: &CheckSize, speed: &Speed, samples: usize) -> f64 {
    (samples * size.evaluations_per_sample) as f64 * speed.forward
}

/// Planned seconds of the samples with clamped denoised images.
pub fn clip_seconds(size: &CheckSize, speed: &Speed, samples: usize) -> f64 {
    if size.clips {
        sample_seconds(size, speed, samples.min(CLIPPED_SAMPLES))
    } else {
        0.0
    }
}

/// Planned seconds of a path in single and in double precision.
pub fn precision_seconds(size: &CheckSize, speed: &Speed) -> f64 {
    size.evaluations_per_sample as f64 * speed.alone * (1.0 + DOUBLE)
}

/// Seconds below two minutes, and minutes above.
pub fn duration(seconds: f64) -> String {
    if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{:.0} min", seconds / 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The default check of a model whose scheduler clamps.
    fn size() -> CheckSize {
        CheckSize {
            evaluations_per_image: 22,
            comparisons_per_image: 17,
            evaluations_per_sample: 35,
            images: 5000,
            batch: 64,
            run_batch: 64,
            changes: 2,
            functionals: 1,
            needs_products: true,
            clips: true,
            has_double: true,
        }
    }

    fn limit(minutes: f64) -> TimeLimit {
        TimeLimit {
            minutes,
            trials: 0.0,
        }
    }

    fn speed(forward: f64) -> Speed {
        Speed {
            forward,
            alone: forward,
            comparison: 0.0,
        }
    }

    #[test]
    fn a_fast_model_has_all_images_and_samples() {
        let plan = CheckPlan::new(&size(), &speed(0.03), limit(5.0), None);
        assert_eq!((plan.images, plan.samples, plan.precision), (256, 32, true));
        assert_eq!(plan.unlimited_seconds, None);
        assert_eq!(plan.text(), "losses of 256 images, 32 samples");
        let comparison = Speed {
            comparison: 0.05,
            ..speed(0.03)
        };
        let plan = CheckPlan::new(&size(), &comparison, limit(5.0), None);
        assert!(plan.images < 256 && plan.seconds <= 300.0, "{plan:?}");
    }

    #[test]
    fn a_slow_model_has_fewer_and_takes_no_longer_than_allowed() {
        let mut images = 256;
        for forward in [0.06, 0.1, 0.15, 0.2, 0.3] {
            let plan = CheckPlan::new(&size(), &speed(forward), limit(5.0), None);
            assert!(plan.seconds <= 300.0, "{forward}: {plan:?}");
            assert!(plan.images <= images && plan.images >= 8, "{plan:?}");
            assert!(plan.unlimited_seconds > Some(300.0), "{plan:?}");
            assert!(plan.text().contains("--minutes is 5"), "{}", plan.text());
            images = plan.images;
        }
        assert!(images < 64);
        let all = CheckPlan::new(&size(), &speed(0.3), limit(60.0), None);
        assert_eq!((all.images, all.unlimited_seconds), (256, None));
    }

    #[test]
    fn the_least_work_is_done_where_the_time_allows_none() {
        let plan = CheckPlan::new(&size(), &speed(10.0), limit(0.0), None);
        assert_eq!((plan.images, plan.samples, plan.precision), (8, 8, false));
        assert!(plan.text().contains("nothing in double precision"));
    }

    #[test]
    fn the_trials_are_part_of_the_time() {
        let limit = TimeLimit {
            minutes: 5.0,
            trials: 200.0,
        };
        let plan = CheckPlan::new(&size(), &speed(0.03), limit, None);
        assert!(plan.images < 256 && plan.seconds <= 100.0, "{plan:?}");
    }

    #[test]
    fn images_that_are_asked_for_are_measured() {
        for (images, measured) in [(2, 2), (100, 100), (4000, 4000), (6000, 5000)] {
            let plan = CheckPlan::new(&size(), &speed(0.5), limit(5.0), Some(images));
            assert_eq!(plan.images, measured);
        }
    }

    #[test]
    fn the_step_that_is_measured_is_a_batch_or_a_smaller_power_of_two() {
        let evaluations = size().evaluations_of_ranking();
        assert_eq!(evaluations, 7.0);
        let samples = |forward: f64| size().trial(&speed(forward), evaluations, 300.0);
        assert_eq!([0.001, 0.08].map(samples), [64, 64]);
        assert_eq!([0.1, 0.2, 0.5, 1.0, 9.0].map(samples), [32, 16, 8, 4, 2]);
        let small = CheckSize {
            run_batch: 1,
            ..size()
        };
        assert_eq!(small.trial(&speed(9.0), evaluations, 300.0), 1);
    }
}
