//! `sensitivity influence` on a small untrained network: the files of a run, and what they say.

mod common;
#[path = "common/untrained.rs"]
mod untrained;

use burn::tensor::Device;
use common::{Folder, words};
use datasway_classifier::{ClassifierConfig, ClassifierTrainer};

/// Five samples, compared with the training images blurred by one pixel.
const SMALL: [&str; 12] = [
    "--checkpoint",
    "model.safetensors",
    "--samples",
    "5",
    "--batch",
    "3",
    "--steps",
    "4",
    "--density",
    "empirical",
    "--bandwidth",
    "1",
];

/// Writes a classifier of one step.
fn train_classifier(folder: &Folder, name: &str) {
    let config = ClassifierConfig {
        steps: 1,
        channels: 8,
        ..ClassifierConfig::default()
    };
    let images = untrained::images();
    let mut trainer = ClassifierTrainer::new(config, &images, &Device::flex()).unwrap();
    trainer.advance().unwrap();
    trainer.save().unwrap().write(&folder.join(name)).unwrap();
}

#[test]
fn influence_answers_each_question_of_every_image_and_the_same_seed_gives_the_same_bytes() {
    let folder = Folder::new();
    untrained::model(&folder);
    let change = ["--add", "attr:Eyeglasses", "--out", "tangent"];
    folder
        .run("sensitivity", &[&SMALL[..], &change].concat())
        .succeeded();
    let direction = "linear:tangent/sensitivities.safetensors:sensitivity/add attr:Eyeglasses";
    let influence = |out: &str, questions: &[&str]| {
        let more = ["--top", "2", "--out", out];
        folder.run(
            "sensitivity",
            &[&["influence"], &SMALL[..], &more, questions].concat(),
        )
    };
    train_classifier(&folder, "labels.safetensors");
    let odds = "log-odds:labels.safetensors:attr:Smiling";
    let questions = [
        "--of",
        odds,
        "--of",
        "principal",
        "--of",
        "region:2,1,3,2",
        "--of",
        "image:7",
        "--of",
        direction,
    ];
    for out in ["a", "b"] {
        influence(out, &questions).succeeded();
    }
    for file in ["influence.safetensors", "images.csv", "groups.csv"] {
        let [a, b] = ["a", "b"].map(|out| folder.bytes(&format!("{out}/{file}")));
        assert_eq!(a, b, "{file}");
    }
    let bytes = folder.bytes("a/influence.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |name: &str| -> Vec<f32> {
        let data = tensors.tensor(name).unwrap().data().to_vec();
        let numbers = data
            .chunks(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        numbers.collect()
    };
    assert_eq!(numbers("influence/principal").len(), 5 * 60);
    assert_eq!(numbers("strength/image:7").len(), 5 * 7);
    assert_eq!(numbers(&format!("gradient/{odds}")).len(), 5 * 192);
    // With the density of the images themselves their ratios have the mean 1.
    assert!(numbers("balance").iter().all(|b| (b - 1.0).abs() < 1e-3));
    // Along the tangent of a group, the group's influence is the square of its length.
    let groups = folder.text("a/groups.csv");
    let deltas = numbers(&format!("gradient/{direction}"));
    for (i, delta) in deltas.chunks(192).enumerate() {
        let line = format!("\"{direction}\",{i},\"attr:Eyeglasses\",");
        let row = groups
            .lines()
            .find_map(|row| row.strip_prefix(&line))
            .unwrap();
        let found: f64 = row.split(',').nth(1).unwrap().parse().unwrap();
        let square: f64 = delta.iter().map(|v| f64::from(*v).powi(2)).sum();
        assert!((found / square - 1.0).abs() < 1e-3, "{found} and {square}");
    }
    let page = folder.text("a/index.html");
    assert!(page.contains("region:2,1,3,2") && page.contains("attr:Eyeglasses"));

    for (question, says) in [
        ("region:7,0,2,1", "inside the 8×8 pixels"),
        ("region:none.png", "none.png"),
        ("image:60", "60"),
        ("linear:none.safetensors:x", "none.safetensors"),
        ("log-odds:none.safetensors:attr:Smiling", "none.safetensors"),
        (
            "log-odds:model.safetensors:attr:Smiling",
            "not a classifier",
        ),
        ("log-odds:labels.safetensors:attr:Wings", "has no label"),
        (
            "linear:tangent/sensitivities.safetensors:x",
            "has no tensor x",
        ),
        ("beauty", "is not understood"),
    ] {
        influence("c", &["--of", question]).refused(1, says);
        assert!(!folder.has("c"));
    }
}

#[test]
fn through_the_weights_the_influences_are_those_of_every_image_and_their_mean_is_zero() {
    let folder = Folder::new();
    untrained::model(&folder);
    let weights = words(
        "influence --through weights --draws 12 --iterations 3 --image-draws 2 --of principal --of region:2,1,3,2 --top 2",
    );
    for (out, batch) in [("a", "4"), ("b", "4"), ("c", "5")] {
        let more = ["--batch", batch, "--out", out];
        let model = words("--checkpoint model.safetensors --samples 5 --steps 4");
        let arguments = [&weights[..], &model, &more].concat();
        folder.run("sensitivity", &arguments).succeeded();
    }
    let [a, b] = ["a", "b"].map(|out| folder.bytes(&format!("{out}/influence.safetensors")));
    assert_eq!(a, b);
    let numbers = |out: &str| -> Vec<f32> {
        let bytes = folder.bytes(&format!("{out}/influence.safetensors"));
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert!(tensors.tensor("strength/principal").is_err());
        let data = tensors.tensor("influence/region:2,1,3,2").unwrap();
        assert_eq!(data.shape(), [5, 60]);
        let numbers = data.data().chunks(4);
        numbers
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    };
    let (one, other) = (numbers("a"), numbers("c"));
    let size = one.iter().fold(0.0_f32, |top, a| top.max(a.abs()));
    assert!(size > 0.0);
    for (row, others) in one.chunks(60).zip(other.chunks(60)) {
        let mean = row.iter().sum::<f32>() / 60.0;
        assert!(mean.abs() < 1e-4 * size, "{mean}");
        let apart = row.iter().zip(others).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f32::max) < 1e-3 * size);
    }
    let run = &folder.json("a/summary.json")["run"];
    assert_eq!(run["through"], "weights");
    assert_eq!(run["weights"]["image_draws"], 2);
    assert_eq!(run["weights"]["residuals"].as_array().unwrap().len(), 10);
    assert!(folder.text("a/index.html").contains("2 of each image"));
}
