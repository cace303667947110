//! Arguments of PyTorch's calls as Burn's tensors.
//!
//! Burn's tensors have a static rank and no rank 0. Most operations are done at the rank [`WIDE`], with axes of one
//! entry in front; layers and matrix products are done at the rank of the sample.

use crate::at_rank;
use crate::fixture::{Call, Case};
use burn::tensor::{Bool, Float, Int, Tensor};
use burn_jvp::DynTensor;

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
    pub fn other(&self, name: &str) -> Tensor<WIDE> {
        if let Some(number) = self.call.number(1, name) {
            let x = self.x();
            return Tensor::full([1; WIDE], number, (&x.device(), x.dtype()));
        }
        self.ranked(1, name)
    }

    /// Integer indices at the rank [`WIDE`].
    pub fn indices(&self, position: usize, name: &str) -> Tensor<WIDE, Int> {
        widen_int(&self.required(position, name))
    }

    /// A mask at the rank [`WIDE`].
    pub fn mask(&self, position: usize, name: &str) -> Tensor<WIDE, Bool> {
        widen_bool(&self.required(position, name))
    }

    /// Rank of the first argument in PyTorch.
    pub fn rank(&self) -> usize {
        let index = self.call.tensor(0, "input").unwrap_or(0);
        self.case.ranks[index]
    }

    /// An axis of the first argument as an axis of [`WIDE`].
    pub fn axis(&self, position: usize, name: &str) -> Option<usize> {
        let axes = self.call.integers(position, name)?;
        Some(wide_axis(axes[0], self.rank()))
    }

    /// Axes of the first argument as axes of [`WIDE`]. No list and an empty list are all axes.
    pub fn axes(&self, position: usize, name: &str) -> Vec<usize> {
        match self.call.integers(position, name) {
            Some(axes) if !axes.is_empty() => {
                axes.iter().map(|a| wide_axis(*a, self.rank())).collect()
            }
            _ => (0..WIDE).collect(),
        }
    }

    /// A number, or its default.
    pub fn number_or(&self, position: usize, name: &str, default: f64) -> f64 {
        self.call.number(position, name).unwrap_or(default)
    }
}

/// An axis of a tensor of rank `rank`, negative from the end, as an axis of [`WIDE`].
pub fn wide_axis(axis: i64, rank: usize) -> usize {
    if axis < 0 {
        (WIDE as i64 + axis) as usize
    } else {
        WIDE - rank + axis as usize
    }
}

/// A shape with axes of one entry in front.
pub fn wide_shape<const R: usize>(shape: &[usize]) -> [usize; R] {
    if shape.len() > R {
        lacks::<()>(
            "this operation at this rank, or at the rank that tensors without entries have here",
        );
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

/// A tensor of integers with axes of one entry in front.
pub fn widen_int<const R: usize>(t: &DynTensor) -> Tensor<R, Int> {
    wide_shape::<R>(&t.shape());
    at_rank!(t, Int, x => x.unsqueeze())
}

/// A tensor of booleans with axes of one entry in front.
pub fn widen_bool<const R: usize>(t: &DynTensor) -> Tensor<R, Bool> {
    wide_shape::<R>(&t.shape());
    at_rank!(t, Bool, x => x.unsqueeze())
}

/// The shape to which shapes broadcast.
pub fn broadcast<const R: usize>(shapes: &[[usize; R]]) -> [usize; R] {
    std::array::from_fn(|axis| {
        let mut sizes = shapes.iter().map(|shape| shape[axis]);
        sizes.find(|size| *size != 1).unwrap_or(1)
    })
}
