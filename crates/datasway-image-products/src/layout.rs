//! The parts of images and points that are even and odd under mirroring.
//!
//! A pair of pixels in the columns c and `w − 1 − c` of a row has the even part `y_c + y_{w−1−c}` and the odd part
//! `y_c − y_{w−1−c}`; the middle column of an odd width is even. A point has half of both, so that products of parts add up to
//! products of pixels. A set without mirror images has one part, the pixels themselves.

use std::sync::Arc;

use datasway_data::Dataset;

/// Images whose mean is the centre of the products.
const CENTER_IMAGES: usize = 256;

/// Grey levels of half the range of pixels: a byte b is the pixel `b/127.5 − 1`.
pub(super) const LEVELS: f64 = 127.5;

/// The images of a storage, with the form in which tiles of them are multiplied.
#[derive(Debug, Clone)]
pub struct ImageTiles {
    pub(super) set: Arc<Dataset>,
    pub(super) layout: Arc<Layout>,
}

/// The form of images and points in products.
#[derive(Debug)]
pub(super) struct Layout {
    /// Entries of an image, d.
    pub dim: usize,
    /// Pixels of a row.
    pub width: usize,
    /// True if an image stands for itself and its mirror image.
    pub mirrored: bool,
    /// Whole grey levels that are subtracted from every image, d: about the mean of the set. Products of numbers about 0 have
    /// smaller rounding errors.
    pub center: Vec<f32>,
}

impl ImageTiles {
    /// The images of a set, with their mirror images if `mirrored`.
    pub fn new(set: Arc<Dataset>, mirrored: bool) -> Self {
        let layout = Layout {
            dim: set.shape.dim(),
            width: set.shape.width,
            // A single column is its own mirror image.
            mirrored: mirrored && set.shape.width > 1,
            center: center(&set, mirrored),
        };
        Self {
            set,
            layout: Arc::new(layout),
        }
    }

    /// Number of orientations of an image, 1 or 2.
    pub fn copies(&self) -> usize {
        1 + usize::from(self.layout.mirrored)
    }

    /// Entries of an image, d.
    pub fn dim(&self) -> usize {
        self.layout.dim
    }
}

/// The mean of some images that are spread over the set, rounded to whole grey levels.
fn center(set: &Dataset, mirrored: bool) -> Vec<f32> {
    let (d, width) = (set.shape.dim(), set.shape.width);
    let step = set.len().div_ceil(CENTER_IMAGES).max(1);
    let mut sums = vec![0_u32; d];
    let mut count = 0_u32;
    for i in (0..set.len()).step_by(step) {
        for (sum, byte) in sums.iter_mut().zip(set.image(i)) {
            *sum += u32::from(*byte);
        }
        count += 1;
    }
    if mirrored {
        for row in sums.chunks_exact_mut(width) {
            for c in 0..width / 2 {
                let mean = (row[c] + row[width - 1 - c]) / 2;
                (row[c], row[width - 1 - c]) = (mean, mean);
            }
        }
    }
    let level = |sum: u32| (f64::from(sum) / f64::from(count.max(1))).round() as f32;
    sums.into_iter().map(level).collect()
}

impl Layout {
    /// Entries of the even part, or of the whole image without mirror images.
    pub fn even(&self) -> usize {
        if self.mirrored {
            self.dim / self.width * self.width.div_ceil(2)
        } else {
            self.dim
        }
    }

    /// Entries of the odd part; 0 without mirror images.
    pub fn odd(&self) -> usize {
        self.dim - self.even()
    }

    /// The parts of a point, whose products with the parts of an image are those of the pixels.
    pub fn point_parts(&self, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        if !self.mirrored {
            return (x.to_vec(), Vec::new());
        }
        let (mut even, mut odd) = (
            Vec::with_capacity(self.even()),
            Vec::with_capacity(self.odd()),
        );
        for row in x.chunks_exact(self.width) {
            let pair = |c: usize| (row[c], row[self.width - 1 - c]);
            even.extend((0..self.width / 2).map(|c| (pair(c).0 + pair(c).1) / 2.0));
            odd.extend((0..self.width / 2).map(|c| (pair(c).0 - pair(c).1) / 2.0));
            if self.width % 2 == 1 {
                even.push(row[self.width / 2]);
            }
        }
        (even, odd)
    }

    /// The pixels with the given parts, the inverse of the parts of an image.
    pub fn pixels(&self, even: &[f64], odd: &[f64]) -> Vec<f64> {
        if !self.mirrored {
            return even.to_vec();
        }
        let half = self.width / 2;
        let mut pixels = vec![0.0; self.dim];
        let rows = pixels.chunks_exact_mut(self.width);
        let parts = even
            .chunks_exact(self.width - half)
            .zip(odd.chunks_exact(half));
        for (row, (even, odd)) in rows.zip(parts) {
            for c in 0..half {
                row[c] = (even[c] + odd[c]) / 2.0;
                row[self.width - 1 - c] = (even[c] - odd[c]) / 2.0;
            }
            if self.width % 2 == 1 {
                row[half] = even[half];
            }
        }
        pixels
    }

    /// `‖x‖²` of a point with the given parts.
    pub fn square_of_parts(&self, even: &[f64], odd: &[f64]) -> f64 {
        let squares = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>();
        if !self.mirrored {
            return squares(even);
        }
        let half = self.width / 2;
        let mut sum = 2.0 * squares(odd);
        for row in even.chunks_exact(self.width - half) {
            sum += 2.0 * squares(&row[..half]) + squares(&row[half..]);
        }
        sum
    }
}
