//! The influences of a batch, put together from passes over some of its paths.

use std::ops::Range;

use super::accumulated::BatchInfluences;
use datasway_image_products::PathInfluences;

/// Numbers of an evaluation for each of n paths, put together from the passes.
pub(super) struct Assembled {
    pub results: BatchInfluences,
    /// q, `[P, n]`.
    pub log_densities: Vec<f64>,
    /// `⟨G, D⟩`, `[P, K, n]`.
    pub at_center: Vec<f64>,
    /// K, n, P, S and m.
    pub shape: [usize; 5],
}

impl Assembled {
    pub fn new(shape: [usize; 5]) -> Self {
        let [k, n, p, s, m] = shape;
        Self {
            results: BatchInfluences {
                influence: vec![0.0; k * n * m],
                by_step: vec![0.0; k * n * s * m],
                strength: vec![0.0; k * n * p],
                balance: vec![0.0; n * p],
            },
            log_densities: vec![0.0; p * n],
            at_center: vec![0.0; p * k * n],
            shape,
        }
    }

    /// Takes the results of some paths, with the indices of their evaluations.
    pub fn take(&mut self, pass: &PathInfluences, weighted: &[usize], paths: Range<usize>) {
        let [k, n, evaluations, s, m] = self.shape;
        let (first, width, rows) = (paths.start, paths.len(), weighted.len() * paths.len());
        for functional in 0..k {
            for i in 0..width {
                let (row, of_pass) = (functional * n + first + i, functional * width + i);
                let put = |whole: &mut [f32], part: &[f32], length: usize| {
                    let part = &part[of_pass * length..(of_pass + 1) * length];
                    whole[row * length..(row + 1) * length].copy_from_slice(part);
                };
                put(&mut self.results.influence, &pass.influence, m);
                put(&mut self.results.by_step, &pass.by_group, s * m);
                for (place, &p) in weighted.iter().enumerate() {
                    let of_pass = functional * rows + place * width + i;
                    let mean = pass.strength[of_pass] / m as f64;
                    self.results.strength[row * evaluations + p] = mean as f32;
                    self.at_center[(p * k + functional) * n + first + i] = pass.at_center[of_pass];
                }
            }
        }
        for i in 0..width {
            for (place, &p) in weighted.iter().enumerate() {
                let row = place * width + i;
                let mean = pass.balance[row] / m as f64;
                self.results.balance[(first + i) * evaluations + p] = mean as f32;
                self.log_densities[p * n + first + i] = pass.log_densities[row];
            }
        }
    }
}
