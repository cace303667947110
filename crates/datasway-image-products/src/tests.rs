//! The sums of tiles against plain loops in f64.

use std::sync::Arc;

use datasway_data::{Dataset, LoadOptions, Source};

use super::products::Products;
use super::strip::{Masses, StripBuffers};
use super::tile::Tile;
use super::*;

pub(super) fn faces(count: usize, size: usize) -> Dataset {
    let options = LoadOptions {
        size: Some(size),
        ..LoadOptions::default()
    };
    datasway_data::load(&Source::parse(&format!("faces:{count}")).unwrap(), &options).unwrap()
}

/// Numbers in [-1, 1] that look random.
pub(super) fn noise(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Every image as pixels, then every mirror image.
pub(super) fn pixels(set: &Dataset, mirrored: bool) -> Vec<Vec<f64>> {
    let upright = (0..set.len()).map(|i| set.values(i).map(f64::from).collect::<Vec<f64>>());
    let mut all: Vec<Vec<f64>> = upright.collect();
    if mirrored {
        for i in 0..set.len() {
            let mut turned = all[i].clone();
            turned
                .chunks_exact_mut(set.shape.width)
                .for_each(<[f64]>::reverse);
            all.push(turned);
        }
    }
    all
}

pub(super) fn square_distance(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum()
}

/// `ln Σ_j e^{l_j}` and the mean, by plain loops.
fn plain(x: &[f64], points: &[Vec<f64>], sigma: f64) -> (f64, Vec<f64>) {
    let logs = points
        .iter()
        .map(|y| -square_distance(x, y) / (2.0 * sigma * sigma));
    let logs: Vec<f64> = logs.collect();
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logs.iter().map(|l| (l - top).exp()).sum();
    let mut mean = vec![0.0; x.len()];
    for (log, y) in logs.iter().zip(points) {
        let weight = (log - top).exp() / total;
        mean.iter_mut().zip(y).for_each(|(m, y)| *m += weight * y);
    }
    (top + total.ln(), mean)
}

/// Points at several noise levels, each about an image.
pub(super) fn points(set: &Dataset, sigmas: &[f64]) -> Vec<f64> {
    let d = set.shape.dim();
    let point = |(i, sigma): (usize, &f64)| {
        let image = set.values(i * 7 % set.len()).map(f64::from);
        let noise = noise(d, i as u64 + 1)
            .into_iter()
            .map(move |v| v * sigma * 1.7);
        image.zip(noise).map(|(y, n)| y + n).collect::<Vec<f64>>()
    };
    sigmas.iter().enumerate().flat_map(point).collect()
}

#[test]
fn sums_over_images_are_those_of_plain_loops_at_every_noise_level() {
    let sigmas = [80.0, 12.0, 4.0, 2.0, 1.0, 0.5, 0.1, 0.02, 0.002];
    for (count, size) in [(700, 9), (130, 8), (1, 8)] {
        let set = faces(count, size);
        for mirrored in [false, true] {
            let tiles = ImageTiles::new(Arc::new(set.clone()), mirrored);
            let (d, x) = (set.shape.dim(), points(&set, &sigmas));
            let rows = Rows::new(&tiles, x.clone(), &sigmas);
            let split = count / 3;
            let part = |places: std::ops::Range<usize>| Part {
                places: places.collect(),
                moments: true,
            };
            let sums = sums_over(&tiles, &rows, &[part(0..split), part(split..count)]);
            let mut whole = sums[0].clone();
            whole.add(&sums[1]);
            let (logs, means) = (whole.logs(), whole.means(&tiles));
            let images = pixels(&set, mirrored);
            for (i, sigma) in sigmas.iter().enumerate() {
                let (log, mean) = plain(&x[i * d..(i + 1) * d], &images, *sigma);
                assert!(
                    (logs[i] - log).abs() < 1e-5,
                    "{count} {sigma}: {} {log}",
                    logs[i]
                );
                let far = square_distance(&means[i * d..(i + 1) * d], &mean).sqrt();
                assert!(far < 2e-5, "{count}, {size}, {mirrored}, {sigma}: {far:e}");
            }
        }
    }
}

#[test]
fn products_are_wrong_by_less_than_a_quarter_of_the_bound() {
    let set = faces(128, 32);
    let tiles = ImageTiles::new(Arc::new(set.clone()), true);
    for sigma in [80.0, 10.0, 1.0, 0.1] {
        let sigmas = [sigma; 8];
        let (d, x) = (set.shape.dim(), points(&set, &sigmas));
        let rows = Rows::new(&tiles, x.clone(), &sigmas);
        let mut tile = Tile::new(&tiles.layout);
        tile.load(&tiles, 0..128);
        let mut products = Products::default();
        products.multiply(&tile, &rows.parts);
        let mut largest: f64 = 0.0;
        let images = pixels(&set, true);
        // Without recomputing: what a softmax sees are differences between images.
        for i in 0..8 {
            let point = &x[i * d..(i + 1) * d];
            let error = |j: usize| {
                let (image, sign) = (j % 128, if j < 128 { 1.0 } else { -1.0 });
                let product = products.even[image * 8 + i] + sign * products.odd[image * 8 + i];
                let coarse =
                    (rows.squares[i] + tile.squares[image] - 2.0 * product) / 127.5_f64.powi(2);
                (coarse - square_distance(point, &images[j])) * rows.scales[i]
            };
            let errors: Vec<f64> = (0..256).map(error).collect();
            let mean = errors.iter().sum::<f64>() / 256.0;
            let top = tile.squares.iter().copied().fold(0.0, f64::max);
            let bound = log_weights::error_bound(rows.squares[i], top, rows.scales[i]);
            for error in errors {
                largest = largest.max((error - mean).abs() / bound);
            }
        }
        assert!(largest < 0.25, "σ = {sigma}: {largest} of the bound");
    }
}

#[test]
fn few_pairs_are_computed_twice() {
    let set = faces(640, 16);
    let tiles = ImageTiles::new(Arc::new(set.clone()), true);
    for (sigma, most) in [(80.0, 0.0), (6.0, 0.1), (0.3, 0.2), (0.01, 0.02)] {
        let rows = Rows::new(&tiles, points(&set, &[sigma; 8]), &[sigma; 8]);
        let mut strip = StripBuffers::new(&tiles.layout);
        strip.begin(&tiles.layout, &[f64::NEG_INFINITY; 8], false);
        let mut pairs = 0;
        for start in (0..640).step_by(128) {
            let places: Vec<usize> = (start..start + 128).collect();
            let (mut sums, mut differences) = (vec![0.0; 128 * 8], vec![0.0; 128 * 8]);
            let mut masses = Masses {
                sums: &mut sums,
                differences: &mut differences,
            };
            strip.next_tile(&tiles, &rows, &places, &mut masses, |_| pairs += 1);
        }
        let share = f64::from(pairs) / (8.0 * 1280.0);
        assert!(share <= most, "σ = {sigma}: {share}");
    }
}
