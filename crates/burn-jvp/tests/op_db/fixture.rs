//! The fixture of `scripts/torch_op_db_fixture.py`: samples of PyTorch's databases with values and derivatives.

use crate::arguments::WIDE;
use burn::tensor::{Bool, DType, Device, FloatDType, Int, Tensor, TensorData};
use burn_jvp::DynTensor;
use flate2::read::GzDecoder;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::Read;

/// `$body` with `$x` the tensor `$t` of kind `$kind` at its rank.
#[macro_export]
macro_rules! at_rank {
    ($t:expr, $kind:ty, $x:ident => $body:expr) => {
        $crate::at_rank!($t, $kind, $x, $body, 1 2 3 4 5 6 7)
    };
    ($t:expr, $kind:ty, $x:ident, $body:expr, $($r:literal)*) => {
        match $t.shape().len() {
            $($r => { let $x = $t.get_kind::<$r, $kind>(); $body })*
            r => panic!("rank {r}"),
        }
    };
}

/// The table of cases.
#[derive(Deserialize)]
struct Table {
    cases: Vec<Entry>,
}

/// One entry of the table of cases, as the script writes it.
#[derive(Deserialize)]
struct Entry {
    name: String,
    variant: String,
    sample: usize,
    positional: Vec<Value>,
    keyword: Map<String, Value>,
    #[serde(default)]
    forward: Vec<Value>,
    #[serde(default)]
    forward_keyword: Map<String, Value>,
    #[serde(default)]
    state: Vec<String>,
    tangents: Vec<Vec<usize>>,
    #[serde(default)]
    parameters: BTreeMap<String, Vec<usize>>,
    outputs: Vec<usize>,
}

/// Arguments of a Python call. Tensors are the objects `{"tensor": i}`.
#[derive(Clone, Debug, Default)]
pub struct Call {
    positional: Vec<Value>,
    keyword: Map<String, Value>,
}

impl Call {
    /// The argument at a position (counted from 0) or of a name, if the call has one that is not `None`.
    pub fn get(&self, position: usize, name: &str) -> Option<&Value> {
        let argument = self.positional.get(position);
        argument
            .or_else(|| self.keyword.get(name))
            .filter(|value| !value.is_null())
    }

    /// A number, which may be infinite.
    pub fn number(&self, position: usize, name: &str) -> Option<f64> {
        number(self.get(position, name)?)
    }

    /// A truth value. Without the argument it is `default`.
    pub fn flag(&self, position: usize, name: &str, default: bool) -> bool {
        let value = self.get(position, name).and_then(Value::as_bool);
        value.unwrap_or(default)
    }

    /// A text.
    pub fn text(&self, position: usize, name: &str) -> Option<&str> {
        self.get(position, name)?.as_str()
    }

    /// An integer or a list of integers.
    pub fn integers(&self, position: usize, name: &str) -> Option<Vec<i64>> {
        match self.get(position, name)? {
            Value::Array(items) => items.iter().map(Value::as_i64).collect(),
            value => value.as_i64().map(|n| vec![n]),
        }
    }

    /// `N` sizes, given as one for all or as a list.
    pub fn sizes<const N: usize>(&self, position: usize, name: &str) -> Option<[usize; N]> {
        let sizes = self.integers(position, name)?;
        let size = |i: usize| *sizes.get(i).unwrap_or(&sizes[0]) as usize;
        Some(std::array::from_fn(size))
    }

    /// The integers from `position` on, given one by one or as a list.
    pub fn trailing_integers(&self, position: usize, name: &str) -> Vec<i64> {
        if let Some(Value::Array(_)) = self.get(position, name) {
            return self.integers(position, name).unwrap_or_default();
        }
        let trailing = self.positional.iter().skip(position);
        trailing.filter_map(Value::as_i64).collect()
    }

    /// The index of a tensor.
    pub fn tensor(&self, position: usize, name: &str) -> Option<usize> {
        tensor_index(self.get(position, name)?)
    }

    /// The indices of a list of tensors, or of the positional tensors from `position` on.
    pub fn tensors(&self, position: usize, name: &str) -> Vec<usize> {
        if let Some(Value::Array(items)) = self.get(position, name) {
            return items.iter().filter_map(tensor_index).collect();
        }
        let trailing = self.positional.iter().skip(position);
        trailing.filter_map(tensor_index).collect()
    }
}

fn number(value: &Value) -> Option<f64> {
    if let Some(text) = value.get("float").and_then(Value::as_str) {
        return text.parse().ok();
    }
    value.as_f64()
}

fn tensor_index(value: &Value) -> Option<usize> {
    Some(value.get("tensor")?.as_u64()? as usize)
}

