//! The influences of images on functionals of some paths.
//!
//! Images are read once, for the products with the points and with the gradients. What images are compared with may be the images
//! themselves: then q and `⟨G, D⟩` are known when all images were read, and masses and terms are kept until then, 4 bytes each
//! for an image and a row.

use std::ops::Range;

use rayon::prelude::*;

use super::path_contributions::{Contributions, Groups, PathInfluences};
use super::path_loops::add;
use super::path_masses::log_densities;
use super::path_rows::{PathGradients, PathRows};
use super::path_terms::{Reference, TermBuffers, TileFactors, TileTerms};
use super::strip::{Masses, StripBuffers};
use super::sums::Sums;
use super::tile::TILE;
use super::tile_masses::{ExactPlace, TileMasses};
use super::waves::{STRIP, in_rounds, in_waves, of_threads};

/// The influences of the images at some places. `progress` receives the number of images whose products are done.
pub fn path_influences(
    path: &PathRows<'_>,
    gradients: &PathGradients,
    reference: &Reference,
    places: &[usize],
    groups: &Groups,
    mut progress: impl FnMut(usize),
) -> PathInfluences {
    let (k, n, r) = (gradients.functionals, path.paths, path.count());
    let strips = places.chunks(STRIP).map(|places| Strip {
        places,
        tiles: Vec::new(),
    });
    let mut strips: Vec<Strip<'_>> = strips.collect();
    let mut buffers = of_threads(strips.len(), || Buffers::new(path));
    let (mut sums, mut done) = (Sums::none(r, 0, 0), 0);
    for of_round in in_rounds(&mut strips) {
        let earlier = sums.logs();
        in_waves(
            of_round,
            &mut buffers,
            |strip, buffers| strip.fill(path, gradients, &earlier, buffers),
            |strip, buffers| {
                sums.add(&buffers.strip.sums);
                done += strip.places.len();
                progress(done);
            },
        );
    }
    let own = log_densities(&sums, places.len() * path.images.copies());
    let log_densities = reference.densities(own);
    let centers = reference.centers(gradients);
    let centers = centers.unwrap_or_else(|| own_centers(path, gradients, &sums.logs(), &strips));
    let of_strips: Vec<PathInfluences> = (strips.par_iter())
        .map(|strip| {
            let mut sums = Contributions::new([k, n, r, strip.places.len()], groups);
            strip.add_to(&mut sums, path, &log_densities, &centers);
            sums.results
        })
        .collect();
    let mut results = PathInfluences::zeros([k, n, r, places.len()], groups);
    let mut first = 0;
    for (strip, places) in of_strips.iter().zip(places.chunks(STRIP)) {
        let columns = first..first + places.len();
        first = columns.end;
        copy_columns(&strip.influence, &mut results.influence, columns.clone());
        copy_columns(&strip.by_group, &mut results.by_group, columns);
        add(&strip.strength, &mut results.strength);
        add(&strip.balance, &mut results.balance);
    }
    results.log_densities = log_densities;
    results.at_center = (centers.iter().enumerate())
        .map(|(row, center)| gradients.in_pixels(row, *center))
        .collect();
    results
}

/// The images of a strip, with what is kept of their tiles.
struct Strip<'a> {
    places: &'a [usize],
    tiles: Vec<KeptTile>,
}

/// The masses and terms of a tile of c images.
struct KeptTile {
    /// The logarithms that the masses are relative to, `[R]`.
    tops: Vec<f64>,
    /// S, `[c, R]`.
    masses: Vec<f32>,
    /// `P − b·S`, `[c, K·R]`.
    terms: Vec<f32>,
    sums: TileTerms,
}

/// Buffers of one thread.
struct Buffers {
    strip: StripBuffers,
    terms: TermBuffers,
    /// Δ of a tile, `[c, R]`.
    differences: Vec<f32>,
    exact: Vec<ExactPlace>,
}

impl Buffers {
    fn new(path: &PathRows<'_>) -> Self {
        Self {
            strip: StripBuffers::new(&path.images.layout),
            terms: TermBuffers::new(path),
            differences: Vec::new(),
            exact: Vec::new(),
        }
    }

