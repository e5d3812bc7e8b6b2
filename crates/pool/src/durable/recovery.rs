//! What the log says of jobs after they were accepted. A process that starts reads this first, and then the jobs themselves: so
//! the first one that has not ended is begun before the others are read.
//!
//! Jobs with the oldest records are carried on first. So each job that was carried on was accepted before each one that was
//! not, and can be begun before those are read.

use std::collections::{HashMap, HashSet};

use super::event::{JobFact, JobTerms};

/// What the log says of jobs after they were accepted.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    /// The last event before those that are read.
    pub(crate) after: u64,
    /// The newest event at the start of the process.
    pub(crate) newest: u64,
    /// The event that records the end of each job.
    ended: HashMap<u64, u64>,
    /// How often jobs have been begun.
    attempts: HashMap<u64, u32>,
    /// Jobs that were recorded again, each with its event.
    carried: Vec<(u64, JobTerms)>,
}

impl Recovery {
    /// Of the events after one of them, up to the newest.
    pub(crate) fn new(after: u64, newest: u64) -> Self {
        Self { after, newest, ..Self::default() }
    }

    /// Takes what an event with this id says.
    pub(crate) fn note(&mut self, event: u64, fact: JobFact) {
        match fact {
            JobFact::Accepted(terms) if terms.carried.is_some() => self.carried.push((event, terms)),
            JobFact::Accepted(_) => {}
            JobFact::Begun(begun) => begun.jobs.iter().for_each(|(id, attempt)| self.begun(*id, *attempt)),
            JobFact::Failed(failed) => self.begun(failed.id, failed.attempt),
            JobFact::Done(done) => done.ids.iter().for_each(|id| self.ended(*id, event)),
            JobFact::Died(died) => self.ended(died.id, event),
        }
    }

    fn begun(&mut self, id: u64, attempt: u32) {
        let attempts = self.attempts.entry(id).or_default();
        *attempts = attempt.max(*attempts);
    }

    /// The first record of its end counts.
    fn ended(&mut self, id: u64, event: u64) {
        self.ended.entry(id).or_insert(event);
    }

    /// The event that records the end of a job.
    pub(crate) fn end_of(&self, id: u64) -> Option<u64> {
        self.ended.get(&id).copied()
    }

    /// How often a job has been begun.
    pub(crate) fn attempts(&self, id: u64) -> u32 {
        self.attempts.get(&id).copied().unwrap_or(0)
    }

