//! The plot of a quantity of all samples over the noise level: median and quartiles.

use datasway_report::{Axes, Corner, Curve, ReportError, line_plot};
use datasway_stats::quantile;

/// Size of the plot in pixels.
const WIDTH: u32 = 420;
const HEIGHT: u32 = 270;

/// Median and quartiles over the samples of the numbers at each noise level, `(σ, one number for each sample)`, as SVG.
///
/// # Errors
/// If the plot cannot be drawn.
pub fn level_plot(quantity: &str, levels: &[(f64, Vec<f64>)]) -> Result<String, ReportError> {
    let curve = |name: &str, q: f64| {
        let filled = levels.iter().filter(|(_, values)| !values.is_empty());
        Curve {
            name: name.to_owned(),
            points: filled
                .map(|(sigma, values)| (*sigma, quantile(values, q)))
                .collect(),
        }
    };
    let curves = [
        curve("median", 0.5),
        curve("lower quartile", 0.25),
        curve("upper quartile", 0.75),
    ];
    plot(quantity, &curves)
}

/// Curves over the noise level, as SVG.
///
/// # Errors
/// If the plot cannot be drawn.
pub fn plot(quantity: &str, curves: &[Curve]) -> Result<String, ReportError> {
    let axes = Axes {
        x_label: "noise level σ (sampling runs right to left)".into(),
        y_label: quantity.into(),
        log_x: true,
        width: WIDTH,
        height: HEIGHT,
        legend: Corner::UpperLeft,
        ..Axes::default()
    };
    line_plot(&axes, curves)
}
