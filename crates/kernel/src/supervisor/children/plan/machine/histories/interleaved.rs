//! Steps that are answered late and in any order, with children that end at any time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::MAX_EARLY_ENDS;
use super::commands::{Command, command};
use super::{Came, Configuration, IDS, Life, Nature, life_of, reconfigure, rules, spec};
use crate::exit::ExitReason;
use crate::supervisor::child_rules::{AutoShutdown, Restart};
use crate::supervisor::children::plan::machine::{Children, FailedStart, Refused, Step, Terminate};
use crate::supervisor::children::rules::{ChildSet, Rules};
use crate::supervisor::children::{Child, Slot};
use crate::supervisor::key::Key;
use crate::supervisor::restart::Strategy;
use crate::supervisor::started::Incarnation;

/// A step under way.
#[derive(Debug, Clone, Copy)]
enum Under {
    Start,
    End(Life),
}

/// The known facts about one child.
#[derive(Debug, Default)]
struct Known {
    nature: Nature,
    /// It was given another nature while it was there.
    changed: bool,
    starts: u64,
    /// Its current incarnation, from the start until the word that it is gone.
    alive: Option<Life>,
    /// Whether an event has occurred after which one-for-one may start it.
    due: bool,
    asked_to_stop: bool,
}

struct World {
    rules: Rules,
    children: Children<Life>,
    begun: Instant,
    now: u64,
    known: HashMap<Key, Known>,
    under_way: BTreeMap<Key, Under>,
    past: Vec<Life>,
    /// The requests that wait for the answer to a start, and to a termination.
    starters: HashSet<Key>,
    stoppers: HashSet<Key>,
    restarts: HashMap<Key, u32>,
    gave_up: bool,
    advanced: bool,
    /// The rules have been changed.
    reconfigured: bool,
    /// The significant children that have ended by themselves and for good, by their nature at the time.
    ended_for_good: HashSet<Key>,
    delays: Vec<(Key, u64)>,
}

impl World {
    fn new(rules: Rules) -> Self {
        Self {
            rules,
            children: Children::new(rules, fastrand::Rng::with_seed(0), MAX_EARLY_ENDS),
            begun: Instant::now(),
            now: 0,
            known: HashMap::new(),
            under_way: BTreeMap::new(),
            past: vec![Life(1_000, 1)],
            starters: HashSet::new(),
            stoppers: HashSet::new(),
            restarts: HashMap::new(),
            gave_up: false,
            advanced: false,
            reconfigured: false,
            ended_for_good: HashSet::new(),
            delays: Vec::new(),
        }
    }

    fn one_for_one(&self) -> bool {
        self.children.rules.strategy == Strategy::OneForOne
    }

    fn time(&self) -> Instant {
        self.begun + Duration::from_millis(self.now)
    }

    fn work(&mut self) {
        while let Some(step) = self.children.next_step(self.time()) {
            assert!(!self.gave_up, "a step after giving up: {step:?}");
            match step {
                Step::Start { key, .. } => self.begin(key),
                Step::Stop { key, child, .. } | Step::AwaitExit { key, child } => self.end(key, child),
                Step::Delay { key, number, until } => {
                    // It may be over already: the delay of another child can pass while the stops of this plan take
                    // their time.
                    assert!(until >= self.time(), "a delay that ends before it begins");
                    assert_eq!(self.children.waits(key), Some(number));
                    self.delays.push((key, number));
                }
                Step::Report { .. } => {}
                Step::GiveUp { .. } => self.gave_up = true,
                Step::AutoShutdown { .. } => self.shut_down(),
            }
            assert!(self.one_for_one() || self.under_way.len() <= 1, "two steps of one plan at a time");
        }
        for key in self.children.take_finished() {
            self.starters.remove(&key);
            self.stoppers.remove(&key);
        }
        self.check();
    }

