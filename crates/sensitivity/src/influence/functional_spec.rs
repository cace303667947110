//! Functionals as text: the values of `--of`.

use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::{DType, TensorData};
use datasway_classifier::ClassifierCheckpoint;
use datasway_data::{Selected, Selection, Shape};
use datasway_sensitivity::TrainedModel;
use datasway_sensitivity::influence::{Distance, Functional, Linear, LogOdds, Principal};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use crate::default_model;

/// Range of the largest absolute entry of a direction, in which inner products neither overflow nor lose digits.
const LENGTHS: RangeInclusive<f32> = 1e-12..=1e12;

/// Largest size of a file with directions, in bytes.
const MAX_BYTES: u64 = 4 << 30;

/// The text that all spellings of one functional share.
pub fn meaning(text: &str) -> String {
    let text = text.trim();
    let (kind, argument) = text.split_once(':').unwrap_or((text, ""));
    match (kind, numbers(argument), in_file(argument)) {
        ("region" | "image", Some(numbers), _) => format!("{kind}:{numbers:?}"),
        ("region" | "image", None, _) => format!("{kind}:{}", datasway_cli::resolved(argument)),
        (_, _, Some((file, name))) => format!("{kind}:{}:{name}", datasway_cli::resolved(&file)),
        _ => text.to_owned(),
    }
}

/// Whole numbers separated by commas.
fn numbers(text: &str) -> Option<Vec<usize>> {
    let numbers = text.split(',').map(|number| number.trim().parse());
    numbers.collect::<Result<_, _>>().ok()
}

/// Parses a functional of the given number of samples of a model.
///
/// # Errors
/// If the text is no functional, or its file, image or label does not fit the model.
pub fn parse(text: &str, samples: usize, model: &TrainedModel) -> Result<Box<dyn Functional>> {
    let (kind, argument) = text.trim().split_once(':').unwrap_or((text.trim(), ""));
    let name = text.to_owned();
    Ok(match kind {
        "principal" if argument.is_empty() => Box::new(Principal::default()),
        "region" => {
            let weights = region(argument, model.images.shape).with_context(|| name.clone())?;
            Box::new(Linear { name, weights })
        }
        "image" => {
            let target = image(argument, model).with_context(|| name.clone())?;
            Box::new(Distance { name, target })
        }
        "linear" => {
            let weights = tensor(argument, samples, model.images.shape.dim())
                .with_context(|| name.clone())?;
            Box::new(Linear { name, weights })
        }
        "log-odds" => Box::new(log_odds(argument, &name, model).with_context(|| name.clone())?),
        _ => bail!(
            "--of {text}: is not understood; ask for principal, region:X,Y,WIDTH,HEIGHT, region:MASK.png, image:PATH, image:INDEX, \
             linear:FILE.safetensors:TENSOR or log-odds:FILE.safetensors:LABEL"
        ),
    })
}

/// The weights of the mean over a box, or over the white pixels of a mask, d numbers.
fn region(text: &str, shape: Shape) -> Result<Vec<f32>> {
    ensure!(
        !text.is_empty(),
        "write region:X,Y,WIDTH,HEIGHT or region:MASK.png"
    );
    let (width, height) = (shape.width, shape.height);
    let fits = |start: usize, length: usize, side: usize| {
        length > 0 && start.checked_add(length).is_some_and(|end| end <= side)
    };
    let plane: Vec<f32> = match numbers(text).as_deref() {
        Some(&[x, y, w, h]) => {
            ensure!(
                fits(x, w, width) && fits(y, h, height),
                "the box must hold at least one pixel and lie inside the {width}×{height} pixels of a sample"
            );
            let inside = |pixel: usize| {
                (x..x + w).contains(&(pixel % width)) && (y..y + h).contains(&(pixel / width))
            };
            (0..width * height)
                .map(|pixel| f32::from(u8::from(inside(pixel))))
                .collect()
        }
        None if Path::new(text).exists() || !text.contains(',') => mask(Path::new(text), shape)?,
        _ => bail!("a box is X,Y,WIDTH,HEIGHT, four whole numbers from 0 up"),
    };
    let total = plane.iter().sum::<f32>() * shape.channels as f32;
    ensure!(total > 0.0, "the mask has no white pixel");
    let plane: Vec<f32> = plane.into_iter().map(|v| v / total).collect();
    Ok(plane.repeat(shape.channels))
}

/// A picture of the size of a sample as numbers from 0 (black or transparent) to 1 (white).
fn mask(path: &Path, shape: Shape) -> Result<Vec<f32>> {
    let picture = datasway_data::mask(path)?;
    ensure!(
        picture.dimensions() == (shape.width as u32, shape.height as u32),
        "{}: is {}×{} pixels, but samples are {}×{}",
        path.display(),
        picture.width(),
        picture.height(),
        shape.width,
        shape.height
    );
    let values = picture.pixels().map(|p| f32::from(p.0[0]) / 255.0);
    Ok(values.collect())
}

/// The pixels of a training image by its index, or of any image by its path, d numbers.
fn image(text: &str, model: &TrainedModel) -> Result<Vec<f32>> {
    let selection = match text.parse::<usize>() {
        Ok(_) => format!("index:{text}"),
        Err(_) => format!("image:{text}"),
    };
    let selected = Selection::parse(&selection)?.resolve(&model.images, &model.load_options)?;
    let mut values = Vec::new();
    match selected {
        Selected::Indices(indices) => model.images.fill(&indices, &mut values),
        Selected::External(set) => set.fill(&[0], &mut values),
    }
    Ok(values)
}

