//! Keys of every job of four experiments of `tests/experiments`, pinned.
//!
//! A key names a result on disk. If one changes, results of earlier versions are no longer found and every user computes them again:
//! rename types and fields freely, but change a line of the fixture only together with `revision` in `jobs/key.rs` or with that of a
//! method (`Attributor::revision`) or of changes by a mass (`GroupMass::REVISION`).
//! Procedural faces are drawn with the same pixels on every machine, so the keys depend on nothing of the environment.

use datasway_retraining::jobs::plan;
use datasway_retraining::prepared::{RunEnvironment, prepare};
use datasway_retraining::spec::Experiment;

/// One line a job: kind, label and key.
fn keys(name: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = format!(
        "{}/../../tests/experiments/{name}.toml",
        env!("CARGO_MANIFEST_DIR")
    );
    let environment = RunEnvironment {
        data: None,
        cache: folder.path().to_owned(),
        device: "flex".to_owned(),
        progress: None,
    };
    let prepared = prepare(Experiment::load(file.as_ref()).unwrap(), &environment).unwrap();
    let jobs = plan(&prepared).unwrap().jobs;
    let lines = jobs
        .iter()
        .map(|job| format!("{}: {}: {}\n", job.kind, job.label, job.key));
    lines.collect()
}

#[test]
fn keys_are_those_of_every_earlier_version() {
    let pinned = include_str!("fixtures/job_keys.txt");
    let computed: String = ["tiny", "small", "lds", "scratch"]
        .map(|name| format!("# {name}.toml\n{}", keys(name)))
        .concat();
    assert!(
        computed == pinned,
        "keys differ from fixtures/job_keys.txt:\n{computed}"
    );
}
