//! Selectors: an instance for each call.
//!
//! # Invariants
//!
//! 1. A list of instances never changes: a place in it means the same instance for as long as the list is there.
//! 2. The list is made anew when an instance of the service changes, or an ejection of one begins; of all services, if the
//!    criteria ask for none. The rotation is made anew with it, and when an ejection ends or a weight has grown.
//! 3. Who is in rotation is decided over all that fit, and only then those are left out that a call has tried.
//! 4. A call that is not made is not counted: a retry is paid for before it begins.

pub(super) mod candidates;
mod fitting;
mod known;
pub(super) mod picked;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::names::{CallError, CastError};
use foundation_kernel::ractor::{Message, RpcReplyPort};
use tokio::time::Instant;

use self::candidates::CandidateReport;
use self::fitting::{Fitting, Loads};
use self::known::Known;
use self::picked::Picked;
use super::calls::ServiceCalls;
use super::discovery::Discovery;
use super::error::{CallInstanceError, CastInstanceError, CastInstanceReason, PickError};
use super::now::Now;
use super::state::Shared;
use crate::choice::{Choice, Decision, Draw, Locality, NoneInRotationError, Policy, RetryBudget};
use crate::criteria::Criteria;
use crate::instance::{InstanceName, InstanceRecord, Remote};
use crate::meter::Counted;

/// How many instances one call tries at most.
const MAX_TRIES: usize = 3;

/// A call that has begun, at this time if it is measured.
type Begun = (Decision, Option<Instant>);

/// Chooses an instance for each call, among those that meet its criteria.
///
/// Keep one for each caller: it remembers which instances fit and who is in rotation until one changes, and has its own turn,
/// chance and retry budget. Loads and ejections are those of the namespace, shared by all selectors. A clone begins with the
/// same settings.
///
/// A pick and its end allocate nothing, take no lock, and read the loads only of the instances that the policy compares: two
/// of any number, by default. [`ScoreBy::InFlight`](crate::choice::ScoreBy::InFlight) and the policies without a score do not
/// even read the clock.
pub struct Selector<M> {
    shared: Arc<Shared>,
    /// Those of the service that the criteria ask for.
    calls: Option<Arc<ServiceCalls>>,
    criteria: Criteria,
    choice: Choice,
    by_key: Policy,
    idempotent: bool,
    budget: RetryBudget,
    random: fastrand::Rng,
    turn: u64,
    known: Known<M>,
}

/// Choosing instances.
impl Discovery {
    /// Chooses among the instances that meet these criteria, and answer to `M`, by the default [`Choice`].
    pub fn selector<M: Message>(&self, criteria: Criteria) -> Selector<M> {
        Selector::new(Arc::clone(&self.shared), criteria, Choice::new())
    }

    /// The same among the instances that were [announced](Self::announce): the caller uses the endpoint of the one that is
    /// picked, and says how that ended.
    pub fn endpoints(&self, criteria: Criteria) -> Selector<Remote> {
        self.selector(criteria)
    }
}

impl<M: Message> Selector<M> {
    pub(super) fn new(shared: Arc<Shared>, criteria: Criteria, choice: Choice) -> Self {
        let known = Known::nothing(shared.names.namespace());
        Self {
            random: shared.random(),
            calls: criteria.wanted_service().map(|service| shared.service_calls(service)),
            shared,
            criteria,
            by_key: choice.wanted_policy().by_key(),
            choice,
            idempotent: false,
            budget: RetryBudget::default(),
            turn: 0,
            known,
        }
    }

    /// How an instance is chosen.
    pub fn choice(self, choice: Choice) -> Self {
        Self {
            by_key: choice.wanted_policy().by_key(),
            choice,
            known: Known::nothing(self.shared.names.namespace()),
            ..self
        }
    }

    /// Whether a call may be made again that was delivered and has no answer. Default: no.
    pub fn idempotent(self, idempotent: bool) -> Self {
        Self { idempotent, ..self }
    }

    /// How many calls and casts may be made again. Default: 20 percent, and 10 to begin with.
    pub fn retry_budget(self, budget: RetryBudget) -> Self {
        Self { budget, ..self }
    }

