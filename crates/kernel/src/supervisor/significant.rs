//! Significant children, whose own end may end their supervisor.

use std::fmt;

use serde::{Serialize, Serializer};

/// Whether a supervisor stops by itself when its significant children have ended. OTP's `auto_shutdown` (since OTP 24).
///
/// Only a [`significant`](crate::ChildSpec::significant) child that ends by itself and is not restarted counts: a
/// transient one after a normal end or a shutdown, a temporary one after any. A child that is terminated by request, or
/// stopped by a strategy on behalf of a sibling, does not count. The supervisor then stops its children in order and
/// itself with the reason `shutdown`; if it is itself a significant child, the same rule applies one level up.
///
/// ```
/// use foundation_kernel::{AutoShutdown, Strategy, SupervisorSpec};
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
