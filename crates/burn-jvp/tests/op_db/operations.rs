//! PyTorch's operations in terms of Burn.
//!
//! Burn's tensors have a static rank and no rank 0. Most operations are done at the rank [`WIDE`], with axes of one
//! entry in front; layers and matrix products are done at the rank of the sample.

use crate::at_rank;
use crate::fixture::{Call, Case};
use burn::module::Param;
use burn::nn;
use burn::nn::loss::Reduction;
use burn::tensor::activation as act;
use burn::tensor::grid::{GridIndexing, meshgrid};
use burn::tensor::module as layer;
use burn::tensor::ops::{
    AttentionModuleOptions, AvgPoolOptions, ConvOptions, ConvTransposeOptions, GridSampleOptions,
    GridSamplePaddingMode, IndexingUpdateOp, InterpolateMode, InterpolateOptions, MaxPoolOptions,
    PadMode, UnfoldOptions,
};
use burn::tensor::{Bool, DType, Float, Int, Slice, Tensor};
use burn_jvp::DynTensor;
use burn_linalg as linalg;

/// Rank of most operations here.
pub const WIDE: usize = 5;

/// The message of [`lacks`] begins with it.
pub const LACKS: &str = "Burn lacks ";

/// Ends a sample whose arguments Burn does not have.
pub fn lacks<T>(what: &str) -> T {
    panic!("{LACKS}{what}")
}

/// Arguments of one call with its tensors.
pub struct Arguments<'a> {
    /// Name and variant.
    pub case: &'a Case,
    /// Positions and names.
    pub call: &'a Call,
    /// Input tensors of the case, on the device of the evaluation.
    pub tensors: &'a [DynTensor],
}

impl Arguments<'_> {
    /// The tensor argument at a position or of a name.
    pub fn tensor(&self, position: usize, name: &str) -> Option<DynTensor> {
        let index = self.call.tensor(position, name)?;
        Some(self.tensors[index].clone())
    }

    /// A tensor argument that is always there.
    pub fn required(&self, position: usize, name: &str) -> DynTensor {
        let tensor = self.tensor(position, name);
        tensor.unwrap_or_else(|| lacks("this call without a tensor"))
    }

    /// A tensor argument of rank `R`, after axes of one entry in front where it has fewer.
    pub fn ranked<const R: usize>(&self, position: usize, name: &str) -> Tensor<R> {
        widen(&self.required(position, name))
    }

    /// The first argument.
    pub fn x(&self) -> Tensor<WIDE> {
        self.ranked(0, "input")
    }

    /// The second argument. A number becomes a tensor of one entry.
    fn other(&self, name: &str) -> Tensor<WIDE> {
        if let Some(number) = self.call.number(1, name) {
            let x = self.x();
            return Tensor::full([1; WIDE], number, (&x.device(), x.dtype()));
        }
        self.ranked(1, name)
    }

    /// Integer indices at the rank [`WIDE`].
    fn indices(&self, position: usize, name: &str) -> Tensor<WIDE, Int> {
        widen_int(&self.required(position, name))
    }

    /// A mask at the rank [`WIDE`].
    fn mask(&self, position: usize, name: &str) -> Tensor<WIDE, Bool> {
        widen_bool(&self.required(position, name))
    }

    /// Rank of the first argument in PyTorch.
    fn rank(&self) -> usize {
        let index = self.call.tensor(0, "input").unwrap_or(0);
        self.tensors[index].shape().len()
    }

    /// An axis of the first argument as an axis of [`WIDE`].
    fn axis(&self, position: usize, name: &str) -> Option<usize> {
        let axes = self.call.integers(position, name)?;
        Some(wide_axis(axes[0], self.rank()))
    }

    /// Axes of the first argument as axes of [`WIDE`]. No list and an empty list are all axes.
    fn axes(&self, position: usize, name: &str) -> Vec<usize> {
        match self.call.integers(position, name) {
            Some(axes) if !axes.is_empty() => {
                axes.iter().map(|a| wide_axis(*a, self.rank())).collect()
            }
            _ => (0..WIDE).collect(),
        }
    }

    fn number_or(&self, position: usize, name: &str, default: f64) -> f64 {
        self.call.number(position, name).unwrap_or(default)
    }
}

/// An axis of a tensor of rank `rank`, negative from the end, as an axis of [`WIDE`].
fn wide_axis(axis: i64, rank: usize) -> usize {
    if axis < 0 {
        (WIDE as i64 + axis) as usize
    } else {
        WIDE - rank + axis as usize
    }
}

/// A shape with axes of one entry in front.
fn wide_shape<const R: usize>(shape: &[usize]) -> [usize; R] {
    if shape.len() > R {
        lacks::<()>("tensors of this rank in this operation");
    }
    let mut wide = [1; R];
    wide[R - shape.len()..].copy_from_slice(shape);
    wide
}

/// A tensor of floats with axes of one entry in front.
pub fn widen<const R: usize>(t: &DynTensor) -> Tensor<R> {
    if t.shape().len() == R {
        return t.get();
    }
    wide_shape::<R>(&t.shape());
    at_rank!(t, Float, x => x.unsqueeze())
}

fn widen_int<const R: usize>(t: &DynTensor) -> Tensor<R, Int> {
    wide_shape::<R>(&t.shape());
    at_rank!(t, Int, x => x.unsqueeze())
}

pub fn widen_bool<const R: usize>(t: &DynTensor) -> Tensor<R, Bool> {
    wide_shape::<R>(&t.shape());
    at_rank!(t, Bool, x => x.unsqueeze())
}

/// The float outputs of an operation in PyTorch's order.
///
/// # Panics
/// If Burn lacks the arguments of the sample (see [`lacks`]), and where Burn panics.
pub fn apply(a: &Arguments) -> Vec<DynTensor> {
    let one = None
        .or_else(|| elementwise(a))
        .or_else(|| activation(a))
        .or_else(|| arithmetic(a))
        .or_else(|| reduction(a))
        .or_else(|| movement(a))
        .or_else(|| indexing(a));
    if let Some(y) = one {
        return vec![y.into()];
    }
    let other = None
        .or_else(|| several(a))
        .or_else(|| product(a).map(|y| vec![y]))
        .or_else(|| convolution(a).map(|y| vec![y]))
        .or_else(|| pooling(a).map(|y| vec![y]))
        .or_else(|| normalisation(a).map(|y| vec![y]))
        .or_else(|| loss(a).map(|y| vec![y.into()]));
    other.unwrap_or_else(|| panic!("no counterpart of {} in this test", a.case.name))
}

/// Functions of each entry.
fn elementwise(a: &Arguments) -> Option<Tensor<WIDE>> {
    let x = || a.x();
    Some(match a.case.name.as_str() {
        "abs" => x().abs(),
        "acos" => x().acos(),
        "acosh" => x().acosh(),
        "asin" => x().asin(),
        "asinh" => x().asinh(),
        "atan" => x().atan(),
        "atanh" => x().atanh(),
        "ceil" => x().ceil(),
        "clone" | "positive" => x(),
        "cos" => x().cos(),
        "cosh" => x().cosh(),
        "deg2rad" => x().deg2rad(),
        "erf" => x().erf(),
        "exp" => x().exp(),
        "floor" => x().floor(),
        "full_like" => x().full_like(a.number_or(1, "fill_value", 0.0)),
        "log" => x().log(),
        "log1p" => x().log1p(),
        "neg" => x().neg(),
        "ones_like" => x().ones_like(),
        "rad2deg" => x().rad2deg(),
        "reciprocal" => x().recip(),
        "round" if a.number_or(1, "decimals", 0.0) != 0.0 => lacks("rounding to decimals"),
        "round" => x().round(),
        "sigmoid" => act::sigmoid(x()),
        "sign" => x().sign(),
        "sin" => x().sin(),
        "sinh" => x().sinh(),
        "sqrt" => x().sqrt(),
        "square" => x().square(),
        "tan" => x().tan(),
        "tanh" => x().tanh(),
        "trunc" => x().trunc(),
        "zeros_like" => x().zeros_like(),
        _ => return None,
    })
}

