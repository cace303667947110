//! The allocator of the binaries: mimalloc, which keeps the memory it got.
//!
//! Every tensor of a training step is allocated anew. An allocator that returns large blocks to the system has
//! their pages cleared and mapped again at the next step, which took a sixth of the time.

use std::ffi::{c_int, c_long};

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

unsafe extern "C" {
    /// Of mimalloc, which this crate links.
    safe fn mi_option_set(option: c_int, value: c_long);
}

/// `mi_option_purge_delay` in mimalloc.h: milliseconds until unused memory is returned, −1 for never.
const PURGE_DELAY: c_int = 15;

/// Never returns memory to the system. Call it first in `main`; linking this crate installs the allocator.
pub fn keep_memory() {
    mi_option_set(PURGE_DELAY, -1);
}
