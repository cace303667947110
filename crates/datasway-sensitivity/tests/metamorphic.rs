//! Identities that hold for any model, with every density, sampler and functional, in f32 as in the binaries.
//!
//! The model is the shipped one and ρ the first of its training images, so that `r` takes the values that it has in use: up to the
//! number of images, where a single image determines a sample.

use std::path::Path;

use burn::tensor::Device;
use datasway_classifier::{ClassifierConfig, ClassifierTrainer};
use datasway_data::{Dataset, LoadOptions, PixelMoments, Source};
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::sampler::Sampler;
use datasway_diffusion::schedule;
use datasway_sensitivity::density::{
    Bandwidth, DensityConfig, DensityEstimator, DensityKind, TraceKind, TraceOptions,
    checkpoint_moments,
};
use datasway_sensitivity::influence::{
    self, Distance, Functional, Influences, Linear, LogOdds, Principal,
};
use datasway_sensitivity::measure::{Empirical, ImagePoints, Measure};
use datasway_sensitivity::sensitivities::{self, Sensitivities};
use datasway_sensitivity::{ResolvedConfig, StartingNoise};

/// Largest difference by rounding, relative to the largest number.
const TOLERANCE: f64 = 1e-5;

const SAMPLERS: [Sampler; 3] = [
    Sampler::Euler,
    Sampler::Heun,
    Sampler::Stochastic {
        s_churn: 30.0,
        s_min: 0.01,
        s_max: 1.0,
        s_noise: 1.007,
    },
];

/// A form of the comparison.
#[derive(Debug, Clone, Copy)]
struct Form {
    density: DensityKind,
    bandwidth: Option<&'static str>,
}

const FLOW: Form = Form {
    density: DensityKind::ProbabilityFlow,
    bandwidth: None,
};
const fn empirical(bandwidth: Option<&'static str>) -> Form {
    Form {
        density: DensityKind::Empirical,
        bandwidth,
    }
}
const FORMS: [Form; 5] = [
    FLOW,
    empirical(None),
    empirical(Some("0")),
    empirical(Some("0.7")),
    empirical(Some("auto")),
];

impl Form {
    /// True if the density is that of ρ in closed form.
    fn closed(&self) -> bool {
        self.density == DensityKind::Empirical
    }

    /// True if density and D of the comparison are of one measure.
    fn compares_one_measure(&self) -> bool {
        self.bandwidth.is_some()
    }
}

/// Every form with every sampler that it goes with.
fn combinations() -> impl Iterator<Item = (Form, Sampler)> {
    let pairs = FORMS
        .into_iter()
        .flat_map(|form| SAMPLERS.map(|sampler| (form, sampler)));
    pairs.filter(|(form, sampler)| form.closed() || !matches!(sampler, Sampler::Stochastic { .. }))
}

struct Scene {
    moments: PixelMoments,
    network: NetworkDenoiser,
    device: Device,
}

/// Samples of every run.
const SAMPLES: usize = 2;

impl Scene {
    fn new() -> Self {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checkpoints/faces16.safetensors");
        let (checkpoint, device) = (Checkpoint::load(&file).unwrap(), Device::flex());
        Self {
            network: NetworkDenoiser::from_checkpoint(&checkpoint, &device).unwrap(),
            moments: checkpoint_moments(&checkpoint),
            device,
        }
    }

    fn settings(
        &self,
        form: Form,
        sampler: Sampler,
        data: &Dataset,
        mirrored: bool,
    ) -> ResolvedConfig {
        let options = DensityConfig {
            density: form.density,
            trace: TraceOptions {
                kind: TraceKind::Hutchinson,
                probes: 2,
                period: 3,
                seed: 0,
            },
            bandwidth: form.bandwidth.map(|h| h.parse::<Bandwidth>().unwrap()),
        };
        let estimator = options.estimator(&self.moments, data, mirrored, &self.device);
        ResolvedConfig {
            first: 0,
            samples: SAMPLES,
            batch: SAMPLES,
            sampler,
            sigmas: schedule::edm(10),
            density: estimator.unwrap(),
            cutoff: 0.0,
            seed: 3,
            start: StartingNoise::Drawn,
            curvature: false,
            by_step: false,
            zero_check: Some(Empirical::of_images(data, mirrored, &self.device).unwrap()),
        }
    }

