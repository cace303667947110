//! Experiment files, and the jobs that one comes to.

use std::path::Path;

use datasway_retraining::prepared::{RunEnvironment, prepare};
use datasway_retraining::spec::Experiment;
use rand_chacha::ChaCha8Rng;

use super::{SIZE, said};
use crate::damage::{one, text};
use crate::trial::{Answer, Reader};

/// An experiment of every kind of entry.
const EVERYTHING: &str = include_str!("../experiment.toml");
/// Its data, which are drawn in no time.
const DATA: &str = "faces:24";
/// The file that is read.
const FILE: &str = "damaged.toml";

/// Reads experiments and plans those of few small images.
pub struct Experiments {
    texts: Vec<String>,
    valid: Vec<Vec<u8>>,
}

impl Experiments {
    /// The experiments that are published, and one of every kind of entry.
    pub fn new(_: &Path) -> Self {
        let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
        let entries = std::fs::read_dir(published).expect("the published experiments");
        let paths = entries.map(|entry| entry.expect("a file").path());
        let mut paths: Vec<_> = paths
            .filter(|path| path.extension().is_some_and(|e| e == "toml"))
            .collect();
        paths.sort();
        let read = |path| std::fs::read_to_string(path).expect("a published experiment");
        // Every other experiment is the one that is also planned.
        let mut texts: Vec<String> = paths.into_iter().map(read).collect();
        texts.extend(vec![EVERYTHING.to_owned(); texts.len()]);
        Self {
            valid: texts.iter().map(|text| text.clone().into()).collect(),
            texts,
        }
    }
}

fn plan(path: &Path) -> Result<(), String> {
    let experiment = Experiment::load(path).map_err(said)?;
    let config = experiment.config().map_err(said)?;
    config.validate().map_err(said)?;
    let network = config.own().map(|config| &config.network);
    let small = network.is_some_and(|n| n.image_size <= 2 * SIZE && n.image_channels <= 3);
    if experiment.data != DATA || !small {
        return Ok(());
    }
    let environment = RunEnvironment {
        data: None,
        cache: "cache".into(),
        device: "flex".into(),
        progress: None,
    };
    let prepared = prepare(experiment, &environment).map_err(said)?;
    datasway_retraining::jobs::plan(&prepared)
        .map(drop)
        .map_err(said)
}

impl Reader for Experiments {
    fn valid(&self) -> &[Vec<u8>] {
        &self.valid
    }

    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let (experiment, other) = (one(rng, &self.texts), one(rng, &self.texts));
        text::damage(rng, experiment, other)
    }

    fn read(&mut self, input: &[u8]) -> Answer {
        std::fs::write(FILE, input).expect("the folder is ours");
        match plan(Path::new(FILE)) {
            Ok(()) => Answer::Read,
            Err(message) => Answer::Refused(message),
        }
    }
}
