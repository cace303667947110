//! Clouds of points: data that are far from Gaussian.

use std::f64::consts::{PI, TAU};

use burn::tensor::{DType, Device, Tensor, TensorData};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::random::{RandomStream, generator};
use datasway_sensitivity::measure::Empirical;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Shape of a cloud of points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloudShape {
    /// Concentric rings of radius 1, 2 and, outside the data, 3.
    Rings,
    /// Interleaved half circles, and a third beyond them.
    Moons,
    /// The dark squares of a board of 4×4, and a light one.
    Checkerboard,
    /// A spiral of one and a half turns. Its end is the mode, and its continuation is outside.
    SwissRoll,
    /// A surface curved into 64 dimensions. A strip of it is the mode, and its continuation is outside.
    Manifold,
}

/// Support of ν relative to that of ρ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectionSupport {
    /// ν is one mode of ρ.
    Inside,
    /// ν is a mode that ρ does not have.
    Outside,
}

/// Mass of the mode ν of ρ if its support is inside: the upper limit of |η|, exclusive, when ν is removed.
pub const MODE_MASS: f64 = 0.25;
/// Dimensions of [`CloudShape::Manifold`].
const EMBEDDED: usize = 64;

/// A cloud of points with blurred modes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointCloud {
    /// The shape.
    pub shape: CloudShape,
    /// Length of the Gaussian blur divided by √2, which is its standard deviation in the plane.
    /// A small blur keeps modes apart and a large one lets them overlap.
    pub blur: f64,
    /// Seed of the points.
    pub seed: u64,
}

impl CloudShape {
    /// All shapes.
    pub const ALL: [Self; 5] = [
        Self::Rings,
        Self::Moons,
        Self::Checkerboard,
        Self::SwissRoll,
        Self::Manifold,
    ];

    /// Dimension of a point.
    pub fn dim(self) -> usize {
        match self {
            Self::Manifold => EMBEDDED,
            _ => 2,
        }
    }

    /// Lowest noise level above 0, larger than the distance of neighbouring points.
    /// At lower levels a sample coincides with one of the points and does not depend on η.
    pub fn sigma_min(self) -> f64 {
        match self {
            Self::Manifold => 0.3,
            _ => 0.1,
        }
    }

    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rings => "rings",
            Self::Moons => "moons",
            Self::Checkerboard => "checkerboard",
            Self::SwissRoll => "Swiss roll",
            Self::Manifold => "manifold, d = 64",
        }
    }

    /// Name in names of files.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Rings => "rings",
            Self::Moons => "moons",
            Self::Checkerboard => "checkerboard",
            Self::SwissRoll => "swiss-roll",
            Self::Manifold => "manifold",
        }
    }

    /// A point of the mode inside (`t < m`), of the other data (`m ≤ t < 1`), or of the mode outside (`1 ≤ t < 1 + m`), where m is
    /// [`MODE_MASS`].
    /// t runs along the shape if the shape has a length.
    fn point(self, t: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
        match self {
            Self::Rings => {
                let (radius, angle) = (by_mode(t, 1.0, 2.0, 3.0), rng.random_range(0.0..TAU));
                vec![radius * angle.cos(), radius * angle.sin()]
            }
            Self::Moons => {
                let angle = rng.random_range(0.0..PI);
                let (side, x, y) = by_mode(t, (-1.0, 1.0, 0.5), (1.0, 0.0, 0.0), (1.0, 2.0, 0.0));
                vec![
                    1.5 * (side * angle.cos() + x - 0.5),
                    1.5 * (side * angle.sin() + y - 0.25),
                ]
            }
            Self::Checkerboard => {
                let squares = [(0, 0), (0, 2), (1, 3), (2, 0), (2, 2), (3, 1), (3, 3)];
                let other = squares[rng.random_range(0..squares.len())];
                let (row, column) = by_mode(t, (1, 1), other, (1, 2));
                let mut coordinate = |cell: i32| f64::from(cell) - 2.0 + rng.random_range(0.0..1.0);
                vec![coordinate(column), coordinate(row)]
            }
            Self::SwissRoll => {
                // The mode inside is the outer end, next to the continuation.
                let along = by_mode(t, 0.75 + t, t - MODE_MASS, t);
                let angle = PI * (1.0 + 3.0 * along);
                vec![angle * angle.cos() / 4.0, angle * angle.sin() / 4.0]
            }
            Self::Manifold => {
                let along = by_mode(t, 0.75 + t, t - MODE_MASS, t);
                surface(along, rng.random_range(0.0..1.0))
            }
        }
    }
}

