//! Replacing a child while something else happens to it.

use std::time::Duration;

use tokio::time::Instant;

use super::MAX_EARLY_ENDS;
use super::{Life, Nature, spec};
use crate::exit::ExitReason;
use crate::supervisor::backoff::Backoff;
use crate::supervisor::child_rules::AutoShutdown;
use crate::supervisor::children::plan::machine::{Children, Replaced, Step};
use crate::supervisor::children::rules::{ChildSet, Rules};
use crate::supervisor::error::ChildError;
use crate::supervisor::key::Key;
use crate::supervisor::restart::{RestartIntensity, Strategy};
use crate::supervisor::spec::ChildSpec;
use crate::supervisor::started::Incarnation;

/// A child that runs, in its first life, and the time.
fn running() -> (Children<Life>, Key, Life, Instant) {
    let rules = Rules {
        strategy: Strategy::OneForAll,
        intensity: RestartIntensity::new(1, Duration::from_secs(5)),
        auto_shutdown: AutoShutdown::Never,
        child_set: ChildSet::Static,
        backoff: Backoff::None,
    };
    let (mut children, now) = (Children::new(rules, fastrand::Rng::with_seed(0), MAX_EARLY_ENDS), Instant::now());
    let key = children.add(spec("a", Nature::default())).unwrap();
    work(&mut children, now, 1);
    (children, key, Life(key, 1), now)
}

/// Answers every step at once, a start with this outcome.
fn work(children: &mut Children<Life>, now: Instant, start: u64) {
    while let Some(step) = children.next_step(now) {
        match step {
            Step::Start { key, .. } => drop(children.started(key, Life(key, start), now)),
            Step::Stop { key, .. } | Step::AwaitExit { key, .. } => children.stopped(key),
            Step::Report { .. } | Step::Delay { .. } => {}
            Step::GiveUp { .. } | Step::AutoShutdown { .. } => panic!("it has no reason to stop"),
        }
    }
}

fn begin(children: &mut Children<Life>, key: Key) -> ChildSpec {
    let spec = spec("a", Nature::default());
    children.begin_replacing(key, &spec).unwrap();
    spec
}

#[test]
fn a_successor_takes_the_place_and_its_predecessor_is_no_longer_a_child() {
    let (mut children, key, first, now) = running();
    let spec = begin(&mut children, key);
    let successor = Life(key, 2);
    let replaced = children.replaced(key, first.actor_id(), successor, spec, now);
    let Replaced::Taken { predecessor, ended: None, .. } = replaced else { panic!("{replaced:?}") };
    assert_eq!((predecessor, children.table.running(key)), (first, Some(&successor)));
    assert_eq!(children.exited(first.actor_id(), ExitReason::Killed, now), None, "its end is stale");
    assert_eq!((children.table.restarts(key), children.supervision(now).used), (0, 0));
    assert_eq!(children.exited(successor.actor_id(), ExitReason::Killed, now), Some(key));
}

#[test]
fn a_predecessor_that_has_ended_and_is_not_restarted_yet_is_replaced_all_the_same() {
    let (mut children, key, first, now) = running();
    let spec = begin(&mut children, key);
    children.exited(first.actor_id(), ExitReason::Killed, now);
    let successor = Life(key, 2);
    let replaced = children.replaced(key, first.actor_id(), successor, spec, now);
    assert!(matches!(replaced, Replaced::Taken { .. }), "{replaced:?}");
    work(&mut children, now, 3);
    assert_eq!(children.table.running(key), Some(&successor), "no other is started beside it");
}

#[test]
fn a_successor_of_one_who_is_no_longer_there_is_handed_back() {
    let (mut children, key, first, now) = running();
    let spec = begin(&mut children, key);
    children.terminate(key);
    work(&mut children, now, 3);
    let successor = Life(key, 2);
    let replaced = children.replaced(key, first.actor_id(), successor, spec, now);
    assert!(matches!(replaced, Replaced::Unwanted(back) if back == successor), "{replaced:?}");
    assert_eq!(children.table.running(key), None);
}

#[test]
fn a_successor_that_ends_before_it_is_heard_of_is_restarted_as_any_other_child() {
    let (mut children, key, first, now) = running();
    let spec = begin(&mut children, key);
    let successor = Life(key, 2);
    children.exited(successor.actor_id(), ExitReason::Killed, now);
    let replaced = children.replaced(key, first.actor_id(), successor, spec, now);
    let Replaced::Taken { ended, .. } = replaced else { panic!("{replaced:?}") };
    assert_eq!(ended, Some(ExitReason::Killed));
    work(&mut children, now, 3);
    assert_eq!(children.table.running(key), Some(&Life(key, 3)));
}

#[test]
fn only_a_child_that_runs_is_replaced() {
    let (mut children, key, _, now) = running();
    children.terminate(key);
    work(&mut children, now, 3);
    let refused = children.begin_replacing(key, &spec("a", Nature::default())).unwrap_err();
    assert!(matches!(refused, ChildError::Stopped { .. }), "{refused}");
}
