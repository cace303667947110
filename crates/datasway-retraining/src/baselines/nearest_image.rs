//! Baseline: the nearest image.

use super::context::BaselineContext;

/// Displacements from each sample to the nearest image of ν, `[n, d]`.
pub(super) fn displacements(context: &BaselineContext<'_>) -> Vec<f32> {
    let d = context.dim();
    let distances = context.squared_distances();
    let rows = distances.chunks_exact(context.images.len() / d);
    rows.zip(context.samples.chunks_exact(d))
        .flat_map(|(row, x)| {
            let nearest = (0..row.len()).min_by(|&i, &j| row[i].total_cmp(&row[j]));
            let start = d * nearest.unwrap_or_default();
            let image = &context.images[start..start + d];
            image.iter().zip(x).map(|(y, x)| y - x)
        })
        .collect()
}
