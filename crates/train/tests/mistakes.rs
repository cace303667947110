//! Mistakes that a user can make with the binary: each gets one sentence before any work, and nothing is lost.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn train(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.current_dir(folder).args(arguments);
    command
}

/// A network and a run of a blink.
const TINY: [&str; 16] = [
    "--data",
    "faces:16",
    "--steps",
    "3",
    "--batch",
    "2",
    "--set",
    "network.channels=8",
    "--set",
    "network.multipliers=[1]",
    "--set",
    "network.attention=[]",
    "--set",
    "network.image_size=8",
    "--sample-every",
    "2",
];

#[track_caller]
fn refused(output: &Output, code: i32, says: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert!(errors.contains(says), "{says:?} is not in: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    assert_eq!(errors.matches("error: ").count(), 1, "{errors}");
}

#[test]
fn every_number_has_a_range() {
    let folder = tempfile::tempdir().unwrap();
    let whole = ["0", "-1", "1.5", "1e12", "nan", "99999999999999999999"];
    let real = ["-1", "nan", "inf", "-inf", "1e300", "much"];
    let options: [(&str, &[&str]); 7] = [
        ("--steps", &whole),
        ("--batch", &[&whole[..], &["1000000000"]].concat()),
        ("--limit", &whole),
        ("--seed", &whole[1..]),
        ("--sample-every", &whole[1..]),
        ("--learning-rate", &[&real[..], &["0"]].concat()),
        ("--checkpoint-minutes", &real),
    ];
    let classifier: [(&str, &[&str]); 5] = [
        ("--size", &[&whole[..], &["1000000000"]].concat()),
        ("--channels", &[&whole[..], &["1000000000"]].concat()),
        ("--weight-decay", &real),
        ("--noise", &real),
        ("--held-out", &[&real[..], &["0", "1", "2"]].concat()),
    ];
    let both = options.iter().chain(&classifier[..0]);
    for (option, values) in both {
        for value in *values {
            let argument = format!("{option}={value}");
            refused(&train(folder.path(), &[&argument]), 2, option);
        }
    }
    let shared = options
        .iter()
        .filter(|(option, _)| *option != "--sample-every");
    for (option, values) in classifier.iter().chain(shared) {
        for value in *values {
            let argument = format!("{option}={value}");
            refused(&train(folder.path(), &["classifier", &argument]), 2, option);
        }
    }
    refused(&train(folder.path(), &["--device", "tpu"]), 2, "flex");
    refused(&train(folder.path(), &["--preset", "face16"]), 2, "faces16");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_is_found_before_the_images_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("file"), "").unwrap();
    std::fs::write(path.join("garbage.toml"), "= [").unwrap();
    std::fs::write(path.join("large.toml"), vec![b'#'; 2 << 20]).unwrap();
    std::fs::create_dir(path.join("photos")).unwrap();
    std::fs::write(path.join("photos/a.png"), "").unwrap();
    let cases: [(&[&str], &str); 24] = [
        (&["--out", "file"], "file is not a folder"),
        (&["--out", "file/below"], "below"),
        (&["--out", "photos"], "photos holds a.png"),
        (&["--out", "."], "choose another folder with --out"),
        (&["--export", "none/a.safetensors"], "no folder none"),
        (&["--export", "photos"], "is a folder"),
        (
            &["--export", "runs/train/checkpoint.safetensors"],
            "own checkpoint",
        ),
        (
            &["--export", "runs/train/../train/checkpoint.safetensors"],
            "own checkpoint",
        ),
        (&["--export", "runs/train/run.toml"], "a file of the run"),
        (&["--export", "runs/train/loss.csv"], "a file of the run"),
        (&["--export", "new/"], "is a folder"),
        (&["--config", "none.toml"], "none.toml: cannot be read"),
        (&["--config", "photos"], "photos: is not a file"),
        (
            &["--config", "garbage.toml"],
            "garbage.toml is not a configuration",
        ),
        (&["--config", "large.toml"], "large.toml: has 2097152 bytes"),
        (
            &["--resume"],
            "there is nothing to resume: runs/train/checkpoint.safetensors",
        ),
        (
            &["--set", "network.image_channels=2"],
            "images have 1 channel or 3",
        ),
        (&["--set", "network.channels=4000000"], "channels must be"),
        (&["--set", "network.channels=8192"], "GiB of memory"),
        (
            &["--set", "network.image_size=1000000"],
            "image_size must be",
        ),
        (&["--set", "network.image_size=4096"], "pixels must be"),
        (
            &["--data", "mnist:photos", "--preset", "faces16"],
            "are grey, but the network takes 3",
        ),
        (
            &[
                "--data",
                "mnist:photos",
                "--set",
                "network.image_channels=3",
            ],
            "are grey, but",
        ),
        (&["--set", "steps"], "write FIELD=VALUE"),
    ];
    for (arguments, says) in cases {
        // A set that would take hours to draw: none of these begins with it.
        let data = ["--data", "faces:1000000"];
        let data = if arguments[0] == "--data" {
            &[][..]
        } else {
            &data[..]
        };
        refused(&train(path, &[data, arguments].concat()), 1, says);
    }
    for (arguments, says) in [
        (&["--out", "file"][..], "file is not a folder"),
        (&["--out", "photos"], "photos holds a.png"),
        (&["--resume"], "nothing to resume"),
        (&["--size", "4096", "--channels", "4096"], "GiB of memory"),
    ] {
        let data = ["classifier", "--data", "faces:1000000"];
        refused(&train(path, &[&data, arguments].concat()), 1, says);
    }
    assert_eq!(std::fs::read_dir(path.join("photos")).unwrap().count(), 1);
    assert!(!path.join("runs/train").exists());
}

