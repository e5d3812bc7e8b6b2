//! The unfinished jobs of a queue: a fold of its events.
//!
//! # Invariants
//!
//! 1. A job is unfinished from its acceptance until it is done or has died, and in this table exactly then.
//! 2. Of the jobs with the same mark, a unique text or an idempotency key, at most one is unfinished: a second one repeats it, and is never performed. Its end
//!    is recorded at once, or it would seem to be the first when the events before it are not read any more.
//! 3. Every event that is needed to know the unfinished jobs again is [`needed_from`](Backlog::needed_from) or later.
//! 4. Attempts never go back: those of a job that its process did not survive count as well.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use super::event::{Carried, JobFact, JobTerms, Mark, TimeOfDay};

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
}

impl Backlog {
    /// Applies what an event with this id says.
    pub(crate) fn apply(&mut self, event: u64, fact: &JobFact) -> Option<Acceptance> {
        self.position = self.position.max(event);
        match fact {
            JobFact::Accepted(terms) => return Some(self.accept(event, terms)),
            JobFact::Begun(begun) => begun.jobs.iter().for_each(|(id, attempt)| self.begun(*id, *attempt)),
            JobFact::Failed(failed) => self.begun(failed.id, failed.attempt),
            JobFact::Done(done) => done.ids.iter().for_each(|id| drop(self.finish(*id))),
            JobFact::Died(died) => drop(self.finish(died.id)),
        }
        None
    }

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

    fn accept(&mut self, event: u64, terms: &JobTerms) -> Acceptance {
        let (id, attempts) = terms.carried.map_or((event, 0), |carried| (carried.id, carried.attempts));
        if let Some(known) = self.jobs.get_mut(&id) {
            self.records.remove(&known.record);
            self.records.insert(event);
            (known.record, known.attempts) = (event, known.attempts.max(attempts));
            return Acceptance::Carried;
        }
        let marks: Vec<_> = terms.marks().collect();
        for mark in &marks {
            let Some(unfinished) = self.marks.get(mark).copied() else { continue };
            if unfinished < id {
                return Acceptance::Repeats(unfinished);
            }
            // One that was carried on, whose first record is not read: what came between the two repeats it.
            self.finish(unfinished);
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
        self.records.first().copied().unwrap_or(self.position + 1)
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
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::durable::event::{JobDied, JobFailed, JobsBegun, JobsDone};

    #[derive(Debug, Clone)]
    enum Step {
        Accept(Option<u8>),
        Begin(usize),
        Finish(usize, bool),
        Carry(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => option::of(0..3_u8).prop_map(Step::Accept),
            3 => (0..9_usize).prop_map(Step::Begin),
            2 => (0..9_usize, any::<bool>()).prop_map(|(at, dies)| Step::Finish(at, dies)),
            1 => (0..9_usize).prop_map(Step::Carry),
        ];
        vec(step, 0..120)
    }

    /// The facts of a queue that take these steps, each with the id of its event, from 1.
    fn facts(steps: Vec<Step>) -> Vec<JobFact> {
        let (mut backlog, mut facts) = (Backlog::default(), Vec::new());
        for step in steps {
            let nth = |at: usize| backlog.jobs_after(0).nth(at).map(|(id, job)| (id, job.attempts));
            let fact = match step {
                Step::Accept(unique) => {
                    JobFact::Accepted(JobTerms { unique: unique.map(|it| it.to_string()), ..JobTerms::default() })
                }
                Step::Begin(at) => match nth(at) {
                    Some((id, attempts)) => JobFact::Begun(JobsBegun { jobs: vec![(id, attempts + 1)] }),
                    None => continue,
                },
                Step::Finish(at, dies) => match nth(at) {
                    Some((id, attempts)) if dies => JobFact::Died(JobDied { id, attempts, error: String::new() }),
                    Some((id, _)) => JobFact::Done(JobsDone { ids: vec![id], from: backlog.needed_from() }),
                    None => continue,
                },
                Step::Carry(at) => match nth(at) {
                    Some((id, attempts)) => {
                        let mark = backlog.get(id).and_then(|job| job.marks.first().cloned());
                        let unique = mark.map(|(Mark::Unique(text) | Mark::Key(text))| text.to_string());
                        JobFact::Accepted(JobTerms {
                            unique,
                            carried: Some(Carried { id, attempts }),
                            ..JobTerms::default()
                        })
                    }
                    None => continue,
                },
            };
            facts.push(fact);
            let event = facts.len() as u64;
            if let Some(Acceptance::Repeats(_)) = backlog.apply(event, facts.last().unwrap()) {
                facts.push(JobFact::Done(JobsDone { ids: vec![event], from: backlog.needed_from() }));
                backlog.apply(event + 1, facts.last().unwrap());
            }
        }
        facts
    }

    fn fold<'f>(facts: impl Iterator<Item = (u64, &'f JobFact)>) -> Backlog {
        let mut backlog = Backlog::default();
        for (event, fact) in facts {
            backlog.apply(event, fact);
        }
        backlog
    }

