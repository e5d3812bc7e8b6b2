//! Selectors: an instance for each call.
//!
//! # Invariants
//!
//! 1. A list of instances never changes: a place in it means the same instance for as long as the list is there.
//! 2. The list is made anew when the catalog changes, or an ejection begins. The rotation is made anew with it, and when an
//!    ejection ends or a weight has grown.
//! 3. Who is in rotation is decided over all that fit, and only then those are left out that a call has tried.

pub(super) mod candidates;
mod fitting;
pub(super) mod picked;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::names::{CallError, CastError, RegistryError, ServiceKey};
use foundation_kernel::ractor::{Message, RpcReplyPort};
use tokio::time::Instant;

use self::candidates::CandidateReport;
use self::fitting::{Fitting, Loads};
use self::picked::Picked;
use super::discovery::Discovery;
use super::error::{CallInstanceError, CastInstanceError, CastInstanceReason, PickError};
use super::now::Now;
use super::state::Shared;
use crate::choice::{Choice, Decision, Draw, Locality, NoneInRotationError, Policy, RetryBudget, Rotation};
use crate::criteria::Criteria;
use crate::instance::{InstanceName, InstanceRecord, Remote};

/// During the slow start a weight grows in so many steps.
const STEPS: u32 = 32;
/// How many instances one call tries at most.
const MAX_TRIES: usize = 3;

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
        Self {
            random: shared.random(),
            shared,
            criteria,
            by_key: choice.wanted_policy().by_key(),
            choice,
            idempotent: false,
            budget: RetryBudget::default(),
            turn: 0,
            known: Known::default(),
        }
    }

    /// How an instance is chosen.
    pub fn choice(self, choice: Choice) -> Self {
        Self { by_key: choice.wanted_policy().by_key(), choice, known: Known::default(), ..self }
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
            let error = match picked.chosen().via.call(&message, left).await {
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
        let decided = match self.choose(None, &[], &Now::default()) {
            Ok(decided) => decided,
            Err(error) => return Err(CastInstanceError { message, reason: CastInstanceReason::Pick(error).into() }),
        };
        let chosen = &self.known.fitting()[decided.at];
        match chosen.via.cast(message) {
            Ok(()) => {
                chosen.service.picks.note_cast(decided.fail_open);
                Ok(())
            }
            Err(error) => {
                let first = chosen.record.clone();
                self.cast_again(first, error)
            }
        }
    }

    #[cold]
    fn cast_again(&mut self, first: InstanceRecord, error: CastError<M>) -> Result<(), CastInstanceError<M>> {
        let (mut tried, mut error) = (vec![first], error);
        loop {
            let Some(picked) = self.pick_another(&tried) else { return Err(not_taken(&tried, error)) };
            match picked.chosen().via.cast(error.message) {
                // Its call counts as cancelled: how long the message takes is not known.
                Ok(()) => return Ok(()),
                Err(next) => error = next,
            }
            tried.push(picked.record().clone());
        }
    }

    /// All instances that fit, with their loads, and for each that is not in rotation why. Cost: linear in them.
    ///
    /// # Errors
    /// As [`pick`](Self::pick), but for [`PickError::NoneInRotation`]: then all are out.
    pub fn candidates(&mut self) -> Result<Vec<CandidateReport>, PickError> {
        let now = Now::default();
        let rotation = match self.known.update(&self.shared, (&self.criteria, &self.choice), &now) {
            Ok(known) => Some(known.rotation.clone()),
            Err(PickError::NoneInRotation { .. }) => None,
            Err(error) => return Err(error),
        };
        let fitting = self.known.fitting();
        let loads = Loads { fitting, now: &now };
        let report = |(at, fitting): (usize, &Fitting<M>)| {
            let report = CandidateReport::of(fitting, now.get());
            let report = report.near(self.choice.zone().map(|here| Locality::of(here, fitting.record.instance.zone())));
            let weight = rotation.as_ref().and_then(|it| it.weight(at));
            let score = rotation.as_ref().and_then(|it| self.choice.score(it, &loads, at));
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

    fn pick_by(&mut self, key: Option<&[u8]>) -> Result<Picked<M>, PickError> {
        self.begin_call(key, &[])
    }

    /// Another instance, if there is one, and the budget has a retry for it: the budget pays only for what is tried.
    fn pick_another(&mut self, tried: &[InstanceRecord]) -> Option<Picked<M>> {
        if tried.len() >= MAX_TRIES {
            return None;
        }
        // What the budget does not pay for is cancelled.
        self.begin_call(None, tried).ok().filter(|_| self.budget.withdraw())
    }

    /// Chooses an instance, and begins a call to it.
    fn begin_call(&mut self, key: Option<&[u8]>, tried: &[InstanceRecord]) -> Result<Picked<M>, PickError> {
        let now = Now::default();
        loop {
            let decided = self.choose(key, tried, &now)?;
            let began = self.choice.wanted_policy().needs_times().then(|| now.get());
            let picked = Picked::begin(self.known.shared_fitting(), decided, began);
            // After the call is counted: a drain that began meanwhile waits for it, or is seen here.
            if !picked.chosen().calls.is_draining() {
                return Ok(picked);
            }
        }
    }

    /// Chooses an instance, and looks whether it is alive: the registry may not have noted its end yet.
    fn choose(&mut self, key: Option<&[u8]>, tried: &[InstanceRecord], now: &Now) -> Result<Decision, PickError> {
        let turn = self.turn;
        self.turn = turn.wrapping_add(1);
        let policy = if key.is_some() { &self.by_key } else { self.choice.wanted_policy() };
        let Current { fitting, rotation } = self.known.update(&self.shared, (&self.criteria, &self.choice), now)?;
        let loads = Loads { fitting, now };
        let mut choose = |rotation: &Rotation| {
            let draw = Draw::new(&mut self.random).turn(turn);
            policy.decide(rotation, &loads, &mut key.into_iter().fold(draw, Draw::key))
        };
        if tried.is_empty() {
            let decided = choose(rotation).filter(|decided| fitting[decided.at].takes_calls());
            if let Some(decided) = decided {
                return Ok(decided);
            }
        }
        let is_left = |at: usize| !is_in(tried, &fitting[at].record) && fitting[at].takes_calls();
        let decided = rotation.without(|at| !is_left(at)).and_then(|rest| choose(&rest));
        decided.ok_or_else(|| PickError::none_left(self.shared.names.namespace()))
    }
}

/// The instances that fit, and who of them is in rotation.
struct Known<M> {
    generation: Option<u64>,
    fitting: Result<Arc<[Fitting<M>]>, PickError>,
    rotation: Result<Rotation, NoneInRotationError>,
    /// When the rotation has to be made anew.
    due: Option<Instant>,
}

/// Both, up to date.
struct Current<'k, M> {
    fitting: &'k [Fitting<M>],
    rotation: &'k Rotation,
}

impl<M> Default for Known<M> {
    fn default() -> Self {
        let none = NoneInRotationError { out: Default::default() };
        Self { generation: None, fitting: Ok(Arc::new([])), rotation: Err(none), due: None }
    }
}

impl<M: Message> Known<M> {
    /// Brings both up to date.
    ///
    /// # Errors
    /// [`PickError`] if no instance fits, or none of those that do is in rotation.
    fn update(
        &mut self,
        shared: &Shared,
        (criteria, choice): (&Criteria, &Choice),
        now: &Now,
    ) -> Result<Current<'_, M>, PickError> {
        let generation = shared.current(now);
        if self.generation != Some(generation) {
            self.generation = Some(generation);
            self.fitting = find(shared, criteria);
            self.rotate(choice, now);
        } else if self.due.is_some_and(|due| due <= now.get()) {
            self.rotate(choice, now);
        }
        match (&self.fitting, &self.rotation) {
            (Ok(fitting), Ok(rotation)) => Ok(Current { fitting, rotation }),
            (fitting, rotation) => Err(why_none(shared, fitting.as_ref().err(), rotation.as_ref().err())),
        }
    }

    /// The same list, for a pick that keeps it.
    fn shared_fitting(&self) -> Arc<[Fitting<M>]> {
        self.fitting.as_ref().map_or_else(|_| Arc::new([]), Arc::clone)
    }

    /// All that fit, whether they are in rotation or not.
    fn fitting(&self) -> &[Fitting<M>] {
        self.fitting.as_deref().unwrap_or_default()
    }

    #[cold]
    fn rotate(&mut self, choice: &Choice, now: &Now) {
        let now = now.get();
        let (candidates, ends): (Vec<_>, Vec<_>) = self.fitting().iter().map(|it| it.in_rotation(now)).unzip();
        let grows = candidates.iter().any(|it| it.is_ramping(choice.slow_start_time()));
        let grows = grows.then(|| now + choice.slow_start_time() / STEPS);
        let due = ends.into_iter().flatten().chain(grows).min();
        (self.rotation, self.due) = (choice.rotation(&candidates), due);
    }
}

