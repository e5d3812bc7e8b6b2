//! Actors that were started elsewhere and only registered here.

use std::sync::{Mutex, mpsc};
use std::thread::JoinHandle;

use foundation::Namespace;
use foundation::names::{ProcessRegistry, RegistryError, ServiceRegistry};
use foundation::ractor::{Actor, ActorRef, ActorRuntime, ActorStatus};
use foundation_testkit::{Behavior, Command, Gate, Probe, SOON, assert_error, subscribe, test_registry};
use futures::FutureExt;

use crate::setup::{OTHER, PROBE, count, foreign, key, names_in};

/// Returns when the process registry has read all earlier messages: it answers in order.
async fn caught_up(registry: &ProcessRegistry) {
    let other = Namespace::test();
    registry.namespace(other).await.unwrap();
    registry.cleanup_namespace(other).await.unwrap();
}

#[tokio::test]
async fn a_foreign_actor_may_have_several_names_and_loses_all_when_it_ends() {
    let (registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    for n in 0..5 {
        names.register(&key(format!("alias_{n}")), &actor).await.unwrap();
    }
    assert_eq!(names.list_services().len(), 5);
    actor.stop_and_wait(None, None).await.unwrap();
    assert!(names.list_services().is_empty(), "at once");
    caught_up(&registry).await;
    assert_eq!(registry.stats().total, 0, "and for good");
    assert_eq!(count(&names, "registry.releases"), 5);
}

#[tokio::test]
async fn a_foreign_actor_may_have_names_in_several_namespaces() {
    let (registry, ours) = test_registry().await;
    let theirs = registry.namespace(Namespace::test()).await.unwrap();
    let actor = foreign(Probe::default()).await;
    ours.register(&PROBE, &actor).await.unwrap();
    theirs.register(&PROBE, &actor).await.unwrap();

    assert!(ours.unregister(&PROBE));
    assert_eq!(theirs.lookup(&PROBE).unwrap().get_id(), actor.get_id());
    actor.kill_and_wait(None).await.unwrap();
    caught_up(&registry).await;
    assert_eq!(registry.stats().total, 0, "it was still watched for the sake of its other name");
}

#[tokio::test]
async fn a_foreign_actor_that_lost_a_name_is_still_watched_for_the_others() {
    let (registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    names.register(&PROBE, &actor).await.unwrap();
    names.register(&OTHER, &actor).await.unwrap();
    names.unregister(&PROBE);
    names.register(&PROBE, &actor).await.unwrap();
    names.unregister(&OTHER);
    actor.stop_and_wait(None, None).await.unwrap();
    caught_up(&registry).await;
    assert_eq!(registry.stats().total, 0);
}

/// A name is removed while another is added: in either order, the actor is watched for as long as it has a name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_registered_while_another_is_unregistered_is_watched() {
    let (registry, names) = test_registry().await;
    for _ in 0..300 {
        let actor = foreign(Probe::default()).await;
        names.register(&PROBE, &actor).await.unwrap();
        let gone = tokio::spawn({
            let names = names.clone();
            async move { names.unregister(&PROBE) }
        });
        names.register(&OTHER, &actor).await.unwrap();
        assert!(gone.await.unwrap());
        actor.kill_and_wait(None).await.unwrap();
        caught_up(&registry).await;
        assert_eq!(registry.stats().total, 0, "the registry did not hear of its end");
    }
}

#[tokio::test]
async fn a_managed_actor_may_have_a_second_name() {
    let (registry, names) = test_registry().await;
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.register(&OTHER, &actor).await.unwrap();
    assert_eq!(names.lookup(&PROBE).unwrap().get_id(), names.lookup(&OTHER).unwrap().get_id());
    actor.kill_and_wait(None).await.unwrap();
    caught_up(&registry).await;
    assert_eq!(registry.stats().total, 0);
}

#[tokio::test]
async fn an_unregistered_name_is_free_at_once() {
    let (_registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    names.register(&PROBE, &actor).await.unwrap();
    let via = names.via(&PROBE);
    via.cast(Command::Note("bound")).unwrap();
    assert!(names.unregister(&PROBE));
    assert!(!via.is_alive(), "a handle that was bound to it does not find it either");
    let returned = via.cast(Command::Note("lost")).unwrap_err();
    assert!(matches!(returned.reason, RegistryError::NotFound { .. }), "{returned}");
    assert!(matches!(returned.message, Command::Note("lost")));
    assert!(actor.get_status() < ActorStatus::Draining);
}

/// Registers on a thread of its own, which is blocked at the very moment at which the name has become visible.
fn register_slowly(names: &ServiceRegistry, actor: &ActorRef<Command>) -> Slow {
    let (visible, is_visible) = mpsc::channel();
    let (let_go, held) = mpsc::channel::<()>();
    let (names, actor) = (names.clone(), actor.clone());
    let thread = std::thread::spawn(move || {
        let held = Mutex::new(held);
        let hold = HoldUp(Box::new(move || {
            visible.send(()).unwrap();
            held.lock().unwrap().recv().unwrap();
        }));
        let _held_up = subscribe(hold);
        names.register(&PROBE, &actor).now_or_never().expect("the name is free")
    });
    is_visible.recv().unwrap();
    Slow { let_go, thread }
}

struct Slow {
    let_go: mpsc::Sender<()>,
    thread: JoinHandle<Result<(), RegistryError>>,
}

impl Slow {
    fn go_on(self) -> Result<(), RegistryError> {
        self.let_go.send(()).unwrap();
        self.thread.join().unwrap()
    }
}

struct HoldUp(Box<dyn Fn() + Send + Sync>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for HoldUp {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let mut says_registered = false;
        event.record(&mut |_: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            says_registered |= format!("{value:?}") == "service registered";
        });
        if says_registered {
            (self.0)();
        }
    }
}

/// `unregister` returns only when no lookup finds the name, even if `register` has not returned yet on its thread.
#[tokio::test]
async fn a_name_that_is_unregistered_during_its_registration_is_free() {
    let (registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    let registering = register_slowly(&names, &actor);
    assert!(names.unregister(&PROBE));
    assert!(!names.is_registered(&PROBE));
    names.spawn(&PROBE, Probe::default(), ()).await.expect("the name is free");
    registering.go_on().unwrap();
    assert_ne!(names.lookup(&PROBE).unwrap().get_id(), actor.get_id());
    assert_eq!(registry.stats().total, 1);
}

#[tokio::test]
async fn a_clean_up_during_a_registration_stops_and_reports_the_actor() {
    let (registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    let registering = register_slowly(&names, &actor);
    let report = names.cleanup().await.unwrap();
    assert!(report.stopped.iter().any(|service| service.path == "registered/probe"));
    assert_eq!(actor.get_status(), ActorStatus::Stopped);
    let refused = registering.go_on().unwrap_err();
    assert!(matches!(refused, RegistryError::NotRunning { .. }), "{refused}");
    assert_eq!(registry.stats().total, 0);
}

#[tokio::test]
async fn a_dead_actor_is_refused_and_its_name_stays_free() {
    let (registry, names) = test_registry().await;
    for kill in [false, true] {
        let actor = foreign(Probe::default()).await;
        if kill {
            actor.kill_and_wait(None).await.unwrap();
        } else {
            actor.stop_and_wait(None, None).await.unwrap();
        }
        let refused = names.register(&PROBE, &actor).await.unwrap_err();
        let text = format!("actor {} cannot be registered as probe: it has ended, or is about to", actor.get_id());
        assert_eq!(refused.to_string(), text);
    }
    assert_eq!(registry.stats().total, 0);
    assert_eq!(count(&names, "registry.registrations"), 0);
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
}

#[tokio::test]
async fn an_actor_that_is_leaving_is_refused() {
    let (_registry, names) = test_registry().await;
    let gate = Gate::new();
    let stopping = foreign(Probe::default().stop(Behavior::Wait(gate.clone()))).await;
    stopping.stop(None);
    gate.arrival().await;
    let refused = names.register(&PROBE, &stopping).await.unwrap_err();
    assert!(matches!(refused, RegistryError::Dead { .. }), "{refused}");

    let busy = Gate::new();
    let draining = foreign(Probe::default()).await;
    draining.cast(Command::Stay(busy.clone())).unwrap();
    draining.drain().unwrap();
    let refused = names.register(&PROBE, &draining).await.unwrap_err();
    assert!(matches!(refused, RegistryError::Dead { .. }), "{refused}");
    gate.open();
    busy.open();
    assert_eq!(names.service_info().total(), 0);
}

/// ractor does not report the end of an actor that ends before it has started, so there is no event to wait for.
#[tokio::test]
async fn an_actor_that_was_registered_before_it_failed_to_start_does_not_keep_its_name() {
    let (registry, names) = test_registry().await;
    let gate = Gate::new();
    let (actor, starting) =
        ActorRuntime::spawn_instant(None, Probe::default().start(Behavior::Wait(gate.clone())), ()).unwrap();
    names.register(&PROBE, &actor).await.unwrap();
    gate.arrival().await;
    starting.abort();
    actor.wait(None).await.unwrap();
    assert_error!(names.lookup(&PROBE), RegistryError::NotFound { .. });
    assert!(names_in(&names).is_empty());
    names.register(&PROBE, &foreign(Probe::default()).await).await.unwrap();
    assert_eq!(registry.stats().total, 1);
}

/// Their ends are not reported; so the registry scans for them when there may be many.
#[tokio::test]
async fn actors_that_never_started_do_not_accumulate() {
    let (registry, names) = test_registry().await;
    for n in 0..100 {
        let never = Probe::default().start(Behavior::Wait(Gate::new()));
        let (actor, starting) = ActorRuntime::spawn_instant(None, never, ()).unwrap();
        names.register(&key(format!("name_{n}")), &actor).await.unwrap();
        starting.abort();
        actor.wait(None).await.unwrap();
    }
    names.register(&PROBE, &foreign(Probe::default()).await).await.unwrap();
    assert!(registry.stats().total < 70, "{}", registry.stats().total);
    names.cleanup().await.unwrap();
    assert_eq!(registry.stats().total, 0);
}

/// Of many concurrent unregistrations of a name, exactly one succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_unregistered_once() {
    let (_registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    for _ in 0..300 {
        names.register(&PROBE, &actor).await.unwrap();
        let taking: Vec<_> = (0..4)
            .map(|_| {
                let names = names.clone();
                tokio::spawn(async move { names.unregister(&PROBE) })
            })
            .collect();
        let taken = futures::future::join_all(taking).await;
        assert_eq!(taken.iter().filter(|taken| *taken.as_ref().unwrap()).count(), 1);
    }
}

#[tokio::test]
async fn a_foreign_holder_that_drains_answers_its_messages_and_releases_its_name() {
    let (_registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    names.register(&PROBE, &actor).await.unwrap();
    let via = names.via(&PROBE);
    let busy = Gate::new();
    via.cast(Command::Stay(busy.clone())).unwrap();
    let answer = via.call(Command::Id, SOON);
    let (answer, ()) = tokio::join!(answer, async {
        busy.arrival().await;
        actor.drain().unwrap();
        assert_error!(names.lookup(&PROBE), RegistryError::NotFound { .. }, "a draining actor takes no more messages");
        busy.open();
    });
    assert_eq!(answer.unwrap(), actor.get_id());
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
}

#[tokio::test]
async fn a_namespace_can_be_used_after_the_handle_on_the_registry_is_dropped() {
    let names: ServiceRegistry = {
        let registry = ProcessRegistry::start().await.unwrap();
        registry.namespace(Namespace::test()).await.unwrap()
    };
    let actor = foreign(Probe::default()).await;
    names.register(&PROBE, &actor).await.unwrap();
    actor.stop_and_wait(None, None).await.unwrap();
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.cleanup().await.unwrap();
    assert!(!names.is_registered(&PROBE));
}

/// A plain ractor actor is supervised by the actor that started it, and registration does not change that.
#[tokio::test]
async fn registering_an_actor_does_not_change_who_supervises_it() {
    let (_registry, names) = test_registry().await;
    let parent = foreign(Probe::default()).await;
    let (child, _task) = Actor::spawn_linked(None, Probe::default(), (), parent.get_cell()).await.unwrap();
    names.register(&PROBE, &child).await.unwrap();
    assert_eq!(child.try_get_supervisor().unwrap().get_id(), parent.get_id());
    names.unregister(&PROBE);
    assert_eq!(child.try_get_supervisor().unwrap().get_id(), parent.get_id());
}
