//! How long things may take: the limits of supervisors and of a registry.

use std::fmt;
use std::time::Duration;

/// The longest duration of a timer: a year of 365 days.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A limit, or a set of limits.
#[doc(hidden)]
pub trait Limit: Sized {
    /// The same, within the range of a timer: a time beyond a year is a year.
    fn bounded(self) -> Self {
        self
    }

    /// Shows each limit under its name.
    fn each(&self, name: &str, show: &mut dyn FnMut(&str, &dyn fmt::Debug));
}

impl Limit for Duration {
    fn bounded(self) -> Self {
        self.min(LONGEST)
    }

    fn each(&self, name: &str, show: &mut dyn FnMut(&str, &dyn fmt::Debug)) {
        show(name, self);
    }
}

impl Limit for usize {
    fn each(&self, name: &str, show: &mut dyn FnMut(&str, &dyn fmt::Debug)) {
        show(name, self);
    }
}

/// Declares a set of limits: a line for each, with its default. Each gets a setter that takes the set and returns it;
/// written out, the set is a line for each limit.
#[doc(hidden)]
#[macro_export]
macro_rules! limits {
    ($(#[$about:meta])* pub struct $Set:ident { $($(#[$doc:meta])* $name:ident: $Kind:ty = $default:expr,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $Set {
            $($(#[$doc])* pub(crate) $name: $Kind,)+
        }

        impl Default for $Set {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl $Set {
            /// The defaults.
            pub fn new() -> Self {
                Self::default()
            }

            $($(#[$doc])*
            pub fn $name(mut self, limit: $Kind) -> Self {
                self.$name = $crate::Limit::bounded(limit);
                self
            })+
        }

        impl $crate::Limit for $Set {
            fn each(&self, name: &str, show: &mut dyn FnMut(&str, &dyn ::std::fmt::Debug)) {
                let dot = if name.is_empty() { "" } else { "." };
                $($crate::Limit::each(&self.$name, &format!("{name}{dot}{}", stringify!($name)), show);)+
            }
        }

        impl ::std::fmt::Display for $Set {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                let mut lines = Vec::new();
                $crate::Limit::each(self, "", &mut |name, limit| lines.push(format!("{name}: {limit:?}")));
                f.write_str(&lines.join("\n"))
            }
        }
    };
}

limits! {
    /// How long the steps of a supervisor may take. Supervisors below it have the same limits unless their own
    /// specification says otherwise.
    ///
    /// Each is a time and never `None`: without a limit one part that hangs would hold up all that wait for it. Zero
    /// means that only what is there at once counts; a time beyond a year is a year. Defaults are in the table of
    /// `foundation::Limits`, and in the text of each limit here.
    ///
    /// ```
    /// use std::time::Duration;
    /// use foundation_kernel::supervision::{Strategy, SupervisorLimits, SupervisorSpec};
    ///
    /// let patient = SupervisorLimits::new().worker_stop(Duration::from_secs(30));
    /// let spec = SupervisorSpec::new(Strategy::OneForOne).limits(patient);
    /// # let _ = spec;
    /// ```
    pub struct SupervisorLimits {
        /// How long the start of a worker may take without a [limit of its own](crate::supervision::ChildSpec::start_timeout); 30 s.
        worker_start: Duration = Duration::from_secs(30),
        /// How long a worker without a [rule of its own](crate::supervision::ChildSpec::shutdown) may take to stop, before it is
        /// killed; 5 s.
        worker_stop: Duration = Duration::from_secs(5),
        /// How long actors may take to stop that are stopped with a supervisor or a namespace without being its managed
        /// children, before they are killed; 5 s.
        unmanaged_stop: Duration = Duration::from_secs(5),
        /// How long the end of a subtree is awaited after the end of its supervisor, before the rest is left behind
        /// with a warning; 10 s.
        subtree_end: Duration = Duration::from_secs(10),
        /// How long a supervisor may take for each answer to a snapshot of the tree, of which it gives one for each
        /// 2,048 of its children, or is shown as silent; 1 s.
        tree: Duration = Duration::from_secs(1),
        /// How many ends of actors that it does not know a supervisor notes while a start is under way; 256, the
        /// latest. The reason of a child that ended during its own start, before so many others, is not known.
        early_ends: usize = 256,
    }
}

limits! {
    /// How long the steps of a registry may take. See [`SupervisorLimits`] for the meaning of extreme values.
    pub struct RegistryLimits {
        /// How long a request waits for a supervisor that it finds [by name](crate::names::ServiceRegistry::supervisor);
        /// 5 s.
        wait: Duration = Duration::from_secs(5),
        /// How long a start or a registration waits for a name whose holder is stopping; 5 s.
        name_release: Duration = Duration::from_secs(5),
        /// The limits of all supervisors in the tree of the registry.
        supervisor: SupervisorLimits = SupervisorLimits::default(),
    }
}

limits! {
    /// How long a health check of a namespace may take, and how much is written of it.
    ///
    /// Each time is a `Duration` and never `None`: without a limit one check that hangs would keep a probe from an answer,
    /// and a child could be down for ever without counting as down. See [`SupervisorLimits`] for the meaning of extreme
    /// values.
    pub struct HealthLimits {
        /// How long the supervisors, all together, and then each check may take to answer; 1 s.
        answer: Duration = Duration::from_secs(1),
        /// How long a child may be down, for a restart, say, before it counts as down; 1 s. A child that fails again
        /// before it was up for as long counts from the first of these failures on.
        grace: Duration = Duration::from_secs(1),
        /// How many lines a health is written as at most, and at least one; 50.
        lines: usize = 50,
        /// How many bytes of each of them are written at most; 300.
        line_bytes: usize = 300,
    }
}

impl HealthLimits {
    /// How many lines are written at most, and how many bytes of each.
    #[doc(hidden)]
    pub fn text(&self) -> (usize, usize) {
        (self.lines, self.line_bytes)
    }

    /// How long each check may take.
    #[doc(hidden)]
    pub fn for_answers(&self) -> Duration {
        self.answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_no_timer_can_count_is_a_year() {
        assert_eq!(RegistryLimits::new().wait(Duration::MAX).wait, LONGEST);
        assert_eq!(RegistryLimits::new().wait(Duration::ZERO).wait, Duration::ZERO);
    }

    #[test]
    fn a_set_is_written_as_one_line_for_each_limit() {
        let limits = RegistryLimits::new().supervisor(SupervisorLimits::new().tree(Duration::from_millis(20)));
        let text = limits.to_string();
        assert!(text.starts_with("wait: 5s\nname_release: 5s\nsupervisor.worker_start: 30s\n"), "{text}");
        assert!(text.ends_with("supervisor.tree: 20ms\nsupervisor.early_ends: 256"), "{text}");
    }
}
