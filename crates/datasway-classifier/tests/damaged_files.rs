//! A classifier's file that is damaged, lies or was made by another program is converted with a notice or refused in a sentence.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, TensorData};
use datasway_classifier::{ClassifierCheckpoint, ClassifierConfig, ClassifierTrainer};
use datasway_data::{Dataset, LoadOptions, Source};
use serde_json::{Value, json};

fn faces() -> Dataset {
    let options = LoadOptions {
        size: Some(8),
        ..LoadOptions::default()
    };
    datasway_data::load(&Source::parse("faces:30").unwrap(), &options).unwrap()
}

fn config() -> ClassifierConfig {
    ClassifierConfig {
        steps: 6,
        channels: 8,
        batch: 4,
        ..ClassifierConfig::default()
    }
}

/// A classifier after two of six steps.
fn saved(images: &Dataset) -> ClassifierCheckpoint {
    let mut trainer = ClassifierTrainer::new(config(), images, &Device::flex()).unwrap();
    trainer.advance().unwrap();
    trainer.advance().unwrap();
    trainer.save().unwrap()
}

fn bytes(saved: &ClassifierCheckpoint) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("classifier.safetensors");
    saved.write(&path).unwrap();
    std::fs::read(path).unwrap()
}

fn read(bytes: &[u8]) -> Result<ClassifierCheckpoint, String> {
    ClassifierCheckpoint::from_bytes(bytes, Path::new("classifier.safetensors")).map_err(|error| {
        let error = error.to_string();
        assert!(error.starts_with("classifier.safetensors: "), "{error}");
        assert!(
            error.chars().count() < 2000 && !error.contains(char::is_control),
            "{error}"
        );
        error
    })
}

/// A file without its checksum, to be changed as another program would.
#[derive(Clone)]
struct Raw {
    header: Value,
    /// Type, shape and bytes.
    tensors: BTreeMap<String, (String, Value, Vec<u8>)>,
}

impl Raw {
    fn of(bytes: &[u8]) -> Self {
        let body = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let names: BTreeMap<String, Value> = serde_json::from_slice(&bytes[8..body]).unwrap();
        let header = names["__metadata__"]["datasway-classifier"]
            .as_str()
            .unwrap();
        let mut tensors = BTreeMap::new();
        for (name, info) in &names {
            if ["__metadata__", "checksum"].contains(&name.as_str()) {
                continue;
            }
            let place = |i: usize| body + info["data_offsets"][i].as_u64().unwrap() as usize;
            let dtype = info["dtype"].as_str().unwrap().to_owned();
            let values = bytes[place(0)..place(1)].to_vec();
            tensors.insert(name.clone(), (dtype, info["shape"].clone(), values));
        }
        Self {
            header: serde_json::from_str(header).unwrap(),
            tensors,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut names =
            json!({ "__metadata__": { "datasway-classifier": self.header.to_string() } });
        let mut body = Vec::new();
        for (name, (dtype, shape, part)) in &self.tensors {
            let start = body.len();
            body.extend_from_slice(part);
            names[name] =
                json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, body.len()] });
        }
        let names = names.to_string();
        [&(names.len() as u64).to_le_bytes(), names.as_bytes(), &body].concat()
    }
}

/// Files of earlier versions have their header in the metadata entry `sway-classifier`.
#[test]
fn a_file_of_an_earlier_version_is_read() {
    let original = Raw::of(&bytes(&saved(&faces()))).bytes();
    let body = 8 + u64::from_le_bytes(original[..8].try_into().unwrap()) as usize;
    let names = std::str::from_utf8(&original[8..body]).unwrap();
    let names = names.replace("{\"datasway-classifier\":", "{\"sway-classifier\":");
    let length = (names.len() as u64).to_le_bytes();
    let earlier = [&length, names.as_bytes(), &original[body..]].concat();
    assert_ne!(earlier, original);
    assert_eq!(
        read(&earlier).unwrap().header,
        read(&original).unwrap().header
    );
}