/// A parameter's tangents.
pub struct ParameterTangent {
    /// The directions in which the parameter has a tangent.
    pub directions: Vec<usize>,
    /// The tangents, stacked in the order of the directions.
    pub stack: DynTensor,
}

/// A variable of a module or an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable<'a> {
    /// The input at a position.
    Input(usize),
    /// The parameter of a name.
    Parameter(&'a str),
}

/// One sample of a database with PyTorch's values and derivatives.
pub struct Case {
    /// Name of the operation, or `module.` and the name of the module.
    pub name: String,
    /// Variant of the operation, mostly empty.
    pub variant: String,
    /// Position among the samples of the operation.
    pub sample: usize,
    /// Arguments of the operation, or of the module's constructor.
    pub call: Call,
    /// Arguments of the module's call.
    pub forward: Call,
    /// Parameters and buffers of the module.
    pub state: BTreeMap<String, DynTensor>,
    /// Input tensors. A tensor without axes has the shape `[1]` here and everywhere.
    pub inputs: Vec<DynTensor>,
    /// Ranks of the inputs in PyTorch, at least 1.
    pub ranks: Vec<usize>,
    /// The directions in which each input has a tangent.
    pub directions: Vec<Vec<usize>>,
    /// Tangents of each input, stacked in the order of its directions. `None` for integers and booleans.
    pub tangents: Vec<Option<DynTensor>>,
    /// Tangents of each parameter of the module, by its name.
    pub parameters: BTreeMap<String, ParameterTangent>,
    /// Shape and numbers of each float output.
    pub values: Vec<(Vec<usize>, Vec<f64>)>,
    /// Derivatives of each float output, direction after direction.
    pub derivatives: Vec<Vec<f64>>,
}

impl Case {
    /// The variables that have tangents, each with its directions.
    pub fn variables(&self) -> Vec<(Variable<'_>, &[usize])> {
        let inputs = self.directions.iter().enumerate();
        let inputs = inputs.map(|(i, rows)| (Variable::Input(i), rows.as_slice()));
        let parameters = self.parameters.iter();
        let parameters =
            parameters.map(|(name, t)| (Variable::Parameter(name), t.directions.as_slice()));
        let variables = inputs.chain(parameters);
        variables.filter(|(_, rows)| !rows.is_empty()).collect()
    }

    /// The directions in which `variable` alone has a tangent.
    pub fn directions_of_its_own(&self, variable: Variable) -> Vec<usize> {
        let variables = self.variables();
        let moves = |v: Variable, k: usize| {
            let mut variables = variables.iter();
            variables.any(|(other, rows)| *other == v && rows.contains(&k))
        };
        let alone = |k: &usize| {
            let mut variables = variables.iter();
            variables.all(|(other, _)| moves(*other, *k) == (*other == variable))
        };
        (0..self.directions()).filter(alone).collect()
    }

    /// True if an input has no entries.
    pub fn is_empty(&self) -> bool {
        self.inputs.iter().any(|x| x.shape().contains(&0))
    }

    /// Number of directions K.
    pub fn directions(&self) -> usize {
        let variables = self.variables();
        let indices = variables.iter().flat_map(|(_, rows)| *rows);
        indices.max().map_or(0, |k| k + 1)
    }
}

/// All cases of a gzipped fixture.
pub fn read(compressed: &[u8]) -> Vec<Case> {
    let mut bytes = Vec::new();
    let mut decoder = GzDecoder::new(compressed);
    decoder.read_to_end(&mut bytes).expect("a gzipped fixture");
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("a SafeTensors header");
    let metadata = header.metadata().as_ref().expect("metadata");
    let table: Table = serde_json::from_str(&metadata["table"]).expect("a table of cases");
    let file = SafeTensors::deserialize(&bytes).expect("a SafeTensors file");
    let cases = table.cases.into_iter().enumerate();
    cases
        .map(|(index, entry)| case(index, entry, &file))
        .collect()
}

