//! Cross-validation of the bandwidth of a kernel smoother.
//!
//! The bandwidth depends on the pixels of the images only: not on their names, their order, or the number of copies.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{Device, Tensor, TensorData};
use datasway_data::Dataset;
use datasway_diffusion::DiffusionError;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::near_copies::near_copies;
use crate::tensors::values;
use datasway_image_products::{SQUARES, byte_square};

/// The largest number of left-out images. Larger sets are represented by this many.
const MAX_LEFT_OUT: usize = 256;

/// The largest number of images that left-out images are predicted from.
const MAX_PREDICTORS: usize = 20_000;

/// Number of bandwidths in the search. Each is smaller than the one before it by a factor √2, from the typical distance
/// between an image and the mean.
const BANDWIDTHS: usize = 13;

/// Number of nearest points that are searched for near-copies of an image.
const CANDIDATES: usize = 128;

/// Points processed together.
const CHUNK: usize = 1024;

/// Fractions of the work, about, that are done when the hashes and the distances are there.
const HASHED: f64 = 0.1;
const MEASURED: f64 = 0.4;

/// The bandwidth h, in pixels of `[-1, 1]`, at which `D_h(x) = Σ_j softmax_j(−‖x − y_j‖²/2h²)·y_j` predicts left-out images
/// x from all others with the least mean squared error.
///
/// The minimum is that of a parabola over log h, through the errors at the best bandwidth of the search and its neighbours.
///
/// - The left-out images are the first in the order of the hashes of their pixels. They are left out one at a time.
/// - Equal images and mirror images of each other count as one: they are left out together, and predict once.
/// - Near-copies of the image ([`near_copies`]) are left out with it. A smoother that finds the same picture again has no
///   information about the bandwidth.
///
/// `progress` receives the fraction of the work that is done, from 0 to 1.
///
/// # Errors
/// If there are fewer than two different images.
pub(super) fn cross_validated(
    images: &Dataset,
    mirrored: bool,
    device: &Device,
    progress: &mut dyn FnMut(f64),
) -> Result<f64, DiffusionError> {
    progress(0.0);
    let different = different_images(images, mirrored);
    progress(HASHED);
    if different.len() < 2 {
        return Err(DiffusionError::Invalid(format!(
            "the bandwidth cannot be chosen by leaving images out: of {} images {} are different; give it as a number",
            images.len(),
            different.len()
        )));
    }
    let left_out = &different[..MAX_LEFT_OUT.min(different.len())];
    let left_out: Vec<Vec<u8>> = (left_out.iter())
        .map(|image| image.first().pixels(images))
        .collect();
    let thin = different.len().div_ceil(MAX_PREDICTORS);
    let points = (different.iter().enumerate().step_by(thin))
        .flat_map(|(owner, image)| image.points().map(move |point| (owner, point)));
    let (owners, points): (Vec<usize>, Vec<Point>) = points.unzip();

    let widest = spread(&left_out);
    let distances = distances(&left_out, &points, images, &mut |done| {
        progress(HASHED + (MEASURED - HASHED) * done);
    });
    let allowed: Vec<Vec<bool>> = (distances.par_iter().enumerate())
        .map(|(i, row)| predictors(i, row, widest / 2.0, &points, &owners, images))
        .collect();

    let step = std::f64::consts::SQRT_2.recip();
    let bandwidths: Vec<f64> = (0..BANDWIDTHS)
        .map(|k| widest * step.powi(k as i32))
        .collect();
    let errors = errors(
        &left_out,
        &points,
        images,
        (&distances, &allowed),
        &bandwidths,
        device,
        &mut |done| progress(MEASURED + (1.0 - MEASURED) * done),
    )?;
    let best = (1..BANDWIDTHS - 1)
        .min_by(|&a, &b| errors[a].total_cmp(&errors[b]))
        .unwrap_or(1);
    let (above, least, below) = (errors[best - 1], errors[best], errors[best + 1]);
    let second_difference = above - 2.0 * least + below;
    let shift = if second_difference > 0.0 {
        ((above - below) / (2.0 * second_difference)).clamp(-1.0, 1.0)
    } else {
        0.0
    };
    Ok(bandwidths[best] * step.powf(shift))
}

