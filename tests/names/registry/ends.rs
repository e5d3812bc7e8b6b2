//! Every end of a namespace is announced, whatever causes it, and a shutdown continues when it is no longer awaited.

use std::sync::Arc;
use std::time::Duration;

use foundation::names::{ProcessRegistry, RegistryError, ServiceName, ServiceRegistry, Watch, Watched};
use foundation::ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use foundation::supervision::{RestartIntensity, Shutdown, StartError, SupervisorSpec};
use foundation::{Namespace, ServiceKey, Strategy};
use foundation_testkit::{Behavior, Command, Gate, Probe, Puppet, poll_and_drop, soon};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};

use crate::setup::{OTHER, PROBE, foreign, names_in};

static LOCK: ServiceName = ServiceName::from_static("lock");
const MORTAL: ServiceKey<Command> = ServiceKey::from_static("mortal");
const HOUR: Duration = Duration::from_secs(3_600);

/// The causes of a namespace's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    CleanUp,
    CleanUpGivenUp,
    Shutdown,
    ShutdownGivenUp,
    Collapse,
    CollapseOfTheRoot,
    KillOfItsSupervisor,
    KillOfTheRoot,
    EndOfTheRuntime,
}

impl Way {
    const ALL: [Self; 9] = [
        Self::CleanUp,
        Self::CleanUpGivenUp,
        Self::Shutdown,
        Self::ShutdownGivenUp,
        Self::Collapse,
        Self::CollapseOfTheRoot,
        Self::KillOfItsSupervisor,
        Self::KillOfTheRoot,
        Self::EndOfTheRuntime,
    ];

    /// Whether the root continues.
    fn spares_the_root(self) -> bool {
        matches!(self, Self::CleanUp | Self::CleanUpGivenUp | Self::Collapse | Self::KillOfItsSupervisor)
    }

    async fn bring_about(self, world: &mut World) {
        let (registry, namespace) = (&world.registry, world.names.namespace());
        match self {
            Self::CleanUp => drop(registry.cleanup_namespace(namespace).await.unwrap()),
            // Dropped after one poll. The other thread may have come to the end by then.
            Self::CleanUpGivenUp => drop(registry.cleanup_namespace(namespace).now_or_never()),
            Self::Shutdown => drop(registry.shutdown().await),
            Self::ShutdownGivenUp => drop(registry.shutdown().now_or_never()),
            Self::Collapse => kill_mortal(&world.names).await,
            Self::CollapseOfTheRoot => collapse(registry, namespace).await,
            Self::KillOfItsSupervisor => supervisors(&world.names)[0].kill(),
            Self::KillOfTheRoot => supervisors(&world.names)[1].kill(),
            Self::EndOfTheRuntime => {
                let runtime = world.runtime.take().unwrap();
                tokio::task::spawn_blocking(|| drop(runtime)).await.unwrap();
            }
        }
    }
}

/// The namespace's own supervisor, and the root.
fn supervisors(names: &ServiceRegistry) -> [ActorCell; 2] {
    let namespace = names.application().unwrap().actor().unwrap().try_get_supervisor().unwrap();
    let root = namespace.try_get_supervisor().unwrap();
    [namespace, root]
}

async fn kill_mortal(names: &ServiceRegistry) {
    names.wait_for_service(&MORTAL, HOUR).await.unwrap().kill_and_wait(None).await.unwrap();
}

/// The permanent tree of production collapses until the root gives up.
async fn collapse(registry: &ProcessRegistry, also: Namespace) {
    let production = registry.namespace(Namespace::Production).await.unwrap();
    assert!(registry.namespaces().contains(&also));
    let killing = async {
        while let Ok(mortal) = production.wait_for_service(&MORTAL, HOUR).await {
            drop(mortal.kill_and_wait(None).await);
        }
    };
    killing.await;
    registry.wait_until_gone().await;
}

/// A registry on a runtime of its own, whose namespaces collapse with their one child.
struct World {
    runtime: Option<Runtime>,
    registry: ProcessRegistry,
    names: ServiceRegistry,
}

fn mortal(names: &ServiceRegistry) -> SupervisorSpec {
    let once = RestartIntensity::new(0, Duration::from_secs(1));
    SupervisorSpec::new(Strategy::OneForOne).intensity(once).child(names.child_spec(&MORTAL, || (Probe::default(), ())))
}

