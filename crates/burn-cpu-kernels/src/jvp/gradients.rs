//! Rules of the gradients of the kernels, for derivatives of the second order.
//!
//! All but that of group normalisation are bilinear: `z = f(a, b)` has `z' = f(a', b) + f(a, b')`.

use burn::backend::Dispatch;
use burn::backend::ir::CustomOpIr;
use burn_jvp::dual::{concat, dims, lift, narrow, on_batch, reshape};
use burn_jvp::{CustomRule, Dual, RawTensor, Refusal};

use super::patterns::{added, take};
use crate::backend::KernelBackend;
use crate::capture::{
    CHANNEL_SUMS, CONV3X3_INPUT_GRADIENT, CONV3X3_WEIGHT_GRADIENT, GROUP_NORM_GRADIENT,
    POINTWISE_INPUT_GRADIENT, POINTWISE_WEIGHT_GRADIENT,
};
use crate::norm::GroupNormOptions;
use crate::norm_directions::NormGradientDirections;
use crate::stride::Stride;

/// `x̄ = f(w, ȳ)`, the gradient of a convolution in its images, from its weight and the gradient of its result.
pub(super) struct Conv3x3InputGradientRule;

impl CustomRule for Conv3x3InputGradientRule {
    fn id(&self) -> &str {
        CONV3X3_INPUT_GRADIENT
    }

    fn jvp(&self, op: &CustomOpIr, inputs: Vec<Dual>, _k: usize) -> Result<Vec<Dual>, Refusal> {
        let stride = Stride::from_scalars(&op.scalars).ok_or_else(Refusal::unknown)?;
        let image = &op.outputs[0].shape;
        let size = [image[2], image[3]];
        let [weight, grad] = take(inputs)?;
        let f = |weight, grad| Dispatch::conv3x3_input_gradient(weight, grad, stride, size);
        Ok(vec![of_each_image(weight, grad, f)])
    }
}

/// `x̄ = f(w, ȳ)`, the gradient of a 1×1 convolution in its images, from its weight and the gradient of its result.
pub(super) struct PointwiseInputGradientRule;

impl CustomRule for PointwiseInputGradientRule {
    fn id(&self) -> &str {
        POINTWISE_INPUT_GRADIENT
    }

    fn jvp(&self, _op: &CustomOpIr, inputs: Vec<Dual>, _k: usize) -> Result<Vec<Dual>, Refusal> {
        let [weight, grad] = take(inputs)?;
        let f = |weight, grad| Dispatch::pointwise_input_gradient(weight, grad);
        Ok(vec![of_each_image(weight, grad, f)])
    }
}

/// A bilinear function of a weight and the gradients of images, which are batches, so that all K go through the weight at once.
fn of_each_image(weight: Dual, grad: Dual, f: impl Fn(RawTensor, RawTensor) -> RawTensor) -> Dual {
    let along_grad = grad
        .tangent
        .map(|t| on_batch(t, |grad| f(weight.primal.clone(), grad)));
    let along_weight = weight
        .tangent
        .map(|t| one_by_one(&t, |weight| f(weight, grad.primal.clone())));
    Dual {
        primal: f(weight.primal, grad.primal),
        tangent: added([along_grad, along_weight]),
    }
}

/// `W̄ = f(x, ȳ)`, the gradient of a convolution in its weight, a sum over the images.
pub(super) struct Conv3x3WeightGradientRule;

impl CustomRule for Conv3x3WeightGradientRule {
    fn id(&self) -> &str {
        CONV3X3_WEIGHT_GRADIENT
    }

    fn jvp(&self, op: &CustomOpIr, inputs: Vec<Dual>, _k: usize) -> Result<Vec<Dual>, Refusal> {
        let stride = Stride::from_scalars(&op.scalars).ok_or_else(Refusal::unknown)?;
        // The gradient depends on the shape of the weight alone.
        let [x, weight, grad] = take(inputs)?;
        let f = |x, grad| Dispatch::conv3x3_weight_gradient(x, weight.primal.clone(), grad, stride);
        Ok(vec![sum_over_images(x, grad, f)])
    }
}

