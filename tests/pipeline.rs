//! The story of the README in small: train a model, rank its samples, ask which images made them so, retrain, and compare.
//!
//! Every step reads what the one before it wrote, and what one command says of a number another command says too.

mod common;

use std::collections::BTreeMap;

use common::{Folder, words};
use datasway_diffusion::checkpoint::Checkpoint;
use safetensors::SafeTensors;

/// Steps of training, in `train` and in the experiment.
const STEPS: &str = "40";

/// An experiment whose base model is the one that `train` trains.
const EXPERIMENT: &str = r#"
name = "faces"
data = "faces:200"
preset = "faces16"
seeds = [0]
set = { steps = 40, batch = 8, network = { image_size = 8, channels = 8, multipliers = [1], attention = [] } }
samples = { count = 4, steps = 4 }

[[variants]]
kind = "fine-tune"
set = { steps = 20 }

[[directions]]
add = "attr:Eyeglasses"
mass = 0.3

[[directions]]
remove = "attr:Blond_Hair"
mass = 0.05

[[estimators]]
density = "empirical"
bandwidth = "auto"

[[baselines]]
kind = "mean-shift"
"#;

const MODEL: &str = "runs/train/checkpoint.safetensors";
const SMALL: [&str; 6] = ["--checkpoint", MODEL, "--samples", "4", "--steps", "4"];
const DIRECTIONS: [&str; 2] = ["add attr:Eyeglasses", "remove attr:Blond_Hair"];

/// The f32 arrays of a SafeTensors file.
fn arrays(bytes: &[u8]) -> BTreeMap<String, Vec<f32>> {
    let number = |b: &[u8]| f32::from_le_bytes(b.try_into().unwrap());
    let tensors = SafeTensors::deserialize(bytes).unwrap().tensors();
    let array = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        (name, view.data().chunks_exact(4).map(number).collect())
    };
    tensors.into_iter().map(array).collect()
}

/// The file of the experiment's only job whose folder begins so.
fn job(folder: &Folder, kind: &str, file: &str) -> String {
    let names = folder.names("runs/faces/jobs").into_iter();
    let names: Vec<String> = names.filter(|name| name.starts_with(kind)).collect();
    let [name] = &names[..] else {
        panic!("jobs {kind}: {names:?}");
    };
    format!("runs/faces/jobs/{name}/{file}")
}

