//! `retrain` on experiments of a minute: jobs, what becomes of them when runners are killed or many, and tables.

mod common;
#[path = "common/stored_numbers.rs"]
mod stored_numbers;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::{Folder, Said, words};
use safetensors::SafeTensors;

const TINY: &str = include_str!("experiments/tiny.toml");
const SMALL: &str = include_str!("experiments/small.toml");
const SCRATCH: &str = include_str!("experiments/scratch.toml");

/// A folder with both experiments.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("tiny.toml", TINY);
    folder.write("small.toml", SMALL);
    folder
}

/// Standard output and error of a command that succeeds.
#[track_caller]
fn succeed(folder: &Folder, arguments: &[&str]) -> (String, String) {
    let said = folder.run("retrain", arguments).succeeded();
    (said.output, said.errors)
}

/// Names of the jobs that a runner began.
fn begun(stderr: &str) -> Vec<&str> {
    let lines = stderr.lines().filter(|line| line.starts_with('['));
    lines.filter_map(|line| line.split("] ").nth(1)).collect()
}

/// Every job's result, as a hash of its numbers; the rest of a model's file holds parameter ids, which are random.
fn results(folder: &Folder, out: &str) -> BTreeMap<String, u64> {
    let out = folder.join(out);
    let mut results = BTreeMap::new();
    for job in std::fs::read_dir(out.join("jobs")).unwrap() {
        let job = job.unwrap();
        for file in std::fs::read_dir(job.path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|e| e == "safetensors") {
                let name = path.strip_prefix(&out).unwrap().display().to_string();
                let bytes = std::fs::read(&path).unwrap();
                let tensors = SafeTensors::deserialize(&bytes).unwrap();
                let mut hasher = DefaultHasher::new();
                let tensors: BTreeMap<_, _> = tensors.tensors().into_iter().collect();
                for (name, view) in &tensors {
                    (name, view.shape(), view.data()).hash(&mut hasher);
                }
                results.insert(name, hasher.finish());
            }
        }
    }
    results
}

/// Whether a training job has a checkpoint to go on from.
fn unfinished(folder: &Folder, out: &str) -> bool {
    let jobs = std::fs::read_dir(folder.join(out).join("jobs"));
    let mut jobs = jobs.into_iter().flatten().map(|job| job.unwrap().path());
    jobs.any(|job| job.join("checkpoint.safetensors").exists())
}

/// δ of the prediction of a job, which is named without its key.
fn prediction(jobs: &Path, job: &str) -> Vec<f32> {
    let mut folders = std::fs::read_dir(jobs).unwrap().map(|entry| entry.unwrap());
    let folder = folders.find(|folder| {
        let name = folder.file_name().into_string().unwrap();
        name.rsplit_once('-').is_some_and(|(name, _)| name == job)
    });
    let bytes = std::fs::read(folder.unwrap().path().join("prediction.safetensors")).unwrap();
    let arrays = SafeTensors::deserialize(&bytes).unwrap();
    let parts = arrays.tensor("delta").unwrap().data().as_chunks::<4>().0;
    let values = parts.iter().map(|bytes| f32::from_le_bytes(*bytes));
    values.collect()
}

