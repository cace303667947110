//! Mistakes that a user can make with the binary: each gets one sentence before any work, and nothing is lost.

mod common;

use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Folder, Said, words};

/// A network and a run of a blink.
const TINY: [&str; 16] = [
    "--data",
    "faces:16",
    "--steps",
    "3",
    "--batch",
    "2",
    "--set",
    "network.channels=8",
    "--set",
    "network.multipliers=[1]",
    "--set",
    "network.attention=[]",
    "--set",
    "network.image_size=8",
    "--sample-every",
    "2",
];

#[test]
fn every_number_has_a_range() {
    let folder = Folder::new();
    let whole = ["0", "-1", "1.5", "1e12", "nan", "99999999999999999999"];
    let real = ["-1", "nan", "inf", "-inf", "1e300", "much"];
    let options: [(&str, &[&str]); 7] = [
        ("--steps", &whole),
        ("--batch", &[&whole[..], &["1000000000"]].concat()),
        ("--limit", &whole),
        ("--seed", &whole[1..]),
        ("--sample-every", &whole[1..]),
        ("--learning-rate", &[&real[..], &["0"]].concat()),
        ("--checkpoint-minutes", &real),
    ];
    let classifier: [(&str, &[&str]); 5] = [
        ("--size", &[&whole[..], &["1000000000"]].concat()),
        ("--channels", &[&whole[..], &["1000000000"]].concat()),
        ("--weight-decay", &real),
        ("--noise", &real),
        ("--held-out", &[&real[..], &["0", "1", "2"]].concat()),
    ];
    let both = options.iter().chain(&classifier[..0]);
    for (option, values) in both {
        for value in *values {
            let argument = format!("{option}={value}");
            folder.run("train", &[&argument]).refused(2, option);
        }
    }
    let shared = options
        .iter()
        .filter(|(option, _)| *option != "--sample-every");
    for (option, values) in classifier.iter().chain(shared) {
        for value in *values {
            let argument = format!("{option}={value}");
            folder
                .run("train", &["classifier", &argument])
                .refused(2, option);
        }
    }
    folder.run("train", &["--device", "tpu"]).refused(2, "flex");
    folder
        .run("train", &["--preset", "face16"])
        .refused(2, "faces16");
    assert!(folder.names(".").is_empty());
}

#[test]
fn what_cannot_be_is_found_before_the_images_are_read() {
    let folder = Folder::new();
    folder.write("file", "");
    folder.write("garbage.toml", "= [");
    folder.write("large.toml", vec![b'#'; 2 << 20]);
    folder.write("photos/a.png", "");
    let cases: [(&[&str], &str); 24] = [
        (&["--out", "file"], "file is not a folder"),
        (&["--out", "file/below"], "below"),
        (&["--out", "photos"], "photos holds a.png"),
        (&["--out", "."], "choose another folder with --out"),
        (&["--export", "none/a.safetensors"], "no folder none"),
        (&["--export", "photos"], "is a folder"),
        (
            &["--export", "runs/train/checkpoint.safetensors"],
            "own checkpoint",
        ),
        (
            &["--export", "runs/train/../train/checkpoint.safetensors"],
            "own checkpoint",
        ),
        (&["--export", "runs/train/run.toml"], "a file of the run"),
        (&["--export", "runs/train/loss.csv"], "a file of the run"),
        (&["--export", "new/"], "is a folder"),
        (&["--config", "none.toml"], "none.toml: cannot be read"),
        (&["--config", "photos"], "photos: is not a file"),
        (
            &["--config", "garbage.toml"],
            "garbage.toml is not a configuration",
        ),
        (&["--config", "large.toml"], "large.toml: has 2097152 bytes"),
        (
            &["--resume"],
            "there is nothing to resume: runs/train/checkpoint.safetensors",
        ),
        (
            &["--set", "network.image_channels=2"],
            "images have 1 channel or 3",
        ),
        (&["--set", "network.channels=4000000"], "channels must be"),
        (&["--set", "network.channels=8192"], "GiB of memory"),
        (
            &["--set", "network.image_size=1000000"],
            "image_size must be",
        ),
        (&["--set", "network.image_size=4096"], "pixels must be"),
        (
            &["--data", "mnist:photos", "--preset", "faces16"],
            "are grey, but the network takes 3",
        ),
        (
            &words("--data mnist:photos --set network.image_channels=3"),
            "are grey, but",
        ),
        (&["--set", "steps"], "write FIELD=VALUE"),
    ];
    for (arguments, says) in cases {
        // A set that would take hours to draw: none of these begins with it.
        let data = ["--data", "faces:1000000"];
        let data = if arguments[0] == "--data" {
            &[][..]
        } else {
            &data[..]
        };
        folder
            .run("train", &[data, arguments].concat())
            .refused(1, says);
    }
    for (arguments, says) in [
        (&["--out", "file"][..], "file is not a folder"),
        (&["--out", "photos"], "photos holds a.png"),
        (&["--resume"], "nothing to resume"),
        (&["--size", "4096", "--channels", "4096"], "GiB of memory"),
    ] {
        let data = ["classifier", "--data", "faces:1000000"];
        folder
            .run("train", &[&data, arguments].concat())
            .refused(1, says);
    }
    assert_eq!(folder.names("photos"), ["a.png"]);
    assert!(!folder.has("runs/train"));
}

