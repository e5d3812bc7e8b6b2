//! A deserializer that gives a sample of whatever it is asked for, and notes what that is.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use serde::de::{EnumAccess, MapAccess, SeqAccess, VariantAccess};
use serde::forward_to_deserialize_any;

use super::field::FieldType;

/// How deep a configuration is looked into. Each field, item, variant, option and newtype is one level.
const MAX_DEPTH: usize = 16;
/// How many values one reading looks into, and how many readings look for fields. A recursive type has no end of them.
pub(super) const MAX_VALUES: usize = 512;

/// What is seen of one field.
pub(super) struct Seen {
    pub(super) value: FieldType,
    pub(super) is_option: bool,
}

/// What one reading sees.
pub(super) struct Sample {
    /// The fields that are left out.
    without: BTreeSet<String>,
    /// How many values were looked into.
    values: Cell<usize>,
    pub(super) seen: RefCell<BTreeMap<String, Seen>>,
    /// The innermost field whose sample was refused.
    pub(super) refusal: RefCell<Option<String>>,
}

impl Sample {
    pub(super) fn new(without: BTreeSet<String>) -> Self {
        Self { without, values: Cell::new(0), seen: RefCell::default(), refusal: RefCell::default() }
    }
}

/// Why a sample is refused.
#[derive(Debug)]
pub(super) enum ProbeError {
    /// A field of the section that is being read.
    Missing(&'static str),
    /// The field at this path.
    MissingAt(String),
    Other,
}

impl ProbeError {
    /// The same error outside the section of this path.
    fn of_section(self, path: &str) -> Self {
        match self {
            Self::Missing(field) => Self::MissingAt(joined(path, field)),
            error => error,
        }
    }
}

/// The path of a field or item within another.
fn joined(path: &str, key: &str) -> String {
    match (path, key) {
        ("", key) => key.to_owned(),
        (path, "[]") => format!("{path}[]"),
        (path, key) => format!("{path}.{key}"),
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sample does not fit")
    }
}

impl std::error::Error for ProbeError {}

impl de::Error for ProbeError {
    fn custom<M: fmt::Display>(_: M) -> Self {
        Self::Other
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }
}

/// Gives a sample of whatever is asked for, and notes what that is.
#[derive(Clone)]
pub(super) struct Probe<'a> {
    sample: &'a Sample,
    path: String,
    depth: usize,
    is_option: bool,
}

impl<'a> Probe<'a> {
    pub(super) fn root(sample: &'a Sample) -> Self {
        Self { sample, path: String::new(), depth: 0, is_option: false }
    }

    fn inside(&self, key: &str) -> Self {
        let path = joined(&self.path, key);
        Self { sample: self.sample, path, depth: self.depth, is_option: false }.deeper()
    }

    /// The same path one level deeper.
    fn deeper(self) -> Self {
        self.sample.values.set(self.sample.values.get() + 1);
        Self { depth: self.depth + 1, ..self }
    }

    /// Whether nothing within this value is looked into.
    fn is_at_limit(&self) -> bool {
        self.depth >= MAX_DEPTH || self.sample.values.get() >= MAX_VALUES
    }

    /// Refuses to look into a value that has no empty sample.
    fn within_limit(&self) -> Result<(), ProbeError> {
        if self.is_at_limit() { Err(ProbeError::Other) } else { Ok(()) }
    }

    fn note(&self, value: FieldType) {
        if !self.path.is_empty() {
            let seen = Seen { value, is_option: self.is_option };
            self.sample.seen.borrow_mut().insert(self.path.clone(), seen);
        }
    }

    fn integer(&self, min: i64, max: u64) {
        self.note(FieldType::Integer { min, max });
    }
}

