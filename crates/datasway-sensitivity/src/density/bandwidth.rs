//! The bandwidth of the smoothed comparison with the training images.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use datasway_data::Dataset;
use datasway_diffusion::DiffusionError;
use serde::{Deserialize, Serialize};

use super::cross_validation::cross_validated;

/// The bandwidth h of [`Smoothed`](super::Smoothed). As text it is a number or `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "BandwidthText", into = "BandwidthText")]
pub enum Bandwidth {
    /// h, in pixels of `[-1, 1]`.
    Fixed(f64),
    /// h by cross-validation on the training images: see [`Bandwidth::value`].
    Auto,
}

/// The serialised form of a [`Bandwidth`], a number or a word. Job keys contain it.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a bandwidth is a number from 0 up or \"auto\"")]
enum BandwidthText {
    Number(f64),
    Word(Word),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Auto,
}

impl From<BandwidthText> for Bandwidth {
    fn from(text: BandwidthText) -> Self {
        match text {
            BandwidthText::Number(h) => Self::Fixed(h),
            BandwidthText::Word(Word::Auto) => Self::Auto,
        }
    }
}

impl From<Bandwidth> for BandwidthText {
    fn from(bandwidth: Bandwidth) -> Self {
        match bandwidth {
            Bandwidth::Fixed(h) => Self::Number(h),
            Bandwidth::Auto => Self::Word(Word::Auto),
        }
    }
}

/// Revision of the algorithm of [`Bandwidth::Auto`]. Job keys contain it. A change of the algorithm that returns another h
/// for the same images raises it.
pub const AUTO_BANDWIDTH_REVISION: u32 = 3;

/// Ratio of the bandwidth that a network learns to that of the best kernel smoother. At this ratio the linear datamodeling
/// score of single digits is within a few per cent of its maximum (docs/src/results/bandwidth.md has other data sets).
const NETWORK_SMOOTHING_FACTOR: f64 = 3.0;

impl Bandwidth {
    /// h for a training set, in pixels of `[-1, 1]`.
    ///
    /// `auto` cross-validates the kernel smoother of the comparison (`cross_validation.rs`) and takes three times the
    /// bandwidth that predicts held-out images best. A network spreads the influence of an image farther than the best
    /// smoother of pixels. The result depends on no model and no noise level. Well above h, `√(σ² + h²)` is about σ; well
    /// below h, it is about h.
    ///
    /// # Errors
    /// If there are fewer than two different images.
    pub fn value(
        self,
        images: &Dataset,
        mirrored: bool,
        device: &Device,
    ) -> Result<f64, DiffusionError> {
        self.value_with_progress(images, mirrored, device, &mut |_| ())
    }

    /// [`value`](Self::value). `progress` receives the fraction of the choice that is done, from 0 to 1; it is not called where h is a
    /// number or has been chosen before.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn value_with_progress(
        self,
        images: &Dataset,
        mirrored: bool,
        device: &Device,
        progress: &mut dyn FnMut(f64),
    ) -> Result<f64, DiffusionError> {
        match self {
            Self::Fixed(h) => Ok(h),
            Self::Auto => Ok(NETWORK_SMOOTHING_FACTOR * kept(images, mirrored, device, progress)?),
        }
    }
}

/// The cross-validated bandwidth, from the cache of the images if it has been computed before.
fn kept(
    images: &Dataset,
    mirrored: bool,
    device: &Device,
    progress: &mut dyn FnMut(f64),
) -> Result<f64, DiffusionError> {
    let form = if mirrored { "mirrored" } else { "upright" };
    let name = format!("bandwidth-{AUTO_BANDWIDTH_REVISION}-{form}");
    let read = images
        .kept(&name)
        .and_then(|text| text.trim().parse::<f64>().ok());
    if let Some(h) = read.filter(|h| h.is_finite() && *h > 0.0) {
        return Ok(h);
    }
    let h = cross_validated(images, mirrored, device, progress)?;
    // The shortest text that is read as the same number.
    images.keep(&name, &format!("{h:?}\n"));
    Ok(h)
}

