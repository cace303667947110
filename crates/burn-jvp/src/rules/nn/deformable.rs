//! The rule of deformable convolution.

use super::conv::add_bias;
use super::joined::Axis;
use crate::dual::{
    Dual, RawTensor, add, add_tangents, concat, dims, expand, lift, mul, narrow, reshape, shift,
    sub,
};
use crate::interpreter::Interpreter;
use crate::rule::Refusal;
use crate::rules::refusals;
use burn::backend::ir::{DeformConv2dBackwardOpIr, DeformConv2dOpIr};
use burn::backend::ops::{FloatTensorOps, ModuleOps};
use burn::backend::{Dispatch as D, Slice};

/// `y = Σ w·m·X(p) + b` with X(p) the bilinear sample of x at the place p of a tap, which is moved by its offset:
/// `y' = Σ w·m·X'(p) + w'·m·X(p) + w·m'·X(p) + w·m·∇X(p)·p' + b'`.
///
/// The operation is linear in x, in the weight and in the mask, so each of the first three terms is the operation itself.
pub(super) fn deform_conv2d(op: &DeformConv2dOpIr, interp: &mut Interpreter) {
    let [x, offset, w] = [&op.x, &op.offset, &op.weight].map(|t| interp.take(t));
    let mask = op.mask.as_ref().map(|t| interp.take(t));
    let b = op.bias.as_ref().map(|t| interp.take(t));
    let (mask, along_mask) = mask.map_or((None, None), |m| (Some(m.primal), m.tangent));
    let k = interp.k;
    let f = |[x, offset, w]: [RawTensor; 3], mask, b| {
        D::deform_conv2d(x, offset, w, mask, b, op.options.clone().into())
    };
    let batch = Axis::whole(0);
    let copies = |t: &RawTensor| copies(t, k);

    let data = x.tangent.map(|t| {
        let mask = mask.as_ref().map(copies);
        let tensors = [batch.join(t), copies(&offset.primal), w.primal.clone()];
        batch.separate(f(tensors, mask, None), k)
    });
    let weights = w.tangent.map(|t| {
        let groups = op.options.weight_groups;
        let t = Axis { index: 0, groups }.join(t);
        let y = f(
            [x.primal.clone(), offset.primal.clone(), t],
            mask.clone(),
            None,
        );
        Axis { index: 1, groups }.separate(y, k)
    });
    // The operation on K copies of the batch, each with a mask of its own.
    let masked = |offset: &RawTensor, mask: RawTensor| {
        let tensors = [copies(&x.primal), copies(offset), w.primal.clone()];
        batch.separate(f(tensors, Some(mask), None), k)
    };
    let masks = along_mask.map(|t| masked(&offset.primal, batch.join(t)));
    let offsets = offset.tangent.map(|t| {
        let mask = mask.as_ref().map(copies);
        along_offsets(&offset.primal, batch.join(t), mask.as_ref(), masked)
    });
    let tangent = [data, weights, masks, offsets]
        .into_iter()
        .fold(None, add_tangents);
    let along_bias = b.as_ref().and_then(|b| b.tangent.clone());
    let tangent = add_bias(tangent, along_bias, &interp.stacked(&op.out));
    let primal = interp.primal(&op.out, || {
        f(
            [x.primal, offset.primal, w.primal],
            mask,
            b.map(|b| b.primal),
        )
    });
    interp.put(&op.out, Dual { primal, tangent });
}

