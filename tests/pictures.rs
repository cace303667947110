//! Given pictures, candidates, parts of the steps, and runs done again, on a small untrained network.

mod common;
#[path = "common/untrained.rs"]
mod untrained;

use std::collections::BTreeMap;

use common::{Folder, Said, words};

const SMALL: [&str; 8] = [
    "--checkpoint",
    "model.safetensors",
    "--batch",
    "3",
    "--steps",
    "4",
    "--bandwidth",
    "1",
];

fn run(folder: &Folder, command: &[&str], arguments: &[&str]) -> Said {
    folder.run("sensitivity", &[command, &SMALL, arguments].concat())
}

/// The arrays of a SafeTensors file with their shapes.
fn arrays(folder: &Folder, name: &str) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = folder.bytes(name);
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |data: &[u8]| -> Vec<f32> {
        let words = data.chunks(4);
        words
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    };
    let arrays = tensors.tensors().into_iter();
    arrays
        .map(|(name, view)| (name, (view.shape().to_vec(), numbers(view.data()))))
        .collect()
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let gaps = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    gaps.fold(0.0, f32::max)
}

/// Writes faces 2 and 5 of the training set as PNG files, in a folder and beside it.
fn write_pictures(folder: &Folder) {
    let images = untrained::images();
    let shape = images.shape;
    for (i, name) in [(2, "new/two.png"), (5, "five.png")] {
        let plane = shape.width * shape.height;
        let pixel = |x: u32, y: u32| {
            let place = y as usize * shape.width + x as usize;
            image::Rgb([0, 1, 2].map(|c| images.image(i)[c * plane + place]))
        };
        let picture = image::RgbImage::from_fn(shape.width as u32, shape.height as u32, pixel);
        std::fs::create_dir_all(folder.join("new")).unwrap();
        picture.save(folder.join(name)).unwrap();
    }
}

fn folder() -> Folder {
    let folder = Folder::new();
    untrained::model(&folder);
    write_pictures(&folder);
    folder
}

#[test]
fn pictures_take_the_place_of_samples_in_a_ranking() {
    let folder = folder();
    let change = ["--add", "attr:Eyeglasses", "--image", "five.png"];
    let more = ["--images", "index:2", "--by-step", "--out", "a"];
    let said = run(&folder, &[], &[&change[..], &more].concat()).succeeded();
    assert!(
        said.errors.contains("2 pictures, encoded"),
        "{}",
        said.errors
    );
    let arrays = arrays(&folder, "a/sensitivities.safetensors");
    let (shape, pictures) = &arrays["pictures"];
    assert_eq!(shape, &[2, 192]);
    let training = untrained::images();
    let expected: Vec<f32> = training.values(5).chain(training.values(2)).collect();
    assert_eq!(pictures, &expected);
    assert!(apart(pictures, &arrays["samples"].1) < 0.05);
    let (shape, parts) = &arrays["by_step/add attr:Eyeglasses"];
    assert_eq!(shape, &[2, 4]);
    let rows = folder.rows("a/ranking.csv");
    for row in &rows[1..] {
        let (sample, score): (usize, f32) = (row[2].parse().unwrap(), row[3].parse().unwrap());
        let sum: f32 = parts[sample * 4..(sample + 1) * 4].iter().sum();
        assert!((sum / score - 1.0).abs() < 1e-4, "{sum} and {score}");
    }
    let pictures = folder.rows("a/pictures.csv");
    assert_eq!(
        (pictures.len(), pictures[1][1].as_str()),
        (3, "\"five.png\"")
    );
    let summary = folder.json("a/summary.json");
    assert_eq!(summary["samples"], 2);
    assert_eq!(summary["pictures"][0]["name"], "five.png");
    let page = folder.text("a/index.html");
    for words in ["drawn again", "five.png", "share of the step"] {
        assert!(page.contains(words), "{words}");
    }
    // The noise of the file gives the same samples by itself: the second picture alone has the same numbers.
    let alone = words("--add attr:Eyeglasses --images index:2 --out b");
    run(&folder, &[], &alone).succeeded();
    let one = self::arrays(&folder, "b/sensitivities.safetensors");
    let (both, one) = (
        &arrays["sensitivity/add attr:Eyeglasses"].1[192..],
        &one["sensitivity/add attr:Eyeglasses"].1,
    );
    let size = both.iter().fold(0.0_f32, |top, v| top.max(v.abs()));
    assert!(apart(both, one) < 1e-3 * size);
}

