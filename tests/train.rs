//! `train` on procedural faces: the files of a run, and what they say.

mod common;

use common::{Folder, words};
use datasway_diffusion::checkpoint::Checkpoint;

/// A run of six steps on 60 faces of 8×8 pixels.
const RUN: [&str; 18] = [
    "--data",
    "faces:60",
    "--preset",
    "faces16",
    "--set",
    "network.image_size=8",
    "--set",
    "network.channels=8",
    "--set",
    "network.multipliers=[1]",
    "--set",
    "network.attention=[]",
    "--steps",
    "6",
    "--batch",
    "4",
    "--sample-every",
    "3",
];

#[test]
fn a_run_leaves_a_checkpoint_its_losses_and_grids_of_samples() {
    let folder = Folder::new();
    let arguments = [&RUN[..], &["--out", "run", "--export", "model.safetensors"]].concat();
    let errors = folder.run("train", &arguments).succeeded().errors;
    assert!(
        errors.contains("finished 6 steps; checkpoint in run/checkpoint.safetensors"),
        "{errors}"
    );
    let visible = |name: &String| !name.starts_with('.');
    let names: Vec<String> = folder.names("run").into_iter().filter(visible).collect();
    let expected =
        words("checkpoint.safetensors loss.csv run.toml samples-000003.png samples-000006.png");
    assert_eq!(names, expected);

    let checkpoint = Checkpoint::load(&folder.join("run/checkpoint.safetensors")).unwrap();
    let header = &checkpoint.header;
    assert_eq!((header.step, header.data.as_str()), (6, "faces:60"));
    assert_eq!(header.network.dim(), 192);
    assert!(checkpoint.model.is_some() && checkpoint.optimizer.is_some());
    let record: toml::Table = folder.text("run/run.toml").parse().unwrap();
    assert_eq!(record["fingerprint"].as_str(), Some(&*header.fingerprint));
    assert_eq!(record["config"]["steps"].as_integer(), Some(6));
    let losses = folder.rows("run/loss.csv");
    assert_eq!(losses.last().unwrap()[0], "6", "{losses:?}");
    assert!(
        folder
            .bytes("run/samples-000006.png")
            .starts_with(b"\x89PNG")
    );

    // For sampling only: the averaged weights alone.
    let exported = Checkpoint::load(&folder.join("model.safetensors")).unwrap();
    assert_eq!(exported.ema, checkpoint.ema);
    assert!(exported.model.is_none() && exported.optimizer.is_none());
}

#[test]
fn the_same_seed_gives_the_same_weights_and_another_seed_others() {
    let folder = Folder::new();
    let weights = |out: &str, seed: &str| {
        let arguments = [&RUN[..], &["--out", out, "--seed", seed]].concat();
        folder.run("train", &arguments).succeeded();
        let path = folder.join(out).join("checkpoint.safetensors");
        Checkpoint::load(&path).unwrap().ema
    };
    let first = weights("a", "1");
    assert_eq!(first, weights("b", "1"));
    assert_ne!(first, weights("c", "2"));
}
