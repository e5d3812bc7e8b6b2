//! The services without a foundation: each is a child like any other, under any supervisor of a namespace.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use foundation::events::{EventSource, EventStorage, Query};
use foundation::names::{ProcessRegistry, ServiceRegistry};
use foundation::telemetry::TelemetryOptions;
use foundation::{ConfigServer, EventStore, Namespace, NewEvent, Telemetry};
use foundation_testkit::Pool;
use serde_json::json;

async fn world() -> (ProcessRegistry, ServiceRegistry) {
    let registry = ProcessRegistry::start().await.unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    (registry, names)
}

async fn event_store(names: &ServiceRegistry) -> EventStore {
    let spec = EventStore::child_spec(names, &EventStorage::memory());
    names.supervise(spec).await.unwrap();
    EventStore::of(names)
}

#[tokio::test]
async fn an_event_store_needs_no_other_service() {
    let (registry, names) = world().await;
    let events = event_store(&names).await;
    let id = events.append(NewEvent::new("opened").unwrap()).await.unwrap();
    assert_eq!(events.recent(1).await.unwrap()[0].id, id);
    assert_eq!(names.list_services(), [EventStore::NAME]);
    registry.shutdown().await;
}

#[tokio::test]
async fn a_config_server_needs_an_event_store_and_no_telemetry_actor() {
    let (registry, names) = world().await;
    let base = Arc::new(Pool::sources().load().unwrap());
    let config = ConfigServer::new(&names, &base);
    let events = event_store(&names).await;
    names.supervise(ConfigServer::child_spec(&names, &base)).await.unwrap();
    let changed = config.update("pool.max", 9).await.unwrap();
    assert_eq!(config.section::<Pool>().unwrap().max, 9);
    assert_eq!(events.get(changed.event.unwrap()).await.unwrap().unwrap().payload["new"], 9);
    registry.shutdown().await;
}

#[tokio::test]
async fn telemetry_needs_no_other_service() {
    let (registry, names) = world().await;
    let telemetry = Telemetry::of(&names);
    names.supervise(Telemetry::child_spec(&names, &TelemetryOptions::new())).await.unwrap();
    telemetry.counter("orders").unwrap().add(3);
    assert_eq!(telemetry.snapshot().counter("orders"), Some(3));
    registry.shutdown().await;
}

/// A store may have a retention to apply long before the config server has read its records.
#[tokio::test(start_paused = true)]
async fn nothing_is_pruned_before_a_config_server_that_is_to_start_has_read_it() {
    let (registry, names) = world().await;
    let base = Arc::new(Pool::sources().load().unwrap());
    let config = ConfigServer::new(&names, &base);
    let spec = ConfigServer::child_spec(&names, &base);
    let events = event_store(&names).await;
    // Written by an earlier process.
    let earlier = NewEvent::new("config_updated").unwrap().source(EventSource::new("config_server"));
    let earlier = earlier.payload(json!({ "path": "pool.max", "old": 4, "new": 9 })).unwrap();
    events.append(earlier).await.unwrap();

    let after = SystemTime::now() + Duration::from_secs(3_600);
    assert_eq!(events.prune_before(after).await.unwrap(), 0);
    names.supervise(spec).await.unwrap();
    assert_eq!(config.section::<Pool>().unwrap().max, 9);
    assert_eq!(events.prune_before(after).await.unwrap(), 1);
    let left = events.query(Query::new()).await.unwrap();
    assert_eq!(left.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(), ["config_checkpoint"]);
    registry.shutdown().await;
}