/// Activation functions.
fn activation(a: &Arguments) -> Option<Tensor<WIDE>> {
    let x = || a.x();
    let dim = |position, default| {
        let dim = a.axis(position, "dim");
        dim.unwrap_or_else(|| wide_axis(default, a.rank()))
    };
    let name = a.case.name.strip_prefix("nn.functional.");
    Some(match name.unwrap_or(&a.case.name) {
        "celu" => act::celu(x(), a.number_or(1, "alpha", 1.0)),
        "elu" => act::elu(x(), a.number_or(1, "alpha", 1.0)),
        "gelu" if a.call.text(1, "approximate") == Some("tanh") => act::gelu_approximate(x()),
        "gelu" => act::gelu(x()),
        "glu" => act::glu(x(), dim(1, -1)),
        "hardshrink" => act::hard_shrink(x(), a.number_or(1, "lambd", 0.5)),
        "hardsigmoid" => act::hard_sigmoid(x(), 1.0 / 6.0, 0.5),
        "hardswish" => act::hard_swish(x()),
        "hardtanh" => act::hardtanh(
            x(),
            a.number_or(1, "min_val", -1.0),
            a.number_or(2, "max_val", 1.0),
        ),
        "leaky_relu" => act::leaky_relu(x(), a.number_or(1, "negative_slope", 0.01)),
        "log_softmax" => act::log_softmax(x(), dim(1, -1)),
        "logsigmoid" => act::log_sigmoid(x()),
        "mish" => act::mish(x()),
        "relu" => act::relu(x()),
        "relu6" => act::relu6(x()),
        "selu" => act::selu(x()),
        "silu" => act::silu(x()),
        "softmax" => act::softmax(x(), dim(1, -1)),
        "softmin" => act::softmin(x(), dim(1, -1)),
        "softplus" => act::softplus_with_threshold(
            x(),
            a.number_or(1, "beta", 1.0),
            a.number_or(2, "threshold", 20.0),
        ),
        "softshrink" => act::soft_shrink(x(), a.number_or(1, "lambd", 0.5)),
        "softsign" => act::softsign(x()),
        "tanhshrink" => act::tanhshrink(x()),
        "threshold" => act::threshold(
            x(),
            a.number_or(1, "threshold", 0.0),
            a.number_or(2, "value", 0.0),
        ),
        _ => return None,
    })
}

/// Arithmetic of two tensors, or of a tensor and a number.
fn arithmetic(a: &Arguments) -> Option<Tensor<WIDE>> {
    let x = || a.x();
    let y = || a.other("other");
    let scaled = || match a.call.number(2, "alpha") {
        Some(alpha) => y() * alpha,
        None => y(),
    };
    let scalar = || a.call.number(1, "other");
    let bound = |position, name| {
        if a.call.tensor(position, name).is_some() {
            lacks("a tensor as the bound of a clamp")
        }
        a.call.number(position, name)
    };
    Some(match (a.case.name.as_str(), a.case.variant.as_str()) {
        ("add", _) => match (scalar(), a.call.number(2, "alpha")) {
            (Some(number), None) => x().add_scalar(number),
            _ => x().add(scaled()),
        },
        ("sub", _) => match (scalar(), a.call.number(2, "alpha")) {
            (Some(number), None) => x().sub_scalar(number),
            _ => x().sub(scaled()),
        },
        ("rsub", _) => match a.call.number(2, "alpha") {
            Some(alpha) => y().sub(x() * alpha),
            None => y().sub(x()),
        },
        ("mul", _) => match scalar() {
            Some(number) => x().mul_scalar(number),
            None => x().mul(y()),
        },
        ("div", "floor_rounding") => x().div(y()).floor(),
        ("div", "trunc_rounding") => x().div(y()).trunc(),
        ("div" | "true_divide", _) => match scalar() {
            Some(number) => x().div_scalar(number),
            None => x().div(y()),
        },
        ("remainder", _) => match scalar() {
            Some(number) => x().remainder_scalar(number),
            None => x().remainder(y()),
        },
        ("fmod", _) => match scalar() {
            Some(number) => x().fmod_scalar(number as f32),
            None => x().fmod(y()),
        },
        ("pow", _) => match a.call.number(1, "exponent") {
            Some(number) => x().powf_scalar(number),
            None => x().powf(a.ranked(1, "exponent")),
        },
        ("atan2", _) => x().atan2(y()),
        ("hypot", _) => x().hypot(y()),
        ("maximum", _) | ("max", "binary") => x().max_pair(y()),
        ("minimum", _) | ("min", "binary") => x().min_pair(y()),
        ("clamp", _) => match (bound(1, "min"), bound(2, "max")) {
            (Some(low), Some(high)) => x().clamp(low, high),
            (Some(low), None) => x().clamp_min(low),
            (None, Some(high)) => x().clamp_max(high),
            (None, None) => lacks("a clamp without bounds"),
        },
        ("clamp_min", _) => x().clamp_min(bound(1, "min")?),
        ("clamp_max", _) => x().clamp_max(bound(1, "max")?),
        ("where", _) => {
            // In op_db the mask is the second argument.
            let mask = a.mask(1, "condition");
            let (x, y) = (x(), a.ranked::<WIDE>(2, "other"));
            let shape = broadcast(&[mask.dims(), x.dims(), y.dims()]);
            y.expand(shape)
                .mask_where(mask.expand(shape), x.expand(shape))
        }
        ("masked_fill", _) => {
            let mask = a.mask(1, "mask");
            let shape = broadcast(&[mask.dims(), x().dims()]);
            let x = x().expand(shape);
            match a.call.number(2, "value") {
                Some(value) => x.mask_fill(mask.expand(shape), value),
                None => {
                    let value = a.ranked::<WIDE>(2, "value").expand(shape);
                    x.mask_where(mask.expand(shape), value)
                }
            }
        }
        ("cross" | "linalg.cross", _) => {
            let default = if a.case.name == "cross" {
                lacks
            } else {
                |_: &str| WIDE - 1
            };
            let dim = a
                .axis(2, "dim")
                .unwrap_or_else(|| default("a search of the axis"));
            let shape = broadcast(&[x().dims(), y().dims()]);
            x().expand(shape).cross(y().expand(shape), dim)
        }
        _ => return None,
    })
}

/// The shape to which shapes broadcast.
fn broadcast<const R: usize>(shapes: &[[usize; R]]) -> [usize; R] {
    std::array::from_fn(|axis| {
        let mut sizes = shapes.iter().map(|shape| shape[axis]);
        sizes.find(|size| *size != 1).unwrap_or(1)
    })
}

