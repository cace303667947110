//! Every number of a configuration has a range, and what a run starts from is checked before it starts.

mod small_run;

use burn::tensor::{Device, Tensor};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_training::config::TrainConfig;
use datasway_training::trainer::{ScoreTrainer, check_fine_tune};
use datasway_training::training_set::TrainingSetInfo;

use small_run::{config, set};

fn batch(step: u64) -> Tensor<4> {
    let mut rng = generator(5, RandomStream::Batch, [step]);
    (normal(&mut rng, [4, 192], &Device::flex()) * 0.5).reshape([4, 3, 8, 8])
}

/// A checkpoint after three steps, as a file gives it back.
fn stored() -> Checkpoint {
    let mut trainer = ScoreTrainer::new(config(), set(), &Device::flex()).unwrap();
    for step in 0..3 {
        trainer.advance(batch(step)).unwrap();
    }
    trainer.checkpoint().unwrap()
}

fn refused<T>(result: Result<T, DiffusionError>) -> String {
    let error = result.err().expect("refused").to_string();
    assert!(!error.contains('\n') && !error.contains("--"), "{error}");
    error
}

#[test]
fn every_number_out_of_its_range_is_named() {
    const BAD: [&str; 7] = [
        "0",
        "-1",
        "nan",
        "inf",
        "-inf",
        "1e300",
        "9223372036854775807",
    ];
    // What is right of these for each field.
    let fields: [(&str, &[&str]); 18] = [
        ("seed", &["0", "9223372036854775807"]),
        ("steps", &[]),
        ("batch", &[]),
        ("learning_rate", &[]),
        ("warmup", &["0"]),
        ("weight_decay", &["0"]),
        ("clip_norm", &[]),
        ("ema_decay", &["0"]),
        ("noise.mean", &["0", "-1"]),
        ("noise.std", &[]),
        ("flip", &[]),
        ("network.image_channels", &[]),
        ("network.image_size", &[]),
        ("network.channels", &[]),
        ("network.multipliers", &[]),
        ("network.blocks", &[]),
        ("network.attention", &[]),
        ("network.head_channels", &[]),
    ];
    assert!(config().validate().is_ok());
    for (field, fine) in fields {
        let list = ["network.multipliers", "network.attention"].contains(&field);
        for value in BAD {
            let text = if list {
                format!("[{value}]")
            } else {
                value.to_owned()
            };
            let checked = config().with(field, &text).and_then(|c| c.validate());
            if fine.contains(&value) {
                checked.unwrap_or_else(|error| panic!("{field} = {value}: {error}"));
            } else {
                let error = refused(checked);
                let name = field.rsplit('.').next().unwrap();
                assert!(error.contains(name), "{field} = {value}: {error}");
            }
        }
    }
    let seed = TrainConfig {
        seed: u64::MAX,
        ..config()
    };
    assert!(refused(seed.validate()).contains("seed"));
    let large = TrainConfig {
        batch: 60_000,
        ..TrainConfig::preset("celeba64").unwrap()
    };
    assert!(refused(large.validate()).contains("batch"));
    for steps in [0, 1, u64::MAX] {
        let config = TrainConfig { steps, ..config() };
        assert!(
            [0, 1, u64::MAX]
                .iter()
                .all(|step| config.learning_rate_at(*step).is_finite())
        );
    }
}

#[test]
fn images_that_are_all_alike_are_refused_before_the_first_step() {
    let device = Device::flex();
    let stored = stored();
    for sigma_data in [0.0, -0.1, f64::NAN, f64::INFINITY, 1e-9] {
        let alike = || TrainingSetInfo {
            sigma_data,
            ..set()
        };
        for error in [
            refused(ScoreTrainer::new(config(), alike(), &device)),
            refused(ScoreTrainer::fine_tune(config(), alike(), &stored, &device)),
            refused(ScoreTrainer::resume(
                config(),
                alike(),
                stored.clone(),
                &device,
            )),
        ] {
            assert!(error.contains("all images of noise are alike"), "{error}");
        }
    }
}

