//! A checker of derivatives, for authors of rules and of modules.
//!
//! ```
//! use burn::tensor::{DType, Device, Tensor};
//! use burn_jvp::check::{CheckOptions, check_jvp, random_tangents};
//! use burn_jvp::{DynTensor, Jvp};
//!
//! let module = burn::nn::Gelu::new();
//! let jvp = Jvp::new(|gelu: &burn::nn::Gelu, inputs: &[DynTensor]| {
//!     gelu.forward(inputs[0].get::<2>()).into()
//! });
//! let x = Tensor::<2>::from_data([[0.5, -1.0, 2.0]], (&Device::flex(), DType::F64));
//! let inputs = [x.into()];
//! let tangents = random_tangents(&inputs, 3, 0);
//! check_jvp(&jvp, &module, &inputs, &tangents, &CheckOptions::default())?;
//! # Ok::<(), burn_jvp::check::CheckError>(())
//! ```

use crate::dual::{Dual, RawTensor, add, dims, narrow, num_elements, reshape, scale, stacked};
use crate::dyn_tensor::DynTensor;
use crate::error::JvpError;
use crate::function::Jvp;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{Dispatch, TensorMetadata};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, FloatDType, Tensor};
use std::fmt;

/// Step and tolerances of [`check_jvp`].
///
/// Two lists of numbers agree if their distance is at most the tolerance times the 2-norm of the second, which counts
/// as at least 10⁻³.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckOptions {
    /// Step h of the central differences `(f(x + h·v) − f(x − h·v))/2h`.
    pub step: f64,
    /// Tolerance of the central differences.
    pub difference: f64,
    /// Tolerance of `⟨w, J·v⟩ = ⟨Jᵀ·w, v⟩` with `Jᵀ·w` from autodiff. `None` leaves the comparison out, for a function
    /// without a backward.
    pub adjoint: Option<f64>,
    /// Tolerance of linearity: K tangents at once against one at a time, and all inputs against one at a time.
    pub linearity: f64,
    /// Tolerance of single against double precision. `None` leaves the comparison out.
    pub single: Option<f64>,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self {
            step: 1e-6,
            difference: 1e-6,
            // Not smaller: autodiff rounds the scalar of a division to f32.
            adjoint: Some(1e-7),
            linearity: 1e-12,
            single: Some(2e-3),
        }
    }
}

/// A property of derivatives that [`check_jvp`] verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Property {
    /// The value is the function's own, to the bit.
    Value,
    /// The derivatives are those of central differences.
    Difference,
    /// `⟨w, J·v⟩ = ⟨Jᵀ·w, v⟩` with the reverse mode of autodiff.
    Adjoint,
    /// K tangents at once give the derivatives of one at a time.
    Stacking,
    /// The derivatives in one input at a time add up to those in all.
    Additivity,
    /// The derivatives in single precision are those in double precision.
    SinglePrecision,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value => "the value against the function's own",
            Self::Difference => "the derivative against a central difference",
            Self::Adjoint => "the derivative against autodiff",
            Self::Stacking => "one tangent against K at once",
            Self::Additivity => "one input at a time against all",
            Self::SinglePrecision => "single against double precision",
        })
    }
}