    /// The masses and terms of the next tile of a strip.
    fn tile(
        &mut self,
        path: &PathRows<'_>,
        gradients: &PathGradients,
        places: &[usize],
    ) -> KeptTile {
        let entries = places.len() * path.count();
        let mut sums = vec![0.0; entries];
        let differences = &mut self.differences;
        differences.resize((path.images.copies() - 1) * entries, 0.0);
        let mut masses = Masses {
            sums: &mut sums,
            differences,
        };
        self.exact.clear();
        let exact = |pair| self.exact.push(ExactPlace::of(&pair));
        (self.strip).next_tile(path.images, &path.rows, places, &mut masses, exact);
        let tops = self.strip.sums.tops.clone();
        let masses = TileMasses {
            tops: &tops,
            sums: &sums,
            differences,
            exact: &self.exact,
        };
        let mut terms = vec![0.0; gradients.functionals * entries];
        let tile = &self.strip.tile;
        let of_tile = (self.terms).terms(path, gradients, tile, masses, &mut terms);
        KeptTile {
            tops,
            masses: sums,
            terms,
            sums: of_tile,
        }
    }
}

impl Strip<'_> {
    /// Finds the masses and the terms. Known are the logarithms of the sums over earlier strips, `[R]`.
    fn fill(
        &mut self,
        path: &PathRows<'_>,
        gradients: &PathGradients,
        earlier: &[f64],
        buffers: &mut Buffers,
    ) {
        buffers.strip.begin(&path.images.layout, earlier, false);
        let tiles = self.places.chunks(TILE);
        self.tiles = (tiles.map(|places| buffers.tile(path, gradients, places))).collect();
    }

    /// Adds the contributions of the images, with q, `[R]`, and `⟨G, D⟩` in grey levels about the centre, `[K·R]`.
    fn add_to(
        &self,
        sums: &mut Contributions<'_>,
        path: &PathRows<'_>,
        log_densities: &[f64],
        centers: &[f64],
    ) {
        for tile in &self.tiles {
            let bases = &tile.sums.bases;
            let factors = TileFactors::new(path, &tile.tops, bases, log_densities, centers);
            sums.add(&tile.masses, &tile.terms, &tile.sums, &factors);
        }
    }
}

/// `⟨G, D⟩ = Σ_y r_y·⟨G, y⟩/Σ_y r_y` of the images themselves in grey levels about the centre, `[K·R]`, for the logarithms of the sums
/// of their masses, `[R]`.
fn own_centers(
    path: &PathRows<'_>,
    gradients: &PathGradients,
    log_sums: &[f64],
    strips: &[Strip<'_>],
) -> Vec<f64> {
    let r = path.count();
    let rows = gradients.functionals * r;
    let (mut products, mut totals) = (vec![0.0; rows], vec![0.0; r]);
    for tile in strips.iter().flat_map(|strip| &strip.tiles) {
        let terms = &tile.sums;
        for row in 0..r {
            // Relative to the sum of all masses, which no top exceeds.
            let factor = (tile.tops[row] - log_sums[row]).exp();
            totals[row] += factor * terms.totals[row];
            for row in (row..rows).step_by(r) {
                let of_bases = terms.bases[row] * terms.totals[row % r];
                products[row] += factor * (terms.sums[row] + of_bases);
            }
        }
    }
    let products = products.iter().enumerate();
    products.map(|(row, sum)| sum / totals[row % r]).collect()
}

/// Copies the rows of a strip into the columns of a whole.
fn copy_columns(strip: &[f32], whole: &mut [f32], columns: Range<usize>) {
    let width = columns.len();
    let length = (whole.len() * width).checked_div(strip.len()).unwrap_or(1);
    let rows = strip.chunks_exact(width);
    for (strip, whole) in rows.zip(whole.chunks_exact_mut(length)) {
        whole[columns.clone()].copy_from_slice(strip);
    }
}
