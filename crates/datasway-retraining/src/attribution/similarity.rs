//! Methods that compare images with images, and what they can say of functionals that have a sign.

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::functional::Functional;
use super::{Attributor, Columns, Scene, Scores};
use crate::RetrainError;
use crate::range::within;

/// Scores of every functional made from the similarity `s_j(x)` of samples and of held-out images with the training images y_j, `[n, m]`:
///
/// - the loss at x falls where more images like x are seen: `−s_j`;
/// - a sample's functional `⟨v, x⟩`, in the form that methods report: `s_j`, whatever v. It knows no sign;
/// - the same in the fairest form that we know: `s_j·⟨v, y_j − x⟩`, the sample drawn towards what it resembles (*directed*).
pub(super) fn forms(
    name: &str,
    scene: &Scene<'_>,
    samples: Tensor<2>,
    held_out: Tensor<2>,
) -> Vec<Scores> {
    let scores = |form: &str, functional, rows| Scores {
        name: format!("{name}{form}"),
        functional,
        of: Columns::ImagePoints,
        rows,
    };
    let (plain, directed) = directed(scene, samples.clone());
    vec![
        scores("", Functional::HeldOutLoss, -held_out),
        scores("", Functional::SampleLoss, -samples),
        scores("", Functional::Sample, plain),
        scores(", directed", Functional::Sample, directed),
    ]
}

/// `s_j` and `s_j·⟨v, y_j − x⟩` for the functionals of each sample, `[n·K, m]`, from `s_j`, `[n, m]`.
fn directed(scene: &Scene<'_>, similar: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let directions = scene.directions();
    let ([n, k, d], [m, _]) = (directions.dims(), scene.images.dims());
    let along = directions
        .clone()
        .reshape([n * k, d])
        .matmul(scene.images.clone().transpose());
    let own = directions * scene.samples.clone().unsqueeze_dim::<3>(1);
    let towards = along - own.sum_dim(2).reshape([n * k, 1]);
    let similar = similar
        .unsqueeze_dim::<3>(1)
        .expand([n, k, m])
        .reshape([n * k, m]);
    (similar.clone(), similar * towards)
}

/// `‖x − y_j‖²`, `[n, m]`.
pub(super) fn squared_distances(x: &Tensor<2>, y: &Tensor<2>) -> Tensor<2> {
    let squares = |t: &Tensor<2>| t.clone().powi_scalar(2).sum_dim(1);
    squares(x) + squares(y).transpose() - x.clone().matmul(y.clone().transpose()) * 2.0
}

/// The cosine of the angle between two images as lists of pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pixels {}

impl Attributor for Pixels {
    fn name(&self) -> String {
        "raw pixels".to_owned()
    }

    fn attribute(&self, scene: &Scene<'_>) -> Result<Vec<Scores>, RetrainError> {
        let unit = |points: &Tensor<2>| {
            let norms = points.clone().powi_scalar(2).sum_dim(1).sqrt();
            points.clone() / norms.clamp_min(f32::MIN_POSITIVE)
        };
        let images = unit(&scene.images).transpose();
        let similar = |points| unit(points).matmul(images.clone());
        Ok(forms(
            &self.name(),
            scene,
            similar(&scene.samples),
            similar(&scene.held_out),
        ))
    }
}

/// The nearest images, all alike; the others count for nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nearest {
    /// How many.
    count: usize,
}

impl Attributor for Nearest {
    fn name(&self) -> String {
        format!("nearest {}", self.count)
    }

    fn check(&self) -> Result<(), RetrainError> {
        within("nearest: count", self.count, 1..=1_000_000)
    }

    fn attribute(&self, scene: &Scene<'_>) -> Result<Vec<Scores>, RetrainError> {
        let [m, _] = scene.images.dims();
        let count = self.count.clamp(1, m);
        let similar = |points: &Tensor<2>| {
            let distances = squared_distances(points, &scene.images);
            let [n, _] = distances.dims();
            let values: Vec<f32> = distances.into_data().iter::<f32>().collect();
            let rows = values.chunks_exact(m).flat_map(|row| {
                let mut sorted = row.to_vec();
                sorted.sort_by(f32::total_cmp);
                let last = sorted[count - 1];
                row.iter()
                    .map(move |d| if *d <= last { 1.0f32 } else { 0.0 })
                    .collect::<Vec<_>>()
            });
            let data = TensorData::new(rows.collect::<Vec<f32>>(), [n, m]);
            Tensor::from_data(data, &points.device())
        };
        Ok(forms(
            &self.name(),
            scene,
            similar(&scene.samples),
            similar(&scene.held_out),
        ))
    }
}
