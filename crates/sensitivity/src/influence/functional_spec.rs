//! What is asked of samples, as text.

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

/// Multiplications of the power method: the top eigenvalue stands far above the others.
const ITERATIONS: usize = 4;

/// The largest number of a direction: products with it neither overflow nor lose their digits.
const LENGTHS: RangeInclusive<f32> = 1e-12..=1e12;

/// Bytes of a file with directions at most.
const LARGEST: u64 = 4 << 30;

/// What two questions that ask the same have in common.
pub fn meaning(text: &str) -> String {
    let text = text.trim();
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    match (kind, numbers(rest), in_file(rest)) {
        ("region" | "image", Some(numbers), _) => format!("{kind}:{numbers:?}"),
        ("region" | "image", None, _) => format!("{kind}:{}", datasway_cli::resolved(rest)),
        (_, _, Some((file, part))) => format!("{kind}:{}:{part}", datasway_cli::resolved(&file)),
        _ => text.to_owned(),
    }
}

/// Whole numbers with commas between.
fn numbers(text: &str) -> Option<Vec<usize>> {
    let numbers = text.split(',').map(|part| part.trim().parse());
    numbers.collect::<Result<_, _>>().ok()
}

/// Reads a functional of so many samples.
pub fn parse(text: &str, samples: usize, model: &TrainedModel) -> Result<Box<dyn Functional>> {
    let (kind, rest) = text.trim().split_once(':').unwrap_or((text.trim(), ""));
    let name = text.to_owned();
    Ok(match kind {
        "principal" if rest.is_empty() => Box::new(Principal {
            iterations: ITERATIONS,
        }),
        "region" => {
            let weights = region(rest, model.images.shape).with_context(|| name.clone())?;
            Box::new(Linear { name, weights })
        }
        "image" => {
            let target = image(rest, model).with_context(|| name.clone())?;
            Box::new(Distance { name, target })
        }
        "linear" => {
            let weights =
                tensor(rest, samples, model.images.shape.dim()).with_context(|| name.clone())?;
            Box::new(Linear { name, weights })
        }
        "log-odds" => Box::new(log_odds(rest, &name, model).with_context(|| name.clone())?),
        _ => bail!(
            "--of {text}: is not understood; ask for principal, region:X,Y,WIDTH,HEIGHT, region:MASK.png, image:PATH, image:INDEX, \
             linear:FILE.safetensors:TENSOR or log-odds:FILE.safetensors:LABEL"
        ),
    })
}

/// The weights of the mean over a box, or over the white of a mask.
fn region(text: &str, shape: Shape) -> Result<Vec<f32>> {
    ensure!(
        !text.is_empty(),
        "write region:X,Y,WIDTH,HEIGHT or region:MASK.png"
    );
    let (width, height) = (shape.width, shape.height);
    let ends = |start: usize, length: usize, side: usize| {
        length > 0 && start.checked_add(length).is_some_and(|end| end <= side)
    };
    let plane: Vec<f32> = match numbers(text).as_deref() {
        Some(&[x, y, w, h]) => {
            ensure!(
                ends(x, w, width) && ends(y, h, height),
                "the box must hold at least one pixel and lie inside the {width}×{height} pixels of a sample"
            );
            let inside = |at: usize| {
                (x..x + w).contains(&(at % width)) && (y..y + h).contains(&(at / width))
            };
            (0..width * height)
                .map(|at| f32::from(u8::from(inside(at))))
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

/// A picture of the samples' size as numbers from 0, black or transparent, to 1.
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

/// A training image by its index, or any image by its path.
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

/// A classifier for images like the samples, and one of its labels.
fn log_odds(text: &str, name: &str, model: &TrainedModel) -> Result<LogOdds> {
    let (file, label) = in_file(text).context("write log-odds:FILE.safetensors:LABEL")?;
    let saved = ClassifierCheckpoint::read(Path::new(&file))?;
    default_model::notify(Path::new(&file), &saved.notices);
    let (theirs, ours) = (saved.header.shape, model.images.shape);
    ensure!(
        theirs == ours,
        "{file}: is for images of {}×{} pixels and {} channels, but samples are {}×{} with {}: train one for them with \
         `train classifier`",
        theirs.width,
        theirs.height,
        theirs.channels,
        ours.width,
        ours.height,
        ours.channels
    );
    ensure!(
        saved.optimizer.is_none(),
        "{file}: the classifier is only trained for {} of {} steps: go on with `train classifier --resume`",
        saved.header.step,
        saved.header.training.steps
    );
    let odds = LogOdds::new(name.to_owned(), &saved, label, &model.device);
    odds.with_context(|| file.clone())
}

/// `FILE.safetensors:PART`, as file and part.
fn in_file(text: &str) -> Option<(String, &str)> {
    let (stem, part) = text.split_once(".safetensors:")?;
    Some((format!("{stem}.safetensors"), part))
}

/// A direction of d numbers, or one for each sample and more, from a SafeTensors file: as many as the samples need.
fn tensor(text: &str, samples: usize, d: usize) -> Result<Vec<f32>> {
    let (file, name) = in_file(text).context("write linear:FILE.safetensors:TENSOR")?;
    let bytes = datasway_fs::read(Path::new(&file), LARGEST)?;
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
