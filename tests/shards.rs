//! Shards of a ranking and of influences, computed apart, killed and gone on with, merge to the files of one run.

mod common;
#[path = "common/untrained.rs"]
mod untrained;

use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Folder, Said, words};

/// Seven samples in four batches, the last of one sample.
const SMALL: [&str; 8] = [
    "--checkpoint",
    "model.safetensors",
    "--samples",
    "7",
    "--batch",
    "2",
    "--steps",
    "3",
];
const CHANGES: [&str; 4] = ["--add", "attr:Eyeglasses", "--remove", "attr:!Smiling"];
/// A short solution for the weights.
const WEIGHTS: [&str; 8] = [
    "--through",
    "weights",
    "--draws",
    "12",
    "--iterations",
    "3",
    "--tolerance",
    "1e-6",
];
/// The damping by the length of a training.
const TRAINING: [&str; 4] = ["--damping", "training", "--training-steps", "50"];

fn folder() -> Folder {
    let folder = Folder::new();
    untrained::model(&folder);
    folder
}

fn ranking(folder: &Folder, more: &[&str]) -> Said {
    folder.run("sensitivity", &[&SMALL[..], &CHANGES, more].concat())
}

fn influence(folder: &Folder, more: &[&str]) -> Said {
    folder.run("sensitivity", &[&["influence"], &SMALL[..], more].concat())
}

/// Asserts that two folders have the same files, but for times and memory in the summary.
#[track_caller]
fn same(folder: &Folder, one: &str, other: &str) {
    let visible = |name: &str| {
        let mut names = folder.names(name);
        names.retain(|name| !name.starts_with('.'));
        names
    };
    assert_eq!(visible(one), visible(other));
    for name in visible(one).iter().filter(|name| *name != "summary.json") {
        let [a, b] = [one, other].map(|out| folder.bytes(&format!("{out}/{name}")));
        assert!(a == b, "{name} differs");
    }
    let [a, b] = [one, other].map(|out| {
        let mut summary = folder.json(&format!("{out}/summary.json"));
        let summary_fields = summary.as_object_mut().unwrap();
        assert!(summary_fields.remove("seconds").is_some());
        assert!(summary_fields.remove("peak_memory_bytes").is_some());
        summary
    });
    assert_eq!(a, b);
}

#[test]
fn two_shards_of_a_ranking_merge_to_the_bytes_of_one_run() {
    for options in [
        &["--density", "empirical", "--bandwidth", "1"][..],
        &["--density", "probability-flow", "--limit", "--by-step"],
    ] {
        let folder = folder();
        ranking(&folder, &[options, &["--out", "whole"]].concat()).succeeded();
        for shard in ["1/2", "0/2"] {
            let more = ["--shard", shard, "--out", "shares"];
            ranking(&folder, &[options, &more].concat()).succeeded();
        }
        let merge = ["merge", "shares", "--out", "merged"];
        folder.run("sensitivity", &merge).succeeded();
        same(&folder, "whole", "merged");
    }
}

#[test]
fn two_shards_of_a_ranking_through_the_weights_merge_to_the_bytes_of_one_run() {
    let gradients = ["--gradient-draws", "20"];
    // So short a training that the legs on an untrained network descend.
    let legs = words("--mass 0.2 --linearizations 2 --training-rate 2e-7");
    for options in [
        &["--draw-noise", "--by-step"][..],
        &[&TRAINING[..], &["--sampler", "stochastic"]].concat(),
        &[&TRAINING[..], &["--mass", "0.2"]].concat(),
        &[&TRAINING[..], &legs].concat(),
    ] {
        let folder = folder();
        let run = |more: &[&str]| {
            let words = [&WEIGHTS[..], &gradients, options, more].concat();
            ranking(&folder, &words).succeeded()
        };
        run(&["--out", "whole"]);
        for shard in ["1/2", "0/2"] {
            run(&["--shard", shard, "--out", "shares"]);
        }
        let merge = ["merge", "shares", "--out", "merged"];
        folder.run("sensitivity", &merge).succeeded();
        same(&folder, "whole", "merged");
        let run = &folder.json("shares/shard-0-of-2/run.json")["run"];
        assert_eq!(run["through"], "weights");
    }
}

#[test]
fn three_shards_of_influences_merge_to_the_bytes_of_one_run() {
    let functionals = ["--of", "region:0,0,4,4", "--of", "principal"];
    let options = words("--bandwidth 1 --top 3 --candidates index:0-4");
    let draws = ["--image-draws", "2"];
    for form in [
        &["--by-step"][..],
        &[&WEIGHTS[..], &draws].concat(),
        &[&WEIGHTS[..], &draws, &TRAINING].concat(),
    ] {
        let folder = folder();
        let run = |more: &[&str]| {
            let words = [&functionals[..], &options, form, more].concat();
            influence(&folder, &words).succeeded()
        };
        run(&["--out", "whole"]);
        for shard in ["0/3", "1/3", "2/3"] {
            run(&["--shard", shard, "--out", "shares"]);
        }
        let merge =
            words("merge shares/shard-0-of-3 shares/shard-1-of-3 shares/shard-2-of-3 --out merged");
        folder.run("sensitivity", &merge).succeeded();
        same(&folder, "whole", "merged");
        let [share, merged] = ["shares/shard-0-of-3/run.json", "merged/summary.json"]
            .map(|name| folder.json(name)["run"]["through"].clone());
        assert_eq!(share, merged);
    }
}

