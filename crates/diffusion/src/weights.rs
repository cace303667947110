//! Weights by path: what a checkpoint stores of a module.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData};

/// One parameter: its identity (what the optimiser's state is keyed by) and its values.
#[derive(Debug, Clone)]
pub struct Weight {
    /// Burn's parameter id.
    pub id: u64,
    /// Shape and values.
    pub data: TensorData,
}

/// Every float parameter of a module, by its dotted path.
pub fn collect<M: Module>(module: &M) -> BTreeMap<String, Weight> {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    collector.weights
}

/// The module with its parameters replaced by those of the same path.
///
/// # Errors
/// A sentence that names the first parameter that is missing or has another shape, or one that the
/// module does not have.
pub fn apply<M: Module>(module: M, weights: BTreeMap<String, Weight>) -> Result<M, String> {
    let mut applier = Applier {
        path: Vec::new(),
        weights,
        problem: None,
    };
    let module = module.map(&mut applier);
    if applier.problem.is_none()
        && let Some(path) = applier.weights.keys().next()
    {
        applier.problem = Some(format!("the network has no parameter {path}"));
    }
    match applier.problem {
        None => Ok(module),
        Some(problem) => Err(problem),
    }
}

#[derive(Default)]
struct Collector {
    path: Vec<String>,
    weights: BTreeMap<String, Weight>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weight = Weight {
            id: param.id.val(),
            data: param.val().into_data(),
        };
        self.weights.insert(self.path.join("."), weight);
    }
}

struct Applier {
    path: Vec<String>,
    weights: BTreeMap<String, Weight>,
    problem: Option<String>,
}

impl ModuleMapper for Applier {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        let Some(weight) = self.weights.remove(&path) else {
            self.problem
                .get_or_insert(format!("parameter {path} is missing"));
            return param;
        };
        let expected = param.val().dims();
        if weight.data.shape().as_slice() != expected.as_slice() {
            self.problem.get_or_insert(format!(
                "parameter {path} has shape {:?}, the network needs {expected:?}",
                weight.data.shape()
            ));
            return param;
        }
        let device = param.val().device();
        let value = Tensor::from_data(weight.data, &device);
        Param::initialized(ParamId::from(weight.id), value)
    }
}
