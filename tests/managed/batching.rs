//! Batches: done together, or undone together.

use std::time::Duration;

use foundation::names::{ServiceKey, ServiceName};
use foundation_discovery::{Criteria, Discovery, InstanceChange, InstanceWatched};
use foundation_managed::{Batch, BatchError, ManagedError, ServiceStatus};
use foundation_testkit::{first_event, soon};
use serde_json::{Value, json};
use tokio::time::advance;

use crate::setup::{ClerkMsg, DESK, DOOR, Desk, World, answers, broken, desk, kept, needing, world, world_in};

static SHELF: ServiceName = ServiceName::from_static("shelf");

fn config(desk: &Desk) -> Value {
    serde_json::to_value(desk).unwrap()
}

/// What there is: each service with its status, its configuration, its answer, and whether it is in rotation.
async fn picture(world: &World) -> Vec<(String, ServiceStatus, Value, Result<u64, String>, bool)> {
    let mut picture = Vec::new();
    for record in world.managed.all() {
        let config = serde_json::to_value(&record.config).unwrap();
        let answer = if record.running.is_some() { world.answer(&record.name).await } else { Ok(0) };
        picture.push((record.name.to_string(), record.status(), config, answer, in_rotation(world, &record.name)));
    }
    picture
}

/// Whether selectors find the service.
fn in_rotation(world: &World, name: &ServiceName) -> bool {
    let found = Discovery::of(&world.names).instances(&Criteria::service(name)).unwrap();
    found.iter().any(|found| found.status().is_in_rotation())
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

/// Returns when the beginning of a batch is recorded.
async fn batch_begun(world: &World) {
    soon("the batch begins", first_event(&world.events, "batch_begun")).await;
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
    answers(&world, 6).await;
    let manager = ServiceKey::<()>::new("managed.manager").unwrap();
    world.names.lookup_any(manager.name()).unwrap().cell().kill();
    let error = applying.await.unwrap().unwrap_err();
    assert!(matches!(error, BatchError::Unclear { .. }), "{error}");
    answers(&world, 2).await;
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
    batch_begun(&first).await;
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

/// Returns when a further instance of the service is there.
async fn another_instance(world: &World, name: &ServiceName) {
    let mut watch = Discovery::of(&world.names).watch(Criteria::service(name));
    let waiting = async {
        loop {
            if let InstanceWatched::Change(InstanceChange::Added(_)) = watch.next().await.unwrap() {
                return;
            }
        }
    };
    soon("another instance", waiting).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_stays_in_rotation_while_its_successor_is_made_and_after_an_undo() {
    let world = office().await;
    let managed = world.managed.clone();
    let next = Desk { broken: "pen".to_owned(), ..desk(6) }.checked().replaced_by("blue_green");
    let applying = tokio::spawn(async move { managed.apply(Batch::new().configure(&DESK, config(&next))).await });
    another_instance(&world, &DESK).await;
    assert!(in_rotation(&world, &DESK));
    let undone = soon("the undo", applying).await.unwrap();
    assert!(matches!(undone, Err(BatchError::Undone { .. })), "{undone:?}");
    assert!(in_rotation(&world, &DESK));
    // Nothing is left of the batch: the next stop has its own time.
    world.managed.restart(&DESK).await.unwrap();
    assert!(in_rotation(&world, &DESK));
}

#[tokio::test(start_paused = true)]
async fn a_batch_does_not_wait_for_a_service_that_has_ended_for_good() {
    let world = office().await;
    let managed = world.managed.clone();
    let batch = Batch::new().declare(&SHELF, "clerks", config(&broken("leaves").checked())).start(&SHELF);
    let applying = tokio::spawn(async move { managed.apply_within(batch, Duration::from_secs(3_600)).await });
    another_instance(&world, &SHELF).await;
    world.send(&SHELF, ClerkMsg::Fail);
    let error = soon("the undo", applying).await.unwrap().unwrap_err().to_string();
    assert!(error.contains("is not started again"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn two_changes_of_a_service_in_a_batch_are_one_replacement_without_a_gap() {
    let world = office().await;
    let batch = Batch::new()
        .configure(&DESK, config(&desk(5).replaced_by("blue_green")))
        .configure(&DESK, config(&desk(6).replaced_by("blue_green")));
    let report = world.managed.apply(batch).await.unwrap();
    assert_eq!((report.to_string().as_str(), world.answer(&DESK).await), ("replaced desk", Ok(6)));
    assert!(world.managed.status(&DESK).unwrap().running.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_services_are_busy_for_all_its_time_is_given_up() {
    let world = office().await;
    world.hang(&DOOR).await;
    let managed = world.managed.clone();
    let stopping = tokio::spawn(async move { managed.stop(&DOOR, Some(Duration::from_secs(20))).await });
    world.becomes(&DOOR, ServiceStatus::ShuttingDown).await;
    let batch = Batch::new().start(&DOOR).configure(&DESK, config(&desk(8)));
    let error = world.managed.apply_within(batch, Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(error.to_string(), "nothing was done: the batch waited 2s for door");
    assert!(soon("the stop", stopping).await.unwrap().is_ok());
    assert_eq!(world.answer(&DESK).await, Ok(2));
    world.managed.start(&DOOR).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_given_up_while_it_lacked_a_need_is_started_anew_when_that_is_back() {
    let world = world().await;
    world.started(&DOOR, desk(1)).await;
    let broken = Desk { needs: vec!["door".to_owned()], ..broken("start") };
    world.declared(&DESK, broken).await;
    let first = world.managed.start(&DESK).await.unwrap_err();
    assert!(matches!(first, ManagedError::Start { .. }), "{first}");
    world.managed.stop(&DOOR, None).await.unwrap();
    let lacking = world.managed.status(&DESK).unwrap().state.to_string();
    assert!(lacking.contains("it lacks service door") && lacking.contains("no pen"), "{lacking}");
    let watching = crate::setup::changes_until(&world, &DESK, ServiceStatus::Initializing);
    let (changes, started) = tokio::join!(watching, world.managed.start(&DOOR));
    started.unwrap();
    assert_eq!(changes, ["unhealthy to initializing"]);
    // It was tried, and requests are answered.
    let again = soon("an answer", world.managed.start(&DESK)).await.unwrap_err();
    assert!(again.to_string().contains("no pen"), "{again}");
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_is_taken_back_during_a_replacement_is_the_one_that_runs() {
    let world = world().await;
    let first = desk(1).replaced_by("blue_green");
    world.started(&DESK, first.clone()).await;
    let slow = Desk { broken: "late".to_owned(), ..desk(2) }.checked().replaced_by("blue_green");
    let managed = world.managed.clone();
    let configuring = tokio::spawn(async move { managed.configure::<crate::setup::Clerks>(&DESK, &slow).await });
    another_instance(&world, &DESK).await;
    world.managed.configure::<crate::setup::Clerks>(&DESK, &first).await.unwrap();
    assert!(soon("an answer", configuring).await.unwrap().is_err(), "another request came before its end");
    assert_eq!(world.answer(&DESK).await, Ok(1));
    let record = world.managed.status(&DESK).unwrap();
    assert_eq!((record.running, record.status()), (Some(record.generation), ServiceStatus::Healthy));
}

#[tokio::test(start_paused = true)]
async fn what_a_removed_service_needs_runs_until_it_is_gone() {
    let world = world().await;
    world.started(&DOOR, desk(1)).await;
    world.started(&DESK, needing(&["door"])).await;
    world.hang(&DESK).await;
    let (managed, other) = (world.managed.clone(), world.managed.clone());
    let removing = tokio::spawn(async move { managed.remove(&DESK).await });
    let stopping = tokio::spawn(async move { other.stop(&DOOR, None).await });
    crate::setup::passes(Duration::from_secs(5)).await;
    assert_eq!(world.answer(&DOOR).await, Ok(1));
    assert!(soon("the removal", removing).await.unwrap().is_ok());
    assert!(soon("the stop", stopping).await.unwrap().is_ok());
}
