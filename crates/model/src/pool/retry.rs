//! A job that fails is tried again at once, or not at all.

use std::time::Duration;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Retry(());

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum RetryAdvice {
    #[default]
    Default,
    Never,
}

pub(crate) enum RetryDecision {
    After(Duration),
    GiveUp,
}

impl Retry {
    pub(crate) fn max_attempts(&self) -> u32 {
        1
    }

    pub(crate) fn decide(&self, _: u32, advice: RetryAdvice, _: f64) -> RetryDecision {
        match advice {
            RetryAdvice::Default => RetryDecision::After(Duration::ZERO),
            RetryAdvice::Never => RetryDecision::GiveUp,
        }
    }
}
