//! Tangents of the inputs of a function and of the parameters of its module.

use crate::dual::{RawTensor, dims, num_elements, reshape, stacked};
use crate::dyn_tensor::DynTensor;
use crate::error::JvpError;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{Dispatch, TensorMetadata};
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// K directions in the inputs and in the parameters, along which a function is differentiated.
#[derive(Clone, Debug, Default)]
pub struct Tangents {
    /// The tangents of each input, `[K, *input.shape]`. `None` is zero. An empty list is zero for every input.
    pub inputs: Vec<Option<DynTensor>>,
    /// The tangents of parameters.
    pub parameters: ParameterTangents,
}

impl Tangents {
    /// Directions in the inputs alone.
    pub fn of_inputs(inputs: impl IntoIterator<Item = Option<DynTensor>>) -> Self {
        Self {
            inputs: inputs.into_iter().collect(),
            parameters: ParameterTangents::default(),
        }
    }

    /// Directions in the parameters alone.
    pub fn of_parameters(parameters: ParameterTangents) -> Self {
        Self {
            inputs: Vec::new(),
            parameters,
        }
    }

    /// The inputs and parameters that have tangents.
    pub fn variables(&self) -> Variables {
        let inputs = self.inputs.iter().enumerate();
        Variables {
            inputs: inputs
                .filter(|(_, t)| t.is_some())
                .map(|(i, _)| i)
                .collect(),
            parameters: self.parameters.0.keys().copied().collect(),
        }
    }

    /// The number of tangents K, 0 if nothing moves.
    pub fn k(&self) -> usize {
        let inputs = self.inputs.iter().flatten().map(|t| t.shape()[0]).next();
        inputs.unwrap_or_else(|| self.parameters.k())
    }

    /// The tangents with each stack replaced by `f` of it.
    pub(crate) fn map(&self, f: impl Fn(&DynTensor) -> DynTensor) -> Self {
        let parameters = self.parameters.iter();
        Self {
            inputs: self.inputs.iter().map(|t| t.as_ref().map(&f)).collect(),
            parameters: parameters.map(|(id, t)| (id, f(t))).collect(),
        }
    }

    /// The tangents of the `chosen` variables alone.
    pub(crate) fn only(&self, chosen: &[Variable]) -> Self {
        let inputs = self.inputs.iter().enumerate();
        let inputs =
            inputs.map(|(i, t)| t.clone().filter(|_| chosen.contains(&Variable::Input(i))));
        let parameters = self.parameters.iter();
        let parameters = parameters.filter(|(id, _)| chosen.contains(&Variable::Parameter(*id)));
        Self {
            inputs: inputs.collect(),
            parameters: parameters.map(|(id, t)| (id, t.clone())).collect(),
        }
    }

    /// `factor·self`.
    pub fn scale(&self, factor: f64) -> Self {
        self.map(|t| DynTensor(crate::dual::scale(t.0.clone(), factor)))
    }

    /// The number of tangents K, after a check against the inputs and the parameters. Without tangents K is 0.
    pub(crate) fn check(
        &self,
        inputs: &[RawTensor],
        parameters: &[(ParamId, RawTensor)],
    ) -> Result<usize, JvpError> {
        if !self.inputs.is_empty() && self.inputs.len() != inputs.len() {
            return Err(JvpError::Shape(format!(
                "{} inputs but {} tangents",
                inputs.len(),
                self.inputs.len()
            )));
        }
        let mut k = None;
        for (i, (x, t)) in inputs.iter().zip(&self.inputs).enumerate() {
            if let Some(t) = t {
                check_stack(format_args!("input {i}"), x, &t.0, &mut k)?;
            }
        }
        for (id, t) in &self.parameters.0 {
            let mut known = parameters.iter();
            let Some((_, value)) = known.find(|(known, _)| known == id) else {
                return Err(JvpError::Shape(format!(
                    "a tangent is given for the parameter {id}, which the module does not have"
                )));
            };
            check_stack(format_args!("parameter {id}"), value, &t.0, &mut k)?;
        }
        Ok(k.unwrap_or(0))
    }
}