    /// Picks an instance for one call.
    ///
    /// # Errors
    /// [`PickError`] says why there is none.
    #[inline]
    pub fn pick(&mut self) -> Result<Picked<M>, PickError> {
        self.pick_by(None)
    }

    /// Picks an instance for one call with this key: the same one for the same key, as long as it is in rotation and has
    /// not more than its share of the calls in flight.
    ///
    /// Whatever the policy is, the key decides, by [`Policy::Rendezvous`](crate::choice::Policy::Rendezvous): with the bound
    /// of the policy if it is that one, and of 125 percent otherwise. Cost: a hash of the key for each instance.
    ///
    /// # Errors
    /// As [`pick`](Self::pick).
    pub fn pick_for(&mut self, key: &[u8]) -> Result<Picked<M>, PickError> {
        self.pick_by(Some(key))
    }

    /// Calls an instance, and another one if it did not get the message.
    ///
    /// An answer is a success. A message that was not delivered is sent to another instance, three at most, as far as the
    /// retry budget goes; one that was delivered and has no answer since the instance ended, only if the calls are
    /// [idempotent](Self::idempotent). `limit` is for all of it.
    ///
    /// # Errors
    /// [`CallInstanceError::Pick`] says why there is no instance; [`CallInstanceError::Call`] which instance did not answer,
    /// and which were tried before.
    pub async fn call<R: Send + 'static>(
        &mut self,
        message: impl Fn(RpcReplyPort<R>) -> M,
        limit: Duration,
    ) -> Result<R, CallInstanceError<M>> {
        self.budget.deposit();
        let (began, mut tried) = (Instant::now(), Vec::new());
        let mut picked = self.pick()?;
        loop {
            let left = limit.saturating_sub(began.elapsed());
            let error = match picked.via().call(&message, left).await {
                Ok(reply) => {
                    picked.succeeded();
                    return Ok(reply);
                }
                Err(error) => error,
            };
            tried.push(picked.record().clone());
            picked.ended_with(&error);
            // Another instance without time to answer would be blamed for it.
            let may_repeat = self.may_repeat(&error) && began.elapsed() < limit;
            match may_repeat.then(|| self.pick_another(&tried)).flatten() {
                Some(another) => picked = another,
                None => return Err(no_answer(&tried, error)),
            }
        }
    }

    /// Sends a message to an instance and does not wait, and to another one if it does not take it.
    ///
    /// The message comes back from an instance that has ended, so it is sent again: three times at most, as far as the retry
    /// budget goes. How long it takes to handle is not known, so a cast counts neither as a call in flight nor as a success.
    ///
    /// # Errors
    /// [`CastInstanceError`] gives the message back, and says why no instance took it.
    pub fn cast(&mut self, message: M) -> Result<(), CastInstanceError<M>> {
        self.budget.deposit();
        let now = Now::default();
        let decided = match self.choose_usual(None, &now).map_or_else(|| self.choose_of_rest(None, &[], &now), Ok) {
            Ok(decided) => decided,
            Err(error) => return Err(self.not_picked(message, error)),
        };
        self.send(decided, message)
    }

    /// Sends a message to the instance that was chosen, or to another one if that has ended since.
    #[inline(always)]
    fn send(&mut self, chosen: Decision, message: M) -> Result<(), CastInstanceError<M>> {
        let error = match self.known.list[chosen.at].cast(message, chosen.fail_open) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let first = self.known.list[chosen.at].record.clone();
        self.cast_again(first, error)
    }

    #[cold]
    fn not_picked(&self, message: M, error: PickError) -> CastInstanceError<M> {
        self.note_none(&error);
        CastInstanceError { message, reason: CastInstanceReason::Pick(error).into() }
    }

    #[cold]
    fn cast_again(&mut self, first: InstanceRecord, error: CastError<M>) -> Result<(), CastInstanceError<M>> {
        let (mut tried, mut error) = (vec![first], error);
        while self.may_retry(&tried) {
            let Ok(decided) = self.choose_of_rest(None, &tried, &Now::default()) else { break };
            self.budget.withdraw();
            let another = &self.known.list[decided.at];
            match another.cast(error.message, decided.fail_open) {
                Ok(()) => return Ok(()),
                Err(next) => error = next,
            }
            tried.push(another.record.clone());
        }
        Err(not_taken(&tried, error))
    }

    /// All instances that fit, with their loads, and for each that is not in rotation why. Cost: linear in them.
    ///
    /// # Errors
    /// As [`pick`](Self::pick), but for [`PickError::NoneInRotation`]: then all are out.
    pub fn candidates(&mut self) -> Result<Vec<CandidateReport>, PickError> {
        let now = Now::default();
        self.known.update(&self.shared, self.calls.as_deref(), (&self.criteria, &self.choice), &now);
        let rotation = self.known.rotation.as_ref().ok();
        if rotation.is_none() {
            match self.known.why_none(&self.shared) {
                PickError::NoneInRotation { .. } => {}
                error => return Err(error),
            }
        }
        let fitting = &self.known.list[..];
        let loads = Loads { fitting, now: &now };
        let report = |(at, fitting): (usize, &Arc<Fitting<M>>)| {
            let report = CandidateReport::of(fitting, now.get());
            let report = report.near(self.choice.zone().map(|here| Locality::of(here, fitting.record.instance.zone())));
            let weight = rotation.and_then(|it| it.weight(at));
            let score = rotation.and_then(|it| self.choice.score(it, &loads, at));
            weight.into_iter().fold(report, |report, weight| report.taking_part(weight, score))
        };
        Ok(fitting.iter().enumerate().map(report).collect())
    }

    fn may_repeat(&self, error: &CallError<M>) -> bool {
        match error {
            CallError::NotDelivered(_) => true,
            CallError::NoReply { .. } => self.idempotent,
            // No time is left, or there is no runtime.
            _ => false,
        }
    }

    // Always inlined, and what is returned is made here alone: then it stays in registers up to its end.
    #[inline(always)]
    fn pick_by(&mut self, key: Option<&[u8]>) -> Result<Picked<M>, PickError> {
        let (decided, began) = match self.begin_usual(key) {
            Some(begun) => begun,
            None => self.begin_of_rest(key)?,
        };
        Ok(Picked::new(&self.known.list[decided.at], decided, began))
    }

    /// Begins a call as is usual. `None` if that is not possible: then the reason is to be found out.
    #[inline(always)]
    fn begin_usual(&mut self, key: Option<&[u8]>) -> Option<Begun> {
        let now = Now::default();
        let decided = self.choose_usual(key, &now)?;
        let began = self.began(&now);
        self.known.list[decided.at].begin_call(began).then_some((decided, began))
    }

    #[cold]
    fn begin_of_rest(&mut self, key: Option<&[u8]>) -> Result<Begun, PickError> {
        self.begin_call(key, &[]).inspect_err(|error| self.note_none(error))
    }

    /// When a call begins, if its time is measured.
    #[inline]
    fn began(&self, now: &Now) -> Option<Instant> {
        self.choice.wanted_policy().needs_times().then(|| now.get())
    }

    /// Counts a pick without an instance.
    #[cold]
    fn note_none(&self, error: &PickError) {
        let reason = match error {
            PickError::Find { .. } => Counted::NoneFits,
            PickError::OtherMessage { .. } => Counted::OtherMessage,
            PickError::NoneInRotation { .. } => Counted::NoneInRotation,
            PickError::NotRunning { .. } => return,
        };
        self.calls.iter().for_each(|calls| calls.picks.note_none(reason));
    }

    /// Whether another instance may be tried.
    fn may_retry(&self, tried: &[InstanceRecord]) -> bool {
        tried.len() < MAX_TRIES && self.budget.balance() > 0
    }

    /// Another instance, if there is one, and the budget has a retry for it: the budget pays only for what is tried.
    fn pick_another(&mut self, tried: &[InstanceRecord]) -> Option<Picked<M>> {
        if !self.may_retry(tried) {
            return None;
        }
        let (decided, began) = self.begin_call(None, tried).ok()?;
        self.budget.withdraw();
        Some(Picked::new(&self.known.list[decided.at], decided, began))
    }

    /// Chooses an instance that has not been tried, and begins a call to it.
    fn begin_call(&mut self, key: Option<&[u8]>, tried: &[InstanceRecord]) -> Result<Begun, PickError> {
        let now = Now::default();
        loop {
            let decided = self.choose_of_rest(key, tried, &now)?;
            let began = self.began(&now);
            if self.known.list[decided.at].begin_call(began) {
                return Ok((decided, began));
            }
        }
    }

    /// Chooses among all in rotation. `None` if there are none, or the one that was chosen takes no calls: the registry may
    /// not have noted its end yet.
    #[inline(always)]
    fn choose_usual(&mut self, key: Option<&[u8]>, now: &Now) -> Option<Decision> {
        self.known.update(&self.shared, self.calls.as_deref(), (&self.criteria, &self.choice), now);
        let Known { list, rotation: Ok(rotation), .. } = &self.known else { return None };
        let policy = if key.is_some() { &self.by_key } else { self.choice.wanted_policy() };
        let mut draw = Draw { random: &mut self.random, turn: self.turn, key };
        let decided = policy.decide(rotation, &Loads { fitting: list, now }, &mut draw)?;
        if !list[decided.at].takes_calls() {
            return None;
        }
        self.turn = self.turn.wrapping_add(1);
        Some(decided)
    }

    /// Chooses among those in rotation that take calls and have not been tried.
    #[cold]
    fn choose_of_rest(
        &mut self,
        key: Option<&[u8]>,
        tried: &[InstanceRecord],
        now: &Now,
    ) -> Result<Decision, PickError> {
        self.known.update(&self.shared, self.calls.as_deref(), (&self.criteria, &self.choice), now);
        let Known { list, rotation: Ok(rotation), .. } = &self.known else {
            return Err(self.known.why_none(&self.shared));
        };
        let rest = rotation.without(|at| is_in(tried, &list[at].record) || !list[at].takes_calls());
        let policy = if key.is_some() { &self.by_key } else { self.choice.wanted_policy() };
        let mut draw = Draw { random: &mut self.random, turn: self.turn, key };
        self.turn = self.turn.wrapping_add(1);
        let decided = rest.and_then(|rest| policy.decide(&rest, &Loads { fitting: list, now }, &mut draw));
        let why = || NoneInRotationError::counting(list.iter().filter_map(|it| it.out(now.get())));
        let namespace = || self.shared.names.namespace();
        decided.ok_or_else(|| PickError::NoneInRotation { namespace: namespace(), source: why() })
    }
}

