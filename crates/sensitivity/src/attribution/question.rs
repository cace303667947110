//! What is asked of samples, as text.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use classifier::Saved;
use data::{Selected, Selection, Shape};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use sensitivity::influence::{Distance, Functional, Linear, LogOdds, Principal};

use crate::trained::Trained;

/// Multiplications of the power method: the top eigenvalue stands far above the others.
const ITERATIONS: usize = 4;

/// Reads a functional.
pub fn parse(text: &str, model: &Trained) -> Result<Box<dyn Functional>> {
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
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
            let weights = tensor(rest).with_context(|| name.clone())?;
            Box::new(Linear { name, weights })
        }
        "log-odds" => Box::new(log_odds(rest, &name, model).with_context(|| name.clone())?),
        _ => bail!(
            "{text} is not understood; ask for principal, region:X,Y,WIDTH,HEIGHT, region:MASK.png, image:PATH, image:INDEX, \
             linear:FILE.safetensors:TENSOR or log-odds:FILE.safetensors:LABEL"
        ),
    })
}

/// The weights of the mean over a box, or over the white of a mask.
fn region(text: &str, shape: Shape) -> Result<Vec<f32>> {
    let (width, height) = (shape.width, shape.height);
    let numbers: Result<Vec<usize>, _> = text.split(',').map(str::parse).collect();
    let plane: Vec<f32> = match numbers.as_deref() {
        Ok(&[x, y, w, h]) => {
            ensure!(
                w > 0 && h > 0 && x + w <= width && y + h <= height,
                "the box must hold at least one pixel and lie inside the {width}×{height} pixels of a sample"
            );
            let inside = |at: usize| {
                (x..x + w).contains(&(at % width)) && (y..y + h).contains(&(at / width))
            };
            (0..width * height)
                .map(|at| f32::from(u8::from(inside(at))))
                .collect()
        }
        Ok(_) => bail!("a box is X,Y,WIDTH,HEIGHT"),
        Err(_) => mask(Path::new(text), shape)?,
    };
    let total = plane.iter().sum::<f32>() * shape.channels as f32;
    ensure!(total > 0.0, "the mask has no white pixel");
    let plane: Vec<f32> = plane.into_iter().map(|v| v / total).collect();
    Ok(plane.repeat(shape.channels))
}

/// A grey picture of the samples' size as numbers from 0 to 1.
fn mask(path: &Path, shape: Shape) -> Result<Vec<f32>> {
    let picture = data::mask(path)?;
    ensure!(
        picture.dimensions() == (shape.width as u32, shape.height as u32),
        "{}: is {}×{} pixels, but samples are {}×{}",
        path.display(),
        picture.width(),
        picture.height(),
        shape.width,
        shape.height
    );
    Ok(picture
        .pixels()
        .map(|p| f32::from(p.0[0]) / 255.0)
        .collect())
}

/// A training image by its index, or any image by its path.
fn image(text: &str, model: &Trained) -> Result<Vec<f32>> {
    let selection = match text.parse::<usize>() {
        Ok(_) => format!("index:{text}"),
        Err(_) => format!("image:{text}"),
    };
    let selected = Selection::parse(&selection)?.resolve(&model.images, &model.options)?;
    let mut values = Vec::new();
    match selected {
        Selected::Indices(indices) => model.images.fill(&indices, &mut values),
        Selected::External(set) => set.fill(&[0], &mut values),
    }
    Ok(values)
}

/// A classifier for images like the samples, and one of its labels.
fn log_odds(text: &str, name: &str, model: &Trained) -> Result<LogOdds> {
    let (file, label) = in_file(text).context("write log-odds:FILE.safetensors:LABEL")?;
    let saved = Saved::read(Path::new(&file))?;
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
    let odds = LogOdds::new(name.to_owned(), &saved, label, &model.device);
    odds.with_context(|| file.clone())
}

/// `FILE.safetensors:PART`, as file and part.
fn in_file(text: &str) -> Option<(String, &str)> {
    let (stem, part) = text.split_once(".safetensors:")?;
    Some((format!("{stem}.safetensors"), part))
}

/// The numbers of a tensor in a SafeTensors file.
fn tensor(text: &str) -> Result<Vec<f32>> {
    let (file, name) = in_file(text).context("write linear:FILE.safetensors:TENSOR")?;
    let bytes = std::fs::read(&file).with_context(|| format!("{file}: cannot be read"))?;
    let tensors = SafeTensors::deserialize(&bytes)
        .with_context(|| format!("{file}: is not a complete SafeTensors file"))?;
    let tensor = tensors.tensor(name).map_err(|_| {
        let names = tensors.names().join(", ");
        anyhow::anyhow!("{file}: has no tensor {name}; it has {names}")
    })?;
    ensure!(
        tensor.dtype() == Dtype::F32,
        "{file}: {name} must hold f32 numbers"
    );
    let values: Vec<f32> = tensor
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    ensure!(
        values.iter().all(|v| v.is_finite()),
        "{file}: {name} holds values that are not finite"
    );
    Ok(values)
}