/// Checks that `tangent` stacks K float tangents of `value`, with the K of the tangents before it.
fn check_stack(
    name: std::fmt::Arguments,
    value: &RawTensor,
    tangent: &RawTensor,
    k: &mut Option<usize>,
) -> Result<(), JvpError> {
    let (shape, stack) = (dims(value), dims(tangent));
    let fits = stack.len() == shape.len() + 1
        && stack[1..] == shape
        && stack[0] == *k.get_or_insert(stack[0])
        && stack[0] > 0
        && value.dtype().is_float()
        && tangent.dtype() == value.dtype();
    if fits {
        return Ok(());
    }
    Err(JvpError::Shape(format!(
        "the tangent of {name} is {stack:?} of {:?}, which does not stack K float tangents of {shape:?} of {:?}",
        tangent.dtype(),
        value.dtype()
    )))
}

/// An input, by position, or a parameter in which a derivative is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    Input(usize),
    Parameter(ParamId),
}

/// The inputs, by position, and the parameters in which a derivative is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Variables {
    /// Positions of inputs.
    pub inputs: BTreeSet<usize>,
    /// Parameters.
    pub parameters: BTreeSet<ParamId>,
}

impl Variables {
    /// Every float parameter of a module, and no input.
    pub fn parameters_of<M: Module>(module: &M) -> Self {
        let parameters = float_parameters(module).into_iter().map(|(id, _)| id);
        Self {
            inputs: BTreeSet::new(),
            parameters: parameters.collect(),
        }
    }

    /// Stacks in the order of the variables, inputs by position and then parameters by id, as tangents.
    pub(crate) fn arrange(
        &self,
        inputs: usize,
        stacks: impl Iterator<Item = DynTensor>,
    ) -> Tangents {
        let mut stacks = stacks;
        let mut of_inputs = vec![None; inputs];
        for (position, stack) in self.inputs.iter().zip(&mut stacks) {
            of_inputs[*position] = Some(stack);
        }
        Tangents {
            inputs: of_inputs,
            parameters: self.parameters.iter().copied().zip(stacks).collect(),
        }
    }
}

/// K directions in the parameters of a module: a stack `[K, *shape]` for each parameter that moves.
///
/// The type is a vector space, K vectors at a time, with the inner product of all entries.
///
/// # Example
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::Device;
/// use burn_jvp::ParameterTangents;
///
/// let device = Device::flex();
/// let config = LinearConfig::new(2, 3);
/// let layer: Linear = config.init(&device);
/// // Two random directions: layers of the same structure.
/// let directions = [config.init(&device), config.init(&device)];
/// let v = ParameterTangents::from_modules(&layer, &directions).unwrap();
/// assert_eq!(v.k(), 2);
/// // Unit vectors, and the layer moved along the second.
/// let scales: Vec<f64> = v.dot(&v).iter().map(|square| 1.0 / square.sqrt()).collect();
/// let unit = v.scale(&scales);
/// assert!((unit.dot(&unit)[1] - 1.0).abs() < 1e-5);
/// // The combination u₀ − 2·u₁ is as long as its parts say.
/// let combined = unit.combine(&[vec![1.0, -2.0]]);
/// let cosine = v.combine(&[vec![0.0, scales[1]]]).dot(&v.combine(&[vec![scales[0], 0.0]]))[0];
/// assert!((combined.dot(&combined)[0] - (5.0 - 4.0 * cosine)).abs() < 1e-5);
/// assert_eq!(v.slice(1..2).dot(&v.slice(1..2)), v.dot(&v)[1..]);
/// // Entry by entry: the sum of the fourth powers, twice.
/// let squares = v.map_entries(|entries| entries.powi_scalar(2));
/// assert_eq!(squares.dot(&squares), v.multiply(&v).dot(&squares));
/// let moved = unit.displace(layer, 1, 0.1);
/// assert_eq!(moved.weight.dims(), [2, 3]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ParameterTangents(BTreeMap<ParamId, DynTensor>);

impl ParameterTangents {
    /// The direction that leaves every parameter where it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the K tangents `[K, *shape]` of the parameter `id`.
    pub fn insert(&mut self, id: ParamId, tangents: impl Into<DynTensor>) {
        self.0.insert(id, tangents.into());
    }

