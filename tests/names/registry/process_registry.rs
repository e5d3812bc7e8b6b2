//! Elixir Foundation's process-registry tests: CONFORMANCE, section 5.

use foundation::names::{ProcessRegistry, RegistryError, Service};
use foundation::ractor::ActorStatus;
use foundation::supervision::{ChildError, ChildKind, Shutdown, Stopped};
use foundation::{ChildSpec, Namespace, Restart};
use foundation_testkit::{Behavior, Probe, Puppet, assert_error, test_registry};
use std::time::Duration;

use crate::setup::{OTHER, PROBE, foreign, key, names_in};

// ---- child spec ----

#[tokio::test]
async fn fnd_5_a_child_spec_has_the_defaults_of_a_worker() {
    let (_registry, names) = test_registry().await;
    let spec = names.child_spec(&PROBE, || (Probe::default(), ()));
    assert_eq!(spec.id().as_str(), "probe");
    assert_eq!(spec.kind(), ChildKind::Worker);
    assert_eq!(spec.restart_rule(), Restart::Permanent);
    assert_eq!(spec.shutdown_rule(), Shutdown::Timeout(Duration::from_secs(5)));
    names.supervise(spec).await.unwrap();
    assert!(names.is_registered(&PROBE));
}

/// Adapted: there, two registries under one supervisor need two ids; here, two children.
#[tokio::test]
async fn fnd_5_child_specs_of_different_keys_have_different_ids() {
    let (_registry, names) = test_registry().await;
    names.supervise(names.child_spec(&PROBE, || (Probe::default(), ()))).await.unwrap();
    names.supervise(names.child_spec(&OTHER, || (Probe::default(), ()))).await.unwrap();
    assert_eq!(names_in(&names), ["other", "probe"]);

    let again = names.supervise(names.child_spec(&PROBE, || (Probe::default(), ()))).await.unwrap_err();
    assert!(matches!(again, RegistryError::Child { error: ChildError::AlreadyStarted { .. }, .. }), "{again}");
}

// ---- register ----

