//! The contents of each namespace's tree, as the builder of a registry configures it, and the limits of its steps.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use foundation::names::{
    Collapse, ProcessRegistry, RegistryError, RegistryLimits, Service, ServiceName, ServiceRegistry,
};
use foundation::supervision::{
    ChildEvent, Health, HealthLimits, Report, Reporter, RestartIntensity, Stopped, SupervisorLimits, SupervisorSpec,
    TreeStatus,
};
use foundation::{Namespace, Strategy};
use foundation_testkit::{Behavior, Command, Gate, Log, Moment, Probe, Puppet, soon, test_registry};
use tokio::time::Instant;

use crate::setup::{OTHER, PROBE, foreign};

const SECOND: Duration = Duration::from_secs(1);

/// Counts the reports of one namespace.
#[derive(Clone, Default)]
struct Tally(Arc<Mutex<Vec<String>>>);

impl Reporter for Tally {
    fn report(&self, report: &Report) {
        self.0.lock().unwrap().push(report.supervisor.to_string());
    }
}

#[tokio::test]
async fn a_namespace_is_prepared_before_anything_in_it_is_made_and_its_services_start_before_its_application() {
    let log = Log::new();
    let (service, second, child) =
        (Puppet::new("service", &log), Puppet::new("second", &log), Puppet::new("child", &log));
    let found = |names: &ServiceRegistry| *names.extension(|| 0_u8) == 7 && names.application().is_err();
    let registry = ProcessRegistry::builder()
        .prepare(|names| drop(names.extension(|| 7_u8)))
        .service(Service::new(ServiceName::from_static("service"), move |names| {
            assert!(found(names));
            service.spec()
        }))
        .service(Service::new(ServiceName::from_static("second"), move |_| second.spec()))
        .application(move |names| {
            assert!(found(names));
            SupervisorSpec::new(Strategy::OneForOne).child(child.spec())
        })
        .start()
        .await
        .unwrap();
    registry.namespace(Namespace::test()).await.unwrap();
    assert_eq!(log.of(&[Moment::Up]), ["service up", "second up", "child up"]);
    registry.shutdown().await;
    assert_eq!(log.of(&[Moment::Down]), ["child down", "second down", "service down"]);
}

#[tokio::test]
async fn each_namespace_has_a_reporter_of_its_own_if_it_is_made_for_each() {
    let tallies = Arc::new(Mutex::new(Vec::new()));
    let made = Arc::clone(&tallies);
    let registry = ProcessRegistry::builder()
        .reporters(move |names| {
            let tally = Tally::default();
            made.lock().unwrap().push((names.namespace(), tally.clone()));
            Arc::new(tally)
        })
        .start()
        .await
        .unwrap();
    assert!(tallies.lock().unwrap().is_empty(), "no namespace has been started");
    for _ in 0..2 {
        let names = registry.namespace(Namespace::test()).await.unwrap();
        names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
        names.supervise(names.child_spec(&OTHER, || (Probe::default(), ()))).await.unwrap();
    }
    registry.shutdown().await;
    let tallies = tallies.lock().unwrap();
    assert_eq!(tallies.len(), 2);
    for (namespace, Tally(reported)) in &*tallies {
        let (reported, below) = (reported.lock().unwrap(), format!("registry/{namespace}"));
        assert!(
            !reported.is_empty() && reported.iter().all(|path| path.starts_with(&below)),
            "{namespace}: {reported:?}"
        );
    }
}

#[tokio::test]
async fn a_namespace_survives_the_configured_restarts_of_its_services_and_no_more() {
    let log = Log::new();
    let service = Puppet::new("service", &log);
    let made = service.clone();
    let registry = ProcessRegistry::builder()
        .service(Service::new(ServiceName::from_static("service"), move |_| made.spec()))
        .intensity(RestartIntensity::new(1, Duration::from_secs(3_600)))
        .start()
        .await
        .unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    service.order(Command::Panic("oh"));
    log.reached("service", Moment::Up, 2).await;
    assert!(!names.has_ended());
    service.order(Command::Panic("oh"));
    soon("the end of the namespace", names.ended()).await;
    assert!(!registry.has_collapsed(), "a test's collapse touches no other");
    assert_eq!(log.count("service", Moment::Up), 2);
}

