//! Borrowing an actor while another thread registers and unregisters other names all the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dashmap::DashMap;
use foundation::ServiceKey;
use foundation::names::ServiceRegistry;
use foundation::ractor::{ActorCell, ActorRef};

use crate::actors::EchoMsg;
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::sample::{Batch, Sample, time};
use crate::stage::{Stage, started};

/// The number of names that stay in the table, which has grown by their registration.
const STANDING: usize = 10_000;
/// The number of names that are registered and unregistered.
const CHURNED: usize = 64;

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("lookup_beside_writer", 2, beside_writer)]
}

fn beside_writer(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let key = stage.echo();
    let (_, actor) = stage.spawn_bare("churned");
    let churned = keys("churned", CHURNED);
    for key in keys("standing", STANDING) {
        register(&stage.registry, &key, &actor);
    }
    let ours = beside(
        || started(stage.registry.with(key, |actor| actor.get_id().pid())),
        |n| {
            let key = &churned[n % CHURNED];
            register(&stage.registry, key, &actor);
            stage.registry.unregister(key);
        },
    );

    let map: DashMap<String, ActorCell> = DashMap::new();
    let insert = |key: &ServiceKey<EchoMsg>| map.insert(key.name().as_str().to_owned(), actor.get_cell());
    keys("standing", STANDING).iter().chain([key]).for_each(|key| drop(insert(key)));
    let peer = beside(
        || map.get(key.name().as_str()).map(|entry| entry.value().get_id()),
        |n| {
            let key = &churned[n % CHURNED];
            insert(key);
            map.remove(key.name().as_str());
        },
    );
    contest.between(ours, [Peer::new("DashMap", 0.8, peer)])
}

fn keys(stem: &str, count: usize) -> Vec<ServiceKey<EchoMsg>> {
    (0..count).map(|n| started(ServiceKey::new(format!("{stem}-{n}")))).collect()
}

/// A registration never waits when the name is free.
fn register(registry: &ServiceRegistry, key: &ServiceKey<EchoMsg>, actor: &ActorRef<EchoMsg>) {
    started(futures::executor::block_on(registry.register(key, actor)));
}

/// Times a reader while a writer is at work in another thread.
fn beside<'a, T>(mut read: impl FnMut() -> T + 'a, write: impl Fn(usize) + Sync + 'a) -> Batch<'a> {
    Box::new(move |operations| {
        let (writing, done) = (&AtomicBool::new(false), &AtomicBool::new(false));
        thread::scope(|scope| {
            let write = &write;
            scope.spawn(move || {
                for n in 0.. {
                    write(n);
                    writing.store(true, Ordering::Release);
                    if done.load(Ordering::Acquire) {
                        break;
                    }
                }
            });
            while !writing.load(Ordering::Acquire) {
                thread::yield_now();
            }
            let span = time(operations, &mut read);
            done.store(true, Ordering::Release);
            Sample::Took(span.length())
        })
    })
}
