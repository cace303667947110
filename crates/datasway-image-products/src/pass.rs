//! One pass over images: the softmax sums of points over the parts of a set.

use super::layout::ImageTiles;
use super::rows::Rows;
use super::strip::{Masses, StripBuffers};
use super::sums::Sums;
use super::tile::TILE;
use super::waves::{STRIP, in_waves, of_threads, round};

/// Some images of a storage.
pub struct Part {
    /// Their places.
    pub places: Vec<usize>,
    /// True if their mean is asked for.
    pub moments: bool,
}

/// The sums of points over each part. The images of all parts are read once.
pub fn sums_over(images: &ImageTiles, rows: &Rows, parts: &[Part]) -> Vec<Sums> {
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
}

impl PassBuffers {
    fn new(images: &ImageTiles) -> Self {
        Self {
            strip: StripBuffers::new(&images.layout),
            masses: Vec::new(),
            differences: Vec::new(),
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
            if moments && masses.sums.iter().any(|mass| *mass != 0.0) {
                self.strip.add_images(&mut masses);
            }
        }
    }
}
