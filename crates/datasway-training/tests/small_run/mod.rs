//! Configuration and training set of a run of seconds.

use datasway_training::config::TrainConfig;
use datasway_training::training_set::TrainingSetInfo;

/// A network of 8×8 images and 20 steps.
pub fn config() -> TrainConfig {
    let mut config = TrainConfig::preset("faces16").unwrap();
    config.network.image_size = 8;
    config.network.channels = 8;
    config.network.attention = vec![4];
    config.network.head_channels = 8;
    config.steps = 20;
    config.warmup = 2;
    config
}

/// Statistics of 192 entries that do not belong to images.
pub fn set() -> TrainingSetInfo {
    TrainingSetInfo {
        name: "noise".into(),
        limit: None,
        skip_bad: false,
        fingerprint: "1".into(),
        sigma_data: 0.5,
        mean: vec![0.0; 192],
        variance: vec![0.25; 192],
    }
}
