//! Forward-mode rules of the kernels, for [`burn_jvp::Jvp::with_rules`].

use burn::backend::ir::{CustomOpIr, ScalarIr};
use burn::backend::{Dispatch, TensorMetadata};
use burn_jvp::dual::{concat, dims, expand, lift, narrow, num_elements, on_batch, reshape, zeros};
use burn_jvp::rule::require_constant;
use burn_jvp::{CustomRule, Dual, Refusal};

use crate::backend::KernelBackend;
use crate::capture::{ATTENTION, CONV3X3, GROUP_NORM, POINTWISE, SILU};
use crate::norm::GroupNormOptions;

/// The rules of all operations of this crate.
pub static RULES: &[&dyn CustomRule] = &[
    &SiluRule,
    &GroupNormRule,
    &Conv3x3Rule,
    &PointwiseRule,
    &AttentionRule,
];

/// `y = silu(x)`: `y' = silu'(x)·x'`.
struct SiluRule;

impl CustomRule for SiluRule {
    fn id(&self) -> &str {
        SILU
    }

    fn jvp(&self, _op: &CustomOpIr, inputs: Vec<Dual>, _k: usize) -> Result<Vec<Dual>, Refusal> {
        let [x] = take(inputs)?;
        let tangent = x.tangent.map(|t| {
            let x = expand(lift(&x.primal), &dims(&t));
            Dispatch::silu_derivative(x, t)
        });
        let primal = Dispatch::silu(x.primal);
        Ok(vec![Dual { primal, tangent }])
    }
}

/// `y = γ·x̂ + β`: `y' = γ·rate·(x' − mean(x') − x̂·mean(x̂·x'))`, times the slope of SiLU where it follows. γ and β must
/// be constant.
struct GroupNormRule;

impl CustomRule for GroupNormRule {
    fn id(&self) -> &str {
        GROUP_NORM
    }

    fn jvp(&self, op: &CustomOpIr, inputs: Vec<Dual>, _k: usize) -> Result<Vec<Dual>, Refusal> {
        let options = GroupNormOptions::from_scalars(&op.scalars).ok_or_else(Refusal::unknown)?;
        let [x, gamma, beta] = take(inputs)?;
        require_constant([&gamma, &beta])?;
        let (gamma, beta) = (gamma.primal, beta.primal);
        let tangent = x.tangent.map(|t| {
            let (x, gamma, beta) = (x.primal.clone(), gamma.clone(), beta.clone());
            Dispatch::group_norm_tangent(x, gamma, beta, t, options)
        });
        let primal = Dispatch::group_norm(x.primal, gamma, beta, options);
        Ok(vec![Dual { primal, tangent }])
    }
}

/// `y = conv(x, w) + b`: `y' = conv(x', w)`. Weight and bias must be constant.
struct Conv3x3Rule;

impl CustomRule for Conv3x3Rule {
    fn id(&self) -> &str {
        CONV3X3
    }

    fn jvp(&self, op: &CustomOpIr, inputs: Vec<Dual>, k: usize) -> Result<Vec<Dual>, Refusal> {
        let [x, weight, bias] = take(inputs)?;
        require_constant([&weight, &bias])?;
        let (x, w, b, tangent) = (x.primal, weight.primal, bias.primal, x.tangent);
        let (n, outputs) = (dims(&x)[0], dims(&w)[0]);
        let (device, dtype) = (x.device(), b.dtype());
        let no_bias = |rows| zeros(&[rows, outputs], &device, dtype);
        let y = match tangent {
            None => Dual::constant(Dispatch::conv3x3(x, w, b)),
            // The weights are transformed at every call: where they outnumber the pixels, once for primal and tangents.
            Some(t) if num_elements(&x) < num_elements(&w) => {
                let bias = concat(vec![expand(b.clone(), &[n, outputs]), no_bias(k * n)]);
                let stack = concat(vec![lift(&x), t]);
                let y = on_batch(stack, |x| Dispatch::conv3x3(x, w.clone(), bias.clone()));
                Dual {
                    primal: reshape(narrow(y.clone(), 0..1), &op.outputs[0].shape.to_vec()),
                    tangent: Some(narrow(y, 1..1 + k)),
                }
            }
            Some(t) => Dual {
                tangent: Some(on_batch(t, |t| Dispatch::conv3x3(t, w.clone(), no_bias(1)))),
                primal: Dispatch::conv3x3(x, w, b),
            },
        };
        Ok(vec![y])
    }
}

/// `y = wᵀx + b` at every pixel: `y' = wᵀx'`. Weight and bias must be constant.
struct PointwiseRule;

impl CustomRule for PointwiseRule {
    fn id(&self) -> &str {
        POINTWISE
    }

    fn jvp(&self, _op: &CustomOpIr, inputs: Vec<Dual>, _k: usize) -> Result<Vec<Dual>, Refusal> {
        let [x, weight, bias] = take(inputs)?;
        require_constant([&weight, &bias])?;
        let (w, b) = (weight.primal, bias.primal);
        let tangent = x.tangent.map(|t| {
            let no_bias = zeros(&dims(&b), &x.primal.device(), b.dtype());
            on_batch(t, |t| Dispatch::pointwise(t, w.clone(), no_bias.clone()))
        });
        let primal = Dispatch::pointwise(x.primal, w, b);
        Ok(vec![Dual { primal, tangent }])
    }
}

/// `y = v·Aᵀ`, `A = softmax(qᵀk/√c)`: `y' = v'·Aᵀ + v·A'ᵀ`.
struct AttentionRule;

impl CustomRule for AttentionRule {
    fn id(&self) -> &str {
        ATTENTION
    }

    fn jvp(&self, op: &CustomOpIr, inputs: Vec<Dual>, _k: usize) -> Result<Vec<Dual>, Refusal> {
        let [ScalarIr::UInt(heads)] = op.scalars.as_slice() else {
            return Err(Refusal::unknown());
        };
        let heads = *heads as usize;
        let [qkv] = take(inputs)?;
        let tangent = qkv
            .tangent
            .map(|t| Dispatch::self_attention_tangent(qkv.primal.clone(), t, heads));
        let primal = Dispatch::self_attention(qkv.primal, heads);
        Ok(vec![Dual { primal, tangent }])
    }
}

/// The inputs of an operation that has `N` of them.
fn take<const N: usize>(inputs: Vec<Dual>) -> Result<[Dual; N], Refusal> {
    inputs.try_into().map_err(|_| Refusal::unknown())
}
