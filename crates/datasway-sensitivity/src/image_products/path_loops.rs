//! The loops over the rows of a path.

use super::layout::LEVELS;
use super::simd::{exp, multiversion};

multiversion! {
    /// `(⟨G, y⟩ − ⟨G, D⟩)/127.5`, of grey levels about the centre.
    pub(super) fn differences(products: &[f64], centers: &[f64], out: &mut [f64]) = differences_body
}

#[inline(always)]
fn differences_body(products: &[f64], centers: &[f64], out: &mut [f64]) {
    for ((out, product), center) in out.iter_mut().zip(products).zip(centers) {
        *out = (product - center) * (1.0 / LEVELS);
    }
}

multiversion! {
    /// [`differences`] of an image and of its mirror image.
    pub(super) fn mirrored_differences(even: &[f64], odd: &[f64], centers: &[f64], upright: &mut [f64], turned: &mut [f64]) = mirrored_differences_body
}

#[inline(always)]
fn mirrored_differences_body(
    even: &[f64],
    odd: &[f64],
    centers: &[f64],
    upright: &mut [f64],
    turned: &mut [f64],
) {
    let outs = upright.iter_mut().zip(turned);
    for (((upright, turned), (even, odd)), center) in outs.zip(even.iter().zip(odd)).zip(centers) {
        *upright = (even + odd - center) * (1.0 / LEVELS);
        *turned = (even - odd - center) * (1.0 / LEVELS);
    }
}

multiversion! {
    /// `e^{l − q} = e^{l − top}·e^{top − q}` of terms `[c, R]`.
    pub(super) fn ratios(logs: &[f64], tops: &[f64], factors: &[f64], out: &mut [f64]) = ratios_body
}

#[inline(always)]
fn ratios_body(logs: &[f64], tops: &[f64], factors: &[f64], out: &mut [f64]) {
    let rows = tops.len();
    for (out, logs) in out.chunks_exact_mut(rows).zip(logs.chunks_exact(rows)) {
        let points = tops.iter().zip(factors);
        for ((out, log), (top, factor)) in out.iter_mut().zip(logs).zip(points) {
            *out = exp(log - top) * factor;
        }
    }
}

multiversion! {
    /// `sums += ratios·along·shares`.
    pub(super) fn add_products(ratios: &[f64], along: &[f64], shares: &[f64], sums: &mut [f64]) = add_products_body
}

#[inline(always)]
fn add_products_body(ratios: &[f64], along: &[f64], shares: &[f64], sums: &mut [f64]) {
    let factors = along.iter().zip(shares);
    for ((sum, ratio), (along, share)) in sums.iter_mut().zip(ratios).zip(factors) {
        *sum += ratio * along * share;
    }
}
