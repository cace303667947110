//! `train --from`: a model of another library is trained further, killed and resumed, and used like any other.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Folder, Said, words};

/// Steps of the fine-tunings here.
const STEPS: u64 = 40;

/// A small model of diffusers for grey pictures of 8×8 pixels, with drawn weights.
fn fixture(name: &str) -> String {
    let data =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasway-pretrained/tests/data/folders");
    data.join(name).display().to_string()
}

fn arguments(from: &str, out: &str) -> Vec<String> {
    let fixed = words(
        "--data faces:64 --batch 4 --steps 40 --set warmup=4 --checkpoint-minutes 0 --sample-every 0",
    );
    let named = ["--from", from, "--out", out];
    fixed.into_iter().chain(named).map(str::to_owned).collect()
}

fn command(folder: &Folder, from: &str, out: &str) -> Command {
    folder.command("train", &arguments(from, out))
}

fn losses(folder: &Folder, out: &str) -> Vec<f64> {
    let rows = folder.rows(&format!("{out}/loss.csv"));
    rows[1..]
        .iter()
        .map(|row| row[1].parse().unwrap())
        .collect()
}

#[test]
fn a_fine_tuned_model_is_a_folder_that_every_command_takes() {
    let folder = Folder::new();
    let from = fixture("pipeline");
    let mut train = arguments(&from, "tuned");
    train.extend(["--set=learning_rate=0.01", "--export-diffusers=exported"].map(str::to_owned));
    let said = folder.run("train", &train).succeeded();
    assert!(
        said.errors.contains("the model is the folder tuned"),
        "{}",
        said.errors
    );
    // It learns: the drawn weights predict no noise.
    let losses = losses(&folder, "tuned");
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert_eq!(losses.len() as u64, STEPS);
    assert!(
        mean(&losses[30..]) < 0.9 * mean(&losses[..10]),
        "{losses:?}"
    );
    // The layout is that of a pipeline, and so is the export.
    for out in ["tuned", "exported"] {
        for file in words(
            "model_index.json unet/config.json unet/diffusion_pytorch_model.safetensors scheduler/scheduler_config.json datasway.toml",
        ) {
            assert!(folder.has(&format!("{out}/{file}")), "{out}/{file}");
        }
    }
    let weights = "unet/diffusion_pytorch_model.safetensors";
    let tuned = folder.bytes(&format!("tuned/{weights}"));
    assert!(tuned == folder.bytes(&format!("exported/{weights}")));
    assert_ne!(
        tuned,
        std::fs::read(Path::new(&from).join(weights)).unwrap()
    );
    // The record names the data, and other images are refused.
    let record: toml::Table = folder.text("tuned/datasway.toml").parse().unwrap();
    assert_eq!(record["data"].as_str(), Some("faces:64"));
    assert_eq!(record["training"]["steps"].as_integer(), Some(40));
    assert_eq!(record["training"]["noise"].as_str(), Some("model"));
    let rank = words("--checkpoint tuned --samples 2 --steps 3 --add attr:Eyeglasses");
    folder.run("sensitivity", &rank).succeeded();
    let run = &folder.json("runs/sensitivity/summary.json")["run"];
    assert_eq!(run["training_step"], 40);
    assert_eq!(
        run["fingerprint"].as_str(),
        record["data_fingerprint"].as_str()
    );
    let influence = words("influence --checkpoint tuned --samples 1 --steps 3 --of image:0");
    folder.run("sensitivity", &influence).succeeded();
    // Through its weights, with the noise levels that it was trained on.
    let through = [
        &rank[..],
        &words("--through weights --draws 16 --iterations 2 --out through"),
    ]
    .concat();
    folder.run("sensitivity", &through).succeeded();
    // It can be fine-tuned again, on the images that it names.
    let again = words("--from tuned --steps 2 --batch 2 --sample-every 2");
    let to = |out| [&again[..], &["--out", out]].concat();
    folder.run("train", &to("again")).succeeded();
    assert!(folder.has("again/samples-000002.png"));
    let record: toml::Table = folder.text("again/datasway.toml").parse().unwrap();
    assert_eq!(record["training"]["base"].as_str(), Some("tuned"));
    folder.write(
        "tuned/datasway.toml",
        folder
            .text("tuned/datasway.toml")
            .replace("faces:64", "faces:65"),
    );
    folder
        .run("train", &to("third"))
        .refused(1, "data_fingerprint");
}

#[cfg(unix)]
#[test]
fn a_killed_fine_tuning_resumes_bit_for_bit() {
    let folder = Folder::new();
    let from = fixture("pipeline");
    let run = |mut command: Command| Said::from(command.output().unwrap()).succeeded();
    run(command(&folder, &from, "straight"));
    for (out, signal) in [("killed", "-KILL"), ("asked", "-INT")] {
        let mut child = (command(&folder, &from, out).stderr(Stdio::piped()))
            .spawn()
            .unwrap();
        let (state, started) = (folder.join(out).join("state.safetensors"), Instant::now());
        while !state.exists() {
            assert!(started.elapsed() < Duration::from_secs(60), "no state");
            std::thread::sleep(Duration::from_millis(2));
        }
        let pid = child.id().to_string();
        Command::new("kill").args([signal, &pid]).status().unwrap();
        child.wait().unwrap();
        assert!(
            !folder.has(&format!("{out}/datasway.toml")),
            "the run was too fast to stop"
        );
        let mut again = command(&folder, &from, out);
        again.arg("--resume");
        run(again);
        for file in words(
            "loss.csv state.safetensors unet/diffusion_pytorch_model.safetensors datasway.toml",
        ) {
            let same =
                folder.bytes(&format!("straight/{file}")) == folder.bytes(&format!("{out}/{file}"));
            assert!(same, "{file}, {signal}");
        }
    }
    // Another run is not continued.
    for (option, says) in [
        ("--seed=1", "another configuration"),
        ("--data=faces:65", "other images"),
        (
            "--set=noise={ mean = 0.0, std = 1.0 }",
            "another configuration",
        ),
    ] {
        let mut other = arguments(&from, "straight");
        if option.starts_with("--data") {
            other.drain(..2);
        }
        other.extend(["--resume".to_owned(), option.to_owned()]);
        folder.run("train", &other).refused(1, says);
    }
    let other = arguments(&fixture("sharded"), "straight");
    let other = [other, vec!["--resume".to_owned()]].concat();
    folder
        .run("train", &other)
        .refused(1, "another model to begin with");
}

