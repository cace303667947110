//! The images with the strongest influences on a sample.

use datasway_diffusion::DiffusionError;

use super::adjoint::AdjointInfluence;
use crate::measure::ImagePoints;
use crate::tensors::values;

/// The influence of one image on one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedImage {
    /// Index of the image.
    pub image: usize,
    /// `a_j`.
    pub influence: f32,
    /// Contribution of each evaluation, P numbers.
    pub along: Vec<f32>,
}

/// Indices of the `count` largest positive and of the `count` smallest negative numbers of a row, the strongest first.
/// Numbers that are not finite are left out.
pub(super) fn strongest(row: &[f32], count: usize) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..row.len()).filter(|&j| row[j].is_finite()).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    let proponents = order.iter().take(count).copied();
    let opponents = order.iter().rev().take(count).copied();
    (
        proponents.filter(|&j| row[j] > 0.0).collect(),
        opponents.filter(|&j| row[j] < 0.0).collect(),
    )
}

/// The picked images of sample i and functional k, with their contributions along the path.
pub(super) fn ranked_images(
    adjoint: &AdjointInfluence,
    images: &ImagePoints,
    [k, i]: [usize; 2],
    row: &[f32],
    picked: Vec<usize>,
) -> Result<Vec<RankedImage>, DiffusionError> {
    if picked.is_empty() {
        return Ok(Vec::new());
    }
    let adjoint = adjoint.select(k, i);
    let copies = images.with_mirrors(picked.iter().copied());
    let share = 1.0 / copies.len() as f32;
    let mut curves = vec![vec![0.0; adjoint.evaluations()]; picked.len()];
    for points in &copies {
        for (p, contribution) in adjoint.contributions(points).into_iter().enumerate() {
            for (curve, value) in curves.iter_mut().zip(values(contribution.influence)?) {
                curve[p] += share * value;
            }
        }
    }
    let ranked = picked.into_iter().zip(curves);
    Ok(ranked
        .map(|(image, along)| RankedImage {
            image,
            influence: row[image],
            along,
        })
        .collect())
}
