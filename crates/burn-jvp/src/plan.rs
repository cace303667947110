//! Recording a function on the capture device, and evaluating the record.

use crate::rules::{self, Context};
use crate::value::{T, Value, dims};
use crate::{DynTensor, JvpError};
use burn::backend::capture::TensorId;
use burn::backend::ir::OperationIr;
use burn::backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn::backend::{
    BackendTensor, Capture, DType, Dispatch, DispatchDevice, DispatchKindConversion,
    DispatchTensor, Shape, TensorData, TensorMetadata,
};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::kind::Basic;
use burn::tensor::{Bool, Device, Int, Tensor};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// A process has 65,536 capture devices and each records one function at a time: one per thread and default types.
    static CAPTURE: RefCell<Vec<(String, Device)>> = const { RefCell::new(Vec::new()) };
}

/// The thread's capture device, creating tensors of the same default types as `live`.
fn capture_device(live: &Device) -> Result<Device, JvpError> {
    let settings = live.settings();
    let key = format!(
        "{:?} {:?} {:?}",
        settings.float_dtype, settings.int_dtype, settings.bool_dtype
    );
    CAPTURE.with_borrow_mut(|devices| {
        if let Some((_, device)) = devices.iter().find(|(k, _)| *k == key) {
            return Ok(device.clone());
        }
        let mut device = Device::capture();
        let config = burn::tensor::DeviceConfig::default()
            .float_dtype(settings.float_dtype)
            .int_dtype(settings.int_dtype)
            .bool_dtype(settings.bool_dtype);
        // A capture device answers questions about types only inside a scope.
        let mut configured = Ok(());
        device
            .clone()
            .capture_scope(|scope| {
                configured = device.configure(config);
                scope.complete([], [])
            })
            .map_err(|e| JvpError::Capture(e.to_string()))?;
        configured.map_err(|e| JvpError::Capture(e.to_string()))?;
        devices.push((key, device.clone()));
        Ok(device)
    })
}

/// One recorded function for one set of shapes.
pub(crate) struct Plan {
    operations: Vec<OperationIr>,
    constants: BTreeMap<TensorId, TensorData>,
    inputs: Vec<TensorId>,
    parameters: HashMap<ParamId, TensorId>,
    output: TensorId,
    uses: HashMap<TensorId, usize>,
}

impl Plan {
    /// Runs `function` on placeholders of the inputs and of every parameter.
    ///
    /// Placeholders are zeros made inside the scope; their operations are dropped from the record and live tensors
    /// stand in for them at each evaluation, so no weight is copied.
    pub fn record<M: Module>(
        module: &M,
        inputs: &[DynTensor],
        function: &impl Fn(&M, &[DynTensor]) -> DynTensor,
    ) -> Result<Self, JvpError> {
        let live = inputs
            .first()
            .map(|x| Device::new(x.0.device()))
            .ok_or_else(|| JvpError::Shape("a function needs at least one input".into()))?;
        let device = capture_device(&live)?;
        let mut ids = None;
        // `valid` first: mapping the running state of a module writes through to its clones.
        let module = module.valid();
        let record = || {
            device.capture_scope(|scope| {
                let mut placeholders = Placeholders {
                    device: &device,
                    made: HashMap::new(),
                };
                let module = module.map(&mut placeholders);
                let xs: Vec<DynTensor> = inputs
                    .iter()
                    .map(|x| DynTensor(placeholder(&x.shape(), x.dtype(), &device)))
                    .collect();
                let y = function(&module, &xs);
                let output = id(&y.0);
                ids = Some((
                    xs.iter().map(|x| id(&x.0)).collect::<Vec<_>>(),
                    placeholders.ids(),
                    output,
                ));
                scope.complete([], [output])
            })
        };
        let captured = catch_unwind(AssertUnwindSafe(record))
            .map_err(|panic| JvpError::Capture(message(&*panic)))?
            .map_err(|e| JvpError::Capture(e.to_string()))?;
        let (inputs, parameters, _) = ids.expect("the scope ran");
        let output = captured.graph.outputs[0];

        let bound: HashSet<TensorId> = inputs.iter().chain(parameters.values()).copied().collect();
        let operations: Vec<OperationIr> = captured
            .graph
            .operations
            .into_iter()
            .filter(|op| !op.outputs().any(|t| bound.contains(&t.id)))
            .filter(|op| !matches!(op, OperationIr::Init(_) | OperationIr::Drop(_)))
            .collect();
        let mut uses: HashMap<TensorId, usize> = HashMap::from([(output, 1)]);
        for input in operations.iter().flat_map(|op| op.inputs()) {
            *uses.entry(input.id).or_default() += 1;
        }
        Ok(Self {
            operations,
            constants: captured.values,
            inputs,
            parameters,
            output,
            uses,
        })
    }

