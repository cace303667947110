//! Smooth synthetic pictures and curves for tests of the page.

/// A disc of one colour before another, of shape 3×side×side in [-1, 1]; `seed` moves and colours it.
pub fn picture(seed: usize, side: usize) -> Vec<f32> {
    let t = seed as f32;
    let (cx, cy) = (0.5 + 0.15 * (t * 1.7).sin(), 0.5 + 0.12 * (t * 2.3).cos());
    let mut values = Vec::with_capacity(3 * side * side);
    for channel in 0..3 {
        let hue = (t * 0.9 + channel as f32 * 2.1).sin();
        for y in 0..side {
            for x in 0..side {
                let (u, v) = (x as f32 / side as f32 - cx, y as f32 / side as f32 - cy);
                let inside = 1.0 / (1.0 + ((u.hypot(v) - 0.28) * 40.0).exp());
                values.push(
                    (inside * (0.45 + 0.4 * hue) + (1.0 - inside) * (-0.5 - 0.3 * hue * v))
                        .clamp(-1.0, 1.0),
                );
            }
        }
    }
    values
}

/// A signed wave under a bell, of the same shape; `size` scales it.
pub fn delta(seed: usize, side: usize, size: f32) -> Vec<f32> {
    let t = seed as f32;
    let mut values = Vec::with_capacity(3 * side * side);
    for channel in 0..3 {
        for y in 0..side {
            for x in 0..side {
                let (u, v) = (x as f32 / side as f32 - 0.5, y as f32 / side as f32 - 0.45);
                let bell = (-(u * u + v * v) * 14.0).exp();
                values.push(
                    size * bell
                        * (9.0 * u + t).sin()
                        * (7.0 * v + 0.3 * t + 0.2 * channel as f32).cos(),
                );
            }
        }
    }
    values
}

/// log r on an 18-step Karras grid from 80 down to 0.
pub fn log_ratio(seed: usize) -> Vec<(f64, f64)> {
    let t = seed as f64;
    (0..=18)
        .map(|k| {
            let root = 80f64.powf(1.0 / 7.0)
                + k as f64 / 17.0 * (0.002f64.powf(1.0 / 7.0) - 80f64.powf(1.0 / 7.0));
            let sigma = if k == 18 { 0.0 } else { root.powi(7) };
            let fall = 8.0 * (0.4 + (t * 1.3).sin().abs()) / (1.0 + sigma);
            (
                sigma,
                1.6 * (t * 0.7).sin() * (-(sigma.max(1e-3).ln() - 1.0).powi(2) / 2.0).exp()
                    - fall * 0.2,
            )
        })
        .collect()
}
