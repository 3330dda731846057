//! Deserializer with a limit of nesting, around one that has none, or does not count every kind.
//!
//! Some bytes of a recursive type would otherwise nest until the stack ends, which no caller survives.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// Any of serde's parts of a deserialization, with the levels that may still open below it.
pub(super) struct LimitedDepth<P> {
    part: P,
    levels: usize,
}

impl<P> LimitedDepth<P> {
    pub(super) fn new(part: P, levels: usize) -> Self {
        Self { part, levels }
    }

    fn same_level<Q>(&self, part: Q) -> LimitedDepth<Q> {
        LimitedDepth { part, levels: self.levels }
    }

    fn next_level<Q, E: Error>(&self, part: Q) -> Result<LimitedDepth<Q>, E> {
        match self.levels.checked_sub(1) {
            Some(levels) => Ok(LimitedDepth { part, levels }),
            None => Err(E::custom("nested too deeply")),
        }
    }
}

macro_rules! deserialize {
    ($($method:ident($($argument:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(
            self,
            $($argument: $type,)*
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            let visitor = self.same_level(visitor);
            self.part.$method($($argument,)* visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for LimitedDepth<D> {
    type Error = D::Error;

    deserialize! {
        deserialize_any()
        deserialize_bool()
        deserialize_i8()
        deserialize_i16()
        deserialize_i32()
        deserialize_i64()
        deserialize_i128()
        deserialize_u8()
        deserialize_u16()
        deserialize_u32()
        deserialize_u64()
        deserialize_u128()
        deserialize_f32()
        deserialize_f64()
        deserialize_char()
        deserialize_str()
        deserialize_string()
        deserialize_bytes()
        deserialize_byte_buf()
        deserialize_option()
        deserialize_unit()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_seq()
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_map()
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
        deserialize_identifier()
        deserialize_ignored_any()
    }

    fn is_human_readable(&self) -> bool {
        self.part.is_human_readable()
    }
}

macro_rules! visit {
    ($($method:ident($type:ty))*) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<Self::Value, E> {
            self.part.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for LimitedDepth<V> {
    type Value = V::Value;

    visit! {
        visit_bool(bool)
        visit_i8(i8)
        visit_i16(i16)
        visit_i32(i32)
        visit_i64(i64)
        visit_i128(i128)
        visit_u8(u8)
        visit_u16(u16)
        visit_u32(u32)
        visit_u64(u64)
        visit_u128(u128)
        visit_f32(f32)
        visit_f64(f64)
        visit_char(char)
        visit_str(&str)
        visit_borrowed_str(&'de str)
        visit_string(String)
        visit_bytes(&[u8])
        visit_borrowed_bytes(&'de [u8])
        visit_byte_buf(Vec<u8>)
    }

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.part.expecting(f)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.part.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.part.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let inner = self.next_level::<_, D::Error>(inner)?;
        self.part.visit_some(inner)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let inner = self.next_level::<_, D::Error>(inner)?;
        self.part.visit_newtype_struct(inner)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        let elements = self.next_level::<_, A::Error>(elements)?;
        self.part.visit_seq(elements)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        let entries = self.next_level::<_, A::Error>(entries)?;
        self.part.visit_map(entries)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        let variant = self.next_level::<_, A::Error>(variant)?;
        self.part.visit_enum(variant)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for LimitedDepth<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        let inner = self.same_level(inner);
        self.part.deserialize(inner)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for LimitedDepth<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.same_level(seed);
        self.part.next_element_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.part.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for LimitedDepth<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.same_level(seed);
        self.part.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.same_level(seed);
        self.part.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.part.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for LimitedDepth<A> {
    type Error = A::Error;
    type Variant = LimitedDepth<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let levels = self.levels;
        let seed = self.same_level(seed);
        let (name, variant) = self.part.variant_seed(seed)?;
        Ok((name, LimitedDepth::new(variant, levels)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for LimitedDepth<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.part.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.same_level(seed);
        self.part.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.same_level(visitor);
        self.part.tuple_variant(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.same_level(visitor);
        self.part.struct_variant(fields, visitor)
    }
}
