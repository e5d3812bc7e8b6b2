//! The memory log, by scenarios and against a naive model.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const KINDS: [EventKind; 3] =
    [EventKind::from_static("opened"), EventKind::from_static("closed"), EventKind::from_static("moved")];

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn opened() -> NewEvent {
    NewEvent::of(KINDS[0].clone())
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

#[derive(Debug, Clone)]
struct Draft {
    kind: usize,
    correlation: u128,
    oversized: bool,
}

impl Draft {
    fn event(&self) -> NewEvent {
        let payload = if self.oversized { "x".repeat(100) } else { String::new() };
        let event = NewEvent::of(KINDS[self.kind].clone()).payload(payload);
        event.unwrap().correlation(Uuid::from_u128(self.correlation))
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(Draft, u64),
    Batch(Vec<Draft>, u64),
    Prune(u64),
    Ask(Ask),
}

#[derive(Debug, Clone)]
struct Ask {
    kinds: Vec<usize>,
    range: (Option<u64>, Option<u64>),
    correlation: Option<u128>,
    descending: bool,
    offset: usize,
    limit: Option<usize>,
}

impl Ask {
    fn query(&self) -> Query {
        let mut query = Query::new().offset(self.offset);
        query = query.kinds(self.kinds.iter().map(|kind| KINDS[*kind].clone()));
        query = self.range.0.into_iter().fold(query, |q, t| q.from(at(t)));
        query = self.range.1.into_iter().fold(query, |q, t| q.until(at(t)));
        let correlation = self.correlation.map(Uuid::from_u128);
        query = correlation.into_iter().fold(query, Query::correlation);
        query = self.limit.into_iter().fold(query, Query::limit);
        match self.descending {
            true => query.order(Order::Descending),
            false => query,
        }
    }

    /// The same question, asked of a plain list in the plainest way.
    fn ask(&self, events: &[Event]) -> Vec<EventId> {
        let mut found = Vec::new();
        for event in events {
            let kind = KINDS.iter().position(|kind| *kind == event.kind).unwrap();
            let after = self.range.0.is_some_and(|from| event.recorded_at < at(from));
            let before = self.range.1.is_some_and(|until| event.recorded_at >= at(until));
            let wanted = self.kinds.is_empty() || self.kinds.contains(&kind);
            let apart = (self.correlation).is_some_and(|c| event.correlation_id.as_u128() != c);
            if wanted && !after && !before && !apart {
                found.push(event.id);
            }
        }
        if self.descending {
            found.reverse();
        }
        found.drain(..self.offset.min(found.len()));
        found.truncate(self.limit.unwrap_or(usize::MAX));
        found
    }
}

/// A log as one would write it without a thought for cost.
#[derive(Default)]
struct Model {
    events: Vec<Event>,
    recorded: u64,
    latest: u64,
}

impl Model {
    fn append(&mut self, drafts: &[Draft], now: u64) -> Option<Vec<EventId>> {
        if drafts.iter().any(|draft| draft.oversized) {
            return None;
        }
        Some(drafts.iter().map(|draft| self.record(draft, now)).collect())
    }

    fn record(&mut self, draft: &Draft, now: u64) -> EventId {
        self.recorded += 1;
        self.latest = self.latest.max(now);
        let id = EventId::new(self.recorded).unwrap();
        let mut event = draft.event().record(id, "production", at(self.latest));
        event.observed_at = at(now);
        self.events.push(event);
        id
    }

    fn prune(&mut self, before: u64) -> u64 {
        let held = self.events.len();
        self.events.retain(|event| event.recorded_at >= at(before));
        (held - self.events.len()) as u64
    }
}

fn draft() -> impl Strategy<Value = Draft> {
    (0..KINDS.len(), 0..3u128, prop::bool::weighted(0.05)).prop_map(|(kind, correlation, oversized)| Draft {
        kind,
        correlation,
        oversized,
    })
}

fn ask() -> impl Strategy<Value = Ask> {
    let range = (option::of(0..50u64), option::of(0..50u64));
    let parts =
        (vec(0..KINDS.len(), 0..3), range, option::of(0..3u128), any::<bool>(), 0..4usize, option::of(0..5usize));
    parts.prop_map(|(kinds, range, correlation, descending, offset, limit)| Ask {
        kinds,
        range,
        correlation,
        descending,
        offset,
        limit,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (draft(), 0..50u64).prop_map(|(draft, now)| Step::Append(draft, now)),
        2 => (vec(draft(), 0..6), 0..50u64).prop_map(|(drafts, now)| Step::Batch(drafts, now)),
        1 => (0..50u64).prop_map(Step::Prune),
        3 => ask().prop_map(Step::Ask),
    ]
}

fn take(step: &Step, log: &MemoryLog, model: &mut Model) {
    match step {
        Step::Append(draft, now) => {
            let id = log.append(draft.event(), at(*now)).ok();
            let expected = model.append(std::slice::from_ref(draft), *now);
            assert_eq!(id.map(|id| vec![id]), expected);
        }
        Step::Batch(drafts, now) => {
            let batch = drafts.iter().map(Draft::event).collect();
            let ids = log.append_batch(batch, at(*now)).ok().map(|appended| appended.ids);
            assert_eq!(ids, model.append(drafts, *now));
        }
        Step::Prune(before) => {
            assert_eq!(log.prune_before(at(*before)), model.prune(*before));
        }
        Step::Ask(ask) => {
            let found = log.query(&ask.query());
            let ids: Vec<_> = found.iter().map(|event| event.id).collect();
            assert_eq!(ids, ask.ask(&model.events));
        }
    }
}

fn compare(log: &MemoryLog, model: &Model) {
    let held = log.query(&Query::new());
    assert!(held.iter().map(Arc::as_ref).eq(&model.events));
    for id in 1..=model.recorded + 1 {
        let id = EventId::new(id).unwrap();
        let expected = model.events.iter().find(|event| event.id == id);
        assert_eq!(log.get(id).as_deref(), expected);
    }
    let stats = log.stats();
    assert_eq!(stats.recorded, model.recorded);
    assert_eq!(stats.held, model.events.len() as u64);
    assert_eq!(stats.held + stats.pruned, stats.recorded);
    assert_eq!(stats.oldest, model.events.first().map(|event| event.id));
    assert_eq!(stats.newest, model.events.last().map(|event| event.id));
    assert_eq!(stats.bytes == 0, model.events.is_empty());
}

proptest! {
    #[test]
    fn the_memory_log_does_what_a_naive_list_does(steps in vec(step(), 0..40)) {
        let limits = EventLimits { max_payload_bytes: 50, ..EventLimits::default() };
        let log = MemoryLog::new("production").with_limits(limits);
        let mut model = Model::default();
        for step in &steps {
            take(step, &log, &mut model);
            compare(&log, &model);
        }
    }
}
