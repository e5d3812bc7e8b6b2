//! The rules of a child: when it is restarted, how it is stopped, and what its end means to its supervisor.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::exit::{ExitReason, SHUTDOWN};

/// What a child is: OTP's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChildKind {
    /// An actor that does the work.
    Worker,
    /// A supervisor: it counts as gone only when its whole subtree is.
    Supervisor,
}

/// When a child is started again after it ended. OTP's `restart`.
///
/// | | normal, shutdown | killed, failed |
/// |---|---|---|
/// | `Permanent` | restarted | restarted |
/// | `Transient` | not restarted, spec kept | restarted |
/// | `Temporary` | not restarted, spec dropped | not restarted, spec dropped |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// Only after an abnormal end: it was killed, it panicked, or it returned an error.
    Transient,
    /// Never, not even when a strategy stops it on behalf of a sibling.
    Temporary,
}

impl Restart {
    /// Whether an end with this reason requires a restart.
    pub const fn wants(self, reason: &ExitReason) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => reason.is_abnormal(),
            Self::Temporary => false,
        }
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Temporary => "temporary",
        })
    }
}

impl Serialize for Restart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How a child is asked to stop, and for how long. OTP's `shutdown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// Asked, and killed if it is not gone after this time. The default for workers, with
    /// [5 s](crate::supervision::SupervisorLimits::worker_stop).
    Timeout(Duration),
    /// Drained: it handles the messages that it has taken, takes no others, and ends; killed if it is not gone after this
    /// time. A call that was taken is answered. The other rules drop the messages that are not handled yet.
    Drain(Duration),
    /// Asked, and waited for as long as it takes. The default for supervisors, whose children have their own limits.
    Infinity,
    /// Killed at once: its `post_stop` does not run.
    BrutalKill,
}

/// How an actor that was stopped by its supervisor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stopped {
    /// It stopped when asked, or had already ended.
    InTime,
    /// It was killed at once, as its rule [`BrutalKill`](crate::supervision::Shutdown::BrutalKill) says.
    Brutally,
    /// It did not stop in its time and had to be killed.
    Killed,
}

impl Stopped {
    /// The same as an exit reason.
    pub(crate) fn reason(self) -> ExitReason {
        match self {
            Self::InTime => ExitReason::Shutdown(SHUTDOWN.into()),
            Self::Brutally | Self::Killed => ExitReason::Killed,
        }
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::InTime => "was stopped",
            Self::Brutally => "was killed, as its rule says",
            Self::Killed => "did not stop in time and was killed",
        })
    }
}

/// What happens to a child whose restart is refused because another actor has its name: the name was handed over, say,
/// or taken while the child waited for the end of its backoff.
///
/// Applies to restarts only. A requested start fails at once, with the error of the request; so does the first start of
/// a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NameTaken {
    /// It is started when the name is free. The default. Until then it can be terminated, and only children whose start
    /// has to come after its own wait for it. Counts as no restart.
    #[default]
    Wait,
    /// It is left stopped, as if it had been terminated. Counts as no restart.
    Rest,
    /// A failed start, tried again at once or after the backoff; counts as a restart.
    Fail,
}

/// Whether a supervisor stops by itself when its significant children have ended. OTP's `auto_shutdown` (since OTP 24).
///
/// Only a [`significant`](crate::supervision::ChildSpec::significant) child that ends by itself and is not restarted counts: a
/// transient one after a normal end or a shutdown, a temporary one after any. A child that is terminated by request, or
/// stopped by a strategy on behalf of a sibling, does not count. The supervisor then stops its children in order and
/// itself with the reason `shutdown`; if it is itself a significant child, the same rule applies one level up.
///
/// ```
/// use foundation_kernel::supervision::{AutoShutdown, Strategy, SupervisorSpec};
///
/// let spec = SupervisorSpec::new(Strategy::OneForAll).auto_shutdown(AutoShutdown::AllSignificant);
/// # let _ = spec;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AutoShutdown {
    /// Never; no child may be significant then.
    #[default]
    Never,
    /// With the first significant child that ends by itself.
    AnySignificant,
    /// With the last one: no other significant child runs or is about to.
    AllSignificant,
}

impl fmt::Display for AutoShutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Never => "never",
            Self::AnySignificant => "any significant",
            Self::AllSignificant => "all significant",
        })
    }
}

/// As its text.
impl Serialize for AutoShutdown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
