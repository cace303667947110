//! Results of an experiment's jobs.

use std::collections::BTreeMap;
use std::path::Path;

use datasway_fs::arrays::{self, Array};
use rand_chacha::ChaCha8Rng;

use super::said;
use crate::damage::{one, tensors};
use crate::trial::{Answer, Reader};

/// The file that is read.
const FILE: &str = "result.safetensors";

/// Reads results.
pub struct Results {
    valid: Vec<Vec<u8>>,
}

impl Results {
    /// Samples, and predictions with a cost.
    pub fn new(_: &Path) -> Self {
        let array = |shape: &[usize]| Array {
            values: (0..shape.iter().product())
                .map(|i: usize| i as f32)
                .collect(),
            shape: shape.to_vec(),
        };
        let written = |arrays: &[(&str, &[usize])]| {
            let named = arrays
                .iter()
                .map(|(name, shape)| ((*name).to_owned(), array(shape)));
            let named: BTreeMap<_, _> = named.collect();
            arrays::write(Path::new(FILE), &named).expect("the folder is ours");
            std::fs::read(FILE).expect("it was written")
        };
        Self {
            valid: vec![
                written(&[("samples", &[4, 192])]),
                written(&[
                    ("delta", &[2, 4, 12]),
                    ("max_log_ratio", &[2, 4]),
                    ("cost", &[3]),
                ]),
            ],
        }
    }
}

impl Reader for Results {
    fn valid(&self) -> &[Vec<u8>] {
        &self.valid
    }

    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let (file, other) = (one(rng, &self.valid), one(rng, &self.valid));
        tensors::damage(rng, file, other, "datasway")
    }

    fn read(&mut self, input: &[u8]) -> Answer {
        std::fs::write(FILE, input).expect("the folder is ours");
        match arrays::read(Path::new(FILE)).map_err(said) {
            Ok(arrays) => {
                let fits = |array: &Array| {
                    let size = array
                        .shape
                        .iter()
                        .try_fold(1, |a: usize, &b| a.checked_mul(b));
                    size == Some(array.values.len())
                };
                match arrays.iter().find(|(_, array)| !fits(array)) {
                    Some((name, array)) => Answer::Nonsense(format!(
                        "numbers do not fill their shape: {name} holds {} in {:?}",
                        array.values.len(),
                        array.shape
                    )),
                    None => Answer::Read,
                }
            }
            Err(message) => Answer::Refused(message),
        }
    }
}
