//! What is known of a queue's jobs in this process, and what is to be recorded of them.
//!
//! # Invariants
//!
//! 1. A job that has ended leaves the backlog at once, and its end is among the notes until it is recorded. A crash before that
//!    repeats the job: at most those of the last 10 ms, or 256 of them.
//! 2. Notes are recorded in their order, by one task at a time: an end is never recorded before the acceptance that follows it.
//! 3. A job that is in the pool is not put in again.
//! 4. Whether a job repeats a unique one is decided by the log: it does if its acceptance stands before the end of that one. So
//!    this process and a later one decide alike.

use std::collections::HashMap;
use std::mem;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::backlog::{Acceptance, Backlog, Unfinished};
use super::event::{Carried, JobDied, JobFact, JobFailed, JobTerms, JobsBegun, JobsDone, Mark};
use super::recovery::Recovery;

/// How many ends of jobs one event records.
pub(crate) const MAX_DONE: usize = 256;
/// How many other facts are recorded in one batch.
const MAX_FACTS: usize = 64;

/// The unfinished jobs of a queue, and the notes of what happened to them.
#[derive(Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
    /// There is something to record.
    noted: Notify,
    /// There is enough to record for one event.
    full: Notify,
    /// The pool has given jobs back.
    returned: Notify,
}

#[derive(Default)]
struct State {
    backlog: Backlog,
    is_recovered: bool,
    /// What the log says of the jobs that an earlier process has left, until they have been read; and its newest event.
    recovery: Recovery,
    /// Those whose event cannot be read as a job: they wait for a program that can.
    unreadable: usize,
    notes: Notes,
    /// The marks of jobs that have ended, until the log has been read up to the record of that.
    closing: HashMap<Mark, Closing>,
}

/// A job with a mark that has ended, and the event that records it.
struct Closing {
    id: u64,
    recorded: Option<u64>,
}

/// What is to be recorded, in the order of each list.
#[derive(Default)]
struct Notes {
    begun: Vec<(u64, u32)>,
    done: Vec<u64>,
    facts: Vec<JobFact>,
}

impl Notes {
    fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.done.is_empty() && self.facts.is_empty()
    }
}

impl State {
    /// A job ends. Its marks are closing until the log says so.
    fn finish(&mut self, id: u64) -> Option<Unfinished> {
        let finished = self.backlog.finish(id)?;
        for mark in &finished.marks {
            self.closing.insert(mark.clone(), Closing { id, recorded: None });
        }
        Some(finished)
    }

    /// A job that is read has ended by this event. Its marks are closing until then, unless another one has them.
    fn has_ended(&mut self, id: u64, terms: &JobTerms, end: u64) {
        for mark in terms.marks() {
            self.closing.entry(mark).or_insert(Closing { id, recorded: Some(end) });
        }
    }

    fn accept(&mut self, event: u64, terms: &JobTerms) -> Acceptance {
        let id = terms.carried.map_or(event, |carried| carried.id);
        if let Some(end) = self.recovery.end_of(id) {
            self.has_ended(id, terms, end);
            return Acceptance::Ended;
        }
        if terms.carried.is_some() {
            // All that an earlier process has carried on are known: this one has ended meanwhile.
            return if self.backlog.get(id).is_some() { self.backlog.accept(event, terms) } else { Acceptance::Ended };
        }
        let is_open = |closing: &&Closing| closing.recorded.is_none_or(|recorded| event < recorded);
        let closing = terms.marks().find_map(|mark| self.closing.get(&mark).filter(is_open).map(|it| it.id));
        if let Some(first) = closing {
            return Acceptance::Repeats(first);
        }
        let acceptance = self.backlog.accept(event, terms);
        self.backlog.begun(id, self.recovery.attempts(id));
        acceptance
    }

    fn has_read(&mut self, event: u64) {
        self.backlog.set_position(event);
        if event >= self.recovery.newest {
            self.recovery = Recovery::new(event, self.recovery.newest);
        }
        self.closing.retain(|_, closing| closing.recorded.is_none_or(|recorded| recorded > event));
    }
}