/// The reason why [`check_jvp`] failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The derivatives could not be computed.
    #[error(transparent)]
    Jvp(#[from] JvpError),
    /// The arguments cannot be checked.
    #[error("{0}")]
    Arguments(&'static str),
    /// Two results have different shapes or types.
    #[error("{property}: {left} and {right}")]
    Kind {
        /// The property that does not hold.
        property: Property,
        /// Shape and type of the first.
        left: String,
        /// Shape and type of the second.
        right: String,
    },
    /// Two results have different numbers.
    #[error("{property}: a distance of {distance:e} for a norm of {norm:e}")]
    Numbers {
        /// The property that does not hold.
        property: Property,
        /// Distance of the two in the 2-norm.
        distance: f64,
        /// 2-norm of the second.
        norm: f64,
    },
}

/// Checks the derivatives of `jvp` at double-precision `inputs` along `tangents`, both as for [`Jvp::call`].
///
/// It verifies each [`Property`]: the value, central differences, reverse mode, K tangents at once, one input at a time
/// and single precision. [`random_tangents`] makes tangents for all inputs. Rules under test are registered in `jvp`.
///
/// # Errors
/// [`CheckError`] names the first property that does not hold.
///
/// # Panics
/// If autodiff has no backward of an operation and `options.adjoint` is not `None`.
pub fn check_jvp<M, F>(
    jvp: &Jvp<M, F>,
    module: &M,
    inputs: &[DynTensor],
    tangents: &[Option<DynTensor>],
    options: &CheckOptions,
) -> Result<(), CheckError>
where
    M: Module,
    F: Fn(&M, &[DynTensor]) -> DynTensor,
{
    let Some(k) = tangents.iter().flatten().map(|t| t.shape()[0]).next() else {
        return Err(CheckError::Arguments("no input has a tangent"));
    };
    if inputs
        .iter()
        .any(|x| x.dtype().is_float() && x.dtype() != DType::F64)
    {
        return Err(CheckError::Arguments("the inputs are not of f64"));
    }
    let case = Case {
        jvp,
        module,
        inputs,
    };
    let joint = case.derivatives(tangents, k)?;
    let n = joint.len() / k;
    for (index, along) in joint.chunks(n.max(1)).enumerate() {
        let single = select(tangents, index);
        let alone = case.derivatives(&single, 1)?;
        compare(Property::Stacking, &alone, along, options.linearity)?;
        let difference = case.central_difference(&directions(&single), options.step);
        compare(
            Property::Difference,
            &alone,
            &difference,
            options.difference,
        )?;
    }
    let mut sum = vec![0.0; joint.len()];
    for (index, tangent) in tangents.iter().enumerate() {
        if tangent.is_some() {
            let mut only = vec![None; tangents.len()];
            only[index] = tangent.clone();
            let derivatives = case.derivatives(&only, k)?;
            sum.iter_mut().zip(derivatives).for_each(|(s, d)| *s += d);
        }
    }
    compare(Property::Additivity, &sum, &joint, options.linearity)?;
    if let Some(tolerance) = options.adjoint {
        let weights = uniform(n, (0.3, 0.9), 0);
        let forward = dot(&weights, &joint[..n]);
        let reverse = case.adjoint_product(&directions(&select(tangents, 0)), &weights);
        compare(Property::Adjoint, &[forward], &[reverse], tolerance)?;
    }
    if let Some(tolerance) = options.single {
        // `valid` first: mapping the running state of a module writes through to its clones.
        let module = module.valid().map(&mut Cast(FloatDType::F32));
        let inputs: Vec<DynTensor> = inputs.iter().map(to_single).collect();
        let tangents: Vec<Option<DynTensor>> =
            tangents.iter().map(|t| t.as_ref().map(to_single)).collect();
        let single = Case {
            jvp,
            module: &module,
            inputs: &inputs,
        };
        let derivatives = single.derivatives(&tangents, k)?;
        compare(Property::SinglePrecision, &derivatives, &joint, tolerance)?;
    }
    Ok(())
}

/// `k` tangents for each float input, uniform between −0.3 and 0.3, the same for the same `seed`.
pub fn random_tangents(inputs: &[DynTensor], k: usize, seed: u64) -> Vec<Option<DynTensor>> {
    let tangents = inputs.iter().enumerate().map(|(index, x)| {
        x.dtype().is_float().then(|| {
            let shape = stacked(k, &x.shape());
            let seed = seed.wrapping_mul(0x1_0001).wrapping_add(index as u64);
            let values = uniform(shape.iter().product(), (-0.3, 0.3), seed);
            let device = Device::new(x.0.device());
            let t = Tensor::<1>::from_data(values.as_slice(), (&device, x.dtype()));
            DynTensor(reshape(t.into_dispatch(), &shape))
        })
    });
    tangents.collect()
}

/// A function with a point at which it is differentiated.
struct Case<'a, M, F> {
    jvp: &'a Jvp<M, F>,
    module: &'a M,
    inputs: &'a [DynTensor],
}