/// The log-odds of one label under a classifier for images of the shape of the samples.
fn log_odds(text: &str, name: &str, model: &TrainedModel) -> Result<LogOdds> {
    let (file, label) = in_file(text).context("write log-odds:FILE.safetensors:LABEL")?;
    let classifier = ClassifierCheckpoint::read(Path::new(&file))?;
    default_model::notify(Path::new(&file), &classifier.notices);
    let (input, sample) = (classifier.header.shape, model.images.shape);
    ensure!(
        input == sample,
        "{file}: is for images of {}×{} pixels and {} channels, but samples are {}×{} with {}: train one for them with \
         `train classifier`",
        input.width,
        input.height,
        input.channels,
        sample.width,
        sample.height,
        sample.channels
    );
    ensure_finished(&file, &classifier)?;
    let odds = LogOdds::new(name.to_owned(), &classifier, label, &model.device);
    odds.with_context(|| file.clone())
}

/// Refuses a classifier whose training is not finished.
fn ensure_finished(file: &str, classifier: &ClassifierCheckpoint) -> Result<()> {
    let header = &classifier.header;
    ensure!(
        classifier.optimizer.is_none(),
        "{file}: the classifier is only trained for {} of {} steps: go on with `train classifier --resume`",
        header.step,
        header.training.steps
    );
    Ok(())
}

/// File and name of `FILE.safetensors:NAME`.
fn in_file(text: &str) -> Option<(String, &str)> {
    let (stem, name) = text.split_once(".safetensors:")?;
    Some((format!("{stem}.safetensors"), name))
}

/// A direction of d numbers, or one for each sample, `[n, d]`, from a SafeTensors file. The file may have directions of more
/// samples.
fn tensor(text: &str, samples: usize, d: usize) -> Result<Vec<f32>> {
    let (file, name) = in_file(text).context("write linear:FILE.safetensors:TENSOR")?;
    let bytes = datasway_fs::read(Path::new(&file), MAX_BYTES)?;
    let tensors = SafeTensors::deserialize(&bytes)
        .with_context(|| format!("{file}: is not a complete SafeTensors file"))?;
    let tensor = tensors.tensor(name).map_err(|_| {
        let mut names = tensors.names();
        names.sort_unstable();
        let names = names.join(", ");
        anyhow::anyhow!("{file}: has no tensor {name}; it has {names}")
    })?;
    let rows = match tensor.shape() {
        &[columns] if columns == d => 1,
        &[rows, columns] if columns == d && rows >= samples => samples,
        shape => bail!(
            "{file}: {name} has the shape {shape:?}, but a direction has [{d}], and one for each of the {samples} samples \
             [{samples}, {d}]"
        ),
    };
    let dtype = match tensor.dtype() {
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        other => bail!("{file}: {name} holds {other:?} numbers: write it as F32"),
    };
    if dtype != DType::F32 {
        datasway_cli::tell(format!(
            "{file}: {name} is read from {:?} as F32",
            tensor.dtype()
        ));
    }
    let data = TensorData::from_bytes_vec(tensor.data().to_vec(), tensor.shape().to_vec(), dtype);
    let values: Vec<f32> = data.iter::<f32>().take(rows * d).collect();
    ensure!(
        values.iter().all(|v| v.is_finite()),
        "{file}: {name} holds values that are not finite as F32"
    );
    let zero = values
        .chunks(d)
        .position(|row| row.iter().all(|v| *v == 0.0));
    if let Some(row) = zero {
        match tensor.shape() {
            [_] => bail!("{file}: {name} is zero everywhere: it asks nothing"),
            _ => bail!(
                "{file}: {name} is zero everywhere in row {row}: it asks nothing of that sample"
            ),
        }
    }
    let extent = |row: &[f32]| row.iter().fold(0.0, |most: f32, v| v.abs().max(most));
    let mut extents = values.chunks(d).map(extent);
    if let Some(extent) = extents.find(|extent| !LENGTHS.contains(extent)) {
        bail!(
            "{file}: {name} has a direction whose largest number is {extent:e}: scale it to between {:e} and {:e}",
            LENGTHS.start(),
            LENGTHS.end()
        );
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use datasway_classifier::{ClassifierConfig, ClassifierTrainer};
    use datasway_data::{LoadOptions, Source};

    use super::*;

    #[test]
    fn an_unfinished_classifier_has_to_be_resumed() {
        let options = LoadOptions {
            size: Some(8),
            ..LoadOptions::default()
        };
        let images = datasway_data::load(&Source::parse("faces:20").unwrap(), &options).unwrap();
        let config = ClassifierConfig {
            steps: 2,
            channels: 8,
            batch: 4,
            ..ClassifierConfig::default()
        };
        let mut trainer = ClassifierTrainer::new(config, &images, &Device::flex()).unwrap();
        trainer.advance().unwrap();
        let unfinished = trainer.save().unwrap();
        let error = ensure_finished("c.safetensors", &unfinished).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("1 of 2 steps") && message.contains("--resume"),
            "{message}"
        );
    }
}
