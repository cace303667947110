//! `cargo run -p retrain`: retraining and fine-tuning experiments.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use retrain::execute::Executor;
use retrain::experiment::Experiment;
use retrain::jobs::Plan;
use retrain::runner::{Ending, Shard, run};
use retrain::setup::{Place, Setup};
use retrain::store::Store;

/// How well predicted sensitivities agree with what samples do after retraining and fine-tuning.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Do every job that is not done; any number of runners may share one folder
    Run {
        #[command(flatten)]
        common: Common,
        /// Do one part of N of the jobs and wait for what it needs of the others: 0/N … (N-1)/N
        #[arg(long, value_name = "I/N")]
        shard: Option<Shard>,
        /// Minutes between checkpoints of a training job
        #[arg(long, default_value_t = 1.0)]
        checkpoint_minutes: f64,
    },
}

#[derive(Args)]
struct Common {
    /// The experiment, a TOML file such as experiments/faces16-quick.toml
    experiment: PathBuf,
    /// Where results go; runs/NAME if not given
    #[arg(long)]
    out: Option<PathBuf>,
    /// The images, if they are not where the experiment says, such as celeba:FOLDER
    #[arg(long)]
    data: Option<String>,
    /// Where decoded images are kept for the next start
    #[arg(long, default_value = "datasets/cache")]
    cache: PathBuf,
    /// Where to compute: flex (CPU), wgpu (GPU, cargo feature wgpu), ndarray (cargo feature ndarray)
    #[arg(long, default_value = "flex")]
    device: String,
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match execute(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Command::Run {
            common,
            shard,
            checkpoint_minutes,
        } => {
            let opened = Opened::new(common)?;
            let stop = stop_on_ctrl_c()?;
            let every = Duration::from_secs_f64(60.0 * checkpoint_minutes.max(0.0));
            match run(&opened.executor(&stop, every), *shard)? {
                Ending::Finished => Ok(()),
                Ending::Stopped => bail!("stopped; the same command goes on"),
            }
        }
    }
}

/// An experiment with its data, jobs and folders.
struct Opened {
    setup: Setup,
    plan: Plan,
    store: Store,
}

impl Opened {
    fn new(common: &Common) -> Result<Self> {
        let experiment = Experiment::load(&common.experiment)?;
        let out = match &common.out {
            Some(out) => out.clone(),
            None => PathBuf::from("runs").join(&experiment.name),
        };
        let place = Place {
            data: common.data.clone(),
            cache: common.cache.clone(),
            device: common.device.clone(),
        };
        let setup = Setup::new(experiment, &place)?;
        let plan = Plan::new(&setup)?;
        let store = Store::open(&out, &plan.jobs)?;
        Ok(Self { setup, plan, store })
    }

    fn executor<'a>(&'a self, stop: &'a AtomicBool, checkpoint_every: Duration) -> Executor<'a> {
        Executor {
            setup: &self.setup,
            plan: &self.plan,
            store: &self.store,
            stop,
            checkpoint_every,
        }
    }
}

/// A flag that Ctrl-C raises; a second Ctrl-C ends the process at once.
fn stop_on_ctrl_c() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::SeqCst) {
            std::process::exit(1);
        }
        eprintln!("stopping after this step or job; press Ctrl-C again to stop at once");
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}
