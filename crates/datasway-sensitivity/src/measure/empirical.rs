//! A finite set of points, such as the images of an attribute group.

use std::ops::Range;

use burn::tensor::{DType, Device, Tensor, TensorData};
use datasway_data::Dataset;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::{Denoiser, check_points, check_tangents};
use datasway_diffusion::device::{has_own_memory, widest_float};

use super::image_points::ImagePoints;
use super::{Evaluated, Measure, evaluate_images};
use crate::tensors::rows_dot;
use datasway_image_products::ImageTiles;

/// Largest number of values of points that a device with its own memory holds: 4 GiB of them.
const MAX_HELD: usize = 1 << 30;

/// Points in memory, or images that are read in tiles.
#[derive(Debug, Clone)]
enum Points {
    InMemory(Tensor<2>),
    Images {
        points: ImagePoints,
        tiles: ImageTiles,
    },
}

/// Equal or weighted masses at points `y_j`, `[m, d]`.
///
/// `log p(x) = logΣexp_j(log w_j − ‖x − y_j‖²/2σ²) − (d/2)·log 2πσ²`, and D is the mean of the y_j under the softmax of the
/// same terms. The points are processed in chunks with a running maximum, so the memory beside them does not grow with m.
#[derive(Debug, Clone)]
pub struct Empirical {
    points: Points,
    /// Normalised, `[1, m]`.
    log_weights: Tensor<2>,
    chunk: usize,
    precision: DType,
}

impl Empirical {
    /// Points `[m, d]` of equal weight.
    ///
    /// # Errors
    /// If there are no points, or they have no entries.
    pub fn new(points: Tensor<2>) -> Result<Self, DiffusionError> {
        let [m, _] = points.dims();
        Self::weighted(points, &vec![1.0; m])
    }

    /// Points `[m, d]` with m positive weights, which are normalised.
    ///
    /// # Errors
    /// If there are no points or no entries, the numbers of points and weights differ, or a weight
    /// is not positive and finite.
    pub fn weighted(points: Tensor<2>, weights: &[f64]) -> Result<Self, DiffusionError> {
        let precision = points.dtype();
        Self::build(Points::InMemory(points), weights, precision)
    }

    /// Images of equal weight, which are read again in every pass.
    ///
    /// # Errors
    /// If there are no images.
    pub fn read(images: ImagePoints) -> Result<Self, DiffusionError> {
        let weights = vec![1.0; images.count()];
        let tiles = images.tiles();
        let images = Points::Images {
            points: images,
            tiles,
        };
        Self::build(images, &weights, DType::F32)
    }

    /// Images as the measure that a model is trained on, with their mirror images if `mirrored`. Sums are taken in the widest
    /// precision of the device. A device with its own memory holds the images, unless they are very many.
    ///
    /// # Errors
    /// If there are no images.
    pub fn of_images(
        images: &Dataset,
        mirrored: bool,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        let images = ImagePoints::new(images, mirrored, device);
        let held = has_own_memory(device) && images.count() * images.dim() <= MAX_HELD;
        let measure = if held {
            Self::new(images.points(0..images.count()))?
        } else {
            Self::read(images)?
        };
        Ok(measure.with_precision(widest_float(device)))
    }

    fn build(points: Points, weights: &[f64], precision: DType) -> Result<Self, DiffusionError> {
        let (m, d) = (points.count(), points.dim());
        let bad = |message: String| Err(DiffusionError::Invalid(message));
        if m == 0 || d == 0 {
            return bad(format!(
                "an empirical measure needs points with at least one entry, got {m} points of {d} entries"
            ));
        }
        if weights.len() != m {
            return bad(format!("{m} points but {} weights", weights.len()));
        }
        if let Some(weight) = weights.iter().find(|w| !(w.is_finite() && **w > 0.0)) {
            return bad(format!(
                "the weight of a point must be positive and finite, got {weight}; leave out points of no weight"
            ));
        }
        let total: f64 = weights.iter().sum();
        let logs = weights.iter().map(|w| (w / total).ln()).collect();
        Ok(Self {
            log_weights: row(logs, &points.device(), precision),
            points,
            chunk: 1024,
            precision,
        })
    }

