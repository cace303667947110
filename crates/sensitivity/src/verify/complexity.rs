//! What a prediction costs, each load in a process of its own, so that its peak of memory is its own.

use std::process::Command;

use anyhow::{Context, Result, bail};
use datasway_report::{Axes, Corner, Curve, line_plot};
use datasway_stats::fit;
use datasway_verification::studies::scaling::{BASE, Cost, Sweep, Workload, law, sweeps};

use super::StudyScale;
use super::section::{Figure, Section, Table, short};

/// One load in this process, for the parent to read.
pub fn measure(sizes: &str) -> Result<()> {
    let numbers: Vec<usize> = sizes.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let &[side, samples, steps, probes, directions, points] = &*numbers else {
        bail!("--measure takes six sizes");
    };
    let load = Workload {
        side,
        samples,
        steps,
        probes,
        directions,
        points,
    };
    let cost = load.run()?;
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |v| v.to_string());
    let memory = number(cost.memory.map(|bytes| bytes as f64));
    println!("{} {} {memory}", cost.wall, number(cost.processor));
    Ok(())
}

/// One load in a process of its own.
fn apart(load: &Workload) -> Result<Cost> {
    let sizes = [
        load.side,
        load.samples,
        load.steps,
        load.probes,
        load.directions,
        load.points,
    ];
    let sizes = sizes.map(|size| size.to_string()).join(",");
    let output = Command::new(std::env::current_exe()?)
        .args(["convergence", "--measure", &sizes])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    let context = || {
        format!(
            "measuring {sizes}: {}",
            String::from_utf8_lossy(&output.stderr)
        )
    };
    let wall = numbers.next().with_context(context)??;
    Ok(Cost {
        wall,
        processor: numbers.next().and_then(Result::ok),
        memory: numbers
            .next()
            .and_then(Result::ok)
            .map(|bytes| bytes as u64),
    })
}

/// A size of a load, and its cost.
type Measured = (f64, Workload, Cost);

pub fn section(effort: &StudyScale) -> Result<Section> {
    let mut measured: Vec<(&str, Vec<Measured>)> = Vec::new();
    let base = Workload {
        steps: effort.size(BASE.steps, 2),
        ..BASE
    };
    for Sweep { factor, loads } in sweeps(&base) {
        let mut costs = Vec::new();
        for (size, load) in loads.into_iter().take(effort.size(usize::MAX, 2)) {
            effort.says(format!("cost: {factor} = {size}"));
            costs.push((size, load, apart(&load)?));
        }
        measured.push((factor, costs));
    }
    Ok(Section {
        title: "Cost",
        text: text(&base, &measured),
        tables: vec![exponents(&measured), file(&measured)],
        figures: vec![figure(&measured)?],
    })
}

/// Seconds of all processors, or on the clock where the system does not tell.
fn seconds(cost: &Cost) -> f64 {
    cost.processor.unwrap_or(cost.wall)
}

fn megabytes(cost: &Cost) -> f64 {
    cost.memory.map_or(f64::NAN, |bytes| bytes as f64 / 1e6)
}

fn text(base: &Workload, measured: &[(&str, Vec<Measured>)]) -> Vec<String> {
    let loads = measured.iter().flat_map(|sweep| &sweep.1);
    let observed: Vec<([f64; 3], f64)> = loads.map(|m| (m.1.terms(), seconds(&m.2))).collect();
    let law = match law(&observed) {
        Some(([a, b, c], error)) => format!(
            "Fitted to all {} runs (median relative error {:.0} %): seconds of processor time = n·E·d·[{a:.2e} + {b:.2e}·(K + P) + {c:.2e}·K·m], \
             with n samples, E = 2S − 1 evaluations in S steps of Heun, d entries, P probes, K directions and m points of each ν. A product \
             with the Jacobian costs {:.1} evaluations of this network; the constants are this network's and this machine's.",
            observed.len(),
            100.0 * error,
            b / a
        ),
        None => "The runs do not determine the law.".to_owned(),
    };
    vec![
        format!(
            "A small U-Net on grey pictures, Heun, probability-flow density, empirical ν; one size varied, the others as in n = {}, S = {}, d = {}, P = \
             {}, K = {}, m = {}. Each run has a process of its own; memory is its peak above what was resident before (model and points).",
            base.samples,
            base.steps,
            base.side * base.side,
            base.probes,
            base.directions,
            base.points
        ),
        law,
    ]
}

fn exponents(measured: &[(&str, Vec<Measured>)]) -> Table {
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
    for (factor, costs) in measured {
        let slope = |range: &[Measured], of: fn(&Cost) -> f64| {
            let logs: Vec<(f64, f64)> = range.iter().map(|m| (m.0.ln(), of(&m.2).ln())).collect();
            fit(&logs).map_or(f64::NAN, |line| line.slope)
        };
        let (first, last) = (&costs[0], &costs[costs.len() - 1]);
        let end = &costs[costs.len() - 2..];
        let span =
            |of: fn(&Cost) -> f64| format!("{} to {}", short(of(&first.2)), short(of(&last.2)));
        table.rows.push(vec![
            (*factor).to_owned(),
            first.0.to_string(),
            last.0.to_string(),
            format!("{:.2}", slope(costs, seconds)),
            format!("{:.2}", slope(end, seconds)),
            format!("{:.2}", slope(costs, megabytes)),
            format!("{:.2}", slope(end, megabytes)),
            span(seconds),
            span(megabytes),
        ]);
    }
    table
}

fn file(measured: &[(&str, Vec<Measured>)]) -> Table {
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
    for (factor, costs) in measured {
        for (_, load, cost) in costs {
            let sizes = [
                load.side * load.side,
                load.samples,
                load.steps,
                load.probes,
                load.directions,
                load.points,
            ];
            let mut row = vec![(*factor).to_owned()];
            row.extend(sizes.map(|size| size.to_string()));
            row.extend([seconds(cost), cost.wall, megabytes(cost)].map(short));
            table.rows.push(row);
        }
    }
    table
}

fn figure(measured: &[(&str, Vec<Measured>)]) -> Result<Figure> {
    let curves: Vec<Curve> = measured
        .iter()
        .map(|(factor, costs)| Curve {
            name: (*factor).to_owned(),
            points: costs
                .iter()
                .map(|m| {
                    (
                        (m.0 / costs[0].0).log10(),
                        (seconds(&m.2) / seconds(&costs[0].2)).log10(),
                    )
                })
                .collect(),
        })
        .collect();
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
