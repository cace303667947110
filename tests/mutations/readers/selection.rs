//! Selections, in the words of the command line.

use std::path::Path;

use datasway_data::{Dataset, Selected, Selection};
use rand_chacha::ChaCha8Rng;

use super::{answer, idx, load, options, picture, said};
use crate::damage::{one, text};
use crate::trial::{Answer, Reader};

const VALID: [&str; 13] = [
    "all",
    "attr:Smiling",
    "attr:!Eyeglasses",
    "attr:Pale_Skin&!Smiling",
    "attr:!Blond_Hair&Smiling&!Wearing_Hat",
    "index:3",
    "index:3,7,10-11",
    "index:0-11",
    "index:11,0,4-5,4-5",
    "class:8",
    "class:0",
    "folder:pictures",
    "image:pictures/one.png",
];

/// Reads selections and finds them in two sets.
pub struct Selections {
    sets: [Dataset; 2],
    valid: Vec<Vec<u8>>,
}

impl Selections {
    /// Sets with attributes and with classes, and a folder of pictures.
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
            sets: ["mnist:mnist", "faces:64"]
                .map(|source| load(source, &options()).expect("a valid source")),
            valid: VALID.map(Into::into).to_vec(),
        }
    }
}

impl Reader for Selections {
    fn valid(&self) -> &[Vec<u8>] {
        &self.valid
    }

    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let (selection, other) = (*one(rng, &VALID), *one(rng, &VALID));
        text::damage(rng, selection, other)
    }

    fn read(&mut self, input: &[u8]) -> Answer {
        let selection = match Selection::parse(&String::from_utf8_lossy(input)) {
            Ok(selection) => selection,
            Err(error) => return Answer::Refused(said(error)),
        };
        let again = Selection::parse(&selection.to_string());
        if again.as_ref().ok() != Some(&selection) {
            return Answer::Nonsense(format!("it is not written as it is read: {again:?}"));
        }
        let mut refused = String::new();
        for set in &self.sets {
            match selection.resolve(set, &options()).map_err(said) {
                Ok(Selected::External(found)) => return answer(Ok(found)),
                Ok(Selected::Indices(found)) => {
                    let ascending = found.windows(2).all(|pair| pair[0] < pair[1]);
                    return if ascending && found.last().is_some_and(|&i| i < set.len()) {
                        Answer::Read
                    } else {
                        Answer::Nonsense("indices are not those of images".into())
                    };
                }
                Err(message) => refused = message,
            }
        }
        Answer::Refused(refused)
    }
}
