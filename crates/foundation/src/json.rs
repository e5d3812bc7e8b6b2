//! How large a JSON value is: what the limits of events and of configurations go by.

use std::io;

use serde_json::Value;

/// Whether arrays and objects nest in more than `limit` levels; a plain value has none.
pub(crate) fn is_deeper_than(limit: usize, value: &Value) -> bool {
    if !matches!(value, Value::Array(_) | Value::Object(_)) {
        return false;
    }
    let mut open = vec![(value, 0)];
    while let Some((value, depth)) = open.pop() {
        match value {
            Value::Array(_) | Value::Object(_) if depth == limit => return true,
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(fields) => open.extend(fields.values().map(|field| (field, depth + 1))),
            _ => {}
        }
    }
    false
}

/// The bytes of a value, written as JSON. Recurses as deep as the value nests: ask for its depth before.
pub(crate) fn json_bytes(value: &Value) -> usize {
    let mut bytes = ByteCount(0);
    match serde_json::to_writer(&mut bytes, value) {
        Ok(()) => bytes.0,
        // A JSON value can always be written; if that ever changes, it is to be refused, not let in.
        Err(_) => usize::MAX,
    }
}

/// A writer that counts and forgets.
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
