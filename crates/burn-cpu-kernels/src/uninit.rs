//! Memory that is written before it is read, without a pass that fills it with zeros first.

use std::mem::MaybeUninit;

/// A vector of `count` values.
///
/// # Safety
/// `write` writes every entry.
pub(crate) unsafe fn written(
    count: usize,
    write: impl FnOnce(&mut [MaybeUninit<f32>]),
) -> Vec<f32> {
    let mut values = Vec::with_capacity(count);
    write(&mut values.spare_capacity_mut()[..count]);
    // SAFETY: the capacity is at least `count`, and the caller promises that all entries were written.
    unsafe { values.set_len(count) };
    values
}

/// Values as memory to write to.
pub(crate) fn overwritten(values: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    let count = values.len();
    // SAFETY: the layouts are equal, and the loops of this crate write nothing but values.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), count) }
}

/// Values that have all been written.
///
/// # Safety
/// Every entry has been written.
pub(crate) unsafe fn assume_written(values: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    let count = values.len();
    // SAFETY: the layouts are equal, and the caller promises the rest.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), count) }
}
