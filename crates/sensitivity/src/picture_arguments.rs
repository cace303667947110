//! Arguments for given pictures in the place of samples, and the pictures.

use anyhow::{Result, bail, ensure};
use clap::Args;
use datasway_cli::number::real;
use datasway_cli::progress_bar;
use datasway_data::Selection;
use datasway_fs::csv::quoted;
use datasway_fs::plural;
use datasway_sensitivity::{EncodedPictures, SensitivityConfig, StartingNoise, TrainedModel};
use serde::Serialize;

use crate::run_info::SamplerKind;

/// Largest error of a round trip in grey levels, where nothing else is said: a difference that an eye hardly sees.
const MAX_ERROR: f64 = 2.0;

/// Pictures in the place of samples.
#[derive(Args)]
pub struct PictureArgs {
    /// A picture in the place of samples, with the noise from which the sampler draws it: encoded by the sampler run
    /// backwards; cropped and resized as training images are; repeatable
    #[arg(long = "image", value_name = "FILE")]
    picture_files: Vec<String>,
    /// Such pictures as a selection: index:3,17, attr:Eyeglasses or folder:PATH
    #[arg(long = "images", value_name = "SELECTION")]
    picture_selection: Option<String>,
    /// Largest error of a picture that is encoded and drawn again, root mean square in grey levels of 256; beyond it the
    /// picture is refused [default: 2]
    #[arg(long, value_name = "GREY_LEVELS", value_parser = real(0.0..=255.0))]
    max_error: Option<f64>,
}

/// Pictures with their noise, in the place of samples.
#[derive(Debug, Clone)]
pub struct GivenPictures {
    /// A name for each picture.
    pub names: Vec<String>,
    /// The pictures, their noise and their reconstructions.
    pub encoded: EncodedPictures,
}

/// A picture in `summary.json`.
#[derive(Debug, Serialize)]
pub struct PictureSummary {
    name: String,
    /// Root mean square of the round trip's error, in grey levels.
    error: f64,
    /// Root mean square of the noise; about 1 is expected.
    noise_size: f64,
}

impl PictureArgs {
    /// True if pictures take the place of samples.
    pub fn are_given(&self) -> bool {
        !self.picture_files.is_empty() || self.picture_selection.is_some()
    }

    /// Checks that the arguments go together, with a number of samples if one is given.
    ///
    /// # Errors
    /// If two arguments contradict each other, or the selection cannot be read.
    pub fn check(&self, samples: Option<usize>, sampler: SamplerKind) -> Result<()> {
        if !self.are_given() {
            ensure!(
                self.max_error.is_none(),
                "--max-error is for --image and --images: leave it out or add one of them"
            );
            return Ok(());
        }
        ensure!(
            samples.is_none(),
            "--samples draws samples, and --image and --images take their place: leave one of them out"
        );
        ensure!(
            sampler != SamplerKind::Stochastic,
            "--sampler stochastic does not go with --image or --images, which run an ODE backwards: use heun or euler"
        );
        datasway_cli::distinct("--image", &self.picture_files, |file| {
            datasway_cli::resolved(file)
        })?;
        if let Some(text) = &self.picture_selection {
            Selection::parse(text)
                .map_err(|error| anyhow::Error::new(error).context("--images"))?;
        }
        Ok(())
    }

    /// The pictures, encoded by the sampler of `config`, which gets their noise and number; none without these arguments.
    ///
    /// # Errors
    /// If a picture cannot be read, the model fails, or a picture is not drawn again within the largest error.
    pub fn encode(
        &self,
        model: &TrainedModel,
        config: &mut SensitivityConfig,
    ) -> Result<Option<GivenPictures>> {
        if !self.are_given() {
            return Ok(None);
        }
        let (names, values) = self.read(model)?;
        let bar = progress_bar(
            names.len() as u64,
            "{bar:30} {pos}/{len} pictures encoded  {eta} left",
        )?;
        let progress = |n: usize| bar.inc(n as u64);
        let encoded = EncodedPictures::encode(
            model.score_model.denoiser(),
            values,
            config,
            &model.device,
            progress,
        )?;
        bar.finish_and_clear();
        let pictures = GivenPictures { names, encoded };
        datasway_cli::tell(pictures.text());
        pictures.ensure_within(self.max_error.unwrap_or(MAX_ERROR))?;
        config.samples = pictures.names.len();
        config.start = StartingNoise::Given(pictures.encoded.noise.clone().into());
        Ok(Some(pictures))
    }

