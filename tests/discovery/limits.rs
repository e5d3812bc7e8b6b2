//! Limits: of what an instance says, and of how many there are.

use std::time::Duration;

use foundation::ractor::Actor;
use foundation::supervision::Health;
use foundation_discovery::health::CheckRules;
use foundation_discovery::{Discovery, DiscoveryError, DiscoveryOptions, Instance, InstanceBuilder, InstanceName};
use foundation_testkit::{Command, Gate, Probe, Puppet, eventually, soon, test_registry};

use crate::setup::{World, name, orders, world, world_with};

const TTL: Duration = Duration::from_secs(10);

async fn refusal(world: &World, instance: InstanceBuilder) -> DiscoveryError {
    world.discovery.spawn(&instance.build().unwrap(), Probe::default(), ()).await.unwrap_err()
}

#[tokio::test]
async fn a_service_has_a_limited_number_of_instances() {
    let world = world_with(DiscoveryOptions::new().max_instances_per_service(2)).await;
    world.spawn("a").await;
    world.spawn("b").await;
    let refused = refusal(&world, orders("c")).await;
    assert_eq!(refused.to_string(), "orders.c cannot be registered: orders has 2 instances, as many as it may have");
    assert_eq!(world.ids(), ["a", "b"]);
    let again = refusal(&world, orders("b")).await;
    assert!(matches!(again, DiscoveryError::Registry(_)), "it has its place already: {again}");
    world.spawn_as(Instance::builder("mail", "a")).await;
    assert!(world.discovery.unregister(&name("a")));
    world.spawn("c").await;
}

#[tokio::test]
async fn the_257th_instance_of_a_service_is_refused() {
    let world = world().await;
    for number in 0..256 {
        world.spawn(&format!("i{number}")).await;
    }
    let refused = refusal(&world, orders("more")).await;
    assert_eq!(
        refused.to_string(),
        "orders.more cannot be registered: orders has 256 instances, as many as it may have"
    );
}

#[tokio::test]
async fn a_namespace_has_a_limited_number_of_instances() {
    let world = world_with(DiscoveryOptions::new().max_instances(2)).await;
    world.spawn("a").await;
    world.spawn_as(Instance::builder("mail", "a")).await;
    let refused = refusal(&world, orders("c")).await.to_string();
    let namespace = world.names.namespace();
    let text = format!("namespace {namespace} has 2 instances, as many as it may have");
    assert_eq!(refused, format!("orders.c cannot be registered: {text}"));
}

#[tokio::test]
async fn a_registration_that_fails_gives_its_place_back() {
    let world = world_with(DiscoveryOptions::new().max_instances_per_service(1)).await;
    let described = world.discovery.describe(&orders("a").build().unwrap()).unwrap();
    assert!(matches!(refusal(&world, orders("b")).await, DiscoveryError::TooManyInstances { .. }), "it is reserved");
    drop(described);
    let (gone, task) = Actor::spawn(None, Probe::default(), ()).await.unwrap();
    gone.stop(None);
    task.await.unwrap();
    world.discovery.register(&orders("b").build().unwrap(), &gone).await.unwrap_err();
    world.spawn("c").await;
}

#[tokio::test]
async fn a_child_keeps_its_place_between_its_lives() {
    let world = world_with(DiscoveryOptions::new().max_instances_per_service(1)).await;
    let puppet = Puppet::default();
    let made = puppet.clone();
    let spec = world.discovery.child_spec(&orders("a").build().unwrap(), move || (made.actor(), ())).unwrap();
    world.names.supervise(spec).await.unwrap();
    for lives in 2..5 {
        let before = world.discovery.instance(&name("a")).map(|it| it.actor);
        puppet.order(Command::Panic("it breaks"));
        assert!(matches!(refusal(&world, orders("b")).await, DiscoveryError::TooManyInstances { .. }));
        puppet.lived(lives).await;
        eventually("the next incarnation", async || {
            world.discovery.instance(&name("a")).filter(|it| Some(it.actor) != before)
        })
        .await;
    }
}

