//! Ends of actors that are not known while a start is under way.

use tokio::time::Instant;

use super::MAX_EARLY_ENDS;
use super::{Life, Nature, spec};
use crate::exit::ExitReason;
use crate::supervisor::backoff::Backoff;
use crate::supervisor::child_rules::AutoShutdown;
use crate::supervisor::children::plan::machine::{Children, Step, Terminate};
use crate::supervisor::children::rules::{ChildSet, Rules};
use crate::supervisor::restart::{RestartIntensity, Strategy};
use crate::supervisor::started::Incarnation;

fn children() -> Children<Life> {
    let rules = Rules {
        strategy: Strategy::OneForOne,
        intensity: RestartIntensity::default(),
        auto_shutdown: AutoShutdown::Never,
        child_set: ChildSet::Dynamic { max_children: usize::MAX },
        backoff: Backoff::None,
    };
    Children::new(rules, fastrand::Rng::with_seed(0), MAX_EARLY_ENDS)
}

fn begin(children: &mut Children<Life>) -> u64 {
    let key = children.add(spec("a", Nature::default())).unwrap();
    let step = children.next_step(Instant::now());
    assert!(matches!(step, Some(Step::Start { key: started, .. }) if started == key), "{step:?}");
    key
}

#[test]
fn a_child_that_the_supervisor_stops_itself_is_not_noted_while_another_start_hangs() {
    let (mut children, now) = (children(), Instant::now());
    let hanging = begin(&mut children);
    for _ in 0..10 * MAX_EARLY_ENDS {
        let key = begin(&mut children);
        assert_eq!(children.started(key, Life(key, 1), now), None);
        assert_eq!(children.terminate(key), Terminate::Pending);
        assert!(matches!(children.next_step(now), Some(Step::Stop { .. })));
        assert_eq!(children.exited(Life(key, 1).actor_id(), ExitReason::Shutdown("shutdown".into()), now), None);
        children.stopped(key);
        assert!(children.next_step(now).is_none());
    }
    assert_eq!((children.early.latest.len(), children.table.by_actor.len()), (0, 0));
    assert_eq!(children.started(hanging, Life(hanging, 1), now), None);
}

#[test]
fn of_strangers_that_end_while_a_start_hangs_only_the_latest_are_noted() {
    let (mut children, now) = (children(), Instant::now());
    let hanging = begin(&mut children);
    for stranger in 0..10 * MAX_EARLY_ENDS as u64 {
        assert_eq!(children.exited(Life(1_000_000 + stranger, 1).actor_id(), ExitReason::Normal, now), None);
    }
    assert_eq!(children.early.latest.len(), MAX_EARLY_ENDS);
    children.exited(Life(hanging, 1).actor_id(), ExitReason::Killed, now);
    assert_eq!(children.started(hanging, Life(hanging, 1), now), Some(ExitReason::Killed));
    assert_eq!(children.early.latest.len(), 0);
}
