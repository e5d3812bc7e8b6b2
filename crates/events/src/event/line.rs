//! One exported event: a line of JSON with its checksum.

use foundation_kernel::text::excerpt;
use serde::{Deserialize, Serialize};

use crate::{Event, EventId, checksum};

/// How an event is written.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    event: &'a Event,
    crc32: u32,
}

/// How it is read: a line written by hand may have no checksum.
#[derive(Deserialize)]
struct Read {
    #[serde(flatten)]
    event: Event,
    crc32: Option<u32>,
}

/// The line of an event, with its end.
pub(crate) fn write(event: &Event) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(&Written { event, crc32: checksum(event) })?;
    line.push(b'\n');
    Ok(line)
}

/// The event of a line; `None` for an empty one.
pub(crate) fn read(line: &[u8]) -> Result<Option<Event>, String> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    let Read { event, crc32 } = serde_json::from_slice(line).map_err(|error| excerpt(&error.to_string()))?;
    let found = checksum(&event);
    match crc32 {
        Some(expected) if expected != found => Err(mismatch(event.id, expected, found)),
        _ => Ok(Some(event)),
    }
}

fn mismatch(id: EventId, expected: u32, found: u32) -> String {
    format!("event {id} has the checksum {found:08x} and is said to have {expected:08x}")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;
    use serde_json::json;

    use super::super::{EventSource, NewEvent};
    use super::*;

    proptest! {
        #[test]
        fn an_event_survives_being_written_and_read(
            (text, key, actor) in (any::<String>(), any::<Option<String>>(), any::<Option<String>>()),
            (number, nanos) in (any::<f64>(), any::<u32>()),
        ) {
            let payload = json!({ "text": text, text.clone(): [number], "id": 7, "crc32": 1 });
            let mut event = NewEvent::new("noted").unwrap().payload(payload).unwrap()
                .record(EventId::FIRST, "production", UNIX_EPOCH + Duration::from_nanos(nanos.into()));
            event.source = Some(EventSource { service: text, actor_id: actor });
            event.idempotency_key = key;
            let line = write(&event).unwrap();
            prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            prop_assert_eq!(read(&line), Ok(Some(event)));
        }

        #[test]
        fn whatever_a_line_is_reading_it_ends_with_an_answer(line in any::<Vec<u8>>()) {
            let _ = read(&line);
        }
    }

    #[test]
    fn a_line_that_was_changed_is_refused_by_its_checksum() {
        let event = NewEvent::new("noted").unwrap().payload(41).unwrap();
        let line = write(&event.record(EventId::FIRST, "production", UNIX_EPOCH)).unwrap();
        let forged = String::from_utf8(line).unwrap().replace(":41", ":42");
        assert!(read(forged.as_bytes()).unwrap_err().starts_with("event 1 has the checksum "));
    }
}
