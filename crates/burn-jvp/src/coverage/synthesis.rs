//! An operation of each kind, made from Burn's own definition of the graph representation.
//!
//! Serde tells the variants of an enum, and makes a value of each from a source that answers every question with 1.

use serde::Deserialize;
use serde::de::value::{Error, U32Deserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, SeqAccess, VariantAccess,
    Visitor,
};
use std::cell::Cell;

/// The variants of an enum, by name.
pub fn variants<T: Deserialize<'static>>() -> &'static [&'static str] {
    let names = Cell::new(None);
    let source = Source {
        choices: &[],
        names: Some(&names),
    };
    // The source stops at the enum itself, once it has heard the names.
    let _ = T::deserialize(source);
    names.get().expect("an enum")
}

/// A value in which the enums of `choices`, by name, have the variants of these indices.
pub fn value<T: Deserialize<'static>>(choices: &[(&str, u32)]) -> T {
    let source = Source {
        choices,
        names: None,
    };
    T::deserialize(source).unwrap_or_else(|e| panic!("{choices:?}: {e}"))
}

/// The source of a value: numbers are 1, lists of unknown length are empty, and of an enum it takes the variant in
/// `choices`, else the first.
#[derive(Clone, Copy)]
struct Source<'a> {
    choices: &'a [(&'a str, u32)],
    names: Option<&'a Cell<Option<&'static [&'static str]>>>,
}

macro_rules! ones {
    ($($deserialize:ident $visit:ident $one:expr;)*) => {$(
        fn $deserialize<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit($one)
        }
    )*};
}

impl<'a> Deserializer<'static> for Source<'a> {
    type Error = Error;

    ones! {
        deserialize_bool visit_bool true;
        deserialize_i8 visit_i8 1;
        deserialize_i16 visit_i16 1;
        deserialize_i32 visit_i32 1;
        deserialize_i64 visit_i64 1;
        deserialize_u8 visit_u8 1;
        deserialize_u16 visit_u16 1;
        deserialize_u32 visit_u32 1;
        deserialize_u64 visit_u64 1;
        deserialize_f32 visit_f32 1.0;
        deserialize_f64 visit_f64 1.0;
        deserialize_char visit_char '1';
        deserialize_str visit_str "1";
        deserialize_string visit_str "1";
        deserialize_bytes visit_bytes b"1";
        deserialize_byte_buf visit_bytes b"1";
    }

    fn deserialize_any<V: Visitor<'static>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(de::Error::custom("a value of unknown type"))
    }

    fn deserialize_ignored_any<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_identifier<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u64(0)
    }

    fn deserialize_option<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_none()
    }

    fn deserialize_unit<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'static>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'static>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements(self, 0))
    }

    fn deserialize_map<V: Visitor<'static>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(de::Error::custom("no operation has a map"))
    }

    fn deserialize_tuple<V: Visitor<'static>>(
        self,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements(self, count))
    }

    fn deserialize_tuple_struct<V: Visitor<'static>>(
        self,
        _name: &'static str,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements(self, count))
    }

    fn deserialize_struct<V: Visitor<'static>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements(self, fields.len()))
    }

    fn deserialize_enum<V: Visitor<'static>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if let Some(names) = self.names {
            names.set(Some(variants));
            return Err(de::Error::custom("the names are known"));
        }
        let choice = self.choices.iter().find(|(of, _)| *of == name);
        visitor.visit_enum(Choice(self, choice.map_or(0, |(_, index)| *index)))
    }
}

/// Elements of a list that are still to come.
struct Elements<'a>(Source<'a>, usize);

impl SeqAccess<'static> for Elements<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'static>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if self.1 == 0 {
            return Ok(None);
        }
        self.1 -= 1;
        seed.deserialize(self.0).map(Some)
    }
}

/// A variant of an enum, by index.
struct Choice<'a>(Source<'a>, u32);

impl<'a> EnumAccess<'static> for Choice<'a> {
    type Error = Error;
    type Variant = Source<'a>;

    fn variant_seed<V: DeserializeSeed<'static>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Source<'a>), Error> {
        let index: U32Deserializer<Error> = self.1.into_deserializer();
        Ok((seed.deserialize(index)?, self.0))
    }
}

impl VariantAccess<'static> for Source<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'static>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'static>>(
        self,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements(self, count))
    }

    fn struct_variant<V: Visitor<'static>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements(self, fields.len()))
    }
}
