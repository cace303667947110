//! Ranges of an experiment's numbers and names.

use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::RetrainError;

/// Bytes of a name at most.
const LONGEST: usize = 100;

/// Seeds: configurations hold whole numbers below 2⁶³, and those of fine-tuning lie above.
pub(crate) const SEED: RangeInclusive<u64> = 0..=1 << 62;

/// Checks that a number, whole or not, is in its range; what is not a number is in none.
pub(crate) fn within<T: PartialOrd + Display>(
    field: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), RetrainError> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(RetrainError::experiment(format!(
            "{field} must be from {} to {}, not {value}",
            range.start(),
            range.end()
        ))),
    }
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

/// Checks that a name can be printed in a line.
pub(crate) fn title(field: &str, name: &str) -> Result<(), RetrainError> {
    match !name.trim().is_empty() && name.len() <= LONGEST && !name.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(RetrainError::experiment(format!(
            "{field} must be 1 to {LONGEST} characters without line breaks, not {name:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_and_no_numbers_are_refused() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300] {
            let error = within("mass", value, 0.0..=10.0).unwrap_err().to_string();
            assert!(
                error.starts_with("mass must be from 0 to 10, not "),
                "{error}"
            );
        }
        within("mass", 10.0, 0.0..=10.0).unwrap();
    }

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
        assert!(title("name", "a\u{1b}[2J").is_err());
        title("name", "ours, h = 2").unwrap();
    }
}
