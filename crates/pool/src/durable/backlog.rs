//! The unfinished jobs of a queue, by those of its events that were read.
//!
//! # Invariants
//!
//! 1. A job is unfinished from its acceptance until it is done or has died, and in this table exactly then, once its acceptance was
//!    read.
//! 2. Of the jobs with the same mark, a unique text or an idempotency key, at most one is unfinished: a second one repeats it, and is never performed. Its end
//!    is recorded at once, or it would seem to be the first when the events before it are not read any more.
//! 3. Every event that is needed to know the unfinished jobs again is [`needed_from`](Backlog::needed_from) or later.
//! 4. Attempts never go back: those of a job that its process did not survive count as well.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use super::event::{Carried, JobTerms, Mark, TimeOfDay};

/// How many events more than this the oldest jobs keep before they are recorded again.
const MIN_KEPT: u64 = 1_000;
/// How many events at least a job keeps that is recorded again before there is a need to.
const KEPT_BY_EACH: u64 = 16;

/// The unfinished jobs of a queue, by their ids, in the order in which they were accepted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backlog {
    jobs: BTreeMap<u64, Unfinished>,
    /// The events that record them, which are others than their ids for jobs that were carried on.
    records: BTreeSet<u64>,
    /// The unfinished job of each mark.
    marks: HashMap<Mark, u64>,
    /// The last event that was applied.
    position: u64,
}

/// A job that was accepted, and is neither done nor dead.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unfinished {
    /// The event that has the job.
    pub(crate) record: u64,
    /// How often it has been begun.
    pub(crate) attempts: u32,
    /// Before this time it is not begun.
    pub(crate) run_at: Option<TimeOfDay>,
    /// Whether the pool of this process has it.
    pub(crate) in_pool: bool,
    pub(crate) marks: Vec<Mark>,
}

/// What the acceptance of a job means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acceptance {
    /// It is to be performed.
    New,
    /// It repeats a job that is unfinished, which has this id.
    Repeats(u64),
    /// It is a job that is known already, recorded again.
    Carried,
    /// It has ended, as the log says further on.
    Ended,
}

impl Backlog {
    /// A job ends, done or dead. `None` if it had ended before.
    pub(crate) fn finish(&mut self, id: u64) -> Option<Unfinished> {
        let finished = self.jobs.remove(&id)?;
        self.records.remove(&finished.record);
        for mark in &finished.marks {
            self.marks.remove(mark);
        }
        Some(finished)
    }

