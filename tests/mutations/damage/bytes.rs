//! Damage that knows nothing of what the bytes mean.

use std::ops::Range;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use super::{one, times};

/// Bytes at the start, where most formats say how long the rest is.
const HEADER: usize = 64;

/// Numbers at which something overflows or ends.
const BOUNDARIES: [u64; 22] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    (1 << 53) + 1,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
    0x7f80_0000,           // f32: infinity
    0x7fc0_0000,           // f32: NaN
    0x7ff8_0000_0000_0000, // f64: NaN
];

/// The input with some of its bytes changed; `other` is another valid input.
pub fn damage(rng: &mut ChaCha8Rng, mut input: Vec<u8>, other: &[u8]) -> Vec<u8> {
    for _ in 0..times(rng) {
        once(rng, &mut input, other);
    }
    input
}

fn once(rng: &mut ChaCha8Rng, input: &mut Vec<u8>, other: &[u8]) {
    if input.is_empty() {
        input.extend(other);
        return;
    }
    let at = place(rng, input.len());
    match rng.random_range(0..10) {
        0 => input[at] ^= 1 << rng.random_range(0..8),
        1 => input[at] = *one(rng, &[0, 1, 0x7f, 0x80, 0xfe, 0xff]),
        2 | 3 => overwrite(rng, input, at),
        4 => input.truncate(at),
        5 => {
            let length = length(rng, 64);
            let mut run = vec![*one(rng, &[0, 0xff, b'0', b' ', b'\n']); length];
            if rng.random() {
                rng.fill_bytes(&mut run);
            }
            input.splice(at..at, run);
        }
        6 => drop(input.drain(chunk(rng, input.len()))),
        7 => {
            let copy = input[chunk(rng, input.len())].to_vec();
            input.splice(at..at, copy);
        }
        8 => {
            let from = chunk(rng, input.len());
            let to = rng.random_range(0..=input.len() - from.len());
            let (a, b) = (
                input[from.clone()].to_vec(),
                input[to..][..from.len()].to_vec(),
            );
            input[from].copy_from_slice(&b);
            input[to..][..a.len()].copy_from_slice(&a);
        }
        _ => {
            let (cut, from) = (at, rng.random_range(0..=other.len()));
            input.truncate(cut);
            input.extend(&other[from..]);
        }
    }
}

/// A boundary as a number of 2, 4 or 8 bytes, of either order.
fn overwrite(rng: &mut ChaCha8Rng, input: &mut [u8], at: usize) {
    let number = *one(rng, &BOUNDARIES);
    let width = *one(rng, &[2, 4, 8]);
    let mut bytes = number.to_le_bytes()[..width].to_vec();
    if rng.random() {
        bytes.reverse();
    }
    let width = width.min(input.len() - at);
    input[at..][..width].copy_from_slice(&bytes[..width]);
}

/// A place, half of the time near the start.
fn place(rng: &mut ChaCha8Rng, length: usize) -> usize {
    let near = if rng.random() { HEADER } else { length };
    rng.random_range(0..near.min(length))
}

/// A length of at most `most`, mostly small.
fn length(rng: &mut ChaCha8Rng, most: usize) -> usize {
    let bound = rng.random_range(1..=most);
    rng.random_range(1..=bound)
}

/// A part of some bytes, of which there is at least one.
fn chunk(rng: &mut ChaCha8Rng, all: usize) -> Range<usize> {
    let start = place(rng, all);
    start..start + length(rng, all - start)
}
