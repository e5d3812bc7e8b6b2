//! What a worker holds of the queue: the guard of its jobs.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::after::After;
use super::claim_cell::{ClaimCell, Tally};
use super::job_queue::JobQueue;
use super::state::State;
use super::turn::{Turn, Wait};
use super::waiters::Waiters;
use crate::job::batch::BatchJob;
use crate::job::failure::JobFailure;
use crate::job::record::{Ending, JobRecord};
use crate::retry::{RetryAdvice, RetryDecision};
use crate::routing::JobTimer;

/// How often a job is begun at least, if each attempt is interrupted: then it is the job that ends workers.
const MIN_LIVES: u32 = 3;

/// The jobs that a worker has claimed. Dropped, it puts back those that are not finished.
pub(crate) struct Claim<J, T> {
    queue: Arc<JobQueue<J, T>>,
    /// The job that has been begun.
    begun: Option<JobRecord<J, T>>,
    /// The jobs that have been begun at once.
    batch: Vec<BatchJob<J, T>>,
    /// Those of them that go on by themselves, within the same attempt; the first one last.
    alone: Vec<JobRecord<J, T>>,
    cell: Arc<ClaimCell<J, T>>,
    tally: Tally,
    /// As of the last renewal.
    timer: Option<JobTimer>,
}

impl<J, T> Claim<J, T> {
    /// An empty claim of the worker on this slot, which counts from now on.
    pub(crate) fn new(queue: Arc<JobQueue<J, T>>, slot: usize) -> Self {
        let cell = Arc::new(ClaimCell::new(slot));
        queue.step(|state, after| state.worker_came(&cell, after));
        Self { queue, begun: None, batch: Vec::new(), alone: Vec::new(), cell, tally: Tally::default(), timer: None }
    }

    /// Returns when it has jobs, at most this many, or with `false` when the worker is to end.
    pub(crate) async fn renew(&mut self, at_most: usize) -> bool {
        let Self { queue, cell, tally, timer, .. } = self;
        let mut jobs = Jobs { cell, tally, timer, at_most: at_most.max(1) };
        let claimed = queue.step_aside(|state, after| {
            state.empty_intake();
            jobs.take(state, false, after)
        });
        match claimed {
            Some(more) => more,
            None => Wait::of_looked(&**queue, jobs).await,
        }
    }

    /// Begins the next job; `None` if there is none left.
    pub(crate) fn begin(&mut self) -> Option<&mut JobRecord<J, T>> {
        if let Some(record) = self.alone.pop() {
            self.cell.forget_of_batch(record.id.number());
            return Some(self.begin_record(record));
        }
        let mut next = loop {
            let next = self.cell.rest.lock().pop_front()?;
            // Its deadline may have passed while those before it in the claim were performed.
            if !next.has_expired(self.queue.rules().deadline) {
                break next;
            }
            self.queue.step(|state, after| state.expire_claimed(next, after));
        };
        next.attempts = next.attempts.saturating_add(1);
        Some(self.begin_record(next))
    }

    fn begin_record(&mut self, record: JobRecord<J, T>) -> &mut JobRecord<J, T> {
        self.cell.begun.store(record.id.number(), Ordering::Relaxed);
        self.timer.iter_mut().for_each(JobTimer::begin);
        self.begun.insert(record)
    }

    // ---- jobs that are begun at once ----

    /// How many jobs can be begun at once, or have been. One that was attempted before is begun by itself: it may be the one
    /// that ended its batch.
    pub(crate) fn batch_len(&self) -> usize {
        match self.batch.len() {
            0 => self.cell.rest.lock().iter().filter(|record| record.attempts == 0).count(),
            begun => begun,
        }
    }

    /// Begins those jobs at once, unless some have been, and shows them.
    pub(crate) fn begin_batch(&mut self) -> &mut [BatchJob<J, T>] {
        if self.batch.is_empty() {
            let mut rest = self.cell.rest.lock();
            let (first, again): (VecDeque<_>, _) = mem::take(&mut *rest).into_iter().partition(|it| it.attempts == 0);
            *rest = again;
            *self.cell.batch.lock() = first.iter().map(|record: &JobRecord<J, T>| record.id.number()).collect();
            drop(rest);
            let begun = |record| BatchJob { record: JobRecord { attempts: 1, ..record }, outcome: None };
            self.batch = first.into_iter().map(begun).collect();
            self.timer.iter_mut().for_each(JobTimer::begin);
        }
        &mut self.batch
    }

