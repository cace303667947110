//! The sidecar `datasway.toml` of a model of another library.

use std::path::Path;

use datasway_training::sidecar::{SIDECAR, Sidecar};
use rand_chacha::ChaCha8Rng;

use super::said;
use crate::damage::text;
use crate::trial::{Answer, Reader};

/// A sidecar with every key.
const FULL: &str = r#"data = "folder:photos"
limit = 500
skip_bad = true
crop = "center"
filter = "bilinear"
flip = true
pixels = "[-1, 1]"
class = 3
guidance = 1.5
data_fingerprint = "8109fd87d3a33a266fd8f6e9d4b7fa31"
model_fingerprint = "c0777524e99384bac18f4f183c2f03c6"

[scheduler]
_class_name = "DDPMScheduler"
beta_start = 0.0001
beta_end = 0.02
trained_betas = [0.1, 0.2]

[training]
base = "models/faces"
steps = 7
seed = 1
noise = { mean = -1.2, std = 1.2 }
"#;
/// One that says little.
const SHORT: &str = "data = \"faces:60\"\n";

/// Reads sidecars.
pub struct Sidecars {
    valid: Vec<Vec<u8>>,
}

impl Sidecars {
    /// A full and a short one.
    pub fn new(_: &Path) -> Self {
        Self {
            valid: [FULL, SHORT].map(|text| text.as_bytes().to_vec()).to_vec(),
        }
    }
}

impl Reader for Sidecars {
    fn valid(&self) -> &[Vec<u8>] {
        &self.valid
    }

    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        text::damage(rng, FULL, SHORT)
    }

    fn read(&mut self, input: &[u8]) -> Answer {
        std::fs::write(SIDECAR, input).expect("the folder is ours");
        let folder = Path::new(".");
        let sidecar = match Sidecar::read(folder).map_err(said) {
            Ok(Some(sidecar)) => sidecar,
            Ok(None) => return Answer::Nonsense("the file is not found".to_owned()),
            Err(message) if !message.contains(SIDECAR) => {
                return Answer::Nonsense(format!("the message names no file: {message}"));
            }
            Err(message) => return Answer::Refused(message),
        };
        // It is written as it was read.
        let again = sidecar.write(folder).and_then(|()| Sidecar::read(folder));
        match again {
            Ok(Some(again)) if again == sidecar => Answer::Read,
            Ok(_) => Answer::Nonsense("it is written in another way".to_owned()),
            Err(error) => Answer::Nonsense(format!("what is written cannot be read: {error}")),
        }
    }
}
