//! Allocator that counts, and a limit on the process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use crate::place;

/// Bytes that reading one input may hold at once.
pub const ALLOWED: usize = 512 << 20;
/// Bytes at which the process ends: what is above [`ALLOWED`] is let through up to here, so that the reader can be seen to go on.
const END: usize = 2 << 30;
/// Address space of the process.
#[cfg(unix)]
const ADDRESSES: libc::rlim_t = 8 << 30;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static START: AtomicUsize = AtomicUsize::new(0);
static ENDING: AtomicBool = AtomicBool::new(false);

/// The system's allocator, with a count of the bytes that are in use.
pub struct Counting;

/// Begins to count for an input.
pub fn start() {
    let live = LIVE.load(Relaxed);
    START.store(live, Relaxed);
    PEAK.store(live, Relaxed);
}

/// The most bytes in use at once since [`start`], beyond those in use then.
pub fn peak() -> usize {
    PEAK.load(Relaxed).saturating_sub(START.load(Relaxed))
}

/// Sets the hard limits of this process.
pub fn limit() {
    #[cfg(unix)]
    for (resource, most) in [
        (libc::RLIMIT_AS, ADDRESSES),
        // What is expected to die leaves no file of its memory.
        (libc::RLIMIT_CORE, 0),
    ] {
        let limit = libc::rlimit {
            rlim_cur: most,
            rlim_max: most,
        };
        // SAFETY: the pointer is to a local that outlives the call.
        let set = unsafe { libc::setrlimit(resource, &limit) };
        assert_eq!(set, 0, "the process cannot be limited");
    }
}

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
    let over = live.saturating_sub(START.load(Relaxed)) > END;
    // Finding the place allocates too.
    if over && !ENDING.swap(true, Relaxed) {
        eprintln!("more than 2 GiB are asked for under {}", place::running());
        std::process::abort();
    }
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grow(size);
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}
