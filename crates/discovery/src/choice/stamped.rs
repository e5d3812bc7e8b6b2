//! A figure with the time at which it was noted, in one atomic.
//!
//! # Invariants
//!
//! 1. A reader sees a figure and its own time, never those of two notes: both are in one word.
//! 2. Time goes forward: a note of an earlier time keeps the later one.

use std::sync::atomic::{AtomicU64, Ordering};

/// A tick is 2²⁰ ns, a little more than a millisecond.
const TICK: u32 = 20;
/// Threads read the clock and then note: so many ticks, a minute, may one be behind another.
const MAX_BEHIND: u32 = 1 << 16;

/// A figure of which it is known when it was noted, as 32 bits each.
///
/// Ticks are counted modulo 2³², 52 days, and so an age is right up to that. All orderings are relaxed: a figure stands for
/// itself, and nothing is read because of it.
#[derive(Debug)]
pub(super) struct Stamped(AtomicU64);

/// A figure and the age of its note.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Aged {
    pub(super) figure: f64,
    pub(super) nanos: u64,
}

impl Stamped {
    /// A figure as of the time 0.
    pub(super) fn new(figure: f32) -> Self {
        Self(AtomicU64::new(pack(figure, 0)))
    }

    /// The figure as it was noted.
    pub(super) fn figure(&self) -> f32 {
        unpack(self.0.load(Ordering::Relaxed)).0
    }

    /// The figure, and how old it is at this time, in nanoseconds since the time 0.
    pub(super) fn read(&self, now: u64) -> Aged {
        let (figure, at) = unpack(self.0.load(Ordering::Relaxed));
        aged(figure, at, ticks(now))
    }

    /// Notes the figure that follows from the one before. `None` leaves that one with its age, so that a change too small to be
    /// written is not lost: it grows until it can be.
    pub(super) fn note(&self, now: u64, next: impl Fn(Aged) -> Option<f64>) {
        let now = ticks(now);
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |packed| {
            let (figure, at) = unpack(packed);
            let at_latest = if now.wrapping_sub(at) > u32::MAX - MAX_BEHIND { at } else { now };
            let noted = pack(next(aged(figure, at, now))? as f32, at_latest);
            (noted != packed).then_some(noted)
        });
    }
}

fn aged(figure: f32, at: u32, now: u32) -> Aged {
    let age = now.wrapping_sub(at);
    let age = if age > u32::MAX - MAX_BEHIND { 0 } else { age };
    Aged { figure: f64::from(figure), nanos: u64::from(age) << TICK }
}

fn ticks(nanos: u64) -> u32 {
    // The upper bits are the number of times that the count has begun anew.
    (nanos >> TICK) as u32
}

fn pack(figure: f32, at: u32) -> u64 {
    u64::from(figure.to_bits()) << 32 | u64::from(at)
}

fn unpack(packed: u64) -> (f32, u32) {
    (f32::from_bits((packed >> 32) as u32), packed as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_figure_is_read_with_its_age_up_to_a_tick(figure: f32, at in 0..1_u64 << 60, age in 0..1_u64 << 51) {
            prop_assume!(!figure.is_nan());
            let stamped = Stamped::new(0.0);
            stamped.note(at, |_| Some(f64::from(figure)));
            let read = stamped.read(at + age);
            prop_assert_eq!((read.figure, stamped.figure()), (f64::from(figure), figure));
            prop_assert!(read.nanos.abs_diff(age) < 1 << TICK, "{} for {}", read.nanos, age);
        }

        #[test]
        fn a_reader_that_is_behind_sees_a_figure_of_no_age(at in 1_u64 << 40..1 << 60, behind in 0..60_000_000_000_u64) {
            let stamped = Stamped::new(0.0);
            // Not 52 days after the beginning, which this would be taken for.
            prop_assume!(ticks(at) <= u32::MAX - MAX_BEHIND);
            stamped.note(at, |_| Some(1.0));
            prop_assert_eq!(stamped.read(at - behind).nanos, 0);
            stamped.note(at - behind, |before| Some(before.figure + 1.0));
            prop_assert!(stamped.read(at).nanos < 1 << TICK, "the later time is kept");
        }
    }

    #[test]
    fn notes_of_several_threads_all_count() {
        let stamped = Stamped::new(0.0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| stamped.note(0, |before| Some(before.figure + 1.0))));
            }
        });
        assert_eq!(stamped.figure(), 40_000.0);
    }
}
