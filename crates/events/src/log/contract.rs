//! The contract of every log, as tests that take a function to open one.
//!
//! `open` is called again to reopen: it must find what was recorded before in the same place, with [`limits`]. The
//! place is new for each call of a test.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::*;

/// Opens a log in a place of its own.
pub(crate) type Open<'a> = &'a mut dyn FnMut() -> Box<dyn EventLog>;

/// A test and its name.
pub(crate) type Test = (&'static str, fn(Open<'_>));

/// What is wrong with an event, and how to make it so.
type Falsify = (&'static str, fn(&mut Event));

/// The limits that the logs under test have.
pub(crate) fn limits() -> EventLimits {
    EventLimits::new().max_payload_bytes(50).max_batch(100)
}

/// All tests, by name; the namespace of the log is `production`.
pub(crate) const TESTS: [Test; 13] = [
    ("a group is decided one by one", a_group_is_decided_one_by_one),
    ("a known key gives the first id", a_known_key_gives_the_first_id),
    ("an unexpected position is a conflict", an_unexpected_position_is_a_conflict),
    ("a cause that is not recorded is refused", a_cause_that_is_not_recorded_is_refused),
    ("ids go on after everything was pruned", ids_go_on_after_everything_was_pruned),
    ("pruning keeps to its bounds and chunks", pruning_keeps_to_its_bounds_and_chunks),
    ("pruning stops at what is to be kept", pruning_stops_at_what_is_to_be_kept),
    ("an acknowledgement never goes back", an_acknowledgement_never_goes_back),
    ("parked events are kept beside the others", parked_events_are_kept_beside_the_others),
    ("what is exported can be imported", what_is_exported_can_be_imported),
    ("a false import is refused as a whole", a_false_import_is_refused_as_a_whole),
    ("queries find what they ask for", queries_find_what_they_ask_for),
    ("hostile texts come back as they were", hostile_texts_come_back_as_they_were),
];

pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(crate) fn id(number: u64) -> EventId {
    EventId::new(number).unwrap()
}

fn noted(payload: impl serde::Serialize) -> NewEvent {
    NewEvent::new("noted").unwrap().payload(payload).unwrap()
}

fn commit(log: &mut dyn EventLog, batch: Vec<NewEvent>, now: SystemTime) -> Result<Appended, EventError> {
    log.commit(vec![Append::new(batch)], now).unwrap().remove(0)
}

fn fill(log: &mut dyn EventLog, count: u64) {
    for second in 1..=count {
        commit(log, vec![noted(second)], at(second)).unwrap();
    }
}

pub(crate) fn ids(log: &dyn EventLog, query: &Query) -> Vec<u64> {
    let found = log.reader().unwrap().query(query).unwrap();
    found.iter().map(|event| event.id.get()).collect()
}

pub(crate) fn is_clean(log: &dyn EventLog) {
    let verification = log.reader().unwrap().verify(&mut |_| ()).unwrap();
    assert!(verification.is_clean(), "{verification}");
}

// ---- the tests ----

fn a_group_is_decided_one_by_one(open: Open<'_>) {
    let mut log = open();
    let expecting = |position| Append::new(vec![noted(0)]).expecting(ExpectedPosition::Exactly(EventId::new(position)));
    let group = vec![
        expecting(0),
        Append::new(vec![noted(1), noted("x".repeat(60))]),
        expecting(1),
        expecting(1),
        Append::new(vec![]),
        Append::new(vec![noted(2), noted(3)]),
    ];
    let answers = log.commit(group, at(1)).unwrap();
    let ids_of = |answer: &Result<Appended, EventError>| {
        answer.as_ref().map(|it| it.ids.iter().map(|id| id.get()).collect::<Vec<_>>()).ok()
    };
    let given: Vec<_> = answers.iter().map(ids_of).collect();
    assert_eq!(given, [Some(vec![1]), None, Some(vec![2]), None, Some(vec![]), Some(vec![3, 4])]);
    assert!(matches!(answers[1], Err(EventError::Refused { .. })), "{:?}", answers[1]);
    assert!(matches!(answers[3], Err(EventError::Conflict { .. })), "{:?}", answers[3]);
    let last = answers[5].as_ref().unwrap();
    assert_eq!((last.position, last.events.len()), (Some(id(4)), 2));
    drop(log);
    assert_eq!(ids(&*open(), &Query::new()), [1, 2, 3, 4]);
}

fn a_known_key_gives_the_first_id(open: Open<'_>) {
    let mut log = open();
    let once = || noted(1).idempotency_key("once");
    let first = commit(&mut *log, vec![noted(0), once(), once()], at(1)).unwrap();
    assert_eq!(first.ids, [id(1), id(2), id(2)]);
    assert_eq!(first.events.len(), 2);
    drop(log);
    let mut log = open();
    let again = commit(&mut *log, vec![once(), noted(2)], at(2)).unwrap();
    assert_eq!(again.ids, [id(2), id(3)]);
    assert_eq!((again.position, again.events.len()), (Some(id(3)), 1));
    // The key is forgotten with its event.
    log.prune(PruneBound::Before(at(2)), None, 10).unwrap();
    assert_eq!(commit(&mut *log, vec![once()], at(3)).unwrap().ids, [id(4)]);
    for key in [String::new(), "k".repeat(257)] {
        let refused = commit(&mut *log, vec![noted(1).idempotency_key(key)], at(3)).unwrap_err();
        assert!(matches!(refused, EventError::Refused { error: BatchError::KeyLength { .. }, .. }), "{refused}");
    }
    is_clean(&*log);
}

fn an_unexpected_position_is_a_conflict(open: Open<'_>) {
    let mut log = open();
    fill(&mut *log, 2);
    log.prune(PruneBound::Count(0), None, 10).unwrap();
    drop(log);
    let mut log = open();
    let append = |expected| Append::new(vec![noted(1)]).expecting(ExpectedPosition::Exactly(expected));
    let error = log.commit(vec![append(None)], at(3)).unwrap().remove(0).unwrap_err();
    assert_eq!(error.to_string(), "the log is at event 2, and the writer expected it at its beginning");
    assert_eq!(error.into_batch().len(), 1);
    assert!(log.commit(vec![append(Some(id(2)))], at(3)).unwrap().remove(0).is_ok());
}

fn a_cause_that_is_not_recorded_is_refused(open: Open<'_>) {
    let mut log = open();
    let forged = |number| noted(1).record(id(number), "production", at(1));
    fill(&mut *log, 1);
    commit(&mut *log, vec![noted(2).caused_by(&forged(1))], at(1)).unwrap();
    let refused = commit(&mut *log, vec![noted(3), noted(3).caused_by(&forged(3))], at(1)).unwrap_err();
    let expected = "event 1 of the batch (noted) names event 3 as its cause, which is not recorded yet";
    assert_eq!(refused.to_string(), expected);
    assert_eq!(ids(&*log, &Query::new()), [1, 2]);
}

fn ids_go_on_after_everything_was_pruned(open: Open<'_>) {
    let mut log = open();
    fill(&mut *log, 5);
    while log.prune(PruneBound::Before(at(9)), None, 2).unwrap() > 0 {}
    drop(log);
    let mut log = open();
    let stats = log.reader().unwrap().stats().unwrap();
    assert_eq!((stats.recorded, stats.held, stats.pruned, stats.oldest, stats.bytes), (5, 0, 5, None, 0));
    let appended = commit(&mut *log, vec![noted(6)], at(1)).unwrap();
    assert_eq!(appended.ids, [id(6)]);
    assert_eq!((appended.events[0].recorded_at, appended.events[0].observed_at), (at(5), at(1)));
    is_clean(&*log);
}

fn pruning_keeps_to_its_bounds_and_chunks(open: Open<'_>) {
    let mut log = open();
    fill(&mut *log, 10);
    assert_eq!(log.prune(PruneBound::Before(at(6)), None, 3).unwrap(), 3);
    assert_eq!(log.prune(PruneBound::Before(at(6)), None, 3).unwrap(), 2);
    assert_eq!(log.prune(PruneBound::Before(at(6)), None, 3).unwrap(), 0);
    assert_eq!(log.prune(PruneBound::Count(4), None, 3).unwrap(), 1);
    assert_eq!(ids(&*log, &Query::new()), [7, 8, 9, 10]);
    let bytes = log.reader().unwrap().stats().unwrap().bytes;
    assert_eq!(log.prune(PruneBound::Bytes(bytes), None, 3).unwrap(), 0);
    assert_eq!(log.prune(PruneBound::Bytes(bytes - 1), None, 3).unwrap(), 1);
    assert_eq!(log.prune(PruneBound::Bytes(0), None, 9).unwrap(), 3);
    while log.maintain().unwrap() {}
    is_clean(&*log);
}

fn pruning_stops_at_what_is_to_be_kept(open: Open<'_>) {
    for bound in [PruneBound::Before(at(99)), PruneBound::Count(0), PruneBound::Bytes(0)] {
        let mut log = open();
        let before = log.reader().unwrap().stats().unwrap().recorded;
        fill(&mut *log, 6);
        let keep_from = Some(id(before + 4));
        while log.prune(bound, keep_from, 2).unwrap() > 0 {}
        assert_eq!(ids(&*log, &Query::new()), [before + 4, before + 5, before + 6]);
        assert_eq!(log.prune(bound, Some(id(1)), 9).unwrap(), 0);
        assert_eq!(log.prune(bound, Some(id(before + 9)), 9).unwrap(), 3);
        is_clean(&*log);
    }
}

fn an_acknowledgement_never_goes_back(open: Open<'_>) {
    let mut log = open();
    fill(&mut *log, 3);
    let [one, other] = ["one", "other"].map(|name| SubscriptionName::new(name).unwrap());
    log.acknowledge(&one, id(3)).unwrap();
    log.acknowledge(&one, id(2)).unwrap();
    log.acknowledge(&other, id(1)).unwrap();
    log.prune(PruneBound::Count(0), None, 10).unwrap();
    drop(log);
    let mut log = open();
    let reader = log.reader().unwrap();
    assert_eq!(reader.acknowledged(&one).unwrap(), Some(id(3)));
    assert!(log.forget_subscription(&one).unwrap());
    assert!(!log.forget_subscription(&one).unwrap());
    assert_eq!(reader.acknowledged(&one).unwrap(), None);
    assert_eq!(reader.acknowledged(&other).unwrap(), Some(id(1)));
}

fn parked_events_are_kept_beside_the_others(open: Open<'_>) {
    let mut log = open();
    fill(&mut *log, 3);
    let [one, other] = ["one", "other"].map(|name| SubscriptionName::new(name).unwrap());
    let parked = |log: &dyn EventLog, name: &SubscriptionName| log.reader().unwrap().parked(name).unwrap();
    let [first, second, third] = [1, 2, 3].map(|number| log.reader().unwrap().get(id(number)).unwrap().unwrap());
    let of = |event: &Arc<Event>, failures| ParkedEvent::new(one.clone(), event.clone(), failures, "it says no", at(7));
    for (event, taken) in [(&third, true), (&first, true), (&second, false), (&first, true)] {
        assert_eq!(log.park(&of(event, 4), 2).unwrap(), taken);
    }
    log.prune(PruneBound::Count(0), None, 10).unwrap();
    drop(log);
    let mut log = open();
    assert_eq!(parked(&*log, &one), [of(&first, 4), of(&third, 4)]);
    assert_eq!(parked(&*log, &other), []);
    assert!(log.unpark(&one, id(3)).unwrap() && !log.unpark(&one, id(3)).unwrap());
    assert!(!log.unpark(&other, id(1)).unwrap());
    assert_eq!(parked(&*log, &one), [of(&first, 4)]);
    assert!(log.forget_subscription(&one).unwrap());
    assert_eq!(parked(&*log, &one), []);
    is_clean(&*log);
}

/// Events as another log would have exported them, the first with this id.
fn exported(first: u64, count: u64) -> Vec<Event> {
    let event = |number: u64| {
        let new = noted(number).source(EventSource::new("shop").actor("0.1")).idempotency_key(format!("key {number}"));
        let new = new.correlation(Uuid::from_u128(number.into()));
        let mut event = new.record(id(number), "elsewhere", at(number));
        event.observed_at = at(number / 2);
        event
    };
    (first..first + count).map(event).collect()
}

fn what_is_exported_can_be_imported(open: Open<'_>) {
    let mut log = open();
    log.import(exported(7, 3)).unwrap().unwrap();
    log.import(exported(10, 2)).unwrap().unwrap();
    drop(log);
    let mut log = open();
    let read = log.reader().unwrap().query(&Query::new()).unwrap();
    assert!(read.iter().map(Arc::as_ref).eq(&exported(7, 5)));
    let known = noted(0).idempotency_key("key 8");
    let appended = commit(&mut *log, vec![known, noted(1)], at(1)).unwrap();
    assert_eq!(appended.ids, [id(8), id(12)]);
    assert_eq!(appended.events[0].recorded_at, at(11));
    is_clean(&*log);
}

fn a_false_import_is_refused_as_a_whole(open: Open<'_>) {
    let mut log = open();
    log.import(exported(1, 3)).unwrap().unwrap();
    let falsify: [Falsify; 7] = [
        ("a gap", |event| event.id = id(9)),
        ("an event twice", |event| event.id = id(3)),
        ("a time that goes back", |event| event.recorded_at = at(1)),
        ("a time before 1970", |event| event.observed_at = UNIX_EPOCH - Duration::from_secs(1)),
        ("an effect before its cause", |event| event.causation_id = Some(id(5))),
        ("a known key", |event| event.idempotency_key = Some("key 2".to_owned())),
        ("a large payload", |event| event.payload = "x".repeat(60).into()),
    ];
    for (what, falsify) in falsify {
        let mut events = exported(4, 3);
        falsify(&mut events[1]);
        let refused = log.import(events).unwrap();
        assert!(matches!(refused, Err(EventError::NotImported(_))), "{what}: {refused:?}");
        assert_eq!(ids(&*log, &Query::new()), [1, 2, 3], "{what}");
    }
    let mut twice = exported(4, 2);
    twice[1].idempotency_key = twice[0].idempotency_key.clone();
    assert!(log.import(twice).unwrap().is_err());
    is_clean(&*log);
    drop(log);
    assert_eq!(ids(&*open(), &Query::new()), [1, 2, 3]);
}

fn queries_find_what_they_ask_for(open: Open<'_>) {
    let mut log = open();
    let shop = |actor: &str| EventSource::new("shop").actor(actor);
    let payload = serde_json::json!({ "a": { "b~/": [1, 2.5] }, "t": null });
    fill(&mut *log, 1);
    let first = log.reader().unwrap().get(id(1)).unwrap().unwrap();
    let second = noted(payload).source(shop("0.1")).child_of(&first);
    commit(&mut *log, vec![second, noted(1).source("shop"), noted("1").source(shop("0.2"))], at(5)).unwrap();
    let at_pointer = |pointer: &str, value: serde_json::Value| Query::new().payload(pointer, value).unwrap();
    let cases = [
        (Query::new().source("shop"), vec![2, 3, 4]),
        (Query::new().source(shop("0.2")), vec![4]),
        (Query::new().source("sho"), vec![]),
        (Query::new().causation(id(1)), vec![2]),
        (Query::new().causation(id(2)).causation(id(1)), vec![2]),
        (Query::new().correlation(first.correlation_id), vec![1, 2]),
        (at_pointer("/a/b~0~1/1", 2.5.into()), vec![2]),
        (at_pointer("/t", serde_json::Value::Null), vec![2]),
        (at_pointer("", 1.into()), vec![1, 3]),
        (at_pointer("", "1".into()), vec![4]),
        (at_pointer("/none", serde_json::Value::Null), vec![]),
        (Query::new().after(id(2)), vec![3, 4]),
        (Query::new().after(id(2)).order(Order::Descending), vec![1]),
        (Query::new().after(id(1)).limit(2), vec![2, 3]),
        (Query::new().after(id(99)), vec![]),
        (Query::new().after(id(99)).order(Order::Descending).limit(1), vec![4]),
        (Query::new().from(at(2)).after(id(3)), vec![4]),
    ];
    for (query, expected) in cases {
        assert_eq!(ids(&*log, &query), expected, "{query:?}");
    }
}

fn hostile_texts_come_back_as_they_were(open: Open<'_>) {
    let hostile = ["'; drop table events;--", "\u{0}\u{1b}[31m\r\n", "\u{202e}evil", "%_\\\"`", "NULL", "\u{10ffff}"];
    let mut log = open();
    for text in hostile {
        let event = noted(text).source(EventSource::new(text).actor(text)).idempotency_key(text);
        let appended = commit(&mut *log, vec![event], at(1)).unwrap();
        let found = log.reader().unwrap().query(&Query::new().source(text)).unwrap();
        assert_eq!(found, appended.events, "{text:?}");
        assert_eq!(found[0].idempotency_key.as_deref(), Some(text));
        let same = Query::new().payload("", text).unwrap();
        assert_eq!(log.reader().unwrap().query(&same).unwrap(), found, "{text:?}");
    }
    drop(log);
    let log = open();
    assert_eq!(log.reader().unwrap().stats().unwrap().held, hostile.len() as u64);
    is_clean(&*log);
}