    /// δ of every group of images.
    fn sensitivities(
        &self,
        settings: &ResolvedConfig,
        groups: &[&Dataset],
        mirrored: bool,
    ) -> Sensitivities {
        self.sensitivities_of_model(&self.network, settings, groups, mirrored)
    }

    fn sensitivities_of_model(
        &self,
        model: &dyn Denoiser,
        settings: &ResolvedConfig,
        groups: &[&Dataset],
        mirrored: bool,
    ) -> Sensitivities {
        let measures: Vec<Empirical> = groups
            .iter()
            .map(|group| Empirical::of_images(group, mirrored, &self.device).unwrap())
            .collect();
        let measures: Vec<&dyn Measure> = measures.iter().map(|m| m as &dyn Measure).collect();
        sensitivities::compute(model, &measures, settings, &self.device, |_| ()).unwrap()
    }

    fn influences(
        &self,
        settings: &ResolvedConfig,
        functionals: &[Box<dyn Functional>],
        data: &Dataset,
        mirrored: bool,
    ) -> Influences {
        let images = ImagePoints::new(data, mirrored, &self.device);
        influence::compute(&self.network, &images, functionals, settings, 3, |_| ()).unwrap()
    }
}

fn faces(count: usize) -> Dataset {
    let options = LoadOptions {
        size: Some(16),
        ..LoadOptions::default()
    };
    datasway_data::load(&Source::parse(&format!("faces:{count}")).unwrap(), &options).unwrap()
}

fn range(data: &Dataset, range: std::ops::Range<usize>) -> Dataset {
    data.subset(&range.collect::<Vec<_>>())
}

fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|v| f64::from(*v)).collect()
}

/// `Σ_k c_k·v_k`.
fn combined(parts: &[(f64, &[f32])]) -> Vec<f64> {
    let mut sum = vec![0.0; parts[0].1.len()];
    for (c, v) in parts {
        sum.iter_mut()
            .zip(*v)
            .for_each(|(sum, v)| *sum += c * f64::from(*v));
    }
    sum
}

fn largest(values: &[f64]) -> f64 {
    assert!(values.iter().all(|v| v.is_finite()));
    values.iter().fold(0.0, |top, v| top.max(v.abs()))
}

/// The largest difference relative to a size.
fn apart(a: &[f64], b: &[f64], size: f64) -> f64 {
    assert!(size > 0.0 && a.len() == b.len());
    let gaps: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    largest(&gaps) / size
}

#[track_caller]
fn close(error: f64, what: &dyn std::fmt::Debug) {
    assert!(error < TOLERANCE, "{what:?}: {error:e}");
}

/// Identities of δ over groups of the training images.
///
/// - δ(all) = 0.
/// - δ of a union is the weighted mean of the groups' δ.
/// - δ of all images but one is opposite to δ of that image.
/// - log r is at most `ln(m/|group|)`.
#[test]
fn sensitivities_add_up() {
    let (scene, data) = (Scene::new(), faces(120));
    let (a, b) = (range(&data, 10..40), range(&data, 40..90));
    let (union, single) = (range(&data, 10..90), range(&data, 7..8));
    let others: Vec<usize> = (0..data.len()).filter(|i| *i != 7).collect();
    let (others, m) = (data.subset(&others), data.len() as f64);
    for (form, sampler) in combinations() {
        let settings = scene.settings(form, sampler, &data, true);
        let groups = [&a, &b, &union, &single, &others, &data];
        let results = scene.sensitivities(&settings, &groups, true);
        let what = (form, sampler);
        let [a, b, union, single, others, whole] =
            [0, 1, 2, 3, 4, 5].map(|k| &results.deltas[k][..]);
        let size = largest(&wide(a)).max(largest(&wide(b)));

        let mean = combined(&[(30.0 / 80.0, a), (50.0 / 80.0, b)]);
        close(apart(&wide(union), &mean, size), &("union", what));
        let opposite = combined(&[(m / (m - 1.0), whole), (-1.0 / (m - 1.0), single)]);
        let others_size = largest(&wide(others)).max(largest(&wide(single)) / (m - 1.0));
        close(
            apart(&wide(others), &opposite, others_size),
            &("all but one", what),
        );
        // The zero check of a run is its δ(all).
        let residuals = results.residuals.as_deref().unwrap();
        close(
            apart(&wide(residuals), &wide(whole), size),
            &("residual", what),
        );
        if form.compares_one_measure() {
            close(largest(&wide(whole)) / size, &("δ(all) = 0", what));
        }
        if form.closed() {
            let shares = [30.0, 50.0, 80.0, 1.0, m - 1.0, m];
            for (ratios, share) in results.log_ratios.iter().zip(shares) {
                let top = wide(ratios).into_iter().fold(f64::NEG_INFINITY, f64::max);
                let bound = (m / share).ln() + TOLERANCE;
                assert!(top <= bound, "{what:?}: {top} > {bound}");
            }
        }
    }
}