    /// The same measure with another number of points in a chunk than 1,024. Results differ by rounding only.
    #[must_use]
    pub fn with_chunk(self, chunk: usize) -> Self {
        Self {
            chunk: chunk.max(1),
            ..self
        }
    }

    /// The same measure, computed in another precision than that of the points.
    ///
    /// Squared distances lose digits when σ is far below the size of the points; `DType::F64` keeps them on devices that
    /// have it. As a [`Denoiser`] the measure returns results in the precision of x, as a [`Measure`] in its own.
    #[must_use]
    pub fn with_precision(self, precision: DType) -> Self {
        Self {
            log_weights: self.log_weights.cast(precision),
            precision,
            ..self
        }
    }

    /// The images with the form of their products, if the points are images that are read in every pass.
    pub(crate) fn images(&self) -> Option<(&ImagePoints, &ImageTiles)> {
        match &self.points {
            Points::Images { points, tiles } => Some((points, tiles)),
            Points::InMemory(_) => None,
        }
    }

    /// The precision of results.
    pub(crate) fn precision(&self) -> DType {
        self.precision
    }

    /// All points, `[m, d]`.
    pub fn points(&self) -> Tensor<2> {
        self.points.chunk(0..self.points.count())
    }

    /// Calls `f` with each chunk of points and the logarithms of its terms, `[n, c]`.
    fn stream(&self, x: &Tensor<2>, sigma: f64, mut f: impl FnMut(Tensor<2>, Tensor<2>)) {
        let m = self.points.count();
        let x_squared = rows_dot(x.clone(), x.clone());
        for start in (0..m).step_by(self.chunk) {
            let end = (start + self.chunk).min(m);
            let y = self.points.chunk(start..end).cast(self.precision);
            let y_squared = rows_dot(y.clone(), y.clone()).transpose();
            let distances =
                x_squared.clone() + y_squared - x.clone().matmul(y.clone().transpose()) * 2.0;
            let weights = self.log_weights.clone().slice_dim(1, start..end);
            f(y, weights - distances / (2.0 * sigma * sigma));
        }
    }

    /// `q`, `[n, 1]`, and D, both in the working precision.
    fn evaluated(
        &self,
        x: &Tensor<2>,
        sigma: f64,
    ) -> Result<(Tensor<2>, Tensor<2>), DiffusionError> {
        if self.images().is_none() {
            return Ok(self.pass(&x.clone().cast(self.precision), sigma));
        }
        let levels = vec![sigma; x.dims()[0]];
        let Evaluated {
            log_density,
            denoised,
        } = evaluate_images(self, x, &levels, true)?;
        let denoised = denoised.unwrap_or_else(|| unreachable!("the mean was asked for"));
        Ok((log_density.unsqueeze_dim::<2>(1), denoised))
    }

    /// `q`, `[n, 1]`, and D of points in memory, both in the working precision.
    fn pass(&self, x: &Tensor<2>, sigma: f64) -> (Tensor<2>, Tensor<2>) {
        let mut state: Option<(Tensor<2>, Tensor<2>, Tensor<2>)> = None;
        self.stream(x, sigma, |y, terms| {
            let mut top = terms.clone().max_dim(1);
            if let Some((old, _, _)) = &state {
                top = top.max_pair(old.clone());
            }
            let masses = (terms - top.clone()).exp();
            let mut total = masses.clone().sum_dim(1);
            let mut moment = masses.matmul(y);
            if let Some((old, old_total, old_moment)) = state.take() {
                let shrink = (old - top.clone()).exp();
                total = total + old_total * shrink.clone();
                moment = moment + old_moment * shrink;
            }
            state = Some((top, total, moment));
        });
        match state {
            Some((top, total, moment)) => (top + total.clone().log(), moment / total),
            None => unreachable!("an empirical measure has points"),
        }
    }
}

