use tokio::sync::watch;

use crate::soon;

/// A moment in the life of a `Puppet`, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Its start function has been called; there is no actor yet.
    Called,
    /// `pre_start` begins.
    Starting,
    /// `pre_start` has returned.
    Up,
    /// `post_start` runs.
    Started,
    /// It blocks its thread, on [`Command::Block`](crate::Command::Block).
    Blocked,
    /// `post_stop` begins.
    Stopping,
    /// `post_stop` has returned.
    Down,
    /// Its state has been dropped.
    StateDropped,
    /// Its handler has been dropped: the last thing that an actor's task does.
    Dropped,
}

impl Moment {
    const fn text(self) -> &'static str {
        match self {
            Self::Called => "called",
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Started => "started",
            Self::Blocked => "blocked",
            Self::Stopping => "stopping",
            Self::Down => "down",
            Self::StateDropped => "state dropped",
            Self::Dropped => "dropped",
        }
    }
}

/// What happened to the puppets of one scenario, in order.
#[derive(Debug, Clone)]
pub struct Log(watch::Sender<Vec<(String, Moment)>>);

impl Log {
    /// An empty log.
    pub fn new() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }

    pub(crate) fn note(&self, name: &str, moment: Moment) {
        self.0.send_modify(|log| log.push((name.to_owned(), moment)));
    }

    /// The entries of these kinds, in order: `["a up", "b up"]`.
    pub fn of(&self, moments: &[Moment]) -> Vec<String> {
        let log = self.0.borrow();
        let wanted = log.iter().filter(|(_, moment)| moments.contains(moment));
        wanted.map(|(name, moment)| format!("{name} {}", moment.text())).collect()
    }

    /// How often this puppet has reached this moment.
    pub fn count(&self, name: &str, moment: Moment) -> usize {
        count(&self.0.borrow(), name, moment)
    }

    /// Forgets all entries so far.
    pub fn clear(&self) {
        self.0.send_modify(Vec::clear);
    }

    /// Returns when this puppet has reached this moment this many times.
    pub async fn reached(&self, name: &str, moment: Moment, times: usize) {
        let mut log = self.0.subscribe();
        let reached = log.wait_for(|log| count(log, name, moment) >= times);
        let _ = soon(format!("{name} {} for the {times}th time", moment.text()), reached).await;
    }
}

fn count(log: &[(String, Moment)], name: &str, moment: Moment) -> usize {
    log.iter().filter(|(entry, at)| entry == name && *at == moment).count()
}

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}
