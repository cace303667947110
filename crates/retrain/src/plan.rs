//! `retrain plan`: the jobs and estimates of their cost.

use anyhow::Result;
use datasway_cli::print;
use datasway_retraining::jobs::estimate_seconds;

use crate::experiment::{OpenExperiment, job_name};

/// Prints every job with its estimated time, and the sum of those that are left.
pub fn execute(experiment: &OpenExperiment) -> Result<()> {
    let workspace = experiment.workspace();
    let plan = workspace.plan;
    let estimates = estimate_seconds(workspace.experiment, plan)?;
    let (mut total, mut left) = (0.0, 0.0);
    for (id, seconds) in plan.ids().zip(estimates) {
        let is_done = workspace.is_done(id);
        let mark = if is_done { "done" } else { "" };
        let name = job_name(plan.job(id));
        print(format!("{seconds:>9.1} s  {mark:>4}  {name}\n"))?;
        total += seconds;
        left += if is_done { 0.0 } else { seconds };
    }
    print(format!(
        "{} jobs of {:.0} min by the probe, of which {:.0} min are left for one runner on this machine\n",
        plan.jobs.len(),
        total / 60.0,
        left / 60.0
    ))
}
