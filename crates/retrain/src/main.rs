//! `cargo run -p retrain`: retraining and fine-tuning experiments.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::{Args, Parser, Subcommand};
use datasway_cli::memory::ensure_room;
use datasway_data::Source;
use datasway_diffusion::device::DEVICES;
use datasway_fs::output::Kind;
use datasway_retraining::attribution::evaluation::Design;
use datasway_retraining::attribution::{self, counterfactual};
use datasway_retraining::evaluation::evaluate;
use datasway_retraining::execute::{Executor, State};
use datasway_retraining::experiment::Experiment;
use datasway_retraining::jobs::{Plan, Trials};
use datasway_retraining::prepared::{PreparedExperiment, RunEnvironment};
use datasway_retraining::probe::estimate;
use datasway_retraining::runner::{Ending, Shard, run};
use datasway_retraining::store::Store;
use datasway_retraining::table;
use datasway_training::memory::network_bytes;

/// How well predicted sensitivities agree with what samples do after retraining and fine-tuning.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the jobs and what they will cost, measured by a short probe on this machine as it is now
    Plan {
        #[command(flatten)]
        common: Common,
    },
    /// Do every job that is not done; any number of runners may share one folder
    Run {
        #[command(flatten)]
        common: Common,
        /// Do one part of N of the jobs, and what they build on if no other runner is at it: 0/N … (N-1)/N
        #[arg(long, value_name = "I/N")]
        shard: Option<Shard>,
        /// Minutes between checkpoints of a training job
        #[arg(long, default_value = "1", value_parser = minutes)]
        checkpoint_minutes: Duration,
    },
    /// Show how far each job is
    Status {
        #[command(flatten)]
        common: Common,
    },
    /// Compare what is done, and write tables, raw numbers, plots and a page to OUT/table, in the place of what is there
    Table {
        #[command(flatten)]
        common: Common,
        /// Leave pictures of samples out of the page
        #[arg(long)]
        no_photos: bool,
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
    /// Where to compute: flex (CPU), or with the cargo feature of the name cuda, metal, rocm, wgpu (GPU), ndarray (slow CPU)
    #[arg(long, default_value = "flex", value_parser = DEVICES)]
    device: String,
}

fn main() -> ExitCode {
    datasway_cli::allocator::keep_memory();
    datasway_cli::finish(execute(&datasway_cli::parse()))
}

fn execute(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Command::Plan { common } => plan(&Opened::new(common)?),
        Command::Status { common } => status(&Opened::new(common)?),
        Command::Run {
            common,
            shard,
            checkpoint_minutes,
        } => {
            let opened = Opened::new(common)?;
            opened.store.make()?;
            let stop = datasway_cli::stop_on_ctrl_c("step or job")?;
            match run(&opened.executor(&stop, *checkpoint_minutes), *shard)? {
                Ending::Finished => Ok(()),
                Ending::Stopped => bail!("stopped; the same command goes on"),
            }
        }
        Command::Table { common, no_photos } => {
            let opened = Opened::new(common)?;
            ensure!(
                opened.store.root().is_dir(),
                "{} holds no results yet: begin with `retrain run`, or name another folder with --out",
                opened.out.display()
            );
            let (stop, folder) = (AtomicBool::new(false), opened.out.join("table"));
            let executor = opened.executor(&stop, Duration::MAX);
            let results = datasway_cli::result_folder(&folder, &TABLE)?;
            if !opened.plan.runs.is_empty() {
                let evaluation = evaluate(&executor)?;
                table::write(results.path(), &executor, &evaluation, !no_photos)?;
                datasway_cli::print(std::fs::read_to_string(results.path().join("table.md"))?)?;
            }
            if let Some(trials) = &opened.plan.trials {
                attribution_tables(&executor, trials, results.path())?;
            }
            results.finish()?;
            datasway_cli::tell(format!(
                "these tables and the numbers behind them are in {}",
                folder.display()
            ));
            Ok(())
        }
    }
}

/// The folder of tables, which stands beside that of the jobs.
static TABLE: Kind = Kind {
    name: "table of `retrain`",
    files: &["*"],
    marks: &[("../jobs", "")],
};

