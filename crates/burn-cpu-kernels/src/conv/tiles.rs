//! Images in tiles: their borders, and the transforms `Bᵀ d B` and `Aᵀ m A`.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::shape::{ConvShape, ENTRIES};
use crate::simd::{MAX_PARTS, PART, Vector};

/// The channels of one image that a task computes.
pub(super) struct Target<'a> {
    /// `[channels, h, w]`.
    pub out: &'a mut [MaybeUninit<f32>],
    /// `[channels]`.
    pub bias: Option<&'a [f32]>,
}

/// Images with a border of zeros, and rows and columns of zeros up to whole quads, written to `bordered`:
/// `[images, channels, rows, pitch]`, channels rounded up by zeros to `rounded`.
pub(super) fn border(
    shape: ConvShape,
    (channels, rounded): (usize, usize),
    x: &[f32],
    bordered: &mut [f32],
) {
    let (pitch, plane, width) = (shape.pitch(), shape.plane(), shape.width);
    let images = bordered.chunks_exact_mut(rounded * plane);
    for (to, from) in images.zip(x.chunks_exact(channels * shape.pixels())) {
        let (planes, beyond) = to.split_at_mut(channels * plane);
        beyond.fill(0.0);
        let planes = planes
            .chunks_exact_mut(plane)
            .zip(from.chunks_exact(shape.pixels()));
        for (to, from) in planes {
            let (inside, below) = to.split_at_mut((shape.height + 1) * pitch);
            let (above, inside) = inside.split_at_mut(pitch);
            above.fill(0.0);
            below.fill(0.0);
            for (to, from) in inside.chunks_exact_mut(pitch).zip(from.chunks_exact(width)) {
                to[0] = 0.0;
                let (eights, remainder) = from.as_chunks::<PART>();
                let (targets, last) = to[1..].as_chunks_mut::<PART>();
                targets
                    .iter_mut()
                    .zip(eights)
                    .for_each(|(to, from)| *to = *from);
                if let Some(to) = targets.get_mut(eights.len()) {
                    to[..remainder.len()].copy_from_slice(remainder);
                    to[remainder.len()..].fill(0.0);
                }
                last.fill(0.0);
            }
        }
    }
}

/// Distance of two entries of transformed tiles of `length` values a channel. It is two parts longer than an entry, because
/// entries a power of two apart would compete for the same sets of the cache.
pub(super) fn apart(channels: usize, length: usize) -> usize {
    channels * length + 2 * PART
}

/// The quads of a batch, in vectors: a vector has `PARTS` quads on its left and as many on its right.
pub(super) struct Blocks {
    quads: usize,
    parts: usize,
    /// Number of vectors of the batch.
    pub count: usize,
    /// Number of vectors of a block; the last may have fewer.
    pub vectors: usize,
}

/// The quads of one side of a vector by number; `None` beyond the last.
type Side = [Option<usize>; MAX_PARTS];

/// The two sides of each vector of a block.
pub(super) struct Block {
    vectors: Vec<[Side; 2]>,
}

impl Blocks {
    /// Blocks of at most `max_vectors` vectors.
    #[inline(always)]
    pub fn new<V: Vector>(shape: ConvShape, max_vectors: usize) -> Self {
        let quads = shape.images * shape.quads();
        let count = quads.div_ceil(2 * V::PARTS);
        Self {
            quads,
            parts: V::PARTS,
            count,
            vectors: count.div_ceil(count.div_ceil(max_vectors)),
        }
    }

    /// The block of `vectors` vectors from `first` on.
    pub fn block(&self, first: usize, vectors: usize) -> Block {
        let quad = |quad: usize| (quad < self.quads).then_some(quad);
        let side = |start: usize| {
            let mut side = [None; MAX_PARTS];
            for part in 0..self.parts {
                side[part] = quad(start + part);
            }
            side
        };
        let vectors = (first..first + vectors).map(|vector| {
            let start = vector * 2 * self.parts;
            [side(start), side(start + self.parts)]
        });
        Block {
            vectors: vectors.collect(),
        }
    }
}

/// Places in memory of the parts of both sides of a vector.
type Places = [[*const f32; MAX_PARTS]; 2];

/// `Bᵀ d B` for each of some channels of `all`: `[16, channels, vectors, lanes]`. A missing quad is read as the first.
#[inline(always)]
pub(super) fn transform_input<V: Vector>(
    shape: ConvShape,
    (channels, all): (Range<usize>, usize),
    block: &Block,
    bordered: &[f32],
    out: &mut [f32],
) {
    let (pitch, plane) = (shape.pitch(), shape.plane());
    let length = block.vectors.len() * V::LANES;
    assert!(!channels.is_empty() && channels.end <= all);
    let entry = apart(channels.len(), length);
    assert!(out.len() >= ENTRIES * entry);
    let last = (channels.len() - 1) * plane + 3 * pitch + 2 + PART;
    for (v, sides) in block.vectors.iter().enumerate() {
        let first = sides[0][0].expect("a vector has one quad at least");
        let mut places = [[bordered.as_ptr(); MAX_PARTS]; 2];
        for (places, side) in places.iter_mut().zip(sides) {
            for (place, quad) in places.iter_mut().zip(side) {
                let start = shape.start(quad.unwrap_or(first), all) + channels.start * plane;
                assert!(start + last <= bordered.len());
                *place = bordered[start..].as_ptr();
            }
        }
        let mut to = out[v * V::LANES..].as_mut_ptr();
        for _ in channels.clone() {
            // SAFETY: `last` values from each start were checked, and the largest place written is the last
            // vector of the last entry; the pointers are not used beyond the last channel.
            unsafe {
                let d0 = input_row::<V>(places, 0);
                let d1 = input_row::<V>(places, pitch);
                let d2 = input_row::<V>(places, 2 * pitch);
                let d3 = input_row::<V>(places, 3 * pitch);
                input_entries(minus(d0, d2), to, entry);
                input_entries(plus(d1, d2), to.add(4 * entry), entry);
                input_entries(minus(d2, d1), to.add(8 * entry), entry);
                input_entries(minus(d1, d3), to.add(12 * entry), entry);
            }
            places = places.map(|side| side.map(|place| place.wrapping_add(plane)));
            to = to.wrapping_add(length);
        }
    }
}

