//! Rankings of samples by their sensitivity, with warnings where the sensitivity cannot be trusted.

use std::fmt;

use datasway_stats::pearson;

use crate::direction::Direction;
use crate::sensitivities::Sensitivities;
use crate::tensors::norm;

/// The largest `log r` on a path for which δ is trusted.
///
/// Above it η would have to be below `e^-5` for the change to stay small against the data, so the first-order prediction
/// has no range.
pub const MAX_LOG_RATIO: f32 = 5.0;

/// The largest standard deviation of `log p^ρ` for which δ is trusted, at the steps where `log r` is within 1 of its
/// maximum. Above it the density ratio is unknown within a factor e.
pub const MAX_DEVIATION: f32 = 1.0;

/// The largest `|pixel|` of a sample that is trusted. Images lie in [-1, 1]; beyond it the sampler has diverged.
pub const MAX_PIXEL: f32 = 2.0;

/// The smallest ratio of ‖δ‖ to the model's own error that is trusted: the zero check ‖δ(ρ)‖ times the density ratio.
/// At 2, at most half of δ can be the model's own error.
pub const CLEAR_OF_RESIDUAL: f64 = 2.0;

/// The smallest correlation with another prediction of the same δ, made by another form, for which δ is trusted.
///
/// It was chosen on the tuning direction of CelebA at 16×16, where δ through the weights and through the data were compared
/// with fine-tuned models: below it a third of the samples was predicted with a correlation below 0.5, above it a
/// twentieth.
pub const MIN_AGREEMENT: f64 = 0.5;

/// The smallest ratio of ‖δ‖ to the noise of the draws behind it that is trusted.
pub const CLEAR_OF_NOISE: f64 = 2.0;

/// The smallest root mean square of a pixel's move `η·δ` to the sample of moved weights that is trusted.
///
/// Both samples are rounded to single precision: two drawn on slightly different paths differ by 1e-7 (median over samples of
/// procedural faces), at most by 4.5e-7.
pub const CLEAR_OF_ROUNDING: f64 = 1e-6;

/// One sample in the ranking of a direction.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedSample {
    /// Index of the sample.
    pub index: usize,
    /// `‖δ‖`, pixels per unit of mass; not finite where the density ratio overflowed.
    pub score: f64,
    /// The largest `log r` on the path; none where no densities were compared.
    pub max_log_ratio: Option<f32>,
    /// `‖δ(ρ)‖`, the norm of the sensitivity to the whole training set, which should be 0; none if it was not asked for.
    pub residual: Option<f64>,
    /// Standard error of δ by the draws of the training loss, as a norm over the pixels; none if it was not asked for.
    pub draw_noise: Option<f64>,
    /// The largest |η| up to which `ηδ` is trusted; none if it was not asked for.
    pub trust_radius: Option<f64>,
    /// Pearson's correlation of δ with that of another form; none if none was compared.
    pub agreement: Option<f64>,
    /// Reasons not to trust δ; empty if there are none.
    pub warnings: Vec<Warning>,
}

