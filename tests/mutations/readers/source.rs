//! Sources of images, in the words of the command line.

use std::path::Path;

use datasway_data::{LoadOptions, Source};
use rand_chacha::ChaCha8Rng;

use super::{answer, idx, options, picture, said};
use crate::damage::{one, text};
use crate::trial::{Answer, Reader};

const VALID: [&str; 7] = [
    "faces:12",
    "faces:120@3",
    "mnist:mnist",
    "mnist",
    "folder:pictures",
    "pictures",
    "folder:./pictures",
];
/// Of a set that is too large to draw the first images are enough.
const LIMIT: usize = 4;

/// Reads sources and loads their first images.
pub struct Sources {
    valid: Vec<Vec<u8>>,
}

impl Sources {
    /// One folder of each kind.
    pub fn new(_: &Path) -> Self {
        for folder in ["pictures", "mnist"] {
            std::fs::create_dir(folder).expect("the folder is ours");
        }
        std::fs::write("pictures/one.png", picture::png()).expect("the folder is ours");
        let [images, labels] = idx::twelve();
        for (name, bytes) in [("images-idx3", images), ("labels-idx1", labels)] {
            let path = format!("mnist/train-{name}-ubyte");
            std::fs::write(path, bytes).expect("the folder is ours");
        }
        Self {
            valid: VALID.map(Into::into).to_vec(),
        }
    }
}

impl Reader for Sources {
    fn valid(&self) -> &[Vec<u8>] {
        &self.valid
    }

    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let (source, other) = (*one(rng, &VALID), *one(rng, &VALID));
        text::damage(rng, source, other)
    }

    fn read(&mut self, input: &[u8]) -> Answer {
        let source = match Source::parse(&String::from_utf8_lossy(input)) {
            Ok(source) => source,
            Err(error) => return Answer::Refused(said(error)),
        };
        match Source::parse(&source.to_string()) {
            Ok(again) if again == source => {}
            other => {
                return Answer::Nonsense(format!("it is not written as it is read: {other:?}"));
            }
        }
        let options = LoadOptions {
            limit: Some(LIMIT),
            ..options()
        };
        answer(datasway_data::load(&source, &options).map_err(said))
    }
}
