//! A pool, what is done to it, and its end: made from a seed, and written in words.

use std::fmt;
use std::time::Duration;

use foundation_pool::{Routing, WhenFull};

/// A pool, what is done to it, and its end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Script {
    pub(super) seed: u64,
    pub(super) shape: Shape,
    pub(super) steps: Vec<Step>,
    /// Whether everything is left to come to rest before the end.
    pub(super) rests: bool,
}

/// The specification of the pool.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub(super) workers: (usize, usize),
    pub(super) capacity: usize,
    pub(super) when_full: WhenFull,
    pub(super) weights: Vec<u32>,
    pub(super) aging: Option<Duration>,
    pub(super) rate: Option<RateShape>,
    pub(super) routing: Routing,
    /// `None`: by time.
    pub(super) batch: Option<usize>,
    pub(super) attempts: u32,
    pub(super) backoff: Duration,
    pub(super) deadline: Option<Duration>,
    pub(super) limit: Option<Duration>,
    pub(super) kill_after: Option<Duration>,
    pub(super) down_after: Duration,
    /// Restarts of workers within 5 s; `None`: any number.
    pub(super) restarts: Option<u32>,
    pub(super) drain_within: Duration,
    pub(super) worker_shutdown: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RateShape {
    pub(super) per_second: u32,
    pub(super) burst: u32,
    pub(super) refuses: bool,
}

/// One thing that is done, and what passes after it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) op: Op,
    pub(super) pause: Pause,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Op {
    Put(Put),
    Kill(Victim),
    /// The next workers that are made begin like this.
    Starts(usize, Start),
    Resize(usize, usize),
    Pause,
    Resume,
    Route(Routing),
    /// A drain; dropped after the second time, if there is one.
    Drain(Duration, Option<Duration>),
    /// The supervisor above shuts down, and another one starts the same pool.
    Restart,
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Victim {
    /// One of the workers that live.
    Worker(usize),
    Scaler,
    Keeper,
    Workers,
    Pool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Start {
    Fail,
    Panic,
    Last(Duration),
}

/// What passes after an operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pause {
    /// This many turns of the scheduler.
    Turns(usize),
    Time(Duration),
}

/// A job, and how it is put in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Put {
    pub(super) job: usize,
    pub(super) way: Way,
    pub(super) key: Option<u8>,
    pub(super) label: Option<u8>,
    pub(super) unique: Option<u8>,
    pub(super) priority: u8,
    pub(super) deadline: Option<Duration>,
    pub(super) delay: Option<Duration>,
    /// What its worker does at each attempt; the last one again and again.
    pub(super) acts: Vec<Act>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Way {
    Cast,
    /// The sender goes away after this time.
    Send(Option<Duration>),
    /// A limit, and when the caller goes away.
    Call(Duration, Option<Duration>),
    /// Whether the handle is dropped at once.
    Submit(bool),
}

/// What a worker does in an attempt: after this time, if there is one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Act {
    Succeed(Duration),
    Fail(Duration),
    FailFor(Duration),
    FailForGood,
    Break,
    Panic(Duration),
    /// Until everything is let go at the end.
    Hang,
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.shape)?;
        for Step { op, pause } in &self.steps {
            match op {
                Op::Put(put) => write!(f, "  {put}")?,
                other => write!(f, "  {other:?}")?,
            }
            match pause {
                Pause::Turns(turns) => writeln!(f, "; {turns} turns")?,
                Pause::Time(time) => writeln!(f, "; {time:?}")?,
            }
        }
        writeln!(f, "  {}shutdown", if self.rests { "come to rest; " } else { "" })
    }
}

impl fmt::Display for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {} by {:?}, {:?}", self.job, self.way, self.acts)?;
        let marks = [("key", self.key), ("label", self.label), ("unique", self.unique)];
        for (name, mark) in marks {
            mark.map_or(Ok(()), |mark| write!(f, ", {name} {mark}"))?;
        }
        for (name, time) in [("deadline", self.deadline), ("delay", self.delay)] {
            time.map_or(Ok(()), |time| write!(f, ", {name} {time:?}"))?;
        }
        if self.priority > 0 { write!(f, ", priority {}", self.priority) } else { Ok(()) }
    }
}
