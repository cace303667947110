//! Helpers of the tests.
#![allow(dead_code, reason = "no test uses all helpers")]

pub mod subsets;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData, s};
use burn_jvp::{DynTensor, Jvp};
use std::cell::Cell;

/// `$body` with `$x` the float tensor at its rank.
#[macro_export]
macro_rules! by_rank {
    ($t:expr, $x:ident => $body:expr) => {
        $crate::by_rank!($t, $x, $body, 1 2 3 4 5 6)
    };
    ($t:expr, $x:ident, $body:expr, $($r:literal)*) => {
        match $t.shape().len() {
            $($r => { let $x = $t.get::<$r>(); $body })*
            r => panic!("rank {r}"),
        }
    };
}

/// Uniform numbers, the same at every run: each test has its own thread and so its own sequence (splitmix64).
pub fn uniform<const R: usize>(
    shape: [usize; R],
    low: f64,
    high: f64,
    device: &Device,
) -> Tensor<R> {
    thread_local!(static STATE: Cell<u64> = const { Cell::new(0) });
    let next = || {
        STATE.set(STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let z = STATE.get();
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        low + (high - low) * ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let values: Vec<f64> = std::iter::repeat_with(next)
        .take(shape.iter().product())
        .collect();
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F64))
}

/// Uniform between 0.3 and 0.9, f64.
pub fn random<const R: usize>(shape: [usize; R], device: &Device) -> Tensor<R> {
    uniform(shape, 0.3, 0.9, device)
}

pub fn numbers(t: &DynTensor) -> Vec<f64> {
    by_rank!(t, x => x.into_data().iter::<f64>().collect())
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Compares in the 2-norm, relative to `b`.
pub fn close(name: &str, what: &str, a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len(), "{name}: {what}: length");
    let size = dot(b, b).sqrt().max(1e-3);
    let gap = a
        .iter()
        .zip(b)
        .map(|(a, b)| (a - b).powi(2))
        .sum::<f64>()
        .sqrt();
    assert!(
        gap <= tolerance * size,
        "{name}: {what}: {gap:e} of {size:e}"
    );
}

/// `x + h·v` at any rank.
pub fn step(x: &DynTensor, v: &DynTensor, h: f64) -> DynTensor {
    by_rank!(x, x => (x + v.get() * h).into())
}

/// The `k`-th of stacked tangents.
pub fn pick(t: &DynTensor, k: usize) -> DynTensor {
    by_rank!(t, t => t.slice(s![k..k + 1]).into())
}

/// The first of stacked tangents, without the leading axis.
pub fn first(t: &DynTensor) -> DynTensor {
    match t.shape().len() {
        2 => t.get::<2>().slice(s![0..1]).squeeze_dim::<1>(0).into(),
        3 => t.get::<3>().slice(s![0..1]).squeeze_dim::<2>(0).into(),
        4 => t.get::<4>().slice(s![0..1]).squeeze_dim::<3>(0).into(),
        5 => t.get::<5>().slice(s![0..1]).squeeze_dim::<4>(0).into(),
        r => panic!("rank {r}"),
    }
}

/// Every float parameter in another precision.
pub struct Precision(pub FloatDType);

impl ModuleMapper for Precision {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let dtype = self.0;
        param.map(|t| t.cast(dtype))
    }
}

/// Every float parameter random, so that no gain is 1 and no shift or bias 0: vectors between 0.3 and 0.9 (variances
/// are vectors), the rest between −0.4 and 0.4.
pub struct Scramble;

impl ModuleMapper for Scramble {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let range = if D == 1 { (0.3, 0.9) } else { (-0.4, 0.4) };
        param.map(|t| uniform(t.dims(), range.0, range.1, &t.device()).cast(t.dtype()))
    }
}

/// A float tensor cast at any rank.
pub fn cast(t: &DynTensor, dtype: FloatDType) -> DynTensor {
    if !t.dtype().is_float() {
        return t.clone();
    }
    by_rank!(t, x => x.cast(dtype).into())
}

/// Moved to the autodiff device, tracked.
pub fn tracked(t: &DynTensor) -> DynTensor {
    by_rank!(t, x => x.autodiff().require_grad().into())
}

/// K derivatives as numbers.
pub fn tangents<M: Module, F: Fn(&M, &[DynTensor]) -> DynTensor>(
    jvp: &Jvp<M, F>,
    module: &M,
    inputs: &[DynTensor],
    tangents: &[Option<DynTensor>],
) -> Vec<f64> {
    let (_, t) = jvp
        .call(module, inputs, tangents)
        .unwrap_or_else(|e| panic!("{e}"));
    numbers(&t.expect("the output depends on a differentiated input"))
}
