//! Vectors of f32, and the choice of the instruction set at run time.

mod instruction_set;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use instruction_set::InstructionSet;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// Number of entries of a part of a [`Vector`]: a vector is one or two of them.
pub(crate) const PART: usize = 8;

/// Largest number of parts of a vector.
pub(crate) const MAX_PARTS: usize = 2;

/// Eight or sixteen f32: registers, or an array that the compiler turns into what the machine has.
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

    /// Parts from different places. The default is that of a vector of one part, which reads the first only.
    ///
    /// # Safety
    /// The first `PARTS` sources point to eight readable values each.
    #[inline(always)]
    unsafe fn load_parts(sources: [*const f32; MAX_PARTS]) -> Self {
        const { assert!(Self::PARTS == 1) };
        // SAFETY: as the caller promises for the first source.
        unsafe { Self::load(sources[0]) }
    }

    /// Four values from each of as many places as there are lanes, `pitch` apart: vector `i` has value `i` of every place.
    ///
    /// # Safety
    /// Four values can be read at each place.
    #[inline(always)]
    unsafe fn load_transposed(source: *const f32, pitch: usize) -> [Self; 4] {
        let mut values = [[0.0; PART * MAX_PARTS]; 4];
        for lane in 0..Self::LANES {
            for i in 0..4 {
                // SAFETY: as the caller promises.
                values[i][lane] = unsafe { *source.add(lane * pitch + i) };
            }
        }
        let mut vectors = [Self::splat(0.0); 4];
        for i in 0..4 {
            // SAFETY: a vector has at most so many lanes.
            vectors[i] = unsafe { Self::load(values[i].as_ptr()) };
        }
        vectors
    }

    /// Writes one part to `target`. The default is that of a vector of one part, which has no other.
    ///
    /// # Safety
    /// The part is below `PARTS`, and `target` points to eight writable values.
    #[inline(always)]
    unsafe fn store_part(self, _part: usize, target: *mut f32) {
        const { assert!(Self::PARTS == 1) };
        // SAFETY: as the caller promises.
        unsafe { self.store(target) }
    }

    /// Asks for the memory at `place`, which is soon read. Nothing happens where it is not readable, or the instruction set has no
    /// such request.
    #[inline(always)]
    fn prefetch(_place: *const f64) {}

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

    /// Number of rows of a tile of a matrix product, 4 or 8.
    const ROWS: usize;

    /// Largest number of vectors of a row of such a tile, 2 or 3.
    ///
    /// The registers hold `ROWS·VECTORS` sums, `VECTORS` vectors of one factor and an entry of the other. One register at
    /// least stays free: where all are taken, compilers move sums between registers and memory at each term.
    const VECTORS: usize;

    /// The vector of the instruction set.
    type Vector: Vector;
}

/// The instruction set that loops run with: the best, or the limit of a test.
#[inline]
pub(crate) fn chosen() -> InstructionSet {
    #[cfg(test)]
    return InstructionSet::detect().min(limit::current());
    #[cfg(not(test))]
    InstructionSet::detect()
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
                match $crate::simd::chosen() {
                    // SAFETY: the processor was found to have the features of both functions.
                    $crate::simd::InstructionSet::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: the same.
                    $crate::simd::InstructionSet::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::simd::InstructionSet::Portable => {}
                }
            }
            #[cfg(target_arch = "aarch64")]
            {
                #[target_feature(enable = "neon")]
                fn neon($($arg: $type),*) {
                    $body::<$crate::simd::Neon>($($arg),*)
                }
                match $crate::simd::chosen() {
                    // SAFETY: the processor was found to have the feature of the function.
                    $crate::simd::InstructionSet::Neon => return unsafe { neon($($arg),*) },
                    $crate::simd::InstructionSet::Portable => {}
                }
            }
            $body::<$crate::simd::Portable>($($arg),*)
        }
    };
}
pub(crate) use multiversion;

#[cfg(test)]
pub(crate) mod limit;
