//! Ranges of numeric options, checked when the command line is parsed.

use std::fmt::Display;
use std::ops::{Bound, RangeBounds, RangeInclusive};
use std::str::FromStr;

/// Number of samples.
pub const SAMPLES: RangeInclusive<usize> = 1..=1_000_000;
/// Batch sizes.
pub const BATCH: RangeInclusive<usize> = 1..=65_536;
/// Sampler steps.
pub const SAMPLER_STEPS: RangeInclusive<usize> = 1..=10_000;
/// Optimiser steps.
pub const TRAINING_STEPS: RangeInclusive<u64> = 1..=1_000_000_000;
/// Steps between two events of a training run; 0 for never.
pub const EVERY: RangeInclusive<u64> = 0..=1_000_000_000;
/// Noise levels.
pub const SIGMA: RangeInclusive<f64> = 1e-6..=1e6;
/// Noise levels including 0.
pub const SIGMA_OR_0: RangeInclusive<f64> = 0.0..=1e6;
/// Kernel bandwidths.
pub const BANDWIDTH: RangeInclusive<f64> = 0.0..=1e6;
/// Random probes of a trace estimator.
pub const PROBES: RangeInclusive<usize> = 1..=10_000;
/// Distances between probes of one colour, in pixels.
pub const PERIOD: RangeInclusive<usize> = 1..=1_024;
/// Number of images to show.
pub const SHOWN: RangeInclusive<usize> = 0..=10_000;
/// Number of images of a data set.
pub const IMAGES: RangeInclusive<usize> = 1..=1_000_000_000;
/// Side lengths of images in pixels.
pub const SIDE: RangeInclusive<usize> = 1..=4_096;
/// Number of network channels.
pub const CHANNELS: RangeInclusive<usize> = 1..=4_096;
/// Learning rates.
pub const LEARNING_RATE: RangeInclusive<f64> = 1e-12..=1e3;
/// Weight decay.
pub const WEIGHT_DECAY: RangeInclusive<f64> = 0.0..=1e3;
/// Standard deviations of noise on pixels in `[-1, 1]`.
pub const NOISE: RangeInclusive<f64> = 0.0..=100.0;
/// Minutes between checkpoints.
pub const MINUTES: RangeInclusive<f64> = 0.0..=1e6;
/// Seeds. TOML holds integers below 2⁶³, and derived seeds need some room above.
pub const SEED: RangeInclusive<u64> = 0..=1 << 62;
/// Masses of a group relative to that of the training data.
pub const MASS: RangeInclusive<f64> = 1e-6..=1e3;
/// Draws of a training loss.
pub const DRAWS: RangeInclusive<usize> = 1..=1 << 24;
/// Iterations of a solver.
pub const ITERATIONS: RangeInclusive<usize> = 1..=10_000;
/// Linearisations of a change by a finite mass.
pub const LINEARIZATIONS: RangeInclusive<usize> = 1..=100;
/// Damping of a matrix, relative to its largest eigenvalue.
pub const DAMPING: RangeInclusive<f64> = 0.0..=1e6;
/// Fractions between 0 and 1.
pub const SHARE: (Bound<f64>, Bound<f64>) = (Bound::Excluded(0.0), Bound::Excluded(1.0));

/// Parser of an integer within a range.
pub fn count<T: FromStr + PartialOrd + Display + Clone>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.trim().parse().ok();
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                format!(
                    "write a whole number from {} to {}",
                    range.start(),
                    range.end()
                )
            })
    }
}

/// Parser of a finite number within a range.
pub fn real(range: impl RangeBounds<f64> + Clone) -> impl Fn(&str) -> Result<f64, String> + Clone {
    move |text| {
        let number: Option<f64> = text.trim().parse().ok();
        let inside = |number: &f64| number.is_finite() && range.contains(number);
        // −0 becomes 0.
        let number = number.filter(inside).map(|number| number + 0.0);
        number.ok_or_else(|| format!("write a number {}", words(&range)))
    }
}

/// A range in words: `from 0 to 1`, `above 0 and below 1`.
fn words(range: &impl RangeBounds<f64>) -> String {
    let number = |value: &f64| {
        if *value != 0.0 && !(1e-4..1e7).contains(&value.abs()) {
            format!("{value:e}")
        } else {
            value.to_string()
        }
    };
    match (range.start_bound(), range.end_bound()) {
        (Bound::Included(low), Bound::Included(high)) => {
            format!("from {} to {}", number(low), number(high))
        }
        (low, high) => {
            let low = match low {
                Bound::Included(low) => Some(format!("at least {}", number(low))),
                Bound::Excluded(low) => Some(format!("above {}", number(low))),
                Bound::Unbounded => None,
            };
            let high = match high {
                Bound::Included(high) => Some(format!("at most {}", number(high))),
                Bound::Excluded(high) => Some(format!("below {}", number(high))),
                Bound::Unbounded => None,
            };
            let both: Vec<String> = low.into_iter().chain(high).collect();
            both.join(" and ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSURD: [&str; 14] = [
        "",
        " ",
        "-1",
        "1e12",
        "1e300",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "infinity",
        "99999999999999999999999",
        "0x10",
        "1,5",
        "many",
    ];

    #[test]
    fn whole_numbers_have_ranges() {
        let read = count(SAMPLES);
        for text in ABSURD.into_iter().chain(["0", "1.5", "1000001"]) {
            let error = read(text).unwrap_err();
            assert_eq!(error, "write a whole number from 1 to 1000000", "{text}");
        }
        assert_eq!((read("1"), read("1000000")), (Ok(1), Ok(1_000_000)));
        assert_eq!(count(SEED)("4611686018427387904"), Ok(1 << 62));
        assert!(count(SEED)("4611686018427387905").is_err());
    }

    #[test]
    fn real_numbers_have_ranges_and_are_finite() {
        let ranges = [
            SIGMA,
            SIGMA_OR_0,
            BANDWIDTH,
            LEARNING_RATE,
            WEIGHT_DECAY,
            NOISE,
            MINUTES,
        ];
        for range in ranges {
            for text in ABSURD.into_iter().filter(|text| *text != "1e12") {
                let error = real(range.clone())(text).unwrap_err();
                assert!(error.starts_with("write a number from "), "{text}: {error}");
            }
            let end = *range.end();
            assert_eq!(real(range)(&end.to_string()), Ok(end));
        }
        for text in ["0", "1", "-0", "1.0", "nan", "2"] {
            let error = real(SHARE)(text).unwrap_err();
            assert_eq!(error, "write a number above 0 and below 1");
        }
        assert_eq!(real(SHARE)("0.5"), Ok(0.5));
        assert!(real(SIGMA_OR_0)("-0").unwrap().is_sign_positive());
        assert_eq!(
            real(SIGMA)("0").unwrap_err(),
            "write a number from 1e-6 to 1000000"
        );
        assert_eq!(real(..)("inf").unwrap_err(), "write a number ");
    }
}
