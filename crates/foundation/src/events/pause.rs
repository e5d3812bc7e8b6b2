use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Sleep;

/// The pause after the first of several failures in a row.
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(5);

/// The pause between two attempts of which the first has failed: it doubles with each failure in a row.
#[derive(Debug, Default)]
pub(super) struct Pause {
    failures: u32,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Pause {
    /// An attempt has failed; the next one is to wait. Within a runtime.
    pub(super) fn begin(&mut self) {
        #[expect(clippy::disallowed_methods, reason = "the delay is what this is for")]
        let alarm = tokio::time::sleep(delay(self.failures));
        self.alarm = Some(Box::pin(alarm));
        self.failures = self.failures.saturating_add(1);
    }

    /// An attempt has succeeded.
    pub(super) fn end(&mut self) {
        *self = Self::default();
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

/// How long to wait after a failure before which there were so many in a row.
fn delay(earlier: u32) -> Duration {
    FIRST.saturating_mul(1_u32.checked_shl(earlier).unwrap_or(u32::MAX)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_with_each_failure_in_a_row_up_to_the_longest() {
        let pauses = [0, 1, 2, 6, 7, 40].map(|earlier| delay(earlier).as_millis());
        assert_eq!(pauses, [50, 100, 200, 3_200, 5_000, 5_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_after_a_success_does_not_wait() {
        let mut pause = Pause::default();
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
