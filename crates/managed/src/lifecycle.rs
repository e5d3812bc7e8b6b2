//! The lifecycle of a managed service: a pure state machine over the facts about it.
//!
//! # Invariants
//!
//! 1. From `shutting_down` the only way leads to `shutdown`, by the end of the service.
//! 2. A service that lacks a need stays unhealthy until its needs are met, or it is stopped.
//! 3. A fact about a service that does not run, such as a late result of a check, changes nothing.
//! 4. A change is reported if the status changes, or the kind of the cause; a new text of the same cause is no change.
//! 5. A start that was requested ends a give-up: the restarts are counted anew.
//! 6. A service that is given up while it lacks a need is started anew when its needs are met.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::needs::Need;

/// In which part of its life a managed service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServiceStatus {
    /// Declared, and never started.
    Unknown,
    /// Being started, and not ready yet.
    Initializing,
    /// Ready for work.
    Healthy,
    /// Wanted, and not able to work.
    Unhealthy,
    /// Being stopped.
    ShuttingDown,
    /// Stopped.
    Shutdown,
}

impl ServiceStatus {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 6] =
        [Self::Unknown, Self::Initializing, Self::Healthy, Self::Unhealthy, Self::ShuttingDown, Self::Shutdown];

    /// The status as it is written: `initializing`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Initializing => "initializing",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::ShuttingDown => "shutting_down",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for ServiceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a managed service is unhealthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UnhealthyCause {
    /// Its checks fail.
    CheckFell {
        /// What they found.
        reason: String,
    },
    /// Its supervisor restarts it no more, or it was never started.
    GaveUp {
        /// The last error.
        reason: String,
    },
    /// Something that it needs is missing.
    Lacks {
        /// All that is missing.
        needs: Vec<Need>,
        /// The last error, if it is not restarted any more besides. It is started anew when its needs are met.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gave_up: Option<String>,
    },
    /// Its checks fail, and too many services were restarted lately to restart this one too.
    RestartWithheld {
        /// What its checks found.
        reason: String,
    },
}

impl fmt::Display for UnhealthyCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CheckFell { reason } => write!(f, "its checks fail: {reason}"),
            Self::GaveUp { reason } => write!(f, "it is not restarted any more: {reason}"),
            Self::Lacks { needs, gave_up: None } => write!(f, "it lacks {}", joined(needs)),
            Self::Lacks { needs, gave_up: Some(reason) } => {
                write!(f, "it lacks {}, and it is not restarted any more: {reason}", joined(needs))
            }
            Self::RestartWithheld { reason } => {
                write!(f, "its checks fail, and its restart is withheld since many were restarted: {reason}")
            }
        }
    }
}

fn joined(needs: &[Need]) -> String {
    needs.iter().map(Need::to_string).collect::<Vec<_>>().join(" and ")
}

/// The state of a managed service: its status, with the cause if it is unhealthy.
///
/// ```
/// use foundation_managed::{LifecycleError, LifecycleFact, ServiceState, ServiceStatus};
///
/// let mut state = ServiceState::Unknown;
/// for fact in [LifecycleFact::StartRequested, LifecycleFact::ChildStarted, LifecycleFact::Ready] {
///     state = state.next(fact)?.0;
/// }
/// assert_eq!(state.status(), ServiceStatus::Healthy);
///
/// let (state, change) = state.next(LifecycleFact::StopRequested)?;
/// assert_eq!(change.ok_or("a change")?.to_string(), "healthy to shutting_down");
/// assert_eq!(state.next(LifecycleFact::StartRequested), Err(LifecycleError::ShuttingDown));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServiceState {
    /// Declared, and never started.
    #[default]
    Unknown,
    /// Being started, and not ready yet.
    Initializing,
    /// Ready for work.
    Healthy,
    /// Wanted, and not able to work.
    Unhealthy(UnhealthyCause),
    /// Being stopped.
    ShuttingDown,
    /// Stopped.
    Shutdown,
}

