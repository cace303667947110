//! The samples of a variant's first seed that moved most and least in each direction.

use base64::{Engine, engine::general_purpose::STANDARD};
use datasway_report::plot::number;
use datasway_report::{GridStyle, Picture, grid_png};
use maud::{Markup, html};

use crate::RetrainError;
use crate::comparison::Comparison;
use crate::evaluation::Evaluation;
use crate::execute::Executor;

/// Samples shown at either end.
const SHOWN: usize = 8;

/// A panel a direction: before, as predicted, after.
pub fn pictures(
    executor: &Executor<'_>,
    evaluation: &Evaluation,
    variant: &str,
) -> Result<Markup, RetrainError> {
    let experiment = &executor.setup.experiment;
    let with_seed = |seed: u64| {
        let row = |row: &crate::evaluation::Row| {
            row.subject.variant == variant && row.subject.seed == seed.to_string()
        };
        evaluation.rows.iter().any(row)
    };
    let run = executor.plan.runs.iter().find(|run| {
        experiment.variants[run.variant].name() == variant && with_seed(experiment.seeds[run.seed])
    });
    let Some(run) = run else {
        return Ok(html! {});
    };
    let read = |job: usize, name: &str| executor.array(job, name);
    let before = read(run.before, "samples")?.values;
    let predicted = read(run.predictions[0], "delta")?.values;
    let mut sections = Vec::new();
    for (k, change) in executor.setup.changes.iter().enumerate() {
        let after = read(run.after[k], "samples")?.values;
        let scene = Samples {
            executor,
            before: &before,
            predicted: &predicted[k * before.len()..(k + 1) * before.len()],
            mass: change.direction.signed_mass(),
            after: &after,
        };
        let (most, least) = scene.ends()?;
        sections.push(html! {
            div.panel {
                h3 { (change.direction.name()) }
                p { "Moved most" } div.samples { (most) }
                p { "Moved least" } div.samples { (least) }
            }
        });
    }
    let estimator = experiment.estimators[0].name();
    Ok(html! {
        p.lead {
            "Samples of seed " (experiment.seeds[run.seed]) ": before, as " (estimator) " predicts, after."
        }
        @for section in &sections { (section) }
    })
}

/// The samples of one direction.
struct Samples<'a> {
    executor: &'a Executor<'a>,
    before: &'a [f32],
    predicted: &'a [f32],
    mass: f64,
    after: &'a [f32],
}

impl Samples<'_> {
    fn ends(&self) -> Result<(Markup, Markup), RetrainError> {
        let d = self.executor.setup.images.shape.dim();
        let real: Vec<f32> = self
            .after
            .iter()
            .zip(self.before)
            .map(|(a, b)| a - b)
            .collect();
        let comparison = Comparison::new(self.predicted, self.mass, &real, d);
        let mut order: Vec<usize> = (0..comparison.real.len()).collect();
        order.sort_by(|&i, &j| comparison.real[j].total_cmp(&comparison.real[i]));
        let figures = |samples: &mut dyn Iterator<Item = &usize>| -> Result<Markup, RetrainError> {
            let figures = samples.take(SHOWN).map(|&i| self.figure(i, &comparison));
            let figures = figures.collect::<Result<Vec<_>, _>>()?;
            Ok(html! { @for figure in &figures { (figure) } })
        };
        Ok((
            figures(&mut order.iter())?,
            figures(&mut order.iter().rev())?,
        ))
    }

    fn figure(&self, i: usize, comparison: &Comparison) -> Result<Markup, RetrainError> {
        let shape = self.executor.setup.images.shape;
        let range = i * shape.dim()..(i + 1) * shape.dim();
        let factor = comparison.real[i] / comparison.predicted[i];
        let factor = if factor.is_finite() { factor } else { 0.0 };
        let before = &self.before[range.clone()];
        let moved: Vec<f32> = before
            .iter()
            .zip(&self.predicted[range.clone()])
            .map(|(x, delta)| match delta.is_finite() {
                true => x + (factor * self.mass * f64::from(*delta)) as f32,
                false => *x,
            })
            .collect();
        let pictures = [before, &moved, &self.after[range]].map(|values| Picture {
            channels: shape.channels,
            height: shape.height,
            width: shape.width,
            values,
        });
        let style = GridStyle {
            columns: 3,
            scale: 1,
            padding: 1,
            ..GridStyle::default()
        };
        let uri = STANDARD.encode(grid_png(&pictures, &style)?);
        Ok(html! {
            figure {
                img src={ "data:image/png;base64," (uri) } alt={ "Sample " (i) " before, as predicted, and after" } loading="lazy";
                figcaption {
                    "sample " (i) ": moved " (number(comparison.real[i])) ", predicted × " (number(factor))
                    ", correlation " (number(comparison.correlation[i]))
                }
            }
        })
    }
}
