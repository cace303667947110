//! Memory that the tasks of a thread use one after the other.

use std::cell::Cell;

/// Memory of a thread that its tasks use one after the other.
#[derive(Default)]
pub(super) struct Buffers {
    /// Images with their border.
    pub bordered: Vec<f32>,
    /// An image of the gradient with its border.
    pub bordered_grad: Vec<f32>,
    /// Transformed inputs of a block.
    pub transformed: Vec<f32>,
    /// Transformed outputs of a block, or gradients.
    pub products: Vec<f32>,
    /// Sums of products of transformed tiles.
    pub sums: Vec<f32>,
}

thread_local! {
    pub(super) static BUFFERS: Cell<Buffers> = Cell::default();
}

/// The first `count` values of a buffer, which keep what they were.
pub(super) fn at_least(buffer: &mut Vec<f32>, count: usize) -> &mut [f32] {
    if buffer.len() < count {
        buffer.resize(count, 0.0);
    }
    &mut buffer[..count]
}
