//! Tests of training a classifier, of resuming it, and of the log-odds of its labels.

use burn::tensor::{Device, Tensor};
use datasway_classifier::{ClassifierCheckpoint, ClassifierConfig, ClassifierTrainer, Labels};
use datasway_data::{Dataset, LoadOptions, Source};

fn faces(count: usize) -> Dataset {
    let options = LoadOptions {
        size: Some(8),
        ..LoadOptions::default()
    };
    datasway_data::load(&Source::parse(&format!("faces:{count}")).unwrap(), &options).unwrap()
}

fn small(steps: u64) -> ClassifierConfig {
    ClassifierConfig {
        steps,
        channels: 8,
        batch: 32,
        ..ClassifierConfig::default()
    }
}

#[test]
fn faces_are_told_apart_on_images_that_were_not_trained_on() {
    let images = faces(2000);
    let mut trainer = ClassifierTrainer::new(small(400), &images, &Device::flex()).unwrap();
    let before = trainer.evaluate().unwrap();
    while trainer.step() < 400 {
        trainer.advance().unwrap();
    }
    assert_eq!(trainer.counts(), [1800, 200]);
    let after = trainer.evaluate().unwrap();
    let auc = |metrics: &[datasway_classifier::evaluation::LabelMetrics], label: &str| {
        let metric = metrics.iter().find(|q| q.label == label).unwrap();
        assert_eq!(metric.of, 200);
        metric.auc.unwrap()
    };
    let label = "attr:Pale_Skin";
    assert!(auc(&before, label) < 0.8, "{before:?}");
    assert!(auc(&after, label) > 0.95, "{after:?}");
}

#[test]
fn a_resumed_run_ends_with_the_same_bytes() {
    let images = faces(60);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let device = Device::flex();
    let go = |mut trainer: ClassifierTrainer, until: u64, name: &str| {
        while trainer.step() < until {
            trainer.advance().unwrap();
        }
        trainer.save().unwrap().write(&file(name)).unwrap();
    };
    let start = || ClassifierTrainer::new(small(6), &images, &device).unwrap();
    go(start(), 6, "straight");
    go(start(), 3, "half");
    let half = ClassifierCheckpoint::read(&file("half")).unwrap();
    assert!(half.optimizer.is_some());
    let trainer = ClassifierTrainer::resume(small(6), &images, half.clone(), &device).unwrap();
    go(trainer, 6, "resumed");
    let [straight, resumed] =
        ["straight", "resumed"].map(|name| ClassifierCheckpoint::read(&file(name)).unwrap());
    assert_eq!(straight.weights, resumed.weights);
    assert!(straight.optimizer.is_none());

    let refused = |config, images, saved| {
        let error = ClassifierTrainer::resume(config, images, saved, &device).err();
        error.unwrap().to_string()
    };
    let others = faces(50);
    assert!(refused(small(7), &images, half.clone()).contains("another configuration"));
    assert!(refused(small(6), &others, half).contains("other images"));
    assert!(refused(small(6), &images, straight).contains("nothing to resume"));
}

#[test]
fn log_odds_are_those_of_the_probabilities() {
    let labels = Labels {
        attributes: vec!["a".to_owned()],
        classes: ["x", "y", "z"].map(str::to_owned).to_vec(),
    };
    let device = Device::flex();
    for z in [[0.3_f32, 1.0, -2.0, 0.5], [-4.0, 30.0, -30.0, 2.0]] {
        let outputs = Tensor::<1>::from_floats(z, &device).reshape([1, 4]);
        let odds: Vec<f32> = (labels.log_odds(outputs.clone()).into_data())
            .try_to_vec()
            .unwrap();
        let z = z.map(f64::from);
        let total: f64 = z[1..].iter().map(|z| z.exp()).sum();
        let mut expected = vec![z[0]];
        // ln p/(1 − p) with p = exp z_c / Σ exp z_b.
        expected.extend(z[1..].iter().map(|z| (z.exp() / (total - z.exp())).ln()));
        for (value, expected) in odds.iter().zip(&expected) {
            let apart = (f64::from(*value) - expected).abs();
            assert!(apart < 1e-5 * expected.abs().max(1.0), "{value} {expected}");
        }
        // − ln p of the attribute that is there, and of the second class.
        let loss = labels.loss(outputs, vec![vec![true, false, true, false]]);
        let binary = (1.0 + (-z[0]).exp()).ln();
        let multinomial = total.ln() - z[2];
        let loss = f64::from(loss.into_scalar::<f32>());
        let expected = binary + multinomial;
        assert!((loss / expected - 1.0).abs() < 1e-6, "{loss} {expected}");
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("classifier.safetensors");
    let refused = || ClassifierCheckpoint::read(&file).unwrap_err().to_string();
    assert!(refused().contains("classifier.safetensors: cannot read"));
    std::fs::write(&file, b"no tensors").unwrap();
    assert!(refused().contains("not a complete SafeTensors file"));
    let empty = safetensors::serialize(
        Vec::<(String, safetensors::tensor::TensorView)>::new(),
        None,
    );
    std::fs::write(&file, empty.unwrap()).unwrap();
    assert!(refused().contains("not a classifier"));
    let images = faces(30);
    let trainer = ClassifierTrainer::new(small(1), &images, &Device::flex()).unwrap();
    let mut saved = trainer.save().unwrap();
    saved.weights.remove("head.bias");
    let error = saved.network(&Device::flex()).unwrap_err().to_string();
    assert!(error.contains("head.bias is missing"), "{error}");
}
