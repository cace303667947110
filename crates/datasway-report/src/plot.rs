//! Line plots, histograms and scatter plots as SVG text.
//!
//! Text, axes and grid use `currentColor`, so one plot serves light and dark pages.

use crate::ReportError;
use crate::words::in_plot;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::ops::Range;

/// Okabe and Ito's colours without black and yellow. They are safe for the common forms of colour blindness.
pub const PALETTE: [[u8; 3]; 6] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [86, 180, 233],
    [230, 159, 0],
];

/// Titles, size and axes of a plot.
#[derive(Debug, Clone)]
pub struct Axes {
    /// Title above the plot; empty for none.
    pub title: String,
    /// Label of the horizontal axis, with its unit.
    pub x_label: String,
    /// Label of the vertical axis, with its unit.
    pub y_label: String,
    /// Logarithmic horizontal axis ([`line_plot`] only): points at or below zero are left out.
    pub log_x: bool,
    /// Corner of the legend.
    pub legend: Corner,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Largest number of labels of the vertical axis.
    pub y_ticks: usize,
}

/// A corner of a plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corner {
    /// Upper right, the default.
    UpperRight,
    /// Lower left, which falling curves leave free.
    LowerLeft,
    /// Upper left, which rising points leave free.
    UpperLeft,
}

impl Corner {
    fn position(self) -> SeriesLabelPosition {
        match self {
            Self::UpperRight => SeriesLabelPosition::UpperRight,
            Self::LowerLeft => SeriesLabelPosition::LowerLeft,
            Self::UpperLeft => SeriesLabelPosition::UpperLeft,
        }
    }
}

impl Default for Axes {
    fn default() -> Self {
        let empty = String::new;
        Self {
            title: empty(),
            x_label: empty(),
            y_label: empty(),
            log_x: false,
            legend: Corner::UpperRight,
            width: 560,
            height: 320,
            y_ticks: 6,
        }
    }
}

/// A named line or named dots.
#[derive(Debug, Clone, Default)]
pub struct Curve {
    /// Name in the legend; empty for none.
    pub name: String,
    /// (x, y); points that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

pub(crate) type Failure = Box<dyn std::error::Error>;
pub(crate) type Drawn = Result<(), Failure>;
pub(crate) type Area<'b> = DrawingArea<SVGBackend<'b>, Shift>;
pub(crate) type Chart<'a, 'b, X> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, RangedCoordf64>>;

pub(crate) fn svg(
    axes: &Axes,
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String, ReportError> {
    let mut text = String::new();
    let drawn = {
        let area =
            SVGBackend::with_string(&mut text, (axes.width, axes.height)).into_drawing_area();
        draw(&area).and_then(|()| Ok(area.present()?))
    };
    drawn.map_err(|e| ReportError::Plot {
        title: axes.title.clone(),
        reason: e.to_string(),
    })?;
    // The plot scales with the page and uses its colour.
    let size = format!("width=\"{}\" height=\"{}\"", axes.width, axes.height);
    Ok(text
        .replacen(
            &size,
            &format!(
                "{size} role=\"img\" aria-label=\"{}\"",
                escape(&label(axes))
            ),
            1,
        )
        .replace("\"#000000\"", "\"currentColor\""))
}

fn label(axes: &Axes) -> String {
    let plot = format!(
        "{} against {}",
        in_plot(&axes.y_label),
        in_plot(&axes.x_label)
    );
    if axes.title.is_empty() {
        plot
    } else {
        format!("{}: {plot}", in_plot(&axes.title))
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Largest magnitude that is drawn. Larger numbers are left out like infinite ones.
const LARGEST: f64 = 1e100;

/// Relative width below which a range counts as constant, because f64 cannot resolve ticks in it.
const NARROW: f64 = 1e-9;

/// Tells whether a number is drawn.
pub fn drawn(value: f64) -> bool {
    value.abs() <= LARGEST
}

/// The range of the drawn `values` with a margin. It is never empty.
pub(crate) fn range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values
        .filter(|v| drawn(*v))
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
            (l.min(v), h.max(v))
        });
    if low > high {
        return 0.0..1.0;
    }
    let size = low.abs().max(high.abs());
    let air = if high - low > NARROW * size {
        (high - low) * 0.05
    } else if size > 0.0 {
        size * 0.05
    } else {
        0.05
    };
    low - air..high + air
}

/// A short number for an axis: plain if that is readable, else with an exponent.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".into();
    }
    if !(1e-3..1e5).contains(&size) {
        return format!("{value:.1e}").replace('-', "−");
    }
    let digits = (2 - size.log10().floor() as i32).clamp(0, 5) as usize;
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    text.replace('-', "−")
}

