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

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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

/// The calls to one incarnation.
#[derive(Debug)]
pub(super) struct InstanceCalls {
    name: InstanceName,
    pub(super) actor: ActorId,
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

/// How the calls of one service ended.
#[derive(Debug)]
pub(super) struct ServiceCalls {
    namespace: Namespace,
    pub(super) rules: LoadRules,
    /// Grows with each ejection, so that selectors look again at who is in rotation.
    generation: Arc<AtomicU64>,
    notices: Arc<Notices>,
    /// Counts the picks.
    pub(super) picks: PickMeter,
    recorded: Mutex<Recorded>,
}

#[derive(Debug)]
struct Recorded {
    outliers: Outliers,
    random: fastrand::Rng,
    members: HashMap<ActorId, Member>,
}

#[derive(Debug)]
struct Member {
    calls: Arc<InstanceCalls>,
    /// How many of its calls the outliers know.
    known: u32,
}

impl InstanceCalls {
    pub(super) fn new((name, actor): (InstanceName, ActorId), now: Instant) -> Self {
        let (load, awaits_success, draining) = (Load::new(now), AtomicBool::new(false), AtomicBool::new(false));
        Self { name, actor, since: now, load, awaits_success, draining, ended: Notify::new() }
    }

    /// Whether no call may begin.
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
        (generation, notices): (Arc<AtomicU64>, Arc<Notices>),
        (random, now): (fastrand::Rng, Instant),
    ) -> Self {
        let recorded = Recorded { outliers: Outliers::new(outliers, now), random, members: HashMap::new() };
        let picks = PickMeter::default();
        Self { namespace, rules, generation, notices, picks, recorded: Mutex::new(recorded) }
    }

    /// The same, whose picks are counted.
    pub(super) fn counted(self, picks: PickMeter) -> Self {
        Self { picks, ..self }
    }

    /// Sets the instances of the service. Those that stay keep their records.
    pub(super) fn set_members(&self, members: impl IntoIterator<Item = Arc<InstanceCalls>>, now: Instant) {
        let mut recorded = self.recorded.lock();
        let mut before = std::mem::take(&mut recorded.members);
        let member = |calls: Arc<InstanceCalls>| {
            let known = before.remove(&calls.actor).map_or_else(|| calls.load.ended(), |member| member.known);
            (calls.actor, Member { calls, known })
        };
        recorded.members = members.into_iter().map(member).collect();
        let actors: Vec<_> = recorded.members.keys().copied().collect();
        recorded.outliers.set_members(actors, now);
    }

    /// Takes in that a call has ended, which its load knows already.
    pub(super) fn record(&self, calls: &InstanceCalls, outcome: Outcome, now: &Now) {
        match outcome.is_success() {
            Some(true) if !calls.awaits_success.load(Ordering::Relaxed) => {}
            Some(success) => {
                let ejections = self.recorded.lock().record(calls.actor, success, now.get());
                ejections.into_iter().for_each(|(instance, ejection)| self.note(instance, &ejection, now.get()));
            }
            None => {}
        }
    }

    /// Under no lock: notices wake their readers.
    #[cold]
    fn note(&self, instance: InstanceName, ejection: &Ejection, now: Instant) {
        self.generation.fetch_add(1, Ordering::Release);
        let (namespace, Ejection { actor, cause, .. }) = (&self.namespace, *ejection);
        tracing::info!(%namespace, %instance, %actor, %cause, "instance ejected");
        let lasts = ejection.until.saturating_duration_since(now);
        self.notices.send(Notice::Ejected { instance, actor, cause, lasts });
    }

    /// How many of these are ejected at this time.
    pub(super) fn count_ejected(&self, actors: impl IntoIterator<Item = ActorId>, now: Instant) -> usize {
        let recorded = self.recorded.lock();
        actors.into_iter().filter(|actor| recorded.outliers.ejection(*actor, now).is_some()).count()
    }

    /// Until when an instance is ejected, if it is at this time.
    pub(super) fn ejected_until(&self, actor: ActorId, now: Instant) -> Option<Instant> {
        self.recorded.lock().outliers.ejection(actor, now).map(|ejection| ejection.until)
    }
}

