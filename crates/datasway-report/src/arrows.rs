//! Arrows in a plane: vector fields and displacements.

use plotters::prelude::*;

use crate::ReportError;
use crate::plot::{Axes, chart, colour, drawn, legend, range, svg};
use crate::words::in_plot;

/// Arrows of one colour.
#[derive(Debug, Clone, Default)]
pub struct Arrows {
    /// Name in the legend; empty for none.
    pub name: String,
    /// `[x, y, Δx, Δy]`; arrows that are not finite are left out.
    pub arrows: Vec<[f64; 4]>,
}

/// Length of the head as a fraction of the arrow.
const HEAD: f64 = 0.3;

/// Draws sets of arrows over grey dots. Both axes cover the same range, so angles are true on a square plot.
///
/// # Errors
/// If the plot cannot be drawn.
pub fn arrow_plot(
    axes: &Axes,
    dots: &[(f64, f64)],
    sets: &[Arrows],
) -> Result<String, ReportError> {
    let kept = |set: &Arrows| -> Vec<[f64; 4]> {
        let finite = |[x, y, dx, dy]: &&[f64; 4]| [*x, *y, x + dx, y + dy].into_iter().all(drawn);
        set.arrows.iter().filter(finite).copied().collect()
    };
    let sets: Vec<(&str, Vec<[f64; 4]>)> = sets.iter().map(|set| (&*set.name, kept(set))).collect();
    let ends = sets.iter().flat_map(|set| &set.1);
    let ends = ends.flat_map(|[x, y, dx, dy]| [*x, *y, x + dx, y + dy]);
    let dots = || dots.iter().filter(|(x, y)| drawn(*x) && drawn(*y));
    let limits = range(dots().flat_map(|(x, y)| [*x, *y]).chain(ends));
    svg(axes, |area| {
        let mut chart = chart(area, axes, limits.clone(), limits)?;
        let grey = BLACK.mix(0.25).filled();
        chart.draw_series(dots().map(|dot| Circle::new(*dot, 1, grey)))?;
        for (i, (name, arrows)) in sets.iter().enumerate() {
            // The first set is drawn broad, so that it stays visible below the second one.
            let width = if i + 1 < sets.len() { 3 } else { 1 };
            let style = colour(i).stroke_width(width);
            let series =
                chart.draw_series(arrows.iter().map(|a| PathElement::new(outline(a), style)))?;
            if !name.is_empty() {
                series
                    .label(in_plot(name))
                    .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
            }
        }
        legend(&mut chart, sets.iter().map(|set| set.0), axes.legend)
    })
}

/// The shaft to the tip, and the two strokes of the head.
fn outline([x, y, dx, dy]: &[f64; 4]) -> Vec<(f64, f64)> {
    let tip = (x + dx, y + dy);
    let stroke = |side: f64| {
        (
            tip.0 - HEAD * (dx - side * dy / 2.0),
            tip.1 - HEAD * (dy + side * dx / 2.0),
        )
    };
    vec![(*x, *y), tip, stroke(1.0), tip, stroke(-1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_arrow_is_drawn_and_named() {
        let set = |name: &str, arrows: Vec<[f64; 4]>| Arrows {
            name: name.into(),
            arrows,
        };
        let sets = [
            set("real", vec![[0.0, 0.0, 1.0, 0.0], [f64::NAN; 4]]),
            set(
                "predicted",
                vec![[0.0, 0.0, 0.5, 0.5], [1.0, 1.0, 0.0, -1.0]],
            ),
        ];
        let text = arrow_plot(&Axes::default(), &[(0.5, 0.5)], &sets).unwrap();
        let strokes = |i: usize| {
            let [r, g, b] = crate::plot::PALETTE[i];
            text.matches(&format!("stroke=\"#{r:02X}{g:02X}{b:02X}\""))
                .count()
        };
        // One line for each set, and one in the legend.
        assert_eq!((strokes(0), strokes(1)), (2, 3), "{text}");
        assert!(text.contains("real") && text.contains("predicted") && !text.contains("NaN"));
    }

    #[test]
    fn a_head_lies_behind_its_tip() {
        let path = outline(&[1.0, 1.0, 2.0, 0.0]);
        assert_eq!(path[1], (3.0, 1.0));
        let close = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).hypot(a.1 - b.1) < 1e-12;
        assert!(
            close(path[2], (2.4, 0.7)) && close(path[4], (2.4, 1.3)),
            "{path:?}"
        );
    }
}
