//! The softmax masses of images at all evaluations of some paths, kept for what is multiplied with them.
//!
//! The masses of an image and its mirror image are kept as their sum S and difference Δ, which go with the even and the odd
//! part of a product: `e^{l}·⟨g, y⟩ + e^{l'}·⟨g, mirror y⟩ = S·⟨g, y⟩_e + Δ·⟨g, y⟩_o`. They are in f32, relative to the largest term of
//! their row up to their tile, which is in f64: 4 bytes for an image and a row, or 8 with mirror images.

use rayon::prelude::*;

use super::pass::{Kept, STRIP, sums_of_strip};
use super::path_rows::PathRows;
use super::sums::Sums;
use super::tile_masses::TileMasses;

/// The masses of images at R rows.
pub(crate) struct PathMasses {
    /// The tiles of all images, in order.
    pub(super) tiles: Vec<TileMasses>,
    /// `ln Σ_j e^{l_j}` of each row, `[R]`.
    pub(super) log_sums: Vec<f64>,
    /// Number of terms of a sum: images and mirror images.
    terms: usize,
}

/// Bytes that are kept for an image and a row: S, and Δ or the terms of K functionals in its place.
pub(crate) fn bytes_of_pair(copies: usize, functionals: usize) -> usize {
    size_of::<f32>() * (1 + functionals.max(copies - 1))
}

impl PathMasses {
    /// The masses of the images at some places. `progress` receives the number of images that are done.
    pub(crate) fn new(
        path: &PathRows<'_>,
        places: &[usize],
        mut progress: impl FnMut(usize),
    ) -> Self {
        let mut sums = Sums::none(path.count(), 0, 0);
        let mut tiles = Vec::new();
        let strips: Vec<&[usize]> = places.chunks(STRIP).collect();
        let mut done = 0;
        for wave in strips.chunks(rayon::current_num_threads().max(1)) {
            let of_strips: Vec<(Sums, Vec<TileMasses>)> = (wave.par_iter())
                .map(|places| {
                    let mut kept = Vec::new();
                    let keep = Kept::Masses(&mut kept);
                    (sums_of_strip(path.images, &path.rows, places, keep), kept)
                })
                .collect();
            for (places, (of_strip, kept)) in wave.iter().zip(of_strips) {
                sums.add(&of_strip);
                tiles.extend(kept);
                done += places.len();
            }
            progress(done);
        }
        Self {
            tiles,
            log_sums: sums.logs(),
            terms: places.len() * path.images.copies(),
        }
    }

    /// q of the images as equal masses at each row, `[R]`.
    pub(crate) fn log_densities(&self) -> Vec<f64> {
        let count = (self.terms as f64).ln();
        self.log_sums.iter().map(|log| log - count).collect()
    }
}
