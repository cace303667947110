//! `retrain` on an attribution benchmark of a minute: scores of every method, and tables.

mod common;
#[path = "common/stored_numbers.rs"]
mod stored_numbers;

use std::collections::BTreeMap;
use std::path::PathBuf;

use common::Folder;
use datasway_retraining::spec::{Experiment, subsets};
use safetensors::SafeTensors;

const LDS: &str = include_str!("experiments/lds.toml");

/// Name of an array, its shape and its values.
type Arrays = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// The arrays of a job's result: shapes and values.
fn arrays(folder: &Folder, job: &str, file: &str) -> Arrays {
    let folders = std::fs::read_dir(folder.join("runs/lds/jobs")).unwrap();
    let mut folders = folders.map(|entry| entry.unwrap().path());
    let of = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(job);
    let path = folders.find(of).unwrap_or_else(|| panic!("no job {job}"));
    let bytes = std::fs::read(path.join(file)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |data: &[u8]| {
        let parts = data.chunks_exact(4);
        parts
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()
    };
    let tensors = tensors.tensors().into_iter();
    tensors
        .map(|(name, view)| (name, (view.shape().to_vec(), floats(view.data()))))
        .collect()
}

#[test]
fn a_benchmark_scores_every_image_by_every_method() {
    let folder = Folder::new();
    folder.write("lds.toml", LDS);
    folder.run("retrain", &["run", "lds.toml"]).succeeded();
    let table = folder.run("retrain", &["table", "lds.toml"]);
    let markdown = table.succeeded().output;

    let pinned = include_str!("experiments/lds_scores.txt");
    stored_numbers::check(&folder.join("runs/lds/jobs"), &["attribution"], pinned);

    // Every functional of every image, by every method; two ridges are two forms.
    for (job, shape) in [
        ("attribution-mean_shift", vec![12, 128]),
        ("attribution-raw_pixels", vec![12, 128]),
        ("attribution-nearest_10", vec![12, 128]),
        ("attribution-patches", vec![12, 128]),
        ("attribution-TRAK", vec![12, 128]),
        ("attribution-D-TRAK", vec![12, 128]),
        ("attribution-ours_empirical-h2-", vec![12, 128]),
        ("attribution-tangent", vec![12, 6]),
        ("attribution-ours_weights-3-", vec![12, 6]),
        ("attribution-ours_weights-4-training-", vec![12, 6]),
    ] {
        let found = arrays(&folder, job, "scores.safetensors");
        let of_samples: Vec<_> = found
            .iter()
            .filter(|(name, _)| name.contains("/sample/") && !name.starts_with("complements"))
            .collect();
        assert!(!of_samples.is_empty(), "{job}: {:?}", found.keys());
        for (name, (found, values)) in of_samples {
            assert_eq!(*found, shape, "{job} {name}");
            assert!(values.iter().all(|v| v.is_finite()), "{job} {name}");
            assert!(
                values.iter().any(|v| *v != values[0]),
                "{job} {name} says nothing"
            );
        }
        assert!(found["cost"].1[0] > 0.0, "{job} took no time");
    }
    // Through the weights every target has a prediction for every subset and for the rest of every group.
    for (job, name) in [
        ("attribution-ours_weights-3-", "ours weights-3"),
        (
            "attribution-ours_weights-4-training-",
            "ours weights-4-training",
        ),
    ] {
        let weights = arrays(&folder, job, "scores.safetensors");
        for (target, rows) in [("sample", 12), ("sample-loss", 6), ("held-out-loss", 8)] {
            for (columns, parts) in [("subsets", 6), ("complements", 4)] {
                let (shape, values) = &weights[&format!("{columns}/{target}/{name}")];
                assert_eq!(*shape, [rows, parts], "{columns}/{target}");
                assert!(values.iter().all(|v| v.is_finite() && *v != 0.0));
            }
        }
    }
    // A sample's influences sum to zero: mass that every image gains alike changes nothing.
    let principal = arrays(
        &folder,
        "attribution-ours_weights-3__principal",
        "scores.safetensors",
    );
    let (shape, values) = &principal["images/principal/ours weights-3, principal"];
    // All samples have scores, as there are no eight.
    assert_eq!(*shape, [6, 128]);
    for row in values.chunks_exact(128) {
        let scale = row.iter().fold(0.0f32, |top, v| top.max(v.abs()));
        let sum: f32 = row.iter().sum();
        assert!(
            scale > 0.0 && sum.abs() < 1e-4 * 128.0 * scale,
            "{sum} {scale}"
        );
    }
    // Patches explain each other: the weights of every place sum to one over the images, 4×4 places a point.
    let patches = arrays(&folder, "attribution-patches", "scores.safetensors");
    let (_, values) = &patches["images/held-out-loss/patches σ 0.35"];
    for row in values.chunks_exact(128) {
        let sum: f32 = row.iter().sum();
        assert!((sum + 16.0).abs() < 1e-3, "{sum}");
    }

    // Forwards and backwards agree: the mean of the influences of a part's images is the part's tangent.
    let experiment = Experiment::load(&folder.join("lds.toml")).unwrap();
    let parts = subsets::draw(&experiment.attribution.unwrap(), 128).unwrap();
    let adjoint = arrays(
        &folder,
        "attribution-ours_empirical-h2-",
        "scores.safetensors",
    );
    let tangent = arrays(&folder, "attribution-tangent", "scores.safetensors");
    let (_, adjoint) = &adjoint["images/sample/ours empirical-h2"];
    let (_, tangent) = &tangent["subsets/sample/tangent empirical-h2"];
    let scale = tangent.iter().fold(0.0f32, |top, v| top.max(v.abs()));
    for (images, tangents) in adjoint.chunks_exact(128).zip(tangent.chunks_exact(6)) {
        for (part, expected) in parts.iter().zip(tangents) {
            let sum: f32 = part.iter().map(|&j| images[j]).sum();
            let mean = sum / part.len() as f32;
            assert!(
                (mean - expected).abs() < 1e-4 * scale,
                "{mean} against {expected}"
            );
        }
    }

    // A sum is in every table of which both forms are, and the values of this run serve as those of an earlier one.
    let sum = "ours weights-3 + ours empirical-h2";
    let lines = |file: &str| -> Vec<String> {
        let text = folder.text(&format!("runs/lds/table/{file}"));
        text.lines().map(str::to_owned).collect()
    };
    let rows = lines("attribution.csv");
    assert_eq!(rows.iter().filter(|row| row.contains(sum)).count(), 9);
    let scores = |rows: &[String]| -> Vec<Vec<String>> {
        // Names hold ", ".
        let rows = rows.iter().map(|row| row.replace(", ", " "));
        let first = |row: String| row.split(',').take(4).map(str::to_owned).collect();
        rows.map(first).collect()
    };
    std::fs::create_dir(folder.join("published")).unwrap();
    for name in ["attribution-real.csv", "groups-real.csv"] {
        folder.write(
            &format!("published/{name}"),
            folder.text(&format!("runs/lds/table/{name}")),
        );
    }
    let again = ["table", "lds.toml", "--real", "published"];
    folder.run("retrain", &again).succeeded();
    let (before, after) = (scores(&rows), scores(&lines("attribution.csv")));
    // The reliability of the two losses needs the halves of their draws, which are not published.
    assert_eq!(before.len(), after.len() + 2);
    let score = |row: &[String]| row[3].parse::<f64>().unwrap();
    for after in &after[1..] {
        let same = before.iter().find(|before| before[..3] == after[..3]);
        let before = same.unwrap_or_else(|| panic!("{after:?} is new"));
        // Five digits of a value may be those of another.
        let apart = score(before) - score(after);
        assert!(apart.abs() < 0.05, "{before:?} {after:?}");
    }
    folder.run("retrain", &["table", "lds.toml"]).succeeded();

    // Without a group the rest is a part like any other.
    let read = |name: &str| folder.text(&format!("runs/lds/table/{name}"));
    let groups = read("groups-real.csv");
    let header = groups.lines().next().unwrap();
    assert!(header.ends_with("part_3"), "{header}");
    assert!(markdown.contains("all but one of attr:Smiling"));

    // Counterfactual models see what their method leaves them, and random ones something else.
    let moved = read("counterfactual.csv");
    assert_eq!(moved.lines().count(), 1 + 2 * 5, "{moved}");
    let distances: Vec<f64> = moved
        .lines()
        .skip(1)
        .map(|line| line.rsplit(',').next().unwrap().parse().unwrap())
        .collect();
    for (i, distance) in distances.iter().enumerate() {
        assert!(*distance > 0.0, "{moved}");
        assert!(!distances[..i].contains(distance), "{moved}");
    }
    assert!(markdown.contains("| ours empirical-h2, principal | "));

    // What the tables say is what the files say.
    assert!(markdown.contains("Two seeds agree to "), "{markdown}");
    assert!(markdown.contains("| raw pixels, directed | "), "{markdown}");
    assert_eq!(
        read("attribution-real.csv").lines().count(),
        1 + 2 * (12 + 6 + 8)
    );
    let rows = read("attribution.csv");
    let scores = rows
        .lines()
        .skip(1)
        .filter(|line| !line.contains("ceiling"));
    for line in scores {
        let lds: f64 = line.rsplit(',').nth(5).unwrap().parse().unwrap();
        assert!((-1.0..=1.0).contains(&lds), "{line}");
    }
}

#[test]
fn a_benchmark_that_cannot_be_is_refused_before_anything_is_trained() {
    let folder = Folder::new();
    for (old, new, says) in [
        ("remove = 16", "remove = 128", "from 1 to 127, not 128"),
        (
            "samples = 2\nremove",
            "samples = 7\nremove",
            "from 1 to 6, not 7",
        ),
        ("\"TRAK λ 0.1\"", "\"DINO\"", "names DINO"),
        (
            "samples = 8\nline",
            "samples = 1\nline",
            "ours weights-3, principal scores 1 samples, but counterfactual.samples is 2",
        ),
        (
            ", \"attr:Wearing_Hat\", \"attr:Blond_Hair\"",
            "",
            "at least 3",
        ),
        ("\"attr:Blond_Hair\"", "\"attr:Wings\"", "Wings"),
        (
            "damping = \"training\"",
            "damping = \"long\"",
            "damping must be a number or \"training\"",
        ),
        (
            "damping = \"training\"",
            "damping = -1.0",
            "the relative damping must be between 0.0 and 1000000.0, not -1.0",
        ),
        (
            "\"attr:Blond_Hair\"",
            "\"attr:Smiling\"",
            "two groups are called attr:Smiling",
        ),
    ] {
        assert!(LDS.contains(old), "{old}");
        folder.write("lds.toml", LDS.replace(old, new));
        folder
            .run("retrain", &["status", "lds.toml"])
            .refused(1, says);
    }
}

#[test]
fn a_method_whose_solver_needs_more_memory_than_there_is_is_refused() {
    let folder = Folder::new();
    let large = LDS.replacen("iterations = 4", "iterations = 10000", 1);
    let large = large.replacen("channels = 8", "channels = 512", 1);
    folder.write("lds.toml", large);
    let said = folder.run("retrain", &["status", "lds.toml"]);
    said.refused(
        1,
        "method ours weights-10000-training: 10,000 iterations of the solver need ",
    );
    said.refused(1, "choose fewer iterations");
}
