//! `train classifier`, run as a user does.

mod common;

use common::{Folder, Said};
use datasway_classifier::ClassifierCheckpoint;

const FACES: &str = "faces:200";

fn run(folder: &Folder, data: &str, arguments: &[&str]) -> Said {
    let small = [
        "classifier",
        "--data",
        data,
        "--size",
        "8",
        "--steps",
        "4",
        "--channels",
        "8",
        "--batch",
        "8",
    ];
    folder.run("train", &[&small, arguments].concat())
}

#[test]
fn every_attribute_is_judged_and_the_same_seed_gives_the_same_bytes() {
    let folder = Folder::new();
    for out in ["a", "b"] {
        let errors = run(&folder, FACES, &["--out", out]).succeeded().errors;
        assert!(errors.contains("20 of 200 images"), "{errors}");
    }
    for file in ["classifier.safetensors", "labels.csv", "loss.csv"] {
        let [a, b] = ["a", "b"].map(|out| folder.bytes(&format!("{out}/{file}")));
        assert_eq!(a, b, "{file}");
    }
    let saved = ClassifierCheckpoint::read(&folder.join("a/classifier.safetensors")).unwrap();
    let labels = folder.text("a/labels.csv");
    assert_eq!(labels.lines().count(), 1 + saved.header.labels.len());
    assert!(labels.contains("\"attr:Eyeglasses\","), "{labels}");

    let again = run(&folder, FACES, &["--out", "a"]);
    again.refused(1, "already holds a classifier");
    let finished = run(&folder, FACES, &["--out", "a", "--resume"]);
    finished.refused(1, "nothing to resume");
    let absent = run(&folder, FACES, &["--out", "c", "--resume"]);
    absent.refused(1, "c/classifier.safetensors");
}

#[test]
fn images_without_labels_are_refused() {
    let folder = Folder::new();
    let picture = datasway_report::Picture {
        channels: 1,
        height: 8,
        width: 8,
        values: &[0.0; 64],
    };
    let style = datasway_report::GridStyle::default();
    let png = datasway_report::grid_png(&[picture], &style).unwrap();
    folder.write("images/one.png", png);
    let said = run(&folder, "images", &[]);
    said.refused(1, "neither attributes nor two classes");
}
