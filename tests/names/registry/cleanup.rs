//! The end of a namespace: in order, reported, and nothing left.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foundation::names::{GroupKey, ProcessRegistry, RegistryError, Service, ServiceRegistry};
use foundation::ractor::{Actor, ActorStatus};
use foundation::supervision::{
    ChildKind, Report, Reporter, Shutdown, Start, StartError, Stopped, Strategy, SupervisorSpec, TracingReporter,
};
use foundation::{ChildSpec, Namespace};
use foundation_testkit::{
    Behavior, Command, Gate, Probe, Puppet, SOON, alive_tasks, assert_error, error_text, test_registry,
};
use futures::FutureExt;
use tokio::time::Instant;

use crate::ending::Ending;
use crate::setup::{OTHER, PROBE, foreign, key, names_in};

/// Records the order in which actors are gone.
#[derive(Clone, Default)]
struct Order(Arc<Mutex<Vec<&'static str>>>);

impl Order {
    fn probe(&self, name: &'static str) -> Probe {
        let order = self.clone();
        Probe::default().on_drop(move || order.0.lock().unwrap().push(name))
    }

    fn seen(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn children_are_stopped_in_reverse_start_order() {
    let (_registry, names) = test_registry().await;
    let order = Order::default();
    for name in ["first", "second", "third"] {
        let order = order.clone();
        names.supervise(names.child_spec(&key(name), move || (order.probe(name), ()))).await.unwrap();
    }
    let report = names.cleanup().await.unwrap();
    assert_eq!(order.seen(), ["third", "second", "first"]);
    let paths: Vec<_> = report.stopped.iter().filter_map(|service| service.path.rsplit('/').next()).collect();
    assert_eq!(paths, ["third", "second", "first", "application"]);
    assert!(report.stopped.iter().all(|service| service.how == Stopped::InTime));
}

#[tokio::test]
async fn spawned_actors_go_before_the_children_and_registered_ones_last() {
    let (_registry, names) = test_registry().await;
    let order = Order::default();
    let outside = foreign(order.probe("registered")).await;
    names.register(&key("registered"), &outside).await.unwrap();
    let child = order.clone();
    names.supervise(names.child_spec(&key("child"), move || (child.probe("child"), ()))).await.unwrap();
    names.spawn(&key("spawned"), order.probe("spawned"), ()).await.unwrap();
    let report = names.cleanup().await.unwrap();
    assert_eq!(order.seen(), ["spawned", "child", "registered"]);
    assert_eq!(report.stopped.last().unwrap().path, "registered/registered");
    assert_eq!(report.stopped.len(), 4, "the three and the application's supervisor: {report:?}");
}

#[tokio::test(start_paused = true)]
async fn actors_that_do_not_stop_in_time_are_killed_and_reported() {
    let (_registry, names) = test_registry().await;
    let (puppet, never) = (Puppet::default(), Gate::new());
    let (on, at) = (puppet.clone(), never.clone());
    let spec = names
        .child_spec(&key("stubborn"), move || (on.actor().stop(Behavior::Wait(at.clone())), ()))
        .shutdown(Shutdown::Timeout(Duration::from_secs(2)));
    names.supervise(spec).await.unwrap();
    names.supervise(names.child_spec(&key("willing"), || (Probe::default(), ()))).await.unwrap();
    let outside = foreign(Probe::default().stop(Behavior::Wait(never.clone()))).await;
    names.register(&key("outside"), &outside).await.unwrap();

    let begun = Instant::now();
    let report = names.cleanup().await.unwrap();
    let killed: Vec<_> = report.killed().map(|service| service.path.as_str()).collect();
    let stubborn = format!("registry/{}/application/stubborn", names.namespace());
    assert_eq!(killed, [stubborn.as_str(), "registered/outside"]);
    assert_eq!((report.took, begun.elapsed()), (Duration::from_secs(7), Duration::from_secs(7)));
    assert!(puppet.alive() == 0);
    assert_eq!(outside.get_status(), ActorStatus::Stopped);
    let text = format!("{}: 4 actors stopped, 2 of them killed, in 7s", names.namespace());
    assert_eq!(report.to_string(), text);
}

#[tokio::test(start_paused = true)]
async fn foreign_actors_are_stopped_together() {
    let (_registry, names) = test_registry().await;
    let never = Gate::new();
    for n in 0..50 {
        let outside = foreign(Probe::default().stop(Behavior::Wait(never.clone()))).await;
        names.register(&key(format!("outside_{n}")), &outside).await.unwrap();
    }
    let report = names.cleanup().await.unwrap();
    assert_eq!((report.killed().count(), report.took), (50, Duration::from_secs(5)));
}

#[tokio::test]
async fn production_is_never_cleaned_up() {
    let registry = ProcessRegistry::start().await.unwrap();
    let production = registry.namespace(Namespace::Production).await.unwrap();
    let actor = production.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    for refused in [registry.cleanup_namespace(Namespace::Production).await, production.cleanup().await] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, RegistryError::NotATest { .. }));
        assert_eq!(
            refused.to_string(),
            "namespace production cannot be cleaned up; to stop an application, shut the registry down"
        );
    }
    assert!(actor.get_status() < ActorStatus::Draining);
    production.spawn(&OTHER, Probe::default(), ()).await.unwrap();
}

