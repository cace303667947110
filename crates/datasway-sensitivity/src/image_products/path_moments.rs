//! The change of the denoiser along some paths if every image gets its influence as mass.

use rayon::prelude::*;

use super::layout::LEVELS;
use super::pass::STRIP;
use super::path_loops::contributions;
use super::path_masses::PathMasses;
use super::path_rows::{PathGradients, PathRows};
use super::path_terms::{Reference, TermBuffers, TileFactors};
use super::products::Moments;
use super::tile::TILE;
use super::tile_masses::TileMasses;

/// `Σ_y a_y·w·r_y·(y − D)/copies` over the images at some places and their copies, with the influences `a_y` on the only
/// functional, `[R, d]`: the change of the denoiser at every evaluation if every image gets its influence as mass, which its
/// copies share. D are `centers` in pixels, `[R, d]`, and `⟨G, D⟩` must be known.
pub(crate) fn path_moments(
    path: &PathRows<'_>,
    gradients: &PathGradients,
    masses: &PathMasses,
    reference: &Reference,
    places: &[usize],
    centers: &[f64],
) -> Vec<f64> {
    let (layout, r) = (&*path.images.layout, path.count());
    let d = layout.dim;
    let log_densities = reference.densities(masses);
    let at_center = reference.centers(gradients);
    let at_center = at_center.unwrap_or_else(|| unreachable!("the caller has D"));
    let strips = places.chunks(STRIP).zip(masses.tiles.chunks(STRIP / TILE));
    let strips: Vec<(&[usize], &[TileMasses])> = strips.collect();
    let (mut moments, mut totals) = (vec![0.0; r * d], vec![0.0; r]);
    for wave in strips.chunks(rayon::current_num_threads().max(1)) {
        let of_strips: Vec<StripMoments> = (wave.par_iter())
            .map(|(places, masses)| {
                let known = (&log_densities[..], &at_center[..]);
                moments_of_strip(path, gradients, masses, known, places)
            })
            .collect();
        for strip in of_strips {
            for (total, of_strip) in totals.iter_mut().zip(&strip.totals) {
                *total += of_strip;
            }
            for (i, moment) in moments.chunks_exact_mut(d).enumerate() {
                let row = |sums: &[f64]| -> Vec<f64> {
                    let length = sums.len() / r;
                    sums[i * length..(i + 1) * length].to_vec()
                };
                let pixels = layout.pixels(&row(&strip.even.sums), &row(&strip.odd.sums));
                for (sum, pixel) in moment.iter_mut().zip(pixels) {
                    *sum += pixel;
                }
            }
        }
    }
    for (i, moment) in moments.chunks_exact_mut(d).enumerate() {
        let center = centers[i * d..(i + 1) * d].iter().zip(&layout.center);
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

fn moments_of_strip(
    path: &PathRows<'_>,
    gradients: &PathGradients,
    masses: &[TileMasses],
    (log_densities, at_center): (&[f64], &[f64]),
    places: &[usize],
) -> StripMoments {
    let (n, r) = (path.paths, path.count());
    let layout = &*path.images.layout;
    let mut sums = StripMoments {
        even: Moments::new(r * layout.even()),
        odd: Moments::new(r * layout.odd()),
        totals: vec![0.0; r],
    };
    let mut buffers = TermBuffers::new(path);
    let (mut even, mut odd) = (Vec::new(), Vec::new());
    let mut of_image = vec![0.0; r];
    for (masses, places) in masses.iter().zip(places.chunks(TILE)) {
        let terms = buffers.terms(path, gradients, masses, places);
        let factors = TileFactors::new(path, &masses.tops, &terms.bases, log_densities, at_center);
        // w·F/copies
        let shares: Vec<f64> = factors.scales.iter().map(|scale| scale * LEVELS).collect();
        even.clear();
        odd.clear();
        for (j, terms) in terms.terms.chunks_exact(r).enumerate() {
            let row = j * r..(j + 1) * r;
            let image = &masses.sums[row.clone()];
            contributions(
                terms,
                image,
                &factors.shifts,
                &factors.scales,
                &mut of_image,
            );
            let mut influences = vec![0.0; n];
            for contributions in of_image.chunks_exact(n) {
                for (sum, contribution) in influences.iter_mut().zip(contributions) {
                    *sum += contribution;
                }
            }
            let scale = |row: usize| influences[row % n] * shares[row];
            for (row, mass) in image.iter().enumerate() {
                let mass = scale(row) * f64::from(*mass);
                sums.totals[row] += mass;
                even.push(mass as f32);
            }
            if !masses.differences.is_empty() {
                let differences = masses.differences[row].iter().enumerate();
                odd.extend(differences.map(|(row, mass)| (scale(row) * f64::from(*mass)) as f32));
            }
        }
        let tile = &buffers.tile;
        sums.even.add(&even, &tile.even, layout.even(), r);
        sums.odd.add(&odd, &tile.odd, layout.odd(), r);
    }
    sums
}
