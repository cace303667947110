//! Arrows of real and predicted displacements, enlarged for a plot.

use datasway_report::Arrows;
use datasway_stats::quantile;

/// Mass η of the displacements in plots.
pub(super) const MASS: f64 = 0.05;
/// Length in a plot of the 0.9 quantile of the real displacements.
const TYPICAL_LENGTH: f64 = 1.0;
/// Largest length in a plot; longer arrows are cut.
const MAX_LENGTH: f64 = 2.0;

/// Real and predicted displacements of samples at [`MASS`] on a plane, enlarged by a common factor.
pub(super) struct DisplacementArrows {
    factor: f64,
    /// Number of arrows that are cut to [`MAX_LENGTH`].
    cut: usize,
    /// The real displacements, then the predicted ones.
    pub sets: [Arrows; 2],
}

impl DisplacementArrows {
    /// Displacements of the samples at `positions`.
    pub fn new(positions: &[[f64; 2]], real: &[[f64; 2]], predicted: &[[f64; 2]]) -> Self {
        let lengths: Vec<f64> = real.iter().map(|[x, y]| x.hypot(*y)).collect();
        let factor = (TYPICAL_LENGTH / quantile(&lengths, 0.9)).round();
        let mut cut = 0;
        let mut arrows = |name: &str, displacements: &[[f64; 2]]| Arrows {
            name: name.to_owned(),
            arrows: positions
                .iter()
                .zip(displacements)
                .map(|([x, y], [dx, dy])| {
                    let [dx, dy] = [factor * dx, factor * dy];
                    let length = dx.hypot(dy);
                    if length <= MAX_LENGTH {
                        return [*x, *y, dx, dy];
                    }
                    cut += 1;
                    [*x, *y, dx * MAX_LENGTH / length, dy * MAX_LENGTH / length]
                })
                .collect(),
        };
        let sets = [arrows("real", real), arrows("predicted", predicted)];
        Self { factor, cut, sets }
    }

    /// Caption with the factor and the number of cut arrows.
    pub fn caption(&self) -> String {
        let Self { factor, cut, .. } = self;
        format!("changes at η = {MASS}, × {factor}; {cut} arrows are cut to {MAX_LENGTH} units")
    }
}
