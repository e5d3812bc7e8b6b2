use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crc32fast::Hasher;
use serde_json::Value;

use crate::Event;

/// The CRC-32 of an event, over all its fields.
///
/// Equal events have equal checksums, wherever their fields come from. The fields of a payload's objects count in the
/// order of their names, each text after its length, and times to the nanosecond. For logs that store it beside the
/// event and compare it when they read.
///
/// ```
/// use std::time::UNIX_EPOCH;
/// use foundation_events::{EventId, NewEvent, checksum};
///
/// let new = NewEvent::new("opened")?;
/// let event = new.clone().record(EventId::FIRST, "production", UNIX_EPOCH);
/// let other = new.payload("door")?.record(EventId::FIRST, "production", UNIX_EPOCH);
/// assert_eq!(checksum(&event), checksum(&event.clone()));
/// assert_ne!(checksum(&event), checksum(&other));
/// # Ok::<(), foundation_events::EventError>(())
/// ```
pub fn checksum(event: &Event) -> u32 {
    let mut row = Row { sum: Hasher::new(), waiting: Vec::with_capacity(2 * BUFFER_BYTES) };
    row.number(event.id.get());
    row.text(event.kind.as_str());
    row.text(&event.namespace);
    row.time(event.recorded_at);
    row.time(event.observed_at);
    row.optional(event.source.as_ref(), |row, source| {
        row.text(&source.service);
        row.optional(source.actor_id.as_ref(), |row, actor| row.text(actor));
    });
    row.bytes(event.correlation_id.as_bytes());
    row.optional(event.causation_id, |row, id| row.number(id.get()));
    row.optional(event.idempotency_key.as_ref(), |row, key| row.text(key));
    row.value(&event.payload);
    row.finish()
}

/// The canonical form of an event, on its way into the sum.
struct Row {
    sum: Hasher,
    /// Bytes that are not summed up yet: a few hundred at once cost little more than eight.
    waiting: Vec<u8>,
}

/// The bytes that are summed up at once.
const BUFFER_BYTES: usize = 256;

impl Row {
    fn bytes(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= BUFFER_BYTES {
            self.sum.update(&self.waiting);
            self.waiting.clear();
        }
    }

    fn finish(mut self) -> u32 {
        self.sum.update(&self.waiting);
        self.sum.finalize()
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    fn time(&mut self, time: SystemTime) {
        // A log records no time before 1970.
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.number(since.as_secs());
        self.number(since.subsec_nanos().into());
    }

    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bytes(&[value.is_some().into()]);
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// Recurses as deep as the value nests, which is bounded for whatever is recorded or was read as JSON.
    fn value(&mut self, value: &Value) {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => self.scalar(value),
            Value::String(text) => {
                self.bytes(b"s");
                self.text(text);
            }
            Value::Array(items) => {
                self.bytes(b"a");
                self.number(items.len() as u64);
                items.iter().for_each(|item| self.value(item));
            }
            Value::Object(fields) => {
                self.bytes(b"o");
                self.number(fields.len() as u64);
                // In the order of the names: serde_json keeps another one if a crate of the build enables it.
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_unstable_by_key(|(name, _)| *name);
                for (name, field) in fields {
                    self.text(name);
                    self.value(field);
                }
            }
        }
    }

    fn scalar(&mut self, value: &Value) {
        // Neither the writer nor such a value can fail.
        let _ = serde_json::to_writer(&mut *self, value);
        self.bytes(b";");
    }
}

impl io::Write for Row {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Row::bytes(self, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::{EventId, EventSource, NewEvent};
    use super::*;

    fn event() -> Event {
        let new = NewEvent::new("order_placed").unwrap().payload(json!({ "a": [1, 2.5, null], "b": "x" })).unwrap();
        let new = new.source(EventSource::new("shop").actor("0.1")).idempotency_key("once");
        new.record(EventId::FIRST, "production", UNIX_EPOCH)
    }

    #[test]
    fn each_field_counts() {
        let changes: [fn(&mut Event); 10] = [
            |event| event.id = EventId::new(2).unwrap(),
            |event| event.kind = "order_paid".parse().unwrap(),
            |event| event.namespace.push('x'),
            |event| event.recorded_at += Duration::from_nanos(1),
            |event| event.observed_at += Duration::from_nanos(1),
            |event| event.source = Some(EventSource::new("shop")),
            |event| event.correlation_id = uuid::Uuid::nil(),
            |event| event.causation_id = Some(EventId::FIRST),
            |event| event.idempotency_key = None,
            |event| event.payload["a"][2] = false.into(),
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut changed = event();
            changed.correlation_id = event().correlation_id;
            let before = checksum(&changed);
            change(&mut changed);
            assert_ne!(checksum(&changed), before, "change {index}");
        }
    }

    #[test]
    fn a_text_that_moves_from_one_field_to_the_next_changes_it() {
        let pair = |service: &str, actor: &str| {
            let source = EventSource::new(service).actor(actor);
            let new = NewEvent::new("noted").unwrap().correlation(uuid::Uuid::nil()).source(source);
            checksum(&new.record(EventId::FIRST, "production", UNIX_EPOCH))
        };
        assert_ne!(pair("ab", "c"), pair("a", "bc"));
    }

    proptest! {
        #[test]
        fn it_survives_the_way_through_json(number in any::<f64>(), text in any::<String>(), whole in any::<i64>()) {
            let mut event = event();
            event.payload = json!({ "number": number, text.clone(): [text, whole] });
            let written = serde_json::to_string(&event).unwrap();
            let read: Event = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(checksum(&read), checksum(&event));
        }
    }
}
