//! Recording of a function as a graph of operations, and evaluation of the graph.

use crate::capture::CaptureDevice;
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
use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A function recorded for one set of shapes and types.
pub(crate) struct CapturedGraph {
    operations: Vec<OperationIr>,
    constants: BTreeMap<TensorId, TensorData>,
    inputs: Vec<TensorId>,
    parameters: HashMap<ParamId, TensorId>,
    outputs: Vec<TensorId>,
    /// The number of reads of each value, the returns of the outputs among them.
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
        function: &impl Fn(&M, &[DynTensor]) -> Vec<DynTensor>,
    ) -> Result<Self, JvpError> {
        let live = inputs
            .first()
            .map(|x| Device::new(x.0.device()))
            .ok_or_else(|| JvpError::Shape("a function needs at least one input".into()))?;
        let capture = CaptureDevice::acquire(&live)?;
        let device = capture.device.clone();
        let mut bound = None;
        // `valid` first: mapping the running state of a module writes through to its clones.
        let module = module.valid();
        let record = || {
            device.capture_scope(|scope| {
                let mut placeholders = Placeholders::new(&device);
                // Tensors that are no parameters become constants of the record.
                let module = module.map(&mut placeholders).to_device(&device);
                let inputs: Vec<DynTensor> = inputs
                    .iter()
                    .map(|x| DynTensor(placeholder(&x.shape(), x.dtype(), &device)))
                    .collect();
                let outputs = function(&module, &inputs);
                let outputs: Vec<TensorId> = outputs.iter().map(|y| capture_id(&y.0)).collect();
                let inputs: Vec<TensorId> = inputs.iter().map(|x| capture_id(&x.0)).collect();
                bound = Some((inputs, placeholders.ids()));
                scope.complete([], outputs)
            })
        };
        let captured = catch_unwind(AssertUnwindSafe(record))
            .map_err(|panic| JvpError::Capture(message(&*panic)))?
            .map_err(|e| JvpError::Capture(e.to_string()))?;
        let (inputs, parameters) = bound.expect("the scope ran");
        let outputs = captured.graph.outputs;

        let placeholders: HashSet<TensorId> =
            inputs.iter().chain(parameters.values()).copied().collect();
        let recorded = captured.graph.operations.into_iter();
        let recorded = recorded
            .filter(|op| !op.outputs().any(|t| placeholders.contains(&t.id)))
            .filter(|op| !matches!(op, OperationIr::Init(_) | OperationIr::Drop(_)));
        let operations = needed(recorded.collect(), &outputs);
        let mut reads: HashMap<TensorId, usize> = HashMap::new();
        let inputs_of = operations.iter().flat_map(|op| op.inputs()).map(|t| t.id);
        for id in inputs_of.chain(outputs.iter().copied()) {
            *reads.entry(id).or_default() += 1;
        }
        Ok(Self {
            operations,
            constants: captured.values,
            inputs,
            parameters,
            outputs,
            reads,
        })
    }

    /// The outputs and their `k` tangents, from the inputs with their tangents and the parameters with theirs.
    ///
    /// `primals` says what happens to the primals of operations; those kept come back in it.
    ///
    /// # Errors
    /// If an operation has no derivative rule.
    pub fn evaluate(
        &self,
        inputs: Vec<Dual>,
        parameters: Vec<(ParamId, Dual)>,
        k: usize,
        rules: &[&'static dyn CustomRule],
        primals: &mut Primals,
    ) -> Result<Vec<Dual>, JvpError> {
        let device = inputs[0].primal.device();
        let mut values = HashMap::new();
        for (id, data) in &self.constants {
            if self.reads.contains_key(id) {
                values.insert(*id, Dual::constant(upload(data.clone(), &device)));
            }
        }
        for (param, dual) in parameters {
            if let Some(id) = self.parameters.get(&param) {
                values.insert(*id, dual);
            }
        }
        values.extend(self.inputs.iter().copied().zip(inputs));
        let mut interp = Interpreter {
            values,
            reads: self.reads.clone(),
            k,
            device,
            rules,
            primals,
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
        let outputs = self.outputs.iter().map(|id| {
            let value = interp.values.get(id).cloned();
            value.ok_or_else(|| JvpError::Capture("an output was never produced".into()))
        });
        outputs.collect()
    }
}

/// The operations on which the outputs depend.
fn needed(operations: Vec<OperationIr>, outputs: &[TensorId]) -> Vec<OperationIr> {
    let mut read: HashSet<TensorId> = outputs.iter().copied().collect();
    let mut kept = Vec::with_capacity(operations.len());
    for op in operations.into_iter().rev() {
        if op.outputs().any(|t| read.contains(&t.id)) {
            read.extend(op.inputs().map(|t| t.id));
            kept.push(op);
        }
    }
    kept.reverse();
    kept
}

/// Ends a recording from inside the recorded function: the recording fails with this error. Nothing is printed, other
/// than by a panic.
pub(crate) fn refuse_recording(error: &JvpError) -> ! {
    resume_unwind(Box::new(error.to_string()))
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
