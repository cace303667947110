//! The transforms `Bᵀ d B` and `A g Aᵀ` of a row of tiles whose channels lie side by side.
//!
//! The last row of `Bᵀ` and of `A` has the opposite sign here. Their products do not see it.

use super::shape::ENTRIES;
use crate::simd::Vector;

/// Transformed tiles: `[16, tiles, channels]`, entries `apart` from each other.
pub(super) struct Transformed<'a> {
    pub values: &'a mut [f32],
    pub apart: usize,
    pub channels: usize,
}

impl Transformed<'_> {
    /// The place of a vector of channels of a tile below `tiles`.
    ///
    /// # Safety
    /// [`holds`](Self::holds) was checked, and the vector ends with the channels.
    #[inline(always)]
    unsafe fn place(&mut self, tile: usize, channel: usize) -> *mut f32 {
        // SAFETY: the first entry holds the vector, as the caller promises.
        unsafe {
            let place = tile * self.channels + channel;
            self.values.as_mut_ptr().add(place)
        }
    }

    /// True if there is room for so many tiles.
    fn holds(&self, tiles: usize) -> bool {
        self.values.len() >= (ENTRIES - 1) * self.apart + tiles * self.channels
    }
}

/// `Bᵀ d B` of tiles side by side, from the four rows of their inputs, `[pixels, channels]`.
#[inline(always)]
pub(super) fn transform_input<V: Vector>(rows: [&[f32]; 4], tiles: usize, mut to: Transformed) {
    let channels = to.channels;
    assert!(to.holds(tiles) && channels.is_multiple_of(V::LANES));
    for row in rows {
        assert!(row.len() >= (2 * tiles + 2) * channels);
    }
    for channel in (0..channels).step_by(V::LANES) {
        // SAFETY: the rows have two pixels for each tile and two more, as checked.
        let (mut d0, mut d1) = unsafe {
            let first = input_column::<V>(rows, channel);
            (first, input_column::<V>(rows, channels + channel))
        };
        for tile in 0..tiles {
            let place = 2 * (tile + 1) * channels + channel;
            // SAFETY: the same, and `to` has room for the tiles.
            let (d2, d3, to_tile) = unsafe {
                let d2 = input_column::<V>(rows, place);
                let d3 = input_column::<V>(rows, place + channels);
                (d2, d3, to.place(tile, channel))
            };
            for y in 0..4 {
                let entries = [
                    d0[y].minus(d2[y]),
                    d1[y].plus(d2[y]),
                    d2[y].minus(d1[y]),
                    d3[y].minus(d1[y]),
                ];
                for x in 0..4 {
                    // SAFETY: the place of the tile in one of 16 entries.
                    unsafe { entries[x].store(to_tile.add((4 * y + x) * to.apart)) };
                }
            }
            (d0, d1) = (d2, d3);
        }
    }
}

/// A column of `Bᵀ d`.
///
/// # Safety
/// The rows have a vector at `place`.
#[inline(always)]
unsafe fn input_column<V: Vector>(rows: [&[f32]; 4], place: usize) -> [V; 4] {
    let mut d = [V::splat(0.0); 4];
    for y in 0..4 {
        // SAFETY: as the caller promises.
        d[y] = unsafe { V::load(rows[y].as_ptr().add(place)) };
    }
    [
        d[0].minus(d[2]),
        d[1].plus(d[2]),
        d[2].minus(d[1]),
        d[3].minus(d[1]),
    ]
}

/// `A g Aᵀ` of tiles side by side, from the two rows of their outputs, `[pixels, channels]`.
#[inline(always)]
pub(super) fn transform_gradient<V: Vector>(rows: [&[f32]; 2], tiles: usize, mut to: Transformed) {
    let channels = to.channels;
    assert!(to.holds(tiles) && channels.is_multiple_of(V::LANES));
    for row in rows {
        assert!(row.len() >= 2 * tiles * channels);
    }
    for channel in (0..channels).step_by(V::LANES) {
        for tile in 0..tiles {
            let place = 2 * tile * channels + channel;
            // SAFETY: the rows have two pixels for each tile, and `to` has room for the tiles, as checked.
            let (g0, g1, to_tile) = unsafe {
                let g0 = gradient_column::<V>(rows, place);
                let g1 = gradient_column::<V>(rows, place + channels);
                (g0, g1, to.place(tile, channel))
            };
            for y in 0..4 {
                let entries = [g0[y], g0[y].plus(g1[y]), g0[y].minus(g1[y]), g1[y]];
                for x in 0..4 {
                    // SAFETY: the place of the tile in one of 16 entries.
                    unsafe { entries[x].store(to_tile.add((4 * y + x) * to.apart)) };
                }
            }
        }
    }
}

/// A column of `A g`.
///
/// # Safety
/// The rows have a vector at `place`.
#[inline(always)]
unsafe fn gradient_column<V: Vector>(rows: [&[f32]; 2], place: usize) -> [V; 4] {
    // SAFETY: as the caller promises.
    let (upper, lower) = unsafe {
        let upper = V::load(rows[0].as_ptr().add(place));
        (upper, V::load(rows[1].as_ptr().add(place)))
    };
    [upper, upper.plus(lower), upper.minus(lower), lower]
}
