//! How reports, infos and states are written by serde, in this crate and in those above it.
//!
//! Durations are numbers of milliseconds, with a fraction where they have one, in fields whose names end in `_ms`.
//! Times of day are texts in the form of RFC 3339, in UTC and to the nanosecond: `2026-11-29T21:05:02.5Z`. Actors are
//! texts as they are shown to people. Each function is for `#[serde(serialize_with)]`, and [`rfc3339`] for
//! `#[serde(with)]`.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A duration as a number of milliseconds.
///
/// # Errors
/// Those of the serializer.
pub fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let whole = duration.subsec_nanos().is_multiple_of(1_000_000);
    match u64::try_from(duration.as_millis()) {
        Ok(millis) if whole => serializer.serialize_u64(millis),
        _ => serializer.serialize_f64(duration.as_secs_f64() * 1e3),
    }
}

/// A duration that may be absent as a number of milliseconds.
///
/// # Errors
/// Those of the serializer.
pub fn some_millis<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => millis(duration, serializer),
        None => serializer.serialize_none(),
    }
}

/// A value as it is shown to people.
///
/// # Errors
/// Those of the serializer.
pub fn text<T: Display + ?Sized, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// A shared value as it is.
///
/// # Errors
/// Those of the serializer.
pub fn shared<T: Serialize + ?Sized, S: Serializer>(value: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
    value.serialize(serializer)
}

/// A shared value that may be absent.
///
/// # Errors
/// Those of the serializer.
pub fn some_shared<T: Serialize + ?Sized, S: Serializer>(
    value: &Option<Arc<T>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.as_deref().serialize(serializer)
}

pub mod rfc3339 {
    //! A time of day as RFC 3339 has it, in UTC.
    //!
    //! The form has years of four digits: a later time is written as serde does it by itself, which is read, too, and
    //! an earlier one is refused.

    use std::fmt::{self, Write};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use serde::de::{Error, MapAccess, Visitor, value::MapAccessDeserializer};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    const DAY: i64 = 86_400;

    /// The time as text; `None` if its year does not have four digits.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use foundation_kernel::written::rfc3339;
    ///
    /// let time = UNIX_EPOCH + Duration::from_millis(951_782_400_500);
    /// assert_eq!(rfc3339::format(time).as_deref(), Some("2000-02-29T00:00:00.5Z"));
    /// assert_eq!(rfc3339::parse("2000-02-29T01:00:00.5+01:00"), Some(time));
    /// ```
    pub fn format(time: SystemTime) -> Option<String> {
        let (seconds, nanos) = since_1970(time)?;
        let (year, month, day) = date(seconds.div_euclid(DAY));
        let second = seconds.rem_euclid(DAY);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        if !(0..=9999).contains(&year) {
            return None;
        }
        let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
        if nanos > 0 {
            let fraction = format!("{nanos:09}");
            // Writing to a string cannot fail.
            let _ = write!(text, ".{}", fraction.trim_end_matches('0'));
        }
        text.push('Z');
        Some(text)
    }

    /// The time of a text, in UTC or with an offset; `None` if it is none. A leap second is the first second after it,
    /// and digits beyond nanoseconds are left out.
    pub fn parse(text: &str) -> Option<SystemTime> {
        let (day, rest) = text.split_at_checked(10)?;
        let (time, rest) = rest.strip_prefix(['T', 't', ' '])?.split_at_checked(8)?;
        let [year, month, day] = numbers(day, b'-')?;
        let [hour, minute, second] = numbers(time, b':')?;
        let valid = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
        if !valid || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let (nanos, zone) = fraction(rest)?;
        let seconds = days(year, month, day) * DAY + hour * 3_600 + minute * 60 + second - offset(zone)?;
        at(seconds, nanos)
    }

    /// Numbers of a fixed number of digits with something between them: `2026-11-29`.
    fn numbers(text: &str, between: u8) -> Option<[i64; 3]> {
        let mut parts = text.split(char::from(between));
        let mut next = |digits: usize| {
            let part = parts.next().filter(|it| it.len() == digits && it.bytes().all(|byte| byte.is_ascii_digit()))?;
            part.parse().ok()
        };
        let numbers = [next(text.len() - 6)?, next(2)?, next(2)?];
        parts.next().is_none().then_some(numbers)
    }

