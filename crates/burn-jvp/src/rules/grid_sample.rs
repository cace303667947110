//! The rule of sampling an image at a grid of points.
//!
//! With the pixel coordinates p of a point, its lower corner ⌊p⌋ and its fraction f = p − ⌊p⌋, bilinear sampling is
//! `y = (1−f₁)(1−f₂)·I₀₀ + f₁(1−f₂)·I₁₀ + (1−f₁)f₂·I₀₁ + f₁f₂·I₁₁`, where the first index counts along the width. It is
//! linear in the image. Its derivative in p₁ is `(1−f₂)(I₁₀ − I₀₀) + f₂(I₁₁ − I₀₁)`, and likewise in p₂.

use super::indicator::inside;
use crate::dual::{
    Dual, RawTensor, add, add_tangents, dims, lift, mul, neg, on_batch, reshape, scale, shift, sub,
};
use crate::interpreter::Interpreter;
use crate::rule::Refusal;
use burn::backend::ir::GridSample2dOpIr;
use burn::backend::ops::{
    FloatTensorOps, GridSampleOptions, GridSamplePaddingMode, IntTensorOps, InterpolateMode,
};
use burn::backend::{Dispatch as D, IntDType, Shape, Slice};

/// An image `[n, c, h, w]` sampled at a grid `[n, h', w', 2]` of coordinates between −1 and 1.
pub(super) fn grid_sample(interp: &mut Interpreter, op: &GridSample2dOpIr) -> Result<(), Refusal> {
    let (image, grid) = (interp.take(&op.tensor), interp.take(&op.grid));
    let options: GridSampleOptions = op.options.clone().into();
    let in_grid = match (grid.tangent, &options.mode) {
        (None, _) => None,
        // Piecewise constant.
        (Some(_), InterpolateMode::Nearest | InterpolateMode::NearestExact) => None,
        (Some(t), InterpolateMode::Bilinear) => {
            Some(grid_tangents(&image.primal, &grid.primal, t, &options))
        }
        (Some(_), InterpolateMode::Bicubic | InterpolateMode::Lanczos3) => {
            return Err(Refusal::new(
                "the derivative in the grid is known of nearest and of bilinear sampling only",
            ));
        }
    };
    let in_image = image.tangent.map(|t| {
        let grids = D::float_repeat_dim(grid.primal.clone(), 0, interp.k);
        on_batch(t, |t| {
            D::float_grid_sample_2d(t, grids.clone(), options.clone())
        })
    });
    let primal = interp.primal(&op.out, || {
        D::float_grid_sample_2d(image.primal, grid.primal, options)
    });
    let tangent = add_tangents(in_image, in_grid);
    interp.put(&op.out, Dual { primal, tangent });
    Ok(())
}

/// The derivatives `[k, n, c, h', w']` along tangents `[k, n, h', w', 2]` of the grid, in bilinear sampling.
fn grid_tangents(
    image: &RawTensor,
    grid: &RawTensor,
    t: RawTensor,
    options: &GridSampleOptions,
) -> RawTensor {
    let (height, width) = (dims(image)[2], dims(image)[3]);
    let x = Coordinate::new(coordinate(grid, 0), width, options);
    let y = Coordinate::new(coordinate(grid, 1), height, options);
    let low_low = corner(image, &x.low, &y.low);
    let low_high = corner(image, &x.low, &y.high);
    let high_low = corner(image, &x.high, &y.low);
    let high_high = corner(image, &x.high, &y.high);
    let between =
        |low, high, f: &RawTensor| add(mul(low, shift(neg(f.clone()), 1.0)), mul(high, f.clone()));
    let in_x = between(
        sub(high_low.clone(), low_low.clone()),
        sub(high_high.clone(), low_high.clone()),
        &y.fraction,
    );
    let in_y = between(
        sub(low_high, low_low),
        sub(high_high, high_low),
        &x.fraction,
    );
    add(
        mul(lift(&mul(in_x, x.rate)), coordinate(&t, 0)),
        mul(lift(&mul(in_y, y.rate)), coordinate(&t, 1)),
    )
}