impl Points {
    fn count(&self) -> usize {
        match self {
            Self::InMemory(points) => points.dims()[0],
            Self::Images { points: images, .. } => images.count(),
        }
    }

    fn dim(&self) -> usize {
        match self {
            Self::InMemory(points) => points.dims()[1],
            Self::Images { points: images, .. } => images.dim(),
        }
    }

    fn device(&self) -> Device {
        match self {
            Self::InMemory(points) => points.device(),
            Self::Images { points: images, .. } => images.device().clone(),
        }
    }

    fn chunk(&self, range: Range<usize>) -> Tensor<2> {
        match self {
            Self::InMemory(points) => points.clone().slice_dim(0, range),
            Self::Images { points: images, .. } => images.points(range),
        }
    }
}

fn row(values: Vec<f64>, device: &Device, dtype: DType) -> Tensor<2> {
    let shape = [1, values.len()];
    Tensor::from_data(TensorData::new(values, shape), (device, dtype))
}

impl Denoiser for Empirical {
    fn dim(&self) -> usize {
        self.points.dim()
    }

    fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError> {
        let dtype = x.dtype();
        Ok(self.evaluate(x, sigma)?.1.cast(dtype))
    }

    /// `J·v = Σ_j w_j·(y_j − D)·⟨y_j − D, v⟩/σ²` with the softmax w_j. D is computed first: its subtraction inside the sum
    /// keeps the digits that the plain second moment would lose.
    fn jvp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        tangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        check_points(&x, self.dim())?;
        check_tangents(&x, &tangents)?;
        let dtype = x.dtype();
        let (q, denoised) = self.evaluated(&x, sigma)?;
        let x = x.cast(self.precision);
        let directions: Vec<Tensor<2>> = tangents
            .iter_dim(0)
            .map(|v| v.squeeze_dim::<2>(0).cast(self.precision))
            .collect();
        let offsets: Vec<Tensor<2>> = directions
            .iter()
            .map(|v| rows_dot(v.clone(), denoised.clone()))
            .collect();
        let mut sums: Vec<Tensor<2>> = directions.iter().map(Tensor::zeros_like).collect();
        self.stream(&x, sigma, |y, terms| {
            let weights = (terms - q.clone()).exp();
            for ((v, offset), sum) in directions.iter().zip(&offsets).zip(&mut sums) {
                let along = v.clone().matmul(y.clone().transpose()) - offset.clone();
                let masses = weights.clone() * along;
                let shift = denoised.clone() * masses.clone().sum_dim(1);
                *sum = sum.clone() + masses.matmul(y.clone()) - shift;
            }
        });
        let stacked: Tensor<3> = Tensor::stack(sums, 0);
        Ok((
            denoised.cast(dtype),
            (stacked / (sigma * sigma)).cast(dtype),
        ))
    }

    symmetric_vjp!();
}

impl Measure for Empirical {
    fn log_density(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<1>, DiffusionError> {
        if self.images().is_some() {
            check_points(&x, self.dim())?;
            let levels = vec![sigma; x.dims()[0]];
            return Ok(evaluate_images(self, &x, &levels, false)?.log_density);
        }
        Ok(self.evaluate(x, sigma)?.0)
    }

    fn as_empirical(&self) -> Option<&Empirical> {
        Some(self)
    }

    fn evaluate(&self, x: Tensor<2>, sigma: f64) -> Result<(Tensor<1>, Tensor<2>), DiffusionError> {
        check_points(&x, self.dim())?;
        let (q, denoised) = self.evaluated(&x, sigma)?;
        Ok((q.squeeze_dim::<1>(1), denoised))
    }
}