    /// Evaluates the record.
    pub fn run(
        &self,
        inputs: Vec<Value>,
        live: Vec<(ParamId, T)>,
        k: usize,
    ) -> Result<Value, JvpError> {
        let device = rules::device_of(&inputs[0].primal);
        let mut env = HashMap::new();
        for (id, data) in &self.constants {
            if self.uses.contains_key(id) {
                env.insert(*id, Value::constant(upload(data.clone(), &device)));
            }
        }
        for (param, tensor) in live {
            if let Some(id) = self.parameters.get(&param) {
                env.insert(*id, Value::constant(tensor));
            }
        }
        env.extend(self.inputs.iter().copied().zip(inputs));
        let mut cx = Context {
            env,
            uses: self.uses.clone(),
            k,
            device,
            refusal: "burn-jvp knows no derivative of it",
        };
        for (index, op) in self.operations.iter().enumerate() {
            rules::apply(op, &mut cx).ok_or_else(|| JvpError::Unsupported {
                operation: rules::name(op),
                index: index + 1,
                count: self.operations.len(),
                shape: op
                    .outputs()
                    .next()
                    .map(|t| t.shape.to_vec())
                    .unwrap_or_default(),
                reason: cx.refusal,
            })?;
        }
        cx.env
            .remove(&self.output)
            .ok_or_else(|| JvpError::Capture("the output was never produced".into()))
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()))
        .unwrap_or_else(|| "it panicked".into())
}

fn upload(data: TensorData, device: &DispatchDevice) -> T {
    let dtype = data.dtype();
    if dtype.is_float() {
        Dispatch::float_from_data(data, device)
    } else if dtype.is_bool() {
        Dispatch::bool_from_data(data, device)
    } else {
        Dispatch::int_from_data(data, device)
    }
}

fn placeholder(shape: &[usize], dtype: DType, device: &Device) -> T {
    let shape = Shape::from(shape.to_vec());
    let device = device.as_dispatch();
    if dtype.is_float() {
        Dispatch::float_zeros(shape, device, dtype.into())
    } else if dtype.is_bool() {
        Dispatch::bool_zeros(shape, device, dtype.into())
    } else {
        Dispatch::int_zeros(shape, device, dtype.into())
    }
}

/// The recorded identity of a tensor on the capture device.
fn id(t: &T) -> TensorId {
    match <DispatchTensor as DispatchKindConversion<Capture>>::try_into_backend(t.clone()) {
        Ok(BackendTensor::Float(t)) => t.id(),
        Ok(BackendTensor::Int(t)) => t.id(),
        Ok(BackendTensor::Bool(t)) => t.id(),
        _ => panic!("the function's result was not computed from its inputs or its module"),
    }
}

/// Puts placeholders in the place of parameters.
struct Placeholders<'a> {
    device: &'a Device,
    made: HashMap<ParamId, T>,
}

impl Placeholders<'_> {
    /// A placeholder like `t`, the same one wherever a shared parameter is used.
    fn stand_in(&mut self, param: ParamId, t: T) -> T {
        let make = || placeholder(&dims(&t), t.dtype(), self.device);
        self.made.entry(param).or_insert_with(make).clone()
    }

    fn ids(&self) -> HashMap<ParamId, TensorId> {
        self.made.iter().map(|(p, t)| (*p, id(t))).collect()
    }
}

impl ModuleMapper for Placeholders<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let t = self.stand_in(param.id, param.val().into_dispatch());
        Param::initialized(param.id, Tensor::from_dispatch(t))
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        let t = self.stand_in(param.id, param.val().into_dispatch());
        Param::initialized(param.id, Tensor::from_dispatch(t))
    }

    fn map_bool<const D: usize>(
        &mut self,
        param: Param<Tensor<D, Bool>>,
    ) -> Param<Tensor<D, Bool>> {
        let t = self.stand_in(param.id, param.val().into_dispatch());
        Param::initialized(param.id, Tensor::from_dispatch(t))
    }
}

/// The parameters of a module as they are now, each id once.
///
/// Weights are bound by their ids, so two parameters may have one id only if they hold the same values (a tensor that
/// the module uses twice).
pub(crate) fn live_parameters<M: Module>(module: &M) -> Result<Vec<(ParamId, T)>, JvpError> {
    let mut collect = Collect::default();
    module.visit(&mut collect);
    match collect.clash {
        None => Ok(collect.found),
        Some([first, second]) => Err(JvpError::SameId { first, second }),
    }
}

#[derive(Default)]
struct Collect {
    path: Vec<String>,
    found: Vec<(ParamId, T)>,
    /// Place in `found` and path of every id.
    places: HashMap<ParamId, (usize, String)>,
    /// The first two parameters that differ but have one id.
    clash: Option<[String; 2]>,
}

impl Collect {
    fn add<const D: usize, K: Basic>(&mut self, id: ParamId, tensor: Tensor<D, K>) {
        let path = self.path.join(".");
        let Some((place, first)) = self.places.get(&id) else {
            self.places.insert(id, (self.found.len(), path));
            self.found.push((id, tensor.into_dispatch()));
            return;
        };
        let known = &self.found[*place].1;
        let alike = dims(known) == tensor.dims() && known.dtype() == tensor.dtype() && {
            let known = Tensor::<D, K>::from_dispatch(known.clone()).into_data();
            known.as_bytes() == tensor.into_data().as_bytes()
        };
        if !alike {
            self.clash.get_or_insert([first.clone(), path]);
        }
    }
}

impl ModuleVisitor for Collect {
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