/// Reductions along axes, and cumulative ones. The reduced axes stay, with one entry.
fn reduction(a: &Arguments) -> Option<Tensor<WIDE>> {
    let x = || a.x();
    let everywhere = a.call.integers(1, "dim").is_none_or(|axes| axes.is_empty());
    let line = || x().reshape([1, 1, 1, 1, -1]);
    Some(match (a.case.name.as_str(), a.case.variant.as_str()) {
        ("sum", _) if everywhere => x().sum().reshape([1; WIDE]),
        ("sum", _) => x().sum_dims(&a.axes(1, "dim")),
        ("mean", _) if everywhere => x().mean().reshape([1; WIDE]),
        ("mean", _) => x().mean_dims(&a.axes(1, "dim")),
        ("prod", _) if everywhere => x().prod().reshape([1; WIDE]),
        ("prod", _) => x().prod_dims(&a.axes(1, "dim")),
        ("amax", _) if everywhere => x().max().reshape([1; WIDE]),
        ("amax", _) => x().max_dims(&a.axes(1, "dim")),
        ("amin", _) if everywhere => x().min().reshape([1; WIDE]),
        ("amin", _) => x().min_dims(&a.axes(1, "dim")),
        ("max", "reduction_no_dim") => x().max().reshape([1; WIDE]),
        ("min", "reduction_no_dim") => x().min().reshape([1; WIDE]),
        ("max", _) => x().max_dim_with_indices(a.axis(1, "dim")?).0,
        ("min", _) => x().min_dim_with_indices(a.axis(1, "dim")?).0,
        ("median", _) if everywhere => line().median(WIDE - 1),
        ("median", _) => x().median(a.axis(1, "dim")?),
        ("cumsum", _) => x().cumsum(a.axis(1, "dim")?),
        ("cumprod", _) => x().cumprod(a.axis(1, "dim")?),
        ("cummax", _) => x().cummax(a.axis(1, "dim")?),
        ("cummin", _) => x().cummin(a.axis(1, "dim")?),
        ("var", _) => variance(a),
        _ => return None,
    })
}

/// The variance along one axis or over all entries.
fn variance(a: &Arguments) -> Tensor<WIDE> {
    let axes = a.call.integers(1, "dim").filter(|axes| !axes.is_empty());
    let (x, axis) = match axes {
        None => (a.x().reshape([1, 1, 1, 1, -1]), WIDE - 1),
        Some(axes) if axes.len() == 1 => (a.x(), wide_axis(axes[0], a.rank())),
        Some(_) => return lacks("a variance over several axes"),
    };
    let unbiased = a.call.flag(2, "unbiased", true) && a.call.flag(1, "unbiased", true);
    let correction = a.number_or(9, "correction", f64::from(unbiased));
    if correction == 1.0 {
        x.var(axis)
    } else if correction == 0.0 {
        x.var_bias(axis)
    } else {
        lacks("this correction of the variance")
    }
}

/// Operations that move entries.
fn movement(a: &Arguments) -> Option<Tensor<WIDE>> {
    let x = || a.x();
    let rank = a.rank();
    let offset = WIDE - rank;
    let to = |shape: &[i64]| {
        let mut wide = [1; WIDE];
        wide[WIDE - shape.len()..].copy_from_slice(shape);
        wide
    };
    let of_other = || {
        let shape = a.required(1, "other").shape();
        wide_shape::<WIDE>(&shape)
    };
    Some(match a.case.name.as_str() {
        "reshape" | "view" => x().reshape(to(&a.call.trailing_integers(1, "shape"))),
        "reshape_as" | "view_as" => x().reshape(of_other()),
        // Axes of one entry are not compared.
        "flatten" => {
            let axis =
                |position, name, default| a.call.integers(position, name).map_or(default, |i| i[0]);
            let start = wide_axis(axis(1, "start_dim", 0), rank);
            let end = wide_axis(axis(2, "end_dim", -1), rank);
            let shape = x().dims();
            let mut flat = shape[..start].to_vec();
            flat.push(shape[start..=end].iter().product());
            flat.extend_from_slice(&shape[end + 1..]);
            x().reshape(wide_shape::<WIDE>(&flat))
        }
        "unflatten" => {
            let axis = a.axis(1, "dim")?;
            let sizes = a.call.integers(2, "sizes")?;
            let shape = x().dims().map(|n| n as i64);
            let mut split = shape[offset..axis].to_vec();
            split.extend(sizes);
            split.extend_from_slice(&shape[axis + 1..]);
            x().reshape(to(&split))
        }
        "squeeze" | "unsqueeze" => x(),
        "permute" => {
            let axes = a.call.trailing_integers(1, "dims");
            let mut order: [usize; WIDE] = std::array::from_fn(|i| i);
            for (i, axis) in axes.iter().enumerate() {
                order[offset + i] = wide_axis(*axis, rank);
            }
            x().permute(order.map(|i| i as isize))
        }
        "transpose" => x().swap_dims(a.axis(1, "dim0")?, a.axis(2, "dim1")?),
        "t" if rank < 2 => x(),
        "t" => x().transpose(),
        "movedim" => {
            let axes = |position, name| -> Vec<isize> {
                let axes = a.axes(position, name);
                axes.into_iter().map(|i| i as isize).collect()
            };
            x().movedim(axes(1, "source"), axes(2, "destination"))
        }
        "flip" => {
            let mut y = x();
            for axis in a.call.trailing_integers(1, "dims") {
                y = y.flip([wide_axis(axis, rank)]);
            }
            y
        }
        "fliplr" => x().flip([offset + 1]),
        "flipud" => x().flip([offset]),
        "expand" | "broadcast_to" => {
            let shape = a.call.trailing_integers(
                1,
                if a.case.name == "expand" {
                    "shape"
                } else {
                    "size"
                },
            );
            let from = x().dims();
            let wide = to(&shape);
            x().expand(std::array::from_fn::<usize, WIDE, _>(|i| {
                if wide[i] < 0 {
                    from[i]
                } else {
                    wide[i] as usize
                }
            }))
        }
        "expand_as" => x().expand(of_other()),
        "repeat" | "tile" => {
            let times = a.call.trailing_integers(
                1,
                if a.case.name == "repeat" {
                    "repeats"
                } else {
                    "dims"
                },
            );
            let times: Vec<usize> = times.iter().map(|n| *n as usize).collect();
            x().repeat(&wide_shape::<WIDE>(&times))
        }
        "roll" => {
            let shifts = a.call.integers(1, "shifts")?;
            match a.call.integers(2, "dims").filter(|axes| !axes.is_empty()) {
                Some(axes) => {
                    let axes: Vec<usize> = axes.iter().map(|i| wide_axis(*i, rank)).collect();
                    x().roll(&shifts, &axes)
                }
                None => {
                    let shape = x().dims();
                    let line = x().reshape([1, 1, 1, 1, -1]);
                    line.roll(&shifts, &[WIDE - 1]).reshape(shape)
                }
            }
        }
        "tril" => x().tril(a.number_or(1, "diagonal", 0.0) as i64),
        "triu" => x().triu(a.number_or(1, "diagonal", 0.0) as i64),
        "nn.functional.pad" => pad(a),
        _ => return None,
    })
}

/// Padding, given by PyTorch as pairs from the last axis on.
fn pad(a: &Arguments) -> Tensor<WIDE> {
    let sizes = a.call.integers(1, "pad").unwrap_or_default();
    if sizes.iter().any(|n| *n < 0) {
        return lacks("negative padding");
    }
    let pairs = sizes.chunks(2).rev();
    let pairs: Vec<(usize, usize)> = pairs.map(|p| (p[0] as usize, p[1] as usize)).collect();
    let mode = match a.call.text(2, "mode") {
        None | Some("constant") => PadMode::Constant(a.number_or(3, "value", 0.0) as f32),
        Some("reflect") => PadMode::Reflect,
        Some("replicate") => PadMode::Edge,
        Some(_) => return lacks("circular padding"),
    };
    a.x().pad(pairs.as_slice(), mode)
}

