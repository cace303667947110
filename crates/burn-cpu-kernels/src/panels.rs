//! Products of matrices that are packed in panels once and multiplied many times.
//!
//! Sums of a block of terms are in f32, each one sum in the order of its terms, and sums of blocks in f64. So rounding does not
//! grow with the number of blocks, and a result is the same for any number of threads and on every machine that has fused
//! multiplication and addition.

use crate::simd::{Machine, Vector, multiversion};

/// Columns of a panel.
pub const PANEL: usize = 32;

/// f64 of a line of a cache.
const LINE: usize = 8;

/// A matrix in panels of [`PANEL`] columns, in which rows lie one after the other. The last panel is filled up with zeros.
#[derive(Debug, Clone)]
pub struct Panels {
    values: Vec<f32>,
    rows: usize,
    columns: usize,
}

impl Panels {
    /// Zeros, `[rows, columns]`.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self {
            values: vec![0.0; columns.div_ceil(PANEL) * pitch(rows)],
            rows,
            columns,
        }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Replaces entry (row, column).
    ///
    /// # Panics
    /// If there is no such entry.
    pub fn set(&mut self, row: usize, column: usize, value: f32) {
        assert!(row < self.rows && column < self.columns);
        let place = column / PANEL * pitch(self.rows) + row * PANEL + column % PANEL;
        self.values[place] = value;
    }

    /// Replaces a row.
    ///
    /// # Panics
    /// If there is no such row, or the values do not fill it.
    pub fn set_row(&mut self, row: usize, values: &[f32]) {
        assert!(row < self.rows && values.len() == self.columns);
        let (whole, last) = values.as_chunks::<PANEL>();
        let pitch = pitch(self.rows);
        // Copies of a length that the compiler knows.
        for (panel, values) in whole.iter().enumerate() {
            let start = panel * pitch + row * PANEL;
            self.values[start..start + PANEL].copy_from_slice(values);
        }
        if !last.is_empty() {
            let start = whole.len() * pitch + row * PANEL;
            self.values[start..start + last.len()].copy_from_slice(last);
        }
    }

    /// The parts of a row that lie in the panels, one after the other.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> impl Iterator<Item = &[f32]> {
        assert!(row < self.rows);
        let panels = self.values.chunks_exact(pitch(self.rows));
        panels.enumerate().map(move |(p, panel)| {
            let width = PANEL.min(self.columns - p * PANEL);
            &panel[row * PANEL..row * PANEL + width]
        })
    }
}

/// Entries from one panel to the next. The number of rows is made odd: at distances of powers of two, lines of a cache
/// displace each other.
fn pitch(rows: usize) -> usize {
    (rows | 1) * PANEL
}

/// `out += a·b` with the first m rows of a, `[_, k]`, and b, `[k, n]`; out is `[m, n]`. So many terms make a block, a multiple of
/// [`PANEL`].
///
/// # Panics
/// If the shapes do not fit, or the block is no such multiple.
pub fn add_product(m: usize, a: &Panels, b: &Panels, block: usize, out: &mut [f64]) {
    assert!(m <= a.rows && a.columns == b.rows && out.len() == m * b.columns);
    assert!(block > 0 && block.is_multiple_of(PANEL));
    product(m, a, b, block, out);
}

/// `out += aᵀ·b` with a, rows of n numbers, and as many of the first rows of b, `[_, k]`; out is `[n, k]`. All terms make a
/// block.
///
/// # Panics
/// If the shapes do not fit.
pub fn add_transposed_product(a: &[f32], n: usize, b: &Panels, out: &mut [f64]) {
    assert!(n > 0 && a.len().is_multiple_of(n) && a.len() / n <= b.rows);
    assert!(out.len() == n * b.columns);
    transposed_product(a, n, b, out);
}

multiversion! {
    fn product(m: usize, a: &Panels, b: &Panels, block: usize, out: &mut [f64]) = product_body
}

