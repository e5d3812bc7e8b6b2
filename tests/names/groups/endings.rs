//! Members that end, and groups whose namespace is cleaned up.

use foundation::Namespace;
use foundation::names::{Group, GroupError};
use foundation::ractor::{Actor, ActorProcessingErr, ActorRef, ActorStatus};
use foundation_testkit::{Command, Gate, Probe, Puppet, TraceLog, assert_error, test_registry};
use tracing::Level;

use super::members::{HELLO, WORLD, ids, probes};
use crate::ending::Ending;
use crate::setup::{foreign, key};

#[tokio::test]
async fn an_actor_leaves_its_groups_however_it_ends() {
    let (registry, names) = test_registry().await;
    for ending in Ending::ALL {
        let (log, _listening) = TraceLog::of_thread(Level::DEBUG);
        let (puppet, gates) = (Puppet::default(), [Gate::new(), Gate::new()]);
        let ours = names.spawn(&key("ours"), ending.probe(&Puppet::default(), &gates[0]), ()).await.unwrap();
        let outside = foreign(ending.probe(&puppet, &gates[1])).await;
        let group = names.group(&HELLO);
        for (actor, gate) in [&ours, &outside].into_iter().zip(&gates) {
            group.join(actor).unwrap();
            group.join(actor).unwrap();
            ending.bring_about(actor, gate).await;
            actor.wait(None).await.unwrap();
            assert!(group.is_empty(), "{ending:?}: at once");
            assert_error!(group.next_member(), GroupError::NoMember { .. }, "{ending:?}: at once");
        }
        // The process registry reads the event before the next request.
        registry.namespace(Namespace::test()).await.unwrap();
        assert_eq!(log.lines(&["group left"]).len(), 4, "{ending:?}: and for good");
    }
}

/// Joins in its own start, which never finishes.
struct Early {
    group: Group<Command>,
    gate: Gate,
}

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Early {
    type Msg = Command;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Command>, (): ()) -> Result<(), ActorProcessingErr> {
        self.group.join(&myself)?;
        self.gate.pass().await;
        Ok(())
    }
}

/// ractor does not report an actor that failed to start; the next writer to the group removes it.
#[tokio::test]
async fn a_member_that_ends_in_its_start_is_not_returned() {
    let (log, _listening) = TraceLog::of_thread(Level::DEBUG);
    let (_registry, names) = test_registry().await;
    let (gate, group) = (Gate::new(), names.group(&HELLO));
    let early = Early { group: group.clone(), gate: gate.clone() };
    let starting = tokio::spawn({
        let names = names.clone();
        async move { names.spawn(&key("early"), early, ()).await.map(drop) }
    });
    gate.arrival().await;
    assert_eq!(group.len(), 1, "it takes messages while it starts");
    starting.abort();
    assert!(starting.await.unwrap_err().is_cancelled());
    assert!(group.is_empty());
    let [other] = probes().await;
    group.join(&other).unwrap();
    assert_eq!(ids(&group.members()), [other.get_id()]);
    assert_eq!(log.lines(&["group left", "group=hello"]).len(), 1);
}

#[tokio::test]
async fn a_clean_up_stops_the_members_of_groups_each_once() {
    let (_registry, names) = test_registry().await;
    let [member, both] = probes().await;
    let ours = names.spawn(&key("ours"), Probe::default(), ()).await.unwrap();
    names.register(&key("both"), &both).await.unwrap();
    for actor in [&member, &both, &ours, &member] {
        names.group(&HELLO).join(actor).unwrap();
        names.group(&WORLD).join(actor).unwrap();
    }
    let report = names.cleanup().await.unwrap();
    for actor in [&member, &both, &ours] {
        assert_eq!(actor.get_status(), ActorStatus::Stopped);
    }
    let paths: Vec<_> = report.stopped.iter().map(|stopped| stopped.path.as_str()).collect();
    assert_eq!(paths.iter().filter(|path| path.starts_with("joined/")).count(), 1, "{paths:?}");
    assert!(paths.contains(&"registered/both"), "{paths:?}");
    assert!(names.groups().is_empty());
}

/// An actor that joins during the clean-up is either stopped with the namespace or refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_during_the_clean_up_is_stopped_or_refused() {
    for _ in 0..300 {
        let (_registry, names) = test_registry().await;
        let [outside] = probes().await;
        let joining = tokio::spawn({
            let (names, outside) = (names.clone(), outside.clone());
            async move { names.group(&HELLO).join(&outside) }
        });
        names.cleanup().await.unwrap();
        match joining.await.unwrap() {
            Ok(()) => assert_eq!(outside.get_status(), ActorStatus::Stopped),
            Err(refused) => assert_eq!(refused, GroupError::NotRunning { namespace: names.namespace() }),
        }
        assert!(names.group(&HELLO).is_empty());
        outside.stop(None);
    }
}

#[tokio::test]
async fn a_shutdown_leaves_the_members_of_production_alone() {
    let (registry, _names) = test_registry().await;
    let production = registry.namespace(Namespace::Production).await.unwrap();
    let [actor] = probes().await;
    production.group(&HELLO).join(&actor).unwrap();
    registry.shutdown().await;
    assert!(actor.get_status() <= ActorStatus::Running);
    assert_error!(production.group(&WORLD).join(&actor), GroupError::NotRunning { .. });
}