/// Something that is found out about a managed service, or requested of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LifecycleFact {
    /// A start was requested.
    StartRequested,
    /// Its supervisor has started its child.
    ChildStarted,
    /// Its checks succeed.
    Ready,
    /// Its checks fail. During the grace of a start this is no fact.
    CheckFell {
        /// What they found.
        reason: String,
    },
    /// Its checks fail, and the budget of restarts allows no restart.
    RestartWithheld {
        /// What they found.
        reason: String,
    },
    /// Its child has ended and is about to be started again, or is being replaced.
    RestartDue,
    /// Its child is not restarted any more.
    GaveUp {
        /// The last error.
        reason: String,
    },
    /// Needs are missing, of which there is at least one.
    NeedsMissing {
        /// All that are missing.
        needs: Vec<Need>,
    },
    /// All that it needs is there again.
    NeedsMet,
    /// A stop was requested.
    StopRequested,
    /// Its child is gone and is not expected back.
    Gone {
        /// Why, as the supervisor reports it.
        reason: String,
    },
}

/// A change of the state of a managed service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LifecycleChange {
    /// The status before.
    pub from: ServiceStatus,
    /// The state now.
    pub to: ServiceState,
}

impl fmt::Display for LifecycleChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.from, self.to)
    }
}

/// Why a fact is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LifecycleError {
    /// A start was requested of a service that is being stopped.
    #[error("the service is shutting down; it can be started when it is stopped")]
    ShuttingDown,
}

impl ServiceState {
    /// The status.
    pub fn status(&self) -> ServiceStatus {
        match self {
            Self::Unknown => ServiceStatus::Unknown,
            Self::Initializing => ServiceStatus::Initializing,
            Self::Healthy => ServiceStatus::Healthy,
            Self::Unhealthy(_) => ServiceStatus::Unhealthy,
            Self::ShuttingDown => ServiceStatus::ShuttingDown,
            Self::Shutdown => ServiceStatus::Shutdown,
        }
    }

    /// Why it is unhealthy; `None` if it is not.
    pub fn cause(&self) -> Option<&UnhealthyCause> {
        match self {
            Self::Unhealthy(cause) => Some(cause),
            _ => None,
        }
    }

    /// Why it is not restarted any more, also if it lacks a need besides; `None` if it is.
    pub fn give_up_reason(&self) -> Option<&str> {
        match self.cause()? {
            UnhealthyCause::GaveUp { reason } | UnhealthyCause::Lacks { gave_up: Some(reason), .. } => Some(reason),
            _ => None,
        }
    }

    /// The state after a fact, and the change that it is.
    ///
    /// # Errors
    /// [`LifecycleError::ShuttingDown`] for a start of a service that is being stopped.
    pub fn next(self, fact: LifecycleFact) -> Result<(Self, Option<LifecycleChange>), LifecycleError> {
        if (&self, &fact) == (&Self::ShuttingDown, &LifecycleFact::StartRequested) {
            return Err(LifecycleError::ShuttingDown);
        }
        let before = self.clone();
        let after = self.after(fact);
        let change = LifecycleChange { from: before.status(), to: after.clone() };
        let is_change = before.status() != after.status() || before.cause().map(kind) != after.cause().map(kind);
        Ok((after, is_change.then_some(change)))
    }

    fn after(self, fact: LifecycleFact) -> Self {
        match self {
            Self::Unknown | Self::Shutdown => self.after_at_rest(&fact),
            Self::ShuttingDown => match fact {
                LifecycleFact::Gone { .. } => Self::Shutdown,
                _ => Self::ShuttingDown,
            },
            Self::Unhealthy(UnhealthyCause::Lacks { needs, gave_up }) => Self::after_lacking(needs, gave_up, fact),
            Self::Initializing | Self::Healthy | Self::Unhealthy(_) => self.after_wanted(fact),
        }
    }

    /// Of a service that does not run. A service can lack a need before its first start.
    fn after_at_rest(self, fact: &LifecycleFact) -> Self {
        match fact {
            LifecycleFact::StartRequested => Self::Initializing,
            LifecycleFact::StopRequested => Self::Shutdown,
            _ => self,
        }
    }

