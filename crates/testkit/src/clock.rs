use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

/// The time of day of a test: it stands still until it is set, and can panic or block when it is read. Clones are the
/// same clock.
#[derive(Debug, Clone, Default)]
pub struct TestClock(Arc<ClockState>);

#[derive(Debug, Default)]
struct ClockState {
    seconds: AtomicU64,
    fails: AtomicBool,
    hold: Mutex<Option<HoldRequest>>,
}

#[derive(Debug)]
struct HoldRequest {
    arrived: oneshot::Sender<()>,
    released: mpsc::Receiver<()>,
}

/// A reader of the clock that is, or will be, blocked with its thread; released when this is dropped.
#[derive(Debug)]
pub struct HeldRead {
    arrived: oneshot::Receiver<()>,
    _release: mpsc::Sender<()>,
}

/// The time this many seconds after 1970.
pub fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

impl TestClock {
    /// Sets it, in seconds since 1970.
    pub fn set(&self, seconds: u64) {
        self.0.seconds.store(seconds, Ordering::SeqCst);
    }

    /// The next reading panics, and no other: in the middle of an append, for an event store.
    pub fn fail_once(&self) {
        self.0.fails.store(true, Ordering::SeqCst);
    }

    /// Blocks the next reader with its thread, and no other: on runtimes of several threads only.
    pub fn hold_next(&self) -> HeldRead {
        let (arrived, arrival) = oneshot::channel();
        let (release, released) = mpsc::channel();
        *self.0.hold.lock().unwrap_or_else(PoisonError::into_inner) = Some(HoldRequest { arrived, released });
        HeldRead { arrived: arrival, _release: release }
    }

    /// The function that reads it.
    pub fn read(&self) -> impl Fn() -> SystemTime + Send + Sync + 'static {
        let clock = self.clone();
        move || clock.now()
    }

    fn now(&self) -> SystemTime {
        assert!(!self.0.fails.swap(false, Ordering::SeqCst), "the clock is out of order");
        // Out of the lock first: the next reader is not blocked.
        let hold = self.0.hold.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(HoldRequest { arrived, released }) = hold {
            let _ = arrived.send(());
            let _ = released.recv();
        }
        at(self.0.seconds.load(Ordering::SeqCst))
    }
}

impl HeldRead {
    /// Returns when a reader is blocked.
    pub async fn arrival(&mut self) {
        let _ = (&mut self.arrived).await;
    }
}
