//! Random histories of the SQLite log and of the memory log: the answers are the same.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::{
    EventId, EventLimits, EventSource, EventStats, ExpectedPosition, MemoryLog, Order, PruneBound, SubscriptionName,
};

const KINDS: [&str; 3] = ["opened", "closed", "moved"];

#[derive(Debug, Clone)]
struct Draft {
    kind: usize,
    correlation: u128,
    cause: Option<u64>,
    source: Option<(usize, Option<usize>)>,
    key: Option<u8>,
    payload: i8,
    oversized: bool,
}

impl Draft {
    fn event(&self) -> NewEvent {
        let payload =
            json!({ "n": self.payload, "text": if self.oversized { "x".repeat(300) } else { String::new() } });
        let mut new = event(KINDS[self.kind]).payload(payload).unwrap().correlation(Uuid::from_u128(self.correlation));
        if let Some(id) = self.cause.and_then(EventId::new) {
            new = new.caused_by(&event("cause").record(id, "production", UNIX_EPOCH));
        }
        if let Some((service, actor)) = self.source {
            let source = EventSource::new(KINDS[service]);
            new = new.source(actor.map_or(source.clone(), |actor| source.actor(KINDS[actor])));
        }
        match self.key {
            Some(key) => new.idempotency_key(format!("key '{key}")),
            None => new,
        }
    }
}

fn drafts() -> impl Strategy<Value = Draft> {
    let source = option::weighted(0.4, (0..3usize, option::of(0..3usize)));
    let key = option::weighted(0.3, 0..6u8);
    (0..3usize, 0..3u128, option::weighted(0.4, 0..12u64), source, key, 0..3i8, prop::bool::weighted(0.05)).prop_map(
        |(kind, correlation, cause, source, key, payload, oversized)| Draft {
            kind,
            correlation,
            cause,
            source,
            key,
            payload,
            oversized,
        },
    )
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(Vec<Draft>, Option<u64>)>, u64),
    Prune(PruneBound, Option<u64>, usize),
    Acknowledge(u8, u64),
    Forget(u8),
    Reopen,
    Maintain,
    Import(Vec<u8>, u64),
    Ask(Ask),
}

fn steps() -> impl Strategy<Value = Step> {
    let append = (vec(drafts(), 0..4), option::weighted(0.1, 0..20u64));
    let bound = prop_oneof![(0..60u64).prop_map(|s| PruneBound::Before(at(s))), (0..20u64).prop_map(PruneBound::Count)];
    prop_oneof![
        6 => (vec(append, 0..5), 0..60u64).prop_map(|(group, now)| Step::Commit(group, now)),
        2 => (bound, option::weighted(0.3, 1..30u64), 0..6usize)
            .prop_map(|(bound, keep_from, at_most)| Step::Prune(bound, keep_from, at_most)),
        1 => (0..2u8, 1..30u64).prop_map(|(name, id)| Step::Acknowledge(name, id)),
        1 => (0..2u8).prop_map(Step::Forget),
        1 => Just(Step::Reopen),
        1 => Just(Step::Maintain),
        1 => (vec(0..3u8, 1..4), 0..60u64).prop_map(|(keys, now)| Step::Import(keys, now)),
        5 => asks().prop_map(Step::Ask),
    ]
}

#[derive(Debug, Clone)]
struct Ask {
    kinds: Vec<usize>,
    range: (Option<u64>, Option<u64>),
    correlation: Option<u128>,
    causes: Vec<u64>,
    source: Option<(usize, Option<usize>)>,
    payload: Option<i8>,
    after: Option<u64>,
    page: (bool, usize, Option<usize>),
}

fn asks() -> impl Strategy<Value = Ask> {
    let range = (option::weighted(0.3, 0..60u64), option::weighted(0.3, 0..60u64));
    let source = option::weighted(0.3, (0..3usize, option::of(0..3usize)));
    let (kinds, causes) = (vec(0..3usize, 0..3), vec(1..12u64, 0..3));
    let page = (any::<bool>(), 0..3usize, option::of(0..5usize));
    let (correlation, payload) = (option::weighted(0.3, 0..3u128), option::weighted(0.3, 0..3i8));
    let after = option::weighted(0.3, 1..30u64);
    (kinds, range, correlation, (prop::bool::weighted(0.3), causes), source, payload, after, page).prop_map(
        |(kinds, range, correlation, (by_cause, causes), source, payload, after, page)| {
            let causes = if by_cause { causes } else { Vec::new() };
            Ask { kinds, range, correlation, causes, source, payload, after, page }
        },
    )
}

