//! JSON objects in which every name stands once. A plain map keeps the last of two values and says nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// An object of `V` whose names have been seen to be unique; what it held is not kept.
pub(crate) struct Unique<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Unique<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        map::<D, V>(deserializer).map(|_| Self(PhantomData))
    }
}

/// Reads a map with `#[serde(deserialize_with = "diffusion::unique::map")]`.
///
/// # Errors
/// If a name stands twice, or a value is of another type.
pub fn map<'de, D: Deserializer<'de>, V: Deserialize<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, V>, D::Error> {
    struct Names<V>(PhantomData<V>);

    impl<'de, V: Deserialize<'de>> Visitor<'de> for Names<V> {
        type Value = BTreeMap<String, V>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some(name) = entries.next_key::<String>()? {
                if map.contains_key(&name) {
                    return Err(A::Error::custom(format!("{name:?} stands twice")));
                }
                map.insert(name, entries.next_value()?);
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(Names(PhantomData))
}