/// Whether one of the indices counts from the end. In a recording, which has no values, the answer is no.
fn has_negative(indices: &DynTensor) -> bool {
    let data = at_rank!(indices, Int, x => x.try_into_data());
    data.is_ok_and(|data| data.iter::<i64>().any(|i| i < 0))
}

/// Selection by indices and by ranges, and assignment.
fn indexing(a: &Arguments) -> Option<Tensor<WIDE>> {
    let x = || a.x();
    let axis = |position| a.axis(position, "dim");
    let line = |t: Tensor<WIDE, Int>| t.reshape([-1]);
    let integer = |position, name, default| {
        let value = a.call.integers(position, name);
        value.map_or(default, |list: Vec<i64>| list[0])
    };
    Some(match a.case.name.as_str() {
        "narrow" => {
            let start = match a.call.tensor(2, "start") {
                Some(_) => lacks("a tensor as the start of a range"),
                None => integer(2, "start", 0),
            };
            let axis = axis(1)?;
            let start = if start < 0 {
                start + x().dims()[axis] as i64
            } else {
                start
            };
            let length = integer(3, "length", 0) as usize;
            if length == 0 {
                return lacks("ranges without entries");
            }
            x().narrow(axis, start as usize, length)
        }
        "slice" => {
            let axis = a.axis(1, "dim").unwrap_or(WIDE - a.rank());
            let size = x().dims()[axis] as i64;
            let end = integer(3, "end", size).min(size);
            let start = integer(2, "start", 0);
            let slice = Slice::new(
                start as isize,
                Some(end as isize),
                integer(4, "step", 1) as isize,
            );
            x().slice_dim(axis, slice)
        }
        "select" => {
            let axis = axis(1)?;
            let index = integer(2, "index", 0);
            let index = if index < 0 {
                index + x().dims()[axis] as i64
            } else {
                index
            };
            x().narrow(axis, index as usize, 1)
        }
        "select_scatter" => {
            let axis = a.axis(2, "dim")?;
            let index = integer(3, "index", 0);
            let index = if index < 0 {
                index + x().dims()[axis] as i64
            } else {
                index
            } as usize;
            let mut shape = x().dims();
            shape[axis] = 1;
            let ranges: [Slice; WIDE] = std::array::from_fn(|i| {
                if i == axis {
                    (index..index + 1).into()
                } else {
                    Slice::full()
                }
            });
            let source = a.required(1, "src");
            let source = at_rank!(source, Float, s => s.reshape(shape));
            x().slice_assign(ranges, source)
        }
        "slice_scatter" => {
            let axis = a.axis(2, "dim").unwrap_or(WIDE - a.rank());
            let size = x().dims()[axis] as i64;
            let end = integer(4, "end", size).min(size);
            let step = integer(5, "step", 1) as isize;
            let slice = Slice::new(integer(3, "start", 0) as isize, Some(end as isize), step);
            let ranges: [Slice; WIDE] =
                std::array::from_fn(|i| if i == axis { slice } else { Slice::full() });
            x().slice_assign(ranges, a.ranked(1, "src"))
        }
        "index_select" => x().select(axis(1)?, line(a.indices(2, "index"))),
        "gather" => {
            let axis = axis(1)?;
            x().gather(axis, a.indices(2, "index"))
        }
        "take_along_dim" if has_negative(&a.required(1, "indices")) => lacks("negative indices"),
        "take_along_dim" => match a.axis(2, "dim") {
            Some(axis) => {
                let mut shape = broadcast(&[x().dims(), a.indices(1, "indices").dims()]);
                let mut source = shape;
                shape[axis] = a.indices(1, "indices").dims()[axis];
                source[axis] = x().dims()[axis];
                x().expand(source)
                    .gather(axis, a.indices(1, "indices").expand(shape))
            }
            None => {
                let indices = line(a.indices(1, "indices"));
                x().reshape([1, 1, 1, 1, -1]).select(WIDE - 1, indices)
            }
        },
        "index_add" => {
            let mut source = a.ranked(3, "source");
            if let Some(alpha) = a.call.number(4, "alpha") {
                source = source * alpha;
            }
            x().select_assign(
                axis(1)?,
                line(a.indices(2, "index")),
                source,
                IndexingUpdateOp::Add,
            )
        }
        "index_copy" => {
            let indices = line(a.indices(2, "index"));
            x().select_assign(
                axis(1)?,
                indices,
                a.ranked(3, "source"),
                IndexingUpdateOp::Assign,
            )
        }
        "scatter_reduce" if !a.call.flag(5, "include_self", true) => {
            lacks("a scatter that leaves the tensor out")
        }
        "scatter" | "scatter_add" | "scatter_reduce" => {
            let update = match (a.case.name.as_str(), a.call.text(4, "reduce")) {
                ("scatter_add", _) | (_, Some("add" | "sum")) => IndexingUpdateOp::Add,
                (_, Some("multiply" | "prod")) => IndexingUpdateOp::Mul,
                (_, Some("amax")) => IndexingUpdateOp::Max,
                (_, Some("amin")) => IndexingUpdateOp::Min,
                (_, Some(_)) => return lacks("this reduction of a scatter"),
                (_, None) => IndexingUpdateOp::Assign,
            };
            let indices = a.indices(2, "index");
            let source = match a.call.number(3, "src").or(a.call.number(3, "value")) {
                Some(value) => x().full_like(value),
                None => a.ranked(3, "src"),
            };
            let axis = axis(1)?;
            let (to, from) = (x().dims(), indices.dims());
            if (0..WIDE).any(|i| i != axis && to[i] != from[i]) {
                return lacks("a scatter of indices that do not span the tensor");
            }
            let ranges: [Slice; WIDE] = from.map(|n| (0..n).into());
            x().scatter(axis, indices, source.slice(ranges), update)
        }
        "masked_select" => {
            let mask = a.mask(1, "mask");
            let shape = broadcast(&[mask.dims(), x().dims()]);
            let y = x().expand(shape).mask_select(mask.expand(shape));
            y.reshape([1, 1, 1, 1, -1])
        }
        _ => return None,
    })
}

