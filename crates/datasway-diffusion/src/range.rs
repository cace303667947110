//! Ranges of numbers that users set.

use std::fmt::Debug;
use std::ops::RangeInclusive;

use crate::DiffusionError;

/// Checks that a number is in its range; NaN is in none.
///
/// # Errors
/// A sentence that names the number and its range.
pub fn check<T: PartialOrd + Debug>(
    name: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), DiffusionError> {
    if range.contains(&value) {
        Ok(())
    } else {
        Err(DiffusionError::Invalid(format!(
            "{name} must be between {:?} and {:?}, not {value:?}",
            range.start(),
            range.end()
        )))
    }
}
