//! Data that no Gaussian describes, as clouds of points.

use std::f64::consts::{PI, TAU};

use burn::tensor::{DType, Device, Tensor, TensorData};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::random::{RandomStream, generator};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use datasway_sensitivity::measure::Empirical;

/// Where the points lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloudShape {
    /// Concentric rings of radius 1, 2 and, outside the data, 3.
    Rings,
    /// Interleaved half circles, and a third beyond them.
    Moons,
    /// The dark squares of a board of 4×4, and a light one.
    Checkerboard,
    /// A spiral of one and a half turns; its end is the mode, its continuation lies outside.
    SwissRoll,
    /// A surface curved into 64 dimensions; a strip of it is the mode, its continuation lies outside.
    Manifold,
}

/// All shapes.
pub const SHAPES: [CloudShape; 5] = [
    CloudShape::Rings,
    CloudShape::Moons,
    CloudShape::Checkerboard,
    CloudShape::SwissRoll,
    CloudShape::Manifold,
];

/// Where ν lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectionSupport {
    /// ν is one mode of ρ.
    Inside,
    /// ν is a mode that ρ does not have.
    Outside,
}

/// Part of the data that is the mode ν when it lies inside: a mass that must not be reached when ν is taken away.
pub const SHARE: f64 = 0.25;
/// Dimensions of [`CloudShape::Manifold`].
const EMBEDDED: usize = 64;

/// A shape with its modes blurred.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointCloud {
    /// The shape.
    pub shape: CloudShape,
    /// Length of the Gaussian blur, divided by √2: its standard deviation in the plane, whatever the dimension. Small
    /// keeps modes apart, large lets them overlap.
    pub blur: f64,
    /// Seed of the points.
    pub seed: u64,
}

impl CloudShape {
    /// Entries of a point.
    pub fn dim(self) -> usize {
        match self {
            Self::Manifold => EMBEDDED,
            _ => 2,
        }
    }

    /// The lowest noise level above 0, above the distance of neighbouring points: below it a sample of points falls
    /// onto one of them and stays there whatever η is.
    pub fn sigma_min(self) -> f64 {
        match self {
            Self::Manifold => 0.3,
            _ => 0.1,
        }
    }

    /// Name in the tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rings => "rings",
            Self::Moons => "moons",
            Self::Checkerboard => "checkerboard",
            Self::SwissRoll => "Swiss roll",
            Self::Manifold => "manifold, d = 64",
        }
    }

    /// A point of the mode inside (`t < SHARE`), of the rest of the data (`SHARE ≤ t < 1`), or of the mode outside
    /// (`1 ≤ t < 1 + SHARE`); t is uniform and runs along the shape where it has a length.
    fn point(self, t: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
        match self {
            Self::Rings => {
                let (radius, angle) = (in_mode(t, 1.0, 2.0, 3.0), rng.random_range(0.0..TAU));
                vec![radius * angle.cos(), radius * angle.sin()]
            }
            Self::Moons => {
                let angle = rng.random_range(0.0..PI);
                let (side, x, y) = in_mode(t, (-1.0, 1.0, 0.5), (1.0, 0.0, 0.0), (1.0, 2.0, 0.0));
                vec![
                    1.5 * (side * angle.cos() + x - 0.5),
                    1.5 * (side * angle.sin() + y - 0.25),
                ]
            }
            Self::Checkerboard => {
                let rest = [(0, 0), (0, 2), (1, 3), (2, 0), (2, 2), (3, 1), (3, 3)];
                let rest = rest[rng.random_range(0..rest.len())];
                let (row, column) = in_mode(t, (1, 1), rest, (1, 2));
                let mut within = |cell: i32| f64::from(cell) - 2.0 + rng.random_range(0.0..1.0);
                vec![within(column), within(row)]
            }
            Self::SwissRoll => {
                // The mode inside is the outer end, next to the continuation.
                let along = in_mode(t, 0.75 + t, t - SHARE, t);
                let angle = PI * (1.0 + 3.0 * along);
                vec![angle * angle.cos() / 4.0, angle * angle.sin() / 4.0]
            }
            Self::Manifold => {
                let along = in_mode(t, 0.75 + t, t - SHARE, t);
                surface(along, rng.random_range(0.0..1.0))
            }
        }
    }
}

/// The value for the mode that t falls in.
fn in_mode<T>(t: f64, inside: T, rest: T, outside: T) -> T {
    match t {
        t if t < SHARE => inside,
        t if t < 1.0 => rest,
        _ => outside,
    }
}

/// A point of the surface in 64 dimensions: slow waves of (u, v) with fixed random directions and phases.
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
    /// ρ, as n points.
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

    /// ν, as n points; inside, they are the very points of ρ = [`data`](Self::data)(m) in that mode if
    /// n = m times its share.
    ///
    /// # Errors
    /// If n = 0.
    pub fn direction(
        &self,
        place: DirectionSupport,
        n: usize,
        device: &Device,
        dtype: DType,
    ) -> Result<Empirical, DiffusionError> {
        let range = match place {
            DirectionSupport::Inside => 0.0..SHARE,
            DirectionSupport::Outside => 1.0..1.0 + SHARE,
        };
        Empirical::new(self.points(range, n, device, dtype))
    }

    /// n points with t evenly over a range.
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
            let part = if range.start < 1.0 { 0 } else { 1 };
            let mut rng = generator(self.seed, RandomStream::Measure, [i, part, 4]);
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

    fn points(cloud: &PointCloud, place: Option<DirectionSupport>, n: usize) -> Vec<f64> {
        let device = Device::flex();
        let measure = match place {
            None => cloud.data(n, &device, DType::F64),
            Some(place) => cloud.direction(place, n, &device, DType::F64),
        };
        measure
            .expect("points")
            .points()
            .try_into_vec_as()
            .expect("values")
    }

    #[test]
    fn the_mode_inside_is_part_of_the_data() {
        for shape in SHAPES {
            let cloud = PointCloud {
                shape,
                blur: 0.1,
                seed: 1,
            };
            let all = points(&cloud, None, 80);
            let mode = points(&cloud, Some(DirectionSupport::Inside), 20);
            assert_eq!(all[..mode.len()], mode, "{shape:?}");
            assert_eq!(all.len(), 80 * shape.dim());
            let outside = points(&cloud, Some(DirectionSupport::Outside), 20);
            let shared = outside.iter().any(|x| all.contains(x));
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
        let radius = |place| {
            let values = points(&cloud, Some(place), 50);
            let radii: Vec<f64> = values.chunks(2).map(|p| p[0].hypot(p[1])).collect();
            radii.iter().sum::<f64>() / 50.0
        };
        assert!((radius(DirectionSupport::Inside) - 1.0).abs() < 1e-9);
        assert!((radius(DirectionSupport::Outside) - 3.0).abs() < 1e-9);
    }
}
