//! The restarts of a supervisor: which children, how many, and why.
//!
//! The causes of restarts and give-ups form a chain from a child's failure up to the top of the tree.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::child_id::ChildId;
use crate::exit::ExitReason;

/// Which children are restarted with a failed child. OTP's `strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Strategy {
    /// No other child.
    #[default]
    OneForOne,
    /// Every child: all are stopped in reverse start order, then all are started in start order.
    OneForAll,
    /// The children that were started after it.
    RestForOne,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OneForOne => "one-for-one",
            Self::OneForAll => "one-for-all",
            Self::RestForOne => "rest-for-one",
        })
    }
}

impl Serialize for Strategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The most restarts that a supervisor makes within a time before it gives up; the default is 3 in 5 s, as Elixir's.
///
/// A supervisor that gives up stops its children in order and itself with the reason `shutdown`, so that the
/// supervisor above it takes the next decision.
///
/// ```
/// use std::time::Duration;
/// use foundation_kernel::supervision::RestartIntensity;
///
/// let intensity = RestartIntensity::default();
/// assert_eq!((intensity.max_restarts, intensity.within), (3, Duration::from_secs(5)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RestartIntensity {
    /// The most restarts within the time; one more is too many. 0 means that none is made.
    pub max_restarts: u32,
    /// The length of the sliding window; zero is refused when the supervisor starts. In JSON `within_ms`.
    #[serde(rename = "within_ms", serialize_with = "crate::written::millis")]
    pub within: Duration,
}

impl RestartIntensity {
    /// Any number of restarts, for a child that must never make its supervisor give up. Give such a child a
    /// [backoff](crate::supervision::ChildSpec::backoff).
    pub const UNLIMITED: Self = Self::new(u32::MAX, Duration::from_secs(5));

    /// At most `max_restarts` restarts `within` this time.
    pub const fn new(max_restarts: u32, within: Duration) -> Self {
        Self { max_restarts, within }
    }
}

impl Default for RestartIntensity {
    fn default() -> Self {
        Self::new(3, Duration::from_secs(5))
    }
}

impl fmt::Display for RestartIntensity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.max_restarts == u32::MAX {
            return f.write_str("any number of restarts");
        }
        let restarts = if self.max_restarts == 1 { "restart" } else { "restarts" };
        write!(f, "{} {restarts} within {:?}", self.max_restarts, self.within)
    }
}

/// The most levels of a chain: each is formatted, dropped and serialised within the one above it. Fixed, since it keeps
/// a chain within any stack; levels left out are counted ([`RestartTrigger::omitted`]), and the root cause is kept.
const MAX_LEVELS: usize = 32;

/// Why a restart of a child is required.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RestartReason {
    /// It ended, and its restart rule requires a restart.
    Exited(ExitReason),
    /// It did not start during a restart, for this cause.
    StartFailed(#[serde(serialize_with = "as_text")] Arc<str>),
}

/// What required a restart: one child that ended, or did not start, as its supervisor saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RestartTrigger {
    /// Which child.
    pub child: ChildId,
    /// Why.
    pub reason: RestartReason,
    /// Why the child gave up, if it is a supervisor and did: the link of the chain to the level below. Of several
    /// triggers in a [`RestartLimitExceeded`], only the last has it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "link")]
    pub escalation: Option<Arc<RestartLimitExceeded>>,
    /// The number of levels left out above the one that `escalation` leads to, which gave up in turn. A chain has at
    /// most 32 levels, and still leads to the root cause.
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted: u32,
}

impl RestartTrigger {
    /// With the link to the level below, if there is one.
    pub(crate) fn new(child: ChildId, reason: RestartReason, escalation: Option<Arc<RestartLimitExceeded>>) -> Self {
        let trigger = Self { child, reason, escalation, omitted: 0 };
        let levels = std::iter::successors(trigger.escalation.as_ref(), |below| below.last()?.escalation.as_ref());
        if levels.count() < MAX_LEVELS { trigger } else { trigger.with_a_level_less() }
    }

