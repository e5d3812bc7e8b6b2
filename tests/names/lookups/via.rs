//! Handles that survive restarts, and lose no message.

use std::time::Duration;

use foundation::names::{CallError, CastError, RegistryError, ServiceRegistry};
use foundation::{Restart, Via};
use foundation_testkit::{Behavior, Command, Gate, Probe, Puppet, SOON, assert_error, test_registry};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ending::Ending;
use crate::setup::{Lamp, LampMsg, PROBE, count, foreign, key};

async fn supervised(names: &ServiceRegistry) -> Puppet {
    let puppet = Puppet::default();
    let on = puppet.clone();
    names.supervise(names.child_spec(&PROBE, move || (on.actor(), ()))).await.unwrap();
    puppet
}

#[tokio::test]
async fn a_via_may_be_made_before_its_service() {
    let (_registry, names) = test_registry().await;
    let via = names.via(&PROBE);
    assert!(!via.is_alive());
    supervised(&names).await;
    assert!(via.is_alive());
}

#[tokio::test]
async fn a_via_survives_restarts() {
    let (_registry, names) = test_registry().await;
    let via = names.via(&PROBE);
    let spec = names.child_spec(&PROBE, || (Probe::default(), ()));
    names.supervise(spec).await.unwrap();
    let mut seen = vec![via.call(Command::Id, SOON).await.unwrap()];
    for _ in 0..3 {
        via.actor_ref().unwrap().kill_and_wait(None).await.unwrap();
        names.wait_for_service(&PROBE, SOON).await.unwrap();
        let now = via.call(Command::Id, SOON).await.unwrap();
        assert!(!seen.contains(&now), "{now} again");
        seen.push(now);
    }
}

#[tokio::test]
async fn a_pinned_via_never_reaches_the_successor_of_its_actor() {
    let (_registry, names) = test_registry().await;
    assert_error!(names.via(&PROBE).pinned().map(drop), RegistryError::NotFound { .. });
    let puppet = supervised(&names).await;
    let mut via = names.via(&PROBE).pinned().unwrap();
    via.cast(Command::Note("first")).unwrap();
    via.actor_ref().unwrap().kill();
    puppet.lived(2).await;
    names.wait_for_service(&PROBE, SOON).await.unwrap();
    let error = via.cast(Command::Note("second")).unwrap_err();
    assert!(matches!(error.message, Command::Note("second")), "the message comes back");
    assert!(matches!(via.call(Command::Id, SOON).await, Err(CallError::NotDelivered(_))));
    assert!(!via.is_alive() && via.refresh().resolve().is_err() && via.clone().actor_ref().is_err());
}

#[tokio::test]
async fn a_via_that_is_refreshed_is_bound_to_the_new_incarnation() {
    let (_registry, names) = test_registry().await;
    let puppet = supervised(&names).await;
    let mut via = names.via(&PROBE);
    let first = via.actor_ref().unwrap();
    first.kill();
    puppet.lived(2).await;
    names.wait_for_service(&PROBE, SOON).await.unwrap();
    let second = via.refresh().actor_ref().unwrap();
    assert_ne!(first.get_id(), second.get_id());
    assert_eq!(via.refresh().actor_ref().unwrap().get_id(), second.get_id());
    via.cast(Command::Note("hello")).unwrap();
}

#[tokio::test]
async fn refreshing_a_via_without_a_holder_does_no_harm() {
    let (_registry, names) = test_registry().await;
    let mut via = names.via(&PROBE);
    assert!(!via.refresh().is_alive());
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert!(via.is_alive());
    actor.stop_and_wait(None, None).await.unwrap();
    assert!(!via.refresh().is_alive());
}

#[tokio::test]
async fn a_via_resolves_to_each_incarnation_and_reads_the_table_once_for_each() {
    let (_registry, names) = test_registry().await;
    let puppet = supervised(&names).await;
    let mut via = names.via(&PROBE);
    for life in 1..=3 {
        let current = names.wait_for_service(&PROBE, SOON).await.unwrap();
        let before = count(&names, "registry.lookups");
        for _ in 0..5 {
            assert_eq!(via.resolve().unwrap().get_id(), current.get_id());
        }
        assert_eq!(count(&names, "registry.lookups"), before + 1);
        current.kill();
        puppet.lived(life + 1).await;
    }
}

