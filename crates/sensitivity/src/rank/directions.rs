//! The changes of `--add` and `--remove`: checked, resolved for a model, and shown as pictures.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use burn::tensor::DType;
use datasway_data::Selection;
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_sensitivity::{Change, Direction, SensitivityConfig, SensitivityError, TrainedModel};

use crate::default_model;

/// Prefix of a checkpoint whose training data are added.
pub const MODEL: &str = "model:";

/// Pictures of a direction on the page.
const PHOTOS: usize = 20;

/// Checks that the changes of one option can be read and are different.
///
/// # Errors
/// If a change is no selection, removes images from elsewhere, or stands there twice.
pub fn check(option: &str, changes: &[String], change: Change) -> Result<()> {
    for text in changes {
        let outside = match text.strip_prefix(MODEL) {
            Some("") => bail!("{option} {text}: name a checkpoint, {MODEL}CHECKPOINT"),
            Some(_) => true,
            None => matches!(
                Selection::parse(text).with_context(|| option.to_owned())?,
                Selection::Folder(_) | Selection::Image(_)
            ),
        };
        ensure!(
            !outside || change == Change::Add,
            "{option} {text}: only images of the training set can be removed"
        );
    }
    datasway_cli::distinct(option, changes, meaning)
}

/// The text that all changes by the same images or the same model share.
fn meaning(change: &str) -> String {
    let change = change.trim();
    match change.strip_prefix(MODEL) {
        Some(file) => format!("{MODEL}{}", datasway_cli::resolved(file)),
        None => match Selection::parse(change) {
            Ok(selection) => selection.canonical().to_string(),
            Err(_) => change.to_owned(),
        },
    }
}

/// The directions of a model that the options name, those to add first.
///
/// # Errors
/// If a selection names no image, or another model cannot be compared with this one.
pub fn resolve(
    add: &[String],
    remove: &[String],
    config: &SensitivityConfig,
    model: &TrainedModel,
) -> Result<Vec<Direction>> {
    let mut directions = Vec::new();
    for text in add {
        directions.push(match text.strip_prefix(MODEL) {
            Some(file) => add_model(text, Path::new(file), config, model)?,
            None => {
                let images = model.select(text)?;
                if !images.is_in_training_set() {
                    datasway_cli::tell(images.images().summary());
                }
                Direction::add(images)
            }
        });
    }
    for text in remove {
        directions.push(Direction::remove(model.select(text)?)?);
    }
    Ok(directions)
}

/// The directions with a mass, if there is one: a removal takes its whole group at most.
///
/// # Errors
/// If nothing of the training set would be left.
pub fn with_mass(
    directions: Vec<Direction>,
    mass: Option<f64>,
    model: &TrainedModel,
) -> Result<Vec<Direction>> {
    let Some(mass) = mass else {
        return Ok(directions);
    };
    let count = model.image_points().count();
    let directions = directions.into_iter().map(|direction| {
        let mass = match (direction.change(), direction.share(count)) {
            (Change::Remove, Some(share)) => mass.min(share),
            (Change::Add | Change::Remove, _) => mass,
        };
        ensure!(
            direction.change() == Change::Add || mass < 1.0,
            "--{direction} --mass {mass}: nothing would be left of the training set: choose a smaller mass or a smaller group"
        );
        Ok(direction.with_mass(mass))
    });
    directions.collect()
}

fn add_model(
    text: &str,
    file: &Path,
    config: &SensitivityConfig,
    model: &TrainedModel,
) -> Result<Direction> {
    ensure!(
        !file.is_dir(),
        "--add {text}: is a folder, and the direction of a model is a checkpoint of `train`: name its file"
    );
    let checkpoint = default_model::or_shipped(Some(file))?;
    let direction = model.add_model(text, &checkpoint, &config.density.trace, &config.sigmas);
    direction.map_err(|error| match error {
        SensitivityError::OtherShape { .. } => anyhow!("--add {error}"),
        _ => error.into(),
    })
}

/// Pictures of each direction, `[k, d]` each: its first images, or samples of another model.
///
/// # Errors
/// If another model cannot be sampled.
pub fn photos(
    directions: &[Direction],
    config: &SensitivityConfig,
    model: &TrainedModel,
) -> Result<Vec<Vec<f32>>> {
    let photos = |direction: &Direction| -> Result<Vec<f32>> {
        if let Some(images) = direction.images() {
            let first: Vec<usize> = (0..images.len().min(PHOTOS)).collect();
            let mut photos = Vec::new();
            images.fill(&first, &mut photos);
            return Ok(photos);
        }
        let denoiser = direction.measure();
        let noise = FrozenNoise::new(config.seed);
        let start = noise.start([PHOTOS, denoiser.dim()], &model.device, DType::F32);
        let samples = sample(denoiser, &Sampler::Heun, &config.sigmas, start, &noise)?;
        Ok(samples.into_data().iter::<f32>().collect())
    };
    directions.iter().map(photos).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_of_the_same_images_have_one_meaning() {
        for (left, right) in [
            ("attr:A&!B", "attr:!B&A"),
            ("attr:A&A", "attr:A"),
            ("index:1,2", "index:2,1"),
            ("index:1-3", "index:3,1-2"),
            (
                "index:1-18446744073709551615",
                "index:1-5,3-18446744073709551615",
            ),
            ("class:8", " class:8"),
            ("folder:src", "folder:./src/"),
            ("image:Cargo.toml", "image:src/../Cargo.toml"),
            ("model:Cargo.toml", "model:./Cargo.toml"),
        ] {
            assert_eq!(meaning(left), meaning(right), "{left} and {right}");
        }
        for (left, right) in [
            ("attr:A", "attr:!A"),
            ("index:1,3", "index:1-3"),
            ("class:a", "class:A"),
        ] {
            assert_ne!(meaning(left), meaning(right), "{left} and {right}");
        }
    }
}
