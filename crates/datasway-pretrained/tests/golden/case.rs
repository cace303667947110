//! Golden cases, drawn as `scripts/fixtures/golden.py` draws them.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use safetensors::SafeTensors;
use serde::Deserialize;

/// Number of projections of a result.
const PROBES: usize = 16;

/// A small network with drawn weights, and the results of its library.
pub struct Case {
    /// Name of the case.
    pub name: String,
    /// Configuration, as its library writes it.
    pub config: serde_json::Value,
    /// Channels, height and width of a picture.
    pub shape: [usize; 3],
    /// Names and shapes of the weights.
    weights: Vec<(String, Vec<usize>)>,
    /// Noise levels.
    sigmas: Vec<f64>,
    /// Another case, from which one field differs.
    neighbour: Option<String>,
    /// Projections of `D(x, σ)`, `[σ, probe]`.
    denoised: Vec<f64>,
    /// Projections of `J·v`, `[σ, probe]`.
    derivative: Vec<f64>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    config: serde_json::Value,
    weights: Vec<(String, Vec<usize>)>,
    /// Weights of the neighbour that the case lacks. If they are listed, `weights` are only those that the neighbour lacks.
    without: Option<Vec<String>>,
    shape: [usize; 3],
    sigmas: Vec<f64>,
    neighbour: Option<String>,
}

/// The cases of a file of tests/data.
pub fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(file);
    let bytes = std::fs::read(&path).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let headers = &metadata.metadata().as_ref().unwrap()["cases"];
    let mut headers: Vec<Header> = serde_json::from_str(headers).unwrap();
    for i in 0..headers.len() {
        complete(&mut headers, i);
    }
    let arrays = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |name: String| numbers(&arrays, &name);
    let case = |header: Header| Case {
        denoised: numbers(format!("{}/denoised", header.name)),
        derivative: numbers(format!("{}/derivative", header.name)),
        name: header.name,
        config: header.config,
        shape: header.shape,
        weights: header.weights,
        sigmas: header.sigmas,
        neighbour: header.neighbour,
    };
    headers.into_iter().map(case).collect()
}

/// Adds the weights that a case shares with its neighbour.
fn complete(headers: &mut [Header], index: usize) {
    let Some(without) = headers[index].without.take() else {
        return;
    };
    let name = headers[index].neighbour.clone();
    let neighbour = headers.iter().position(|h| Some(&h.name) == name.as_ref());
    let neighbour = neighbour.unwrap();
    complete(headers, neighbour);
    let mut weights: BTreeMap<_, _> = headers[neighbour].weights.iter().cloned().collect();
    weights.retain(|name, _| !without.contains(name));
    weights.extend(std::mem::take(&mut headers[index].weights));
    headers[index].weights = weights.into_iter().collect();
}

impl Case {
    /// The drawn weights by name.
    pub fn weights(&self) -> BTreeMap<String, TensorData> {
        let weights = self.weights.iter();
        weights
            .map(|(name, shape)| {
                let values: Vec<f32> = weight(name, shape);
                (name.clone(), TensorData::new(values, shape.clone()))
            })
            .collect()
    }

    /// Compares D and J·v at every noise level, relative to the largest projection there.
    #[track_caller]
    pub fn check(&self, denoiser: &dyn Denoiser, dtype: DType, tolerance: f64) {
        let d: usize = self.shape.iter().product();
        let device = Device::flex();
        let tensor = |values: Vec<f64>, shape: &[usize]| TensorData::new(values, shape.to_vec());
        let x: Tensor<2> = Tensor::from_data(tensor(uniform("x", d), &[1, d]), (&device, dtype));
        let v: Tensor<3> = Tensor::from_data(tensor(uniform("v", d), &[1, 1, d]), (&device, dtype));
        let probes = uniform("probes", PROBES * d);
        let project = |values: TensorData| -> Vec<f64> {
            let values: Vec<f64> = values.convert::<f64>().try_into_vec::<f64>().unwrap();
            let rows = probes.chunks_exact(d);
            rows.map(|row| row.iter().zip(&values).map(|(a, b)| a * b).sum())
                .collect()
        };
        for (i, sigma) in self.sigmas.iter().enumerate() {
            let point = x.clone() * (1.0 + sigma);
            let (denoised, derivative) = denoiser.jvp(point, *sigma, v.clone()).unwrap();
            let results = [
                ("D", denoised.into_data(), &self.denoised),
                ("J·v", derivative.into_data(), &self.derivative),
            ];
            for (what, ours, theirs) in results {
                let theirs = &theirs[i * PROBES..][..PROBES];
                let size = theirs.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
                let error = largest_difference(&project(ours), theirs) / size;
                assert!(
                    error <= tolerance,
                    "{}: {what} at σ = {sigma} differs by {error:e}, allowed {tolerance:e}",
                    self.name
                );
            }
        }
    }
}