/// One orientation of an image of the set.
#[derive(Debug, Clone, Copy)]
struct Point {
    image: usize,
    mirrored: bool,
}

impl Point {
    /// The pixels as bytes, d in all.
    fn pixels(self, images: &Dataset) -> Vec<u8> {
        let pixels = images.image(self.image).to_vec();
        if self.mirrored {
            mirror(pixels, images.shape.width)
        } else {
            pixels
        }
    }
}

/// Pixels with every row of `width` reversed.
fn mirror(mut pixels: Vec<u8>, width: usize) -> Vec<u8> {
    pixels.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    pixels
}

/// An image up to mirroring, with the orientations that the set has. The orientation whose bytes are smaller is first.
#[derive(Debug, Clone, Copy, Default)]
struct Image([Option<Point>; 2]);

impl Image {
    fn points(&self) -> impl Iterator<Item = Point> {
        self.0.into_iter().flatten()
    }

    fn first(&self) -> Point {
        let first = self.points().next();
        first.unwrap_or_else(|| unreachable!("an image has an orientation"))
    }
}

/// The different images of a set, in the order of the hashes of their pixels.
fn different_images(images: &Dataset, mirrored: bool) -> Vec<Image> {
    let width = images.shape.width;
    let hashed = |i: usize| {
        let upright = images.image(i);
        let turned = mirror(upright.to_vec(), width);
        let first = upright.min(&turned);
        (Sha256::digest(first), upright == first, upright == turned)
    };
    let hashes: Vec<_> = (0..images.len()).into_par_iter().map(hashed).collect();
    let mut different: BTreeMap<_, Image> = BTreeMap::new();
    for (image, (hash, is_first, symmetric)) in hashes.into_iter().enumerate() {
        let Image(orientations) = different.entry(hash).or_default();
        for (is_mirrored, place) in [
            (false, usize::from(!is_first)),
            (true, usize::from(is_first)),
        ] {
            if !is_mirrored || mirrored && !symmetric {
                orientations[place].get_or_insert(Point {
                    image,
                    mirrored: is_mirrored,
                });
            }
        }
    }
    different.into_values().collect()
}

/// The squared distance of two images in pixels of `[-1, 1]`, exact up to the last division.
fn square(a: &[u8], b: &[u8]) -> f64 {
    let blocks = a.chunks(SQUARES).zip(b.chunks(SQUARES));
    let sum: u64 = blocks.map(|(a, b)| u64::from(byte_square(a, b))).sum();
    sum as f64 / (127.5 * 127.5)
}

/// The root of the mean squared distance of images from their mean.
fn spread(images: &[Vec<u8>]) -> f64 {
    let (n, d) = (images.len() as f64, images[0].len());
    let variance = |j: usize| {
        let entries = || images.iter().map(|image| f64::from(image[j]) / 127.5);
        let mean = entries().sum::<f64>() / n;
        entries().map(|v| (v - mean).powi(2)).sum::<f64>() / n
    };
    let variance: f64 = (0..d).map(variance).sum();
    // A single image, or images that differ from the others only: any length that is not 0 will do.
    if variance > 0.0 {
        variance.sqrt()
    } else {
        (d as f64).sqrt()
    }
}

/// The squared distances of each left-out image to every point.
fn distances(
    left_out: &[Vec<u8>],
    points: &[Point],
    images: &Dataset,
    progress: &mut dyn FnMut(f64),
) -> Vec<Vec<f64>> {
    let mut columns: Vec<Vec<f64>> = Vec::with_capacity(points.len());
    for chunk in points.chunks(CHUNK) {
        let of_chunk = chunk.par_iter().map(|point| {
            let pixels = point.pixels(images);
            left_out.iter().map(|x| square(x, &pixels)).collect()
        });
        columns.par_extend(of_chunk);
        progress(columns.len() as f64 / points.len() as f64);
    }
    let row = |i: usize| columns.iter().map(|column| column[i]).collect();
    (0..left_out.len()).into_par_iter().map(row).collect()
}

