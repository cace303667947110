//! Odd numbers and names, for the tests of plots and of pages.

/// Lists of numbers that plots of failed runs are made of.
pub const NUMBERS: [&[f64]; 18] = [
    &[],
    &[0.0],
    &[-0.0, 0.0],
    &[2.0, 2.0, 2.0],
    &[f64::NAN],
    &[f64::INFINITY, f64::NEG_INFINITY],
    &[f64::NAN, 1.0],
    &[1.0, f64::INFINITY],
    &[1.0, 1.0 + f64::EPSILON],
    &[1e17, 1e17 + 16.0],
    &[f64::MIN, f64::MAX],
    &[f64::MIN_POSITIVE, 5e-324],
    &[1e-300, 1e300],
    &[1e-100, 1e100],
    &[-1e99, 3.0],
    &[80.0, 1e-12],
    &[1e30; 3],
    &[-1e-30, 1e-30],
];

/// Names that a folder, an attribute or an experiment may have.
pub const NAMES: [&str; 7] = [
    "",
    "<script>alert(1)</script>",
    "\"quoted\" & 'so'",
    "a\nb\tc",
    "\u{0}\u{1b}[31m\u{7f}\u{ffff}",
    "]]></svg><b>",
    "猫\u{202e}犬",
];
