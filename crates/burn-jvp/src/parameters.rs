//! The parameters of a module: their tensors at a call, and their placeholders in a recording.

use crate::dual::{RawTensor, dims};
use crate::error::JvpError;
use crate::placeholder::{capture_id, placeholder, recorded_id};
use burn::backend::capture::TensorId;
use burn::backend::{DType, TensorMetadata};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::kind::Basic;
use burn::tensor::{Bool, Device, Int, Tensor};
use std::collections::HashMap;

/// The parameters of a module as they are now, each id once.
///
/// Parameters are bound to the graph by their ids, so two parameters may have one id only if they hold the same values
/// (a tensor that the module uses twice).
pub(crate) fn live_parameters<M: Module>(
    module: &M,
) -> Result<Vec<(ParamId, RawTensor)>, JvpError> {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    match collector.clash {
        None => Ok(collector.parameters),
        Some([first, second]) => Err(JvpError::SameId { first, second }),
    }
}

/// Collects the parameters of a module.
#[derive(Default)]
struct Collector {
    path: Vec<String>,
    parameters: Vec<(ParamId, RawTensor)>,
    /// The index in `parameters` and the path of each id.
    seen: HashMap<ParamId, (usize, String)>,
    /// The paths of the first two parameters that differ but have one id.
    clash: Option<[String; 2]>,
}

impl Collector {
    fn add<const D: usize, K: Basic>(&mut self, id: ParamId, tensor: Tensor<D, K>) {
        let path = self.path.join(".");
        let Some((index, first_path)) = self.seen.get(&id) else {
            self.seen.insert(id, (self.parameters.len(), path));
            self.parameters.push((id, tensor.into_dispatch()));
            return;
        };
        let first = &self.parameters[*index].1;
        let alike = dims(first) == tensor.dims()
            && first.dtype() == tensor.dtype()
            && same_values::<D, K>(first.clone(), tensor);
        if !alike {
            self.clash.get_or_insert([first_path.clone(), path]);
        }
    }
}

/// True if two tensors of one shape and type hold the same values, or are one tensor of a recording.
fn same_values<const D: usize, K: Basic>(first: RawTensor, second: Tensor<D, K>) -> bool {
    let second = second.into_dispatch();
    if let (Some(first), Some(second)) = (recorded_id(&first), recorded_id(&second)) {
        return first == second;
    }
    let data = |t| Tensor::<D, K>::from_dispatch(t).into_data();
    data(first).as_bytes() == data(second).as_bytes()
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.add(param.id, param.val());
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.add(param.id, param.val());
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.add(param.id, param.val());
    }
}

/// Replaces the parameters of a module by placeholders on the capture device.
pub(crate) struct Placeholders<'a> {
    device: &'a Device,
    tensors: HashMap<ParamId, RawTensor>,
}

impl<'a> Placeholders<'a> {
    /// Placeholders on `device`, none yet.
    pub fn new(device: &'a Device) -> Self {
        Self {
            device,
            tensors: HashMap::new(),
        }
    }

    /// The ids under which the placeholders are recorded.
    pub fn ids(&self) -> HashMap<ParamId, TensorId> {
        let ids = self.tensors.iter();
        ids.map(|(param, t)| (*param, capture_id(t))).collect()
    }

    /// The placeholder of a parameter, the same one wherever a shared parameter is used.
    fn stand_in<const D: usize, K: Basic>(
        &mut self,
        param: ParamId,
        shape: [usize; D],
        dtype: DType,
    ) -> Param<Tensor<D, K>>
    where
        Tensor<D, K>: burn::module::Parameter,
    {
        let create = || placeholder(&shape, dtype, self.device);
        let t = self.tensors.entry(param).or_insert_with(create).clone();
        Param::initialized(param, Tensor::from_dispatch(t))
    }
}

impl ModuleMapper for Placeholders<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.stand_in(param.id, param.dims(), param.dtype())
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        self.stand_in(param.id, param.dims(), param.dtype())
    }

    fn map_bool<const D: usize>(
        &mut self,
        param: Param<Tensor<D, Bool>>,
    ) -> Param<Tensor<D, Bool>> {
        self.stand_in(param.id, param.dims(), param.dtype())
    }
}
