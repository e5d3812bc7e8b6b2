//! A log against a plain model of it, over random histories.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;

use super::contract::{Open, at, id, ids, is_clean};
use crate::*;

const KINDS: [EventKind; 3] =
    [EventKind::from_static("opened"), EventKind::from_static("closed"), EventKind::from_static("moved")];

#[derive(Debug, Clone)]
pub(crate) struct Draft {
    kind: usize,
    correlation: u128,
    key: Option<u8>,
    oversized: bool,
}

impl Draft {
    fn key(&self) -> Option<String> {
        self.key.map(|key| format!("key {key}"))
    }

    fn event(&self) -> NewEvent {
        let payload = if self.oversized { "x".repeat(100) } else { String::new() };
        let event = NewEvent::of(KINDS[self.kind].clone()).payload(payload);
        let event = event.unwrap().correlation(Uuid::from_u128(self.correlation));
        self.key().into_iter().fold(event, NewEvent::idempotency_key)
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Commit(Vec<(Vec<Draft>, Option<u64>)>, u64),
    Prune(PruneBound, Option<u64>, usize),
    Ask(Ask),
    Reopen,
}

#[derive(Debug, Clone)]
pub(crate) struct Ask {
    kinds: Vec<usize>,
    range: (Option<u64>, Option<u64>),
    correlation: Option<u128>,
    after: Option<u64>,
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
        query = self.correlation.map(Uuid::from_u128).into_iter().fold(query, Query::correlation);
        query = self.after.map(id).into_iter().fold(query, Query::after);
        query = self.limit.into_iter().fold(query, Query::limit);
        match self.descending {
            true => query.order(Order::Descending),
            false => query,
        }
    }