    fn fraction(text: &str) -> Option<(u32, &str)> {
        let Some(text) = text.strip_prefix('.') else { return Some((0, text)) };
        let length = text.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, zone) = text.split_at(length);
        let digits = &digits[..length.min(9)];
        let nanos = digits.parse::<u32>().ok()? * 10_u32.pow(9 - digits.len() as u32);
        Some((nanos, zone))
    }

    /// How many seconds a time zone is ahead.
    fn offset(zone: &str) -> Option<i64> {
        if matches!(zone, "Z" | "z") {
            return Some(0);
        }
        let sign = if zone.starts_with('+') { 1 } else { -1 };
        let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
        let two = |text: &str| (text.len() == 2).then(|| text.parse::<u8>().ok()).flatten();
        let (hours, minutes) = (two(hours)?, two(minutes)?);
        (hours < 24 && minutes < 60).then(|| sign * (i64::from(hours) * 3_600 + i64::from(minutes) * 60))
    }

    /// Whole seconds and the nanoseconds after them.
    fn since_1970(time: SystemTime) -> Option<(i64, u32)> {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Some((i64::try_from(after.as_secs()).ok()?, after.subsec_nanos())),
            Err(error) => {
                let before = error.duration();
                let seconds = -i64::try_from(before.as_secs()).ok()?;
                match before.subsec_nanos() {
                    0 => Some((seconds, 0)),
                    nanos => Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos)),
                }
            }
        }
    }

    fn at(seconds: i64, nanos: u32) -> Option<SystemTime> {
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let whole = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
        whole?.checked_add(Duration::from_nanos(nanos.into()))
    }

    // The Gregorian calendar in cycles of 400 years, which begin with March, so that a leap day is the last of a year.
    const CYCLE: i64 = 146_097;
    /// From the first of March of the year 0 until 1970.
    const BEGINNING: i64 = 719_468;

    /// Year, month and day, so many days after the first of January 1970.
    fn date(days: i64) -> (i64, i64, i64) {
        let (cycle, day) = ((days + BEGINNING).div_euclid(CYCLE), (days + BEGINNING).rem_euclid(CYCLE));
        let year = (day - day / 1_460 + day / 36_524 - day / (CYCLE - 1)) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        (400 * cycle + year + next_year, month, day)
    }

    fn days(year: i64, month: i64, day: i64) -> i64 {
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
        let day = 365 * year + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1;
        cycle * CYCLE + day - BEGINNING
    }

    fn days_of(year: i64, month: i64) -> i64 {
        let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        days(next_year, next_month, 1) - days(year, month, 1)
    }

    /// For `#[serde(with)]`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        match format(*time) {
            Some(text) if serializer.is_human_readable() => serializer.serialize_str(&text),
            _ => time.serialize(serializer),
        }
    }

    /// For `#[serde(with)]`; also reads what serde writes by itself.
    ///
    /// # Errors
    /// If it is no time.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(TextOrSeconds)
        } else {
            SystemTime::deserialize(deserializer)
        }
    }

    struct TextOrSeconds;

    impl<'de> Visitor<'de> for TextOrSeconds {
        type Value = SystemTime;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a time such as \"2026-11-29T21:05:02Z\"")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<SystemTime, E> {
            parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SystemTime, A::Error> {
            SystemTime::deserialize(MapAccessDeserializer::new(map))
        }
    }

    #[cfg(test)]
    mod tests {
        use proptest::prelude::*;

        use super::*;

        #[test]
        fn days_that_are_known_are_written_as_everybody_does() {
            for (seconds, text) in [
                (0, "1970-01-01T00:00:00Z"),
                (-1, "1969-12-31T23:59:59Z"),
                (951_782_399, "2000-02-28T23:59:59Z"),
                (951_782_400, "2000-02-29T00:00:00Z"),
                (1_709_251_200, "2024-03-01T00:00:00Z"),
                (4_107_542_400, "2100-03-01T00:00:00Z"),
                (253_402_300_799, "9999-12-31T23:59:59Z"),
                (-62_167_219_200, "0000-01-01T00:00:00Z"),
            ] {
                let time = at(seconds, 0).unwrap();
                assert_eq!(format(time).as_deref(), Some(text));
                assert_eq!(parse(text), Some(time));
            }
            assert_eq!(format(at(253_402_300_800, 0).unwrap()), None);
        }

        #[test]
        fn offsets_and_fractions_are_read_and_what_is_no_time_is_refused() {
            let noon = parse("2026-11-29T12:00:00Z");
            for text in ["2026-11-29T12:00:00.000z", "2026-11-29t13:30:00+01:30", "2026-11-29 07:00:00-05:00"] {
                assert_eq!(parse(text), noon, "{text}");
            }
            assert_eq!(parse("2016-12-31T23:59:60Z"), parse("2017-01-01T00:00:00Z"));
            for text in [
                "",
                "2026-11-29",
                "2026-11-29T12:00:00",
                "2026-02-29T12:00:00Z",
                "2026-13-01T12:00:00Z",
                "2026-11-29T24:00:00Z",
                "2026-11-29T12:00:00.Z",
                "2026-11-29T12:00:00+1:00",
                "+026-11-29T12:00:00Z",
                "2026-11-29T12:00:00Zx",
                "2026-1é-29T12:00:00Z",
            ] {
                assert_eq!(parse(text), None, "{text}");
            }
        }

        #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        struct Noted(#[serde(with = "super")] SystemTime);

        #[test]
        fn what_serde_writes_by_itself_is_read() {
            let time = at(5, 7).unwrap();
            let old = serde_json::to_string(&time).unwrap();
            assert_eq!(serde_json::from_str::<Noted>(&old).unwrap(), Noted(time));
            let refusal = serde_json::from_str::<Noted>("\"soon\"").unwrap_err().to_string();
            assert!(refusal.contains("a time such as"), "{refusal}");
        }

        proptest! {
            #[test]
            fn every_time_comes_back(seconds in -62_000_000_000..400_000_000_000i64, nanos in 0..1_000_000_000u32) {
                let time = Noted(at(seconds, nanos).unwrap());
                let text = serde_json::to_string(&time).unwrap();
                prop_assert_eq!(serde_json::from_str::<Noted>(&text).unwrap(), time);
            }

            #[test]
            fn later_times_have_later_texts(a in 0..250_000_000_000i64, b in 0..250_000_000_000i64) {
                let text = |seconds| format(at(seconds, 0).unwrap()).unwrap();
                prop_assert_eq!(a.cmp(&b), text(a).cmp(&text(b)));
            }

            #[test]
            fn no_text_makes_it_panic(text in any::<String>(), form in "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.+Zz-]{0,20}") {
                let _ = (parse(&text), parse(&form));
            }
        }
    }
}
