//! Data beyond Gaussians in pictures: the change of the score, and samples that move.

use std::time::Instant;

use anyhow::Result;
use burn::tensor::{DType, Device};
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_diffusion::schedule::karras;
use datasway_report::{Arrows, Axes, arrow_plot};
use datasway_stats::quantile;
use datasway_verification::problems::point_clouds::{
    CloudShape, DirectionSupport, PointCloud, SHAPES,
};
use datasway_verification::problems::problem::{Problem, rows, sensitivity_rows};
use datasway_verification::studies::agreement::{agreement, difference, times};
use datasway_verification::studies::field::{Plane, score_change};

use super::StudyScale;
use super::section::{Figure, Section, Table, raw, short};

/// Noise level of the fields.
const SIGMA: f64 = 0.4;
/// Places of a field along each axis, from −[`REACH`] to [`REACH`].
const PLACES: usize = 17;
const REACH: f64 = 4.0;
/// Mass of the arrows.
pub const MASS: f64 = 0.05;
/// Samples with arrows.
const SAMPLES: usize = 40;
/// The longer changes are drawn this long, and none longer than [`LONGEST`].
const LONG: f64 = 1.0;
const LONGEST: f64 = 2.0;
/// Points of the data that are drawn.
const DOTS: usize = 400;

/// ν inside one picture and outside the other; blurred little enough to keep modes apart, or until they overlap.
const SCENES: [(DirectionSupport, f64); 2] = [
    (DirectionSupport::Outside, 0.05),
    (DirectionSupport::Inside, 0.3),
];

pub fn section(effort: &StudyScale) -> Result<Section> {
    let points = effort.size(100_000, 1_000);
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
    let arrows_head = [
        "data",
        "nu",
        "x",
        "y",
        "predicted_x",
        "predicted_y",
        "real_x",
        "real_y",
    ];
    let mut file = Table::new("beyond-arrows", None, &arrows_head);
    let mut figures = Vec::new();
    for shape in SHAPES {
        for (place, blur) in SCENES {
            effort.says(format!(
                "beyond Gaussians: {}, {points} points",
                shape.name()
            ));
            let cloud = PointCloud {
                shape,
                blur,
                seed: effort.seed,
            };
            let scene = Scene::new(cloud, place, points, effort)?;
            let a = agreement(&scene.predicted, &scene.real);
            let mut row = vec![shape.name().to_owned(), place_name(place).to_owned()];
            row.extend([blur, a.error, a.correlation, a.rank, scene.seconds].map(short));
            table.rows.push(row);
            figures.extend(scene.figures()?);
            for i in 0..scene.samples.len() {
                let at = scene.plane.project(&scene.samples[i]);
                let moved = [&scene.predicted[i], &scene.real[i]];
                let moved = moved.map(|v| scene.plane.project_vector(v)).concat();
                let mut row = vec![shape.name().to_owned(), place_name(place).to_owned()];
                row.extend([&at[..], &moved].concat().into_iter().map(raw));
                file.rows.push(row);
            }
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
        tables: vec![table, file],
        figures,
    })
}

fn place_name(place: DirectionSupport) -> &'static str {
    match place {
        DirectionSupport::Inside => "inside",
        DirectionSupport::Outside => "outside",
    }
}

/// One cloud, one ν, and samples with their changes.
struct Scene {
    cloud: PointCloud,
    place: DirectionSupport,
    plane: Plane,
    /// On the plane.
    dots: Vec<(f64, f64)>,
    field: Vec<[f64; 4]>,
    samples: Vec<Vec<f64>>,
    predicted: Vec<Vec<f64>>,
    real: Vec<Vec<f64>>,
    seconds: f64,
}

