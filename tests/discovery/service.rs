//! The service of discovery in a namespace: what it reports, and what its end leaves.

use std::sync::Arc;

use foundation::names::{Namespace, ProcessRegistry, ServiceRegistry};
use foundation::supervision::{Health, RestartIntensity};
use foundation_discovery::health::CheckRules;
use foundation_discovery::{Discovery, DiscoveryEvent, DiscoveryObserver, DiscoveryOptions};
use foundation_testkit::{Command, Probe, SOON, soon};
use tokio::sync::mpsc;

use crate::setup::{all, name, orders};

/// Sends the text of each event on, and then may panic.
struct Sends {
    to: mpsc::UnboundedSender<String>,
    panics: bool,
}

impl DiscoveryObserver for Sends {
    fn on_event(&self, _: &ServiceRegistry, event: &DiscoveryEvent) {
        let _ = self.to.send(event.to_string());
        assert!(!self.panics, "an observer");
    }
}

struct World {
    names: ServiceRegistry,
    discovery: Discovery,
    events: mpsc::UnboundedReceiver<String>,
    registry: ProcessRegistry,
}

async fn world() -> World {
    observed(false).await
}

/// The service is restarted as often as it is killed.
async fn observed(panics: bool) -> World {
    let (to, events) = mpsc::unbounded_channel();
    let observer = move |_: &_| Arc::new(Sends { to: to.clone(), panics }) as Arc<dyn DiscoveryObserver>;
    let service = Discovery::observed_service(DiscoveryOptions::new(), observer);
    let service = service.with_child_spec(|spec| spec.intensity(RestartIntensity::UNLIMITED));
    let registry = ProcessRegistry::builder().service(service).start().await.unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    World { discovery: Discovery::of(&names), names, events, registry }
}

impl World {
    async fn spawn(&self, id: &str) -> foundation::ractor::ActorRef<Command> {
        self.discovery.spawn(&orders(id).build().unwrap(), Probe::default(), ()).await.unwrap()
    }

    async fn next(&mut self) -> String {
        soon("the next event", self.events.recv()).await.unwrap()
    }

    /// Kills the service, and returns when it is back.
    async fn kill_service(&self) {
        let before = self.names.lookup_any(&Discovery::NAME).unwrap();
        before.cell().kill_and_wait(None).await.unwrap();
        let is_back = async || {
            let now = self.names.lookup_any(&Discovery::NAME).ok()?;
            (now.cell().get_id() != before.cell().get_id()).then_some(())
        };
        foundation_testkit::eventually("the service", is_back).await;
    }
}

#[tokio::test]
async fn each_change_of_an_instance_is_reported_once_and_in_order_to_an_observer_that_panics() {
    let mut world = observed(true).await;
    let first = world.spawn("a").await;
    assert_eq!(world.next().await, "orders.a added, unknown");
    let rules = CheckRules::new().fall(1);
    world.discovery.record_check(&name("a"), "disk", &rules, Health::Failed("no disk".to_owned())).unwrap();
    assert_eq!(world.next().await, "orders.a was unknown and is unhealthy: failed: no disk");
    world.discovery.update(&name("a"), &first, |it| it.weight(5)).unwrap();
    assert_eq!(world.next().await, "orders.a updated, unhealthy: failed: no disk");
    world.discovery.update(&name("a"), &first, |it| it.draining(true)).unwrap();
    assert_eq!(world.next().await, "orders.a was unhealthy and is draining");
    first.cast(Command::Fail("it breaks")).unwrap();
    assert_eq!(world.next().await, "orders.a removed: its actor ended: failed: it breaks");
    world.registry.shutdown().await;
}

#[tokio::test]
async fn an_ejection_is_reported_with_the_name_of_the_instance() {
    let mut world = world().await;
    for id in ["a", "b", "c"] {
        world.spawn(id).await;
        world.next().await;
    }
    let mut selector = world.discovery.selector::<Command>(all());
    while world.events.is_empty() {
        let picked = selector.pick().unwrap();
        if picked.record().name() == &name("b") {
            picked.failed()
        } else {
            picked.succeeded()
        }
        tokio::task::yield_now().await;
    }
    let ejected = world.next().await;
    assert!(ejected.starts_with("orders.b ejected for ") && ejected.ends_with(": 5 failures in a row"), "{ejected}");
    world.registry.shutdown().await;
}

#[tokio::test]
async fn picks_go_on_without_the_service_and_the_next_one_reports_neither_twice_nor_less() {
    let mut world = world().await;
    world.spawn("a").await;
    let mut expected = vec!["orders.a added, unknown".to_owned()];
    let mut selector = world.discovery.selector::<Command>(all());
    for round in 0..10 {
        let id = format!("b{round}");
        let added = world.spawn(&id).await;
        world.kill_service().await;
        assert!(selector.pick().is_ok());
        added.stop_and_wait(None, SOON.into()).await.unwrap();
        expected.push(format!("orders.{id} added, unknown"));
        expected.push(format!("orders.{id} removed: its actor ended: normal"));
    }
    for event in expected {
        assert_eq!(world.next().await, event);
    }
    world.registry.shutdown().await;
}

/// Every registration of eight threads is reported once, whatever happens to the service meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_killed_again_and_again_reports_each_instance_of_eight_tasks_once() {
    const EACH: usize = 40;
    let mut world = world().await;
    // The first use of discovery begins the reports; what comes and goes before they have begun is not in them.
    world.spawn("first").await;
    world.next().await;
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let discovery = world.discovery.clone();
            tokio::spawn(async move {
                for number in 0..EACH {
                    let instance = orders(&format!("{task}-{number}")).build().unwrap();
                    let actor = discovery.spawn(&instance, Probe::default(), ()).await.unwrap();
                    // A relaxed look at the registry is enough for what has been registered by the same task.
                    assert!(discovery.instance(instance.name()).is_some());
                    actor.stop_and_wait(None, None).await.unwrap();
                }
            })
        })
        .collect();
    for _ in 0..10 {
        world.kill_service().await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    let (mut added, mut removed) = (0, 0);
    while (added, removed) != (8 * EACH, 8 * EACH) {
        let event = world.next().await;
        added += usize::from(event.contains(" added"));
        removed += usize::from(event.contains(" removed"));
        assert!(added >= removed && added <= 8 * EACH, "{added} {removed}: {event}");
    }
    world.registry.shutdown().await;
}

#[tokio::test]
async fn a_namespace_that_uses_no_discovery_is_not_followed() {
    let world = world().await;
    world.names.spawn(&foundation::ServiceKey::from_static("clerk"), Probe::default(), ()).await.unwrap();
    assert!(world.discovery.health().is_empty());
    world.spawn("a").await;
    assert_eq!(world.discovery.health().len(), 1);
    world.registry.shutdown().await;
}
