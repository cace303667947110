//! Damaged, inconsistent and foreign checkpoints are converted with a notice or refused in a sentence.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData, bf16, f16};
use datasway_diffusion::checkpoint::{Checkpoint, CheckpointHeader, FORMAT};
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::loss::denoising_loss;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::precondition::Precondition;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::unet::UNet;
use datasway_diffusion::{optimizer, weights};
use serde_json::{Value, json};

fn tiny() -> UNetConfig {
    UNetConfig {
        image_channels: 1,
        image_size: 4,
        channels: 8,
        multipliers: vec![1, 2],
        blocks: 1,
        attention: vec![2],
        head_channels: 8,
        groups: None,
    }
}

/// Random weights everywhere, so that no block is a zero function.
struct Randomize(u64);

impl ModuleMapper for Randomize {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.0 += 1;
        let mut rng = generator(11, RandomStream::Batch, [self.0]);
        param.map(|value| {
            let dims = value.dims();
            let random = normal(&mut rng, [1, dims.iter().product()], &value.device());
            random.reshape(dims) * 0.2
        })
    }
}

fn checkpoint() -> Checkpoint {
    let network = UNet::new(&tiny(), &Device::flex()).unwrap();
    let weights = weights::collect(&network.map(&mut Randomize(0)));
    let tensors: BTreeMap<String, TensorData> = weights
        .iter()
        .map(|(path, w)| (path.clone(), w.data.clone()))
        .collect();
    Checkpoint {
        header: CheckpointHeader {
            format: FORMAT,
            version: "test".into(),
            network: tiny(),
            sigma_data: 0.5,
            data: "faces:8".into(),
            limit: None,
            skip_bad: false,
            fingerprint: "0".into(),
            step: 7,
            seed: 1,
            training: "flip = false\nsteps = 9".into(),
            parameter_ids: weights.into_iter().map(|(path, w)| (path, w.id)).collect(),
        },
        model: Some(tensors.clone()),
        ema: tensors,
        optimizer: None,
        data_mean: vec![0.1; tiny().dim()],
        data_variance: vec![0.2; tiny().dim()],
        notices: Vec::new(),
    }
}

/// The bytes of a file.
fn saved(checkpoint: &Checkpoint) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    checkpoint.save(&path).unwrap();
    std::fs::read(path).unwrap()
}

fn load(bytes: &[u8]) -> Result<Checkpoint, String> {
    Checkpoint::from_bytes(bytes, Path::new("model.safetensors")).map_err(|error| {
        let error = error.to_string();
        assert!(error.starts_with("model.safetensors: "), "{error}");
        error
    })
}

/// A file without its checksum, to be changed as another program would.
struct Raw {
    header: Value,
    tensors: Tensors,
}

/// Type, shape and bytes by name.
type Tensors = BTreeMap<String, (String, Vec<u64>, Vec<u8>)>;

impl Raw {
    fn new(checkpoint: &Checkpoint) -> Self {
        let bytes = saved(checkpoint);
        let body = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let names: BTreeMap<String, Value> = serde_json::from_slice(&bytes[8..body]).unwrap();
        let header = names["__metadata__"]["datasway"].as_str().unwrap();
        let mut tensors = BTreeMap::new();
        for (name, info) in &names {
            if ["__metadata__", "checksum"].contains(&name.as_str()) {
                continue;
            }
            let place = |i: usize| body + info["data_offsets"][i].as_u64().unwrap() as usize;
            let shape = info["shape"].as_array().unwrap().iter();
            let tensor = (
                info["dtype"].as_str().unwrap().to_owned(),
                shape.map(|n| n.as_u64().unwrap()).collect(),
                bytes[place(0)..place(1)].to_vec(),
            );
            tensors.insert(name.clone(), tensor);
        }
        Self {
            header: serde_json::from_str(header).unwrap(),
            tensors,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.with_header(&self.header.to_string())
    }

    fn with_header(&self, header: &str) -> Vec<u8> {
        let mut names = json!({ "__metadata__": { "datasway": header } });
        let mut body = Vec::new();
        for (name, (dtype, shape, bytes)) in &self.tensors {
            let start = body.len();
            body.extend_from_slice(bytes);
            names[name] =
                json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, body.len()] });
        }
        file(&names.to_string(), &body)
    }
}

fn file(names: &str, body: &[u8]) -> Vec<u8> {
    let length = (names.len() as u64).to_le_bytes();
    [&length, names.as_bytes(), body].concat()
}