/// With ρ's own denoiser in the network's place, density and D are of one measure although D arrives rounded.
#[test]
fn more_of_the_same_data_moves_nothing_where_the_model_is_that_of_the_data() {
    let (scene, data) = (Scene::new(), faces(120));
    let model = Empirical::of_images(&data, true, &scene.device).unwrap();
    for sampler in SAMPLERS {
        // Below the distance between images their ideal denoiser returns the nearest one, which nothing moves.
        let settings = ResolvedConfig {
            sigmas: schedule::karras(10, 1.5, 80.0, schedule::RHO),
            ..scene.settings(empirical(None), sampler, &data, true)
        };
        let results =
            scene.sensitivities_of_model(&model, &settings, &[&range(&data, 10..40), &data], true);
        let size = largest(&wide(&results.deltas[0]));
        close(largest(&wide(&results.deltas[1])) / size, &sampler);
    }
}

/// Names, order, and copies of all images have no effect, and mirror images may be files or made by `flip`.
#[test]
fn the_same_measure_in_another_form_gives_the_same_numbers() {
    let (scene, data) = (Scene::new(), faces(60));
    let group = range(&data, 5..25);
    let reversed = data.subset(&(0..60).rev().collect::<Vec<_>>());
    let twice = data.subset(&(0..120).map(|i| i % 60).collect::<Vec<_>>());
    let [mirrors, group_mirrors] = [&data, &group].map(with_mirrors);
    for (form, sampler) in combinations() {
        let run = |data: &Dataset, group: &Dataset, mirrored: bool| {
            let settings = scene.settings(form, sampler, data, mirrored);
            let h = match &settings.density {
                DensityEstimator::Smoothed(smoothed) => smoothed.bandwidth,
                _ => 0.0,
            };
            (h, scene.sensitivities(&settings, &[group], mirrored))
        };
        let (h, base) = run(&data, &group, true);
        let base = wide(&base.deltas[0]);
        for (name, data, group, mirrored) in [
            ("reversed", &reversed, &group, true),
            ("twice", &twice, &group, true),
            ("mirror images as files", &mirrors, &group_mirrors, false),
        ] {
            let (other_h, other) = run(data, group, mirrored);
            assert_eq!(h, other_h, "{name}, {form:?}");
            let error = apart(&wide(&other.deltas[0]), &base, largest(&base));
            close(error, &(name, form, sampler));
        }
    }
}

/// The images and their mirror images, as a set of files has them.
fn with_mirrors(data: &Dataset) -> Dataset {
    let folder = tempfile::tempdir().unwrap();
    let shape = data.shape;
    for i in 0..data.len() {
        let pixel = |x: u32, y: u32| {
            let offset = y as usize * shape.width + x as usize;
            let plane = shape.width * shape.height;
            image::Rgb([0, 1, 2].map(|c| data.image(i)[c * plane + offset]))
        };
        let (w, h) = (shape.width as u32, shape.height as u32);
        for (side, mirrored) in [("a", false), ("b", true)] {
            let column = |x: u32| if mirrored { w - 1 - x } else { x };
            let picture = image::RgbImage::from_fn(w, h, |x, y| pixel(column(x), y));
            let file = folder.path().join(format!("{i:03}{side}.png"));
            picture.save(file).unwrap();
        }
    }
    let source = Source::Folder(folder.path().to_owned());
    let mirrored_set = datasway_data::load(&source, &LoadOptions::default()).unwrap();
    assert_eq!(
        (mirrored_set.len(), mirrored_set.shape),
        (2 * data.len(), shape)
    );
    mirrored_set
}