impl Ledger {
    // ---- what happens to jobs ----

    /// An attempt begins. It is recorded if it has not ended when the next notes are.
    pub(crate) fn begun(&self, id: u64, attempt: u32) {
        let mut state = self.state.lock();
        state.backlog.begun(id, attempt);
        state.notes.begun.push((id, attempt));
        drop(state);
        self.noted.notify_one();
    }

    /// The same of an attempt that is recorded already.
    pub(crate) fn begun_recorded(&self, id: u64, attempt: u32) {
        self.state.lock().backlog.begun(id, attempt);
    }

    /// An attempt has failed.
    pub(crate) fn failed(&self, id: u64, attempt: u32, error: String) {
        let mut state = self.state.lock();
        state.backlog.begun(id, attempt);
        state.notes.facts.push(JobFact::Failed(JobFailed { id, attempt, error }));
        drop(state);
        self.noted.notify_one();
    }

    /// A job is done.
    pub(crate) fn done(&self, id: u64) {
        let mut state = self.state.lock();
        if state.finish(id).is_none() {
            return;
        }
        state.notes.done.push(id);
        let is_full = state.notes.done.len() >= MAX_DONE;
        drop(state);
        self.noted.notify_one();
        if is_full {
            self.full.notify_one();
        }
    }

    /// A job is not tried again.
    pub(crate) fn died(&self, id: u64, error: String) {
        let mut state = self.state.lock();
        let Some(dead) = state.finish(id) else { return };
        state.notes.facts.push(JobFact::Died(JobDied { id, attempts: dead.attempts, error }));
        drop(state);
        self.noted.notify_one();
    }

    /// The pool has given a job back unfinished: it is put in again when it is fed the next time.
    pub(crate) fn came_back(&self, id: u64) {
        if self.state.lock().backlog.set_in_pool(id, false) {
            self.returned.notify_one();
        }
    }

    /// Returns when the pool has given jobs back since the last time.
    pub(crate) async fn returned(&self) {
        self.returned.notified().await;
    }

    /// A job whose event cannot be read as one. It is not put in by this process.
    pub(crate) fn unreadable(&self, id: u64) {
        let mut state = self.state.lock();
        state.unreadable += 1;
        state.backlog.set_in_pool(id, true);
    }

    // ---- what is read of the log ----

    /// Begins with what an earlier process has left; once. Its jobs are to be [read](Self::accepted) next.
    pub(crate) fn recover(&self, mut recovery: Recovery) {
        let mut state = self.state.lock();
        if mem::replace(&mut state.is_recovered, true) {
            return;
        }
        state.backlog.set_position(recovery.after);
        let carried = recovery.take_carried();
        state.recovery = recovery;
        for (event, terms) in carried {
            let Some(id) = terms.carried.map(|carried| carried.id) else { continue };
            match state.recovery.end_of(id) {
                Some(end) => state.has_ended(id, &terms, end),
                None => {
                    state.backlog.accept(event, &terms);
                    let attempts = state.recovery.attempts(id);
                    state.backlog.begun(id, attempts);
                }
            }
        }
    }

    /// Whether a job was left by an earlier process.
    pub(crate) fn is_left(&self, id: u64) -> bool {
        id <= self.state.lock().recovery.newest
    }

    pub(crate) fn is_recovered(&self) -> bool {
        self.state.lock().is_recovered
    }

    /// A job is read from the log.
    pub(crate) fn accepted(&self, event: u64, terms: &JobTerms) -> Acceptance {
        let mut state = self.state.lock();
        let acceptance = state.accept(event, terms);
        state.has_read(event);
        if let Acceptance::Repeats(_) = acceptance {
            state.notes.done.push(event);
            drop(state);
            self.noted.notify_one();
        }
        acceptance
    }

    /// All events up to this one have been read.
    pub(crate) fn has_read(&self, event: u64) {
        self.state.lock().has_read(event);
    }