fn denoised(checkpoint: &Checkpoint) -> [TensorData; 2] {
    let device = Device::flex();
    let model = NetworkDenoiser::from_checkpoint(checkpoint, &device).unwrap();
    let mut rng = generator(3, RandomStream::Sample, []);
    let x = normal(&mut rng, [2, tiny().dim()], &device);
    let t = normal(&mut rng, [6, tiny().dim()], &device).reshape([3, 2, tiny().dim()]);
    let (value, products) = model.jvp(x, 0.7, t).unwrap();
    [value.into_data(), products.into_data()]
}

/// Files of earlier versions have their header in the metadata entry `sway`.
#[test]
fn a_checkpoint_of_an_earlier_version_is_read() {
    let original = checkpoint();
    let earlier = |bytes: &[u8]| {
        let body = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let names = std::str::from_utf8(&bytes[8..body]).unwrap();
        assert_eq!(names.matches("{\"datasway\":").count(), 1);
        file(
            &names.replace("{\"datasway\":", "{\"sway\":"),
            &bytes[body..],
        )
    };
    let read = load(&earlier(&Raw::new(&original).bytes())).expect("an earlier checkpoint");
    assert_eq!(read.header, original.header);
    assert_eq!(denoised(&read), denoised(&original));
    // The entry is a part of the checksum, so renaming it is damage.
    let error = load(&earlier(&saved(&original))).unwrap_err();
    assert!(error.contains("checksum"), "{error}");
}

#[test]
fn products_with_the_jacobian_do_not_hang_on_ids() {
    let original = checkpoint();
    let right = denoised(&original);
    let paths: Vec<&String> = original.header.parameter_ids.keys().collect();
    let ids = |change: &dyn Fn(&mut BTreeMap<String, u64>)| {
        let mut ids = original.header.parameter_ids.clone();
        change(&mut ids);
        ids
    };
    let cases = [
        ("none", BTreeMap::new()),
        (
            "all alike",
            ids(&|ids| ids.values_mut().for_each(|id| *id = 5)),
        ),
        ("all 0", ids(&|ids| ids.values_mut().for_each(|id| *id = 0))),
        (
            "one missing",
            ids(&|ids| ids.retain(|path, _| path != paths[3])),
        ),
        ("one 0", ids(&|ids| ids.extend([(paths[3].clone(), 0)]))),
        (
            "two alike",
            ids(&|ids| {
                let first = ids[paths[0]];
                ids.insert(paths[9].clone(), first);
            }),
        ),
        (
            "largest",
            ids(&|ids| ids.extend([(paths[3].clone(), u64::MAX)])),
        ),
    ];
    for (name, ids) in cases {
        let mut raw = Raw::new(&original);
        raw.header["parameter_ids"] = json!(ids);
        let loaded = load(&raw.bytes()).unwrap();
        assert_eq!(denoised(&loaded), right, "{name}");
    }
}

