//! The measuring of one message.

use tokio::time::Instant;

use super::series::Series;

/// From the beginning of a handling until it has returned, or until it is dropped half way.
pub(super) struct Measuring<'a> {
    series: &'a Series,
    begun: Instant,
    timed: bool,
    /// Whether the handling had to wait: then the activity goes on after its beginning, and a clock costs little beside it.
    waited: bool,
    returned: bool,
}

impl<'a> Measuring<'a> {
    pub(super) fn begin(series: &'a Series, timed_one_in: u64) -> Self {
        let begun = Instant::now();
        let timed = series.begin(begun).is_multiple_of(timed_one_in);
        Self { series, begun, timed, waited: false, returned: false }
    }

    pub(super) fn waits(&mut self) {
        self.waited = true;
    }

    pub(super) fn returned(mut self, failed: bool) {
        self.returned = true;
        self.end(failed);
    }

    fn end(&self, failed: bool) {
        if failed {
            self.series.fail();
        }
        if self.timed || self.waited {
            let now = Instant::now();
            self.series.touch(now);
            if self.timed {
                self.series.record(self.begun, now);
            }
        }
    }
}

impl Drop for Measuring<'_> {
    /// A handling that does not return has panicked, or was killed: that is not its failure, and its time says nothing.
    fn drop(&mut self) {
        if !self.returned && std::thread::panicking() {
            self.end(true);
        }
    }
}
