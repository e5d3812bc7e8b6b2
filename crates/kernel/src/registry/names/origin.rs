//! Where the actor of a name was started, and what follows from that: the one place that decides it.

use std::fmt;

/// Where the actor that has a name was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Origin {
    /// Started under this name, and supervised here: the name is free when the actor is gone, its destructors included.
    Managed,
    /// Started elsewhere, and registered here or given the name by a hand-over: the name is free when the process
    /// registry, which monitors the actor, has been notified of its end.
    Foreign,
}

impl Origin {
    /// Whether the process registry monitors the actor and keeps its name guard. Otherwise the actor's own task does, and
    /// its supervisor knows of its end.
    pub(crate) const fn is_monitored(self) -> bool {
        match self {
            Self::Managed => false,
            Self::Foreign => true,
        }
    }

    /// Whether the end of the namespace has to stop the actor, which is no child there.
    pub(crate) const fn is_stopped_apart(self) -> bool {
        match self {
            Self::Managed => false,
            Self::Foreign => true,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Managed => "managed",
            Self::Foreign => "foreign",
        })
    }
}
