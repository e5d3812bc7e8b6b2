//! OTP's rules, one message after the other, as `supervisor.erl` has them.

use std::collections::VecDeque;

use super::super::plan::Key;
use super::super::restart::{Restart, Strategy};
use super::super::rules::{Roster, Rules};
use super::{Came, Life, WITHIN};
use crate::exit::ExitReason;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pid {
    Up(Life),
    /// It has ended, and the supervisor has not read it yet.
    Dead(Life),
    Undefined,
    Restarting,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) id: &'static str,
    pub(super) restart: Restart,
    pub(super) pid: Pid,
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

/// Starts as they are going to turn out: the n-th start of a child is the n-th entry of its row; all others succeed.
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
    rules: Rules,
    pub(super) list: Vec<Entry>,
    pub(super) acts: Vec<Act>,
    pub(super) gave_up: bool,
    pub(super) now: u64,
    restarts: Vec<u64>,
    mailbox: VecDeque<Mail>,
    script: Script,
    next_key: Key,
}

impl Model {
    pub(super) fn new(rules: Rules, script: Script) -> Self {
        Self {
            rules,
            list: Vec::new(),
            acts: Vec::new(),
            gave_up: false,
            now: 0,
            restarts: Vec::new(),
            mailbox: VecDeque::new(),
            script,
            next_key: 1,
        }
    }

    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.list.iter().position(|entry| entry.id == id)
    }

    fn at(&self, key: Key) -> Option<usize> {
        self.list.iter().position(|entry| entry.key == key)
    }

    // ---- what may be asked for ----

    /// Whether it was taken on; it may not have started.
    pub(super) fn add(&mut self, id: &'static str, restart: Restart) -> bool {
        let refused = match self.rules.roster {
            Roster::Fixed => self.find(id).is_some(),
            Roster::OnDemand { max_children } => self.list.len() >= max_children,
        };
        if refused {
            return false;
        }
        let key = self.next_key;
        self.next_key += 1;
        self.list.push(Entry { key, id, restart, pid: Pid::Undefined });
        let last = self.list.len() - 1;
        match self.start(last) {
            Came::Up => {}
            Came::Failed => {
                self.list.pop();
            }
            Came::Ignored => self.down(key),
        }
        true
    }

    pub(super) fn terminate(&mut self, at: usize) {
        let key = self.list[at].key;
        self.stop(at);
        self.down(key);
    }

    pub(super) fn revive(&mut self, at: usize) -> bool {
        if self.list[at].pid != Pid::Undefined {
            return false;
        }
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

    /// These children end, one after the other, before the supervisor reads of it.
    pub(super) fn exits(&mut self, ends: &[(Life, ExitReason)]) {
        for (life, reason) in ends {
            let entry = self.list.iter_mut().find(|entry| entry.pid == Pid::Up(*life)).expect("it is up");
            entry.pid = Pid::Dead(*life);
            self.mailbox.push_back(Mail::Exit(*life, reason.clone()));
        }
        while let Some(mail) = self.mailbox.pop_front() {
            if self.gave_up {
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
        let wanted = match (self.list[at].restart, reason) {
            (Restart::Permanent, _) => true,
            (Restart::Transient, ExitReason::Killed | ExitReason::Failed(_)) => true,
            (Restart::Transient, ExitReason::Normal | ExitReason::Shutdown(_)) | (Restart::Temporary, _) => false,
        };
        if wanted { self.restart(at) } else { self.down(life.0) }
    }

    fn restart(&mut self, at: usize) {
        self.restarts.push(self.now);
        self.restarts.retain(|then| self.now - then <= WITHIN.as_millis() as u64);
        if self.restarts.len() > self.rules.intensity.max_restarts as usize {
            self.gave_up = true;
            return;
        }
        let cause = self.list[at].key;
        let concerned = |key: Key| match self.rules.strategy {
            Strategy::OneForOne => key == cause,
            Strategy::OneForAll => true,
            Strategy::RestForOne => key >= cause,
        };
        let keys: Vec<Key> = self.list.iter().map(|entry| entry.key).filter(|key| concerned(*key)).collect();
        for key in keys.iter().rev() {
            if let Some(at) = self.at(*key) {
                self.stop(at);
                if self.list[at].restart == Restart::Temporary {
                    self.list.remove(at);
                }
            }
        }
        for key in keys {
            let Some(at) = self.at(key) else { continue };
            match self.start(at) {
                Came::Up => {}
                Came::Ignored => self.down(key),
                Came::Failed => {
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
        }
        came
    }

    fn stop(&mut self, at: usize) {
        if let Pid::Up(life) = self.list[at].pid {
            self.acts.push(Act::Stop(life.0));
        }
        self.list[at].pid = Pid::Undefined;
    }

    /// It does not run and nobody starts it.
    fn down(&mut self, key: Key) {
        let Some(at) = self.at(key) else { return };
        self.list[at].pid = Pid::Undefined;
        if self.rules.roster != Roster::Fixed || self.list[at].restart == Restart::Temporary {
            self.list.remove(at);
        }
    }
}