/// A reason not to trust the sensitivity of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Warning {
    /// A pixel of the sample is beyond [`MAX_PIXEL`].
    Diverged {
        /// The largest `|pixel|`.
        largest_pixel: f32,
    },
    /// A pixel of the sample of the moved weights is beyond [`MAX_PIXEL`].
    MovedDiverged {
        /// The largest `|pixel|`.
        largest_pixel: f32,
    },
    /// The move to the sample of the moved weights is below [`CLEAR_OF_ROUNDING`].
    WithinRounding {
        /// The root mean square of a pixel's move.
        moved: f64,
    },
    /// δ is not finite.
    NotFinite,
    /// `log r` exceeds [`MAX_LOG_RATIO`].
    LargeRatio {
        /// The largest `log r` on the path.
        max_log_ratio: f32,
    },
    /// The standard deviation of `log p^ρ` exceeds [`MAX_DEVIATION`].
    UncertainDensity {
        /// The standard deviation.
        deviation: f32,
    },
    /// ‖δ‖ is not [`CLEAR_OF_RESIDUAL`] of the model's own error.
    WithinModelError {
        /// The zero check ‖δ(ρ)‖.
        residual: f64,
        /// The same times the density ratio.
        error: f64,
    },
    /// ‖δ‖ is not [`CLEAR_OF_NOISE`] of the draws behind it.
    WithinDrawNoise {
        /// The standard error of δ.
        noise: f64,
    },
    /// The correlation with the δ of another form is below [`MIN_AGREEMENT`].
    Disagreement {
        /// The correlation.
        agreement: f64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Diverged { largest_pixel } => write!(
                f,
                "The sample itself leaves the range of images (a pixel of {largest_pixel:.1}): the sampler diverged"
            ),
            Self::MovedDiverged { largest_pixel } => write!(
                f,
                "With the moved weights the sample leaves the range of images (a pixel of {largest_pixel:.1}): the mass is too large for \
                 this change of the weights"
            ),
            Self::WithinRounding { moved } => write!(
                f,
                "The moved weights change a pixel of this sample by {moved:.1e} only (root mean square), which single precision does not \
                 resolve"
            ),
            Self::NotFinite => {
                f.write_str("δ is not finite: the density ratio or the change of the model overflowed on this path")
            }
            Self::LargeRatio { max_log_ratio } => write!(
                f,
                "The density ratio reaches e^{max_log_ratio:.0} on this path: δ holds only for masses far below e^-{max_log_ratio:.0}"
            ),
            Self::UncertainDensity { deviation } => write!(
                f,
                "Where the direction weighs most, the log-density is known only to ±{deviation:.1}"
            ),
            Self::WithinModelError { residual, error } => write!(
                f,
                "More of all training images alike, which changes nothing, seems to move this sample by ‖δ(all)‖ = {residual:.3}; with \
                 the density ratio of this direction it may be {error:.3}: δ does not stand clear of the model's own error"
            ),
            Self::WithinDrawNoise { noise } => write!(
                f,
                "Other draws of the training loss would move δ by {noise:.3}: δ does not stand clear of their noise"
            ),
            Self::Disagreement { agreement } => write!(
                f,
                "The other form predicts another change (correlation {agreement:.2})"
            ),
        }
    }
}

/// The samples of a direction, the most sensitive first. Samples whose δ is not finite come last.
///
/// `zero_check` compares the score with the sensitivity to the whole training set, if `results` have it. `mass` is that of the
/// direction, if δ is the difference to the samples of moved weights.
pub fn rank(
    results: &Sensitivities,
    direction: usize,
    zero_check: bool,
    mass: Option<f64>,
) -> Vec<RankedSample> {
    let rank_one = |index| ranked_sample(results, (direction, mass), index, zero_check);
    let mut ranking: Vec<RankedSample> = (0..results.count()).map(rank_one).collect();
    let key = |row: &RankedSample| {
        if row.score.is_finite() {
            row.score
        } else {
            -1.0
        }
    };
    ranking.sort_by(|a, b| key(b).total_cmp(&key(a)));
    ranking
}

fn ranked_sample(
    results: &Sensitivities,
    (direction, mass): (usize, Option<f64>),
    index: usize,
    zero_check: bool,
) -> RankedSample {
    let (sample, delta) = (results.sample(index), results.delta(direction, index));
    let score = norm(delta);
    let ratios = results.log_ratio(direction, index);
    let max_log_ratio = ratios.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let residual = results.residual(index).filter(|_| zero_check);
    let draw_noise = results.draw_noise(direction, index);
    let warnings = [
        diverged(sample),
        mass.and_then(|mass| moved_diverged(sample, delta, mass)),
        mass.and_then(|mass| within_rounding(score, delta.len(), mass)),
        out_of_range(score, max_log_ratio),
        uncertain(results, index, ratios, max_log_ratio),
        residual.and_then(|residual| within_model_error(score, residual, max_log_ratio)),
        draw_noise.and_then(|noise| within_draw_noise(score, noise)),
    ];
    RankedSample {
        index,
        score,
        max_log_ratio: (!ratios.is_empty()).then_some(max_log_ratio),
        residual,
        draw_noise,
        trust_radius: results.trust_radius(direction, index),
        agreement: None,
        warnings: warnings.into_iter().flatten().collect(),
    }
}

fn diverged(sample: &[f32]) -> Option<Warning> {
    let largest_pixel = largest_magnitude(sample.iter().copied());
    (largest_pixel > MAX_PIXEL).then_some(Warning::Diverged { largest_pixel })
}