/// Operations with several inputs or several outputs.
fn several(a: &Arguments) -> Option<Vec<DynTensor>> {
    let x = || a.x();
    let list = || {
        let indices = a.call.tensors(0, "tensors");
        indices.into_iter().map(|i| a.tensors[i].clone())
    };
    let dim = |position, default| {
        let axis = a.axis(position, "dim");
        axis.unwrap_or_else(|| wide_axis(default, a.rank()))
    };
    let all = |parts: Vec<Tensor<WIDE>>| Some(parts.into_iter().map(DynTensor::from).collect());
    match (a.case.name.as_str(), a.case.variant.as_str()) {
        ("cat", _) => {
            let rank = list().next()?.shape().len();
            let axis = a.call.integers(1, "dim").map_or(0, |list| list[0]);
            let tensors = list().map(|t| widen::<WIDE>(&t)).collect();
            all(vec![Tensor::cat(tensors, wide_axis(axis, rank))])
        }
        ("meshgrid", _) => {
            let cartesian = a.call.text(9, "indexing") == Some("xy");
            let indexing = if cartesian {
                GridIndexing::Cartesian
            } else {
                GridIndexing::Matrix
            };
            macro_rules! of_rank {
                ($($n:literal)*) => {
                    match list().count() {
                        $($n => {
                            let mut tensors = list();
                            let tensors = std::array::from_fn::<_, $n, _>(|_| {
                                tensors.next().expect("counted").get::<1>()
                            });
                            let grids = meshgrid(&tensors, indexing);
                            Some(grids.into_iter().map(DynTensor::from).collect())
                        })*
                        _ => lacks("grids of this rank in this test"),
                    }
                };
            }
            of_rank!(1 2 3)
        }
        ("stack", _) => {
            let rank = list().next()?.shape().len();
            let axis = a.call.integers(1, "dim").map_or(0, |list| list[0]);
            // The new axis counts among those of the result.
            let axis = if axis < 0 {
                axis + rank as i64 + 1
            } else {
                axis
            } as usize;
            let tensors = list().map(|t| widen::<WIDE>(&t)).collect();
            Some(vec![
                Tensor::stack::<{ WIDE + 1 }>(tensors, WIDE - rank + axis).into(),
            ])
        }
        ("chunk", _) => all(x().chunk(a.number_or(1, "chunks", 1.0) as usize, dim(2, 0))),
        ("split" | "split_with_sizes", _) => match a.call.get(1, "split_size_or_sections") {
            Some(sizes) if sizes.is_array() => {
                let sizes = a.call.integers(1, "split_size_or_sections")?;
                if sizes.contains(&0) {
                    return lacks("ranges without entries");
                }
                let sizes = sizes.iter().map(|n| *n as usize).collect();
                all(x().split_with_sizes(sizes, dim(2, 0)))
            }
            _ => {
                let size = a.number_or(1, "split_size_or_sections", 1.0) as usize;
                all(x().split(size, dim(2, 0)))
            }
        },
        ("unbind", _) => all(x().iter_dim(dim(1, 0)).collect()),
        ("unfold", _) => {
            let (size, step) = (a.number_or(2, "size", 1.0), a.number_or(3, "step", 1.0));
            let y = x().unfold::<{ WIDE + 1 }, _>(
                a.axis(1, "dimension")?,
                size as usize,
                step as usize,
            );
            Some(vec![y.into()])
        }
        ("sort", _) => {
            let axis = dim(1, -1);
            all(vec![if a.call.flag(2, "descending", false) {
                x().sort_descending(axis)
            } else {
                x().sort(axis)
            }])
        }
        ("topk", _) => {
            if !a.call.flag(3, "largest", true) {
                return lacks("the smallest entries");
            }
            all(vec![
                x().topk(a.number_or(1, "k", 1.0) as usize, dim(2, -1)),
            ])
        }
        ("var_mean", _) => {
            let axes = a.call.integers(1, "dim").filter(|axes| !axes.is_empty());
            let mean = match axes {
                None => x().mean().reshape([1; WIDE]),
                Some(_) => x().mean_dims(&a.axes(1, "dim")),
            };
            all(vec![variance(a), mean])
        }
        _ => None,
    }
}

/// Products of matrices.
fn product(a: &Arguments) -> Option<DynTensor> {
    let (x, y) = (|| a.required(0, "input"), || a.required(1, "other"));
    Some(match a.case.name.as_str() {
        "mm" => x().get::<2>().matmul(y().get()).into(),
        "bmm" => x().get::<3>().matmul(y().get()).into(),
        "mv" => {
            let v = y().get::<1>().unsqueeze_dim::<2>(1);
            x().get::<2>().matmul(v).into()
        }
        "dot" => x().get::<1>().dot(y().get()).into(),
        "outer" => {
            let (x, y) = (x().get::<1>(), y().get::<1>());
            (x.unsqueeze_dim::<2>(1) * y.unsqueeze_dim::<2>(0)).into()
        }
        "matmul" => {
            let column = y().shape().len() == 1;
            let y = if column {
                y().get::<1>().unsqueeze_dim::<2>(1).into()
            } else {
                y()
            };
            match x().shape().len().max(y.shape().len()) {
                2 => widen::<2>(&x()).matmul(widen(&y)).into(),
                3 => widen::<3>(&x()).matmul(widen(&y)).into(),
                _ => widen::<WIDE>(&x()).matmul(widen(&y)).into(),
            }
        }
        "einsum" => {
            let equation = a.call.text(0, "equation").or(a.call.text(1, "equation"))?;
            let list = a
                .call
                .tensors(0, "operands")
                .into_iter()
                .chain(a.call.tensors(1, "operands"));
            let operands: Vec<burn::tensor::EinsumOperand> = list
                .map(|i| at_rank!(a.tensors[i], Float, t => t.into()))
                .collect();
            match a.case.values[0].0.len() {
                0 | 1 => Tensor::<1>::einsum(equation, operands).into(),
                2 => Tensor::<2>::einsum(equation, operands).into(),
                3 => Tensor::<3>::einsum(equation, operands).into(),
                4 => Tensor::<4>::einsum(equation, operands).into(),
                _ => Tensor::<5>::einsum(equation, operands).into(),
            }
        }
        "nn.functional.linear" => {
            let weight: Tensor<2> = a.ranked(1, "weight");
            let bias = a.tensor(2, "bias").map(|b| b.get::<1>());
            let bias = bias.map(|b| b.expand([weight.dims()[0]]));
            at_rank!(x(), Float, x => layer::linear(x, weight.transpose(), bias).into())
        }
        "nn.functional.embedding" => {
            if a.call.number(3, "max_norm").is_some() {
                return lacks("an embedding with a largest norm");
            }
            let (indices, weight) = if a.required(0, "input").dtype().is_float() {
                (a.required(1, "weight"), a.ranked::<2>(0, "input"))
            } else {
                (a.required(0, "input"), a.ranked::<2>(1, "weight"))
            };
            layer::embedding(weight, widen_int(&indices)).into()
        }
        "nn.functional.scaled_dot_product_attention" => attention(a),
        "cov" => {
            if a.rank() != 2
                || ["fweights", "aweights"]
                    .iter()
                    .any(|name| a.call.get(9, name).is_some())
            {
                return lacks("a covariance of one variable or with weights");
            }
            x().get::<2>()
                .cov(1, a.number_or(9, "correction", 1.0) as usize)
                .into()
        }
        "nn.functional.normalize" => {
            let dim = a.axis(2, "dim").unwrap_or_else(|| wide_axis(1, a.rank()));
            let (p, epsilon) = (a.number_or(1, "p", 2.0), a.number_or(3, "eps", 1e-12));
            linalg::vector_normalize(a.x(), p, dim, epsilon).into()
        }
        "trace" => linalg::trace::<2, 1>(x().get()).into(),
        "linalg.det" if a.rank() > 3 => lacks("a determinant of more than three axes in this test"),
        "linalg.det" => linalg::det::<3, 2, 1>(widen(&x())).into(),
        "diag" | "linalg.diagonal" => {
            let plain = a
                .call
                .number(1, "offset")
                .or(a.call.number(1, "diagonal"))
                .is_none_or(|n| n == 0.0)
                && ["dim1", "dim2"]
                    .iter()
                    .all(|name| a.call.get(2, name).is_none());
            match (a.rank(), plain) {
                (2, true) => linalg::diag::<2, 1, _>(x().get::<2>()).into(),
                (3, true) if a.case.name == "linalg.diagonal" => {
                    linalg::diag::<3, 2, _>(x().get::<3>()).into()
                }
                _ => lacks("a diagonal beside the main one"),
            }
        }
        "linalg.vector_norm" => {
            linalg::vector_norm_dims(a.x(), a.number_or(1, "ord", 2.0), &a.axes(2, "dim")).into()
        }
        _ => return None,
    })
}

