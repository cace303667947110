//! Loops of `silu(x) = x·s(x)` with `s(x) = 1/(1 + e⁻ˣ)`, and its derivative `s·(1 + x·(1 − s))`.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::simd::{Machine, multiversion};

/// Number of values of one task: small enough to balance two threads, large enough to be worth one.
const CHUNK: usize = 16 * 1024;

/// `out = silu(x)`, all of which is written.
pub fn forward(x: &[f32], out: &mut [MaybeUninit<f32>]) {
    assert_eq!(x.len(), out.len());
    let chunks = out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK));
    chunks.for_each(|(out, x)| forward_chunk(x, out));
}

/// `out = grad·silu'(x)`, which is the tangent of a direction and the pull-back of a gradient alike.
/// All of `out` is written.
pub fn derivative(x: &[f32], grad: &[f32], out: &mut [MaybeUninit<f32>]) {
    assert_eq!(x.len(), out.len());
    assert_eq!(x.len(), grad.len());
    let inputs = x.par_chunks(CHUNK).zip(grad.par_chunks(CHUNK));
    let chunks = out.par_chunks_mut(CHUNK).zip(inputs);
    chunks.for_each(|(out, (x, grad))| derivative_chunk(x, grad, out));
}

multiversion! {
    fn forward_chunk(x: &[f32], out: &mut [MaybeUninit<f32>]) = forward_body
}

#[inline(always)]
fn forward_body<M: Machine>(x: &[f32], out: &mut [MaybeUninit<f32>]) {
    for (out, &x) in out.iter_mut().zip(x) {
        out.write(x * sigmoid::<M>(x));
    }
}

multiversion! {
    fn derivative_chunk(x: &[f32], grad: &[f32], out: &mut [MaybeUninit<f32>]) = derivative_body
}

#[inline(always)]
fn derivative_body<M: Machine>(x: &[f32], grad: &[f32], out: &mut [MaybeUninit<f32>]) {
    for ((out, &x), &grad) in out.iter_mut().zip(x).zip(grad) {
        out.write(grad * slope::<M>(x));
    }
}

/// `silu'(x) = s·(1 + x·(1 − s))`.
#[inline(always)]
pub(crate) fn slope<M: Machine>(x: f32) -> f32 {
    let s = sigmoid::<M>(x);
    s * (1.0 + x * (1.0 - s))
}

/// `silu''(x) = s·(1 − s)·(2 + x·(1 − 2·s))`.
#[inline(always)]
pub(crate) fn curvature<M: Machine>(x: f32) -> f32 {
    let s = sigmoid::<M>(x);
    s * (1.0 - s) * (2.0 + x * (1.0 - 2.0 * s))
}

/// `s(x) = 1/(1 + e⁻ˣ)`.
#[inline(always)]
pub(crate) fn sigmoid<M: Machine>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<M>(-x))
}

/// `eˣ` to about one unit in the last place, without a branch, so that the loops above become SIMD:
/// `eˣ = 2ⁿ·e^r` with `n = round(x/ln 2)`, `|r| ≤ ln 2/2`, and the Taylor polynomial of degree 7 for e^r
/// (its remainder there is below 6·10⁻⁹). x is clamped to where the result is a normal number.
#[inline(always)]
pub(crate) fn exp<M: Machine>(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0; // 1.5·2²³: adding it rounds to an integer in the low bits
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let fused = |a: f32, b: f32, c: f32| {
        if M::FUSED { a.mul_add(b, c) } else { a * b + c }
    };
    let x = x.clamp(-87.0, 88.0);
    let shifted = fused(x, std::f32::consts::LOG2_E, SHIFT);
    let n = shifted - SHIFT;
    let r = fused(n, -LN2_LOW, fused(n, -LN2_HIGH, x));
    let mut p = 1.0 / 5040.0;
    for coefficient in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        p = fused(p, r, coefficient);
    }
    // The low bits of `shifted` hold n; moved into the exponent they multiply by 2ⁿ.
    f32::from_bits((shifted.to_bits() << 23).wrapping_add(p.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_is_right_to_a_few_units_in_the_last_place() {
        let mut worst = 0.0_f64;
        for i in 0..=200_000 {
            let x = -87.0 + i as f32 * (175.0 / 200_000.0);
            let truth = f64::from(x).exp();
            let mut values = vec![exp::<crate::simd::Portable>(x)];
            #[cfg(target_arch = "x86_64")]
            values.push(exp::<crate::simd::Avx2>(x));
            #[cfg(target_arch = "aarch64")]
            values.push(exp::<crate::simd::Neon>(x));
            for value in values {
                worst = worst.max((f64::from(value) / truth - 1.0).abs());
            }
        }
        assert!(worst < 3e-7, "{worst}");
    }

    #[test]
    fn not_a_number_stays_so_and_large_values_saturate() {
        let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, 0.0];
        let mut out = [0.0; 6];
        forward(&x, crate::uninit::overwritten(&mut out));
        assert!(out[0].is_nan());
        assert_eq!(&out[3..], [1e30, out[4], 0.0]);
        assert!(out[4].abs() < 1e-7);
    }
}
