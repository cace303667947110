//! The binary, run as a user does, on a small untrained network over procedural faces.

mod untrained;

use std::path::Path;
use std::process::{Command, Output};

use burn::tensor::Device;
use datasway_classifier::{ClassifierConfig, ClassifierTrainer};
use datasway_data::{LoadOptions, Source};

fn checkpoint(folder: &Path) {
    let options = LoadOptions {
        size: Some(8),
        ..LoadOptions::default()
    };
    let images = datasway_data::load(&Source::parse("faces:60").unwrap(), &options).unwrap();
    untrained::save(folder, 3, 8, &images.fingerprint);
}

/// A classifier of one step.
fn train_classifier(file: &Path) {
    let options = LoadOptions {
        size: Some(8),
        ..LoadOptions::default()
    };
    let images = datasway_data::load(&Source::parse("faces:60").unwrap(), &options).unwrap();
    let config = ClassifierConfig {
        steps: 1,
        channels: 8,
        ..ClassifierConfig::default()
    };
    let mut trainer = ClassifierTrainer::new(config, &images, &Device::flex()).unwrap();
    trainer.advance().unwrap();
    trainer.save().unwrap().write(file).unwrap();
}

fn sensitivity(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sensitivity"))
        .current_dir(folder)
        .args(["--checkpoint", "model.safetensors"])
        .args(["--samples", "5", "--batch", "3", "--steps", "4"])
        .args(arguments)
        .output()
        .unwrap()
}

fn run(folder: &Path, arguments: &[&str]) {
    let output = sensitivity(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

#[test]
fn two_directions_fill_the_folder_and_the_same_seed_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(folder.path());
    let change = ["--add", "attr:Eyeglasses", "--remove", "attr:!Smiling"];
    for out in ["a", "b"] {
        run(folder.path(), &[&change[..], &["--out", out]].concat());
    }
    let read = |path: &str| std::fs::read(folder.path().join(path)).unwrap();
    for file in ["sensitivities.safetensors", "ranking.csv"] {
        assert_eq!(
            read(&format!("a/{file}")),
            read(&format!("b/{file}")),
            "{file}"
        );
    }
    let bytes = read("a/sensitivities.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let shape = |name: &str| tensors.tensor(name).unwrap().shape().to_vec();
    assert_eq!(shape("samples"), [5, 192]);
    assert_eq!(shape("sensitivity/add attr:Eyeglasses"), [5, 192]);
    assert_eq!(shape("log_ratio/remove attr:!Smiling"), [5, 4]);
    let ranking = String::from_utf8(read("a/ranking.csv")).unwrap();
    assert_eq!(ranking.lines().count(), 1 + 2 * 5);
    let summary: serde_json::Value = serde_json::from_slice(&read("a/summary.json")).unwrap();
    // Heun: two evaluations a step but one in the last, and two directions.
    assert_eq!(summary["evaluations_per_sample"]["path"], 7);
    assert_eq!(summary["evaluations_per_sample"]["tangent"], 14);
    for strip in ["a/add-attr-Eyeglasses.png", "a/remove-attr-not-Smiling.png"] {
        assert!(read(strip).starts_with(b"\x89PNG"), "{strip}");
    }
    assert!(
        String::from_utf8(read("a/index.html"))
            .unwrap()
            .contains("Eyeglasses")
    );
}

#[test]
fn without_arguments_the_shipped_model_is_ranked() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sensitivity"))
        .current_dir(folder.path())
        .args(["--samples", "3", "--steps", "2"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("adding attr:Eyeglasses") && said.contains("removing attr:Blond_Hair"),
        "{said}"
    );
    assert!(said.contains("open runs/sensitivity/index.html"), "{said}");
    assert!(folder.path().join("runs/sensitivity/index.html").exists());
}

#[test]
fn another_model_can_be_the_direction() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(folder.path());
    run(
        folder.path(),
        &["--add", "model:model.safetensors", "--out", "a"],
    );
    let ranking = std::fs::read_to_string(folder.path().join("a/ranking.csv")).unwrap();
    // The direction is the model itself: r = 1 but for the quadrature, and D^ν − D = 0, so nothing moves.
    for line in ranking.lines().skip(1) {
        let score: f64 = line.split(',').nth(3).unwrap().parse().unwrap();
        assert!(score < 1e-3, "{line}");
    }
    let error = sensitivity(folder.path(), &["--remove", "model:model.safetensors"]);
    assert!(String::from_utf8_lossy(&error.stderr).contains("only images of the training set"));
}

#[test]
fn the_batch_does_not_change_the_ranking() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(folder.path());
    for (out, batch) in [("a", "3"), ("b", "5")] {
        let arguments = ["--add", "attr:Eyeglasses", "--out", out, "--batch", batch];
        let output = Command::new(env!("CARGO_BIN_EXE_sensitivity"))
            .current_dir(folder.path())
            .args([
                "--checkpoint",
                "model.safetensors",
                "--samples",
                "5",
                "--steps",
                "4",
            ])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success());
    }
    let order = |out: &str| -> Vec<String> {
        let csv = std::fs::read_to_string(folder.path().join(out).join("ranking.csv")).unwrap();
        let sample = |line: &str| line.split(',').nth(2).unwrap().to_owned();
        csv.lines().skip(1).map(sample).collect()
    };
    assert_eq!(order("a"), order("b"));
}