impl Recorded {
    /// Returns those that are ejected now, with their names.
    fn record(&mut self, actor: ActorId, success: bool, now: Instant) -> Vec<(InstanceName, Ejection)> {
        if self.outliers.is_window_over(now) {
            let others: Vec<_> = self.members.keys().copied().filter(|other| *other != actor).collect();
            others.into_iter().for_each(|other| self.take_in(other, 0));
        }
        // This call itself has ended, and is recorded below.
        self.take_in(actor, 1);
        let ejections = self.outliers.record(actor, success, now, &mut self.random);
        if let Some(member) = self.members.get(&actor) {
            member.calls.awaits_success.store(self.outliers.awaits_success(actor), Ordering::Relaxed);
        }
        let ejected = ejections.into_iter().filter_map(|ejection| {
            let member = self.members.get(&ejection.actor)?;
            // Ejected at the end of a window: on probation afterwards.
            member.calls.awaits_success.store(true, Ordering::Relaxed);
            Some((member.calls.name.clone(), ejection))
        });
        ejected.collect()
    }

    /// Takes in the successes that were noted without a lock: all calls that ended, but so many that are recorded next.
    fn take_in(&mut self, actor: ActorId, recorded: u32) {
        let Some(member) = self.members.get_mut(&actor) else { return };
        // Another call that failed may have ended, and wait for the lock: it counts as a success now, and as a call that
        // is known already when it is recorded. Then there is one less, and not 2³² more.
        let unknown = member.calls.load.ended().wrapping_sub(member.known).wrapping_sub(recorded).cast_signed();
        let successes = unknown.max(0).cast_unsigned();
        member.known = member.known.wrapping_add(successes).wrapping_add(recorded);
        self.outliers.add_successes(actor, successes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::ORDERS;

    const CALLS: u32 = 5_000;

    fn service(instances: u64, outliers: OutlierRules) -> (ServiceCalls, Vec<Arc<InstanceCalls>>) {
        let (now, random) = (Instant::now(), fastrand::Rng::with_seed(7));
        let of = |at: u64| (InstanceName::new(&ORDERS, &at.to_string()).unwrap(), ActorId::Local(at));
        let calls: Vec<_> = (0..instances).map(|at| Arc::new(InstanceCalls::new(of(at), now))).collect();
        let service = ServiceCalls::new(
            Namespace::test(),
            (LoadRules::new(), outliers),
            (Arc::default(), Arc::new(Notices::new())),
            (random, now),
        );
        service.set_members(calls.iter().cloned(), now);
        (service, calls)
    }

    fn call(service: &ServiceCalls, calls: &InstanceCalls, outcome: Outcome) {
        calls.load.enter();
        calls.load.end_unmeasured(&service.rules, outcome, Instant::now);
        service.record(calls, outcome, &Now::default());
    }

    #[test]
    fn calls_of_several_threads_are_all_taken_in() {
        // No failures in a row, and no window that ends: the calls are counted.
        let (service, calls) = service(2, OutlierRules::new().failures_in_a_row(u32::MAX));
        std::thread::scope(|scope| {
            for thread in 0..4_u32 {
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
            recorded.take_in(calls.actor, 0);
            assert_eq!((recorded.members[&calls.actor].known, calls.load.ended()), (2 * CALLS, 2 * CALLS));
            assert_eq!(calls.load.in_flight(), 0);
        }
    }

    #[test]
    fn a_call_that_ends_after_its_instance_changes_nothing() {
        let (service, calls) = service(3, OutlierRules::new());
        service.set_members(calls[1..].iter().cloned(), Instant::now());
        (0..20).for_each(|_| call(&service, &calls[0], Outcome::Failed));
        assert_eq!(service.ejected_until(ActorId::Local(0), Instant::now()), None);
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
        assert_eq!(service.ejected_until(ActorId::Local(0), now), None);
        (0..5).for_each(|_| call(&service, &calls[0], Outcome::Failed));
        assert!(service.ejected_until(ActorId::Local(0), now).is_some());
        assert_eq!(service.generation.load(Ordering::Relaxed), 1);
    }
}
