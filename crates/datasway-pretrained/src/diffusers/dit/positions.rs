//! The embedding of the positions of patches.

/// Sines and cosines of the position of each patch, `[side·side, channels]`: the first half of the channels encodes the column,
/// the second the row, each by sines, then cosines, of `position·10000^(−i/(channels/4))`.
///
/// The values are rounded to single precision, as diffusers keeps them.
pub fn positions(side: usize, channels: usize) -> Vec<f64> {
    let quarter = channels / 4;
    let mut values = Vec::with_capacity(side * side * channels);
    for place in 0..side * side {
        for position in [place % side, place / side] {
            let phase = |i: usize| position as f64 / 10000_f64.powf(i as f64 / quarter as f64);
            values.extend((0..quarter).map(|i| phase(i).sin()));
            values.extend((0..quarter).map(|i| phase(i).cos()));
        }
    }
    values
        .into_iter()
        .map(|value| f64::from(value as f32))
        .collect()
}
