//! One pass over images: the softmax sums of points over the parts of a set.

use super::layout::ImageTiles;
use super::products::{add_moments, add_one};
use super::rows::Rows;
use super::strip::{Masses, StripBuffers};
use super::sums::Sums;
use super::tile::TILE;
use super::waves::{STRIP, in_waves, of_threads, round};

/// The share of the masses of all images so far from which an image is added in f64.
const HEAVY: f64 = 1.0 / 32.0;

/// Some images of a storage.
pub(crate) struct Part {
    /// Their places.
    pub(crate) places: Vec<usize>,
    /// True if their mean is asked for.
    pub(crate) moments: bool,
}

/// The sums of points over each part. The images of all parts are read once.
pub(crate) fn sums_over(images: &ImageTiles, rows: &Rows, parts: &[Part]) -> Vec<Sums> {
    let (even, odd) = (images.layout.even(), images.layout.odd());
    let mut sums: Vec<Sums> = (parts.iter())
        .map(|part| {
            let asked = usize::from(part.moments);
            Sums::none(rows.count, even * asked, odd * asked)
        })
        .collect();
    let strips = parts.iter().enumerate().flat_map(|(part, images)| {
        let strips = images.places.chunks(STRIP).enumerate();
        strips.map(move |(k, places)| Strip {
            part,
            places,
            round: round(k),
        })
    });
    let mut strips: Vec<Strip<'_>> = strips.collect();
    strips.sort_by_key(|strip| strip.round);
    let mut buffers = of_threads(strips.len(), || PassBuffers::new(images));
    for of_round in strips.chunk_by_mut(|a, b| a.round == b.round) {
        let earlier: Vec<Vec<f64>> = sums.iter().map(Sums::logs).collect();
        in_waves(
            of_round,
            &mut buffers,
            |strip, buffers| {
                let begun = (&earlier[strip.part][..], parts[strip.part].moments);
                buffers.add_up(images, rows, strip.places, begun);
            },
            |strip, buffers| sums[strip.part].add(&buffers.strip.sums),
        );
    }
    sums
}

/// Images of a part that are summed by one thread.
struct Strip<'a> {
    part: usize,
    places: &'a [usize],
    round: u32,
}

/// Buffers of one thread.
struct PassBuffers {
    strip: StripBuffers,
    /// Of the even parts, `[c, R]`.
    masses: Vec<f32>,
    /// Of the odd parts, `[c, R]`.
    differences: Vec<f32>,
    /// The smallest mass that counts as heavy, `[R]`.
    heavy: Vec<f64>,
}

impl PassBuffers {
    fn new(images: &ImageTiles) -> Self {
        Self {
            strip: StripBuffers::new(&images.layout),
            masses: Vec::new(),
            differences: Vec::new(),
            heavy: Vec::new(),
        }
    }

    /// The sums of points over the images of a strip. Known are the logarithms of the sums over earlier strips, and if means are
    /// asked for.
    fn add_up(
        &mut self,
        images: &ImageTiles,
        rows: &Rows,
        places: &[usize],
        (earlier, moments): (&[f64], bool),
    ) {
        let r = rows.count;
        self.strip.begin(&images.layout, earlier, moments);
        for places in places.chunks(TILE) {
            self.masses.resize(places.len() * r, 0.0);
            self.differences
                .resize((images.copies() - 1) * places.len() * r, 0.0);
            let mut masses = Masses {
                sums: &mut self.masses,
                differences: &mut self.differences,
            };
            self.strip
                .next_tile(images, rows, places, &mut masses, |_| ());
            if moments && self.masses.iter().any(|mass| *mass != 0.0) {
                self.add_images();
            }
        }
    }

    /// Adds the images of the tile, weighted by their masses.
    fn add_images(&mut self) {
        self.add_heavy();
        let (tile, sums) = (&self.strip.tile, &mut self.strip.sums);
        let r = sums.totals.len();
        add_moments(&self.masses, r, &tile.even, &mut sums.even);
        add_moments(&self.differences, r, &tile.odd, &mut sums.odd);
    }

    /// Moves the images with a large share of the masses so far into the moments, which are in f64: where few images decide a mean,
    /// its rounding is that of the pixels.
    fn add_heavy(&mut self) {
        self.heavy.clear();
        let totals = self.strip.totals_so_far();
        self.heavy.extend(totals.map(|total| HEAVY * total));
        let (tile, sums) = (&self.strip.tile, &mut self.strip.sums);
        let r = sums.totals.len();
        for image in 0..tile.count() {
            for (row, heavy) in self.heavy.iter().enumerate() {
                let place = image * r + row;
                if f64::from(self.masses[place]) > *heavy {
                    let mass = std::mem::take(&mut self.masses[place]);
                    add_one(row, mass, image, &tile.even, &mut sums.even);
                    if let Some(mass) = self.differences.get_mut(place) {
                        let mass = std::mem::take(mass);
                        add_one(row, mass, image, &tile.odd, &mut sums.odd);
                    }
                }
            }
        }
    }
}
