//! Models with pixels of [0, 1], and what decides that a model is one.

use std::path::Path;

use burn::tensor::{DType, Device, Tensor};
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::pixels::{CentredPixels, PixelRange};
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_pretrained::{Pretrained, PretrainedOptions, TrainableModel};
use serde_json::json;

use crate::case::check_adjoint;
use crate::folders::{denoiser, folder};

/// A copy of the pipeline with another class of pipeline and fields of its network.
fn pipeline(class: &str, field: &str, value: bool) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let from = folder("pipeline");
    for inner in ["unet", "scheduler"] {
        std::fs::create_dir(copy.path().join(inner)).unwrap();
    }
    for file in [
        "unet/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
    ] {
        std::fs::copy(from.join(file), copy.path().join(file)).unwrap();
    }
    let text = std::fs::read_to_string(from.join("unet/config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config[field] = json!(value);
    std::fs::write(copy.path().join("unet/config.json"), config.to_string()).unwrap();
    if !class.is_empty() {
        let index = json!({ "_class_name": class }).to_string();
        std::fs::write(copy.path().join("model_index.json"), index).unwrap();
    }
    copy
}

fn load(path: &Path, pixels: Option<PixelRange>) -> Pretrained {
    let options = PretrainedOptions {
        pixels,
        ..PretrainedOptions::default()
    };
    Pretrained::load(path, &options).unwrap()
}

#[test]
fn the_range_of_pixels_is_that_of_the_pipeline_unless_it_is_given() {
    use PixelRange::{MinusOneToOne, ZeroToOne};
    let center = "center_input_sample";
    for (class, centred, given, expected, notes) in [
        ("DDPMPipeline", false, None, MinusOneToOne, 1),
        ("ScoreSdeVePipeline", false, None, ZeroToOne, 1),
        (
            "ScoreSdeVePipeline",
            false,
            Some(MinusOneToOne),
            MinusOneToOne,
            1,
        ),
        ("DDPMPipeline", true, None, MinusOneToOne, 2),
        ("DDPMPipeline", true, Some(ZeroToOne), ZeroToOne, 1),
        ("", true, None, ZeroToOne, 1),
        ("", false, None, MinusOneToOne, 1),
    ] {
        let folder = pipeline(class, center, centred);
        let model = load(folder.path(), given);
        assert_eq!(model.pixels, expected, "{class} {centred} {given:?}");
        assert_eq!(model.notes.len(), notes, "{:?}", model.notes);
    }
}

#[test]
fn a_model_with_pixels_of_0_to_1_is_moved_to_those_of_minus_1_to_1_with_its_noise_levels() {
    let path = folder("pipeline");
    let own = load(&path, None);
    let model = load(&path, Some(PixelRange::ZeroToOne));
    assert_eq!(model.sigma_range, own.sigma_range.map(|sigma| 2.0 * sigma));
    let quantiles = [&model, &own].map(|model| model.noise.quantile(0.4));
    assert_eq!(quantiles[0], 2.0 * quantiles[1]);
    // D(2u − 1, 2σ) = 2·D₀(u, σ) − 1
    let (model, own) = (model.score_model.denoiser(), own.score_model.denoiser());
    let mut rng = generator(1, RandomStream::Sample, [0]);
    let [u, v] = [0, 1].map(|_| normal(&mut rng, [3, own.dim()], &Device::flex()));
    for sigma in [0.1, 1.0, 20.0] {
        let expected = own.denoise(u.clone(), sigma).unwrap() * 2.0 - 1.0;
        let x = u.clone() * 2.0 - 1.0;
        let denoised = model.denoise(x.clone(), 2.0 * sigma).unwrap();
        let error = (denoised - expected).abs().max().into_scalar::<f32>();
        assert!(error < 1e-5 * (1.0 + sigma as f32), "{error}");
        let v = v.clone().unsqueeze_dim::<3>(0);
        let [there, here] = [
            own.jvp(u.clone(), sigma, v.clone()),
            model.jvp(x, 2.0 * sigma, v),
        ]
        .map(|result| result.unwrap().1);
        let error = (there - here).abs().max().into_scalar::<f32>();
        // J = 1 − σ·J_ε: the rounding of J_ε counts σ times.
        assert!(error < 1e-5 * (1.0 + sigma as f32), "{error}");
    }
}

#[test]
fn derivatives_in_the_weights_of_a_model_with_pixels_of_0_to_1_are_adjoint_and_its_loss_is_its_own()
{
    let own = denoiser("pipeline", DType::F64);
    let (sigma, weight) = (0.7, own.loss_weight(0.7));
    let model = CentredPixels(Box::new(own));
    // λ(2σ)·‖2D₀ − 1 − (2u − 1)‖² = λ₀(σ)·‖D₀ − u‖²
    assert!((4.0 * model.loss_weight(2.0 * sigma) / weight - 1.0).abs() < 1e-12);
    check_adjoint("pixels of [0, 1]", &model, DType::F64, 1e-9);
    let x = Tensor::<2>::ones([2, model.dim()], (&Device::flex(), DType::F64));
    let each = model.denoise_each(x.clone(), &[0.3, 0.3]).unwrap();
    let error = (each - model.denoise(x, 0.3).unwrap()).abs().max();
    assert!(error.into_scalar::<f64>() < 1e-12);
}

#[test]
fn the_scheduler_and_the_pixels_that_are_given_are_part_of_the_fingerprint() {
    let path = folder("pipeline");
    let fingerprint = |options: PretrainedOptions| {
        let pretrained = Pretrained::load(&path, &options).unwrap().fingerprint;
        let trainable = TrainableModel::load(&path, &options).unwrap().fingerprint;
        assert_eq!(pretrained, trainable);
        pretrained
    };
    let scheduler = |beta_end: f64| PretrainedOptions {
        scheduler: Some(json!({ "beta_end": beta_end })),
        ..PretrainedOptions::default()
    };
    let pixels = |pixels| PretrainedOptions {
        pixels: Some(pixels),
        ..PretrainedOptions::default()
    };
    let own = fingerprint(PretrainedOptions::default());
    assert_eq!(own, fingerprint(pixels(PixelRange::MinusOneToOne)));
    let mut others = vec![
        own,
        fingerprint(pixels(PixelRange::ZeroToOne)),
        fingerprint(scheduler(0.02)),
        fingerprint(scheduler(0.03)),
    ];
    assert_eq!(others[2], fingerprint(scheduler(0.02)));
    others.sort();
    others.dedup();
    assert_eq!(others.len(), 4);
}

#[test]
fn the_fingerprint_is_that_of_the_files_by_their_names_relative_to_the_folder() {
    // SHA-256 by hashlib of Python, of each name and then its file:
    // ../scheduler/scheduler_config.json, config.json, diffusion_pytorch_model.safetensors.
    let expected = "d14e0a8f7df9d50859e6d3343dbf3b34079eab2c3ae294cea8b404fec9f8045a";
    let unet = folder("pipeline").join("unet");
    for path in [unet.clone(), unet.join("."), unet.join("../unet")] {
        let model = Pretrained::load(&path, &PretrainedOptions::default()).unwrap();
        assert_eq!(model.fingerprint, expected, "{}", path.display());
    }
}
