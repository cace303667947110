//! `train`, killed with SIGKILL or stopped with Ctrl-C and resumed, ends with the weights of a run that was never stopped.

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Folder, Said};
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_training::config::TrainConfig;

const STEPS: u64 = 60;

/// A folder with the configuration of a run of a few seconds.
fn folder() -> Folder {
    let folder = Folder::new();
    let mut config = TrainConfig::preset("faces16").unwrap();
    config.network.image_size = 8;
    config.network.channels = 8;
    config.network.attention = vec![4];
    config.network.head_channels = 8;
    config.batch = 4;
    config.steps = STEPS;
    folder.write("tiny.toml", toml::to_string(&config).unwrap());
    folder
}

fn command(folder: &Folder, out: &str) -> Command {
    let arguments = [
        "--data",
        "faces:64",
        "--config",
        "tiny.toml",
        "--checkpoint-minutes",
        "0",
        "--out",
        out,
    ];
    folder.command("train", &arguments)
}

fn checkpoint(folder: &Folder, out: &str) -> Checkpoint {
    let path = folder.join(out).join("checkpoint.safetensors");
    Checkpoint::load(&path).expect("complete, though the run was stopped")
}

/// Starts a run, waits for its first checkpoint and a moment longer, and signals it.
fn interrupt(folder: &Folder, out: &str, signal: &str) {
    let mut command = command(folder, out);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let path = folder.join(out).join("checkpoint.safetensors");
    let started = Instant::now();
    while !path.exists() {
        let lost = child.try_wait().unwrap().is_some();
        assert!(
            !lost && started.elapsed() < Duration::from_secs(60),
            "no checkpoint"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(Duration::from_millis(40));
    let pid = child.id().to_string();
    let kill = Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(kill.success());
    let status = child.wait_with_output().unwrap().status;
    assert_eq!(status.success(), signal == "-INT", "{status}");
    let stopped = checkpoint(folder, out);
    assert!(stopped.header.step < STEPS, "the run was too fast to stop");
}

#[cfg(unix)]
#[test]
fn a_stopped_run_resumes_bit_for_bit() {
    let folder = folder();
    let run = |mut command: Command| Said::from(command.output().unwrap()).succeeded();
    run(command(&folder, "straight"));
    let straight = checkpoint(&folder, "straight");
    for (out, signal) in [("killed", "-KILL"), ("asked", "-INT")] {
        interrupt(&folder, out, signal);
        let mut again = command(&folder, out);
        again.arg("--resume");
        run(again);
        let resumed = checkpoint(&folder, out);
        assert_eq!(resumed.header.step, STEPS);
        assert_eq!(straight.model, resumed.model, "{signal}");
        assert_eq!(straight.ema, resumed.ema, "{signal}");
        let losses = |out: &str| folder.text(&format!("{out}/loss.csv"));
        assert_eq!(losses("straight"), losses(out), "the loss log, {signal}");
    }
}

#[test]
fn a_runs_record_configures_another() {
    let folder = folder();
    let run = |config: &str, out: &str| {
        let arguments = [
            "--data", "faces:64", "--config", config, "--set", "steps=2", "--out", out,
        ];
        folder.run("train", &arguments).succeeded();
        folder.text(&format!("{out}/run.toml"))
    };
    assert_eq!(run("tiny.toml", "a"), run("a/run.toml", "b"));
}
