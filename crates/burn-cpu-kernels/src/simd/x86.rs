//! The vectors of AVX2 and AVX-512.
//!
//! Only [`multiversion`](super::multiversion) makes code that uses them, inlined into a function that is compiled for
//! their instructions and runs after those were detected.

use std::arch::x86_64::{
    __m256, __m512, _MM_HINT_T0, _mm_add_ps, _mm_loadu_ps, _mm_prefetch, _mm256_add_ps,
    _mm256_castps128_ps256, _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_fmadd_ps,
    _mm256_hadd_ps, _mm256_insertf128_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_shuffle_ps,
    _mm256_storeu_ps, _mm256_sub_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps, _mm512_add_ps,
    _mm512_castps256_ps512, _mm512_castps512_ps256, _mm512_extractf32x8_ps, _mm512_fmadd_ps,
    _mm512_insertf32x8, _mm512_loadu_ps, _mm512_set1_ps, _mm512_shuffle_ps, _mm512_storeu_ps,
    _mm512_sub_ps, _mm512_unpackhi_ps, _mm512_unpacklo_ps,
};

use super::{MAX_PARTS, Machine, Vector};

/// AVX2 with fused multiplication and addition, and 16 registers. A tile of four rows by two vectors takes 11 of them.
pub(crate) struct Avx2;

impl Machine for Avx2 {
    const FUSED: bool = true;
    const ROWS: usize = 4;
    const VECTORS: usize = 2;
    type Vector = Ymm;
}

/// AVX-512, with 32 registers. A tile of eight rows by three vectors takes 28 of them.
pub(crate) struct Avx512;

impl Machine for Avx512 {
    const FUSED: bool = true;
    const ROWS: usize = 8;
    const VECTORS: usize = 3;
    type Vector = Zmm;
}

/// Asks for the line of memory at `place`.
#[inline(always)]
fn request(place: *const f64) {
    // SAFETY: every processor of this architecture has the instruction, which does nothing where a place is not readable.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
}

/// Four values of 0, 2 of `a` and of `b`, and those of 1, 3.
const EVEN: i32 = 0b10_00_10_00;
const ODD: i32 = 0b11_01_11_01;

/// Four values at `source` and four at `4·pitch` after it.
///
/// # Safety
/// The values can be read.
#[inline(always)]
unsafe fn fours(source: *const f32, pitch: usize) -> Ymm {
    // SAFETY: AVX was detected, see the module, and the caller promises the rest.
    unsafe {
        let low = _mm256_castps128_ps256(_mm_loadu_ps(source));
        let high = _mm_loadu_ps(source.wrapping_add(4 * pitch));
        Ymm(_mm256_insertf128_ps::<1>(low, high))
    }
}

/// Within each four lanes: the transpose of the four vectors.
#[inline(always)]
fn transpose<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 4] {
    let (ac, ac_high) = V::join(a, c);
    let (bd, bd_high) = V::join(b, d);
    let (first, second) = V::join(ac, bd);
    let (third, fourth) = V::join(ac_high, bd_high);
    [first, second, third, fourth]
}

/// A register of eight f32.
#[derive(Clone, Copy)]
pub(crate) struct Ymm(__m256);

impl Vector for Ymm {
    const PARTS: usize = 1;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: AVX was detected, see the module.
        Self(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: AVX was detected, see the module; the caller promises eight readable values.
        Self(unsafe { _mm256_loadu_ps(source) })
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: AVX was detected, see the module; the caller promises eight writable values.
        unsafe { _mm256_storeu_ps(target, self.0) }
    }

    #[inline(always)]
    unsafe fn load_transposed(source: *const f32, pitch: usize) -> [Self; 4] {
        let mut vectors = [Self::splat(0.0); 4];
        for i in 0..4 {
            let place = source.wrapping_add(i * pitch);
            // SAFETY: the caller promises four readable values at each of eight places.
            vectors[i] = unsafe { fours(place, pitch) };
        }
        transpose(vectors)
    }

    #[inline(always)]
    fn prefetch(place: *const f64) {
        request(place);
    }

    #[inline(always)]
    fn plus(self, b: Self) -> Self {
        // SAFETY: AVX was detected, see the module.
        Self(unsafe { _mm256_add_ps(self.0, b.0) })
    }

    #[inline(always)]
    fn minus(self, b: Self) -> Self {
        // SAFETY: AVX was detected, see the module.
        Self(unsafe { _mm256_sub_ps(self.0, b.0) })
    }