/// Checks `⟨c, J·v⟩ = ⟨Jᵀ·c, v⟩` in the point, and with `g = J_θᵀ·c` also `⟨c, J_θ·g⟩ = |g|²` in the weights.
#[track_caller]
pub fn check_adjoint(name: &str, model: &dyn LearnedDenoiser, dtype: DType, tolerance: f64) {
    let (d, sigma) = (model.dim(), 0.9);
    let draw = |factor: f64| {
        let values: Vec<f64> = (0..d).map(|i| (factor * i as f64).sin()).collect();
        let values = TensorData::new(values, [1, 1, d]);
        Tensor::<3>::from_data(values, (&Device::flex(), dtype))
    };
    let total = |t: Tensor<3>| t.sum().into_data().iter::<f64>().next().unwrap();
    let (x, v, c) = (draw(0.7).squeeze_dim::<2>(0), draw(1.3), draw(2.9));
    let (_, forward) = model.jvp(x.clone(), sigma, v.clone()).unwrap();
    let (_, backward) = model.vjp(x.clone(), sigma, c.clone()).unwrap();
    let gradient = model
        .vjp_in_weights(x.clone(), &[sigma], c.clone())
        .unwrap();
    let (_, moved) = model
        .jvp_with_weights(x, &[sigma], None, &gradient)
        .unwrap();
    let square = gradient.dot(&gradient)[0];
    assert!(square > 0.0, "{name}: no weight has a gradient");
    for (what, left, right) in [
        ("points", total(c.clone() * forward), total(backward * v)),
        ("weights", total(c * moved), square),
    ] {
        assert!(
            (left - right).abs() <= tolerance * left.abs().max(1.0),
            "{name}: {left} and {right} in {what}"
        );
    }
}

/// Checks that a case differs from its neighbour by ten times the tolerance in single precision of [`Case::check`], so that a field that is not honoured
/// is noticed.
pub fn check_neighbours(cases: &[Case]) {
    for case in cases {
        let Some(neighbour) = &case.neighbour else {
            continue;
        };
        let neighbour = cases.iter().find(|other| other.name == *neighbour).unwrap();
        let size = case.denoised.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        let difference = largest_difference(&case.denoised, &neighbour.denoised) / size;
        assert!(
            difference > 1e-3,
            "{} is {} to {difference:e}",
            case.name,
            neighbour.name
        );
    }
}

/// The largest difference of two lists; not a number if one of them holds such.
pub fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    // A difference that is not a number must not be lost.
    differences.fold(0.0, |m, d| if d > m || d.is_nan() { d } else { m })
}

fn weight(name: &str, shape: &[usize]) -> Vec<f32> {
    let values = uniform(name, shape.iter().product());
    let (offset, scale) = match shape {
        [_] | [] if name.ends_with("weight") => (1.0, 0.3),
        [_] | [] => (0.0, 0.3),
        [_, fan_in @ ..] => (0.0, (3.0 / fan_in.iter().product::<usize>() as f64).sqrt()),
    };
    values
        .into_iter()
        .map(|u| (offset + scale * u) as f32)
        .collect()
}

/// The numbers of an array in double precision.
pub fn numbers(arrays: &SafeTensors<'_>, name: &str) -> Vec<f64> {
    let bytes = arrays.tensor(name).unwrap().data().chunks_exact(8);
    bytes
        .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

/// Numbers of [-1, 1): splitmix64 from the FNV-1a hash of the name.
pub fn uniform(name: &str, count: usize) -> Vec<f64> {
    let mut state = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ z >> 31) >> 11) as f64 * 2.0_f64.powi(-52) - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}
