//! When an exporter is due: a function of times.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 24 * 60 * 60;
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(DAY);
/// Nearer than this, the next daily export is the one that was just made.
const AGAIN: Duration = Duration::from_secs(60);

/// When the numbers are exported. Besides, a caller gets them [at once](crate::Exports::now), and the last ones are
/// exported at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportSchedule(When);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Every(Duration),
    /// Seconds after midnight, UTC.
    Daily(u64),
    OnDemand,
}

/// Why a schedule is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The period is too short or too long.
    #[error("the period of an exporter is from {SHORTEST:?} to a day, not {period:?}")]
    Period {
        /// The value given.
        period: Duration,
    },
    /// It is no time of day.
    #[error("{text:?} is no time of day; write it as \"02:30\", in UTC")]
    TimeOfDay {
        /// The beginning of the value given.
        text: String,
    },
}

impl ExportSchedule {
    /// Each time this period has passed.
    ///
    /// # Errors
    /// [`ScheduleError::Period`] for less than 100 ms, or more than a day.
    pub fn every(period: Duration) -> Result<Self, ScheduleError> {
        let fits = (SHORTEST..=LONGEST).contains(&period);
        if fits { Ok(Self(When::Every(period))) } else { Err(ScheduleError::Period { period }) }
    }

    /// Each day at this time, in UTC: `"02:30"`.
    ///
    /// # Errors
    /// [`ScheduleError::TimeOfDay`].
    pub fn daily_at(time: &str) -> Result<Self, ScheduleError> {
        let refused = || ScheduleError::TimeOfDay { text: foundation_kernel::text::excerpt(time) };
        let (hours, minutes) = time.split_once(':').ok_or_else(refused)?;
        let number = |text: &str, below: u64| {
            let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u64>().ok().filter(|number| digits && *number < below).ok_or_else(refused)
        };
        Ok(Self(When::Daily(number(hours, 24)? * 3_600 + number(minutes, 60)? * 60)))
    }

    /// Only when a caller asks, and at the end.
    pub fn on_demand() -> Self {
        Self(When::OnDemand)
    }

    /// The period of an exporter that exports each time it has passed.
    pub(crate) fn every_so_often(&self) -> Option<Duration> {
        if let When::Every(period) = self.0 { Some(period) } else { None }
    }

    /// The time until the next export; `None` for one on demand. A daily one that has just been made is not made again, by a
    /// clock that is a little ahead of the other.
    pub(crate) fn next(&self, now: SystemTime, just_made: bool) -> Option<Duration> {
        let next = self.next_at(now)?;
        let is_again = just_made && matches!(self.0, When::Daily(_)) && next < AGAIN;
        Some(if is_again { next + LONGEST } else { next })
    }

    fn next_at(&self, now: SystemTime) -> Option<Duration> {
        match self.0 {
            When::Every(period) => Some(period),
            When::Daily(at) => {
                let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
                let of_day = Duration::from_secs(now.as_secs() % DAY) + Duration::from_nanos(now.subsec_nanos().into());
                let at = Duration::from_secs(at);
                Some(if at > of_day { at - of_day } else { at + LONGEST - of_day })
            }
            When::OnDemand => None,
        }
    }

    /// The longest that an export may take with all its attempts, so that it does not reach into the next one.
    pub(crate) fn period(&self) -> Duration {
        match self.0 {
            When::Every(period) => period,
            When::Daily(_) | When::OnDemand => LONGEST,
        }
    }
}

impl fmt::Display for ExportSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            When::Every(period) => write!(f, "every {period:?}"),
            When::Daily(at) => write!(f, "daily at {:02}:{:02} UTC", at / 3_600, at / 60 % 60),
            When::OnDemand => f.write_str("on demand"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_schedule_is_refused_with_what_is_one() {
        for text in ["", "2:30", "24:00", "02:60", "02-30", "-1:00", "02:30:00", "０2:30"] {
            let error = ExportSchedule::daily_at(text).unwrap_err().to_string();
            assert!(error.ends_with(r#"is no time of day; write it as "02:30", in UTC"#), "{error}");
        }
        for period in [Duration::ZERO, Duration::from_millis(99), Duration::MAX] {
            assert_eq!(ExportSchedule::every(period), Err(ScheduleError::Period { period }));
        }
        assert_eq!(ExportSchedule::daily_at("02:30").unwrap().to_string(), "daily at 02:30 UTC");
    }

    #[test]
    fn a_daily_export_is_made_once_a_day_whenever_it_ends() {
        let schedule = ExportSchedule::daily_at("02:00").unwrap();
        let at = |seconds: i64| UNIX_EPOCH + Duration::from_secs((2 * 3_600 + 10 * 86_400 + seconds) as u64);
        let next = |seconds: i64| schedule.next(at(seconds), true).unwrap().as_secs() as i64 + seconds;
        // In time, a little before it, and after ten minutes of attempts.
        assert_eq!([0, -3, 3, 600].map(next), [86_400; 4]);
        assert_eq!(schedule.next(at(-3), false), Some(Duration::from_secs(3)), "the first one");
    }

    proptest! {
        #[test]
        fn a_daily_export_is_due_at_its_time_within_the_next_day(now in 0u64..4_000_000_000, nanos in 0u32..1_000_000_000, hour in 0u64..24, minute in 0u64..60) {
            let schedule = ExportSchedule::daily_at(&format!("{hour:02}:{minute:02}")).unwrap();
            let now = UNIX_EPOCH + Duration::new(now, nanos);
            let wait = schedule.next(now, false).unwrap();
            prop_assert!(wait > Duration::ZERO && wait <= LONGEST);
            let due = (now + wait).duration_since(UNIX_EPOCH).unwrap();
            prop_assert_eq!(due.as_secs() % DAY, hour * 3_600 + minute * 60);
            prop_assert_eq!(due.subsec_nanos(), 0);
        }
    }
}
