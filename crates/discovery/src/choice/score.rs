//! Scores: what one more call costs at an instance.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::candidate::Candidate;

/// The latency that is assumed as long as none has been measured.
const ASSUMED_LATENCY: Duration = Duration::from_millis(10);
/// Added to each latency, so that differences of a few microseconds do not decide.
const FLOOR: Duration = Duration::from_micros(100);
/// The lowest success: an instance whose calls all fail costs a million times as much as one whose calls all succeed.
const MIN_SUCCESS: f64 = 0.01;

/// A score of your own. It is asked on the caller's thread, for each candidate that a policy compares.
pub trait Score: Send + Sync + 'static {
    /// What one more call costs at this instance: the lower, the better. `weight` is its weight after the slow start.
    fn score(&self, candidate: &Candidate<'_>, weight: f64) -> f64;
}

/// By what instances are compared.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum ScoreBy {
    /// The calls in flight, by weight.
    InFlight,
    /// The calls in flight, times the latency, by weight and by the third power of the success: what fails at once is
    /// not fast. Finagle's peak EWMA, with kratos' success.
    #[default]
    PeakEwma,
    /// A score of your own. One that is not a number is the worst.
    Custom(Arc<dyn Score>),
}

impl ScoreBy {
    pub(super) fn score(&self, candidate: &Candidate<'_>, weight: f64) -> f64 {
        let calls = (f64::from(candidate.load().in_flight) + 1.0) / weight;
        match self {
            Self::InFlight => calls,
            Self::PeakEwma => {
                let latency = candidate.load().latency.unwrap_or(ASSUMED_LATENCY) + FLOOR;
                calls * latency.as_secs_f64() / candidate.load().success.max(MIN_SUCCESS).powi(3)
            }
            Self::Custom(score) => {
                let score = score.score(candidate, weight);
                if score.is_nan() { f64::INFINITY } else { score }
            }
        }
    }
}

impl fmt::Debug for ScoreBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InFlight => "InFlight",
            Self::PeakEwma => "PeakEwma",
            Self::Custom(_) => "Custom(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::choice::load::LoadReading;
    use crate::samples::records;

    struct Mine(f64);

    impl Score for Mine {
        fn score(&self, _: &Candidate<'_>, weight: f64) -> f64 {
            self.0 / weight
        }
    }

    fn readings() -> impl Strategy<Value = LoadReading> {
        (0..100_u32, 0..1_000_u64, 0.0..1.0).prop_map(|(in_flight, latency, success)| LoadReading {
            in_flight,
            latency: Some(Duration::from_millis(latency)),
            success,
            idle: None,
        })
    }

    proptest! {
        #[test]
        fn what_has_more_to_do_is_slower_or_fails_more_often_costs_more(
            record in records(), load in readings(), weight in 1.0..1_000.0_f64,
        ) {
            let score = |by: &ScoreBy, load| by.score(&Candidate::new(&record, load), weight);
            for by in [ScoreBy::InFlight, ScoreBy::PeakEwma] {
                let now = score(&by, load);
                prop_assert!(now.is_finite() && now > 0.0);
                let busier = LoadReading { in_flight: load.in_flight + 1, ..load };
                let failing = LoadReading { success: load.success / 2.0, ..load };
                let slower = LoadReading { latency: load.latency.map(|latency| latency * 2), ..load };
                prop_assert!(score(&by, busier) > now);
                prop_assert!(score(&by, failing) >= now && score(&by, slower) >= now);
                prop_assert!(by.score(&Candidate::new(&record, load), weight * 2.0) < now);
            }
        }

        #[test]
        fn a_score_of_your_own_is_used_as_it_is_and_is_the_worst_if_it_is_no_number(record in records()) {
            let candidate = Candidate::new(&record, LoadReading::IDLE);
            prop_assert_eq!(ScoreBy::Custom(Arc::new(Mine(6.0))).score(&candidate, 2.0), 3.0);
            prop_assert_eq!(ScoreBy::Custom(Arc::new(Mine(f64::NAN))).score(&candidate, 2.0), f64::INFINITY);
        }
    }
}
