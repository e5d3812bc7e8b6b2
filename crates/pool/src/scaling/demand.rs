//! The demand for workers, as a function of figures.
//!
//! 1. The demand is the rate of arrivals, times the time of a job, divided by the target share; and for jobs that wait, as
//!    many workers as perform them within [`BACKLOG_WITHIN`]. Only jobs that could be begun count, both as arrivals and as
//!    jobs that wait, and no more of them than the pool's rate lets pass.
//! 2. The rate and the time are averages in which each tick counts half and all ticks before it the other half.
//! 3. While no job ends, the time of a job is at least the age of those in work.

use std::time::Duration;

use crate::queue::rate::Allowance;

/// The time between two ticks.
pub(crate) const TICK: Duration = Duration::from_millis(500);
/// The time within which waiting jobs should be performed.
const BACKLOG_WITHIN: Duration = Duration::from_secs(1);
/// The share of the latest tick in the averages.
const LATEST: f64 = 0.5;

/// What happened in a pool since the tick before.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct LoadFigures {
    /// The time since the tick before.
    pub(crate) elapsed: Duration,
    /// Jobs that became ready to be begun.
    pub(crate) arrived: u64,
    /// Jobs whose performance ended.
    pub(crate) ended: u64,
    /// The time that those which ended took, added up.
    pub(crate) worked: Duration,
    /// Jobs that are in work now.
    pub(crate) in_work: usize,
    /// For how long these have been in work, added up.
    pub(crate) in_work_for: Duration,
    /// Jobs that wait now and could be begun.
    pub(crate) waiting: usize,
    /// How many of them the pool's rate lets pass.
    pub(crate) allowance: Allowance,
}

/// The averages that a pool's demand follows from.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Demand {
    /// Jobs per second.
    rate: Option<f64>,
    /// Seconds of a job.
    job_seconds: Option<f64>,
    waiting: usize,
    allowance: Allowance,
}

impl Demand {
    /// Takes the figures of a tick. A tick without duration changes nothing.
    pub(crate) fn note(&mut self, figures: &LoadFigures) {
        if figures.elapsed.is_zero() {
            return;
        }
        (self.waiting, self.allowance) = (figures.waiting, figures.allowance);
        self.rate = Some(averaged(self.rate, figures.arrived as f64 / figures.elapsed.as_secs_f64()));
        if figures.ended > 0 {
            let seconds = figures.worked.as_secs_f64() / figures.ended as f64;
            self.job_seconds = Some(averaged(self.job_seconds, seconds));
        } else if figures.in_work > 0 {
            let age = figures.in_work_for.as_secs_f64() / figures.in_work as f64;
            self.job_seconds = Some(self.job_seconds.map_or(age, |seconds| seconds.max(age)));
        }
    }

    /// How many workers are wanted so that this share of their time is used; a finite number from zero upwards.
    pub(crate) fn workers(&self, target: f64) -> f64 {
        let seconds = self.job_seconds.unwrap_or(0.0);
        let within = BACKLOG_WITHIN.as_secs_f64();
        let rate = self.rate.unwrap_or(0.0).min(self.allowance.per_second);
        // Beside those that arrive.
        let allowed = self.allowance.now as f64 + (self.allowance.per_second - rate) * within;
        let steady = rate * seconds / target.max(f64::MIN_POSITIVE);
        let backlog = (self.waiting as f64).min(allowed) * seconds / within;
        (steady + backlog).clamp(0.0, f64::MAX)
    }
}