#[tokio::test]
async fn a_via_resolves_to_no_actor_when_the_name_is_free() {
    let (_registry, names) = test_registry().await;
    let mut via = names.via(&PROBE);
    let missing = via.resolve().unwrap_err();
    assert!(matches!(missing, RegistryError::NotFound { .. }), "{missing}");
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_eq!(via.resolve().unwrap().get_id(), actor.get_id());
    actor.stop_and_wait(None, None).await.unwrap();
    assert_error!(via.resolve(), RegistryError::NotFound { .. });
    assert_error!(via.with(|actor| actor.get_id()), RegistryError::NotFound { .. });
}

#[tokio::test]
async fn a_via_lends_the_actor_for_the_duration_of_a_closure() {
    let (_registry, names) = test_registry().await;
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let via = names.via(&PROBE);
    assert_eq!(via.with(|actor| actor.get_id()).unwrap(), actor.get_id());
    let before = count(&names, "registry.lookups");
    assert_eq!(via.with(|actor| actor.get_id()).unwrap(), actor.get_id());
    assert_eq!(count(&names, "registry.lookups"), before, "bound, it does not read the table");
}

#[tokio::test]
async fn a_clone_of_a_via_is_independent() {
    let (_registry, names) = test_registry().await;
    let puppet = supervised(&names).await;
    let via = names.via(&PROBE);
    let first = via.actor_ref().unwrap();
    let (bound, fresh) = (via.clone(), names.via(&PROBE).clone());
    drop(via);
    first.kill();
    puppet.lived(2).await;
    let second = names.wait_for_service(&PROBE, SOON).await.unwrap();
    assert_eq!(bound.actor_ref().unwrap().get_id(), second.get_id());
    assert_eq!(fresh.actor_ref().unwrap().get_id(), second.get_id());
}

#[tokio::test]
async fn a_message_without_a_receiver_is_given_back() {
    let (_registry, names) = test_registry().await;
    let via = names.via(&PROBE);
    let CastError { message, reason, .. } = via.cast(Command::Note("keep me")).unwrap_err();
    assert!(matches!(message, Command::Note("keep me")));
    assert!(matches!(reason, RegistryError::NotFound { .. }), "{reason}");

    let unsent = via.call(Command::Id, SOON).await.unwrap_err();
    let CallError::NotDelivered(CastError { message, .. }) = unsent else { panic!("{unsent}") };
    assert!(matches!(message, Command::Id(_)));
}

#[tokio::test]
async fn a_message_is_given_back_however_its_receiver_ended() {
    for ending in Ending::ALL {
        let (_registry, names) = test_registry().await;
        let (puppet, gate) = (Puppet::default(), Gate::new());
        let actor = names.spawn(&PROBE, ending.probe(&puppet, &gate), ()).await.unwrap();
        let via = names.via(&PROBE);
        via.cast(Command::Note("bound")).unwrap();
        ending.bring_about(&actor, &gate).await;
        actor.wait(None).await.unwrap();
        let back = via.cast(Command::Note("keep me")).unwrap_err();
        assert!(matches!(back.message, Command::Note("keep me")), "{ending:?}");
    }
}

#[tokio::test]
async fn a_message_to_a_stopping_actor_is_given_back() {
    let (_registry, names) = test_registry().await;
    let gate = Gate::new();
    let actor = names.spawn(&PROBE, Probe::default().stop(Behavior::Wait(gate.clone())), ()).await.unwrap();
    let via = names.via(&PROBE);
    assert!(via.is_alive());
    actor.stop(None);
    gate.arrival().await;
    assert!(!via.is_alive());
    let returned = via.cast(Command::Note("too late")).unwrap_err();
    assert!(matches!(returned.reason, RegistryError::NotFound { .. }), "{returned}");
    assert!(matches!(returned.message, Command::Note("too late")));
    gate.open();
}