/// Warns if `x + η·δ`, the sample of the moved weights, diverged.
fn moved_diverged(sample: &[f32], delta: &[f32], mass: f64) -> Option<Warning> {
    let moved = sample.iter().zip(delta);
    let largest_pixel = largest_magnitude(moved.map(|(x, delta)| x + mass as f32 * delta));
    (largest_pixel > MAX_PIXEL).then_some(Warning::MovedDiverged { largest_pixel })
}

/// Root mean square of the pixels' move `η·δ` to the sample of the moved weights, from ‖δ‖ of d entries.
pub fn move_of_pixels(norm: f64, dim: usize, mass: f64) -> f64 {
    mass.abs() * norm / (dim as f64).sqrt()
}

/// Warns if the move to the sample of the moved weights is rounding.
fn within_rounding(score: f64, dim: usize, mass: f64) -> Option<Warning> {
    let moved = move_of_pixels(score, dim, mass);
    (moved < CLEAR_OF_ROUNDING).then_some(Warning::WithinRounding { moved })
}

fn largest_magnitude(pixels: impl Iterator<Item = f32>) -> f32 {
    pixels.fold(0.0, |most, pixel| pixel.abs().max(most))
}

fn out_of_range(score: f64, max_log_ratio: f32) -> Option<Warning> {
    if !score.is_finite() {
        return Some(Warning::NotFinite);
    }
    (max_log_ratio > MAX_LOG_RATIO).then_some(Warning::LargeRatio { max_log_ratio })
}

fn uncertain(
    results: &Sensitivities,
    index: usize,
    ratios: &[f32],
    max_log_ratio: f32,
) -> Option<Warning> {
    let deviations = results.log_density_deviation.as_ref()?;
    // Where r is far below its peak, its errors do not matter.
    let near_peak = |step: &usize| ratios[*step] >= max_log_ratio - 1.0;
    let steps = (0..ratios.len()).filter(near_peak);
    let deviations = steps.map(|step| deviations[index * ratios.len() + step]);
    let deviation = deviations.fold(0.0, f32::max);
    (deviation > MAX_DEVIATION || deviation.is_nan())
        .then_some(Warning::UncertainDensity { deviation })
}

/// The model's own error `D^ρ − D` enters δ(ρ) as it is, and δ times the density ratio.
fn within_model_error(score: f64, residual: f64, max_log_ratio: f32) -> Option<Warning> {
    let error = residual * f64::from(max_log_ratio).exp().max(1.0);
    let clear = residual == 0.0 || score >= CLEAR_OF_RESIDUAL * error;
    (score.is_finite() && !clear).then_some(Warning::WithinModelError { residual, error })
}

fn within_draw_noise(score: f64, noise: f64) -> Option<Warning> {
    let clear = score >= CLEAR_OF_NOISE * noise;
    (score.is_finite() && !clear).then_some(Warning::WithinDrawNoise { noise })
}

/// A direction with its ranking.
#[derive(Debug, Clone)]
pub struct RankedDirection {
    /// The direction.
    pub direction: Direction,
    /// The samples, the most sensitive first.
    pub ranking: Vec<RankedSample>,
}

impl RankedDirection {
    /// The agreements of the samples with another form, ascending; empty if none was compared.
    pub fn agreements(&self) -> Vec<f64> {
        let mut agreements: Vec<f64> = self
            .ranking
            .iter()
            .filter_map(|row| row.agreement)
            .collect();
        agreements.sort_by(f64::total_cmp);
        agreements
    }

    /// The noise of the draws of the samples relative to ‖δ‖, ascending; empty if it was not asked for.
    pub fn relative_draw_noises(&self) -> Vec<f64> {
        let rows = self.ranking.iter();
        let noises = rows.filter_map(|row| Some(row.draw_noise? / row.score));
        let mut noises: Vec<f64> = noises.collect();
        noises.sort_by(f64::total_cmp);
        noises
    }

    /// The trust radii of the samples, ascending; empty if they were not asked for.
    pub fn trust_radii(&self) -> Vec<f64> {
        let radii = self.ranking.iter().filter_map(|row| row.trust_radius);
        let mut radii: Vec<f64> = radii.collect();
        radii.sort_by(f64::total_cmp);
        radii
    }
}