#[inline(always)]
fn product_body<M: Machine>(m: usize, a: &Panels, b: &Panels, block: usize, out: &mut [f64]) {
    let n = b.columns;
    for start in (0..b.rows).step_by(block) {
        let left = Left::<PANEL> {
            values: &a.values[start / PANEL * pitch(a.rows)..],
            term: 1,
            panel: pitch(a.rows),
        };
        for first in (0..n).step_by(PANEL) {
            let factors = Factors {
                left,
                right: &b.values[first / PANEL * pitch(b.rows) + start * PANEL..],
                terms: block.min(b.rows - start),
            };
            add_panel::<M, PANEL>(factors, m, PANEL.min(n - first), &mut out[first..], n);
        }
    }
}

multiversion! {
    fn transposed_product(a: &[f32], n: usize, b: &Panels, out: &mut [f64]) = transposed_body
}

#[inline(always)]
fn transposed_body<M: Machine>(a: &[f32], n: usize, b: &Panels, out: &mut [f64]) {
    let (k, terms, height) = (b.columns, a.len() / n, tallest::<M>());
    let groups = groups(a, n, height);
    for first in (0..k).step_by(PANEL) {
        for (group, values) in groups.chunks_exact(terms * height).enumerate() {
            let row = group * height;
            let factors = Factors {
                left: Left::<1> {
                    values,
                    term: height,
                    panel: height * PANEL,
                },
                right: &b.values[first / PANEL * pitch(b.rows)..],
                terms,
            };
            let out = &mut out[row * k + first..];
            add_panel::<M, 1>(factors, height.min(n - row), PANEL.min(k - first), out, k);
        }
    }
}

/// The columns of rows of n numbers in groups of `height`, in which rows lie one after the other: a tile reads them in the
/// order of memory. The last group is filled up with zeros.
fn groups(rows: &[f32], n: usize, height: usize) -> Vec<f32> {
    let terms = rows.len() / n;
    let mut groups = vec![0.0; n.div_ceil(height) * height * terms];
    for (row, values) in rows.chunks_exact(n).enumerate() {
        for (group, values) in values.chunks(height).enumerate() {
            let place = (group * terms + row) * height;
            groups[place..place + values.len()].copy_from_slice(values);
        }
    }
    groups
}

/// The left factor: entry (i, l) is at `i·ROW + l % PANEL · term + l / PANEL · panel`.
#[derive(Clone, Copy)]
struct Left<'a, const ROW: usize> {
    values: &'a [f32],
    term: usize,
    panel: usize,
}

/// The factors of the products of a panel: entry (l, j) of the right one is at `l·PANEL + j`.
#[derive(Clone, Copy)]
struct Factors<'a, const ROW: usize> {
    left: Left<'a, ROW>,
    right: &'a [f32],
    terms: usize,
}

/// Adds m rows of products with the columns of a panel to rows that begin `pitch` numbers apart.
#[inline(always)]
fn add_panel<M: Machine, const ROW: usize>(
    factors: Factors<'_, ROW>,
    m: usize,
    columns: usize,
    out: &mut [f64],
    pitch: usize,
) {
    let Factors { left, right, terms } = factors;
    let last = terms - 1;
    let end = (m - 1) * ROW + last % PANEL * left.term + last / PANEL * left.panel;
    assert!(end < left.values.len() && terms * PANEL <= right.len());
    let lanes = M::Vector::LANES;
    for first in (0..columns).step_by(2 * lanes) {
        let width = (columns - first).min(2 * lanes);
        let mut row = 0;
        while row < m {
            let tile = Tile {
                factors,
                first,
                width,
                row,
            };
            let out = &mut out[row * pitch + first..];
            // SAFETY: the assertion above, for rows below m and columns inside a panel.
            row += unsafe {
                if width > lanes {
                    add_tallest::<M, ROW, 2>(tile, m - row, out, pitch)
                } else {
                    add_tallest::<M, ROW, 1>(tile, m - row, out, pitch)
                }
            };
        }
    }
}