macro_rules! integers {
    ($($deserialize:ident $visit:ident $min:expr, $max:expr;)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
            self.integer($min, $max);
            // 1 and not 0, which many types refuse.
            visitor.$visit(1)
        }
    )*};
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = ProbeError;

    integers! {
        deserialize_i8 visit_i8 i8::MIN.into(), i8::MAX as u64;
        deserialize_i16 visit_i16 i16::MIN.into(), i16::MAX as u64;
        deserialize_i32 visit_i32 i32::MIN.into(), i32::MAX as u64;
        deserialize_i64 visit_i64 i64::MIN, i64::MAX as u64;
        deserialize_i128 visit_i128 i64::MIN, u64::MAX;
        deserialize_u8 visit_u8 0, u8::MAX.into();
        deserialize_u16 visit_u16 0, u16::MAX.into();
        deserialize_u32 visit_u32 0, u32::MAX.into();
        deserialize_u64 visit_u64 0, u64::MAX;
        deserialize_u128 visit_u128 0, u64::MAX;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        self.note(FieldType::Any);
        visitor.visit_unit()
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        self.note(FieldType::Boolean);
        visitor.visit_bool(false)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        self.note(FieldType::Number);
        visitor.visit_f32(1.0)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        self.note(FieldType::Number);
        visitor.visit_f64(1.0)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        self.note(FieldType::Text);
        visitor.visit_char('a')
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        self.note(FieldType::Text);
        visitor.visit_str("a")
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        let of = Self { is_option: true, ..self };
        if of.is_at_limit() {
            of.note(FieldType::Any);
            return visitor.visit_none();
        }
        visitor.visit_some(of.deeper())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ProbeError> {
        if self.is_at_limit() {
            self.note(FieldType::Any);
            return Err(ProbeError::Other);
        }
        visitor.visit_newtype_struct(self.deeper())
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        self.note(FieldType::List);
        let has_item = !self.is_at_limit();
        visitor.visit_seq(Items { of: self, left: has_item.into() })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, ProbeError> {
        self.note(FieldType::List);
        self.within_limit()?;
        visitor.visit_seq(Items { of: self, left: len })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        self.note(FieldType::Map);
        visitor.visit_map(Fields::of(self, &[]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ProbeError> {
        self.note(FieldType::Section);
        let fields = if self.is_at_limit() { &[] } else { fields };
        let path = self.path.clone();
        visitor.visit_map(Fields::of(self, fields)).map_err(|error| error.of_section(&path))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ProbeError> {
        self.note(FieldType::OneOf(variants.iter().map(|it| (*it).to_owned()).collect()));
        self.within_limit()?;
        let first = variants.first().ok_or(ProbeError::Other)?;
        visitor.visit_enum(Variant { of: self, first })
    }

    forward_to_deserialize_any! {
        bytes byte_buf unit unit_struct tuple_struct identifier ignored_any
    }
}

/// The fields of a section, but those that are left out.
struct Fields<'a> {
    of: Probe<'a>,
    left: std::vec::IntoIter<&'static str>,
    value: Option<Probe<'a>>,
}

impl<'a> Fields<'a> {
    fn of(of: Probe<'a>, fields: &[&'static str]) -> Self {
        let is_given = |key: &&&'static str| !of.sample.without.contains(&of.inside(key).path);
        let left = fields.iter().filter(is_given).copied().collect::<Vec<_>>().into_iter();
        Self { of, left, value: None }
    }
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = ProbeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ProbeError> {
        let Some(key) = self.left.next() else { return Ok(None) };
        self.value = Some(self.of.inside(key));
        let key: StrDeserializer<'_, ProbeError> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ProbeError> {
        let probe = self.value.take().ok_or(ProbeError::Other)?;
        let (path, sample) = (probe.path.clone(), probe.sample);
        seed.deserialize(probe).inspect_err(|_| {
            // A section around it is refused as well, but for its sake.
            sample.refusal.borrow_mut().get_or_insert(path);
        })
    }
}

/// Some items of a list.
struct Items<'a> {
    of: Probe<'a>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = ProbeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ProbeError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(self.of.inside("[]")).map(Some)
    }
}

/// The first variant of an enum.
struct Variant<'a> {
    of: Probe<'a>,
    first: &'static str,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = ProbeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), ProbeError> {
        let name: StrDeserializer<'_, ProbeError> = self.first.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = ProbeError;

    fn unit_variant(self) -> Result<(), ProbeError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ProbeError> {
        seed.deserialize(self.of.inside(self.first))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, ProbeError> {
        visitor.visit_seq(Items { of: self.of.inside(self.first), left: len })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ProbeError> {
        let of = self.of.inside(self.first);
        let path = of.path.clone();
        visitor.visit_map(Fields::of(of, fields)).map_err(|error| error.of_section(&path))
    }
}