/// Sensitivities with the directions that they belong to, ranked.
#[derive(Debug, Clone)]
pub struct RankedSensitivities {
    /// The directions, in the order of `sensitivities`.
    pub directions: Vec<RankedDirection>,
    /// The numbers.
    pub sensitivities: Sensitivities,
}

impl RankedSensitivities {
    /// Ranks the samples for each direction; `sensitivities` are those to `directions`, in the same order.
    pub fn new(directions: Vec<Direction>, sensitivities: Sensitivities) -> Self {
        let ranked = |(k, direction): (usize, Direction)| RankedDirection {
            ranking: rank(
                &sensitivities,
                k,
                direction.has_zero_check(),
                direction.signed_mass(),
            ),
            direction,
        };
        Self {
            directions: directions.into_iter().enumerate().map(ranked).collect(),
            sensitivities,
        }
    }

    /// Compares every δ with that of another form, `[n·d]` for each direction, and warns of samples where the two do not agree.
    pub fn compare(&mut self, others: &[Vec<f32>]) {
        let numbers = &self.sensitivities;
        for (k, (ranked, other)) in self.directions.iter_mut().zip(others).enumerate() {
            let others: Vec<&[f32]> = other.chunks_exact(numbers.dim).collect();
            for row in &mut ranked.ranking {
                let wide =
                    |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
                let [ours, theirs] = [numbers.delta(k, row.index), others[row.index]].map(wide);
                let agreement = pearson(&ours, &theirs);
                row.agreement = Some(agreement);
                // A correlation that is not a number is no agreement.
                if agreement < MIN_AGREEMENT || agreement.is_nan() {
                    row.warnings.push(Warning::Disagreement { agreement });
                }
            }
        }
    }

