//! The real change of the weights beside its derivative, parameter by parameter.

use std::collections::BTreeMap;

use burn::module::ParamId;
use burn::tensor::Device;
use burn_jvp::ParameterTangents;
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::{DiffusionError, weights};
use datasway_fs::arrays::Array;
use datasway_sensitivity::learner::Learner;

/// Name of the inner products of single parameters in a result file.
pub(crate) const PRODUCTS: &str = "products";
/// Name of the inner products in the metric of the loss.
pub(crate) const CURVED: &str = "curved";

/// The models of which changes are compared, all with averaged weights.
pub(super) struct Models {
    /// The model of which the derivative is taken.
    pub base: Checkpoint,
    /// The model without a change.
    pub before: Checkpoint,
    /// The model of each of K directions.
    pub after: Vec<Checkpoint>,
}

/// Inner products of the real changes `r = θ_after − θ_before` and the predicted ones p, K columns each.
///
/// - [`PRODUCTS`], `[K, parameters, 3]`: `⟨r, p⟩`, `⟨r, r⟩`, `⟨p, p⟩` of each parameter, in the order of their paths.
/// - [`CURVED`], `[K, 3]`: `⟨r, G·p⟩`, `⟨r, G·r⟩`, `⟨p, G·p⟩` of all parameters, with the Gauss–Newton matrix G of the loss.
///
/// # Errors
/// If a model has other parameters, or the model of the learner fails.
pub(super) fn products(
    learner: &Learner<'_>,
    models: &Models,
    predicted: &ParameterTangents,
    device: &Device,
) -> Result<BTreeMap<String, Array>, DiffusionError> {
    let real = real_changes(models, device)?;
    let base = models.base.averaged_network(device)?;
    let ids = weights::collect(&base).into_values();
    let ids: Vec<ParamId> = ids.map(|weight| ParamId::from(weight.id)).collect();
    let k = real.k();
    let mut products = vec![[0.0; 3]; k * ids.len()];
    for (column, id) in ids.iter().enumerate() {
        let (real, predicted) = (only(&real, *id), only(predicted, *id));
        let triples = triples(&real, &predicted, &real, &predicted);
        for (row, triple) in triples.into_iter().enumerate() {
            products[row * ids.len() + column] = triple;
        }
    }
    let curvature = |tangents| learner.curvature_product(tangents, &mut |_| ());
    let (curved_real, curved_predicted) = (curvature(&real)?, curvature(predicted)?);
    let curved = triples(&real, predicted, &curved_real, &curved_predicted);
    let array = |shape, triples: Vec<[f32; 3]>| {
        let values = triples.concat();
        Array { shape, values }
    };
    Ok(BTreeMap::from([
        (PRODUCTS.to_owned(), array(vec![k, ids.len(), 3], products)),
        (CURVED.to_owned(), array(vec![k, 3], curved)),
    ]))
}

/// `⟨r, M·p⟩`, `⟨r, M·r⟩` and `⟨p, M·p⟩` of every column, from the products with M.
fn triples(
    r: &ParameterTangents,
    p: &ParameterTangents,
    m_r: &ParameterTangents,
    m_p: &ParameterTangents,
) -> Vec<[f32; 3]> {
    let [rp, rr, pp] = [r.dot(m_p), r.dot(m_r), p.dot(m_p)];
    let columns = rp.into_iter().zip(rr).zip(pp);
    columns
        .map(|((rp, rr), pp)| [rp as f32, rr as f32, pp as f32])
        .collect()
}

/// The tangents of one parameter.
fn only(tangents: &ParameterTangents, id: ParamId) -> ParameterTangents {
    let tangent = tangents.get(id).map(|tangent| (id, tangent.clone()));
    tangent.into_iter().collect()
}

/// `θ_after − θ_before` of every direction, with the ids of the base model.
fn real_changes(models: &Models, device: &Device) -> Result<ParameterTangents, DiffusionError> {
    let base = models.base.averaged_network(device)?;
    let network = |checkpoint: &Checkpoint| checkpoint.averaged_network(device);
    let after: Vec<_> = models.after.iter().map(network).collect::<Result<_, _>>()?;
    let before = vec![network(&models.before)?; after.len()];
    let back = vec![-1.0; after.len()];
    let stack = |networks: &[_]| {
        ParameterTangents::from_modules(&base, networks)
            .map_err(|error| DiffusionError::Invalid(error.to_string()))
    };
    Ok(stack(&after)?.add(&stack(&before)?.scale(&back)))
}
