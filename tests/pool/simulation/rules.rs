//! What must hold of a play: functions of its script, its record and its figures.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::driver::Figures;
use super::record::{End, Entry, Outcome, Seen};
use super::script::{Op, Put, Script};

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) rule: &'static str,
    found: String,
}

impl Broken {
    pub(super) fn new(rule: &'static str, found: impl Into<String>) -> Self {
        Self { rule, found: found.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.found)
    }
}

/// What is known of one job: the positions and times of what happened to it.
#[derive(Debug, Default)]
struct Account {
    id: Option<u64>,
    accepted: Option<Duration>,
    refused: usize,
    answered: usize,
    timed_out: bool,
    begun: Vec<Attempt>,
    outcomes: Vec<Outcome>,
    destroyed: usize,
}

#[derive(Debug)]
struct Attempt {
    position: usize,
    at: Duration,
    attempt: u32,
    earlier: u32,
    end: Option<(usize, Duration, End)>,
}

impl Account {
    fn succeeded(&self) -> usize {
        self.begun.iter().filter(|it| it.end.is_some_and(|(.., how)| how == End::Succeeded)).count()
    }

    fn is_accepted(&self) -> bool {
        self.id.is_some() || !self.begun.is_empty() || !self.outcomes.is_empty()
    }
}

struct Ledger<'a> {
    script: &'a Script,
    puts: BTreeMap<usize, &'a Put>,
    accounts: BTreeMap<usize, Account>,
}

/// Whether a play has kept all rules.
pub(super) fn check(script: &Script, entries: &[Entry], figures: &Figures) -> Result<(), Broken> {
    let puts = script.steps.iter().filter_map(|step| match &step.op {
        Op::Put(put) => Some((put.job, put)),
        _ => None,
    });
    let ledger = Ledger { script, puts: puts.collect(), accounts: accounts(entries) };
    for (job, account) in ledger.accounts.iter().filter(|(job, _)| **job > 0) {
        one_outcome(*job, account)?;
        attempts(*job, account, script)?;
        ledger.times(*job, account)?;
    }
    ledger.order(|put| put.key, "jobs of a key are done one at a time, in the order of acceptance")?;
    ledger.order(|put| put.unique, "a pool has one job of an idempotency key")?;
    ledger.figures(figures)?;
    workers(entries)?;
    paused(entries)?;
    ledger.rate()
}

fn accounts(entries: &[Entry]) -> BTreeMap<usize, Account> {
    let mut accounts: BTreeMap<usize, Account> = BTreeMap::new();
    for (position, Entry { at, what }) in entries.iter().enumerate() {
        let Some(job) = what.job() else { continue };
        let of = accounts.entry(job).or_default();
        match *what {
            Seen::Accepted { id, .. } => {
                of.id = Some(id);
                of.accepted = Some(*at);
            }
            Seen::Refused { .. } => of.refused += 1,
            Seen::Answered { .. } => of.answered += 1,
            Seen::TimedOut { .. } => of.timed_out = true,
            Seen::Begun { id, attempt, earlier, .. } => {
                of.id = Some(id);
                of.begun.push(Attempt { position, at: *at, attempt, earlier, end: None });
            }
            Seen::Ended { how, .. } => {
                if let Some(begun) = of.begun.last_mut() {
                    begun.end = Some((position, *at, how));
                }
            }
            Seen::Settled { outcome, .. } => of.outcomes.push(outcome),
            Seen::Destroyed { .. } => of.destroyed += 1,
            _ => {}
        }
    }
    accounts
}

/// Each accepted job is done, or comes back, once; a refused one comes back, and nothing else becomes of it.
fn one_outcome(job: usize, account: &Account) -> Result<(), Broken> {
    let (done, outcomes) = (account.succeeded(), account.outcomes.len());
    let is_right = match (account.refused, account.is_accepted()) {
        (0, true) => done + outcomes == 1,
        // Its sender or caller has gone away before it was accepted, or it was refused.
        (0 | 1, false) => done + outcomes == 0,
        _ => false,
    };
    if !is_right || account.destroyed != 1 || account.answered > done {
        return Err(Broken::new("a job has one outcome", format!("job {job}: {account:?}")));
    }
    Ok(())
}

