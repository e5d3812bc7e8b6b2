//! The size of a JSON value, by which the limits of events and of configurations go.

use std::io;

use serde_json::Value;

/// Whether arrays and objects nest in more than `limit` levels; a plain value has none. Recurses no deeper than that.
pub fn is_deeper_than(limit: usize, value: &Value) -> bool {
    match value {
        Value::Array(_) | Value::Object(_) if limit == 0 => true,
        Value::Array(items) => items.iter().any(|item| is_deeper_than(limit - 1, item)),
        Value::Object(fields) => fields.values().any(|field| is_deeper_than(limit - 1, field)),
        _ => false,
    }
}

/// The bytes of a value, written as JSON. Recurses as deep as the value nests: check its depth before.
pub fn json_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::String(text) => text_bytes(text),
        Value::Number(number) => number.as_u64().map_or_else(|| written_bytes(value), digits),
        Value::Array(items) => 2 + items.len().saturating_sub(1) + items.iter().map(json_bytes).sum::<usize>(),
        Value::Object(fields) => {
            let fields_bytes = fields.iter().map(|(name, field)| text_bytes(name) + 1 + json_bytes(field));
            2 + fields.len().saturating_sub(1) + fields_bytes.sum::<usize>()
        }
    }
}

/// The bytes of a text in quotes, escapes included.
fn text_bytes(text: &str) -> usize {
    // Without an early exit, so that many bytes are checked at once; for most texts that is all.
    let is_escaped = |byte| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    if !text.bytes().fold(false, |any, byte| any | is_escaped(byte)) {
        return 2 + text.len();
    }
    let escapes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0x00..0x20 => 5,
        _ => 0,
    });
    2 + text.len() + escapes.sum::<usize>()
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |power| power as usize + 1)
}

fn written_bytes(value: &Value) -> usize {
    let mut bytes = ByteCount(0);
    match serde_json::to_writer(&mut bytes, value) {
        Ok(()) => bytes.0,
        // A JSON value can always be written; if that ever changes, the value is refused.
        Err(_) => usize::MAX,
    }
}

/// A writer that only counts.
struct ByteCount(usize);

impl io::Write for ByteCount {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let plain = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[\\x00-\\x7f]{0,8}".prop_map(Value::from),
        ];
        plain.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..6).prop_map(Value::from),
                btree_map(any::<String>(), inner, 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_that_serde_json_writes(value in values()) {
            prop_assert_eq!(json_bytes(&value), serde_json::to_string(&value).unwrap().len());
        }

        #[test]
        fn the_digits_are_those_of_the_number(number: u64) {
            prop_assert_eq!(digits(number), number.to_string().len());
        }
    }

    #[test]
    fn only_what_nests_deeper_than_the_limit_is_deeper() {
        for (limit, value) in [(0, json!(1)), (1, json!([])), (1, json!([1, "x"])), (2, json!({ "a": [1] }))] {
            assert!(!is_deeper_than(limit, &value), "{value}");
            assert!(limit == 0 || is_deeper_than(limit - 1, &value), "{value}");
        }
    }

    #[test]
    fn whatever_nests_without_end_is_refused_without_going_to_its_end() {
        let mut value = json!(null);
        for _ in 0..20_000 {
            value = Value::Array(vec![value]);
        }
        assert!(is_deeper_than(64, &value));
        // Dropping it would recurse to its end.
        std::mem::forget(value);
    }
}