#[cold]
fn why_none(shared: &Shared, find: Option<&PickError>, rotation: Option<&NoneInRotationError>) -> PickError {
    let namespace = shared.names.namespace();
    match (find, rotation) {
        (Some(_), _) if shared.names.has_ended() => PickError::NotRunning { namespace },
        (Some(error), _) => error.clone(),
        (None, Some(source)) => PickError::NoneInRotation { namespace, source: source.clone() },
        (None, None) => PickError::none_left(namespace),
    }
}

#[cold]
fn find<M: Message>(shared: &Shared, criteria: &Criteria) -> Result<Arc<[Fitting<M>]>, PickError> {
    let namespace = shared.names.namespace();
    let records = shared.select(criteria).map_err(|source| PickError::Find { namespace, source })?;
    let (number, mut other) = (records.len(), None);
    let fitting: Arc<[_]> = records.into_iter().filter_map(|it| fit(shared, it, &mut other)).collect();
    match other {
        Some((wanted, found)) if fitting.is_empty() => {
            Err(PickError::OtherMessage { namespace, instances: number, wanted, found })
        }
        _ => Ok(fitting),
    }
}

/// The message type that was asked for, and the one that an instance answers to.
type Types = (&'static str, &'static str);

fn fit<M: Message>(shared: &Shared, record: InstanceRecord, other: &mut Option<Types>) -> Option<Fitting<M>> {
    let (calls, service) = shared.calls(&record)?;
    let via = shared.names.via(&ServiceKey::from(record.name().registered().clone()));
    match via.actor_ref() {
        Ok(actor) if actor.get_id() == record.actor => Some(Fitting { record, actor, via, calls, service }),
        Err(RegistryError::WrongType { wanted, found, .. }) => {
            *other = Some((wanted, found));
            None
        }
        // It has ended, or another actor has its name by now: the next generation says so.
        _ => None,
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
            criteria: self.criteria.clone(),
            choice: self.choice.clone(),
            by_key: self.by_key.clone(),
            idempotent: self.idempotent,
            budget: self.budget.clone(),
            random: self.shared.random(),
            turn: 0,
            known: Known::default(),
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
