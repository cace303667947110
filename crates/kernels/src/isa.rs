//! Eight f32 at a time, and the choice of instruction set at run time.

/// Entries of a [`Vector`].
pub(crate) const LANES: usize = 8;

/// Eight f32: an AVX register, or an array that the compiler turns into what the machine has.
pub(crate) trait Vector: Copy {
    /// Whether `mul_add` is one instruction; elsewhere it would be a library call.
    const FUSED: bool;

    /// The same value in every lane.
    fn splat(value: f32) -> Self;

    /// Eight values from `at`.
    ///
    /// # Safety
    /// `at` points to eight readable values.
    unsafe fn load(at: *const f32) -> Self;

    /// `self·b + c`.
    fn fused(self, b: Self, c: Self) -> Self;

    /// The lanes in order.
    fn lanes(self) -> [f32; LANES];
}

/// For every machine.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; LANES]);

impl Vector for Portable {
    const FUSED: bool = cfg!(target_arch = "aarch64");

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self {
        // SAFETY: the caller promises eight readable values; an array of f32 needs no more alignment.
        Self(unsafe { at.cast::<[f32; LANES]>().read() })
    }

    #[inline(always)]
    fn fused(self, b: Self, c: Self) -> Self {
        let mut out = c.0;
        for i in 0..LANES {
            out[i] = if Self::FUSED {
                self.0[i].mul_add(b.0[i], c.0[i])
            } else {
                self.0[i] * b.0[i] + c.0[i]
            };
        }
        Self(out)
    }

    #[inline(always)]
    fn lanes(self) -> [f32; LANES] {
        self.0
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use avx::Avx;

#[cfg(target_arch = "x86_64")]
mod avx {
    use std::arch::x86_64::{__m256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps};

    use super::{LANES, Vector};

    /// An AVX register. Only [`multiversion`](super::multiversion) makes code that uses it, inlined into
    /// a function compiled for AVX2 and FMA that runs after both were detected.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx(__m256);

    impl Vector for Avx {
        const FUSED: bool = true;

        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: AVX was detected, see the type.
            Self(unsafe { _mm256_set1_ps(value) })
        }

        #[inline(always)]
        unsafe fn load(at: *const f32) -> Self {
            // SAFETY: AVX was detected, see the type; the caller promises eight readable values.
            Self(unsafe { _mm256_loadu_ps(at) })
        }

        #[inline(always)]
        fn fused(self, b: Self, c: Self) -> Self {
            // SAFETY: FMA was detected, see the type.
            Self(unsafe { _mm256_fmadd_ps(self.0, b.0, c.0) })
        }

        #[inline(always)]
        fn lanes(self) -> [f32; LANES] {
            // SAFETY: both are eight f32.
            unsafe { std::mem::transmute(self.0) }
        }
    }
}

/// Defines `$name`, which runs the generic `$body::<V, WIDE>` with the best [`Vector`] at hand; `WIDE` says
/// that there are 32 vector registers, not 16.
macro_rules! multiversion {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) = $body:ident) => {
        $(#[$doc])*
        $vis fn $name($($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma,avx512f,avx512vl")]
                fn avx512($($arg: $type),*) {
                    $body::<$crate::isa::Avx, true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $type),*) {
                    $body::<$crate::isa::Avx, false>($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("fma")
                {
                    // SAFETY: the processor has just been found to have these features; AVX-512VL
                    // implies AVX2 and AVX-512F.
                    return unsafe { avx512($($arg),*) };
                }
                if std::arch::is_x86_feature_detected!("avx2")
                    && std::arch::is_x86_feature_detected!("fma")
                {
                    // SAFETY: the processor has just been found to have both features.
                    return unsafe { avx2($($arg),*) };
                }
            }
            $body::<$crate::isa::Portable, { cfg!(target_arch = "aarch64") }>($($arg),*)
        }
    };
}
pub(crate) use multiversion;
