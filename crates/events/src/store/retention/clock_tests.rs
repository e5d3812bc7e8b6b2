//! The clock of the retention, with clocks that jump and drift.

use std::time::UNIX_EPOCH;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn day(seconds_of_it: u64) -> SystemTime {
    UNIX_EPOCH + seconds(1_000_000 + seconds_of_it)
}

/// One that begins at second 0.
fn clock() -> PlausibleClock {
    PlausibleClock::new(HOUR, None, day(0), Duration::ZERO)
}

fn now(clock: &mut PlausibleClock, time: u64, at: u64) -> SystemTime {
    clock.read(day(time), seconds(at)).now
}

#[test]
fn a_jump_ahead_is_not_believed_and_harms_nothing_when_it_is_over() {
    let mut clock = clock();
    assert_eq!(now(&mut clock, 60, 60), day(60));
    let jumped = clock.read(day(100_000), seconds(120));
    assert_eq!(jumped, Plausible { now: day(120), ahead: seconds(99_880) });
    assert_eq!(clock.read(day(180), seconds(180)), Plausible { now: day(180), ahead: Duration::ZERO });
}

#[test]
fn a_jump_that_lasts_is_believed_after_the_stated_time() {
    let mut clock = clock();
    for minute in 1..=60 {
        assert_eq!(now(&mut clock, 100_000 + minute * 60, minute * 60), day(minute * 60));
    }
    assert_eq!(now(&mut clock, 100_000 + 61 * 60, 61 * 60), day(100_000 + 61 * 60));
    assert_eq!(now(&mut clock, 100_000 + 62 * 60, 62 * 60), day(100_000 + 62 * 60));
}

#[test]
fn jumps_that_do_not_agree_confirm_nothing() {
    let mut clock = clock();
    for minute in 1..=600_u64 {
        let jump = 100_000 * (1 + minute % 2);
        assert_eq!(now(&mut clock, jump + minute * 60, minute * 60), day(minute * 60));
    }
}

#[test]
fn a_clock_that_goes_back_is_believed_at_once_and_has_to_be_ahead_for_long_to_be_believed_again() {
    let mut clock = clock();
    assert_eq!(now(&mut clock, 7_200, 7_200), day(0) + seconds(7_200));
    assert_eq!(now(&mut clock, 10, 7_260), day(10));
    assert_eq!(now(&mut clock, 7_320, 7_320), day(70));
}

#[test]
fn it_begins_with_the_newest_event_so_a_clock_that_is_wrong_from_the_start_is_noticed() {
    let mut clock = PlausibleClock::new(HOUR, Some(day(0)), day(500_000), Duration::ZERO);
    assert_eq!(now(&mut clock, 500_060, 60), day(60));
    // An event of the future was recorded by a clock that was wrong then.
    let mut clock = PlausibleClock::new(HOUR, Some(day(500_000)), day(0), Duration::ZERO);
    assert_eq!(now(&mut clock, 60, 60), day(60));
}

#[test]
fn without_a_time_to_wait_every_time_is_believed() {
    let mut clock = PlausibleClock::new(Duration::ZERO, None, day(0), Duration::ZERO);
    assert_eq!(now(&mut clock, 500_000, 1), day(500_000));
}

proptest! {
    /// Whatever the time of day does for less than the stated time, the believed time is never later than the true
    /// one, except for the drift.
    #[test]
    fn no_jump_that_is_short_makes_it_late(readings in vec((1..600_u64, 0..10_000_000_000_u64), 1..200)) {
        // The true time is the monotonic one; at least every second reading is right, at most 20 minutes apart.
        let (mut clock, mut at) = (clock(), 0);
        for (pause, jump) in readings {
            at += pause;
            let believed = now(&mut clock, at + jump, at);
            prop_assert!(believed <= later(day(at), STEP + seconds(at) / DRIFT));
            at += pause;
            let believed = now(&mut clock, at, at);
            prop_assert!(believed <= day(at));
        }
    }

    /// A clock that is right, or runs a little fast or slow, is followed exactly.
    #[test]
    fn a_clock_that_drifts_is_followed(pauses in vec(1..86_400_u64, 1..100), drift in -10..10_i64) {
        let (mut clock, mut at, mut time) = (clock(), 0, 0);
        for pause in pauses {
            at += pause;
            time += pause.saturating_add_signed(i64::try_from(pause).unwrap() * drift / 1_000);
            prop_assert_eq!(now(&mut clock, time, at), day(time));
        }
    }

    /// It is never later than the time of day.
    #[test]
    fn it_never_runs_ahead(readings in vec((0..100_000_u64, 0..1_000_000_u64), 1..100)) {
        let (mut clock, mut at) = (clock(), 0);
        for (pause, time) in readings {
            at += pause;
            let Plausible { now, ahead } = clock.read(day(time), seconds(at));
            prop_assert!(now <= day(time));
            prop_assert_eq!(now + ahead, day(time));
        }
    }
}
