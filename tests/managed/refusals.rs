//! What is refused changes nothing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use foundation::names::ServiceName;
use foundation_managed::limits::{MAX_KINDS, MAX_MANAGED_SERVICES, MAX_WAITING_REQUESTS};
use foundation_managed::{Batch, KindError, ManagedError, RosterError, ServiceKind, ServiceStatus};
use foundation_testkit::soon;
use serde_json::json;

use crate::setup::{
    Clerks, DESK, DOOR, Desk, SLOW, World, broken, desk, filling_storage, needing, small, value, world, world_in,
};

async fn refused(world: &World, desk: Desk) -> String {
    let error = world.managed.declare::<Clerks>(&DESK, &desk).await.unwrap_err();
    assert!(world.managed.all().is_empty() && world.recorded().await.is_empty(), "{error}");
    error.to_string()
}

#[tokio::test(start_paused = true)]
async fn an_unknown_kind_or_service_is_refused_with_its_near_misses() {
    let world = world().await;
    let error = world.managed.declare_as(&DESK, "clerk", small()).await.unwrap_err();
    assert_eq!(error.to_string(), "service desk: there is no kind clerk; did you mean clerks?");
    world.declared(&DESK, desk(1)).await;
    let disk = ServiceName::from_static("disk");
    let text = "no service disk is declared; did you mean desk?";
    for error in [
        world.managed.start(&disk).await.unwrap_err(),
        world.managed.stop(&disk, None).await.unwrap_err(),
        world.managed.restart(&disk).await.unwrap_err(),
        world.managed.remove(&disk).await.unwrap_err(),
        world.managed.configure_as(&disk, small()).await.unwrap_err(),
    ] {
        assert_eq!(error.to_string(), text);
    }
    assert!(world.managed.status(&disk).unwrap_err().to_string().contains("did you mean desk?"));
    assert_eq!(world.recorded().await, ["declared"]);
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_does_not_fit_is_refused_with_its_path_and_without_secrets() {
    let world = world().await;
    let refused_as = "service desk: its configuration as a clerks is refused: ";
    assert_eq!(refused(&world, desk(0)).await, format!("{refused_as}answer: lower than 1"));
    let secret = refused(&world, Desk { token: Some("hunter2".to_owned()), ..desk(1) }).await;
    assert!(secret.contains("token is a secret") && !secret.contains("hunter2"), "{secret}");
    let error = world.managed.declare_as(&DESK, "clerks", value(json!({ "answer": "x" }))).await.unwrap_err();
    assert!(error.to_string().contains("config path answer wants"), "{error}");
    world.started(&DESK, desk(1)).await;
    let error = world.managed.configure::<Clerks>(&DESK, &desk(0)).await.unwrap_err();
    assert!(matches!(error, ManagedError::Configuration { .. }), "{error}");
    assert_eq!((world.answer(&DESK).await, world.recorded().await.len()), (Ok(1), 2));
}

#[tokio::test(start_paused = true)]
async fn a_kind_whose_code_panics_or_makes_no_child_is_an_error_and_nothing_more() {
    let world = world().await;
    for function in ["describe", "needs", "checks", "child"] {
        let error = refused(&world, broken(function)).await;
        assert!(error.starts_with(&format!("service desk: `{function}` of kind clerks panicked")), "{error}");
    }
    assert_eq!(refused(&world, broken("no_child")).await, "service desk: kind clerks made no child: no room");
    assert!(refused(&world, broken("other_id")).await.contains("a child with the id other"));
    world.started(&DESK, desk(1)).await;
    let error = world.managed.configure::<Clerks>(&DESK, &broken("replacement")).await.unwrap_err();
    assert!(matches!(error, ManagedError::Kind { source: KindError::Panicked { .. }, .. }), "{error}");
    assert_eq!(world.answer(&DESK).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_circle_of_needs_and_a_second_declaration_are_refused() {
    let world = world().await;
    world.declared(&DESK, needing(&["door"])).await;
    let error = world.managed.declare::<Clerks>(&DOOR, &needing(&["desk"])).await.unwrap_err();
    assert!(error.to_string().contains("in a circle: "), "{error}");
    let error = world.managed.declare::<Clerks>(&DESK, &desk(2)).await.unwrap_err();
    assert!(matches!(error, ManagedError::Roster(RosterError::AlreadyDeclared { .. })), "{error}");
    let long = ServiceName::new("x".repeat(126)).unwrap();
    assert!(world.managed.declare::<Clerks>(&long, &desk(2)).await.is_err());
    assert_eq!(world.recorded().await, ["declared"]);
}

#[tokio::test(start_paused = true)]
async fn there_are_no_more_services_than_the_limit() {
    let world = world().await;
    for number in 0..MAX_MANAGED_SERVICES {
        let name = ServiceName::new(format!("clerk{number}")).unwrap();
        world.managed.declare_as(&name, "clerks", small()).await.unwrap();
    }
    let error = world.managed.declare_as(&DESK, "clerks", small()).await.unwrap_err();
    assert!(matches!(error, ManagedError::Roster(RosterError::TooMany { limit: MAX_MANAGED_SERVICES, .. })), "{error}");
    assert_eq!(MAX_KINDS, 256);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_says_why_and_can_be_requested_again() {
    let world = world().await;
    world.declared(&DESK, broken("start")).await;
    for _ in 0..2 {
        let error = world.managed.start(&DESK).await.unwrap_err();
        assert_eq!(error.to_string(), "service desk did not start: no pen");
        assert_eq!(world.status(&DESK), ServiceStatus::Unhealthy);
    }
    world.managed.configure::<Clerks>(&DESK, &desk(3)).await.unwrap();
    assert_eq!(world.answer(&DESK).await, Ok(3));
}

#[tokio::test]
async fn nothing_is_changed_while_the_store_does_not_record() {
    let (is_full, storage) = filling_storage();
    let world = world_in(storage).await;
    world.started(&DESK, desk(1)).await;
    is_full.store(true, Ordering::SeqCst);
    // The first is not answered, and the others are refused.
    for _ in 0..3 {
        let declared = world.managed.declare::<Clerks>(&DOOR, &desk(2)).await.unwrap_err();
        assert!(matches!(declared, ManagedError::NotRecorded { .. } | ManagedError::Unclear { .. }), "{declared}");
        assert!(world.managed.stop(&DESK, None).await.is_err());
    }
    assert_eq!((world.answer(&DESK).await, world.managed.all().len()), (Ok(1), 1));
    is_full.store(false, Ordering::SeqCst);
    world.events.wait_until_up(Duration::from_secs(600)).await.unwrap();
    world.declared(&DOOR, desk(2)).await;
    assert_eq!(world.recorded().await, ["declared", "wanted", "declared"]);
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_wait_for_a_batch_than_the_limit() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    let slow = serde_json::to_value(broken("slow")).unwrap();
    let batch = Batch::new().declare(&DOOR, Clerks::NAME, slow).start(&DOOR);
    let managed = world.managed.clone();
    let applying = tokio::spawn(async move { managed.apply(batch).await });
    soon("the batch begins", foundation_testkit::first_event(&world.events, "batch_begun")).await;
    let starts = (0..MAX_WAITING_REQUESTS + 2).map(|_| world.managed.start_within(&DESK, 2 * SLOW));
    let answers = futures::future::join_all(starts).await;
    let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (MAX_WAITING_REQUESTS, 2));
    for refused in refused {
        let error = refused.unwrap_err();
        assert!(matches!(error, ManagedError::TooManyWaiting { limit: MAX_WAITING_REQUESTS, .. }), "{error}");
    }
    assert!(applying.await.unwrap().is_ok());
}
