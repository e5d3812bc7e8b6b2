//! Section 7 of the conformance list: the life of the three services together.
//!
//! "Subscribers are lost after a restart", commented out upstream, is reversed: they are not. The scenarios with files
//! are in `durable`, and those of retention in `event_store`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foundation::config::ConfigUpdateError;
use foundation::events::{EventStoreError, Query};
use foundation::health::Condition;
use foundation::ractor::ActorStatus;
use foundation::supervision::{RestartIntensity, SupervisorSpec};
use foundation::telemetry::TelemetryError;
use foundation::{
    ChildSpec, ConfigServer, EventStore, Foundation, NewEvent, ServiceKey, Strategy, Telemetry, TestNamespace,
};
use foundation_testkit::{
    Behavior, Command, Log, Probe, Puppet, SOON, TestClock, alive_tasks, assert_error, configured, crash, first_event,
    held_up_by, pid, unregister_event_store, until_tasks_left, wait_until_up,
};
use futures::future::join_all;
use serde_json::Value;
use tokio::sync::mpsc;

const SERVICES: [foundation::names::ServiceName; 3] = [Telemetry::NAME, EventStore::NAME, ConfigServer::NAME];

/// One operation that involves all three services.
async fn work_together(namespace: &TestNamespace, port: u16) {
    let before = namespace.telemetry().counter("config.updates").unwrap().value();
    let changed = namespace.config().update("server.port", port).await.unwrap();
    let event = namespace.events().get(changed.event.unwrap()).await.unwrap().unwrap();
    assert_eq!(event.payload["new"], port);
    assert_eq!(namespace.config().get::<u16>("server.port").unwrap(), port);
    let snapshot = namespace.telemetry().snapshot();
    assert_eq!(snapshot.counter("config.updates"), Some(before + 1));
}

// ---- start and stop ----

#[foundation::test]
async fn fnd_7_services_start_in_dependency_order(namespace: TestNamespace) {
    // ractor numbers actors as they are started.
    let [telemetry, events, config] = SERVICES.map(|name| pid(namespace.services(), &name));
    assert!(telemetry < events && events < config, "{telemetry}, {events}, {config}");
}

#[tokio::test]
async fn fnd_7_all_services_serve_when_the_application_starts() {
    let (seen, mut saw) = mpsc::unbounded_channel();
    let builder = configured().child(move |services| {
        let (services, seen) = (services.clone(), seen.clone());
        let start = Behavior::call(move || {
            let (services, seen) = (services.clone(), seen.clone());
            async move {
                services.config().update("server.port", 1).await?;
                let events = services.events().stats().await?.recorded;
                let updates = services.telemetry().snapshot().counter("config.updates");
                seen.send((events, updates))?;
                Ok(())
            }
        });
        ChildSpec::worker("early_bird", move || (Probe::default().start(start.clone()), ()))
    });
    let foundation = builder.start().await.unwrap();
    assert_eq!(saw.recv().await.unwrap(), (1, Some(1)));
    foundation.shutdown().await;
}

#[tokio::test]
async fn fnd_7_shutdown_stops_the_services_in_reverse_order() {
    let foundation = Foundation::builder().start().await.unwrap();
    let report = foundation.shutdown().await;
    let stopped: Vec<_> = report.namespaces[0].stopped.iter().map(|service| service.path.as_str()).collect();
    let expected = ["application", "discovery", "config_server", "event_store", "telemetry"];
    assert!(stopped.iter().zip(expected).all(|(path, name)| path.ends_with(name)), "{stopped:?}");
    assert_eq!(report.namespaces[0].killed().count(), 0);
}

