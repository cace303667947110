//! The change of the denoiser along some paths if every image gets its influence as mass.

use rayon::prelude::*;

use super::layout::{LEVELS, Layout};
use super::path_loops::{add, contributions};
use super::path_masses::PathMasses;
use super::path_rows::{PathGradients, PathRows};
use super::path_terms::{Reference, TermBuffers, TileFactors};
use super::products::add_moments;
use super::sums::{ENTRIES, row};
use super::tile::{TILE, Tile};
use super::tile_masses::TileMasses;
use super::waves::{STRIP, in_waves, of_threads};

/// `Σ_y a_y·w·r_y·(y − D)/copies` over the images at some places and their copies, with the influences `a_y` on the only
/// functional, `[R, d]`: the change of the denoiser at every evaluation if every image gets its influence as mass, which its
/// copies share. D are `centers` in pixels, `[R, d]`, and `⟨G, D⟩` must be known.
pub fn path_moments(
    path: &PathRows<'_>,
    gradients: &PathGradients,
    masses: &PathMasses,
    reference: &Reference,
    places: &[usize],
    centers: &[f64],
) -> Vec<f64> {
    let (layout, r) = (&*path.images.layout, path.count());
    let d = layout.dim;
    let log_densities = reference.densities(masses.log_densities.clone());
    let at_center = reference.centers(gradients);
    let at_center = at_center.unwrap_or_else(|| unreachable!("the caller has D"));
    let mut sums = WeightedSums::none(layout, r);
    let mut strips: Vec<(usize, &[usize])> = places.chunks(STRIP).enumerate().collect();
    let mut buffers = of_threads(strips.len(), || StripMoments::new(path));
    in_waves(
        &mut strips,
        &mut buffers,
        |(strip, places), buffers| {
            buffers.sums.clear();
            for (tile, places) in places.chunks(TILE).enumerate() {
                let masses = masses.tile(*strip * (STRIP / TILE) + tile);
                let factors = (&log_densities[..], &at_center[..]);
                buffers.add_tile(path, gradients, masses, factors, places);
            }
        },
        |_, buffers| sums.add(&buffers.sums),
    );
    let mut moments = sums.moments(layout);
    for (i, moment) in moments.chunks_exact_mut(d).enumerate() {
        let center = centers[i * d..(i + 1) * d].iter().zip(&layout.center);
        for (moment, (denoised, middle)) in moment.iter_mut().zip(center) {
            let levels = (denoised + 1.0) * LEVELS - f64::from(*middle);
            *moment = (*moment - levels * sums.totals[i]) / LEVELS;
        }
    }
    moments
}

/// Weighted sums of images at R rows.
struct WeightedSums {
    /// The even parts of `Σ_y mass·y` in grey levels about the centre, `[R, k_e]`.
    even: Vec<f64>,
    /// The odd parts, `[R, k_o]`.
    odd: Vec<f64>,
    /// `Σ_y mass`, `[R]`.
    totals: Vec<f64>,
}

impl WeightedSums {
    /// Sums over no image.
    fn none(layout: &Layout, rows: usize) -> Self {
        Self {
            even: vec![0.0; rows * layout.even()],
            odd: vec![0.0; rows * layout.odd()],
            totals: vec![0.0; rows],
        }
    }

    fn clear(&mut self) {
        for sums in [&mut self.even, &mut self.odd, &mut self.totals] {
            sums.fill(0.0);
        }
    }

    /// Adds sums over other images.
    fn add(&mut self, other: &Self) {
        add(&other.totals, &mut self.totals);
        for (sums, other) in [(&mut self.even, &other.even), (&mut self.odd, &other.odd)] {
            let tasks = sums.par_chunks_mut(ENTRIES);
            let tasks = tasks.zip(other.par_chunks(ENTRIES));
            tasks.for_each(|(sums, other)| add(other, sums));
        }
    }

    /// `Σ_y mass·y` in grey levels about the centre, `[R, d]`.
    fn moments(&self, layout: &Layout) -> Vec<f64> {
        let rows = self.totals.len();
        let moment = |i| layout.pixels(row(&self.even, i, rows), row(&self.odd, i, rows));
        (0..rows).flat_map(moment).collect()
    }
}

/// The sums of a strip, with the buffers of a thread.
struct StripMoments {
    sums: WeightedSums,
    tile: Tile,
    terms: TermBuffers,
    /// `P − b·S` of the tile, `[c, R]`.
    terms_of_tile: Vec<f32>,
    /// The masses of the even and the odd parts, `[c, R]`.
    masses: (Vec<f32>, Vec<f32>),
    /// The contributions of an image, `[R]`.
    of_image: Vec<f64>,
}

impl StripMoments {
    fn new(path: &PathRows<'_>) -> Self {
        let (layout, r) = (&*path.images.layout, path.count());
        Self {
            sums: WeightedSums::none(layout, r),
            tile: Tile::new(layout),
            terms: TermBuffers::new(path),
            terms_of_tile: Vec::new(),
            masses: Default::default(),
            of_image: vec![0.0; r],
        }
    }

    fn add_tile(
        &mut self,
        path: &PathRows<'_>,
        gradients: &PathGradients,
        masses: TileMasses<'_>,
        (log_densities, at_center): (&[f64], &[f64]),
        places: &[usize],
    ) {
        let (n, r) = (path.paths, path.count());
        self.tile.load(path.images, places.iter().copied());
        self.terms_of_tile.resize(places.len() * r, 0.0);
        let out = &mut self.terms_of_tile;
        let terms = (self.terms).terms(path, gradients, &self.tile, masses, out);
        let factors = TileFactors::new(path, masses.tops, &terms.bases, log_densities, at_center);
        // w·F/copies
        let shares: Vec<f64> = factors.scales.iter().map(|scale| scale * LEVELS).collect();
        let (even, odd) = &mut self.masses;
        even.clear();
        odd.clear();
        for (j, terms) in self.terms_of_tile.chunks_exact(r).enumerate() {
            let row = j * r..(j + 1) * r;
            let image = &masses.sums[row.clone()];
            let (shifts, scales) = (&factors.shifts, &factors.scales);
            contributions(terms, image, shifts, scales, &mut self.of_image);
            let mut influences = vec![0.0; n];
            for contributions in self.of_image.chunks_exact(n) {
                for (sum, contribution) in influences.iter_mut().zip(contributions) {
                    *sum += contribution;
                }
            }
            let scale = |row: usize| influences[row % n] * shares[row];
            for (row, mass) in image.iter().enumerate() {
                let mass = scale(row) * f64::from(*mass);
                self.sums.totals[row] += mass;
                even.push(mass as f32);
            }
            if !masses.differences.is_empty() {
                let differences = masses.differences[row].iter().enumerate();
                odd.extend(differences.map(|(row, mass)| (scale(row) * f64::from(*mass)) as f32));
            }
        }
        add_moments(even, r, &self.tile.even, &mut self.sums.even);
        add_moments(odd, r, &self.tile.odd, &mut self.sums.odd);
    }
}
