//! Datasway's side of `scripts/benchmark_pretrained.py`: one piece of work for each line of its input.
//!
//! Arguments: the folder of a model, and the file of its inputs: points `x` and tangents `tangent`, both `[n, d]`.
//!
//! - `OPERATION BATCH SIGMA` prints the milliseconds of one run on the first points.
//! - `values OPERATION BATCH SIGMA FILE` writes the result.

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use datasway_diffusion::denoiser::Denoiser;
use datasway_pretrained::{Pretrained, PretrainedOptions, weights};
use safetensors::tensor::{Dtype, TensorView};

fn main() -> Result<(), Box<dyn Error>> {
    datasway_cli::allocator::keep_memory();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, inputs] = arguments.as_slice() else {
        return Err("arguments: the folder of a model and the file of its inputs".into());
    };
    let model = Pretrained::load(Path::new(folder), &PretrainedOptions::default())?;
    let denoiser = model.score_model.denoiser();
    let mut inputs = weights::read(Path::new(inputs))?;
    let device = Device::flex();
    let mut input = |name: &str| -> Result<Tensor<2>, String> {
        let data = inputs.remove(name).ok_or(format!("no input {name}"))?;
        Ok(Tensor::from_data(data, &device))
    };
    let (x, tangent) = (input("x")?, input("tangent")?);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words.as_slice() {
            ["values", operation, batch, sigma, file] => {
                let (batch, sigma) = (batch.parse()?, sigma.parse()?);
                let values = run(
                    denoiser,
                    operation,
                    first(&x, batch),
                    first(&tangent, batch),
                    sigma,
                )?;
                write(Path::new(file), &values.into_data())?;
                "done".to_owned()
            }
            [operation, batch, sigma] => {
                let (batch, sigma) = (batch.parse()?, sigma.parse()?);
                let (x, tangent) = (first(&x, batch), first(&tangent, batch));
                let started = Instant::now();
                let values = run(denoiser, operation, x, tangent, sigma)?;
                let seconds = started.elapsed().as_secs_f64();
                drop(values);
                format!("{}", seconds * 1e3)
            }
            _ => return Err(format!("not understood: {line}").into()),
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// The first points, `[n, d]`.
fn first(points: &Tensor<2>, n: usize) -> Tensor<2> {
    points.clone().slice_dim(0, 0..n)
}

fn run(
    denoiser: &dyn Denoiser,
    operation: &str,
    x: Tensor<2>,
    tangent: Tensor<2>,
    sigma: f64,
) -> Result<Tensor<2>, Box<dyn Error>> {
    match operation {
        "forward" => Ok(denoiser.denoise(x, sigma)?),
        "jvp1" => {
            let (_, tangents) = denoiser.jvp(x, sigma, tangent.unsqueeze())?;
            Ok(tangents.squeeze_dim(0))
        }
        _ => Err(format!("no operation {operation}").into()),
    }
}

fn write(path: &Path, data: &TensorData) -> Result<(), Box<dyn Error>> {
    let shape = data.shape().iter().copied().collect();
    let view = TensorView::new(Dtype::F32, shape, data.as_bytes())?;
    std::fs::write(path, safetensors::serialize([("values", view)], None)?)?;
    Ok(())
}
