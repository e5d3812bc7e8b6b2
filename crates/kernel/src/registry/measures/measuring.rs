//! The measuring of one message.

use tokio::time::Instant;

use super::series::Series;

/// From the beginning of a handling until it has returned, or until it is dropped half way.
pub(super) struct Measuring<'a> {
    series: &'a Series,
    /// Since when, if it is timed.
    timed: Option<Instant>,
    /// Whether the handling had to wait: then the activity goes on after its beginning, and a clock costs little beside
    /// it.
    waited: bool,
    returned: bool,
}

impl<'a> Measuring<'a> {
    #[inline]
    pub(super) fn begin(series: &'a Series, timed_one_in: u64) -> Self {
        Self { series, timed: series.begin(timed_one_in), waited: false, returned: false }
    }

    pub(super) fn waits(&mut self) {
        self.waited = true;
    }

    #[inline]
    pub(super) fn returned(mut self, failed: bool) {
        self.returned = true;
        if failed || self.waited || self.timed.is_some() {
            self.end(failed);
        }
    }

    fn end(&self, failed: bool) {
        if failed {
            self.series.fail();
        }
        let now = Instant::now();
        self.series.touch(now);
        if let Some(begun) = self.timed {
            self.series.record(begun, now);
        }
    }
}

impl Drop for Measuring<'_> {
    /// A handling that does not return has panicked, or was killed: that is not its failure, and its time says nothing.
    #[inline]
    fn drop(&mut self) {
        if !self.returned && std::thread::panicking() {
            self.end(true);
        }
    }
}