    #[inline(always)]
    fn fused(self, b: Self, c: Self) -> Self {
        // SAFETY: FMA was detected, see the module.
        Self(unsafe { _mm256_fmadd_ps(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn split(a: Self, b: Self) -> (Self, Self) {
        // Within each half of the register: two lanes of a, then two of b.
        // SAFETY: AVX was detected, see the module.
        unsafe {
            (
                Self(_mm256_shuffle_ps::<EVEN>(a.0, b.0)),
                Self(_mm256_shuffle_ps::<ODD>(a.0, b.0)),
            )
        }
    }

    #[inline(always)]
    fn join(even: Self, odd: Self) -> (Self, Self) {
        // SAFETY: AVX was detected, see the module.
        unsafe {
            (
                Self(_mm256_unpacklo_ps(even.0, odd.0)),
                Self(_mm256_unpackhi_ps(even.0, odd.0)),
            )
        }
    }

    #[inline(always)]
    fn totals([a, b, c, d]: [Self; 4]) -> [f32; 4] {
        // SAFETY: AVX was detected, see the module; four f32 are four f32.
        unsafe {
            let halves = _mm256_hadd_ps(_mm256_hadd_ps(a.0, b.0), _mm256_hadd_ps(c.0, d.0));
            let low = _mm256_castps256_ps128(halves);
            std::mem::transmute(_mm_add_ps(low, _mm256_extractf128_ps::<1>(halves)))
        }
    }
}

/// A register of sixteen f32.
#[derive(Clone, Copy)]
pub(crate) struct Zmm(__m512);

impl Zmm {
    /// The two parts.
    #[inline(always)]
    fn parts(self) -> [Ymm; 2] {
        // SAFETY: AVX-512 was detected, see the module.
        unsafe {
            [
                Ymm(_mm512_castps512_ps256(self.0)),
                Ymm(_mm512_extractf32x8_ps::<1>(self.0)),
            ]
        }
    }
}

impl Vector for Zmm {
    const PARTS: usize = 2;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: AVX-512 was detected, see the module.
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: AVX-512 was detected, see the module; the caller promises sixteen readable values.
        Self(unsafe { _mm512_loadu_ps(source) })
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: AVX-512 was detected, see the module; the caller promises sixteen writable values.
        unsafe { _mm512_storeu_ps(target, self.0) }
    }

    #[inline(always)]
    unsafe fn load_parts(sources: [*const f32; MAX_PARTS]) -> Self {
        // SAFETY: AVX-512 was detected, see the module; the caller promises eight readable values at both sources.
        unsafe {
            let low = _mm512_castps256_ps512(_mm256_loadu_ps(sources[0]));
            Self(_mm512_insertf32x8::<1>(low, _mm256_loadu_ps(sources[1])))
        }
    }

    #[inline(always)]
    unsafe fn load_transposed(source: *const f32, pitch: usize) -> [Self; 4] {
        let mut vectors = [Self::splat(0.0); 4];
        for i in 0..4 {
            let place = source.wrapping_add(i * pitch);
            // SAFETY: AVX-512 was detected, see the module; the caller promises four readable values at each place.
            vectors[i] = unsafe {
                let low = fours(place, pitch);
                let high = fours(place.wrapping_add(8 * pitch), pitch);
                Self(_mm512_insertf32x8::<1>(
                    _mm512_castps256_ps512(low.0),
                    high.0,
                ))
            };
        }
        transpose(vectors)
    }

    #[inline(always)]
    unsafe fn store_part(self, part: usize, target: *mut f32) {
        // SAFETY: as the caller promises.
        unsafe { self.parts()[part].store(target) }
    }

    #[inline(always)]
    fn prefetch(place: *const f64) {
        request(place);
    }

    #[inline(always)]
    fn plus(self, b: Self) -> Self {
        // SAFETY: AVX-512 was detected, see the module.
        Self(unsafe { _mm512_add_ps(self.0, b.0) })
    }

    #[inline(always)]
    fn minus(self, b: Self) -> Self {
        // SAFETY: AVX-512 was detected, see the module.
        Self(unsafe { _mm512_sub_ps(self.0, b.0) })
    }

    #[inline(always)]
    fn fused(self, b: Self, c: Self) -> Self {
        // SAFETY: AVX-512 was detected, see the module.
        Self(unsafe { _mm512_fmadd_ps(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn split(a: Self, b: Self) -> (Self, Self) {
        // Within each quarter of the register: two lanes of a, then two of b.
        // SAFETY: AVX-512 was detected, see the module.
        unsafe {
            (
                Self(_mm512_shuffle_ps::<EVEN>(a.0, b.0)),
                Self(_mm512_shuffle_ps::<ODD>(a.0, b.0)),
            )
        }
    }

    #[inline(always)]
    fn join(even: Self, odd: Self) -> (Self, Self) {
        // SAFETY: AVX-512 was detected, see the module.
        unsafe {
            (
                Self(_mm512_unpacklo_ps(even.0, odd.0)),
                Self(_mm512_unpackhi_ps(even.0, odd.0)),
            )
        }
    }

    #[inline(always)]
    fn totals(vectors: [Self; 4]) -> [f32; 4] {
        // A loop, because a closure would not be compiled for these instructions.
        let mut sums = [Ymm::splat(0.0); 4];
        for i in 0..4 {
            let [low, high] = vectors[i].parts();
            sums[i] = low.plus(high);
        }
        Ymm::totals(sums)
    }
}
