//! A limit to the instruction set, for tests of the others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::instruction_set::InstructionSet;

/// All instruction sets, those that this processor lacks among them.
#[cfg(target_arch = "x86_64")]
const ALL: &[InstructionSet] = &[
    InstructionSet::Portable,
    InstructionSet::Avx2,
    InstructionSet::Avx512,
];
#[cfg(target_arch = "aarch64")]
const ALL: &[InstructionSet] = &[InstructionSet::Portable, InstructionSet::Neon];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ALL: &[InstructionSet] = &[InstructionSet::Portable];

/// Position of the limit in `ALL`; the last is no limit.
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub fn current() -> InstructionSet {
    ALL[LIMIT.load(Ordering::Relaxed).min(ALL.len() - 1)]
}

/// Runs a test with each instruction set that this processor has.
pub fn each(test: impl Fn(InstructionSet)) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for (position, set) in ALL.iter().enumerate() {
        if *set <= InstructionSet::detect() {
            LIMIT.store(position, Ordering::Relaxed);
            test(*set);
        }
    }
    LIMIT.store(usize::MAX, Ordering::Relaxed);
}
