//! Networks of NVlabs/edm.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Device, TensorData};
use datasway_pretrained::edm::{
    CONFIG_FILE, EdmConfig, EdmModel, WEIGHTS_FILE, Wrapper, iddpm_levels, is_edm,
};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::case::{Case, cases, check_adjoint, check_neighbours};

const FILE: &str = "edm.safetensors";

/// The arguments, the weights and the class of a case. The table of iDDPM follows from the arguments.
pub fn parts(case: &Case) -> (Value, BTreeMap<String, TensorData>, Option<usize>) {
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

pub fn config(arguments: &Value) -> EdmConfig {
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
        case.check(&model(&case, DType::F64).denoiser(), DType::F64, 1e-9);
        case.check(&model(&case, DType::F32).denoiser(), DType::F32, 1e-4);
    }
}

#[test]
fn products_of_edm_with_transposed_jacobians_are_adjoint() {
    for name in [
        "ddpmpp-edm",
        "song-skips-filter",
        "ncsnpp-ve",
        "adm-class",
        "tiny",
    ] {
        let model = model(&case(name), DType::F64).denoiser();
        check_adjoint(name, &model, DType::F64, 1e-10);
    }
}

#[test]
fn every_argument_of_edm_changes_the_result() {
    check_neighbours(&cases(FILE));
}

/// A folder as `scripts/edm_to_safetensors.py` writes it.
fn folder(arguments: &Value, weights: BTreeMap<String, TensorData>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(CONFIG_FILE), arguments.to_string()).unwrap();
    let weights = weights.into_iter().map(|(name, data)| {
        let data = data.convert::<f32>();
        let bytes: Vec<u8> = data.iter::<f32>().flat_map(f32::to_le_bytes).collect();
        (name, data.shape().to_vec(), bytes)
    });
    let weights: Vec<(String, Vec<usize>, Vec<u8>)> = weights.collect();
    let views = weights.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (name, view)
    });
    let file = folder.path().join(WEIGHTS_FILE);
    safetensors::serialize_to_file(views, None, &file).unwrap();
    folder
}

fn case(name: &str) -> Case {
    cases(FILE)
        .into_iter()
        .find(|case| case.name == name)
        .unwrap()
}

fn load(folder: &TempDir, class: Option<usize>) -> Result<EdmModel, String> {
    let loaded = EdmModel::load(folder.path(), class, &Device::flex(), DType::F32);
    loaded.map_err(|error| error.to_string())
}

#[test]
fn a_folder_of_the_edm_script_is_loaded() {
    for name in [
        "ddpmpp-vp",
        "ncsnpp-class-augment",
        "adm-iddpm-class",
        "tiny",
    ] {
        let case = case(name);
        let (arguments, weights, class) = parts(&case);
        let folder = folder(&arguments, weights);
        assert!(is_edm(folder.path()));
        let model = load(&folder, class).unwrap();
        assert_eq!(model.shape, case.shape, "{name}");
        case.check(&model.denoiser(), DType::F32, 1e-4);
    }
}

#[test]
fn ranges_of_noise_levels_are_those_of_the_wrappers() {
    let ranges = [
        ("ddpmpp-vp", [1.0e-3, 152.2]),
        ("ddpmpp-ve", [0.02, 100.0]),
        ("ddpmpp-iddpm", [6.41e-3, 20_291.0]),
        ("ddpmpp-edm", [0.0, f64::INFINITY]),
    ];
    for (name, range) in ranges {
        let sigmas = model(&case(name), DType::F32).sigmas;
        for (ours, theirs) in sigmas.into_iter().zip(range) {
            let alike = ours == theirs || (ours / theirs - 1.0).abs() < 1e-2;
            assert!(alike, "{name}: {ours} and {theirs}");
        }
    }
}

#[test]
fn a_class_is_given_if_and_only_if_edm_needs_one() {
    let said = |name: &str, class: Option<usize>| {
        let (arguments, weights, _) = parts(&case(name));
        load(&folder(&arguments, weights), class).err().unwrap()
    };
    assert!(said("ddpmpp-edm", Some(0)).contains("no classes"));
    assert!(said("adm-class", Some(5)).contains("classes 0 to 4, and not 5"));
    assert!(said("song-class", None).contains("give a class of 0 to 4"));
    let (arguments, weights, _) = parts(&case("song-null-class"));
    let model = load(&folder(&arguments, weights), None).unwrap();
    assert_eq!((model.classes, model.null_label), (5, true));
}

#[test]
fn arguments_of_edm_that_are_missing_unknown_or_contradictory_are_named() {
    let (arguments, weights, _) = parts(&case("ddpmpp-edm"));
    let said = |change: &dyn Fn(&mut Value)| {
        let mut arguments = arguments.clone();
        change(&mut arguments);
        load(&folder(&arguments, weights.clone()), None)
            .err()
            .unwrap()
    };
    for part in ["wrapper", "network"] {
        let fields = arguments[part].as_object().unwrap().keys();
        for field in fields {
            let message = said(&|a| {
                a[part].as_object_mut().unwrap().remove(field);
            });
            assert!(
                message.contains(&format!("`{field}`")),
                "{field}: {message}"
            );
        }
        let message = said(&|a| a[part]["resample_mode"] = json!(1));
        assert!(message.contains("`resample_mode`"), "{message}");
    }
    let changes = [
        ("network", "class", json!("EDM2UNet"), "EDM2UNet"),
        ("network", "encoder_type", json!("dense"), "dense"),
        ("network", "in_channels", json!(4), "in_channels"),
        (
            "network",
            "model_channels",
            json!(1_000_000_000),
            "model_channels",
        ),
        ("network", "model_channels", json!(8192), "about"),
        ("network", "model_channels", json!(18), "groups"),
        ("network", "channel_mult", json!([]), "channel_mult"),
        (
            "network",
            "channel_mult",
            json!([1, 1, 1, 1, 1]),
            "img_resolution",
        ),
        (
            "network",
            "resample_filter",
            json!([1, 2, 1]),
            "resample_filter",
        ),
        (
            "network",
            "resample_filter",
            json!([1, -1]),
            "resample_filter",
        ),
        (
            "network",
            "num_blocks",
            json!(2),
            "lacks model.enc.8x8_block1",
        ),
        (
            "network",
            "attn_resolutions",
            json!([]),
            "beyond the network model.dec",
        ),
        ("network", "dropout", json!(2), "dropout"),
        ("wrapper", "sigma_data", json!(0), "sigma_data"),
        ("wrapper", "sigma_max", json!(0), "no range"),
        ("wrapper", "class", json!("EDMLoss"), "EDMLoss"),
    ];
    for (part, field, value, word) in changes {
        let message = said(&|a| a[part][field] = value.clone());
        assert!(message.contains(word), "{field}: {message}");
    }
}

#[test]
fn a_table_of_iddpm_that_its_arguments_do_not_give_is_refused() {
    let (mut arguments, weights, _) = parts(&case("ddpmpp-iddpm"));
    arguments["wrapper"]["C_2"] = json!(0.1);
    let message = load(&folder(&arguments, weights), None).err().unwrap();
    assert!(message.contains("C_2"), "{message}");
}

#[test]
fn a_pickle_is_not_read() {
    let path = Path::new("network-snapshot.pkl");
    let loaded = EdmModel::load(path, None, &Device::flex(), DType::F32);
    let message = loaded.err().unwrap().to_string();
    assert!(message.contains("edm_to_safetensors.py"), "{message}");
}
