//! Report of the cost of a prediction.

use datasway_report::section::{Figure, Section, Table, rounded};
use datasway_report::{Axes, Corner, Curve, ReportError, line_plot};
use datasway_stats::fit;

use super::scaling::{MeasuredCost, Sweep, Workload, fit_cost_model, sweeps};
use crate::{StudyError, StudyScale};

/// A workload with its cost.
struct Run {
    /// Value of the size that is varied.
    size: f64,
    workload: Workload,
    cost: MeasuredCost,
}

impl Run {
    /// Seconds of processor time, or wall time if the system does not report it.
    fn seconds(&self) -> f64 {
        self.cost.processor.unwrap_or(self.cost.wall)
    }

    /// Peak of memory in MB.
    fn megabytes(&self) -> f64 {
        let bytes = self.cost.memory;
        bytes.map_or(f64::NAN, |bytes| bytes as f64 / 1e6)
    }
}

/// The runs in which one size is varied.
struct SweepRuns {
    /// Name of the size.
    factor: &'static str,
    runs: Vec<Run>,
}

/// Section of the report with the cost of all workloads.
///
/// `measure` runs a workload in a process of its own.
///
/// # Errors
/// If a workload cannot be measured or a plot cannot be drawn.
pub fn section(
    scale: &StudyScale<'_>,
    measure: &dyn Fn(&Workload) -> Result<MeasuredCost, StudyError>,
) -> Result<Section, StudyError> {
    let base = Workload {
        steps: scale.scaled(Workload::BASE.steps, 2),
        ..Workload::BASE
    };
    let mut measured = Vec::new();
    for Sweep { factor, workloads } in sweeps(&base) {
        let mut runs = Vec::new();
        for (size, workload) in workloads.into_iter().take(scale.scaled(usize::MAX, 2)) {
            scale.report_progress(format!("cost: {factor} = {size}"));
            let cost = measure(&workload)?;
            runs.push(Run {
                size,
                workload,
                cost,
            });
        }
        measured.push(SweepRuns { factor, runs });
    }
    Ok(Section {
        title: "Cost",
        text: vec![setting(&base), cost_model(&measured)],
        tables: vec![exponents(&measured), all_runs(&measured)],
        figures: vec![figure(&measured)?],
    })
}

fn setting(base: &Workload) -> String {
    format!(
        "A small U-Net on grey pictures, Heun, probability-flow density, empirical ν; one size varied, the others as in n = {}, S = {}, d = {}, P = \
         {}, K = {}, m = {}. Each run has a process of its own; memory is its peak above what was resident before (model and points).",
        base.samples,
        base.steps,
        base.side * base.side,
        base.probes,
        base.directions,
        base.points
    )
}

fn cost_model(measured: &[SweepRuns]) -> String {
    let runs = measured.iter().flat_map(|sweep| &sweep.runs);
    let observed: Vec<([f64; 3], f64)> = runs
        .map(|run| (run.workload.terms(), run.seconds()))
        .collect();
    match fit_cost_model(&observed) {
        Some(([a, b, c], error)) => format!(
            "Fitted to all {} runs (median relative error {:.0} %): seconds of processor time = n·E·d·[{a:.2e} + {b:.2e}·(K + P) + {c:.2e}·K·m], \
             with n samples, E = 2S − 1 evaluations in S steps of Heun, d entries, P probes, K directions and m points of each ν. A product \
             with the Jacobian costs {:.1} evaluations of this network; the constants are this network's and this machine's.",
            observed.len(),
            100.0 * error,
            b / a
        ),
        None => "The runs do not determine the law.".to_owned(),
    }
}

/// Exponents of time and memory in each size.
fn exponents(measured: &[SweepRuns]) -> Table {
    let mut table = Table::new(
        "cost",
        Some(
            "Exponent p of cost ∝ size^p, by least squares over the whole sweep, and between its two largest sizes. A cost with a constant part \
             has a smaller p over the sweep than at its end."
                .to_owned(),
        ),
        &[
            "size", "from", "to", "time: p", "at the end", "memory: p", "at the end", "s", "MB",
        ],
    );
    for SweepRuns { factor, runs } in measured {
        let exponent = |runs: &[Run], quantity: fn(&Run) -> f64| {
            let logarithms: Vec<(f64, f64)> = runs
                .iter()
                .map(|run| (run.size.ln(), quantity(run).ln()))
                .collect();
            fit(&logarithms).map_or(f64::NAN, |line| line.slope)
        };
        let (first, last) = (&runs[0], &runs[runs.len() - 1]);
        let end = &runs[runs.len() - 2..];
        let span = |quantity: fn(&Run) -> f64| {
            format!(
                "{} to {}",
                rounded(quantity(first)),
                rounded(quantity(last))
            )
        };
        table.rows.push(vec![
            (*factor).to_owned(),
            first.size.to_string(),
            last.size.to_string(),
            format!("{:.2}", exponent(runs, Run::seconds)),
            format!("{:.2}", exponent(end, Run::seconds)),
            format!("{:.2}", exponent(runs, Run::megabytes)),
            format!("{:.2}", exponent(end, Run::megabytes)),
            span(Run::seconds),
            span(Run::megabytes),
        ]);
    }
    table
}

/// Costs of all runs, for the file.
fn all_runs(measured: &[SweepRuns]) -> Table {
    let columns = [
        "factor",
        "d",
        "samples",
        "steps",
        "probes",
        "directions",
        "points",
        "processor_s",
        "wall_s",
        "memory_MB",
    ];
    let mut table = Table::new("cost-runs", None, &columns);
    for SweepRuns { factor, runs } in measured {
        for run in runs {
            let workload = &run.workload;
            let sizes = [
                workload.side * workload.side,
                workload.samples,
                workload.steps,
                workload.probes,
                workload.directions,
                workload.points,
            ];
            let mut row = vec![(*factor).to_owned()];
            row.extend(sizes.map(|size| size.to_string()));
            row.extend([run.seconds(), run.cost.wall, run.megabytes()].map(rounded));
            table.rows.push(row);
        }
    }
    table
}

fn figure(measured: &[SweepRuns]) -> Result<Figure, ReportError> {
    let curve = |SweepRuns { factor, runs }: &SweepRuns| {
        let first = &runs[0];
        let point = |run: &Run| {
            (
                (run.size / first.size).log10(),
                (run.seconds() / first.seconds()).log10(),
            )
        };
        Curve {
            name: (*factor).to_owned(),
            points: runs.iter().map(point).collect(),
        }
    };
    let curves: Vec<Curve> = measured.iter().map(curve).collect();
    let axes = Axes {
        x_label: "log₁₀ size, relative to the smallest".to_owned(),
        y_label: "log₁₀ time, relative to the smallest".to_owned(),
        legend: Corner::UpperLeft,
        ..Axes::default()
    };
    Ok(Figure {
        file: "cost".to_owned(),
        caption: "Processor time as each size grows.".to_owned(),
        svg: line_plot(&axes, &curves)?,
    })
}
