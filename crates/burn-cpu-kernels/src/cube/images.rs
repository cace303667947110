//! Images in the memory of a GPU, with the channels first or last.

use burn::backend::{DType, Shape, TensorMetadata};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::zspace::metadata::Metadata;

/// Images `[…, n, c, pixels…]` in a memory without gaps, and the order of their axes there.
pub struct Images {
    pub tensor: CubeTensor,
    /// True if the channels come last, false if the axes are in their own order.
    pub channels_last: bool,
}

impl Images {
    /// `tensor`, or a copy of it if its axes have a third order. `channels` is the axis of the channels.
    pub fn new(tensor: CubeTensor, channels: usize) -> Self {
        let last = channels_last_strides(&tensor.shape(), channels);
        let has_order = |strides: &[usize]| {
            let axes = tensor.meta.shape().iter().zip(tensor.meta.strides().iter());
            !tensor.meta.is_tiled() && axes.zip(strides).all(|((size, a), b)| *size == 1 || a == b)
        };
        let channels_last = has_order(&last);
        let tensor = if channels_last || has_order(&channels_first_strides(&tensor.shape())) {
            tensor
        } else {
            into_contiguous(tensor)
        };
        Self {
            tensor,
            channels_last,
        }
    }

    /// Images of the shape that are still to be written, with the channels last.
    pub fn empty_like(tensor: &CubeTensor, shape: Shape, channels: usize) -> CubeTensor {
        let mut out = empty(tensor, shape.clone());
        let strides = channels_last_strides(&shape, channels);
        *out.meta = Metadata::new(shape, strides.as_slice());
        out
    }
}

/// A tensor of the shape that is still to be written.
pub fn empty(like: &CubeTensor, shape: Shape) -> CubeTensor {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape, DType::F32)
}

fn channels_first_strides(shape: &Shape) -> Vec<usize> {
    let mut strides = vec![1; shape.num_dims()];
    for axis in (1..strides.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Strides of a memory in which the axis `channels` comes last.
fn channels_last_strides(shape: &Shape, channels: usize) -> Vec<usize> {
    let mut strides = channels_first_strides(shape);
    for stride in &mut strides[channels + 1..] {
        *stride *= shape[channels];
    }
    strides[channels] = 1;
    strides
}