#[test]
fn a_share_through_the_weights_goes_on_with_the_solution_that_it_wrote() {
    let folder = folder();
    let run = |shard: &str, seed: &str, out: &str| {
        let words = ["--shard", shard, "--seed", seed, "--out", out];
        ranking(
            &folder,
            &[&WEIGHTS[..], &["--gradient-draws", "20"], &words].concat(),
        )
    };
    let merge = || folder.run("sensitivity", &["merge", "shares", "--out", "merged"]);
    run("0/2", "1", "shares").succeeded();
    run("1/2", "1", "shares").succeeded();
    merge().succeeded();
    let share = |name: &str| format!("shares/shard-1-of-2/{name}");
    let (batch, solution) = (
        share("batch-000003.safetensors"),
        share("solution.safetensors"),
    );
    let (computed, solved) = (folder.bytes(&batch), folder.bytes(&solution));
    std::fs::remove_file(folder.join(&batch)).unwrap();
    run("1/2", "1", "shares").succeeded();
    let numbers = |bytes: &[u8]| {
        let tensors = safetensors::SafeTensors::deserialize(bytes).unwrap();
        let mut all = tensors.tensors();
        all.retain(|(name, _)| name != "cost");
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        let all = all
            .into_iter()
            .map(|(name, view)| (name, view.data().to_vec()));
        all.collect::<Vec<_>>()
    };
    assert!(numbers(&computed) == numbers(&folder.bytes(&batch)));
    // The solution of other draws, in the place of its own: it is taken, and shows in the merge.
    run("1/2", "2", "others").succeeded();
    let other = folder.bytes("others/shard-1-of-2/solution.safetensors");
    assert!(solved == folder.bytes(&solution) && solved != other);
    std::fs::write(folder.join(&solution), &other).unwrap();
    std::fs::remove_file(folder.join(&batch)).unwrap();
    run("1/2", "1", "shares").succeeded();
    merge().refused(1, "was computed with another solution for the weights");
    // A damaged one is named.
    std::fs::write(folder.join(&solution), &solved[..solved.len() - 1]).unwrap();
    std::fs::remove_file(folder.join(&batch)).unwrap();
    run("1/2", "1", "shares").refused(1, "solution.safetensors");
    std::fs::remove_file(folder.join(&solution)).unwrap();
    run("1/2", "1", "shares").succeeded();
    merge().succeeded();
    assert!(solved == folder.bytes(&solution));
}

#[test]
fn a_killed_shard_goes_on_where_it_was_and_belongs_to_one_process() {
    let folder = folder();
    let options = ["--bandwidth", "1", "--samples", "60"];
    let words = |more: &[&'static str]| -> Vec<&str> {
        let base = words("--checkpoint model.safetensors --batch 2 --steps 6");
        [&base[..], &CHANGES, &options, more].concat()
    };
    let share = ["--shard", "0/1", "--out", "shares"];
    let first = folder.join("shares/shard-0-of-1/batch-000000.safetensors");
    let mut child = folder
        .command("sensitivity", &words(&share))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !first.exists() {
        assert!(started.elapsed() < Duration::from_secs(120), "no batch");
        std::thread::sleep(Duration::from_millis(1));
    }
    let refused = folder.run("sensitivity", &words(&share));
    if child.try_wait().unwrap().is_none() {
        refused.refused(1, "is in use by process");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let written = std::fs::metadata(&first).unwrap().modified().unwrap();
    folder.run("sensitivity", &words(&share)).succeeded();
    assert_eq!(
        std::fs::metadata(&first).unwrap().modified().unwrap(),
        written
    );
    let merge = ["merge", "shares", "--out", "merged"];
    folder.run("sensitivity", &merge).succeeded();
    folder
        .run("sensitivity", &words(&["--out", "whole"]))
        .succeeded();
    same(&folder, "whole", "merged");
}

#[test]
fn what_cannot_be_merged_is_refused_by_name() {
    let folder = folder();
    let options = ["--bandwidth", "1"];
    let share = |shard: &'static str, more: &[&'static str]| {
        let more = [&["--shard", shard, "--out", "shares"], more].concat();
        ranking(&folder, &[&options[..], &more].concat())
    };
    let merge = || folder.run("sensitivity", &["merge", "shares", "--out", "merged"]);
    folder.write("shares/note.txt", "");
    merge().refused(1, "shares: is not the folder of a shard");
    share("0/2", &[]).succeeded();
    merge().refused(1, "batch 1 of 4 is in none of the folders");
    share("1/2", &["--seed", "5"]).succeeded();
    merge().refused(1, "are of different runs");
    share("1/2", &[]).refused(1, "is of another run");
    share("2/2", &[]).refused(2, "write I/N with I from 0 to N-1");
    std::fs::remove_dir_all(folder.join("shares/shard-1-of-2")).unwrap();
    share("1/2", &[]).succeeded();
    let damaged = folder.join("shares/shard-1-of-2/batch-000001.safetensors");
    let bytes = std::fs::read(&damaged).unwrap();
    std::fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();
    merge().refused(1, "batch-000001.safetensors");
    assert!(!folder.has("merged/summary.json"));
}