fn attention(a: &Arguments) -> DynTensor {
    let [q, k, v] =
        [(0, "query"), (1, "key"), (2, "value")].map(|(i, name)| a.ranked::<4>(i, name));
    if a.number_or(4, "dropout_p", 0.0) != 0.0 {
        return lacks("dropout that can be repeated");
    }
    if a.call.flag(7, "enable_gqa", false) {
        return lacks("attention with grouped queries");
    }
    let options = AttentionModuleOptions {
        scale: a.call.number(6, "scale"),
        softcap: None,
        is_causal: a.call.flag(5, "is_causal", false),
    };
    let [n, h, queries, _] = q.dims();
    let full = [n, h, queries, k.dims()[2]];
    let (mut mask, mut bias) = (None, None);
    match a.tensor(3, "attn_mask") {
        Some(t) if t.dtype().is_float() => bias = Some(widen::<4>(&t).expand(full)),
        // PyTorch's mask says which keys count.
        Some(t) => mask = Some(widen_bool::<4>(&t).bool_not().expand(full)),
        None => {}
    }
    layer::attention(q, k, v, mask, bias, options).into()
}

/// Sizes of a convolution: stride, padding as pairs, dilation, groups.
fn conv_options<const N: usize>(call: &Call, kernel: [usize; N], first: usize) -> ConvOptions<N> {
    let stride = call.sizes(first, "stride").unwrap_or([1; N]);
    let dilation = call.sizes(first + 2, "dilation").unwrap_or([1; N]);
    let groups = call.number(first + 3, "groups").unwrap_or(1.0) as usize;
    let padding = match call.text(first + 1, "padding") {
        // As PyTorch does it, the surplus is at the end.
        Some("same") => std::array::from_fn(|i| {
            let total = dilation[i] * (kernel[i] - 1);
            (total / 2, total - total / 2)
        }),
        Some(_) => [(0, 0); N],
        None => call
            .sizes(first + 1, "padding")
            .unwrap_or([0; N])
            .map(|p| (p, p)),
    };
    ConvOptions::new_with_padding(stride, padding, dilation, groups)
}

fn conv_transpose_options<const N: usize>(call: &Call) -> ConvTransposeOptions<N> {
    ConvTransposeOptions::new(
        call.sizes(3, "stride").unwrap_or([1; N]),
        call.sizes(4, "padding").unwrap_or([0; N]),
        call.sizes(5, "output_padding").unwrap_or([0; N]),
        call.sizes(7, "dilation").unwrap_or([1; N]),
        call.number(6, "groups").unwrap_or(1.0) as usize,
    )
}

/// Convolutions and transposed convolutions. A sample without a batch gets a batch of one.
fn convolution(a: &Arguments) -> Option<DynTensor> {
    let bias = || a.tensor(2, "bias").map(|b| b.get::<1>());
    let kernel = || a.required(1, "weight").shape();
    Some(match a.case.name.strip_prefix("nn.functional.")? {
        "conv1d" => {
            let options = conv_options(a.call, [kernel()[2]], 3);
            layer::conv1d(a.ranked(0, "input"), a.ranked(1, "weight"), bias(), options).into()
        }
        "conv2d" => {
            let options = conv_options(a.call, [kernel()[2], kernel()[3]], 3);
            layer::conv2d(a.ranked(0, "input"), a.ranked(1, "weight"), bias(), options).into()
        }
        "conv3d" => {
            let options = conv_options(a.call, [kernel()[2], kernel()[3], kernel()[4]], 3);
            layer::conv3d(a.ranked(0, "input"), a.ranked(1, "weight"), bias(), options).into()
        }
        "conv_transpose1d" => {
            let options = conv_transpose_options(a.call);
            layer::conv_transpose1d(a.ranked(0, "input"), a.ranked(1, "weight"), bias(), options)
                .into()
        }
        "conv_transpose2d" => {
            let options = conv_transpose_options(a.call);
            layer::conv_transpose2d(a.ranked(0, "input"), a.ranked(1, "weight"), bias(), options)
                .into()
        }
        "conv_transpose3d" => {
            let options = conv_transpose_options(a.call);
            layer::conv_transpose3d(a.ranked(0, "input"), a.ranked(1, "weight"), bias(), options)
                .into()
        }
        "unfold" => {
            let option =
                |position, name, default| a.call.sizes(position, name).unwrap_or([default; 2]);
            let options = UnfoldOptions::new(
                option(4, "stride", 1),
                option(3, "padding", 0),
                option(2, "dilation", 1),
            );
            layer::unfold4d(a.ranked(0, "input"), option(1, "kernel_size", 1), options).into()
        }
        "pixel_shuffle" => {
            let factor = a.number_or(1, "upscale_factor", 1.0) as usize;
            nn::PixelShuffleConfig::new(factor)
                .init()
                .forward(a.ranked(0, "input"))
                .into()
        }
        "pixel_unshuffle" => {
            let factor = a.number_or(1, "downscale_factor", 1.0) as usize;
            nn::PixelUnshuffleConfig::new(factor)
                .init()
                .forward(a.ranked(0, "input"))
                .into()
        }
        "grid_sample" => {
            let mode = match a.call.text(2, "mode") {
                None | Some("bilinear") => InterpolateMode::Bilinear,
                Some("nearest") => InterpolateMode::Nearest,
                Some(_) => InterpolateMode::Bicubic,
            };
            let padding = match a.call.text(3, "padding_mode") {
                None | Some("zeros") => GridSamplePaddingMode::Zeros,
                Some("border") => GridSamplePaddingMode::Border,
                Some(_) => GridSamplePaddingMode::Reflection,
            };
            let options = GridSampleOptions::new(mode)
                .with_padding_mode(padding)
                .with_align_corners(a.call.flag(4, "align_corners", false));
            a.ranked::<4>(0, "input")
                .grid_sample_2d(a.ranked(1, "grid"), options)
                .into()
        }
        _ => return None,
    })
}

fn max_pool_options<const N: usize>(call: &Call, first: usize) -> MaxPoolOptions<N> {
    let kernel = call.sizes(first, "kernel_size").unwrap_or([1; N]);
    MaxPoolOptions::new(kernel)
        .with_stride(stride(call, first + 1, kernel))
        .with_padding(call.sizes(first + 2, "padding").unwrap_or([0; N]))
        .with_dilation(call.sizes(first + 3, "dilation").unwrap_or([1; N]))
        .with_ceil_mode(call.flag(first + 4, "ceil_mode", false))
}

fn avg_pool_options<const N: usize>(call: &Call, first: usize) -> AvgPoolOptions<N> {
    if call.number(first + 5, "divisor_override").is_some() {
        lacks::<()>("a divisor of average pooling");
    }
    let kernel = call.sizes(first, "kernel_size").unwrap_or([1; N]);
    AvgPoolOptions::new(kernel)
        .with_stride(stride(call, first + 1, kernel))
        .with_padding(call.sizes(first + 2, "padding").unwrap_or([0; N]))
        .with_ceil_mode(call.flag(first + 3, "ceil_mode", false))
        .with_count_include_pad(call.flag(first + 4, "count_include_pad", true))
}

/// The stride, by default the size of the kernel.
fn stride<const N: usize>(call: &Call, position: usize, kernel: [usize; N]) -> [usize; N] {
    let given = call
        .integers(position, "stride")
        .filter(|list| !list.is_empty());
    match given {
        Some(_) => call.sizes(position, "stride").unwrap_or(kernel),
        None => kernel,
    }
}

/// Pooling and interpolation. A sample without a batch gets a batch of one.
fn pooling(a: &Arguments) -> Option<DynTensor> {
    let name = a.case.name.strip_prefix("nn.functional.")?;
    if name == "interpolate" {
        return Some(interpolate(a));
    }
    pool(name, a, 1)
}

