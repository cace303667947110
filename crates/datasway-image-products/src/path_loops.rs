//! The loops over the rows of a path.

use super::simd::multiversion;

multiversion! {
    /// `S·(⟨G, y⟩ − b)` of one image at R rows.
    pub(super) fn terms(sums: &[f32], even: &[f64], bases: &[f64], out: &mut [f32]) = terms_body
}

#[inline(always)]
fn terms_body(sums: &[f32], even: &[f64], bases: &[f64], out: &mut [f32]) {
    let products = even.iter().zip(bases);
    for ((out, sum), (even, base)) in out.iter_mut().zip(sums).zip(products) {
        *out = (f64::from(*sum) * (even - base)) as f32;
    }
}

multiversion! {
    /// [`terms`] of an image and its mirror image, `S·(⟨G, y⟩_e − b) + Δ·⟨G, y⟩_o`.
    pub(super) fn mirrored_terms(
        sums: &[f32],
        differences: &[f32],
        even: &[f64],
        odd: &[f64],
        bases: &[f64],
        out: &mut [f32],
    ) = mirrored_terms_body
}

#[inline(always)]
fn mirrored_terms_body(
    sums: &[f32],
    differences: &[f32],
    even: &[f64],
    odd: &[f64],
    bases: &[f64],
    out: &mut [f32],
) {
    let masses = sums.iter().zip(differences);
    let products = even.iter().zip(odd).zip(bases);
    for ((out, (sum, difference)), ((even, odd), base)) in out.iter_mut().zip(masses).zip(products)
    {
        *out = (f64::from(*sum) * (even - base) + f64::from(*difference) * odd) as f32;
    }
}

multiversion! {
    /// `w·F·((P − b·S) + (b − ⟨G, D⟩)·S)` of one image at R rows.
    pub(super) fn contributions(
        terms: &[f32],
        sums: &[f32],
        shifts: &[f64],
        scales: &[f64],
        out: &mut [f64],
    ) = contributions_body
}

#[inline(always)]
fn contributions_body(
    terms: &[f32],
    sums: &[f32],
    shifts: &[f64],
    scales: &[f64],
    out: &mut [f64],
) {
    let factors = shifts.iter().zip(scales);
    let pairs = terms.iter().zip(sums);
    for ((out, (term, sum)), (shift, scale)) in out.iter_mut().zip(pairs).zip(factors) {
        *out = (f64::from(*term) + shift * f64::from(*sum)) * scale;
    }
}

multiversion! {
    /// `sums += |terms|`.
    pub(super) fn add_sizes(terms: &[f64], sums: &mut [f64]) = add_sizes_body
}

#[inline(always)]
fn add_sizes_body(terms: &[f64], sums: &mut [f64]) {
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum += term.abs();
    }
}

multiversion! {
    /// `sums += terms`.
    pub(super) fn add(terms: &[f64], sums: &mut [f64]) = add_body
}

#[inline(always)]
fn add_body(terms: &[f64], sums: &mut [f64]) {
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum += term;
    }
}

multiversion! {
    /// `sums += terms`, of f32.
    pub(super) fn add_masses(terms: &[f32], sums: &mut [f64]) = add_masses_body
}

#[inline(always)]
fn add_masses_body(terms: &[f32], sums: &mut [f64]) {
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum += f64::from(*term);
    }
}
