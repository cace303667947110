//! The vectors of NEON, the instructions that 64-bit ARM processors have.
//!
//! The compiler makes products of NEON from [arrays](super::portable) too, but transposes whole tiles of inner products to
//! add their lanes up.

use std::arch::aarch64::{
    float32x4_t, vaddq_f32, vdupq_n_f32, vfmaq_f32, vld1q_f32, vpaddq_f32, vst1q_f32, vsubq_f32,
    vuzp1q_f32, vuzp2q_f32, vzip1q_f32, vzip2q_f32,
};

use super::{Machine, Vector};

/// NEON, with 32 registers. A tile of four rows by three vectors, two registers each, takes 31 of them.
pub(crate) struct Neon;

impl Machine for Neon {
    const FUSED: bool = true;
    const ROWS: usize = 4;
    const VECTORS: usize = 3;
    type Vector = Pair;
}

/// Two registers of four f32.
#[derive(Clone, Copy)]
pub(crate) struct Pair(float32x4_t, float32x4_t);

impl Vector for Pair {
    const PARTS: usize = 1;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: NEON was detected, see `multiversion`.
        unsafe { Self(vdupq_n_f32(value), vdupq_n_f32(value)) }
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: NEON was detected; the caller promises eight readable values.
        unsafe { Self(vld1q_f32(source), vld1q_f32(source.add(4))) }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: NEON was detected; the caller promises eight writable values.
        unsafe {
            vst1q_f32(target, self.0);
            vst1q_f32(target.add(4), self.1);
        }
    }

    #[inline(always)]
    fn plus(self, b: Self) -> Self {
        // SAFETY: NEON was detected.
        unsafe { Self(vaddq_f32(self.0, b.0), vaddq_f32(self.1, b.1)) }
    }

    #[inline(always)]
    fn minus(self, b: Self) -> Self {
        // SAFETY: NEON was detected.
        unsafe { Self(vsubq_f32(self.0, b.0), vsubq_f32(self.1, b.1)) }
    }

    #[inline(always)]
    fn fused(self, b: Self, c: Self) -> Self {
        // SAFETY: NEON was detected.
        unsafe { Self(vfmaq_f32(c.0, self.0, b.0), vfmaq_f32(c.1, self.1, b.1)) }
    }

    #[inline(always)]
    fn split(a: Self, b: Self) -> (Self, Self) {
        // SAFETY: NEON was detected.
        unsafe {
            (
                Self(vuzp1q_f32(a.0, a.1), vuzp1q_f32(b.0, b.1)),
                Self(vuzp2q_f32(a.0, a.1), vuzp2q_f32(b.0, b.1)),
            )
        }
    }

    #[inline(always)]
    fn join(even: Self, odd: Self) -> (Self, Self) {
        // SAFETY: NEON was detected.
        unsafe {
            (
                Self(vzip1q_f32(even.0, odd.0), vzip2q_f32(even.0, odd.0)),
                Self(vzip1q_f32(even.1, odd.1), vzip2q_f32(even.1, odd.1)),
            )
        }
    }

    #[inline(always)]
    fn totals([a, b, c, d]: [Self; 4]) -> [f32; 4] {
        // SAFETY: NEON was detected; four f32 are four f32.
        unsafe {
            let [a, b] = [vpaddq_f32(a.0, a.1), vpaddq_f32(b.0, b.1)];
            let [c, d] = [vpaddq_f32(c.0, c.1), vpaddq_f32(d.0, d.1)];
            std::mem::transmute(vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)))
        }
    }
}
