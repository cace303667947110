//! Report of clouds of points: the change of the score, and samples that move.

use std::time::Instant;

use burn::tensor::{DType, Device};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_diffusion::schedule::karras;
use datasway_report::section::{Figure, Section, Table, rounded, scientific};
use datasway_report::{Arrows, Axes, ReportError, arrow_plot};
use datasway_sensitivity::measure::{Empirical, Measure};

use super::agreement::{agreement, difference, times};
use super::displacement_arrows::{DisplacementArrows, MASS};
use super::score_field::{Plane, score_change};
use crate::problems::point_clouds::{CloudShape, DirectionSupport, PointCloud};
use crate::problems::problem::{Problem, rows, sensitivity_rows};
use crate::{StudyError, StudyScale};

/// Noise level of the fields.
const SIGMA: f64 = 0.4;
/// Number of positions of a field along each axis, from −[`REACH`] to [`REACH`].
const POSITIONS: usize = 17;
/// Largest coordinate of a field.
const REACH: f64 = 4.0;
/// Number of samples with arrows.
const SAMPLES: usize = 40;
/// Number of points of the data in a plot.
const DOTS: usize = 400;

/// Support of ν and blur of the data: modes apart, and overlapping modes.
const VARIANTS: [(DirectionSupport, f64); 2] = [
    (DirectionSupport::Outside, 0.05),
    (DirectionSupport::Inside, 0.3),
];

/// Section of the report with fields and displacements for every shape.
///
/// # Errors
/// If a sampler fails or a plot cannot be drawn.
pub fn section(scale: &StudyScale<'_>) -> Result<Section, StudyError> {
    let points = scale.scaled(100_000, 1_000);
    let mut cases = Vec::new();
    let mut figures = Vec::new();
    for shape in CloudShape::ALL {
        for (support, blur) in VARIANTS {
            let name = shape.name();
            scale.report_progress(format!("beyond Gaussians: {name}, {points} points"));
            let cloud = PointCloud {
                shape,
                blur,
                seed: scale.seed,
            };
            let case = Case::new(cloud, support, points, scale)?;
            figures.extend(case.figures()?);
            cases.push(case);
        }
    }
    Ok(Section {
        title: "Beyond Gaussians",
        text: vec![format!(
            "Rings, moons, a checkerboard, a Swiss roll, and a surface curved into 64 dimensions, as empirical measures of {points} points, \
             streamed in chunks. ν is one of their modes, or one that they do not have. Left of each pair: ∂_ηs at σ = {SIGMA}, arrows as \
             long as the root of its size, on the plane of the largest variance where d > 2. Right: {SAMPLES} samples, their real change at \
             η = {MASS} (broad) and the predicted one (thin), both enlarged as the caption says."
        )],
        tables: vec![table(&cases, points), displacements(&cases)],
        figures,
    })
}

fn table(cases: &[Case], points: usize) -> Table {
    let mut table = Table::new(
        "beyond",
        Some(format!(
            "Predicted against real changes of {SAMPLES} samples at η = {MASS}; ρ is {points} points, streamed. Error, correlation and rank as above."
        )),
        &[
            "data",
            "ν",
            "blur",
            "error",
            "correlation",
            "rank",
            "seconds",
        ],
    );
    for case in cases {
        let agreement = agreement(&case.predicted, &case.real);
        let mut row = case.names();
        row.extend(
            [
                case.cloud.blur,
                agreement.error,
                agreement.correlation,
                agreement.rank,
                case.seconds,
            ]
            .map(rounded),
        );
        table.rows.push(row);
    }
    table
}

/// Displacements of all samples on the planes, for the file.
fn displacements(cases: &[Case]) -> Table {
    let columns = [
        "data",
        "nu",
        "x",
        "y",
        "predicted_x",
        "predicted_y",
        "real_x",
        "real_y",
    ];
    let mut table = Table::new("beyond-arrows", None, &columns);
    for case in cases {
        for i in 0..case.samples.len() {
            let position = case.plane.project(&case.samples[i]);
            let predicted = case.plane.project_vector(&case.predicted[i]);
            let real = case.plane.project_vector(&case.real[i]);
            let mut row = case.names();
            row.extend(
                [position, predicted, real]
                    .concat()
                    .into_iter()
                    .map(scientific),
            );
            table.rows.push(row);
        }
    }
    table
}

fn support_name(support: DirectionSupport) -> &'static str {
    match support {
        DirectionSupport::Inside => "inside",
        DirectionSupport::Outside => "outside",
    }
}

/// A cloud with one ν: the field, and samples with their changes.
struct Case {
    cloud: PointCloud,
    support: DirectionSupport,
    plane: Plane,
    /// Points of ρ on the plane.
    dots: Vec<(f64, f64)>,
    /// Arrows (x, y, dx, dy) of the field on the plane.
    field: Vec<[f64; 4]>,
    samples: Vec<Vec<f64>>,
    predicted: Vec<Vec<f64>>,
    real: Vec<Vec<f64>>,
    seconds: f64,
}

