//! A direction of one's own: what if the training photographs were also there a little brighter?
//!
//! ν is any measure whose noised density and denoiser can be evaluated. This one is another measure, moved by a constant:
//! `p(x) = p_μ(x − b)` and `D(x) = b + D_μ(x − b)`.
//!
//! ```sh
//! cargo run -p datasway --example custom_measure
//! ```

use std::error::Error;

use burn::tensor::Tensor;
use datasway::diffusion::DiffusionError;
use datasway::diffusion::denoiser::Denoiser;
use datasway::measure::{Empirical, Measure};
use datasway::{Change, Direction, SensitivityConfig, TrainedModel};

/// The points of a measure with a constant added to every entry.
struct Brighter<M> {
    measure: M,
    by: f64,
}

impl<M: Denoiser> Denoiser for Brighter<M> {
    fn dim(&self) -> usize {
        self.measure.dim()
    }

    fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError> {
        Ok(self.measure.denoise(x - self.by, sigma)? + self.by)
    }

    fn jvp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        tangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        let (denoised, products) = self.measure.jvp(x - self.by, sigma, tangents)?;
        Ok((denoised + self.by, products))
    }

    fn vjp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        cotangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        let (denoised, products) = self.measure.vjp(x - self.by, sigma, cotangents)?;
        Ok((denoised + self.by, products))
    }
}

impl<M: Measure> Measure for Brighter<M> {
    fn log_density(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<1>, DiffusionError> {
        self.measure.log_density(x - self.by, sigma)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let model = TrainedModel::load("checkpoints/faces16.safetensors")?;
    let photographs = Empirical::of_images(&model.images, model.mirrored, &model.device)?;
    let brighter = Brighter {
        measure: photographs,
        by: 0.1,
    };
    let direction = Direction::of_measure("brighter photographs", Change::Add, brighter);
    let config = SensitivityConfig {
        samples: 8,
        ..SensitivityConfig::default()
    };
    let result = model.sensitivities(&[direction], &config)?;
    for sample in result.ranking(0) {
        let delta = result.sensitivities.delta(0, sample.index);
        let brightness = delta.iter().sum::<f32>() / delta.len() as f32;
        println!(
            "sample {} moves by {:.2} and grows brighter by {brightness:.3} per unit of mass",
            sample.index, sample.score
        );
    }
    Ok(())
}