    /// Names and pixels of the pictures: the files, then those of the selection.
    fn read(&self, model: &TrainedModel) -> Result<(Vec<String>, Vec<f32>)> {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for file in &self.picture_files {
            let picture = model.select(&format!("image:{file}"))?;
            values.extend(picture.images().values(0));
            names.push(file.clone());
        }
        if let Some(text) = &self.picture_selection {
            let selected = model.select(text)?;
            let images = selected.images();
            if !selected.is_in_training_set() {
                datasway_cli::tell(images.summary());
            }
            values.extend((0..images.len()).flat_map(|i| images.values(i)));
            names.extend(images.names.iter().cloned());
        }
        Ok((names, values))
    }
}

impl GivenPictures {
    /// Errors and noise in one line.
    fn text(&self) -> String {
        let [errors, sizes] = [self.encoded.errors(), self.encoded.noise_sizes()];
        let largest = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        let smallest = sizes.iter().copied().fold(f64::INFINITY, f64::min);
        let noise = match [smallest, largest(&sizes)].map(|size| format!("{size:.2}")) {
            [size, same] if size == same => size,
            [smallest, largest] => format!("{smallest} to {largest}"),
        };
        let count = plural(self.names.len(), "picture");
        format!(
            "{count}, encoded and drawn again: off by {:.3} grey levels at most (root mean square); noise of size {noise}, \
             where 1 is expected",
            largest(&errors)
        )
    }

    /// Refuses pictures that the model does not draw again.
    fn ensure_within(&self, max_error: f64) -> Result<()> {
        let errors = self.encoded.errors();
        let is_off = |error: &f64| error.is_nan() || *error > max_error;
        let Some(first) = errors.iter().position(is_off) else {
            return Ok(());
        };
        let others = match errors.iter().filter(|error| is_off(error)).count() {
            1 => String::new(),
            count => format!(", and so do {} more", count - 1),
        };
        bail!(
            "{}: drawn again from its noise it is off by {:.2} grey levels, more than {max_error}{others}: use more --steps, or allow it \
             with --max-error",
            self.names[first],
            errors[first]
        )
    }

    /// The pictures for `summary.json`.
    pub fn summaries(&self) -> Vec<PictureSummary> {
        let numbers = self
            .encoded
            .errors()
            .into_iter()
            .zip(self.encoded.noise_sizes());
        let names = self.names.iter().cloned();
        let summaries = names
            .zip(numbers)
            .map(|(name, (error, noise_size))| PictureSummary {
                name,
                error,
                noise_size,
            });
        summaries.collect()
    }

    /// `pictures.csv`: `sample`, `name`, `error` in grey levels, and `noise_size`.
    pub fn csv(&self) -> String {
        let mut csv = String::from("sample,name,error,noise_size\n");
        for (i, picture) in self.summaries().iter().enumerate() {
            let (name, error, size) = (quoted(&picture.name), picture.error, picture.noise_size);
            csv += &format!("{i},{name},{error},{size}\n");
        }
        csv
    }

    /// The name, the pixels and the error of a picture.
    pub fn picture(&self, sample: usize) -> (&str, &[f32], f64) {
        let d = self.encoded.dim;
        let pixels = &self.encoded.pictures[sample * d..(sample + 1) * d];
        (&self.names[sample], pixels, self.encoded.errors()[sample])
    }
}
