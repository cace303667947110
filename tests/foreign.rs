//! A small pipeline of diffusers as the model: what the commands say of it and write about it.

mod common;

use std::path::Path;

use common::Folder;

/// Small models of diffusers with grey pictures of 8×8 pixels.
const FOLDERS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../datasway-pretrained/tests/data/folders"
);
/// A pipeline, whose scheduler clamps.
const PIPELINE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../datasway-pretrained/tests/data/folders/pipeline"
);
/// The weights in a pipeline.
const WEIGHTS: &str = "unet/diffusion_pytorch_model.safetensors";

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

/// A copy of a folder of models.
fn copy(folder: &Folder, name: &str) {
    let mut open = vec![name.to_owned()];
    while let Some(path) = open.pop() {
        std::fs::create_dir_all(folder.join(&path)).unwrap();
        for entry in std::fs::read_dir(Path::new(FOLDERS).join(&path)).unwrap() {
            let entry = entry.unwrap();
            let inner = format!("{path}/{}", entry.file_name().display());
            if entry.file_type().unwrap().is_dir() {
                open.push(inner);
            } else {
                std::fs::copy(entry.path(), folder.join(&inner)).unwrap();
            }
        }
    }
}

/// Replaces words of a file.
fn edit(folder: &Folder, file: &str, old: &str, new: &str) {
    let text = folder.text(file);
    assert!(text.contains(old), "{file}: {text}");
    folder.write(file, text.replace(old, new));
}

#[test]
fn what_is_no_model_of_pixels_is_refused_in_one_sentence_and_leaves_nothing_behind() {
    type Damage = fn(&Folder);
    let cases: [(&str, Damage, &str); 10] = [
        (
            "pipeline",
            |folder| {
                let config = "pipeline/unet/config.json";
                edit(folder, config, "UNet2DModel", "UNet2DConditionModel");
            },
            "the class UNet2DConditionModel, whose picture is made from text",
        ),
        (
            "pipeline",
            |folder| {
                let index = "pipeline/model_index.json";
                edit(folder, index, "DDPMPipeline", "StableDiffusionPipeline");
                edit(
                    folder,
                    index,
                    "{",
                    "{\"text_encoder\": [\"transformers\", \"CLIPTextModel\"],",
                );
            },
            "the class StableDiffusionPipeline, whose picture is made from text",
        ),
        (
            "pipeline",
            |folder| {
                edit(
                    folder,
                    "pipeline/unet/config.json",
                    "\"DownBlock2D\"",
                    "\"WaveletBlock2D\"",
                )
            },
            "WaveletBlock2D, which is not supported",
        ),
        (
            "pipeline",
            |folder| {
                let path = folder.join(&format!("pipeline/{WEIGHTS}"));
                let bytes = std::fs::read(&path).unwrap();
                std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            },
            "no complete SafeTensors file",
        ),
        (
            "sharded",
            |folder| {
                let shard = "sharded/diffusion_pytorch_model-00002-of-00002.safetensors";
                std::fs::remove_file(folder.join(shard)).unwrap();
            },
            "fetch all shards",
        ),
        (
            "bin",
            // A plain pickle: a global of a module, called with a tuple.
            |folder| {
                folder.write(
                    "bin/diffusion_pytorch_model.bin",
                    "cos\nsystem\n(S'touch run'\ntR.",
                );
            },
            "if you trust it",
        ),
        (
            "bin",
            |folder| {
                std::fs::remove_file(folder.join("bin/config.json")).unwrap();
                folder.write(
                    "bin/network-snapshot.pkl",
                    "cos\nsystem\n(S'touch run'\ntR.",
                );
            },
            "edm_to_safetensors.py",
        ),
        (
            "bin",
            |folder| {
                std::fs::remove_file(folder.join("bin/config.json")).unwrap();
                folder.write("bin/pytorch_lora_weights.safetensors", "");
            },
            "a LoRA",
        ),
        (
            "bin",
            |folder| std::fs::remove_file(folder.join("bin/config.json")).unwrap(),
            "save_pretrained()",
        ),
        (
            "pipeline",
            |folder| folder.write("pipeline/datasway.toml", "skip_bad = true\ncolour = 1\n"),
            "line 2: unknown field `colour`",
        ),
    ];
    for (name, damage, says) in cases {
        let folder = Folder::new();
        copy(&folder, name);
        damage(&folder);
        let model = ["--checkpoint", name, "--data", "faces:60"];
        let rank = [&model[..], &["--add", "attr:Eyeglasses"]].concat();
        for command in [
            rank,
            [&["influence"], &model[..]].concat(),
            [&["check"], &model[..]].concat(),
        ] {
            let said = folder.run("sensitivity", &command);
            said.refused(1, says);
            assert_eq!(said.errors.trim().lines().count(), 1, "{}", said.errors);
            assert_eq!(folder.names("."), [name], "nothing was left");
        }
    }
}

#[test]
fn pictures_smaller_than_those_of_the_model_are_refused_with_what_enlarges_them() {
    let folder = Folder::new();
    copy(&folder, "pipeline");
    std::fs::create_dir(folder.join("photos")).unwrap();
    let small = image::RgbImage::new(4, 4);
    small.save(folder.join("photos/small.png")).unwrap();
    let model = ["--checkpoint", "pipeline", "--data", "folder:photos"];
    for command in [&["--add", "all"], &["influence"][..], &["check"]] {
        let said = folder.run("sensitivity", &[command, &model].concat());
        said.refused(1, "small.png gives only 4x4 pixels where 8x8 were asked");
        said.refused(
            1,
            "or enlarge it as the model's training did with --filter bilinear",
        );
    }
}
