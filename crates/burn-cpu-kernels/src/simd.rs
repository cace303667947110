//! Vectors of eight f32, and the choice of the instruction set at run time.

/// Number of entries of a [`Vector`].
pub(crate) const LANES: usize = 8;

/// Eight f32: an AVX register, or an array that the compiler turns into what the machine has.
pub(crate) trait Vector: Copy {
    /// True if `mul_add` is one instruction. Elsewhere it would be a library call.
    const FUSED: bool;

    /// The same value in every lane.
    fn splat(value: f32) -> Self;

    /// The eight values at `source`.
    ///
    /// # Safety
    /// `source` points to eight readable values.
    unsafe fn load(source: *const f32) -> Self;

    /// Writes the eight values to `target`.
    ///
    /// # Safety
    /// `target` points to eight writable values.
    unsafe fn store(self, target: *mut f32);

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

    /// The lanes in order.
    fn lanes(self) -> [f32; LANES];
}

/// The vector of every machine, an array.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; LANES]);

impl Vector for Portable {
    const FUSED: bool = cfg!(target_arch = "aarch64");

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: the caller promises eight readable values; an array of f32 needs no more alignment.
        Self(unsafe { source.cast::<[f32; LANES]>().read() })
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: the caller promises eight writable values; an array of f32 needs no more alignment.
        unsafe { target.cast::<[f32; LANES]>().write(self.0) }
    }

    #[inline(always)]
    fn plus(self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + b.0[i]))
    }

    #[inline(always)]
    fn minus(self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - b.0[i]))
    }

    #[inline(always)]
    fn split(a: Self, b: Self) -> (Self, Self) {
        let joined = |i: usize| if i < LANES { a.0[i] } else { b.0[i - LANES] };
        (
            Self(std::array::from_fn(|i| joined(2 * i))),
            Self(std::array::from_fn(|i| joined(2 * i + 1))),
        )
    }

    #[inline(always)]
    fn join(even: Self, odd: Self) -> (Self, Self) {
        let joined = |i: usize| {
            if i.is_multiple_of(2) {
                even.0[i / 2]
            } else {
                odd.0[i / 2]
            }
        };
        (
            Self(std::array::from_fn(joined)),
            Self(std::array::from_fn(|i| joined(LANES + i))),
        )
    }

    #[inline(always)]
    fn totals(vectors: [Self; 4]) -> [f32; 4] {
        vectors.map(|vector| vector.0.iter().sum())
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
    use std::arch::x86_64::{
        __m256, _mm_add_ps, _mm256_add_ps, _mm256_castps256_ps128, _mm256_extractf128_ps,
        _mm256_fmadd_ps, _mm256_hadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_shuffle_ps,
        _mm256_storeu_ps, _mm256_sub_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
    };

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
        unsafe fn load(source: *const f32) -> Self {
            // SAFETY: AVX was detected, see the type; the caller promises eight readable values.
            Self(unsafe { _mm256_loadu_ps(source) })
        }

        #[inline(always)]
        unsafe fn store(self, target: *mut f32) {
            // SAFETY: AVX was detected, see the type; the caller promises eight writable values.
            unsafe { _mm256_storeu_ps(target, self.0) }
        }

        #[inline(always)]
        fn plus(self, b: Self) -> Self {
            // SAFETY: AVX was detected, see the type.
            Self(unsafe { _mm256_add_ps(self.0, b.0) })
        }

        #[inline(always)]
        fn minus(self, b: Self) -> Self {
            // SAFETY: AVX was detected, see the type.
            Self(unsafe { _mm256_sub_ps(self.0, b.0) })
        }

        #[inline(always)]
        fn split(a: Self, b: Self) -> (Self, Self) {
            // Within each half of the register: two lanes of a, then two of b.
            // SAFETY: AVX was detected, see the type.
            unsafe {
                (
                    Self(_mm256_shuffle_ps::<0b10_00_10_00>(a.0, b.0)),
                    Self(_mm256_shuffle_ps::<0b11_01_11_01>(a.0, b.0)),
                )
            }
        }

        #[inline(always)]
        fn join(even: Self, odd: Self) -> (Self, Self) {
            // SAFETY: AVX was detected, see the type.
            unsafe {
                (
                    Self(_mm256_unpacklo_ps(even.0, odd.0)),
                    Self(_mm256_unpackhi_ps(even.0, odd.0)),
                )
            }
        }

        #[inline(always)]
        fn totals([a, b, c, d]: [Self; 4]) -> [f32; 4] {
            // SAFETY: AVX was detected, see the type; four f32 are four f32.
            unsafe {
                let halves = _mm256_hadd_ps(_mm256_hadd_ps(a.0, b.0), _mm256_hadd_ps(c.0, d.0));
                let low = _mm256_castps256_ps128(halves);
                std::mem::transmute(_mm_add_ps(low, _mm256_extractf128_ps::<1>(halves)))
            }
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
                    $body::<$crate::simd::Avx, true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $type),*) {
                    $body::<$crate::simd::Avx, false>($($arg),*)
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
            $body::<$crate::simd::Portable, { cfg!(target_arch = "aarch64") }>($($arg),*)
        }
    };
}
pub(crate) use multiversion;
