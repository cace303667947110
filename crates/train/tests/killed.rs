//! The binary, killed with SIGKILL at a step of its own choosing and resumed, ends with the weights of
//! a run that was never stopped.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use diffusion::checkpoint::Checkpoint;
use train::config::TrainConfig;

fn command(folder: &Path, out: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command
        .current_dir(folder)
        .args(["--data", "faces:64", "--config", "tiny.toml"])
        .args(["--checkpoint-minutes", "0", "--out", out])
        .stderr(Stdio::null());
    command
}

#[test]
fn a_killed_run_resumes_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = TrainConfig::preset("faces16").unwrap();
    config.network.image_size = 8;
    config.network.channels = 8;
    config.network.attention = vec![4];
    config.network.head_channels = 8;
    config.batch = 4;
    config.steps = 60;
    let text = toml::to_string(&config).unwrap();
    std::fs::write(folder.path().join("tiny.toml"), text).unwrap();

    let straight = command(folder.path(), "straight").status().unwrap();
    assert!(straight.success());

    let mut child = command(folder.path(), "killed").spawn().unwrap();
    let path = folder.path().join("killed/checkpoint.safetensors");
    let started = Instant::now();
    while !path.exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "no checkpoint");
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(Duration::from_millis(40));
    child.kill().unwrap();
    child.wait().unwrap();
    let stopped = Checkpoint::load(&path).expect("complete, though the run was killed");
    assert!(
        stopped.header.step < config.steps,
        "the run was too fast to kill"
    );

    let resumed = command(folder.path(), "killed")
        .arg("--resume")
        .status()
        .unwrap();
    assert!(resumed.success());
    let straight = Checkpoint::load(&folder.path().join("straight/checkpoint.safetensors"));
    let (straight, resumed) = (straight.unwrap(), Checkpoint::load(&path).unwrap());
    assert_eq!(resumed.header.step, config.steps);
    assert_eq!(straight.model, resumed.model);
    assert_eq!(straight.ema, resumed.ema);
}