/// The coordinate `[…, 1, h', w']` with index `index` of points `[…, h', w', 2]`.
fn coordinate(points: &RawTensor, index: usize) -> RawTensor {
    let mut shape = dims(points);
    let last = shape.len() - 1;
    let mut part = vec![Slice::new(0, None, 1); last];
    part.push(Slice::from(index..index + 1));
    shape.pop();
    shape.insert(last - 2, 1);
    reshape(D::float_slice(points.clone(), &part), &shape)
}

/// Pixels beside points along one axis, each `[n, 1, h', w']`.
struct Pixels {
    /// Index, within the image.
    index: RawTensor,
    /// 1 for a pixel of the image, 0 for one that counts as zero.
    weight: Option<RawTensor>,
}

/// The pixel coordinate of points along one axis, each `[n, 1, h', w']`.
struct Coordinate {
    low: Pixels,
    high: Pixels,
    /// Distance from the lower pixel.
    fraction: RawTensor,
    /// Derivative of the pixel coordinate in the coordinate of the grid.
    rate: RawTensor,
}

impl Coordinate {
    /// The pixel coordinate of the coordinate `g` of a grid, along an axis of `size` pixels.
    fn new(g: RawTensor, size: usize, options: &GridSampleOptions) -> Self {
        let last = size as f64 - 1.0;
        // p = (g + 1)·(size − 1)/2 with aligned corners, else (g + 1)·size/2 − 1/2.
        let (rate, start) = if options.align_corners {
            (last / 2.0, 0.0)
        } else {
            (size as f64 / 2.0, -0.5)
        };
        let p = shift(scale(shift(g, 1.0), rate), start);
        let ones = shift(scale(p.clone(), 0.0), 1.0);
        let (p, sign) = match options.padding_mode {
            GridSamplePaddingMode::Zeros => (p, ones),
            GridSamplePaddingMode::Border => {
                let clamped = D::float_clamp(p.clone(), 0.0.into(), last.into());
                (clamped.clone(), inside(p, clamped))
            }
            GridSamplePaddingMode::Reflection => reflect(p, start, last - 2.0 * start),
        };
        let floor = D::float_floor(p.clone());
        let pixels = |p: RawTensor| {
            let inner = D::float_clamp(p.clone(), 0.0.into(), last.into());
            Pixels {
                index: D::float_into_int(inner.clone(), IntDType::I64),
                weight: matches!(options.padding_mode, GridSamplePaddingMode::Zeros)
                    .then(|| inside(p, inner)),
            }
        };
        Self {
            low: pixels(floor.clone()),
            high: pixels(shift(floor.clone(), 1.0)),
            fraction: sub(p, floor),
            rate: scale(sign, rate),
        }
    }
}

/// Coordinates reflected into `[start, start + span]`, and the sign of their derivative.
///
/// With `d = |p − start|` and `m = d mod 2·span` the coordinate is `start + span − |m − span|`.
fn reflect(p: RawTensor, start: f64, span: f64) -> (RawTensor, RawTensor) {
    if span <= 0.0 {
        let zeros = scale(p, 0.0);
        return (shift(zeros.clone(), start), zeros);
    }
    let from_start = shift(p, -start);
    let m = D::float_remainder_scalar(D::float_abs(from_start.clone()), (2.0 * span).into());
    let from_middle = shift(m, -span);
    let sign = neg(mul(
        D::float_sign(from_start),
        D::float_sign(from_middle.clone()),
    ));
    let reflected = shift(neg(D::float_abs(from_middle)), start + span);
    (reflected, sign)
}

/// The pixels `[n, c, h', w']` of an image at one corner of each point.
fn corner(image: &RawTensor, x: &Pixels, y: &Pixels) -> RawTensor {
    let (shape, points) = (dims(image), dims(&x.index));
    let (n, c, width) = (shape[0], shape[1], shape[3]);
    let (h, w) = (points[2], points[3]);
    let row = D::int_mul_scalar(y.index.clone(), (width as i64).into());
    let index = D::int_reshape(
        D::int_add(row, x.index.clone()),
        Shape::from(vec![n, 1, h * w]),
    );
    let index = D::int_expand(index, Shape::from(vec![n, c, h * w]));
    let flat = reshape(image.clone(), &[n, c, shape[2] * width]);
    let pixels = reshape(D::float_gather(2, flat, index), &[n, c, h, w]);
    match (&x.weight, &y.weight) {
        (Some(x), Some(y)) => mul(pixels, mul(x.clone(), y.clone())),
        _ => pixels,
    }
}
