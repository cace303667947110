//! Which samples move most, and which sensitivities cannot be trusted.

use crate::sensitivities::{Sensitivities, norm};

/// Beyond this value of `log r` anywhere on the path, η would have to be below `e^-5` for the change to
/// stay small against the data: the first-order prediction has no range left.
pub const MAX_LOG_RATIO: f32 = 5.0;

/// Beyond this standard deviation of `log p^ρ`, where the direction weighs most, the density ratio is unknown
/// within a factor e.
pub const MAX_DEVIATION: f32 = 1.0;

/// ImagePoints lie in [-1, 1]; a sample that reaches beyond this was not sampled but thrown.
pub const MAX_PIXEL: f32 = 2.0;

/// ‖δ‖ stands clear of the sample's own zero check ‖δ(ρ)‖ if it is at least so many times as long as what the density ratio can
/// make of that: then at most half of it can be the model's own error.
pub const CLEAR_OF_RESIDUAL: f64 = 2.0;

/// One sample in the ranking of a direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// Index of the sample.
    pub sample: usize,
    /// `‖δ‖`, pixels per unit of mass; not finite where the density ratio overflowed.
    pub score: f64,
    /// The largest `log r` on the path.
    pub max_log_ratio: f32,
    /// `‖δ(ρ)‖`, the length of the sensitivity to the whole training set, which should be 0; none if it was not asked for.
    pub residual: Option<f64>,
    /// The largest |η| up to which `ηδ` is trusted; none if it was not asked for.
    pub limit: Option<f64>,
    /// Why δ cannot be trusted, in sentences; empty if nothing speaks against it.
    pub warnings: Vec<String>,
}

/// The samples of a direction, the most sensitive first; those whose δ is not finite come last. The zero check belongs to
/// directions `of_images`: what another model was trained on is compared without them.
pub fn rank(results: &Sensitivities, direction: usize, of_images: bool) -> Vec<Ranked> {
    let mut ranked: Vec<Ranked> = (0..results.count())
        .map(|sample| {
            let score = norm(results.delta(direction, sample));
            let ratios = results.log_ratio(direction, sample);
            let max_log_ratio = ratios.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            // Where r is far below its peak, errors of it do not matter.
            let weighty = |step: &usize| ratios[*step] >= max_log_ratio - 1.0;
            let deviation = results.log_density_deviation.as_ref().map(|all| {
                let steps = (0..ratios.len()).filter(weighty);
                let deviations = steps.map(|step| all[sample * ratios.len() + step]);
                deviations.fold(0.0, f32::max)
            });
            let residual = results.residual(sample).filter(|_| of_images);
            let mut warnings = warnings(score, max_log_ratio, deviation, largest(results, sample));
            warnings.extend(residual.and_then(|residual| unclear(score, residual, max_log_ratio)));
            Ranked {
                sample,
                score,
                max_log_ratio,
                residual,
                limit: results.trust_radius(direction, sample),
                warnings,
            }
        })
        .collect();
    let key = |r: &Ranked| if r.score.is_finite() { r.score } else { -1.0 };
    ranked.sort_by(|a, b| key(b).total_cmp(&key(a)));
    ranked
}

/// The largest `|pixel|` of a sample.
fn largest(results: &Sensitivities, sample: usize) -> f32 {
    let pixels = &results.samples[sample * results.dim..(sample + 1) * results.dim];
    pixels.iter().fold(0.0, |most, v| v.abs().max(most))
}

fn warnings(score: f64, max_log_ratio: f32, deviation: Option<f32>, largest: f32) -> Vec<String> {
    let mut warnings = Vec::new();
    if largest > MAX_PIXEL {
        warnings.push(format!(
            "The sample itself leaves the range of images (a pixel of {largest:.1}): the sampler diverged, use more --steps."
        ));
    }
    if !score.is_finite() {
        warnings.push("δ is not finite: the density ratio overflowed on this path.".to_owned());
    } else if max_log_ratio > MAX_LOG_RATIO {
        warnings.push(format!(
            "The density ratio reaches e^{max_log_ratio:.0} on this path: δ holds only for masses far below e^-{max_log_ratio:.0}."
        ));
    }
    if let Some(deviation) = deviation.filter(|d| *d > MAX_DEVIATION || d.is_nan()) {
        warnings.push(format!(
            "Where the direction weighs most, the log-density is known only to ±{deviation:.1}: use more --probes."
        ));
    }
    warnings
}

/// A warning if a score does not stand clear of the sample's residual. The model's own error `D^ρ − D` enters δ(ρ) as it is and δ times
/// the density ratio.
fn unclear(score: f64, residual: f64, max_log_ratio: f32) -> Option<String> {
    let error = residual * f64::from(max_log_ratio).exp().max(1.0);
    let clear = residual == 0.0 || score >= CLEAR_OF_RESIDUAL * error;
    (score.is_finite() && !clear).then(|| {
        format!(
            "More of all training images alike, which changes nothing, seems to move this sample by ‖δ(all)‖ = {residual:.3}; with the \
             density ratio of this direction it may be {error:.3}: δ does not stand clear of the model's own error."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Sensitivities {
        Sensitivities {
            dim: 2,
            noise: vec![0.0; 6],
            samples: vec![0.0; 6],
            deltas: vec![vec![3.0, 4.0, f32::NAN, 0.0, 6.0, 8.0]],
            curvatures: Some(vec![vec![0.0, 2.0, 1.0, 0.0, 0.0, 0.0]]),
            residuals: None,
            sigmas: vec![80.0, 1.0],
            log_density: vec![0.0; 6],
            log_ratios: vec![vec![-9.0, 1.0, 0.0, 99.0, 0.0, 7.0]],
            log_density_deviation: Some(vec![9.0, 0.1, 0.1, 0.1, 9.0, 2.0]),
            cost: Default::default(),
        }
    }

    #[test]
    fn the_most_sensitive_comes_first_and_what_is_not_finite_last() {
        let order: Vec<usize> = rank(&three(), 0, true).iter().map(|r| r.sample).collect();
        assert_eq!(order, [2, 0, 1]);
        assert_eq!(rank(&three(), 0, true)[1].score, 5.0);
    }

    #[test]
    fn limits_come_with_the_second_derivatives_only() {
        let limits: Vec<_> = rank(&three(), 0, true).iter().map(|r| r.limit).collect();
        assert_eq!(limits, [Some(f64::INFINITY), Some(0.5), Some(0.0)]);
        let mut without = three();
        without.curvatures = None;
        assert_eq!(rank(&without, 0, true)[0].limit, None);
    }

    #[test]
    fn a_sample_that_is_no_image_is_not_trusted() {
        let mut results = three();
        results.samples[1] = -40.0;
        let ranked = rank(&results, 0, true);
        let first = ranked.iter().find(|r| r.sample == 0).expect("ranked");
        assert!(first.warnings[0].contains("diverged"), "{first:?}");
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
                let ranked = rank(&results, 0, of_images);
                let row = ranked.iter().find(|r| r.sample == 0).expect("ranked");
                row.warnings.is_empty()
            };
            assert_eq!(trusts(true), trusted, "{residual}, {log_ratio}");
            assert!(trusts(false), "another model's δ has nothing of it");
        }
    }

    #[test]
    fn untrustworthy_samples_say_why() {
        let ranked = rank(&three(), 0, true);
        assert_eq!(ranked[0].warnings.len(), 2, "{ranked:?}");
        assert!(ranked[1].warnings.is_empty());
        assert!(ranked[2].warnings[0].contains("not finite"));
    }
}