    fn shut_down(&mut self) {
        self.gave_up = true;
        assert!(!self.ended_for_good.is_empty(), "no significant child has ended for good");
        let active = |child: &&Child<Life>| {
            let slot = &child.slot;
            child.spec.is_significant() && matches!(slot, Slot::Running(_) | Slot::Starting | Slot::Queued)
        };
        match self.rules.auto_shutdown {
            AutoShutdown::Never => panic!("auto-shutdown is off"),
            AutoShutdown::AnySignificant => {}
            AutoShutdown::AllSignificant => {
                assert_eq!(self.children.table.children.values().map(Box::as_ref).filter(active).count(), 0)
            }
        }
    }

    fn begin(&mut self, key: Key) {
        let known = self.known.entry(key).or_default();
        assert_eq!(known.alive, None, "a second incarnation of {key}");
        known.starts += 1;
        let again = known.nature.restart == Restart::Temporary && known.starts > 1;
        assert!(!again || known.changed, "a temporary child is started again");
        if self.rules.strategy == Strategy::OneForOne && !self.reconfigured {
            assert!(known.due, "{key} is started for no reason");
            assert!(!known.asked_to_stop, "{key} is started although it was terminated");
        }
        known.due = false;
        if !self.starters.contains(&key) {
            *self.restarts.entry(key).or_default() += 1;
        }
        assert!(self.under_way.insert(key, Under::Start).is_none(), "two steps for {key}");
    }

    fn end(&mut self, key: Key, child: Life) {
        assert_eq!(self.known[&key].alive, Some(child), "{key} is not what is to be ended");
        assert!(self.under_way.insert(key, Under::End(child)).is_none(), "two steps for {key}");
    }

    fn exit(&mut self, life: Life, reason: ExitReason) {
        self.note_end(life, &reason);
        let now = self.time();
        let key = self.children.exited(life.actor_id(), reason, now);
        assert_eq!(key, Some(life.0));
    }

    fn note_end(&mut self, life: Life, reason: &ExitReason) {
        let known = self.known.get_mut(&life.0).expect("it was started");
        let wanted = known.nature.restart.wants(reason);
        known.due |= wanted && !known.asked_to_stop;
        // The decision comes later, and by then it may be significant.
        if known.nature.significant && !wanted || self.reconfigured {
            self.ended_for_good.insert(life.0);
        }
    }

    fn answer(&mut self, key: Key, came: Came, early: Option<ExitReason>, event_first: bool) {
        let Some(under) = self.under_way.remove(&key) else { return };
        let now = self.time();
        match under {
            Under::Start => self.start_answered(key, came, early),
            Under::End(life) => {
                let late = ExitReason::Failed("on the way out".into());
                if event_first {
                    assert_eq!(self.children.exited(life.actor_id(), late.clone(), now), None);
                }
                self.known.get_mut(&key).expect("it was started").alive = None;
                self.past.push(life);
                self.children.stopped(key);
                if !event_first {
                    assert_eq!(self.children.exited(life.actor_id(), late, now), None);
                }
            }
        }
    }

    fn start_answered(&mut self, key: Key, came: Came, early: Option<ExitReason>) {
        let now = self.time();
        let known = self.known.get_mut(&key).expect("it was started");
        match came {
            Came::Up => {
                let life = Life(key, known.starts);
                known.alive = Some(life);
                if let Some(reason) = early {
                    self.note_end(life, &reason);
                    assert_eq!(self.children.exited(life.actor_id(), reason.clone(), now), None);
                    assert_eq!(self.children.started(key, life, now), Some(reason));
                } else {
                    assert_eq!(self.children.started(key, life, now), None);
                }
                self.starters.remove(&key);
            }
            Came::Ignored => {
                self.children.ignored(key);
                self.starters.remove(&key);
            }
            Came::NameTaken => self.name_taken(key),
            Came::Failed => match self.children.start_failed(key, "no") {
                FailedStart::Retried => known.due = true,
                FailedStart::Finished => {
                    self.starters.remove(&key);
                }
            },
        }
    }