#[test]
fn a_model_that_has_diverged_is_never_saved() {
    let device = Device::flex();
    // Steps this large leave the range of single precision.
    let wild = TrainConfig {
        learning_rate: 10.0,
        weight_decay: 100.0,
        warmup: 0,
        ..config()
    };
    let mut trainer = ScoreTrainer::new(wild, set(), &device).unwrap();
    let first = trainer.checkpoint().unwrap();
    assert!(first.check_finite().is_ok());
    let mut stopped = None;
    for step in 0..20 {
        let result = trainer
            .advance(batch(step))
            .and_then(|_| trainer.checkpoint());
        if let Err(error) = result {
            stopped = Some(error);
            break;
        }
    }
    let error = stopped.expect("it diverges").to_string();
    assert!(
        error.contains("diverged") && error.contains("learning rate"),
        "{error}"
    );
}

#[test]
fn a_checkpoint_that_cannot_be_resumed_is_refused_with_the_reason() {
    let device = Device::flex();
    let stored = stored();
    assert!(ScoreTrainer::resume(config(), set(), stored.clone(), &device).is_ok());
    let first = stored.header.parameter_ids.keys().next().unwrap().clone();
    type Case<'a> = (&'a str, &'a dyn Fn(&mut Checkpoint), &'a str);
    let cases: [Case; 10] = [
        (
            "converted weights",
            &|c| c.notices.push("ema/input.bias holds F16 numbers".into()),
            "another program rewrote the checkpoint",
        ),
        ("another step", &|c| c.header.step = 2, "momentum.time"),
        (
            "a step after the last",
            &|c| c.header.step = 1 << 61,
            "after the last",
        ),
        (
            "no ids",
            &|c| c.header.parameter_ids.clear(),
            "has no parameter id",
        ),
        (
            "an id of 0",
            &|c| c.header.parameter_ids.extend([(first.clone(), 0)]),
            "has no parameter id",
        ),
        (
            "one id for all",
            &|c| c.header.parameter_ids.values_mut().for_each(|id| *id = 1),
            "the same parameter id",
        ),
        (
            "another id",
            &|c| c.header.parameter_ids.extend([(first.clone(), 1)]),
            "is missing",
        ),
        ("no state", &|c| c.optimizer = None, "averaged weights only"),
        (
            "a cut state",
            &|c| c.optimizer.as_mut().unwrap().truncate(500),
            "cannot be read",
        ),
        (
            "no such state",
            &|c| c.optimizer = Some(vec![1, 2, 3]),
            "cannot be read",
        ),
    ];
    for (name, change, says) in cases {
        let mut changed = stored.clone();
        change(&mut changed);
        let error = refused(ScoreTrainer::resume(config(), set(), changed, &device));
        assert!(error.contains(says), "{name}: {error}");
    }
}

#[test]
fn fine_tuning_another_network_is_refused_with_both() {
    let device = Device::flex();
    let start = stored();
    assert!(check_fine_tune(&config(), &start.header.network).is_ok());
    for (field, value) in [
        ("network.image_channels", "1"),
        ("network.image_size", "16"),
        ("network.channels", "16"),
        ("network.multipliers", "[1]"),
        ("network.blocks", "2"),
        ("network.attention", "[]"),
        ("network.head_channels", "4"),
    ] {
        let other = config().with(field, value).unwrap();
        let error = refused(check_fine_tune(&other, &start.header.network));
        assert!(
            error.contains(&format!("{field} is {value}, the model's is")),
            "{error}"
        );
        assert_eq!(
            error,
            refused(ScoreTrainer::fine_tune(other, set(), &start, &device))
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["one", "two"].map(|name| {
        let path = folder.path().join(name);
        stored().save(&path).unwrap();
        std::fs::read(path).unwrap()
    });
    assert!(files[0] == files[1], "two runs of one seed differ");
}