#[test]
fn a_model_is_trained_ranked_explained_and_checked_by_retraining() {
    let folder = Folder::new();

    let network = words(
        "--set=network.image_size=8 --set=network.channels=8 --set=network.multipliers=[1] --set=network.attention=[]",
    );
    let data = ["--data", "faces:200", "--preset", "faces16"];
    let length = ["--steps", STEPS, "--batch", "8", "--sample-every", "0"];
    let train = [&data[..], &network, &length].concat();
    folder.run("train", &train).succeeded();
    let record: toml::Table = folder.text("runs/train/run.toml").parse().unwrap();
    let model = Checkpoint::load(&folder.join(MODEL)).unwrap();
    assert_eq!(model.header.step, 40);

    // The ranking is of this model and these images.
    let change = ["--add", "attr:Eyeglasses", "--remove", "attr:Blond_Hair"];
    let rank = [&SMALL[..], &change].concat();
    folder.run("sensitivity", &rank).succeeded();
    let summary = folder.json("runs/sensitivity/summary.json");
    let run = &summary["run"];
    assert_eq!(run["checkpoint"], MODEL);
    assert_eq!(run["training_step"], 40);
    assert_eq!(run["fingerprint"].as_str(), record["fingerprint"].as_str());
    let ranking = folder.rows("runs/sensitivity/ranking.csv");
    let deltas = arrays(&folder.bytes("runs/sensitivity/sensitivities.safetensors"));
    for direction in DIRECTIONS {
        let quoted = format!("\"{direction}\"");
        let rows: Vec<_> = ranking.iter().filter(|row| row[0] == quoted).collect();
        assert_eq!(rows.len(), 4, "{ranking:?}");
        // The score is ‖δ‖, and the first moves most.
        let delta = &deltas[&format!("sensitivity/{direction}")];
        let mut last = f64::INFINITY;
        for row in rows {
            let (sample, score): (usize, f64) = (row[2].parse().unwrap(), row[3].parse().unwrap());
            let delta = &delta[192 * sample..192 * (sample + 1)];
            let length = delta
                .iter()
                .map(|v| f64::from(*v).powi(2))
                .sum::<f64>()
                .sqrt();
            assert!((score / length - 1.0).abs() < 1e-5, "{row:?}: {length}");
            assert!(score <= last && score > 0.0, "{row:?} after {last}");
            last = score;
        }
    }

    // Along δ, the influence of the images with glasses is ‖δ‖².
    let along = "linear:runs/sensitivity/sensitivities.safetensors:sensitivity/add attr:Eyeglasses";
    let influence = [&["influence"], &SMALL[..], &["--of", along]].concat();
    folder.run("sensitivity", &influence).succeeded();
    let groups = folder.rows("runs/influence/groups.csv");
    let glasses = |sample: &str| {
        let mut rows = groups.iter();
        let row = rows.find(|row| row[1] == sample && row[2] == "\"attr:Eyeglasses\"");
        let row = row.unwrap_or_else(|| panic!("no group of {sample} in {groups:?}"));
        (row[3].clone(), row[4].parse::<f64>().unwrap())
    };
    for row in ranking.iter().filter(|row| row[0].contains("Eyeglasses")) {
        let ((images, influence), score) = (glasses(&row[2]), row[3].parse::<f64>().unwrap());
        assert_eq!(images, summary["directions"][0]["images"].to_string());
        let square = score * score;
        assert!(
            (influence / square - 1.0).abs() < 1e-3,
            "{row:?}: {influence}"
        );
    }

    // The experiment begins with the same model and predicts the same changes.
    folder.write("faces.toml", EXPERIMENT);
    folder.run("retrain", &["run", "faces.toml"]).succeeded();
    let base = Checkpoint::load(&folder.join(&job(&folder, "base-", "model.safetensors"))).unwrap();
    assert_eq!(base.ema, model.ema);
    let predicted = arrays(&folder.bytes(&job(&folder, "sensitivity-", "prediction.safetensors")));
    let ranked = DIRECTIONS.map(|direction| &deltas[&format!("sensitivity/{direction}")][..]);
    let largest = predicted["delta"]
        .iter()
        .fold(0.0f32, |most, v| v.abs().max(most));
    assert_eq!(predicted["delta"].len(), 2 * 4 * 192);
    for (predicted, ranked) in predicted["delta"].iter().zip(ranked.concat()) {
        assert!((predicted - ranked).abs() <= 1e-4 * largest);
    }

    // The table judges the prediction on both directions.
    let table = folder.run("retrain", &["table", "faces.toml"]);
    let markdown = table.succeeded().output;
    assert_eq!(markdown, folder.text("runs/faces/table/table.md"));
    for words in [
        "add attr:Eyeglasses",
        "remove attr:Blond_Hair",
        "mean-shift",
    ] {
        assert!(markdown.contains(words), "{words} is not in {markdown}");
    }
    let statistics = folder.rows("runs/faces/table/statistics.csv");
    let median = statistics[0].iter().position(|name| name == "median");
    let pooled = |row: &&Vec<String>| row[..3] == ["fine-tune", "0", "pooled"];
    let pooled: Vec<&Vec<String>> = statistics.iter().filter(pooled).collect();
    assert!(pooled.len() >= 2, "{statistics:?}");
    for row in pooled {
        let median: f64 = row[median.unwrap()].parse().unwrap();
        assert!((-1.0..=1.0).contains(&median), "{row:?}");
    }
    assert!(folder.text("runs/faces/table/index.html").contains("<svg"));
}
