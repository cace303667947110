//! Pictures of every kind that is read.

use std::path::Path;

use datasway_data::{Dataset, Selected, Selection};
use flate2::Crc;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{SIZE, answer, load, options, said};
use crate::damage::{bytes, one};
use crate::trial::{Answer, Reader};

/// A coloured gradient of 20 by 16 or 10 by 8 pixels, and files made of two of them.
const VALID: [(&str, &[u8]); 14] = [
    ("jpg", include_bytes!("../pictures/baseline.jpg")),
    ("jpg", include_bytes!("../pictures/progressive.jpg")),
    ("jpg", include_bytes!("../pictures/turned.jpg")),
    ("jpg", include_bytes!("../pictures/grey.jpg")),
    ("jpg", include_bytes!("../pictures/cmyk.jpg")),
    ("png", include_bytes!("../pictures/palette.png")),
    ("png", include_bytes!("../pictures/grey-alpha.png")),
    ("png", include_bytes!("../pictures/sixteen.png")),
    ("png", include_bytes!("../pictures/animated.png")),
    ("bmp", include_bytes!("../pictures/plain.bmp")),
    ("bmp", include_bytes!("../pictures/palette.bmp")),
    ("webp", include_bytes!("../pictures/lossy.webp")),
    ("webp", include_bytes!("../pictures/lossless.webp")),
    ("webp", include_bytes!("../pictures/animated.webp")),
];
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The picture is whole but for its end, with or without an end mark put there: it must be refused.
const CUT: u8 = 0x80;
/// Bytes at the end of a JPEG without which nothing of the picture may be missing.
const PADDING: usize = 16;
/// Where a JPEG ends.
const JPEG_END: [u8; 2] = [0xff, 0xd9];

/// A small PNG.
pub fn png() -> &'static [u8] {
    VALID[7].1
}

/// Reads pictures as a selection and in a folder.
pub struct Pictures {
    faces: Dataset,
    valid: Vec<Vec<u8>>,
}

impl Pictures {
    /// The first byte of an input is the place in [`VALID`], for the name's ending.
    pub fn new(_: &Path) -> Self {
        std::fs::create_dir("pictures").expect("the folder is ours");
        let faces = load("faces:2", &options()).expect("faces are drawn");
        // Some kinds may be refused even if whole; they are damaged nonetheless.
        let readable =
            |&(i, _): &(usize, &(&str, &[u8]))| read(&faces, VALID[i].0, VALID[i].1).is_ok();
        let valid = VALID.iter().enumerate().filter(readable);
        let valid = valid.map(|(i, (_, bytes))| named(i, bytes)).collect();
        Self { faces, valid }
    }
}

fn named(i: usize, bytes: &[u8]) -> Vec<u8> {
    [&[i as u8], bytes].concat()
}

fn read(faces: &Dataset, ending: &str, bytes: &[u8]) -> Result<Dataset, String> {
    let path = format!("pictures/picture.{ending}");
    std::fs::write(&path, bytes).expect("the folder is ours");
    let alone = Selection::parse(&format!("image:{path}")).map_err(said)?;
    let alone = alone.resolve(faces, &options()).map_err(said);
    let together = load("folder:pictures", &options());
    std::fs::remove_file(path).expect("the folder is ours");
    match (alone?, together?) {
        (Selected::External(alone), together) if alone.image(0) == together.image(0) => {
            Ok(together)
        }
        _ => panic!("a picture is read in two ways"),
    }
}

/// A picture that was cut.
fn cut(rng: &mut ChaCha8Rng, i: usize) -> Vec<u8> {
    let (ending, whole) = VALID[i];
    let sealed = ending == "jpg" && rng.random();
    let end = if sealed {
        whole.len() - PADDING
    } else {
        whole.len()
    };
    let mut damaged = whole[..rng.random_range(0..end)].to_vec();
    if sealed {
        damaged.extend(JPEG_END);
    }
    named(i | usize::from(CUT), &damaged)
}

/// Gives every chunk of a PNG the checksum that it should have, as far as there are chunks.
fn reseal(png: &mut [u8]) {
    let mut at = PNG.len();
    while let Some(length) = png.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        let (start, end) = (at + 4, at + 8 + length);
        if png.len() < end + 4 {
            return;
        }
        let mut crc = Crc::new();
        crc.update(&png[start..end]);
        png[end..end + 4].copy_from_slice(&crc.sum().to_be_bytes());
        at = end + 4;
    }
}

impl Reader for Pictures {
    fn valid(&self) -> &[Vec<u8>] {
        &self.valid
    }

    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let i = rng.random_range(0..VALID.len());
        if rng.random_bool(0.1) {
            return cut(rng, i);
        }
        let (_, other) = one(rng, &VALID);
        let mut damaged = bytes::damage(rng, VALID[i].1.to_vec(), other);
        if damaged.starts_with(PNG) && rng.random() {
            reseal(&mut damaged);
        }
        named(i, &damaged)
    }

    fn read(&mut self, input: &[u8]) -> Answer {
        let (ending, _) = VALID[usize::from(input[0] & !CUT) % VALID.len()];
        match read(&self.faces, ending, &input[1..]) {
            Ok(_) if input[0] & CUT != 0 => Answer::Nonsense("a picture that was cut".into()),
            Ok(set) if set.shape.dim() != 3 * SIZE * SIZE => {
                Answer::Nonsense(format!("images have another shape: {:?}", set.shape))
            }
            set => answer(set),
        }
    }
}
