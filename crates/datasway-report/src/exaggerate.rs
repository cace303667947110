//! Scaling of small changes of a picture to visible ones.

use crate::Picture;

/// Root mean square of a scaled change, in pixels of [-1, 1].
const EXAGGERATED_RMS: f64 = 0.25;

/// The factor c that makes a change δ visible, rounded to two digits; 1 for a zero change.
pub fn exaggeration(delta: &Picture<'_>) -> f64 {
    let finite: Vec<f64> = delta
        .values
        .iter()
        .map(|&v| f64::from(v))
        .filter(|v| v.is_finite())
        .collect();
    let rms = (finite.iter().map(|v| v * v).sum::<f64>() / finite.len().max(1) as f64).sqrt();
    if rms <= 0.0 {
        return 1.0;
    }
    format!("{:.1e}", EXAGGERATED_RMS / rms)
        .parse()
        .unwrap_or(1.0)
}

/// The values of `x + c·δ`, or of x where δ is not finite.
pub fn moved(sample: &Picture<'_>, delta: &Picture<'_>, c: f64) -> Vec<f32> {
    let pixels = sample.values.iter().zip(delta.values);
    pixels
        .map(|(&x, &d)| {
            if d.is_finite() {
                (f64::from(x) + c * f64::from(d)) as f32
            } else {
                x
            }
        })
        .collect()
}
