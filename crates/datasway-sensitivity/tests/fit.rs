//! The test of a model against its data: what fits passes, and each kind of mistake is caught.

use std::sync::LazyLock;

use burn::tensor::{DType, Device, Tensor};
use datasway_data::{Dataset, LoadOptions, Source, load};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_sensitivity::density::Bandwidth;
use datasway_sensitivity::fit::{FitOptions, Misfit, ModelFit, References, data_scale, sigma_grid};

const SHIPPED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../checkpoints/faces16.safetensors"
);

/// The shipped model with a mistake.
struct Mistaken<F> {
    model: NetworkDenoiser,
    denoise: F,
}

impl<F: Fn(&NetworkDenoiser, Tensor<2>, f64) -> Tensor<2>> Denoiser for Mistaken<F> {
    fn dim(&self) -> usize {
        self.model.dim()
    }

    fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError> {
        Ok((self.denoise)(&self.model, x, sigma))
    }

    fn jvp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        tangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        self.model.jvp(x, sigma, tangents)
    }

    fn vjp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        cotangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        self.model.vjp(x, sigma, cotangents)
    }
}

fn shipped() -> NetworkDenoiser {
    let checkpoint = Checkpoint::load(SHIPPED.as_ref()).unwrap();
    NetworkDenoiser::from_checkpoint(&checkpoint, &Device::flex()).unwrap()
}

fn images(source: &str) -> Dataset {
    let options = LoadOptions {
        size: Some(16),
        ..LoadOptions::default()
    };
    load(&Source::parse(source).unwrap(), &options).unwrap()
}

/// The faces of the shipped model.
static FACES: LazyLock<(References, f64)> = LazyLock::new(|| references(&images("faces:1600")));

fn references(images: &Dataset) -> (References, f64) {
    let bandwidth = Bandwidth::Fixed(1.0);
    let references = References::new(images, false, bandwidth, &Device::flex()).unwrap();
    (references, data_scale(images))
}

fn fit(model: &dyn Denoiser, (references, scale): &(References, f64)) -> ModelFit {
    let options = FitOptions {
        sigmas: sigma_grid([0.01, 20.0], *scale, 2),
        images: 64,
        batch: 64,
        seed: 0,
    };
    references.measure(model, None, &options).unwrap()
}

/// The fit of the shipped model with a mistake to its own data.
fn mistaken(denoise: impl Fn(&NetworkDenoiser, Tensor<2>, f64) -> Tensor<2>) -> Option<Misfit> {
    let model = Mistaken {
        model: shipped(),
        denoise,
    };
    fit(&model, &FACES).misfit()
}

#[test]
fn a_model_fits_its_own_data_better_than_the_best_linear_denoiser() {
    let fit = fit(&shipped(), &FACES);
    assert_eq!(fit.misfit(), None);
    assert!(!fit.diagonal && fit.images == 64);
    for level in &fit.levels {
        let is_middle = (0.1..1.0).contains(&level.sigma);
        let most = if is_middle { 0.8 } else { 1.1 };
        assert!(level.model < most * level.linear, "{level:?}");
    }
}

#[test]
fn other_data_are_caught() {
    // The faces upside down: the same colours, other images.
    let dir = tempfile::tempdir().unwrap();
    let faces = images("faces:1600");
    for i in 0..faces.len() {
        let pixels = faces.image(i);
        let picture = image::RgbImage::from_fn(16, 16, |x, y| {
            image::Rgb([0, 1, 2].map(|c| pixels[(c * 16 + 15 - y as usize) * 16 + x as usize]))
        });
        picture.save(dir.path().join(format!("{i}.png"))).unwrap();
    }
    let turned = images(&format!("folder:{}", dir.path().display()));
    let fit = fit(&shipped(), &references(&turned));
    assert!(
        matches!(fit.misfit(), Some(Misfit::WorseThanLinear { ratio, .. }) if ratio > 1.2),
        "{:?}",
        fit.misfit()
    );
}

#[test]
fn a_wrong_prediction_type_is_caught() {
    // The output is taken for the noise: D = x − σ·F, and D = x + σ²·F for a score, with F = D.
    let noise = mistaken(|model, x, sigma| x.clone() - model.denoise(x, sigma).unwrap() * sigma);
    assert!(matches!(noise, Some(Misfit::WorseThanLinear { .. })));
    let score =
        mistaken(|model, x, sigma| x.clone() + model.denoise(x, sigma).unwrap() * (sigma * sigma));
    assert!(matches!(score, Some(Misfit::WorseThanLinear { .. })));
}

#[test]
fn a_wrong_convention_of_noise_levels_is_caught() {
    for factor in [0.25, 0.5, 2.0, 4.0] {
        let misfit = mistaken(move |model, x, sigma| model.denoise(x, factor * sigma).unwrap());
        assert!(misfit.is_some(), "{factor}");
    }
    // A point of the variance-preserving kind, x/√(1 + σ²), where x is expected.
    let scaled = mistaken(|model, x, sigma| model.denoise(x / sigma.hypot(1.0), sigma).unwrap());
    assert!(scaled.is_some(), "the scale of the input");
}

#[test]
fn pixels_of_another_range_are_caught() {
    // The model has pixels of [0, 1].
    let halved = mistaken(|model, x, sigma| {
        (model.denoise(x * 0.5 + 0.5, sigma * 0.5).unwrap() - 0.5) * 2.0
    });
    assert!(halved.is_some());
}

#[test]
fn numbers_that_are_not_finite_are_caught() {
    let lost = mistaken(|model, x, sigma| {
        let denoised = model.denoise(x, sigma).unwrap();
        if sigma > 10.0 {
            denoised.cast(DType::F32) * f32::NAN
        } else {
            denoised
        }
    });
    assert!(matches!(lost, Some(Misfit::NotFinite { .. })));
}
