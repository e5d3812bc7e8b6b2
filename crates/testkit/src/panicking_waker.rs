use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

/// A waker that panics and records that it was woken.
#[derive(Debug, Default)]
pub struct PanickingWaker(AtomicBool);

impl PanickingWaker {
    /// Whether it was woken, and has panicked.
    pub fn was_woken(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
        // Bypasses the hook, which would print each panic.
        std::panic::resume_unwind(Box::new("the waker panics"));
    }
}
