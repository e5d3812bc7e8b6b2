//! Workers and jobs that do as a script says, and write what they see into its record.

use std::collections::VecDeque;
use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use foundation::supervision::BoxError;
use foundation_pool::{JobContext, JobFailure, Slot, Worker};
use foundation_testkit::Gate;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::record::{End, Record, Seen};
use super::script::{Act, Start};

/// A job of a script.
pub(super) struct Job {
    number: usize,
    acts: Vec<Act>,
    /// How often it has been begun: what a worker leaves in a job is found by the next one.
    begun: u32,
    record: Record,
}

impl Job {
    pub(super) fn new(number: usize, acts: Vec<Act>, record: &Record) -> Self {
        Self { number, acts, begun: 0, record: record.clone() }
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.record.push(Seen::Destroyed { job: self.number });
    }
}

/// An attempt under way. Dropped before its end, it was cut short.
struct Attempt<'a>(&'a Job, Option<End>);

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let how = self.1.unwrap_or(End::Cut);
        self.0.record.push(Seen::Ended { job: self.0.number, how });
    }
}

/// How the workers of a script begin.
#[derive(Clone)]
pub(super) struct Makers {
    pub(super) record: Record,
    /// Opened at the end, for all that hang.
    pub(super) released: Gate,
    pub(super) starts: Arc<Mutex<VecDeque<Start>>>,
}

/// A worker of a script.
pub(super) struct Simulated {
    slot: usize,
    makers: Makers,
}

impl Makers {
    pub(super) fn new(record: &Record) -> Self {
        Self { record: record.clone(), released: Gate::new(), starts: Arc::default() }
    }

    pub(super) async fn make(self, slot: Slot) -> Result<Simulated, BoxError> {
        let start = self.starts.lock().pop_front();
        match start {
            Some(Start::Fail) => return Err("as the script says".into()),
            Some(Start::Panic) => resume_unwind(Box::new("as the script says")),
            Some(Start::Last(time)) => passes(time).await,
            None => {}
        }
        self.record.push(Seen::WorkerUp(slot.number()));
        Ok(Simulated { slot: slot.number(), makers: self })
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.makers.record.push(Seen::WorkerDown(self.slot));
    }
}

impl Worker for Simulated {
    type Job = Job;
    type Output = usize;

    async fn perform(&mut self, job: &mut Job, context: &JobContext<'_>) -> Result<usize, JobFailure> {
        let (id, attempt, earlier) = (context.id().number(), context.attempt(), job.begun);
        job.begun += 1;
        job.record.push(Seen::Begun { job: job.number, id, attempt, earlier, slot: self.slot });
        let act = job.acts[(earlier as usize).min(job.acts.len() - 1)];
        let mut under_way = Attempt(job, None);
        let end = self.act(act).await;
        under_way.1 = Some(end);
        drop(under_way);
        match end {
            // Without the hook of panics: one that is no part of the script is seen.
            End::Panicked => resume_unwind(Box::new("as the script says")),
            End::Succeeded => Ok(job.number),
            _ => Err(failure(act)),
        }
    }
}

impl Simulated {
    async fn act(&self, act: Act) -> End {
        match act {
            Act::Succeed(time) | Act::Fail(time) | Act::Panic(time) => passes(time).await,
            Act::Hang => self.makers.released.pass().await,
            Act::FailFor(_) | Act::FailForGood | Act::Break => {}
        }
        match act {
            Act::Succeed(_) | Act::Hang => End::Succeeded,
            Act::Fail(_) | Act::FailFor(_) | Act::Break => End::Failed,
            Act::FailForGood => End::FailedForGood,
            Act::Panic(_) => End::Panicked,
        }
    }
}

fn failure(act: Act) -> JobFailure {
    let failure = JobFailure::from("as the script says");
    match act {
        Act::FailFor(delay) => failure.again_after(delay),
        Act::FailForGood => failure.never_again(),
        Act::Break => failure.worker_broken(),
        _ => failure,
    }
}

/// Returns after this time; at once for none.
pub(super) async fn passes(time: Duration) {
    if !time.is_zero() {
        let _ = timeout(time, pending::<()>()).await;
    }
}
