//! PyTorch's operations in terms of Burn's tensors.

use crate::arguments::{
    Arguments, WIDE, broadcast, lacks, wide_axis, wide_shape, widen, widen_int,
};
use crate::{at_rank, layers, updates};
use burn::tensor::activation as act;
use burn::tensor::grid::{GridIndexing, meshgrid};
use burn::tensor::module as layer;
use burn::tensor::ops::PadMode;
use burn::tensor::{Float, Int, Slice, Tensor};
use burn_jvp::DynTensor;
use burn_linalg as linalg;

/// The float outputs of an operation in PyTorch's order.
///
/// # Panics
/// If Burn lacks the arguments of the sample (see [`lacks`]), and where Burn panics.
pub fn apply(a: &Arguments) -> Vec<DynTensor> {
    let single = None
        .or_else(|| elementwise(a))
        .or_else(|| activation(a))
        .or_else(|| arithmetic(a))
        .or_else(|| reduction(a))
        .or_else(|| movement(a))
        .or_else(|| indexing(a))
        .or_else(|| updates::update(a));
    if let Some(y) = single {
        return vec![y.into()];
    }
    let list = None
        .or_else(|| several(a))
        .or_else(|| product(a).map(|y| vec![y]))
        .or_else(|| layers::convolution(a).map(|y| vec![y]))
        .or_else(|| layers::pooling(a).map(|y| vec![y]))
        .or_else(|| layers::normalisation(a).map(|y| vec![y]))
        .or_else(|| layers::loss(a).map(|y| vec![y.into()]));
    list.unwrap_or_else(|| panic!("no counterpart of {} in this test", a.case.name))
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
        "sgn" | "sign" => x().sign(),
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
        ("pow" | "float_power", _) => match a.call.number(1, "exponent") {
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
            let shape = broadcast(&[x().dims(), y().dims()]);
            // Without an axis `cross` takes the first of three entries, and `linalg.cross` the last.
            let dim = a
                .axis(2, "dim")
                .unwrap_or_else(|| match a.case.name.as_str() {
                    "cross" => shape.iter().position(|n| *n == 3).unwrap_or(WIDE - 1),
                    _ => WIDE - 1,
                });
            x().expand(shape).cross(y().expand(shape), dim)
        }
        _ => return None,
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
            if split.contains(&0) {
                return lacks("a reshape to axes without entries");
            }
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
                    if shape.contains(&0) {
                        return lacks("a reshape to axes without entries");
                    }
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

/// True if one of the indices counts from the end. In a recording, which has no values, the answer is no.
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
        "take" => x()
            .reshape([1, 1, 1, 1, -1])
            .select(WIDE - 1, line(a.indices(1, "index"))),
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
    let outputs = |parts: Vec<Tensor<WIDE>>| Some(parts.into_iter().map(DynTensor::from).collect());
    match (a.case.name.as_str(), a.case.variant.as_str()) {
        ("cat", _) => {
            let rank = a.case.ranks[*a.call.tensors(0, "tensors").first()?];
            let axis = a.call.integers(1, "dim").map_or(0, |list| list[0]);
            let tensors = list().map(|t| widen::<WIDE>(&t)).collect();
            outputs(vec![Tensor::cat(tensors, wide_axis(axis, rank))])
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
            let rank = a.case.ranks[*a.call.tensors(0, "tensors").first()?];
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
        ("chunk", _) => outputs(x().chunk(a.number_or(1, "chunks", 1.0) as usize, dim(2, 0))),
        ("split" | "split_with_sizes", _) => match a.call.get(1, "split_size_or_sections") {
            Some(sizes) if sizes.is_array() => {
                let sizes = a.call.integers(1, "split_size_or_sections")?;
                if sizes.contains(&0) {
                    return lacks("ranges without entries");
                }
                let sizes = sizes.iter().map(|n| *n as usize).collect();
                outputs(x().split_with_sizes(sizes, dim(2, 0)))
            }
            _ => {
                let size = a.number_or(1, "split_size_or_sections", 1.0) as usize;
                outputs(x().split(size, dim(2, 0)))
            }
        },
        ("unbind", _) => outputs(x().iter_dim(dim(1, 0)).collect()),
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
            outputs(vec![if a.call.flag(2, "descending", false) {
                x().sort_descending(axis)
            } else {
                x().sort(axis)
            }])
        }
        ("msort", _) => outputs(vec![x().sort(wide_axis(0, a.rank()))]),
        ("topk", _) => {
            if !a.call.flag(3, "largest", true) {
                return lacks("the smallest entries");
            }
            outputs(vec![
                x().topk(a.number_or(1, "k", 1.0) as usize, dim(2, -1)),
            ])
        }
        ("var_mean", _) => {
            let axes = a.call.integers(1, "dim").filter(|axes| !axes.is_empty());
            let mean = match axes {
                None => x().mean().reshape([1; WIDE]),
                Some(_) => x().mean_dims(&a.axes(1, "dim")),
            };
            outputs(vec![variance(a), mean])
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
        "nn.functional.scaled_dot_product_attention" => layers::attention(a),
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
