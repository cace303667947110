//! The mean shift.

use super::Scene;

/// `mean(ν) − mean(ρ)` for every sample.
pub fn displace(scene: &Scene<'_>) -> Vec<f32> {
    let d = scene.dim();
    let mut mean = vec![0.0f64; d];
    for image in scene.images.chunks_exact(d) {
        mean.iter_mut()
            .zip(image)
            .for_each(|(sum, y)| *sum += f64::from(*y));
    }
    let count = (scene.images.len() / d) as f64;
    let shift = mean.iter().zip(scene.data_mean);
    let shift: Vec<f32> = shift
        .map(|(sum, data)| (sum / count) as f32 - data)
        .collect();
    shift.repeat(scene.samples.len() / d)
}