    /// A refusal is no restart, whatever follows, unless it counts as a failed start.
    fn name_taken(&mut self, key: Key) {
        let used = self.children.supervision(self.time()).used;
        let refused = self.children.name_taken(key, false);
        assert_eq!(self.children.supervision(self.time()).used, used, "a refusal counts");
        let known = self.known.get_mut(&key).expect("it was started");
        match refused {
            Refused::Waits(number) => {
                assert_eq!(self.children.waits(key), Some(number));
                assert!(!self.starters.contains(&key), "a start that was asked for is put off");
                known.due = true;
                *self.restarts.entry(key).or_default() -= 1;
                self.delays.push((key, number));
            }
            Refused::Rests => {
                *self.restarts.entry(key).or_default() -= 1;
            }
            Refused::Fails => self.start_answered(key, Came::Failed, None),
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Add(id, nature) => {
                if let Ok(key) = self.children.add(spec(IDS[id], nature)) {
                    self.known.insert(key, Known { nature, due: true, ..Known::default() });
                    self.starters.insert(key);
                }
            }
            Command::Terminate(n) => {
                let keys: Vec<Key> = self.children.table.children.keys().copied().collect();
                if let Some(key) = keys.get(n % keys.len().max(1)) {
                    self.terminate(*key);
                }
            }
            Command::ManualStart(id) => {
                if let Ok(key) = self.children.manual_start(IDS[id]) {
                    let known = self.known.get_mut(&key).expect("it was added");
                    (known.due, known.asked_to_stop) = (true, false);
                    self.starters.insert(key);
                }
            }
            Command::Delete(id) => {
                let _ = self.children.delete(IDS[id]);
            }
            Command::Exit(n, reason) => {
                let lives: Vec<Life> = self.running().collect();
                if let Some(life) = lives.get(n % lives.len().max(1)) {
                    self.exit(*life, reason);
                }
            }
            Command::Stale(n, reason) => {
                let life = self.past[n % self.past.len()];
                assert_eq!(self.children.exited(life.actor_id(), reason, self.time()), None);
            }
            Command::Answer { step, came, early, event_first } => {
                let keys: Vec<Key> = self.under_way.keys().copied().collect();
                if let Some(key) = keys.get(step % keys.len().max(1)) {
                    self.answer(*key, came, early, event_first);
                }
            }
            Command::Delay(n) => {
                if let Some((key, number)) = self.delays.get(n % self.delays.len().max(1)) {
                    self.children.delay_over(*key, *number);
                }
            }
            Command::Advance(ms) => {
                self.now += ms;
                self.advanced = true;
            }
            Command::Reconfigure(new) => self.reconfigure(&new),
        }
        self.work();
    }

    fn reconfigure(&mut self, new: &Configuration) {
        let before = self.children.table.children.len();
        if !reconfigure(&mut self.children, new) {
            assert_eq!(self.children.table.children.len(), before, "a refused configuration has had an effect");
            return;
        }
        (self.rules, self.reconfigured) = (new.0, true);
        if self.rules.child_set != ChildSet::Static {
            return;
        }
        for (id, nature) in &new.1 {
            let key = self.children.table.find(IDS[*id]).expect("it was named");
            let known = self.known.entry(key).or_default();
            (known.nature, known.changed) = (*nature, true);
            let ended = matches!(self.children.table.children[&key].slot, Slot::Exited(..));
            if ended {
                self.ended_for_good.insert(key);
            }
        }
        let named: Vec<Key> = new.1.iter().filter_map(|(id, _)| self.children.table.find(IDS[*id]).ok()).collect();
        assert_eq!(self.children.table.in_order()[..named.len()], named, "the order is the new one");
    }

    fn terminate(&mut self, key: Key) {
        let known = self.known.get_mut(&key).expect("it was added");
        (known.asked_to_stop, known.due) = (true, false);
        match self.children.terminate(key) {
            Terminate::Done => {}
            Terminate::Pending | Terminate::Abort => {
                self.stoppers.insert(key);
            }
        }
    }

    fn running(&self) -> impl Iterator<Item = Life> {
        self.children.table.children.values().filter_map(|child| match child.slot {
            Slot::Running(life) => Some(life),
            _ => None,
        })
    }

