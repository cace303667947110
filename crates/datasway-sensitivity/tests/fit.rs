//! The test of a model against its data: what fits passes, and each kind of mistake is caught.

use std::sync::LazyLock;

use burn::tensor::{DType, Device, Tensor};
use datasway_data::{Dataset, LoadOptions, Source, load};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::sampler::FrozenNoise;
use datasway_sensitivity::SensitivityConfig;
use datasway_sensitivity::density::Bandwidth;
use datasway_sensitivity::fit::{
    FitOptions, LinearKind, LowRank, Misfit, ModelFit, PathPrecision, References, data_scale,
    sigma_grid,
};
use datasway_sensitivity::measure::{Empirical, Gaussian, ImagePoints};

const SHIPPED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../checkpoints/faces16.safetensors"
);

/// Images whose loss is measured.
const MEASURED: usize = 64;

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
    images_of(source, 16)
}

/// Square images of this size.
fn images_of(source: &str, size: usize) -> Dataset {
    let options = LoadOptions {
        size: Some(size),
        ..LoadOptions::default()
    };
    load(&Source::parse(source).unwrap(), &options).unwrap()
}

/// The faces of the shipped model.
static FACES: LazyLock<(References, f64)> = LazyLock::new(|| references(&images("faces:1600")));

fn references(images: &Dataset) -> (References, f64) {
    let bandwidth = Bandwidth::Fixed(1.0);
    let references = References::new(images, false, bandwidth, MEASURED, &Device::flex()).unwrap();
    (references, data_scale(images))
}

fn fit(model: &dyn Denoiser, (references, scale): &(References, f64)) -> ModelFit {
    let options = FitOptions {
        sigmas: sigma_grid([0.01, 20.0], *scale, 2),
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
    assert_eq!((fit.linear, fit.images), (LinearKind::Covariance, MEASURED));
    for level in &fit.levels {
        let is_middle = (0.1..1.0).contains(&level.sigma);
        let most = if is_middle { 0.8 } else { 1.1 };
        assert!(level.model < most * level.linear, "{level:?}");
    }
}

/// The faces upside down: the same colours, other images.
fn upside_down(faces: &Dataset) -> (tempfile::TempDir, Dataset) {
    let dir = tempfile::tempdir().unwrap();
    let side = faces.shape.width;
    for i in 0..faces.len() {
        let pixels = faces.image(i);
        let picture = image::RgbImage::from_fn(side as u32, side as u32, |x, y| {
            let [x, y] = [x, y].map(|place| place as usize);
            image::Rgb([0, 1, 2].map(|c| pixels[(c * side + side - 1 - y) * side + x]))
        });
        picture.save(dir.path().join(format!("{i}.png"))).unwrap();
    }
    let turned = images_of(&format!("folder:{}", dir.path().display()), side);
    (dir, turned)
}

#[test]
fn other_data_are_caught() {
    let (_dir, turned) = upside_down(&images("faces:1600"));
    let fit = fit(&shipped(), &references(&turned));
    assert!(
        matches!(fit.misfit(), Some(Misfit::WorseThanLinear { ratio, .. }) if ratio > 1.2),
        "{:?}",
        fit.misfit()
    );
}

/// Images of 32×32 pixels in colour have 3,072 entries, of which the linear denoiser knows the directions of most variance. The right
/// model is the ideal denoiser of these images, and the wrong one that of the same images upside down.
#[test]
fn images_with_many_entries_are_told_apart_by_the_directions_in_which_they_vary() {
    let device = Device::flex();
    let faces = images_of("faces:800", 32);
    let model = |images: &Dataset| Empirical::of_images(images, false, &device).unwrap();
    let references = references(&faces);
    let right = fit(&model(&faces), &references);
    assert!(matches!(right.linear, LinearKind::LowRank(rank) if rank >= 256));
    assert_eq!(right.misfit(), None);
    let (_dir, turned) = upside_down(&faces);
    let wrong = fit(&model(&turned), &references).misfit();
    assert!(
        matches!(wrong, Some(Misfit::WorseThanLinear { .. })),
        "{wrong:?}"
    );
}

/// On images for which the whole covariance is known, the directions give nearly the same loss.
#[test]
fn the_directions_of_most_variance_do_nearly_as_well_as_the_covariance() {
    let faces = images("faces:1600");
    let points = ImagePoints::new(&faces, false, &Device::flex());
    let all = points.points(0..points.count());
    let covariance = Gaussian::fitted(&all.clone().cast(DType::F64), false).unwrap();
    let directions = LowRank::fitted(&all, 256).unwrap();
    let s = data_scale(&faces);
    let clean = all.slice_dim(0, 0..200);
    let noise = FrozenNoise::new(0).start(clean.dims(), &Device::flex(), DType::F32);
    let loss = |denoised: Tensor<2>| -> f64 {
        let error = (denoised.cast(DType::F64) - clean.clone().cast(DType::F64)).powi_scalar(2);
        error.mean().into_scalar::<f64>()
    };
    for factor in [0.5, 1.0, 2.0, 8.0] {
        let sigma = factor * s;
        let noisy = clean.clone() + noise.clone() * sigma;
        let best = covariance
            .denoise(noisy.clone().cast(DType::F64), sigma)
            .unwrap();
        let ratio = loss(directions.denoise(noisy, sigma)) / loss(best);
        assert!((0.99..1.05).contains(&ratio), "σ = {factor}·s: {ratio}");
    }
}

#[test]
fn single_precision_changes_a_sample_by_far_less_than_a_grey_level() {
    let network = shipped();
    let checkpoint = Checkpoint::load(SHIPPED.as_ref()).unwrap();
    let double = NetworkDenoiser::in_double_precision(&checkpoint, &Device::flex()).unwrap();
    let config = SensitivityConfig::default();
    let gap = PathPrecision::measure(&network, &double, &config, &Device::flex()).unwrap();
    assert!(0.0 < gap.root_mean_square && gap.root_mean_square <= gap.largest);
    assert!(gap.largest < 0.1, "{gap:?}");
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