#[tokio::test]
async fn fnd_7_shutdown_stops_everything_supervisors_included() {
    let alive_before = alive_tasks();
    let builder = configured().child(|_| ChildSpec::worker("clerk", || (Probe::default(), ())));
    let foundation = builder.start().await.unwrap();
    let test = foundation.test_namespace().await.unwrap();
    let actors: Vec<_> = [foundation.production(), test.services()]
        .into_iter()
        .flat_map(|services| {
            let named = foundation.registry().get_all_services(services.namespace()).into_values();
            named
                .map(|actor| actor.cell().clone())
                .chain([services.application().unwrap().actor().unwrap()])
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(actors.len(), 10);

    let report = foundation.shutdown().await;
    assert_eq!(report.namespaces.len(), 2);
    assert!(actors.iter().all(|actor| actor.get_status() == ActorStatus::Stopped));
    assert!(foundation.registry().namespaces().is_empty());
    drop(test);
    // The task of the clean-up that the drop starts, and nothing else.
    until_tasks_left(alive_before).await;
}

#[tokio::test]
async fn fnd_7_availability_follows_starts_and_stops() {
    let foundation = Foundation::builder().start().await.unwrap();
    let id = foundation::Namespace::test();
    for _ in 0..3 {
        let services = foundation.namespace(id).await.unwrap();
        assert_eq!(services.health().await.condition(), Condition::Healthy);
        assert_eq!(services.registry().list_services().len(), 4);

        foundation.cleanup(id).await.unwrap();
        assert_eq!(services.health().await.condition(), Condition::Down);
        assert!(services.registry().list_services().is_empty());
        assert_error!(services.events().stats().await, EventStoreError::NotDelivered { .. });
    }
    foundation.shutdown().await;
}

#[foundation::test]
async fn fnd_7_availability_follows_a_crash_and_the_restart(namespace: TestNamespace) {
    for name in SERVICES {
        let key = ServiceKey::<()>::from(name.clone());
        let before = pid(namespace.services(), &name);
        namespace.kill(&name).await.unwrap();
        wait_until_up(namespace.services(), &name).await;
        assert!(namespace.registry().is_registered(&key));
        assert_ne!(pid(namespace.services(), &name), before);
    }
}

#[tokio::test]
async fn fnd_7_important_data_is_flushed_before_the_services_stop() {
    let (at_end, mut flushed) = mpsc::unbounded_channel();
    let builder = configured().child(move |services| {
        let (services, at_end) = (services.clone(), at_end.clone());
        let stop = Behavior::call(move || {
            let (services, at_end) = (services.clone(), at_end.clone());
            async move {
                let id = services.events().append(NewEvent::new("till_closed")?).await?;
                services.config().update("limits.ratio", 0.25).await?;
                services.telemetry().count("tills.closed");
                let kept = services.events().get(id).await?.is_some();
                at_end.send((kept, services.telemetry().snapshot().counter("tills.closed")))?;
                Ok(())
            }
        });
        ChildSpec::worker("cashier", move || (Probe::default().stop(stop.clone()), ()))
    });
    let foundation = builder.start().await.unwrap();
    let report = foundation.shutdown().await;
    assert_eq!(flushed.recv().await.unwrap(), (true, Some(1)));
    assert!(report.namespaces[0].stopped[0].path.ends_with("cashier"));
}

#[foundation::test(flavor = "multi_thread", worker_threads = 2)]
async fn fnd_7_telemetry_handlers_survive_a_shutdown_under_load(namespace: TestNamespace) {
    let foundation = Foundation::builder().start().await.unwrap();
    let telemetry = foundation.telemetry().clone();
    let handled = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&handled);
    let handle = move |_: &foundation::telemetry::TelemetryEvent<'_>| {
        counting.fetch_add(1, Ordering::Relaxed);
    };
    telemetry.attach("counting", ["shot"], handle).unwrap();

    let (cease, ceased) = tokio::sync::watch::channel(false);
    let gunners = (0..4).map(|_| {
        let (telemetry, ceased) = (telemetry.clone(), ceased.clone());
        tokio::spawn(async move {
            let mut shots = 0;
            while !*ceased.borrow() {
                telemetry.execute("shot", &[("bang", 1.0)], &Value::Null);
                shots += 1;
                tokio::task::yield_now().await;
            }
            shots
        })
    });
    let gunners: Vec<_> = gunners.collect();
    foundation.shutdown().await;
    // The service is gone; emission does not need it.
    assert_error!(telemetry.tick().await, TelemetryError::Unavailable { .. });
    telemetry.execute("shot", &[], &Value::Null);
    cease.send(true).unwrap();
    let shots: u64 = join_all(gunners).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(handled.load(Ordering::Relaxed), shots + 1);
    assert!(namespace.health().await.is_healthy());
}

