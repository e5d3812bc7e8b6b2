//! Elixir's own registry tests, as far as the present API has an analogue: CONFORMANCE, section 2.

use foundation::ServiceKey;
use foundation::names::{Metadata, RegistryError};
use foundation::ractor::ActorStatus;
use foundation_testkit::{Behavior, Command, Gate, Probe, Puppet, SOON, TraceLog, assert_error, test_registry};
use tracing::Level;

use crate::ending::Ending;
use crate::setup::{OTHER, PROBE, count, foreign, key, names_in};

fn holder(refused: &RegistryError) -> Option<foundation::ractor::ActorId> {
    match refused {
        RegistryError::AlreadyRegistered { holder, .. } => *holder,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn reg_cleans_up_when_the_process_crashes() {
    for ending in Ending::ALL {
        let (registry, names) = test_registry().await;
        let (puppet, gate) = (Puppet::default(), Gate::new());
        let ours = names.spawn(&PROBE, ending.probe(&puppet, &gate), ()).await.unwrap();
        ending.bring_about(&ours, &gate).await;
        ours.wait(None).await.unwrap();
        assert_eq!(registry.stats().total, 0, "{ending:?}, spawned");

        let gate = Gate::new();
        let outside = foreign(ending.probe(&puppet, &gate)).await;
        names.register(&OTHER, &outside).await.unwrap();
        ending.bring_about(&outside, &gate).await;
        outside.wait(None).await.unwrap();
        // The process registry reads the event before the next request.
        names.supervise(names.child_spec(&PROBE, || (Probe::default(), ()))).await.unwrap();
        names.register(&OTHER, &foreign(Probe::default()).await).await.unwrap();
        assert_eq!(registry.stats().total, 2, "{ending:?}, registered");
        assert!(puppet.alive() == 0, "{ending:?}");
    }
}

#[tokio::test]
async fn reg_counts_zero_when_it_is_empty() {
    let (registry, names) = test_registry().await;
    assert_eq!(registry.namespace(names.namespace()).await.unwrap().list_services().len(), 0);
}

#[tokio::test]
async fn reg_counts_keys() {
    let (registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    for (n, name) in ["hello", "world", "again"].into_iter().enumerate() {
        names.register(&key(name), &actor).await.unwrap();
        assert_eq!(registry.namespace(names.namespace()).await.unwrap().list_services().len(), n + 1);
    }
}

#[tokio::test]
async fn reg_is_unique_within_one_process() {
    let (_registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    names.register(&PROBE, &actor).await.unwrap();
    let refused = names.register(&PROBE, &actor).await.unwrap_err();
    assert_eq!(holder(&refused), Some(actor.get_id()));
}

#[tokio::test]
async fn reg_is_unique_across_processes() {
    let (_registry, names) = test_registry().await;
    let first = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let refused = names.spawn(&PROBE, Probe::default(), ()).await.unwrap_err();
    assert_eq!(holder(&refused), Some(first.get_id()));
    let refused = names.register(&PROBE, &foreign(Probe::default()).await).await.unwrap_err();
    assert_eq!(holder(&refused), Some(first.get_id()));
    let refused = names.supervise(names.child_spec(&PROBE, || (Probe::default(), ()))).await.unwrap_err();
    assert!(refused.to_string().contains(&format!("already registered by actor {}", first.get_id())), "{refused}");
}

/// The process registry is kept from reading that the holder has ended; the next claim gets the name all the same.
#[tokio::test]
async fn reg_unique_when_cleanup_is_delayed() {
    let (_registry, names) = test_registry().await;
    let first = foreign(Probe::default()).await;
    names.register(&PROBE, &first).await.unwrap();
    let second = foreign(Probe::default()).await;
    // One thread, and the only await between the end and the next registration is that registration itself.
    first.kill();
    first.wait(None).await.unwrap();
    names.register(&PROBE, &second).await.unwrap();
    assert_eq!(names.lookup(&PROBE).unwrap().get_id(), second.get_id());
    // The event of the first one's end comes late, and must not take the name from the second.
    names.spawn(&OTHER, Probe::default(), ()).await.unwrap();
    second.cast(Command::Note("still here")).unwrap();
    assert_eq!(names.via(&PROBE).call(Command::Notes, SOON).await.unwrap(), ["still here"]);
}

#[tokio::test]
async fn reg_compares_names_exactly() {
    let (_registry, names) = test_registry().await;
    let spellings = ["a.1", "a-1", "a_1", "a1", "a.10", "a.1."];
    for name in spellings {
        names.spawn(&key(name), Probe::default(), ()).await.unwrap();
    }
    assert_eq!(names_in(&names).len(), spellings.len());
}

/// Adapted from dispatch: the function is not called when the name is free.
#[tokio::test]
async fn reg_with_calls_the_function_only_if_the_name_has_a_holder() {
    let (_registry, names) = test_registry().await;
    let mut called = 0;
    names.with(&PROBE, |_| called += 1).unwrap_err();
    assert_eq!(called, 0);
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_eq!(names.with(&PROBE, |cell| cell.get_id()).unwrap(), actor.get_id());
}

#[tokio::test]
async fn reg_with_may_use_the_registry_inside() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let seen = names.with(&PROBE, |_| {
        assert_eq!(names_in(&names), ["probe"]);
        names.unregister(&PROBE)
    });
    assert!(seen.unwrap());
    assert!(!names.is_registered(&PROBE));
}

#[tokio::test]
async fn reg_unregisters_by_key() {
    let (_registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    for name in ["hello", "world"] {
        names.register(&key(name), &actor).await.unwrap();
    }
    assert!(names.unregister(&key::<Command>("hello")));
    assert_eq!(names_in(&names), ["world"]);
}

#[tokio::test]
async fn reg_unregisters_with_no_entry() {
    let (_registry, names) = test_registry().await;
    assert!(!names.unregister(&PROBE));
}

/// Adapted from listeners: a listener to names that come and go listens to the events.
#[tokio::test]
async fn reg_notifies_listeners_of_names_that_come_and_go() {
    let (log, _listening) = TraceLog::of_thread(Level::DEBUG);
    let (_registry, names) = test_registry().await;
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_eq!(log.lines(&["service registered", "service=probe"]).len(), 1);
    assert_eq!(log.lines(&["service released", "service=probe"]).len(), 0);
    actor.stop_and_wait(None, None).await.unwrap();
    assert_eq!(log.lines(&["service released", "service=probe", &format!("actor={}", actor.get_id())]).len(), 1);
}

#[tokio::test]
async fn reg_refuses_to_work_in_a_namespace_that_is_gone() {
    let (_registry, names) = test_registry().await;
    names.cleanup().await.unwrap();
    let refused = names.spawn(&PROBE, Probe::default(), ()).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("namespace {} is not running", names.namespace()));
}

/// `register_name`, `send`, `whereis_name` and `unregister_name` of Elixir's via.
#[tokio::test]
async fn reg_via_registers_sends_finds_and_unregisters() {
    let (_registry, names) = test_registry().await;
    let via = names.via(&PROBE);
    assert_error!(via.actor_ref(), RegistryError::NotFound { .. });
    let actor = foreign(Probe::default()).await;
    names.register(&PROBE, &actor).await.unwrap();
    assert_eq!(via.actor_ref().unwrap().get_id(), actor.get_id());
    via.cast(Command::Note("hello")).unwrap();
    assert_eq!(via.call(Command::Notes, SOON).await.unwrap(), ["hello"]);
    let refused = names.register(via.key(), &foreign(Probe::default()).await).await.unwrap_err();
    assert_eq!(holder(&refused), Some(actor.get_id()));
    assert!(names.unregister(via.key()));
    assert!(!via.is_alive());
    assert!(actor.get_status() <= ActorStatus::Running);
}

/// CONFORMANCE 2.2: via with a value.
#[tokio::test]
async fn reg_2_2_via_finds_one_that_registered_with_a_value() {
    let (_registry, names) = test_registry().await;
    let value = Metadata::new(&("value", 1)).unwrap();
    let via = names.via(&PROBE);
    let actor = names.with_metadata(value.clone()).spawn(via.key(), Probe::default(), ()).await.unwrap();
    assert_eq!(via.actor_ref().unwrap().get_id(), actor.get_id());
    assert_eq!(names.metadata(via.key()).unwrap(), Some(value.clone()));
    let refused = names.with_metadata(value).register(&PROBE, &foreign(Probe::default()).await).await.unwrap_err();
    assert_eq!(holder(&refused), Some(actor.get_id()));
}

/// Adapted from reserved keys: the keys that Elixir reserves for its patterns are invalid names here.
#[tokio::test]
async fn reg_2_2_reserved_keys_are_refused() {
    for reserved in ["_", "$1", "$2", "$_"] {
        let refused = ServiceKey::<Command>::new(reserved).unwrap_err();
        assert!(
            refused.to_string().contains("a letter a-z") || refused.to_string().contains("allowed are"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn reg_selects_none_of_an_empty_registry() {
    let (registry, names) = test_registry().await;
    assert!(registry.get_all_services(names.namespace()).is_empty());
}

#[tokio::test]
async fn reg_selects_all() {
    let (registry, names) = test_registry().await;
    let hello = names.spawn(&key("hello"), Probe::default(), ()).await.unwrap();
    let world = names.spawn(&key("world"), Probe::default(), ()).await.unwrap();
    let all = registry.get_all_services(names.namespace());
    assert_eq!(all.values().map(|actor| actor.actor_id()).collect::<Vec<_>>(), [hello.get_id(), world.get_id()]);
}

#[tokio::test]
async fn reg_does_not_grow_on_already_registered() {
    let (registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    names.register(&PROBE, &actor).await.unwrap();
    let before = registry.stats();
    for _ in 0..100 {
        names.register(&PROBE, &actor).await.unwrap_err();
    }
    assert_eq!(registry.stats(), before);
    assert_eq!(count(&names, "registry.registrations"), 1);
}

#[tokio::test]
async fn reg_does_not_grow_on_already_registered_across_processes() {
    let (registry, names) = test_registry().await;
    let puppet = Puppet::default();
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let before = registry.stats();
    for _ in 0..100 {
        names.spawn(&PROBE, puppet.actor(), ()).await.unwrap_err();
        names.register(&PROBE, &foreign(Probe::default()).await).await.unwrap_err();
    }
    assert_eq!(registry.stats(), before);
    assert_eq!(puppet.lives(), 0, "an actor whose name is taken is not even started");
}

/// Beyond Elixir's tests: a start that fails leaves nothing behind either.
#[tokio::test]
async fn reg_does_not_grow_on_failed_starts() {
    let (registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.unregister(&PROBE);
    let before = registry.stats();
    for _ in 0..100 {
        names.spawn(&PROBE, Probe::default().start(Behavior::Fail("no")), ()).await.unwrap_err();
    }
    assert_eq!(registry.stats(), before);
}
