//! The times of a periodic job.

use std::fmt;
#[cfg(feature = "cron")]
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[cfg(feature = "cron")]
use chrono::{DateTime, Utc};
#[cfg(feature = "cron")]
use croner::Cron;

/// The times at which something is to be done again and again.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use foundation_pool::durable::Schedule;
///
/// let hourly = Schedule::every(Duration::from_secs(3_600));
/// let (noon, one) = (UNIX_EPOCH + Duration::from_secs(43_200), UNIX_EPOCH + Duration::from_secs(46_800));
/// assert_eq!(hourly.next_after(noon), Some(one));
/// ```
#[derive(Debug, Clone)]
pub struct Schedule(Times);

#[derive(Debug, Clone)]
enum Times {
    Every(Duration),
    #[cfg(feature = "cron")]
    Cron(Box<Cron>),
}

/// A text that is no schedule.
#[cfg(feature = "cron")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no schedule: {reason}; five fields are expected, as in \"30 2 * * *\": minute, hour, day of the month, month, day of the week"
)]
#[non_exhaustive]
pub struct ScheduleError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Schedule {
    /// At each multiple of this time since 1970, which needs no memory of the time before. At least a second, of which
    /// fractions are dropped.
    pub fn every(period: Duration) -> Self {
        Self(Times::Every(Duration::from_secs(period.as_secs().max(1))))
    }

    /// By a pattern of cron, in UTC: minute, hour, day of the month, month and day of the week, and before them the second if
    /// there are six fields. As the `FromStr` of this type. Needs the feature `cron`.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use foundation_pool::durable::Schedule;
    ///
    /// let nightly: Schedule = "30 2 * * *".parse()?;
    /// let half_past_two = UNIX_EPOCH + Duration::from_secs(9_000);
    /// assert_eq!(nightly.next_after(UNIX_EPOCH), Some(half_past_two));
    /// # Ok::<(), foundation_pool::durable::ScheduleError>(())
    /// ```
    ///
    /// # Errors
    /// [`ScheduleError`].
    #[cfg(feature = "cron")]
    pub fn cron(pattern: &str) -> Result<Self, ScheduleError> {
        pattern.parse()
    }

    /// The first time after this one; `None` if there is none.
    pub fn next_after(&self, time: SystemTime) -> Option<SystemTime> {
        match &self.0 {
            Times::Every(period) => {
                let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                let turns = since.as_secs().checked_div(period.as_secs())?.checked_add(1)?;
                UNIX_EPOCH.checked_add(Duration::from_secs(turns.checked_mul(period.as_secs())?))
            }
            #[cfg(feature = "cron")]
            Times::Cron(cron) => {
                let seconds = i64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()).ok()?;
                let next = cron.find_next_occurrence(&DateTime::<Utc>::from_timestamp(seconds, 0)?, false).ok()?;
                UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(next.timestamp()).ok()?))
            }
        }
    }
}

#[cfg(feature = "cron")]
impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(pattern: &str) -> Result<Self, ScheduleError> {
        match Cron::from_str(pattern) {
            Ok(cron) => Ok(Self(Times::Cron(Box::new(cron)))),
            Err(error) => Err(ScheduleError { text: pattern.to_owned(), reason: error.to_string() }),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Times::Every(period) => write!(f, "every {period:?}"),
            #[cfg(feature = "cron")]
            Times::Cron(cron) => write!(f, "{} UTC", cron.pattern),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[cfg(feature = "cron")]
    #[test]
    fn a_text_that_is_no_schedule_says_why() {
        for text in ["", "* * *", "61 * * * *", "a b c d e", "* * * * * * * *"] {
            let error = text.parse::<Schedule>().unwrap_err();
            assert!(error.text == text && error.to_string().contains("five fields are expected"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn each_time_is_later_than_the_one_before_and_none_is_skipped(period in 0..1_000_000_u64, at in 0..1_u64 << 40) {
            let time = UNIX_EPOCH + Duration::from_secs(at);
            let next = Schedule::every(Duration::from_secs(period)).next_after(time).unwrap();
            let wait = next.duration_since(time).unwrap().as_secs();
            prop_assert!((1..=period.max(1)).contains(&wait));
        }
    }

    #[cfg(feature = "cron")]
    proptest! {
        #[test]
        fn a_pattern_of_each_hour_is_met_within_the_hour(minute in 0..60_u64, at in 0..1_u64 << 33) {
            let time = UNIX_EPOCH + Duration::from_secs(at);
            let next = format!("{minute} * * * *").parse::<Schedule>().unwrap().next_after(time).unwrap();
            let since = next.duration_since(UNIX_EPOCH).unwrap().as_secs();
            prop_assert_eq!(since % 3_600, minute * 60);
            prop_assert!((1..=3_600).contains(&(since - at)));
        }
    }

    #[test]
    fn extreme_periods_and_times_have_no_next_time_or_a_later_one() {
        let far = UNIX_EPOCH + Duration::from_secs(i64::MAX as u64 / 2);
        let schedules = [
            Schedule::every(Duration::MAX),
            Schedule::every(Duration::ZERO),
            #[cfg(feature = "cron")]
            "* * * * *".parse().unwrap(),
        ];
        for schedule in schedules {
            assert!(schedule.next_after(far).is_none_or(|next| next > far), "{schedule}");
        }
    }
}