    pub(crate) fn position(&self) -> u64 {
        self.state.lock().backlog.position()
    }

    /// The next job of those after this one that is not in the pool, in the order of acceptance.
    pub(crate) fn next_waiting(&self, after: u64) -> Option<Waiting> {
        let state = self.state.lock();
        let mut waiting = state.backlog.jobs_after(after).filter(|(_, job)| !job.in_pool);
        waiting.next().map(|(id, job)| Waiting {
            id,
            record: job.record,
            attempts: job.attempts,
            run_at: job.run_at.map(|time| time.0),
        })
    }

    /// A job that waits, if it still does.
    pub(crate) fn waiting(&self, id: u64) -> Option<Waiting> {
        self.next_waiting(id.saturating_sub(1)).filter(|waiting| waiting.id == id)
    }

    /// A job is in the pool now.
    pub(crate) fn put_in(&self, id: u64) {
        self.state.lock().backlog.set_in_pool(id, true);
    }

    // ---- what is recorded ----

    /// Returns when there is something to record.
    pub(crate) async fn noted(&self) {
        while self.state.lock().notes.is_empty() {
            self.noted.notified().await;
        }
    }

    /// Returns when there is enough for one event.
    pub(crate) async fn is_full(&self) {
        while self.state.lock().notes.done.len() < MAX_DONE {
            self.full.notified().await;
        }
    }

    /// Takes what is to be recorded next; empty if there is nothing. What is not recorded is to be [put back](Self::put_back).
    pub(crate) fn take_notes(&self) -> Vec<JobFact> {
        let mut state = self.state.lock();
        let State { backlog, notes, .. } = &mut *state;
        let mut facts: Vec<_> = notes.facts.drain(..notes.facts.len().min(MAX_FACTS)).collect();
        // An attempt that has ended meanwhile is recorded by its end.
        let begun = mem::take(&mut notes.begun).into_iter();
        let jobs: Vec<_> =
            begun.filter(|(id, attempt)| backlog.get(*id).is_some_and(|job| job.attempts == *attempt)).collect();
        if !jobs.is_empty() {
            facts.push(JobFact::Begun(JobsBegun { jobs }));
        }
        let ids: Vec<_> = notes.done.drain(..notes.done.len().min(MAX_DONE)).collect();
        if !ids.is_empty() {
            facts.push(JobFact::Done(JobsDone { ids, from: backlog.needed_from() }));
        }
        facts
    }

    /// Puts back what could not be recorded, before what has been noted since.
    pub(crate) fn put_back(&self, facts: Vec<JobFact>) {
        let mut state = self.state.lock();
        let since = mem::take(&mut state.notes);
        for fact in facts {
            match fact {
                JobFact::Begun(begun) => state.notes.begun.extend(begun.jobs),
                JobFact::Done(done) => state.notes.done.extend(done.ids),
                fact => state.notes.facts.push(fact),
            }
        }
        state.notes.begun.extend(since.begun);
        state.notes.done.extend(since.done);
        state.notes.facts.extend(since.facts);
    }

    /// A note is recorded by this event.
    pub(crate) fn recorded(&self, event: u64, fact: &JobFact) {
        let ended = |id: u64| match fact {
            JobFact::Done(done) => done.ids.contains(&id),
            JobFact::Died(died) => died.id == id,
            _ => false,
        };
        let mut state = self.state.lock();
        state.closing.values_mut().filter(|it| ended(it.id)).for_each(|it| it.recorded = Some(event));
    }

    /// The first event that is still needed.
    pub(crate) fn needed_from(&self) -> u64 {
        self.state.lock().backlog.needed_from()
    }

    /// Whether a process that starts has much to read for a few old jobs. See [`Backlog::keeps_many`].
    pub(crate) fn keeps_many(&self, at_most: usize) -> bool {
        self.state.lock().backlog.keeps_many(at_most)
    }

