//! The nearest image.

use super::Scene;

/// From each sample to the image of ν at the smallest distance.
pub fn displace(scene: &Scene<'_>) -> Vec<f32> {
    let d = scene.dim();
    let distances = scene.squared_distances();
    let rows = distances.chunks_exact(scene.images.len() / d);
    rows.zip(scene.samples.chunks_exact(d))
        .flat_map(|(row, x)| {
            let nearest = (0..row.len()).min_by(|&i, &j| row[i].total_cmp(&row[j]));
            let start = d * nearest.unwrap_or_default();
            let image = &scene.images[start..start + d];
            image.iter().zip(x).map(|(y, x)| y - x)
        })
        .collect()
}