impl Scene {
    fn new(
        cloud: PointCloud,
        place: DirectionSupport,
        points: usize,
        effort: &StudyScale,
    ) -> Result<Self> {
        let device = Device::flex();
        let data = cloud.data(points, &device, DType::F64)?;
        let direction = cloud.direction(place, points / 4, &device, DType::F64)?;
        let started = Instant::now();
        let noise = FrozenNoise::new(effort.seed);
        let problem = Problem {
            data: &data,
            direction: &direction,
            sampler: Sampler::Heun,
            sigmas: karras(effort.size(12, 6), cloud.shape.sigma_min(), 40.0, 7.0),
            start: noise.start([SAMPLES, cloud.shape.dim()], &device, DType::F64),
            noise,
        };
        let exact = problem.exact()?;
        let samples = rows(&exact.samples)?;
        let predicted = times(&sensitivity_rows(&exact)?, MASS);
        let real = difference(&rows(&problem.moved(MASS)?)?, &samples);
        let seconds = started.elapsed().as_secs_f64();

        // Every so many points, so that every mode has its share.
        let every: Vec<Vec<f64>> = rows(&data.points())?
            .into_iter()
            .step_by((points / DOTS).max(1))
            .collect();
        let few = cloud.data(2_000, &device, DType::F64)?;
        let plane = Plane::of(&few.points())?;
        let dots = every.iter().map(|point| plane.project(point).into());
        let dots = dots.collect();
        let step = |i: usize| REACH * (2.0 * i as f64 / (PLACES - 1) as f64 - 1.0);
        let places: Vec<[f64; 2]> = (0..PLACES * PLACES)
            .map(|at| [step(at % PLACES), step(at / PLACES)])
            .collect();
        let vectors = score_change(&data, &direction, SIGMA, &plane, &places)?;
        let most = vectors.iter().map(|v| v[0].hypot(v[1])).fold(0.0, f64::max);
        // The longest arrow spans the distance of two places.
        let longest = 2.0 * REACH / (PLACES - 1) as f64;
        let arrow = |(place, v): (&[f64; 2], &[f64; 2])| {
            let size = v[0].hypot(v[1]);
            let scale = longest / (most * size).sqrt();
            [place[0], place[1], scale * v[0], scale * v[1]]
        };
        let field = places.iter().zip(&vectors).map(arrow).collect();
        Ok(Self {
            cloud,
            place,
            plane,
            dots,
            field,
            samples,
            predicted,
            real,
            seconds,
        })
    }

    fn figures(&self) -> Result<[Figure; 2]> {
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
        let file = name
            .split(',')
            .next()
            .unwrap_or(name)
            .replace(' ', "-")
            .to_lowercase();
        let place = place_name(self.place);
        let field = Arrows {
            name: String::new(),
            arrows: self.field.clone(),
        };
        let project = |vectors: &[Vec<f64>]| -> Vec<[f64; 2]> {
            let vectors = vectors.iter();
            vectors.map(|v| self.plane.project_vector(v)).collect()
        };
        let at: Vec<[f64; 2]> = self.samples.iter().map(|x| self.plane.project(x)).collect();
        let moved = Moved::new(&at, &project(&self.real), &project(&self.predicted));
        Ok([
            Figure {
                file: format!("field-{file}-{place}"),
                caption: format!("{name}, ν {place}: ∂_ηs at σ = {SIGMA}"),
                svg: arrow_plot(&axes, &self.dots, &[field])?,
            },
            Figure {
                file: format!("arrows-{file}-{place}"),
                caption: format!("{name}, ν {place}: {}", moved.caption()),
                svg: arrow_plot(&axes, &self.dots, &moved.sets)?,
            },
        ])
    }
}

/// Real and predicted changes of samples at [`MASS`], enlarged for the eye.
pub struct Moved {
    factor: f64,
    /// Arrows that would have been longer than [`LONGEST`].
    cut: usize,
    /// The real ones first.
    pub sets: [Arrows; 2],
}

impl Moved {
    /// Changes of the samples at these places of the plane.
    pub fn new(at: &[[f64; 2]], real: &[[f64; 2]], predicted: &[[f64; 2]]) -> Self {
        let lengths: Vec<f64> = real.iter().map(|[x, y]| x.hypot(*y)).collect();
        let factor = (LONG / quantile(&lengths, 0.9)).round();
        let mut cut = 0;
        let mut arrows = |name: &str, changes: &[[f64; 2]]| Arrows {
            name: name.to_owned(),
            arrows: at
                .iter()
                .zip(changes)
                .map(|([x, y], [dx, dy])| {
                    let [dx, dy] = [factor * dx, factor * dy];
                    let length = dx.hypot(dy);
                    if length <= LONGEST {
                        return [*x, *y, dx, dy];
                    }
                    cut += 1;
                    [*x, *y, dx * LONGEST / length, dy * LONGEST / length]
                })
                .collect(),
        };
        let sets = [arrows("real", real), arrows("predicted", predicted)];
        Self { factor, cut, sets }
    }

    /// What was done to them.
    pub fn caption(&self) -> String {
        let Self { factor, cut, .. } = self;
        format!("changes at η = {MASS}, × {factor}; {cut} arrows are cut to {LONGEST} units")
    }
}
