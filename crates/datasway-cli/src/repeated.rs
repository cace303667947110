//! Checks of options that may be repeated, but not with the same value.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Result, bail};

/// Refuses values of an option that mean the same. `meaning` maps equivalent values to one key.
///
/// # Errors
/// A sentence that names both values.
pub fn distinct(option: &str, values: &[String], meaning: impl Fn(&str) -> String) -> Result<()> {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for value in values {
        match seen.insert(meaning(value), value) {
            Some(first) if first == value => bail!("{option} {value} is given twice: give it once"),
            Some(first) => {
                bail!("{option} {first} and {option} {value} are the same: give one of them")
            }
            None => {}
        }
    }
    Ok(())
}

/// The canonical form of a path, or the path itself if nothing exists there.
pub fn resolved(path: &str) -> String {
    let place = Path::new(path).canonicalize();
    place.map_or(path.to_owned(), |place| place.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_twice_is_refused() {
        let check = |values: &[&str]| {
            let values: Vec<String> = values.iter().map(|&v| v.to_owned()).collect();
            distinct("--add", &values, |text| text.to_lowercase()).map_err(|e| e.to_string())
        };
        check(&[]).unwrap();
        check(&["a", "b"]).unwrap();
        assert_eq!(
            check(&["a", "b", "a"]).unwrap_err(),
            "--add a is given twice: give it once"
        );
        assert_eq!(
            check(&["a", "A"]).unwrap_err(),
            "--add a and --add A are the same: give one of them"
        );
    }
}