    /// How many jobs have been begun at once, how many of them have an outcome, and how many of those have failed.
    pub(crate) fn batch_outcomes(&self) -> (usize, usize, usize) {
        let outcomes = || self.batch.iter().filter_map(|job| job.outcome.as_ref());
        (self.batch.len(), outcomes().count(), outcomes().filter(|outcome| outcome.is_err()).count())
    }

    /// Makes the last job that was begun at once the one that is to be ended, and returns its outcome, if it has one.
    /// The last one: jobs that come back are put at the front.
    pub(crate) fn next_of_batch(&mut self) -> Option<Option<Result<T, JobFailure>>> {
        let BatchJob { record, outcome } = self.batch.pop()?;
        self.cell.forget_of_batch(record.id.number());
        self.cell.begun.store(record.id.number(), Ordering::Relaxed);
        self.begun = Some(record);
        Some(outcome)
    }

    /// Lets the job that was begun at once with others go on by itself, next and within the same attempt.
    pub(crate) fn go_on_alone(&mut self) {
        let Some(record) = self.begun.take() else { return };
        self.cell.begun.store(0, Ordering::Relaxed);
        self.cell.batch.lock().push(record.id.number());
        self.alone.push(record);
    }

    /// The jobs that were begun at once have taken this long together, and have succeeded or not.
    pub(crate) fn time_batch(&mut self, jobs: usize, succeeded: bool) {
        self.timer.iter_mut().for_each(|timer| timer.end_batch(jobs, succeeded));
    }

    /// Puts the jobs back that were to go on by themselves.
    fn interrupt_alone(&mut self) {
        // The first one last, so that it comes to stand at the front.
        for record in std::mem::take(&mut self.alone) {
            self.cell.forget_of_batch(record.id.number());
            self.begun = Some(record);
            self.interrupted();
        }
    }

    // ---- the ends of jobs ----

    /// Ends the job that was begun, with its output.
    pub(crate) fn done(&mut self, output: T) {
        let Some(record) = self.finish(true) else { return };
        self.tally.done += 1;
        // A caller that has its answer finds the job counted, and its keys free.
        if record.reply.is_some() || record.has_to_be_forgotten() {
            let tally = &mut self.tally;
            self.queue.step_aside(|state, after| {
                state.forget(&record, after);
                state.finish(tally, after);
            });
        }
        record.done(output);
    }

    /// Ends the attempt at the job that was begun: it is tried again, or goes to its owner.
    pub(crate) fn failed(&mut self, ending: Ending, advice: RetryAdvice) {
        let Some(record) = self.finish(false) else { return };
        let decision = self.queue.rules().retry.decide(record.attempts, advice, fastrand::f64());
        self.queue.step(|state, after| match decision {
            RetryDecision::After(delay) => state.retry(record, delay, after),
            RetryDecision::GiveUp => state.die(record, ending, after),
        });
    }

    /// Puts the job that was begun back, unless it was interrupted too often.
    pub(crate) fn interrupted(&mut self) {
        let most = self.most_lives();
        let Some(record) = self.finish(false) else { return };
        let cell = &self.cell;
        self.queue.step(|state, after| end_or_put_back(state, (record, cell), most, after));
    }

    /// How often a job is begun whose attempts are interrupted.
    fn most_lives(&self) -> u32 {
        self.queue.rules().retry.max_attempts().max(MIN_LIVES)
    }

    fn finish(&mut self, succeeded: bool) -> Option<JobRecord<J, T>> {
        self.timer.iter_mut().for_each(|timer| timer.end(succeeded));
        self.cell.begun.store(0, Ordering::Relaxed);
        self.begun.take()
    }

    /// Puts the jobs back that have not been begun.
    pub(crate) fn give_back(&mut self) {
        self.interrupt_alone();
        let (cell, tally) = (&self.cell, &mut self.tally);
        self.queue.step(|state, after| {
            state.finish(tally, after);
            let rest = mem::take(&mut *cell.rest.lock());
            state.put_back_unbegun(rest, cell, after);
        });
    }
}