    /// The K directions `directions`, each a module of the same structure as `module` whose parameters are the tangents
    /// of the parameters in the same place.
    ///
    /// # Errors
    /// [`JvpError::Shape`] if the float parameters of a direction are not of the number and the shapes of the module's.
    pub fn from_modules<M: Module>(module: &M, directions: &[M]) -> Result<Self, JvpError> {
        let base = float_parameters(module);
        let columns: Vec<_> = directions.iter().map(float_parameters).collect();
        let mut tangents = Self::new();
        for (place, (id, value)) in base.iter().enumerate() {
            let mut stack = Vec::with_capacity(columns.len());
            for column in &columns {
                let fits = column.len() == base.len() && dims(&column[place].1) == dims(value);
                if !fits {
                    return Err(JvpError::Shape(format!(
                        "a direction does not have the structure of the module at its parameter {id}, number {}",
                        place + 1
                    )));
                }
                let direction = column[place].1.clone();
                stack.push(reshape(direction, &stacked(1, &dims(value))));
            }
            if !stack.is_empty() {
                tangents.insert(*id, DynTensor(Dispatch::float_cat(stack, 0)));
            }
        }
        Ok(tangents)
    }

    /// The tangents `[K, *shape]` of a parameter. `None` is zero.
    pub fn get(&self, id: ParamId) -> Option<&DynTensor> {
        self.0.get(&id)
    }

    /// The parameters that move, with their tangents, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (ParamId, &DynTensor)> {
        self.0.iter().map(|(id, t)| (*id, t))
    }

    /// True if no parameter moves.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of directions K, 0 if no parameter moves.
    pub fn k(&self) -> usize {
        self.0.values().next().map_or(0, |t| t.shape()[0])
    }

    /// The inner products `⟨self_k, other_k⟩` of the K directions, in double precision from sums in the parameters' own.
    /// A parameter that one of both lacks contributes nothing.
    pub fn dot(&self, other: &Self) -> Vec<f64> {
        let mut products = vec![0.0; self.k()];
        for (id, a) in &self.0 {
            let Some(b) = other.get(*id) else { continue };
            let rows: Tensor<2> =
                Tensor::from_dispatch(rows(&a.0)) * Tensor::from_dispatch(rows(&b.0));
            let sums = rows.sum_dim(1).into_data();
            let pairs = products.iter_mut().zip(sums.iter::<f64>());
            pairs.for_each(|(p, s)| *p += s);
        }
        products
    }

    /// `factors[k]·self_k` for each direction.
    ///
    /// # Panics
    /// If there are not K factors.
    pub fn scale(&self, factors: &[f64]) -> Self {
        let scaled = self.0.iter().map(|(id, t)| {
            let shape = t.shape();
            assert_eq!(factors.len(), shape[0], "a factor for each direction");
            let rows = Tensor::<2>::from_dispatch(rows(&t.0));
            let factors = Tensor::<1>::from_data(factors, (&rows.device(), rows.dtype()));
            let scaled = rows * factors.unsqueeze_dim(1);
            (*id, DynTensor(reshape(scaled.into_dispatch(), &shape)))
        });
        Self(scaled.collect())
    }

    /// The combinations `Σ_k coefficients[j][k]·self_k`, one for each row of coefficients.
    ///
    /// # Panics
    /// If a row does not have K coefficients.
    pub fn combine(&self, coefficients: &[Vec<f64>]) -> Self {
        let k = self.k();
        assert!(
            coefficients.iter().all(|row| row.len() == k),
            "a coefficient for each direction"
        );
        let data = TensorData::new(coefficients.concat(), [coefficients.len(), k]);
        let combined = self.0.iter().map(|(id, t)| {
            let rows = Tensor::<2>::from_dispatch(rows(&t.0));
            let coefficients = Tensor::<2>::from_data(data.clone(), (&rows.device(), rows.dtype()));
            let mut shape = t.shape();
            shape[0] = coefficients.dims()[0];
            let sums = coefficients.matmul(rows).into_dispatch();
            (*id, DynTensor(reshape(sums, &shape)))
        });
        Self(combined.collect())
    }

    /// `self + other`. A parameter that one of both lacks is zero there.
    pub fn add(&self, other: &Self) -> Self {
        let mut sum = self.0.clone();
        for (id, b) in &other.0 {
            let total = match sum.remove(id) {
                Some(a) => DynTensor(Dispatch::float_add(a.0, b.0.clone())),
                None => b.clone(),
            };
            sum.insert(*id, total);
        }
        Self(sum)
    }

    /// `self` with each entry multiplied by that of `factors`, a stack of K or of one. A parameter that one of both lacks is
    /// zero.
    pub fn multiply(&self, factors: &Self) -> Self {
        let both = self.0.iter().filter_map(|(id, t)| {
            let factors = rows(&factors.get(*id)?.0);
            let product = Tensor::<2>::from_dispatch(rows(&t.0)) * Tensor::from_dispatch(factors);
            let product = reshape(product.into_dispatch(), &t.shape());
            Some((*id, DynTensor(product)))
        });
        both.collect()
    }

    /// `f` of the entries `[K, n]` of each parameter, a function that keeps the shape.
    ///
    /// # Panics
    /// If the shape changes.
    pub fn map_entries(&self, f: impl Fn(Tensor<2>) -> Tensor<2>) -> Self {
        let mapped = self.0.iter().map(|(id, t)| {
            let mapped = f(Tensor::from_dispatch(rows(&t.0)));
            (*id, DynTensor(reshape(mapped.into_dispatch(), &t.shape())))
        });
        mapped.collect()
    }

    /// The directions `range` of the stack.
    ///
    /// # Panics
    /// If the range does not lie in `0..K`.
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(range.end <= self.k(), "the range lies in the stack");
        let sliced = self.0.iter().map(|(id, t)| {
            let mut shape = t.shape();
            shape[0] = range.len();
            let rows = Tensor::<2>::from_dispatch(rows(&t.0)).slice_dim(0, range.clone());
            (*id, DynTensor(reshape(rows.into_dispatch(), &shape)))
        });
        Self(sliced.collect())
    }

    /// The directions of all `parts` as one stack, in their order.
    ///
    /// # Panics
    /// If the parts do not have the same parameters.
    pub fn concat(parts: &[Self]) -> Self {
        let Some(first) = parts.first() else {
            return Self::default();
        };
        let stack = |id: ParamId| {
            let stacks = parts.iter().map(|part| {
                let stack = part.get(id).expect("all parts have the same parameters");
                stack.clone()
            });
            DynTensor::stack(stacks.collect())
        };
        first.0.keys().map(|id| (*id, stack(*id))).collect()
    }

    /// The module moved by direction `k`: `θ + step·self_k`.
    ///
    /// # Panics
    /// If `k` is not below K.
    pub fn displace<M: Module>(&self, module: M, k: usize, step: f64) -> M {
        module.map(&mut Displace {
            tangents: self,
            k,
            step,
        })
    }
}

