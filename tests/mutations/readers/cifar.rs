//! CIFAR-10's binary batches.

use std::path::Path;

use rand_chacha::ChaCha8Rng;

use super::{answer, load, options};
use crate::damage::{bytes, one};
use crate::trial::{Answer, Reader};

/// Bytes of an image and its label.
const RECORD: usize = 1 + 3 * 32 * 32;

/// Reads batches.
pub struct Batches {
    valid: Vec<Vec<u8>>,
}

impl Batches {
    /// A batch of two images and one of three, beside four others.
    pub fn new(_: &Path) -> Self {
        let batch = |number: usize, images: usize| -> Vec<u8> {
            let byte = |i: usize| match i % RECORD {
                0 => (i / RECORD) as u8,
                _ => ((i + number) * 31 % 253) as u8,
            };
            (0..images * RECORD).map(byte).collect()
        };
        std::fs::create_dir("cifar").expect("the folder is ours");
        for number in 1..=5 {
            let path = format!("cifar/data_batch_{number}.bin");
            std::fs::write(path, batch(number, 2)).expect("the folder is ours");
        }
        Self {
            valid: vec![batch(3, 2), batch(3, 3)],
        }
    }
}

impl Reader for Batches {
    fn valid(&self) -> &[Vec<u8>] {
        &self.valid
    }

    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let (batch, other) = (one(rng, &self.valid).clone(), one(rng, &self.valid));
        bytes::damage(rng, batch, other)
    }

    fn read(&mut self, input: &[u8]) -> Answer {
        std::fs::write("cifar/data_batch_3.bin", input).expect("the folder is ours");
        answer(load("cifar10:cifar", &options()))
    }
}