#[foundation::test(builder = configured(), flavor = "multi_thread", worker_threads = 2)]
async fn fnd_7_ongoing_work_ends_with_an_answer_when_the_foundation_shuts_down(namespace: TestNamespace) {
    let foundation = configured().start().await.unwrap();
    let (begun, mut beginnings) = mpsc::unbounded_channel();
    let workers = (0..8).map(|worker: u64| {
        let (services, begun) = (foundation.production().clone(), begun.clone());
        tokio::spawn(async move {
            let mut recorded = 0;
            loop {
                let event = NewEvent::new("worked").unwrap().payload(worker).unwrap();
                // Each request gets its answer, if only that the service is gone.
                match services.events().append(event).await {
                    Ok(_) => recorded += 1,
                    Err(error) => break (recorded, error),
                }
                let _ = begun.send(());
                tokio::task::yield_now().await;
            }
        })
    });
    let workers: Vec<_> = workers.collect();
    for _ in 0..100 {
        beginnings.recv().await.unwrap();
    }
    foundation.shutdown().await;
    let ends = tokio::time::timeout(SOON, join_all(workers)).await.unwrap();
    for (recorded, error) in ends.into_iter().map(Result::unwrap) {
        let recorded: u64 = recorded;
        let kind = matches!(error, EventStoreError::NotDelivered { .. } | EventStoreError::NoAnswer { .. });
        assert!(kind, "after {recorded}: {error}");
    }
    assert!(namespace.health().await.is_healthy());
}

// ---- crashes ----

#[foundation::test(builder = configured())]
async fn fnd_7_a_dependency_that_fails_degrades_and_does_not_kill(namespace: TestNamespace) {
    let (store, server) =
        (pid(namespace.services(), &EventStore::NAME), pid(namespace.services(), &ConfigServer::NAME));
    let actor = namespace.registry().service_info().services.iter().map(|it| it.actor.pid()).find(|pid| *pid == store);
    assert_eq!(actor, Some(store));
    unregister_event_store(namespace.services());

    // It reads, and refuses a change that it cannot record.
    assert_eq!(namespace.config().get::<u16>("server.port").unwrap(), 8080);
    assert_eq!(namespace.config().status().await.unwrap().generation, 1);
    assert_error!(namespace.config().update("server.port", 1).await, ConfigUpdateError::NotRecorded(_));
    assert_eq!(pid(namespace.services(), &ConfigServer::NAME), server);
    assert_eq!(namespace.health().await.condition(), Condition::Degraded);
}

#[foundation::test]
async fn fnd_7_health_names_the_cause_of_each_degraded_service(namespace: TestNamespace) {
    unregister_event_store(namespace.services());
    let health = namespace.health().await;
    let conditions: Vec<_> = health.services.iter().map(|it| (it.name.as_str(), it.condition())).collect();
    let expected = [
        ("telemetry", Condition::Healthy),
        ("event_store", Condition::Down),
        ("config_server", Condition::Degraded),
        ("discovery", Condition::Healthy),
        ("application", Condition::Healthy),
    ];
    assert_eq!(conditions, expected);
    assert_eq!(health.services[2].lacks, ["event_store"]);
    assert!(health.to_string().contains("config_server  degraded: event_store is not healthy"), "{health}");
}

#[foundation::test(builder = configured())]
async fn fnd_7_a_crash_of_each_service_is_recovered_from(namespace: TestNamespace) {
    for (port, name) in (1..).zip(SERVICES) {
        crash(&namespace, &name).await;
        work_together(&namespace, port).await;
    }
    assert!(namespace.health().await.is_healthy());
    assert_eq!(namespace.config().status().await.unwrap().generation, 4);
}

