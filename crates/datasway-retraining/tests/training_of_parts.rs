//! Attribution through the weights by the length of a training, against single images' influences by the adjoint.
//!
//! A part's predicted change of `⟨v, x⟩` is `⟨v, δ⟩` of its tangent. The filter of a training is symmetric, so that it is the mean of
//! the influences of the part's images on `⟨v, x⟩`, which are computed backwards. The training is written down here again.

use burn::tensor::{DType, Tensor};
use datasway_attribution::{AttributionContext, AttributionTarget, Attributor, ScoreColumns};
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule;
use datasway_diffusion::training_noise::TrainingNoise;
use datasway_retraining::prepared::{PreparedExperiment, RunEnvironment, prepare};
use datasway_retraining::spec::Experiment;
use datasway_sensitivity::density::ClosedForm;
use datasway_sensitivity::learner::{
    Damping, FiniteTraining, Learner, LearnerConfig, weight_gradients,
};
use datasway_sensitivity::measure::Empirical;
use datasway_sensitivity::trajectory::Trajectory;
use datasway_training::batches::Batches;
use datasway_training::optimization::Optimization;
use datasway_training::trainer::ScoreTrainer;

const EXPERIMENT: &str = r#"
name = "parts"
data = "faces:40"
preset = "faces16"
seeds = [0]

[set]
steps = 40
batch = 8
learning_rate = 2e-3
warmup = 5
ema_decay = 0.9
flip = false
network = { image_size = 8, channels = 8, multipliers = [1], attention = [] }

[samples]
count = 2
steps = 3

[attribution]
subsets = 3
held_out = 8
functionals = 2
draws = 2
variant = { kind = "fine-tune", set = { steps = 6, batch = 4, learning_rate = 3e-4, warmup = 2 } }

[[attribution.methods]]
kind = "weights"
draws = 16
image_draws = 2
damping = "training"
iterations = 24
"#;

/// The training of the variant above. Weight decay and the bound of gradients have no part in the filter.
fn training(steps: u64) -> FiniteTraining {
    FiniteTraining {
        optimization: Optimization {
            steps,
            learning_rate: 3e-4,
            warmup: 2,
            weight_decay: 0.0,
            clip_norm: 1.0,
            ema_decay: 0.9,
        },
        batch: 4,
    }
}

fn prepared(folder: &std::path::Path) -> PreparedExperiment {
    let file = folder.join("parts.toml");
    std::fs::write(&file, EXPERIMENT).unwrap();
    let environment = RunEnvironment {
        data: None,
        cache: folder.to_owned(),
        device: "flex".to_owned(),
        progress: None,
    };
    prepare(Experiment::load(&file).unwrap(), &environment).unwrap()
}

/// `⟨v, δ⟩` of every part from the influences of single images, `[n·F][parts]`.
fn by_influences(context: &AttributionContext<'_>, training: FiniteTraining) -> Vec<Vec<f64>> {
    let noise = TrainingNoise::LogNormal(context.training_noise);
    let learner = Learner {
        model: context.model,
        training_set: &context.image_points,
        noise: &noise,
        config: LearnerConfig {
            curvature_draws: 16,
            image_draws: 2,
            damping: Damping::Training(training),
            tolerance: 0.0,
            iterations: 24,
            ..LearnerConfig::default()
        },
    };
    let data = Empirical::new(context.image_points.clone()).unwrap();
    let (n, frozen) = (context.samples.dims()[0], FrozenNoise::new(0));
    let start = frozen.start([n, context.model.dim()], context.device, DType::F32);
    let sigmas = schedule::edm(3);
    let (sampler, density) = (Sampler::Heun, ClosedForm(&data));
    let path = Trajectory::sample(context.model, &density, &sampler, &sigmas, start, &frozen);
    let path = path.unwrap();
    // [n, F, d] to [F, n, d].
    let gradients = context.directions().swap_dims(0, 1);
    let pulled = path.pull_back(context.model, gradients).unwrap();
    let right = weight_gradients(context.model, &path, &pulled, 0..n).unwrap();
    let solutions = learner.solve(&right, &mut |_| ()).unwrap().solutions;
    let influences = learner.influences(&solutions, &mut |_| ()).unwrap();
    let means = |row: &Vec<f64>| {
        let mean =
            |part: &Vec<usize>| part.iter().map(|&j| row[j]).sum::<f64>() / part.len() as f64;
        context.subsets.iter().map(mean).collect()
    };
    influences.iter().map(means).collect()
}

/// The largest difference, relative to the largest entry of the first.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    let size = a.iter().fold(0.0f64, |top, a| top.max(a.abs()));
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    apart.fold(0.0, f64::max) / size
}

#[test]
fn a_parts_prediction_by_the_length_of_the_variants_training_is_its_images_mean_influence() {
    let folder = tempfile::tempdir().unwrap();
    let prepared = prepared(folder.path());
    let own = prepared.config.own().unwrap();
    let device = &prepared.device;
    let mut trainer =
        ScoreTrainer::new(own.clone(), prepared.training_set.clone(), device).unwrap();
    let batches = Batches::new(&prepared.images);
    for step in 0..own.steps {
        trainer
            .advance(batches.at(own.draws(), step, device))
            .unwrap();
    }
    let checkpoint = trainer.checkpoint().unwrap();
    let model = NetworkDenoiser::from_checkpoint(&checkpoint, device).unwrap();
    let noise = FrozenNoise::new(0);
    let start = noise.start([2, model.dim()], device, DType::F32);
    let samples: Tensor<2> =
        sample(&model, &Sampler::Heun, &schedule::edm(3), start, &noise).unwrap();
    let context = prepared
        .attribution_context(&checkpoint, &model, samples)
        .unwrap();
    let method = &prepared.benchmark().unwrap().spec.methods[0];
    assert_eq!(method.name(), "ours weights-24-training");
    let scores = method.attribute(&context).unwrap();
    let of_samples = scores.into_iter().find(|scores| {
        scores.target == AttributionTarget::Sample && scores.columns == ScoreColumns::Subsets
    });
    let found: Vec<f64> = of_samples.unwrap().rows.into_data().iter::<f64>().collect();
    let expected = by_influences(&context, training(6)).concat();
    assert_eq!(found.len(), expected.len());
    let error = apart(&expected, &found);
    assert!(error < 1e-3, "{error}: {found:?} {expected:?}");
    // A step more is seen.
    let longer = by_influences(&context, training(7)).concat();
    let difference = apart(&longer, &found);
    assert!(difference > 0.05, "{difference}");
}
