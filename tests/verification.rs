//! `sensitivity convergence`, run as a user does, at its quick size on a small untrained network.

mod common;
#[path = "common/untrained.rs"]
mod untrained;

use common::{Folder, Said, words};

fn convergence(folder: &Folder, arguments: &[&str]) -> Said {
    let quick = words("convergence --quick --checkpoint model.safetensors");
    folder.run("sensitivity", &[&quick, arguments].concat())
}

/// The rows of a table, without its heads.
fn rows(folder: &Folder, name: &str) -> Vec<Vec<String>> {
    folder.rows(&format!("out/{name}")).split_off(1)
}

#[test]
fn everything_is_written_and_the_slopes_are_two() {
    let folder = Folder::new();
    untrained::save(&folder, 1, 4, "");
    let text = convergence(&folder, &["--out", "out"]).succeeded().output;
    for part in [
        "Order of convergence",
        "Robustness",
        "Trace estimators",
        "Cost",
    ] {
        assert!(text.contains(part), "{part} is printed: {text}");
    }

    let order = rows(&folder, "order.csv");
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
    assert_eq!(rows(&folder, "reach.csv").len(), 42);
    assert_eq!(rows(&folder, "beyond.csv").len(), 10);
    // Two sizes of each of six sweeps, each from a process of its own.
    let costs = rows(&folder, "cost-runs.csv");
    assert_eq!(costs.len(), 12);
    assert!(costs.iter().all(|row| row[8].parse::<f64>().unwrap() > 0.0));

    let page = folder.text("out/index.html");
    assert_eq!(page.matches("<svg").count(), 1 + 1 + 20 + 3 + 1);
    let loads = ["<script", "src=\"http", "href=\"http", "url(http"];
    assert!(loads.iter().all(|what| !page.contains(what)));
}

#[test]
fn what_cannot_be_done_is_said_at_once() {
    let folder = Folder::new();
    convergence(&folder, &[]).refused(1, "model.safetensors");
    untrained::save(&folder, 1, 4, "");
    let below = ["--out", "model.safetensors/out"];
    convergence(&folder, &below).refused(1, "--out");
    convergence(&folder, &["--add", "attr:Hat"]).refused(2, "--add");
}
