//! Draining a pool, and what became of its jobs.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use foundation_kernel::containment::{drop_contained, report};
use futures::future::pending;
use tokio::time::{Instant, sleep_until, timeout};

use crate::dead_letters::DeadLetter;
use crate::error::JobError;
use crate::event::PoolEvent;
use crate::job::id::JobId;
use crate::job::record::{Ending, JobRecord};
use crate::queue::figures::Accounts;
use crate::queue::job_queue::JobQueue;
use crate::worker::crew::Crew;
use crate::worker::slots::Slots;

/// How long it may take until the workers that were made to abandon their jobs are gone; those that block their threads are
/// not.
const GRACE: Duration = Duration::from_secs(1);

/// What became of the jobs of a pool that was drained.
#[non_exhaustive]
pub struct Drained<J> {
    /// Jobs that were done during the drain.
    pub done: u64,
    /// Jobs that failed for good during the drain.
    pub failed: u64,
    /// Jobs that were not done, in the order of acceptance, as their workers left them. Those of callers that wait are not
    /// among them: each went to its caller.
    pub returned: ReturnedJobs<J>,
    /// How many jobs went back to callers that wait.
    pub answered: usize,
    /// Jobs of workers that block their threads, which nothing can end. They go to their callers, or to the dead letters,
    /// when their workers come back.
    pub abandoned: Vec<JobId>,
    /// How long it took.
    pub took: Duration,
}

impl<J> Drained<J> {
    /// Whether each job was done, or has failed.
    pub fn is_complete(&self) -> bool {
        self.returned.is_empty() && self.answered == 0 && self.abandoned.is_empty()
    }
}

// By hand, as below: a job need not be `Debug`.
impl<J> fmt::Debug for Drained<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drained")
            .field("done", &self.done)
            .field("failed", &self.failed)
            .field("returned", &self.returned)
            .field("answered", &self.answered)
            .field("abandoned", &self.abandoned)
            .field("took", &self.took)
            .finish()
    }
}

impl<J> fmt::Display for Drained<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, failed, answered, took, .. } = self;
        let (returned, abandoned) = (self.returned.len(), self.abandoned.len());
        write!(f, "{done} done, {failed} failed, {} not done, {abandoned} abandoned", returned + answered)?;
        write!(f, " in {took:?}")
    }
}

/// The jobs that a pool gives back, as an iterator of them. Dropped, it contains the panics of their destructors.
pub struct ReturnedJobs<J>(VecDeque<Unfinished<J>>);

impl<J> ReturnedJobs<J> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are left, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Unfinished<J>> {
        self.0.iter()
    }
}

impl<J> fmt::Debug for ReturnedJobs<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<J> Iterator for ReturnedJobs<J> {
    type Item = Unfinished<J>;

    fn next(&mut self) -> Option<Unfinished<J>> {
        self.0.pop_front()
    }
}

impl<J> Drop for ReturnedJobs<J> {
    fn drop(&mut self) {
        self.0.drain(..).for_each(|unfinished| drop_contained("a job", unfinished));
    }
}

/// A job that the pool gives back.
#[non_exhaustive]
pub struct Unfinished<J> {
    /// Its number.
    pub id: JobId,
    /// How often it has been begun.
    pub attempts: u32,
    /// The job.
    pub job: J,
}

impl<J> fmt::Debug for Unfinished<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unfinished").field("id", &self.id).field("attempts", &self.attempts).finish_non_exhaustive()
    }
}

/// Takes no more jobs, waits until all are done or the time is over, then asks and kills the workers that have one, and
/// gives the rest back.
pub(crate) async fn drain<J, T>(queue: &JobQueue<J, T>, crew: &Crew, within: Duration) -> Drained<J> {
    keeping_time(queue, end(queue, within, crew.stop())).await
}

/// Takes no more jobs, takes back all that workers have, and gives all of them back.
pub(crate) async fn stop_now<J, T>(queue: &JobQueue<J, T>, crew: &Crew, slots: &Slots) -> Drained<J> {
    let abandon = async {
        slots.abandon_all();
        crew.stop_within(GRACE).await;
    };
    end(queue, Duration::ZERO, abandon).await
}

