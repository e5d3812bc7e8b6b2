//! OTP's rules, one message after the other, as in `supervisor.erl`, and delays, modelled as a message to itself that
//! comes later.

use std::collections::VecDeque;

use super::{Came, Configuration, IDS, Life, Nature, WITHIN};
use crate::exit::ExitReason;
use crate::supervisor::backoff::Backoff;
use crate::supervisor::child_rules::{AutoShutdown, Restart};
use crate::supervisor::children::rules::{ChildSet, Rules};
use crate::supervisor::key::Key;
use crate::supervisor::restart::Strategy;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pid {
    Up(Life),
    /// It has ended, and the supervisor has not read it yet.
    Dead(Life),
    Undefined,
    Restarting,
    /// Until this time, in a delay of this number.
    Waiting {
        until: u64,
        number: u64,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) id: &'static str,
    pub(super) nature: Nature,
    pub(super) pid: Pid,
    pub(super) failures: Row,
}

/// Consecutive failures, the delay after the last of them, and since when it runs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Row {
    count: u32,
    delay: u64,
    up: u64,
}

/// How a supervisor ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    GaveUp,
    AutoShutdown,
}

/// What a supervisor does to its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Start(Key),
    Stop(Key),
}

impl Act {
    pub(super) fn key(self) -> Key {
        let (Self::Start(key) | Self::Stop(key)) = self;
        key
    }
}

enum Mail {
    Exit(Life, ExitReason),
    TryAgain(Key),
}

/// The planned outcomes of starts: the n-th start of a child is the n-th entry of its list; all others succeed.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) rows: Vec<Vec<Came>>,
    made: Vec<u64>,
}

impl Script {
    pub(super) fn new(rows: Vec<Vec<Came>>) -> Self {
        Self { rows, made: vec![0; 1000] }
    }

    pub(super) fn start(&mut self, key: Key) -> (Life, Came) {
        let key_at = key as usize % self.made.len();
        self.made[key_at] += 1;
        let number = self.made[key_at];
        let row = self.rows.get(key as usize % self.rows.len().max(1));
        let came = row.and_then(|row| row.get(number as usize - 1)).copied().unwrap_or(Came::Up);
        (Life(key, number), came)
    }
}

pub(super) struct Model {
    pub(super) rules: Rules,
    pub(super) list: Vec<Entry>,
    pub(super) acts: Vec<Act>,
    pub(super) ended: Option<Ended>,
    pub(super) now: u64,
    restarts: Vec<u64>,
    mailbox: VecDeque<Mail>,
    script: Script,
    next_key: Key,
    last_delay: u64,
}