#[tokio::test]
async fn the_tree_of_a_namespace_that_has_stopped_is_one_actor_and_its_services_are_down() {
    let counting =
        Service::new(OTHER.name().clone(), |names| names.child_spec(&OTHER, || (Probe::default(), ())).in_health());
    let silent = Service::new(ServiceName::from_static("silent"), |_| Puppet::new("silent", &Log::new()).spec());
    let registry = ProcessRegistry::builder().service(counting).service(silent).start().await.unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    let child = names.child_spec(&PROBE, || (Probe::default(), ())).in_health();
    names.supervise(child).await.unwrap();
    let limits = HealthLimits::new();
    assert!(names.health(&limits).await.iter().any(|child| child.path.ends_with("probe")));
    registry.shutdown().await;
    let tree = names.tree().await;
    assert_eq!((tree.status, tree.children.len(), tree.running()), (TreeStatus::Stopped, 0, 0));
    let down = format!("down: namespace {} is not running", names.namespace());
    assert_eq!(
        health_of(&names, &limits).await,
        [("other".to_owned(), down.clone()), ("application".to_owned(), down)]
    );
    drop(registry);
    assert_eq!(health_of(&names, &limits).await.len(), 2, "with the root gone as well");
}

async fn health_of(names: &ServiceRegistry, limits: &HealthLimits) -> Vec<(String, String)> {
    names.health(limits).await.into_iter().map(|child| (child.path, child.health.to_string())).collect()
}