#[test]
fn pictures_and_candidates_have_influences() {
    let folder = folder();
    let asked = ["--image", "five.png", "--of", "image:7", "--top", "2"];
    let through: [(&str, &[&str]); 2] = [
        ("data", &["--bandwidth", "1", "--by-step"]),
        (
            "weights",
            &words("--through weights --draws 12 --iterations 2 --image-draws 2"),
        ),
    ];
    for (out, options) in through {
        let model = words("influence --checkpoint model.safetensors --steps 4");
        let more = ["--candidates", "folder:new", "--out", out];
        let arguments = [&model[..], &asked, &more, options].concat();
        folder.run("sensitivity", &arguments).succeeded();
        let arrays = arrays(&folder, &format!("{out}/influence.safetensors"));
        let (shape, candidates) = &arrays["candidate_influence/image:7"];
        assert_eq!(shape, &[1, 1]);
        // The file is training image 2.
        let (shape, influence) = &arrays["influence/image:7"];
        assert_eq!(shape, &[1, 60]);
        let size = influence.iter().fold(0.0_f32, |top, v| top.max(v.abs()));
        assert!(apart(candidates, &influence[2..3]) < 1e-4 * size, "{out}");
        assert!(arrays.contains_key("noise") && arrays.contains_key("pictures"));
        let rows = folder.rows(&format!("{out}/candidates.csv"));
        assert_eq!(rows.len(), 2);
        assert!(rows[1][5].contains("two.png"), "{rows:?}");
        assert_eq!(folder.json(&format!("{out}/summary.json"))["candidates"], 1);
        let page = folder.text(&format!("{out}/index.html"));
        assert!(page.contains("Candidates that would raise f"));
        if out == "data" {
            let (shape, parts) = &arrays["by_step/image:7"];
            assert_eq!((shape, arrays["step_sigmas"].0[0]), (&vec![1, 4, 60], 4));
            let sums: Vec<f32> = (0..60)
                .map(|j| parts.iter().skip(j).step_by(60).sum())
                .collect();
            assert!(apart(&sums, influence) < 1e-5 * size);
        }
    }
}

/// Compares all files of two runs but their summaries, and returns the summaries without times and memory.
fn same_files(folder: &Folder, a: &str, b: &str) -> [serde_json::Value; 2] {
    let names = folder.names(a);
    assert_eq!(names, folder.names(b));
    assert!(names.len() > 4, "{names:?}");
    for name in names.iter().filter(|name| *name != "summary.json") {
        let [left, right] = [a, b].map(|run| folder.bytes(&format!("{run}/{name}")));
        assert!(left == right, "{name} differs");
    }
    [a, b].map(|run| {
        let mut summary = folder.json(&format!("{run}/summary.json"));
        for key in ["seconds", "peak_memory_bytes"] {
            summary[key] = serde_json::Value::Null;
        }
        summary
    })
}

