//! The tree that a script plays with: its members, their supervisors, and their rules.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foundation::supervision::{AutoShutdown, RestartIntensity, Shutdown};
use foundation::{Restart, Strategy};

use super::dice::Dice;

/// A member of the tree, by its place in [`Shape::members`].
pub(super) type Who = usize;

/// The supervisor of the namespace's application, at the top of every tree.
pub(super) const TOP: Who = 0;

const DEEPEST: usize = 2;

/// One child of the tree. Names are unique in the whole tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    pub(super) name: Arc<str>,
    pub(super) parent: Option<Who>,
    pub(super) restart: Restart,
    pub(super) shutdown: Shutdown,
    pub(super) role: Role,
    /// It is started only on request.
    pub(super) extra: bool,
    /// Its end for good may end its supervisor.
    pub(super) significant: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Role {
    /// `named`: it has its name in the namespace as well.
    Worker {
        named: bool,
        start_timeout: Duration,
    },
    Supervisor {
        strategy: Strategy,
        intensity: RestartIntensity,
        auto: AutoShutdown,
    },
    Dynamic {
        max_children: usize,
        intensity: RestartIntensity,
    },
}

/// All members; a parent comes before its children, and children come in start order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub(super) members: Vec<Member>,
}

impl Shape {
    pub(super) fn of(dice: &mut Dice) -> Self {
        let role = supervisor(dice);
        let (restart, shutdown) = (Restart::Permanent, Shutdown::Infinity);
        let (name, extra, significant) = ("application".into(), false, false);
        let top = Member { name, parent: None, restart, shutdown, role, extra, significant };
        let mut shape = Self { members: vec![top] };
        shape.populate(dice, TOP, 0);
        shape
    }

    fn populate(&mut self, dice: &mut Dice, parent: Who, depth: usize) {
        let first = 1 + dice.below(if depth == 0 { 4 } else { 3 });
        let extras = dice.below(3);
        for n in 0..first + extras {
            let extra = n >= first;
            match dice.below(100) {
                0..30 if depth < DEEPEST && !extra => {
                    let role = supervisor(dice);
                    let child = self.add(dice, "s", parent, role, extra);
                    self.populate(dice, child, depth + 1);
                }
                30..42 if depth < DEEPEST && !extra => {
                    let role = Role::Dynamic { max_children: 1 + dice.below(4), intensity: intensity(dice) };
                    let child = self.add(dice, "d", parent, role, extra);
                    for _ in 0..2 + dice.below(3) {
                        let role = worker(dice);
                        self.add(dice, "w", child, role, true);
                    }
                }
                _ => {
                    let role = worker(dice);
                    self.add(dice, "w", parent, role, extra);
                }
            }
        }
    }

    fn add(&mut self, dice: &mut Dice, letter: &str, parent: Who, role: Role, extra: bool) -> Who {
        let name = format!("{letter}{}", self.members.len()).into();
        let restart = dice.weighted(&[(5, Restart::Permanent), (3, Restart::Transient), (2, Restart::Temporary)]);
        let limits = [100, 2_000, 5_000].map(|ms| Shutdown::Timeout(Duration::from_millis(ms)));
        let shutdown = match role {
            Role::Worker { .. } => dice.weighted(&[
                (2, limits[0]),
                (3, limits[1]),
                (2, limits[2]),
                (2, Shutdown::Drain(Duration::from_secs(2))),
                (2, Shutdown::Infinity),
                (2, Shutdown::BrutalKill),
            ]),
            _ => dice.weighted(&[(6, Shutdown::Infinity), (2, limits[1]), (1, Shutdown::BrutalKill)]),
        };
        let may_be = restart != Restart::Permanent && self.auto(parent) != AutoShutdown::Never;
        let significant = may_be && dice.percent(50);
        self.members.push(Member { name, parent: Some(parent), restart, shutdown, role, extra, significant });
        self.members.len() - 1
    }

    pub(super) fn name(&self, who: Who) -> &str {
        &self.members[who].name
    }

    pub(super) fn is_worker(&self, who: Who) -> bool {
        matches!(self.members[who].role, Role::Worker { .. })
    }

    pub(super) fn is_named(&self, who: Who) -> bool {
        matches!(self.members[who].role, Role::Worker { named: true, .. })
    }

