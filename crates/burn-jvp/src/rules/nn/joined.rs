//! K tangents joined with an axis of a tensor.
//!
//! An operation that is linear in a weight serves the K tangents of the weight in one call if they are joined with one
//! of its axes, by which the axis becomes K times as long. The data of the call are then read once for all tangents.

use crate::dual::{RawTensor, dims, reshape};
use burn::backend::Dispatch as D;
use burn::backend::ops::FloatTensorOps;

/// An axis whose entries stand in groups of equal size: each group of the joined axis has the entries of K tangents.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    /// Position in the tensor without the axis of tangents.
    pub index: usize,
    /// Number of groups.
    pub groups: usize,
}

impl Axis {
    /// An axis without groups.
    pub fn whole(index: usize) -> Self {
        Self { index, groups: 1 }
    }

    /// `[K, …, g·c, …]` as `[…, g·K·c, …]`, in the order (group, tangent, entry of the group).
    pub fn join(self, t: RawTensor) -> RawTensor {
        let shape = dims(&t);
        let (k, unstacked) = (shape[0], &shape[1..]);
        let mut joined = unstacked.to_vec();
        joined[self.index] *= k;
        if k == 1 || (self.index == 0 && self.groups == 1) {
            return reshape(t, &joined);
        }
        // [K, before, g, c, after] to [before, g, K, c, after].
        let t = reshape(t, &[&[k], self.split(unstacked).as_slice()].concat());
        let order = (1..self.index + 2)
            .chain([0])
            .chain(self.index + 2..unstacked.len() + 2);
        reshape(D::float_permute(t, &order.collect::<Vec<_>>()), &joined)
    }

    /// `[…, g·K·c, …]` as `[K, …, g·c, …]`, the inverse of [`join`](Self::join) for the axis of a result.
    pub fn separate(self, t: RawTensor, k: usize) -> RawTensor {
        let mut unstacked = dims(&t);
        unstacked[self.index] /= k;
        let stacked = [&[k], unstacked.as_slice()].concat();
        if k == 1 || (self.index == 0 && self.groups == 1) {
            return reshape(t, &stacked);
        }
        // [before, g, K, c, after] to [K, before, g, c, after].
        let mut separate = self.split(&unstacked);
        separate.insert(self.index + 1, k);
        let order = [self.index + 1]
            .into_iter()
            .chain(0..self.index + 1)
            .chain(self.index + 2..separate.len());
        let t = D::float_permute(reshape(t, &separate), &order.collect::<Vec<_>>());
        reshape(t, &stacked)
    }

    /// A shape with the axis as `[g, c]`.
    fn split(self, shape: &[usize]) -> Vec<usize> {
        let mut split = shape.to_vec();
        split[self.index] /= self.groups;
        split.insert(self.index, self.groups);
        split
    }
}