#[test]
fn a_run_is_done_again_to_the_same_bytes_from_its_summary() {
    let folder = folder();
    let rank = words("--add attr:Eyeglasses --remove attr:!Smiling --seed 7");
    let influence = words("--of region:2,1,3,2 --top 3 --candidates folder:new");
    let weights = words("--through weights --draws 12 --gradient-draws 16 --draw-noise");
    let limit = words("--limit --trace probing --period 2 --sigma-cut 0.01");
    let runs: [(&str, &[&str], Vec<&str>); 6] = [
        (
            "drawn",
            &[],
            [
                &rank[..],
                &["--samples", "4", "--by-step", "--bandwidth", "1"],
            ]
            .concat(),
        ),
        (
            "given",
            &[],
            [&rank[..], &["--image", "five.png", "--no-photos"]].concat(),
        ),
        (
            "weights",
            &[],
            [
                &rank[..],
                &weights,
                &["--iterations", "2", "--samples", "2"],
            ]
            .concat(),
        ),
        (
            "limit",
            &[],
            [&rank[..], &limit, &["--samples", "2", "--sampler", "euler"]].concat(),
        ),
        (
            "influence",
            &["influence"],
            [&influence[..], &["--samples", "2"]].concat(),
        ),
        (
            "pictures",
            &["influence"],
            [
                &influence[..],
                &["--images", "index:3,9", "--max-error", "5", "--by-step"],
            ]
            .concat(),
        ),
    ];
    let model = words("--checkpoint model.safetensors --batch 3 --steps 4");
    for (name, command, arguments) in &runs {
        let arguments = [command, &model[..], arguments, &["--out", name]].concat();
        folder.run("sensitivity", &arguments).succeeded();
        let (summary, again) = (format!("{name}/summary.json"), format!("{name}-again"));
        let replay = ["--from", &summary, "--out", &again];
        folder
            .run("sensitivity", &[command, &replay[..]].concat())
            .succeeded();
        let [first, second] = same_files(&folder, name, &again);
        assert_eq!(first, second, "{name}");
        assert_eq!(first["run"]["options"]["steps"][0], "4");
    }
    // What is given as well has to agree.
    let drawn = ["--from", "drawn/summary.json", "--out", "more"];
    let with = |more: &[&str]| folder.run("sensitivity", &[&drawn[..], more].concat());
    with(&["--steps", "4", "--seed", "7"]).succeeded();
    for (more, says) in [
        (
            &["--steps", "5"][..],
            "--steps 5 contradicts drawn/summary.json, which has 4",
        ),
        (&["--add", "attr:Smiling"], "--add attr:Smiling contradicts"),
        (&["--limit"], "which does not have it"),
        (&["--image", "five.png"], "--image five.png contradicts"),
    ] {
        with(more).refused(1, says);
    }
    let other = ["influence", "--from", "drawn/summary.json"];
    folder
        .run("sensitivity", &other)
        .refused(1, "is of `sensitivity`");
    folder.write(
        "old.json",
        r#"{"run":{"datasway":"0.1.0","fingerprint":"","training_step":0}}"#,
    );
    for (file, says) in [
        ("old.json", "does not record its options"),
        ("none.json", "none.json"),
        ("five.png", "is not the summary.json of a run"),
    ] {
        folder
            .run("sensitivity", &["--from", file])
            .refused(1, says);
    }
    // The checkpoint is another one now.
    untrained::save(&folder, 3, 8, "another");
    folder.run("sensitivity", &drawn).refused(1, "fingerprint");
}

#[test]
fn pictures_that_cannot_take_the_place_of_samples_get_one_sentence() {
    let folder = folder();
    folder.write("text.png", "no picture");
    let cases: [(&[&str], &str); 9] = [
        (
            &["--image", "five.png", "--samples", "5"],
            "--samples draws samples",
        ),
        (
            &["--images", "index:1", "--samples", "5"],
            "leave one of them out",
        ),
        (
            &["--image", "five.png", "--sampler", "stochastic"],
            "use heun or euler",
        ),
        (
            &["--image", "five.png", "--image", "./five.png"],
            "are the same",
        ),
        (&["--image", "absent.png"], "absent.png"),
        (&["--image", "text.png"], "text.png"),
        (&["--images", "wings"], "wings"),
        (&["--max-error", "5"], "is for --image and --images"),
        (
            &["--image", "five.png", "--max-error", "0"],
            "five.png: drawn again from its noise it is off by",
        ),
    ];
    for (arguments, says) in cases {
        for command in [
            &["--add", "all", "--out", "out"][..],
            &["influence", "--out", "out"],
        ] {
            run(&folder, command, arguments).refused(1, says);
            assert!(!folder.has("out"), "{arguments:?}");
        }
    }
    let influence = ["influence", "--out", "out", "--candidates=wings"];
    run(&folder, &influence, &[]).refused(1, "wings");
    let weights = ["--through", "weights", "--by-step"];
    let model = ["influence", "--checkpoint", "model.safetensors"];
    folder
        .run("sensitivity", &[&model[..], &weights].concat())
        .refused(1, "a solution of its own");
}