impl Model {
    pub(super) fn new(rules: Rules, script: Script) -> Self {
        Self {
            rules,
            list: Vec::new(),
            acts: Vec::new(),
            ended: None,
            now: 0,
            restarts: Vec::new(),
            mailbox: VecDeque::new(),
            script,
            next_key: 1,
            last_delay: 0,
        }
    }

    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.list.iter().position(|entry| entry.id == id)
    }

    fn at(&self, key: Key) -> Option<usize> {
        self.list.iter().position(|entry| entry.key == key)
    }

    // ---- requests ----

    /// Whether it was accepted; it may not have started.
    pub(super) fn add(&mut self, id: &'static str, nature: Nature) -> bool {
        let refused = match self.rules.child_set {
            _ if !self.accepts(nature, self.rules) => true,
            ChildSet::Static => self.find(id).is_some(),
            ChildSet::Dynamic { max_children } => self.list.len() >= max_children,
        };
        if refused {
            return false;
        }
        let key = self.next_key;
        self.next_key += 1;
        self.list.push(Entry { key, id, nature, pid: Pid::Undefined, failures: Row::default() });
        let last = self.list.len() - 1;
        match self.start(last) {
            Came::Up => {}
            Came::Failed | Came::NameTaken => {
                self.list.pop();
            }
            Came::Ignored => self.down(key),
        }
        true
    }

    fn accepts(&self, nature: Nature, rules: Rules) -> bool {
        let never = rules.auto_shutdown == AutoShutdown::Never;
        !nature.significant || (!never && nature.restart != Restart::Permanent)
    }

    /// `code_change`: the new list, each child with its current pid, followed by the children that are on the old list
    /// only.
    pub(super) fn reconfigure(&mut self, (rules, named): &Configuration) -> bool {
        let same_kind = (rules.child_set == ChildSet::Static) == (self.rules.child_set == ChildSet::Static);
        if !same_kind || !named.iter().all(|(_, nature)| self.accepts(*nature, *rules)) {
            return false;
        }
        self.rules = *rules;
        if rules.child_set != ChildSet::Static {
            return true;
        }
        let mut list = Vec::new();
        for (id, nature) in named {
            match self.find(IDS[*id]) {
                Some(at) => list.push(Entry { nature: *nature, ..self.list.remove(at) }),
                None => {
                    list.push(Entry {
                        key: self.next_key,
                        id: IDS[*id],
                        nature: *nature,
                        pid: Pid::Undefined,
                        failures: Row::default(),
                    });
                    self.next_key += 1;
                }
            }
        }
        list.append(&mut self.list);
        self.list = list;
        true
    }

    pub(super) fn terminate(&mut self, at: usize) {
        let key = self.list[at].key;
        self.stop(at);
        self.down(key);
    }

    pub(super) fn manual_start(&mut self, at: usize) -> bool {
        if self.list[at].pid != Pid::Undefined {
            return false;
        }
        self.list[at].failures = Row::default();
        self.start(at);
        true
    }

    pub(super) fn delete(&mut self, at: usize) -> bool {
        let down = self.list[at].pid == Pid::Undefined;
        if down {
            self.list.remove(at);
        }
        down
    }

    /// Lets these children end, one after the other, before the supervisor reads of it.
    pub(super) fn exits(&mut self, ends: &[(Life, ExitReason)]) {
        for (life, reason) in ends {
            let entry = self.list.iter_mut().find(|entry| entry.pid == Pid::Up(*life)).expect("it is up");
            entry.pid = Pid::Dead(*life);
            let Row { delay, up, .. } = entry.failures;
            if self.now - up >= delay.max(WITHIN.as_millis() as u64) {
                entry.failures = Row::default();
            }
            self.mailbox.push_back(Mail::Exit(*life, reason.clone()));
        }
        self.read_mail();
    }

    /// Lets time pass; the delays that have elapsed end, one after the other.
    pub(super) fn advance(&mut self, ms: u64) {
        self.now += ms;
        let due = |entry: &Entry| match entry.pid {
            Pid::Waiting { until, number } if until <= self.now => Some((until, number, entry.key)),
            _ => None,
        };
        let mut over: Vec<_> = self.list.iter().filter_map(due).collect();
        over.sort_unstable();
        for (_, number, key) in over {
            let waits = |entry: &Entry| matches!(entry.pid, Pid::Waiting { number: current, .. } if current == number);
            if let Some(at) = self.at(key).filter(|at| waits(&self.list[*at])) {
                self.go_on(at, 0);
                self.read_mail();
            }
        }
    }

    fn read_mail(&mut self) {
        while let Some(mail) = self.mailbox.pop_front() {
            if self.ended.is_some() {
                return;
            }
            match mail {
                Mail::Exit(life, reason) => self.handle_exit(life, &reason),
                Mail::TryAgain(key) => {
                    if let Some(at) = self.at(key).filter(|at| self.list[*at].pid == Pid::Restarting) {
                        self.restart(at);
                    }
                }
            }
        }
    }

    // ---- what OTP does ----

    fn handle_exit(&mut self, life: Life, reason: &ExitReason) {
        let Some(at) = self.list.iter().position(|entry| entry.pid == Pid::Dead(life)) else { return };
        let Nature { restart, significant } = self.list[at].nature;
        let wanted = match (restart, reason) {
            (Restart::Permanent, _) => true,
            (Restart::Transient, ExitReason::Killed | ExitReason::Failed(_)) => true,
            (Restart::Transient, ExitReason::Normal | ExitReason::Shutdown(_)) | (Restart::Temporary, _) => false,
        };
        if wanted {
            return self.restart(at);
        }
        self.down(life.0);
        let active = |entry: &Entry| entry.nature.significant && entry.pid != Pid::Undefined;
        let ends = match self.rules.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => significant,
            AutoShutdown::AllSignificant => significant && !self.list.iter().any(active),
        };
        if ends {
            self.ended = Some(Ended::AutoShutdown);
        }
    }

    fn restart(&mut self, at: usize) {
        self.restarts.push(self.now);
        self.restarts.retain(|then| self.now - then <= WITHIN.as_millis() as u64);
        if self.restarts.len() > self.rules.intensity.max_restarts as usize {
            self.ended = Some(Ended::GaveUp);
            return;
        }
        let row = &mut self.list[at].failures;
        row.delay = match self.rules.backoff {
            Backoff::None => 0,
            Backoff::Constant(delay) => delay.as_millis() as u64,
            exponential => (exponential.delay(0, 0.0).as_millis() as u64 * (1 << row.count.min(20))).min(10_000),
        };
        row.count += 1;
        let delay = row.delay;
        self.go_on(at, delay);
    }

    /// Stops all affected children; then starts them, unless there is something to wait for.
    fn go_on(&mut self, at: usize, delay: u64) {
        let cause = self.list[at].key;
        let concerned = match self.rules.strategy {
            Strategy::OneForOne => &self.list[at..=at],
            Strategy::OneForAll => &self.list[..],
            Strategy::RestForOne => &self.list[at..],
        };
        let keys: Vec<Key> = concerned.iter().map(|entry| entry.key).collect();
        let mut until = self.now + delay;
        for key in &keys {
            let Some(other) = self.at(*key).filter(|other| *other != at) else { continue };
            if let Pid::Waiting { until: theirs, .. } = self.list[other].pid {
                until = until.max(theirs);
            }
        }
        for key in keys.iter().rev() {
            if let Some(at) = self.at(*key) {
                self.stop(at);
                if self.list[at].nature.restart == Restart::Temporary {
                    self.list.remove(at);
                }
            }
        }
        // No other child waits for one that has become temporary.
        if let Some(at) = self.at(cause).filter(|_| until > self.now) {
            self.last_delay += 1;
            self.list[at].pid = Pid::Waiting { until, number: self.last_delay };
            return;
        }
        for key in keys {
            let Some(at) = self.at(key) else { continue };
            match self.start(at) {
                Came::Up => {}
                Came::Ignored => self.down(key),
                Came::Failed | Came::NameTaken => {
                    self.list[at].pid = Pid::Restarting;
                    self.mailbox.push_back(Mail::TryAgain(key));
                    return;
                }
            }
        }
    }

    fn start(&mut self, at: usize) -> Came {
        let key = self.list[at].key;
        self.acts.push(Act::Start(key));
        let (life, came) = self.script.start(key);
        if came == Came::Up {
            self.list[at].pid = Pid::Up(life);
            self.list[at].failures.up = self.now;
        }
        came
    }

    fn stop(&mut self, at: usize) {
        if let Pid::Up(life) = self.list[at].pid {
            self.acts.push(Act::Stop(life.0));
        }
        self.list[at].pid = Pid::Undefined;
    }

    /// The child does not run and has no start pending.
    fn down(&mut self, key: Key) {
        let Some(at) = self.at(key) else { return };
        self.list[at].pid = Pid::Undefined;
        if self.rules.child_set != ChildSet::Static || self.list[at].nature.restart == Restart::Temporary {
            self.list.remove(at);
        }
    }
}