#[foundation::test(builder = configured())]
async fn fnd_7_several_services_may_crash_at_once(namespace: TestNamespace) {
    work_together(&namespace, 1).await;
    join_all(SERVICES.iter().map(|name| namespace.kill(name))).await;
    join_all(SERVICES.iter().map(|name| wait_until_up(namespace.services(), name))).await;
    assert_eq!(namespace.config().get::<u16>("server.port").unwrap(), 1);
    work_together(&namespace, 2).await;
}

#[foundation::test]
async fn fnd_7_one_for_one_does_not_affect_the_siblings(namespace: TestNamespace) {
    let before = SERVICES.map(|name| pid(namespace.services(), &name));
    crash(&namespace, &EventStore::NAME).await;
    let after = SERVICES.map(|name| pid(namespace.services(), &name));
    assert_eq!((after[0], after[2]), (before[0], before[2]));
    assert_ne!(after[1], before[1]);
}

#[foundation::test(builder = configured())]
async fn fnd_7_a_crash_is_on_record_even_that_of_the_event_store(namespace: TestNamespace) {
    for name in SERVICES {
        crash(&namespace, &name).await;
    }
    // The last of them called the store in its start, after everything else was written.
    let recorded = namespace.events().query(Query::new().kind("child_exited".parse().unwrap())).await.unwrap();
    let children: Vec<_> = recorded.iter().map(|event| event.payload["child"].as_str().unwrap()).collect();
    assert_eq!(children, ["telemetry", "event_store", "config_server"]);
    assert!(recorded.iter().all(|event| event.payload["reason"] == "killed"));
}

