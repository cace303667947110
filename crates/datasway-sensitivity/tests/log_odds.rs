//! The log-odds of a classifier as a functional of samples.

use burn::tensor::{Device, Tensor, TensorData};
use datasway_classifier::{ClassifierCheckpoint, ClassifierConfig, ClassifierTrainer};
use datasway_data::{Dataset, LoadOptions, Source};
use datasway_sensitivity::influence::LogOdds;

fn classifier(images: &Dataset, steps: u64) -> ClassifierCheckpoint {
    let config = ClassifierConfig {
        steps,
        channels: 8,
        batch: 16,
        ..ClassifierConfig::default()
    };
    let mut trainer = ClassifierTrainer::new(config, images, &Device::flex()).unwrap();
    while trainer.step() < steps {
        trainer.advance().unwrap();
    }
    trainer.save().unwrap()
}

/// The first procedural faces, with a class beside their attributes if `classes`.
fn faces(classes: bool) -> Dataset {
    let options = LoadOptions {
        size: Some(8),
        ..LoadOptions::default()
    };
    let mut images = datasway_data::load(&Source::parse("faces:60").unwrap(), &options).unwrap();
    if classes {
        let attributes = images.attributes.take().unwrap();
        images.classes = Some(datasway_data::Classes {
            names: ["a", "b", "c"].map(str::to_owned).to_vec(),
            labels: (attributes.values.iter())
                .map(|has| usize::from(has[0]) + usize::from(has[1]))
                .collect(),
        });
    }
    images
}

#[test]
fn the_gradient_is_a_central_difference_for_attributes_and_classes() {
    let device = Device::flex();
    for (classes, label) in [(false, "attr:Eyeglasses"), (true, "class:b")] {
        let images = faces(classes);
        let saved = classifier(&images, 20);
        let odds = LogOdds::new("odds".to_owned(), &saved, label, &device).unwrap();
        let mut pixels = Vec::new();
        images.fill(&[3, 4, 5], &mut pixels);
        let x = Tensor::<2>::from_data(TensorData::new(pixels, [3, 192]), &device);
        let gradients = odds.evaluate(&x).unwrap().gradients;
        let squares = (gradients.clone() * gradients.clone()).sum_dim(1);
        // Along the gradient, at such a length that f changes by about 0.01.
        let v = gradients * squares.clone().recip() * 0.005;
        let log_odds = |x: Tensor<2>| odds.evaluate(&x).unwrap().values;
        let difference = log_odds(x.clone() + v.clone()) - log_odds(x - v);
        let changes: Vec<f32> = difference.into_data().try_to_vec().unwrap();
        for change in changes {
            assert!((change / 0.01 - 1.0).abs() < 5e-3, "{label}: {change}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = Device::flex();
    let images = faces(false);
    let saved = classifier(&images, 1);
    let new = |saved: &ClassifierCheckpoint, label| {
        LogOdds::new("odds".to_owned(), saved, label, &device)
    };
    let unknown = new(&saved, "attr:Wings").unwrap_err().to_string();
    assert!(unknown.contains("attr:Wings") && unknown.contains("attr:Eyeglasses"));
    let unfinished = ClassifierCheckpoint {
        optimizer: Some(Vec::new()),
        ..saved.clone()
    };
    let unfinished = new(&unfinished, "attr:Smiling").unwrap_err().to_string();
    assert!(unfinished.contains("finish its training"), "{unfinished}");
    let smaller = Tensor::zeros([1, 48], &device);
    let odds = new(&saved, "attr:Smiling").unwrap();
    assert!(
        odds.evaluate(&smaller)
            .unwrap_err()
            .to_string()
            .contains("192")
    );
}