/// The service ends while messages are sent on another thread: each is either accepted or given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_lost_between_two_incarnations() {
    let (_registry, names) = test_registry().await;
    let spec = names.child_spec(&PROBE, || (Probe::default(), ())).restart(Restart::Permanent);
    let patient = foundation::supervision::RestartIntensity::new(1_000, Duration::from_secs(1));
    names
        .supervise(foundation::ChildSpec::supervisor(
            "patient",
            foundation::supervision::SupervisorSpec::new(foundation::Strategy::OneForOne)
                .intensity(patient)
                .child(spec),
        ))
        .await
        .unwrap();
    let via = names.via(&PROBE);
    let answers = watch::Sender::new(0);
    let mut answered_again = answers.subscribe();
    let caller = tokio::spawn({
        let via = via.clone();
        async move {
            let (mut answered, mut returned, mut ended) = (0, 0, 0);
            for _ in 0..3_000 {
                match via.call(Command::Id, SOON).await {
                    Ok(_) => {
                        answered += 1;
                        answers.send_replace(answered);
                    }
                    Err(CallError::NotDelivered(_)) => returned += 1,
                    Err(CallError::NoReply { .. }) => ended += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            (answered, returned, ended)
        }
    });
    // Each incarnation ends after it has answered, or the calls would be over before one has. The last sender ends with
    // the caller.
    while answered_again.changed().await.is_ok() {
        if let Ok(actor) = via.actor_ref() {
            actor.kill_and_wait(None).await.unwrap();
        }
        let _ = names.wait_for_service(&PROBE, SOON).await;
    }
    let (answered, returned, ended) = caller.await.unwrap();
    assert_eq!(answered + returned + ended, 3_000);
    assert!(answered > 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends_with_its_limit() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let (begun, limit) = (Instant::now(), Duration::from_millis(250));
    let late = names.via(&PROBE).call(Command::Keep, limit).await.unwrap_err();
    assert_eq!(begun.elapsed(), limit);
    let text = format!("service probe in namespace {} did not answer within 250ms", names.namespace());
    assert_eq!(late.to_string(), text);
}

#[tokio::test]
async fn a_call_whose_port_is_dropped_ends_at_once() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let unanswered = names.via(&PROBE).call(Command::Drop, SOON).await.unwrap_err();
    assert!(matches!(unanswered, CallError::NoReply { .. }), "{unanswered}");
}

#[tokio::test]
async fn a_via_of_the_wrong_type_gives_the_message_back_and_names_both_types() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let via: Via<LampMsg> = names.via(&key("probe"));
    assert!(!via.is_alive());
    let refused = via.cast(LampMsg::Shine).unwrap_err();
    assert!(matches!(refused.message, LampMsg::Shine));
    let RegistryError::WrongType { wanted, found, .. } = refused.reason else { panic!("{refused}") };
    assert!(wanted.ends_with("LampMsg") && found.ends_with("Command"), "{wanted} {found}");

    // It is not bound yet: when the name changes hands, it works.
    names.unregister(&PROBE);
    names.spawn(&key("probe"), Lamp, ()).await.unwrap();
    via.cast(LampMsg::Shine).unwrap();
}

/// A name may pass to an actor of another type; a handle that was bound to the first must not mistake the second.
#[tokio::test]
async fn a_via_does_not_bind_to_a_successor_of_another_type() {
    let (_registry, names) = test_registry().await;
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let via = names.via(&PROBE);
    assert!(via.is_alive());
    actor.stop_and_wait(None, None).await.unwrap();
    names.spawn(&key("probe"), Lamp, ()).await.unwrap();
    assert!(!via.is_alive());
    let refused = via.cast(Command::Note("not for a lamp")).unwrap_err();
    assert!(matches!(refused.reason, RegistryError::WrongType { .. }), "{refused}");
}

#[tokio::test]
async fn a_via_does_not_follow_an_actor_that_lost_its_name() {
    let (_registry, names) = test_registry().await;
    let first = foreign(Probe::default()).await;
    names.register(&PROBE, &first).await.unwrap();
    let via = names.via(&PROBE);
    assert_eq!(via.actor_ref().unwrap().get_id(), first.get_id());
    names.unregister(&PROBE);
    let second = foreign(Probe::default()).await;
    names.register(&PROBE, &second).await.unwrap();
    assert_eq!(via.actor_ref().unwrap().get_id(), second.get_id());
}
