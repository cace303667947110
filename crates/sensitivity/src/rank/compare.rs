//! `--compare FOLDER`: the sensitivities of an earlier run of the same samples by another form.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, ensure};
use burn::tensor::Device;
use datasway_diffusion::sampler::FrozenNoise;
use datasway_fs::arrays;
use datasway_fs::plural;
use datasway_sensitivity::{Direction, SensitivityConfig};
use serde::Serialize;
use serde_json::Value;

use crate::run_info::RunInfo;

/// Largest size of a summary, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// Fields that decide the samples, in `run` of `summary.json`.
const SAMPLES: [&str; 8] = [
    "fingerprint",
    "training_step",
    "model_fingerprint",
    "sampler",
    "steps",
    "sigma_min",
    "sigma_max",
    "seed",
];

/// Fields that decide the form of the derivative.
const FORM: [&str; 5] = ["through", "density", "bandwidth", "mass", "linearizations"];

/// δ of an earlier run.
pub struct EarlierRun {
    /// Form of the compared run.
    pub form: ComparedForm,
    /// δ for each direction, `[n·d]`.
    pub deltas: Vec<Vec<f32>>,
}

/// The run that was compared, in `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedForm {
    folder: PathBuf,
    through: Value,
    density: Value,
    bandwidth: Value,
    mass: Value,
    linearizations: Value,
}

impl ComparedForm {
    /// The form and the folder in one line.
    pub fn text(&self) -> String {
        let words = [&self.through, &self.density, &self.bandwidth];
        let words = words.into_iter().filter(|word| !word.is_null());
        let words = words.map(|word| {
            word.as_str()
                .map_or_else(|| word.to_string(), str::to_owned)
        });
        let mass = self.mass.as_f64().map(|mass| format!("mass {mass}"));
        let several = self.linearizations.as_u64().filter(|times| *times > 1);
        let several = several.map(|times| plural(times as usize, "linearization"));
        let words: Vec<String> = words.chain(mass).chain(several).collect();
        format!("{} (through {})", self.folder.display(), words.join(", "))
    }
}

impl EarlierRun {
    /// Reads δ of the run in `folder` for all directions. `info` is that of the new run, whose samples have d entries.
    ///
    /// # Errors
    /// If the folder holds no run of another form with the same model, samples and directions.
    pub fn read(
        folder: &Path,
        info: &RunInfo,
        directions: &[Direction],
        config: &SensitivityConfig,
        (d, device): (usize, &Device),
    ) -> Result<Self> {
        let form = read_form(folder, info)?;
        let path = folder.join("sensitivities.safetensors");
        let place = path.display();
        let mut stored = arrays::read(&path)?;
        let n = config.samples;
        let mut take = |name: &str| -> Result<Vec<f32>> {
            let array = stored.remove(name).ok_or_else(|| {
                anyhow!("{place}: has no {name}: compare with a run of the same --add and --remove")
            })?;
            ensure!(
                array.shape == [n, d],
                "{place}: {name} has the shape {:?}, and this run has {} of {d} entries: compare with a run of the same samples",
                array.shape,
                plural(n, "sample")
            );
            Ok(array.values)
        };
        let noise = config
            .start
            .rows(&FrozenNoise::new(config.seed), [n, d], device)?;
        let noise: Vec<f32> = noise.into_data().iter::<f32>().collect();
        ensure!(
            take("noise")? == noise,
            "{place}: its samples start from other noise: compare with a run of the same samples"
        );
        let deltas = directions
            .iter()
            .map(|direction| take(&format!("sensitivity/{direction}")));
        Ok(Self {
            form,
            deltas: deltas.collect::<Result<_>>()?,
        })
    }
}

/// The form of the run in a folder, if its samples are those of the new run and its form is another.
fn read_form(folder: &Path, info: &RunInfo) -> Result<ComparedForm> {
    let path = folder.join("summary.json");
    let place = path.display();
    ensure!(
        path.is_file(),
        "--compare {}: has no summary.json: name the folder of a run of `sensitivity`",
        folder.display()
    );
    let bytes = datasway_fs::read(&path, MAX_BYTES)?;
    let summary: Value = serde_json::from_slice(&bytes).map_err(|error| {
        anyhow!("{place}: is not the summary.json of a run of `sensitivity` ({error})")
    })?;
    let earlier = &summary["run"];
    let new = serde_json::to_value(info)?;
    for name in SAMPLES {
        ensure!(
            earlier[name] == new[name],
            "{place}: its {name} is {} and that of this run is {}: compare with a run of the same samples",
            earlier[name],
            new[name]
        );
    }
    ensure!(
        FORM.iter().any(|name| earlier[name] != new[name]),
        "{place}: is of the form of this run, with which it would agree by itself: compare --through weights with a run through the data, --mass with a run without, or with another number of --linearizations"
    );
    let [through, density, bandwidth, mass, linearizations] =
        FORM.map(|name| earlier[name].clone());
    Ok(ComparedForm {
        folder: folder.to_owned(),
        through,
        density,
        bandwidth,
        mass,
        linearizations,
    })
}
