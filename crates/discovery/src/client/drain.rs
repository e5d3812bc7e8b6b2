//! Draining an instance: out of rotation, until its calls have ended.
//!
//! # Invariants
//!
//! 1. That an incarnation is being drained stands in its mark and in its calls; both are changed under the lock of the state.
//!    So of a drain and a return to rotation at the same time, one decides both.

use std::fmt;
use std::time::Duration;

use foundation_kernel::containment::waking_contained;
use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::calls::InstanceCalls;
use super::marks::Mark;
use super::state::Shared;
use crate::instance::{InstanceName, InstanceRecord};

/// How the draining of an instance went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Drained {
    /// The name of the instance.
    #[serde(serialize_with = "foundation_kernel::written::text")]
    pub name: InstanceName,
    /// How many calls were in flight when it began.
    pub began_with: u32,
    /// How many were in flight at its end: 0 unless the time was over, or it was resumed.
    pub in_flight: u32,
    /// Whether the instance was [resumed](crate::Discovery::resume) meanwhile: it is in rotation again.
    pub resumed: bool,
    /// How long it took.
    #[serde(rename = "took_ms", serialize_with = "foundation_kernel::written::millis")]
    pub took: Duration,
}

impl Drained {
    /// Whether all calls have ended, and none begins.
    pub fn is_complete(&self) -> bool {
        self.in_flight == 0 && !self.resumed
    }
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, began_with, in_flight, resumed, took } = self;
        match in_flight {
            _ if *resumed => write!(f, "{name} is not drained: it was resumed after {took:?}"),
            0 => write!(f, "{name} is drained: its {began_with} calls in flight have ended within {took:?}"),
            left => write!(f, "{name} is not drained: after {took:?}, {left} of {began_with} calls are in flight"),
        }
    }
}

/// Takes an incarnation out of rotation, and returns when no call to it is in flight, when it is resumed, or after this time.
/// `None` if it is gone.
pub(super) async fn drain(shared: &Shared, record: &InstanceRecord, within: Duration) -> Option<Drained> {
    let (calls, _) = shared.calls(record)?;
    let began = Instant::now();
    set_draining(shared, record, &calls, true)?;
    let began_with = calls.load.in_flight();
    // A time that is over is no error: the report says what is left.
    let _ = waking_contained(timeout(within, calls.idle())).await;
    let (resumed, in_flight) = (!calls.is_draining(), calls.load.in_flight());
    let (name, began_with) = (record.name().clone(), began_with.max(in_flight));
    Some(Drained { name, began_with, in_flight, resumed, took: began.elapsed() })
}

/// Returns an incarnation to rotation. `None` if it is gone.
pub(super) fn resume(shared: &Shared, record: &InstanceRecord) -> Option<()> {
    let (calls, _) = shared.calls(record)?;
    set_draining(shared, record, &calls, false)?;
    calls.note_resumed();
    Some(())
}

fn set_draining(shared: &Shared, record: &InstanceRecord, calls: &InstanceCalls, draining: bool) -> Option<()> {
    let set = |mark: &mut Mark| {
        mark.draining = draining;
        calls.set_draining(draining);
    };
    shared.mark(record.name(), record.actor, set).map(drop)
}
