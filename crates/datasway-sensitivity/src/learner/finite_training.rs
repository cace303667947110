//! A training of finite length as regularisation of the change of the weights.
//!
//! Adam moves the weights by `−l_t·P·∇L` in step t, with the learning rate `l_t` and the metric `P = 1/(√v + ε)` of the mean
//! square v of the gradients of single batches. Two runs from one start, with the same batches on ρ_η and on ρ, differ to
//! first order in η by `Δθ_t`, and near a minimum the loss is quadratic, so that in a time `dτ = l_t` of the flow
//!
//! `dΔθ/dτ = −P·(G·Δθ + η·(∇L_ν − ∇L_ρ))`
//!
//! with the solution `Δθ(τ) = −η·P^½·f_τ(P^½·G·P^½)·P^½·(∇L_ν − ∇L_ρ)`, `f_τ(h) = (1 − e^{−τh})/h`. Directions with `h·τ ≫ 1`
//! reach their new minimum, `f = 1/h`; others only begin to move, `f = τ`. The averaged weights are the mean of Δθ(τ) over the
//! last steps with the weights of the average, and so is f. No damping is chosen.
//!
//! The model leaves out momentum, which lasts for ten steps, the correction of v in the first steps, weight decay, the
//! clipping of gradients (which P undoes), and the changes of P and G during the run.

use datasway_diffusion::{DiffusionError, ema, range};
use datasway_training::config::MAX_BATCH;
use datasway_training::optimization::Optimization;

/// Parts of a run that are summed at most. A run of more steps has parts of several steps, all with the learning rate and the
/// decay in the middle of the part.
const MAX_PARTS: u64 = 1 << 20;
/// Steps at the end of a run whose weights in the average add up to less than this are left out.
const NEGLIGIBLE: f64 = 1e-9;
/// Times of which the mean stands for the average of the weights.
const TIMES: f64 = 512.0;

/// A training by Adam from weights near a minimum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FiniteTraining {
    /// The settings of its optimiser.
    pub optimization: Optimization,
    /// Images in a batch.
    pub batch: usize,
}

/// The filter `f(h)` of a training.
#[derive(Debug, Clone)]
pub struct TrainingFilter {
    /// Parts of the average, which add up to at most 1, with the time of the flow of each.
    times: Vec<(f64, f64)>,
}

impl FiniteTraining {
    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// A sentence that names the number.
    pub fn check(&self) -> Result<(), DiffusionError> {
        self.optimization.validate()?;
        range::check("batch", self.batch, 1..=MAX_BATCH)
    }

    /// The filter of the averaged weights at the end.
    ///
    /// The average has the share `(1 − d_t)·Π_{s>t} d_s` of the weights after step t, with its decays d, and the rest of the
    /// weights at the start, which do not differ.
    pub fn filter(&self) -> TrainingFilter {
        let parts = self.parts();
        // From the last part back to those that the average has forgotten.
        let (mut shares, mut kept) = (Vec::new(), 1.0);
        for part in parts.iter().rev() {
            let decay =
                ema::warm_decay(self.optimization.ema_decay, part.middle()).powi(part.steps as i32);
            shares.push((1.0 - decay) * kept);
            kept *= decay;
            if kept < NEGLIGIBLE {
                break;
            }
        }
        let (forgotten, averaged) = parts.split_at(parts.len() - shares.len());
        let rate = |part: &RunPart| self.optimization.learning_rate_at(part.middle());
        let mut time: f64 = forgotten
            .iter()
            .map(|part| rate(part) * part.steps as f64)
            .sum();
        let mut times = Vec::new();
        // Neighbouring parts share a time until they have 1/512 of the average.
        let (mut share, mut moment) = (0.0, 0.0);
        for (part, part_share) in averaged.iter().zip(shares.iter().rev()) {
            let (start, rate) = (time, rate(part));
            time += rate * part.steps as f64;
            share += part_share;
            // The mean of the times after each step of the part.
            moment += part_share * (start + rate * (part.steps + 1) as f64 / 2.0);
            if share * TIMES >= 1.0 {
                times.push((share, moment / share));
                (share, moment) = (0.0, 0.0);
            }
        }
        if share > 0.0 {
            times.push((share, moment / share));
        }
        TrainingFilter { times }
    }

    /// The time of the flow after a number of steps.
    pub(super) fn time_after(&self, steps: u64) -> f64 {
        let parts = self.parts().into_iter();
        let parts = parts.take_while(|part| part.first < steps);
        let times = parts.map(|part| {
            let taken = part.steps.min(steps - part.first);
            self.optimization.learning_rate_at(part.middle()) * taken as f64
        });
        times.sum()
    }

    /// The run in parts of equal length, the last of which may be shorter; single steps unless there are too many.
    fn parts(&self) -> Vec<RunPart> {
        let steps = self.optimization.steps;
        let length = steps.div_ceil(MAX_PARTS).max(1);
        let firsts = (0..steps.div_ceil(length)).map(|part| part * length);
        let parts = firsts.map(|first| RunPart {
            first,
            steps: length.min(steps - first),
        });
        parts.collect()
    }
}

/// Neighbouring steps of a run.
struct RunPart {
    first: u64,
    steps: u64,
}

impl RunPart {
    /// The step in the middle.
    fn middle(&self) -> u64 {
        self.first + (self.steps - 1) / 2
    }
}

impl TrainingFilter {
    /// `f(h)`, the mean of `(1 − e^{−τh})/h` over the average, for a curvature h; a negative one, which is rounding, is 0.
    pub fn response(&self, h: f64) -> f64 {
        let h = h.max(0.0);
        let parts = self.times.iter().map(|&(share, time)| {
            let decay = -(-time * h).exp_m1();
            share * if h > 0.0 { decay / h } else { time }
        });
        parts.sum()
    }
}

/// The filters of a part of a training.
#[derive(Debug, Clone)]
pub(super) struct LegFilters {
    /// The change from its start to its end; none for the last part, after which nothing comes.
    pub advance: Option<TrainingFilter>,
    /// The part of the change from its start in the averaged weights.
    pub averaged: TrainingFilter,
}

impl TrainingFilter {
    /// The sum of the shares of the average.
    pub(super) fn share(&self) -> f64 {
        self.times.iter().map(|(share, _)| share).sum()
    }

    /// The starts of n parts of equal times of the flow.
    pub(super) fn equal_starts(&self, n: usize) -> Vec<f64> {
        let end = self.times.last().map_or(0.0, |(_, time)| *time);
        (0..n).map(|leg| end * leg as f64 / n as f64).collect()
    }

    /// The training in parts that start at ascending times of the flow, the first of which is 0.
    pub(super) fn legs(&self, starts: &[f64]) -> Vec<LegFilters> {
        let ends = starts[1..].iter().map(Some).chain([None]);
        let legs = starts.iter().zip(ends).map(|(&start, end)| {
            let is_inside = |time: f64| time >= start && end.is_none_or(|&end| time < end);
            let inside = self.times.iter().filter(|(_, time)| is_inside(*time));
            let since = inside.map(|&(share, time)| (share, time - start));
            LegFilters {
                advance: end.map(|end| TrainingFilter {
                    times: vec![(1.0, end - start)],
                }),
                averaged: TrainingFilter {
                    times: since.collect(),
                },
            }
        });
        legs.collect()
    }
}
