//! Patch similarity on two scales, after *Nonparametric Data Attribution for Diffusion Models* (NDA; Zhao et al., arXiv 2510.14269).

use burn::tensor::{Tensor, TensorData};
use datasway_data::Shape;
use datasway_diffusion::validate::within;
use serde::{Deserialize, Serialize};

use super::similarity::similarity_scores;
use crate::AttributionError;
use crate::attributor::{AttributionContext, Attributor, Scores};
use crate::target::AttributionTarget;

/// Value of pixels beyond the border, so that borders resemble borders only.
const OUTSIDE: f32 = 10.0;

/// Training images compared at a time.
const IMAGE_CHUNK: usize = 64;

/// Patches of attributed points compared at a time.
const PATCH_CHUNK: usize = 512;

/// Log-likelihood, relative to the best patch of a chunk, below which a patch adds nothing in f32.
const NEGLIGIBLE: f32 = -20.0;

/// Similarity `s_j(x) = Σ_u Σ_u' softmax_{(j, u')} −‖P_u(x_σ) − P_u'(y_j)‖²/2σ²`.
///
/// It is the share of the noisy point's patches that the patches of each training image explain.
/// `P_u` is the patch about position u.
/// A second scale compares patches whose pixels are joined two by two.
/// The score is `weight` times that on the fine scale plus `1 − weight` times that on the coarse scale.
///
/// Differences from the authors' code:
///
/// - The noise level is σ instead of the DDPM time; 100 of 1,000 steps is σ = 0.34.
/// - All patches of an image count, not the best 100.
/// - u runs over every `stride`-th position in both directions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchSimilarity {
    /// Noise level σ.
    sigma: f64,
    /// Side of the fine patch in pixels.
    #[serde(default = "default_fine")]
    fine: usize,
    /// Side of the coarse patch in pixels, even.
    #[serde(default = "default_coarse")]
    coarse: usize,
    /// Weight of the fine scale, 0 to 1.
    #[serde(default = "default_weight")]
    weight: f64,
    /// Distance in pixels between the compared positions of the attributed point.
    #[serde(default = "default_stride")]
    stride: usize,
}

fn default_fine() -> usize {
    5
}

fn default_coarse() -> usize {
    10
}

fn default_weight() -> f64 {
    0.5
}

fn default_stride() -> usize {
    2
}

/// Size of the patches of one scale.
#[derive(Clone, Copy)]
struct PatchScale {
    /// Side in pixels.
    side: usize,
    /// Pixels joined in each direction.
    joined: usize,
}

impl PatchScale {
    /// Number of entries of a patch.
    fn dim(self, channels: usize) -> usize {
        channels * (self.side / self.joined).pow(2)
    }