#[test]
fn what_a_header_says_is_checked_before_anything_is_built() {
    let (half, whole) = (1_u64 << 32, 1_u64 << 63);
    let most = u64::MAX;
    let cases = [
        ("/sigma_data", json!(0), "sigma_data"),
        ("/sigma_data", json!(-0.5), "sigma_data"),
        ("/sigma_data", json!(1e300), "sigma_data"),
        ("/sigma_data", json!(1e-300), "sigma_data"),
        ("/sigma_data", Value::Null, "header"),
        ("/sigma_data", json!("0.5"), "header"),
        ("/format", json!(2), "layout 2"),
        ("/format", json!(-1), "header"),
        ("/version", json!(1), "header"),
        ("/training", json!(""), "training"),
        ("/training", json!("flip = 1"), "training"),
        ("/training", json!("= ]["), "training"),
        (
            "/training",
            json!("flip = true\nsteps = 3"),
            "after the last",
        ),
        ("/training", json!("[".repeat(5000)), "training"),
        ("/step", json!(most), "after the last"),
        ("/step", json!(-1), "header"),
        ("/limit", json!(0), "limit"),
        ("/limit", json!(-3), "header"),
        ("/seed", json!(1.5), "header"),
        ("/network/image_size", json!(0), "image_size"),
        ("/network/image_size", json!(3), "cannot be halved"),
        ("/network/image_size", json!(8), "entries"),
        ("/network/image_size", json!(half), "image_size"),
        ("/network/image_size", json!(whole), "image_size"),
        ("/network/image_channels", json!(0), "image_channels"),
        ("/network/image_channels", json!(2), "1 or 3 channels"),
        ("/network/image_channels", json!(3), "entries"),
        ("/network/image_channels", json!(most), "image_channels"),
        ("/network/channels", json!(0), "channels"),
        ("/network/channels", json!(16), "weights do not fit"),
        ("/network/channels", json!(half), "channels"),
        ("/network/channels", json!(whole), "channels"),
        ("/network/channels", json!(16_384), "channels"),
        ("/network/blocks", json!(0), "blocks"),
        ("/network/blocks", json!(2), "are missing"),
        ("/network/blocks", json!(1_000_000), "blocks"),
        ("/network/blocks", json!(most), "blocks"),
        ("/network/multipliers", json!([]), "multipliers"),
        ("/network/multipliers", json!([1, 0]), "multipliers"),
        (
            "/network/multipliers",
            json!([1]),
            "no parameters of the network",
        ),
        ("/network/multipliers", json!([1, half]), "multipliers"),
        ("/network/multipliers", json!([1, most]), "multipliers"),
        ("/network/multipliers", json!([1, 9000]), "more than"),
        ("/network/multipliers", json!(vec![1; 100]), "multipliers"),
        ("/network/head_channels", json!(0), "head_channels"),
        ("/network/head_channels", json!(7), "heads"),
        ("/network/head_channels", json!(most), "head_channels"),
        ("/network/attention", json!([0]), "attention"),
        ("/network/attention", json!([most]), "attention"),
        (
            "/network/attention",
            json!([]),
            "no parameters of the network",
        ),
        ("/network/other", json!(1), "header"),
        ("/parameter_ids/input.weight", json!(-1), "header"),
        ("/parameter_ids/input.weight", json!(1e30), "header"),
        ("/parameter_ids/nothing", json!(1), "nothing"),
        ("/parameter_ids/a\nb", json!(1), "a\\nb"),
        ("/other", json!(1), "header"),
    ];
    let original = Raw::new(&checkpoint());
    assert!(load(&original.bytes()).is_ok());
    for (place, value, phrase) in cases {
        let mut header = original.header.clone();
        let (parent, field) = place.rsplit_once('/').unwrap();
        header.pointer_mut(parent).unwrap()[field] = value.clone();
        let error = load(&original.with_header(&header.to_string())).unwrap_err();
        assert!(error.contains(phrase), "{place} = {value}: {error}");
        assert!(
            error.len() < 700 && !error.contains('\n'),
            "{place} = {value}: {error}"
        );
    }
    for place in [
        "version",
        "fingerprint",
        "training",
        "seed",
        "format",
        "x\ny",
    ] {
        let mut header = original.header.clone();
        header[place] = json!("a\n\u{1b}[0m".repeat(50_000));
        if let Err(error) = load(&original.with_header(&header.to_string())) {
            assert!(
                error.chars().count() < 2000 && !error.contains(char::is_control),
                "{error}"
            );
        }
    }
    let text = original.header.to_string();
    let deep = text.replacen(
        "\"seed\":1",
        &format!("\"seed\":{}", "[".repeat(100_000)),
        1,
    );
    let twice = text.replacen("\"seed\":1", "\"seed\":1,\"seed\":2", 1);
    let id = |id: u64| format!("\"parameter_ids\":{{\"input.bias\":{id},");
    let two_ids = text.replacen("\"parameter_ids\":{", &id(4), 1);
    let infinite = text.replacen("\"sigma_data\":0.5", "\"sigma_data\":1e999", 1);
    let not = text.replacen("\"sigma_data\":0.5", "\"sigma_data\":NaN", 1);
    for header in [&deep, &twice, &two_ids, &infinite, &not, "", "[]", "null"] {
        assert!(load(&original.with_header(header)).is_err(), "{header:.80}");
    }
}