impl Case {
    fn new(
        cloud: PointCloud,
        support: DirectionSupport,
        points: usize,
        scale: &StudyScale<'_>,
    ) -> Result<Self, DiffusionError> {
        let device = Device::flex();
        let data = cloud.data(points, &device, DType::F64)?;
        let direction = cloud.direction(support, points / 4, &device, DType::F64)?;
        let started = Instant::now();
        let noise = FrozenNoise::new(scale.seed);
        let problem = Problem {
            data: &data,
            direction: &direction,
            sampler: Sampler::Heun,
            sigmas: karras(scale.scaled(12, 6), cloud.shape.sigma_min(), 40.0, 7.0),
            start: noise.start([SAMPLES, cloud.shape.dim()], &device, DType::F64),
            noise,
        };
        let exact = problem.exact_tangents()?;
        let samples = rows(&exact.samples)?;
        let predicted = times(&sensitivity_rows(&exact)?, MASS);
        let real = difference(&rows(&problem.perturbed_samples(MASS)?)?, &samples);
        let seconds = started.elapsed().as_secs_f64();
        let small = cloud.data(2_000, &device, DType::F64)?;
        let plane = Plane::through(&small.points())?;
        Ok(Self {
            dots: dots(&data, points, &plane)?,
            field: field(&data, &direction, &plane)?,
            cloud,
            support,
            plane,
            samples,
            predicted,
            real,
            seconds,
        })
    }

    /// First cells of a row: names of the cloud and of the support of ν.
    fn names(&self) -> Vec<String> {
        vec![
            self.cloud.shape.name().to_owned(),
            support_name(self.support).to_owned(),
        ]
    }

    fn figures(&self) -> Result<[Figure; 2], ReportError> {
        let (x_label, y_label) = match self.cloud.shape {
            CloudShape::Manifold => ("first axis", "second axis"),
            _ => ("x", "y"),
        };
        let axes = Axes {
            x_label: x_label.to_owned(),
            y_label: y_label.to_owned(),
            width: 420,
            height: 420,
            ..Axes::default()
        };
        let name = self.cloud.shape.name();
        let file = self.cloud.shape.file_name();
        let support = support_name(self.support);
        let field = Arrows {
            name: String::new(),
            arrows: self.field.clone(),
        };
        let project = |vectors: &[Vec<f64>]| -> Vec<[f64; 2]> {
            let vectors = vectors.iter();
            vectors.map(|v| self.plane.project_vector(v)).collect()
        };
        let positions = self.samples.iter().map(|x| self.plane.project(x));
        let positions: Vec<[f64; 2]> = positions.collect();
        let (real, predicted) = (project(&self.real), project(&self.predicted));
        let displacements = DisplacementArrows::new(&positions, &real, &predicted);
        Ok([
            Figure {
                file: format!("field-{file}-{support}"),
                caption: format!("{name}, ν {support}: ∂_ηs at σ = {SIGMA}"),
                svg: arrow_plot(&axes, &self.dots, &[field])?,
            },
            Figure {
                file: format!("arrows-{file}-{support}"),
                caption: format!("{name}, ν {support}: {}", displacements.caption()),
                svg: arrow_plot(&axes, &self.dots, &displacements.sets)?,
            },
        ])
    }
}

/// About [`DOTS`] points of ρ on the plane, evenly spaced in their order so that every mode has its share.
fn dots(data: &Empirical, points: usize, plane: &Plane) -> Result<Vec<(f64, f64)>, DiffusionError> {
    let rows = rows(&data.points())?;
    let selected = rows.iter().step_by((points / DOTS).max(1));
    Ok(selected.map(|point| plane.project(point).into()).collect())
}

/// Arrows of `∂_ηs` on a grid of the plane; their length is the root of its size.
fn field(
    data: &dyn Measure,
    direction: &dyn Measure,
    plane: &Plane,
) -> Result<Vec<[f64; 4]>, DiffusionError> {
    let coordinate = |i: usize| REACH * (2.0 * i as f64 / (POSITIONS - 1) as f64 - 1.0);
    let positions: Vec<[f64; 2]> = (0..POSITIONS * POSITIONS)
        .map(|i| [coordinate(i % POSITIONS), coordinate(i / POSITIONS)])
        .collect();
    let vectors = score_change(data, direction, SIGMA, plane, &positions)?;
    let largest = vectors.iter().map(|v| v[0].hypot(v[1])).fold(0.0, f64::max);
    // The longest arrow spans the distance of two positions.
    let max_length = 2.0 * REACH / (POSITIONS - 1) as f64;
    let arrow = |(position, v): (&[f64; 2], &[f64; 2])| {
        let size = v[0].hypot(v[1]);
        let scale = max_length / (largest * size).sqrt();
        [position[0], position[1], scale * v[0], scale * v[1]]
    };
    Ok(positions.iter().zip(&vectors).map(arrow).collect())
}