    /// The jobs that were carried on, each as it was recorded last.
    pub(crate) fn take_carried(&mut self) -> Vec<(u64, JobTerms)> {
        let (mut known, mut carried) = (HashSet::new(), std::mem::take(&mut self.carried));
        carried.reverse();
        carried.retain(|(_, terms)| terms.carried.is_some_and(|carried| known.insert(carried.id)));
        carried.reverse();
        carried
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::durable::backlog::{Acceptance, Backlog};
    use crate::durable::event::{Carried, JobDied, JobFailed, JobsBegun, JobsDone, Mark};
    use crate::durable::ledger::Ledger;

    #[derive(Debug, Clone)]
    enum Step {
        Accept(Option<u8>),
        Begin(usize),
        Fail(usize),
        Finish(usize, bool),
        /// So many of the oldest records.
        Carry(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => option::of(0..3_u8).prop_map(Step::Accept),
            3 => (0..9_usize).prop_map(Step::Begin),
            1 => (0..9_usize).prop_map(Step::Fail),
            3 => (0..9_usize, any::<bool>()).prop_map(|(at, dies)| Step::Finish(at, dies)),
            1 => (1..4_usize).prop_map(Step::Carry),
        ];
        vec(step, 0..120)
    }

    /// What an event says, in the order of the log: the meaning by which recoveries are judged.
    fn apply(backlog: &mut Backlog, event: u64, fact: &JobFact) -> Option<Acceptance> {
        backlog.set_position(event);
        match fact {
            JobFact::Accepted(terms) => return Some(backlog.accept(event, terms)),
            JobFact::Begun(begun) => begun.jobs.iter().for_each(|(id, attempt)| backlog.begun(*id, *attempt)),
            JobFact::Failed(failed) => backlog.begun(failed.id, failed.attempt),
            JobFact::Done(done) => done.ids.iter().for_each(|id| drop(backlog.finish(*id))),
            JobFact::Died(died) => drop(backlog.finish(died.id)),
        }
        None
    }

    fn carried(backlog: &Backlog, at_most: usize) -> Vec<JobFact> {
        let terms = |carried: Carried| {
            let mark = backlog.get(carried.id).and_then(|job| job.marks.first().cloned());
            let unique = mark.map(|(Mark::Unique(text) | Mark::Key(text))| text.to_string());
            JobTerms { unique, carried: Some(carried), ..JobTerms::default() }
        };
        backlog.oldest(at_most).into_iter().map(|(_, carried)| JobFact::Accepted(terms(carried))).collect()
    }

    /// The facts of a queue that takes these steps, each with the id of its event, and the backlog at its end.
    fn facts(steps: Vec<Step>) -> (Vec<(u64, JobFact)>, Backlog) {
        let (mut backlog, mut facts) = (Backlog::default(), Vec::new());
        for step in steps {
            let nth = |at: usize| backlog.jobs_after(0).nth(at).map(|(id, job)| (id, job.attempts));
            let new = match step {
                Step::Accept(unique) => {
                    let unique = unique.map(|it| it.to_string());
                    vec![JobFact::Accepted(JobTerms { unique, ..JobTerms::default() })]
                }
                Step::Carry(at_most) => carried(&backlog, at_most),
                Step::Begin(at) | Step::Fail(at) | Step::Finish(at, _) => {
                    let Some((id, attempts)) = nth(at) else { continue };
                    let (attempt, error) = (attempts + 1, String::new());
                    vec![match step {
                        Step::Begin(_) => JobFact::Begun(JobsBegun { jobs: vec![(id, attempt)] }),
                        Step::Fail(_) => JobFact::Failed(JobFailed { id, attempt, error }),
                        Step::Finish(_, true) => JobFact::Died(JobDied { id, attempts, error }),
                        _ => JobFact::Done(JobsDone { ids: vec![id], from: backlog.needed_from() }),
                    }]
                }
            };
            for fact in new {
                let event = facts.len() as u64 + 1;
                let acceptance = apply(&mut backlog, event, &fact);
                facts.push((event, fact));
                if let Some(Acceptance::Repeats(_)) = acceptance {
                    let done = JobFact::Done(JobsDone { ids: vec![event], from: backlog.needed_from() });
                    apply(&mut backlog, event + 1, &done);
                    facts.push((event + 1, done));
                }
            }
        }
        (facts, backlog)
    }

    /// Reads the facts from this event on as a process does that starts. Returns its jobs in the order in which they are begun,
    /// each with its attempts.
    fn recovered(facts: &[(u64, JobFact)], from: u64) -> (Ledger, Vec<(u64, u32)>) {
        let newest = facts.last().map_or(0, |(event, _)| *event);
        let (ledger, mut recovery) = (Ledger::default(), Recovery::new(from - 1, newest));
        let facts = facts.iter().filter(|(event, _)| *event >= from);
        facts.clone().for_each(|(event, fact)| recovery.note(*event, fact.clone()));
        ledger.recover(recovery);
        let mut begun = Vec::new();
        let begin_all = |begun: &mut Vec<_>| {
            while let Some(waiting) = ledger.next_waiting(0) {
                ledger.put_in(waiting.id);
                begun.push((waiting.id, waiting.attempts));
            }
        };
        begin_all(&mut begun);
        for (event, fact) in facts {
            let JobFact::Accepted(terms) = fact else { continue };
            ledger.accepted(*event, terms);
            begin_all(&mut begun);
        }
        ledger.has_read(newest);
        (ledger, begun)
    }

    proptest! {
        #[test]
        fn a_process_begins_the_unfinished_jobs_in_the_order_of_acceptance_from_every_event_that_is_early_enough(
            steps in steps(), cut: usize, earlier: usize,
        ) {
            let (mut facts, _) = facts(steps);
            // The process before may have ended after each event.
            facts.truncate(cut % (facts.len() + 1));
            let mut all = Backlog::default();
            for (event, fact) in &facts {
                apply(&mut all, *event, fact);
            }
            let needed_from = all.needed_from();
            let expected: Vec<_> = all.jobs_after(0).map(|(id, job)| (id, job.attempts)).collect();
            for from in [needed_from, 1 + earlier as u64 % needed_from] {
                let (ledger, begun) = recovered(&facts, from);
                prop_assert_eq!(&begun, &expected, "from {} of {:?}", from, facts);
                prop_assert_eq!(ledger.needed_from(), needed_from);
                for (_, job) in all.jobs_after(0) {
                    prop_assert!(job.marks.iter().all(|mark| ledger.with_mark(mark) == all.with_mark(mark)));
                }
            }
        }
    }

    #[test]
    fn a_unique_job_that_has_ended_is_repeated_by_those_that_stand_before_its_end_and_not_by_the_next_one() {
        let unique = || JobFact::Accepted(JobTerms { unique: Some("a".to_owned()), ..JobTerms::default() });
        let done = JobFact::Done(JobsDone { ids: vec![1], from: 1 });
        let facts = [(1, unique()), (2, unique()), (3, done), (4, unique())];
        let (ledger, begun) = recovered(&facts, 1);
        assert_eq!(begun, [(4, 0)]);
        assert_eq!(ledger.take_notes(), [JobFact::Done(JobsDone { ids: vec![2], from: 4 })]);
    }
}