/// The value for the mode that t falls in.
fn by_mode<T>(t: f64, inside: T, other: T, outside: T) -> T {
    if t < MODE_MASS {
        inside
    } else if t < 1.0 {
        other
    } else {
        outside
    }
}

/// A point of the surface in 64 dimensions; each coordinate is a slow wave of (u, v) with fixed random direction and phase.
fn surface(u: f64, v: f64) -> Vec<f64> {
    let mut rng = generator(0, RandomStream::Measure, [EMBEDDED as u64, 0, 3]);
    let scale = 4.0 / (EMBEDDED as f64).sqrt();
    let mut wave = || {
        let (fu, fv) = (rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0));
        let phase: f64 = rng.random_range(0.0..TAU);
        scale * (TAU * (fu * u + fv * v) + phase).cos()
    };
    (0..EMBEDDED).map(|_| wave()).collect()
}

impl PointCloud {
    /// The measure ρ of n points.
    ///
    /// # Errors
    /// If n = 0.
    pub fn data(
        &self,
        n: usize,
        device: &Device,
        dtype: DType,
    ) -> Result<Empirical, DiffusionError> {
        Empirical::new(self.points(0.0..1.0, n, device, dtype))
    }

    /// The direction ν of n points.
    /// Inside, they are the points of ρ = [`data`](Self::data)(m) in that mode if n = m·[`MODE_MASS`].
    ///
    /// # Errors
    /// If n = 0.
    pub fn direction(
        &self,
        support: DirectionSupport,
        n: usize,
        device: &Device,
        dtype: DType,
    ) -> Result<Empirical, DiffusionError> {
        let range = match support {
            DirectionSupport::Inside => 0.0..MODE_MASS,
            DirectionSupport::Outside => 1.0..1.0 + MODE_MASS,
        };
        Empirical::new(self.points(range, n, device, dtype))
    }

    /// n points with t evenly spaced over a range.
    fn points(
        &self,
        range: std::ops::Range<f64>,
        n: usize,
        device: &Device,
        dtype: DType,
    ) -> Tensor<2> {
        let mut values = Vec::with_capacity(n * self.shape.dim());
        for i in 0..n as u64 {
            let t = range.start + (range.end - range.start) * (i as f64 + 0.5) / n as f64;
            let outside = u64::from(range.start >= 1.0);
            let mut rng = generator(self.seed, RandomStream::Measure, [i, outside, 4]);
            let point = self.shape.point(t, &mut rng);
            let deviation = self.blur * (2.0 / point.len() as f64).sqrt();
            let blurred = point.into_iter().map(|x| {
                let normal: f64 = StandardNormal.sample(&mut rng);
                x + deviation * normal
            });
            values.extend(blurred);
        }
        let shape = [n, self.shape.dim()];
        Tensor::from_data(TensorData::new(values, shape), (device, dtype))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(cloud: &PointCloud, support: Option<DirectionSupport>, n: usize) -> Vec<f64> {
        let device = Device::flex();
        let measure = match support {
            None => cloud.data(n, &device, DType::F64),
            Some(support) => cloud.direction(support, n, &device, DType::F64),
        };
        measure
            .expect("points")
            .points()
            .try_into_vec_as()
            .expect("values")
    }

    #[test]
    fn the_mode_inside_is_part_of_the_data() {
        for shape in CloudShape::ALL {
            let cloud = PointCloud {
                shape,
                blur: 0.1,
                seed: 1,
            };
            let data = points(&cloud, None, 80);
            let mode = points(&cloud, Some(DirectionSupport::Inside), 20);
            assert_eq!(data[..mode.len()], mode, "{shape:?}");
            assert_eq!(data.len(), 80 * shape.dim());
            let outside = points(&cloud, Some(DirectionSupport::Outside), 20);
            let shared = outside.iter().any(|x| data.contains(x));
            assert!(
                !shared,
                "{shape:?}: the mode outside shares nothing with the data"
            );
        }
    }

    #[test]
    fn the_rings_have_their_radii() {
        let cloud = PointCloud {
            shape: CloudShape::Rings,
            blur: 0.0,
            seed: 2,
        };
        let radius = |support| {
            let values = points(&cloud, Some(support), 50);
            let radii: Vec<f64> = values.chunks(2).map(|p| p[0].hypot(p[1])).collect();
            radii.iter().sum::<f64>() / 50.0
        };
        assert!((radius(DirectionSupport::Inside) - 1.0).abs() < 1e-9);
        assert!((radius(DirectionSupport::Outside) - 3.0).abs() < 1e-9);
    }
}
