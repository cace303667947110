//! The binary, killed with SIGKILL or stopped with Ctrl-C and resumed, ends with the weights of a run that
//! was never stopped.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use datasway_diffusion::checkpoint::Checkpoint;
use datasway_training::config::TrainConfig;

fn command(folder: &Path, out: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command
        .current_dir(folder)
        .args(["--data", "faces:64", "--config", "tiny.toml"])
        .args(["--checkpoint-minutes", "0", "--out", out])
        .stderr(Stdio::null());
    command
}

/// A folder with the configuration of a run of a few seconds.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut config = TrainConfig::preset("faces16").unwrap();
    config.network.image_size = 8;
    config.network.channels = 8;
    config.network.attention = vec![4];
    config.network.head_channels = 8;
    config.batch = 4;
    config.steps = STEPS;
    let text = toml::to_string(&config).unwrap();
    std::fs::write(folder.path().join("tiny.toml"), text).unwrap();
    folder
}

const STEPS: u64 = 60;

/// Starts a run, waits for its first checkpoint and a moment longer, and signals it.
fn interrupted(folder: &Path, out: &str, signal: &str) -> Checkpoint {
    let mut child = command(folder, out).spawn().unwrap();
    let path = folder.join(out).join("checkpoint.safetensors");
    let started = Instant::now();
    while !path.exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "no checkpoint");
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(Duration::from_millis(40));
    let pid = child.id().to_string();
    let kill = Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(kill.success());
    let status = child.wait().unwrap();
    assert_eq!(status.success(), signal == "-INT", "{status}");
    let stopped = Checkpoint::load(&path).expect("complete, though the run was stopped");
    assert!(stopped.header.step < STEPS, "the run was too fast to stop");
    stopped
}

#[cfg(unix)]
#[test]
fn a_stopped_run_resumes_bit_for_bit() {
    let folder = folder();
    let folder = folder.path();
    assert!(command(folder, "straight").status().unwrap().success());
    let load =
        |out: &str| Checkpoint::load(&folder.join(out).join("checkpoint.safetensors")).unwrap();
    let straight = load("straight");
    for (out, signal) in [("killed", "-KILL"), ("asked", "-INT")] {
        interrupted(folder, out, signal);
        let resumed = command(folder, out).arg("--resume").status().unwrap();
        assert!(resumed.success());
        let resumed = load(out);
        assert_eq!(resumed.header.step, STEPS);
        assert_eq!(straight.model, resumed.model, "{signal}");
        assert_eq!(straight.ema, resumed.ema, "{signal}");
        let log = |out: &str| std::fs::read_to_string(folder.join(out).join("loss.csv")).unwrap();
        assert_eq!(log("straight"), log(out), "the loss log, {signal}");
    }
}

#[test]
fn a_runs_record_configures_another() {
    let folder = folder();
    let run = |config: &str, out: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
        let arguments = ["--data", "faces:64", "--config", config, "--set", "steps=2"];
        command
            .current_dir(&folder)
            .args(arguments)
            .args(["--out", out]);
        assert!(command.output().unwrap().status.success());
        std::fs::read_to_string(folder.path().join(out).join("run.toml")).unwrap()
    };
    assert_eq!(run("tiny.toml", "a"), run("a/run.toml", "b"));
}
