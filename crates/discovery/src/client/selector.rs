//! Selectors: an instance for each call.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::names::{CallError, ServiceKey};
use foundation_kernel::ractor::{ActorId, ActorRef, Message, RpcReplyPort};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::error::{CallInstanceError, PickError};
use super::notice::Notice;
use super::state::{ServiceCalls, Shared, Tracked};
use crate::catalog::FindError;
use crate::choice::{Candidate, Choice, Chosen, Draw, LoadRules, Locality, Outcome, RetryBudget};
use crate::criteria::Criteria;
use crate::instance::InstanceRecord;

/// How many instances one call tries at most.
const MAX_TRIES: usize = 3;

/// Chooses an instance for each call, among those that meet its criteria.
///
/// Keep one for each caller: it remembers which instances fit until one changes, and has its own turn, chance and retry
/// budget. Loads and ejections are those of the namespace, shared by all selectors. A clone begins with the same settings.
///
/// A pick and its end cost about 0.2 µs, and 0.12 µs for each instance that fits: the figures of all are read.
pub struct Selector<M> {
    shared: Arc<Shared>,
    criteria: Criteria,
    choice: Choice,
    idempotent: bool,
    budget: RetryBudget,
    random: fastrand::Rng,
    turn: u64,
    known: Known<M>,
}

/// The instances that fit, as of one generation of the catalog.
struct Known<M> {
    generation: Option<u64>,
    fitting: Result<Vec<Fitting<M>>, FindError>,
}

/// An instance that fits, with what its calls are noted in.
struct Fitting<M> {
    record: InstanceRecord,
    key: ServiceKey<M>,
    tracked: Arc<Tracked>,
    calls: Arc<Mutex<ServiceCalls>>,
}

impl<M: Message> Selector<M> {
    pub(super) fn new(shared: Arc<Shared>, criteria: Criteria, choice: Choice) -> Self {
        let random = shared.random();
        let budget = RetryBudget::default();
        Self { shared, criteria, choice, idempotent: false, budget, random, turn: 0, known: Known::default() }
    }

    /// How an instance is chosen.
    pub fn choice(self, choice: Choice) -> Self {
        Self { choice, ..self }
    }

    /// Whether a call may be made again that was delivered and has no answer. Default: no.
    pub fn idempotent(self, idempotent: bool) -> Self {
        Self { idempotent, ..self }
    }

    /// How many calls may be made again. Default: 20 percent, and 10 to begin with.
    pub fn retry_budget(self, budget: RetryBudget) -> Self {
        Self { budget, ..self }
    }

    /// Picks an instance for one call.
    ///
    /// # Errors
    /// [`PickError`] says why there is none.
    pub fn pick(&mut self) -> Result<Picked<M>, PickError> {
        self.pick_among(None, &[])
    }

    /// Picks an instance for one call with this key: the same one for the same key, by
    /// [`Policy::Rendezvous`](crate::choice::Policy::Rendezvous).
    ///
    /// # Errors
    /// As [`pick`](Self::pick).
    pub fn pick_for(&mut self, key: &[u8]) -> Result<Picked<M>, PickError> {
        self.pick_among(Some(key), &[])
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
        let (began, mut tried, mut last) = (Instant::now(), Vec::new(), None);
        loop {
            let left = limit.saturating_sub(began.elapsed());
            // Another instance without time to answer would be blamed for it.
            if let Some((instance, source)) = last.take_if(|_| left.is_zero()) {
                return Err(no_answer(&tried, &instance, source));
            }
            let picked = match (self.pick_among(None, &tried), last.take()) {
                (Ok(picked), _) => picked,
                (Err(error), None) => return Err(error.into()),
                (Err(_), Some((instance, source))) => return Err(no_answer(&tried, &instance, source)),
            };
            let error = match self.shared.names.via(&picked.key).call(&message, left).await {
                Ok(reply) => {
                    picked.succeeded();
                    return Ok(reply);
                }
                Err(error) => error,
            };
            let instance = picked.record.clone();
            picked.ended_with(&error);
            tried.push(instance.clone());
            if !self.may_repeat(&error) || tried.len() == MAX_TRIES || !self.budget.withdraw() {
                return Err(no_answer(&tried, &instance, error));
            }
            last = Some((instance, error));
        }
    }