#[test]
fn mistakes_get_one_sentence_and_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(folder.path());
    std::fs::write(folder.path().join("broken.safetensors"), b"no").unwrap();
    for (arguments, says) in [
        (&[][..], "name a change of the data"),
        (&["--add", "attr:Eyeglases"], "Eyeglasses"),
        (
            &["--add", "attr:Eyeglasses", "--data", "faces:61"],
            "fingerprint",
        ),
        (
            &[
                "--add",
                "attr:Eyeglasses",
                "--sampler",
                "stochastic",
                "--density",
                "probability-flow",
            ],
            "--density empirical",
        ),
        (
            &["--add", "model:model.safetensors", "--bandwidth", "auto"],
            "use --density probability-flow",
        ),
        (
            &["--add", "model:model.safetensors", "--density", "empirical"],
            "use --density probability-flow",
        ),
        (
            &["--add", "attr:Eyeglasses", "--probes", "8"],
            "are for --density probability-flow",
        ),
        (
            &["--add", "attr:Eyeglasses", "--sigma-max", "0.001"],
            "--sigma-max",
        ),
        (
            &[
                "--add",
                "attr:Eyeglasses",
                "--bandwidth",
                "4",
                "--density",
                "probability-flow",
            ],
            "--bandwidth is for --density empirical",
        ),
        (
            &[
                "--add",
                "attr:Eyeglasses",
                "--limit",
                "--density",
                "empirical",
            ],
            "--density probability-flow",
        ),
    ] {
        let output = sensitivity(folder.path(), arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
        assert!(
            errors
                .lines()
                .any(|line| line.starts_with("error: ") && line.contains(says)),
            "{errors}"
        );
        assert!(!folder.path().join("runs/sensitivity").exists());
    }
}

#[test]
fn influence_answers_each_question_of_every_image_and_the_same_seed_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(folder.path());
    run(
        folder.path(),
        &[
            "--add",
            "attr:Eyeglasses",
            "--density",
            "empirical",
            "--bandwidth",
            "1",
            "--out",
            "tangent",
        ],
    );
    let direction = "linear:tangent/sensitivities.safetensors:sensitivity/add attr:Eyeglasses";
    let influence = |out: &str, more: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_sensitivity"))
            .current_dir(folder.path())
            .args([
                "influence",
                "--checkpoint",
                "model.safetensors",
                "--samples",
                "5",
            ])
            .args(["--batch", "3", "--steps", "4", "--density", "empirical"])
            .args(["--bandwidth", "1", "--top", "2", "--out", out])
            .args(more)
            .output()
            .unwrap()
    };
    train_classifier(&folder.path().join("labels.safetensors"));
    let odds = "log-odds:labels.safetensors:attr:Smiling";
    let questions = [
        "--of",
        odds,
        "--of",
        "principal",
        "--of",
        "region:2,1,3,2",
        "--of",
        "image:7",
        "--of",
        direction,
    ];
    for out in ["a", "b"] {
        let output = influence(out, &questions);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
    }
    let read = |path: &str| std::fs::read(folder.path().join(path)).unwrap();
    for file in ["influence.safetensors", "images.csv", "groups.csv"] {
        assert_eq!(
            read(&format!("a/{file}")),
            read(&format!("b/{file}")),
            "{file}"
        );
    }
    let bytes = read("a/influence.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |name: &str| -> Vec<f32> {
        let data = tensors.tensor(name).unwrap().data().to_vec();
        let numbers = data
            .chunks(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        numbers.collect()
    };
    assert_eq!(numbers("influence/principal").len(), 5 * 60);
    assert_eq!(numbers("strength/image:7").len(), 5 * 7);
    assert_eq!(numbers(&format!("gradient/{odds}")).len(), 5 * 192);
    // With the density of the images themselves their ratios have the mean 1.
    assert!(numbers("balance").iter().all(|b| (b - 1.0).abs() < 1e-3));
    // Along the tangent of a group, the group's influence is the square of its length.
    let groups = String::from_utf8(read("a/groups.csv")).unwrap();
    let deltas = numbers(&format!("gradient/{direction}"));
    for (i, delta) in deltas.chunks(192).enumerate() {
        let line = format!("\"{direction}\",{i},\"attr:Eyeglasses\",");
        let row = groups
            .lines()
            .find_map(|row| row.strip_prefix(&line))
            .unwrap();
        let found: f64 = row.split(',').nth(1).unwrap().parse().unwrap();
        let square: f64 = delta.iter().map(|v| f64::from(*v).powi(2)).sum();
        assert!((found / square - 1.0).abs() < 1e-3, "{found} and {square}");
    }
    let page = String::from_utf8(read("a/index.html")).unwrap();
    assert!(page.contains("region:2,1,3,2") && page.contains("attr:Eyeglasses"));

    for (question, says) in [
        ("region:7,0,2,1", "inside the 8×8 pixels"),
        ("region:none.png", "none.png"),
        ("image:60", "60"),
        ("linear:none.safetensors:x", "none.safetensors"),
        ("log-odds:none.safetensors:attr:Smiling", "none.safetensors"),
        (
            "log-odds:model.safetensors:attr:Smiling",
            "not a classifier",
        ),
        ("log-odds:labels.safetensors:attr:Wings", "has no label"),
        (
            "linear:tangent/sensitivities.safetensors:x",
            "has no tensor x",
        ),
        ("beauty", "is not understood"),
    ] {
        let output = influence("c", &["--of", question]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{question}: {errors}");
        assert!(
            errors.contains(says) && !errors.contains("panicked"),
            "{question}: {errors}"
        );
        assert!(!folder.path().join("c").exists());
    }
}
