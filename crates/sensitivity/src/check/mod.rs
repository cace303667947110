//! `sensitivity check`: whether a model is one of the data, before hours of work.

mod arguments;
mod cost;
mod influence_cost;
mod noise_range;
mod parts;
mod peaks;
mod plan;
mod products;
mod progress;
mod report;
mod run;

use anyhow::{Result, bail, ensure};
use datasway_fs::output::Kind;
use datasway_sensitivity::SIDECAR;

use crate::influence::functional_spec;

pub use arguments::CheckArgs;
use cost::RunCost;
use influence_cost::InfluenceCost;
use parts::Check;
use run::CheckRun;

/// The files of a check.
static FOLDER: Kind = Kind {
    name: "run of `sensitivity check`",
    files: &["losses.csv", "samples.png", "index.html", "summary.json"],
    marks: &[("losses.csv", ""), ("summary.json", "\"losses\"")],
};

/// Runs `sensitivity check`.
///
/// # Errors
/// If the model or the images are not found, the model fails, the results cannot be written, or the model does not fit.
pub fn execute(arguments: &CheckArgs) -> Result<()> {
    let model_arguments = &arguments.model;
    let config = model_arguments.config(arguments.samples, false);
    model_arguments.check(&config)?;
    datasway_cli::distinct("--of", &arguments.functionals, functional_spec::meaning)?;
    let folder = datasway_cli::result_folder(&arguments.out, &FOLDER)?;
    let candidate = model_arguments.model_with_any_data()?;
    ensure!(
        candidate.sidecar.is_some() || !arguments.write,
        "--write is for a model of another library, which --checkpoint names by its folder: leave it out"
    );
    let model = &candidate.model;
    let config = model_arguments.within_training(config, model)?;
    datasway_cli::tell(format!(
        "{}: is it a model of {}?",
        model.name, model.images.name
    ));
    let results = Check::new(arguments, &candidate, &config)?.run()?;
    let misfit = results.fit.misfit();
    let samples = results.samples.clone();
    let run = CheckRun::new(&candidate, &config, results);
    datasway_cli::tell_if(run.precision.map(|precision| precision.text()));
    datasway_cli::tell_if(run.clip_sample.map(|difference| difference.text()));
    report::write(folder.path(), &run, &samples, model.images.shape)?;
    folder.finish()?;
    datasway_cli::tell_if(run.cost.as_ref().map(RunCost::text));
    datasway_cli::tell_if(run.influence_cost.as_ref().map(InfluenceCost::text));
    let page = arguments.out.join("index.html");
    datasway_cli::tell(format!("open {}", page.display()));
    if let Some(misfit) = misfit {
        bail!("{} does not fit {}: {misfit}", run.checkpoint, run.data);
    }
    if let Some((folder, sidecar)) = candidate.sidecar.as_ref().filter(|_| arguments.write) {
        sidecar.write(folder)?;
        datasway_cli::tell(format!("wrote {}", folder.join(SIDECAR).display()));
    }
    Ok(())
}
