//! The error texts for invalid input, and that no value is lost by them.

use foundation::names::{GroupKey, NameError, RegistryError, ServiceName};
use foundation::ractor::{Actor, ActorRef};
use foundation::{Namespace, ServiceKey};
use foundation_testkit::{Behavior, Command, Probe, SOON, test_registry};

use crate::setup::{Lamp, LampMsg, OTHER, PROBE, foreign, key, names_in};

#[test]
fn an_invalid_name_is_refused_with_the_character_and_its_place() {
    let shown = |name: &str| ServiceKey::<Command>::new(name).unwrap_err().to_string();
    assert_eq!(
        shown(""),
        "a service name must not be empty; it takes 1 to 128 of [a-z0-9_.-] and starts with a letter"
    );
    assert_eq!(shown("word count"), r#"service name "word count" has ' ' at byte 4; allowed are [a-z0-9_.-]"#);
    assert_eq!(shown("WordCount"), r#"service name "WordCount" has 'W' at byte 0; allowed are [a-z0-9_.-]"#);
    assert_eq!(shown("straße"), r#"service name "straße" has 'ß' at byte 4; allowed are [a-z0-9_.-]"#);
    assert_eq!(shown("a/b"), r#"service name "a/b" has '/' at byte 1; allowed are [a-z0-9_.-]"#);
    assert_eq!(shown("tab\there"), r#"service name "tab\there" has '\t' at byte 3; allowed are [a-z0-9_.-]"#);
    assert_eq!(shown("1st"), r#"service name "1st" starts with '1'; a name starts with a letter a-z"#);
    assert_eq!(shown("-x"), r#"service name "-x" starts with '-'; a name starts with a letter a-z"#);
    let long = shown(&"x".repeat(300));
    assert!(long.ends_with("has 300 bytes; at most 128 are allowed") && long.len() < 120, "{long}");
}

#[test]
fn a_name_from_text_or_json_is_checked_as_well() {
    assert!("word_count".parse::<ServiceName>().is_ok());
    assert!(matches!("Word".parse::<ServiceName>(), Err(NameError::Character { found: 'W', at: 0, .. })));
    let name: ServiceName = serde_json::from_str(r#""word_count""#).unwrap();
    assert_eq!(serde_json::to_string(&name).unwrap(), r#""word_count""#);
    let refused = serde_json::from_str::<ServiceName>(r#""word count""#).unwrap_err().to_string();
    assert!(refused.contains("has ' ' at byte 4"), "{refused}");
}

#[test]
fn an_invalid_namespace_is_refused_with_the_valid_forms() {
    let refused = "Prod".parse::<Namespace>().unwrap_err().to_string();
    let expected = r#""Prod" is not a namespace; expected `production`, `test:<uuid>`, or a name of 1 to 31 of [a-z0-9_-] that starts with a letter"#;
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn a_duplicate_name_is_refused_and_its_holder_keeps_it() {
    let (_registry, names) = test_registry().await;
    let holder = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    holder.cast(Command::Note("before")).unwrap();
    let text =
        format!("service probe in namespace {} is already registered by actor {}", names.namespace(), holder.get_id());
    let newcomer = foreign(Probe::default()).await;
    assert_eq!(names.spawn(&PROBE, Probe::default(), ()).await.unwrap_err().to_string(), text);
    assert_eq!(names.register(&PROBE, &newcomer).await.unwrap_err().to_string(), text);
    let supervised = names.supervise(names.child_spec(&PROBE, || (Probe::default(), ()))).await.unwrap_err();
    assert!(supervised.to_string().ends_with(&text), "{supervised}");
    // Another message type under the same name is no way around it.
    assert_eq!(names.spawn(&key("probe"), Lamp, ()).await.unwrap_err().to_string(), text);

    assert_eq!(names.via(&PROBE).call(Command::Notes, SOON).await.unwrap(), ["before"]);
    names.register(&OTHER, &newcomer).await.expect("the newcomer lives, and may have another name");
}

#[tokio::test]
async fn a_wrong_message_type_is_refused_with_both_types() {
    let (_registry, names) = test_registry().await;
    let holder = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let wrong = key::<LampMsg>("probe");
    let refused = names.lookup(&wrong).unwrap_err();
    let RegistryError::WrongType { wanted, found, .. } = &refused else { panic!("{refused}") };
    assert_eq!(*wanted, std::any::type_name::<LampMsg>());
    assert_eq!(*found, std::any::type_name::<Command>());
    let text = format!("service probe in namespace {} answers to {found}, not to {wanted}", names.namespace());
    assert_eq!(refused.to_string(), text);
    assert_eq!(names.with(&wrong, |_| ()).unwrap_err().to_string(), text);
    assert_eq!(names.via(&wrong).actor_ref().unwrap_err().to_string(), text);
    assert_eq!(names.wait_for_service(&wrong, SOON).await.unwrap_err().to_string(), text);
    let health = names.health_check(&wrong, foundation::names::HealthCheck::alive(), SOON).await;
    assert_eq!(health, foundation::supervision::Health::Failed(text));
    assert_eq!(names.lookup(&PROBE).unwrap().get_id(), holder.get_id());
}

/// ractor knows an actor's message type, but not the type's name; the registry knows it for its own actors.
#[tokio::test]
async fn a_reference_made_from_an_untyped_cell_is_refused_with_the_known_types() {
    let (_registry, names) = test_registry().await;
    let (lamp, _task) = Actor::spawn(None, Lamp, ()).await.unwrap();
    let mistaken = ActorRef::<Command>::from(lamp.get_cell());
    let wanted = std::any::type_name::<Command>();
    let refused = names.register(&PROBE, &mistaken).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "actor {} cannot be registered as probe for {wanted}: it answers to another message type",
            lamp.get_id()
        )
    );
    assert!(!names.is_registered(&PROBE));

    names.register(&key("lamp"), &lamp).await.unwrap();
    let refused = names.register(&PROBE, &mistaken).await.unwrap_err();
    let found = std::any::type_name::<LampMsg>();
    assert_eq!(
        refused.to_string(),
        format!("actor {} cannot be registered as probe for {wanted}: it answers to {found}", lamp.get_id())
    );
    assert_eq!(names_in(&names), ["lamp"]);
}

#[tokio::test]
async fn a_misspelt_name_is_answered_with_the_near_misses() {
    let (_registry, names) = test_registry().await;
    for name in ["word_count", "word_count_eu", "telemetry", "config_server"] {
        names.spawn(&key(name), Probe::default(), ()).await.unwrap();
    }
    let shown = |name: &str| names.lookup(&key::<Command>(name)).unwrap_err().to_string();
    let none = |name: &str| format!("no service {name} in namespace {}", names.namespace());
    assert_eq!(shown("word_cuont"), none("word_cuont") + "; did you mean word_count, word_count_eu?");
    assert_eq!(shown("telemtry"), none("telemtry") + "; did you mean telemetry?");
    assert_eq!(shown("zzz"), none("zzz"));
    // A terminated actor is no near miss.
    names.unregister(&key::<Command>("telemetry"));
    assert_eq!(shown("telemtry"), none("telemtry"));
}

#[tokio::test]
async fn a_child_that_does_not_start_is_reported_with_its_own_cause() {
    let (registry, names) = test_registry().await;
    let failed = names.spawn(&PROBE, Probe::default().start(Behavior::Fail("no coffee")), ()).await.unwrap_err();
    let text = format!("service probe in namespace {} did not start: no coffee", names.namespace());
    assert_eq!(failed.to_string(), text);
    let panicked = names.spawn(&PROBE, Probe::default().start(Behavior::Panic("spilt it")), ()).await.unwrap_err();
    assert!(panicked.to_string().contains("spilt it"), "{panicked}");
    let spec = names.child_spec(&PROBE, || (Probe::default().start(Behavior::Fail("no coffee")), ()));
    let failed = names.supervise(spec).await.unwrap_err();
    let text = format!("namespace {}: child probe did not start: no coffee", names.namespace());
    assert_eq!(failed.to_string(), text);
    assert_eq!(registry.stats().total, 0);
}

#[tokio::test]
async fn a_group_of_another_kind_is_refused_with_both_kinds_until_it_is_empty() {
    let (_registry, names) = test_registry().await;
    let (probe, group) = (foreign(Probe::default()).await, names.group(&GroupKey::<Command>::from_static("workers")));
    let (lamp, _task) = Actor::spawn(None, Lamp, ()).await.unwrap();
    group.join(&probe).unwrap();
    let lamps = names.group(&GroupKey::<LampMsg>::from_static("workers"));
    let (wanted, found) = (std::any::type_name::<LampMsg>(), std::any::type_name::<Command>());
    let namespace = names.namespace();
    let text = format!("the members of group workers in namespace {namespace} answer to {found}, not to {wanted}");
    assert_eq!(lamps.join(&lamp).unwrap_err().to_string(), text);
    assert_eq!(lamps.next_member().unwrap_err().to_string(), text);
    assert_eq!(lamps.cast_next(LampMsg::Shine).unwrap_err().to_string(), text);
    assert_eq!(lamps.cast_all(|_, ()| LampMsg::Shine).unwrap_err().to_string(), text);
    assert_eq!((lamps.len(), lamps.leave(&lamp), group.len()), (0, 0, 1));
    let weighted = names.group(&GroupKey::<Command, u32>::from_static("workers"));
    let refused = weighted.join_with(&probe, 1).unwrap_err().to_string();
    assert!(refused.ends_with(&format!("answer to {found}, not to {found} with u32")), "{refused}");

    group.leave(&probe);
    lamps.join(&lamp).expect("a group without members is of no kind");
}

#[tokio::test]
async fn a_join_with_a_wrong_or_dead_reference_is_refused() {
    let (_registry, names) = test_registry().await;
    let (lamp, _task) = Actor::spawn(None, Lamp, ()).await.unwrap();
    let group = names.group(&GroupKey::<Command>::from_static("workers"));
    let refused = group.join(&ActorRef::from(lamp.get_cell())).unwrap_err();
    let (actor, wanted) = (lamp.get_id(), std::any::type_name::<Command>());
    assert_eq!(
        refused.to_string(),
        format!("actor {actor} cannot join group workers for {wanted}: it answers to another message type")
    );
    let dead = foreign(Probe::default()).await;
    dead.stop_and_wait(None, None).await.unwrap();
    let refused = group.join(&dead).unwrap_err().to_string();
    assert_eq!(refused, format!("actor {} cannot join group workers: it has ended, or is about to", dead.get_id()));
    assert!(names.groups().is_empty());
}

#[tokio::test]
async fn a_misspelt_group_is_answered_with_the_near_misses() {
    let (_registry, names) = test_registry().await;
    let probe = foreign(Probe::default()).await;
    names.group(&GroupKey::<Command>::from_static("workers")).join(&probe).unwrap();
    let shown = names.group(&GroupKey::<Command>::from_static("wrokers")).next_member().unwrap_err().to_string();
    let namespace = names.namespace();
    assert_eq!(shown, format!("no member of group wrokers in namespace {namespace}; did you mean workers?"));
}
