//! Recording of a function as a graph of operations, and evaluation of the graph.

use crate::dual::{Dual, RawTensor};
use crate::dyn_tensor::DynTensor;
use crate::error::JvpError;
use crate::interpreter::{Interpreter, Primals};
use crate::parameters::Placeholders;
use crate::placeholder::{capture_id, placeholder};
use crate::rule::CustomRule;
use crate::rules;
use burn::backend::capture::TensorId;
use burn::backend::ir::OperationIr;
use burn::backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn::backend::{Dispatch, DispatchDevice, TensorData, TensorMetadata};
use burn::module::{Module, ParamId};
use burn::tensor::Device;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// The capture devices of a thread, by the default types of their tensors. A process has 65,536 of them, and one
    /// records one function at a time.
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

/// A function recorded for one set of shapes and types.
pub(crate) struct CapturedGraph {
    operations: Vec<OperationIr>,
    constants: BTreeMap<TensorId, TensorData>,
    inputs: Vec<TensorId>,
    parameters: HashMap<ParamId, TensorId>,
    output: TensorId,
    /// The number of reads of each value, the return of the output among them.
    reads: HashMap<TensorId, usize>,
}

impl CapturedGraph {
    /// Runs `function` on placeholders of the inputs and of every parameter.
    ///
    /// Placeholders are zeros that are created inside the scope. Their operations are dropped from the record and live
    /// tensors stand in for them at each evaluation, so no weight is copied.
    ///
    /// # Errors
    /// If there is no input, the device has no capture, or the function cannot be recorded.
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
        let mut bound = None;
        // `valid` first: mapping the running state of a module writes through to its clones.
        let module = module.valid();
        let record = || {
            device.capture_scope(|scope| {
                let mut placeholders = Placeholders::new(&device);
                let module = module.map(&mut placeholders);
                let inputs: Vec<DynTensor> = inputs
                    .iter()
                    .map(|x| DynTensor(placeholder(&x.shape(), x.dtype(), &device)))
                    .collect();
                let output = capture_id(&function(&module, &inputs).0);
                let inputs: Vec<TensorId> = inputs.iter().map(|x| capture_id(&x.0)).collect();
                bound = Some((inputs, placeholders.ids()));
                scope.complete([], [output])
            })
        };
        let captured = catch_unwind(AssertUnwindSafe(record))
            .map_err(|panic| JvpError::Capture(message(&*panic)))?
            .map_err(|e| JvpError::Capture(e.to_string()))?;
        let (inputs, parameters) = bound.expect("the scope ran");
        let output = captured.graph.outputs[0];

        let placeholders: HashSet<TensorId> =
            inputs.iter().chain(parameters.values()).copied().collect();
        let operations: Vec<OperationIr> = captured
            .graph
            .operations
            .into_iter()
            .filter(|op| !op.outputs().any(|t| placeholders.contains(&t.id)))
            .filter(|op| !matches!(op, OperationIr::Init(_) | OperationIr::Drop(_)))
            .collect();
        let mut reads: HashMap<TensorId, usize> = HashMap::from([(output, 1)]);
        for input in operations.iter().flat_map(|op| op.inputs()) {
            *reads.entry(input.id).or_default() += 1;
        }
        Ok(Self {
            operations,
            constants: captured.values,
            inputs,
            parameters,
            output,
            reads,
        })
    }

    /// The output and its `k` tangents, from the inputs with their tangents and the parameters at this call.
    ///
    /// # Errors
    /// If an operation has no derivative rule.
    pub fn evaluate(
        &self,
        inputs: Vec<Dual>,
        parameters: Vec<(ParamId, RawTensor)>,
        k: usize,
        rules: &[&'static dyn CustomRule],
    ) -> Result<Dual, JvpError> {
        let device = inputs[0].primal.device();
        let mut values = HashMap::new();
        for (id, data) in &self.constants {
            if self.reads.contains_key(id) {
                values.insert(*id, Dual::constant(upload(data.clone(), &device)));
            }
        }
        for (param, tensor) in parameters {
            if let Some(id) = self.parameters.get(&param) {
                values.insert(*id, Dual::constant(tensor));
            }
        }
        values.extend(self.inputs.iter().copied().zip(inputs));
        let mut interp = Interpreter {
            values,
            reads: self.reads.clone(),
            k,
            device,
            rules,
            primals: Primals::Compute,
        };
        for (index, op) in self.operations.iter().enumerate() {
            rules::apply(op, &mut interp).map_err(|refusal| JvpError::Unsupported {
                operation: rules::name(op),
                index: index + 1,
                count: self.operations.len(),
                shape: op
                    .outputs()
                    .next()
                    .map(|t| t.shape.to_vec())
                    .unwrap_or_default(),
                reason: refusal,
            })?;
        }
        interp
            .values
            .remove(&self.output)
            .ok_or_else(|| JvpError::Capture("the output was never produced".into()))
    }
}

/// The text of a panic.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()))
        .unwrap_or_else(|| "it panicked".into())
}

/// A constant of the graph on a device.
fn upload(data: TensorData, device: &DispatchDevice) -> RawTensor {
    let dtype = data.dtype();
    if dtype.is_float() {
        Dispatch::float_from_data(data, device)
    } else if dtype.is_bool() {
        Dispatch::bool_from_data(data, device)
    } else {
        Dispatch::int_from_data(data, device)
    }
}
