//! Ranges of an experiment's numbers and names.

use std::fmt::Display;
use std::ops::RangeInclusive;

use datasway_diffusion::validate;

use crate::RetrainError;

/// Bytes of a name at most.
const LONGEST: usize = 100;

/// Seeds: configurations hold whole numbers below 2⁶³, and those of fine-tuning lie above.
pub(crate) const SEED: RangeInclusive<u64> = 0..=1 << 62;

/// [`validate::within`] as an error of an experiment.
pub(crate) fn within<T: PartialOrd + Display>(
    field: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), RetrainError> {
    Ok(validate::within(field, value, range)?)
}

/// Checks that a name can be part of a file's: letters, digits, spaces, `.`, `-` and `_`.
pub(crate) fn file_name(field: &str, name: &str) -> Result<(), RetrainError> {
    let plain = |c: char| c.is_alphanumeric() || " .-_".contains(c);
    let edges = name.trim() == name && !name.starts_with('.');
    match !name.is_empty() && name.len() <= LONGEST && edges && name.chars().all(plain) {
        true => Ok(()),
        false => Err(RetrainError::experiment(format!(
            "{field} must be 1 to {LONGEST} letters, digits, spaces, dots, hyphens and underscores, and begin with none of \
             the dots and spaces, not {name:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder() {
        let long = "x".repeat(101);
        for bad in [
            "", " ", "..", ".hidden", "../../x", "/x", "a/b", "a\\b", "a\nb", "a\0b", "a:b", " a",
            "a ", "~|", &long,
        ] {
            assert!(file_name("name", bad).is_err(), "{bad:?}");
        }
        for good in ["faces16-quick", "Fine tune 1.5", "x_y", "猫", "1"] {
            file_name("name", good).unwrap();
        }
    }
}
