//! Loops of the tiles, compiled for the instruction sets that machines have and chosen when they run.

/// Defines a function that runs its body compiled for AVX-512, AVX2, or the processor of the build.
///
/// The body is compiled without fused operations, and sums name their order, so that the result is the same on every machine.
macro_rules! multiversion {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? = $body:ident) => {
        $(#[$doc])*
        $vis fn $name($($arg: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
                fn avx512($($arg: $type),*) $(-> $result)? {
                    $body($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $type),*) $(-> $result)? {
                    $body($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                {
                    // SAFETY: the processor has just been found to have these features.
                    return unsafe { avx512($($arg),*) };
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has just been found to have this feature.
                    return unsafe { avx2($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}
pub(super) use multiversion;

/// Interleaved sums of a reduction, which the compiler keeps in registers.
const LANES: usize = 32;

/// `Σ f(x_i, y_i)` in f64, in interleaved sums.
#[inline(always)]
fn sum(x: &[f64], y: &[f64], f: impl Fn(f64, f64) -> f64) -> f64 {
    let mut sums = [0.0; LANES];
    let ((xs, x), (ys, y)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in xs.iter().zip(ys) {
        for lane in 0..LANES {
            sums[lane] += f(x[lane], y[lane]);
        }
    }
    for (sum, (&x, &y)) in sums.iter_mut().zip(x.iter().zip(y)) {
        *sum += f(x, y);
    }
    sums.iter().sum()
}

multiversion! {
    /// `‖x − y‖²`.
    pub(super) fn square_distance(x: &[f64], y: &[f64]) -> f64 = square_distance_body
}

#[inline(always)]
fn square_distance_body(x: &[f64], y: &[f64]) -> f64 {
    sum(x, y, |x, y| (x - y) * (x - y))
}

multiversion! {
    /// `⟨x, y⟩`.
    pub(super) fn inner_product(x: &[f64], y: &[f64]) -> f64 = inner_product_body
}

#[inline(always)]
fn inner_product_body(x: &[f64], y: &[f64]) -> f64 {
    sum(x, y, |x, y| x * y)
}

/// Bytes whose squared differences add up to less than 2³².
pub const SQUARES: usize = 1 << 15;

multiversion! {
    /// `Σ (a − b)²` of at most [`SQUARES`] bytes, exact.
    pub fn byte_square(a: &[u8], b: &[u8]) -> u32 = byte_square_body
}

#[inline(always)]
fn byte_square_body(a: &[u8], b: &[u8]) -> u32 {
    let square = |(a, b): (&u8, &u8)| {
        let gap = i32::from(i16::from(*a) - i16::from(*b));
        gap.wrapping_mul(gap) as u32
    };
    a.iter().zip(b).map(square).fold(0, u32::wrapping_add)
}

/// The smallest logarithm whose exponential is not taken for 0: that of the smallest normal f32.
pub(super) const SMALLEST_LOG: f64 = -87.0;

/// `e^x` for x from [`SMALLEST_LOG`] to 700 with a relative error below 10⁻⁹; 0 below.
///
/// `e^x = 2^n·e^r` with `n = round(x/ln 2)`, and the Taylor polynomial of degree 8 for `e^r`, `|r| ≤ ln 2/2`.
#[inline(always)]
pub(super) fn exp(x: f64) -> f64 {
    // Adding 1.5·2⁵² rounds to an integer, which is then in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    // A number that is not one stays so.
    let inside = if x < SMALLEST_LOG { SMALLEST_LOG } else { x };
    let shifted = inside * std::f64::consts::LOG2_E + ROUND;
    let r = inside - (shifted - ROUND) * std::f64::consts::LN_2;
    let mut power = 1.0 / 40_320.0;
    for factorial in [5_040.0, 720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        power = power * r + 1.0 / factorial;
    }
    let scale = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
    if x < SMALLEST_LOG { 0.0 } else { power * scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_that_of_the_library() {
        for k in -8700..=880 {
            let x = f64::from(k) / 100.0;
            let error = (exp(x) - x.exp()).abs() / x.exp();
            assert!(error < 1e-9, "e^{x}: {error:e}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-88.0), 0.0);
        assert_eq!(exp(f64::NEG_INFINITY), 0.0);
        assert!(exp(f64::NAN).is_nan());
    }

    #[test]
    fn sums_are_those_of_plain_loops() {
        let x: Vec<f64> = (0..77).map(|i| f64::from(i * 31 % 17)).collect();
        let y: Vec<f64> = (0..77).map(|i| f64::from(i * 13 % 19)).collect();
        let plain = |f: &dyn Fn(f64, f64) -> f64| x.iter().zip(&y).map(|(x, y)| f(*x, *y)).sum();
        let squares: f64 = plain(&|x, y| (x - y).powi(2));
        let products: f64 = plain(&|x, y| x * y);
        assert_eq!(square_distance(&x, &y), squares);
        assert_eq!(inner_product(&x, &y), products);
    }
}