/// MNIST's files with so many random digits.
fn mnist(folder: &Folder, name: &str, count: u32) {
    let mut images = vec![0, 0, 8, 3];
    for number in [count, 28, 28] {
        images.extend(number.to_be_bytes());
    }
    images.extend((0..count * 784).map(|i| (i * 37 % 251) as u8));
    folder.write(&format!("{name}/train-images-idx3-ubyte"), images);
    let mut labels = vec![0, 0, 8, 1];
    labels.extend(count.to_be_bytes());
    labels.extend((0..count).map(|i| (i % 2) as u8));
    folder.write(&format!("{name}/train-labels-idx1-ubyte"), labels);
}

/// The first thing that a user of MNIST tries.
#[test]
fn the_network_follows_grey_images() {
    let folder = Folder::new();
    mnist(&folder, "digits", 20);
    for data in ["mnist:digits", "digits"] {
        let out = format!("out-{}", data.len());
        let arguments = [
            "--data", data, "--steps", "1", "--batch", "2", "--out", &out,
        ];
        let errors = folder.run("train", &arguments).succeeded().errors;
        assert!(errors.contains("grey images: --preset mnist16"), "{errors}");
    }
    let arguments = words("classifier --data mnist:digits --steps 1 --batch 2");
    let arguments = [&arguments[..], &["--channels", "8"]].concat();
    folder.run("train", &arguments).succeeded();
}

#[test]
fn a_folder_used_again_keeps_nothing_of_a_run_without_a_checkpoint() {
    let folder = Folder::new();
    folder.run("train", &TINY).succeeded();
    assert!(folder.has("runs/train/samples-000002.png"));
    folder.run("train", &TINY).refused(1, "already holds a run");
    std::fs::remove_file(folder.join("runs/train/checkpoint.safetensors")).unwrap();
    folder.write("runs/train/notes.txt", "mine");
    folder.write("runs/train/samples-000999.png", "of a killed run");
    folder.run("train", &TINY).succeeded();
    assert!(!folder.has("runs/train/samples-000999.png"));
    assert!(folder.has("runs/train/notes.txt"));
    assert!(!folder.has("runs/train/.datasway-claim"));
}

#[cfg(unix)]
#[test]
fn one_run_at_a_time_writes_to_a_folder() {
    let folder = Folder::new();
    let long = [&TINY[..2], &TINY[4..], &["--steps", "1000000"]].concat();
    // Both at the same moment: one of them goes on.
    let start = |_| {
        folder
            .command("train", &long)
            .stderr(Stdio::piped())
            .spawn()
    };
    let mut children: Vec<_> = (0..2).map(start).collect::<Result<_, _>>().unwrap();
    let started = Instant::now();
    let ended = loop {
        let ended = (0..2).find(|&i| children[i].try_wait().unwrap().is_some());
        if let Some(ended) = ended {
            break ended;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "neither ends");
        std::thread::sleep(Duration::from_millis(5));
    };
    let second = Said::from(children.remove(ended).wait_with_output().unwrap());
    let mut first = children.remove(0);
    let holder = format!("process {} on ", first.id());
    second.refused(1, "is in use by ");
    second.refused(1, &holder);
    folder.run("train", &TINY).refused(1, &holder);
    let resumed = [&TINY[..], &["--resume"]].concat();
    folder.run("train", &resumed).refused(1, &holder);
    // What a killed run claimed is taken over.
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(folder.has("runs/train/.datasway-claim"));
    let _ = std::fs::remove_file(folder.join("runs/train/checkpoint.safetensors"));
    folder.run("train", &TINY).succeeded();
    assert!(!folder.has("runs/train/.datasway-claim"));
}