/// A job is tried as often as its pool says, and keeps what its workers have left in it.
fn attempts(job: usize, account: &Account, script: &Script) -> Result<(), Broken> {
    let broken = || Broken::new("a job is tried as often as its pool says", format!("job {job}: {account:?}"));
    let (most, interrupted_most) = (script.shape.attempts, script.shape.attempts.max(3));
    for (before, it) in (0..).zip(&account.begun) {
        let last = before as usize + 1 == account.begun.len();
        let again = match it.end {
            Some((.., End::Succeeded | End::FailedForGood)) => false,
            Some((.., End::Failed | End::Panicked)) => it.attempt < most,
            Some((.., End::Cut)) => it.attempt < interrupted_most,
            None => return Err(broken()),
        };
        if (it.attempt, it.earlier) != (before + 1, before) || (!last && !again) {
            return Err(broken());
        }
    }
    let made = account.begun.len() as u32;
    let is_right = account.outcomes.iter().all(|outcome| match *outcome {
        Outcome::Failed { attempts } | Outcome::Panicked { attempts } | Outcome::OutOfTime { attempts } => {
            let for_good =
                account.begun.last().is_some_and(|it| it.end.is_some_and(|(.., it)| it == End::FailedForGood));
            attempts == made && (made == most || for_good || made > most)
        }
        Outcome::Interrupted { attempts } => attempts == made && made >= interrupted_most,
        Outcome::Expired { .. } => made == 0,
        Outcome::Dropped | Outcome::Returned => true,
    });
    if is_right { Ok(()) } else { Err(broken()) }
}

