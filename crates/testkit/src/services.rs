//! Foundations and their services.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use foundation::config::ConfigSources;
use foundation::events::{Event, EventStorage, EventSubscription, MemoryLog, SubscriptionSpec};
use foundation::names::{ProcessRegistry, ServiceName, ServiceRegistry};
use foundation::{EventStore, Foundation, FoundationBuilder, Namespace, ServiceKey, Services, TestNamespace};
use serde_json::json;

use crate::{SOON, TestClock, soon};

/// A registry and a fresh test namespace in it.
///
/// # Panics
/// If it does not start.
pub async fn test_registry() -> (ProcessRegistry, ServiceRegistry) {
    let registry = ProcessRegistry::start().await.expect("a registry starts");
    let names = registry.namespace(Namespace::test()).await.expect("a namespace starts");
    (registry, names)
}

/// The updatable settings `server.host`, `server.port` and `limits.ratio`.
pub fn settings() -> ConfigSources {
    let defaults = json!({ "server": { "host": "localhost", "port": 8080 }, "limits": { "ratio": 0.5 } });
    let sources = ConfigSources::new().defaults(defaults).expect("the defaults are an object");
    sources.updatable("server").and_then(|sources| sources.updatable("limits")).expect("the paths are valid")
}

/// A foundation with these settings.
pub fn configured() -> FoundationBuilder {
    Foundation::builder().config(settings())
}

/// The same with a clock whose [`hold_next`](TestClock::hold_next) blocks only the writers of events: they have threads
/// of their own, since their logs, one for each namespace, are taken for ones that may block.
pub fn held_up_by(clock: &TestClock) -> FoundationBuilder {
    let logs: Arc<Mutex<HashMap<Namespace, MemoryLog>>> = Arc::default();
    let storage = EventStorage::with(move |namespace| {
        let mut logs = logs.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(logs.entry(namespace).or_insert_with(|| MemoryLog::new(namespace.to_string())).clone())
    });
    configured().events(storage.clone()).test_events(storage).clock(clock.read())
}

/// Unregisters the event store: it lives, but no lookup finds it until it has been killed and restarted.
///
/// # Panics
/// If it was not registered.
pub fn unregister_event_store(services: &Services) {
    let anything = ServiceKey::<()>::from(EventStore::NAME);
    assert!(services.registry().unregister(&anything), "the event store had its name");
}

/// The process id of the actor that has this name now.
///
/// # Panics
/// If there is none.
pub fn pid(services: &Services, name: &ServiceName) -> u64 {
    let found = services.registry().service_info().services.into_iter().find(|service| service.name == *name);
    found.unwrap_or_else(|| panic!("{name} is there")).actor.pid()
}

/// The first event of this kind, which may still be to come.
///
/// # Panics
/// If the store ends before.
pub async fn first_event(store: &EventStore, kind: &str) -> Arc<Event> {
    nth_event(store, kind, 1).await
}

/// The n-th event of this kind, counted from 1, which may still be to come.
///
/// # Panics
/// If the store ends before.
pub async fn nth_event(store: &EventStore, kind: &str, n: usize) -> Arc<Event> {
    let spec = SubscriptionSpec::from_beginning().kind(kind.parse().expect("a kind of event"));
    let mut events = store.subscribe(spec).await.expect("the store takes a subscriber");
    for _ in 1..n {
        next_event(&mut events, kind).await;
    }
    next_event(&mut events, kind).await
}

async fn next_event(events: &mut EventSubscription, kind: &str) -> Arc<Event> {
    let next = soon(format!("another event {kind}"), events.next()).await;
    next.expect("the store runs").expect("the namespace has not ended")
}

/// Kills a service of the foundation's own and returns when its successor is there.
///
/// # Panics
/// If there is no such service, or no successor.
pub async fn crash(namespace: &TestNamespace, name: &ServiceName) {
    namespace.kill(name).await.expect("the service is there");
    wait_until_up(namespace.services(), name).await;
}

/// Returns when a service of the foundation's own is there.
///
/// # Panics
/// If there is no such service.
pub async fn wait_until_up(services: &Services, name: &ServiceName) {
    let up = match name.as_str() {
        "config_server" => services.config().wait_until_up(SOON).await,
        "event_store" => services.events().wait_until_up(SOON).await,
        "telemetry" => services.telemetry().wait_until_up(SOON).await,
        other => panic!("{other} is no service of the foundation"),
    };
    up.expect("the service comes up");
}
