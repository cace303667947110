//! A set of images as points where the model lives, read in chunks.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use data::Dataset;

/// Images as points, `[m, d]`, pixels in `[-1, 1]`, followed by their mirror images if the model was trained on those too. A
/// set that the cache maps stays on disk: only the chunk that is asked for is in memory.
#[derive(Debug, Clone)]
pub struct Images {
    set: Arc<Dataset>,
    mirrored: bool,
    device: Device,
}

impl Images {
    /// The points of a set, on a device.
    pub fn new(set: Arc<Dataset>, mirrored: bool, device: &Device) -> Self {
        Self {
            set,
            mirrored,
            device: device.clone(),
        }
    }

    /// The images themselves.
    pub fn set(&self) -> &Dataset {
        &self.set
    }

    /// Number of points: images and mirror images.
    pub fn count(&self) -> usize {
        self.set.len() * (1 + usize::from(self.mirrored))
    }

    /// Entries of one point.
    pub fn dim(&self) -> usize {
        self.set.shape.dim()
    }

    /// The device of the points.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A range of the points, `[c, d]`.
    pub fn chunk(&self, range: Range<usize>) -> Tensor<2> {
        let (m, width) = (self.set.len(), self.set.shape.width);
        let shape = [range.len(), self.dim()];
        let mut values: Vec<f32> = Vec::with_capacity(shape[0] * shape[1]);
        for i in range {
            values.extend(self.set.values(i % m));
            if i >= m {
                let start = values.len() - shape[1];
                values[start..]
                    .chunks_exact_mut(width)
                    .for_each(<[f32]>::reverse);
            }
        }
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    /// The points of a range of images: the images, `[c, d]`, and their mirror images if those count.
    pub fn with_mirrors(&self, range: Range<usize>) -> Vec<Tensor<2>> {
        let m = self.set.len();
        let mut points = vec![self.chunk(range.clone())];
        if self.mirrored {
            points.push(self.chunk(range.start + m..range.end + m));
        }
        points
    }
}