#[tokio::test]
async fn a_crash_below_a_path_of_any_length_is_on_record_under_a_shortened_source() {
    let leaf = foundation_testkit::Puppet::new("leaf", &foundation_testkit::Log::new());
    let office = || SupervisorSpec::new(Strategy::OneForOne);
    let deep =
        (0..100).fold(office().child(leaf.spec()), |below, _| office().child(ChildSpec::supervisor("level", below)));
    let builder = Foundation::builder().child(move |_| ChildSpec::supervisor("deep", deep.clone()));
    let foundation = builder.start().await.unwrap();
    leaf.latest().kill();
    let recorded = first_event(foundation.events(), "child_restarted").await;
    let (path, source) =
        (recorded.payload["supervisor"].as_str().unwrap(), recorded.source.as_ref().unwrap().to_string());
    assert_eq!(recorded.payload["child"], "leaf");
    assert_eq!(path.matches("/level").count(), 100);
    assert!(
        source.len() <= 256 && source.starts_with("registry/production/") && source.ends_with("/level"),
        "{source}"
    );
    foundation.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn fnd_7_a_config_server_that_is_killed_during_an_update_leaves_no_partial_one() {
    let clock = TestClock::default();
    let foundation = held_up_by(&clock).start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let mut changes = namespace.config().subscribe("server").unwrap();

    // The store is processing the request, and the server waits for the answer.
    let mut held = clock.hold_next();
    let config = namespace.config().clone();
    let update = tokio::spawn(async move { config.update("server.port", 9090).await });
    held.arrival().await;
    namespace.kill(&ConfigServer::NAME).await.unwrap();
    let error = update.await.unwrap().unwrap_err();
    assert!(matches!(error, foundation::config::ConfigUpdateError::NoAnswer { .. }), "{error}");
    assert_eq!(namespace.config().get::<u16>("server.port").unwrap(), 8080);

    // Now it is recorded; so the successor makes the change, and the subscriber receives it.
    drop(held);
    namespace.config().wait_until_up(SOON).await.unwrap();
    assert_eq!(namespace.config().get::<u16>("server.port").unwrap(), 9090);
    let changed = changes.next().await.unwrap().unwrap();
    assert_eq!((changed.change.new, changed.generation), (9090.into(), 2));
    assert_eq!(namespace.events().get(changed.event.unwrap()).await.unwrap().unwrap().payload["new"], 9090);
    namespace.cleanup().await.unwrap();
    foundation.shutdown().await;
}

#[tokio::test]
async fn fnd_7_an_event_store_that_fails_during_a_batch_keeps_all_or_nothing() {
    let clock = TestClock::default();
    let foundation = configured().clock(clock.read()).start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let batch = || (0..10).map(|n| NewEvent::new("counted").unwrap().payload(n).unwrap()).collect::<Vec<_>>();
    let counted = Query::new().kind("counted".parse().unwrap());
    namespace.events().append_batch(batch()).await.unwrap();

    clock.fail_once();
    let error = namespace.events().append_batch(batch()).await.unwrap_err();
    assert!(matches!(error, EventStoreError::NoAnswer { .. }), "{error}");
    namespace.events().wait_until_up(SOON).await.unwrap();
    assert_eq!(namespace.events().query(counted.clone()).await.unwrap().len(), 10);

    let ids = namespace.events().append_batch(batch()).await.unwrap();
    assert_eq!(ids.len(), 10);
    assert_eq!(namespace.events().query(counted).await.unwrap().len(), 20);
    namespace.cleanup().await.unwrap();
    foundation.shutdown().await;
}

#[foundation::test(flavor = "multi_thread", worker_threads = 2)]
async fn fnd_7_telemetry_loses_no_count_when_its_service_is_killed_in_between(namespace: TestNamespace) {
    let counters = (0..4).map(|_| {
        let telemetry = namespace.telemetry().clone();
        tokio::spawn(async move {
            for value in 0..1_000 {
                telemetry.count("steps");
                telemetry.execute("measured", &[("value", f64::from(value))], &Value::Null);
                tokio::task::yield_now().await;
            }
        })
    });
    let counters: Vec<_> = counters.collect();
    for _ in 0..3 {
        crash(&namespace, &Telemetry::NAME).await;
    }
    join_all(counters).await.into_iter().for_each(Result::unwrap);
    let snapshot = namespace.telemetry().snapshot();
    assert_eq!((snapshot.counter("steps"), snapshot.counter("measured")), (Some(4_000), Some(4_000)));
    assert_eq!(snapshot.histogram("measured.value").unwrap().count, 4_000);
}

#[foundation::test(start_paused = true)]
async fn fnd_7_metric_clean_up_continues_after_a_restart(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let users = telemetry.family::<foundation::telemetry::Counter>("users", 10).unwrap();
    users.update([("user", "gone")], foundation::telemetry::Counter::increment);
    tokio::time::advance(Duration::from_secs(1)).await;
    telemetry.tick().await.unwrap();
    // By default a series is idle after an hour: half of it passes before the service is killed and half of it afterwards.
    tokio::time::advance(Duration::from_secs(1_801)).await;
    telemetry.tick().await.unwrap();
    assert!(telemetry.scrape().series("users", &[("user", "gone")]).is_some());
    crash(&namespace, &Telemetry::NAME).await;
    tokio::time::advance(Duration::from_secs(1_801)).await;
    telemetry.tick().await.unwrap();
    assert!(telemetry.scrape().series("users", &[("user", "gone")]).is_none());
}

#[foundation::test(builder = configured())]
async fn fnd_7_subscribers_and_handlers_survive_the_restart_of_their_service(namespace: TestNamespace) {
    let mut changes = namespace.config().subscribe("server").unwrap();
    let (sender, mut events) = mpsc::unbounded_channel();
    let handle = move |event: &foundation::telemetry::TelemetryEvent<'_>| sender.send(event.name.to_owned()).unwrap();
    namespace.telemetry().attach("listening", ["rang"], handle).unwrap();
    crash(&namespace, &ConfigServer::NAME).await;
    crash(&namespace, &Telemetry::NAME).await;

    namespace.config().update("server.port", 1).await.unwrap();
    assert_eq!(changes.next().await.unwrap().unwrap().change.new, 1);
    namespace.telemetry().execute("rang", &[], &Value::Null);
    assert_eq!(events.recv().await.unwrap(), "rang");
    assert_eq!(namespace.telemetry().handlers(), ["listening"]);
}

// ---- tasks ----

#[foundation::test(builder = configured())]
async fn fnd_7_a_task_uses_all_three_services(namespace: TestNamespace) {
    let services = namespace.services().clone();
    let task = tokio::spawn(async move {
        let port = services.config().get::<u16>("server.port").unwrap();
        let id = services.telemetry().measure("recording", async {
            let event = NewEvent::new("port_seen").unwrap().payload(port).unwrap();
            services.events().append(event).await.unwrap()
        });
        id.await
    });
    let id = task.await.unwrap();
    assert_eq!(namespace.events().get(id).await.unwrap().unwrap().payload, 8080);
    let snapshot = namespace.telemetry().snapshot();
    assert_eq!(snapshot.counter("recording.stop"), Some(1));
}

#[foundation::test(builder = configured())]
async fn fnd_7_a_task_that_fails_harms_no_other(namespace: TestNamespace) {
    let before = SERVICES.map(|name| pid(namespace.services(), &name));
    let services = namespace.services().clone();
    let task = tokio::spawn(async move {
        services.config().update("server.port", 1).await.unwrap();
        panic!("the task fails");
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(SERVICES.map(|name| pid(namespace.services(), &name)), before);
    work_together(&namespace, 2).await;
}

#[foundation::test(builder = configured(), flavor = "multi_thread", worker_threads = 2)]
async fn fnd_7_ten_concurrent_tasks_use_all_three_services(namespace: TestNamespace) {
    let tasks = (0..10_u16).map(|task| {
        let services = namespace.services().clone();
        tokio::spawn(async move {
            for round in 0..20 {
                let port = 1_000 + task * 20 + round;
                let changed = services.config().update("server.port", port).await.unwrap();
                let event = services.events().get(changed.event.unwrap()).await.unwrap().unwrap();
                assert_eq!(event.payload["new"], port);
                services.telemetry().count("rounds");
            }
        })
    });
    join_all(tasks.collect::<Vec<_>>()).await.into_iter().for_each(Result::unwrap);

    let updates = namespace.events().query(Query::new().kind("config_updated".parse().unwrap())).await.unwrap();
    assert_eq!(updates.len(), 200);
    // One change leads to the next, and the last one is in force.
    let chained = updates.windows(2).all(|pair| pair[0].payload["new"] == pair[1].payload["old"]);
    assert!(chained);
    assert_eq!(updates[199].payload["new"], namespace.config().get::<u16>("server.port").unwrap());
    let snapshot = namespace.telemetry().snapshot();
    assert_eq!((snapshot.counter("rounds"), snapshot.counter("config.updates")), (Some(200), Some(200)));
}

#[tokio::test]
async fn fnd_7_an_application_that_crashes_is_restarted_while_the_services_stay() {
    const CLERK: ServiceKey<Command> = ServiceKey::from_static("clerk");
    let clerk = Puppet::new("clerk", &Log::new());
    let actors = clerk.clone();
    let builder = configured().strategy(Strategy::OneForAll).intensity(RestartIntensity::default());
    let builder = builder.child(move |services| {
        let clerk = actors.clone();
        services.child_spec(&CLERK, move || (clerk.actor(), ()))
    });
    let foundation = builder.start().await.unwrap();
    clerk.lived(1).await;
    let services = foundation.production();
    let before = SERVICES.map(|name| pid(services, &name));
    services.via(&CLERK).cast(Command::Panic("ordered to panic")).unwrap();
    clerk.lived(2).await;
    services.wait_for_service(&CLERK, SOON).await.unwrap();
    assert_eq!(services.via(&CLERK).call(Command::Name, SOON).await.unwrap(), "clerk");
    assert_eq!(SERVICES.map(|name| pid(services, &name)), before);
    foundation.shutdown().await;
}
