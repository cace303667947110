//! Patch similarity on two scales, as in *Nonparametric Data Attribution for Diffusion Models* (NDA; Zhao et al., arXiv 2510.14269).

use burn::tensor::{Tensor, TensorData};
use datasway_data::Shape;
use serde::{Deserialize, Serialize};

use super::functional::Functional;
use super::similarity::forms;
use super::{Attributor, Scene, Scores};
use crate::RetrainError;
use crate::range::within;

/// Pixels beyond the border, so that borders resemble borders only.
const OUTSIDE: f32 = 10.0;

/// Training images compared at a time.
const IMAGES: usize = 64;

/// Patches of attributed points compared at a time.
const ROWS: usize = 512;

/// A patch this much less likely than the best one of its chunk (logarithm) adds nothing in f32.
const NEGLIGIBLE: f32 = -20.0;

/// `s_j(x) = Σ_u Σ_u' softmax_{(j, u')} −‖P_u(x_σ) − P_u'(y_j)‖²/2σ²`: how much of the noisy point's patches the patches of each training
/// image explain. P_u is the patch about place u; a second scale compares patches whose pixels are joined two by two. The
/// score is `weight` times that on the fine scale and the rest on the coarse one.
///
/// Differences from the authors' code: their DDPM time is our σ (100 of 1,000 steps is σ = 0.34), all of an image's patches
/// count and not the best 100, and u runs over every `stride`-th place in both directions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patches {
    /// Noise level.
    sigma: f64,
    /// Side of the fine patch.
    #[serde(default = "fine")]
    fine: usize,
    /// Side of the coarse patch, even.
    #[serde(default = "coarse")]
    coarse: usize,
    /// Weight of the fine scale.
    #[serde(default = "half")]
    weight: f64,
    /// Places of the attributed point that are compared: every so many.
    #[serde(default = "two")]
    stride: usize,
}

fn fine() -> usize {
    5
}

fn coarse() -> usize {
    10
}

fn half() -> f64 {
    0.5
}

fn two() -> usize {
    2
}

/// Patches of one scale.
#[derive(Clone, Copy)]
struct Scale {
    side: usize,
    /// Pixels joined in each direction.
    joined: usize,
}

impl Scale {
    /// Entries of a patch.
    fn dim(self, channels: usize) -> usize {
        channels * (self.side / self.joined).pow(2)
    }

    /// The patches of an image about every `stride`-th place, one after the other. Joined pixels are projected on their
    /// mean with norm 1 (their sum over √their number), so that white noise keeps its level.
    fn patches(self, image: &[f32], shape: Shape, stride: usize, out: &mut Vec<f32>) {
        let Shape {
            channels,
            height,
            width,
        } = shape;
        let before = (self.side - 1) / 2;
        let pixel = |c: usize, row: usize, column: usize| {
            let inside = row >= before
                && row - before < height
                && column >= before
                && column - before < width;
            match inside {
                true => image[(c * height + row - before) * width + column - before],
                false => OUTSIDE,
            }
        };
        let j = self.joined;
        for top in (0..height).step_by(stride) {
            for left in (0..width).step_by(stride) {
                for c in 0..channels {
                    for row in (0..self.side / j).map(|r| top + r * j) {
                        for column in (0..self.side / j).map(|r| left + r * j) {
                            let block = (0..j * j).map(|i| pixel(c, row + i / j, column + i % j));
                            out.push(block.sum::<f32>() / j as f32);
                        }
                    }
                }
            }
        }
    }
}

impl Attributor for Patches {
    fn name(&self) -> String {
        format!("patches σ {}", self.sigma)
    }

    fn check(&self) -> Result<(), RetrainError> {
        within("patches: sigma", self.sigma, 1e-3..=1e3)?;
        within("patches: fine", self.fine, 1..=256)?;
        within("patches: coarse", self.coarse, 2..=256)?;
        within("patches: weight", self.weight, 0.0..=1.0)?;
        within("patches: stride", self.stride, 1..=256)?;
        match self.coarse.is_multiple_of(2) {
            true => Ok(()),
            false => Err(RetrainError::experiment(format!(
                "patches: coarse must be even, not {}",
                self.coarse
            ))),
        }
    }

    fn attribute(&self, scene: &Scene<'_>) -> Result<Vec<Scores>, RetrainError> {
        let usable = self.sigma > 0.0
            && self.fine > 0
            && self.coarse >= 2
            && self.coarse.is_multiple_of(2)
            && self.stride > 0;
        if !usable {
            return Err(RetrainError::experiment(format!(
                "{}: sigma, fine and stride must be positive, coarse an even number",
                self.name()
            )));
        }
        let draws = scene.draws().at(self.sigma);
        let noisy = |points, functional| draws.noisy(0, points, functional);
        let points = [
            noisy(&scene.samples, Functional::SampleLoss),
            noisy(&scene.held_out, Functional::HeldOutLoss),
        ];
        let [n, _] = scene.samples.dims();
        let points = Tensor::cat(points.to_vec(), 0);
        let side = |side, joined| Scale { side, joined };
        let fine = self.explained(scene, &points, side(self.fine, 1));
        let coarse = self.explained(scene, &points, side(self.coarse, 2));
        let both = fine * self.weight + coarse * (1.0 - self.weight);
        let part = |range| both.clone().slice_dim(0, range);
        Ok(forms(
            &self.name(),
            scene,
            part(0..n),
            part(n..both.dims()[0]),
        ))
    }
}