    /// Leads past the level just below.
    fn with_a_level_less(self) -> Self {
        let below = self.escalation.as_deref().and_then(RestartLimitExceeded::last);
        let Some((escalation, omitted)) = below.map(|below| (below.escalation.clone(), below.omitted)) else {
            return self;
        };
        Self { escalation, omitted: omitted + 1, ..self }
    }
}

/// Why a child is restarted: what required it, and the rules that were applied.
///
/// Written as one line: `oven exited: killed; one-for-all, restart 2 of 3 within 5s`.
///
/// | of a restart | says |
/// |---|---|
/// | [`RestartReason`] | how one child failed: it exited, or did not start |
/// | [`RestartTrigger`] | which child failed, with its reason |
/// | `RestartCause` | a restart that is made: its trigger, and the rules that were applied |
/// | [`RestartLimitExceeded`] | a restart that is not made: the triggers that were too many |
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RestartCause {
    /// What required it, of the child itself or of a sibling.
    pub trigger: RestartTrigger,
    /// The strategy, which selects the affected siblings.
    pub strategy: Strategy,
    /// The restarts used in the window, this one included.
    pub used: u32,
    /// The restart limit and the window.
    pub intensity: RestartIntensity,
}

/// Why a supervisor gave up: more failures than its restart intensity allows.
///
/// Each failure of a child that is a supervisor leads to the level below, so the value that the top reports contains
/// every level. It is displayed as a line for each level, and with `{:#}` on one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RestartLimitExceeded {
    /// What required the restarts in the window, the oldest first; the last one exceeded the limit. At most the 16
    /// latest.
    pub triggers: Vec<RestartTrigger>,
    /// The number of restarts required in the window.
    pub count: u32,
    /// The strategy.
    pub strategy: Strategy,
    /// The restart intensity that was exceeded.
    pub intensity: RestartIntensity,
}

impl RestartLimitExceeded {
    /// What required the restart that exceeded the limit.
    pub fn last(&self) -> Option<&RestartTrigger> {
        self.triggers.last()
    }

    /// The root cause: what made the lowest of the supervisors give up.
    pub fn root_cause(&self) -> Option<&RestartTrigger> {
        let last = self.last()?;
        last.escalation.as_ref().and_then(|below| below.root_cause()).or(Some(last))
    }
}

fn is_zero(levels: &u32) -> bool {
    *levels == 0
}

fn as_text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

fn link<S: Serializer>(below: &Option<Arc<RestartLimitExceeded>>, serializer: S) -> Result<S::Ok, S::Error> {
    below.as_deref().serialize(serializer)
}

impl fmt::Display for RestartTrigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            RestartReason::Exited(reason) => write!(f, "{} exited: {reason}", self.child),
            RestartReason::StartFailed(cause) => write!(f, "{} did not start: {cause}", self.child),
        }
    }
}

impl fmt::Display for RestartCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trigger, strategy, used, intensity } = self;
        write!(f, "{trigger}; {strategy}, restart {used} of {} within {:?}", intensity.max_restarts, intensity.within)
    }
}

impl fmt::Display for RestartLimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {}: ", self.intensity)?;
        let unnamed = self.count.saturating_sub(self.triggers.len() as u32);
        if unnamed > 0 {
            write!(f, "{unnamed} others, then ")?;
        }
        for (place, (trigger, times)) in alike(&self.triggers).into_iter().enumerate() {
            let comma = if place > 0 { ", then " } else { "" };
            write!(f, "{comma}{trigger}")?;
            if times > 1 {
                write!(f, " ({times} times)")?;
            }
        }
        let Some((last, below)) = self.last().and_then(|last| Some((last, last.escalation.as_ref()?))) else {
            return Ok(());
        };
        let too = match last.omitted {
            0 => String::new(),
            levels => format!(", as did {levels} levels below it,"),
        };
        match f.alternate() {
            true => write!(f, "; {} gave up{too} after {below:#}", last.child),
            false => write!(f, "\n{} gave up{too} after {below}", last.child),
        }
    }
}

