//! Baseline: the shift of the mean.

use super::context::BaselineContext;

/// `mean(ν) − mean(ρ)` for every sample, `[n, d]`.
pub(super) fn displacements(context: &BaselineContext<'_>) -> Vec<f32> {
    let d = context.dim();
    let mut mean = vec![0.0f64; d];
    for image in context.images.chunks_exact(d) {
        mean.iter_mut()
            .zip(image)
            .for_each(|(sum, y)| *sum += f64::from(*y));
    }
    let count = (context.images.len() / d) as f64;
    let shift = mean.iter().zip(context.data_mean);
    let shift: Vec<f32> = shift
        .map(|(sum, data)| (sum / count) as f32 - data)
        .collect();
    shift.repeat(context.samples.len() / d)
}
