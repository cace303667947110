//! The distribution that batches are drawn from, and the noise that changed ones share with it.

use burn::tensor::Device;
use datasway_data::{Dataset, LoadOptions, Source};
use datasway_training::batches::Batches;
use datasway_training::config::TrainConfig;

fn faces(count: usize) -> Dataset {
    let options = LoadOptions {
        size: Some(4),
        ..LoadOptions::default()
    };
    datasway_data::load(&Source::parse(&format!("faces:{count}")).unwrap(), &options).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig {
        batch: 4_000,
        flip: false,
        ..TrainConfig::preset("faces16").unwrap()
    }
}

/// The images of one large batch, each as its pixels.
fn draw(batches: &Batches) -> Vec<Vec<u32>> {
    let batch = batches.at(config().draws(), 0, &Device::flex());
    let pixels: Vec<f32> = batch.into_data().try_to_vec().unwrap();
    let bits = |image: &[f32]| image.iter().map(|v| v.to_bits()).collect();
    pixels.chunks_exact(48).map(bits).collect()
}

fn pixels(images: &Dataset, index: usize) -> Vec<u32> {
    images.values(index).map(f32::to_bits).collect()
}

/// True if `count` of `n` is within four standard deviations of the probability.
#[track_caller]
fn likely(count: usize, n: usize, probability: f64) {
    let (n, count) = (n as f64, count as f64);
    let deviation = (n * probability * (1.0 - probability)).sqrt();
    assert!(
        (count - n * probability).abs() <= 4.0 * deviation,
        "{count} of {n}, expected {}",
        n * probability
    );
}

#[test]
fn adding_takes_its_share_and_leaves_the_rest_in_place() {
    let (images, added) = (faces(20), faces(21).subset(&[20]));
    let base = draw(&Batches::new(&images));
    let changed = draw(&Batches::adding(&images, &added, 0.25).unwrap());
    let new = pixels(&added, 0);
    let struck = changed.iter().filter(|image| **image == new).count();
    likely(struck, base.len(), 0.2);
    for (before, after) in base.iter().zip(&changed) {
        assert!(before == after || *after == new);
    }
}

#[test]
fn removing_thins_the_group_and_leaves_the_rest_in_place() {
    let images = faces(20);
    let group = [3, 4, 5, 6, 7];
    let base = draw(&Batches::new(&images));
    let changed = draw(&Batches::removing(&images, &group, 0.15).unwrap());
    let thinned: Vec<_> = group.iter().map(|i| pixels(&images, *i)).collect();
    let left = changed
        .iter()
        .filter(|image| thinned.contains(image))
        .count();
    // (0.25 − 0.15) of the remaining 0.85.
    likely(left, base.len(), 0.10 / 0.85);
    for (before, after) in base.iter().zip(&changed) {
        assert!(before == after || thinned.contains(before));
    }
    // All of it.
    let none = draw(&Batches::removing(&images, &group, 0.25).unwrap());
    assert!(none.iter().all(|image| !thinned.contains(image)));
}

#[test]
fn masses_that_make_no_measure_are_refused() {
    let images = faces(20);
    let error = Batches::removing(&images, &[1, 2], 0.2)
        .unwrap_err()
        .to_string();
    assert!(error.contains("(0, 0.1000]"), "{error}");
    assert!(Batches::removing(&images, &[], 0.1).is_err());
    assert!(Batches::removing(&images, &(0..20).collect::<Vec<_>>(), 1.0).is_err());
    assert!(Batches::adding(&images, &images, -0.1).is_err());
    assert!(Batches::adding(&images, &images, f64::NAN).is_err());
}