#[test]
fn what_does_not_go_with_a_given_network_is_refused_in_a_sentence() {
    let folder = Folder::new();
    let from = fixture("pipeline");
    folder.write("file.safetensors", "");
    folder.write("empty/a.txt", "");
    folder.write(
        "network.toml",
        "[config]\nseed = 0\nnetwork = { channels = 3 }",
    );
    let cases: [(&[&str], &str); 14] = [
        (&["--from", "none"], "there is no such folder"),
        (&["--from", "file.safetensors"], "is a file"),
        (&["--from", "empty"], "no model that is known"),
        (&["--preset", "faces16"], "--preset names a network"),
        (
            &["--set", "network.channels=64"],
            "the network is that of the model",
        ),
        (&["--set", "network={}"], "the network is that of the model"),
        (&["--set", "noise=edm"], "not TOML"),
        (&["--set", "noise=3"], "mean = -1.2"),
        (&["--set", "surprise=1"], "no such field"),
        (&["--config", "network.toml"], "it has no network"),
        (&["--export", "a.safetensors"], "use --export-diffusers"),
        (&["--class", "3"], "no class 3"),
        (&["--resume"], "there is nothing to resume"),
        (&["--export-diffusers", "empty"], "empty holds a.txt"),
    ];
    for (extra, says) in cases {
        let mut all = vec!["--data", "faces:16", "--out", "out"];
        if extra[0] != "--from" {
            all.extend(["--from", &from]);
        }
        all.extend(extra);
        folder.run("train", &all).refused(1, says);
    }
    folder.run("train", &["--from", &from]).refused(1, "--data");
    for option in ["--class=1", "--crop=center", "--filter=box"] {
        folder.run("train", &[option]).refused(2, "--from");
    }
    let names = folder.names(".");
    assert_eq!(
        names,
        ["empty", "file.safetensors", "network.toml"],
        "nothing was left"
    );
}

/// A run of our own network of a blink.
const OWN: [&str; 12] = [
    "--data",
    "faces:16",
    "--steps",
    "3",
    "--batch",
    "2",
    "--set=network.channels=8",
    "--set=network.image_size=8",
    "--set=network.attention=[4]",
    "--set=network.head_channels=8",
    "--sample-every=0",
    "--export-diffusers=exported",
];

#[test]
fn a_network_of_our_own_is_exported_with_its_data_and_one_without_a_form_in_diffusers_is_refused_at_once()
 {
    let folder = Folder::new();
    folder
        .run("train", &OWN)
        .refused(1, "train with network.groups=2");
    assert!(folder.names(".").is_empty());
    let uneven = [&OWN[..], &["--set=network.groups=3"]].concat();
    folder
        .run("train", &uneven)
        .refused(1, "groups is 3, which does not divide 8 channels");
    let run = [&OWN[..], &["--set=network.groups=4"]].concat();
    folder.run("train", &run).succeeded();
    // A finished run is exported again by --resume.
    std::fs::remove_dir_all(folder.join("exported")).unwrap();
    folder
        .run("train", &[&run[..], &["--resume"]].concat())
        .succeeded();
    let record: toml::Table = folder.text("exported/datasway.toml").parse().unwrap();
    assert_eq!(record["data"].as_str(), Some("faces:16"));
    assert_eq!(record["training"]["noise"]["mean"].as_float(), Some(-1.2));
    // The exported model is that of the checkpoint.
    let losses = |checkpoint: &str| {
        let check = [
            "check",
            "--checkpoint",
            checkpoint,
            "--images",
            "8",
            "--steps",
            "3",
            "--bandwidth",
            "1",
        ];
        // A model of three steps does not fit, but the page is written.
        folder.run("sensitivity", &check);
        let rows = folder.rows("runs/check/losses.csv");
        let rows = rows[1..].iter().map(|row| row[1].parse().unwrap());
        rows.collect::<Vec<f64>>()
    };
    let ours = losses("runs/train/checkpoint.safetensors");
    let theirs = losses("exported");
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!((ours - theirs).abs() < 1e-4 * ours, "{ours} {theirs}");
    }
}

#[test]
fn pictures_smaller_than_those_of_the_model_are_refused_with_what_enlarges_them() {
    let folder = Folder::new();
    // A black bitmap of 4x4 pixels: its sizes and the place of its pixels as little-endian numbers, and no compression.
    let mut bitmap = b"BM".to_vec();
    for number in [102_u32, 0, 54, 40, 4, 4, (24 << 16) | 1, 0, 48, 0, 0, 0, 0] {
        bitmap.extend(number.to_le_bytes());
    }
    bitmap.resize(102, 0);
    folder.write("photos/small.bmp", bitmap);
    let said = folder.run(
        "train",
        &["--from", &fixture("pipeline"), "--data", "folder:photos"],
    );
    said.refused(1, "small.bmp gives only 4x4 pixels where 8x8 were asked");
    said.refused(1, "--filter bilinear, bicubic or lanczos");
}
