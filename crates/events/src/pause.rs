use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Sleep;

use super::store_limits::EventStoreLimits;

/// The pause after a failed attempt: it doubles with each failure in a row.
#[derive(Debug)]
pub(super) struct Pause {
    first: Duration,
    longest: Duration,
    failures: u32,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Pause {
    /// Before a log is read again.
    pub(super) fn before_reading(limits: &EventStoreLimits) -> Self {
        // A pause of zero would be a busy loop.
        let first = limits.read_again_first.max(Duration::from_millis(1));
        Self { first, longest: limits.read_again_longest.max(first), failures: 0, alarm: None }
    }

    /// The pause after the next failure.
    fn delay(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }

    /// An attempt has failed; the next one waits. Must be called within a runtime.
    pub(super) fn begin(&mut self) {
        #[expect(clippy::disallowed_methods, reason = "the delay is what this is for")]
        let alarm = tokio::time::sleep(self.delay());
        self.alarm = Some(Box::pin(alarm));
        self.failures = self.failures.saturating_add(1);
    }

    /// An attempt has succeeded.
    pub(super) fn end(&mut self) {
        (self.failures, self.alarm) = (0, None);
    }

    /// Ready when the next attempt may begin.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(alarm) = &mut self.alarm {
            ready!(alarm.as_mut().poll(context));
            self.alarm = None;
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_with_each_failure_in_a_row_up_to_the_longest() {
        let delays = |limits: EventStoreLimits| {
            let pause = |failures| Pause { failures, ..Pause::before_reading(&limits) };
            [0, 1, 2, 6, 7, 40].map(|failures| pause(failures).delay().as_millis())
        };
        assert_eq!(delays(EventStoreLimits::new()), [50, 100, 200, 3_200, 5_000, 5_000]);
        let (zero, second) = (Duration::ZERO, Duration::from_secs(1));
        let limits = EventStoreLimits::new().read_again_first(zero).read_again_longest(second);
        assert_eq!(delays(limits), [1, 2, 4, 64, 128, 1_000]);
        assert_eq!(delays(EventStoreLimits::new().read_again_first(second).read_again_longest(zero)), [1_000; 6]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_after_a_success_does_not_wait() {
        let mut pause = Pause::before_reading(&EventStoreLimits::new());
        let start = tokio::time::Instant::now();
        for elapsed in [50, 150] {
            pause.begin();
            std::future::poll_fn(|context| pause.poll(context)).await;
            assert!(start.elapsed().as_millis() >= elapsed);
        }
        let before = start.elapsed();
        pause.end();
        std::future::poll_fn(|context| pause.poll(context)).await;
        assert_eq!(start.elapsed(), before);
    }
}