    pub(super) fn is_dynamic(&self, who: Who) -> bool {
        matches!(self.members[who].role, Role::Dynamic { .. })
    }

    /// The strategy and the intensity: dynamic supervisors are one-for-one.
    pub(super) fn rules(&self, supervisor: Who) -> Option<(Strategy, RestartIntensity)> {
        match self.members[supervisor].role {
            Role::Worker { .. } => None,
            Role::Supervisor { strategy, intensity, .. } => Some((strategy, intensity)),
            Role::Dynamic { intensity, .. } => Some((Strategy::OneForOne, intensity)),
        }
    }

    /// When this supervisor stops by itself because significant children have ended.
    pub(super) fn auto(&self, supervisor: Who) -> AutoShutdown {
        match self.members[supervisor].role {
            Role::Supervisor { auto, .. } => auto,
            _ => AutoShutdown::Never,
        }
    }

    pub(super) fn all(&self) -> std::ops::Range<Who> {
        0..self.members.len()
    }

    pub(super) fn children(&self, of: Who) -> impl Iterator<Item = Who> + '_ {
        self.all().filter(move |who| self.members[*who].parent == Some(of))
    }

    /// Itself and all below it.
    pub(super) fn is_within(&self, who: Who, subtree: Who) -> bool {
        who == subtree || self.members[who].parent.is_some_and(|parent| self.is_within(parent, subtree))
    }

    /// From the child of the top down to itself.
    pub(super) fn path(&self, who: Who) -> Vec<Who> {
        let mut path = match self.members[who].parent {
            Some(parent) => self.path(parent),
            None => return Vec::new(),
        };
        path.push(who);
        path
    }

    /// One member a line, indented by depth.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, takes_part: impl Fn(Who) -> bool) -> fmt::Result {
        let mut members: Vec<Who> = self.all().filter(|who| takes_part(*who)).collect();
        members.sort_by_key(|who| self.path(*who));
        for who in members {
            writeln!(f, "  {:indent$}{}", "", self.members[who], indent = self.path(who).len() * 2)?;
        }
        Ok(())
    }

    pub(super) fn find(&self, name: &str) -> Option<Who> {
        self.all().find(|who| self.name(*who) == name)
    }
}

fn strategy(dice: &mut Dice) -> Strategy {
    dice.weighted(&[(2, Strategy::OneForOne), (2, Strategy::OneForAll), (2, Strategy::RestForOne)])
}

fn intensity(dice: &mut Dice) -> RestartIntensity {
    let (max, within) = dice.pick(&[(0, 5), (1, 5), (2, 3), (3, 5), (5, 2), (10, 60), (40, 3_600), (40, 3_600)]);
    RestartIntensity::new(max, Duration::from_secs(within))
}

fn supervisor(dice: &mut Dice) -> Role {
    let (strategy, intensity) = (strategy(dice), intensity(dice));
    let modes = [(6, AutoShutdown::Never), (1, AutoShutdown::AnySignificant), (1, AutoShutdown::AllSignificant)];
    Role::Supervisor { strategy, intensity, auto: dice.weighted(&modes) }
}

fn worker(dice: &mut Dice) -> Role {
    let start_timeout = Duration::from_secs(dice.pick(&[1, 2, 30]));
    Role::Worker { named: dice.percent(50), start_timeout }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, restart, shutdown, role, extra, significant, .. } = self;
        write!(f, "{name}: {}{restart}, ", if *significant { "significant, " } else { "" })?;
        match shutdown {
            Shutdown::Timeout(limit) => write!(f, "{limit:?} to stop")?,
            Shutdown::Drain(limit) => write!(f, "{limit:?} to drain")?,
            Shutdown::Infinity => write!(f, "any time to stop")?,
            Shutdown::BrutalKill => write!(f, "killed to stop")?,
        }
        match role {
            Role::Worker { named, start_timeout } => {
                write!(f, ", {start_timeout:?} to start{}", if *named { ", named" } else { "" })?;
            }
            Role::Supervisor { strategy, intensity, auto } => {
                write!(f, ", {strategy}, {intensity}, auto-shutdown: {auto}")?;
            }
            Role::Dynamic { max_children, intensity } => {
                write!(f, ", dynamic with at most {max_children}, {intensity}")?;
            }
        }
        f.write_str(if *extra { ", only when asked for" } else { "" })
    }
}