impl World {
    async fn new(namespace: Namespace) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let builder = ProcessRegistry::builder().application(mortal);
        let builder = builder.intensity(RestartIntensity::new(0, Duration::from_secs(1)));
        let registry = runtime.spawn(builder.start()).await.unwrap().unwrap();
        let names = registry.namespace(namespace).await.unwrap();
        Self { runtime: Some(runtime), registry, names }
    }

    /// Runs the future on the registry's runtime.
    async fn on<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        self.runtime.as_ref().unwrap().spawn(future).await.unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn to_the_end(mut watch: Watch) {
    while watch.next().await.is_some() {}
}

fn not_running<T>(outcome: Result<T, RegistryError>) {
    let refused = outcome.err().expect("it has ended");
    assert!(matches!(refused, RegistryError::NotRunning { .. }), "{refused}");
}

/// Every kind of wait; `PROBE` and the lock are taken.
fn waits(names: &ServiceRegistry) -> Vec<(&'static str, BoxFuture<'static, ()>)> {
    let (all, one) = (names.watch(), names.watch_service(&OTHER));
    let [wanted, free, locked, ended] = [0; 4].map(|_| names.clone());
    vec![
        ("a watch of all names", to_the_end(all).boxed()),
        ("a watch of one name", to_the_end(one).boxed()),
        ("a wait for a name", async move { not_running(wanted.wait_for_service(&OTHER, HOUR).await) }.boxed()),
        // Its holder may have been stopped with the namespace.
        ("a wait until it is free", async move { drop(free.wait_until_free(&PROBE, HOUR).await) }.boxed()),
        ("a wait for a lock", async move { not_running(locked.lock(&LOCK, async {}).await) }.boxed()),
        ("a wait for the end", async move { ended.ended().await }.boxed()),
    ]
}

#[tokio::test]
async fn every_waiter_in_a_namespace_is_notified_of_its_end() {
    for way in Way::ALL {
        let mut world = World::new(Namespace::test()).await;
        let (names, outside) = (world.names.clone(), foreign(Probe::default()).await);
        names.register(&PROBE, &outside).await.unwrap();
        let mut held = Box::pin(names.lock(&LOCK, std::future::pending::<()>()));
        assert!((&mut held).now_or_never().is_none());
        let mut waits = waits(&names);
        for (what, wait) in &mut waits {
            assert!(wait.now_or_never().is_none(), "{what}");
        }
        soon(&format!("{way:?}"), way.bring_about(&mut world)).await;
        for (what, wait) in waits {
            soon(&format!("{what} after {way:?}"), wait).await;
        }
    }
}

#[tokio::test]
async fn a_namespace_that_has_ended_accepts_no_actor_and_is_not_counted() {
    for way in Way::ALL {
        let mut world = World::new(Namespace::test()).await;
        let (names, outside) = (world.names.clone(), foreign(Probe::default()).await);
        let application = names.application().unwrap();
        soon(&format!("{way:?}"), way.bring_about(&mut world)).await;
        soon(&format!("the end after {way:?}"), names.ended()).await;
        // A killed supervisor is gone before its children are.
        soon("the end of all", application.wait_until_gone()).await;

        assert!(names.has_ended());
        not_running(names.register(&PROBE, &outside).await);
        not_running(names.spawn(&PROBE, Probe::default(), ()).await);
        not_running(names.lock(&LOCK, async {}).await);
        not_running(names.application());
        assert!(names_in(&names).is_empty(), "{way:?}");
        let mut watch = names.watch();
        assert_eq!(watch.next().await, Some(Watched::Snapshot(Vec::new())));
        assert_eq!(soon("the end of a late watch", watch.next()).await, None);
        assert!(!world.registry.namespaces().contains(&names.namespace()), "{way:?}");
        assert_eq!(world.registry.stats().test_namespaces, 0, "{way:?}");
    }
}

#[tokio::test]
async fn a_namespace_that_has_ended_is_started_afresh_for_as_long_as_the_root_runs() {
    for way in Way::ALL {
        let mut world = World::new(Namespace::test()).await;
        let (names, outside) = (world.names.clone(), foreign(Probe::default()).await);
        names.register(&PROBE, &outside).await.unwrap();
        soon(&format!("{way:?}"), way.bring_about(&mut world)).await;
        soon(&format!("the end after {way:?}"), names.ended()).await;

        let again = soon("an answer", world.registry.namespace(names.namespace())).await;
        if !way.spares_the_root() {
            not_running(again);
            continue;
        }
        let again = again.unwrap();
        assert_eq!(names_in(&again), ["mortal"], "{way:?}");
        assert!(!again.has_ended() && names.has_ended());
        assert_eq!(world.registry.stats().test_namespaces, 1);
        soon("the end of the actor that was registered before", outside.wait(None)).await.unwrap();
    }
}

