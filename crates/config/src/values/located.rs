//! Reading a typed value out of a tree, with the path of the part that does not fit.
//!
//! `serde_json` reads the same values, but its errors name no path, and the types only together with the value itself,
//! which may be a secret.

use std::fmt;

use foundation_kernel::text::excerpt;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Number, Value};

/// A `T` from the value at this path, which is empty for the root; or the path of the part that does not fit, and why.
#[inline]
pub(super) fn read<T: DeserializeOwned>(value: &Value, path: &str) -> Result<T, (String, Problem)> {
    T::deserialize(Located(value)).map_err(|error| (error.path(path), error.problem))
}

/// What does not fit, and where.
#[derive(Debug)]
struct ReadError {
    /// The way from the value that was read, innermost step first.
    steps: Vec<PathStep>,
    problem: Problem,
}

/// Why a value does not fit a type.
#[derive(Debug)]
pub(super) enum Problem {
    WrongType { wanted: String, found: String },
    Other(String),
}

#[derive(Debug)]
enum PathStep {
    Key(String),
    Index(usize),
}

impl ReadError {
    /// The path of the part that does not fit, given that of the value that was read, which is empty for the root.
    fn path(&self, start: &str) -> String {
        let mut path = start.to_owned();
        for step in self.steps.iter().rev() {
            path += &match step {
                PathStep::Key(key) if path.is_empty() => key.clone(),
                PathStep::Key(key) => format!(".{key}"),
                PathStep::Index(index) => format!("[{index}]"),
            };
        }
        path
    }

    fn under(mut self, step: PathStep) -> Self {
        self.steps.push(step);
        self
    }

    fn wrong_type(wanted: &dyn Expected, found: String) -> Self {
        let wanted = wanted.to_string();
        Self::from(Problem::WrongType { wanted, found })
    }
}

impl From<Problem> for ReadError {
    fn from(problem: Problem) -> Self {
        let steps = Vec::new();
        Self { steps, problem }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::WrongType { wanted, found } => write!(f, "wanted {wanted}, found {found}"),
            Problem::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for ReadError {}

impl Error for ReadError {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self::from(Problem::Other(excerpt(&reason.to_string())))
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::wrong_type(wanted, in_words(&found))
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        // Only numbers are shown: a text may be a secret.
        let found = match found {
            Unexpected::Unsigned(number) => format!("integer {number}"),
            Unexpected::Signed(number) => format!("integer {number}"),
            Unexpected::Float(number) => format!("float {number}"),
            other => format!("another {}", in_words(&other)),
        };
        Self::wrong_type(wanted, found)
    }

    fn unknown_variant(_found: &str, wanted: &'static [&'static str]) -> Self {
        let wanted = format!("one of {}", wanted.join(", "));
        Self::from(Problem::WrongType { wanted, found: "another string".to_owned() })
    }
}

fn in_words(found: &Unexpected<'_>) -> String {
    let words = match found {
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Bool(_) => "boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "integer",
        Unexpected::Float(_) => "float",
        Unexpected::Char(_) | Unexpected::Str(_) => "string",
        Unexpected::Seq => "array",
        Unexpected::Map => "section",
        other => return other.to_string(),
    };
    words.to_owned()
}

struct Located<'de>(&'de Value);

impl<'de> Deserializer<'de> for Located<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Number(number) => visit_number(number, visitor),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visit_items(items, visitor),
            Value::Object(fields) => visitor.visit_map(Fields::of(fields)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match self.0 {
            Value::String(variant) => visitor.visit_enum(unit_variant(variant)),
            Value::Object(fields) if fields.len() == 1 => {
                visitor.visit_enum(MapAccessDeserializer::new(Fields::of(fields)))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

fn unit_variant<'de>(name: &'de str) -> impl EnumAccess<'de, Error = ReadError> {
    let name: StrDeserializer<'de, ReadError> = name.into_deserializer();
    name
}

fn visit_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, ReadError> {
    match (number.as_u64(), number.as_i64(), number.as_f64()) {
        (Some(number), _, _) => visitor.visit_u64(number),
        (_, Some(number), _) => visitor.visit_i64(number),
        (_, _, Some(number)) => visitor.visit_f64(number),
        _ => Err(ReadError::custom("this number has no form in memory")),
    }
}

fn visit_items<'de, V: Visitor<'de>>(items: &'de [Value], visitor: V) -> Result<V::Value, ReadError> {
    let mut left = Items { items, index: 0 };
    let value = visitor.visit_seq(&mut left)?;
    match left.index == items.len() {
        true => Ok(value),
        false => {
            let (wanted, found) = (left.index, items.len());
            Err(ReadError::custom(format!("wanted {wanted} elements, found {found}")))
        }
    }
}

struct Items<'de> {
    items: &'de [Value],
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = ReadError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, ReadError> {
        let Some(item) = self.items.get(self.index) else {
            return Ok(None);
        };
        let step = PathStep::Index(self.index);
        self.index += 1;
        let element = seed.deserialize(Located(item));
        element.map(Some).map_err(|error| error.under(step))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.index)
    }
}

struct Fields<'de> {
    fields: serde_json::map::Iter<'de>,
    current: Option<(&'de str, &'de Value)>,
}

impl<'de> Fields<'de> {
    fn of(fields: &'de Map<String, Value>) -> Self {
        Self { fields: fields.iter(), current: None }
    }
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = ReadError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, ReadError> {
        let Some((key, value)) = self.fields.next() else {
            return Ok(None);
        };
        self.current = Some((key, value));
        let key: StrDeserializer<'de, ReadError> = key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ReadError> {
        let Some((key, value)) = self.current.take() else {
            return Err(ReadError::custom("a value was asked for before its key"));
        };
        let value = seed.deserialize(Located(value));
        value.map_err(|error| error.under(PathStep::Key(key.to_owned())))
    }
}
