//! The normal distribution.

/// The quantile function `Φ⁻¹(p)` of the standard normal distribution, for p in (0, 1).
///
/// The rational approximations are those of P. J. Acklam (2003); the relative error is below 1.2e-9.
pub fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.38357751867269e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 6] = [
        -5.447609879822406e1,
        1.615858368580409e2,
        -1.556989798598866e2,
        6.680131188771972e1,
        -1.328068155288572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 5] = [
        7.784695709041462e-3,
        3.224671290700398e-1,
        2.445134137142996,
        3.754408661907416,
        1.0,
    ];
    /// Above and below it one approximation holds around the middle and another in the tails.
    const TAIL: f64 = 0.02425;
    if p < TAIL {
        let q = (-2.0 * p.ln()).sqrt();
        polynomial(&C, q) / polynomial(&D, q)
    } else if p > 1.0 - TAIL {
        -normal_quantile(1.0 - p)
    } else {
        let q = p - 0.5;
        let r = q * q;
        q * polynomial(&A, r) / polynomial(&B, r)
    }
}

/// A polynomial from its coefficients, the highest power first.
fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, c| sum * x + c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SciPy's `norm.ppf`.
    #[test]
    fn quantiles_are_those_of_scipy() {
        for (p, expected) in [
            (1e-9, -5.9978070150076865),
            (0.001, -3.090232306167813),
            (0.2, -0.8416212335729142),
            (0.5, 0.0),
            (0.975, 1.959963984540054),
            (0.999, 3.090232306167813),
        ] {
            let quantile = normal_quantile(p);
            assert!((quantile - expected).abs() < 1e-8, "{p}: {quantile}");
        }
    }
}
