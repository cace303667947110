//! `retrain status`: the state of each job.

use anyhow::Result;
use datasway_cli::print;
use datasway_retraining::jobs::JobStatus;

use crate::experiment::{OpenExperiment, job_name};

/// Prints the state of each job and the number of those that are done.
pub fn execute(experiment: &OpenExperiment) -> Result<()> {
    let workspace = experiment.workspace();
    let plan = workspace.plan;
    let mut done = 0;
    for id in plan.ids() {
        let status = workspace.status(id);
        done += usize::from(status == JobStatus::Done);
        print(format!("{}: {}\n", job_name(plan.job(id)), phrase(&status)))?;
    }
    print(format!("{done} of {} jobs are done\n", plan.jobs.len()))
}

fn phrase(status: &JobStatus) -> String {
    match status {
        JobStatus::Done => "done".to_owned(),
        JobStatus::Running { holder, step } => {
            let running = format!("running on {} (process {})", holder.host, holder.pid);
            match step {
                Some(step) => format!("{running} at step {step}"),
                None => running,
            }
        }
        JobStatus::Stopped { step } => format!("stopped at step {step}"),
        JobStatus::Open => "open".to_owned(),
    }
}