/// Rows of the products of a panel, from one on, in so many columns from a first one on.
#[derive(Clone, Copy)]
struct Tile<'a, const ROW: usize> {
    factors: Factors<'a, ROW>,
    first: usize,
    width: usize,
    row: usize,
}

/// Rows of a tile of two vectors that fit into the registers.
const fn tallest<M: Machine>() -> usize {
    if M::ROWS == 8 { 12 } else { 6 }
}

/// Adds a tile of as many rows as fit into the registers, and returns their number.
///
/// # Safety
/// The factors have so many rows, and N vectors from the first column on.
#[inline(always)]
unsafe fn add_tallest<M: Machine, const ROW: usize, const N: usize>(
    tile: Tile<'_, ROW>,
    rows: usize,
    out: &mut [f64],
    pitch: usize,
) -> usize {
    // SAFETY: as the caller promises, in each case for as many rows as there are.
    unsafe {
        if tallest::<M>() == 12 && rows >= 12 {
            add_tile::<M::Vector, ROW, 12, N>(tile, out, pitch);
            12
        } else if tallest::<M>() == 6 && rows >= 6 {
            add_tile::<M::Vector, ROW, 6, N>(tile, out, pitch);
            6
        } else if rows >= 4 {
            add_tile::<M::Vector, ROW, 4, N>(tile, out, pitch);
            4
        } else {
            add_tile::<M::Vector, ROW, 1, N>(tile, out, pitch);
            1
        }
    }
}