/// A pooling layer whose options begin at the position `first`.
pub fn pool(name: &str, a: &Arguments, first: usize) -> Option<DynTensor> {
    let whole = |size: Option<&serde_json::Value>| {
        let with_none =
            size.is_some_and(|s| s.as_array().is_some_and(|s| s.iter().any(|n| n.is_null())));
        if with_none {
            lacks("an output size that is the input's")
        }
    };
    whole(a.call.get(first, "output_size"));
    Some(match name {
        "max_pool1d" => {
            layer::max_pool1d(a.ranked(0, "input"), max_pool_options(a.call, first)).into()
        }
        "max_pool2d" => {
            layer::max_pool2d(a.ranked(0, "input"), max_pool_options(a.call, first)).into()
        }
        "avg_pool1d" => {
            layer::avg_pool1d(a.ranked(0, "input"), avg_pool_options(a.call, first)).into()
        }
        "avg_pool2d" => {
            layer::avg_pool2d(a.ranked(0, "input"), avg_pool_options(a.call, first)).into()
        }
        "adaptive_avg_pool1d" => {
            let [size] = a.call.sizes(first, "output_size")?;
            layer::adaptive_avg_pool1d(a.ranked(0, "input"), size).into()
        }
        "adaptive_avg_pool2d" => {
            let size = a.call.sizes(first, "output_size")?;
            layer::adaptive_avg_pool2d(a.ranked(0, "input"), size).into()
        }
        "adaptive_avg_pool3d" => {
            let size = a.call.sizes(first, "output_size")?;
            layer::adaptive_avg_pool3d(a.ranked(0, "input"), size).into()
        }
        _ => return None,
    })
}

fn interpolate(a: &Arguments) -> DynTensor {
    let mode = match (a.case.variant.as_str(), a.rank()) {
        ("nearest", 3 | 4) => InterpolateMode::Nearest,
        // Its CPU backend refuses the mode.
        ("nearest-exact", _) => return lacks("exact nearest interpolation on this backend"),
        ("bilinear" | "linear", _) => InterpolateMode::Bilinear,
        ("bicubic", _) => InterpolateMode::Bicubic,
        _ => return lacks("interpolation of three axes or by areas"),
    };
    if a.call.flag(6, "antialias", false) || a.call.flag(5, "recompute_scale_factor", false) {
        return lacks("interpolation against aliasing");
    }
    // An interpolation of one axis is one of two with a first axis of one entry.
    let x = a.required(0, "input");
    let x: Tensor<4> = match x.shape().as_slice() {
        [n, c, width] => x.get::<3>().reshape([*n, *c, 1, *width]),
        _ => x.get(),
    };
    let [_, _, height, width] = x.dims();
    let size = match (a.call.integers(1, "size"), a.call.get(2, "scale_factor")) {
        (Some(size), _) => size,
        (None, Some(factor)) => {
            if factor.is_array() {
                return lacks("this list of factors in the test");
            }
            let factor = factor.as_f64().unwrap_or(1.0);
            // The scale that PyTorch uses is the factor itself, Burn's is the ratio of the sizes.
            let scaled = [height, width].map(|n| n as f64 * factor);
            if scaled.iter().any(|n| n.fract() != 0.0 && *n > 1.0) {
                return lacks("a factor of interpolation that is not the ratio of the sizes");
            }
            scaled.map(|n| (n as i64).max(1)).to_vec()
        }
        (None, None) => return lacks("interpolation without a size"),
    };
    let size = match (a.rank(), size.as_slice()) {
        (3, [.., width]) => [1, *width as usize],
        (_, [height, width]) => [*height as usize, *width as usize],
        (_, [n]) => [*n as usize; 2],
        _ => return lacks("this size of interpolation"),
    };
    let options = InterpolateOptions::new(mode)
        .with_output_size(size)
        .with_align_corners(a.call.flag(4, "align_corners", false));
    layer::interpolate(x, options).into()
}

/// Normalisations and distances.
fn normalisation(a: &Arguments) -> Option<DynTensor> {
    let x = || a.required(0, "input");
    let vector = |position, name| a.tensor(position, name).map(|t| t.get::<1>());
    let filled = |n: usize, value: f64| {
        let options = match x().dtype() {
            DType::F64 => DType::F64,
            other => other,
        };
        let device = at_rank!(x(), Float, x => x.device());
        Tensor::<1>::full([n], value, (&device, options))
    };
    let channels = || x().shape().get(1).copied().unwrap_or(1);
    Some(match a.case.name.strip_prefix("nn.functional.")? {
        "batch_norm" => {
            if a.call.flag(5, "training", false) || vector(1, "running_mean").is_none() {
                return lacks("a batch norm in training that can be recorded");
            }
            let gamma = vector(3, "weight").unwrap_or_else(|| filled(channels(), 1.0));
            let beta = vector(4, "bias").unwrap_or_else(|| filled(channels(), 0.0));
            let (mean, variance) = (vector(1, "running_mean")?, vector(2, "running_var")?);
            let epsilon = a.number_or(7, "eps", 1e-5);
            match x().shape().len() {
                2 => layer::batch_norm(x().get::<2>(), gamma, beta, mean, variance, epsilon).into(),
                3 => layer::batch_norm(x().get::<3>(), gamma, beta, mean, variance, epsilon).into(),
                4 => layer::batch_norm(x().get::<4>(), gamma, beta, mean, variance, epsilon).into(),
                _ => layer::batch_norm(x().get::<5>(), gamma, beta, mean, variance, epsilon).into(),
            }
        }
        "layer_norm" => {
            if a.call.integers(1, "normalized_shape")?.len() != 1 {
                return lacks("a layer norm over several axes");
            }
            let n = *x().shape().last()?;
            let gamma = vector(2, "weight").unwrap_or_else(|| filled(n, 1.0));
            let (beta, epsilon) = (vector(3, "bias"), a.number_or(4, "eps", 1e-5));
            at_rank!(x(), Float, x => layer::layer_norm(x, gamma, beta, epsilon).into())
        }
        "rms_norm" => {
            if a.call.integers(1, "normalized_shape")?.len() != 1 {
                return lacks("an RMS norm over several axes");
            }
            let n = *x().shape().last()?;
            let epsilon = match x().dtype() {
                DType::F64 => f64::EPSILON,
                _ => f64::from(f32::EPSILON),
            };
            let norm = nn::RmsNorm {
                gamma: Param::from_tensor(vector(2, "weight").unwrap_or_else(|| filled(n, 1.0))),
                epsilon: a.number_or(3, "eps", epsilon),
            };
            at_rank!(x(), Float, x => norm.forward(x).into())
        }
        "group_norm" if x().shape().len() < 3 => lacks("a group norm of rank 2"),
        "group_norm" => {
            let norm = nn::GroupNorm {
                gamma: vector(2, "weight")
                    .or(Some(filled(channels(), 1.0)))
                    .map(Param::from_tensor),
                beta: vector(3, "bias")
                    .or(Some(filled(channels(), 0.0)))
                    .map(Param::from_tensor),
                num_groups: a.number_or(1, "num_groups", 1.0) as usize,
                num_channels: channels(),
                epsilon: a.number_or(4, "eps", 1e-5),
                affine: true,
            };
            at_rank!(x(), Float, x => norm.forward(x).into())
        }
        "instance_norm" => {
            if !a.call.flag(5, "use_input_stats", true) {
                return lacks("an instance norm with running statistics");
            }
            let norm = nn::InstanceNorm {
                gamma: vector(3, "weight")
                    .or(Some(filled(channels(), 1.0)))
                    .map(Param::from_tensor),
                beta: vector(4, "bias")
                    .or(Some(filled(channels(), 0.0)))
                    .map(Param::from_tensor),
                num_channels: channels(),
                epsilon: a.number_or(7, "eps", 1e-5),
                affine: true,
            };
            at_rank!(x(), Float, x => norm.forward(x).into())
        }
        "local_response_norm" => {
            let norm = nn::LocalResponseNormConfig::new(a.number_or(1, "size", 1.0) as usize)
                .with_alpha(a.number_or(2, "alpha", 1e-4))
                .with_beta(a.number_or(3, "beta", 0.75))
                .with_k(a.number_or(4, "k", 1.0))
                .init();
            at_rank!(x(), Float, x => norm.forward(x).into())
        }
        "prelu" => {
            let slope = a.required(1, "weight").get::<1>();
            at_rank!(x(), Float, x => act::prelu(x, slope).into())
        }
        "cosine_similarity" => {
            let (x, y) = (a.ranked::<WIDE>(0, "x1"), a.ranked::<WIDE>(1, "x2"));
            let shape = broadcast(&[x.dims(), y.dims()]);
            let rank = a
                .required(0, "x1")
                .shape()
                .len()
                .max(a.required(1, "x2").shape().len());
            let dim = a.call.integers(2, "dim").map_or(1, |list| list[0]);
            let epsilon = Some(a.number_or(3, "eps", 1e-8));
            let (x, y) = (x.expand(shape), y.expand(shape));
            linalg::cosine_similarity(x, y, wide_axis(dim, rank), epsilon).into()
        }
        "pairwise_distance" => {
            if a.rank() != 2 {
                return lacks("a distance of vectors that are no rows");
            }
            let distance = nn::PairwiseDistanceConfig::new()
                .with_p(a.number_or(2, "p", 2.0))
                .with_eps(a.number_or(3, "eps", 1e-6))
                .init();
            distance
                .forward(a.ranked(0, "x1"), a.ranked(1, "x2"))
                .into()
        }
        _ => return None,
    })
}

