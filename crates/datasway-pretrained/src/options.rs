//! Options of loading a model.

use burn::tensor::{DType, Device};
use datasway_diffusion::pixels::PixelRange;
use serde_json::Value;

/// Options of loading a model.
#[derive(Debug, Clone)]
pub struct PretrainedOptions {
    /// The class of a model with classes; the null label without one.
    pub class: Option<usize>,
    /// The weight of classifier-free guidance; none without guidance.
    pub guidance: Option<f64>,
    /// The configuration of the scheduler, in the place of the one beside the model.
    pub scheduler: Option<Value>,
    /// The range of the model's pixels, in the place of that of its pipeline.
    pub pixels: Option<PixelRange>,
    /// The device.
    pub device: Device,
    /// The precision of all numbers.
    pub dtype: DType,
}

impl Default for PretrainedOptions {
    fn default() -> Self {
        Self {
            class: None,
            guidance: None,
            scheduler: None,
            pixels: None,
            device: Device::flex(),
            dtype: DType::F32,
        }
    }
}
