//! Exponential moving average of the weights.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

/// Moves every weight of `average` towards the one of the same [`ParamId`] in `model`:
/// `ema ← ema + (1 − decay)·(θ − ema)`.
///
/// The average starts as a clone of the model, which keeps the ids; `model` may live on an autodiff device, `average` on
/// the plain one.
pub fn update<M: Module>(average: M, model: &M, decay: f64) -> M {
    let mut weights = Weights::default();
    model.visit(&mut weights);
    average.map(&mut Towards { weights, decay })
}

/// The decay at a step: `min(decay, (1 + step)/(10 + step))`, so that the average forgets the random
/// start quickly.
pub fn warm_decay(decay: f64, step: u64) -> f64 {
    decay.min((1.0 + step as f64) / (10.0 + step as f64))
}

#[derive(Default)]
struct Weights(HashMap<ParamId, burn::tensor::TensorData>);

impl ModuleVisitor for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.insert(param.id, param.val().into_data());
    }
}

struct Towards {
    weights: Weights,
    decay: f64,
}

impl ModuleMapper for Towards {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let data = self.weights.0.remove(&param.id);
        let Some(data) = data else { return param };
        let (id, ema, mapper) = param.consume();
        let theta = Tensor::<D>::from_data(data, (&ema.device(), ema.dtype()));
        let moved = ema.clone() + (theta - ema) * (1.0 - self.decay);
        Param::from_mapped_value(id, moved, mapper)
    }
}