/// A number at an axis. Zero that rounding of added steps has missed is printed as zero.
fn tick(value: f64, axis: &Range<f64>) -> String {
    let rounding = axis.start < 0.0 && value.abs() < 1e-9 * (axis.end - axis.start);
    number(if rounding { 0.0 } else { value })
}

pub(crate) fn chart<'a, 'b, X>(
    area: &'a Area<'b>,
    axes: &Axes,
    x: X,
    y: Range<f64>,
) -> Result<Chart<'a, 'b, X::CoordDescType>, Failure>
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    'b: 'a,
{
    let mut builder = ChartBuilder::on(area);
    builder
        .margin(8)
        .margin_right(16)
        .x_label_area_size(44)
        .y_label_area_size(58);
    if !axes.title.is_empty() {
        builder.caption(in_plot(&axes.title), ("sans-serif", 18));
    }
    let mut chart = builder.build_cartesian_2d(x, y)?;
    let (x, y) = (chart.x_range(), chart.y_range());
    chart
        .configure_mesh()
        .x_desc(in_plot(&axes.x_label))
        .y_desc(in_plot(&axes.y_label))
        .x_labels(7)
        .y_labels(axes.y_ticks)
        .x_label_formatter(&|v| tick(*v, &x))
        .y_label_formatter(&|v| tick(*v, &y))
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 15))
        .bold_line_style(BLACK.mix(0.12))
        .light_line_style(BLACK.mix(0.0))
        .axis_style(BLACK.mix(0.5))
        .draw()?;
    Ok(chart)
}

pub(crate) fn colour(i: usize) -> RGBColor {
    let [r, g, b] = PALETTE[i % PALETTE.len()];
    RGBColor(r, g, b)
}

/// Draws several curves on one pair of axes, as SVG.
///
/// # Errors
/// If the plot cannot be drawn.
pub fn line_plot(axes: &Axes, curves: &[Curve]) -> Result<String, ReportError> {
    let place = |x: f64| drawn(x) && (!axes.log_x || x >= 1.0 / LARGEST);
    let good = |p: &&(f64, f64)| place(p.0) && drawn(p.1);
    let kept: Vec<Curve> = curves
        .iter()
        .map(|curve| Curve {
            name: curve.name.clone(),
            points: curve.points.iter().filter(good).copied().collect(),
        })
        .collect();
    let points = || kept.iter().flat_map(|curve| curve.points.iter().copied());
    let y = range(points().map(|p| p.1));
    svg(axes, |area| {
        if axes.log_x {
            let logs = range(points().map(|p| p.0.log10()));
            let x = 10f64.powf(logs.start)..10f64.powf(logs.end);
            curves_on(chart(area, axes, x.log_scale(), y)?, &kept, axes.legend)
        } else {
            curves_on(
                chart(area, axes, range(points().map(|p| p.0)), y)?,
                &kept,
                axes.legend,
            )
        }
    })
}

fn curves_on<'a, 'b: 'a, X: Ranged<ValueType = f64>>(
    mut chart: Chart<'a, 'b, X>,
    curves: &[Curve],
    corner: Corner,
) -> Drawn {
    for (i, curve) in curves.iter().enumerate() {
        let style = colour(i).stroke_width(2);
        let series = chart.draw_series(LineSeries::new(curve.points.iter().copied(), style))?;
        if !curve.name.is_empty() {
            series
                .label(in_plot(&curve.name))
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
        }
    }
    legend(&mut chart, curves.iter().map(|curve| &*curve.name), corner)
}

/// The names of the series so far, unless all are empty.
pub(crate) fn legend<'a, 'b: 'a, 'n, X: Ranged<ValueType = f64>>(
    chart: &mut Chart<'a, 'b, X>,
    mut names: impl Iterator<Item = &'n str>,
    corner: Corner,
) -> Drawn {
    if names.all(str::is_empty) {
        return Ok(());
    }
    let font = ("sans-serif", 13).into_font().color(&BLACK);
    chart
        .configure_series_labels()
        .label_font(font)
        .position(corner.position())
        .draw()?;
    Ok(())
}