    fn picture(backlog: &Backlog) -> Vec<(u64, Unfinished)> {
        backlog.jobs_after(0).map(|(id, job)| (id, job.clone())).collect()
    }

    proptest! {
        #[test]
        fn the_events_from_the_first_needed_one_on_tell_the_same_unfinished_jobs(steps in steps()) {
            let facts = facts(steps);
            let numbered = || (1..).zip(&facts);
            let all = fold(numbered());
            let needed = fold(numbered().filter(|(event, _)| *event >= all.needed_from()));
            let (attempts, fewer) = (picture(&all), picture(&needed));
            prop_assert_eq!(&attempts, &fewer);
            prop_assert_eq!(all.records.len(), all.len());
            prop_assert!(all.jobs_after(0).all(|(id, job)| job.record >= id && all.records.contains(&job.record)));
            let unique: BTreeSet<_> = all.jobs_after(0).flat_map(|(_, job)| job.marks.clone()).collect();
            prop_assert_eq!(unique.len(), all.jobs_after(0).filter(|(_, job)| !job.marks.is_empty()).count());
            prop_assert_eq!(unique.len(), all.marks.len());
        }

        #[test]
        fn facts_that_are_recorded_twice_change_nothing(steps in steps()) {
            let facts = facts(steps);
            let mut backlog = Backlog::default();
            for (event, fact) in (1..).zip(&facts) {
                backlog.apply(event, fact);
                if !matches!(fact, JobFact::Accepted(_)) {
                    backlog.apply(event, fact);
                }
            }
            prop_assert_eq!(picture(&backlog), picture(&fold((1..).zip(&facts))));
        }
    }

    #[test]
    fn a_second_job_with_a_unique_text_repeats_the_first_until_that_has_ended() {
        let mut backlog = Backlog::default();
        let report = JobFact::Accepted(JobTerms { unique: Some("report".to_owned()), ..JobTerms::default() });
        assert_eq!(backlog.apply(1, &report), Some(Acceptance::New));
        assert_eq!(backlog.apply(2, &report), Some(Acceptance::Repeats(1)));
        let mark = Mark::Unique("report".into());
        assert_eq!((backlog.with_mark(&mark), backlog.len()), (Some(1), 1));
        backlog.apply(3, &JobFact::Failed(JobFailed { id: 1, attempt: 2, error: String::new() }));
        assert_eq!(backlog.get(1).map(|job| job.attempts), Some(2));
        backlog.apply(4, &JobFact::Done(JobsDone { ids: vec![1], from: 1 }));
        assert_eq!((backlog.with_mark(&mark), backlog.needed_from()), (None, 5));
        assert_eq!(backlog.apply(5, &report), Some(Acceptance::New));
    }

    #[test]
    fn a_job_whose_first_record_is_pruned_is_repeated_by_one_with_its_idempotency_key_until_it_has_ended() {
        let mut backlog = Backlog::default();
        let keyed = |carried| {
            let idempotency_key = Some("jobs.mails/order-7".to_owned());
            JobFact::Accepted(JobTerms { idempotency_key, carried, ..JobTerms::default() })
        };
        assert_eq!(backlog.apply(5, &keyed(Some(Carried { id: 1, attempts: 0 }))), Some(Acceptance::New));
        assert_eq!(backlog.apply(6, &keyed(None)), Some(Acceptance::Repeats(1)));
        backlog.apply(7, &JobFact::Done(JobsDone { ids: vec![1, 6], from: 8 }));
        assert_eq!(backlog.apply(8, &keyed(None)), Some(Acceptance::New));
    }
}