#[tokio::test]
async fn fnd_5_register_makes_an_actor_known() {
    let (_registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    names.register(&PROBE, &actor).await.unwrap();
    assert_eq!(names.lookup(&PROBE).unwrap().get_id(), actor.get_id());
}

#[tokio::test]
async fn fnd_5_register_a_name_that_is_taken_names_its_holder() {
    let (_registry, names) = test_registry().await;
    let (first, second) = (foreign(Probe::default()).await, foreign(Probe::default()).await);
    names.register(&PROBE, &first).await.unwrap();
    let refused = names.register(&PROBE, &second).await.unwrap_err();
    let RegistryError::AlreadyRegistered { holder, .. } = refused else { panic!("{refused}") };
    assert_eq!(holder, Some(first.get_id()));
    assert_eq!(names.lookup(&PROBE).unwrap().get_id(), first.get_id());
}

/// Adapted: the compiler checks that a name takes an actor and nothing else; that the actor lives is checked here.
#[tokio::test]
async fn fnd_5_register_requires_a_living_actor() {
    let (registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    actor.stop_and_wait(None, None).await.unwrap();
    let refused = names.register(&PROBE, &actor).await.unwrap_err();
    assert!(matches!(refused, RegistryError::Dead { actor: dead, .. } if dead == actor.get_id()), "{refused}");
    assert_eq!(registry.stats().total, 0);
}

#[tokio::test]
async fn fnd_5_register_works_in_production() {
    let registry = ProcessRegistry::start().await.unwrap();
    let actor = foreign(Probe::default()).await;
    registry.namespace(Namespace::Production).await.unwrap().register(&PROBE, &actor).await.unwrap();
    assert_eq!(
        registry.namespace(Namespace::Production).await.unwrap().lookup(&PROBE).unwrap().get_id(),
        actor.get_id()
    );
    assert_eq!(registry.namespaces(), [Namespace::Production]);
}

// ---- lookup ----

#[tokio::test]
async fn fnd_5_lookup_returns_the_actor() {
    let (_registry, names) = test_registry().await;
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_eq!(names.lookup(&PROBE).unwrap().get_id(), actor.get_id());
}

#[tokio::test]
async fn fnd_5_lookup_of_a_free_name_fails() {
    let (registry, names) = test_registry().await;
    let missed = names.lookup(&PROBE).unwrap_err();
    assert!(matches!(missed, RegistryError::NotFound { .. }), "{missed}");
    let nowhere = registry.namespace(Namespace::test()).await.unwrap().lookup(&PROBE).unwrap_err();
    assert!(matches!(nowhere, RegistryError::NotFound { .. }), "{nowhere}");
}

#[tokio::test]
async fn fnd_5_lookup_fails_after_the_process_ends() {
    let (_registry, names) = test_registry().await;
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let outside = foreign(Probe::default()).await;
    names.register(&OTHER, &outside).await.unwrap();
    actor.stop_and_wait(None, None).await.unwrap();
    outside.kill_and_wait(None).await.unwrap();
    assert_error!(names.lookup(&PROBE), RegistryError::NotFound { .. });
    assert_error!(names.lookup(&OTHER), RegistryError::NotFound { .. });
}

#[tokio::test]
async fn fnd_5_lookup_of_one_name_in_two_namespaces_finds_two_actors() {
    let (registry, ours) = test_registry().await;
    let theirs = registry.namespace(Namespace::test()).await.unwrap();
    let our_actor = ours.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_error!(theirs.lookup(&PROBE), RegistryError::NotFound { .. });
    let their_actor = theirs.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_eq!(ours.lookup(&PROBE).unwrap().get_id(), our_actor.get_id());
    assert_eq!(theirs.lookup(&PROBE).unwrap().get_id(), their_actor.get_id());
}

// ---- unregister ----

#[tokio::test]
async fn fnd_5_unregister_removes_the_name_and_leaves_the_actor() {
    let (_registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    names.register(&PROBE, &actor).await.unwrap();
    assert!(names.unregister(&PROBE));
    assert_error!(names.lookup(&PROBE), RegistryError::NotFound { .. });
    assert!(actor.get_status() < ActorStatus::Draining);
}

#[tokio::test]
async fn fnd_5_unregister_a_free_name_does_no_harm() {
    let (registry, names) = test_registry().await;
    assert!(!names.unregister(&PROBE));
    assert!(!registry.namespace(Namespace::test()).await.unwrap().unregister(&PROBE));
}

#[tokio::test]
async fn fnd_5_unregister_twice_does_no_harm() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert!(names.unregister(&PROBE));
    assert!(!names.unregister(&PROBE));
}

// ---- lists ----

#[tokio::test]
async fn fnd_5_list_services_of_an_empty_namespace_is_empty() {
    let (registry, names) = test_registry().await;
    assert!(names.list_services().is_empty());
    assert!(registry.namespace(Namespace::test()).await.unwrap().list_services().is_empty());
}

#[tokio::test]
async fn fnd_5_list_services_has_all_names_of_the_namespace() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.register(&OTHER, &foreign(Probe::default()).await).await.unwrap();
    assert_eq!(names.list_services(), [OTHER.name().clone(), PROBE.name().clone()]);
}

#[tokio::test]
async fn fnd_5_list_services_does_not_show_other_namespaces() {
    let (registry, ours) = test_registry().await;
    let theirs = registry.namespace(Namespace::test()).await.unwrap();
    ours.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    theirs.spawn(&OTHER, Probe::default(), ()).await.unwrap();
    assert_eq!(names_in(&ours), ["probe"]);
    assert_eq!(names_in(&theirs), ["other"]);
}

#[tokio::test]
async fn fnd_5_get_all_services_of_an_empty_namespace_is_an_empty_map() {
    let (registry, names) = test_registry().await;
    assert!(registry.get_all_services(names.namespace()).is_empty());
    assert!(registry.get_all_services(Namespace::Production).is_empty());
}

#[tokio::test]
async fn fnd_5_get_all_services_maps_names_to_actors() {
    let (registry, names) = test_registry().await;
    let probe = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let other = names.spawn(&OTHER, Probe::default(), ()).await.unwrap();
    let all = registry.get_all_services(names.namespace());
    let ids: Vec<_> = all.iter().map(|(name, actor)| (name.as_str(), actor.actor_id())).collect();
    assert_eq!(ids, [("other", other.get_id()), ("probe", probe.get_id())]);
}

// ---- registered? and count ----

#[tokio::test]
async fn fnd_5_is_registered_is_true_of_a_live_name() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert!(names.is_registered(&PROBE));
}

#[tokio::test]
async fn fnd_5_is_registered_is_false_of_an_unknown_name() {
    let (registry, names) = test_registry().await;
    assert!(!names.is_registered(&PROBE));
    assert!(!registry.namespace(Namespace::Production).await.unwrap().is_registered(&PROBE));
}

#[tokio::test]
async fn fnd_5_is_registered_is_false_after_unregister() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.unregister(&PROBE);
    assert!(!names.is_registered(&PROBE));
}

#[tokio::test]
async fn fnd_5_count_of_an_empty_namespace_is_zero() {
    let (registry, names) = test_registry().await;
    assert_eq!(names.list_services().len(), 0);
    assert_eq!(registry.namespace(Namespace::Production).await.unwrap().list_services().len(), 0);
}

#[tokio::test]
async fn fnd_5_count_is_the_number_of_names() {
    let (_registry, names) = test_registry().await;
    for n in 0..7 {
        names.spawn(&key(format!("probe_{n}")), Probe::default(), ()).await.unwrap();
    }
    assert_eq!(names.list_services().len(), 7);
}

#[tokio::test]
async fn fnd_5_count_decreases_with_each_unregistered_name() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let other = names.spawn(&OTHER, Probe::default(), ()).await.unwrap();
    names.unregister(&PROBE);
    assert_eq!(names.list_services().len(), 1);
    other.stop_and_wait(None, None).await.unwrap();
    assert_eq!(names.list_services().len(), 0);
}

// ---- via ----

