//! One pass over images for all evaluations of recorded paths: influences, and sums of images weighted by them.
//!
//! For the evaluation p of a path, `r_y = e^{−‖x_p − y‖²/2σ_p² − q_p}` and `⟨G_p, y − D_p⟩` of every image y need two products.
//! The rows of all evaluations are stacked, so that a tile is read once for all of them, whatever their number.

use std::ops::Range;

use rayon::prelude::*;

use super::layout::{ImageTiles, LEVELS};
use super::log_weights::LogWeights;
use super::pass::STRIP;
use super::path_loops::{add_products, differences, mirrored_differences, ratios};
use super::products::{Moments, Products};
use super::rows::{Form, Rows, packed};
use super::simd::inner_product;
use super::tile::{TILE, Tile};

/// The evaluations of n paths as rows: row `p·n + i` is evaluation p of path i, R in all.
pub(crate) struct PathRows<'a> {
    images: &'a ImageTiles,
    rows: Rows,
    /// Number of paths, n.
    paths: usize,
    /// Number of functionals, K.
    functionals: usize,
    /// q of every row, `[R]`.
    log_densities: Vec<f64>,
    /// The weight of every row divided by the number of copies of an image, `[R]`.
    shares: Vec<f64>,
    /// G in pixels, `[K, R, d]`.
    gradients: Vec<f64>,
    /// Its parts, `[k_e, K·R]` and `[k_o, K·R]`.
    parts: (Vec<f32>, Vec<f32>),
    /// `⟨G, D⟩`, of pixels and of grey levels about the centre, `[K, R]` each.
    at_center: (Vec<f64>, Vec<f64>),
    /// D in pixels, `[R, d]`.
    centers: Vec<f64>,
}

/// One evaluation of n paths.
pub(crate) struct PathEvaluation {
    /// Noise level of the comparison.
    pub(crate) sigma: f64,
    /// The weight of the comparison.
    pub(crate) weight: f64,
    /// x in pixels, `[n, d]`.
    pub(crate) points: Vec<f64>,
    /// q, `[n]`.
    pub(crate) log_densities: Vec<f64>,
    /// D, `[n, d]`.
    pub(crate) centers: Vec<f64>,
    /// G, `[K, n, d]`.
    pub(crate) gradients: Vec<f64>,
}

/// The influences of images on K functionals of n paths.
pub(crate) struct PathInfluences {
    /// `a_y`, `[K, n, m]`.
    pub(crate) influence: Vec<f32>,
    /// The part of each group of evaluations, `[K, n, S, m]`; empty if it was not asked for.
    pub(crate) by_step: Vec<f32>,
    /// `Σ_y |a_y|` of every evaluation, `[K, R]`.
    pub(crate) strength: Vec<f64>,
    /// `Σ_y r_y` of every evaluation, a mean over copies, `[R]`.
    pub(crate) balance: Vec<f64>,
}

impl<'a> PathRows<'a> {
    /// The rows of some evaluations of n paths with K functionals.
    pub(crate) fn new(
        images: &'a ImageTiles,
        paths: usize,
        functionals: usize,
        evaluations: Vec<PathEvaluation>,
    ) -> Self {
        let layout = &*images.layout;
        let (d, count) = (layout.dim, evaluations.len() * paths);
        let (mut points, mut sigmas, mut log_densities) = (Vec::new(), Vec::new(), Vec::new());
        let (mut shares, mut centers) = (Vec::new(), Vec::new());
        let mut gradients = vec![0.0; functionals * count * d];
        let block = paths * d;
        for (p, evaluation) in evaluations.into_iter().enumerate() {
            points.extend(evaluation.points);
            log_densities.extend(evaluation.log_densities);
            centers.extend(evaluation.centers);
            sigmas.extend(vec![evaluation.sigma; paths]);
            shares.extend(vec![evaluation.weight / images.copies() as f64; paths]);
            for (k, rows) in evaluation.gradients.chunks_exact(block).enumerate() {
                let start = k * count * d + p * block;
                gradients[start..start + block].copy_from_slice(rows);
            }
        }
        let (even, odd, _) = packed(layout, &gradients, functionals * count, Form::Direction);
        let (mut in_pixels, mut in_levels) = (Vec::new(), Vec::new());
        for (row, gradient) in gradients.chunks_exact(d).enumerate() {
            let r = row % count;
            let center = &centers[r * d..(r + 1) * d];
            let levels = center.iter().zip(&layout.center);
            let levels: Vec<f64> = levels
                .map(|(v, middle)| (v + 1.0) * LEVELS - f64::from(*middle))
                .collect();
            in_pixels.push(inner_product(gradient, center));
            in_levels.push(inner_product(gradient, &levels));
        }
        Self {
            rows: Rows::new(images, points, &sigmas),
            images,
            paths,
            functionals,
            log_densities,
            shares,
            parts: (even, odd),
            at_center: (in_pixels, in_levels),
            gradients,
            centers,
        }
    }

