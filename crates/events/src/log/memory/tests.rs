//! The memory log, by scenarios and by the contract of every log.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use crate::log::contract::at;
use crate::log::{contract, model};
use crate::*;

fn opened() -> NewEvent {
    NewEvent::of(EventKind::from_static("opened"))
}

fn times(log: &MemoryLog) -> Vec<SystemTime> {
    let events = log.query(&Query::new());
    events.iter().map(|event| event.recorded_at).collect()
}

#[test]
fn time_does_not_go_backwards_with_the_clock() {
    let log = MemoryLog::new("production");
    for now in [5, 3, 7] {
        log.append(opened(), at(now)).unwrap();
    }
    assert_eq!(times(&log), [at(5), at(5), at(7)]);
}

#[test]
fn time_does_not_go_backwards_after_everything_was_pruned() {
    let log = MemoryLog::new("production");
    log.append(opened(), at(5)).unwrap();
    log.prune_before(at(6));
    log.append(opened(), at(3)).unwrap();
    assert_eq!(times(&log), [at(5)]);
}

#[test]
fn a_time_before_1970_is_recorded_as_1970() {
    let log = MemoryLog::new("production");
    log.append(opened(), UNIX_EPOCH - Duration::from_secs(1)).unwrap();
    assert_eq!(times(&log), [UNIX_EPOCH]);
}

#[test]
fn a_clock_may_read_the_log_that_calls_it() {
    let mut log = MemoryLog::new("production");
    let seen = log.clone();
    let clock = || at(seen.stats().recorded);
    let appends = [opened(), opened()].map(|event| Append::new(vec![event]));
    log.commit_arriving(&mut appends.into_iter(), &clock).unwrap();
    assert_eq!(times(&log), [at(0), at(1)]);
}

#[test]
fn one_bad_event_refuses_the_whole_batch_and_gives_it_back() {
    let log = MemoryLog::new("production");
    let large = opened().payload("x".repeat(2 << 20)).unwrap();
    let batch = vec![opened(), large, opened()];
    let before = log.stats();

    let error = log.append_batch(batch.clone(), at(1)).unwrap_err();

    assert!(error.to_string().starts_with("event 1 of the batch"), "{error}");
    assert_eq!(error.into_batch(), batch);
    assert_eq!(log.stats(), before);
    assert_eq!(log.append(opened(), at(1)).unwrap(), EventId::FIRST);
}

#[test]
fn a_batch_that_is_too_long_is_refused() {
    let log = MemoryLog::new("production");
    let error = log.append_batch(vec![opened(); 10_001], at(1)).unwrap_err();
    let message = "the batch has 10001 events, and the log takes at most 10000 at once";
    assert_eq!(error.to_string(), message);
    assert_eq!(error.into_batch().len(), 10_001);
}

#[test]
fn an_empty_batch_records_nothing() {
    let log = MemoryLog::new("production");
    assert_eq!(log.append_batch(vec![], at(1)).unwrap().ids, []);
    assert_eq!(log.stats(), EventStats::default());
}

#[test]
fn an_id_that_was_never_given_finds_nothing() {
    let log = MemoryLog::new("production");
    for id in [1, 2, u64::MAX] {
        assert_eq!(log.get(EventId::new(id).unwrap()), None);
    }
}

#[test]
fn a_range_of_time_that_ends_before_it_begins_finds_nothing() {
    let log = MemoryLog::new("production");
    log.append(opened(), at(5)).unwrap();
    let backwards = Query::new().from(at(9)).until(at(1));
    assert_eq!(log.query(&backwards), []);
}

/// One place in memory: every opening finds the same log.
fn place() -> impl FnMut() -> Box<dyn EventLog> {
    let log = MemoryLog::new("production").with_limits(contract::limits());
    move || Box::new(log.clone())
}

#[test]
fn the_memory_log_does_what_every_log_has_to() {
    for (name, test) in contract::TESTS {
        println!("{name}");
        test(&mut place());
    }
}

proptest! {
    #[test]
    fn the_memory_log_does_what_a_naive_list_does(steps in model::steps()) {
        model::live(&steps, &mut place());
    }
}
