//! A set of images as points on a device, read in chunks.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use datasway_data::Dataset;

use datasway_image_products::ImageTiles;

/// Images as points `[m, d]` with pixels in `[-1, 1]`, followed by their mirror images if the model was trained on those too.
///
/// A set that the cache maps stays on disk; only the requested chunk is in memory.
#[derive(Debug, Clone)]
pub struct ImagePoints {
    set: Arc<Dataset>,
    mirrored: bool,
    device: Device,
}

impl ImagePoints {
    /// The points of a set on a device, with mirror images if `mirrored`.
    pub fn new(set: &Dataset, mirrored: bool, device: &Device) -> Self {
        Self {
            set: Arc::new(set.clone()),
            mirrored,
            device: device.clone(),
        }
    }

    /// The form in which products with the images are computed.
    pub(crate) fn tiles(&self) -> ImageTiles {
        ImageTiles::new(self.set.clone(), self.mirrored)
    }

    /// True if an image stands for itself and its mirror image.
    pub(crate) fn is_mirrored(&self) -> bool {
        self.mirrored
    }

    /// The images.
    pub fn set(&self) -> &Dataset {
        &self.set
    }

    /// Number of points, m: images and mirror images.
    pub fn count(&self) -> usize {
        self.set.len() * (1 + usize::from(self.mirrored))
    }

    /// Entries of one point, d.
    pub fn dim(&self) -> usize {
        self.set.shape.dim()
    }

    /// The device of the points.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The points with the given c indices, `[c, d]`.
    pub fn points(&self, indices: impl ExactSizeIterator<Item = usize>) -> Tensor<2> {
        let (m, width) = (self.set.len(), self.set.shape.width);
        let shape = [indices.len(), self.dim()];
        let mut values: Vec<f32> = Vec::with_capacity(shape[0] * shape[1]);
        for i in indices {
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

    /// The indices of the points of some images, ascending if those of the images are.
    pub fn indices_of(&self, images: &[usize]) -> Vec<usize> {
        let mirrors = if self.mirrored { images } else { &[] };
        let mirrors = mirrors.iter().map(|i| i + self.set.len());
        images.iter().copied().chain(mirrors).collect()
    }

    /// The points of c images, `[c, d]`, and if `mirrored` those of their mirror images, `[c, d]`.
    pub fn with_mirrors(
        &self,
        images: impl ExactSizeIterator<Item = usize> + Clone,
    ) -> Vec<Tensor<2>> {
        let mut points = vec![self.points(images.clone())];
        if self.mirrored {
            points.push(self.points(images.map(|i| i + self.set.len())));
        }
        points
    }
}

/// All [`ImagePoints`] at once, `[m, d]` or `[2m, d]`.
pub fn points(images: &Dataset, mirrored: bool, device: &Device) -> Tensor<2> {
    let images = ImagePoints::new(images, mirrored, device);
    images.points(0..images.count())
}