    /// The samples of a direction, the most sensitive first.
    pub fn ranking(&self, direction: usize) -> &[RankedSample] {
        &self.directions[direction].ranking
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;
    use crate::direction::Change;
    use crate::measure::Gaussian;

    fn three() -> Sensitivities {
        Sensitivities {
            dim: 2,
            noise: vec![0.0; 6],
            samples: vec![0.0; 6],
            deltas: vec![vec![3.0, 4.0, f32::NAN, 0.0, 6.0, 8.0]],
            draw_noise: None,
            curvatures: Some(vec![vec![0.0, 2.0, 1.0, 0.0, 0.0, 0.0]]),
            residuals: None,
            step_parts: None,
            sigmas: vec![80.0, 1.0],
            log_density: vec![0.0; 6],
            log_ratios: vec![vec![-9.0, 1.0, 0.0, 99.0, 0.0, 7.0]],
            log_density_deviation: Some(vec![9.0, 0.1, 0.1, 0.1, 9.0, 2.0]),
            cost: Default::default(),
        }
    }

    #[test]
    fn the_most_sensitive_comes_first_and_what_is_not_finite_last() {
        let order: Vec<usize> = rank(&three(), 0, true, None)
            .iter()
            .map(|r| r.index)
            .collect();
        assert_eq!(order, [2, 0, 1]);
        assert_eq!(rank(&three(), 0, true, None)[1].score, 5.0);
    }

    #[test]
    fn limits_come_with_the_second_derivatives_only() {
        let limits: Vec<_> = rank(&three(), 0, true, None)
            .iter()
            .map(|r| r.trust_radius)
            .collect();
        assert_eq!(limits, [Some(f64::INFINITY), Some(0.5), Some(0.0)]);
        let mut without = three();
        without.curvatures = None;
        assert_eq!(rank(&without, 0, true, None)[0].trust_radius, None);
    }

    #[test]
    fn a_sample_that_is_no_image_is_not_trusted() {
        let mut results = three();
        results.samples[1] = -40.0;
        let ranked = rank(&results, 0, true, None);
        let first = ranked.iter().find(|r| r.index == 0).expect("ranked");
        assert!(
            matches!(first.warnings[0], Warning::Diverged { .. }),
            "{first:?}"
        );
    }

    /// The sample of the moved weights is x + η·δ.
    #[test]
    fn a_moved_sample_that_is_no_image_is_not_trusted() {
        // Sample 0 has δ = (3, 4) at x = 0: a pixel of 2 at η = 0.5.
        for (mass, trusted) in [
            (None, true),
            (Some(0.4), true),
            (Some(0.6), false),
            (Some(-0.6), false),
        ] {
            let ranked = rank(&three(), 0, true, mass);
            let first = ranked.iter().find(|r| r.index == 0).expect("ranked");
            let moved = |warning: &Warning| matches!(warning, Warning::MovedDiverged { .. });
            assert_eq!(!first.warnings.iter().any(moved), trusted, "{first:?}");
        }
    }

    #[test]
    fn a_move_that_single_precision_does_not_resolve_is_not_trusted() {
        // Sample 0 has δ = (3, 4), a root mean square of 3.5 at η = 1.
        for (mass, trusted) in [
            (None, true),
            (Some(3e-7), true),
            (Some(2.7e-7), false),
            (Some(-2.7e-7), false),
        ] {
            let ranked = rank(&three(), 0, true, mass);
            let first = ranked.iter().find(|r| r.index == 0).expect("ranked");
            let within = |warning: &Warning| matches!(warning, Warning::WithinRounding { .. });
            assert_eq!(!first.warnings.iter().any(within), trusted, "{first:?}");
        }
    }

    /// A score of 5 beside residuals: 0 where ρ and D are one measure, a half of it at most where it is trusted, times the ratio.
    #[test]
    fn a_score_that_does_not_stand_clear_of_the_zero_check_is_not_trusted() {
        for (residual, log_ratio, trusted) in [
            (0.0, 1.0, true),
            (2.4, -1.0, true),
            (2.6, -1.0, false),
            (2.4, 0.2, false),
            (f32::NAN, -1.0, false),
        ] {
            let mut results = three();
            results.residuals = Some(vec![residual, 0.0, 0.0, 0.0, 0.0, 0.0]);
            results.log_ratios[0][1] = log_ratio;
            let trusts = |of_images: bool| {
                let ranked = rank(&results, 0, of_images, None);
                let row = ranked.iter().find(|r| r.index == 0).expect("ranked");
                row.warnings.is_empty()
            };
            assert_eq!(trusts(true), trusted, "{residual}, {log_ratio}");
            assert!(trusts(false), "another model's δ has nothing of it");
        }
    }

    #[test]
    fn samples_on_which_two_forms_do_not_agree_are_not_trusted() {
        let mut numbers = three();
        numbers.dim = 3;
        numbers.samples = vec![0.0; 9];
        numbers.residuals = None;
        numbers.curvatures = None;
        numbers.log_density_deviation = None;
        numbers.log_ratios = vec![vec![0.0; 6]];
        numbers.deltas = vec![vec![1.0, 2.0, 4.0, 1.0, 2.0, 4.0, 1.0, 1.0, 1.0]];
        let mean = [0.0; 3];
        let measure = Gaussian::diagonal(&mean, &[1.0; 3], &Device::flex(), DType::F32);
        let measure = measure.expect("a measure");
        let mut ranked = RankedSensitivities {
            directions: vec![RankedDirection {
                direction: Direction::of_measure("all", Change::Add, measure),
                ranking: rank(&numbers, 0, false, None),
            }],
            sensitivities: numbers,
        };
        // The same up to size, its opposite, and a constant, with which nothing correlates.
        ranked.compare(&[vec![2.0, 4.0, 8.0, -1.0, -2.0, -4.0, 1.0, 2.0, 4.0]]);
        for row in ranked.ranking(0) {
            let expected = [1.0, -1.0][..].get(row.index);
            let agreement = row.agreement.expect("compared");
            match expected {
                Some(expected) => assert!((agreement - expected).abs() < 1e-12),
                None => assert!(agreement.is_nan()),
            }
            assert_eq!(row.warnings.is_empty(), row.index == 0, "{row:?}");
        }
    }

    #[test]
    fn untrustworthy_samples_say_why() {
        let ranked = rank(&three(), 0, true, None);
        assert_eq!(ranked[0].warnings.len(), 2, "{ranked:?}");
        assert!(ranked[1].warnings.is_empty());
        assert!(ranked[2].warnings[0] == Warning::NotFinite);
    }
}