#[test]
fn tensors_that_do_not_fit_are_listed() {
    let original = Raw::new(&checkpoint());
    let changed = |change: &dyn Fn(&mut Tensors)| {
        let mut raw = Raw::new(&checkpoint());
        raw.tensors = original.tensors.clone();
        change(&mut raw.tensors);
        load(&raw.bytes()).unwrap_err()
    };
    let missing = changed(&|t| {
        t.remove("ema/input.weight");
        let bias = t.remove("ema/input.bias").unwrap();
        t.insert("ema/input.biaz".into(), bias);
    });
    for problem in [
        "input.bias, input.weight are missing",
        "input.biaz is no parameter",
    ] {
        assert!(missing.contains(problem), "{missing}");
    }
    let misshapen = changed(&|t| t.get_mut("model/input.bias").unwrap().1 = vec![2, 4]);
    assert!(
        misshapen.contains("input.bias has shape [2, 4]"),
        "{misshapen}"
    );
    let many = changed(&|t| t.retain(|name, _| !name.starts_with("ema/")));
    assert!(many.contains("more are missing"), "{many}");
    let empty = changed(&|t| {
        let (_, shape, bytes) = t.get_mut("ema/input.bias").unwrap();
        (*shape, *bytes) = (vec![0], vec![]);
    });
    assert!(empty.contains("input.bias has shape [0]"), "{empty}");
    let unknown = changed(&|t| drop(t.insert("a\nb".into(), ("F32".into(), vec![1], vec![0; 4]))));
    assert!(unknown.contains("unknown tensor \"a\\nb\""), "{unknown}");
    for name in ["data_mean", "data_variance"] {
        let absent = changed(&|t| drop(t.remove(name)));
        assert!(
            absent.contains(&format!("{name} should be there")),
            "{absent}"
        );
        let short = changed(&|t| {
            let (_, shape, bytes) = t.get_mut(name).unwrap();
            (*shape, *bytes) = (vec![1], vec![0; 4]);
        });
        assert!(
            short.contains(&format!("{name} should be there")),
            "{short}"
        );
    }
    let state =
        changed(&|t| drop(t.insert("optimizer".into(), ("F32".into(), vec![1], vec![0; 4]))));
    assert!(state.contains("optimizer should hold bytes"), "{state}");
}

#[test]
fn other_types_are_converted_with_a_notice_or_refused_by_name() {
    let original = checkpoint();
    let values = |data: &TensorData| data.iter::<f32>().collect::<Vec<f32>>();
    let name = "ema/input.weight";
    let before = values(&original.ema["input.weight"]);
    let convert = |dtype: &str, to: &dyn Fn(f32) -> Vec<u8>| {
        let mut raw = Raw::new(&original);
        let (stored, _, bytes) = raw.tensors.get_mut(name).unwrap();
        *stored = dtype.to_owned();
        *bytes = before.iter().flat_map(|value| to(*value)).collect();
        load(&raw.bytes())
    };
    let half = convert("F16", &|v| f16::from_f32(v).to_le_bytes().to_vec()).unwrap();
    let halves: Vec<f32> = before.iter().map(|v| f16::from_f32(*v).to_f32()).collect();
    assert_eq!(values(&half.ema["input.weight"]), halves);
    assert_eq!(
        half.notices,
        ["ema/input.weight holds F16 numbers: converted to F32, exactly"]
    );
    let brain = convert("BF16", &|v| bf16::from_f32(v).to_le_bytes().to_vec()).unwrap();
    let brains: Vec<f32> = before.iter().map(|v| bf16::from_f32(*v).to_f32()).collect();
    assert_eq!(values(&brain.ema["input.weight"]), brains);
    assert!(brain.notices[0].contains("BF16") && brain.notices[0].contains("exactly"));
    let double = convert("F64", &|v| f64::from(v).to_le_bytes().to_vec()).unwrap();
    assert_eq!(values(&double.ema["input.weight"]), before);
    assert!(
        double.notices[0].contains("exactly"),
        "{:?}",
        double.notices
    );
    let third = convert("F64", &|v| (f64::from(v) / 3.0).to_le_bytes().to_vec()).unwrap();
    assert!(third.notices[0].contains("rounded"), "{:?}", third.notices);
    let huge = convert("F64", &|_| 1e300_f64.to_le_bytes().to_vec()).unwrap_err();
    assert!(huge.contains(name), "{huge}");

    for tensor in [name, "model/input.bias", "data_mean", "data_variance"] {
        for (dtype, size) in [
            ("I32", 4),
            ("U32", 4),
            ("I64", 8),
            ("U64", 8),
            ("I16", 2),
            ("U16", 2),
            ("I8", 1),
            ("U8", 1),
            ("BOOL", 1),
            ("F8_E4M3", 1),
            ("F8_E5M2", 1),
            ("C64", 8),
        ] {
            let mut raw = Raw::new(&original);
            let (stored, _, bytes) = raw.tensors.get_mut(tensor).unwrap();
            *stored = dtype.to_owned();
            *bytes = vec![0; bytes.len() / 4 * size];
            let error = load(&raw.bytes()).unwrap_err();
            assert!(error.contains(tensor) && error.contains(dtype), "{error}");
        }
    }
}