/// Draws a histogram of `values` in `bins` equal bins, as SVG.
///
/// # Errors
/// If the plot cannot be drawn.
pub fn histogram(axes: &Axes, values: &[f64], bins: usize) -> Result<String, ReportError> {
    let bins = bins.max(1);
    let x = range(values.iter().copied());
    let step = (x.end - x.start) / bins as f64;
    let mut counts = vec![0usize; bins];
    for value in values.iter().filter(|v| drawn(**v)) {
        counts[(((value - x.start) / step) as usize).min(bins - 1)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let top = most as f64 * 1.05;
    // A count has no label between whole numbers.
    let axes = &Axes {
        y_ticks: axes.y_ticks.min(most + 1),
        ..axes.clone()
    };
    svg(axes, |area| {
        let mut chart = chart(area, axes, x.clone(), 0.0..top)?;
        chart.draw_series(
            counts
                .iter()
                .enumerate()
                .filter(|(_, n)| **n > 0)
                .map(|(i, &n)| {
                    let left = x.start + i as f64 * step;
                    let corners = [(left + step * 0.06, 0.0), (left + step * 0.94, n as f64)];
                    Rectangle::new(corners, colour(0).filled())
                }),
        )?;
        Ok(())
    })
}

/// Draws a dot for each point and a colour for each group, as SVG.
///
/// # Errors
/// If the plot cannot be drawn.
pub fn scatter(axes: &Axes, groups: &[Curve]) -> Result<String, ReportError> {
    let finite = |p: &(f64, f64)| drawn(p.0) && drawn(p.1);
    let points = || {
        groups
            .iter()
            .flat_map(|group| group.points.iter().copied().filter(finite))
    };
    let (x, y) = (range(points().map(|p| p.0)), range(points().map(|p| p.1)));
    svg(axes, |area| {
        let mut chart = chart(area, axes, x, y)?;
        for (i, group) in groups.iter().enumerate() {
            let style = colour(i).mix(0.6).filled();
            let series = chart.draw_series(
                group
                    .points
                    .iter()
                    .copied()
                    .filter(finite)
                    .map(|p| Circle::new(p, 3, style)),
            )?;
            if !group.name.is_empty() {
                series
                    .label(in_plot(&group.name))
                    .legend(move |(x, y)| Circle::new((x + 9, y), 4, style));
            }
        }
        legend(
            &mut chart,
            groups.iter().map(|group| &*group.name),
            axes.legend,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_axis_leaves_out_sigma_zero_and_names_its_axes() {
        let points = vec![(80.0, 0.0), (1.0, 0.5), (0.01, f64::NAN), (0.0, 2.0)];
        let axes = Axes {
            title: "a <b>".into(),
            x_label: "noise level σ".into(),
            log_x: true,
            ..Axes::default()
        };
        let curve = Curve {
            name: "x".into(),
            points,
        };
        let text = line_plot(&axes, &[curve]).unwrap();
        assert!(
            text.starts_with("<svg")
                && text.contains("noise level σ")
                && text.contains("&lt;b&gt;")
        );
        assert!(text.contains("currentColor") && !text.contains("NaN") && !text.contains("<b>"));
    }

    #[test]
    fn empty_and_constant_data_still_draw() {
        let axes = Axes {
            title: "t".into(),
            ..Axes::default()
        };
        for values in [&[][..], &[2.0, 2.0], &[f64::INFINITY]] {
            histogram(&axes, values, 5).unwrap();
            let points = values.iter().map(|&v| (v, v)).collect();
            let name = String::new();
            scatter(&axes, &[Curve { name, points }]).unwrap();
            line_plot(&axes, &[Curve::default()]).unwrap();
        }
    }

    /// A dot that cannot be told from its neighbour says nothing.
    #[test]
    fn groups_of_dots_have_a_colour_each_and_their_names() {
        let group = |name: &str, y| Curve {
            name: name.to_owned(),
            points: vec![(0.0, y), (1.0, f64::NAN)],
        };
        let text = scatter(
            &Axes::default(),
            &[group("ours", 1.0), group("theirs", 2.0)],
        )
        .unwrap();
        // Each colour on one dot, the other not being finite, and in the legend.
        for colour in ["#0072B2", "#D55E00"] {
            let dots = text
                .lines()
                .filter(|line| line.starts_with("<circle") && line.contains(colour));
            assert_eq!(dots.count(), 2, "{text}");
        }
        assert!(text.contains("ours") && text.contains("theirs"));
    }

    /// Ticks 0.2 apart, which come to 5.6e−17 where the axis crosses zero.
    #[test]
    fn an_axis_says_zero_where_it_is_zero() {
        let group = Curve {
            points: vec![(0.0, -0.42), (1.0, 0.7)],
            ..Curve::default()
        };
        let text = scatter(&Axes::default(), &[group]).unwrap();
        assert!(!text.contains("e−"), "{text}");
        // On a logarithmic axis a small number is no rounding.
        assert_eq!(tick(1e-9, &(1e-9..80.0)), "1.0e−9");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(0.25), "0.25");
        assert_eq!(number(-12.0), "−12");
        assert_eq!(number(100.0), "100");
        assert_eq!(number(1e10), "1.0e10");
    }
}