fn attribution_tables(executor: &Executor<'_>, trials: &Trials, folder: &Path) -> Result<()> {
    let mut designs = vec![Design::Subsets];
    if !executor.setup.groups.is_empty() {
        designs.push(Design::Groups);
    }
    for design in designs {
        let name = attribution::table::file(design);
        match attribution::evaluation::evaluate(executor, trials, design)? {
            Some(evaluation) => {
                attribution::table::write(folder, executor, &evaluation)?;
                let file = folder.join(format!("{name}.md"));
                datasway_cli::print(std::fs::read_to_string(file)?)?;
            }
            None => datasway_cli::print(format!(
                "Not done yet: {name}, of which no seed has all its models.\n"
            ))?,
        }
    }
    if let Some(jobs) = &trials.counterfactuals {
        match counterfactual::evaluate(executor, jobs)? {
            Some(rows) => {
                attribution::table::write_counterfactuals(folder, executor, &rows)?;
                let file = folder.join("counterfactual.md");
                datasway_cli::print(std::fs::read_to_string(file)?)?;
            }
            None => datasway_cli::print("\nNot done yet: counterfactuals.\n")?,
        }
    }
    Ok(())
}

fn minutes(text: &str) -> Result<Duration, String> {
    let duration = |minutes: f64| Duration::try_from_secs_f64(60.0 * minutes).ok();
    let minutes = text.parse().ok().and_then(duration);
    minutes.ok_or_else(|| "write minutes from 0 up, such as 0.5".to_owned())
}

fn plan(opened: &Opened) -> Result<()> {
    let stop = AtomicBool::new(false);
    let executor = opened.executor(&stop, Duration::MAX);
    let (mut all, mut left) = (0.0, 0.0);
    for (job, seconds) in estimate(&executor)?.into_iter().enumerate() {
        let done = executor.done(job);
        let mark = if done { "done" } else { "" };
        datasway_cli::print(format!(
            "{seconds:>9.1} s  {mark:>4}  {}\n",
            opened.name(job)
        ))?;
        all += seconds;
        left += if done { 0.0 } else { seconds };
    }
    datasway_cli::print(format!(
        "{} jobs of {:.0} min by the probe, of which {:.0} min are left for one runner on this machine\n",
        opened.plan.jobs.len(),
        all / 60.0,
        left / 60.0
    ))
}

fn status(opened: &Opened) -> Result<()> {
    let stop = AtomicBool::new(false);
    let executor = opened.executor(&stop, Duration::MAX);
    let states: Vec<State> = (0..opened.plan.jobs.len())
        .map(|job| executor.state(job))
        .collect();
    for (job, state) in states.iter().enumerate() {
        let at = |step: &u64| format!("at step {step}");
        let words = match state {
            State::Done => "done".to_owned(),
            State::Running(holder, step) => format!(
                "running on {} (process {}) {}",
                holder.host,
                holder.pid,
                step.as_ref().map(at).unwrap_or_default()
            ),
            State::Stopped(step) => format!("stopped {}", at(step)),
            State::Open => "open".to_owned(),
        };
        datasway_cli::print(format!("{}: {}\n", opened.name(job), words.trim_end()))?;
    }
    let done = states.iter().filter(|state| **state == State::Done).count();
    datasway_cli::print(format!("{done} of {} jobs are done\n", states.len()))
}

/// An experiment with its data, jobs and folders.
struct Opened {
    setup: PreparedExperiment,
    plan: Plan,
    store: Store,
    out: PathBuf,
}

impl Opened {
    fn new(common: &Common) -> Result<Self> {
        let experiment = Experiment::load(&common.experiment)?;
        let out = match &common.out {
            Some(out) => out.clone(),
            None => PathBuf::from("runs").join(&experiment.name),
        };
        let place = RunEnvironment {
            data: common.data.clone(),
            cache: common.cache.clone(),
            device: common.device.clone(),
        };
        let source = Source::parse(place.data.as_deref().unwrap_or(&experiment.data))?;
        for config in experiment.configurations()? {
            ensure!(
                !source.grey() || config.network.image_channels == 1,
                "the images of {source} are grey, but the network takes {} channels: choose the preset mnist16 or mnist28, or set \
                 network = {{ image_channels = 1 }}",
                config.network.image_channels
            );
            ensure_room(
                network_bytes(&config.network, config.batch),
                "this network and batch",
                "choose a smaller batch or a smaller network",
            )?;
        }
        let setup = PreparedExperiment::new(experiment, &place)?;
        datasway_cli::tell(&setup.found);
        let plan = Plan::new(&setup)?;
        let store = Store::open(&out, &plan.jobs)?;
        Ok(Self {
            setup,
            plan,
            store,
            out,
        })
    }

    /// A job, for people.
    fn name(&self, job: usize) -> String {
        let job = &self.plan.jobs[job];
        format!("{} {}", job.kind, job.label)
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