/// The loss of each entry in the reduction that the call asks for.
fn reduced<const D: usize>(a: &Arguments, loss: Tensor<D>) -> Tensor<WIDE> {
    match a.call.text(9, "reduction") {
        None | Some("mean") => loss.mean().reshape([1; WIDE]),
        Some("sum") => loss.sum().reshape([1; WIDE]),
        Some("none") => widen(&loss.into()),
        Some(_) => lacks("this reduction of a loss"),
    }
}

/// Losses of `burn::nn`.
fn loss(a: &Arguments) -> Option<Tensor<WIDE>> {
    let (x, y) = (|| a.x(), || a.ranked::<WIDE>(1, "target"));
    let name = a.case.name.strip_prefix("nn.functional.")?;
    if a.call.get(9, "weight").is_some() && name != "binary_cross_entropy" {
        return lacks("weights of a loss");
    }
    Some(match name {
        "mse_loss" => reduced(a, nn::loss::MseLoss::new().forward_no_reduction(x(), y())),
        "l1_loss" => reduced(
            a,
            nn::loss::LpLossConfig::l1().forward_no_reduction(x(), y()),
        ),
        "smooth_l1_loss" => {
            let beta = a.number_or(9, "beta", 1.0);
            if beta == 0.0 {
                return lacks("a smooth loss without a smooth range");
            }
            let loss = nn::loss::SmoothL1LossConfig::new()
                .with_beta(beta as f32)
                .init();
            reduced(a, loss.forward(x(), y()))
        }
        "huber_loss" => {
            let delta = a.number_or(9, "delta", 1.0);
            let loss = nn::loss::HuberLossConfig::new(delta as f32).init();
            reduced(a, loss.forward_no_reduction(x(), y()))
        }
        "kl_div" => {
            let loss = nn::loss::KLDivLossConfig::new()
                .with_log_target(a.call.flag(9, "log_target", false))
                .init();
            if a.call.text(9, "reduction") == Some("batchmean") {
                let x = a.required(0, "input");
                let target = a.required(1, "target");
                return Some(at_rank!(x, Float, x => {
                    loss.forward(x, target.get(), Reduction::BatchMean).reshape([1; WIDE])
                }));
            }
            reduced(a, loss.forward_no_reduction(x(), y()))
        }
        "poisson_nll_loss" => {
            let loss = nn::loss::PoissonNllLossConfig::new()
                .with_log_input(a.call.flag(2, "log_input", true))
                .with_full(a.call.flag(3, "full", false))
                .with_eps(a.number_or(9, "eps", 1e-8))
                .init();
            reduced(a, loss.forward_no_reduction(x(), y()))
        }
        "gaussian_nll_loss" => {
            let loss = nn::loss::GaussianNLLLossConfig::new()
                .with_full(a.call.flag(3, "full", false))
                .with_eps(a.number_or(4, "eps", 1e-6))
                .init();
            let variance = match a.call.number(2, "var") {
                Some(value) => x().full_like(value),
                None => {
                    let variance = a.required(2, "var");
                    let mut shape = variance.shape();
                    if shape.len() + 1 == a.rank() {
                        shape.push(1);
                    }
                    let shape = wide_shape::<WIDE>(&shape);
                    at_rank!(variance, Float, v => v.reshape(shape)).expand(x().dims())
                }
            };
            reduced(a, loss.forward_no_reduction(x(), y(), variance))
        }
        "hinge_embedding_loss" => {
            let loss = nn::loss::HingeEmbeddingLossConfig::new()
                .with_margin(a.number_or(2, "margin", 1.0))
                .init();
            reduced(a, loss.forward_no_reduction(x(), y()))
        }
        "margin_ranking_loss" => {
            let loss = nn::loss::MarginRankingLossConfig::new()
                .with_margin(a.number_or(3, "margin", 0.0))
                .init();
            reduced(
                a,
                loss.forward_no_reduction(x(), a.ranked(1, "input2"), a.ranked(2, "target")),
            )
        }
        "cosine_embedding_loss" => {
            if a.rank() != 2 {
                return lacks("a cosine loss of single vectors");
            }
            let loss = nn::loss::CosineEmbeddingLossConfig::new()
                .with_margin(a.number_or(3, "margin", 0.0) as f32)
                .init();
            let target = a.required(2, "target").get::<1>().int();
            reduced(
                a,
                loss.forward_no_reduction(a.ranked(0, "input1"), a.ranked(1, "input2"), target),
            )
        }
        "triplet_margin_loss" => {
            if a.rank() != 2 || a.call.flag(6, "swap", false) {
                return lacks("a triplet loss that swaps");
            }
            let loss = nn::loss::TripletMarginLossConfig::new()
                .with_margin(a.number_or(3, "margin", 1.0))
                .with_p(a.number_or(4, "p", 2.0))
                .init();
            let [anchor, positive, negative] = [0, 1, 2].map(|i| a.ranked::<2>(i, ""));
            reduced(a, loss.forward_no_reduction(anchor, positive, negative))
        }
        "cross_entropy" => {
            let indices = a.required(1, "target");
            let plain = a.rank() == 2
                && !indices.dtype().is_float()
                && a.call.text(9, "reduction").is_none_or(|r| r == "mean")
                && a.call.number(9, "label_smoothing").is_none()
                && a.call.number(9, "ignore_index").is_none();
            if !plain {
                return lacks("a cross entropy without a mean or with other targets");
            }
            let logits = a.ranked::<2>(0, "input");
            let loss = nn::loss::CrossEntropyLossConfig::new().init(&logits.device());
            loss.forward(logits, indices.get_kind::<1, Int>())
                .reshape([1; WIDE])
        }
        "binary_cross_entropy" => lacks("targets of a binary cross entropy that are no integers"),
        _ => return None,
    })
}