    fn may_repeat(&self, error: &CallError<M>) -> bool {
        match error {
            CallError::NotDelivered(_) => true,
            CallError::NoReply { .. } => self.idempotent,
            // No time is left, or there is no runtime.
            _ => false,
        }
    }

    fn pick_among(&mut self, key: Option<&[u8]>, tried: &[InstanceRecord]) -> Result<Picked<M>, PickError> {
        let (now, turn, namespace) = (Instant::now(), self.turn, self.shared.names.namespace());
        self.turn = turn.wrapping_add(1);
        let fitting = self.known.fitting(&self.shared, &self.criteria, now)?;
        let load = &self.shared.options.load;
        let mut candidates: Vec<_> = fitting.iter().map(|it| it.candidate(load, now)).collect();
        candidates.retain(|it| !is_in(tried, it.record().actor));
        loop {
            let draw = Draw::new(&mut self.random).turn(turn);
            let draw = key.into_iter().fold(draw, Draw::key);
            let chosen = self.choice.choose(&candidates, draw);
            let chosen = chosen.map_err(|source| PickError::NoneInRotation { namespace, source })?;
            let is_chosen = |record: &InstanceRecord| std::ptr::eq(record, chosen.candidate.record());
            let found =
                fitting.iter().find(|it| is_chosen(&it.record)).and_then(|it| Some((it, it.actor(&self.shared)?)));
            match found {
                Some((fitting, actor)) => {
                    let picked = fitting.picked(actor, &chosen, &self.shared, now);
                    // After the call has begun: a drain that began meanwhile waits for it, or is seen here.
                    if !fitting.tracked.is_draining() {
                        return Ok(picked);
                    }
                    candidates.retain(|it| !is_chosen(it.record()));
                }
                None => candidates.retain(|it| !is_chosen(it.record())),
            }
        }
    }
}

impl<M> Default for Known<M> {
    fn default() -> Self {
        Self { generation: None, fitting: Ok(Vec::new()) }
    }
}

impl<M> Known<M> {
    /// Brings them up to date.
    fn fitting(&mut self, shared: &Shared, criteria: &Criteria, now: Instant) -> Result<&[Fitting<M>], PickError> {
        let generation = shared.refresh(now);
        if self.generation != Some(generation) {
            self.generation = Some(generation);
            self.fitting =
                shared.select(criteria).map(|it| it.into_iter().filter_map(|it| track(shared, it)).collect());
        }
        let namespace = shared.names.namespace();
        match &self.fitting {
            Ok(fitting) => Ok(fitting),
            Err(_) if shared.names.has_ended() => Err(PickError::NotRunning { namespace }),
            Err(error) => Err(PickError::Find { namespace, source: error.clone() }),
        }
    }
}

fn track<M>(shared: &Shared, record: InstanceRecord) -> Option<Fitting<M>> {
    let (tracked, calls) = shared.tracked(&record)?;
    let key = ServiceKey::from(record.name().registered().clone());
    Some(Fitting { record, key, tracked, calls })
}

/// The error of a call that this instance did not answer, the last of those that were tried.
fn no_answer<M>(tried: &[InstanceRecord], last: &InstanceRecord, source: CallError<M>) -> CallInstanceError<M> {
    let before = tried.iter().filter(|record| record.actor != last.actor).map(|record| record.name().clone());
    CallInstanceError::Call { instance: last.name().clone(), before: before.collect(), source }
}

fn is_in(tried: &[InstanceRecord], actor: ActorId) -> bool {
    tried.iter().any(|record| record.actor == actor)
}

