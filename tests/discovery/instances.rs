//! Instances: how they come, change and go.

use foundation::names::{Metadata, RegistryError, ServiceKey};
use foundation::ractor::Actor;
use foundation_discovery::{Criteria, Discovery, DiscoveryError, Instance, InstanceCheck};
use foundation_testkit::{Behavior, Command, Gate, Log, Moment, Probe, Puppet, SOON, eventually, soon, test_registry};

use crate::setup::{ORDERS, all, ids, name, orders, world};

#[tokio::test]
async fn an_instance_is_found_by_all_handles_as_soon_as_its_registration_has_returned() {
    let world = world().await;
    let other = Discovery::of(&world.names);
    for number in 0..100 {
        let id = format!("i{number:03}");
        let actor = world.spawn(&id).await;
        let found = other.instance(&name(&id)).unwrap();
        assert_eq!((found.actor, found.name().id()), (actor.get_id(), &*id));
    }
    assert_eq!(world.ids().len(), 100);
    assert_eq!(world.discovery.services(), std::slice::from_ref(&ORDERS));
}

#[tokio::test]
async fn an_instance_goes_with_its_actor_destructors_included() {
    let world = world().await;
    let (log, gate) = (Log::new(), Gate::new());
    let puppet = Puppet::new("a", &log);
    puppet.next(Moment::Stopping, Behavior::Wait(gate.clone()));
    let actor = world.discovery.spawn(&orders("a").build().unwrap(), puppet.actor(), ()).await.unwrap();
    actor.stop(None);
    soon("its stop", gate.arrival()).await;
    assert_eq!(world.ids(), ["a"], "it is stopping");
    gate.open();
    puppet.ended(1).await;
    eventually("its end", async || world.ids().is_empty().then_some(())).await;
}

#[tokio::test]
async fn an_actor_that_was_started_elsewhere_is_an_instance_until_it_is_unregistered() {
    let world = world().await;
    let (actor, _) = Actor::spawn(None, Probe::default(), ()).await.unwrap();
    world.discovery.register(&orders("a").build().unwrap(), &actor).await.unwrap();
    assert_eq!(world.ids(), ["a"]);
    assert!(world.discovery.unregister(&name("a")) && !world.discovery.unregister(&name("a")));
    assert_eq!(world.ids(), [""; 0]);
    assert!(actor.cast(Command::Note("it lives")).is_ok());
    actor.stop(None);
}

#[tokio::test]
async fn a_child_that_is_restarted_is_the_same_instance_with_another_actor() {
    let world = world().await;
    let puppet = Puppet::default();
    let made = puppet.clone();
    let spec = world.discovery.child_spec(&orders("a").build().unwrap(), move || (made.actor(), ())).unwrap();
    world.names.supervise(spec).await.unwrap();
    let first = world.discovery.instance(&name("a")).unwrap();
    puppet.order(Command::Panic("it breaks"));
    puppet.lived(2).await;
    let second = eventually("the next incarnation", async || {
        world.discovery.instance(&name("a")).filter(|it| it.actor != first.actor)
    })
    .await;
    assert_eq!(second.instance, first.instance);
}

#[tokio::test]
async fn its_owner_changes_what_an_instance_says_of_itself() {
    let world = world().await;
    let (owner, other) = (world.spawn("a").await, world.spawn("b").await);
    let heavier = world.discovery.update(&name("a"), &owner, |it| it.weight(500)).unwrap();
    assert_eq!(heavier.weight(), 500);
    assert_eq!(world.discovery.instance(&name("a")).unwrap().instance.weight(), 500);

    let refused = world.discovery.update(&name("a"), &other, |it| it.weight(1)).unwrap_err();
    assert!(matches!(refused, DiscoveryError::Registry(RegistryError::NotOwner { .. })), "{refused}");
    let refused = world.discovery.update(&name("a"), &owner, |it| it.weight(0)).unwrap_err();
    assert_eq!(refused.to_string(), "weight 0 is not within 1 to 1000");
    let refused = world.discovery.update(&name("a"), &owner, |_| orders("b")).unwrap_err().to_string();
    assert_eq!(refused, "orders.a cannot become orders.b: register orders.b as an instance of its own");
    assert_eq!(world.discovery.instance(&name("a")).unwrap().instance.weight(), 500, "nothing has changed");
}

#[tokio::test]
async fn a_name_that_is_no_instance_is_not_shown_and_cannot_be_updated_as_one() {
    let world = world().await;
    let key = ServiceKey::<Command>::from(name("a").registered().clone());
    let actor = world.names.spawn(&key, Probe::default(), ()).await.unwrap();
    assert_eq!(world.ids(), [""; 0]);
    assert!(!world.discovery.unregister(&name("a")) && world.names.is_registered(&key), "it is none of discovery's");
    let refused = world.discovery.update(&name("a"), &actor, |it| it.weight(1)).unwrap_err();
    let namespace = world.names.namespace();
    assert_eq!(
        refused.to_string(),
        format!(
            "orders.a is registered in namespace {namespace}, and is not an instance: its metadata does not say so"
        )
    );

    let broken = serde_json::json!({ "instance": { "service": "orders", "id": "a", "weight": 0 } });
    world.names.update_metadata(&key, &actor, |_| Metadata::new(&broken).ok()).unwrap();
    let catalog = world.discovery.catalog();
    let invalid: Vec<_> = catalog.invalid().collect();
    assert_eq!(invalid[0].1, "the metadata of orders.a is not that of an instance: weight 0 is not within 1 to 1000");
}

#[tokio::test]
async fn a_second_actor_of_the_same_id_is_refused() {
    let world = world().await;
    world.spawn("a").await;
    let refused = world.discovery.spawn(&orders("a").build().unwrap(), Probe::default(), ()).await.unwrap_err();
    assert!(matches!(refused, DiscoveryError::Registry(RegistryError::AlreadyRegistered { .. })), "{refused}");
}