    /// Number of rows, R.
    fn count(&self) -> usize {
        self.rows.count
    }

    /// G of functional and row `row`, `k·R + r`.
    fn gradient(&self, row: usize) -> &[f64] {
        let d = self.images.dim();
        &self.gradients[row * d..(row + 1) * d]
    }
}

/// The ratios and inner products of a tile.
struct TileTerms<'a, 'b> {
    path: &'a PathRows<'b>,
    tile: Tile,
    products: Products,
    along_products: Products,
    weights: LogWeights,
    /// `r_y`, `[copies, c, R]`.
    ratios: Vec<f64>,
    /// `⟨G, y − D⟩`, `[copies, c, K·R]`.
    along: Vec<f64>,
    /// `w·r·⟨G, y − D⟩/copies` of one image, a sum over its copies, `[K·R]`.
    contributions: Vec<f64>,
}

impl<'a, 'b> TileTerms<'a, 'b> {
    fn new(path: &'a PathRows<'b>) -> Self {
        Self {
            path,
            tile: Tile::new(&path.images.layout),
            products: Products::default(),
            along_products: Products::default(),
            weights: LogWeights::new(path.count()),
            ratios: Vec::new(),
            along: Vec::new(),
            contributions: vec![0.0; path.functionals * path.count()],
        }
    }

    /// Replaces the terms by those of the images at the given places.
    fn compute(&mut self, places: &[usize]) {
        let (path, images) = (self.path, self.path.images);
        let (r, kr) = (path.count(), path.functionals * path.count());
        self.tile.load(images, places.iter().copied());
        let layout = &*images.layout;
        self.products
            .multiply(layout, &self.tile, &path.rows.even, &path.rows.odd, r);
        self.along_products
            .multiply(layout, &self.tile, &path.parts.0, &path.parts.1, kr);
        let c = self.tile.count();
        self.along.resize(images.copies() * c * kr, 0.0);
        let (upright, turned) = self.along.split_at_mut(c * kr);
        let centers = &path.at_center.1;
        for (j, even) in self.along_products.even.chunks_exact(kr).enumerate() {
            let range = j * kr..(j + 1) * kr;
            let upright = &mut upright[range.clone()];
            if turned.is_empty() {
                differences(even, centers, upright);
            } else {
                let odd = &self.along_products.odd[range.clone()];
                mirrored_differences(even, odd, centers, upright, &mut turned[range]);
            }
        }
        let along = &mut self.along;
        let exact = |pair: super::log_weights::ExactPair<'_>| {
            for k in 0..path.functionals {
                let row = k * r + pair.row;
                let place = (pair.copy * c + pair.image) * kr + row;
                along[place] = pair.along(path.gradient(row)) - path.at_center.0[row];
            }
        };
        self.weights
            .compute(images, &self.tile, &path.rows, &self.products, exact);
        let tops = self.weights.tops.iter().zip(&path.log_densities);
        let factors: Vec<f64> = tops.map(|(top, q)| (top - q).exp()).collect();
        self.ratios.resize(self.weights.logs.len(), 0.0);
        ratios(
            &self.weights.logs,
            &self.weights.tops,
            &factors,
            &mut self.ratios,
        );
    }

    /// Finds the contributions of image j of the tile.
    fn contribute(&mut self, j: usize) {
        let (path, c) = (self.path, self.tile.count());
        let (r, kr) = (path.count(), path.functionals * path.count());
        self.contributions.fill(0.0);
        for copy in 0..path.images.copies() {
            let place = copy * c + j;
            let ratios = &self.ratios[place * r..(place + 1) * r];
            let along = &self.along[place * kr..(place + 1) * kr];
            let functionals = self
                .contributions
                .chunks_exact_mut(r)
                .zip(along.chunks_exact(r));
            for (contributions, along) in functionals {
                add_products(ratios, along, &path.shares, contributions);
            }
        }
    }

    /// `Σ_p` of the contributions of one functional in a range of evaluations to path i.
    fn sum(&self, k: usize, i: usize, evaluations: Range<usize>) -> f64 {
        let start = k * self.path.count() + i;
        evaluations
            .map(|p| self.contributions[start + p * self.path.paths])
            .sum()
    }
}

