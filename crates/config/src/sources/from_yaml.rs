//! YAML, restricted to what JSON can express.
//!
//! Mappings with texts as keys, sequences, and scalars by the core schema of YAML 1.2, in which `no` is a text.
//! Anchors, aliases, tags and second documents are refused: no setting needs them, and aliases of aliases grow without
//! bound.

use std::collections::HashSet;
use std::path::Path;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};
use serde_json::{Number, Value};

use super::document::{MAX_DEPTH, Node, TWICE, integer, malformed};
use crate::values::ConfigError;

/// The entries of the top level; none if the text is empty.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<(String, Node)>, ConfigError> {
    let mut composer = Composer { path, parser: Parser::new_from_str(text) };
    loop {
        match composer.next()? {
            (Event::StreamStart | Event::DocumentStart(_), _) => {}
            (Event::StreamEnd, _) => return Ok(Vec::new()),
            (event, span) => return composer.document(event, span),
        }
    }
}

struct Composer<'a> {
    path: &'a Path,
    parser: Parser<'a, StrInput<'a>>,
}

impl<'a> Composer<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), ConfigError> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.malformed(error.marker(), error.info())),
            None => Ok((Event::StreamEnd, Span::empty(Marker::new(0, 1, 0)))),
        }
    }

    fn malformed(&self, place: &Marker, reason: &str) -> ConfigError {
        malformed(self.path, (place.line(), place.col() + 1), reason)
    }

    fn document(&mut self, event: Event<'a>, span: Span) -> Result<Vec<(String, Node)>, ConfigError> {
        let root = self.node(event, span, 0)?;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => break,
                (Event::DocumentEnd, _) => {}
                (_, span) => return Err(self.malformed(&span.start, "a second document is not taken")),
            }
        }
        match root {
            Node::Section(_, entries) => Ok(entries),
            Node::Leaf(_, Value::Null) => Ok(Vec::new()),
            Node::Leaf(..) => Err(self.malformed(&span.start, "wanted a mapping at the top level")),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, ConfigError> {
        if depth > MAX_DEPTH {
            return Err(self.malformed(&span.start, &format!("more than {MAX_DEPTH} levels are not taken")));
        }
        let position = (span.start.line(), span.start.col() + 1);
        Ok(match event {
            Event::Scalar(.., 1.., _)
            | Event::SequenceStart(1.., _)
            | Event::MappingStart(1.., _)
            | Event::Alias(_) => {
                return Err(self.malformed(&span.start, "anchors and aliases are not taken"));
            }
            Event::Scalar(.., Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                return Err(self.malformed(&span.start, "tags are not taken"));
            }
            Event::Scalar(text, ScalarStyle::Plain, ..) => {
                Node::Leaf(position, plain(&text).map_err(|reason| self.malformed(&span.start, reason))?)
            }
            Event::Scalar(text, ..) => Node::Leaf(position, Value::String(text.into_owned())),
            Event::SequenceStart(..) => Node::Leaf(position, Value::Array(self.sequence(depth)?)),
            Event::MappingStart(..) => Node::Section(position, self.mapping(depth)?),
            _ => return Err(self.malformed(&span.start, "wanted a value")),
        })
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Value>, ConfigError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span, depth + 1)?.into()),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<(String, Node)>, ConfigError> {
        let (mut keys, mut entries) = (HashSet::new(), Vec::new());
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Ok(entries),
                (Event::Scalar(key, _, 0, None), _) if keys.insert(key.to_string()) => key.into_owned(),
                (Event::Scalar(_, _, 0, None), span) => return Err(self.malformed(&span.start, TWICE)),
                (_, span) => return Err(self.malformed(&span.start, "wanted a text as key")),
            };
            let (event, span) = self.next()?;
            entries.push((key, self.node(event, span, depth + 1)?));
        }
    }
}

/// A scalar without quotes, by the core schema.
fn plain(text: &str) -> Result<Value, &'static str> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Ok(Value::Null),
        "true" | "True" | "TRUE" => Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => Ok(Value::Bool(false)),
        _ => number(text).unwrap_or_else(|| Ok(Value::String(text.to_owned()))),
    }
}

/// The number that a text stands for, if any.
fn number(text: &str) -> Option<Result<Value, &'static str>> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Err("wanted a finite number"));
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix).filter(|digits| are_digits(digits, radix)) {
            return Some(integer(digits, radix));
        }
    }
    if are_digits(unsigned, 10) {
        return Some(integer(text, 10));
    }
    // Rust parses some texts as numbers that are none here, but each of them has a letter besides the exponent's.
    let has_digit = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.contains(|c: char| c.is_ascii_digit());
    let float = text.parse::<f64>().ok().filter(|_| has_digit)?;
    Some(Number::from_f64(float).map(Value::Number).ok_or("wanted a finite number"))
}

fn are_digits(text: &str, radix: u32) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_digit(radix))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_are_read_by_the_core_schema() {
        let cases = [
            ("~", json!(null)),
            ("", json!(null)),
            ("True", json!(true)),
            ("no", json!("no")),
            ("on", json!("on")),
            ("12", json!(12)),
            ("-12", json!(-12)),
            ("+1", json!(1)),
            ("0x1f", json!(31)),
            ("0o17", json!(15)),
            ("0xffffffffffffffff", json!(u64::MAX)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("inf", json!("inf")),
            ("nan", json!("nan")),
            ("1_000", json!("1_000")),
            ("0x", json!("0x")),
            ("1.2.3", json!("1.2.3")),
            (".", json!(".")),
            ("-", json!("-")),
        ];
        for (text, expected) in cases {
            assert_eq!(plain(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn numbers_that_json_does_not_have_are_refused() {
        for text in [".inf", "-.Inf", ".nan", "18446744073709551616", "0x1ffffffffffffffff", "1e999"] {
            assert!(plain(text).is_err(), "{text}");
        }
    }
}
