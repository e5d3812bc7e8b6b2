use serde_json::json;

use super::*;
use crate::{EventId, EventSource, Order};

#[test]
fn recorded_events_are_read_unchanged_however_hostile_their_text() {
    let file = TestFile::new();
    let hostile = "'); DROP TABLE events; --\u{0}\u{1b}[31m\u{202e}é\u{1f980}";
    let new = event("noted").source(EventSource::new(hostile).actor(hostile)).idempotency_key(hostile);
    let new = new.payload(json!({ hostile: [hostile, 0.1, f64::MAX, u64::MAX, i64::MIN, null, true] })).unwrap();
    let mut log = file.open();
    let answers = log.commit(vec![Append::new(vec![new.clone()])], at(5)).unwrap();
    let recorded = answers.into_iter().next().unwrap().unwrap().events;
    drop(log);

    let mut log = file.open();
    assert_eq!(reader(&log).query(&Query::new()).unwrap(), recorded);
    assert_eq!(ids(&log, &Query::new().source(EventSource::new(hostile).actor(hostile))), [1]);
    let again = log.commit(vec![Append::new(vec![new])], at(6)).unwrap();
    assert_eq!(again[0].as_ref().unwrap().ids, [EventId::FIRST], "the key is known");
    assert_clean(&log);
}

#[test]
fn no_more_is_found_than_was_asked_for_also_where_each_payload_has_to_be_looked_at() {
    let file = TestFile::new();
    let mut log = file.open();
    let batch = (0..20).map(|n| event("noted").payload(n % 2).unwrap()).collect();
    log.commit(vec![Append::new(batch)], at(1)).unwrap();
    let odd = || Query::new().payload("", 1).unwrap();
    assert_eq!(ids(&log, &odd().limit(3)), [2, 4, 6]);
    assert_eq!(ids(&log, &odd().limit(2).offset(4)), [10, 12]);
    assert_eq!(ids(&log, &odd().limit(1).order(Order::Descending)), [20]);
    assert_eq!(ids(&log, &odd().offset(9)), [20]);
}

#[test]
fn a_log_that_is_out_of_numbers_says_so_and_keeps_what_it_has() {
    let file = TestFile::with_events(2);
    file.tool().execute("UPDATE state SET highest_id = ?1", [i64::MAX]).unwrap();
    let mut log = file.open();
    let error = log.commit(vec![Append::new(vec![event("noted")])], at(5)).unwrap_err();
    let expected = "it numbers events up to 9223372036854775807, which is the last number there is";
    assert!(error.to_string().ends_with(expected), "{error}");
    assert_eq!(ids(&log, &Query::new()), [1, 2]);
}

#[test]
fn a_query_of_many_chunks_misses_nothing_and_repeats_nothing_in_either_order() {
    let file = TestFile::new();
    let mut log = file.open();
    // All at one time, so that the order by time alone would not do.
    let batch = || (0..1500).map(|n| event(if n % 2 == 0 { "even" } else { "odd" })).collect();
    log.commit(vec![Append::new(batch())], at(1)).unwrap().remove(0).unwrap();
    let odd = Query::new().kind("odd".parse().unwrap());
    let expected: Vec<u64> = (1..=1500).filter(|id| id % 2 == 0).collect();
    assert_eq!(ids(&log, &odd), expected);
    let backwards: Vec<u64> = (1..=1500).rev().collect();
    assert_eq!(ids(&log, &Query::new().order(Order::Descending)), backwards);
    assert_eq!(ids(&log, &odd.offset(600).limit(2)), [1202, 1204]);
}

#[test]
fn a_reader_sees_what_was_committed_after_it_was_opened_and_survives_the_log() {
    let file = TestFile::new();
    let mut log = file.open();
    let reader = reader(&log);
    record(&mut log, 1..=2);
    assert_eq!(reader.stats().unwrap().held, 2);
    drop(log);
    record(&mut file.open(), [3]);
    assert_eq!(reader.query(&Query::new()).unwrap().len(), 3);
}

#[test]
fn a_row_that_does_not_fit_its_checksum_is_not_handed_out() {
    let file = TestFile::with_events(3);
    file.tool().execute("UPDATE events SET payload = '\"forged\"' WHERE id = 2", []).unwrap();
    let log = file.open();
    let reader = reader(&log);
    let error = reader.get(EventId::new(2).unwrap()).unwrap_err().to_string();
    assert!(error.contains("the row of event 2 is damaged: it has the checksum 0x"), "{error}");
    assert!(error.contains(&*file.path().to_string_lossy()), "{error}");
    assert!(reader.query(&Query::new()).is_err());
    assert!(reader.get(EventId::new(3).unwrap()).unwrap().is_some(), "the others can be read");
}

#[test]
fn an_interrupted_reader_stops_in_the_middle_of_a_statement_and_can_be_used_again() {
    let file = TestFile::with_events(0);
    let mut log = file.open();
    for _ in 0..10 {
        log.commit(vec![Append::new(vec![event("ticked"); 1_000])], at(1)).unwrap();
    }
    let mut reader = reader(&log);
    let interrupt = Interrupt::new();
    interrupt.raise();
    reader.interrupt_by(&interrupt);
    for error in [
        reader.query(&Query::new()).map(drop).unwrap_err(),
        reader.query(&Query::new().payload("/x", 1).unwrap()).map(drop).unwrap_err(),
        // It checks only what SQLite reports.
        reader.verify(&mut |_| ()).map(drop).unwrap_err(),
    ] {
        assert!(error.to_string().ends_with("events.db: it was interrupted"), "{error}");
    }
    reader.interrupt_by(&Interrupt::new());
    assert_eq!(reader.query(&Query::new()).unwrap().len(), 10_000);
    assert!(reader.verify(&mut |_| ()).unwrap().is_clean());
}

#[test]
fn what_a_query_names_twice_is_found_once() {
    let file = TestFile::with_events(1);
    let mut log = file.open();
    let first = reader(&log).get(EventId::FIRST).unwrap().unwrap();
    log.commit(vec![Append::new(vec![event("caused").caused_by(&first)])], at(2)).unwrap();
    let (cause, kind) = (first.id, || "caused".parse().unwrap());
    assert_eq!(ids(&log, &Query::new().causation(cause).causation(cause)), [2]);
    assert_eq!(ids(&log, &Query::new().kind(kind()).kind(kind())), [2]);
}
