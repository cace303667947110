//! The fields of a configuration, taken one by one so that none is overlooked.

use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The fields of a JSON object that have not been taken yet.
///
/// A field that nobody takes is an error of [`finish`](Self::finish), because it may change the network without changing the
/// shape of a weight.
pub struct Fields {
    remaining: Map<String, Value>,
}

impl Fields {
    /// The fields of a configuration.
    ///
    /// # Errors
    /// If it is not a JSON object.
    pub fn new(config: &Value) -> Result<Self, String> {
        match config {
            Value::Object(fields) => Ok(Self {
                remaining: fields.clone(),
            }),
            _ => Err(
                "the configuration is not a JSON object: give a config.json of the library"
                    .to_owned(),
            ),
        }
    }

    /// Takes a field, or the default of the library if it is absent.
    ///
    /// # Errors
    /// If its value is of another kind.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str, default: T) -> Result<T, String> {
        let Some(value) = self.remaining.remove(name) else {
            return Ok(default);
        };
        serde_json::from_value(value.clone())
            .map_err(|error| format!("the field {name} cannot be {}: {error}", shown(&value)))
    }

    /// Takes a field that must have one of these values if it is there.
    ///
    /// # Errors
    /// If it has another value: the message names it and the values that are supported.
    pub fn require(&mut self, name: &str, allowed: &[Value]) -> Result<(), String> {
        match self.remaining.remove(name) {
            Some(value) if !allowed.contains(&value) => {
                let allowed: Vec<String> = allowed.iter().map(shown).collect();
                Err(format!(
                    "the field {name} is {}, which is not supported: only {} is",
                    shown(&value),
                    allowed.join(" or ")
                ))
            }
            _ => Ok(()),
        }
    }

    /// Drops fields that have no effect on the results of a trained network.
    pub fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.remaining.remove(*name);
        }
    }

    /// Checks that every field was taken.
    ///
    /// # Errors
    /// A sentence that names the others.
    pub fn finish(self) -> Result<(), String> {
        if self.remaining.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self.remaining.keys().take(8).cloned().collect();
        Err(format!(
            "the configuration has unknown fields, which may change the network: {}",
            names.join(", ")
        ))
    }
}

/// A whole number of a configuration between 1 and `most`.
///
/// # Errors
/// A sentence that names the field and its range.
pub fn check_count(name: &str, value: usize, most: usize) -> Result<(), String> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(format!(
        "the field {name} must be between 1 and {most}, not {value}"
    ))
}

/// The beginning of a value.
fn shown(value: &(impl Display + ?Sized)) -> String {
    value.to_string().chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_another_kind_or_value_or_that_nobody_takes_is_named() {
        let config =
            serde_json::json!({"size": -1, "kind": "round", "surprise": 1, "dropout": 0.1});
        let mut fields = Fields::new(&config).unwrap();
        let error = fields.take::<usize>("size", 1).unwrap_err();
        assert!(error.contains("the field size cannot be -1"), "{error}");
        let error = fields.require("kind", &["square".into()]).unwrap_err();
        assert!(error.contains("only \"square\" is"), "{error}");
        assert_eq!(fields.take("absent", 3), Ok(3));
        fields.ignore(&["dropout"]);
        let error = fields.finish().unwrap_err();
        assert!(error.ends_with(": surprise"), "{error}");
    }
}
