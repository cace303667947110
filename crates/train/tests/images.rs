//! The binary says what it found in its images, and before any work what it cannot use and which option helps.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Four faces of 16 pixels in two folders, `cat` and `dog`.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let celeba = place.path().join("celeba");
    datasway_data::faces::write_celeba(&celeba, 4, 0, 16).unwrap();
    for (face, class) in [(1, "cat"), (2, "cat"), (3, "dog"), (4, "dog")] {
        let name = format!("{face:06}.png");
        let folder = place.path().join("images").join(class);
        fs::create_dir_all(&folder).unwrap();
        fs::rename(
            celeba.join("img_align_celeba").join(&name),
            folder.join(&name),
        )
        .unwrap();
    }
    place
}

/// Exit code and what is said, of `train` in a folder.
fn train(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_train"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
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
        let place = place();
        change(&place.path().join("images"));
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
        let (exit, text) = train(place.path(), &arguments);
        assert_eq!(exit, Some(code), "{command} {more}: {text}");
        for part in said {
            assert!(text.contains(part), "{command} {more}: {part} in {text}");
        }
        let errors = text.lines().filter(|line| line.starts_with("error: "));
        assert_eq!(errors.count(), usize::from(code != 0), "{text}");
        assert!(code == 0 || !place.path().join("run").exists());
    }
}
