//! The calls to instances: the load of each incarnation, and the outliers of each service.
//!
//! # Invariants
//!
//! 1. A success of an instance that has had none but successes is noted without a lock, in its load alone. It is taken in
//!    with the next failure of the service, before that failure.
//! 2. An instance that has failed, or is back from an ejection, is marked: its next success takes the lock.
//! 3. A call is counted before it is looked whether its instance is being drained, and a drain is noted before the calls in
//!    flight are: in one order of all, so one of the two sees the other.
//! 4. What is kept of an incarnation goes with it: a call that ends afterwards changes nothing that others see.
//! 5. An incarnation is an instance and its actor: an actor that has the names of two instances has a record for each.
//! 6. A selector that finds the generation of its service unchanged misses no change of an instance of it, and no ejection:
//!    both are noted before the generation grows.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use foldhash::fast::RandomState;
use foundation_kernel::names::Namespace;
use foundation_kernel::ractor::ActorId;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::notice::{Notice, Notices};
use super::now::Now;
use crate::choice::{Ejection, Load, LoadRules, Outcome, OutlierRules, Outliers};
use crate::instance::InstanceName;
use crate::meter::PickMeter;

/// An instance and its actor.
type Incarnation = (InstanceName, ActorId);

/// The calls to one incarnation.
#[derive(Debug)]
pub(super) struct InstanceCalls {
    pub(super) incarnation: Incarnation,
    /// Since when it is known.
    pub(super) since: Instant,
    pub(super) load: Load,
    /// Whether its next success has to be recorded by itself. Written under the lock of the service; a reader that races
    /// with a failure is as one that came before it.
    awaits_success: AtomicBool,
    /// Whether it is being drained, so that no call may begin.
    draining: AtomicBool,
    /// Notified of the end of a call while it is being drained, and when it is resumed.
    ended: Notify,
}

/// How the calls of one service ended, and how often its instances have changed.
#[derive(Debug)]
pub(super) struct ServiceCalls {
    namespace: Namespace,
    pub(super) rules: LoadRules,
    /// Grows with each change of an instance, and with each ejection.
    generation: Generation,
    notices: Arc<Notices>,
    /// Counts the picks.
    pub(super) picks: PickMeter,
    recorded: Mutex<Recorded>,
}

/// How often the instances of a service have changed, so that selectors look again at who is in rotation; and those of all
/// services, for selectors that ask for none.
#[derive(Debug)]
pub(super) struct Generation {
    of_service: AtomicU64,
    of_all: Arc<AtomicU64>,
}

impl Generation {
    pub(super) fn new(of_all: Arc<AtomicU64>) -> Self {
        Self { of_service: AtomicU64::new(0), of_all }
    }

    fn advance(&self) {
        self.of_service.fetch_add(1, Ordering::Release);
        self.of_all.fetch_add(1, Ordering::Release);
    }
}

#[derive(Debug)]
struct Recorded {
    outliers: Outliers<Incarnation>,
    random: fastrand::Rng,
    members: HashMap<Incarnation, Member, RandomState>,
}

#[derive(Debug)]
struct Member {
    calls: Arc<InstanceCalls>,
    /// How many of its calls the outliers know.
    known: u64,
}

impl InstanceCalls {
    pub(super) fn new(incarnation: Incarnation, now: Instant) -> Self {
        let (load, awaits_success, draining) = (Load::new(now), AtomicBool::new(false), AtomicBool::new(false));
        Self { incarnation, since: now, load, awaits_success, draining, ended: Notify::new() }
    }

    /// Whether no call may begin.
    #[inline]
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Under the lock of the state, with the mark that says the same.
    pub(super) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::SeqCst);
    }

    /// Ends the waits for the end of its calls, since it is not being drained any more. Wakes tasks: not under a lock.
    pub(super) fn note_resumed(&self) {
        self.ended.notify_waiters();
    }

    /// Whether a success that is not measured changes nothing: none has failed, and no drain waits for the end of a call. To be
    /// asked after the call has ended, as [`note_end`](Self::note_end).
    #[inline]
    pub(super) fn expects_success(&self) -> bool {
        !self.is_draining() && !self.awaits_success.load(Ordering::Relaxed) && !self.load.has_failures()
    }

    /// A call has ended, as the load says already.
    pub(super) fn note_end(&self) {
        if self.is_draining() {
            self.ended.notify_waiters();
        }
    }

    /// Returns when no call is in flight, or it is not being drained any more.
    pub(super) async fn idle(&self) {
        loop {
            let mut ended = pin!(self.ended.notified());
            // Subscribe before looking: an end between the two is noticed.
            ended.as_mut().enable();
            if self.load.in_flight() == 0 || !self.is_draining() {
                return;
            }
            ended.await;
        }
    }
}

impl ServiceCalls {
    pub(super) fn new(
        namespace: Namespace,
        (rules, outliers): (LoadRules, OutlierRules),
        (generation, notices): (Generation, Arc<Notices>),
        (random, now): (fastrand::Rng, Instant),
    ) -> Self {
        let recorded = Recorded { outliers: Outliers::new(outliers, now), random, members: HashMap::default() };
        let picks = PickMeter::default();
        Self { namespace, rules, generation, notices, picks, recorded: Mutex::new(recorded) }
    }

