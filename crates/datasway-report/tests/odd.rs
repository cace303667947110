//! Odd numbers and names: nothing panics, hangs or breaks out of its place, whatever is drawn.

mod odd_values;

use datasway_report::{
    Arrows, Axes, Corner, Curve, GridStyle, Picture, arrow_plot, grid_png, heat_map, histogram,
    line_plot, scatter,
};

use odd_values::{NAMES, NUMBERS};

fn sound(text: &str, case: &str) {
    for never in [
        "NaN",
        "<script>alert",
        "<b>",
        "\u{0}",
        "\u{1b}",
        "=\"inf",
        "=\"-inf",
        "\u{ffff}",
    ] {
        assert!(!text.contains(never), "{case}: {never:?}");
    }
}

#[test]
fn plots_of_any_numbers_are_drawn() {
    for log_x in [false, true] {
        let axes = Axes {
            log_x,
            legend: Corner::LowerLeft,
            ..Axes::default()
        };
        for numbers in NUMBERS {
            for other in NUMBERS {
                let case = format!("{numbers:?} and {other:?}");
                let pairs = numbers.iter().zip(other);
                let points: Vec<(f64, f64)> = pairs.map(|(x, y)| (*x, *y)).collect();
                let arrows = points.iter().map(|&(x, y)| [x, y, y, x]).collect();
                let curves = [
                    Curve {
                        name: "one".to_owned(),
                        points: points.clone(),
                    },
                    Curve {
                        name: "none".to_owned(),
                        points: Vec::new(),
                    },
                ];
                let sets = [Arrows {
                    name: "one".to_owned(),
                    arrows,
                }];
                sound(&line_plot(&axes, &curves).unwrap(), &case);
                sound(&scatter(&axes, &curves).unwrap(), &case);
                sound(&arrow_plot(&axes, &points, &sets).unwrap(), &case);
            }
            for bins in [0, 1, 20] {
                sound(
                    &histogram(&axes, numbers, bins).unwrap(),
                    &format!("{numbers:?}"),
                );
            }
        }
    }
}

#[test]
fn names_stay_where_they_are_put() {
    let long = "x".repeat(100_000);
    for name in NAMES.into_iter().chain([long.as_str()]) {
        let axes = Axes {
            title: name.to_owned(),
            x_label: name.to_owned(),
            y_label: name.to_owned(),
            ..Axes::default()
        };
        let curves = [Curve {
            name: name.to_owned(),
            points: vec![(1.0, 2.0), (2.0, 3.0)],
        }];
        let sets = [Arrows {
            name: name.to_owned(),
            arrows: vec![[0.0, 0.0, 1.0, 1.0]],
        }];
        let plots = [
            line_plot(&axes, &curves).unwrap(),
            scatter(&axes, &curves).unwrap(),
            histogram(&axes, &[1.0, 2.0], 3).unwrap(),
            arrow_plot(&axes, &[], &sets).unwrap(),
        ];
        for plot in &plots {
            sound(plot, name);
            assert!(plot.len() < 50_000);
        }
    }
}

#[test]
fn pictures_of_any_numbers_are_drawn() {
    let values = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        0.0,
        1e-45,
    ];
    for value in values {
        let pixels = [value; 4];
        let picture = Picture {
            channels: 1,
            height: 2,
            width: 2,
            values: &pixels,
        };
        heat_map(&picture, None).unwrap();
        heat_map(&picture, Some(value)).unwrap();
        grid_png(&[picture], &GridStyle::default()).unwrap();
    }
}

#[test]
fn counts_are_whole_numbers() {
    for most in 1..=12 {
        let values: Vec<f64> = (0..most).map(|_| 4000.0).chain([3000.0, 9000.0]).collect();
        let text = histogram(&Axes::default(), &values, 30).unwrap();
        let labels = text
            .lines()
            .filter_map(|line| line.trim().parse::<f64>().ok());
        assert!(labels.clone().any(|label| label == 0.0), "{text}");
        for label in labels {
            assert!(label.fract() == 0.0, "{most}: {label}");
        }
    }
}