/// Has 64 tasks register an instance each, when there are ten places left; returns how many of them did.
async fn race_for_ten_places(discovery: &Discovery, round: usize, service: impl Fn(usize) -> String) -> usize {
    let start = std::sync::Arc::new(tokio::sync::Barrier::new(64));
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let (discovery, start) = (discovery.clone(), std::sync::Arc::clone(&start));
            let instance = Instance::builder(service(number), format!("r{round}-{number}")).build().unwrap();
            tokio::spawn(async move {
                start.wait().await;
                match discovery.spawn(&instance, Probe::default(), ()).await {
                    Ok(_) => true,
                    Err(DiscoveryError::TooManyInstances { .. } | DiscoveryError::NamespaceFull { .. }) => false,
                    Err(error) => panic!("{error}"),
                }
            })
        })
        .collect();
    let mut registered = 0;
    for task in tasks {
        registered += usize::from(task.await.unwrap());
    }
    registered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn of_64_registrations_at_the_same_time_exactly_those_get_the_last_ten_places() {
    for round in 0..20 {
        let (registry, names) = test_registry().await;
        let options = DiscoveryOptions::new();
        let options = if round % 2 == 0 { options.max_instances_per_service(20) } else { options.max_instances(20) };
        let discovery = Discovery::with_options(&names, options);
        for number in 0..10 {
            let instance = orders(&format!("i{number}")).build().unwrap();
            discovery.spawn(&instance, Probe::default(), ()).await.unwrap();
        }
        let service = |number: usize| if round % 2 == 0 { "orders".to_owned() } else { format!("s{}", number % 3) };
        assert_eq!(race_for_ten_places(&discovery, round, service).await, 10);
        assert_eq!(discovery.catalog().len(), 20);
        registry.shutdown().await;
    }
}

#[tokio::test]
async fn an_instance_outside_of_this_process_needs_an_endpoint() {
    let world = world().await;
    let refused = world.discovery.announce(&orders("a").build().unwrap(), TTL).await.unwrap_err();
    let text =
        "orders.a cannot be announced without an endpoint, such as http://10.0.0.7:8080: it could not be reached";
    assert_eq!(refused.to_string(), text);
    assert!(world.ids().is_empty());
}

#[tokio::test]
async fn limits_that_are_set_lower_are_those_of_registrations_and_updates() {
    let options = DiscoveryOptions::new().max_capabilities(1).max_labels(1).max_instance_bytes(200);
    let world = world_with(options).await;
    let long = "x".repeat(180);
    for (instance, error) in [
        (orders("b").capability("a").capability("b"), "capabilities 2 are too many; at most 1 are allowed"),
        (orders("b").label("a", "").label("b", ""), "labels 2 are too many; at most 1 are allowed"),
        (orders("b").label("a", &long), "instance \"orders.b\" has 2"),
    ] {
        let refused = refusal(&world, instance).await.to_string();
        assert!(refused.starts_with(error), "{refused}");
    }
    let owner = world.spawn("a").await;
    let refused = world.discovery.update(&name("a"), &owner, |it| it.label("a", &long)).unwrap_err().to_string();
    assert!(refused.ends_with("at most 200 are allowed"), "{refused}");
    assert!(world.discovery.instance(&name("a")).unwrap().instance.label("a").is_none());
}

#[tokio::test]
async fn a_name_that_is_not_there_is_an_error_with_those_that_are() {
    let world = world().await;
    world.spawn("a").await;
    let missed = |instance: &InstanceName| {
        let result = world.discovery.record_check(instance, "disk", &CheckRules::new(), Health::Healthy);
        result.unwrap_err().to_string()
    };
    let namespace = world.names.namespace();
    assert_eq!(missed(&name("b")), format!("there is no instance orders.b in namespace {namespace}; orders has a"));
    let other = InstanceName::new(&"order".parse().unwrap(), "a").unwrap();
    let text =
        format!("there is no instance order.a in namespace {namespace}; order has no instance; did you mean orders?");
    assert_eq!(missed(&other), text);
}

#[tokio::test]
async fn an_actor_that_has_ended_has_no_place_although_its_end_was_not_reported() {
    let world = world_with(DiscoveryOptions::new().max_instances_per_service(1).max_instances(1)).await;
    for round in 0..50 {
        let actor = world.spawn(&format!("i{round}")).await;
        soon("its stop", actor.stop_and_wait(None, None)).await.unwrap();
    }
}

#[tokio::test]
async fn an_actor_that_handles_its_last_messages_has_its_place() {
    let world = world_with(DiscoveryOptions::new().max_instances_per_service(1)).await;
    let (actor, gate) = (world.spawn("a").await, Gate::default());
    actor.cast(Command::Stay(gate.clone())).unwrap();
    actor.drain().unwrap();
    let refused = refusal(&world, orders("b")).await;
    assert!(matches!(refused, DiscoveryError::TooManyInstances { .. }), "{refused}");
    gate.open();
    eventually("its end", async || world.ids().is_empty().then_some(())).await;
    world.spawn("b").await;
}