    /// Of a service that is wanted and waits for what it needs.
    fn after_lacking(needs: Vec<Need>, gave_up: Option<String>, fact: LifecycleFact) -> Self {
        let lacks = |needs, gave_up| Self::Unhealthy(UnhealthyCause::Lacks { needs, gave_up });
        match fact {
            LifecycleFact::NeedsMissing { needs } => lacks(needs, gave_up),
            LifecycleFact::GaveUp { reason } | LifecycleFact::Gone { reason } => lacks(needs, Some(reason)),
            LifecycleFact::StartRequested | LifecycleFact::RestartDue => lacks(needs, None),
            LifecycleFact::NeedsMet => Self::Initializing,
            LifecycleFact::StopRequested => Self::ShuttingDown,
            _ => lacks(needs, gave_up),
        }
    }

    /// Of a service that is wanted and lacks nothing.
    fn after_wanted(self, fact: LifecycleFact) -> Self {
        let gave_up = matches!(self, Self::Unhealthy(UnhealthyCause::GaveUp { .. }));
        match fact {
            LifecycleFact::StartRequested if gave_up => Self::Initializing,
            LifecycleFact::StartRequested | LifecycleFact::NeedsMet => self,
            LifecycleFact::ChildStarted if self == Self::Healthy => self,
            LifecycleFact::ChildStarted | LifecycleFact::RestartDue => Self::Initializing,
            LifecycleFact::Ready => Self::Healthy,
            // The reason of a give-up says more than that the checks of what is gone fail.
            LifecycleFact::CheckFell { .. } | LifecycleFact::RestartWithheld { .. } if gave_up => self,
            LifecycleFact::CheckFell { reason } => Self::Unhealthy(UnhealthyCause::CheckFell { reason }),
            LifecycleFact::RestartWithheld { reason } => Self::Unhealthy(UnhealthyCause::RestartWithheld { reason }),
            LifecycleFact::GaveUp { reason } | LifecycleFact::Gone { reason } => {
                Self::Unhealthy(UnhealthyCause::GaveUp { reason })
            }
            LifecycleFact::NeedsMissing { needs } => {
                let gave_up = self.give_up_reason().map(str::to_owned);
                Self::Unhealthy(UnhealthyCause::Lacks { needs, gave_up })
            }
            LifecycleFact::StopRequested => Self::ShuttingDown,
        }
    }
}

