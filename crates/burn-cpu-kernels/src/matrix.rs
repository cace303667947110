//! Small matrix products, which keep the sums of a tile in registers.

use std::mem::MaybeUninit;

use crate::simd::{Machine, Vector};

/// Number of rows of a tile of inner products.
const ROWS: usize = 4;

/// A matrix inside a slice: entry `(i, j)` is at `i·row + j·column`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub values: &'a [f32],
    pub row: usize,
    pub column: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `pitch` values one after the other.
    pub fn rows(values: &'a [f32], pitch: usize) -> Self {
        Self {
            values,
            row: pitch,
            column: 1,
        }
    }

    /// The transpose of [`rows`](Self::rows).
    pub fn columns(values: &'a [f32], pitch: usize) -> Self {
        Self {
            values,
            row: 1,
            column: pitch,
        }
    }

    /// True if all entries of `rows` × `columns` lie inside the slice.
    fn holds(&self, rows: usize, columns: usize) -> bool {
        (rows - 1) * self.row + (columns - 1) * self.column < self.values.len()
    }
}

/// `out = a·b + start`, where `a` is `[m, k]`, `b` and `out` are rows of `n` values, and `start` holds a value for each
/// row. Every entry is one sum over k in order. All of `out` is written.
#[inline(always)]
pub(crate) fn multiply<M: Machine>(
    (m, k, n): (usize, usize, usize),
    a: Matrix<'_>,
    b: &[f32],
    start: Option<&[f32]>,
    out: &mut [MaybeUninit<f32>],
) {
    assert!(a.holds(m, k) && b.len() >= k * n && out.len() >= m * n);
    assert!(start.is_none_or(|start| start.len() >= m));
    let lanes = M::Vector::LANES;
    if n < lanes {
        for i in 0..m {
            for j in 0..n {
                let mut sum = start.map_or(0.0, |start| start[i]);
                for l in 0..k {
                    sum += a.values[i * a.row + l * a.column] * b[l * n + j];
                }
                out[i * n + j].write(sum);
            }
        }
        return;
    }
    let vectors = n.div_ceil(lanes);
    let width = vectors.div_ceil(vectors.div_ceil(M::VECTORS));
    let mut first = 0;
    while first < vectors {
        let count = width.min(vectors - first);
        match count {
            1 => panel::<M, 1>((m, k, n), first, a, b, start, out),
            2 => panel::<M, 2>((m, k, n), first, a, b, start, out),
            _ => panel::<M, 3>((m, k, n), first, a, b, start, out),
        }
        first += count;
    }
}

/// All rows of `N` vectors, in tiles as high as the registers allow.
#[inline(always)]
fn panel<M: Machine, const N: usize>(
    (m, k, n): (usize, usize, usize),
    first: usize,
    a: Matrix<'_>,
    b: &[f32],
    start: Option<&[f32]>,
    out: &mut [MaybeUninit<f32>],
) {
    let mut i = 0;
    while i < m {
        if M::ROWS == 8 && m - i > 4 {
            tile::<M::Vector, 8, N>((m, k, n), (i, first), a, b, start, out);
            i += 8;
        } else {
            tile::<M::Vector, 4, N>((m, k, n), (i, first), a, b, start, out);
            i += 4;
        }
    }
}

/// `R` rows of `N` vectors. Beyond the last row the last is computed again; the last vector of a row ends with it.
#[inline(always)]
fn tile<V: Vector, const R: usize, const N: usize>(
    (m, k, n): (usize, usize, usize),
    (i, first): (usize, usize),
    a: Matrix<'_>,
    b: &[f32],
    start: Option<&[f32]>,
    out: &mut [MaybeUninit<f32>],
) {
    let mut columns = [0; N];
    for v in 0..N {
        columns[v] = ((first + v) * V::LANES).min(n - V::LANES);
    }
    let mut rows = [0; R];
    let mut sums = [[V::splat(0.0); N]; R];
    for r in 0..R {
        rows[r] = (i + r).min(m - 1);
        if let Some(start) = start {
            sums[r] = [V::splat(start[rows[r]]); N];
        }
    }
    for l in 0..k {
        let mut x = [V::splat(0.0); N];
        for v in 0..N {
            // SAFETY: l < k and columns[v] ≤ n − lanes, and `multiply` checked that b holds k rows of n.
            x[v] = unsafe { V::load(b.as_ptr().add(l * n + columns[v])) };
        }
        for r in 0..R {
            // SAFETY: rows[r] < m and l < k, and `multiply` checked that a holds them.
            let weight = unsafe { *a.values.get_unchecked(rows[r] * a.row + l * a.column) };
            let weight = V::splat(weight);
            for v in 0..N {
                sums[r][v] = weight.fused(x[v], sums[r][v]);
            }
        }
    }
    for r in 0..R {
        for v in 0..N {
            let place = rows[r] * n + columns[v];
            // SAFETY: rows[r] < m and columns[v] ≤ n − lanes, and `multiply` checked that out holds m rows of n.
            unsafe { sums[r][v].store(out.as_mut_ptr().add(place).cast()) };
        }
    }
}

/// `out += a·bᵀ`, where `a` is m and `b` is n rows of `k` values, and `out` m rows of n.
#[inline(always)]
pub(crate) fn correlate<M: Machine>(
    (m, k, n): (usize, usize, usize),
    a: &[f32],
    b: &[f32],
    out: &mut [f32],
) {
    assert!(a.len() >= m * k && b.len() >= n * k && out.len() >= m * n);
    for i in (0..m).step_by(ROWS) {
        for j in (0..n).step_by(ROWS) {
            if M::ROWS == 8 {
                inner::<M::Vector, ROWS>((m, k, n), (i, j), a, b, out);
            } else {
                inner::<M::Vector, 2>((m, k, n), (i, j), a, b, out);
                if i + 2 < m {
                    inner::<M::Vector, 2>((m, k, n), (i + 2, j), a, b, out);
                }
            }
        }
    }
}

/// `N` rows of `a` with four of `b`. Beyond the last row the last is computed again, and not added.
#[inline(always)]
fn inner<V: Vector, const N: usize>(
    (m, k, n): (usize, usize, usize),
    (i, j): (usize, usize),
    a: &[f32],
    b: &[f32],
    out: &mut [f32],
) {
    let whole = k / V::LANES * V::LANES;
    let (mut rows, mut others) = ([0; N], [0; ROWS]);
    for r in 0..N {
        rows[r] = (i + r).min(m - 1) * k;
    }
    for s in 0..ROWS {
        others[s] = (j + s).min(n - 1) * k;
    }
    let mut products = [[V::splat(0.0); ROWS]; N];
    for offset in (0..whole / V::LANES).map(|vector| vector * V::LANES) {
        let mut y = [V::splat(0.0); ROWS];
        for s in 0..ROWS {
            // SAFETY: a row below n from a place at most k − lanes, and `correlate` checked that b holds n rows of k.
            y[s] = unsafe { V::load(b.as_ptr().add(others[s] + offset)) };
        }
        for r in 0..N {
            // SAFETY: the same for a, which holds m rows of k.
            let x = unsafe { V::load(a.as_ptr().add(rows[r] + offset)) };
            for s in 0..ROWS {
                products[r][s] = x.fused(y[s], products[r][s]);
            }
        }
    }
    for r in 0..N.min(m - i) {
        let totals = V::totals(products[r]);
        for s in 0..ROWS.min(n - j) {
            let mut sum = totals[s];
            for l in whole..k {
                sum += a[rows[r] + l] * b[others[s] + l];
            }
            out[(i + r) * n + j + s] += sum;
        }
    }
}