impl Patches {
    /// `Σ_u Σ_u' softmax` on one scale, `[n, m]`.
    fn explained(&self, scene: &Scene<'_>, points: &Tensor<2>, scale: Scale) -> Tensor<2> {
        let (shape, device) = (scene.setup.images.shape, points.device());
        let p = scale.dim(shape.channels);
        let ([n, d], [m, _]) = (points.dims(), scene.images.dims());
        let stack = |images: Tensor<2>, stride: usize| {
            let values: Vec<f32> = images.into_data().iter::<f32>().collect();
            let mut patches = Vec::new();
            for image in values.chunks_exact(d) {
                scale.patches(image, shape, stride, &mut patches);
            }
            let rows = patches.len() / p;
            Tensor::<2>::from_data(TensorData::new(patches, [rows, p]), &device)
        };
        let squares = |t: &Tensor<2>| t.clone().powi_scalar(2).sum_dim(1);
        let queries = stack(points.clone(), self.stride);
        let query_squares = squares(&queries);
        let [rows, _] = queries.dims();
        let places = shape.height * shape.width;
        // Each chunk of images has its own maximum, so that one pass is enough.
        let mut sums = vec![0.0f32; rows * m];
        let mut tops = vec![f32::NEG_INFINITY; rows * m.div_ceil(IMAGES)];
        for first in (0..m).step_by(IMAGES) {
            let last = (first + IMAGES).min(m);
            let images = stack(scene.images.clone().slice_dim(0, first..last), 1);
            let image_squares = squares(&images).transpose();
            let images = images.transpose();
            for row in (0..rows).step_by(ROWS) {
                let end = (row + ROWS).min(rows);
                let x = queries.clone().slice_dim(0, row..end);
                let distances = query_squares.clone().slice_dim(0, row..end)
                    + image_squares.clone()
                    - x.matmul(images.clone()) * 2.0;
                let terms = distances / (-2.0 * self.sigma * self.sigma);
                let terms: Vec<f32> = terms.into_data().iter::<f32>().collect();
                for (r, terms) in (row..end).zip(terms.chunks_exact((last - first) * places)) {
                    let top = terms.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    tops[r * m.div_ceil(IMAGES) + first / IMAGES] = top;
                    let sums = &mut sums[r * m + first..r * m + last];
                    for (sum, terms) in sums.iter_mut().zip(terms.chunks_exact(places)) {
                        let likely = terms.iter().map(|t| t - top).filter(|t| *t > NEGLIGIBLE);
                        *sum = likely.map(f32::exp).sum();
                    }
                }
            }
        }
        let mut explained = vec![0.0f32; n * m];
        let per_point = rows / n;
        for (r, sums) in sums.chunks_exact_mut(m).enumerate() {
            let tops = &tops[r * m.div_ceil(IMAGES)..][..m.div_ceil(IMAGES)];
            let top = tops.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for (sums, chunk) in sums.chunks_mut(IMAGES).zip(tops) {
                sums.iter_mut().for_each(|sum| *sum *= (chunk - top).exp());
            }
            let total: f32 = sums.iter().sum();
            let point = &mut explained[r / per_point * m..][..m];
            point
                .iter_mut()
                .zip(sums)
                .for_each(|(all, sum)| *all += *sum / total);
        }
        Tensor::from_data(TensorData::new(explained, [n, m]), &device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_stand_where_they_are_cut() {
        let shape = Shape {
            channels: 1,
            height: 4,
            width: 4,
        };
        let image: Vec<f32> = (0..16).map(|v| v as f32).collect();
        let mut out = Vec::new();
        Scale { side: 3, joined: 1 }.patches(&image, shape, 1, &mut out);
        assert_eq!(out.len(), 16 * 9);
        // About the second pixel of the second row.
        assert_eq!(
            out[5 * 9..6 * 9],
            [0.0, 1.0, 2.0, 4.0, 5.0, 6.0, 8.0, 9.0, 10.0]
        );
        assert_eq!(out[..4], [OUTSIDE, OUTSIDE, OUTSIDE, OUTSIDE]);
        let mut out = Vec::new();
        Scale { side: 2, joined: 2 }.patches(&image, shape, 2, &mut out);
        assert_eq!(out, [5.0, 9.0, 21.0, 25.0], "sums of 2×2 over √4");
    }
}