/// Holds the supervisor of a namespace up at the first report of it, until it is let go.
struct HoldsUp {
    asked: mpsc::Sender<()>,
    held: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Reporter for HoldsUp {
    fn report(&self, report: &Report) {
        let is_exit = matches!(report.happened, ChildEvent::Exited { .. });
        if let Some(held) = is_exit.then(|| self.held.lock().unwrap().take()).flatten() {
            self.asked.send(()).unwrap();
            held.recv().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_services_of_a_namespace_that_does_not_answer_in_time_have_timed_out() {
    let needing = Service::new(PROBE.name().clone(), |names| names.child_spec(&PROBE, || (Probe::default(), ())));
    let needed = Service::new(OTHER.name().clone(), |names| names.child_spec(&OTHER, || (Probe::default(), ())));
    let ((asked, is_asked), (let_go, held)) = (mpsc::channel(), mpsc::channel());
    let registry = ProcessRegistry::builder()
        .service(needing.needs(OTHER.name().clone()))
        .service(needed)
        .reporter(HoldsUp { asked, held: Mutex::new(Some(held)) })
        .start()
        .await
        .unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    names.lookup(&PROBE).unwrap().kill();
    tokio::task::block_in_place(|| is_asked.recv()).unwrap();

    let limit = Duration::from_millis(10);
    let health = names.health(&HealthLimits::new().answer(limit)).await;
    let shown: Vec<_> = health.iter().map(|child| (child.path.as_str(), &child.health, child.needs.len())).collect();
    let silent = Health::TimedOut(limit);
    assert_eq!(shown, [("other", &silent, 0), ("probe", &silent, 1), ("application", &silent, 0)]);
    let_go.send(()).unwrap();
    registry.shutdown().await;
}

#[tokio::test]
async fn a_service_whose_child_has_another_id_is_refused_with_both_names() {
    let service = Service::new(OTHER.name().clone(), |names| names.child_spec(&PROBE, || (Probe::default(), ())));
    let (prepared, is_prepared) = mpsc::channel();
    let prepare = move |names: &ServiceRegistry| prepared.send(names.clone()).unwrap();
    let registry = ProcessRegistry::builder().prepare(prepare).service(service).start().await.unwrap();
    let refused = registry.namespace(Namespace::Production).await.unwrap_err();
    let expected = "namespace production: child production did not start: service other describes a child with the id \
                    probe: give the two the same name";
    assert_eq!(refused.to_string(), expected);
    assert!(registry.tree().await.children.is_empty());
    assert!(is_prepared.recv().unwrap().has_ended(), "no handle waits for a namespace that does not come");
}

#[tokio::test]
async fn the_registry_survives_the_configured_restarts_of_production_and_no_more() {
    let puppet = Puppet::default();
    let made = puppet.clone();
    let service = Service::new(PROBE.name().clone(), move |names| {
        let made = made.clone();
        names.child_spec(&PROBE, move || (made.actor(), ()))
    });
    let registry = ProcessRegistry::builder()
        .service(service)
        .intensity(RestartIntensity::new(0, SECOND))
        .root_intensity(RestartIntensity::new(1, Duration::from_secs(3_600)))
        .start()
        .await
        .unwrap();
    let production = registry.namespace(Namespace::Production).await.unwrap();
    let first = production.lookup(&PROBE).unwrap();
    first.cast(Command::Panic("ordered to panic")).unwrap();
    first.wait(None).await.unwrap();
    let second = production.wait_for_service(&PROBE, None).await.unwrap();
    assert!(!registry.has_collapsed());
    second.cast(Command::Panic("ordered to panic")).unwrap();
    soon("the end of the registry", registry.wait_until_gone()).await;
    assert!(matches!(registry.collapse(), Some(Collapse::GaveUp(_))));
    assert_eq!(puppet.lives(), 2);
}

/// Actors that the namespace has not started have a limit of their own.
#[tokio::test(start_paused = true)]
async fn registered_actors_and_members_have_the_configured_time_to_stop() {
    let limits = SupervisorLimits::new().unmanaged_stop(SECOND);
    let registry = ProcessRegistry::builder().limits(RegistryLimits::new().supervisor(limits)).start().await.unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    let stubborn = || foreign(Probe::default().stop(Behavior::Wait(Gate::new())));
    names.register(&PROBE, &stubborn().await).await.unwrap();
    static STUBBORN: foundation::names::GroupKey<Command> = foundation::names::GroupKey::from_static("stubborn");
    names.group(&STUBBORN).join(&stubborn().await).unwrap();
    let begun = Instant::now();
    let report = names.cleanup().await.unwrap();
    // All registered actors, together, and then the members of groups, together.
    assert_eq!((begun.elapsed(), report.took), (2 * SECOND, 2 * SECOND));
    let stopped: Vec<_> = report.killed().map(|service| (service.path.as_str(), service.how)).collect();
    assert_eq!(stopped, [("registered/probe", Stopped::Killed), ("joined/stubborn", Stopped::Killed)]);
    assert_eq!(report.stopped.len(), 3, "and the application, in time");
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_name_takes_at_most_the_configured_time() {
    let limits = RegistryLimits::new().name_release(SECOND);
    let registry = ProcessRegistry::builder().limits(limits).start().await.unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    let gate = Gate::new();
    let leaving = names.spawn(&PROBE, Probe::default().stop(Behavior::Wait(gate.clone())), ()).await.unwrap();
    let begun = Instant::now();
    let held = names.wait_until_free(&PROBE, 2 * SECOND).await.unwrap_err();
    assert!(matches!(held, RegistryError::StillHeld { waited, .. } if waited == 2 * SECOND), "{held}");
    leaving.stop(None);
    gate.arrival().await;
    let refused = names.spawn(&PROBE, Probe::default(), ()).await.unwrap_err();
    assert!(matches!(refused, RegistryError::StillLeaving { waited: SECOND, .. }), "{refused}");
    assert_eq!(begun.elapsed(), 3 * SECOND);
}

/// The root's own actor keeps the registry, so a namespace can be cleaned up as long as the root runs.
#[tokio::test]
async fn a_namespace_is_cleaned_up_without_a_handle_on_the_registry_as_long_as_the_root_runs() {
    let (registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    drop(registry);
    assert_eq!(names.cleanup().await.unwrap().stopped.len(), 2, "the actor and the application");

    let (registry, names) = test_registry().await;
    registry.shutdown().await;
    assert!(names.cleanup().await.unwrap().stopped.is_empty(), "there is a handle, and nothing to be stopped");
    drop(registry);
    let refused = names.cleanup().await.unwrap_err();
    assert!(matches!(refused, RegistryError::NotRunning { .. }), "{refused}");
}

#[tokio::test]
async fn the_memory_for_names_is_estimated_and_grows_with_them() {
    let (registry, names) = test_registry().await;
    let empty = registry.stats();
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let one = registry.stats();
    assert!(one.bytes > empty.bytes, "{one:?} after {empty:?}");
    assert_eq!((one.total, one.tests, one.production, one.test_namespaces), (1, 1, 0, 1));
}

#[tokio::test]
async fn a_service_that_is_being_started_is_not_listed() {
    let (_registry, names) = test_registry().await;
    let gate = Gate::new();
    let starting = tokio::spawn({
        let (names, probe) = (names.clone(), Probe::default().start(Behavior::Wait(gate.clone())));
        async move { names.spawn(&PROBE, probe, ()).await }
    });
    gate.arrival().await;
    assert_eq!((names.service_info().total(), names.list_services().len()), (0, 0));
    assert!(names.select(|_| true).is_empty());
    gate.open();
    starting.await.unwrap().unwrap();
    let info = names.service_info();
    assert_eq!((info.total(), info.healthy()), (1, 1));
}