#[test]
fn fine_tuned_samples_go_where_they_are_predicted_to_go() {
    let folder = folder();
    succeed(&folder, &["run", "tiny.toml"]);
    let (jobs, pinned) = (
        folder.join("runs/tiny/jobs"),
        include_str!("experiments/tiny_predictions.txt"),
    );
    stored_numbers::check(
        &jobs,
        &["sensitivity", "baseline", "weight-alignment"],
        pinned,
    );
    let (markdown, _) = succeed(&folder, &["table", "tiny.toml"]);
    assert!(markdown.contains("| paper | "), "{markdown}");
    let json = folder.json("runs/tiny/table/statistics.json");
    let rows = json["evaluation"]["rows"].as_array().unwrap();
    let median = |prediction: &str| {
        let mut rows = rows.iter();
        let row = rows.find(|r| r["direction"] == "pooled" && r["prediction"] == prediction);
        row.unwrap()["median"].as_f64().unwrap()
    };
    let (ours, random) = (median("paper"), median("random"));
    assert!(ours > 0.4 && random.abs() < 0.15, "{ours} against {random}");
    // The derivative of the weights, and its sum with the other.
    let (weights, both) = (median("weights"), median("both"));
    assert!(weights > 0.4 && both > 0.4, "{weights} and {both}");
    // With the curvature of the changed data a change is shorter.
    assert!(median("changed") > 0.4, "{}", median("changed"));
    let length = |prediction: &str| {
        let mut rows = rows.iter();
        let row = rows.find(|r| r["direction"] == "pooled" && r["prediction"] == prediction);
        row.unwrap()["predicted_norm"].as_f64().unwrap()
    };
    assert!(length("changed") < 0.8 * length("weights"));
    // The samples of the moved weights are near where their tangent points.
    assert!(median("moved") > 0.4, "{}", median("moved"));
    let ratio = length("moved") / length("changed");
    assert!((0.5..1.5).contains(&ratio), "{ratio}");
    // So are those in two linearisations, by the length of the training.
    assert!(median("twice") > 0.4, "{}", median("twice"));
    // The mean over two base models, one of which has no model of changed data.
    assert!(median("weights-by-2-models") > 0.4);
    let [mean, first, second] = ["weights-by-2-models", "s0_weights-6", "s1_weights-6"]
        .map(|label| prediction(&jobs, &format!("sensitivity-{label}")));
    let halves = first
        .iter()
        .zip(&second)
        .map(|(a, b)| f32::midpoint(*a, *b));
    let mut errors = halves.zip(&mean).map(|(half, mean)| (half - mean).abs());
    assert!(errors.all(|error| error < 1e-5) && first != second);
    let concord = &json["evaluation"]["concord"].as_array().unwrap()[0];
    assert_eq!(concord["sum"], "both");
    assert!(concord["spearman"].as_f64().unwrap() > 0.0, "{concord}");
    assert!(markdown.contains("least agreement"), "{markdown}");
    let mut tests = json["evaluation"]["tests"].as_array().unwrap().iter();
    let test = tests
        .find(|t| t["direction"] == "pooled" && t["baseline"] == "random")
        .unwrap();
    assert!(test["interval"][0].as_f64().unwrap() > 0.3, "{test}");
    assert!(test["p"].as_f64().unwrap() < 1e-4, "{test}");

    // A bandwidth that nobody wrote down is said.
    let h = json["bandwidths"]["empirical-hauto"].as_f64().unwrap();
    assert!(h > 0.0);
    let line = format!("empirical-hauto: the images choose h = {h:.2}.");
    assert!(markdown.contains(&line), "{markdown}");

    // Raw numbers for every sample, plots, and a page that can do without pictures.
    // The weights go where their derivative says, in the directions that the loss feels.
    let weights = folder.rows("runs/tiny/table/weights.csv");
    let column = |metric: &str, column: usize| -> Vec<f64> {
        let rows = weights.iter();
        let rows = rows.filter(|row| row[4] == metric && row[5] == "all");
        rows.map(|row| row[column].parse().unwrap()).collect()
    };
    let curved = column("loss", 6);
    assert!(
        curved.len() == 1 && curved[0] > 0.3 && curved[0] <= 1.0,
        "{curved:?}"
    );
    // The squared norms of the parameters add up to that of all.
    for norm in [8, 9] {
        let rows = weights[1..].iter().filter(|row| row[5] != "all");
        let sum: f64 = rows
            .map(|row| row[norm].parse::<f64>().unwrap().powi(2))
            .sum();
        let all = column("euclidean", norm)[0].powi(2);
        assert!((sum - all).abs() < 1e-3 * all, "{sum} {all}");
    }
    assert!(markdown.contains("| direction | cosine | cosine in the loss |"));

    let read = |name: &str| folder.text(&format!("runs/tiny/table/{name}"));
    assert_eq!(read("samples.csv").lines().count(), 1 + 48);
    assert!(read("correlations-fine-tune.svg").starts_with("<svg"));
    assert!(read("index.html").contains("data:image/png"));
    let foreign = "runs/tiny/table/of-another-experiment.svg";
    folder.write(foreign, "");
    succeed(&folder, &["table", "tiny.toml", "--no-photos"]);
    assert!(!folder.has(foreign));
    let page = read("index.html");
    assert!(!page.contains("data:image/png") && page.contains("<svg"));
    // The number of the table, and the same of its only direction.
    let cell = format!("{ours:.2}");
    assert!(page.contains(&format!("<b>{cell}</b>")), "{cell}");
    assert!(page.contains(&format!("%\">{cell}</td>")), "{cell}");

    // The mass decides the curvature of the changed data and the step of the weights, and no derivative.
    folder.write("tiny.toml", TINY.replace("mass = 0.5", "mass = 0.4"));
    let (status, _) = succeed(&folder, &["status", "tiny.toml"]);
    for line in [
        "weights-6: done",
        "weights-6-changed: open",
        "weights-6-changed-moved: open",
        "weights-6-training-changed2-moved: open",
    ] {
        assert!(
            status.contains(&format!("sensitivity s0 {line}")),
            "{status}"
        );
    }
}

