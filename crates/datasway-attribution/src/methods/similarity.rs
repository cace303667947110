//! Baselines that compare images with images.

use burn::tensor::{Tensor, TensorData};
use datasway_diffusion::validate::within;
use serde::{Deserialize, Serialize};

use crate::AttributionError;
use crate::attributor::{AttributionContext, Attributor, ScoreColumns, Scores};
use crate::target::AttributionTarget;

/// Scores of all targets from the similarity `s_j(x)` of samples `[n, m]` and of held-out images `[h, m]` with the training images y_j.
///
/// - Loss at x: `−s_j`, since the loss at x falls when the model is trained on more images like x.
/// - Linear functional `⟨v, x⟩` of a sample: `s_j` for all v, the form that is reported in the literature.
///   It has no sign.
/// - Linear functional, *directed*: `s_j·⟨v, y_j − x⟩`, which moves the sample towards the images that it resembles.
pub(super) fn similarity_scores(
    name: &str,
    context: &AttributionContext<'_>,
    samples: Tensor<2>,
    held_out: Tensor<2>,
) -> Vec<Scores> {
    let scores = |suffix: &str, target, rows| Scores {
        name: format!("{name}{suffix}"),
        target,
        columns: ScoreColumns::Images,
        rows,
    };
    let (plain, directed) = functional_scores(context, samples.clone());
    vec![
        scores("", AttributionTarget::HeldOutLoss, -held_out),
        scores("", AttributionTarget::SampleLoss, -samples),
        scores("", AttributionTarget::Sample, plain),
        scores(", directed", AttributionTarget::Sample, directed),
    ]
}

/// `s_j` and `s_j·⟨v, y_j − x⟩` for the functionals of each sample, `[n·K, m]`, from `s_j`, `[n, m]`.
fn functional_scores(
    context: &AttributionContext<'_>,
    similarity: Tensor<2>,
) -> (Tensor<2>, Tensor<2>) {
    let directions = context.directions();
    let ([n, k, d], [m, _]) = (directions.dims(), context.image_points.dims());
    let images = context.image_points.clone().transpose();
    // ⟨v, y_j⟩ and ⟨v, x⟩
    let along_images = directions.clone().reshape([n * k, d]).matmul(images);
    let along_sample = directions * context.samples.clone().unsqueeze_dim::<3>(1);
    let towards_images = along_images - along_sample.sum_dim(2).reshape([n * k, 1]);
    let similarity = similarity
        .unsqueeze_dim::<3>(1)
        .expand([n, k, m])
        .reshape([n * k, m]);
    (similarity.clone(), similarity * towards_images)
}

/// Squared distances `‖x − y_j‖²` between the rows of x and y, `[n, m]`.
fn squared_distances(x: &Tensor<2>, y: &Tensor<2>) -> Tensor<2> {
    let squares = |t: &Tensor<2>| t.clone().powi_scalar(2).sum_dim(1);
    squares(x) + squares(y).transpose() - x.clone().matmul(y.clone().transpose()) * 2.0
}

/// Cosine similarity of two images as vectors of pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PixelSimilarity {}

impl Attributor for PixelSimilarity {
    fn name(&self) -> String {
        "raw pixels".to_owned()
    }

    fn attribute(&self, context: &AttributionContext<'_>) -> Result<Vec<Scores>, AttributionError> {
        let unit = |points: &Tensor<2>| {
            let norms = points.clone().powi_scalar(2).sum_dim(1).sqrt();
            points.clone() / norms.clamp_min(f32::MIN_POSITIVE)
        };
        let images = unit(&context.image_points).transpose();
        let cosines = |points| unit(points).matmul(images.clone());
        Ok(similarity_scores(
            &self.name(),
            context,
            cosines(&context.samples),
            cosines(&context.held_out),
        ))
    }
}

/// Similarity 1 for the nearest images and 0 for the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NearestImages {
    /// Number of nearest images.
    count: usize,
}

impl Attributor for NearestImages {
    fn name(&self) -> String {
        format!("nearest {}", self.count)
    }

    fn check(&self) -> Result<(), AttributionError> {
        Ok(within("nearest: count", self.count, 1..=1_000_000)?)
    }

    fn attribute(&self, context: &AttributionContext<'_>) -> Result<Vec<Scores>, AttributionError> {
        let [m, _] = context.image_points.dims();
        let count = self.count.clamp(1, m);
        let membership = |points: &Tensor<2>| {
            let distances = squared_distances(points, &context.image_points);
            let [n, _] = distances.dims();
            let distances: Vec<f32> = distances.into_data().iter::<f32>().collect();
            let mut values = Vec::with_capacity(distances.len());
            for row in distances.chunks_exact(m) {
                let mut sorted = row.to_vec();
                sorted.sort_by(f32::total_cmp);
                let farthest = sorted[count - 1];
                let is_near = |distance: &f32| if *distance <= farthest { 1.0f32 } else { 0.0 };
                values.extend(row.iter().map(is_near));
            }
            Tensor::from_data(TensorData::new(values, [n, m]), &points.device())
        };
        Ok(similarity_scores(
            &self.name(),
            context,
            membership(&context.samples),
            membership(&context.held_out),
        ))
    }
}