    /// The same, whose picks are counted.
    pub(super) fn counted(self, picks: PickMeter) -> Self {
        Self { picks, ..self }
    }

    /// How often its instances have changed.
    #[inline]
    pub(super) fn generation(&self) -> u64 {
        self.generation.of_service.load(Ordering::Acquire)
    }

    /// An instance has changed, as the catalog says already.
    pub(super) fn note_change(&self) {
        self.generation.advance();
    }

    /// Whether it has no instance.
    pub(super) fn is_empty(&self) -> bool {
        self.recorded.lock().members.is_empty()
    }

    /// Adds an incarnation, unless it is there.
    pub(super) fn add_member(&self, calls: &Arc<InstanceCalls>) {
        let mut recorded = self.recorded.lock();
        recorded.outliers.add_member(calls.incarnation.clone());
        let member = || Member { calls: Arc::clone(calls), known: calls.load.ended() };
        recorded.members.entry(calls.incarnation.clone()).or_insert_with(member);
    }

    /// Removes an incarnation. To be followed by [`members_changed`](Self::members_changed).
    pub(super) fn remove_member(&self, incarnation: &Incarnation) {
        let mut recorded = self.recorded.lock();
        recorded.outliers.remove_member(incarnation);
        recorded.members.remove(incarnation);
    }

    /// After all that have come and gone together: fewer may be ejected of fewer instances, and one may have been replaced.
    pub(super) fn members_changed(&self, now: Instant) {
        self.recorded.lock().outliers.end_surplus(now);
    }

    /// Takes in that a call has ended, which its load knows already.
    pub(super) fn record(&self, calls: &InstanceCalls, outcome: Outcome, now: &Now) {
        match outcome.is_success() {
            Some(true) if !calls.awaits_success.load(Ordering::Relaxed) => {}
            Some(success) => self.record_locked(calls, success, now.get()),
            None => {}
        }
    }

    #[cold]
    fn record_locked(&self, calls: &InstanceCalls, success: bool, now: Instant) {
        let ejections = self.recorded.lock().record(&calls.incarnation, success, now);
        ejections.iter().for_each(|ejection| self.note(ejection, now));
    }

    /// Under no lock: notices wake their readers.
    fn note(&self, ejection: &Ejection<Incarnation>, now: Instant) {
        self.generation.advance();
        let (namespace, Ejection { instance: (instance, actor), cause, .. }) = (&self.namespace, ejection);
        tracing::info!(%namespace, %instance, %actor, %cause, "instance ejected");
        let lasts = ejection.until.saturating_duration_since(now);
        let (instance, actor, cause) = (instance.clone(), *actor, *cause);
        self.notices.send(Notice::Ejected { instance, actor, cause, lasts });
    }

    /// How many of these are ejected at this time.
    pub(super) fn count_ejected(&self, incarnations: impl IntoIterator<Item = Incarnation>, now: Instant) -> usize {
        let recorded = self.recorded.lock();
        incarnations.into_iter().filter(|it| recorded.outliers.ejection(it, now).is_some()).count()
    }

    /// Until when an instance is ejected, if it is at this time.
    pub(super) fn ejected_until(&self, calls: &InstanceCalls, now: Instant) -> Option<Instant> {
        self.recorded.lock().outliers.ejection(&calls.incarnation, now).map(|ejection| ejection.until)
    }
}

impl Recorded {
    fn record(&mut self, incarnation: &Incarnation, success: bool, now: Instant) -> Vec<Ejection<Incarnation>> {
        if self.outliers.is_window_over(now) {
            let others: Vec<_> = self.members.keys().filter(|other| *other != incarnation).cloned().collect();
            others.iter().for_each(|other| self.take_in(other, 0));
        }
        // This call itself has ended, and is recorded below.
        self.take_in(incarnation, 1);
        let ejections = self.outliers.record(incarnation, success, now, &mut self.random);
        if let Some(member) = self.members.get(incarnation) {
            member.calls.awaits_success.store(self.outliers.awaits_success(incarnation), Ordering::Relaxed);
        }
        // Ejected at the end of a window: on probation afterwards.
        for ejected in ejections.iter().filter_map(|ejection| self.members.get(&ejection.instance)) {
            ejected.calls.awaits_success.store(true, Ordering::Relaxed);
        }
        ejections
    }

