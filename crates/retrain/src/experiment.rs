//! The arguments that name an experiment, and the opened experiment.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use datasway_cli::memory::ensure_room;
use datasway_diffusion::device::{DEVICES, caution};
use datasway_fs::plural;
use datasway_retraining::jobs::{Job, Plan, Store, Workspace, plan};
use datasway_retraining::prepared::{PreparedExperiment, RunEnvironment, prepare};
use datasway_retraining::solver_memory::SolverMemory;
use datasway_retraining::spec::Experiment;

/// Arguments of every subcommand.
#[derive(Args)]
pub struct ExperimentArgs {
    /// The experiment, a TOML file such as experiments/faces16-quick.toml
    experiment: PathBuf,
    /// Folder of the results; runs/NAME if not given
    #[arg(long)]
    out: Option<PathBuf>,
    /// The images, if they are not where the experiment says, such as celeba:FOLDER
    #[arg(long)]
    data: Option<String>,
    /// Folder of decoded images, kept for the next start
    #[arg(long, default_value = "datasets/cache")]
    cache: PathBuf,
    /// Device: flex (CPU); with the cargo feature of its name cuda, metal, rocm or wgpu (GPU) or ndarray (slow CPU)
    #[arg(long, default_value = "flex", value_parser = DEVICES)]
    device: String,
}

/// An experiment with its images, jobs and folders.
pub struct OpenExperiment {
    prepared: PreparedExperiment,
    /// The jobs.
    pub plan: Plan,
    /// The folders of the jobs.
    pub store: Store,
    /// The folder of all results.
    pub out: PathBuf,
}

impl ExperimentArgs {
    /// Loads the experiment and its images, and plans its jobs.
    pub fn open(&self) -> Result<OpenExperiment> {
        let experiment = Experiment::load(&self.experiment)?;
        let out = match &self.out {
            Some(out) => out.clone(),
            None => PathBuf::from("runs").join(&experiment.name),
        };
        ensure_room(
            experiment.training_bytes()?,
            "this network and batch",
            "choose a smaller batch or a smaller network",
        )?;
        let environment = RunEnvironment {
            data: self.data.clone(),
            cache: self.cache.clone(),
            device: self.device.clone(),
            progress: Some(datasway_cli::decoding_progress),
        };
        let prepared = prepare(experiment, &environment)?;
        datasway_cli::tell_if(caution(&self.device));
        datasway_cli::tell(&prepared.data_summary);
        for solver in prepared.solver_memory()? {
            ensure_solver_room(&solver)?;
        }
        let plan = plan(&prepared)?;
        let store = Store::open(&out, &plan.jobs)?;
        Ok(OpenExperiment {
            prepared,
            plan,
            store,
            out,
        })
    }
}

/// Checks that there is room for a solver.
///
/// # Errors
/// If there is not, with what needs less.
fn ensure_solver_room(solver: &SolverMemory) -> Result<()> {
    let (what, advice) = match solver.iterations {
        Some(iterations) => (
            format!("{} of the solver", plural(iterations, "iteration")),
            "choose fewer iterations",
        ),
        None if solver.bytes.factors > 0 => (
            "Kronecker factors and the vectors of the solver".to_owned(),
            "choose preconditioner = \"none\", or fewer groups",
        ),
        None => (
            "the vectors of the solver".to_owned(),
            "choose a smaller network or fewer groups",
        ),
    };
    ensure_room(
        solver.bytes.total(),
        &format!("{}: {what}", solver.name),
        advice,
    )
}

impl OpenExperiment {
    /// The experiment with its results.
    pub fn workspace(&self) -> Workspace<'_> {
        Workspace {
            experiment: &self.prepared,
            plan: &self.plan,
            store: &self.store,
        }
    }
}

/// Kind and label of a job.
pub fn job_name(job: &Job) -> String {
    format!("{} {}", job.kind, job.label)
}