    /// The jobs with the oldest records, at most this many, oldest first: each with the event that has it.
    pub(crate) fn oldest(&self, at_most: usize) -> Vec<(u64, Carried)> {
        self.state.lock().backlog.oldest(at_most)
    }

    // ---- what callers see ----

    pub(crate) fn with_mark(&self, mark: &Mark) -> Option<u64> {
        self.state.lock().backlog.with_mark(mark)
    }

    /// How many jobs are unfinished, as far as the log has been read, and how many of them cannot be read.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.backlog.len(), state.unreadable)
    }
}

/// A job that is not in the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) id: u64,
    pub(crate) record: u64,
    pub(crate) attempts: u32,
    pub(crate) run_at: Option<std::time::SystemTime>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(jobs: u64) -> Ledger {
        let ledger = Ledger::default();
        for event in 1..=jobs {
            ledger.accepted(event, &JobTerms::default());
        }
        ledger
    }

    #[test]
    fn an_attempt_that_has_ended_is_not_noted_and_ends_are_recorded_256_at_a_time() {
        let ledger = ledger(300);
        (1..=300).for_each(|id| ledger.begun(id, 1));
        (1..300).for_each(|id| ledger.done(id));
        let begun = JobFact::Begun(JobsBegun { jobs: vec![(300, 1)] });
        let done = |ids: std::ops::Range<u64>| JobFact::Done(JobsDone { ids: ids.collect(), from: 300 });
        assert_eq!(ledger.take_notes(), [begun, done(1..257)]);
        assert_eq!(ledger.take_notes(), [done(257..300)]);
        assert_eq!(ledger.take_notes(), []);
    }

    #[test]
    fn what_could_not_be_recorded_comes_before_what_was_noted_since() {
        let ledger = ledger(3);
        ledger.failed(1, 1, "first".to_owned());
        ledger.done(2);
        let notes = ledger.take_notes();
        ledger.died(1, "second".to_owned());
        ledger.done(3);
        ledger.put_back(notes);
        let failed = JobFact::Failed(JobFailed { id: 1, attempt: 1, error: "first".to_owned() });
        let died = JobFact::Died(JobDied { id: 1, attempts: 1, error: "second".to_owned() });
        assert_eq!(ledger.take_notes(), [failed, died, JobFact::Done(JobsDone { ids: vec![2, 3], from: 4 })]);
    }

    #[test]
    fn a_unique_job_repeats_the_one_whose_end_stands_after_it_in_the_log_however_late_it_is_read() {
        let (ledger, unique) = (Ledger::default(), || JobTerms { unique: Some("a".to_owned()), ..JobTerms::default() });
        assert_eq!(ledger.accepted(1, &unique()), Acceptance::New);
        ledger.done(1);
        // Events 2 and 3 are recorded by now, and then the end of 1, as event 4.
        assert_eq!(ledger.accepted(2, &unique()), Acceptance::Repeats(1));
        ledger.take_notes().iter().for_each(|fact| ledger.recorded(4, fact));
        assert_eq!(ledger.accepted(3, &unique()), Acceptance::Repeats(1));
        assert_eq!(ledger.take_notes(), [JobFact::Done(JobsDone { ids: vec![3], from: 4 })]);
        assert_eq!(ledger.accepted(5, &unique()), Acceptance::New);
        assert_eq!(ledger.accepted(6, &unique()), Acceptance::Repeats(5));
        assert!(ledger.state.lock().closing.is_empty());
    }

    #[test]
    fn a_job_is_put_in_once_until_it_comes_back() {
        let ledger = ledger(2);
        assert_eq!(ledger.next_waiting(0).map(|it| it.id), Some(1));
        ledger.put_in(1);
        assert_eq!(ledger.next_waiting(0).map(|it| it.id), Some(2));
        assert_eq!((ledger.waiting(1), ledger.next_waiting(2)), (None, None));
        ledger.came_back(1);
        assert_eq!(ledger.waiting(1).map(|it| it.id), Some(1));
        ledger.done(1);
        assert_eq!(ledger.waiting(1), None);
    }
}
