//! The comparison of ν with a measure ρ in closed form.

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;

use super::ReferenceDensity;
use crate::measure::{
    Asked, Empirical, Evaluated, ImagePoints, Measure, evaluate_images, evaluate_together,
};

/// ρ as a measure, the noise level of the comparison with it, and its weight.
#[derive(Clone, Copy)]
pub struct MeasureComparison<'a> {
    /// ρ.
    pub measure: &'a dyn Measure,
    /// h of the smoothed comparison, whose D is that of ρ; none compares with the model's own D.
    pub bandwidth: Option<f64>,
    /// Noise level below which the comparison has no weight.
    pub cutoff: f64,
}

impl MeasureComparison<'_> {
    /// ρ at the points x, `[n, d]`, with the directions at the same points and noise level. Measures over the same images are
    /// evaluated in one pass over them.
    pub(crate) fn with_directions(
        &self,
        directions: &[&dyn Measure],
        x: &Tensor<2>,
        sigma: f64,
    ) -> Result<(ReferenceDensity, Vec<Evaluated>), DiffusionError> {
        let data = Asked {
            measure: self.measure,
            denoised: self.bandwidth.is_some(),
        };
        let directions = directions.iter().map(|measure| Asked {
            measure: *measure,
            denoised: true,
        });
        let asked: Vec<Asked<'_>> = std::iter::once(data).chain(directions).collect();
        let mut evaluated = evaluate_together(&asked, x, self.sigma(sigma))?;
        let data = evaluated.remove(0);
        Ok((self.reference(sigma, data), evaluated))
    }

    /// ρ along a path: at the points x, `[n, d]` each, of its noise levels. Images are read once for the whole path.
    pub(crate) fn along(
        &self,
        points: &[(f64, Tensor<2>)],
    ) -> Result<Vec<ReferenceDensity>, DiffusionError> {
        let images = self.measure.as_empirical();
        let images = images.filter(|measure| measure.images().is_some());
        let Some(images) = images.filter(|_| !points.is_empty()) else {
            let one = |(sigma, x): &(f64, Tensor<2>)| Ok(self.with_directions(&[], x, *sigma)?.0);
            return points.iter().map(one).collect();
        };
        let n = points[0].1.dims()[0];
        let levels = points
            .iter()
            .flat_map(|(sigma, _)| vec![self.sigma(*sigma); n]);
        let levels: Vec<f64> = levels.collect();
        let x = Tensor::cat(points.iter().map(|(_, x)| x.clone()).collect(), 0);
        let whole = evaluate_images(images, &x, &levels, self.bandwidth.is_some())?;
        let stages = points.iter().enumerate().map(|(p, (sigma, _))| {
            let rows = p * n..(p + 1) * n;
            let stage = Evaluated {
                log_density: whole.log_density.clone().slice_dim(0, rows.clone()),
                denoised: (whole.denoised.clone()).map(|d| d.slice_dim(0, rows)),
            };
            self.reference(*sigma, stage)
        });
        Ok(stages.collect())
    }

    /// True if ρ is that of these images, each with the same mass.
    pub(crate) fn is_with(&self, images: &ImagePoints) -> bool {
        let own = self.measure.as_empirical().and_then(Empirical::images);
        own.is_some_and(|(own, _)| {
            let (set, other) = (own.set(), images.set());
            own.is_mirrored() == images.is_mirrored()
                && set.shares_storage(other)
                && set.len() == other.len()
                && (0..set.len()).all(|i| set.place(i) == other.place(i))
        })
    }

    /// Noise level and weight of the comparison at a point of the level `sigma`.
    pub(crate) fn level(&self, sigma: f64) -> (f64, f64) {
        let level = self.sigma(sigma);
        let weight = if sigma >= self.cutoff {
            (sigma / level).powi(2)
        } else {
            0.0
        };
        (level, weight)
    }

    /// The noise level of the comparison at a point of the level `sigma`, `√(σ² + h²)`.
    fn sigma(&self, sigma: f64) -> f64 {
        self.bandwidth.map_or(sigma, |h| sigma.hypot(h))
    }

    fn reference(&self, sigma: f64, data: Evaluated) -> ReferenceDensity {
        let (level, weight) = self.level(sigma);
        ReferenceDensity {
            sigma: level,
            log_density: data.log_density,
            denoised: data.denoised,
            weight,
        }
    }
}