#[test]
fn what_a_header_says_is_checked_before_anything_is_built() {
    let original = Raw::of(&bytes(&saved(&faces())));
    assert!(read(&original.bytes()).is_ok());
    let most = u64::MAX;
    let cases = [
        ("/format", json!(2), "layout 2"),
        ("/version", json!("x\ny".repeat(100_000)), ""),
        ("/other", json!(1), "header"),
        ("/step", json!(7), "after the last"),
        ("/step", json!(most), "after the last"),
        ("/shape/channels", json!(2), "1 or 3 channels"),
        ("/shape/channels", json!(1), "do not fit"),
        ("/shape/height", json!(0), "sides"),
        ("/shape/height", json!(1_000_000), "sides"),
        ("/shape/width", json!(most), "sides"),
        (
            "/shape",
            json!({ "channels": 3, "height": 32, "width": 32 }),
            "are missing",
        ),
        ("/labels/attributes", json!([]), "labels"),
        ("/labels/attributes", json!(["a", "a"]), "stands twice"),
        (
            "/labels/attributes",
            json!(["a", "b"]),
            "head.bias has shape",
        ),
        (
            "/labels/attributes",
            json!(vec!["a"; 20_000]),
            "number of labels",
        ),
        ("/labels/classes", json!(["a"]), "labels"),
        ("/training/channels", json!(0), "channels"),
        ("/training/channels", json!(16), "do not fit"),
        ("/training/channels", json!(1_000_000), "channels"),
        ("/training/channels", json!(1_u64 << 63), "channels"),
        ("/training/batch", json!(0), "batch"),
        ("/training/batch", json!(1_000_000_000), "batch"),
        ("/training/steps", json!(0), "steps"),
        ("/training/steps", json!(most), "steps"),
        ("/training/learning_rate", json!(0), "learning_rate"),
        ("/training/learning_rate", json!(1e300), "learning_rate"),
        ("/training/weight_decay", json!(-1), "weight_decay"),
        ("/training/noise", json!(-1), "noise"),
        ("/training/held_out", json!(0), "held_out"),
        ("/training/held_out", json!(1), "held_out"),
        ("/parameter_ids/nothing", json!(3), "nothing"),
        ("/parameter_ids/head.bias", json!(-3), "header"),
    ];
    for (place, value, says) in cases {
        let mut raw = original.clone();
        let (parent, field) = place.rsplit_once('/').unwrap();
        raw.header.pointer_mut(parent).unwrap()[field] = value;
        match read(&raw.bytes()) {
            Ok(_) => assert!(says.is_empty(), "{place} was believed"),
            Err(error) => assert!(error.contains(says), "{place}: {error}"),
        }
    }
}

#[test]
fn other_types_are_converted_with_a_notice_or_refused_by_name() {
    let original = Raw::of(&bytes(&saved(&faces())));
    let converted = |dtype: &str, convert: &dyn Fn(&[u8]) -> Vec<u8>| {
        let mut raw = original.clone();
        let (stored, _, bytes) = raw.tensors.get_mut("head.weight").unwrap();
        *stored = dtype.to_owned();
        *bytes = bytes.chunks_exact(4).flat_map(convert).collect();
        read(&raw.bytes())
    };
    // The upper half of an f32 is a bf16.
    let brain = converted("BF16", &|value| value[2..].to_vec()).unwrap();
    assert!(
        brain.notices[0].contains("head.weight holds BF16"),
        "{:?}",
        brain.notices
    );
    let double = |value: &[u8]| {
        let value = f32::from_le_bytes(value.try_into().unwrap());
        f64::from(value).to_le_bytes().to_vec()
    };
    let double = converted("F64", &double).unwrap();
    assert_eq!(double.weights, read(&original.bytes()).unwrap().weights);
    for (dtype, size) in [
        ("I32", 4),
        ("I64", 8),
        ("U8", 1),
        ("BOOL", 1),
        ("F8_E5M2", 1),
    ] {
        let error = converted(dtype, &|_| vec![0; size]).unwrap_err();
        assert!(
            error.contains("head.weight") && error.contains(dtype),
            "{error}"
        );
    }
}

