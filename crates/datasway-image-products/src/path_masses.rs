//! The softmax masses of images at all evaluations of some paths, kept for what is multiplied with them.
//!
//! The masses of an image and its mirror image are kept as their sum S and difference Δ, which go with the even and the odd
//! part of a product: `e^{l}·⟨g, y⟩ + e^{l'}·⟨g, mirror y⟩ = S·⟨g, y⟩_e + Δ·⟨g, y⟩_o`. They are in f32, relative to the largest term of
//! their row up to their tile, which is in f64: 4 bytes for an image and a row, or 8 with mirror images.

use super::path_rows::PathRows;
use super::strip::{Masses, StripBuffers};
use super::sums::Sums;
use super::tile::TILE;
use super::tile_masses::{ExactPlace, TileMasses};
use super::waves::{STRIP, in_rounds, in_waves, of_threads};

/// The masses of images at R rows.
pub struct PathMasses {
    tiles: Vec<KeptTile>,
    /// q of the images as equal masses at each row, `[R]`.
    pub log_densities: Vec<f64>,
    /// D of the images as equal masses at each row, `[R, d]`, if it was asked for.
    pub means: Option<Vec<f64>>,
}

/// The masses of a tile of c images.
#[derive(Default)]
struct KeptTile {
    /// The logarithms that the masses are relative to, `[R]`.
    tops: Vec<f64>,
    /// S, `[c, R]`.
    sums: Vec<f32>,
    /// Δ, `[c, R]`; empty without mirror images.
    differences: Vec<f32>,
    /// The pairs whose distance was computed in f64.
    exact: Vec<ExactPlace>,
}

/// Bytes that are kept for an image and a row: S, and Δ or the terms of K functionals.
pub fn bytes_of_pair(copies: usize, functionals: usize) -> usize {
    size_of::<f32>() * (1 + functionals.max(copies - 1))
}

/// q of points whose masses over some images and mirror images have these sums.
pub(super) fn log_densities(sums: &Sums, terms: usize) -> Vec<f64> {
    let count = (terms as f64).ln();
    sums.logs().iter().map(|log| log - count).collect()
}

impl PathMasses {
    /// The masses of the images at some places, and their means if `means`.
    pub fn new(path: &PathRows<'_>, places: &[usize], means: bool) -> Self {
        let images = path.images;
        let asked = usize::from(means);
        let (even, odd) = (images.layout.even() * asked, images.layout.odd() * asked);
        let (mut sums, mut tiles) = (Sums::none(path.count(), even, odd), Vec::new());
        let strips = places.chunks(STRIP).map(|places| (places, Vec::new()));
        let mut strips: Vec<(&[usize], Vec<KeptTile>)> = strips.collect();
        let mut buffers = of_threads(strips.len(), || StripBuffers::new(&images.layout));
        for of_round in in_rounds(&mut strips) {
            let earlier = sums.logs();
            in_waves(
                of_round,
                &mut buffers,
                |(places, tiles), buffers| {
                    buffers.begin(&images.layout, &earlier, means);
                    *tiles = tiles_of_strip(path, places, means, buffers);
                },
                |(_, of_strip), buffers| {
                    sums.add(&buffers.sums);
                    tiles.append(of_strip);
                },
            );
        }
        Self {
            tiles,
            log_densities: log_densities(&sums, places.len() * images.copies()),
            means: means.then(|| sums.means(images)),
        }
    }

    /// The masses of a tile.
    pub(super) fn tile(&self, tile: usize) -> TileMasses<'_> {
        let tile = &self.tiles[tile];
        TileMasses {
            tops: &tile.tops,
            sums: &tile.sums,
            differences: &tile.differences,
            exact: &tile.exact,
        }
    }
}

/// The masses of the images of a strip that was begun. The images are added to its moments if `means`.
fn tiles_of_strip(
    path: &PathRows<'_>,
    places: &[usize],
    means: bool,
    buffers: &mut StripBuffers,
) -> Vec<KeptTile> {
    let tiles = places.chunks(TILE).map(|places| {
        let entries = places.len() * path.count();
        let mut tile = KeptTile {
            sums: vec![0.0; entries],
            differences: vec![0.0; (path.images.copies() - 1) * entries],
            ..KeptTile::default()
        };
        let mut masses = Masses {
            sums: &mut tile.sums,
            differences: &mut tile.differences,
        };
        buffers.next_tile(path.images, &path.rows, places, &mut masses, |pair| {
            tile.exact.push(ExactPlace::of(&pair));
        });
        if means {
            buffers.add_images(&mut Masses {
                sums: &mut tile.sums.clone(),
                differences: &mut tile.differences.clone(),
            });
        }
        tile.tops.clone_from(&buffers.sums.tops);
        tile
    });
    tiles.collect()
}
