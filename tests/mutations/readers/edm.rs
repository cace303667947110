//! Folders of a network of NVlabs/edm: arguments in JSON, and weights.

use std::path::Path;

use burn::tensor::{DType, Device, Tensor};
use datasway_diffusion::denoiser::Denoiser;
use datasway_pretrained::edm::{CONFIG_FILE, EdmModel, WEIGHTS_FILE};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use serde_json::Value;

use super::{said, weights_file};
use crate::damage::{json, tensors, text, times};
use crate::trial::{Answer, Reader};

/// Golden cases, of which one is as small as such a network can be.
const CASES: &[u8] =
    include_bytes!("../../../crates/datasway-pretrained/tests/data/edm.safetensors");
/// Of as many networks that are built one is used.
const SAMPLED: usize = 20;

/// Reads folders as `--checkpoint` does. An input is the length of the arguments, the arguments and the file of weights.
pub struct EdmFolders {
    valid: Vec<Vec<u8>>,
    built: usize,
}

impl EdmFolders {
    /// The smallest network.
    pub fn new(_: &Path) -> Self {
        let (_, metadata) = SafeTensors::read_metadata(CASES).expect("golden cases");
        let cases = &metadata.metadata().as_ref().expect("cases")["cases"];
        let cases: Vec<Value> = serde_json::from_str(cases).expect("a list of cases");
        let case = cases.iter().find(|case| case["name"] == "tiny");
        let case = case.expect("the smallest case");
        let mut weights: Vec<(String, Vec<usize>)> =
            serde_json::from_value(case["weights"].clone()).expect("names and shapes");
        let steps = case["config"]["file"]["wrapper"]["M"].as_u64();
        weights.push((
            "u".to_owned(),
            vec![steps.expect("a number of steps") as usize + 1],
        ));
        let arguments = case["config"]["file"].to_string();
        Self {
            valid: vec![join(arguments.as_bytes(), &file(&weights))],
            built: 0,
        }
    }

    fn try_to_read(&mut self, input: &[u8]) -> Result<Result<(), String>, String> {
        let (arguments, weights) = split(input);
        std::fs::write(CONFIG_FILE, arguments).expect("the folder is ours");
        std::fs::write(WEIGHTS_FILE, weights).expect("the folder is ours");
        let device = Device::flex();
        let model = EdmModel::load(Path::new("."), Some(1), &device, DType::F32).map_err(said)?;
        let [c, h, w] = model.shape;
        let ([smallest, largest], classes) = (model.sigmas, model.classes);
        let denoiser = model.denoiser();
        if c * h * w == 0 || denoiser.dim() != c * h * w || classes < 2 {
            return Ok(Err(format!("pictures of shape {:?}", [c, h, w])));
        }
        if smallest.is_nan() || smallest >= largest {
            return Ok(Err(format!("noise levels from {smallest} to {largest}")));
        }
        self.built += 1;
        if self.built % SAMPLED == 1 && c * h * w < 10_000 {
            let x = Tensor::<2>::ones([1, c * h * w], &device);
            denoiser.denoise(x, 1.0).map_err(said)?;
        }
        Ok(Ok(()))
    }
}

impl Reader for EdmFolders {
    fn valid(&self) -> &[Vec<u8>] {
        &self.valid
    }

    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let (arguments, weights) = split(&self.valid[0]);
        if rng.random_bool(0.4) {
            let weights = tensors::damage(rng, weights, weights, "");
            return join(arguments, &weights);
        }
        if rng.random_bool(0.1) {
            let written = String::from_utf8_lossy(arguments);
            return join(&text::damage(rng, &written, &written), weights);
        }
        let mut arguments: Value = serde_json::from_slice(arguments).expect("valid arguments");
        for _ in 0..times(rng) {
            json::damage(rng, &mut arguments);
        }
        join(arguments.to_string().as_bytes(), weights)
    }

    fn read(&mut self, input: &[u8]) -> Answer {
        match self.try_to_read(input) {
            Ok(Ok(())) => Answer::Read,
            Ok(Err(why)) => Answer::Nonsense(why),
            Err(message) => Answer::Refused(message),
        }
    }
}

/// A file of weights. The noise levels of iDDPM are those of its arguments.
fn file(weights: &[(String, Vec<usize>)]) -> Vec<u8> {
    let steps = weights.iter().find(|(name, _)| name == "u");
    let steps = steps.map_or(1, |(_, shape)| shape[0]);
    let levels = datasway_pretrained::edm::iddpm_levels(0.001, 0.008, steps - 1);
    weights_file(weights, |name, i| match name {
        "u" => levels[i] as f32,
        _ => (i as f32).sin(),
    })
}

fn join(arguments: &[u8], weights: &[u8]) -> Vec<u8> {
    let mut input = (arguments.len() as u64).to_le_bytes().to_vec();
    input.extend(arguments);
    input.extend(weights);
    input
}

fn split(input: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = input.split_at(8);
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes"));
    rest.split_at(length as usize)
}