impl FromIterator<(ParamId, DynTensor)> for ParameterTangents {
    fn from_iter<I: IntoIterator<Item = (ParamId, DynTensor)>>(tangents: I) -> Self {
        Self(tangents.into_iter().collect())
    }
}

/// `[K, …]` as `[K, n]`.
fn rows(t: &RawTensor) -> RawTensor {
    let k = dims(t)[0];
    let columns = num_elements(t).checked_div(k).unwrap_or(0);
    reshape(t.clone(), &[k, columns])
}

/// The float parameters of a module, each id once.
fn float_parameters<M: Module>(module: &M) -> Vec<(ParamId, RawTensor)> {
    /// Collects float parameters.
    struct Floats(Vec<(ParamId, RawTensor)>);
    impl ModuleVisitor for Floats {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.0.iter().all(|(id, _)| *id != param.id) {
                self.0.push((param.id, param.val().into_dispatch()));
            }
        }
    }
    let mut floats = Floats(Vec::new());
    module.visit(&mut floats);
    floats.0
}

/// Moves parameters along one direction.
struct Displace<'a> {
    tangents: &'a ParameterTangents,
    k: usize,
    step: f64,
}

impl burn::module::ModuleMapper for Displace<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(t) = self.tangents.get(param.id) else {
            return param;
        };
        let direction = crate::dual::narrow(t.0.clone(), self.k..self.k + 1);
        let direction = Tensor::from_dispatch(reshape(direction, &t.shape()[1..]));
        let step = self.step;
        param.map(|value| value + direction.mul_scalar(step))
    }
}
