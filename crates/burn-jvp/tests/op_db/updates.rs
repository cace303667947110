//! PyTorch's updates at indices in terms of Burn's tensors.

use crate::arguments::{Arguments, WIDE, lacks, wide_shape};
use burn::tensor::{IndexingUpdateOp, Int, Slice, Tensor};

/// Scatters, updates of slices and assignment at several indices.
pub fn update(a: &Arguments) -> Option<Tensor<WIDE>> {
    let axis = || a.axis(1, "dim");
    let line = || a.indices(2, "index").reshape([-1]);
    Some(match a.case.name.as_str() {
        "index_add" => {
            let mut source = a.ranked(3, "source");
            if let Some(alpha) = a.call.number(4, "alpha") {
                source = source * alpha;
            }
            a.x()
                .select_assign(axis()?, line(), source, IndexingUpdateOp::Add)
        }
        "index_copy" => {
            let source = a.ranked(3, "source");
            a.x()
                .select_assign(axis()?, line(), source, IndexingUpdateOp::Assign)
        }
        "scatter" | "scatter_add" | "scatter_reduce" => {
            let operation = match a.case.name.as_str() {
                "scatter_add" => IndexingUpdateOp::Add,
                _ => reduction(a.call.text(4, "reduce")),
            };
            let axis = axis()?;
            let indices = a.indices(2, "index");
            let source = match a.call.number(3, "src").or(a.call.number(3, "value")) {
                Some(value) => {
                    Tensor::full(indices.dims(), value, (&indices.device(), a.x().dtype()))
                }
                None => {
                    let part: [Slice; WIDE] = indices.dims().map(|n| (0..n).into());
                    a.ranked(3, "src").slice(part)
                }
            };
            let update = |x: Tensor<WIDE>, v: Tensor<WIDE>, operation| {
                scatter(x, axis, indices.clone(), v, operation)
            };
            let x = emptied(a, operation, source.clone(), update);
            update(x, source, operation)
        }
        "index_put" => index_put(a),
        _ => return None,
    })
}

/// The operation of a reduction by name.
fn reduction(name: Option<&str>) -> IndexingUpdateOp {
    match name {
        None => IndexingUpdateOp::Assign,
        Some("add" | "sum") => IndexingUpdateOp::Add,
        Some("multiply" | "prod") => IndexingUpdateOp::Mul,
        Some("amax") => IndexingUpdateOp::Max,
        Some("amin") => IndexingUpdateOp::Min,
        Some(_) => lacks("this reduction of a scatter"),
    }
}

/// The first argument. Where the sample leaves it out of the reduction, the places have the neutral element.
fn emptied(
    a: &Arguments,
    operation: IndexingUpdateOp,
    source: Tensor<WIDE>,
    update: impl Fn(Tensor<WIDE>, Tensor<WIDE>, IndexingUpdateOp) -> Tensor<WIDE>,
) -> Tensor<WIDE> {
    if a.call.flag(5, "include_self", true) {
        return a.x();
    }
    let neutral = match operation {
        IndexingUpdateOp::Assign => return a.x(),
        IndexingUpdateOp::Add => 0.0,
        IndexingUpdateOp::Mul => 1.0,
        IndexingUpdateOp::Min => f64::INFINITY,
        IndexingUpdateOp::Max => f64::NEG_INFINITY,
    };
    update(a.x(), source.full_like(neutral), IndexingUpdateOp::Assign)
}

/// A scatter along an axis. Indices that do not span the other axes become indices of all axes.
fn scatter(
    x: Tensor<WIDE>,
    axis: usize,
    indices: Tensor<WIDE, Int>,
    values: Tensor<WIDE>,
    operation: IndexingUpdateOp,
) -> Tensor<WIDE> {
    let (to, from) = (x.dims(), indices.dims());
    if (0..WIDE).all(|i| i == axis || to[i] == from[i]) {
        return x.scatter(axis, indices, values, operation);
    }
    let coordinates = (0..WIDE).map(|i| {
        if i == axis {
            return indices.clone().reshape([-1]);
        }
        let mut line = [1; WIDE];
        line[i] = from[i];
        let places = Tensor::<1, Int>::arange(0..from[i] as i64, &indices.device());
        let places = places.cast(indices.dtype()).reshape(line).expand(from);
        places.reshape([-1])
    });
    let coordinates = Tensor::stack::<2>(coordinates.collect(), 1);
    x.scatter_nd(coordinates, values.reshape::<1, _>([-1]), operation)
}

/// Slices at indices of the first axis, assigned or added.
fn index_put(a: &Arguments) -> Tensor<WIDE> {
    let operation = if a.call.flag(3, "accumulate", false) {
        IndexingUpdateOp::Add
    } else {
        IndexingUpdateOp::Assign
    };
    let indices = a.call.tensors(1, "indices");
    let x = a.required(0, "input").get::<2>();
    let indices = match indices.as_slice() {
        [index] if a.tensors[*index].dtype().is_int() => &a.tensors[*index],
        _ => return lacks("an assignment at a mask or at several indices in this test"),
    };
    let indices = indices.get_kind::<1, Int>().unsqueeze_dim::<2>(1);
    let values = a.ranked::<2>(2, "values");
    let shape = wide_shape::<WIDE>(&x.dims());
    x.scatter_nd(indices, values, operation).reshape(shape)
}