    /// An attempt at a job begins.
    pub(crate) fn begun(&mut self, id: u64, attempt: u32) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.attempts = job.attempts.max(attempt);
        }
    }

    /// A job is recorded by the event with this id, for the first time or again.
    pub(crate) fn accept(&mut self, event: u64, terms: &JobTerms) -> Acceptance {
        let (id, attempts) = terms.carried.map_or((event, 0), |carried| (carried.id, carried.attempts));
        if let Some(known) = self.jobs.get_mut(&id) {
            self.records.remove(&known.record);
            // The first record may be read after a later one.
            (known.record, known.attempts) = (event.max(known.record), known.attempts.max(attempts));
            self.records.insert(known.record);
            return Acceptance::Carried;
        }
        let marks: Vec<_> = terms.marks().collect();
        if let Some(first) = marks.iter().find_map(|mark| self.marks.get(mark)) {
            return Acceptance::Repeats(*first);
        }
        self.marks.extend(marks.iter().map(|mark| (mark.clone(), id)));
        self.records.insert(event);
        self.jobs.insert(id, Unfinished { record: event, attempts, run_at: terms.run_at, in_pool: false, marks });
        Acceptance::New
    }

    /// The unfinished jobs that were accepted after this one, in the order of acceptance.
    pub(crate) fn jobs_after(&self, id: u64) -> impl Iterator<Item = (u64, &Unfinished)> {
        self.jobs.range((Bound::Excluded(id), Bound::Unbounded)).map(|(id, job)| (*id, job))
    }

    /// True if the job is unfinished.
    pub(crate) fn set_in_pool(&mut self, id: u64, in_pool: bool) -> bool {
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        job.in_pool = in_pool;
        true
    }

    /// All events up to this one have been applied, or are of no meaning.
    pub(crate) fn set_position(&mut self, event: u64) {
        self.position = self.position.max(event);
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Unfinished> {
        self.jobs.get(&id)
    }

    /// The unfinished job with this mark.
    pub(crate) fn with_mark(&self, mark: &Mark) -> Option<u64> {
        self.marks.get(mark).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// The last event that was applied; 0 if none was.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The first event that is still needed, or that is not applied yet.
    pub(crate) fn needed_from(&self) -> u64 {
        // Of a job that was carried on the record may be known before the events between are read.
        self.records.first().copied().unwrap_or(u64::MAX).min(self.position.saturating_add(1))
    }

    /// Whether the jobs with the oldest records, at most this many, keep so many events that they are worth recording again: a
    /// process that starts reads all events that are needed.
    pub(crate) fn keeps_many(&self, at_most: usize) -> bool {
        let Some(first) = self.records.first() else { return false };
        let next = self.records.iter().nth(at_most).copied().unwrap_or(self.position + 1);
        let records = self.records.len().min(at_most) as u64;
        next.saturating_sub(*first) > MIN_KEPT + KEPT_BY_EACH * records
    }

    /// The jobs with the oldest records, at most this many, in the order of acceptance: those that keep old events.
    pub(crate) fn oldest(&self, at_most: usize) -> Vec<(u64, Carried)> {
        let Some(newest) = self.records.iter().take(at_most).next_back() else { return Vec::new() };
        let oldest = self.jobs.iter().filter(|(_, job)| job.record <= *newest);
        oldest.map(|(id, job)| (job.record, Carried { id: *id, attempts: job.attempts })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_job_with_a_unique_text_repeats_the_first_until_that_has_ended() {
        let mut backlog = Backlog::default();
        let report = JobTerms { unique: Some("report".to_owned()), ..JobTerms::default() };
        assert_eq!(backlog.accept(1, &report), Acceptance::New);
        assert_eq!(backlog.accept(2, &report), Acceptance::Repeats(1));
        let mark = Mark::Unique("report".into());
        assert_eq!((backlog.with_mark(&mark), backlog.len()), (Some(1), 1));
        backlog.begun(1, 2);
        assert_eq!(backlog.get(1).map(|job| job.attempts), Some(2));
        backlog.finish(1);
        backlog.set_position(4);
        assert_eq!((backlog.with_mark(&mark), backlog.needed_from()), (None, 5));
        assert_eq!(backlog.accept(5, &report), Acceptance::New);
    }

    #[test]
    fn a_job_whose_first_record_is_pruned_is_repeated_by_one_with_its_idempotency_key_until_it_has_ended() {
        let mut backlog = Backlog::default();
        let keyed = |carried| {
            let idempotency_key = Some("jobs.mails/order-7".to_owned());
            JobTerms { idempotency_key, carried, ..JobTerms::default() }
        };
        assert_eq!(backlog.accept(5, &keyed(Some(Carried { id: 1, attempts: 0 }))), Acceptance::New);
        assert_eq!(backlog.accept(6, &keyed(None)), Acceptance::Repeats(1));
        backlog.finish(1);
        assert_eq!(backlog.accept(8, &keyed(None)), Acceptance::New);
    }

    #[test]
    fn a_few_old_jobs_that_keep_many_events_are_recorded_again_and_many_that_keep_few_each_are_not() {
        let keep = |jobs: u64, events: u64| {
            let mut backlog = Backlog::default();
            for event in 1..=jobs {
                backlog.accept(event, &JobTerms::default());
            }
            backlog.set_position(events);
            backlog.keeps_many(256)
        };
        assert!(!keep(0, 5_000) && !keep(1, 1_016) && keep(1, 1_018));
        assert!(keep(200, 5_000) && !keep(256, 5_000) && keep(256, 5_200));
        assert!(!keep(5_000, 5_200), "they would be recorded again and again");
    }

    #[test]
    fn events_that_are_not_read_yet_are_needed_although_a_later_record_is_known() {
        let mut backlog = Backlog::default();
        backlog.set_position(3);
        let carried = JobTerms { carried: Some(Carried { id: 1, attempts: 0 }), ..JobTerms::default() };
        backlog.accept(9, &carried);
        assert_eq!(backlog.needed_from(), 4);
        backlog.accept(5, &JobTerms::default());
        backlog.set_position(12);
        assert_eq!(backlog.needed_from(), 5);
        // The first record is read after the later one, which stays.
        backlog.accept(1, &JobTerms::default());
        backlog.finish(5);
        assert_eq!(backlog.needed_from(), 9);
    }
}
