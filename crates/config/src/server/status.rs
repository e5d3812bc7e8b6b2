use serde::Serialize;

use crate::watcher::ConfigWatch;

/// The state of the configuration of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConfigStatus {
    /// Counts the changes; 1 when loaded.
    pub generation: u64,
    /// How many values there are.
    pub paths: usize,
    /// How many of them were changed at run time.
    pub overrides: usize,
    /// How many subscriptions there are.
    pub subscribers: usize,
    /// How changes of the files are noticed.
    pub watch: ConfigWatch,
    /// Why the event store refused the last checkpoint of the changes at run time, if it did. Until it accepts one,
    /// events that are due to be pruned are kept.
    pub checkpoint_error: Option<String>,
}

impl ConfigStatus {
    /// A limitation of a server that runs: changes of files are noticed late, or older events cannot be pruned.
    pub fn impairment(&self) -> Option<String> {
        let watch = match &self.watch {
            polled @ ConfigWatch::Polled { .. } => Some(format!("the files are {polled}")),
            _ => None,
        };
        let checkpoint = self.checkpoint_error.as_ref();
        let checkpoint = checkpoint.map(|reason| format!("overrides cannot be recorded anew: {reason}"));
        let impairments: Vec<_> = watch.into_iter().chain(checkpoint).collect();
        (!impairments.is_empty()).then(|| impairments.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_server_that_does_not_hear_of_changes_or_cannot_record_overrides_anew_is_impaired() {
        let mut status = ConfigStatus {
            generation: 1,
            paths: 0,
            overrides: 0,
            subscribers: 0,
            watch: ConfigWatch::Watched,
            checkpoint_error: None,
        };
        assert_eq!(status.impairment(), None);
        let (every, reason) = (Duration::from_secs(5), "no watches are left".to_owned());
        status.watch = ConfigWatch::Polled { every, reason };
        let files = "the files are looked at every 5s only, since no watches are left";
        assert_eq!(status.impairment().as_deref(), Some(files));
        status.checkpoint_error = Some("too large".to_owned());
        let both = format!("{files}; overrides cannot be recorded anew: too large");
        assert_eq!(status.impairment(), Some(both));
    }
}