#[test]
fn a_number_that_is_not_finite_is_refused_by_name_and_never_written() {
    let original = checkpoint();
    for name in [
        "ema/input.weight",
        "model/output.bias",
        "data_mean",
        "data_variance",
    ] {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut raw = Raw::new(&original);
            raw.tensors.get_mut(name).unwrap().2[..4].copy_from_slice(&value.to_le_bytes());
            let error = load(&raw.bytes()).unwrap_err();
            assert!(error.contains(&format!("{name} holds")), "{error}");
        }
    }
    for (name, value) in [
        ("data_variance", -1_f32),
        ("data_variance", 1e30),
        ("data_mean", 1e30),
    ] {
        let mut raw = Raw::new(&original);
        raw.tensors.get_mut(name).unwrap().2[..4].copy_from_slice(&value.to_le_bytes());
        let error = load(&raw.bytes()).unwrap_err();
        assert!(error.contains(&format!("each entry of {name}")), "{error}");
    }

    let mut rounded = Raw::new(&original);
    let bytes = &mut rounded.tensors.get_mut("data_variance").unwrap().2;
    bytes[..4].copy_from_slice(&(-1e-9_f32).to_le_bytes());
    assert_eq!(load(&rounded.bytes()).unwrap().data_variance[0], 0.0);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, b"the last good one").unwrap();
    for group in ["model", "ema"] {
        let mut bad = original.clone();
        let weights = match group {
            "model" => bad.model.as_mut().unwrap(),
            _ => &mut bad.ema,
        };
        weights.insert("output.bias".into(), TensorData::from([f32::NAN]));
        let error = bad.save(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("{group}/output.bias")), "{error}");
        assert!(error.contains("step 7"), "{error}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"the last good one");
    for moment in ["data_mean", "data_variance"] {
        let mut bad = original.clone();
        match moment {
            "data_mean" => bad.data_mean[1] = f32::NAN,
            _ => bad.data_variance[1] = f32::INFINITY,
        }
        let error = bad.save(&path).unwrap_err().to_string();
        assert!(error.contains(moment), "{error}");
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let checkpoint = checkpoint().for_sampling();
    let bytes = saved(&checkpoint);
    assert_eq!(bytes, saved(&checkpoint), "the same bytes every time");
    assert!(load(&bytes).unwrap().notices.is_empty());
    let body = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    // Every byte of the names and the header, and of what follows one in 97 and the last ones.
    let places = (0..body).chain((body..bytes.len()).step_by(97));
    for place in places.chain(bytes.len() - 64..bytes.len()) {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << (place % 8);
        let refused = load(&flipped).is_err();
        assert!(
            refused,
            "bit {} of byte {place}, the body being at {body}",
            place % 8
        );
    }
}

#[test]
fn what_is_no_checkpoint_is_named_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let whole = saved(&checkpoint());
    let huge = file(
        &format!("{}0{}", "[".repeat(1 << 20), "]".repeat(1 << 20)),
        &[],
    );
    let twice = r#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#;
    let wide = r#"{"a":{"dtype":"U8","shape":[18446744073709551615,2],"data_offsets":[0,1]}}"#;
    let far = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551614,18446744073709551615]}}"#;
    let cases: [(&str, Vec<u8>, &str); 12] = [
        ("empty", vec![], "not a complete"),
        ("short", vec![1; 7], "not a complete"),
        (
            "a long head",
            [&u64::MAX.to_le_bytes()[..], b"{}"].concat(),
            "not a complete",
        ),
        (
            "a head of 90 MB",
            [&90_000_000_u64.to_le_bytes()[..], b"{}"].concat(),
            "not a complete",
        ),
        ("no text", file("\u{0}", &[]), "not a complete"),
        ("deep", huge, "not a complete"),
        ("a name twice", file(twice, &[]), "stands twice"),
        ("an overflow", file(wide, &[0]), "not a complete"),
        ("a far end", file(far, &[0]), "not a complete"),
        (
            "another file",
            file("{}", &[]),
            "not a checkpoint of Datasway",
        ),
        ("cut", whole[..whole.len() - 1].to_vec(), "not a complete"),
        ("more", [whole.as_slice(), &[0]].concat(), "not a complete"),
    ];
    for (name, bytes, phrase) in cases {
        std::fs::write(&path, &bytes).unwrap();
        let error = Checkpoint::load(&path).unwrap_err().to_string();
        assert!(
            error.contains(phrase) && error.contains("model.safetensors"),
            "{name}: {error}"
        );
        assert!(load(&bytes).is_err(), "{name}");
    }
    for path in [
        folder.path(),
        Path::new("/dev/zero"),
        Path::new("/dev/null"),
    ] {
        let error = Checkpoint::load(path).unwrap_err().to_string();
        assert!(error.contains("cannot read the checkpoint"), "{error}");
    }
    // A hole of a terabyte takes no memory.
    let sparse = std::fs::File::create(&path).unwrap();
    if sparse.set_len(1 << 40).is_ok() {
        assert!(Checkpoint::load(&path).is_err());
    }
}