#[test]
fn outputs_do_not_hang_on_ids() {
    let images = faces();
    let original = saved(&images);
    let outputs = |saved: &ClassifierCheckpoint| {
        let network = saved.network(&Device::flex()).unwrap();
        let mut pixels = Vec::new();
        images.fill(&[0, 1], &mut pixels);
        let pixels = TensorData::new(pixels, [2, 3, 8, 8]);
        let x = burn::tensor::Tensor::from_data(pixels, &Device::flex());
        network.forward(x).into_data()
    };
    let right = outputs(&original);
    for id in [None, Some(0), Some(4)] {
        let mut changed = original.clone();
        let ids = &mut changed.header.parameter_ids;
        match id {
            None => ids.clear(),
            Some(id) => ids.values_mut().for_each(|parameter_id| *parameter_id = id),
        }
        assert_eq!(outputs(&changed), right, "{id:?}");
        let resumed = ClassifierTrainer::resume(config(), &images, changed, &Device::flex());
        let error = resumed.err().unwrap().to_string();
        assert!(error.contains("parameter id"), "{error}");
    }
    assert!(
        ClassifierTrainer::resume(config(), &images, original.clone(), &Device::flex()).is_ok()
    );
    let mut other = original;
    other.header.labels.attributes.pop();
    let resumed = ClassifierTrainer::resume(config(), &images, other, &Device::flex());
    assert!(resumed.err().unwrap().to_string().contains("other labels"));
}

#[test]
fn a_number_that_is_not_finite_is_refused_by_name_and_never_written() {
    let images = faces();
    let good = saved(&images);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("classifier.safetensors");
    good.write(&path).unwrap();
    let before = std::fs::read(&path).unwrap();
    for value in [f32::NAN, f32::INFINITY] {
        let mut raw = Raw::of(&before);
        raw.tensors.get_mut("head.bias").unwrap().2[..4].copy_from_slice(&value.to_le_bytes());
        assert!(read(&raw.bytes()).unwrap_err().contains("head.bias holds"));
        let mut bad = good.clone();
        bad.weights
            .insert("head.bias".into(), TensorData::from([value]));
        let error = bad.write(&path).unwrap_err().to_string();
        assert!(
            error.contains("diverged") && error.contains("head.bias"),
            "{error}"
        );
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let wild = ClassifierConfig {
        learning_rate: 10.0,
        weight_decay: 100.0,
        steps: 60,
        ..config()
    };
    let mut trainer = ClassifierTrainer::new(wild, &images, &Device::flex()).unwrap();
    let run = (0..60).try_for_each(|_| trainer.advance().and_then(|_| trainer.save()).map(drop));
    assert!(run.unwrap_err().to_string().contains("diverged"));
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let mut finished = saved(&faces());
    finished.optimizer = None;
    let bytes = bytes(&finished);
    let body = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let places = (0..body).chain((body..bytes.len()).step_by(97));
    for place in places.chain(bytes.len() - 64..bytes.len()) {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << (place % 8);
        assert!(
            read(&flipped).is_err(),
            "bit {} of byte {place} of {body}",
            place % 8
        );
    }
}

#[test]
fn every_number_out_of_its_range_is_named() {
    const MOST: f64 = 1e300;
    let bad = [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, MOST];
    type Set = fn(&mut ClassifierConfig, f64);
    let fields: [(&str, Set, &[f64]); 4] = [
        ("learning_rate", |c, v| c.learning_rate = v, &[]),
        ("weight_decay", |c, v| c.weight_decay = v, &[0.0]),
        ("noise", |c, v| c.noise = v, &[0.0]),
        ("held_out", |c, v| c.held_out = v, &[]),
    ];
    for (name, set, fine) in fields {
        for value in bad {
            let mut config = config();
            set(&mut config, value);
            match config.validate() {
                Ok(()) => assert!(fine.contains(&value), "{name} = {value} was believed"),
                Err(error) => assert!(error.to_string().contains(name), "{value}: {error}"),
            }
        }
    }
    type SetWhole = fn(&mut ClassifierConfig, u64);
    let fields: [(&str, SetWhole); 3] = [
        ("steps", |c, v| c.steps = v),
        ("batch", |c, v| c.batch = v as usize),
        ("channels", |c, v| c.channels = v as usize),
    ];
    for (name, set) in fields {
        for value in [0, 1 << 63, u64::MAX] {
            let mut config = config();
            set(&mut config, value);
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(name), "{value}: {error}");
        }
    }
    let wide = ClassifierConfig {
        batch: 65_536,
        channels: 4096,
        ..config()
    };
    let error = ClassifierTrainer::new(wide, &faces(), &Device::flex())
        .err()
        .unwrap();
    assert!(error.to_string().contains("batch"), "{error}");
}
