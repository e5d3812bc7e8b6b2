//! The retry budget: how many calls may be made again.

/// A retry, in hundredths: what one call puts aside is its percentage.
const RETRY: u64 = 100;
/// How many retries the budget holds at most.
const MAX_SAVED: u64 = 100;

/// How many calls may be made again: a share of all calls, and a few more to begin with.
///
/// Without a budget, retries multiply the load of a service that fails because it has too much of it. This one is a bucket of
/// tokens, as Finagle's: each call puts a share of a retry aside, and each retry takes a whole one. It holds 100 retries at
/// most, so that a quiet time does not pay for a storm.
///
/// ```
/// use foundation_discovery::choice::RetryBudget;
///
/// let mut budget = RetryBudget::new(20, 1);
/// assert!(budget.withdraw() && !budget.withdraw(), "one to begin with");
/// (0..5).for_each(|_| budget.deposit());
/// assert!(budget.withdraw() && !budget.withdraw(), "20 percent of five calls");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryBudget {
    percent: u64,
    saved: u64,
}

impl Default for RetryBudget {
    /// 20 percent, and 10 to begin with.
    fn default() -> Self {
        Self::new(20, 10)
    }
}

impl RetryBudget {
    /// Allows this many retries for 100 calls, 100 at most, and this many to begin with, 100 at most.
    pub fn new(percent: u8, reserve: u8) -> Self {
        Self { percent: u64::from(percent.min(100)), saved: u64::from(reserve).min(MAX_SAVED) * RETRY }
    }

    /// Notes a call that is made for the first time.
    pub fn deposit(&mut self) {
        self.saved = (self.saved + self.percent).min(MAX_SAVED * RETRY);
    }

    /// Takes one retry, if there is one.
    pub fn withdraw(&mut self) -> bool {
        let left = self.saved.checked_sub(RETRY);
        self.saved = left.unwrap_or(self.saved);
        left.is_some()
    }

    /// How many retries there are now.
    pub fn balance(&self) -> u64 {
        self.saved / RETRY
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_quiet_time_saves_a_hundred_retries_and_no_more() {
        let mut budget = RetryBudget::default();
        (0..100_000).for_each(|_| budget.deposit());
        assert_eq!(budget.balance(), 100);
        assert_eq!(RetryBudget::new(0, 255).balance(), 100);
    }

    proptest! {
        #[test]
        fn at_each_time_there_were_at_most_a_share_of_the_calls_and_the_reserve(
            percent in 0..=120_u8, reserve in 0..=20_u8, calls in vec(any::<bool>(), 0..500),
        ) {
            let mut budget = RetryBudget::new(percent, reserve);
            let (mut made, mut again) = (0_u64, 0_u64);
            for retry in calls {
                if retry {
                    let balance = budget.balance();
                    prop_assert_eq!(budget.withdraw(), balance > 0);
                    again += u64::from(balance > 0);
                } else {
                    budget.deposit();
                    made += 1;
                }
                prop_assert!(again * 100 <= made * u64::from(percent.min(100)) + u64::from(reserve) * 100);
            }
        }
    }
}
