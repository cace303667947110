//! How wide the comparison with the training images is smoothed.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, Tensor};
use data::Dataset;
use diffusion::DiffusionError;
use diffusion::denoiser::Denoiser;
use serde::{Deserialize, Serialize};

use crate::experiment::values;
use crate::measure::{Empirical, points};

/// The bandwidth h, as commands and experiment files name it: a number or `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Bandwidth {
    /// h, in pixels of `[-1, 1]`.
    Fixed(f64),
    /// h from the training images: see [`Bandwidth::value`].
    Chosen(Choice),
}

/// Raised when a way to choose h begins to choose otherwise.
pub const CHOICES: u32 = 2;

/// A way to choose h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// By held-out images.
    Auto,
}

/// Images held out at most, and images that they are predicted from at most: for larger sets as many stand for all.
const HELD_OUT: usize = 256;
const REST: usize = 20_000;

/// How much wider than the best kernel smoother a network learns: where the linear datamodeling score of single digits is within a few
/// per cent of its best (docs/bandwidth.md says what it is worth elsewhere).
const WIDER: f64 = 3.0;

/// Bandwidths tried, each below the last by a factor √2, from the typical distance between an image and the mean.
const TRIED: usize = 13;

impl Bandwidth {
    /// h for a training set.
    ///
    /// `auto` takes the kernel smoother that the comparison is made of, `D_h(x) = Σ_j softmax_j(−‖x − y_j‖²/2h²)·y_j`, and
    /// cross-validates it: where it predicts held-out images from the others best, in mean square, by a parabola
    /// through the logarithms of the best of a row of bandwidths and its neighbours, and h is three times that: a network carries what it
    /// learns from an image farther than the best smoother of pixels does. No model takes part, and no noise: at noise levels
    /// well above h, `√(σ² + h²)` is σ whatever h is, and below it h is all of the width.
    ///
    /// # Errors
    /// If there are fewer than two images, or they are all alike.
    pub fn value(
        self,
        images: &Dataset,
        mirrored: bool,
        device: &Device,
    ) -> Result<f64, DiffusionError> {
        match self {
            Self::Fixed(h) => Ok(h),
            Self::Chosen(Choice::Auto) => Ok(WIDER * cross_validated(images, mirrored, device)?),
        }
    }
}

fn cross_validated(
    images: &Dataset,
    mirrored: bool,
    device: &Device,
) -> Result<f64, DiffusionError> {
    let m = images.len();
    let held = HELD_OUT.min(m / 2);
    if held == 0 {
        return Err(DiffusionError::Config(format!(
            "the bandwidth cannot be chosen by held-out images of {m}: give it as a number"
        )));
    }
    // Evenly spread: files are often sorted by class.
    let every = m / held;
    let (out, rest): (Vec<usize>, Vec<usize>) =
        (0..m).partition(|i| i % every == 0 && i / every < held);
    let thin = rest.len().div_ceil(REST);
    let rest: Vec<usize> = rest.into_iter().step_by(thin).collect();
    let data = Empirical::of_images(&images.subset(&rest), mirrored, device)?;
    let x = points(&images.subset(&out), false, device);
    let error = |h: f64| -> Result<f64, DiffusionError> {
        mean_square(data.denoise(x.clone(), h)? - x.clone())
    };
    let widest = mean_square(x.clone() - x.clone().mean_dim(0))?.sqrt();
    if widest <= 0.0 {
        return Err(DiffusionError::Config(
            "the bandwidth cannot be chosen by held-out images that are all alike: give it as a number"
                .to_owned(),
        ));
    }
    let step = std::f64::consts::SQRT_2.recip();
    let tried: Vec<f64> = (0..TRIED).map(|k| widest * step.powi(k as i32)).collect();
    let errors = tried
        .iter()
        .map(|&h| error(h))
        .collect::<Result<Vec<f64>, _>>()?;
    let best = (1..TRIED - 1)
        .min_by(|&a, &b| errors[a].total_cmp(&errors[b]))
        .unwrap_or(1);
    let (above, here, below) = (errors[best - 1], errors[best], errors[best + 1]);
    let bend = above - 2.0 * here + below;
    let shift = match bend > 0.0 {
        true => ((above - below) / (2.0 * bend)).clamp(-1.0, 1.0),
        false => 0.0,
    };
    Ok(tried[best] * step.powf(shift))
}

/// The mean over rows of the squared length.
fn mean_square(rows: Tensor<2>) -> Result<f64, DiffusionError> {
    let squares = values((rows.clone() * rows).sum_dim(1))?;
    let count = squares.len() as f64;
    Ok(squares.into_iter().map(f64::from).sum::<f64>() / count)
}

impl FromStr for Bandwidth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("auto", _) => Ok(Self::Chosen(Choice::Auto)),
            (_, Ok(h)) => Ok(Self::Fixed(h)),
            _ => Err("a bandwidth is a number or auto".to_owned()),
        }
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(h) => write!(f, "{h}"),
            Self::Chosen(Choice::Auto) => f.write_str("auto"),
        }
    }
}

#[cfg(test)]
mod tests {
    use data::{LoadOptions, Source};

    use super::*;

    /// The mean square error of every image predicted from all others but its mirror image, by plain loops.
    fn leave_one_out(images: &Dataset, h: f64) -> f64 {
        let rows: Vec<Vec<f64>> = (0..images.len())
            .map(|i| images.values(i).map(f64::from).collect())
            .collect();
        let square =
            |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum() };
        let mut sum = 0.0;
        for (i, x) in rows.iter().enumerate() {
            let others = || {
                rows.iter()
                    .enumerate()
                    .filter(|(j, _)| *j != i)
                    .map(|(_, y)| y)
            };
            let nearest = others().map(|y| square(x, y)).fold(f64::INFINITY, f64::min);
            let (mut total, mut mean) = (0.0, vec![0.0; x.len()]);
            for y in others() {
                let weight = ((nearest - square(x, y)) / (2.0 * h * h)).exp();
                total += weight;
                mean.iter_mut().zip(y).for_each(|(m, y)| *m += weight * y);
            }
            mean.iter_mut().for_each(|m| *m /= total);
            sum += square(&mean, x);
        }
        sum / rows.len() as f64
    }

    #[test]
    fn a_third_of_the_chosen_bandwidth_predicts_left_out_images_better_than_narrower_and_wider_ones()
     {
        let options = LoadOptions {
            size: Some(8),
            ..LoadOptions::default()
        };
        let images = data::load(&Source::parse("faces:300").unwrap(), &options).unwrap();
        let auto = Bandwidth::from_str("auto").unwrap();
        let h = auto.value(&images, false, &Device::flex()).unwrap() / WIDER;
        let error = leave_one_out(&images, h);
        for other in [h / 1.5, h * 1.5] {
            let worse = leave_one_out(&images, other);
            assert!(worse > 1.02 * error, "h = {h}: {error}, {other}: {worse}");
        }
        let one = images.subset(&[0]);
        let message = auto
            .value(&one, false, &Device::flex())
            .unwrap_err()
            .to_string();
        assert!(message.contains("give it as a number"), "{message}");
    }

    #[test]
    fn bandwidths_are_written_as_they_are_read() {
        for (text, value) in [("auto", "\"auto\""), ("4", "4.0")] {
            let bandwidth = Bandwidth::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&bandwidth).unwrap(), value);
            assert_eq!(serde_json::from_str::<Bandwidth>(value).unwrap(), bandwidth);
            assert_eq!(bandwidth.to_string(), text);
        }
        assert!(Bandwidth::from_str("wide").is_err());
    }
}