impl<J, T> Drop for Claim<J, T> {
    fn drop(&mut self) {
        self.cell.begun.store(0, Ordering::Relaxed);
        let most = self.most_lives();
        let (begun, cell, tally) = (self.begun.take(), &self.cell, &mut self.tally);
        self.queue.step(|state, after| {
            let rest = mem::take(&mut *cell.rest.lock());
            // First: its jobs come to stand in the shared lane, before those of its inbox.
            state.worker_went(cell, after);
            state.finish(tally, after);
            state.put_back_unbegun(rest, cell, after);
            if let Some(record) = begun {
                end_or_put_back(state, (record, cell), most, after);
            }
        });
        while let Some(outcome) = self.next_of_batch() {
            match outcome {
                Some(Ok(output)) => self.done(output),
                Some(Err(failure)) => {
                    let (error, advice) = failure.into_parts();
                    self.failed(Ending::Failed(error), advice);
                }
                None => self.interrupted(),
            }
        }
        self.interrupt_alone();
        let (cell, tally) = (&self.cell, &mut self.tally);
        cell.begun.store(0, Ordering::Relaxed);
        self.queue.step(|state, after| state.finish(tally, after));
    }
}

/// Of a pool that ends, a worker that is ended says nothing about its job.
fn end_or_put_back<J, T>(
    state: &mut State<J, T>,
    (record, cell): (JobRecord<J, T>, &ClaimCell<J, T>),
    most: u32,
    after: &mut After<J, T>,
) {
    match record.attempts >= most && !state.is_closed() {
        true => state.die(record, Ending::Interrupted, after),
        false => state.put_back(std::iter::once(record), cell, after),
    }
}

/// A worker that waits for jobs.
struct Jobs<'a, J, T> {
    cell: &'a ClaimCell<J, T>,
    tally: &'a mut Tally,
    timer: &'a mut Option<JobTimer>,
    at_most: usize,
}

impl<J, T> Turn<JobQueue<J, T>> for Jobs<'_, J, T> {
    type Output = bool;

    fn list(state: &mut State<J, T>) -> &mut Waiters {
        &mut state.sleepers
    }

    fn slot(&self) -> usize {
        self.cell.slot
    }

    fn take(&mut self, state: &mut State<J, T>, _: bool, after: &mut After<J, T>) -> Option<bool> {
        state.finish(self.tally, after);
        if state.is_closed() {
            return Some(false);
        }
        let claimed = state.claim(self.at_most, self.cell, after);
        *self.timer = state.timer(self.cell);
        state.pick_senders(after);
        (claimed > 0).then_some(true)
    }

    fn pass_on(state: &mut State<J, T>, after: &mut After<J, T>) {
        state.pick_another(after);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::super::new_job::NewJob;
    use super::super::rules::{JobRules, QueueSpec};
    use super::*;
    use crate::job::key::JobKey;
    use crate::job::record::JobOptions;
    use crate::routing::{Router, Routing};

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_was_picked_for_a_job_that_has_expired_gets_the_next_one_of_its_key() {
        // The routing looks at all claims, also for the job that becomes ready while this one is filled.
        let router = Router::new(Routing::least_in_flight(), Vec::new(), 7);
        let queue: Arc<JobQueue<u64, ()>> = Arc::new(JobQueue::new(&QueueSpec::default(), JobRules::default(), router));
        let put = |job, deadline| {
            let options = JobOptions { key: JobKey::new("k").ok(), deadline, ..JobOptions::default() };
            queue.put(NewJob { job, reply: None, level: 0, options: Some(Box::new(options)) }).unwrap();
        };
        let mut claim = Claim::new(Arc::clone(&queue), 1);
        let mut renewing = Box::pin(claim.renew(4));
        assert!((&mut renewing).now_or_never().is_none(), "it sleeps");
        put(1, Some(Duration::ZERO));
        put(2, Some(Duration::ZERO));
        put(3, None);
        assert!(renewing.await);
        assert_eq!(claim.begin().map(|record| record.job), Some(3));
        assert_eq!(queue.figures().accounts.expired, 2);
    }
}