#[test]
fn a_training_from_scratch_is_predicted_from_weights_that_it_passed() {
    let folder = folder();
    folder.write("scratch.toml", SCRATCH);
    let (_, errors) = succeed(&folder, &["run", "scratch.toml"]);
    let mut bases = begun(&errors);
    bases.retain(|job| job.starts_with("base"));
    let expected = ["base s0", "base s0 first 20", "base s0 first 40"];
    assert_eq!(bases, expected, "both predictions share their checkpoints");
    let jobs = folder.join("runs/scratch/jobs");
    let pinned = include_str!("experiments/scratch_predictions.txt");
    stored_numbers::check(&jobs, &["sensitivity"], pinned);
    let at_the_end = prediction(&jobs, "sensitivity-s0_weights-4-training");
    let along = prediction(&jobs, "sensitivity-s0_weights-4-training-passing-20-40");
    assert_ne!(at_the_end, along);
    // Weights near the end are those of the run itself, so that they say the same.
    let late = SCRATCH.replace("[20, 40]", "[59]");
    folder.write("late.toml", late.replace("\"scratch\"", "\"late\""));
    succeed(&folder, &["run", "late.toml"]);
    let jobs = folder.join("runs/late/jobs");
    let late = prediction(&jobs, "sensitivity-s0_weights-4-training-passing-59");
    let distance = |other: &[f32]| {
        let differences = at_the_end.iter().zip(other).map(|(a, b)| (a - b).powi(2));
        differences.sum::<f32>().sqrt()
    };
    assert!(
        distance(&late) < 0.1 * distance(&along),
        "{} of {}",
        distance(&late),
        distance(&along)
    );
}

/// A prediction by moved weights is a difference of samples, which a small enough mass leaves to rounding.
#[test]
fn moves_that_are_rounding_are_no_prediction() {
    let folder = folder();
    // Steps as long as those of three amplify rounding.
    let steps = SCRATCH.replace("steps = 3\n", "steps = 18\n");
    let small = steps.replace("mass = 0.3", "mass = 1e-8");
    folder.write("scratch.toml", small);
    let said = folder.run("retrain", &["run", "scratch.toml"]);
    said.refused(1, "add attr:Eyeglasses 0.00000001 moves its samples by");
}