#[tokio::test]
async fn namespaces_do_not_see_each_others_instances() {
    let (one, other) = (world().await, world().await);
    one.spawn("a").await;
    other.spawn("b").await;
    assert_eq!((one.ids(), other.ids()), (vec!["a".to_owned()], vec!["b".to_owned()]));
}

#[tokio::test]
async fn instances_are_found_by_criteria_and_an_error_says_why_none_fits() {
    let world = world().await;
    world.spawn_as(orders("a").version("1.3.2").capability("refund")).await;
    world.spawn_as(orders("b").version("1.4.0").zone("eu/a")).await;
    world.spawn_as(Instance::builder("mail", "a").capability("refund=10")).await;

    let found = |criteria: Criteria| world.discovery.instances(&criteria).map(|it| ids(&it));
    assert_eq!(found(all().version("^1.4").unwrap()).unwrap(), ["b"]);
    assert_eq!(found(all().zone("eu").unwrap()).unwrap(), ["b"]);
    let error = found(all().version("^1.4").unwrap().capability("refund").unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "none of 2 instances of orders fits: no capability refund (1), version 1.3.2 instead of ^1.4 (1); \
         closest is orders.a: version 1.3.2 instead of ^1.4"
    );
    let error = found(Criteria::service(&"order".parse().unwrap())).unwrap_err();
    assert_eq!(error.to_string(), "there is no instance of order; did you mean orders?");

    let providers = world.discovery.providers(&"refund=5".parse().unwrap());
    let providers: Vec<_> = providers.iter().map(|record| record.name().as_str()).collect();
    assert_eq!(providers, ["mail.a", "orders.a"]);
}

#[tokio::test]
async fn after_the_end_of_its_namespace_nothing_is_found() {
    let (registry, names) = test_registry().await;
    let discovery = Discovery::of(&names);
    discovery.spawn(&orders("a").build().unwrap(), Probe::default(), ()).await.unwrap();
    assert!(discovery.instance(&name("a")).is_some());
    registry.shutdown().await;
    soon("the end of the namespace", names.ended()).await;
    assert_eq!(discovery.instance(&name("a")), None);
    let mut selector = discovery.selector::<Command>(all());
    let error = selector.call(Command::Ping, SOON).await.unwrap_err();
    assert_eq!(error.to_string(), format!("namespace {} is not running", names.namespace()));
}

#[tokio::test]
async fn a_service_is_described_in_short() {
    let world = world().await;
    world.spawn_as(orders("a").version("1.3.2").zone("eu/a")).await;
    world.spawn_as(orders("b").version("1.4.0").zone("eu/a").capability("refund")).await;
    world.spawn_as(Instance::builder("mail", "a")).await;
    let summary = world.discovery.service(&ORDERS).unwrap();
    let text =
        "orders is healthy: 2 unknown; versions: 1.3.2 (1), 1.4.0 (1); capabilities: refund (1); zones: eu/a (2)";
    assert_eq!(summary.to_string(), text);
    let written = serde_json::to_value(&summary).unwrap();
    assert_eq!(
        (&written["service"], &written["instances"], &written["zones"]["eu/a"]),
        (&"orders".into(), &2.into(), &2.into())
    );

    let all: Vec<_> =
        world.discovery.summaries().into_iter().map(|it| (it.service.to_string(), it.instances)).collect();
    assert_eq!(all, [("mail".to_owned(), 1), ("orders".to_owned(), 2)]);
    let error = world.discovery.service(&"oders".parse().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "there is no instance of oders; did you mean orders?");
}

/// Whether its reason has been reported or not, an end hides no later registration of the name.
#[tokio::test]
async fn a_name_that_is_taken_again_is_the_new_actor_s_when_its_registration_has_returned() {
    let world = world().await;
    let mut selector = world.discovery.selector::<Command>(all());
    for _ in 0..50 {
        let first = world.spawn("a").await;
        assert_eq!(world.discovery.instance(&name("a")).map(|it| it.actor), Some(first.get_id()));
        soon("its stop", first.stop_and_wait(None, None)).await.unwrap();
        let second = world.spawn("a").await;
        assert_eq!(world.discovery.instance(&name("a")).map(|it| it.actor), Some(second.get_id()));
        let picked = selector.pick().unwrap();
        assert_eq!(picked.record().actor, second.get_id());
        picked.succeeded();
        world.discovery.heartbeat(&name("a")).unwrap();
        soon("its stop", second.stop_and_wait(None, None)).await.unwrap();
    }
}

#[tokio::test]
async fn a_name_is_taken_from_the_actor_that_is_meant_and_from_no_other() {
    let world = world().await;
    let (first, second) = (world.spawn("a").await, world.spawn("b").await);
    let key = Discovery::key::<Command>(&name("a"));
    assert!(!world.names.unregister_from(&key, second.get_id()));
    assert_eq!(world.ids(), ["a", "b"]);
    assert!(world.names.unregister_from(&key, first.get_id()));
    assert_eq!(world.ids(), ["b"]);
}

#[tokio::test]
async fn a_namespace_that_has_ended_says_so_and_takes_no_check() {
    let world = world().await;
    world.spawn("a").await;
    world.names.cleanup().await.unwrap();
    let text = format!("namespace {} has ended", world.names.namespace());
    assert_eq!(world.discovery.check(all(), InstanceCheck::tcp()).unwrap_err().to_string(), text);
    assert_eq!(world.discovery.heartbeat(&name("a")).unwrap_err().to_string(), text);
    assert_eq!(world.discovery.resume(&name("a")).unwrap_err().to_string(), text);
}
