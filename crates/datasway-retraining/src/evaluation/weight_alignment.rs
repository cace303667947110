//! Agreement of the real changes of the weights with their derivative.

use datasway_diffusion::unet::UNet;
use datasway_diffusion::weights;

use crate::RetrainError;
use crate::jobs::weight_alignment::{CURVED, PRODUCTS};
use crate::jobs::{JobId, Workspace};

/// Inner products of a real change r and a predicted one p.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ChangeProducts {
    /// `⟨r, p⟩`.
    pub both: f64,
    /// `⟨r, r⟩`.
    pub real: f64,
    /// `⟨p, p⟩`.
    pub predicted: f64,
}

/// The changes of the weights of one seed in one direction.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightAlignment {
    /// The variant, as an index in the experiment.
    pub variant: usize,
    /// The seed.
    pub seed: u64,
    /// The estimator, as an index in the experiment.
    pub estimator: usize,
    /// The direction, as an index in the experiment.
    pub direction: usize,
    /// Products of each parameter, by path.
    pub parameters: Vec<(String, ChangeProducts)>,
    /// Products of all parameters in the metric of the loss, the Gauss–Newton matrix.
    pub curved: ChangeProducts,
}

impl ChangeProducts {
    /// `⟨r, p⟩/(‖r‖·‖p‖)`.
    pub fn cosine(&self) -> f64 {
        self.both / (self.real * self.predicted).sqrt()
    }

    /// `⟨r, p⟩/⟨p, p⟩`: the multiple of the prediction that is nearest to the real change.
    pub fn slope(&self) -> f64 {
        self.both / self.predicted
    }

    /// The products of several parts together.
    pub fn sum<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let parts = parts.into_iter();
        parts.fold(Self::default(), |sum, part| Self {
            both: sum.both + part.both,
            real: sum.real + part.real,
            predicted: sum.predicted + part.predicted,
        })
    }

    fn from_triple(triple: &[f32]) -> Self {
        Self {
            both: f64::from(triple[0]),
            real: f64::from(triple[1]),
            predicted: f64::from(triple[2]),
        }
    }
}

impl WeightAlignment {
    /// Products of all parameters.
    pub fn whole(&self) -> ChangeProducts {
        ChangeProducts::sum(self.parameters.iter().map(|(_, products)| products))
    }
}

/// The comparisons of all replicates that are done.
///
/// # Errors
/// If a result cannot be read.
pub fn evaluate(workspace: &Workspace<'_>) -> Result<Vec<WeightAlignment>, RetrainError> {
    // A network that a folder gives has no such comparison.
    let Some(config) = workspace.experiment.config.own() else {
        return Ok(Vec::new());
    };
    let network = UNet::new(&config.network, &workspace.experiment.device)?;
    let paths: Vec<String> = weights::shapes(&network).into_keys().collect();
    let mut alignments = Vec::new();
    for replicate in &workspace.plan.replicates {
        for &(estimator, job) in &replicate.weight_alignments {
            if !workspace.is_done(job) {
                continue;
            }
            let directions = read(workspace, job, &paths)?.into_iter().enumerate();
            alignments.extend(directions.map(|(direction, (parameters, curved))| {
                WeightAlignment {
                    variant: replicate.variant,
                    seed: replicate.seed,
                    estimator,
                    direction,
                    parameters,
                    curved,
                }
            }));
        }
    }
    Ok(alignments)
}

/// Products of each parameter and in the metric of the loss, of one direction.
type DirectionProducts = (Vec<(String, ChangeProducts)>, ChangeProducts);

/// The products of every direction.
fn read(
    workspace: &Workspace<'_>,
    job: JobId,
    paths: &[String],
) -> Result<Vec<DirectionProducts>, RetrainError> {
    let directions = workspace.experiment.directions.len();
    let products = workspace.array_of_shape(job, PRODUCTS, &[directions, paths.len(), 3])?;
    let curved = workspace.array_of_shape(job, CURVED, &[directions, 3])?;
    let rows = products.values.chunks_exact(3 * paths.len());
    let rows = rows.zip(curved.values.chunks_exact(3));
    let rows = rows.map(|(row, curved)| {
        let triples = row.chunks_exact(3).map(ChangeProducts::from_triple);
        let parameters = paths.iter().cloned().zip(triples).collect();
        (parameters, ChangeProducts::from_triple(curved))
    });
    Ok(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_products_of_parts_add_up() {
        // r = (1, 2, 2), p = (2, 0, 1): the first entry is one parameter, the others another.
        let parts = [[2.0, 1.0, 4.0], [2.0, 8.0, 1.0]];
        let parts = parts.map(|triple| ChangeProducts::from_triple(&triple));
        let whole = ChangeProducts::sum(&parts);
        assert_eq!(whole.cosine(), 4.0 / (9.0f64 * 5.0).sqrt());
        assert_eq!(whole.slope(), 4.0 / 5.0);
    }
}
