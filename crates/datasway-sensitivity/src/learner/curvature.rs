//! Products with the curvature of the training loss.

use std::ops::Range;

use burn::tensor::{Tensor, TensorData};
use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;

use super::draws::LossDraws;
use super::loss::{metric, part_of_gradient};

/// Directions that share the evaluation of a batch. Each has a backward pass of its own, which is slow for few draws.
const TOGETHER: usize = 4;

/// A symmetric matrix that acts on directions of the weights.
pub trait Curvature {
    /// The products with K directions. `progress` receives the number of draws that each batch adds, times K.
    ///
    /// # Errors
    /// If the model fails.
    fn product(
        &self,
        directions: &ParameterTangents,
        progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError>;
}

/// The Gauss–Newton matrix of the loss, `G = E[J_θᵀ·(2w/d)·J_θ]`, over a list of draws.
///
/// One batch is in memory at a time. Up to four directions share the evaluation of each batch.
pub struct GaussNewton<'a> {
    /// The model.
    pub model: &'a dyn LearnedDenoiser,
    /// The draws of the mean.
    pub draws: LossDraws<'a>,
    /// Draws evaluated together for one direction; results depend on it by rounding only.
    pub batch: usize,
}

impl Curvature for GaussNewton<'_> {
    fn product(
        &self,
        directions: &ParameterTangents,
        progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError> {
        self.products(directions, None, progress)
    }
}

/// Weights of draws in a mean, with a mean of 1.
pub(super) type DrawWeights = Vec<f64>;

impl GaussNewton<'_> {
    /// The product of every direction with a matrix of its own, whose draws have these weights, `[K][N]`.
    pub(super) fn weighted_products(
        &self,
        directions: &ParameterTangents,
        weights: &[DrawWeights],
        progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError> {
        self.products(directions, Some(weights), progress)
    }

    /// The gradient of the loss over the same draws, with these weights in the mean.
    pub(super) fn weighted_gradient(
        &self,
        weights: &DrawWeights,
        progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError> {
        let mut gradient = ParameterTangents::new();
        for range in self.draws.batches(self.batch) {
            let (count, drawn) = (range.len(), self.draws.read(range.clone()));
            let weights = Some(&weights[range]);
            let part = part_of_gradient(self.model, drawn, self.draws.count(), weights)?;
            gradient = gradient.add(&part);
            progress(count);
        }
        Ok(gradient)
    }

    fn products(
        &self,
        directions: &ParameterTangents,
        weights: Option<&[DrawWeights]>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError> {
        let starts = (0..directions.k()).step_by(TOGETHER);
        let products = starts.map(|first| {
            let together = first..(first + TOGETHER).min(directions.k());
            let weights = weights.map(|weights| &weights[together.clone()]);
            self.products_together(&directions.slice(together), weights, progress)
        });
        let products: Vec<ParameterTangents> = products.collect::<Result<_, _>>()?;
        Ok(ParameterTangents::concat(&products))
    }

    /// The products with a few directions.
    fn products_together(
        &self,
        directions: &ParameterTangents,
        draw_weights: Option<&[DrawWeights]>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError> {
        let mut product = ParameterTangents::new();
        // K directions at once take K times the memory of a batch.
        let batch = (self.batch / directions.k().max(1)).max(1);
        for range in self.draws.batches(batch) {
            let work = range.len() * directions.k();
            let drawn = self.draws.read(range.clone());
            let (x, sigmas) = (drawn.noisy, drawn.sigmas);
            let (_, moved) = self
                .model
                .jvp_with_weights(x.clone(), &sigmas, None, directions)?;
            let weights = metric(self.model, &x, &sigmas) / self.draws.count() as f64;
            let mut pulled = moved * weights.unsqueeze_dim::<3>(0);
            if let Some(draw_weights) = draw_weights {
                pulled = pulled.clone() * columns(draw_weights, range, &pulled);
            }
            product = product.add(&self.model.vjp_in_weights(x, &sigmas, pulled)?);
            progress(work);
        }
        Ok(product)
    }
}

/// The weights of a range of draws, `[K, b, 1]`.
fn columns(weights: &[DrawWeights], range: Range<usize>, like: &Tensor<3>) -> Tensor<3> {
    let shape = [weights.len(), range.len(), 1];
    let entries = weights.iter().flat_map(|row| &row[range.clone()]);
    let data = TensorData::new(entries.copied().collect::<Vec<f64>>(), shape);
    Tensor::from_data(data, (&like.device(), like.dtype()))
}
