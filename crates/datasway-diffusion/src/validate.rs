//! Checks of settings that users write: numbers, titles and lists of names.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::DiffusionError;

/// Largest length of a title in bytes.
const MAX_TITLE: usize = 100;

/// Checks that a number is in a range.
/// NaN is in no range.
///
/// # Errors
/// [`DiffusionError::Invalid`] with the name of the field, the range and the number.
pub fn within<T: PartialOrd + Display>(
    field: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), DiffusionError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(DiffusionError::Invalid(format!(
        "{field} must be from {} to {}, not {value}",
        range.start(),
        range.end()
    )))
}

/// Checks that a title fits on one line: 1 to 100 bytes, not blank, no control characters.
///
/// # Errors
/// [`DiffusionError::Invalid`] with the name of the field and the title.
pub fn title(field: &str, text: &str) -> Result<(), DiffusionError> {
    if !text.trim().is_empty() && text.len() <= MAX_TITLE && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(DiffusionError::Invalid(format!(
        "{field} must be 1 to {MAX_TITLE} characters without line breaks, not {text:?}"
    )))
}

/// Checks that no name occurs twice; `plural` is the kind of the names in the message ("seeds").
///
/// # Errors
/// [`DiffusionError::Invalid`] with the first name that occurs again.
pub fn distinct(
    plural: &str,
    names: impl IntoIterator<Item = String>,
) -> Result<(), DiffusionError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if seen.contains(&name) {
            return Err(DiffusionError::Invalid(format!(
                "two {plural} are called {name}; rename or remove one"
            )));
        }
        seen.insert(name);
    }
    Ok(())
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
    fn titles_are_one_line() {
        assert!(title("name", "a\u{1b}[2J").is_err());
        title("name", "ours, h = 2").unwrap();
    }

    #[test]
    fn a_name_that_occurs_twice_is_refused() {
        let names = |texts: [&str; 2]| texts.map(str::to_owned);
        distinct("seeds", names(["0", "1"])).unwrap();
        let error = distinct("seeds", names(["0", "0"])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "two seeds are called 0; rename or remove one"
        );
    }
}
