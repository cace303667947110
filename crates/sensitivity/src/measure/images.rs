//! Images as a measure.

use burn::tensor::{Device, Tensor, TensorData};
use data::Dataset;
use diffusion::DiffusionError;
use diffusion::device::widest_float;

use super::Empirical;

impl Empirical {
    /// Images as the measure that a training sees, with their mirror images if it `mirrored` them, summed in the widest
    /// precision that the device has.
    ///
    /// # Errors
    /// If there are no images.
    pub fn of_images(
        images: &Dataset,
        mirrored: bool,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        let measure = Self::new(points(images, mirrored, device))?;
        Ok(measure.with_precision(widest_float(device)))
    }
}

/// Images as points where the model lives: `[m, d]`, pixels in `[-1, 1]`; with their mirror images, `[2m, d]`, if
/// the model was trained on those too.
pub fn points(images: &Dataset, mirrored: bool, device: &Device) -> Tensor<2> {
    let all: Vec<usize> = (0..images.len()).collect();
    let mut values = Vec::new();
    images.fill(&all, &mut values);
    if mirrored {
        let rows = values.chunks_exact(images.shape.width);
        let mirror: Vec<f32> = rows.flat_map(|row| row.iter().rev().copied()).collect();
        values.extend(mirror);
    }
    let d = images.shape.dim();
    let shape = [values.len() / d, d];
    Tensor::from_data(TensorData::new(values, shape), device)
}
