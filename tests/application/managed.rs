//! Managed services through the services of a namespace: there if they are used, isolated, recorded, measured, and part of
//! the health.

use std::sync::Arc;

use foundation::events::Query;
use foundation::health::Condition;
use foundation::managed::{
    LifecycleWatched, Managed, ManagedError, ManagedRecording, Need, ServiceContext, ServiceKind, ServiceStatus,
};
use foundation::names::ServiceName;
use foundation::supervision::{BoxError, ChildSpec};
use foundation::{Foundation, FoundationError, Services};
use foundation_testkit::{Probe, eventually, soon};
use garde::Validate;
use serde::{Deserialize, Serialize};

static DESK: ServiceName = ServiceName::from_static("desk");
static DOOR: ServiceName = ServiceName::from_static("door");

/// What a desk needs.
#[derive(Serialize, Deserialize, Validate)]
struct Desk {
    #[garde(skip)]
    needs: Vec<String>,
}

struct Clerks;

impl ServiceKind for Clerks {
    type Config = Desk;
    const NAME: &'static str = "clerks";

    fn child(&self, context: &ServiceContext, _: Arc<Desk>) -> Result<ChildSpec, BoxError> {
        context.child_spec(|| (Probe::default(), ()))
    }

    fn needs(&self, desk: &Desk) -> Vec<Need> {
        desk.needs.iter().filter_map(|name| Some(Need::service(&ServiceName::new(name).ok()?))).collect()
    }
}

/// A kind with the name of another one.
struct OtherClerks;

impl ServiceKind for OtherClerks {
    type Config = Desk;
    const NAME: &'static str = Clerks::NAME;

    fn child(&self, _: &ServiceContext, _: Arc<Desk>) -> Result<ChildSpec, BoxError> {
        Err("no desk".into())
    }
}

async fn started(services: &Services, name: &ServiceName, needs: &[&str]) {
    let needs = needs.iter().map(|it| (*it).to_owned()).collect();
    services.managed().declare::<Clerks>(name, &Desk { needs }).await.unwrap();
    soon("the start", services.managed().start(name)).await.unwrap();
}

async fn becomes(services: &Services, name: &ServiceName, status: ServiceStatus) {
    let mut watch = services.managed().watch();
    let becoming = async {
        while !services.managed().status(name).is_ok_and(|record| record.status() == status) {
            let _: LifecycleWatched = watch.next().await.unwrap();
        }
    };
    soon(format!("{name} becomes {status}"), becoming).await;
}

#[tokio::test]
async fn a_namespace_has_managed_services_only_if_there_is_a_kind_or_they_are_asked_for() {
    let without = Foundation::builder().start().await.unwrap();
    let error = without.production().managed().start(&DESK).await.unwrap_err();
    assert!(matches!(error, ManagedError::NoManager { .. }), "{error}");
    assert!(!without.tree().await.to_string().contains("managed"));
    without.shutdown().await;

    let with = Foundation::builder().managed().start().await.unwrap();
    let managed: &Managed = with.production().managed();
    managed.register_kind(Clerks).unwrap();
    started(with.production(), &DESK, &[]).await;
    assert!(with.tree().await.to_string().contains("desk.main"));
    with.shutdown().await;
}

#[tokio::test]
async fn each_namespace_has_the_kinds_and_services_of_its_own() {
    let foundation = Foundation::builder().kind(Clerks).start().await.unwrap();
    let test = foundation.test_namespace().await.unwrap();
    let other = test.services();
    started(foundation.production(), &DESK, &[]).await;
    assert_eq!(other.managed().kinds()[0].name, "clerks");
    assert!(other.managed().all().is_empty());
    started(other, &DESK, &[]).await;
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_kind_that_is_refused_is_the_error_of_the_start() {
    let error = Foundation::builder().kind(Clerks).kind(OtherClerks).start().await.unwrap_err();
    assert!(matches!(error, FoundationError::Kind(_)), "{error}");
    assert_eq!(error.to_string(), "kind clerks is registered already");
}

#[tokio::test]
async fn the_changes_of_a_service_are_recorded_counted_and_part_of_the_health() {
    let foundation = Foundation::builder().kind(Clerks).start().await.unwrap();
    let services = foundation.production();
    started(services, &DOOR, &[]).await;
    started(services, &DESK, &["door"]).await;
    assert_eq!(foundation.health().await.condition(), Condition::Healthy);
    soon("the stop", services.managed().stop(&DOOR, None)).await.unwrap();
    becomes(services, &DESK, ServiceStatus::Unhealthy).await;

    let health = foundation.health().await;
    let unhealthy = health.unhealthy().find(|service| service.name == "managed").unwrap();
    assert_eq!(unhealthy.to_string(), "degraded: desk is unhealthy: it lacks service door");

    let query = Query::new().kinds([ManagedRecording::SERVICE_STATUS_CHANGED]);
    let lacks = eventually("the recorded change", async || {
        let events = services.events().query(query.clone()).await.unwrap();
        events.into_iter().find(|event| event.payload["to"] == "unhealthy")
    })
    .await;
    assert_eq!((&lacks.payload["service"], &lacks.payload["from"]), (&"desk".into(), &"healthy".into()));
    assert_eq!(lacks.payload["cause"], "it lacks service door");

    let snapshot = services.telemetry().snapshot();
    let services_of = |status: &str| snapshot.gauge(&format!(r#"managed.services{{status="{status}"}}"#));
    assert_eq!((services_of("unhealthy"), services_of("healthy")), (Some(1.0), Some(0.0)));
    let transitions_to = |status: &str| snapshot.counter(&format!(r#"managed.transitions{{to="{status}"}}"#));
    assert_eq!((transitions_to("unhealthy"), transitions_to("shutdown")), (Some(1), Some(1)));
    let text = services.telemetry().prometheus();
    assert!(text.contains("managed_services{") && text.contains("managed_transitions_total{"), "{text}");
    foundation.shutdown().await;
}
