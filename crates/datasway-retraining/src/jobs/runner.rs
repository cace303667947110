//! Runs the jobs of a workspace that are not done, together with other runners on the same folder.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use datasway_fs::claim::Claim;
use datasway_fs::shard::Shard;
use serde_json::json;

use super::executor::Executor;
use super::job::{Job, JobId, JobKind};
use super::plan::Plan;
use super::progress::Progress;
use crate::RetrainError;

/// Time between two looks for results of other runners.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// For each job of a plan, true if it is in a shard.
/// Jobs of one kind are dealt out in turn, so that all shards cost about the same.
fn jobs_of(shard: Shard, plan: &Plan) -> Vec<bool> {
    let mut dealt: HashMap<JobKind, usize> = HashMap::new();
    let mut is_dealt_here = |job: &Job| {
        let count = dealt.entry(job.kind).or_default();
        *count += 1;
        shard.has(*count - 1)
    };
    plan.jobs.iter().map(&mut is_dealt_here).collect()
}

/// The end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// All jobs of the shard are done.
    Finished,
    /// The run was stopped before that.
    Stopped,
}

/// Runs every job of a shard that is not done; without a shard, every job of the plan.
///
/// Inputs of these jobs may be in other shards.
/// They are run here too if no runner holds them: a scheduler may start the runner of their shard only after this one has ended.
///
/// # Errors
/// The first error of a job.
pub fn run(executor: &Executor<'_>, shard: Option<Shard>) -> Result<RunStatus, RetrainError> {
    let plan = executor.workspace.plan;
    let in_shard = match shard {
        Some(shard) => jobs_of(shard, plan),
        None => vec![true; plan.jobs.len()],
    };
    let inputs = inputs(plan, &in_shard);
    let mut was_waiting = false;
    loop {
        let open = open_jobs(executor, &in_shard);
        if open.is_empty() {
            return Ok(RunStatus::Finished);
        }
        let mut has_worked = false;
        for job in open {
            if executor.stop.load(Ordering::SeqCst) {
                return Ok(RunStatus::Stopped);
            }
            has_worked |= attempt(executor, job)?;
        }
        // One input at a time: it may make a job of the shard ready.
        for job in open_jobs(executor, &inputs) {
            if has_worked || executor.stop.load(Ordering::SeqCst) {
                break;
            }
            has_worked = attempt(executor, job)?;
        }
        if !has_worked {
            if !was_waiting {
                (executor.progress)(Progress::Waiting);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        was_waiting = !has_worked;
    }
}

/// The jobs of a set that are not done.
fn open_jobs(executor: &Executor<'_>, set: &[bool]) -> Vec<JobId> {
    let jobs = executor.workspace.plan.ids();
    jobs.filter(|job| set[job.index()] && !executor.workspace.is_done(*job))
        .collect()
}

/// The direct and indirect inputs of a set of jobs that are not in the set.
fn inputs(plan: &Plan, set: &[bool]) -> Vec<bool> {
    let mut needed = set.to_vec();
    // A job comes after its inputs.
    for id in plan.ids().rev() {
        if needed[id.index()] {
            for input in &plan.job(id).inputs {
                needed[input.index()] = true;
            }
        }
    }
    let pairs = needed.iter().zip(set);
    pairs
        .map(|(is_needed, is_in_set)| *is_needed && !is_in_set)
        .collect()
}

/// Runs a job if its inputs are done and no other runner holds it or has just done it.
/// Returns true if the job was run.
fn attempt(executor: &Executor<'_>, id: JobId) -> Result<bool, RetrainError> {
    let workspace = executor.workspace;
    let plan = workspace.plan;
    let job = plan.job(id);
    if !job.inputs.iter().all(|&input| workspace.is_done(input)) {
        return Ok(false);
    }
    let folder = workspace.store.folder(id);
    std::fs::create_dir_all(folder).map_err(RetrainError::file(folder, "cannot be made"))?;
    let Some(_claim) = Claim::take(folder)? else {
        return Ok(false);
    };
    if workspace.is_done(id) {
        return Ok(false);
    }
    datasway_fs::remove_leftovers(folder)?;
    let inputs = job.inputs.iter().map(|&input| plan.job(input).key.as_str());
    let record = json!({
        "key": job.key,
        "kind": job.kind.name(),
        "label": job.label,
        "settings": job.settings,
        "inputs": inputs.collect::<Vec<_>>(),
    });
    datasway_fs::write(&folder.join("job.json"), format!("{record:#}\n").as_bytes())?;
    (executor.progress)(Progress::Started {
        job,
        position: id.index() + 1,
        total: plan.jobs.len(),
    });
    let started = Instant::now();
    if executor.execute(id)? {
        let seconds = started.elapsed().as_secs_f64();
        (executor.progress)(Progress::Done { seconds });
    }
    Ok(true)
}
