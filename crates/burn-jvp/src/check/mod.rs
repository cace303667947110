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

mod case;
mod compare;
mod property;

pub use property::{CheckError, Property};

use case::Case;
use compare::{compare, dot, uniform};

use crate::dual::{reshape, stacked};
use crate::dyn_tensor::DynTensor;
use crate::function::Jvp;
use crate::tangents::Tangents;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{Dispatch, TensorMetadata};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, FloatDType, Tensor};

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
    /// Tolerance of linearity: K tangents at once against one at a time, sets of variables against one variable at a
    /// time, and other memory layouts.
    pub linearity: f64,
    /// Positions of the inputs whose first axis is the batch. The check is repeated with an empty batch. An empty list
    /// leaves it out.
    pub batch: Vec<usize>,
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
            batch: Vec::new(),
            single: Some(2e-3),
        }
    }
}

/// Checks the derivatives of `jvp` at double-precision `inputs` along `tangents`, both as for [`Jvp::call`].
///
/// It verifies each [`Property`]. [`random_tangents`] makes tangents for all inputs. Rules under test are registered in
/// `jvp`. [`check_along`] takes tangents of parameters too.
///
/// # Errors
/// [`CheckError`] names the first property that does not hold.
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
    let tangents = Tangents::of_inputs(tangents.iter().cloned());
    check_along(jvp, module, inputs, &tangents, options)
}

/// Checks the derivatives of `jvp` along `tangents` of inputs and parameters, as [`check_jvp`] does.
///
/// # Errors
/// As [`check_jvp`].
pub fn check_along<M, F>(
    jvp: &Jvp<M, F>,
    module: &M,
    inputs: &[DynTensor],
    tangents: &Tangents,
    options: &CheckOptions,
) -> Result<(), CheckError>
where
    M: Module,
    F: Fn(&M, &[DynTensor]) -> DynTensor,
{
    let k = tangents.k();
    if k == 0 {
        return Err(CheckError::Arguments("no input has a tangent"));
    }
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
    let joint = case.derivatives(tangents)?;
    let n = joint.len() / k;
    for (index, along) in joint.chunks(n.max(1)).enumerate() {
        let single = tangents.map(|t| t.row(index));
        let alone = case.derivatives(&single)?;
        compare(Property::Stacking, &alone, along, options.linearity)?;
        let difference = case.central_difference(&single, options.step);
        compare(
            Property::Difference,
            &alone,
            &difference,
            options.difference,
        )?;
    }
    case.check_subsets(tangents, &joint, options.linearity)?;
    case.check_layouts(tangents, &joint, options.linearity)?;
    if !options.batch.is_empty() {
        case.check_empty_batch(tangents, &options.batch)?;
    }
    if let Some(tolerance) = options.adjoint {
        let weights = uniform(n, (0.3, 0.9), 0);
        let forward = dot(&weights, &joint[..n]);
        let reverse = case.adjoint_product(&tangents.map(|t| t.row(0)), &weights)?;
        compare(Property::Adjoint, &[forward], &[reverse], tolerance)?;
    }
    if let Some(tolerance) = options.single {
        // `valid` first: mapping the running state of a module writes through to its clones.
        let module = module.valid().map(&mut Cast(FloatDType::F32));
        let inputs: Vec<DynTensor> = inputs.iter().map(to_single).collect();
        let single = Case {
            jvp,
            module: &module,
            inputs: &inputs,
        };
        let derivatives = single.derivatives(&tangents.map(to_single))?;
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
