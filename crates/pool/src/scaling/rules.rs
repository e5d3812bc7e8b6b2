//! The rules by which a pool grows and shrinks.

use std::time::Duration;

/// The rules by which a pool grows and shrinks within its limits.
///
/// Every 500 ms the pool estimates the workers that it needs: the rate of arrivals times the time of a job, divided by the
/// target share, and for jobs that wait as many as perform them within a second. Jobs that no worker could begin do not
/// count: those of a paused pool, over its rate, behind another one of their key, or for later. It grows when more are needed for
/// [`up_after`](Self::up_after), and shrinks to the greatest number that was needed within [`down_after`](Self::down_after).
/// A difference of less than a tenth changes nothing. Times are those of tokio's clock.
///
/// The time of a job is the time in a worker's hands, waiting included: a pool whose jobs mostly wait for others grows as
/// one whose jobs compute. Set a maximum that the machine can bear.
///
/// ```
/// use std::time::Duration;
/// use foundation_pool::Scaling;
///
/// let scaling = Scaling::by_demand(0.7)?.up_after(Duration::from_secs(1)).start_at_once(8);
/// # let _ = scaling;
/// # Ok::<(), foundation_pool::ScalingError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    pub(crate) target: f64,
    pub(crate) up_after: Duration,
    pub(crate) down_after: Duration,
    pub(crate) idle: Duration,
    pub(crate) start_at_once: usize,
}

/// Why rules of scaling are refused.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScalingError {
    /// The target is not a share of the workers' time.
    #[error("the target of a pool's scaling is a share of its workers' time, above 0 and at most 1, not {target}")]
    Target {
        /// The value given.
        target: f64,
    },
}

impl Default for Scaling {
    /// A target of 0.7, up at once, down after 30 s, idle after 60 s, 4 starts at once.
    fn default() -> Self {
        Self {
            target: 0.7,
            up_after: Duration::ZERO,
            down_after: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            start_at_once: 4,
        }
    }
}

impl Scaling {
    /// By demand, so that this share of the workers' time is used; the rest as by [`default`](Self::default).
    ///
    /// # Errors
    /// [`ScalingError::Target`] unless the share is above 0 and at most 1.
    pub fn by_demand(target: f64) -> Result<Self, ScalingError> {
        if target > 0.0 && target <= 1.0 {
            Ok(Self { target, ..Self::default() })
        } else {
            Err(ScalingError::Target { target })
        }
    }

    /// For how long more workers must be needed before the pool grows; zero by default.
    pub fn up_after(self, time: Duration) -> Self {
        Self { up_after: time, ..self }
    }

    /// The time whose greatest need the pool shrinks to; 30 s by default.
    pub fn down_after(self, time: Duration) -> Self {
        Self { down_after: time, ..self }
    }

    /// After how long without a job a worker that is not needed ends, even if the difference is less than a tenth; 60 s by
    /// default.
    pub fn idle(self, time: Duration) -> Self {
        Self { idle: time, ..self }
    }

    /// How many workers start at the same time; at least 1, and 4 by default. The next ones start when these have.
    pub fn start_at_once(self, workers: usize) -> Self {
        Self { start_at_once: workers.max(1), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_share() {
        for target in [0.0, -1.0, 1.1, f64::NAN, f64::INFINITY] {
            assert!(matches!(Scaling::by_demand(target), Err(ScalingError::Target { .. })), "{target}");
        }
        assert_eq!(Scaling::by_demand(1.0).unwrap().target, 1.0);
        assert_eq!(Scaling::default().start_at_once(0).start_at_once, 1);
    }
}
