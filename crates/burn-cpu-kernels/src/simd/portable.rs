//! The vector of every machine, an array.

use super::{Machine, PART, Vector};

/// The machine of which nothing is known.
pub(crate) struct Portable;

impl Machine for Portable {
    const FUSED: bool = false;
    const ROWS: usize = 4;
    const VECTORS: usize = 3;
    type Vector = FloatArray;
}

/// Eight f32.
#[derive(Clone, Copy)]
pub(crate) struct FloatArray([f32; PART]);

impl Vector for FloatArray {
    const PARTS: usize = 1;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; PART])
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: the caller promises eight readable values; an array of f32 needs no more alignment.
        Self(unsafe { source.cast::<[f32; PART]>().read() })
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: the caller promises eight writable values; an array of f32 needs no more alignment.
        unsafe { target.cast::<[f32; PART]>().write(self.0) }
    }

    #[inline(always)]
    fn plus(self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + b.0[i]))
    }

    #[inline(always)]
    fn minus(self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - b.0[i]))
    }

    #[inline(always)]
    fn fused(self, b: Self, c: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * b.0[i] + c.0[i]))
    }

    #[inline(always)]
    fn split(a: Self, b: Self) -> (Self, Self) {
        let joined = |i: usize| if i < PART { a.0[i] } else { b.0[i - PART] };
        (
            Self(std::array::from_fn(|i| joined(2 * i))),
            Self(std::array::from_fn(|i| joined(2 * i + 1))),
        )
    }

    #[inline(always)]
    fn join(even: Self, odd: Self) -> (Self, Self) {
        let joined = |i: usize| {
            if i.is_multiple_of(2) {
                even.0[i / 2]
            } else {
                odd.0[i / 2]
            }
        };
        (
            Self(std::array::from_fn(joined)),
            Self(std::array::from_fn(|i| joined(PART + i))),
        )
    }

    #[inline(always)]
    fn totals(vectors: [Self; 4]) -> [f32; 4] {
        vectors.map(|vector| vector.0.iter().sum())
    }
}
