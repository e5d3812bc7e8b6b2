//! Counts and times as SQLite keeps them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970, which reach from 1677 to 2262; a time outside is taken as the nearest one inside.
pub(super) fn nanoseconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanoseconds| -nanoseconds),
    }
}

/// The time so many nanoseconds after 1970.
pub(super) fn time(nanoseconds: i64) -> SystemTime {
    let distance = Duration::from_nanos(nanoseconds.unsigned_abs());
    if nanoseconds < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}

/// A count as SQLite's only integer.
pub(super) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_beyond_the_range_is_taken_as_its_end() {
        let century = Duration::from_secs(100 * 365 * 86_400);
        assert_eq!(nanoseconds(UNIX_EPOCH + 10 * century), i64::MAX);
        assert_eq!(nanoseconds(UNIX_EPOCH - 10 * century), i64::MIN);
    }

    proptest! {
        #[test]
        fn a_time_comes_back_as_it_was(nanos: i64) {
            prop_assert_eq!(nanoseconds(time(nanos)), nanos);
        }
    }
}