/// The influences of the images at some places, with the parts of groups of evaluations if `steps` names their numbers.
/// `progress` receives the number of images that are done.
pub(crate) fn path_influences(
    path: &PathRows<'_>,
    places: &[usize],
    steps: Option<&[usize]>,
    mut progress: impl FnMut(usize),
) -> PathInfluences {
    let (k, n, r, m) = (path.functionals, path.paths, path.count(), places.len());
    let groups = steps.map_or(0, <[usize]>::len);
    let mut results = PathInfluences {
        influence: vec![0.0; k * n * m],
        by_step: vec![0.0; k * n * groups * m],
        strength: vec![0.0; k * r],
        balance: vec![0.0; r],
    };
    let strips: Vec<&[usize]> = places.chunks(STRIP).collect();
    let mut first = 0;
    for wave in strips.chunks(rayon::current_num_threads().max(1)) {
        let of_strips: Vec<PathInfluences> = wave
            .par_iter()
            .map(|places| influences_of_strip(path, places, steps))
            .collect();
        for (places, strip) in wave.iter().zip(of_strips) {
            let width = places.len();
            copy_columns(
                &strip.influence,
                width,
                &mut results.influence,
                first..first + width,
            );
            copy_columns(
                &strip.by_step,
                width,
                &mut results.by_step,
                first..first + width,
            );
            let add = |sums: &mut [f64], terms: &[f64]| {
                sums.iter_mut()
                    .zip(terms)
                    .for_each(|(sum, term)| *sum += term);
            };
            add(&mut results.strength, &strip.strength);
            add(&mut results.balance, &strip.balance);
            first += width;
        }
        progress(first);
    }
    results
}

/// Copies the rows of a strip into the columns of a whole.
fn copy_columns(strip: &[f32], width: usize, whole: &mut [f32], columns: Range<usize>) {
    let rows = strip.len() / width;
    let length = whole.len().checked_div(rows).unwrap_or(0);
    for (strip, whole) in strip
        .chunks_exact(width)
        .zip(whole.chunks_exact_mut(length.max(1)))
    {
        whole[columns.clone()].copy_from_slice(strip);
    }
}

fn influences_of_strip(
    path: &PathRows<'_>,
    places: &[usize],
    steps: Option<&[usize]>,
) -> PathInfluences {
    let (k, n, r, m) = (path.functionals, path.paths, path.count(), places.len());
    let evaluations = r / n;
    let groups: Vec<Range<usize>> = (steps.unwrap_or_default().iter())
        .scan(0, |start, count| {
            let range = *start..*start + count;
            *start = range.end;
            Some(range)
        })
        .collect();
    let mut results = PathInfluences {
        influence: vec![0.0; k * n * m],
        by_step: vec![0.0; k * n * groups.len() * m],
        strength: vec![0.0; k * r],
        balance: vec![0.0; r],
    };
    let mut terms = TileTerms::new(path);
    let copies = path.images.copies() as f64;
    let mut column = 0;
    for places in places.chunks(TILE) {
        terms.compute(places);
        for ratios in terms.ratios.chunks_exact(r) {
            let sums = results.balance.iter_mut().zip(ratios);
            sums.for_each(|(sum, ratio)| *sum += ratio / copies);
        }
        for j in 0..places.len() {
            terms.contribute(j);
            let strengths = results.strength.iter_mut().zip(&terms.contributions);
            strengths.for_each(|(sum, contribution)| *sum += contribution.abs());
            for row in 0..k * n {
                let (k, i) = (row / n, row % n);
                results.influence[row * m + column] = terms.sum(k, i, 0..evaluations) as f32;
                for (s, group) in groups.iter().enumerate() {
                    let place = (row * groups.len() + s) * m + column;
                    results.by_step[place] = terms.sum(k, i, group.clone()) as f32;
                }
            }
            column += 1;
        }
    }
    results
}