/// The texts, consecutive equal ones merged, each with its number.
fn alike(triggers: &[RestartTrigger]) -> Vec<(String, usize)> {
    let mut said: Vec<(String, usize)> = Vec::new();
    for trigger in triggers.iter().map(RestartTrigger::to_string) {
        match said.last_mut() {
            Some((last, times)) if *last == trigger => *times += 1,
            _ => said.push((trigger, 1)),
        }
    }
    said
}

/// The cell in which a supervisor leaves the reason why it gave up, for the supervisor above it.
pub(super) type GiveUpCell = Arc<OnceLock<Arc<RestartLimitExceeded>>>;

/// Why a task is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// By a request, by the [strategy](crate::supervision::Strategy) of a supervisor after the end of another child, or since a
    /// supervisor above it ends in order. After a restart by request and by strategy it is started again.
    Shutdown,
    /// Its supervisor, or one above it, has reached its restart limit and gives up. A supervisor above that one may start it
    /// again; when the topmost one gives up, there is none.
    GaveUp,
}

/// Whether a supervisor gives up, or one above it.
///
/// Those above are not kept: a supervisor outlives those below it unless it is killed, and then no task is asked.
#[derive(Debug, Clone, Default)]
pub(super) struct GivingUp {
    pub(super) own: GiveUpCell,
    above: Weak<GivingUp>,
}

impl GivingUp {
    /// That of a supervisor below.
    pub(super) fn below(self: &Arc<Self>) -> Self {
        Self { own: GiveUpCell::default(), above: Arc::downgrade(self) }
    }

    /// Why its children are asked to stop: a cell is filled before they are.
    pub(super) fn stop_reason(&self) -> StopReason {
        let mut above = self.above.upgrade();
        let mut gave_up = self.own.get().is_some();
        while let Some(supervisor) = above.filter(|_| !gave_up) {
            gave_up = supervisor.own.get().is_some();
            above = supervisor.above.upgrade();
        }
        if gave_up { StopReason::GaveUp } else { StopReason::Shutdown }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    pub(in crate::supervisor) fn failure(child: &str, escalation: Option<RestartLimitExceeded>) -> RestartTrigger {
        let reason = if escalation.is_some() { ExitReason::Shutdown("shutdown".into()) } else { ExitReason::Killed };
        RestartTrigger::new(child.into(), RestartReason::Exited(reason), escalation.map(Arc::new))
    }

    pub(in crate::supervisor) fn gave_up(triggers: Vec<RestartTrigger>, max_restarts: u32) -> RestartLimitExceeded {
        let intensity = RestartIntensity::new(max_restarts, Duration::from_secs(5));
        RestartLimitExceeded { count: triggers.len() as u32, triggers, strategy: Strategy::OneForOne, intensity }
    }

    #[test]
    fn a_chain_is_written_with_a_line_for_each_level_and_ends_at_the_root_cause() {
        let below = gave_up(vec![failure("a", None), failure("b", None), failure("b", None)], 2);
        let top = gave_up(vec![failure("office", Some(below))], 0);
        assert_eq!(
            top.to_string(),
            "more than 0 restarts within 5s: office exited: shutdown\n\
             office gave up after more than 2 restarts within 5s: a exited: killed, then b exited: killed (2 times)"
        );
        assert_eq!(top.root_cause().unwrap().child.as_str(), "b");
    }

    #[test]
    fn a_chain_of_any_depth_has_so_many_levels_says_how_many_it_leaves_out_and_ends_at_the_root_cause() {
        let mut top = gave_up(vec![failure("root", None)], 0);
        for level in 0..5_000 {
            top = gave_up(vec![failure(&format!("level {level}"), Some(top))], 0);
        }
        assert_eq!(top.root_cause().unwrap().child.as_str(), "root");
        let text = top.to_string();
        assert_eq!(text.lines().count(), MAX_LEVELS);
        assert!(text.contains("level 4999 gave up, as did 4969 levels below it, after"), "{text}");
        assert!(text.ends_with("root exited: killed"), "{text}");
    }
}