impl Ledger<'_> {
    /// Delays, deadlines and limits are kept.
    fn times(&self, job: usize, account: &Account) -> Result<(), Broken> {
        let (put, shape) = (self.puts[&job], &self.script.shape);
        let broken = |rule| Err(Broken::new(rule, format!("job {job}: {account:?}")));
        let deadline = put.deadline.or(shape.deadline).map(|it| it + put.delay.unwrap_or_default());
        if let (Some(accepted), Some(first)) = (account.accepted, account.begun.first()) {
            let waited = first.at.saturating_sub(accepted);
            if put.delay.is_some_and(|delay| waited < delay) {
                return broken("a job is not begun before its time");
            }
            if deadline.is_some_and(|deadline| waited > deadline) {
                return broken("a job is not begun after its deadline");
            }
        }
        for outcome in &account.outcomes {
            if matches!(outcome, Outcome::Expired { waited } if deadline.is_none_or(|it| *waited < it)) {
                return broken("a job does not expire before its deadline");
            }
        }
        for it in &account.begun {
            let took = it.end.map_or(Duration::ZERO, |(_, at, _)| at - it.at);
            if shape.limit.is_some_and(|limit| took > limit) {
                return broken("an attempt takes as long as it may");
            }
        }
        Ok(())
    }

    /// Of the jobs that have something in common, one is done after the other; those without a delay in their order.
    fn order(&self, common: impl Fn(&Put) -> Option<u8>, rule: &'static str) -> Result<(), Broken> {
        let mut groups: BTreeMap<u8, Vec<(u64, usize)>> = BTreeMap::new();
        for (job, account) in &self.accounts {
            let group = self.puts.get(job).and_then(|put| common(put));
            if let (Some(group), Some(id)) = (group, account.id.filter(|_| !account.begun.is_empty())) {
                groups.entry(group).or_default().push((id, *job));
            }
        }
        for jobs in groups.values_mut() {
            jobs.sort_unstable();
            for (at, (_, one)) in jobs.iter().enumerate() {
                for (_, other) in &jobs[at + 1..] {
                    self.one_by_one(*one, *other, rule)?;
                }
            }
        }
        Ok(())
    }

    fn one_by_one(&self, one: usize, other: usize, rule: &'static str) -> Result<(), Broken> {
        let span = |job: usize| {
            let begun = &self.accounts[&job].begun;
            let last = begun.last().map_or(0, |it| it.end.map_or(it.position, |(position, ..)| position));
            (begun[0].position, last)
        };
        let ((first, last), (next, next_last)) = (span(one), span(other));
        let is_delayed = |job: usize| self.puts[&job].delay.is_some();
        if last < next || (next_last < first && (is_delayed(one) || is_delayed(other))) {
            return Ok(());
        }
        let text = format!("job {one} in {first}..={last} and job {other} in {next}..={next_last}");
        Err(Broken::new(rule, text))
    }

    /// The figures of the pool are those of the record.
    fn figures(&self, figures: &Figures) -> Result<(), Broken> {
        let stats = &figures.stats;
        let count = |is: fn(&Outcome) -> bool| {
            self.accounts.values().flat_map(|account| &account.outcomes).filter(|outcome| is(outcome)).count() as u64
        };
        let accepted = self.accounts.values().filter(|account| account.is_accepted()).count() as u64;
        let done = self.accounts.values().map(|account| account.succeeded() as u64).sum();
        let dead = count(|it| {
            use Outcome::{Failed, Interrupted, OutOfTime, Panicked};
            matches!(it, Failed { .. } | Panicked { .. } | OutOfTime { .. } | Interrupted { .. })
        });
        let expired = count(|it| matches!(it, Outcome::Expired { .. }));
        let dropped = count(|it| matches!(it, Outcome::Dropped));
        let returned = count(|it| matches!(it, Outcome::Returned));
        let seen = [accepted, done, dead, expired, dropped, returned];
        let told =
            [stats.accepted, stats.done, stats.died, stats.expired, stats.dropped, stats.returned + figures.left];
        if seen == told {
            return Ok(());
        }
        let text = format!("{told:?} and not {seen:?}: accepted, done, died, expired, dropped, returned");
        Err(Broken::new("the figures are right", text))
    }

    /// No more jobs begin in any time than the rate lets.
    fn rate(&self) -> Result<(), Broken> {
        let Some(rate) = self.script.shape.rate.filter(|rate| !rate.refuses) else { return Ok(()) };
        // Those that came while a timer was late are kept, of 20 ms at most.
        let most = f64::from(rate.burst) + 1.0 + f64::from(rate.per_second) / 50.0;
        let mut begun: Vec<_> = self.accounts.values().flat_map(|it| &it.begun).map(|it| it.at).collect();
        begun.sort_unstable();
        for (at, from) in begun.iter().enumerate() {
            for (jobs, to) in (1..).zip(&begun[at..]) {
                let tokens = (*to - *from).as_secs_f64() * f64::from(rate.per_second);
                if f64::from(jobs) > most + tokens {
                    let text = format!("{jobs} from {from:?} to {to:?} at {rate:?}");
                    return Err(Broken::new("no more jobs begin than the rate lets", text));
                }
            }
        }
        Ok(())
    }
}

/// A slot has one worker, and there are no more of them than there may be.
fn workers(entries: &[Entry]) -> Result<(), Broken> {
    let (mut up, mut most) = (BTreeSet::new(), 0);
    for Entry { at, what } in entries {
        match *what {
            Seen::Limits(_, limit) => most = most.max(limit),
            Seen::WorkerUp(slot) if !up.insert(slot) => {
                return Err(Broken::new("a slot has one worker", format!("slot {slot} at {at:?}")));
            }
            Seen::WorkerUp(_) if up.len() > most => {
                return Err(Broken::new("there are no more workers than there may be", format!("{up:?} at {at:?}")));
            }
            Seen::WorkerDown(slot) => drop(up.remove(&slot)),
            _ => {}
        }
    }
    if up.is_empty() { Ok(()) } else { Err(Broken::new("nothing is left", format!("workers {up:?}"))) }
}

/// While the pool is paused no job begins.
fn paused(entries: &[Entry]) -> Result<(), Broken> {
    let mut is_paused = false;
    for Entry { at, what } in entries {
        match what {
            Seen::Paused(paused) => is_paused = *paused,
            Seen::Begun { job, .. } if is_paused => {
                return Err(Broken::new("no job begins in a pause", format!("job {job} at {at:?}")));
            }
            _ => {}
        }
    }
    Ok(())
}