    /// Takes in the successes that were noted without a lock: all calls that ended, but so many that are recorded next.
    fn take_in(&mut self, incarnation: &Incarnation, recorded: u64) {
        let Some(member) = self.members.get_mut(incarnation) else { return };
        // Another call that failed may have ended, and wait for the lock: it counts as a success now, and as a call that
        // is known already when it is recorded. Then more are known than have ended, and none is taken in.
        let known = member.known + recorded;
        let successes = member.calls.load.ended().saturating_sub(known);
        member.known = known + successes;
        self.outliers.add_successes(incarnation, successes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::ORDERS;

    const CALLS: u64 = 5_000;

    fn incarnation(id: u64, actor: u64) -> Incarnation {
        (InstanceName::new(&ORDERS, &id.to_string()).unwrap(), ActorId::Local(actor))
    }

    fn service(instances: u64, outliers: OutlierRules) -> (ServiceCalls, Vec<Arc<InstanceCalls>>) {
        service_of((0..instances).map(|at| incarnation(at, at)), outliers)
    }

    fn service_of(
        incarnations: impl Iterator<Item = Incarnation>,
        outliers: OutlierRules,
    ) -> (ServiceCalls, Vec<Arc<InstanceCalls>>) {
        let (now, random) = (Instant::now(), fastrand::Rng::with_seed(7));
        let calls: Vec<_> = incarnations.map(|it| Arc::new(InstanceCalls::new(it, now))).collect();
        let service = ServiceCalls::new(
            Namespace::test(),
            (LoadRules::new(), outliers),
            (Generation::new(Arc::default()), Arc::new(Notices::new())),
            (random, now),
        );
        calls.iter().for_each(|calls| service.add_member(calls));
        (service, calls)
    }

    fn call(service: &ServiceCalls, calls: &InstanceCalls, outcome: Outcome) {
        calls.load.enter();
        calls.load.leave(outcome == Outcome::Cancelled);
        calls.load.note_success(&service.rules, outcome, Instant::now());
        service.record(calls, outcome, &Now::default());
    }

    #[test]
    fn calls_of_several_threads_are_all_taken_in() {
        // No failures in a row, and no window that ends: the calls are counted.
        let (service, calls) = service(2, OutlierRules::new().failures_in_a_row(u32::MAX));
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (service, calls) = (&service, &calls);
                scope.spawn(move || {
                    for turn in 0..CALLS {
                        let failed = (turn + thread).is_multiple_of(7);
                        let outcome = if failed { Outcome::Failed } else { Outcome::Succeeded(Default::default()) };
                        call(service, &calls[turn as usize % 2], outcome);
                    }
                });
            }
        });
        let mut recorded = service.recorded.lock();
        for calls in &calls {
            recorded.take_in(&calls.incarnation, 0);
            assert_eq!((recorded.members[&calls.incarnation].known, calls.load.ended()), (2 * CALLS, 2 * CALLS));
            assert_eq!(calls.load.in_flight(), 0);
        }
    }

    #[test]
    fn a_call_that_ends_after_its_instance_changes_nothing() {
        let (service, calls) = service(3, OutlierRules::new());
        service.remove_member(&calls[0].incarnation);
        service.members_changed(Instant::now());
        (0..20).for_each(|_| call(&service, &calls[0], Outcome::Failed));
        assert_eq!(service.ejected_until(&calls[0], Instant::now()), None);
        assert!(!calls[0].awaits_success.load(Ordering::Relaxed));
    }

    #[test]
    fn a_success_after_failures_begins_their_count_anew() {
        let (now, (service, calls)) = (Instant::now(), service(4, OutlierRules::new()));
        for _ in 0..10 {
            (0..4).for_each(|_| call(&service, &calls[0], Outcome::Failed));
            assert!(calls[0].awaits_success.load(Ordering::Relaxed));
            call(&service, &calls[0], Outcome::Succeeded(Default::default()));
            assert!(!calls[0].awaits_success.load(Ordering::Relaxed));
        }
        assert_eq!(service.ejected_until(&calls[0], now), None);
        (0..5).for_each(|_| call(&service, &calls[0], Outcome::Failed));
        assert!(service.ejected_until(&calls[0], now).is_some());
        assert_eq!(service.generation(), 1);
    }
    #[test]
    fn the_successes_of_years_without_a_failure_count_in_the_window_of_the_first_one() {
        for successes in [(1 << 31) + 100, (1 << 32) + 7, 1 << 40] {
            let rules = OutlierRules::new().window(std::time::Duration::ZERO).failures_in_a_row(u32::MAX);
            let (service, calls) = service(6, rules);
            calls.iter().for_each(|calls| calls.load.set_ended(successes));
            call(&service, &calls[0], Outcome::Failed);
            let recorded = service.recorded.lock();
            let known = calls.iter().map(|it| recorded.members[&it.incarnation].known);
            assert!(known.eq([successes + 1].into_iter().chain([successes; 5])), "of {successes}");
        }
    }

    #[test]
    fn two_instances_of_one_actor_have_a_record_each() {
        let (service, calls) = service_of(
            [(0, 7), (1, 7), (2, 8), (3, 9)].map(|(id, actor)| incarnation(id, actor)).into_iter(),
            OutlierRules::new(),
        );
        for _ in 0..4 {
            call(&service, &calls[0], Outcome::Failed);
            call(&service, &calls[1], Outcome::Succeeded(Default::default()));
        }
        call(&service, &calls[0], Outcome::Failed);
        let ejected = |at: usize| service.ejected_until(&calls[at], Instant::now()).is_some();
        assert_eq!([0, 1, 2, 3].map(ejected), [true, false, false, false], "five failures of one in a row");
    }
}
