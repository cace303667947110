//! A small pipeline of diffusers as the model: what the commands say of it and write about it.

mod common;

use common::Folder;

/// A pipeline of diffusers with grey pictures of 8×8 pixels, whose scheduler clamps.
const PIPELINE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../datasway-pretrained/tests/data/folders/pipeline"
);

/// The model and its data, with so few steps that a command takes seconds.
const MODEL: [&str; 6] = [
    "--checkpoint",
    PIPELINE,
    "--data",
    "faces:60",
    "--steps",
    "4",
];

#[test]
fn the_difference_of_clamped_denoised_images_is_told_and_written() {
    let folder = Folder::new();
    let change = ["--add", "attr:Eyeglasses", "--samples", "10"];
    let rank = [&MODEL[..], &change].concat();
    let said = folder.run("sensitivity", &rank).succeeded();
    assert!(said.errors.contains("clip_sample says"), "{}", said.errors);
    let summary = folder.json("runs/sensitivity/summary.json");
    let clip = &summary["run"]["clip_sample"];
    assert_eq!((&clip["range"], &clip["samples"]), (&1.0.into(), &8.into()));
    let [size, largest] = ["root_mean_square", "largest"].map(|name| clip[name].as_f64().unwrap());
    assert!(0.0 < size && size < largest, "{clip}");
    let page = folder.text("runs/sensitivity/index.html");
    assert!(page.contains("clip_sample says"));

    let influence = [&["influence"], &MODEL[..], &["--samples", "2"]].concat();
    folder.run("sensitivity", &influence).succeeded();
    let summary = folder.json("runs/influence/summary.json");
    assert_eq!(summary["run"]["clip_sample"]["samples"], 2);
    assert!(
        folder
            .text("runs/influence/index.html")
            .contains("clip_sample says")
    );
}