/// Drains a queue for so long, and lets `stop` end the workers that have a job then.
async fn end<J, T>(queue: &JobQueue<J, T>, within: Duration, stop: impl Future<Output = ()>) -> Drained<J> {
    let begun = Instant::now();
    let (.., before) = queue.counts();
    let life = queue.drain();
    if !queue.is_closed() {
        let _ = timeout(within, queue.drained()).await;
    }
    // Of another life it closes nothing.
    let closing = queue.begin_close_of(life).then_some(Closing { queue, life, is_over: false });
    // Workers without a job have ended by now, or are about to.
    if closing.is_some() && queue.counts().2 > 0 {
        stop.await;
    }
    account(queue, closing, begun, before)
}

/// Takes no more jobs, and gives back all that it has; workers end after their current job. Takes none back if it has done so
/// before, and in another life than this.
pub(crate) fn close<J, T>(queue: &JobQueue<J, T>, life: u64) -> Drained<J> {
    let begun = Instant::now();
    let (.., before) = queue.counts();
    let closing = queue.begin_close_of(life).then_some(Closing { queue, life, is_over: false });
    account(queue, closing, begun, before)
}

/// Takes the jobs that are left to the callers that wait, and hands the others out.
fn account<J, T>(
    queue: &JobQueue<J, T>,
    closing: Option<Closing<'_, J, T>>,
    begun: Instant,
    before: Accounts,
) -> Drained<J> {
    let abandoned = if closing.is_some() { queue.begun() } else { Vec::new() };
    let (mut returned, mut answered) = (ReturnedJobs(VecDeque::new()), 0);
    for record in closing.map_or_else(Vec::new, Closing::close) {
        match give_back(queue, record) {
            Some(unfinished) => returned.0.push_back(unfinished),
            None => answered += 1,
        }
    }
    let (.., now) = queue.counts();
    let (done, failed) = (now.done - before.done, now.died - before.died);
    let event = PoolEvent::Drained { returned: returned.len() + answered, under_way: abandoned.len() };
    queue.rules().events.emit(event);
    Drained { done, failed, returned, answered, abandoned, took: begun.elapsed() }
}

/// A queue that is closing. Dropped before it is closed, it closes it, and all jobs go to their owners.
struct Closing<'q, J, T> {
    queue: &'q JobQueue<J, T>,
    life: u64,
    is_over: bool,
}

impl<J, T> Closing<'_, J, T> {
    fn close(mut self) -> Vec<JobRecord<J, T>> {
        self.is_over = true;
        self.queue.close_of(self.life)
    }
}

impl<J, T> Drop for Closing<'_, J, T> {
    fn drop(&mut self) {
        if !self.is_over {
            self.queue.close_of(self.life).into_iter().for_each(|record| self.queue.end(record, Ending::Returned));
        }
    }
}

/// Gives a job to the caller that waits for it, or hands it out.
fn give_back<J, T>(queue: &JobQueue<J, T>, record: JobRecord<J, T>) -> Option<Unfinished<J>> {
    if record.is_awaited() {
        queue.end(record, Ending::Returned);
        return None;
    }
    let JobRecord { id, attempts, job, .. } = record;
    Some(Unfinished { id, attempts, job })
}

/// Takes the jobs that were not done to the dead letters, at the end of a pool that is not drained by a caller.
pub(crate) fn deliver<J, T>(queue: &JobQueue<J, T>, drained: Drained<J>) {
    match drained.is_complete() {
        true => report(|| tracing::debug!(%drained, "a pool has ended")),
        false => report(|| tracing::warn!(%drained, "a pool has ended before all of its jobs were done")),
    }
    let dead_letters = &queue.rules().dead_letters;
    for unfinished in drained.returned {
        let (id, job) = (unfinished.id, unfinished.job);
        dead_letters.deliver(DeadLetter { id, error: JobError::Returned { id, job } });
    }
}

/// Keeps the time of a queue until this future ends: jobs which wait for a time become due, also while the keeper of the pool
/// waits for its restart.
async fn keeping_time<J, T, R>(queue: &JobQueue<J, T>, work: impl Future<Output = R>) -> R {
    let (mut keeping, mut work) = (pin!(keep_time(queue)), pin!(work));
    poll_fn(|context| {
        // It never ends.
        let _ = keeping.as_mut().poll(context);
        work.as_mut().poll(context)
    })
    .await
}

/// Lets jobs that are due wait for a worker, and ends those that have waited for too long.
pub(crate) async fn keep_time<J, T>(queue: &JobQueue<J, T>) {
    loop {
        let due = queue.tick();
        tokio::select! {
            () = queue.earlier_than(due) => {}
            () = until(due) => {}
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the delay of a job is the feature itself")]
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}
