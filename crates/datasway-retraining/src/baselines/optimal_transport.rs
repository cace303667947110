//! Baseline: entropic optimal transport (Cuturi 2013), by Sinkhorn's iterations in the logarithmic domain.

use super::context::BaselineContext;

/// Largest number of iterations.
const MAX_ITERATIONS: usize = 500;

/// Largest relative error of the row sums of the plan.
const TOLERANCE: f64 = 1e-3;

/// Displacements from each sample `x_i` to the mean of its partners, `Σ_j P_ij·y_j / Σ_j P_ij − x_i`, `[n, d]`.
///
/// The plan P between samples and images, each set of equal masses, minimises `Σ P·‖x − y‖² − ε·entropy(P)`.
/// ε is `epsilon` times the mean squared distance.
pub(super) fn displacements(context: &BaselineContext<'_>, epsilon: f64) -> Vec<f32> {
    let d = context.dim();
    let (n, m) = (context.samples.len() / d, context.images.len() / d);
    let mut kernel = context.squared_distances();
    let epsilon = epsilon * kernel.iter().sum::<f64>() / kernel.len() as f64;
    kernel.iter_mut().for_each(|cost| *cost /= -epsilon);

    // P_ij = exp(f_i + g_j + kernel_ij), rows of mass 1/n and columns of mass 1/m.
    let (row_mass, column_mass) = (-(n as f64).ln(), -(m as f64).ln());
    let (mut f, mut g) = (vec![0.0; n], vec![0.0; m]);
    for _ in 0..MAX_ITERATIONS {
        let mut worst: f64 = 0.0;
        for (f, row) in f.iter_mut().zip(kernel.chunks_exact(m)) {
            let new = row_mass - log_sum_exp(row.iter().zip(&g).map(|(k, g)| k + g));
            worst = worst.max(((*f - new).exp() - 1.0).abs());
            *f = new;
        }
        if worst < TOLERANCE {
            break;
        }
        for (j, g) in g.iter_mut().enumerate() {
            let column = kernel[j..].iter().step_by(m);
            *g = column_mass - log_sum_exp(column.zip(&f).map(|(k, f)| k + f));
        }
    }

    let rows = f.iter().zip(kernel.chunks_exact(m));
    rows.zip(context.samples.chunks_exact(d))
        .flat_map(|((f, row), x)| {
            let mut target = vec![0.0f64; d];
            for ((k, g), y) in row.iter().zip(&g).zip(context.images.chunks_exact(d)) {
                let mass = n as f64 * (f + g + k).exp();
                target
                    .iter_mut()
                    .zip(y)
                    .for_each(|(t, y)| *t += mass * f64::from(*y));
            }
            let moved = target.into_iter().zip(x);
            moved.map(|(t, x)| t as f32 - x).collect::<Vec<_>>()
        })
        .collect()
}

/// `log Σ exp(term)`.
fn log_sum_exp(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let top = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    top + terms.map(|term| (term - top).exp()).sum::<f64>().ln()
}