impl FromStr for Bandwidth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("auto", _) => Ok(Self::Auto),
            (_, Ok(h)) => Ok(Self::Fixed(h)),
            _ => Err("a bandwidth is a number or auto".to_owned()),
        }
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(h) => write!(f, "{h}"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

#[cfg(test)]
mod tests {
    use datasway_data::{LoadOptions, Source};

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
        let images = datasway_data::load(&Source::parse("faces:300").unwrap(), &options).unwrap();
        let auto = Bandwidth::from_str("auto").unwrap();
        let h = auto.value(&images, false, &Device::flex()).unwrap() / NETWORK_SMOOTHING_FACTOR;
        let error = leave_one_out(&images, h);
        for other in [h / 1.5, h * 1.5] {
            let worse = leave_one_out(&images, other);
            assert!(worse > 1.02 * error, "h = {h}: {error}, {other}: {worse}");
        }
        let single = images.subset(&[0]);
        let message = auto
            .value(&single, false, &Device::flex())
            .unwrap_err()
            .to_string();
        assert!(message.contains("give it as a number"), "{message}");
    }

    /// A set from the pixels of another, each image in several forms, its names and its order another's.
    fn saved(images: &Dataset, forms: &[&dyn Fn(usize, usize, u8) -> u8]) -> Dataset {
        let (folder, shape) = (tempfile::tempdir().unwrap(), images.shape);
        for i in 0..images.len() {
            for (f, form) in forms.iter().enumerate() {
                let picture = image::RgbImage::from_fn(8, 8, |x, y| {
                    let entry =
                        |c: usize| (c * shape.height + y as usize) * shape.width + x as usize;
                    image::Rgb([0, 1, 2].map(|c| form(i, entry(c), images.image(i)[entry(c)])))
                });
                let name = format!("{}-{f}-{i}.png", (i * 7919 + f * 104_729) % 1009);
                picture.save(folder.path().join(name)).unwrap();
            }
        }
        let source = Source::Folder(folder.path().to_owned());
        datasway_data::load(&source, &LoadOptions::default()).unwrap()
    }

    #[test]
    fn names_order_and_copies_decide_nothing_and_near_copies_little() {
        let options = LoadOptions {
            size: Some(8),
            ..LoadOptions::default()
        };
        let images = datasway_data::load(&Source::parse("faces:200").unwrap(), &options).unwrap();
        let auto = Bandwidth::from_str("auto").unwrap();
        let h = |set: &Dataset, flip| auto.value(set, flip, &Device::flex()).unwrap();
        let same = |_: usize, _: usize, byte: u8| byte;
        for flip in [false, true] {
            let truth = h(&images, flip);
            assert_eq!(h(&saved(&images, &[&same]), flip), truth, "renamed");
            assert_eq!(
                h(&saved(&images, &[&same, &same, &same]), flip),
                truth,
                "copies"
            );

            let grain = |i: usize, pixel: usize, byte: u8| match (i * 31 + pixel * 17) % 5 {
                0 => byte.saturating_add(3),
                1 => byte.saturating_sub(2),
                _ => byte,
            };
            let bright = |_: usize, _: usize, byte: u8| byte.saturating_add(6);
            let frame = |t: usize| {
                move |_: usize, pixel: usize, byte: u8| {
                    let lit = pixel % 8 == t % 8;
                    byte.saturating_add(if lit { 12 } else { 0 })
                }
            };
            let frames: Vec<_> = (0..8).map(frame).collect();
            let frames: Vec<&dyn Fn(usize, usize, u8) -> u8> = frames
                .iter()
                .map(|f| f as &dyn Fn(usize, usize, u8) -> u8)
                .collect();
            for (name, forms) in [
                (
                    "grain",
                    vec![&same as &dyn Fn(usize, usize, u8) -> u8, &grain],
                ),
                ("grain and light", vec![&same, &grain, &bright]),
                ("video", frames),
            ] {
                let chosen = h(&saved(&images, &forms), flip);
                assert!(
                    (chosen / truth).ln().abs() < 0.1,
                    "{name}: {chosen} for {truth}"
                );
            }
        }
    }

    #[test]
    fn the_bandwidth_of_cached_images_is_computed_once_and_a_damaged_record_again() {
        let folder = tempfile::tempdir().unwrap();
        let options = LoadOptions {
            size: Some(8),
            cache_dir: Some(folder.path().to_owned()),
            ..LoadOptions::default()
        };
        let source = Source::parse("faces:60").unwrap();
        let load = || datasway_data::load(&source, &options).unwrap();
        let value = |set: &Dataset| Bandwidth::Auto.value(set, true, &Device::flex()).unwrap();
        let (decoded, h) = (load(), value(&load()));
        let record = format!(
            "{}.bandwidth-{AUTO_BANDWIDTH_REVISION}-mirrored",
            decoded.fingerprint
        );
        let record = folder.path().join(record);
        let text = std::fs::read_to_string(&record).unwrap();
        assert_eq!(
            NETWORK_SMOOTHING_FACTOR * text.trim().parse::<f64>().unwrap(),
            h
        );
        // The record is believed.
        std::fs::write(&record, "1.5").unwrap();
        assert_eq!(value(&load()), 4.5);
        for damaged in ["", "nan", "-1", "h"] {
            std::fs::write(&record, damaged).unwrap();
            assert_eq!(value(&load()), h);
        }
        // Other images have another record.
        assert_eq!(value(&load().subset(&(0..60).collect::<Vec<_>>())), h);
    }

    #[test]
    fn the_choice_of_a_bandwidth_tells_its_progress_once() {
        let folder = tempfile::tempdir().unwrap();
        let options = LoadOptions {
            size: Some(8),
            cache_dir: Some(folder.path().to_owned()),
            ..LoadOptions::default()
        };
        let images = datasway_data::load(&Source::parse("faces:60").unwrap(), &options).unwrap();
        let told = |bandwidth: Bandwidth| {
            let mut told = Vec::new();
            let mut tell = |done| told.push(done);
            bandwidth
                .value_with_progress(&images, true, &Device::flex(), &mut tell)
                .unwrap();
            told
        };
        assert!(told(Bandwidth::Fixed(2.0)).is_empty());
        let first = told(Bandwidth::Auto);
        assert!(first.is_sorted() && first[0] == 0.0 && first.last() == Some(&1.0));
        assert!(told(Bandwidth::Auto).is_empty());
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