#[tokio::test]
async fn a_clean_up_leaves_other_namespaces_alone() {
    let (registry, ours) = test_registry().await;
    let theirs = registry.namespace(Namespace::test()).await.unwrap();
    ours.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let actor = theirs.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    ours.cleanup().await.unwrap();
    assert_eq!(theirs.lookup(&PROBE).unwrap().get_id(), actor.get_id());
    assert_eq!(registry.namespaces(), [theirs.namespace()]);
}

#[tokio::test]
async fn a_second_clean_up_finds_nothing_to_do() {
    let (registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_eq!(names.cleanup().await.unwrap().stopped.len(), 2);
    assert!(names.cleanup().await.unwrap().stopped.is_empty());
    assert!(registry.cleanup_namespace(names.namespace()).await.unwrap().stopped.is_empty());
}

#[tokio::test]
async fn clean_ups_of_one_namespace_at_the_same_time_all_return_when_it_is_gone() {
    let (registry, names) = test_registry().await;
    let (puppet, gate) = (Puppet::default(), Gate::new());
    for n in 0..20 {
        let puppet = puppet.clone();
        let spec = names.child_spec(&key(format!("child_{n}")), move || (puppet.actor(), ()));
        names.supervise(spec).await.unwrap();
    }
    names.spawn(&PROBE, puppet.actor().stop(Behavior::Wait(gate.clone())), ()).await.unwrap();
    names.register(&OTHER, &foreign(puppet.actor()).await).await.unwrap();
    let cleaning: Vec<_> = (0..8)
        .map(|_| {
            let (names, puppet) = (names.clone(), puppet.clone());
            tokio::spawn(async move {
                let report = names.cleanup().await.unwrap();
                assert!(puppet.alive() == 0, "it is back before all are gone");
                report.stopped
            })
        })
        .collect();
    gate.arrival().await;
    gate.open();
    for stopped in futures::future::join_all(cleaning).await {
        assert_eq!(stopped.unwrap().len(), 23, "each report has all: 20 children, two more, the supervisor");
    }
    assert!(registry.namespaces().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clean_ups_and_shutdown_at_the_same_time_all_return_when_all_is_gone() {
    for _ in 0..50 {
        let (registry, names) = test_registry().await;
        let puppet = Puppet::default();
        let on = puppet.clone();
        names.supervise(names.child_spec(&PROBE, move || (on.actor(), ()))).await.unwrap();
        let cleaning: Vec<_> = (0..4)
            .map(|_| {
                let (names, puppet) = (names.clone(), puppet.clone());
                tokio::spawn(async move {
                    names.cleanup().await.unwrap();
                    assert!(puppet.alive() == 0, "a clean-up is back before all are gone");
                })
            })
            .collect();
        registry.shutdown().await;
        assert!(puppet.alive() == 0);
        for cleaned in futures::future::join_all(cleaning).await {
            cleaned.unwrap();
        }
    }
}

#[tokio::test]
async fn a_clean_up_that_is_cancelled_can_be_finished_by_another() {
    let (_registry, names) = test_registry().await;
    let (puppet, gate) = (Puppet::default(), Gate::new());
    names.spawn(&PROBE, puppet.actor().stop(Behavior::Wait(gate.clone())), ()).await.unwrap();
    let first = tokio::spawn({
        let names = names.clone();
        async move { names.cleanup().await }
    });
    gate.arrival().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    gate.open();
    let report = names.cleanup().await.unwrap();
    assert!(puppet.alive() == 0);
    assert_eq!(report.stopped.len(), 2);
}

#[tokio::test]
async fn nothing_starts_in_a_namespace_that_is_gone() {
    let (_registry, names) = test_registry().await;
    let puppet = Puppet::default();
    let spec = names.child_spec(&PROBE, || (Probe::default(), ()));
    names.cleanup().await.unwrap();
    let actor = foreign(Probe::default()).await;

    let refusals = [
        names.spawn(&PROBE, puppet.actor(), ()).await.map(drop).unwrap_err(),
        names.register(&PROBE, &actor).await.unwrap_err(),
        names.supervise(spec).await.map(drop).unwrap_err(),
    ];
    for refused in refusals {
        assert!(matches!(refused, RegistryError::NotRunning { .. }), "{refused}");
    }
    assert_eq!(puppet.lives(), 0);
    assert!(actor.get_status() < ActorStatus::Draining);
}

/// An actor that registers during the clean-up is either stopped with the namespace or refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_during_the_clean_up_is_stopped_or_refused() {
    for _ in 0..300 {
        let (_registry, names) = test_registry().await;
        let outside = foreign(Probe::default()).await;
        let registering = tokio::spawn({
            let (names, outside) = (names.clone(), outside.clone());
            async move { names.register(&PROBE, &outside).await }
        });
        names.cleanup().await.unwrap();
        match registering.await.unwrap() {
            Ok(()) => assert_eq!(outside.get_status(), ActorStatus::Stopped),
            Err(refused) => assert!(matches!(refused, RegistryError::NotRunning { .. }), "{refused}"),
        }
        assert!(names.list_services().is_empty());
        outside.stop(None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spawn_during_the_clean_up_is_stopped_or_refused() {
    for _ in 0..300 {
        let (_registry, names) = test_registry().await;
        let puppet = Puppet::default();
        let spawning = tokio::spawn({
            let (names, puppet) = (names.clone(), puppet.clone());
            async move { names.spawn(&PROBE, puppet.actor(), ()).await.is_ok() }
        });
        names.cleanup().await.unwrap();
        let spawned = spawning.await.unwrap();
        assert!(puppet.alive() == 0, "spawned: {spawned}");
        assert!(names.list_services().is_empty());
    }
}

/// A start that hangs runs on the caller's side; the namespace waits for it only for its limit.
#[tokio::test(start_paused = true)]
async fn a_spawn_that_hangs_in_its_start_ends_with_the_namespace() {
    let (_registry, names) = test_registry().await;
    let (puppet, never) = (Puppet::default(), Gate::new());
    let spawning = tokio::spawn({
        let (names, puppet, never) = (names.clone(), puppet.clone(), never.clone());
        async move { names.spawn(&PROBE, puppet.actor().start(Behavior::Wait(never)), ()).await.map(drop) }
    });
    never.arrival().await;
    let begun = Instant::now();
    names.cleanup().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(puppet.alive() == 0);
    let refused = spawning.await.unwrap().unwrap_err();
    assert!(matches!(refused, RegistryError::NotRunning { .. }), "{refused}");
}

/// `namespace` and `cleanup_namespace` at once: either the tree is up and in the map, or it is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_up_while_the_namespace_opens_leaves_no_tree_without_a_name() {
    let puppet = Puppet::default();
    let on = puppet.clone();
    let registry = ProcessRegistry::builder()
        .service(Service::new(PROBE.name().clone(), move |names| {
            let on = on.clone();
            names.child_spec(&PROBE, move || (on.actor(), ()))
        }))
        .start()
        .await
        .unwrap();
    for _ in 0..300 {
        let namespace = Namespace::test();
        let opening = tokio::spawn({
            let registry = registry.clone();
            async move { registry.namespace(namespace).await.map(drop) }
        });
        tokio::task::yield_now().await;
        registry.cleanup_namespace(namespace).await.unwrap();
        let _ = opening.await.unwrap();
        // It may have been opened after the clean-up; then it is in the map.
        registry.cleanup_namespace(namespace).await.unwrap();
        assert!(registry.namespaces().is_empty());
        assert!(puppet.alive() == 0, "an actor lives in a namespace that is not registered");
    }
    registry.shutdown().await;
}

/// The same at the critical moment: the namespace is in the map, and its tree has not been requested yet.
#[tokio::test]
async fn a_clean_up_that_comes_before_the_tree_ends_the_tree_when_it_starts() {
    let (asked, is_asked) = std::sync::mpsc::channel();
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let registry = ProcessRegistry::builder()
        .prepare(move |_| {
            asked.send(()).unwrap();
            held.lock().unwrap().recv().unwrap();
        })
        .start()
        .await
        .unwrap();
    let namespace = Namespace::test();
    let opening = std::thread::spawn({
        let registry = registry.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        move || runtime.block_on(registry.namespace(namespace)).map(drop)
    });
    is_asked.recv().unwrap();
    registry.cleanup_namespace(namespace).await.unwrap();
    let_go.send(()).unwrap();
    let opened = tokio::task::spawn_blocking(|| opening.join().unwrap()).await.unwrap();
    assert_error!(opened, RegistryError::NotRunning { .. });
    assert!(registry.namespaces().is_empty());
    assert!(registry.tree().await.children.is_empty(), "there is no tree of a namespace that is not registered");
}

/// A registry whose namespaces have a service that waits at this gate before it has started.
async fn waiting_at(gate: &Gate) -> ProcessRegistry {
    let at = gate.clone();
    let service = Service::new(PROBE.name().clone(), move |names| {
        let at = at.clone();
        names.child_spec(&PROBE, move || (Probe::default().start(Behavior::Wait(at.clone())), ()))
    });
    ProcessRegistry::builder().service(service).start().await.unwrap()
}

#[tokio::test]
async fn a_clean_up_ends_an_opening_that_hangs() {
    let gate = Gate::new();
    let registry = waiting_at(&gate).await;
    let namespace = Namespace::test();
    let opening = tokio::spawn({
        let registry = registry.clone();
        async move { registry.namespace(namespace).await.map(drop) }
    });
    gate.arrival().await;
    registry.cleanup_namespace(namespace).await.unwrap();
    assert_error!(opening.await.unwrap(), RegistryError::NotRunning { .. });
    assert!(registry.namespaces().is_empty());
    gate.open();
    registry.namespace(namespace).await.expect("the same namespace can be opened again");
}

/// The start fails at once, but the clean-up still stops what is registered.
#[tokio::test]
async fn a_namespace_whose_start_a_clean_up_has_overtaken_is_left_to_that_clean_up() {
    let (starting, stopping) = (Gate::new(), Gate::new());
    let (at, found) = (starting.clone(), Arc::new(Mutex::new(None)));
    let find = Arc::clone(&found);
    let service = Service::new(PROBE.name().clone(), move |names| {
        *find.lock().unwrap() = Some(names.clone());
        let at = at.clone();
        names.child_spec(&PROBE, move || (Probe::default().start(Behavior::Wait(at.clone())), ()))
    });
    let registry = ProcessRegistry::builder().service(service).start().await.unwrap();
    let namespace = Namespace::test();
    let opening = tokio::spawn({
        let registry = registry.clone();
        async move { registry.namespace(namespace).await.map(drop) }
    });
    starting.arrival().await;
    let names = found.lock().unwrap().take().unwrap();
    names.register(&OTHER, &foreign(Probe::default().stop(Behavior::Wait(stopping.clone()))).await).await.unwrap();
    let first = tokio::spawn({
        let registry = registry.clone();
        async move { registry.cleanup_namespace(namespace).await.unwrap() }
    });
    stopping.arrival().await;
    assert_error!(opening.await.unwrap(), RegistryError::NotRunning { .. });
    assert_error!(registry.namespace(namespace).await, RegistryError::NotRunning { .. });
    let mut second = Box::pin(registry.cleanup_namespace(namespace));
    assert!((&mut second).now_or_never().is_none(), "the first clean-up is not over");
    stopping.open();
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!(first.stopped.iter().map(|stopped| stopped.path.as_str()).collect::<Vec<_>>(), ["registered/other"]);
    assert_eq!(first.stopped, second.stopped);
    starting.open();
    registry.namespace(namespace).await.expect("the next start comes after the clean-up");
    registry.shutdown().await;
}

/// The next tree has the same id as that of the start, which must not take it down.
#[tokio::test]
async fn a_start_that_a_clean_up_has_overtaken_leaves_the_next_tree_alone() {
    for namespace in [Namespace::test(), Namespace::named("staging").unwrap()] {
        let (asked, is_asked) = std::sync::mpsc::channel();
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let held = Mutex::new(Some(held));
        let registry = ProcessRegistry::builder()
            .prepare(move |_| {
                let held = held.lock().unwrap().take();
                // Only the first start is held up.
                if let Some(held) = held {
                    asked.send(()).unwrap();
                    held.recv().unwrap();
                }
            })
            .start()
            .await
            .unwrap();
        let opening = std::thread::spawn({
            let registry = registry.clone();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            move || runtime.block_on(registry.namespace(namespace)).map(drop)
        });
        is_asked.recv().unwrap();
        registry.cleanup_namespace(namespace).await.unwrap();
        let next = registry.namespace(namespace).await.unwrap();
        next.spawn(&PROBE, Probe::default(), ()).await.unwrap();
        let_go.send(()).unwrap();
        let opened = tokio::task::spawn_blocking(|| opening.join().unwrap()).await.unwrap();
        assert_error!(opened, RegistryError::NotRunning { .. });
        assert!(!next.has_ended() && next.is_registered(&PROBE), "the start before has taken {namespace} down");
        registry.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_hangs_in_its_start_is_cleaned_up_and_started_anew() {
    let hangs = Arc::new(AtomicBool::new(true));
    let gate = Gate::new();
    let (at, is_hanging) = (gate.clone(), Arc::clone(&hangs));
    let service = Service::new(PROBE.name().clone(), move |names| {
        let (at, is_hanging) = (at.clone(), Arc::clone(&is_hanging));
        names.child_spec(&PROBE, move || {
            let hangs = is_hanging.load(Ordering::SeqCst);
            (Probe::default().start(if hangs { Behavior::Wait(at.clone()) } else { Behavior::Proceed }), ())
        })
    });
    let registry = ProcessRegistry::builder().service(service).start().await.unwrap();
    for namespace in [Namespace::test(), Namespace::named("staging").unwrap()].into_iter().cycle().take(200) {
        hangs.store(true, Ordering::SeqCst);
        let opening = tokio::spawn({
            let registry = registry.clone();
            async move { registry.namespace(namespace).await.map(drop) }
        });
        gate.arrival().await;
        hangs.store(false, Ordering::SeqCst);
        registry.cleanup_namespace(namespace).await.unwrap();
        let names = registry.namespace(namespace).await.unwrap();
        assert_error!(opening.await.unwrap(), RegistryError::NotRunning { .. });
        assert!(!names.has_ended() && names.is_registered(&PROBE), "the start before has taken {namespace} down");
        registry.cleanup_namespace(namespace).await.unwrap();
    }
    assert!(registry.tree().await.children.is_empty());
    registry.shutdown().await;
}

#[tokio::test]
async fn a_namespace_that_does_not_start_reports_the_cause_and_can_be_tried_again() {
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    let registry = ProcessRegistry::builder()
        .service(Service::new(PROBE.name().clone(), |names| names.child_spec(&PROBE, || (Probe::default(), ()))))
        .service(Service::new(OTHER.name().clone(), move |names| {
            let is_broken = Arc::clone(&is_broken);
            names.child_spec(&OTHER, move || {
                let broken = is_broken.load(Ordering::SeqCst);
                (Probe::default().start(if broken { Behavior::Fail("no disk") } else { Behavior::Proceed }), ())
            })
        }))
        .start()
        .await
        .unwrap();
    let namespace = Namespace::test();
    let failed = registry.namespace(namespace).await.unwrap_err();
    assert_eq!(
        failed.to_string(),
        format!("namespace {namespace}: child {namespace} did not start: child other did not start: no disk")
    );
    assert!(registry.namespaces().is_empty());
    broken.store(false, Ordering::SeqCst);
    let names = registry.namespace(namespace).await.unwrap();
    assert_eq!(names_in(&names), ["other", "probe"]);
}

#[tokio::test]
async fn a_panic_of_a_function_that_makes_a_part_of_a_namespace_is_an_error_and_the_next_start_is_anew() {
    let panics = Arc::new(AtomicBool::new(false));
    let first_time = |text: &'static str| {
        let panics = Arc::clone(&panics);
        move || assert!(!panics.swap(false, Ordering::SeqCst), "{text}")
    };
    let builder = ProcessRegistry::builder;
    let (prepare, reporters) = (first_time("nothing to prepare"), first_time("no reporter"));
    let (application, service) = (first_time("no application"), first_time("no service"));
    let described = Service::new(PROBE.name().clone(), move |names| {
        service();
        names.child_spec(&PROBE, || (Probe::default(), ()))
    });
    let application = move |_: &ServiceRegistry| {
        application();
        SupervisorSpec::new(Strategy::OneForOne)
    };
    let reporters = move |_: &ServiceRegistry| {
        reporters();
        Arc::new(TracingReporter) as Arc<dyn Reporter>
    };
    let cases = [
        (builder().prepare(move |_| prepare()), "the preparation of the namespace panicked: nothing to prepare"),
        (builder().reporters(reporters), "the function that makes the reporter panicked: no reporter"),
        (builder().application(application), "the function that makes the application panicked: no application"),
        (builder().service(described), "the function of service probe panicked: no service"),
    ];
    for (builder, expected) in cases {
        let registry = builder.start().await.unwrap();
        let namespace = Namespace::test();
        panics.store(true, Ordering::SeqCst);
        let error = error_text(registry.namespace(namespace).await.map(drop));
        assert_eq!(error, format!("namespace {namespace}: child {namespace} did not start: {expected}"));
        registry.namespace(namespace).await.expect("the next start is anew");
        registry.shutdown().await;
    }
}

/// A reporter whose destructor panics as long as this is true.
struct PanicsWhenDropped(Arc<AtomicBool>);

impl Reporter for PanicsWhenDropped {
    fn report(&self, _: &Report) {}
}

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        assert!(!self.0.swap(false, Ordering::SeqCst), "not dropped\nin the second line");
    }
}

#[tokio::test]
async fn a_panic_of_a_destructor_in_a_failed_start_is_an_error_in_one_line_and_the_next_start_is_anew() {
    let panics = Arc::new(AtomicBool::new(false));
    let (dropping, failing) = (Arc::clone(&panics), Arc::clone(&panics));
    let registry = ProcessRegistry::builder()
        .reporters(move |_| Arc::new(PanicsWhenDropped(Arc::clone(&dropping))))
        .application(move |_| {
            assert!(!failing.load(Ordering::SeqCst), "no application");
            SupervisorSpec::new(Strategy::OneForOne)
        })
        .start()
        .await
        .unwrap();
    let namespace = Namespace::test();
    panics.store(true, Ordering::SeqCst);
    let error = error_text(registry.namespace(namespace).await.map(drop));
    assert!(error.contains("the destructor of a part of the namespace panicked: not dropped"), "{error}");
    assert!(!error.contains('\n'), "{error}");
    registry.namespace(namespace).await.expect("the next start is anew");
    registry.shutdown().await;
}

/// A caller that requests a namespace and does not wait for it leaves nothing that blocks the next caller.
#[tokio::test]
async fn an_opening_that_is_cancelled_can_be_tried_again() {
    for namespace in [Namespace::test(), Namespace::Production] {
        for polls in 0..4 {
            let gate = Gate::new();
            let registry = waiting_at(&gate).await;
            let mut opening = Box::pin(registry.namespace(namespace));
            for _ in 0..polls {
                assert!((&mut opening).now_or_never().is_none());
                tokio::task::yield_now().await;
            }
            drop(opening);
            gate.open();
            let names = registry.namespace(namespace).await.unwrap();
            assert_eq!(names_in(&names), ["probe"], "after {polls} polls");
            assert_eq!(registry.namespaces(), [namespace]);
        }
    }
}

#[tokio::test]
async fn a_namespace_may_be_opened_by_many_at_once() {
    let registry = ProcessRegistry::start().await.unwrap();
    let namespace = Namespace::test();
    let opened = futures::future::join_all((0..50).map(|_| registry.namespace(namespace))).await;
    let actor = opened[0].as_ref().unwrap().spawn(&PROBE, Probe::default(), ()).await.unwrap();
    for names in opened {
        assert_eq!(names.unwrap().lookup(&PROBE).unwrap().get_id(), actor.get_id());
    }
    assert_eq!(registry.stats().test_namespaces, 1);
}

#[tokio::test]
async fn a_namespace_can_be_opened_again_after_its_clean_up() {
    let (registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.cleanup().await.unwrap();
    let again = registry.namespace(names.namespace()).await.unwrap();
    assert!(again.list_services().is_empty());
    again.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_error!(
        names.lookup(&PROBE),
        RegistryError::NotFound { .. },
        "the old handle belongs to the old life of the namespace"
    );
}

async fn populate(names: &ServiceRegistry) {
    for n in 0..20 {
        names.spawn(&key(format!("spawned_{n}")), Probe::default(), ()).await.unwrap();
        let spec = names.child_spec(&key(format!("child_{n}")), || (Probe::default(), ()));
        names.supervise(spec).await.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_alive_after_a_clean_up() {
    let before = alive_tasks();
    let registry = ProcessRegistry::start().await.unwrap();
    let idle = alive_tasks();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    populate(&names).await;
    let (outside, task) = Actor::spawn(None, Probe::default(), ()).await.unwrap();
    names.register(&PROBE, &outside).await.unwrap();
    names.cleanup().await.unwrap();
    task.await.unwrap();
    assert_eq!(alive_tasks(), idle, "only the process registry itself");
    registry.shutdown().await;
    assert_eq!(alive_tasks(), before);
}

#[tokio::test]
async fn nothing_is_alive_after_a_shutdown() {
    let before = alive_tasks();
    let registry = ProcessRegistry::start().await.unwrap();
    for namespace in [Namespace::Production, Namespace::test(), Namespace::test()] {
        populate(&registry.namespace(namespace).await.unwrap()).await;
    }
    let reports = registry.shutdown().await;
    assert_eq!(alive_tasks(), before);
    assert_eq!(reports.len(), 3);
    assert!(reports.iter().all(|report| report.stopped.len() == 41 && report.killed().count() == 0));
    registry.wait_until_gone().await;
    let refused = registry.namespace(Namespace::test()).await.map(drop).unwrap_err();
    assert!(matches!(refused, RegistryError::NotRunning { .. }), "{refused}");
    assert!(registry.namespaces().is_empty());
}

#[tokio::test]
async fn a_shutdown_stops_foreign_actors_of_tests_and_leaves_those_of_production() {
    let registry = ProcessRegistry::start().await.unwrap();
    let (ours, theirs) = (foreign(Probe::default()).await, foreign(Probe::default()).await);
    registry.namespace(Namespace::Production).await.unwrap().register(&PROBE, &ours).await.unwrap();
    registry.namespace(Namespace::test()).await.unwrap().register(&PROBE, &theirs).await.unwrap();
    registry.shutdown().await;
    assert!(ours.get_status() < ActorStatus::Draining);
    assert_eq!(theirs.get_status(), ActorStatus::Stopped);
}

#[tokio::test]
async fn a_second_shutdown_does_no_harm() {
    let (registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let reports = registry.shutdown().await;
    assert_eq!(reports.len(), 1);
    assert_eq!(registry.shutdown().await, reports, "it gets the report that the first got");
    names.cleanup().await.unwrap();
}

/// A test's tree that gives up is gone; its names go with it, and no other namespace is affected.
#[tokio::test]
async fn a_namespace_that_collapses_removes_only_its_own_names() {
    let registry = ProcessRegistry::builder()
        .service(Service::new(PROBE.name().clone(), |names| names.child_spec(&PROBE, || (Probe::default(), ()))))
        .intensity(foundation::supervision::RestartIntensity::new(0, Duration::from_secs(1)))
        .start()
        .await
        .unwrap();
    let production = registry.namespace(Namespace::Production).await.unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    let application = names.application().unwrap();
    names.via(&PROBE).cast(Command::Panic("ordered to panic")).unwrap();
    application.wait_until_gone().await;
    assert!(!names.is_registered(&PROBE));
    assert!(production.via(&PROBE).call(Command::Id, SOON).await.is_ok());
    let refused = names.spawn(&OTHER, Probe::default(), ()).await.unwrap_err();
    assert!(matches!(refused, RegistryError::NotRunning { .. }), "{refused}");
    names.cleanup().await.unwrap();
    assert_eq!(registry.namespaces(), [Namespace::Production]);
}

#[tokio::test]
async fn however_its_actors_end_the_namespace_can_be_cleaned_up() {
    let (registry, names) = test_registry().await;
    let puppet = Puppet::default();
    let mut ending_actors = Vec::new();
    for (n, ending) in Ending::ALL.into_iter().enumerate() {
        let gate = Gate::new();
        let actor = names.spawn(&key(format!("probe_{n}")), ending.probe(&puppet, &gate), ()).await.unwrap();
        ending_actors.push((ending, actor, gate));
    }
    for (ending, actor, gate) in &ending_actors {
        ending.bring_about(actor, gate).await;
    }
    names.cleanup().await.unwrap();
    assert!(puppet.alive() == 0);
    assert_eq!(registry.stats().total, 0);
}

/// A child that its start function does not want now takes no name.
#[tokio::test]
async fn a_child_that_is_not_wanted_has_no_name_and_does_not_hinder_the_end() {
    let (_registry, names) = test_registry().await;
    let spec = ChildSpec::from_fn("unwanted", ChildKind::Worker, |_| async { Ok::<_, StartError>(Start::Ignore) });
    assert!(names.supervise(spec).await.unwrap().is_none());
    assert!(names.list_services().is_empty());
    names.cleanup().await.unwrap();
}

/// ractor reports an end while the actor's task has yet to drop its handler and, after a kill, its state.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_up_returns_when_the_handlers_and_states_of_foreign_actors_are_dropped() {
    let registry = ProcessRegistry::start().await.unwrap();
    for ending in [Behavior::Proceed, Behavior::Fail("ordered to fail")] {
        for round in 0..100 {
            let names = registry.namespace(Namespace::test()).await.unwrap();
            let (registered, joined) = (Puppet::default(), Puppet::default());
            let slow = |puppet: &Puppet| {
                puppet.actor().stop(ending.clone()).on_drop(|| {
                    for n in 0..20_000 {
                        std::hint::black_box(n);
                    }
                })
            };
            let [outside, member] = [foreign(slow(&registered)).await, foreign(slow(&joined)).await];
            names.register(&PROBE, &outside).await.unwrap();
            names.group(&GroupKey::<Command>::from_static("members")).join(&member).unwrap();
            names.cleanup().await.unwrap();
            assert!(registered.alive() == 0 && joined.alive() == 0, "round {round}");
        }
    }
    registry.shutdown().await;
}