impl Ask {
    fn query(&self) -> Query {
        let (descending, offset, limit) = self.page;
        let mut query = Query::new().offset(offset).kinds(self.kinds.iter().map(|kind| KINDS[*kind].parse().unwrap()));
        query = self.range.0.into_iter().fold(query, |query, time| query.from(at(time)));
        query = self.range.1.into_iter().fold(query, |query, time| query.until(at(time)));
        query = self.correlation.into_iter().fold(query, |query, id| query.correlation(Uuid::from_u128(id)));
        query = self.causes.iter().fold(query, |query, id| query.causation(EventId::new(*id).unwrap()));
        query = self.after.into_iter().fold(query, |query, id| query.after(EventId::new(id).unwrap()));
        query = self.payload.into_iter().fold(query, |query, n| query.payload("/n", n).unwrap());
        query = limit.into_iter().fold(query, Query::limit);
        if let Some((service, actor)) = self.source {
            let source = EventSource::new(KINDS[service]);
            query = query.source(actor.map_or(source.clone(), |actor| source.actor(KINDS[actor])));
        }
        query.order(if descending { Order::Descending } else { Order::Ascending })
    }
}

fn subscription(name: u8) -> SubscriptionName {
    SubscriptionName::new(format!("s{name}")).unwrap()
}

fn limits() -> EventLimits {
    EventLimits::new().max_payload_bytes(200)
}

fn open(file: &TestFile) -> SqliteLog {
    SqliteLog::open(file.path(), "production", SqliteOptions::default().limits(limits())).unwrap()
}

/// The two logs, which get the same requests.
struct Pair {
    file: TestFile,
    sqlite: Option<SqliteLog>,
    memory: MemoryLog,
}

impl Pair {
    fn new() -> Self {
        let file = TestFile::new();
        let memory = MemoryLog::new("production").with_limits(limits());
        Self { sqlite: Some(open(&file)), memory, file }
    }

    fn sqlite(&mut self) -> &mut SqliteLog {
        self.sqlite.as_mut().unwrap()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Commit(group, now) => {
                let group: Vec<Append> = group.into_iter().map(append).collect();
                let theirs = self.memory.commit(group.clone(), at(now)).unwrap();
                assert_eq!(self.sqlite().commit(group, at(now)).unwrap(), theirs);
            }
            Step::Prune(bound, keep_from, at_most) => {
                let keep_from = keep_from.and_then(EventId::new);
                let theirs = self.memory.prune(bound, keep_from, at_most).unwrap();
                assert_eq!(self.sqlite().prune(bound, keep_from, at_most).unwrap(), theirs);
            }
            Step::Acknowledge(name, id) => {
                let id = EventId::new(id).unwrap();
                self.memory.acknowledge(&subscription(name), id).unwrap();
                self.sqlite().acknowledge(&subscription(name), id).unwrap();
            }
            Step::Forget(name) => {
                let theirs = self.memory.forget_subscription(&subscription(name)).unwrap();
                assert_eq!(self.sqlite().forget_subscription(&subscription(name)).unwrap(), theirs);
            }
            Step::Reopen => {
                self.sqlite = None;
                self.sqlite = Some(open(&self.file));
            }
            Step::Maintain => drop(self.sqlite().maintain().unwrap()),
            Step::Import(keys, now) => self.import(&keys, now),
            Step::Ask(ask) => {
                let theirs = self.memory.query(&ask.query());
                assert_eq!(reader(self.sqlite()).query(&ask.query()).unwrap(), theirs, "{ask:?}");
            }
        }
    }

    /// Events that continue the logs, as far as keys and time allow.
    fn import(&mut self, keys: &[u8], now: u64) {
        let first = self.memory.stats().recorded + 1;
        let events: Vec<Event> = (first..)
            .zip(keys)
            .map(|(id, key)| {
                let new = event("imported").correlation(Uuid::nil()).idempotency_key(format!("key '{key}"));
                new.record(EventId::new(id).unwrap(), "elsewhere", at(now))
            })
            .collect();
        let theirs = self.memory.import(events.clone()).unwrap();
        assert_eq!(self.sqlite().import(events).unwrap(), theirs);
    }

    fn compare(&mut self) {
        let memory = self.memory.clone();
        let reader = reader(self.sqlite());
        let without_bytes = |stats: EventStats| EventStats { bytes: 0, ..stats };
        assert_eq!(without_bytes(reader.stats().unwrap()), without_bytes(memory.stats()));
        for name in 0..2 {
            let theirs = EventReader::acknowledged(&memory, &subscription(name)).unwrap();
            assert_eq!(reader.acknowledged(&subscription(name)).unwrap(), theirs);
        }
        for id in (1..=memory.stats().recorded + 1).filter_map(EventId::new) {
            assert_eq!(reader.get(id).unwrap(), memory.get(id));
        }
        assert_clean(self.sqlite());
    }
}

fn append((batch, expected): (Vec<Draft>, Option<u64>)) -> Append {
    let append = Append::new(batch.iter().map(Draft::event).collect());
    match expected {
        Some(position) => append.expecting(ExpectedPosition::Exactly(EventId::new(position))),
        None => append,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn it_answers_as_the_memory_log_does(steps in vec(steps(), 1..24)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.step(step);
        }
        pair.compare();
    }
}
