//! Networks of NVlabs/edm.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, TensorData};
use datasway_pretrained::edm::{EdmConfig, EdmModel, Wrapper, iddpm_levels};
use serde_json::Value;

use crate::case::{Case, cases, check_neighbours};

const FILE: &str = "edm.safetensors";

/// The arguments, the weights and the class of a case. The table of iDDPM follows from the arguments.
fn parts(case: &Case) -> (Value, BTreeMap<String, TensorData>, Option<usize>) {
    let arguments = case.config["file"].clone();
    let mut weights = case.weights();
    if let Wrapper::Iddpm(iddpm) = &config(&arguments).wrapper {
        let levels = iddpm_levels(iddpm.c_1, iddpm.c_2, iddpm.steps);
        let count = levels.len();
        weights.insert("u".to_owned(), TensorData::new(levels, [count]));
    }
    let class = case.config["class"].as_u64().map(|class| class as usize);
    (arguments, weights, class)
}

fn config(arguments: &Value) -> EdmConfig {
    serde_json::from_value(arguments.clone()).unwrap()
}

fn model(case: &Case, dtype: DType) -> EdmModel {
    let (arguments, weights, class) = parts(case);
    let model = EdmModel::new(&config(&arguments), weights, class, &Device::flex(), dtype);
    model.unwrap_or_else(|error| panic!("{}: {error}", case.name))
}

#[test]
fn denoisers_and_derivatives_of_edm_are_those_of_the_library() {
    for case in cases(FILE) {
        case.check(&model(&case, DType::F64).denoiser, DType::F64, 1e-9);
        case.check(&model(&case, DType::F32).denoiser, DType::F32, 1e-4);
    }
}

#[test]
fn every_argument_of_edm_changes_the_result() {
    check_neighbours(&cases(FILE));
}
