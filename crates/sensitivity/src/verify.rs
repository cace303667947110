//! `sensitivity convergence`: the prediction against the truth on problems with known solutions.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use datasway_cli::number::{self, count};
use datasway_fs::output::Kind;
use datasway_report::{Section, document};
use datasway_verification::studies::scaling::{MeasuredCost, Workload};
use datasway_verification::{StudyError, StudyScale, verify};
use indicatif::{ProgressBar, ProgressStyle};
use maud::html;

use crate::default_model;

/// Name of the subcommand.
const SUBCOMMAND: &str = "convergence";

/// The files of a convergence run.
static FOLDER: Kind = Kind {
    name: "run of `sensitivity convergence`",
    files: &["*.csv", "*.svg", "index.html"],
    marks: &[
        ("order.csv", ""),
        ("index.html", "How far the prediction can be trusted"),
    ],
};

/// Accuracy of the prediction, measured on data known in closed form: order of convergence,
/// robustness, trace estimators, data beyond Gaussians, reach, and cost. Writes tables, plots and a page.
#[derive(clap::Args)]
pub struct VerifyArgs {
    /// Folder of the results
    #[arg(long, default_value = "runs/convergence")]
    out: PathBuf,
    /// Seed of mixtures, points, noise, probes and networks
    #[arg(long, default_value_t = 1, value_parser = count(number::SEED))]
    seed: u64,
    /// Everything at a fraction of its size, to see that it works: the numbers mean less
    #[arg(long)]
    quick: bool,
    /// A checkpoint of `train`, whose U-Net's Jacobians the trace estimators are compared on beside a mixture's
    /// [default: the model of procedural faces that comes with Datasway]
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// Only measure one load in this process (side,samples,steps,probes,directions,points), and print its cost
    #[arg(long, hide = true)]
    measure: Option<String>,
}

/// Runs `sensitivity convergence`.
///
/// # Errors
/// If a model fails or a file cannot be written.
pub fn execute(arguments: &VerifyArgs) -> Result<()> {
    if let Some(sizes) = &arguments.measure {
        return print_cost(sizes);
    }
    let folder = datasway_cli::result_folder(&arguments.out, &FOLDER)?;
    let checkpoint = default_model::or_shipped(arguments.checkpoint.as_deref())?;
    let started = Instant::now();
    let bar = spinner()?;
    let scale = StudyScale {
        seed: arguments.seed,
        quick: arguments.quick,
        progress: &|text| {
            bar.set_message(text);
            bar.inc(1);
        },
    };
    let mut sections = Vec::new();
    verify(&scale, &checkpoint, &measure_in_process, |section| {
        section.write(folder.path())?;
        bar.suspend(|| print!("{}", section.markdown()));
        sections.push(section);
        anyhow::Ok(())
    })?;
    bar.finish_and_clear();

    let seconds = started.elapsed().as_secs_f64();
    write_page(folder.path(), arguments, &sections, seconds)?;
    folder.finish()?;
    datasway_cli::tell(format!(
        "{seconds:.0} s; open {}",
        arguments.out.join("index.html").display()
    ));
    Ok(())
}

fn spinner() -> Result<ProgressBar> {
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {elapsed} {msg}")?);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}

/// Measures a workload in this process and prints its cost for [`measure_in_process`].
fn print_cost(sizes: &str) -> Result<()> {
    let numbers: Vec<usize> = sizes.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let &[side, samples, steps, probes, directions, points] = &*numbers else {
        bail!("--measure takes six sizes");
    };
    let workload = Workload {
        side,
        samples,
        steps,
        probes,
        directions,
        points,
    };
    let cost = workload.measure()?;
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |v| v.to_string());
    let memory = number(cost.memory.map(|bytes| bytes as f64));
    println!("{} {} {memory}", cost.wall, number(cost.processor));
    Ok(())
}

/// Measures a workload in a process of its own, since the peak of memory of a process does not fall.
fn measure_in_process(workload: &Workload) -> Result<MeasuredCost, StudyError> {
    let sizes = [
        workload.side,
        workload.samples,
        workload.steps,
        workload.probes,
        workload.directions,
        workload.points,
    ];
    let sizes = sizes.map(|size| size.to_string()).join(",");
    let fail = |reason: String| StudyError::Measurement(format!("measuring {sizes}: {reason}"));
    let output = std::env::current_exe()
        .and_then(|program| {
            let arguments = [SUBCOMMAND, "--measure", &sizes];
            Command::new(program).args(arguments).output()
        })
        .map_err(|error| fail(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    let Some(Ok(wall)) = numbers.next() else {
        return Err(fail(String::from_utf8_lossy(&output.stderr).into_owned()));
    };
    Ok(MeasuredCost {
        wall,
        processor: numbers.next().and_then(Result::ok),
        memory: numbers
            .next()
            .and_then(Result::ok)
            .map(|bytes| bytes as u64),
    })
}

/// Writes the page, one HTML file that loads nothing else.
fn write_page(
    folder: &Path,
    arguments: &VerifyArgs,
    sections: &[Section],
    seconds: f64,
) -> Result<()> {
    let title = "How far the prediction can be trusted";
    let size = if arguments.quick {
        "quick (too small to quote)"
    } else {
        "full"
    };
    let body = html! {
        header.top {
            h1 { (title) }
            p.lead {
                "Training data ρ are changed to ρ + ην. The prediction is that a sample x moves by ηδ; the truth here is the sample that "
                "the same sampler draws from the exactly changed data with the same noise. Size: " (size) "; seed " (arguments.seed)
                "; " (format!("{seconds:.0}")) " s; Datasway " (env!("CARGO_PKG_VERSION")) "."
            }
        }
        main { @for section in sections { (section.html()) } }
    };
    let path = &folder.join("index.html");
    let page = document(title, datasway_report::STYLE, &body);
    Ok(datasway_fs::write(path, page.as_bytes())?)
}
