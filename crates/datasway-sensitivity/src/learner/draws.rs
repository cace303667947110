//! Draws of the training loss: images, noise levels and noise.

use std::ops::Range;

use burn::tensor::{Int, Tensor, TensorData};
use datasway_diffusion::random::{RandomStream, generator};
use datasway_diffusion::training_noise::TrainingNoise;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};

use crate::measure::ImagePoints;

/// The golden ratio's fractional part: its multiples, modulo 1, fill (0, 1) evenly at every length.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// A finite set of points of which a model learns.
pub trait DataPoints {
    /// Number of points, m.
    fn count(&self) -> usize;

    /// Entries of one point, d.
    fn dim(&self) -> usize;

    /// The points with these c indices, `[c, d]`.
    fn rows(&self, indices: &[usize]) -> Tensor<2>;
}

impl DataPoints for ImagePoints {
    fn count(&self) -> usize {
        ImagePoints::count(self)
    }

    fn dim(&self) -> usize {
        ImagePoints::dim(self)
    }

    fn rows(&self, indices: &[usize]) -> Tensor<2> {
        self.points(indices.iter().copied())
    }
}

impl DataPoints for Tensor<2> {
    fn count(&self) -> usize {
        self.dims()[0]
    }

    fn dim(&self) -> usize {
        self.dims()[1]
    }

    fn rows(&self, indices: &[usize]) -> Tensor<2> {
        let wide: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
        let indices = Tensor::<1, Int>::from_data(wide.as_slice(), &self.device());
        self.clone().select(0, indices)
    }
}

/// Some of the points of a set.
pub(super) struct Subset<'a> {
    /// The set.
    pub set: &'a dyn DataPoints,
    /// Their indices in the set.
    pub indices: Vec<usize>,
}

impl DataPoints for Subset<'_> {
    fn count(&self) -> usize {
        self.indices.len()
    }

    fn dim(&self) -> usize {
        self.set.dim()
    }

    fn rows(&self, indices: &[usize]) -> Tensor<2> {
        let of_set = indices.iter().map(|&i| self.indices[i]);
        self.set.rows(&of_set.collect::<Vec<usize>>())
    }
}

/// The image of a draw.
#[derive(Clone)]
enum Order {
    /// All points in random order, then all in another order, and so on.
    Shuffled(Vec<usize>),
    /// All points with the first noise, then all with the second, and so on.
    EveryPoint,
}

/// A fixed list of draws of the training loss, which are made anew at each reading.
///
/// The noise number i is a function of the seed and i alone, so two lists of different points share their noise (common
/// random numbers). The noise levels are those of training, at the quantiles of a low-discrepancy sequence.
#[derive(Clone)]
pub struct LossDraws<'a> {
    points: &'a dyn DataPoints,
    order: Order,
    count: usize,
    noise: &'a TrainingNoise,
    seed: u64,
    offset: f64,
}

/// The draws of one batch, b in all.
#[derive(Debug, Clone)]
pub struct DrawBatch {
    /// The points y, `[b, d]`.
    pub clean: Tensor<2>,
    /// `y + σ·n`, `[b, d]`.
    pub noisy: Tensor<2>,
    /// σ of each draw.
    pub sigmas: Vec<f64>,
}

impl<'a> LossDraws<'a> {
    /// `count` draws, each with noise of its own. Each point is drawn equally often, up to one.
    pub fn random(
        points: &'a dyn DataPoints,
        count: usize,
        noise: &'a TrainingNoise,
        seed: u64,
    ) -> Self {
        let m = points.count();
        let mut order = Vec::with_capacity(count + m);
        for epoch in 0.. {
            if order.len() >= count || m == 0 {
                break;
            }
            let mut indices: Vec<usize> = (0..m).collect();
            indices.shuffle(&mut generator(seed, RandomStream::LossDraw, [1, epoch]));
            order.extend(indices);
        }
        order.truncate(count);
        Self::new(points, Order::Shuffled(order), count, noise, seed)
    }

    /// Every point with the same `repetitions` noises. Draw i is that of point `i mod m`.
    pub fn every_point(
        points: &'a dyn DataPoints,
        repetitions: usize,
        noise: &'a TrainingNoise,
        seed: u64,
    ) -> Self {
        let count = points.count() * repetitions;
        Self::new(points, Order::EveryPoint, count, noise, seed)
    }

    fn new(
        points: &'a dyn DataPoints,
        order: Order,
        count: usize,
        noise: &'a TrainingNoise,
        seed: u64,
    ) -> Self {
        let mut rng = generator(seed, RandomStream::LossDraw, [2]);
        Self {
            points,
            order,
            count,
            noise,
            seed,
            offset: rng.random(),
        }
    }

    /// The first `count` draws of the list.
    pub fn first(mut self, count: usize) -> Self {
        self.count = self.count.min(count);
        self
    }

    /// Number of draws, N.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Number of points, m.
    pub fn points(&self) -> usize {
        self.points.count()
    }

    /// The draws in batches of at most `batch`.
    pub fn batches(&self, batch: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (count, batch) = (self.count, batch.max(1));
        let starts = (0..count).step_by(batch);
        starts.map(move |start| start..(start + batch).min(count))
    }

    /// The point of a draw.
    pub fn point(&self, draw: usize) -> usize {
        match &self.order {
            Order::Shuffled(order) => order[draw],
            Order::EveryPoint => draw % self.points.count(),
        }
    }

    /// The draws of a range.
    pub fn read(&self, range: Range<usize>) -> DrawBatch {
        let (b, d) = (range.len(), self.points.dim());
        let indices: Vec<usize> = range.clone().map(|draw| self.point(draw)).collect();
        let clean = self.points.rows(&indices);
        let mut sigmas = Vec::with_capacity(b);
        let mut noise: Vec<f64> = Vec::with_capacity(b * d);
        for draw in range {
            let number = match &self.order {
                Order::Shuffled(_) => draw,
                Order::EveryPoint => draw / self.points.count(),
            };
            let sigma = self.sigma(number);
            let mut rng = generator(self.seed, RandomStream::LossDraw, [0, number as u64]);
            noise.extend((0..d).map(|_| {
                let normal: f64 = StandardNormal.sample(&mut rng);
                sigma * normal
            }));
            sigmas.push(sigma);
        }
        let noise = TensorData::new(noise, [b, d]);
        let noise = Tensor::<2>::from_data(noise, (&clean.device(), clean.dtype()));
        DrawBatch {
            noisy: clean.clone() + noise,
            clean,
            sigmas,
        }
    }

    /// Standard normal numbers for each draw of a range, `[b, d]`, which are independent of its noise.
    pub(super) fn cotangents(&self, range: Range<usize>, like: &Tensor<2>) -> Tensor<2> {
        let shape = [range.len(), self.points.dim()];
        let numbers = range.flat_map(|draw| {
            let rng = generator(self.seed, RandomStream::LossDraw, [3, draw as u64]);
            StandardNormal.sample_iter(rng).take(shape[1])
        });
        let data = TensorData::new(numbers.collect::<Vec<f64>>(), shape);
        Tensor::from_data(data, (&like.device(), like.dtype()))
    }

    /// The noise level of the noise number i: the quantile `u_i = (u + i·golden ratio) mod 1` of those of training.
    fn sigma(&self, number: usize) -> f64 {
        let quantile = (self.offset + number as f64 * GOLDEN).fract();
        // The distribution's tails beyond 2⁻⁵³ are cut.
        let quantile = quantile.clamp(f64::EPSILON / 2.0, 1.0 - f64::EPSILON / 2.0);
        self.noise.quantile(quantile)
    }
}