/// `W̄ = f(x, ȳ)`, the gradient of a 1×1 convolution in its weight, a sum over the images.
pub(super) struct PointwiseWeightGradientRule;

impl CustomRule for PointwiseWeightGradientRule {
    fn id(&self) -> &str {
        POINTWISE_WEIGHT_GRADIENT
    }

    fn jvp(&self, _op: &CustomOpIr, inputs: Vec<Dual>, _k: usize) -> Result<Vec<Dual>, Refusal> {
        let [x, grad] = take(inputs)?;
        let f = |x, grad| Dispatch::pointwise_weight_gradient(x, grad);
        Ok(vec![sum_over_images(x, grad, f)])
    }
}

/// A bilinear function of images and gradients that sums over the batch, so that each of the K tangents is a call.
fn sum_over_images(x: Dual, grad: Dual, f: impl Fn(RawTensor, RawTensor) -> RawTensor) -> Dual {
    let along_x = x
        .tangent
        .map(|t| one_by_one(&t, |x| f(x, grad.primal.clone())));
    let along_grad = grad
        .tangent
        .map(|t| one_by_one(&t, |grad| f(x.primal.clone(), grad)));
    Dual {
        primal: f(x.primal, grad.primal),
        tangent: added([along_x, along_grad]),
    }
}

/// The sums over the pixels: `s' = s(x')`.
pub(super) struct ChannelSumsRule;

impl CustomRule for ChannelSumsRule {
    fn id(&self) -> &str {
        CHANNEL_SUMS
    }

    fn jvp(&self, _op: &CustomOpIr, inputs: Vec<Dual>, _k: usize) -> Result<Vec<Dual>, Refusal> {
        let [x] = take(inputs)?;
        Ok(vec![Dual {
            primal: Dispatch::channel_sums(x.primal),
            tangent: x.tangent.map(|t| on_batch(t, Dispatch::channel_sums)),
        }])
    }
}

/// The gradients of group normalisation in x, γ and β; their tangents are in
/// [`KernelBackend::group_norm_gradient_tangent`].
pub(super) struct GroupNormGradientRule;

impl CustomRule for GroupNormGradientRule {
    fn id(&self) -> &str {
        GROUP_NORM_GRADIENT
    }

    fn jvp(&self, op: &CustomOpIr, inputs: Vec<Dual>, k: usize) -> Result<Vec<Dual>, Refusal> {
        let options = GroupNormOptions::from_scalars(&op.scalars).ok_or_else(Refusal::unknown)?;
        let inputs: [Dual; 4] = take(inputs)?;
        let active = inputs.iter().any(|input| input.tangent.is_some());
        let tangents = active.then(|| {
            let [x, gamma, beta, grad] = inputs.each_ref().map(|input| input.tangent_or_zeros(k));
            let directions = NormGradientDirections {
                x,
                gamma,
                beta,
                grad,
            };
            let [x, gamma, beta, grad] = inputs.each_ref().map(|input| input.primal.clone());
            Dispatch::group_norm_gradient_tangent(x, gamma, beta, grad, directions, options)
        });
        let [x, gamma, beta, grad] = inputs.map(|input| input.primal);
        let (on_x, on_gamma, on_beta) =
            Dispatch::group_norm_gradient(x, gamma, beta, grad, options);
        let tangents = match tangents {
            None => [None, None, None],
            Some((on_x, on_gamma, on_beta)) => [on_x, on_gamma, on_beta].map(Some),
        };
        let outputs = [on_x, on_gamma, on_beta].into_iter().zip(tangents);
        Ok(outputs
            .map(|(primal, tangent)| Dual { primal, tangent })
            .collect())
    }
}

/// `f` of each of K tangents, stacked.
fn one_by_one(t: &RawTensor, f: impl Fn(RawTensor) -> RawTensor) -> RawTensor {
    let shape = dims(t);
    let results = (0..shape[0]).map(|k| {
        let entry = narrow(t.clone(), k..k + 1);
        lift(&f(reshape(entry, &shape[1..])))
    });
    concat(results.collect())
}