fn kind(cause: &UnhealthyCause) -> std::mem::Discriminant<UnhealthyCause> {
    std::mem::discriminant(cause)
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause() {
            Some(cause) => write!(f, "{}: {cause}", self.status()),
            None => self.status().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::LifecycleFact as Fact;
    use super::*;

    fn mail() -> Vec<Need> {
        vec![Need::capability("mail".parse().unwrap())]
    }

    fn facts() -> Vec<Fact> {
        let reason = || "no disk".to_owned();
        let needs = mail();
        vec![
            Fact::StartRequested,
            Fact::ChildStarted,
            Fact::Ready,
            Fact::CheckFell { reason: reason() },
            Fact::RestartWithheld { reason: reason() },
            Fact::RestartDue,
            Fact::GaveUp { reason: reason() },
            Fact::NeedsMissing { needs },
            Fact::NeedsMet,
            Fact::StopRequested,
            Fact::Gone { reason: reason() },
        ]
    }

    fn lacks() -> ServiceState {
        ServiceState::Unhealthy(UnhealthyCause::Lacks { needs: mail(), gave_up: None })
    }

    fn fell() -> ServiceState {
        ServiceState::Unhealthy(UnhealthyCause::CheckFell { reason: "no disk".to_owned() })
    }

    /// `i`nitializing, `h`ealthy, `u`nhealthy, shutting `d`own, `s`hutdown, `-` unchanged, `!` refused.
    fn letter(state: &ServiceState, fact: Fact) -> char {
        let Ok((after, _)) = state.clone().next(fact) else { return '!' };
        match after.status() {
            status if status == state.status() => '-',
            ServiceStatus::ShuttingDown => 'd',
            status => status.as_str().chars().next().unwrap(),
        }
    }

    #[test]
    fn each_row_of_the_table_is_as_designed() {
        // start, child started, ready, check fell, withheld, restart due, gave up, missing, met, stop, gone
        let table = [
            (ServiceState::Unknown, "i--------s-"),
            (ServiceState::Initializing, "--huu-uu-du"),
            (ServiceState::Healthy, "---uuiuu-du"),
            (fell(), "-ih--i---d-"),
            (lacks(), "--------id-"),
            (ServiceState::ShuttingDown, "!---------s"),
            (ServiceState::Shutdown, "i----------"),
        ];
        for (state, row) in table {
            let found: String = facts().into_iter().map(|fact| letter(&state, fact)).collect();
            assert_eq!(found, row, "{state}");
        }
    }

    #[test]
    fn a_requested_start_ends_a_give_up_and_another_text_is_no_change() {
        let gave_up = fell().next(Fact::GaveUp { reason: "no port".to_owned() }).unwrap().0;
        assert_eq!(gave_up.to_string(), "unhealthy: it is not restarted any more: no port");
        assert_eq!(gave_up.next(Fact::StartRequested).unwrap().0, ServiceState::Initializing);

        let (other, change) = fell().next(Fact::CheckFell { reason: "no port".to_owned() }).unwrap();
        assert_eq!((other.to_string().as_str(), change), ("unhealthy: its checks fail: no port", None));
        let (_, change) = fell().next(Fact::RestartWithheld { reason: "no disk".to_owned() }).unwrap();
        assert!(change.is_some(), "another kind of cause is a change");
    }

    #[test]
    fn a_give_up_is_kept_while_a_need_is_missing_until_a_start() {
        let next = |state: ServiceState, fact| state.next(fact).unwrap().0;
        let gave_up = || Fact::GaveUp { reason: "no port".to_owned() };
        let missing = || Fact::NeedsMissing { needs: mail() };
        for order in [[gave_up(), missing()], [missing(), gave_up()]] {
            let both = order.into_iter().fold(ServiceState::Initializing, next);
            assert_eq!(both.give_up_reason(), Some("no port"));
            let text = "unhealthy: it lacks capability mail, and it is not restarted any more: no port";
            assert_eq!(both.to_string(), text);
            assert_eq!(next(both.clone(), missing()), both);
            assert_eq!(next(both.clone(), Fact::StartRequested), lacks());
            assert_eq!(next(both, Fact::NeedsMet), ServiceState::Initializing, "invariant 6");
        }
    }

    proptest! {
        #[test]
        fn the_only_way_out_of_shutting_down_is_shutdown(facts in vec(select(facts()), 0..60)) {
            let mut state = ServiceState::Unknown;
            for fact in facts {
                let Ok((next, change)) = state.clone().next(fact.clone()) else {
                    prop_assert_eq!(&state, &ServiceState::ShuttingDown);
                    continue;
                };
                if state == ServiceState::ShuttingDown && next != state {
                    prop_assert_eq!(&next, &ServiceState::Shutdown, "invariant 1");
                }
                if state.status() != next.status() {
                    let change = change.expect("invariant 4");
                    prop_assert_eq!((change.from, &change.to), (state.status(), &next));
                }
                let lacks = |state: &ServiceState| matches!(state.cause(), Some(UnhealthyCause::Lacks { .. }));
                if lacks(&state) && !lacks(&next) {
                    prop_assert!(matches!(fact, Fact::NeedsMet | Fact::StopRequested), "invariant 2");
                }
                state = next;
            }
        }

        #[test]
        fn a_state_is_read_as_it_is_written(facts in vec(select(facts()), 0..9)) {
            let next = |state: ServiceState, fact| state.clone().next(fact).map_or(state, |it| it.0);
            let state = facts.into_iter().fold(ServiceState::Unknown, next);
            let written = serde_json::to_value(&state).unwrap();
            prop_assert_eq!(serde_json::from_value::<ServiceState>(written).unwrap(), state);
        }
    }
}
