//! `sensitivity convergence`: the prediction held against the truth where the truth is known in closed form.

mod beyond;
mod complexity;
mod order;
mod pictures;
mod robustness;
mod section;
mod traces;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use datasway_cli::number::{self, count};
use datasway_fs::output::Kind;
use datasway_report::document;
use indicatif::{ProgressBar, ProgressStyle};
use maud::html;
use section::Section;

use crate::default_model;

/// The files of a convergence run.
static FOLDER: Kind = Kind {
    name: "run of `sensitivity convergence`",
    files: &["*.csv", "*.svg", "index.html"],
    marks: &[
        ("order.csv", ""),
        ("index.html", "How far the prediction can be trusted"),
    ],
};

/// How far the prediction can be trusted, measured on data known in closed form: order of convergence,
/// robustness, trace estimators, data beyond Gaussians, reach, and cost. Writes tables, plots and a page.
#[derive(clap::Args)]
pub struct Arguments {
    /// Where the results go
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

/// How much is done.
struct StudyScale {
    seed: u64,
    quick: bool,
    bar: ProgressBar,
}

impl StudyScale {
    /// The full size, or the one of a quick run.
    fn size(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// Tells what is being done.
    fn says(&self, what: impl Into<String>) {
        self.bar.set_message(what.into());
        self.bar.inc(1);
    }
}

/// Runs all of it.
///
/// # Errors
/// If a model fails or a file cannot be written.
pub fn execute(arguments: &Arguments) -> Result<()> {
    if let Some(sizes) = &arguments.measure {
        return complexity::measure(sizes);
    }
    let folder = datasway_cli::result_folder(&arguments.out, &FOLDER)?;
    let checkpoint = default_model::or_shipped(arguments.checkpoint.as_deref())?;
    let started = Instant::now();
    let effort = StudyScale {
        seed: arguments.seed,
        quick: arguments.quick,
        bar: ProgressBar::new_spinner(),
    };
    effort
        .bar
        .set_style(ProgressStyle::with_template("{spinner} {elapsed} {msg}")?);
    effort
        .bar
        .enable_steady_tick(std::time::Duration::from_millis(200));

    let mut sections = Vec::new();
    let mut done = |section: Section| -> Result<()> {
        section.write(folder.path())?;
        effort.bar.suspend(|| print!("{}", section.markdown()));
        sections.push(section);
        Ok(())
    };
    done(order::section(&effort)?)?;
    let studied = robustness::section(&effort)?;
    done(studied.section)?;
    done(traces::section(&effort, &checkpoint)?)?;
    done(pictures::section(&effort)?)?;
    done(beyond::section(&effort, &studied.learned)?)?;
    done(complexity::section(&effort)?)?;
    effort.bar.finish_and_clear();

    let seconds = started.elapsed().as_secs_f64();
    write_page(folder.path(), arguments, &sections, seconds)?;
    folder.finish()?;
    datasway_cli::tell(format!(
        "{seconds:.0} s; open {}",
        arguments.out.join("index.html").display()
    ));
    Ok(())
}

/// One HTML file that loads nothing from anywhere.
fn write_page(
    folder: &Path,
    arguments: &Arguments,
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
