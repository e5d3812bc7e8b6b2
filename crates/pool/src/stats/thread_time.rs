//! The processor's time of the current thread.

use std::time::Duration;

/// The processor's time that the current thread has used; `None` where the system does not say. Costs about 0.7 µs.
#[cfg(unix)]
pub(super) fn thread_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
}

#[cfg(not(unix))]
pub(super) fn thread_time() -> Option<Duration> {
    None
}
