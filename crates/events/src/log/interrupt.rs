use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Interrupts a read: its caller does not wait any more, its time is over, or its store is ending.
///
/// A long read checks it from time to time ([`EventReader::interrupt_by`](crate::EventReader::interrupt_by)). Clones
/// share one interrupt.
///
/// ```
/// use foundation_events::Interrupt;
///
/// let interrupt = Interrupt::new();
/// assert!(!interrupt.is_raised());
/// interrupt.clone().raise();
/// assert!(interrupt.is_raised());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    raised: AtomicBool,
    deadline: Option<Instant>,
    /// Raised when the store ends, for all of its reads at once.
    ending: Arc<AtomicBool>,
}

impl Interrupt {
    /// An interrupt that is not raised, and is never raised by itself.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that is also raised when the store ends, and after this time from now.
    pub(crate) fn after(limit: Option<Duration>, ending: &Arc<AtomicBool>) -> Self {
        // A limit beyond the range of time is none.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        Self(Arc::new(Inner { raised: AtomicBool::new(false), deadline, ending: Arc::clone(ending) }))
    }

    /// Raises it, for good.
    pub fn raise(&self) {
        self.0.raised.store(true, Ordering::Release);
    }

    /// Whether to stop. Costs two loads and, with a time limit, a reading of the clock.
    pub fn is_raised(&self) -> bool {
        self.0.raised.load(Ordering::Acquire) || self.0.ending.load(Ordering::Acquire) || self.is_late()
    }

    /// Whether its time is over.
    pub(crate) fn is_late(&self) -> bool {
        self.0.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_raised_by_its_own_time_and_by_the_end_of_the_store() {
        let ending = Arc::default();
        assert!(Interrupt::after(Some(Duration::ZERO), &ending).is_late());
        let endless = [None, Some(Duration::MAX)].map(|limit| Interrupt::after(limit, &ending));
        assert!(!endless.iter().any(Interrupt::is_raised));
        ending.store(true, Ordering::Release);
        assert!(endless.iter().all(|interrupt| interrupt.is_raised() && !interrupt.is_late()));
    }
}