    /// Appends the patches of an image about every `stride`-th position to `out`.
    ///
    /// Joined pixels are projected on their mean with norm 1 (their sum over √their number), which keeps the level of white noise.
    fn cut(self, image: &[f32], shape: Shape, stride: usize, out: &mut Vec<f32>) {
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
            if inside {
                image[(c * height + row - before) * width + column - before]
            } else {
                OUTSIDE
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

    /// The patches of images `[n, d]` about every `stride`-th position, one a row, with their squared norms.
    fn patches(self, images: Tensor<2>, shape: Shape, stride: usize) -> Patches {
        let ([_, d], device) = (images.dims(), images.device());
        let values: Vec<f32> = images.into_data().iter::<f32>().collect();
        let mut entries = Vec::new();
        for image in values.chunks_exact(d) {
            self.cut(image, shape, stride, &mut entries);
        }
        let dim = self.dim(shape.channels);
        let count = entries.len() / dim;
        let data = TensorData::new(entries, [count, dim]);
        let rows = Tensor::<2>::from_data(data, &device);
        Patches {
            squares: rows.clone().powi_scalar(2).sum_dim(1),
            rows,
        }
    }
}

/// Patches `[p, entries]` and their squared norms `[p, 1]`.
struct Patches {
    rows: Tensor<2>,
    squares: Tensor<2>,
}

impl Attributor for PatchSimilarity {
    fn name(&self) -> String {
        format!("patches σ {}", self.sigma)
    }

    fn check(&self) -> Result<(), AttributionError> {
        within("patches: sigma", self.sigma, 1e-3..=1e3)?;
        within("patches: fine", self.fine, 1..=256)?;
        within("patches: coarse", self.coarse, 2..=256)?;
        within("patches: weight", self.weight, 0.0..=1.0)?;
        within("patches: stride", self.stride, 1..=256)?;
        if !self.coarse.is_multiple_of(2) {
            return Err(AttributionError::Options(format!(
                "patches: coarse must be even, not {}",
                self.coarse
            )));
        }
        Ok(())
    }

    fn attribute(&self, context: &AttributionContext<'_>) -> Result<Vec<Scores>, AttributionError> {
        self.check()?;
        let noise = context.loss_noise().with_sigmas(vec![self.sigma]);
        let points = vec![
            noise.noisy(0, &context.samples, AttributionTarget::SampleLoss),
            noise.noisy(0, &context.held_out, AttributionTarget::HeldOutLoss),
        ];
        let [n, _] = context.samples.dims();
        let points = Tensor::cat(points, 0);
        let (fine, coarse) = (
            PatchScale {
                side: self.fine,
                joined: 1,
            },
            PatchScale {
                side: self.coarse,
                joined: 2,
            },
        );
        let fine = self.explained(context, &points, fine);
        let coarse = self.explained(context, &points, coarse);
        let similarity = fine * self.weight + coarse * (1.0 - self.weight);
        let [total, _] = similarity.dims();
        Ok(similarity_scores(
            &self.name(),
            context,
            similarity.clone().slice_dim(0, 0..n),
            similarity.slice_dim(0, n..total),
        ))
    }
}

impl PatchSimilarity {
    /// `Σ_u Σ_u' softmax` of the patches of points `[n, d]` on one scale, `[n, m]`.
    fn explained(
        &self,
        context: &AttributionContext<'_>,
        points: &Tensor<2>,
        scale: PatchScale,
    ) -> Tensor<2> {
        let shape = context.images.shape;
        let ([n, _], [m, _]) = (points.dims(), context.image_points.dims());
        let queries = scale.patches(points.clone(), shape, self.stride);
        let [rows, _] = queries.rows.dims();
        let positions = shape.height * shape.width;
        let mut softmax = ChunkedSoftmax::new(rows, m);
        for first in (0..m).step_by(IMAGE_CHUNK) {
            let last = (first + IMAGE_CHUNK).min(m);
            let images = context.image_points.clone().slice_dim(0, first..last);
            let images = scale.patches(images, shape, 1);
            let image_squares = images.squares.transpose();
            let images = images.rows.transpose();
            for row in (0..rows).step_by(PATCH_CHUNK) {
                let end = (row + PATCH_CHUNK).min(rows);
                let x = queries.rows.clone().slice_dim(0, row..end);
                // ‖P_u − P_u'‖²
                let distances = queries.squares.clone().slice_dim(0, row..end)
                    + image_squares.clone()
                    - x.matmul(images.clone()) * 2.0;
                let terms = distances / (-2.0 * self.sigma * self.sigma);
                let terms: Vec<f32> = terms.into_data().iter::<f32>().collect();
                for (r, terms) in (row..end).zip(terms.chunks_exact((last - first) * positions)) {
                    softmax.add_chunk(r, first, terms, positions);
                }
            }
        }
        let explained = softmax.sum_over_rows(n);
        Tensor::from_data(TensorData::new(explained, [n, m]), &points.device())
    }
}

/// Sums of exponentials over the patches of each image, relative to the maximum of each chunk of images.
/// A maximum of its own for each chunk makes one pass over the images enough.
struct ChunkedSoftmax {
    /// Number m of images.
    images: usize,
    /// Number of chunks of [`IMAGE_CHUNK`] images.
    chunks: usize,
    /// `Σ_u' exp(term − maximum of the chunk)`, `[rows, m]`.
    sums: Vec<f32>,
    /// Maximum of each chunk, `[rows, chunks]`.
    maxima: Vec<f32>,
}

impl ChunkedSoftmax {
    fn new(rows: usize, images: usize) -> Self {
        let chunks = images.div_ceil(IMAGE_CHUNK);
        Self {
            images,
            chunks,
            sums: vec![0.0f32; rows * images],
            maxima: vec![f32::NEG_INFINITY; rows * chunks],
        }
    }

    /// Adds the terms of one query patch (`row`) with the chunk of images that starts at `first`, `positions` terms for each image.
    fn add_chunk(&mut self, row: usize, first: usize, terms: &[f32], positions: usize) {
        let maximum = terms.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        self.maxima[row * self.chunks + first / IMAGE_CHUNK] = maximum;
        let start = row * self.images + first;
        let sums = &mut self.sums[start..start + terms.len() / positions];
        for (sum, terms) in sums.iter_mut().zip(terms.chunks_exact(positions)) {
            let relative = terms.iter().map(|term| term - maximum);
            *sum = relative.filter(|t| *t > NEGLIGIBLE).map(f32::exp).sum();
        }
    }

    /// The softmax of every row, summed over the rows of each of `n` points, `[n, m]`.
    fn sum_over_rows(mut self, n: usize) -> Vec<f32> {
        let m = self.images;
        let mut explained = vec![0.0f32; n * m];
        let rows_per_point = self.sums.len() / m / n;
        for (r, sums) in self.sums.chunks_exact_mut(m).enumerate() {
            let maxima = &self.maxima[r * self.chunks..][..self.chunks];
            let maximum = maxima.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for (sums, chunk) in sums.chunks_mut(IMAGE_CHUNK).zip(maxima) {
                sums.iter_mut()
                    .for_each(|sum| *sum *= (chunk - maximum).exp());
            }
            let total: f32 = sums.iter().sum();
            let point = &mut explained[r / rows_per_point * m..][..m];
            for (value, sum) in point.iter_mut().zip(sums) {
                *value += *sum / total;
            }
        }
        explained
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
        PatchScale { side: 3, joined: 1 }.cut(&image, shape, 1, &mut out);
        assert_eq!(out.len(), 16 * 9);
        // About the second pixel of the second row.
        assert_eq!(
            out[5 * 9..6 * 9],
            [0.0, 1.0, 2.0, 4.0, 5.0, 6.0, 8.0, 9.0, 10.0]
        );
        assert_eq!(out[..4], [OUTSIDE, OUTSIDE, OUTSIDE, OUTSIDE]);
        let mut out = Vec::new();
        PatchScale { side: 2, joined: 2 }.cut(&image, shape, 2, &mut out);
        assert_eq!(out, [5.0, 9.0, 21.0, 25.0], "sums of 2×2 over √4");
    }
}
