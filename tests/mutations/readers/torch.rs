//! Weights of `torch.save`.

use std::path::Path;

use rand_chacha::ChaCha8Rng;

use super::{largest, said};
use crate::damage::bytes;
use crate::trial::{Answer, Reader};

/// The file that is read.
const FILE: &str = "weights.bin";
/// Tensors of every type and layout.
const TENSORS: &[u8] =
    include_bytes!("../../../crates/datasway-pretrained/tests/data/torch/tensors.bin");
/// A file that is refused.
const CODE: &[u8] = include_bytes!("../../../crates/datasway-pretrained/tests/data/torch/code.bin");

/// Reads files of weights as `--checkpoint` does.
pub struct TorchFiles {
    valid: Vec<Vec<u8>>,
}

impl TorchFiles {
    /// A small file.
    pub fn new(_: &Path) -> Self {
        Self {
            valid: vec![TENSORS.to_vec()],
        }
    }
}

impl Reader for TorchFiles {
    fn valid(&self) -> &[Vec<u8>] {
        &self.valid
    }

    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        bytes::damage(rng, self.valid[0].clone(), CODE)
    }

    fn read(&mut self, input: &[u8]) -> Answer {
        std::fs::write(FILE, input).expect("the folder is ours");
        let tensors = datasway_pretrained::weights::read(Path::new(FILE)).map_err(said);
        match tensors.map(|tensors| largest(tensors.iter())) {
            Ok(Ok(_)) => Answer::Read,
            Ok(Err(why)) => Answer::Nonsense(why),
            Err(message) => Answer::Refused(message),
        }
    }
}