/// True for the points that image `i` is predicted from: all but itself and its near-copies. `row` are its squared distances
/// to the points, and `owners` the indices of the images that the points belong to.
fn predictors(
    i: usize,
    row: &[f64],
    reach: f64,
    points: &[Point],
    owners: &[usize],
    images: &Dataset,
) -> Vec<bool> {
    let nearer = |a: &usize, b: &usize| row[*a].total_cmp(&row[*b]).then(a.cmp(b));
    let mut order: Vec<usize> = (0..row.len()).filter(|&j| owners[j] != i).collect();
    let count = CANDIDATES.min(order.len());
    order.select_nth_unstable_by(count - 1, nearer);
    order.truncate(count);
    order.sort_by(nearer);
    let pixels: Vec<Vec<u8>> = order.iter().map(|&j| points[j].pixels(images)).collect();
    let nearest: Vec<f64> = order.iter().map(|&j| row[j].sqrt()).collect();
    let group = near_copies(&nearest, reach, |a, b| {
        square(&pixels[a], &pixels[b]).sqrt()
    });
    let group: BTreeSet<usize> = group
        .into_iter()
        .map(|place| owners[order[place]])
        .collect();
    let all_except = |group: &BTreeSet<usize>| -> Vec<bool> {
        let is_other = |owner: &usize| *owner != i && !group.contains(owner);
        owners.iter().map(is_other).collect()
    };
    let allowed = all_except(&group);
    // At least one image must remain.
    if allowed.contains(&true) {
        allowed
    } else {
        all_except(&BTreeSet::new())
    }
}

/// The mean squared error of `D_h` at the left-out images, for each of the bandwidths, from their squared distances to the points and
/// the points that each is predicted from.
fn errors(
    left_out: &[Vec<u8>],
    points: &[Point],
    images: &Dataset,
    (distances, allowed): (&[Vec<f64>], &[Vec<bool>]),
    bandwidths: &[f64],
    device: &Device,
    progress: &mut dyn FnMut(f64),
) -> Result<Vec<f64>, DiffusionError> {
    let (n, d) = (left_out.len(), images.shape.dim());
    let nearest: Vec<f64> = (distances.iter().zip(allowed))
        .map(|(row, allowed)| {
            let allowed = row.iter().zip(allowed).filter(|(_, allowed)| **allowed);
            allowed
                .map(|(square, _)| *square)
                .fold(f64::INFINITY, f64::min)
        })
        .collect();
    // Row (h, i): the weights of left-out image i with bandwidth h, relative to that of the nearest point.
    let mut totals = vec![0.0; bandwidths.len() * n];
    let mut moments: Option<Tensor<2>> = None;
    for start in (0..points.len()).step_by(CHUNK) {
        let end = (start + CHUNK).min(points.len());
        let weights: Vec<f32> = (totals.par_iter_mut().enumerate())
            .flat_map_iter(|(row, total)| {
                let (h, i) = (bandwidths[row / n], row % n);
                let weight = |j: usize| {
                    if allowed[i][j] {
                        ((nearest[i] - distances[i][j]) / (2.0 * h * h)).exp()
                    } else {
                        0.0
                    }
                };
                let weights: Vec<f64> = (start..end).map(weight).collect();
                *total += weights.iter().sum::<f64>();
                weights.into_iter().map(|weight| weight as f32)
            })
            .collect();
        let pixels: Vec<f32> = points[start..end]
            .iter()
            .flat_map(|point| point.pixels(images))
            .map(|byte| f32::from(byte) / 127.5 - 1.0)
            .collect();
        let tensor = |values: Vec<f32>, shape: [usize; 2]| {
            Tensor::<2>::from_data(TensorData::new(values, shape), device)
        };
        let weights = tensor(weights, [bandwidths.len() * n, end - start]);
        let moment = weights.matmul(tensor(pixels, [end - start, d]));
        moments = Some(match moments {
            Some(sum) => sum + moment,
            None => moment,
        });
        progress(end as f64 / points.len() as f64);
    }
    let moments = moments.map_or_else(|| Ok(Vec::new()), values)?;
    let mut errors = vec![0.0; bandwidths.len()];
    for (row, moment) in moments.chunks_exact(d).enumerate() {
        let error = moment.iter().zip(&left_out[row % n]).map(|(moment, byte)| {
            let value = f64::from(*byte) / 127.5 - 1.0;
            (f64::from(*moment) / totals[row] - value).powi(2)
        });
        errors[row / n] += error.sum::<f64>() / n as f64;
    }
    Ok(errors)
}
