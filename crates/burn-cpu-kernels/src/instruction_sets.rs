//! The loops of each instruction set that this processor has give the same results but for rounding.

use crate::attention::{self, AttentionShape};
use crate::conv::{self, ConvShape, PackedWeights};
use crate::norm::{self, Directions, GroupNormOptions, NormShape};
use crate::pointwise::{self, PointwiseShape};
use crate::simd::limit;
use crate::uninit::overwritten;

/// Numbers between −1 and 1 that look random.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    let number = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0;
    (0..count).map(number).collect()
}

/// Runs `results` with each instruction set, and compares with the first, the portable one.
fn same_with_each(results: impl Fn() -> Vec<Vec<f32>>) {
    let first = std::cell::RefCell::new(None);
    limit::each(|set| {
        let ours = results();
        let mut first = first.borrow_mut();
        let theirs = first.get_or_insert_with(|| ours.clone());
        for (ours, theirs) in ours.iter().zip(theirs.iter()) {
            let size = theirs.iter().fold(1e-30_f32, |m, v| m.max(v.abs()));
            for (a, b) in ours.iter().zip(theirs) {
                assert!((a - b).abs() < 1e-5 * size, "{set:?}: {a} for {b}");
            }
        }
    });
}

#[test]
fn convolutions() {
    for [images, inputs, outputs, height, width] in [[3, 5, 11, 9, 17], [2, 140, 4, 4, 4]] {
        let shape = ConvShape {
            images,
            inputs,
            outputs,
            height,
            width,
        };
        let pixels = height * width;
        let x = numbers(images * inputs * pixels, 1);
        let grad = numbers(images * outputs * pixels, 2);
        let weights = numbers(outputs * inputs * 9, 3);
        let bias = numbers(outputs, 4);
        same_with_each(|| {
            let mut out = [grad.len(), x.len(), weights.len()].map(|count| vec![f32::NAN; count]);
            let packed = PackedWeights::new(outputs, inputs, &weights);
            let turned = PackedWeights::turned(outputs, inputs, &weights);
            conv::forward(shape, &x, &packed, Some(&bias), overwritten(&mut out[0]));
            conv::input_gradient(shape, &grad, &turned, overwritten(&mut out[1]));
            conv::weight_gradient(shape, &x, &grad, &mut out[2]);
            out.into()
        });
    }
}

#[test]
fn pointwise_maps() {
    let shape = PointwiseShape {
        images: 2,
        inputs: 7,
        outputs: 13,
        pixels: 35,
    };
    let (x, grad) = (numbers(2 * 7 * 35, 1), numbers(2 * 13 * 35, 2));
    let (weight, bias) = (numbers(7 * 13, 3), numbers(13, 4));
    same_with_each(|| {
        let mut out = [grad.len(), x.len(), weight.len()].map(|count| vec![f32::NAN; count]);
        pointwise::forward(shape, &x, &weight, &bias, overwritten(&mut out[0]));
        pointwise::input_gradient(shape, &grad, &weight, overwritten(&mut out[1]));
        pointwise::weight_gradient(shape, &x, &grad, &mut out[2]);
        out.into()
    });
}

#[test]
fn attentions() {
    let shape = AttentionShape {
        heads: 2,
        channels: 5,
        pixels: 21,
    };
    let count = 2 * 2 * 5 * 21;
    let (x, along, grad) = (
        numbers(3 * count, 1),
        numbers(3 * count, 2),
        numbers(count, 3),
    );
    same_with_each(|| {
        let mut out = [count, count, 3 * count].map(|count| vec![f32::NAN; count]);
        attention::forward(shape, &x, &mut out[0]);
        attention::tangent(shape, &x, &along, &mut out[1]);
        attention::gradient(shape, &x, &grad, &mut out[2]);
        out.into()
    });
}

#[test]
fn group_norms() {
    let options = GroupNormOptions {
        groups: 2,
        epsilon: 1e-5,
        silu: true,
    };
    let shape = NormShape {
        images: 2,
        channels: 6,
        pixels: 35,
    };
    let count = 2 * 6 * 35;
    let (x, along, grad) = (numbers(count, 1), numbers(count, 2), numbers(count, 3));
    let (gamma, beta) = (numbers(6, 4), numbers(6, 5));
    let directions = Directions {
        x: Some(&along),
        affine: Some((&beta, &gamma)),
    };
    same_with_each(|| {
        let mut out = [count; 3].map(|count| vec![f32::NAN; count]);
        let affine = (&*gamma, &*beta);
        norm::forward(shape, options, &x, &gamma, &beta, overwritten(&mut out[0]));
        norm::tangent(
            shape,
            options,
            &x,
            affine,
            directions,
            overwritten(&mut out[1]),
        );
        let (on_gamma, on_beta) =
            norm::gradient(shape, options, &x, affine, &grad, overwritten(&mut out[2]));
        let mut out = out.to_vec();
        out.extend([on_gamma, on_beta]);
        out
    });
}
