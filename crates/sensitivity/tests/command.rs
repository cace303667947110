//! The binary, run as a user does, on a small untrained network over procedural faces.

mod untrained;

use std::path::Path;
use std::process::{Command, Output};

use data::{LoadOptions, Source};

fn checkpoint(folder: &Path) {
    let options = LoadOptions {
        size: Some(8),
        ..LoadOptions::default()
    };
    let images = data::load(&Source::parse("faces:60").unwrap(), &options).unwrap();
    untrained::save(folder, 3, 8, &images.fingerprint);
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
            &["--add", "attr:Eyeglasses", "--sampler", "stochastic"],
            "empirical density",
        ),
        (
            &["--add", "attr:Eyeglasses", "--sigma-max", "0.001"],
            "sigma_max",
        ),
        (
            &["--add", "attr:Eyeglasses", "--probes", "0"],
            "at least one probe",
        ),
        (
            &["--add", "attr:Eyeglasses", "--bandwidth", "4"],
            "needs the density `empirical`",
        ),
        (
            &["--add", "attr:Eyeglasses", "--sigma-cut", "inf"],
            "cut-off",
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