/// MNIST's files with so many random digits.
fn mnist(folder: &Path, count: u32) {
    let mut images = vec![0, 0, 8, 3];
    for number in [count, 28, 28] {
        images.extend(number.to_be_bytes());
    }
    images.extend((0..count * 784).map(|i| (i * 37 % 251) as u8));
    std::fs::write(folder.join("train-images-idx3-ubyte"), images).unwrap();
    let mut labels = vec![0, 0, 8, 1];
    labels.extend(count.to_be_bytes());
    labels.extend((0..count).map(|i| (i % 2) as u8));
    std::fs::write(folder.join("train-labels-idx1-ubyte"), labels).unwrap();
}

/// The first thing that a user of MNIST tries.
#[test]
fn the_network_follows_grey_images() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir(path.join("digits")).unwrap();
    mnist(&path.join("digits"), 20);
    for data in ["mnist:digits", "digits"] {
        let out = format!("out-{}", data.len());
        let arguments = [
            "--data", data, "--steps", "1", "--batch", "2", "--out", &out,
        ];
        let output = train(path, &arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert!(errors.contains("grey images: --preset mnist16"), "{errors}");
    }
    let arguments = [
        "classifier",
        "--data",
        "mnist:digits",
        "--steps",
        "1",
        "--batch",
        "2",
    ];
    let output = train(path, &[&arguments[..], &["--channels", "8"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

#[test]
fn a_folder_used_again_keeps_nothing_of_a_run_without_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let out = path.join("runs/train");
    assert!(train(path, &TINY).status.success());
    assert!(out.join("samples-000002.png").exists());
    refused(&train(path, &TINY), 1, "already holds a run");
    std::fs::remove_file(out.join("checkpoint.safetensors")).unwrap();
    std::fs::write(out.join("notes.txt"), "mine").unwrap();
    std::fs::write(out.join("samples-000999.png"), "of a killed run").unwrap();
    assert!(train(path, &TINY).status.success());
    assert!(!out.join("samples-000999.png").exists());
    assert!(out.join("notes.txt").exists());
    assert!(!out.join(".datasway-claim").exists());
}

#[cfg(unix)]
#[test]
fn one_run_at_a_time_writes_to_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let long = [&TINY[..2], &TINY[4..], &["--steps", "1000000"]].concat();
    // Both at the same moment: one of them goes on.
    let mut children: Vec<_> = (0..2)
        .map(|_| command(path, &long).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    let started = Instant::now();
    let ended = loop {
        let ended = (0..2).find(|&i| children[i].try_wait().unwrap().is_some());
        if let Some(ended) = ended {
            break ended;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "neither ends");
        std::thread::sleep(Duration::from_millis(5));
    };
    let refused_one = children.remove(ended).wait_with_output().unwrap();
    let mut other = children.remove(0);
    let holder = format!("process {} on ", other.id());
    refused(&refused_one, 1, "is in use by ");
    refused(&refused_one, 1, &holder);
    refused(&train(path, &TINY), 1, &holder);
    refused(
        &train(path, &[&TINY[..], &["--resume"]].concat()),
        1,
        &holder,
    );
    // What a killed run claimed is taken over.
    other.kill().unwrap();
    other.wait().unwrap();
    let claim = path.join("runs/train/.datasway-claim");
    assert!(claim.exists());
    let _ = std::fs::remove_file(path.join("runs/train/checkpoint.safetensors"));
    assert!(train(path, &TINY).status.success());
    assert!(!claim.exists());
}
