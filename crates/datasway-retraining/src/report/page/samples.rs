//! The samples of one seed of a variant that moved most and least in each direction.

use base64::{Engine, engine::general_purpose::STANDARD};
use datasway_report::plot::number;
use datasway_report::{GridStyle, Picture, grid_png};
use maud::{Markup, html};

use super::super::view::View;
use crate::RetrainError;
use crate::evaluation::SeedScope;
use crate::evaluation::comparison::Comparison;
use crate::jobs::Workspace;

/// Number of samples that moved most, and of those that moved least.
const SAMPLES: usize = 8;

/// A panel for each direction with samples of the first seed that is done: before, as predicted, after.
pub(super) fn panels(
    workspace: &Workspace<'_>,
    view: &View<'_>,
    variant: usize,
) -> Result<Markup, RetrainError> {
    let has_rows = |seed: u64| {
        let mut rows = view.evaluation.rows.iter();
        rows.any(|row| row.scope.variant == variant && row.scope.seeds == SeedScope::Seed(seed))
    };
    let mut replicates = workspace.plan.replicates.iter();
    let replicate =
        replicates.find(|replicate| replicate.variant == variant && has_rows(replicate.seed));
    let Some(replicate) = replicate else {
        return Ok(html! {});
    };
    let before = workspace.array(replicate.before, "samples")?;
    let predicted = workspace.array(replicate.sensitivities[0], "delta")?;
    let mut panels = Vec::new();
    for (k, direction) in workspace.experiment.directions.iter().enumerate() {
        let after = workspace.array(replicate.after[k], "samples")?;
        let samples = DirectionSamples {
            view,
            before: &before.values,
            predicted: predicted.row(k),
            mass: direction.spec.signed_mass(),
            after: &after.values,
        };
        let (most, least) = samples.extremes()?;
        panels.push(html! {
            div.panel {
                h3 { (direction.spec.name()) }
                p { "Moved most" } div.samples { (most) }
                p { "Moved least" } div.samples { (least) }
            }
        });
    }
    let estimator = view.names().estimator(0);
    Ok(html! {
        p.lead {
            "Samples of seed " (replicate.seed) ": before, as " (estimator) " predicts, after."
        }
        @for panel in &panels { (panel) }
    })
}

/// The samples before and after the change of one direction.
struct DirectionSamples<'a> {
    view: &'a View<'a>,
    /// `[n, d]`.
    before: &'a [f32],
    /// Predicted change per unit of added mass, `[n, d]`.
    predicted: &'a [f32],
    /// η.
    mass: f64,
    /// `[n, d]`.
    after: &'a [f32],
}

impl DirectionSamples<'_> {
    /// The figures of the samples that moved most and of those that moved least.
    fn extremes(&self) -> Result<(Markup, Markup), RetrainError> {
        let d = self.view.experiment.images.shape.dim();
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
            let figures = samples.take(SAMPLES).map(|&i| self.figure(i, &comparison));
            let figures = figures.collect::<Result<Vec<_>, _>>()?;
            Ok(html! { @for figure in &figures { (figure) } })
        };
        Ok((
            figures(&mut order.iter())?,
            figures(&mut order.iter().rev())?,
        ))
    }

    /// The images of a sample, the predicted change scaled to the size of the real one.
    fn figure(&self, i: usize, comparison: &Comparison) -> Result<Markup, RetrainError> {
        let shape = self.view.experiment.images.shape;
        let range = i * shape.dim()..(i + 1) * shape.dim();
        let factor = comparison.real[i] / comparison.predicted[i];
        let factor = if factor.is_finite() { factor } else { 0.0 };
        let before = &self.before[range.clone()];
        let moved: Vec<f32> = before
            .iter()
            .zip(&self.predicted[range.clone()])
            .map(|(x, delta)| {
                if delta.is_finite() {
                    x + (factor * self.mass * f64::from(*delta)) as f32
                } else {
                    *x
                }
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