impl<M> Fitting<M> {
    fn candidate(&self, rules: &LoadRules, now: Instant) -> Candidate<'_> {
        let load = self.tracked.load.lock().reading(rules, now);
        Candidate::new(&self.record, load)
            .age(now.saturating_duration_since(self.tracked.since))
            .ejected(self.calls.lock().is_ejected(self.record.actor, now))
    }

    /// Its actor, unless that has ended since the registry noted its last change, or answers to another type.
    fn actor(&self, shared: &Shared) -> Option<ActorRef<M>>
    where
        M: Message,
    {
        shared.names.lookup(&self.key).ok().filter(|actor| actor.get_id() == self.record.actor)
    }

    fn picked(&self, actor: ActorRef<M>, chosen: &Chosen<'_>, shared: &Arc<Shared>, now: Instant) -> Picked<M> {
        self.tracked.load.lock().begin(now);
        Picked {
            record: self.record.clone(),
            key: self.key.clone(),
            actor,
            fail_open: chosen.fail_open,
            locality: chosen.locality,
            shared: Arc::clone(shared),
            tracked: Arc::clone(&self.tracked),
            calls: Arc::clone(&self.calls),
            begun: now,
            outcome: Outcome::Cancelled,
        }
    }
}

impl<M> Clone for Selector<M> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            criteria: self.criteria.clone(),
            choice: self.choice.clone(),
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

/// An instance that was picked for one call, which counts as in flight until this is dropped.
///
/// Say how the call ended with [`succeeded`](Self::succeeded) or [`failed`](Self::failed): the next choices heed it. Dropped
/// without either, the call was cancelled, which says nothing of the instance.
#[must_use = "a call that is dropped at once is cancelled"]
pub struct Picked<M> {
    record: InstanceRecord,
    key: ServiceKey<M>,
    actor: ActorRef<M>,
    fail_open: bool,
    locality: Option<Locality>,
    shared: Arc<Shared>,
    tracked: Arc<Tracked>,
    calls: Arc<Mutex<ServiceCalls>>,
    begun: Instant,
    outcome: Outcome,
}

impl<M> Picked<M> {
    /// The instance.
    pub fn record(&self) -> &InstanceRecord {
        &self.record
    }

    /// Its actor.
    pub fn actor(&self) -> &ActorRef<M> {
        &self.actor
    }

    /// Whether too few instances were in rotation, so that those that are out took part.
    pub fn fail_open(&self) -> bool {
        self.fail_open
    }

    /// How near it is; `None` if the choice does not look at zones.
    pub fn locality(&self) -> Option<Locality> {
        self.locality
    }

    /// The call has succeeded, after the time since the pick.
    pub fn succeeded(mut self) {
        self.outcome = Outcome::Succeeded(self.begun.elapsed());
    }

    /// The call has failed.
    pub fn failed(mut self) {
        self.outcome = Outcome::Failed;
    }

    /// A call that was not even tried says nothing of the instance.
    fn ended_with(self, error: &CallError<M>) {
        match error {
            CallError::NoRuntime { .. } => drop(self),
            _ => self.failed(),
        }
    }
}

impl<M> Drop for Picked<M> {
    fn drop(&mut self) {
        let now = Instant::now();
        self.tracked.load.lock().end(&self.shared.options.load, self.outcome, now);
        self.tracked.note_end();
        let ejections = self.calls.lock().record(self.record.actor, self.outcome, now);
        for ejection in ejections {
            let (namespace, service) = (self.shared.names.namespace(), self.record.service());
            tracing::info!(%namespace, %service, actor = %ejection.actor, cause = %ejection.cause, "instance ejected");
            let (service, lasts) = (service.clone(), ejection.until.saturating_duration_since(now));
            let (actor, cause) = (ejection.actor, ejection.cause);
            self.shared.notices.send(Notice::Ejected { service, actor, cause, lasts });
        }
    }
}

impl<M> fmt::Debug for Picked<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picked")
            .field("record", &self.record)
            .field("fail_open", &self.fail_open)
            .finish_non_exhaustive()
    }
}