/// `Σ_y a_y·w·r_y·(y − D)/copies` over the images at some places and their copies, with the influences `a_y` on the only
/// functional, `[R, d]`: the change of the denoiser at every evaluation if every image gets its influence as mass, which its
/// copies share.
pub(crate) fn path_moments(path: &PathRows<'_>, places: &[usize]) -> Vec<f64> {
    let (r, d) = (path.count(), path.images.dim());
    let mut moments = vec![0.0; r * d];
    let mut totals = vec![0.0; r];
    let strips: Vec<&[usize]> = places.chunks(STRIP).collect();
    for wave in strips.chunks(rayon::current_num_threads().max(1)) {
        let of_strips: Vec<StripMoments> = wave
            .par_iter()
            .map(|strip| moments_of_strip(path, strip))
            .collect();
        for strip in of_strips {
            totals
                .iter_mut()
                .zip(&strip.totals)
                .for_each(|(sum, total)| *sum += total);
            let layout = &*path.images.layout;
            for (i, moment) in moments.chunks_exact_mut(d).enumerate() {
                let row = |sums: &[f64]| -> Vec<f64> {
                    let length = sums.len() / r;
                    sums[i * length..(i + 1) * length].to_vec()
                };
                let pixels = layout.pixels(&row(&strip.even.sums), &row(&strip.odd.sums));
                moment
                    .iter_mut()
                    .zip(pixels)
                    .for_each(|(sum, pixel)| *sum += pixel);
            }
        }
    }
    let layout = &*path.images.layout;
    for (i, moment) in moments.chunks_exact_mut(d).enumerate() {
        let center = path.centers[i * d..(i + 1) * d].iter().zip(&layout.center);
        for (moment, (denoised, middle)) in moment.iter_mut().zip(center) {
            let levels = (denoised + 1.0) * LEVELS - f64::from(*middle);
            *moment = (*moment - levels * totals[i]) / LEVELS;
        }
    }
    moments
}

/// `Σ_y mass·y` about the centre, `[R, k]`, and `Σ_y mass`, `[R]`.
struct StripMoments {
    even: Moments,
    odd: Moments,
    totals: Vec<f64>,
}

fn moments_of_strip(path: &PathRows<'_>, places: &[usize]) -> StripMoments {
    let (n, r) = (path.paths, path.count());
    let (layout, copies) = (&*path.images.layout, path.images.copies());
    let mut sums = StripMoments {
        even: Moments::new(r * layout.even()),
        odd: Moments::new(r * layout.odd()),
        totals: vec![0.0; r],
    };
    let mut terms = TileTerms::new(path);
    let (mut even, mut odd) = (Vec::new(), Vec::new());
    for places in places.chunks(TILE) {
        terms.compute(places);
        let c = places.len();
        even.clear();
        odd.clear();
        for j in 0..c {
            terms.contribute(j);
            let influences = (0..n).map(|i| terms.sum(0, i, 0..r / n));
            let influences: Vec<f64> = influences.collect();
            for row in 0..r {
                let share = influences[row % n] * path.shares[row];
                let mass = |copy: usize| share * terms.ratios[(copy * c + j) * r + row];
                let upright = mass(0);
                let turned = if copies == 2 { mass(1) } else { 0.0 };
                sums.totals[row] += upright + turned;
                even.push((upright + turned) as f32);
                odd.push((upright - turned) as f32);
            }
        }
        sums.even.add(&even, &terms.tile.even, layout.even(), r);
        sums.odd.add(&odd, &terms.tile.odd, layout.odd(), r);
    }
    sums
}