#[test]
fn finished_jobs_never_run_again_and_a_change_reruns_what_depends_on_it() {
    let folder = folder();
    let (_, errors) = succeed(&folder, &["run", "small.toml"]);
    assert_eq!(begun(&errors).len(), 14, "{errors}");
    let before = results(&folder, "runs/small");
    let (_, errors) = succeed(&folder, &["run", "small.toml"]);
    assert!(begun(&errors).is_empty(), "{errors}");

    // Another mass: its two models and their samples, and nothing else; predictions are per unit of mass.
    let text = SMALL.replace("mass = 0.3", "mass = 0.2");
    folder.write("small.toml", &text);
    let (status, _) = succeed(&folder, &["status", "small.toml"]);
    assert!(status.contains("10 of 14 jobs are done"), "{status}");
    let (_, errors) = succeed(&folder, &["run", "small.toml"]);
    let new = [
        "retrain s0 add attr:Eyeglasses 0.2",
        "samples retrain s0 add attr:Eyeglasses 0.2",
        "fine-tune s0 add attr:Eyeglasses 0.2",
        "samples fine-tune s0 add attr:Eyeglasses 0.2",
    ];
    assert_eq!(begun(&errors), new);

    // One direction is for choosing, the other judges.
    let (markdown, _) = succeed(&folder, &["table", "small.toml"]);
    let chosen = "Best of the estimators on the tuning directions: empirical (";
    assert_eq!(markdown.matches(chosen).count(), 2, "{markdown}");

    // Another seed: its own jobs, and each seed is compared with the other.
    let text = text.replace("seeds = [0]", "seeds = [0, 1]");
    folder.write("small.toml", text);
    let (_, errors) = succeed(&folder, &["run", "small.toml"]);
    assert_eq!(begun(&errors).len(), 14, "{errors}");
    succeed(&folder, &["table", "small.toml"]);
    let rows = folder.rows("runs/small/table/statistics.csv");
    let column = |name: &str| rows[0].iter().position(|title| *title == name).unwrap();
    let value = |seed: &str, name: &str| -> f64 {
        let row = rows
            .iter()
            .find(|row| row[..4] == ["fine-tune", seed, "pooled", "empirical"]);
        row.unwrap()[column(name)].parse().unwrap()
    };
    let crossed = ["0", "1", "mean"].map(|seed| value(seed, "next_seed"));
    assert!((crossed[2] - (crossed[0] + crossed[1]) / 2.0).abs() < 1e-4);
    assert_ne!(crossed[0], crossed[1]);
    assert_ne!(crossed[0], value("0", "median"));

    // What was there is as it was.
    let after = results(&folder, "runs/small");
    assert!(before.iter().all(|(name, hash)| after[name] == *hash));
    assert_eq!(after.len(), before.len() + new.len() + 14);
}

#[cfg(unix)]
#[test]
fn a_runner_killed_again_and_again_ends_with_the_same_numbers() {
    let folder = folder();
    succeed(&folder, &["run", "small.toml", "--out", "straight"]);
    let (mut kills, mut in_training) = (0, 0);
    // Longer and longer, so that a busy machine comes to an end too.
    for delay in (0..).map(|i| Duration::from_millis(60 + 37 * (i % 7) + 5 * i)) {
        let arguments = words("run small.toml --out killed --checkpoint-minutes 0");
        let mut command = folder.command("retrain", &arguments);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(delay);
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            break;
        }
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        kills += 1;
        in_training += usize::from(unfinished(&folder, "killed"));
        assert!(kills < 200, "no run comes to an end");
    }
    assert!(
        in_training > 1,
        "{in_training} of {kills} kills hit a training job after its first checkpoint"
    );
    assert_eq!(results(&folder, "straight"), results(&folder, "killed"));
}