/// Adapted: a via tuple is a `Via` here, which has a name and a namespace.
#[tokio::test]
async fn fnd_5_via_shows_its_name_and_namespace() {
    let registry = ProcessRegistry::start().await.unwrap();
    let via = registry.namespace(Namespace::Production).await.unwrap().via(&PROBE);
    assert_eq!(via.namespace(), Namespace::Production);
    assert_eq!(via.key().name(), PROBE.name());
    assert_eq!(format!("{via:?}"), "Via(probe in production)");
}

#[tokio::test]
async fn fnd_5_via_works_in_test_namespaces() {
    let (_registry, names) = test_registry().await;
    let via = names.via(&PROBE);
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_eq!(via.actor_ref().unwrap().get_id(), actor.get_id());
}

// ---- clean-up ----

#[tokio::test]
async fn fnd_5_cleanup_ends_all_processes_of_the_namespace() {
    let (registry, names) = test_registry().await;
    let ours = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let outside = foreign(Probe::default()).await;
    names.register(&OTHER, &outside).await.unwrap();
    registry.cleanup_namespace(names.namespace()).await.unwrap();
    assert_eq!(ours.get_status(), ActorStatus::Stopped);
    assert_eq!(outside.get_status(), ActorStatus::Stopped);
    assert!(names.list_services().is_empty());
}

#[tokio::test]
async fn fnd_5_cleanup_of_an_empty_namespace_succeeds() {
    let (registry, names) = test_registry().await;
    registry.cleanup_namespace(names.namespace()).await.unwrap();
    let unknown = registry.cleanup_namespace(Namespace::test()).await.unwrap();
    assert!(unknown.stopped.is_empty());
}

#[tokio::test]
async fn fnd_5_cleanup_lets_processes_end_gracefully() {
    let (registry, names) = test_registry().await;
    let puppet = Puppet::default();
    let gate = foundation_testkit::Gate::new();
    names.spawn(&PROBE, puppet.actor().stop(Behavior::Wait(gate.clone())), ()).await.unwrap();
    let cleaning = tokio::spawn(async move { registry.cleanup_namespace(names.namespace()).await.unwrap() });
    gate.arrival().await;
    assert!(!cleaning.is_finished(), "post_stop is let finish");
    gate.open();
    let report = cleaning.await.unwrap();
    assert_eq!(report.killed().count(), 0);
    assert!(report.stopped.iter().any(|service| service.how == Stopped::InTime));
    assert!(puppet.alive() == 0);
}

// ---- stats ----

#[tokio::test]
async fn fnd_5_stats_total_the_names_of_all_namespaces() {
    let (registry, names) = test_registry().await;
    assert_eq!(registry.stats().total, 0);
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.spawn(&OTHER, Probe::default(), ()).await.unwrap();
    let production = registry.namespace(Namespace::Production).await.unwrap();
    production.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_eq!(registry.stats().total, 3);
    assert!(registry.stats().bytes > 0);
}

#[tokio::test]
async fn fnd_5_stats_count_production_and_tests_separately() {
    let (registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.spawn(&OTHER, Probe::default(), ()).await.unwrap();
    let production = registry.namespace(Namespace::Production).await.unwrap();
    production.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    registry.namespace(Namespace::test()).await.unwrap();
    let stats = registry.stats();
    assert_eq!((stats.production, stats.tests, stats.test_namespaces), (1, 2, 2));
}

/// Adapted: the number of partitions is a property of the reference's table; here each namespace has its own table.
#[tokio::test]
async fn fnd_5_stats_shrink_when_a_namespace_ends() {
    let (registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let before = registry.stats();
    names.cleanup().await.unwrap();
    let after = registry.stats();
    assert_eq!((before.total, before.test_namespaces), (1, 1));
    assert_eq!((after.total, after.test_namespaces, after.bytes), (0, 0, 0));
}

/// Not in the reference: a child's specification can be given to the namespace's supervisor as a part of its own.
#[tokio::test]
async fn fnd_5_children_of_the_layout_are_up_when_the_namespace_is() {
    let layout = ProcessRegistry::builder()
        .service(Service::new(PROBE.name().clone(), |names| names.child_spec(&PROBE, || (Probe::default(), ()))))
        .application(|names| {
            let child: ChildSpec = names.child_spec(&OTHER, || (Probe::default(), ()));
            foundation::supervision::SupervisorSpec::new(foundation::Strategy::OneForOne).child(child)
        });
    let registry = layout.start().await.unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    assert_eq!(names_in(&names), ["other", "probe"]);
}

#[tokio::test]
async fn an_actor_that_has_the_name_already_is_refused_as_its_holder() {
    let (_registry, names) = test_registry().await;
    let ours = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let outside = foreign(Probe::default()).await;
    names.register(&OTHER, &outside).await.unwrap();
    for (key, actor) in [(&PROBE, &ours), (&OTHER, &outside)] {
        let refused = names.register(key, actor).await.unwrap_err();
        let RegistryError::AlreadyRegistered { holder, .. } = refused else { panic!("{refused}") };
        assert_eq!(holder, Some(actor.get_id()));
        assert!(names.is_registered(key), "the refusal changes nothing");
    }
}
