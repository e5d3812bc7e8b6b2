//! The observations of a run: one ordered log.

use std::fmt;

use foundation::supervision::{ExitReason, Stopped};

use super::script::{Ending, Op, Verb};
use super::shape::{Shape, Who};

/// An actor, numbered in the order of the first observations.
pub(super) type Actor = u32;

/// One life of a worker: from the construction of its handler until its last destructor has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Life {
    pub(super) who: Who,
    pub(super) number: u32,
    /// Not its supervisor's child: a foreign actor under the same name.
    pub(super) rival: bool,
}

/// A moment of a life, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Moment {
    Built,
    Starting,
    Up,
    Stopping,
    Down,
    StateDropped,
    Dropped,
}

/// A supervisor's report of a child.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reported {
    Started(Actor),
    Ignored,
    StartFailed(String),
    NameTaken,
    Exited(Actor, ExitReason),
    Stopped(Actor, Stopped),
    GaveUp,
    AutoShutdown,
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Runs(Actor),
    Done,
    Ignored,
    StartFailed(String),
    Refused(String),
}

/// A child's state, as its supervisor reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Running(Actor),
    Stopped,
    /// It waits until its name is free.
    Waiting,
    Moving,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fact {
    /// The script's step begins.
    Step(usize),
    /// An operation reached a life, or had no effect because there was none.
    Struck(Op, Option<Life>),
    /// The start function of a child supervisor, or of an unnamed worker, was called.
    Called(Who),
    /// A moment of a life, with the result of a lookup of its name at that moment.
    Came(Life, Moment, Option<Actor>),
    /// The actor of a life.
    Is(Life, Actor),
    /// The result of a lookup of a worker's name while nothing was moving.
    Found(Who, Option<Actor>),
    /// A supervisor's report; `None` is the supervisor of the namespace.
    Reported(Option<Who>, Who, Reported),
    Asked(usize, Verb, Who),
    Answered(usize, Answer),
    /// All faults are over, and much time has passed.
    AtRest,
    /// A supervisor's list of its children at rest.
    Listed(Who, Vec<(Who, Doing)>),
    /// The end begins.
    Ending,
    /// The shutdown has returned.
    Over,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// Milliseconds since the beginning.
    pub(super) at: u64,
    pub(super) fact: Fact,
}

/// One run of a script.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) log: Vec<Entry>,
    pub(super) ending: Ending,
    /// The log has more entries than any run should need.
    pub(super) cut_off: bool,
    /// Whether the shutdown, if there was one, came to an end.
    pub(super) ended: bool,
    pub(super) tasks_left: usize,
    pub(super) names_left: usize,
    /// References to the world that outlive the runtime: something still holds an actor, a start function or a report.
    pub(super) references_left: usize,
}

impl Record {
    /// Each member's own history. Two runs of one script may differ in the order of several members within one
    /// millisecond: ractor kills the children of a killed actor in the order of a hash map.
    pub(super) fn histories(&self, shape: &Shape) -> Vec<Vec<String>> {
        let mut histories = vec![Vec::new(); shape.members.len()];
        for Entry { at, fact } in &self.log {
            let (who, what) = match fact {
                Fact::Came(life, moment, found) => (life.who, format!("{life:?} {moment:?} {}", found.is_some())),
                Fact::Called(who) => (*who, "called".to_owned()),
                Fact::Found(who, found) => (*who, format!("found {}", found.is_some())),
                Fact::Reported(by, who, reported) => (*who, format!("{by:?} reports {}", reported.without_actor())),
                _ => continue,
            };
            histories[who].push(format!("{at} {what}"));
        }
        histories
    }

    /// The log as text; the beginning of a very long one.
    pub(super) fn describe(&self, shape: &Shape) -> String {
        let mut text = String::new();
        for entry in self.log.iter().take(2_000) {
            text.push_str(&format!("  {:>7} ms  {}\n", entry.at, entry.fact.describe(shape)));
        }
        text
    }
}

impl Reported {
    /// Whether the supervisor stops by its own decision after it.
    pub(super) fn is_the_end(&self) -> bool {
        matches!(self, Self::GaveUp | Self::AutoShutdown)
    }

    fn without_actor(&self) -> String {
        match self {
            Self::Started(_) => "started".to_owned(),
            Self::Exited(_, reason) => format!("exited: {reason}"),
            Self::Stopped(_, how) => format!("stopped: {how:?}"),
            // The texts of some errors name an actor.
            Self::StartFailed(_) => "start failed".to_owned(),
            other => format!("{other:?}"),
        }
    }
}

impl Fact {
    fn describe(&self, shape: &Shape) -> String {
        match self {
            Self::Step(number) => format!("---- step {number}"),
            Self::Struck(op, Some(life)) => format!("{op:?} strikes {}", life.describe(shape)),
            Self::Struck(op, None) => format!("{op:?}"),
            Self::Called(who) => format!("{} is called", shape.name(*who)),
            Self::Came(life, moment, found) => format!("{} {moment:?}, its name gives {found:?}", life.describe(shape)),
            Self::Is(life, actor) => format!("{} is actor {actor}", life.describe(shape)),
            Self::Found(who, found) => format!("a lookup of {} gives {found:?}", shape.name(*who)),
            Self::Reported(by, who, reported) => {
                let by = by.map_or("the namespace", |by| shape.name(by));
                format!("{by} reports of {}: {reported:?}", shape.name(*who))
            }
            Self::Asked(number, verb, who) => format!("request {number}: {verb:?} {}", shape.name(*who)),
            Self::Answered(number, answer) => format!("answer {number}: {answer:?}"),
            other => format!("{other:?}"),
        }
    }
}

impl Life {
    pub(super) fn describe(self, shape: &Shape) -> String {
        format!("{}{}#{}", if self.rival { "rival " } else { "" }, shape.name(self.who), self.number)
    }
}

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_actor())
    }
}