#[test]
fn the_shipped_checkpoint_of_an_older_version_is_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    let shipped = Checkpoint::load(&root.join("checkpoints/faces16.safetensors")).unwrap();
    assert_eq!(shipped.header.step, 5000);
    assert!(shipped.notices.is_empty());
}

/// A network after three steps of AdamW, and the optimiser.
fn trained() -> (UNet, ModuleOptimizer) {
    let device = Device::flex().autodiff();
    let mut network = UNet::new(&tiny(), &device).unwrap();
    let mut optimizer = AdamWConfig::new().init();
    let mut rng = generator(1, RandomStream::Batch, []);
    for _ in 0..3 {
        let mut draw = || normal(&mut rng, [2, tiny().dim()], &device).reshape([2, 1, 4, 4]);
        let precondition = Precondition { sigma_data: 0.5 };
        let loss = denoising_loss(&network, &precondition, draw(), draw(), &[0.5, 1.0]);
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = optimizer.step(1e-3, network, gradients);
    }
    (network, optimizer)
}

#[test]
fn a_damaged_state_of_the_optimiser_is_refused_and_never_panics() {
    let (network, trained) = trained();
    let state = optimizer::state(&trained).unwrap();
    let parameters = weights::collect(&network);
    let restore = |state: Vec<u8>, step: u64| {
        let new = AdamWConfig::new().init();
        optimizer::restore(new, state, &parameters, step).map_err(|error| error.to_string())
    };
    let restored = restore(state.clone(), 3).unwrap();
    assert!(
        optimizer::state(&restored).unwrap() == state,
        "the same bytes"
    );
    let other = restore(state.clone(), 4).err().unwrap();
    assert!(other.contains("momentum.time"), "{other}");
    let none = optimizer::state(&AdamWConfig::new().init()).unwrap();
    assert!(restore(none.clone(), 0).is_ok());
    let missing = restore(none, 3).err().unwrap();
    assert!(missing.contains("is missing"), "{missing}");

    let mut repeated = parameters.clone();
    repeated.get_mut("input.bias").unwrap().id = parameters["input.weight"].id;
    let new = AdamWConfig::new().init();
    let error = optimizer::restore(new, state.clone(), &repeated, 3)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("the same parameter id"), "{error}");

    for length in (0..state.len()).step_by(state.len() / 200) {
        assert!(
            restore(state[..length].to_vec(), 3).is_err(),
            "{length} bytes"
        );
    }
    // No flipped bit may cause a panic in Burn.
    for place in (0..state.len().min(20_000)).step_by(37) {
        let mut flipped = state.clone();
        flipped[place] ^= 1 << (place % 8);
        let _ = restore(flipped, 3);
    }
    for seed in 0..200 {
        let mut rng = generator(seed, RandomStream::Batch, []);
        let noise: Vec<u8> = std::iter::repeat_with(|| rand::RngExt::random(&mut rng))
            .take(4000)
            .collect();
        assert!(restore(noise.clone(), 3).is_err());
        let keep = state.len().min(32);
        assert!(restore([&state[..keep], &noise].concat(), 3).is_err());
    }
}

#[test]
fn a_network_too_large_for_any_memory_is_refused_at_once() {
    for config in [
        UNetConfig {
            channels: 16_384,
            head_channels: 1,
            ..tiny()
        },
        UNetConfig {
            channels: 8192,
            multipliers: vec![1, 2],
            blocks: 64,
            ..tiny()
        },
    ] {
        let error = UNet::new(&config, &Device::flex()).unwrap_err().to_string();
        assert!(error.contains("more than"), "{error}");
    }
}