/// The term `Σ w·m·∇X(p)·p'` from directions p' of the offsets, `[K·n, …]`, and the operation with offsets and mask.
///
/// Between two rows r and r + 1 of pixels the sample is linear in the row of p, with the slope `X(r + 1) − X(r)`: the term
/// of the rows is the operation at rows rounded up less that at rows rounded down, both with the mask m·p'. Columns are
/// alike. The place of a tap without its offset is an integer, so the offset itself is rounded.
fn along_offsets(
    offset: &RawTensor,
    directions: RawTensor,
    mask: Option<&RawTensor>,
    masked: impl Fn(&RawTensor, RawTensor) -> RawTensor,
) -> RawTensor {
    let shape = dims(offset);
    // Rows and columns alternate: [n, taps, 2, h, w].
    let pairs = |t: RawTensor| {
        let n = dims(&t)[0];
        reshape(t, &[n, shape[1] / 2, 2, shape[2], shape[3]])
    };
    let (offsets, directions) = (pairs(offset.clone()), pairs(directions));
    let along = |axis: usize| {
        let place = [Slice::full(), Slice::full(), Slice::from(axis..axis + 1)];
        let moved = D::float_slice(directions.clone(), &place);
        let moved = reshape(
            moved,
            &[dims(&directions)[0], shape[1] / 2, shape[2], shape[3]],
        );
        let mask = match mask {
            Some(mask) => mul(moved, mask.clone()),
            None => moved,
        };
        let below = D::float_floor(D::float_slice(offsets.clone(), &place));
        let rounded = |to: RawTensor| {
            let offsets = D::float_slice_assign(offsets.clone(), &place, to);
            masked(&reshape(offsets, &shape), mask.clone())
        };
        sub(rounded(shift(below.clone(), 1.0)), rounded(below))
    };
    add(along(0), along(1))
}

/// K copies of a batch, `[K·n, …]`.
fn copies(t: &RawTensor, k: usize) -> RawTensor {
    let lifted = lift(t);
    let mut shape = dims(&lifted);
    shape[0] = k;
    Axis::whole(0).join(expand(lifted, &shape))
}

/// The gradients of deformable convolution, which are linear in the gradient g of the result: `y = G(x, …)·g`,
/// `y' = G(x, …)·g'`. Tangents of the other inputs are refused.
pub(super) fn deform_conv2d_backward(
    op: &DeformConv2dBackwardOpIr,
    interp: &mut Interpreter,
) -> Result<(), Refusal> {
    let [x, offset, w] = [&op.x, &op.offset, &op.weight].map(|t| interp.take(t));
    let mask = op.mask.as_ref().map(|t| interp.take(t));
    let b = op.bias.as_ref().map(|t| interp.take(t));
    let g = interp.take(&op.out_grad);
    let mut others = [&x, &offset, &w].into_iter().chain(&mask).chain(&b);
    if others.any(|input| input.tangent.is_some()) {
        return Err(Refusal::new(refusals::DEFORMABLE_GRADIENT));
    }
    // In the order of the outputs; None for an output that the operation does not have.
    let gradients = |g: RawTensor| {
        let all = D::deform_conv2d_backward(
            x.primal.clone(),
            offset.primal.clone(),
            w.primal.clone(),
            mask.as_ref().map(|m| m.primal.clone()),
            b.as_ref().map(|b| b.primal.clone()),
            g,
            op.options.clone().into(),
        );
        [
            Some(all.x_grad),
            Some(all.offset_grad),
            Some(all.weight_grad),
            all.mask_grad,
            all.bias_grad,
        ]
    };
    let along: Vec<_> = g
        .tangent
        .iter()
        .flat_map(|t| {
            let shape = dims(&g.primal);
            (0..interp.k).map(move |k| reshape(narrow(t.clone(), k..k + 1), &shape))
        })
        .map(&gradients)
        .collect();
    let outputs = [
        Some(&op.input_grad),
        Some(&op.offset_grad),
        Some(&op.weight_grad),
        op.mask_grad.as_ref(),
        op.bias_grad.as_ref(),
    ];
    for (index, (out, primal)) in outputs
        .into_iter()
        .zip(gradients(g.primal.clone()))
        .enumerate()
    {
        let (Some(out), Some(primal)) = (out, primal) else {
            continue;
        };
        let stack: Vec<RawTensor> = along
            .iter()
            .filter_map(|all| all[index].as_ref().map(lift))
            .collect();
        let tangent = (!stack.is_empty()).then(|| concat(stack));
        interp.put(out, Dual { primal, tangent });
    }
    Ok(())
}
