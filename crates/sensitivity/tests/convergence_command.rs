//! `sensitivity convergence`, run as a user does, at its quick size on a small untrained network.

mod untrained;

use std::path::Path;
use std::process::{Command, Output};

fn convergence(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sensitivity"))
        .current_dir(folder)
        .args([
            "convergence",
            "--quick",
            "--checkpoint",
            "model.safetensors",
        ])
        .args(arguments)
        .output()
        .unwrap()
}

/// The rows of a table, without its heads.
fn rows(folder: &Path, name: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(folder.join("out").join(name)).unwrap();
    let cells = |line: &str| line.split(',').map(str::to_owned).collect();
    text.lines().skip(1).map(cells).collect()
}

#[test]
fn everything_is_written_and_the_slopes_are_two() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    untrained::save(folder, 1, 4, "");
    let output = convergence(folder, &["--out", "out"]);
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{errors}");
    for part in [
        "Order of convergence",
        "Robustness",
        "Trace estimators",
        "Cost",
    ] {
        assert!(text.contains(part), "{part} is printed: {text}");
    }

    let order = rows(folder, "order.csv");
    assert_eq!(order.len(), 12);
    let doubles = order.iter().filter(|row| row[2] == "f64");
    for row in doubles {
        let slopes = row[4]
            .split(" to ")
            .map(|slope| slope.parse::<f64>().unwrap());
        for slope in slopes {
            assert!((slope - 2.0).abs() < 0.1, "{row:?}");
        }
    }
    assert_eq!(rows(folder, "reach.csv").len(), 42);
    assert_eq!(rows(folder, "beyond.csv").len(), 10);
    // Two sizes of each of six sweeps, each from a process of its own.
    let costs = rows(folder, "cost-runs.csv");
    assert_eq!(costs.len(), 12);
    assert!(costs.iter().all(|row| row[8].parse::<f64>().unwrap() > 0.0));

    let page = std::fs::read_to_string(folder.join("out/index.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 1 + 1 + 20 + 3 + 1);
    let loads = ["<script", "src=\"http", "href=\"http", "url(http"];
    assert!(loads.iter().all(|what| !page.contains(what)));
}

#[test]
fn what_cannot_be_done_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str], words: &str| {
        let output = convergence(folder.path(), arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && errors.contains(words),
            "{errors}"
        );
    };
    refused(&[], "model.safetensors");
    untrained::save(folder.path(), 1, 4, "");
    refused(&["--out", "model.safetensors/out"], "--out");
    refused(&["--add", "attr:Hat"], "--add");
}
