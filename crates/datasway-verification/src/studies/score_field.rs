//! Change of the score as a vector field on a plane through the data.

use burn::tensor::{DType, Device, Tensor, TensorData};
use datasway_diffusion::DiffusionError;
use datasway_sensitivity::measure::Measure;
use nalgebra::{DMatrix, DVector};

use crate::problems::problem::rows;

/// A plane in d dimensions: a point on it and two orthonormal axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Plane {
    origin: DVector<f64>,
    axes: [DVector<f64>; 2],
}

impl Plane {
    /// The plane through the mean of points `[m, d]` along which they vary most; for d = 2 the plane of the points.
    ///
    /// # Errors
    /// If the points cannot be read back, or d < 2.
    pub fn through(points: &Tensor<2>) -> Result<Self, DiffusionError> {
        let [m, d] = points.dims();
        if d < 2 || m == 0 {
            return Err(DiffusionError::Invalid(format!(
                "a plane needs points of at least 2 entries, got {m} points of {d}"
            )));
        }
        if d == 2 {
            let axis = |i: usize| DVector::from_fn(2, |j, _| if i == j { 1.0 } else { 0.0 });
            return Ok(Self {
                origin: DVector::zeros(2),
                axes: [axis(0), axis(1)],
            });
        }
        let values = rows(points)?.concat();
        let centred = DMatrix::from_row_slice(m, d, &values);
        let origin = centred.row_mean().transpose();
        let centred = DMatrix::from_fn(m, d, |i, j| centred[(i, j)] - origin[j]);
        let eigen = (centred.transpose() * centred).symmetric_eigen();
        let mut order: Vec<usize> = (0..d).collect();
        order.sort_by(|i, j| eigen.eigenvalues[*j].total_cmp(&eigen.eigenvalues[*i]));
        let axis = |i: usize| eigen.eigenvectors.column(order[i]).into_owned();
        Ok(Self {
            origin,
            axes: [axis(0), axis(1)],
        })
    }

    /// Coordinates of a point, projected on the plane.
    pub fn project(&self, point: &[f64]) -> [f64; 2] {
        let point = DVector::from_column_slice(point) - &self.origin;
        [0, 1].map(|i| self.axes[i].dot(&point))
    }

    /// Coordinates of a displacement, projected on the plane.
    pub fn project_vector(&self, vector: &[f64]) -> [f64; 2] {
        let vector = DVector::from_column_slice(vector);
        [0, 1].map(|i| self.axes[i].dot(&vector))
    }

    /// The point of the plane with these coordinates.
    fn lift(&self, [x, y]: [f64; 2]) -> DVector<f64> {
        &self.origin + &self.axes[0] * x + &self.axes[1] * y
    }
}

/// Change of the score `∂_ηs = r·(s^ν − s^ρ) = r·(D^ν − D^ρ)/σ²` (Theorem 3.1 of arXiv 2509.23092) at positions of a plane.
///
/// The result has one vector for each position, projected on the plane.
///
/// # Errors
/// If the dimensions differ or a density is not positive.
pub fn score_change(
    data: &dyn Measure,
    direction: &dyn Measure,
    sigma: f64,
    plane: &Plane,
    positions: &[[f64; 2]],
) -> Result<Vec<[f64; 2]>, DiffusionError> {
    let d = data.dim();
    let values: Vec<f64> = positions
        .iter()
        .flat_map(|position| plane.lift(*position).as_slice().to_vec())
        .collect();
    let points = TensorData::new(values, [positions.len(), d]);
    let x = Tensor::<2>::from_data(points, (&Device::flex(), DType::F64));
    let (q, denoised) = data.evaluate(x.clone(), sigma)?;
    let (q_direction, target) = direction.evaluate(x, sigma)?;
    let ratio = (q_direction - q).exp().unsqueeze_dim::<2>(1);
    let change = (target - denoised) * ratio / (sigma * sigma);
    Ok(rows(&change)?
        .iter()
        .map(|row| plane.project_vector(row))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problems::point_clouds::{CloudShape, DirectionSupport, PointCloud};
    use datasway_sensitivity::measure::perturbed;

    /// `∂_ηs` against `(s_η − s_−η)/2η` of the exactly perturbed cloud.
    #[test]
    fn the_field_is_the_derivative_of_the_score() {
        let (device, sigma, h) = (Device::flex(), 0.5, 1e-5);
        let cloud = PointCloud {
            shape: CloudShape::Moons,
            blur: 0.2,
            seed: 1,
        };
        let data = cloud.data(200, &device, DType::F64).expect("ρ");
        let direction = cloud
            .direction(DirectionSupport::Inside, 50, &device, DType::F64)
            .expect("ν");
        let positions = [[0.0, 0.5], [1.0, -1.0], [-2.0, 0.3]];
        let plane = Plane::through(&data.points()).expect("a plane");
        let field = score_change(&data, &direction, sigma, &plane, &positions).expect("a field");
        let score = |mass: f64| {
            let x = Tensor::<2>::from_data(TensorData::from(positions), (&device, DType::F64));
            let denoiser = perturbed(&data, &direction, mass).expect("a measure");
            let moved =
                datasway_diffusion::denoiser::Denoiser::denoise(&denoiser, x.clone(), sigma);
            rows(&((moved.expect("D") - x) / (sigma * sigma))).expect("rows")
        };
        for ((a, b), change) in score(h).iter().zip(&score(-h)).zip(&field) {
            for j in 0..2 {
                let real = (a[j] - b[j]) / (2.0 * h);
                assert!(
                    (real - change[j]).abs() < 1e-6 * (1.0 + real.abs()),
                    "{real} {change:?}"
                );
            }
        }
    }

    #[test]
    fn points_on_a_plane_come_back_from_it() {
        let cloud = PointCloud {
            shape: CloudShape::Manifold,
            blur: 0.0,
            seed: 1,
        };
        let data = cloud.data(100, &Device::flex(), DType::F64).expect("ρ");
        let plane = Plane::through(&data.points()).expect("a plane");
        let lifted = plane.lift([0.5, -2.0]);
        let back = plane.project(lifted.as_slice());
        assert!(
            (back[0] - 0.5).abs() < 1e-9 && (back[1] + 2.0).abs() < 1e-9,
            "{back:?}"
        );
    }
}