/// A row of the inputs of the quads of a vector: both sides from column 0, and both from column 2.
///
/// # Safety
/// Ten values can be read `offset` after each place.
#[inline(always)]
unsafe fn input_row<V: Vector>(places: Places, offset: usize) -> [V; 4] {
    let [left, right] = places.map(|side| side.map(|place| place.wrapping_add(offset)));
    let second = |side: [*const f32; MAX_PARTS]| side.map(|place| place.wrapping_add(2));
    // SAFETY: as the caller promises.
    unsafe {
        [
            V::load_parts(left),
            V::load_parts(right),
            V::load_parts(second(left)),
            V::load_parts(second(right)),
        ]
    }
}

/// The sums of two rows.
#[inline(always)]
fn plus<V: Vector>(a: [V; 4], b: [V; 4]) -> [V; 4] {
    [
        a[0].plus(b[0]),
        a[1].plus(b[1]),
        a[2].plus(b[2]),
        a[3].plus(b[3]),
    ]
}

/// The differences of two rows.
#[inline(always)]
fn minus<V: Vector>(a: [V; 4], b: [V; 4]) -> [V; 4] {
    [
        a[0].minus(b[0]),
        a[1].minus(b[1]),
        a[2].minus(b[2]),
        a[3].minus(b[3]),
    ]
}

/// Four entries of `Bᵀ d B` from a row of `Bᵀ d`, written `apart` from each other.
///
/// # Safety
/// A vector can be written to each of the four places.
#[inline(always)]
unsafe fn input_entries<V: Vector>(row: [V; 4], to: *mut f32, apart: usize) {
    let (d0, d1) = V::split(row[0], row[1]);
    let (d2, d3) = V::split(row[2], row[3]);
    // SAFETY: as the caller promises.
    unsafe {
        d0.minus(d2).store(to);
        d1.plus(d2).store(to.add(apart));
        d2.minus(d1).store(to.add(2 * apart));
        d1.minus(d3).store(to.add(3 * apart));
    }
}

/// `Aᵀ m A + bias` of one channel, written to the image.
#[inline(always)]
pub(super) fn transform_output<V: Vector>(
    shape: ConvShape,
    block: &Block,
    products: &[f32],
    (channel, channels): (usize, usize),
    to: &mut [Target<'_>],
) {
    let length = block.vectors.len() * V::LANES;
    let entry = apart(channels, length);
    assert!(products.len() >= ENTRIES * entry && channel < channels);
    for (v, sides) in block.vectors.iter().enumerate() {
        let offset = channel * length + v * V::LANES;
        let mut columns = [[V::splat(0.0); 4]; 2];
        for x in 0..4 {
            let mut m = [V::splat(0.0); 4];
            for y in 0..4 {
                // SAFETY: a place within the first of 16 entries, all inside `products`.
                m[y] = unsafe { V::load(products.as_ptr().add((4 * y + x) * entry + offset)) };
            }
            columns[0][x] = m[0].plus(m[1].plus(m[2]));
            columns[1][x] = m[1].minus(m[2]).minus(m[3]);
        }
        for (y, [a, b, c, d]) in columns.into_iter().enumerate() {
            let (left, right) = V::join(a.plus(b.plus(c)), b.minus(c).minus(d));
            for (values, side) in [left, right].into_iter().zip(sides) {
                for part in 0..V::PARTS {
                    if let Some(quad) = side[part] {
                        write_row(shape, values, part, (quad, y), channel, to);
                    }
                }
            }
        }
    }
}

/// Writes the outputs of a row of one quad, a part of a vector, with the bias.
#[inline(always)]
fn write_row<V: Vector>(
    shape: ConvShape,
    values: V,
    part: usize,
    (quad, y): (usize, usize),
    channel: usize,
    to: &mut [Target<'_>],
) {
    let (row, column) = shape.corner(quad);
    if row + y >= shape.height {
        return;
    }
    let to = &mut to[quad / shape.quads()];
    let bias = to.bias.map_or(0.0, |bias| bias[channel]);
    let values = values.plus(V::splat(bias));
    let first = channel * shape.pixels() + (row + y) * shape.width + column;
    let to = &mut to.out[first..first + PART.min(shape.width - column)];
    if to.len() == PART {
        // SAFETY: `to` has room for all lanes of a part, and `part` is one of the vector's.
        unsafe { values.store_part(part, to.as_mut_ptr().cast()) };
    } else {
        let mut lanes = [0.0; PART];
        // SAFETY: the same for `lanes`.
        unsafe { values.store_part(part, lanes.as_mut_ptr()) };
        to.write_copy_of_slice(&lanes[..to.len()]);
    }
}
