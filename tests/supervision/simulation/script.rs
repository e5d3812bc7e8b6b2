//! The operations on a tree: a list of steps, made from a seed.

use std::collections::HashSet;
use std::fmt;

use super::dice::Dice;
use super::shape::{Role, Shape, TOP, Who};

/// A tree, the operations on it, and its end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Script {
    pub(super) seed: u64,
    pub(super) shape: Shape,
    pub(super) steps: Vec<Step>,
    /// Whether there is a long pause without operations before the end.
    pub(super) rests: bool,
    pub(super) ending: Ending,
}

/// Several things at once, then a pause.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) ops: Vec<Op>,
    pub(super) pause: Pause,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Op {
    /// A worker ends.
    End(Who, End),
    /// A worker hangs in a message: for ever, or for long if its supervisor would wait for ever.
    Hang(Who),
    /// The behaviour of the next start.
    Open(Who, Opening),
    /// The behaviour of the next `post_stop`.
    Close(Who, Closing),
    KillSupervisor(Who),
    StopSupervisor(Who),
    Ask(Verb, Who),
    /// A foreign actor starts under this worker's name.
    Rival(Who),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum End {
    Panic,
    Err,
    Kill,
    Normal,
    Reason,
    Outside,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Opening {
    Fail(u32),
    Panic,
    Hang,
    Slow(u64),
    Ignore,
    /// It runs, and its `post_start` fails.
    FailLate,
    /// The start function of a supervisor fails after it has spawned it, with all its children.
    FailAfter,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Closing {
    Hang,
    Slow(u64),
    Panic,
    Err,
}

/// A request to the supervisor of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Start,
    Terminate,
    Restart,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pause {
    /// This many turns of the scheduler: pending work is half done.
    Turns(usize),
    /// This much time, with everything that happens in it.
    Millis(u64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ending {
    Shutdown,
    Cleanup,
    KillTop,
    DropRuntime,
}

impl Script {
    pub(super) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let shape = Shape::of(&mut dice);
        let mut author = Author { dice, used: HashSet::new(), shape };
        let steps = (0..4 + author.dice.below(16)).map(|_| author.step()).collect();
        let Author { mut dice, shape, .. } = author;
        let ending = dice.weighted(&[
            (4, Ending::Shutdown),
            (3, Ending::Cleanup),
            (1, Ending::KillTop),
            (2, Ending::DropRuntime),
        ]);
        Self { seed, shape, steps, rests: dice.percent(60), ending }
    }
}

impl Script {
    /// Whether it is in the tree from the beginning, or an operation affects it.
    fn takes_part(&self, who: Who) -> bool {
        let members = &self.shape.members;
        let first = |who: &Who| !members[*who].extra;
        let named = |op: &Op| self.shape.is_within(op.target(), who);
        first(&who) && self.shape.path(who).iter().all(first) || self.steps.iter().flat_map(|step| &step.ops).any(named)
    }
}

struct Author {
    dice: Dice,
    shape: Shape,
    /// A child of a dynamic supervisor is requested once at most: the ids there are only labels.
    used: HashSet<Who>,
}

impl Author {
    fn step(&mut self) -> Step {
        let focus = self.dice.below(self.shape.members.len());
        let count = self.dice.weighted(&[(5, 1), (3, 2), (3, 3), (1, 5)]);
        let ops = (0..count).map(|_| self.op(focus)).collect();
        Step { ops, pause: self.pause() }
    }

    fn pause(&mut self) -> Pause {
        let within = self.shape.rules(TOP).map_or(5_000, |(_, intensity)| intensity.within.as_millis() as u64);
        let millis = [1, 1, 1, 30, 99, 100, 500, 1_000, 2_001, 5_000, 5_001, within, within + 1];
        match self.dice.percent(40) {
            true => Pause::Turns(self.dice.below(8)),
            false => Pause::Millis(self.dice.pick(&millis)),
        }
    }

    /// Simultaneous operations often affect one child, or its neighbours.
    fn op(&mut self, focus: Who) -> Op {
        let near = self.shape.members[focus].parent.unwrap_or(TOP);
        let around: Vec<Who> = self.shape.children(near).collect();
        let who = match self.dice.below(10) {
            0..5 => focus,
            5..8 => self.dice.pick(&around),
            _ => self.dice.below(self.shape.members.len()),
        };
        match self.shape.members[who].role {
            Role::Worker { named, .. } => self.on_worker(who, named),
            _ => self.on_supervisor(who),
        }
    }

    fn on_worker(&mut self, who: Who, named: bool) -> Op {
        match self.dice.below(100) {
            0..38 => Op::End(who, self.end()),
            38..43 => Op::Hang(who),
            43..57 => Op::Open(who, self.opening()),
            57..68 => Op::Close(who, self.closing()),
            68..73 if named => Op::Rival(who),
            _ => self.request(who),
        }
    }

    fn on_supervisor(&mut self, who: Who) -> Op {
        match self.dice.below(100) {
            0..25 => Op::KillSupervisor(who),
            25..40 => Op::StopSupervisor(who),
            40..60 if who != TOP => Op::Open(who, self.opening()),
            _ if who != TOP => self.request(who),
            _ => {
                let child: Vec<Who> = self.shape.children(who).collect();
                let child = self.dice.pick(&child);
                self.request(child)
            }
        }
    }

    fn request(&mut self, who: Who) -> Op {
        let parent = self.shape.members[who].parent.unwrap_or(TOP);
        if self.shape.is_dynamic(parent) {
            let verb = if self.used.insert(who) { Verb::Start } else { Verb::Terminate };
            return Op::Ask(verb, who);
        }
        let verb = match self.shape.members[who].extra {
            true => {
                self.dice.weighted(&[(6, Verb::Start), (3, Verb::Terminate), (2, Verb::Restart), (2, Verb::Delete)])
            }
            false => {
                self.dice.weighted(&[(1, Verb::Start), (5, Verb::Terminate), (4, Verb::Restart), (1, Verb::Delete)])
            }
        };
        Op::Ask(verb, who)
    }

    fn end(&mut self) -> End {
        self.dice.pick(&[End::Panic, End::Err, End::Kill, End::Normal, End::Reason, End::Outside])
    }

    fn opening(&mut self) -> Opening {
        let (few, slow) = (1 + self.dice.below(4) as u32, self.dice.pick(&[1, 50, 700, 1_500, 4_000]));
        self.dice.weighted(&[
            (4, Opening::Fail(few)),
            (1, Opening::Fail(20)),
            (2, Opening::Panic),
            (2, Opening::Hang),
            (5, Opening::Slow(slow)),
            (2, Opening::Ignore),
            (2, Opening::FailLate),
            (1, Opening::FailAfter),
        ])
    }

    fn closing(&mut self) -> Closing {
        let slow = self.dice.pick(&[1, 50, 150, 1_000, 2_500, 6_000]);
        self.dice.weighted(&[(2, Closing::Hang), (5, Closing::Slow(slow)), (1, Closing::Panic), (1, Closing::Err)])
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the tree:")?;
        self.shape.write(f, |who| self.takes_part(who))?;
        writeln!(f, "the script:")?;
        for (number, step) in self.steps.iter().enumerate() {
            let ops: Vec<_> = step.ops.iter().map(|op| op.describe(&self.shape)).collect();
            writeln!(f, "  {number:>2}. {}; {}", ops.join(", "), step.pause)?;
        }
        if self.rests {
            writeln!(f, "  then it is left alone for long,")?;
        }
        writeln!(f, "  and in the end {}", self.ending)
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turns(turns) => write!(f, "then {turns} turns"),
            Self::Millis(millis) => write!(f, "then {millis} ms"),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shutdown => "everything is shut down",
            Self::Cleanup => "the namespace is cleaned up",
            Self::KillTop => "the application's supervisor is killed, and everything is shut down",
            Self::DropRuntime => "the runtime is dropped",
        })
    }
}

impl Op {
    fn target(self) -> Who {
        match self {
            Self::KillSupervisor(who) | Self::StopSupervisor(who) | Self::Hang(who) | Self::Rival(who) => who,
            Self::End(who, _) | Self::Open(who, _) | Self::Close(who, _) | Self::Ask(_, who) => who,
        }
    }

    fn describe(self, shape: &Shape) -> String {
        let name = |who| shape.name(who);
        match self {
            Self::End(who, end) => format!("{} {}", name(who), end.describe()),
            Self::Hang(who) => format!("{} hangs in a message", name(who)),
            Self::Open(who, opening) => format!("{} {}", name(who), opening.describe()),
            Self::Close(who, closing) => format!("{} {}", name(who), closing.describe()),
            Self::KillSupervisor(who) => format!("{} is killed", name(who)),
            Self::StopSupervisor(who) => format!("{} is stopped from outside", name(who)),
            Self::Ask(Verb::Start, who) => format!("start_child {} is asked for", name(who)),
            Self::Ask(Verb::Terminate, who) => format!("terminate_child {} is asked for", name(who)),
            Self::Ask(Verb::Restart, who) => format!("restart_child {} is asked for", name(who)),
            Self::Ask(Verb::Delete, who) => format!("delete_child {} is asked for", name(who)),
            Self::Rival(who) => format!("a foreign actor is spawned as {}", name(who)),
        }
    }
}

impl End {
    fn describe(self) -> &'static str {
        match self {
            Self::Panic => "panics",
            Self::Err => "returns an error",
            Self::Kill => "is killed",
            Self::Normal => "stops",
            Self::Reason => "stops with a reason",
            Self::Outside => "is stopped from outside",
        }
    }
}

impl Opening {
    fn describe(self) -> String {
        match self {
            Self::Fail(1) => "will fail at its next start".to_owned(),
            Self::Fail(times) => format!("will fail at its next {times} starts"),
            Self::Panic => "will panic in its next start".to_owned(),
            Self::Hang => "will hang in its next start".to_owned(),
            Self::Slow(millis) => format!("will take {millis} ms for its next start"),
            Self::Ignore => "will not be wanted at its next start".to_owned(),
            Self::FailLate => "will fail right after its next start".to_owned(),
            Self::FailAfter => "will be spawned at its next start, which fails all the same".to_owned(),
        }
    }
}

impl Closing {
    fn describe(self) -> String {
        match self {
            Self::Hang => "will hang in its next post_stop".to_owned(),
            Self::Slow(millis) => format!("will take {millis} ms for its next post_stop"),
            Self::Panic => "will panic in its next post_stop".to_owned(),
            Self::Err => "will fail in its next post_stop".to_owned(),
        }
    }
}