fn averaged(before: Option<f64>, latest: f64) -> f64 {
    before.map_or(latest, |before| before + (latest - before) * LATEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn steady(rate: u64, job: Duration) -> LoadFigures {
        let worked = job * rate as u32;
        LoadFigures { elapsed: SECOND, arrived: rate, ended: rate, worked, ..LoadFigures::default() }
    }

    #[test]
    fn a_steady_load_wants_the_share_of_its_workers_time() {
        let mut demand = Demand::default();
        demand.note(&steady(700, Duration::from_millis(10)));
        assert!((demand.workers(0.7) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_backlog_wants_as_many_workers_as_perform_it_in_a_second() {
        let mut demand = Demand::default();
        demand.note(&LoadFigures { waiting: 300, ..steady(0, Duration::ZERO) });
        assert_eq!(demand.workers(0.7), 0.0, "nothing is known of the time of a job");
        demand.note(&LoadFigures { waiting: 300, ended: 1, worked: SECOND / 100, ..steady(0, Duration::ZERO) });
        assert!((demand.workers(0.7) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn jobs_that_do_not_end_want_workers_too() {
        let mut demand = Demand::default();
        for age in 1..=10 {
            demand.note(&LoadFigures {
                elapsed: SECOND,
                in_work: 2,
                in_work_for: 2 * age * SECOND,
                waiting: 4,
                ..LoadFigures::default()
            });
        }
        assert!((demand.workers(0.7) - 40.0).abs() < 1e-9, "{demand:?}");
    }

    #[test]
    fn jobs_over_the_rate_want_no_workers() {
        let of = |allowance| {
            let mut demand = Demand::default();
            demand.note(&LoadFigures { waiting: 5_000, allowance, ..steady(700, Duration::from_millis(10)) });
            demand.workers(0.7)
        };
        assert!((of(Allowance::default()) - 60.0).abs() < 1e-9);
        assert!((of(Allowance { now: 100, per_second: 70.0 }) - 2.0).abs() < 1e-9, "those now, and 70 each second");
        assert!((of(Allowance { now: 0, per_second: 1_000.0 }) - 13.0).abs() < 1e-9, "300 beside those that arrive");
    }

    fn figures() -> impl Strategy<Value = LoadFigures> {
        let duration =
            || prop_oneof![Just(Duration::ZERO), Just(Duration::MAX), (0..u64::MAX).prop_map(Duration::from_nanos)];
        let allowance = (any::<usize>(), prop_oneof![Just(f64::INFINITY), 0.0f64..1e12])
            .prop_map(|(now, per_second)| Allowance { now, per_second });
        (duration(), any::<u64>(), any::<u64>(), duration(), any::<usize>(), duration(), any::<usize>(), allowance)
            .prop_map(|(elapsed, arrived, ended, worked, in_work, in_work_for, waiting, allowance)| LoadFigures {
                elapsed,
                arrived,
                ended,
                worked,
                in_work,
                in_work_for,
                waiting,
                allowance,
            })
    }

    proptest! {
        #[test]
        fn no_figures_make_a_demand_that_is_no_number(
            ticks in proptest::collection::vec(figures(), 0..20), target in 0.0f64..=1.0,
        ) {
            let mut demand = Demand::default();
            for figures in &ticks {
                demand.note(figures);
                let workers = demand.workers(target);
                prop_assert!(workers.is_finite() && workers >= 0.0, "{workers}");
            }
        }

        #[test]
        fn the_demand_settles_at_that_of_a_steady_load_whatever_was_before(
            before in proptest::collection::vec((0u64..100_000, 0u64..1_000), 0..10),
            rate in 1u64..10_000, millis in 1u64..1_000,
        ) {
            let mut demand = Demand::default();
            for (rate, millis) in before {
                demand.note(&steady(rate, Duration::from_millis(millis)));
            }
            for _ in 0..60 {
                demand.note(&steady(rate, Duration::from_millis(millis)));
            }
            let expected = rate as f64 * millis as f64 / 1e3 / 0.7;
            prop_assert!((demand.workers(0.7) - expected).abs() <= expected * 1e-6 + 1e-6);
        }

        #[test]
        fn more_waiting_jobs_never_want_fewer_workers(waiting in 0usize..1_000_000, more in 0usize..1_000_000) {
            let workers = |waiting| {
                let mut demand = Demand::default();
                demand.note(&LoadFigures { waiting, ..steady(100, Duration::from_millis(20)) });
                demand.workers(0.7)
            };
            prop_assert!(workers(waiting) <= workers(waiting + more));
        }
    }
}
