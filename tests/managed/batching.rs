//! Batches: done together, or undone together.

use std::time::Duration;

use foundation::names::{ServiceKey, ServiceName};
use foundation_managed::{Batch, BatchError, ServiceStatus};
use foundation_testkit::soon;
use serde_json::{Value, json};
use tokio::time::advance;

use crate::setup::{ClerkMsg, DESK, DOOR, Desk, World, broken, desk, kept, needing, world, world_in};

static SHELF: ServiceName = ServiceName::from_static("shelf");

fn config(desk: &Desk) -> Value {
    serde_json::to_value(desk).unwrap()
}

/// What there is: each service with its status, the generation that runs, and its answer.
async fn picture(world: &World) -> Vec<(String, ServiceStatus, Value, Result<u64, String>)> {
    let mut picture = Vec::new();
    for record in world.managed.all() {
        let config = serde_json::to_value(&record.config).unwrap();
        let answer = if record.running.is_some() { world.answer(&record.name).await } else { Ok(0) };
        picture.push((record.name.to_string(), record.status(), config, answer));
    }
    picture
}

/// Desk and door run.
async fn office() -> World {
    let world = world().await;
    world.started(&DOOR, desk(1)).await;
    world.started(&DESK, desk(2).replaced_by("blue_green")).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_batch_starts_replaces_and_stops_services_together() {
    let world = office().await;
    let batch = Batch::new()
        .declare(&SHELF, "clerks", config(&desk(3).checked()))
        .start(&SHELF)
        .configure(&DESK, config(&Desk { answer: 5, ..needing(&["shelf"]) }.replaced_by("blue_green")))
        .stop(&DOOR);
    let report = world.managed.apply(batch).await.unwrap();
    assert_eq!(report.to_string(), "started shelf; replaced desk; stopped door");
    assert_eq!((world.answer(&SHELF).await, world.answer(&DESK).await), (Ok(3), Ok(5)));
    assert_eq!(world.status(&DOOR), ServiceStatus::Shutdown);
    assert_eq!(world.managed.by_status(ServiceStatus::Healthy).len(), 2);
    assert_eq!(world.recorded().await[4..], ["batch_begun", "batch_ended"]);
    // Afterwards the services are as any others.
    world.managed.stop(&DESK, None).await.unwrap();
    world.managed.start(&DOOR).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_batch_with_a_step_that_fails_leaves_everything_as_it_was() {
    for failing in [broken("start"), broken("pen").checked()] {
        let world = office().await;
        let before = picture(&world).await;
        let batch = Batch::new()
            .declare(&SHELF, "clerks", config(&Desk { needs: vec!["desk".to_owned()], ..failing }))
            .configure(&DESK, config(&desk(5).replaced_by("blue_green")))
            .restart(&DOOR)
            .configure(&DOOR, config(&needing(&["shelf"])))
            .start(&SHELF)
            .configure(&DESK, config(&Desk { provides: vec!["ink".to_owned()], ..desk(6) }.replaced_by("blue_green")));
        let error = world.managed.apply_within(batch, Duration::from_secs(20)).await.unwrap_err();
        assert!(matches!(error, BatchError::Undone { .. }), "{error}");
        assert!(error.to_string().starts_with("start shelf#"), "{error}");
        assert_eq!(picture(&world).await, before);
        world.managed.restart(&DESK).await.unwrap();
        assert_eq!(picture(&world).await, before);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_over_and_stopped_is_brought_back() {
    let world = office().await;
    let before = picture(&world).await;
    // The shelf needs what only the next desk provides, so that it is started after the hand-over.
    let next = Desk { provides: vec!["ink".to_owned()], ..desk(6) }.replaced_by("blue_green");
    let batch = Batch::new()
        .configure(&DESK, config(&next))
        .configure(&DOOR, config(&desk(7)))
        .declare(&SHELF, "clerks", config(&Desk { needs: vec!["+ink".to_owned()], ..broken("start") }))
        .start(&SHELF);
    let error = world.managed.apply(batch).await.unwrap_err();
    let BatchError::Undone { restarted, reason, .. } = &error else { panic!("{error}") };
    assert!(reason.contains("no pen"), "{error}");
    assert_eq!(restarted[..], [DESK.clone(), DOOR.clone()]);
    assert_eq!(picture(&world).await, before);
    assert_eq!(world.recorded().await.last().unwrap(), "batch_ended");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_not_valid_reports_every_fault_and_changes_nothing() {
    let world = office().await;
    let (before, recorded) = (picture(&world).await, world.recorded().await);
    let batch = Batch::new()
        .declare(&DESK, "clerks", config(&desk(1)))
        .start(&"dor".parse().unwrap())
        .declare(&SHELF, "clerk", json!({}))
        .configure(&DOOR, json!({ "answer": 0 }))
        .configure(&DOOR, json!({ "token": "hunter2" }))
        .configure(&DOOR, config(&broken("needs")))
        .stop(&DOOR);
    let error = world.managed.apply(batch).await.unwrap_err();
    let BatchError::Refused { faults } = &error else { panic!("{error}") };
    assert_eq!(faults.iter().map(|fault| fault.at.unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    let text = error.to_string();
    for part in ["declared already", "did you mean door?", "did you mean clerks?", "lower than 1", "secret", "panicked"]
    {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!((picture(&world).await, world.recorded().await), (before, recorded));
}

#[tokio::test(start_paused = true)]
async fn services_that_would_need_each_other_in_a_circle_or_never_be_ready_are_refused() {
    let world = office().await;
    let circle =
        Batch::new().configure(&DESK, config(&needing(&["door"]))).configure(&DOOR, config(&needing(&["desk"])));
    let text = world.managed.apply(circle).await.unwrap_err().to_string();
    assert!(text.contains("need each other in a circle: desk needs door needs desk"), "{text}");
    let lacking = Batch::new().declare(&SHELF, "clerks", config(&needing(&["+ink"]))).start(&SHELF);
    let text = world.managed.apply(lacking).await.unwrap_err().to_string();
    assert!(text.contains("it needs capability ink, and no service that is to run provides that"), "{text}");
    assert!(world.managed.apply(Batch::new()).await.unwrap().to_string().contains("nothing"));
}

#[tokio::test(start_paused = true)]
async fn callers_of_a_service_that_is_handed_over_and_back_are_never_refused() {
    let world = office().await;
    let clerk = world.names.via(&foundation_managed::Managed::key::<ClerkMsg>(&DESK).unwrap());
    let calling = async {
        loop {
            let answer = clerk.call(ClerkMsg::Ask, Duration::from_secs(5)).await;
            assert!(matches!(answer, Ok(2 | 6)), "{answer:?}");
            advance(Duration::from_millis(1)).await;
        }
    };
    let next = Desk { provides: vec!["ink".to_owned()], ..desk(6) }.replaced_by("blue_green");
    let batch = Batch::new()
        .configure(&DESK, config(&next))
        .declare(&SHELF, "clerks", config(&Desk { needs: vec!["+ink".to_owned()], ..broken("start") }))
        .start(&SHELF);
    tokio::select! {
        () = calling => {}
        done = world.managed.apply(batch) => assert!(matches!(done, Err(BatchError::Undone { .. })), "{done:?}"),
    }
    assert_eq!(world.answer(&DESK).await, Ok(2));
}

impl World {
    /// Returns when the service of this name answers this.
    async fn becomes_answer(&self, name: &ServiceName, answer: u64) {
        let becoming = async {
            while self.answer(name).await != Ok(answer) {
                advance(Duration::from_millis(1)).await;
            }
        };
        soon(format!("{name} answers {answer}"), becoming).await;
    }
}

/// Returns when the steps of a batch have begun.
async fn batch_begun(world: &World) {
    let begun = async {
        while world.recorded().await.last().is_none_or(|kind| kind != "batch_begun") {
            advance(Duration::from_millis(1)).await;
        }
    };
    soon("the batch begins", begun).await;
}

/// A batch that does not end by itself for an hour: its last step waits for checks that fail.
fn endless() -> Batch {
    let next = Desk { provides: vec!["ink".to_owned()], ..desk(6) }.replaced_by("blue_green");
    Batch::new()
        .configure(&DESK, config(&next))
        .restart(&DOOR)
        .declare(&SHELF, "clerks", config(&Desk { needs: vec!["+ink".to_owned()], ..broken("pen").checked() }))
        .start(&SHELF)
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_ends_during_a_batch_leaves_the_undo_to_the_next() {
    let world = office().await;
    let before = picture(&world).await;
    let managed = world.managed.clone();
    let applying = tokio::spawn(async move { managed.apply_within(endless(), Duration::from_secs(3_600)).await });
    batch_begun(&world).await;
    world.becomes_answer(&DESK, 6).await;
    let manager = ServiceKey::<()>::new("managed.manager").unwrap();
    world.names.lookup_any(manager.name()).unwrap().cell().kill();
    let error = applying.await.unwrap().unwrap_err();
    assert!(matches!(error, BatchError::Unclear { .. }), "{error}");
    world.becomes_answer(&DESK, 2).await;
    world.becomes(&DESK, ServiceStatus::Healthy).await;
    world.becomes(&DOOR, ServiceStatus::Healthy).await;
    assert_eq!(picture(&world).await, before);
    assert_eq!(world.recorded().await.last().unwrap(), "batch_ended");
}

#[tokio::test]
async fn a_process_that_ends_during_a_batch_leaves_nothing_of_it() {
    let storage = kept();
    let first = world_in(storage.clone()).await;
    first.started(&DOOR, desk(1)).await;
    first.started(&DESK, desk(2).replaced_by("blue_green")).await;
    let before = picture(&first).await;
    let managed = first.managed.clone();
    let applying = tokio::spawn(async move { managed.apply_within(endless(), Duration::from_secs(3_600)).await });
    let begun = async {
        while first.recorded().await.last().is_none_or(|kind| kind != "batch_begun") {
            tokio::task::yield_now().await;
        }
    };
    soon("the batch begins", begun).await;
    first.registry.shutdown().await;
    assert!(applying.await.unwrap().is_err());

    let second = world_in(storage).await;
    second.becomes(&DESK, ServiceStatus::Healthy).await;
    second.becomes(&DOOR, ServiceStatus::Healthy).await;
    assert_eq!(picture(&second).await, before);
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_the_end_of_a_batch() {
    let world = office().await;
    let managed = world.managed.clone();
    let applying = tokio::spawn(async move { managed.apply_within(endless(), Duration::from_secs(20)).await });
    batch_begun(&world).await;
    let (stopped, second) = tokio::join!(
        world.managed.stop(&DOOR, None),
        world.managed.apply(Batch::new().configure(&DESK, config(&desk(8)))),
    );
    assert!(applying.is_finished() && stopped.is_ok());
    assert_eq!(second.unwrap().to_string(), "replaced desk");
    assert_eq!((world.answer(&DESK).await, world.status(&DOOR)), (Ok(8), ServiceStatus::Shutdown));
}
