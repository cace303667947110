//! Every place that takes the path of a model says what is wrong with a path that has none, and what to name.

mod common;

use common::{Folder, words};

/// Weights of diffusers, named in the place of their folder.
const WEIGHTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../datasway-pretrained/tests/data/folders/pipeline/unet/diffusion_pytorch_model.safetensors"
);
/// A pipeline of diffusers, named where a file is needed.
const PIPELINE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../datasway-pretrained/tests/data/folders/pipeline"
);
/// Paths that hold no model.
const NONE: &str = "none";
const EMPTY_FOLDER: &str = "empty";
const OTHER_FOLDER: &str = "other";
const EMPTY_FILE: &str = "zero.safetensors";
const OTHER_FILE: &str = "text.safetensors";
const MODEL_INDEX: &str = "model_index.json";

/// A folder with these paths.
fn paths() -> Folder {
    let folder = Folder::new();
    std::fs::create_dir(folder.join(EMPTY_FOLDER)).unwrap();
    folder.write("other/a.txt", "a");
    folder.write(EMPTY_FILE, "");
    folder.write(OTHER_FILE, "{\"a\": 1}");
    folder.write(MODEL_INDEX, "{}");
    folder
}

/// The names in a folder but that of the decoded images, which are kept for the next start.
fn names(folder: &Folder) -> Vec<String> {
    let mut names = folder.names(".");
    names.retain(|name| name != "datasets");
    names
}

/// Runs a command with each path; it must be refused with the path and these words, and leave nothing behind.
fn refused(folder: &Folder, binary: &str, command: &[&str], cases: &[(&str, &str)]) {
    let before = names(folder);
    for (path, says) in cases {
        let words: Vec<String> = (command.iter())
            .map(|word| word.replace("PATH", path))
            .collect();
        let said = folder.run(binary, &words);
        said.refused(1, says);
        let sentence = said.errors.lines().last().unwrap();
        assert!(sentence.contains(path), "{words:?}: {sentence}");
        assert_eq!(names(folder), before, "{words:?}");
    }
}

#[test]
fn a_checkpoint_that_is_none_is_refused_with_what_to_name() {
    let folder = paths();
    let cases = [
        (NONE, "there is no such file or folder"),
        ("none.pkl", "there is no such folder"),
        (EMPTY_FOLDER, "is an empty folder"),
        (OTHER_FOLDER, "holds no model that is known"),
        (EMPTY_FILE, "not a complete SafeTensors file"),
        (OTHER_FILE, "not a complete SafeTensors file"),
        (WEIGHTS, "name the folder of a model of another library"),
        (MODEL_INDEX, "is named by its folder"),
    ];
    let data = ["--data", "faces:16", "--checkpoint", "PATH"];
    let change = ["--add", "attr:Smiling"];
    for command in [
        [&change[..], &data].concat(),
        [&["influence"], &data[..]].concat(),
        [&["check"], &data[..]].concat(),
    ] {
        refused(&folder, "sensitivity", &command, &cases);
    }
}

#[test]
fn a_file_of_a_model_that_is_none_is_refused_with_what_to_name() {
    let folder = paths();
    let files = [
        (NONE, "there is no such file"),
        (EMPTY_FILE, "not a complete SafeTensors file"),
        (OTHER_FILE, "not a complete SafeTensors file"),
        (WEIGHTS, "not a"),
    ];
    let folders = [EMPTY_FOLDER, OTHER_FOLDER, PIPELINE];
    let folders = folders.map(|path| (path, "is a folder"));
    let cases = [&files[..], &folders].concat();
    for command in [
        vec!["--add", "model:PATH"],
        vec!["convergence", "--checkpoint", "PATH"],
    ] {
        refused(&folder, "sensitivity", &command, &cases);
    }
    let classifier = ["influence", "--of", "log-odds:PATH:attr:Smiling"];
    std::fs::create_dir(folder.join("folder.safetensors")).unwrap();
    let cases = [
        ("none.safetensors", "there is no such file"),
        ("folder.safetensors", "is a folder"),
        (EMPTY_FILE, "not a complete SafeTensors file"),
        (OTHER_FILE, "not a complete SafeTensors file"),
        (WEIGHTS, "not a"),
    ];
    refused(&folder, "sensitivity", &classifier, &cases);
}

#[test]
fn a_run_that_is_none_is_refused_with_what_to_name() {
    let folder = paths();
    let files = [NONE, EMPTY_FOLDER, OTHER_FOLDER].map(|path| (path, "name the summary.json"));
    let of_summary = [
        &files[..],
        &[
            (EMPTY_FILE, "is not the summary.json of a run"),
            (OTHER_FILE, "is not the summary.json of a run"),
        ],
    ];
    refused(
        &folder,
        "sensitivity",
        &["--from", "PATH"],
        &of_summary.concat(),
    );
    let folders = [NONE, EMPTY_FOLDER, OTHER_FOLDER, EMPTY_FILE];
    let merge = folders.map(|path| (path, "name the folders that --shard wrote"));
    refused(
        &folder,
        "sensitivity",
        &["merge", "PATH", "--out", "out"],
        &merge,
    );
    let compare = folders.map(|path| (path, "name the folder of a run"));
    let command = words("--compare PATH --samples 1 --steps 2 --bandwidth 1");
    let command = [&command[..], &["--add", "attr:Smiling"]].concat();
    refused(&folder, "sensitivity", &command, &compare);
}

/// Paths that are no folder of a model, and what is said of them.
const NO_FOLDER: [(&str, &str); 7] = [
    (NONE, "there is no such folder"),
    ("none.pkl", "there is no such folder"),
    (EMPTY_FOLDER, "is an empty folder"),
    (OTHER_FOLDER, "holds no model that is known"),
    (EMPTY_FILE, "is a file"),
    (OTHER_FILE, "is a file"),
    (WEIGHTS, "is a file"),
];

#[test]
fn a_folder_to_train_from_that_is_none_is_refused_with_what_to_name() {
    let folder = paths();
    let command = ["--from", "PATH", "--data", "faces:16", "--out", "out"];
    refused(&folder, "train", &command, &NO_FOLDER);
}

#[test]
fn a_base_of_an_experiment_that_is_none_is_refused_with_its_field() {
    let folder = paths();
    for (path, says) in NO_FOLDER {
        let experiment = include_str!("experiments/given.toml");
        let experiment = experiment.replace("base = \"base\"", &format!("base = \"{path}\""));
        folder.write("given.toml", experiment);
        refused(
            &folder,
            "retrain",
            &["plan", "given.toml"],
            &[("base: ", says)],
        );
        refused(&folder, "retrain", &["plan", "given.toml"], &[(path, says)]);
    }
}
