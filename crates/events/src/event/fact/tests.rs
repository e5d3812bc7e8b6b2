use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use super::*;

fn recorded(payload: &str) -> Event {
    let event = NewEvent::new("order_placed").unwrap();
    let event = event.payload(payload).unwrap().source("orders");
    event.record(EventId::FIRST, "production", UNIX_EPOCH)
}

#[test]
fn an_event_survives_the_way_through_json() {
    let event = recorded("'; drop table events;-- \u{0}\u{1b}");
    let text = serde_json::to_string(&event).unwrap();
    assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
}

#[test]
fn an_event_with_the_forged_id_0_is_not_read() {
    let text = serde_json::to_string(&recorded("x")).unwrap();
    let forged = text.replace("\"id\":1", "\"id\":0");
    assert!(serde_json::from_str::<Event>(&forged).is_err());
}

#[test]
fn a_payload_of_another_type_is_refused_with_event_and_type() {
    let message = recorded("x").payload_as::<u32>().unwrap_err().to_string();
    assert!(message.starts_with("the payload of event 1 (order_placed) is no u32: "), "{message}");
}

fn event() -> NewEvent {
    NewEvent::new("order_placed").unwrap()
}

#[test]
fn two_new_events_have_different_correlation_ids_of_version_7() {
    let (one, other) = (event().correlation_id(), event().correlation_id());
    assert_ne!(one, other);
    assert_eq!(one.get_version_num(), 7);
}

#[test]
fn a_child_carries_correlation_and_cause_on() {
    let parent = event().record(EventId::FIRST, "production", UNIX_EPOCH);
    let child = event().child_of(&parent).record(EventId::new(2).unwrap(), "production", UNIX_EPOCH);
    assert_eq!(child.correlation_id, parent.correlation_id);
    assert_eq!(child.causation_id, Some(parent.id));
}

#[test]
fn a_caused_event_keeps_its_own_correlation() {
    let parent = event().record(EventId::FIRST, "production", UNIX_EPOCH);
    let caused = event().caused_by(&parent);
    assert_ne!(caused.correlation_id(), parent.correlation_id);
}

#[test]
fn a_payload_without_a_form_in_json_is_refused_with_the_kind() {
    let payload = BTreeMap::from([((1, 2), 3)]);
    let message = event().payload(payload).unwrap_err().to_string();
    assert!(message.contains("order_placed"), "{message}");
}
