//! Checks of the seeds and names of an experiment file.

use std::ops::RangeInclusive;

use crate::RetrainError;

/// Largest length of a name in bytes.
const MAX_NAME_BYTES: usize = 100;

/// Range of seeds. Configurations hold whole numbers below 2⁶³, and seeds of fine-tuning lie above those of base models.
pub(crate) const SEED: RangeInclusive<u64> = 0..=1 << 62;

/// Checks that a name can be part of the name of a file: letters, digits, spaces, `.`, `-` and `_`.
pub(crate) fn file_name(field: &str, name: &str) -> Result<(), RetrainError> {
    let plain = |c: char| c.is_alphanumeric() || " .-_".contains(c);
    let edges = name.trim() == name && !name.starts_with('.');
    if !name.is_empty() && name.len() <= MAX_NAME_BYTES && edges && name.chars().all(plain) {
        return Ok(());
    }
    Err(RetrainError::experiment(format!(
        "{field} must be 1 to {MAX_NAME_BYTES} letters, digits, spaces, dots, hyphens and underscores, and begin with none of \
         the dots and spaces, not {name:?}"
    )))
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
