//! Training of score models. A resumed run gives the same bytes as an uninterrupted one.

pub mod batches;
pub mod class_images;
pub mod config;
pub mod fine_tune;
pub mod loss_log;
pub mod memory;
pub mod optimization;
pub mod picture_shape;
pub mod sidecar;
pub mod trainer;
pub mod training_loop;
pub mod training_set;
