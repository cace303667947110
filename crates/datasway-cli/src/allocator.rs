//! The global allocator of the binaries: mimalloc without returning memory to the system.
//!
//! A training step allocates every tensor anew. An allocator that returns large blocks to the system makes it clear and map
//! their pages again at the next step, which took a sixth of the time.

use std::ffi::{c_int, c_long};

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

unsafe extern "C" {
    /// Declared in mimalloc.h; mimalloc is linked by this crate.
    safe fn mi_option_set(option: c_int, value: c_long);
}

/// `mi_option_purge_delay` in mimalloc.h: milliseconds until unused memory is returned; −1 for never.
const PURGE_DELAY: c_int = 15;

/// Stops returning memory to the system. Call it first in `main`. Linking this crate installs the allocator.
pub fn keep_memory() {
    mi_option_set(PURGE_DELAY, -1);
}