impl<M, F> Case<'_, M, F>
where
    M: Module,
    F: Fn(&M, &[DynTensor]) -> DynTensor,
{
    /// The derivatives along `k` stacked tangents, after a check of the value.
    fn derivatives(
        &self,
        tangents: &[Option<DynTensor>],
        k: usize,
    ) -> Result<Vec<f64>, CheckError> {
        let (y, t) = self.jvp.call(self.module, self.inputs, tangents)?;
        let expected = (self.jvp.function)(self.module, self.inputs);
        if !expected.dtype().is_float() {
            return Err(CheckError::Arguments("the output is not of floats"));
        }
        same_kind(Property::Value, &y.0, &dims(&expected.0), expected.dtype())?;
        compare(Property::Value, &numbers(&y.0), &numbers(&expected.0), 0.0)?;
        let y = Dual {
            primal: y.0,
            tangent: t.map(|t| t.0),
        };
        let t = y.tangent_or_zeros(k);
        same_kind(
            Property::Stacking,
            &t,
            &stacked(k, &dims(&y.primal)),
            y.primal.dtype(),
        )?;
        Ok(numbers(&t))
    }

    /// `(f(x + h·v) − f(x − h·v))/2h` along the direction v with h = `step`.
    fn central_difference(&self, direction: &[Option<RawTensor>], step: f64) -> Vec<f64> {
        let value = |h: f64| {
            let moved = self.inputs.iter().zip(direction).map(|(x, v)| match v {
                Some(v) => DynTensor(add(x.0.clone(), scale(v.clone(), h))),
                None => x.clone(),
            });
            let inputs: Vec<DynTensor> = moved.collect();
            numbers(&(self.jvp.function)(self.module, &inputs).0)
        };
        let (up, down) = (value(step), value(-step));
        let pairs = up.iter().zip(&down);
        pairs.map(|(up, down)| (up - down) / (2.0 * step)).collect()
    }

    /// `⟨Jᵀ·w, v⟩` for a direction v, with `Jᵀ·w` from autodiff.
    fn adjoint_product(&self, direction: &[Option<RawTensor>], weights: &[f64]) -> f64 {
        // The gradients are those of the inputs, in a copy of the module that has no gradients of its own.
        let module = self.module.clone().train().freeze();
        let mut leaves = Vec::new();
        let mut inputs = Vec::new();
        for (x, v) in self.inputs.iter().zip(direction) {
            if !x.dtype().is_float() {
                inputs.push(x.clone());
                continue;
            }
            let mut leaf = flat(&x.0).autodiff();
            if let Some(v) = v {
                leaf = leaf.require_grad();
                leaves.push((leaf.clone(), numbers(v)));
            }
            inputs.push(DynTensor(reshape(leaf.into_dispatch(), &x.shape())));
        }
        let y = flat(&(self.jvp.function)(&module, &inputs).0);
        if !y.is_tracked() {
            return 0.0;
        }
        let weights = Tensor::<1>::from_data(weights, (&y.device().inner(), y.dtype()));
        let gradients = (y * weights.autodiff()).sum().backward();
        let products = leaves.iter().map(|(leaf, v)| {
            let gradient = leaf.grad(&gradients);
            gradient.map_or(0.0, |gradient| dot(&numbers(&gradient.into_dispatch()), v))
        });
        products.sum()
    }
}

/// Casts the float parameters of a module.
struct Cast(FloatDType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let dtype = self.0;
        param.map(|t| t.cast(dtype))
    }
}

/// A tensor in single precision, if it is of floats.
fn to_single(t: &DynTensor) -> DynTensor {
    if t.dtype().is_float() {
        DynTensor(Dispatch::float_cast(t.0.clone(), FloatDType::F32))
    } else {
        t.clone()
    }
}

/// The tangents with index `index`, as stacks of one.
fn select(tangents: &[Option<DynTensor>], index: usize) -> Vec<Option<DynTensor>> {
    let pick = |t: &DynTensor| DynTensor(narrow(t.0.clone(), index..index + 1));
    tangents.iter().map(|t| t.as_ref().map(pick)).collect()
}

/// Stacks of one tangent, each in the shape of its input.
fn directions(tangents: &[Option<DynTensor>]) -> Vec<Option<RawTensor>> {
    let unstack = |t: &DynTensor| reshape(t.0.clone(), &t.shape()[1..]);
    tangents.iter().map(|t| t.as_ref().map(unstack)).collect()
}

fn flat(t: &RawTensor) -> Tensor<1> {
    Tensor::from_dispatch(reshape(t.clone(), &[num_elements(t)]))
}

fn numbers(t: &RawTensor) -> Vec<f64> {
    flat(t).into_data().iter::<f64>().collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Uniform numbers in `range`, the same for the same `seed` (splitmix64).
fn uniform(count: usize, (low, high): (f64, f64), seed: u64) -> Vec<f64> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        low + (high - low) * ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Compares the shape and the type of a result with those expected.
fn same_kind(
    property: Property,
    t: &RawTensor,
    shape: &[usize],
    dtype: DType,
) -> Result<(), CheckError> {
    if dims(t) == shape && t.dtype() == dtype {
        return Ok(());
    }
    Err(CheckError::Kind {
        property,
        left: format!("{:?} of {:?}", dims(t), t.dtype()),
        right: format!("{shape:?} of {dtype:?}"),
    })
}

/// Compares two results in the 2-norm, relative to the second.
fn compare(
    property: Property,
    left: &[f64],
    right: &[f64],
    tolerance: f64,
) -> Result<(), CheckError> {
    if left.len() != right.len() {
        return Err(CheckError::Kind {
            property,
            left: format!("{} numbers", left.len()),
            right: format!("{} numbers", right.len()),
        });
    }
    let squares = left.iter().zip(right).map(|(l, r)| (l - r).powi(2));
    let distance = squares.sum::<f64>().sqrt();
    let norm = dot(right, right).sqrt();
    // Not `>`: a distance that is not a number is too large.
    if distance <= tolerance * norm.max(1e-3) {
        return Ok(());
    }
    Err(CheckError::Numbers {
        property,
        distance,
        norm,
    })
}