#[test]
fn two_runners_share_one_folder() {
    let folder = folder();
    succeed(&folder, &["run", "small.toml", "--out", "alone"]);
    let expected = results(&folder, "alone");
    let parts: [&[&[&str]]; 2] = [
        &[&[], &[]],
        &[
            &["--shard", "0/3"],
            &["--shard", "1/3"],
            &["--shard", "2/3"],
        ],
    ];
    for (out, runners) in ["claims", "shards"].iter().zip(parts) {
        let children: Vec<_> = runners
            .iter()
            .map(|part| {
                let arguments = [&["run", "small.toml", "--out", out], *part].concat();
                let mut command = folder.command("retrain", &arguments);
                command.stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        let mut jobs = Vec::new();
        for child in children {
            let output = child.wait_with_output().unwrap();
            let errors = Said::from(output).succeeded().errors;
            jobs.extend(begun(&errors).iter().map(|job| (*job).to_owned()));
        }
        // Each job once, whoever did it.
        assert_eq!(jobs.len(), 14, "{out}: {jobs:?}");
        assert_eq!(results(&folder, out), expected, "{out}");
    }
}

/// A scheduler with one place starts the second part when the first has ended.
#[test]
fn parts_that_run_one_after_the_other_wait_for_nothing() {
    let folder = folder();
    let mut jobs = Vec::new();
    for shard in ["2/3", "0/3", "1/3"] {
        let (_, errors) = succeed(&folder, &["run", "small.toml", "--shard", shard]);
        assert!(!errors.contains("waiting"), "{errors}");
        jobs.extend(begun(&errors).iter().map(|job| (*job).to_owned()));
    }
    assert_eq!(jobs.len(), 14, "{jobs:?}");
}

#[test]
fn a_plan_tells_what_jobs_cost() {
    let folder = folder();
    let (plan, _) = succeed(&folder, &["plan", "small.toml"]);
    assert_eq!(plan.lines().count(), 14 + 1, "{plan}");
    assert!(plan.contains("fine-tune s0 unchanged"), "{plan}");
    assert!(plan.contains("14 jobs of "), "{plan}");
}

/// The measurement of time has few draws, all of which may be of images that are removed as a whole.
#[test]
fn a_plan_measures_a_removal_of_nearly_all_images() {
    let folder = folder();
    let text = folder
        .text("small.toml")
        .replace("count = 4", "count = 4\nbatch = 4");
    let nearly_all = text
        .replace("attr:Smiling", "index:0-62")
        .replace("mass = 0.1", "mass = 0.984375");
    let estimator =
        "\n[[estimators]]\nthrough = \"weights\"\ndraws = 64\ncurvature = \"changed\"\n";
    std::fs::write(folder.join("most.toml"), nearly_all + estimator).unwrap();
    let (plan, _) = succeed(&folder, &["plan", "most.toml"]);
    assert!(plan.contains("weights-24-changed"), "{plan}");
}

#[test]
fn mistakes_get_one_sentence_and_exit_code_1() {
    let folder = folder();
    for (name, old, new, says) in [
        ("out", "\"small\"", "\"../../x\"", "name must be"),
        (
            "count",
            "count = 4",
            "count = 4000000000",
            "samples.count must be from 2 to",
        ),
        (
            "seed",
            "seeds = [0]",
            "seeds = [9223372036854775807]",
            "a seed must be from",
        ),
        (
            "cut",
            "\"empirical\"",
            "\"empirical\"\nsigma_cut = 1e9",
            "sigma_cut must be from",
        ),
        (
            "h",
            "\"empirical\"",
            "\"empirical\"\nbandwidth = nan",
            "bandwidth must be from",
        ),
        (
            "grey",
            "faces:64",
            "mnist:absent",
            "are grey, but the network takes 3",
        ),
        ("batch", "batch = 4", "batch = 60000000", "batch"),
        (
            "network",
            "set = { steps = 30 }",
            "set = { network = { blocks = 2 } }",
            "variant fine-tune: fine-tuning goes on",
        ),
        (
            "mass",
            "mass = 0.1",
            "mass = 0.9",
            "the mass to remove must be in (0, ",
        ),
        ("attribute", "attr:Smiling", "attr:Smilling", "Smiling"),
        ("field", "steps = 60", "stpes = 60", "no such field"),
        ("preset", "faces16", "faces17", "there is no preset"),
        (
            "seeds",
            "seeds = [0]",
            "seeds = []",
            "seeds.toml: cannot be run: seeds is empty",
        ),
    ] {
        let path = format!("{name}.toml");
        folder.write(&path, SMALL.replacen(old, new, 1));
        folder.run("retrain", &["run", &path]).refused(1, says);
    }
    for (arguments, code, says) in [
        (
            &["table", "small.toml", "--out", "none"][..],
            1,
            "none holds no results yet: begin with `retrain run`",
        ),
        (&["run", "absent.toml"], 1, "absent.toml: cannot be read"),
        (
            &["run", "small.toml", "--data", "celeba:absent"],
            1,
            "absent",
        ),
        (
            &["run", "small.toml", "--shard", "3/3"],
            2,
            "write I/N with I from 0 to N-1",
        ),
        (
            &["run", "small.toml", "--checkpoint-minutes", "inf"],
            2,
            "write minutes",
        ),
    ] {
        folder.run("retrain", arguments).refused(code, says);
    }
    succeed(&folder, &["status", "small.toml", "--out", "none"]);
    assert!(!folder.has("none"));
}

#[test]
fn a_solver_that_needs_more_memory_than_there_is_is_refused_before_anything_is_trained() {
    let folder = folder();
    let estimator = "through = \"weights\"\ndamping = \"training\"\niterations = 10000";
    let large = SMALL.replacen("density = \"empirical\"", estimator, 1);
    let large = large.replacen("channels = 8", "channels = 512", 1);
    folder.write("large.toml", large);
    let said = folder.run("retrain", &["run", "large.toml"]);
    said.refused(1, "10,000 iterations of the solver need ");
    said.refused(1, "choose fewer iterations");
}

#[test]
fn a_table_never_takes_the_place_of_anything_foreign() {
    let folder = folder();
    folder.write("out/table/photo.jpg", "mine");
    // Nothing beside it tells that it is a folder of tables.
    let said = folder.run("retrain", &["table", "small.toml", "--out", "out"]);
    assert_eq!(said.code, Some(1), "{}", said.errors);
    assert!(folder.has("out/table/photo.jpg"));
}

#[test]
fn jobs_are_not_put_beside_anything_foreign() {
    let folder = folder();
    folder.write("photos/a.jpg", "mine");
    let said = folder.run("retrain", &["run", "small.toml", "--out", "photos"]);
    said.refused(1, "photos holds a.jpg");
    assert_eq!(folder.names("photos"), ["a.jpg"]);
}

/// A reader that has seen enough is no reason to panic.
#[cfg(unix)]
#[test]
fn a_reader_may_stop_reading() {
    let folder = folder();
    let mut child = folder
        .command("retrain", &["status", "small.toml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let said = Said::from(child.wait_with_output().unwrap()).succeeded();
    assert!(!said.errors.contains("panicked"), "{}", said.errors);
}

/// A small model of diffusers for grey pictures of 8×8 pixels, with drawn weights.
const PIPELINE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../datasway-pretrained/tests/data/folders/pipeline"
);

#[test]
fn a_model_of_another_library_is_fine_tuned_on_changed_data() {
    let folder = Folder::new();
    folder.write("given.toml", include_str!("experiments/given.toml"));
    let train = [
        "--from",
        PIPELINE,
        "--data",
        "faces:400",
        "--out",
        "base",
        "--steps",
        "600",
        "--batch",
        "16",
        "--set",
        "warmup=20",
        "--set",
        "learning_rate=0.003",
        "--set",
        "ema_decay=0.99",
        "--sample-every",
        "0",
    ];
    folder.run("train", &train).succeeded();
    succeed(&folder, &["plan", "given.toml"]);
    succeed(&folder, &["run", "given.toml"]);
    let (markdown, _) = succeed(&folder, &["table", "given.toml"]);
    assert!(markdown.contains("| weights | "), "{markdown}");
    let json = folder.json("runs/given/table/statistics.json");
    let rows = json["evaluation"]["rows"].as_array().unwrap();
    let median = |prediction: &str| {
        let mut rows = rows.iter();
        let row = rows.find(|r| r["direction"] == "pooled" && r["prediction"] == prediction);
        row.unwrap()["median"].as_f64().unwrap()
    };
    let [ours, weights, length, random] =
        ["empirical-hauto", "weights", "length", "random"].map(median);
    println!("data {ours}, weights {weights}, by the length of training {length}, random {random}");
    assert!(ours > 0.3 && weights > 0.3 && length > 0.3 && random.abs() < 0.2);
    // The base model is kept, and not trained.
    let jobs = std::fs::read_dir(folder.join("runs/given/jobs")).unwrap();
    let names: Vec<String> = jobs
        .map(|job| job.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        names
            .iter()
            .filter(|name| name.starts_with("base-given"))
            .count(),
        1,
        "{names:?}"
    );
    let (_, again) = succeed(&folder, &["run", "given.toml"]);
    assert!(begun(&again).is_empty(), "{again}");
    // Other images than those that the model names are refused, and so is retraining.
    let mut record = folder.text("base/datasway.toml");
    record = record.replace("data_fingerprint = \"", "data_fingerprint = \"0");
    folder.write("base/datasway.toml", &record);
    folder
        .run("retrain", &["run", "given.toml"])
        .refused(1, "data_fingerprint");
    let retrain = include_str!("experiments/given.toml").replace("fine-tune", "retrain");
    folder.write("given.toml", &retrain);
    folder
        .run("retrain", &["run", "given.toml"])
        .refused(1, "fine-tune it");
}