/// One functional of each kind; the last is constant.
fn functionals(data: &Dataset, device: &Device) -> Vec<Box<dyn Functional>> {
    let d = data.shape.dim();
    let config = ClassifierConfig {
        steps: 1,
        channels: 8,
        ..ClassifierConfig::default()
    };
    let mut trainer = ClassifierTrainer::new(config, data, device).unwrap();
    trainer.advance().unwrap();
    let saved = trainer.save().unwrap();
    let odds = LogOdds::new("odds".into(), &saved, "attr:Eyeglasses", device).unwrap();
    let row = |i: usize| data.values(i).collect::<Vec<f32>>();
    let linear = |name: &str, weights| Linear {
        name: name.to_owned(),
        weights,
    };
    vec![
        Box::new(Principal::default()),
        Box::new(linear(
            "region",
            (0..d).map(|j| f32::from(u8::from(j % 16 < 4))).collect(),
        )),
        Box::new(linear("one for each sample", [row(3), row(4)].concat())),
        Box::new(Distance {
            name: "image".to_owned(),
            target: row(17),
        }),
        Box::new(odds),
        Box::new(linear("constant", vec![0.0; d])),
    ]
}

/// Samples need different numbers of products, so that a rule for the batch would show.
#[test]
fn the_principal_direction_of_a_sample_does_not_depend_on_its_batch() {
    let (scene, data) = (Scene::new(), faces(120));
    let functionals: [Box<dyn Functional>; 1] = [Box::new(Principal::default())];
    for (form, sampler) in combinations().take(2) {
        let mut settings = scene.settings(form, sampler, &data, true);
        (settings.samples, settings.batch) = (6, 6);
        let together = scene.influences(&settings, &functionals, &data, true);
        settings.batch = 1;
        let alone = scene.influences(&settings, &functionals, &data, true);
        let [together, alone] =
            [together, alone].map(|found| wide(&found.functionals[0].gradients));
        for (a, b) in together.iter().zip(&alone) {
            close((a - b).abs(), &("direction", form, sampler));
        }
    }
}

/// Identities of the influences `a_j` over groups of the training images.
///
/// - The mean of `a_j` over a group is `⟨∇f, δ⟩`, and over all images it is the residual.
/// - The ratios balance.
/// - No image has an influence on a constant.
#[test]
fn influences_add_up_to_sensitivities() {
    let (scene, data) = (Scene::new(), faces(120));
    let (groups, n, m) = ([10..40, 7..8, 0..120], SAMPLES, data.len());
    let functionals = functionals(&data, &scene.device);
    for (form, sampler) in combinations() {
        let settings = scene.settings(form, sampler, &data, true);
        let influences = scene.influences(&settings, &functionals, &data, true);
        let sets: Vec<Dataset> = groups
            .iter()
            .map(|group| range(&data, group.clone()))
            .collect();
        let sets: Vec<&Dataset> = sets.iter().collect();
        let tangent = scene.sensitivities(&settings, &sets, true);
        assert_eq!(influences.samples, tangent.samples);
        for functional in &influences.functionals {
            let what = (&functional.name, form, sampler);
            if functional.name == "constant" {
                assert!(functional.influence.iter().all(|a| *a == 0.0), "{what:?}");
                continue;
            }
            for i in 0..n {
                let row = wide(&functional.influence[i * m..(i + 1) * m]);
                let size = row.iter().map(|a| a.abs()).sum::<f64>() / m as f64;
                for (k, group) in groups.iter().enumerate() {
                    let members = &row[group.clone()];
                    let mean = members.iter().sum::<f64>() / members.len() as f64;
                    let gradient =
                        wide(&functional.gradients[i * influences.dim..(i + 1) * influences.dim]);
                    let delta = wide(tangent.delta(k, i));
                    let along: f64 = gradient.iter().zip(delta).map(|(g, d)| g * d).sum();
                    let typical = members.iter().map(|a| a.abs()).fold(size, f64::max);
                    close((mean - along).abs() / typical, &("mean", k, i, what));
                }
                let residual = f64::from(functional.residuals[i]);
                let mean = row.iter().sum::<f64>() / m as f64;
                close((residual - mean).abs() / size, &("residual", i, what));
                if form.compares_one_measure() {
                    close(residual.abs() / size, &("zero", i, what));
                }
            }
        }
        if form.closed() {
            let gaps: Vec<f64> = wide(&influences.balance).iter().map(|b| b - 1.0).collect();
            close(largest(&gaps), &("balance", form, sampler));
        }
    }
}
