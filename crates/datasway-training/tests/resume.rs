//! A run that is stopped and resumed ends with the same bytes as one that is not.

mod small_run;

use burn::tensor::{Device, Tensor};
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_training::config::{PRESETS, TrainConfig};
use datasway_training::trainer::ScoreTrainer;
use datasway_training::training_set::TrainingSetInfo;

use small_run::{config, set};

fn batch(step: u64, device: &Device) -> Tensor<4> {
    let mut rng = generator(5, RandomStream::Batch, [step]);
    (normal(&mut rng, [4, 192], device) * 0.5).reshape([4, 3, 8, 8])
}

fn advance(trainer: &mut ScoreTrainer, steps: u64, device: &Device) {
    for _ in 0..steps {
        trainer.advance(batch(trainer.step(), device)).unwrap();
    }
}

#[test]
fn resuming_from_disk_changes_no_bit() {
    let device = Device::flex();
    let mut straight = ScoreTrainer::new(config(), set(), &device).unwrap();
    advance(&mut straight, 3, &device);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    straight.checkpoint().unwrap().save(&path).unwrap();
    advance(&mut straight, 4, &device);

    let stored = Checkpoint::load(&path).unwrap();
    let mut resumed = ScoreTrainer::resume(config(), set(), stored, &device).unwrap();
    assert_eq!(resumed.step(), 3);
    advance(&mut resumed, 4, &device);

    let (a, b) = (
        straight.checkpoint().unwrap(),
        resumed.checkpoint().unwrap(),
    );
    assert_eq!(a.header, b.header);
    assert_eq!(a.model, b.model);
    assert_eq!(a.ema, b.ema);
    assert_ne!(a.model.as_ref(), Some(&a.ema));
}

#[test]
fn other_images_or_settings_are_refused_with_the_reason() {
    let device = Device::flex();
    let mut trainer = ScoreTrainer::new(config(), set(), &device).unwrap();
    advance(&mut trainer, 1, &device);
    let stored = trainer.checkpoint().unwrap();

    let other = TrainingSetInfo {
        fingerprint: "2".into(),
        ..set()
    };
    let error = ScoreTrainer::resume(config(), other, stored.clone(), &device)
        .err()
        .unwrap();
    assert!(error.to_string().contains("other images"), "{error}");

    let changed = TrainConfig {
        batch: 3,
        ..config()
    };
    let error = ScoreTrainer::resume(changed, set(), stored, &device)
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("another configuration"),
        "{error}"
    );
}

#[test]
fn a_loss_that_is_not_finite_stops_and_leaves_the_run_as_it_was() {
    let device = Device::flex();
    let mut trainer = ScoreTrainer::new(config(), set(), &device).unwrap();
    advance(&mut trainer, 1, &device);
    let before = trainer.checkpoint().unwrap();
    let error = trainer.advance(batch(1, &device) * f32::NAN).unwrap_err();
    assert!(error.to_string().contains("at step 1"), "{error}");
    assert_eq!(trainer.checkpoint().unwrap().model, before.model);
    assert_eq!(trainer.step(), 1);
}

#[test]
fn every_preset_is_valid_and_an_unknown_one_lists_them() {
    for name in PRESETS {
        TrainConfig::preset(name).unwrap().validate().unwrap();
    }
    let error = TrainConfig::preset("faces17").unwrap_err().to_string();
    assert!(error.contains("faces16"), "{error}");
}

#[test]
fn the_learning_rate_rises_and_falls_to_zero() {
    let config = config();
    assert!(config.learning_rate_at(0) < config.learning_rate_at(1));
    assert!(config.learning_rate_at(10) > config.learning_rate_at(19));
    assert!(config.learning_rate_at(20).abs() < 1e-12);
}

#[test]
fn any_field_can_be_set_and_a_wrong_one_is_named() {
    let config = config();
    let wide = config.with("network.channels", "64").unwrap();
    assert_eq!(wide.network.channels, 64);
    let levels = config.with("network.multipliers", "[1, 2, 4]").unwrap();
    assert_eq!(levels.network.multipliers, [1, 2, 4]);
    assert_eq!(
        config.with("learning_rate", "1").unwrap().learning_rate,
        1.0
    );
    for (field, value, says) in [
        ("network.chanels", "64", "there is no such field"),
        ("net.channels", "64", "there is no group net"),
        ("flip", "perhaps", "not TOML"),
        ("batch", "\"many\"", "batch"),
    ] {
        let error = config.with(field, value).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn fine_tuning_starts_at_the_average_and_forgets_the_optimiser() {
    let device = Device::flex();
    let mut base = ScoreTrainer::new(config(), set(), &device).unwrap();
    advance(&mut base, 3, &device);
    let base = base.checkpoint().unwrap().for_sampling();

    let start = ScoreTrainer::fine_tune(config(), set(), &base, &device).unwrap();
    assert_eq!(start.step(), 0);
    let start = start.checkpoint().unwrap();
    assert_eq!(start.model.as_ref(), Some(&base.ema));
    assert_eq!(start.ema, base.ema);

    // The common steps of two runs agree to the last bit: the optimiser starts without a state.
    let ends: Vec<Checkpoint> = (0..2)
        .map(|_| {
            let mut trainer = ScoreTrainer::fine_tune(config(), set(), &base, &device).unwrap();
            advance(&mut trainer, 2, &device);
            trainer.checkpoint().unwrap()
        })
        .collect();
    assert_eq!(ends[0].model, ends[1].model);
    assert_ne!(ends[0].ema, base.ema);
}