/// A namespace's extension is dropped with the namespace that it holds.
#[tokio::test]
async fn an_extension_that_holds_its_namespace_is_dropped_at_the_end() {
    for way in Way::ALL {
        let mut world = World::new(Namespace::test()).await;
        let held = Arc::new(());
        drop(world.names.extension(|| (world.names.clone(), Arc::clone(&held))));
        assert_eq!(Arc::strong_count(&held), 2);
        let names = world.names.clone();
        soon(&format!("{way:?}"), way.bring_about(&mut world)).await;
        soon(&format!("the end after {way:?}"), names.ended()).await;
        assert_eq!(Arc::strong_count(&held), 1, "{way:?}");
    }
}

#[tokio::test]
async fn a_clean_up_after_a_collapse_stops_the_remaining_actors() {
    let world = World::new(Namespace::test()).await;
    let outside = foreign(Probe::default()).await;
    world.names.register(&PROBE, &outside).await.unwrap();
    kill_mortal(&world.names).await;
    soon("the end", world.names.ended()).await;
    let report = world.registry.cleanup_namespace(world.names.namespace()).await.unwrap();
    assert_eq!(report.stopped.iter().map(|it| it.path.as_str()).collect::<Vec<_>>(), ["registered/probe"]);
    soon("its end", outside.wait(None)).await.unwrap();
}

/// The root restarts production's tree: that is not its end.
#[tokio::test]
async fn a_restart_of_production_ends_nothing() {
    let world = World::new(Namespace::Production).await;
    let names = &world.names;
    let mut watch = names.watch();
    let kept = names.extension(|| 7_u8);
    for _ in 0..2 {
        kill_mortal(names).await;
        soon("the next", names.wait_for_service(&MORTAL, HOUR)).await.unwrap();
    }
    assert!(!names.has_ended() && !world.registry.has_collapsed());
    assert!(Arc::ptr_eq(&kept, &names.extension(|| 8_u8)));
    names.register(&PROBE, &foreign(Probe::default()).await).await.unwrap();
    let announced = async {
        loop {
            let Some(Watched::Change(change)) = watch.next().await else { continue };
            if change.name() == PROBE.name() {
                return;
            }
        }
    };
    soon("word of the name", announced).await;
    assert_eq!(world.registry.namespaces(), [Namespace::Production]);
}

/// Requests its own end, and waits for it.
struct Suicidal;