/// Adds a tile of R rows and N vectors.
///
/// # Safety
/// The factors have R rows from the first one on, and N vectors from the first column on.
#[inline(always)]
unsafe fn add_tile<V: Vector, const ROW: usize, const R: usize, const N: usize>(
    tile: Tile<'_, ROW>,
    out: &mut [f64],
    pitch: usize,
) {
    let Factors { left, right, terms } = tile.factors;
    // What the products are added to arrives while they are computed.
    for r in 0..R {
        for sums in out[r * pitch..r * pitch + tile.width].chunks(LINE) {
            V::prefetch(sums.as_ptr());
        }
    }
    let mut sums = [[V::splat(0.0); N]; R];
    let mut right = right[tile.first..].as_ptr();
    for start in (0..terms).step_by(PANEL) {
        let place = tile.row * ROW + start / PANEL * left.panel;
        let mut left_term = left.values[place..].as_ptr();
        for _ in start..terms.min(start + PANEL) {
            let mut x = [V::splat(0.0); N];
            for v in 0..N {
                // SAFETY: the caller promises N vectors of every row of the right factor.
                x[v] = unsafe { V::load(right.add(v * V::LANES)) };
            }
            for r in 0..R {
                // SAFETY: the caller promises R rows of the left factor.
                let weight = V::splat(unsafe { *left_term.add(r * ROW) });
                for v in 0..N {
                    sums[r][v] = weight.fused(x[v], sums[r][v]);
                }
            }
            left_term = left_term.wrapping_add(left.term);
            right = right.wrapping_add(PANEL);
        }
    }
    // Of at most two vectors of 16 lanes.
    let mut lanes = [[0.0_f32; PANEL]; R];
    for r in 0..R {
        for v in 0..N {
            // SAFETY: N vectors fit into a panel.
            unsafe { sums[r][v].store(lanes[r].as_mut_ptr().add(v * V::LANES)) };
        }
    }
    for (r, lanes) in lanes.iter().enumerate() {
        let out = &mut out[r * pitch..r * pitch + tile.width];
        for (out, sum) in out.iter_mut().zip(lanes) {
            *out += f64::from(*sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::limit;

    /// Numbers in [-1, 1) that look random.
    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn packed(values: &[f32], columns: usize) -> Panels {
        let mut panels = Panels::zeros(values.len() / columns, columns);
        for (row, values) in values.chunks_exact(columns).enumerate() {
            panels.set_row(row, values);
        }
        panels
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let values = numbers(5 * 70, 1);
        let mut panels = packed(&values, 70);
        panels.set(3, 69, 7.0);
        for (row, values) in values.chunks_exact(70).enumerate() {
            let mut found: Vec<f32> = panels.row(row).flatten().copied().collect();
            if row == 3 {
                assert_eq!(found.pop(), Some(7.0));
            }
            assert_eq!(found, values[..found.len()]);
        }
    }

    /// Every size of a tile, whole and partial panels, blocks and vectors. The last vector of the first ends with the memory.
    const SHAPES: [[usize; 3]; 6] = [
        [6, 33, 64],
        [1, 1, 1],
        [29, 300, 37],
        [128, 70, 64],
        [4, 256, 16],
        [7, 33, 100],
    ];

    #[test]
    fn products_add_blocks_to_what_is_there() {
        for [m, k, n] in SHAPES {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let before: Vec<f64> = numbers(m * n, 3).into_iter().map(f64::from).collect();
            let check = |set, rows_beyond| {
                let mut out = before.clone();
                let mut left = Panels::zeros(m + rows_beyond, k);
                for (row, values) in a.chunks_exact(k).enumerate() {
                    left.set_row(row, values);
                }
                add_product(m, &left, &packed(&b, n), 64, &mut out);
                for (place, out) in out.iter().enumerate() {
                    let (i, j) = (place / n, place % n);
                    let term = |l: usize| f64::from(a[i * k + l]) * f64::from(b[l * n + j]);
                    let sum: f64 = (0..k).map(term).sum();
                    let size: f64 = (0..k).map(|l| term(l).abs()).sum();
                    let error = (out - before[place] - sum).abs();
                    assert!(error <= 1e-6 * size, "{set:?} {m} {k} {n}: {error:e}");
                }
            };
            limit::each(|set| [0, 3].into_iter().for_each(|rows| check(set, rows)));
        }
    }

    #[test]
    fn transposed_products_are_added_to_what_is_there() {
        for [m, k, n] in SHAPES {
            let (a, b) = (numbers(m * n, 1), numbers(m * k, 2));
            let before: Vec<f64> = numbers(n * k, 3).into_iter().map(f64::from).collect();
            limit::each(|set| {
                let mut out = before.clone();
                add_transposed_product(&a, n, &packed(&b, k), &mut out);
                for (place, out) in out.iter().enumerate() {
                    let (i, j) = (place / k, place % k);
                    let term = |l: usize| f64::from(a[l * n + i]) * f64::from(b[l * k + j]);
                    let sum: f64 = (0..m).map(term).sum();
                    let size: f64 = (0..m).map(|l| term(l).abs()).sum();
                    let error = (out - before[place] - sum).abs();
                    assert!(error <= 1e-6 * size, "{set:?} {m} {k} {n}: {error:e}");
                }
            });
        }
    }

    #[test]
    fn sums_of_fused_operations_have_the_same_bits_on_every_machine() {
        let (m, k, n, block) = (29, 300, 37, 256);
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        let mut sums = vec![0.0; m * n];
        for start in (0..k).step_by(block) {
            for (place, total) in sums.iter_mut().enumerate() {
                let (i, j) = (place / n, place % n);
                let sum = (start..k.min(start + block))
                    .fold(0.0_f32, |sum, l| a[i * k + l].mul_add(b[l * n + j], sum));
                *total += f64::from(sum);
            }
        }
        let (a, b) = (packed(&a, k), packed(&b, n));
        limit::each(|set| {
            if set != crate::simd::InstructionSet::Portable {
                let mut out = vec![0.0; m * n];
                add_product(m, &a, &b, block, &mut out);
                assert_eq!(out, sums, "{set:?}");
            }
        });
    }
}
