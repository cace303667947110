//! Runs the jobs that are not done, beside other runners on the same folder.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use datasway_fs::claim::Claim;
use serde_json::json;

use crate::RetrainError;
use crate::execute::Executor;
use crate::jobs::{Job, Plan};

/// Between two looks at what others have finished.
const POLL: Duration = Duration::from_millis(500);

/// One of n equal parts of the jobs, as a scheduler's job array counts them: `0/4` … `3/4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which part, from 0.
    pub index: usize,
    /// How many parts.
    pub count: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('/');
        let numbers = parts.and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((index, count)) if index < count => Ok(Self { index, count }),
            _ => Err("write I/N with I from 0 to N-1, such as 0/4".to_owned()),
        }
    }
}

impl Shard {
    /// Whether each job is in this part: jobs of a kind are dealt out in turn, so that parts cost about the same.
    pub fn deal(self, plan: &Plan) -> Vec<bool> {
        let mut dealt: HashMap<&str, usize> = HashMap::new();
        let mine = |job: &Job| {
            let count = dealt.entry(job.kind).or_default();
            *count += 1;
            (*count - 1) % self.count == self.index
        };
        plan.jobs.iter().map(mine).collect()
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every job of this runner's part is done.
    Finished,
    /// It was asked to stop before that.
    Stopped,
}

/// Does every job of a part that is not done. What they build on belongs to other parts too: it is done here if no
/// runner holds it, because the scheduler may not have started that part's runner yet and may wait for this one to end.
///
/// # Errors
/// The first error of a job.
pub fn run(executor: &Executor<'_>, shard: Option<Shard>) -> Result<Ending, RetrainError> {
    let plan = executor.plan;
    let mine = match shard {
        Some(shard) => shard.deal(plan),
        None => vec![true; plan.jobs.len()],
    };
    let inputs = inputs(plan, &mine);
    let open = |among: &[bool]| -> Vec<usize> {
        let open = |job: &usize| among[*job] && !executor.done(*job);
        (0..plan.jobs.len()).filter(open).collect()
    };
    let work = |job: usize| -> Result<bool, RetrainError> {
        let mut inputs = plan.jobs[job].inputs.iter();
        Ok(inputs.all(|&input| executor.done(input)) && attempt(executor, job)?)
    };
    let mut waiting = false;
    loop {
        let own = open(&mine);
        if own.is_empty() {
            return Ok(Ending::Finished);
        }
        let mut worked = false;
        for job in own {
            if executor.stop.load(Ordering::SeqCst) {
                return Ok(Ending::Stopped);
            }
            worked |= work(job)?;
        }
        for job in open(&inputs) {
            if worked || executor.stop.load(Ordering::SeqCst) {
                break;
            }
            worked = work(job)?;
        }
        if !worked {
            if !waiting {
                crate::progress::tell("waiting for jobs of other runners");
            }
            std::thread::sleep(POLL);
        }
        waiting = !worked;
    }
}

/// The jobs that these build on, near or far, and that are not among them.
fn inputs(plan: &Plan, jobs: &[bool]) -> Vec<bool> {
    let mut needed = jobs.to_vec();
    // A job comes after those that it builds on.
    for (place, job) in plan.jobs.iter().enumerate().rev() {
        if needed[place] {
            job.inputs.iter().for_each(|&i| needed[i] = true);
        }
    }
    let both = needed.iter().zip(jobs);
    both.map(|(needed, own)| *needed && !own).collect()
}

/// Does a job unless another runner holds it or has just done it.
fn attempt(executor: &Executor<'_>, job: usize) -> Result<bool, RetrainError> {
    let (folder, jobs) = (executor.store.folder(job), &executor.plan.jobs);
    std::fs::create_dir_all(folder).map_err(RetrainError::file(folder, "cannot be made"))?;
    let Some(_claim) = Claim::take(folder)? else {
        return Ok(false);
    };
    if executor.done(job) {
        return Ok(false);
    }
    datasway_fs::remove_leftovers(folder)?;
    let Job {
        kind,
        label,
        key,
        settings,
        inputs,
        ..
    } = &jobs[job];
    let inputs: Vec<&str> = inputs.iter().map(|&i| jobs[i].key.as_str()).collect();
    let record =
        json!({ "key": key, "kind": kind, "label": label, "settings": settings, "inputs": inputs });
    datasway_fs::write(&folder.join("job.json"), format!("{record:#}\n").as_bytes())?;
    crate::progress::tell(format!("[{}/{}] {kind} {label}", job + 1, jobs.len()));
    let started = Instant::now();
    if executor.execute(job)? {
        crate::progress::tell(format!(
            "  done in {:.1} s",
            started.elapsed().as_secs_f64()
        ));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_counted_from_zero() {
        assert_eq!("1/4".parse(), Ok(Shard { index: 1, count: 4 }));
        for bad in ["4/4", "1", "a/b", "0/0", "-1/2"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }
}
