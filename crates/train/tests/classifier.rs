//! `train classifier`, run as a user does.

use std::path::Path;
use std::process::{Command, Output};

use datasway_classifier::ClassifierCheckpoint;

const FACES: &str = "faces:200";

fn run(folder: &Path, data: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_train"))
        .current_dir(folder)
        .arg("classifier")
        .args(["--data", data, "--size", "8", "--steps", "4"])
        .args(["--channels", "8", "--batch", "8"])
        .args(arguments)
        .output()
        .unwrap()
}

fn refused(output: &Output, says: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains(says) && !errors.contains("panicked"),
        "{errors}"
    );
}

#[test]
fn every_attribute_is_judged_and_the_same_seed_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for out in ["a", "b"] {
        let output = run(folder, FACES, &["--out", out]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert!(errors.contains("20 of 200 images"), "{errors}");
    }
    let read = |path: &str| std::fs::read(folder.join(path)).unwrap();
    for file in ["classifier.safetensors", "labels.csv", "loss.csv"] {
        let [a, b] = ["a", "b"].map(|out| read(&format!("{out}/{file}")));
        assert_eq!(a, b, "{file}");
    }
    let saved = ClassifierCheckpoint::read(&folder.join("a/classifier.safetensors")).unwrap();
    let labels = String::from_utf8(read("a/labels.csv")).unwrap();
    assert_eq!(labels.lines().count(), 1 + saved.header.labels.len());
    assert!(labels.contains("\"attr:Eyeglasses\","), "{labels}");

    refused(
        &run(folder, FACES, &["--out", "a"]),
        "already holds a classifier",
    );
    let again = ["--out", "a", "--resume"];
    refused(&run(folder, FACES, &again), "nothing to resume");
    let none = ["--out", "c", "--resume"];
    refused(&run(folder, FACES, &none), "c/classifier.safetensors");
}

#[test]
fn images_without_labels_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    let picture = datasway_report::Picture {
        channels: 1,
        height: 8,
        width: 8,
        values: &[0.0; 64],
    };
    let style = datasway_report::GridStyle::default();
    let png = datasway_report::grid_png(&[picture], &style).unwrap();
    std::fs::write(images.join("one.png"), png).unwrap();
    let output = run(folder.path(), "images", &[]);
    refused(&output, "neither attributes nor two classes");
}