    fn check(&self) {
        let mut known = self.children.table.by_actor.clone();
        known.retain(|_, key| !matches!(self.children.table.children[key].slot, Slot::Stopping));
        let running: foldhash::HashMap<_, _> = self.running().map(|life| (life.actor_id(), life.0)).collect();
        assert_eq!(known, running, "invariant 2");
        if self.rules.child_set == ChildSet::Static {
            let ids = self.children.table.children.iter().map(|(key, child)| (child.spec.id().clone(), *key));
            assert_eq!(self.children.table.by_id, ids.collect(), "ids");
        }
        for (key, known) in &self.known {
            let here = self.children.table.running(*key).copied();
            assert!(here.is_none() || here == known.alive, "{key} runs as {here:?}, known is {:?}", known.alive);
        }
        for (key, child) in self.children.table.children.iter() {
            let under_way = self.under_way.contains_key(key);
            let moving = matches!(child.slot, Slot::Starting | Slot::Aborting | Slot::Stopping);
            assert_eq!(under_way, moving, "{key} is {:?}", child.slot);
        }
        if !self.advanced && !self.reconfigured {
            // Each restart of a child belongs to a decision of its own, and their number is limited.
            let most = self.rules.intensity.max_restarts;
            assert!(self.restarts.values().all(|restarts| *restarts <= most), "too many restarts");
        }
        if self.under_way.is_empty() && !self.gave_up {
            self.check_idle();
        }
    }

    /// Nothing waits when nothing is under way or to be done.
    fn check_idle(&self) {
        for (key, child) in self.children.table.children.iter() {
            let resting = match self.rules.child_set {
                ChildSet::Static => matches!(child.slot, Slot::Running(_) | Slot::Waiting { .. } | Slot::Down),
                ChildSet::Dynamic { .. } => matches!(child.slot, Slot::Running(_) | Slot::Waiting { .. }),
            };
            assert!(resting, "{key} is stuck as {:?}", child.slot);
            let down = child.spec.restart_rule() == Restart::Temporary && matches!(child.slot, Slot::Down);
            assert!(!down || self.known[key].changed, "a temporary child is down and not forgotten");
        }
        assert!(self.starters.is_empty(), "{:?} wait for a start for ever", self.starters);
        assert!(self.stoppers.is_empty(), "{:?} wait for a stop for ever", self.stoppers);
    }

    /// Answers every step, with success for every start, until nothing is left to do.
    fn finish_all(&mut self) {
        while let Some(key) = self.under_way.keys().next().copied() {
            self.answer(key, Came::Up, None, true);
            self.work();
        }
    }

    /// What the shell does when the supervisor stops.
    fn stop(&mut self) {
        for (key, under) in std::mem::take(&mut self.under_way) {
            if let Under::Start = under {
                let life = Life(key, self.known[&key].starts);
                self.known.get_mut(&key).expect("it was started").alive = Some(life);
                self.children.adopt(key, life);
            } else {
                self.known.get_mut(&key).expect("it was started").alive = None;
            }
        }
        let order = self.children.table.in_order();
        let left: Vec<Key> = self.children.halt().into_iter().map(|child| life_of(child).0).collect();
        let mut expected: Vec<Key> =
            self.known.iter().filter(|(_, known)| known.alive.is_some()).map(|(key, _)| *key).collect();
        expected.sort_unstable_by_key(|key| std::cmp::Reverse(order.iter().position(|at| at == key)));
        assert_eq!(left, expected, "all that are alive are stopped, in reverse start order");
        assert!(self.children.next_step(self.begun).is_none());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn nothing_overlaps_and_nothing_is_stuck(
        rules in rules(),
        commands in proptest::collection::vec(command(), 1..80),
        ends_at_rest in any::<bool>(),
    ) {
        let mut world = World::new(rules);
        for command in commands {
            world.obey(command);
        }
        if ends_at_rest {
            world.finish_all();
        }
        world.stop();
    }
}