/// The error of a call that the last of these instances did not answer.
fn no_answer<M>(tried: &[InstanceRecord], source: CallError<M>) -> CallInstanceError<M> {
    let (instance, before) = last_and_before(tried);
    CallInstanceError::Call { instance, before, source }
}

fn not_taken<M>(tried: &[InstanceRecord], error: CastError<M>) -> CastInstanceError<M> {
    let ((instance, before), CastError { message, reason: source, .. }) = (last_and_before(tried), error);
    CastInstanceError { message, reason: CastInstanceReason::NotTaken { instance, before, source }.into() }
}

fn last_and_before(tried: &[InstanceRecord]) -> (InstanceName, Vec<InstanceName>) {
    let mut names: Vec<_> = tried.iter().map(|record| record.name().clone()).collect();
    let last = names.pop().unwrap_or_else(|| unreachable!("an instance has been tried"));
    (last, names)
}

fn is_in(tried: &[InstanceRecord], record: &InstanceRecord) -> bool {
    tried.iter().any(|it| it.actor == record.actor)
}

impl<M> Clone for Selector<M> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            calls: self.calls.clone(),
            criteria: self.criteria.clone(),
            choice: self.choice.clone(),
            by_key: self.by_key.clone(),
            idempotent: self.idempotent,
            budget: self.budget.clone(),
            random: self.shared.random(),
            turn: 0,
            known: Known::nothing(self.shared.names.namespace()),
        }
    }
}

impl<M> fmt::Debug for Selector<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selector")
            .field("criteria", &self.criteria)
            .field("choice", &self.choice)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "selector/tests.rs"]
mod tests;
