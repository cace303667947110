//! The binary says what it found in its images, and before any work what it cannot use and which option helps.

mod common;

use std::fs;
use std::path::Path;

use common::Folder;

/// Four faces of 16 pixels in two folders, `cat` and `dog`.
fn faces() -> Folder {
    let folder = Folder::new();
    let celeba = folder.join("celeba");
    datasway_data::faces::write_celeba(&celeba, 4, 0, 16).unwrap();
    for (face, class) in [(1, "cat"), (2, "cat"), (3, "dog"), (4, "dog")] {
        let name = format!("{face:06}.png");
        let class = folder.join("images").join(class);
        fs::create_dir_all(&class).unwrap();
        let face = celeba.join("img_align_celeba").join(&name);
        fs::rename(face, class.join(&name)).unwrap();
    }
    folder
}

#[test]
fn a_start_says_what_it_found_and_what_it_cannot_use_with_the_option_that_helps() {
    type Change = fn(&Path);
    let nothing: Change = |_| {};
    let gif: Change = |images| fs::write(images.join("cat/a.gif"), "").unwrap();
    let stray: Change = |images| {
        fs::copy(images.join("cat/000001.png"), images.join("stray.png")).unwrap();
    };
    let cut: Change = |images| fs::write(images.join("dog/a.jpg"), "no picture").unwrap();
    let blocked: Change = |images| fs::write(images.join("../kept"), "in the way").unwrap();
    let found = "folder:images: 4 images in 2 classes";
    for (change, command, more, code, said) in [
        (nothing, "train", "", 0, &[found][..]),
        (gif, "train", "", 0, &[found, "; passed over: 1 .gif"]),
        (gif, "classifier", "", 0, &[found, "; passed over: 1 .gif"]),
        (
            blocked,
            "train",
            "",
            0,
            &[found, "note: decoded images are not kept"],
        ),
        (
            nothing,
            "train",
            "--limit=2",
            0,
            &["2 of 4 images in 2 classes"],
        ),
        (
            stray,
            "train",
            "",
            1,
            &["1 image and 2 folders with images (cat, dog)"],
        ),
        (cut, "train", "", 1, &["dog/a.jpg", "--skip-bad"]),
        (cut, "classifier", "", 1, &["dog/a.jpg", "--skip-bad"]),
        (
            cut,
            "train",
            "--skip-bad",
            0,
            &[found, "left out: 1 bad image", "dog/a.jpg"],
        ),
        (
            nothing,
            "train",
            "--set=network.image_size=32",
            1,
            &["16x16 pixels where 32x32", "--set network.image_size=N"],
        ),
        (
            nothing,
            "classifier",
            "--size=32",
            1,
            &["16x16 pixels where 32x32", "with --size,"],
        ),
        (
            nothing,
            "train",
            "--data=folder:nowhere",
            1,
            &["nowhere is missing"],
        ),
        (
            nothing,
            "train",
            "--data=faces:4000000000",
            1,
            &["1 to 1,000,000 faces"],
        ),
    ] {
        let folder = faces();
        change(&folder.join("images"));
        let mut arguments = match command {
            "train" => vec![
                "--batch=2",
                "--set=network.channels=8",
                "--set=network.head_channels=8",
            ],
            _ => vec!["classifier", "--batch=2", "--channels=8", "--held-out=0.5"],
        };
        arguments.extend(["--steps=1", "--cache=kept", "--out=run"]);
        if !more.starts_with("--data") {
            arguments.push("--data=images");
        }
        if command == "train" && !more.starts_with("--set=network.image_size") {
            arguments.push("--set=network.image_size=16");
        }
        if command == "classifier" && !more.starts_with("--size") {
            arguments.push("--size=16");
        }
        arguments.extend((!more.is_empty()).then_some(more));
        let output = folder.run("train", &arguments);
        let text = output.errors;
        assert_eq!(output.code, Some(code), "{command} {more}: {text}");
        for part in said {
            assert!(text.contains(part), "{command} {more}: {part} in {text}");
        }
        let errors = text.lines().filter(|line| line.starts_with("error: "));
        assert_eq!(errors.count(), usize::from(code != 0), "{text}");
        assert!(code == 0 || !folder.has("run"));
    }
}
