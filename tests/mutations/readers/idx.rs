//! MNIST's idx files, plain and gzipped.

use std::io::Write;
use std::path::Path;

use datasway_data::LoadOptions;
use flate2::Compression;
use flate2::write::GzEncoder;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{answer, load};
use crate::damage::{bytes, one};
use crate::trial::{Answer, Reader};

/// The files that are damaged, the first byte of an input says which.
const FILES: [&str; 4] = [
    "mnist/train-images-idx3-ubyte",
    "mnist/train-labels-idx1-ubyte",
    "gzipped/train-images-idx3-ubyte.gz",
    "gzipped/train-labels-idx1-ubyte.gz",
];

/// An idx file of unsigned bytes.
pub fn idx(sizes: &[u32], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|s| bytes.extend(s.to_be_bytes()));
    bytes.extend(body);
    bytes
}

/// Twelve images of 8 by 8 pixels and their labels.
pub fn twelve() -> [Vec<u8>; 2] {
    let pixels: Vec<u8> = (0..12 * 64).map(|i| (i * 37 % 251) as u8).collect();
    let labels: Vec<u8> = (0..12).map(|i| i % 10).collect();
    [idx(&[12, 8, 8], &pixels), idx(&[12], &labels)]
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(plain);
    written.and_then(|()| encoder.finish()).expect("in memory")
}

/// Reads idx files.
pub struct IdxFiles {
    /// Of each file what it holds, uncompressed.
    plain: [Vec<u8>; 4],
    valid: Vec<Vec<u8>>,
}

impl IdxFiles {
    /// Two folders with the same images.
    pub fn new(_: &Path) -> Self {
        let [images, labels] = twelve();
        let plain = [images.clone(), labels.clone(), images, labels];
        for folder in ["mnist", "gzipped"] {
            std::fs::create_dir(folder).expect("the folder is ours");
        }
        let valid = (0..4).map(|i| named(i, &packed(i, &plain[i]))).collect();
        let new = Self { plain, valid };
        new.restore();
        new
    }

    fn restore(&self) {
        for (file, input) in FILES.iter().zip(&self.valid) {
            std::fs::write(file, &input[1..]).expect("the folder is ours");
        }
    }
}

fn packed(file: usize, plain: &[u8]) -> Vec<u8> {
    if file < 2 {
        plain.to_vec()
    } else {
        gzip(plain)
    }
}

fn named(file: usize, bytes: &[u8]) -> Vec<u8> {
    [&[file as u8], bytes].concat()
}

impl Reader for IdxFiles {
    fn valid(&self) -> &[Vec<u8>] {
        &self.valid
    }

    /// Before it is packed or after.
    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let file = rng.random_range(0..FILES.len());
        let other = one(rng, &self.plain).clone();
        if rng.random() {
            let damaged = bytes::damage(rng, self.plain[file].clone(), &other);
            named(file, &packed(file, &damaged))
        } else {
            let whole = packed(file, &self.plain[file]);
            named(file, &bytes::damage(rng, whole, &gzip(&other)))
        }
    }

    fn read(&mut self, input: &[u8]) -> Answer {
        let file = FILES[usize::from(input[0]) % FILES.len()];
        std::fs::write(file, &input[1..]).expect("the folder is ours");
        let folder = file.split('/').next().unwrap_or_default();
        let answer = answer(load(&format!("mnist:{folder}"), &LoadOptions::default()));
        self.restore();
        answer
    }
}
