//! Races around a delay that random histories seldom meet.

use std::time::Duration;

use tokio::time::Instant;

use super::MAX_EARLY_ENDS;
use super::{Life, Nature, spec};
use crate::exit::ExitReason;
use crate::supervisor::backoff::Backoff;
use crate::supervisor::child_rules::{AutoShutdown, Restart};
use crate::supervisor::children::Slot;
use crate::supervisor::children::plan::machine::{Children, Step, Terminate};
use crate::supervisor::children::rules::{ChildSet, Rules};
use crate::supervisor::key::Key;
use crate::supervisor::restart::{RestartIntensity, Strategy};
use crate::supervisor::started::Incarnation;

struct Table {
    children: Children<Life>,
    now: Instant,
    starts: u64,
    delays: Vec<(Key, u64)>,
}

impl Table {
    fn new(strategy: Strategy) -> Self {
        let rules = Rules {
            strategy,
            intensity: RestartIntensity::new(100, Duration::from_secs(5)),
            auto_shutdown: AutoShutdown::Never,
            child_set: ChildSet::Static,
            backoff: Backoff::Constant(Duration::from_secs(1)),
        };
        let children = Children::new(rules, fastrand::Rng::with_seed(0), MAX_EARLY_ENDS);
        Self { children, now: Instant::now(), starts: 0, delays: Vec::new() }
    }

    fn add(&mut self, id: &str) -> Key {
        let nature = Nature { restart: Restart::Permanent, significant: false };
        let key = self.children.add(spec(id, nature)).unwrap();
        self.work();
        key
    }

    fn exit(&mut self, key: Key) {
        let actor = self.children.table.running(key).unwrap().actor_id();
        self.children.exited(actor, ExitReason::Killed, self.now);
    }

    /// Every step is answered at once.
    fn work(&mut self) {
        while let Some(step) = self.children.next_step(self.now) {
            match step {
                Step::Start { key, .. } => {
                    self.starts += 1;
                    self.children.started(key, Life(key, self.starts), self.now);
                }
                Step::Stop { key, .. } | Step::AwaitExit { key, .. } => self.children.stopped(key),
                Step::Delay { key, number, .. } => self.delays.push((key, number)),
                Step::Report { .. } => {}
                Step::GiveUp { .. } | Step::AutoShutdown { .. } => panic!("it has no reason to stop"),
            }
        }
    }

    fn is_down(&self, key: Key) -> bool {
        matches!(self.children.table.children[&key].slot, Slot::Down)
    }
}

#[test]
fn a_request_to_terminate_that_comes_between_an_exit_and_its_delay_ends_the_delay() {
    let mut table = Table::new(Strategy::OneForOne);
    let a = table.add("a");
    table.exit(a);
    assert_eq!(table.children.terminate(a), Terminate::Pending);
    table.work();
    assert!(table.is_down(a));
    assert!(table.children.take_finished().contains(&a), "the request waits for ever");
    let (key, number) = table.delays[0];
    table.children.delay_over(key, number);
    table.work();
    assert!(table.is_down(a), "it came back");
}

#[test]
fn a_request_to_terminate_is_answered_although_the_delay_has_become_that_of_another_child() {
    let mut table = Table::new(Strategy::RestForOne);
    let (a, b) = (table.add("a"), table.add("b"));
    table.exit(a);
    table.work();
    table.children.manual_start("b").unwrap();
    table.work();
    table.now += Duration::from_millis(500);
    table.children.take_finished();
    // The exit of one child, the end of the other's delay and the request wait for their turns, in this order.
    table.exit(b);
    let (key, number) = table.delays[0];
    table.children.delay_over(key, number);
    assert_eq!(table.children.terminate(b), Terminate::Pending);
    table.work();
    assert_eq!(table.children.waits(a), table.delays.last().map(|(_, number)| *number), "it waits for the later delay");
    assert!(table.children.take_finished().contains(&b), "the request waits for ever");
}

#[test]
fn the_end_of_a_delay_that_is_not_the_current_one_restarts_no_child() {
    let mut table = Table::new(Strategy::OneForOne);
    let a = table.add("a");
    table.exit(a);
    table.work();
    table.children.terminate(a);
    table.children.manual_start("a").unwrap();
    table.work();
    table.exit(a);
    table.work();
    let [(_, first), (_, second)] = table.delays[..] else { panic!("{:?}", table.delays) };
    table.children.delay_over(a, first);
    table.work();
    assert_eq!(table.children.waits(a), Some(second));
    table.children.delay_over(a, second);
    table.work();
    assert!(table.children.table.running(a).is_some());
}