    /// The same query, evaluated naively over a list.
    fn ask(&self, events: &[Event]) -> Vec<u64> {
        let mut found = Vec::new();
        for event in events {
            let kind = KINDS.iter().position(|kind| *kind == event.kind).unwrap();
            let early = self.range.0.is_some_and(|from| event.recorded_at < at(from));
            let late = self.range.1.is_some_and(|until| event.recorded_at >= at(until));
            let wanted = self.kinds.is_empty() || self.kinds.contains(&kind);
            let apart = self.correlation.is_some_and(|c| event.correlation_id.as_u128() != c);
            let id = event.id.get();
            let passed = self.after.is_some_and(|after| if self.descending { id >= after } else { id <= after });
            if wanted && !early && !late && !apart && !passed {
                found.push(id);
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

/// A log in its simplest form, without regard to cost.
#[derive(Default)]
struct Model {
    events: Vec<Event>,
    recorded: u64,
    latest: u64,
}

impl Model {
    fn append(&mut self, drafts: &[Draft], expected: Option<u64>, now: u64) -> Option<Vec<u64>> {
        if drafts.iter().any(|draft| draft.oversized) || expected.is_some_and(|expected| expected != self.recorded) {
            return None;
        }
        Some(drafts.iter().map(|draft| self.record(draft, now)).collect())
    }

    fn record(&mut self, draft: &Draft, now: u64) -> u64 {
        let known = self.events.iter().find(|event| draft.key.is_some() && event.idempotency_key == draft.key());
        if let Some(known) = known {
            return known.id.get();
        }
        self.recorded += 1;
        self.latest = self.latest.max(now);
        let mut event = draft.event().record(id(self.recorded), "production", at(self.latest));
        event.observed_at = at(now);
        self.events.push(event);
        self.recorded
    }

    fn prune(&mut self, bound: PruneBound, keep_from: Option<EventId>, at_most: usize) -> u64 {
        let surplus = match bound {
            PruneBound::Before(time) => self.events.iter().filter(|event| event.recorded_at < time).count(),
            PruneBound::Count(limit) => self.events.len().saturating_sub(limit as usize),
            PruneBound::Bytes(_) => unreachable!("what a byte is, is up to the log"),
        };
        let free = self.events.iter().filter(|event| keep_from.is_none_or(|keep_from| event.id < keep_from)).count();
        self.events.drain(..surplus.min(at_most).min(free)).count() as u64
    }
}

fn draft() -> impl Strategy<Value = Draft> {
    let parts = (0..KINDS.len(), 0..3u128, option::weighted(0.3, 0..4u8), prop::bool::weighted(0.05));
    parts.prop_map(|(kind, correlation, key, oversized)| Draft { kind, correlation, key, oversized })
}

fn ask() -> impl Strategy<Value = Ask> {
    let range = (option::of(0..50u64), option::of(0..50u64));
    let page = (option::of(1..30u64), any::<bool>(), 0..4usize, option::of(0..5usize));
    let parts = (vec(0..KINDS.len(), 0..3), range, option::of(0..3u128), page);
    parts.prop_map(|(kinds, range, correlation, (after, descending, offset, limit))| Ask {
        kinds,
        range,
        correlation,
        after,
        descending,
        offset,
        limit,
    })
}

fn bound() -> impl Strategy<Value = PruneBound> {
    prop_oneof![(0..50u64).prop_map(|second| PruneBound::Before(at(second))), (0..20u64).prop_map(PruneBound::Count)]
}

fn step() -> impl Strategy<Value = Step> {
    let append = (vec(draft(), 0..5), option::weighted(0.2, 0..10u64));
    prop_oneof![
        5 => (vec(append, 1..4), 0..50u64).prop_map(|(group, now)| Step::Commit(group, now)),
        1 => (bound(), option::weighted(0.3, 1..30u64), 1..5usize)
            .prop_map(|(bound, keep_from, at_most)| Step::Prune(bound, keep_from, at_most)),
        3 => ask().prop_map(Step::Ask),
        1 => Just(Step::Reopen),
    ]
}

/// A random history of a log.
pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 0..30)
}

fn take(step: &Step, log: &mut dyn EventLog, model: &mut Model) {
    match step {
        Step::Commit(group, now) => {
            let append = |(drafts, expected): &(Vec<Draft>, Option<u64>)| {
                let expected = expected.map_or(ExpectedPosition::Any, |it| ExpectedPosition::Exactly(EventId::new(it)));
                Append::new(drafts.iter().map(Draft::event).collect()).expecting(expected)
            };
            let answers = log.commit(group.iter().map(append).collect(), at(*now)).unwrap();
            assert_eq!(answers.len(), group.len());
            for (answer, (drafts, expected)) in answers.into_iter().zip(group) {
                let given = answer.ok().map(|it| it.ids.iter().map(|id| id.get()).collect());
                assert_eq!(given, model.append(drafts, *expected, *now));
            }
        }
        Step::Prune(bound, keep_from, at_most) => {
            let keep_from = keep_from.map(id);
            assert_eq!(log.prune(*bound, keep_from, *at_most).unwrap(), model.prune(*bound, keep_from, *at_most));
        }
        Step::Ask(ask) => assert_eq!(ids(log, &ask.query()), ask.ask(&model.events)),
        Step::Reopen => {}
    }
}

fn compare(log: &dyn EventLog, model: &Model) {
    let reader = log.reader().unwrap();
    let held = reader.query(&Query::new()).unwrap();
    assert!(held.iter().map(Arc::as_ref).eq(&model.events));
    for number in 1..=model.recorded + 1 {
        let expected = model.events.iter().find(|event| event.id.get() == number);
        assert_eq!(reader.get(id(number)).unwrap().as_deref(), expected);
    }
    let stats = reader.stats().unwrap();
    assert_eq!((stats.recorded, stats.held), (model.recorded, model.events.len() as u64));
    assert_eq!(stats.held + stats.pruned, stats.recorded);
    assert_eq!(stats.oldest, model.events.first().map(|event| event.id));
    assert_eq!(stats.newest, model.events.last().map(|event| event.id));
    assert_eq!(stats.bytes == 0, model.events.is_empty());
}

/// Runs the steps, and compares the log with the model after each.
pub(crate) fn live(steps: &[Step], open: Open<'_>) {
    let (mut log, mut model) = (open(), Model::default());
    for step in steps {
        if let Step::Reopen = step {
            drop(log);
            log = open();
        }
        take(step, &mut *log, &mut model);
        compare(&*log, &model);
    }
    is_clean(&*log);
}
