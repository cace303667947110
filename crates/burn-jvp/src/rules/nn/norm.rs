//! Rules of normalisations.

use crate::dual::{
    Dual, RawTensor, add_tangents, dims, div, expand, lift, mul, neg, reshape, scale, shift, sub,
};
use crate::interpreter::Interpreter;
use burn::backend::Dispatch as D;
use burn::backend::ir::{BatchNormOpIr, LayerNormOpIr};
use burn::backend::ops::{FloatTensorOps, ModuleOps};

/// `y = x̂·γ + β` with `x̂ = (x − mean)/√(var + ε)`: `y' = γ·x̂' + γ'·x̂ + β'` with
/// `x̂' = (x' − mean(x') − x̂·mean(x̂·x'))/√(var + ε)`.
pub(super) fn layer_norm(op: &LayerNormOpIr, interp: &mut Interpreter) {
    let x = interp.take(&op.input);
    let gamma = interp.take(&op.gamma);
    let beta = op.beta.as_ref().map(|b| interp.take(b));
    let epsilon: f64 = op.epsilon.elem();
    let last = dims(&x.primal).len() - 1;
    // Weights `[d]` and their tangents `[K, d]` against `[K, …, d]`.
    let along_last = |w: RawTensor| {
        let shape = dims(&w);
        let mut wide = vec![1; last + 2];
        wide[last + 1] = shape[shape.len() - 1];
        wide[0] = shape[..shape.len() - 1].iter().product();
        reshape(w, &wide)
    };
    let normalised = (x.tangent.is_some() || gamma.tangent.is_some()).then(|| {
        let mean = |t: RawTensor| D::float_mean_dim(t, last);
        let centred = sub(x.primal.clone(), mean(x.primal.clone()));
        let variance = mean(mul(centred.clone(), centred.clone()));
        let rate = D::float_recip(D::float_sqrt(shift(variance, epsilon)));
        (lift(&mul(centred, rate.clone())), lift(&rate))
    });
    let data = x.tangent.zip(normalised.clone()).map(|(t, (hat, rate))| {
        let mean = |t: RawTensor| D::float_mean_dim(t, last + 1);
        let along = mul(hat.clone(), mean(mul(hat, t.clone())));
        let centred = sub(t.clone(), mean(t));
        mul(
            mul(sub(centred, along), rate),
            along_last(gamma.primal.clone()),
        )
    });
    let weights = gamma
        .tangent
        .zip(normalised)
        .map(|(t, (hat, _))| mul(hat, along_last(t)));
    let shape = interp.stacked(&op.out);
    let shifts = beta
        .as_ref()
        .and_then(|b| b.tangent.clone())
        .map(|t| expand(along_last(t), &shape));
    let tangent = add_tangents(add_tangents(data, weights), shifts);
    let primal = interp.primal(&op.out, || {
        D::layer_norm(x.primal, gamma.primal, beta.map(|b| b.primal), epsilon)
    });
    interp.put(&op.out, Dual { primal, tangent });
}

/// `y = r·γ·(x − m) + β` with `r = 1/√(v + ε)` for each channel:
/// `y' = r·γ·x' + (γ' − γ·v'·r²/2)·r·(x − m) + β' − r·γ·m'`.
pub(super) fn batch_norm(op: &BatchNormOpIr, interp: &mut Interpreter) {
    let x = interp.take(&op.x);
    let [gamma, beta, mean, variance] =
        [&op.gamma, &op.beta, &op.mean, &op.variance].map(|t| interp.take(t));
    let epsilon: f64 = op.epsilon.elem();
    let rank = dims(&x.primal).len();
    // Statistics `[c]` and their tangents `[K, c]` against `[K, n, c, …]`.
    let per_channel = |t: RawTensor| {
        let shape = dims(&t);
        let mut wide = vec![1; rank + 1];
        wide[2] = shape[shape.len() - 1];
        wide[0] = shape[..shape.len() - 1].iter().product();
        reshape(t, &wide)
    };
    let deviation = || D::float_sqrt(shift(variance.primal.clone(), epsilon));
    let slope = || div(gamma.primal.clone(), deviation());

    let data = x.tangent.map(|t| mul(t, per_channel(slope())));
    let from_variance = variance.tangent.map(|t| {
        let square = shift(variance.primal.clone(), epsilon);
        mul(t, lift(&scale(div(gamma.primal.clone(), square), -0.5)))
    });
    let scales = add_tangents(gamma.tangent, from_variance).map(|t| {
        let centred = sub(lift(&x.primal), per_channel(mean.primal.clone()));
        mul(centred, per_channel(div(t, lift(&deviation()))))
    });
    let from_mean = mean.tangent.map(|t| neg(mul(t, lift(&slope()))));
    let shape = interp.stacked(&op.out);
    let shifts = add_tangents(beta.tangent, from_mean).map(|t| expand(per_channel(t), &shape));
    let tangent = add_tangents(add_tangents(data, scales), shifts);
    let primal = interp.primal(&op.out, || {
        D::batch_norm(
            x.primal,
            gamma.primal,
            beta.primal,
            mean.primal,
            variance.primal,
            epsilon,
        )
    });
    interp.put(&op.out, Dual { primal, tangent });
}
