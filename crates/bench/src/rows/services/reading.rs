//! Finding events in a file: one by its id, and the latest hundred.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use foundation::events::EventId;
use tokio::task::spawn_blocking;

use crate::bare_log::{self, read, reader};
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::events::RunningStore;
use crate::measured::Measured;
use crate::sample::{Batch, repeated};
use crate::stage::{as_task, started};

/// The number of events in the file: more than the store keeps in memory for subscribers.
const EVENTS: u64 = 20_000;
const RECENT: usize = 100;
const PEER: &str = "a bare prepared statement";
const ELSEWHERE: &str = "the same where a task may block";

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("event_get", 1, get), BenchRow::new("event_recent_100", 1, recent)]
}

fn get(contest: &mut Contest<'_>) -> Vec<Measured> {
    let kept = full();
    let store = kept.store.clone();
    let ours = as_task(&kept.stage.runtime, move |operations| {
        let (store, mut ids) = (store.clone(), ids());
        async move {
            let begun = Instant::now();
            for _ in 0..operations {
                let id = started(EventId::new(ids()).ok_or("ids begin with 1"));
                let event = started(store.get(id).await);
                assert!(event.is_some(), "event {id} is there");
            }
            begun.elapsed()
        }
    });
    let connection = reader(kept.path());
    let (mut statement, mut one) = (started(connection.prepare(&bare_log::get())), ids());
    let bare = Peer::new(PEER, 1.5, repeated(move || read(&mut statement, one())));
    contest.between(ours, [bare, Peer::shown(ELSEWHERE, elsewhere(&kept, bare_log::get(), ids))])
}

fn recent(contest: &mut Contest<'_>) -> Vec<Measured> {
    let kept = full();
    let store = kept.store.clone();
    let ours = as_task(&kept.stage.runtime, move |operations| {
        let store = store.clone();
        async move {
            let begun = Instant::now();
            for _ in 0..operations {
                assert_eq!(started(store.recent(RECENT).await).len(), RECENT);
            }
            begun.elapsed()
        }
    });
    let connection = reader(kept.path());
    let mut statement = started(connection.prepare(&bare_log::recent()));
    let bare = Peer::new(PEER, 1.5, repeated(move || read(&mut statement, RECENT as u64)));
    contest.between(ours, [bare, Peer::shown(ELSEWHERE, elsewhere(&kept, bare_log::recent(), || || RECENT as u64))])
}

/// A bare statement in a task, which must not block its worker and runs it where blocking is allowed.
fn elsewhere<P>(kept: &RunningStore, sql: String, parameters: impl Fn() -> P + 'static) -> Batch<'static>
where
    P: FnMut() -> u64 + Send + 'static,
{
    let (connection, sql): (_, Arc<str>) = (Arc::new(Mutex::new(reader(kept.path()))), sql.into());
    as_task(&kept.stage.runtime, move |operations| {
        let (connection, sql, mut parameter) = (Arc::clone(&connection), Arc::clone(&sql), parameters());
        async move {
            let begun = Instant::now();
            for _ in 0..operations {
                let (connection, sql, parameter) = (Arc::clone(&connection), Arc::clone(&sql), parameter());
                let reading = spawn_blocking(move || {
                    let connection = started(connection.lock());
                    let mut statement = started(connection.prepare_cached(&sql));
                    read(&mut statement, parameter)
                });
                assert!(!started(reading.await).is_empty());
            }
            begun.elapsed()
        }
    })
}

fn full() -> RunningStore {
    let kept = RunningStore::in_file();
    kept.fill(EVENTS);
    kept
}

/// Ids of existing events, in no order.
fn ids() -> impl FnMut() -> u64 + Send {
    let mut seed: u32 = 1;
    move || {
        seed = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        1 + u64::from(seed >> 8) % EVENTS
    }
}