enum End {
    CleanUp(ServiceRegistry),
    Shutdown(ProcessRegistry),
}
foundation::local_message!(End);

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Suicidal {
    type Msg = End;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<End>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<End>, message: End, (): &mut ()) -> Result<(), ActorProcessingErr> {
        match message {
            End::CleanUp(names) => drop(names.cleanup().await),
            End::Shutdown(registry) => drop(registry.shutdown().await),
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_awaits_its_own_end_is_killed_when_its_time_is_over() {
    static SUICIDAL: ServiceKey<End> = ServiceKey::from_static("suicidal");
    for cleans_up in [true, false] {
        let registry = ProcessRegistry::start().await.unwrap();
        let names = registry.namespace(Namespace::test()).await.unwrap();
        names.supervise(names.child_spec(&SUICIDAL, || (Suicidal, ()))).await.unwrap();
        let message = if cleans_up { End::CleanUp(names.clone()) } else { End::Shutdown(registry.clone()) };
        names.lookup(&SUICIDAL).unwrap().cast(message).unwrap();
        let begun = tokio::time::Instant::now();
        soon("the end", names.ended()).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(5), "its time to stop");
        let reports = registry.shutdown().await;
        assert_eq!(reports.iter().map(|report| report.killed().count()).sum::<usize>(), usize::from(!cleans_up));
    }
}

/// A waiter for a shutdown does not wait for actors that are gone with their runtime.
#[tokio::test]
async fn a_shutdown_whose_runtime_ends_half_way_returns() {
    for cleans_up in [true, false] {
        let mut world = World::new(Namespace::test()).await;
        let (gate, names, registry) = (Gate::new(), world.names.clone(), world.registry.clone());
        let at = gate.clone();
        let spec = names.child_spec(&PROBE, move || (Probe::default().stop(Behavior::Wait(at.clone())), ()));
        let supervised = names.clone();
        world.on(async move { supervised.supervise(spec.shutdown(Shutdown::Infinity)).await }).await.unwrap();
        let (waited_for, namespace) = (registry.clone(), names.namespace());
        let ending = tokio::spawn(async move {
            match cleans_up {
                true => waited_for.cleanup_namespace(namespace).await.unwrap().stopped.len(),
                false => waited_for.shutdown().await.len(),
            }
        });
        gate.arrival().await;
        Way::EndOfTheRuntime.bring_about(&mut world).await;
        assert_eq!(soon("the end of the wait", ending).await.unwrap(), 0);
        soon("the end", names.ended()).await;
        assert!(soon("another", registry.shutdown()).await.is_empty());
    }
}

#[tokio::test]
async fn all_callers_of_a_shutdown_get_the_same_report_even_if_the_first_cancels() {
    let world = World::new(Namespace::test()).await;
    assert!(world.registry.shutdown().now_or_never().is_none());
    assert!(!world.registry.has_collapsed());
    let [first, second] = [world.registry.shutdown().await, world.registry.shutdown().await];
    assert_eq!(first, second);
    assert_eq!(first.len(), 1);
    assert!(first[0].stopped.len() >= 2, "{first:?}");
    assert!(!world.registry.has_collapsed(), "it was asked for");
}

/// Every future that ends or begins a namespace, dropped after a number of polls: nothing half done stays.
#[tokio::test]
async fn the_start_and_the_end_of_a_namespace_may_be_cancelled_at_any_poll() {
    for polls in 0..6 {
        let (registry, puppet) = (ProcessRegistry::start().await.unwrap(), Puppet::default());
        let namespace = Namespace::test();
        poll_and_drop(polls, registry.namespace(namespace)).await;
        let names = soon("the namespace", registry.namespace(namespace)).await.unwrap();
        let on = puppet.clone();
        names.supervise(names.child_spec(&PROBE, move || (on.actor(), ()))).await.unwrap();
        poll_and_drop(polls, registry.cleanup_namespace(namespace)).await;
        soon("the clean-up", registry.cleanup_namespace(namespace)).await.unwrap();
        assert!(puppet.alive() == 0 && registry.namespaces().is_empty() && names.has_ended(), "after {polls} polls");
        registry.namespace(namespace).await.unwrap();
        poll_and_drop(polls, registry.shutdown()).await;
        soon("the shutdown", registry.shutdown()).await;
        not_running(registry.namespace(namespace).await);
    }
}

#[test]
fn a_start_without_timers_or_without_a_runtime_is_refused_at_once() {
    let without_timers = Builder::new_current_thread().build().unwrap();
    let refused = without_timers.block_on(ProcessRegistry::start()).err().unwrap();
    assert!(matches!(refused, StartError::NoTimers), "{refused}");
    assert_eq!(refused.to_string(), "the tokio runtime has no timers: build it with enable_time() or enable_all()");
    let supervisor = foundation::Supervisor::start("alone", SupervisorSpec::new(Strategy::OneForOne));
    assert!(matches!(without_timers.block_on(supervisor), Err(StartError::NoTimers)));
    let refused = ProcessRegistry::start().now_or_never().expect("at once").err().unwrap();
    assert!(matches!(refused, StartError::NoRuntime), "{refused}");
}

#[tokio::test]
async fn a_registry_has_collapsed_when_its_root_has_ended_without_having_been_asked() {
    for way in Way::ALL {
        let mut world = World::new(Namespace::test()).await;
        let (registry, names) = (world.registry.clone(), world.names.clone());
        soon(&format!("{way:?}"), way.bring_about(&mut world)).await;
        soon(&format!("the end after {way:?}"), names.ended()).await;
        let asked_for = matches!(way, Way::Shutdown | Way::ShutdownGivenUp);
        if !way.spares_the_root() {
            soon(&format!("the end of the root after {way:?}"), registry.wait_until_gone()).await;
        }
        assert_eq!(registry.has_collapsed(), !way.spares_the_root() && !asked_for, "{way:?}");
    }
}

#[tokio::test]
async fn a_namespace_keeps_nothing_after_its_end() {
    let world = World::new(Namespace::test()).await;
    let before = world.names.extension(|| 1_u8);
    world.registry.shutdown().await;
    let (first, second) = (world.names.extension(|| 2_u8), world.names.extension(|| 3_u8));
    assert_eq!((*before, *first, *second), (1, 2, 3), "each call makes a value of its own");
}

#[tokio::test]
async fn a_clean_up_without_the_runtime_of_the_registry_finds_none_to_stop() {
    let mut world = World::new(Namespace::test()).await;
    Way::EndOfTheRuntime.bring_about(&mut world).await;
    let cleaned_up = soon("the clean-up", world.registry.cleanup_namespace(world.names.namespace())).await.unwrap();
    assert!(cleaned_up.stopped.is_empty(), "{cleaned_up}");
    assert!(soon("the shutdown", world.registry.shutdown()).await.is_empty());
    let refused = world.registry.namespace(Namespace::test()).await.unwrap_err();
    assert!(matches!(refused, RegistryError::NotRunning { .. }), "{refused}");
}
