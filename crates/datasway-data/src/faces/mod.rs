//! Procedural faces: drawn by code from a seed, with independent binary attributes.
//!
//! Image `i` depends only on the seed and `i`, so a longer set starts with the shorter one.

mod attributes;
mod canvas;
mod draw;
mod look;

use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use sha2::Sha256;

pub use attributes::ATTRIBUTES;

use crate::celeba::crop;
use crate::input::io;
use crate::listing::Listing;
use crate::report::Report;
use crate::{Attributes, DataError};

/// Largest number of faces of a set.
pub(crate) const MOST: usize = 1_000_000;

/// Probability of each attribute.
const FREQUENCIES: [f64; ATTRIBUTES.len()] =
    [0.3, 0.3, 0.25, 0.45, 0.4, 0.7, 0.3, 0.5, 0.25, 0.2, 0.3];

/// Lists `count` faces of side `size` pixels.
pub(crate) fn list(count: usize, seed: u64, size: usize) -> Listing {
    let names: Vec<_> = (0..count).map(name).collect();
    Listing {
        origins: names.iter().map(PathBuf::from).collect(),
        names,
        attributes: Some(Attributes {
            names: ATTRIBUTES.map(Into::into).to_vec(),
            values: (0..count)
                .map(|i| attributes(&mut stream(seed, i)).to_vec())
                .collect(),
        }),
        classes: None,
        by_class: false,
        files: Vec::new(),
        tables: Sha256::default(),
        report: Report {
            held: count,
            ..Report::default()
        },
        grey: false,
        decode: Box::new(move |i| {
            let image = face(seed, i, size);
            let square = crop(image.width(), image.height());
            Ok((image, square))
        }),
    }
}

/// Writes `n` faces in CelebA's layout under `dir`; CelebA's crop of each has side `size` pixels.
///
/// The attribute table is written last, so its presence means that the folder is complete.
///
/// # Errors
/// If a folder or file cannot be written.
pub fn write_celeba(dir: &Path, n: usize, seed: u64, size: usize) -> Result<(), DataError> {
    let folder = dir.join("img_align_celeba");
    std::fs::create_dir_all(&folder).map_err(|e| io(&folder, e))?;
    (0..n).into_par_iter().try_for_each(|i| {
        let path = folder.join(name(i));
        face(seed, i, size)
            .save(&path)
            .map_err(|e| io(&path, std::io::Error::other(e)))
    })?;
    let mut table = format!("{n}\n{}\n", ATTRIBUTES.join(" "));
    for i in 0..n {
        let values = attributes(&mut stream(seed, i)).map(|v| if v { "1" } else { "-1" });
        table.push_str(&format!("{} {}\n", name(i), values.join(" ")));
    }
    let path = dir.join("list_attr_celeba.txt");
    datasway_fs::write(&path, table.as_bytes()).map_err(|e| io(&path, e.reason))
}

fn name(i: usize) -> String {
    format!("{:06}.png", i + 1)
}

/// The random stream of image `i`.
fn stream(seed: u64, i: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(i as u64);
    rng
}

/// The first draws of a stream, in the order of [`ATTRIBUTES`].
fn attributes(rng: &mut ChaCha8Rng) -> [bool; ATTRIBUTES.len()] {
    FREQUENCIES.map(|p| rng.random::<f64>() < p)
}

/// Draws face `i` in CelebA's proportions; the crop has side `size` pixels.
fn face(seed: u64, i: usize, size: usize) -> image::RgbImage {
    let mut rng = stream(seed, i);
    let has = attributes(&mut rng);
    draw::draw(&look::Look::new(has, &mut rng), frame(size))
}

/// Width and height of CelebA's proportions whose crop has side `size`.
fn frame(size: usize) -> (u32, u32) {
    let width = (size.max(1) as f64 * 178.0 / 148.0).round();
    (width as u32, (width * 218.0 / 178.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each attribute changes the image at 16 x 16 by a minimum, with every other parameter unchanged.
    #[test]
    fn every_attribute_can_be_seen_at_16_pixels() {
        for (a, name) in ATTRIBUTES.iter().enumerate() {
            let seen = (0..100).filter(|&i| {
                let mut rng = stream(0, i);
                let mut has = attributes(&mut rng);
                let mut image = |value: bool| {
                    has[a] = value;
                    draw::draw(&look::Look::new(has, &mut rng.clone()), frame(16))
                };
                let (plain, marked) = (image(false), image(true));
                let changed = plain.pixels().zip(marked.pixels()).filter(|(p, q)| {
                    let most = (0..3).map(|c| p.0[c].abs_diff(q.0[c])).max();
                    most >= Some(20)
                });
                changed.count() >= 2
            });
            let seen = seen.count();
            assert!(seen >= 90, "{name} is seen in {seen} of 100");
        }
    }
}
