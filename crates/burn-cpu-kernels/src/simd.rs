//! Vectors of f32, and the choice of the instruction set at run time.

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// Number of entries of a part of a [`Vector`]: a vector is one or two of them.
pub(crate) const PART: usize = 8;

/// Largest number of parts of a vector.
pub(crate) const MAX_PARTS: usize = 2;

/// Eight or sixteen f32: a register, or an array that the compiler turns into what the machine has.
pub(crate) trait Vector: Copy {
    /// Number of parts.
    const PARTS: usize;

    /// Number of entries.
    const LANES: usize = Self::PARTS * PART;

    /// The same value in every lane.
    fn splat(value: f32) -> Self;

    /// The values at `source`.
    ///
    /// # Safety
    /// `source` points to `LANES` readable values.
    unsafe fn load(source: *const f32) -> Self;

    /// Writes the values to `target`.
    ///
    /// # Safety
    /// `target` points to `LANES` writable values.
    unsafe fn store(self, target: *mut f32);

    /// Parts from different places; a vector of one part reads the first only.
    ///
    /// # Safety
    /// The first `PARTS` sources point to eight readable values each.
    unsafe fn load_parts(sources: [*const f32; MAX_PARTS]) -> Self;

    /// Writes one part to `target`.
    ///
    /// # Safety
    /// `part` is below `PARTS`, and `target` points to eight writable values.
    unsafe fn store_part(self, part: usize, target: *mut f32);

    /// `self + b`.
    fn plus(self, b: Self) -> Self;

    /// `self − b`.
    fn minus(self, b: Self) -> Self;

    /// `self·b + c`.
    fn fused(self, b: Self, c: Self) -> Self;

    /// The even and the odd lanes of `a` and `b`, in an order that [`join`](Self::join) undoes.
    fn split(a: Self, b: Self) -> (Self, Self);

    /// The inverse of [`split`](Self::split).
    fn join(even: Self, odd: Self) -> (Self, Self);

    /// The sum over the lanes of each vector.
    fn totals(vectors: [Self; 4]) -> [f32; 4];
}

/// An instruction set, the parameter of the bodies that [`multiversion`] compiles.
pub(crate) trait Machine {
    /// True if `mul_add` is one instruction. Elsewhere it would be a library call.
    const FUSED: bool;

    /// Number of rows of a tile of a matrix product, 4 or 8: three vectors of each are summed in registers.
    const ROWS: usize;

    /// The vector of the instruction set.
    type Vector: Vector;
}

/// The instruction sets that loops are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum InstructionSet {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl InstructionSet {
    /// The best that this processor has.
    #[inline]
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if !(std::arch::is_x86_feature_detected!("avx2")
                && std::arch::is_x86_feature_detected!("fma"))
            {
                return Self::Portable;
            }
            if std::arch::is_x86_feature_detected!("avx512f")
                && std::arch::is_x86_feature_detected!("avx512dq")
                && std::arch::is_x86_feature_detected!("avx512vl")
            {
                return Self::Avx512;
            }
            Self::Avx2
        }
        #[cfg(not(target_arch = "x86_64"))]
        Self::Portable
    }

    /// The one that loops run with: the best, or the limit of a test.
    #[inline]
    pub fn chosen() -> Self {
        #[cfg(test)]
        return Self::detect().min(limit::current());
        #[cfg(not(test))]
        Self::detect()
    }
}

/// A limit to the instruction set, for tests of the others.
#[cfg(test)]
pub(crate) mod limit {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, PoisonError};

    use super::InstructionSet;

    /// All instruction sets, those that this processor lacks among them.
    #[cfg(target_arch = "x86_64")]
    const ALL: &[InstructionSet] = &[
        InstructionSet::Portable,
        InstructionSet::Avx2,
        InstructionSet::Avx512,
    ];
    #[cfg(not(target_arch = "x86_64"))]
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
}

/// `Σ f(x_i, y_i)` in 32 interleaved sums, which the compiler keeps in registers.
#[inline(always)]
pub(crate) fn sum(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; 32];
    let ((xs, x), (ys, y)) = (x.as_chunks::<32>(), y.as_chunks::<32>());
    for (x, y) in xs.iter().zip(ys) {
        for lane in 0..32 {
            sums[lane] += f(x[lane], y[lane]);
        }
    }
    for (sum, (&x, &y)) in sums.iter_mut().zip(x.iter().zip(y)) {
        *sum += f(x, y);
    }
    sums.iter().sum()
}

/// Defines `$name`, which runs the generic `$body::<M>` with the best [`Machine`] at hand.
macro_rules! multiversion {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) = $body:ident) => {
        $(#[$doc])*
        $vis fn $name($($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma,avx512f,avx512dq,avx512vl")]
                fn avx512($($arg: $type),*) {
                    $body::<$crate::simd::Avx512>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $type),*) {
                    $body::<$crate::simd::Avx2>($($arg),*)
                }
                match $crate::simd::InstructionSet::chosen() {
                    // SAFETY: the processor was found to have the features of both functions.
                    $crate::simd::InstructionSet::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: the same.
                    $crate::simd::InstructionSet::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::simd::InstructionSet::Portable => {}
                }
            }
            $body::<$crate::simd::Portable>($($arg),*)
        }
    };
}
pub(crate) use multiversion;