fn case(index: usize, entry: Entry, file: &SafeTensors) -> Case {
    let find = |key: String| file.tensor(&format!("{index}.{key}")).ok();
    let get = |key: String| find(key.clone()).unwrap_or_else(|| panic!("{index}.{key}"));
    let count = entry.tangents.len();
    let outputs = 0..entry.outputs.len();
    let shapes: Vec<Vec<usize>> = (0..count)
        .map(|i| get(format!("x.{i}")).shape().to_vec())
        .collect();
    // The reshape of Burn cannot add axes to a tensor without entries, so such a sample has them from the start.
    let is_empty = shapes.iter().any(|shape| shape.contains(&0));
    let rank = if is_empty && entry.state.is_empty() {
        WIDE
    } else {
        1
    };
    let in_front = |shape: &[usize]| {
        let mut padded = vec![1; rank.saturating_sub(shape.len())];
        padded.extend_from_slice(shape);
        padded
    };
    Case {
        call: Call {
            positional: entry.positional,
            keyword: entry.keyword,
        },
        forward: Call {
            positional: entry.forward,
            keyword: entry.forward_keyword,
        },
        state: entry
            .state
            .into_iter()
            .map(|key| {
                let view = get(format!("s.{key}"));
                (key, tensor(&view, view.shape()))
            })
            .collect(),
        inputs: (0..count)
            .map(|i| tensor(&get(format!("x.{i}")), &in_front(&shapes[i])))
            .collect(),
        tangents: (0..count)
            .map(|i| {
                let view = find(format!("t.{i}"))?;
                let mut shape = vec![view.shape()[0]];
                shape.extend(in_front(&shapes[i]));
                Some(tensor(&view, &shape))
            })
            .collect(),
        parameters: entry
            .parameters
            .into_iter()
            .map(|(key, directions)| {
                let view = get(format!("p.{key}"));
                let stack = tensor(&view, view.shape());
                (key, ParameterTangent { directions, stack })
            })
            .collect(),
        ranks: shapes.iter().map(|shape| shape.len().max(1)).collect(),
        values: outputs
            .clone()
            .map(|j| get(format!("y.{j}")))
            .map(|view| (view.shape().to_vec(), floats(&view)))
            .collect(),
        derivatives: outputs.map(|j| floats(&get(format!("d.{j}")))).collect(),
        name: entry.name,
        variant: entry.variant,
        sample: entry.sample,
        directions: entry.tangents,
    }
}

/// A tensor on the CPU in the shape `shape`, f64 if it holds floats.
fn tensor(view: &TensorView, shape: &[usize]) -> DynTensor {
    let device = Device::flex();
    macro_rules! build {
        ($kind:ty, $data:expr, $options:expr, $($r:literal)*) => {
            match shape.len() {
                $($r => Tensor::<$r, $kind>::from_data($data, $options).into(),)*
                r => panic!("rank {r}"),
            }
        };
    }
    let bytes = view.data();
    match view.dtype() {
        Dtype::I64 => {
            let values = bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b));
            let data = TensorData::new(values.collect::<Vec<_>>(), shape.to_vec());
            build!(Int, data, (&device, DType::I64), 1 2 3 4 5 6)
        }
        Dtype::BOOL => {
            let values = bytes.iter().map(|b| *b != 0);
            let data = TensorData::new(values.collect::<Vec<_>>(), shape.to_vec());
            build!(Bool, data, &device, 1 2 3 4 5 6)
        }
        _ => {
            let data = TensorData::new(floats(view), shape.to_vec());
            build!(burn::tensor::Float, data, (&device, DType::F64), 1 2 3 4 5 6)
        }
    }
}

fn floats(view: &TensorView) -> Vec<f64> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => {
            let chunks = bytes.as_chunks().0.iter();
            chunks.map(|b| f32::from_le_bytes(*b).into()).collect()
        }
        Dtype::F64 => {
            let chunks = bytes.as_chunks().0.iter();
            chunks.map(|b| f64::from_le_bytes(*b)).collect()
        }
        other => panic!("{other:?} for floats"),
    }
}

/// The numbers of a tensor of floats.
pub fn numbers(t: &DynTensor) -> Vec<f64> {
    at_rank!(t, burn::tensor::Float, x => x.into_data().iter::<f64>().collect())
}

/// A tensor of floats in another precision. Other tensors stay.
pub fn cast(t: &DynTensor, dtype: FloatDType) -> DynTensor {
    if !t.dtype().is_float() {
        return t.clone();
    }
    at_rank!(t, burn::tensor::Float, x => x.cast(dtype).into())
}

/// The tangents of some directions: from `[directions.len(), …]` to `[rows.len(), …]`, with zeros in the rows that are
/// not among `directions`.
pub fn spread(t: &DynTensor, directions: &[usize], rows: &[usize]) -> DynTensor {
    at_rank!(t, burn::tensor::Float, x => {
        let zeros = x.clone().slice_dim(0, 0..1).zeros_like();
        let rows = rows.iter().map(|row| match directions.iter().position(|d| d == row) {
            Some(place) => x.clone().slice_dim(0, place..place + 1),
            None => zeros.clone(),
        });
        Tensor::cat(rows.collect(), 0).into()
    })
}
