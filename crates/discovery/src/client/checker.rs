//! Checks that run at an interval.
//!
//! # Invariants
//!
//! 1. Never two checks of one incarnation run at a time, whichever task has started them: each run has the turn of its incarnation.
//! 2. What a check records and the end of that check are in one task, so nothing is recorded after the end.
//! 3. A run is given the instance as it is when the run begins: what its owner has changed since the last one counts.
//! 4. An instance that a run of checks sees has a task that checks it. One that ended otherwise is reported and begun again after
//!    a pause, so that one that ends at once does not take the thread.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use foundation_kernel::containment::{report, waking_contained};
use foundation_kernel::names::{Watch, Watched};
use foundation_kernel::ractor::ActorId;
use foundation_kernel::supervision::{Health, run_check};
use futures::FutureExt;
use futures::future::pending;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::alarm::{TICK, wait_until};
use super::state::Shared;
use crate::catalog::Catalog;
use crate::check::{CheckKind, CheckPermit, CheckSlot, InstanceCheck};
use crate::criteria::Criteria;
use crate::health::{CheckRules, is_success};
use crate::instance::{InstanceName, InstanceRecord};

/// How long after the end of a task that checks the next one begins in its place.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// One incarnation of an instance.
type Incarnation = (InstanceName, ActorId);

/// One check of all instances that meet some criteria: each instance is checked by a task. They end with this value; their
/// last results count until they are too old.
pub(super) struct CheckRun {
    check: InstanceCheck,
    criteria: Criteria,
    shared: Arc<Shared>,
    tasks: JoinSet<InstanceName>,
    of: HashMap<InstanceName, RunningCheck>,
}

/// The task that checks one incarnation.
struct RunningCheck {
    actor: ActorId,
    task: Id,
    end: oneshot::Sender<()>,
}

impl CheckRun {
    pub(super) fn new(shared: Arc<Shared>, criteria: Criteria, check: InstanceCheck) -> Self {
        let criteria = criteria.of_any_status();
        Self { check, criteria, shared, tasks: JoinSet::new(), of: HashMap::new() }
    }

    /// Checks until the namespace ends.
    pub(super) async fn run(&mut self) {
        let (mut names, mut catalog) = (self.shared.watch_names(), Catalog::new());
        loop {
            match self.woken(&mut names).await {
                Woken::Names(None) => return,
                Woken::Names(Some(watched)) => {
                    for change in catalog.apply(watched) {
                        self.follow(change.name(), catalog.get(change.name()), Duration::ZERO);
                    }
                }
                Woken::Ended(ended) => self.begin_again(ended, |name| catalog.get(name)),
            }
        }
    }

    async fn woken(&mut self, names: &mut Watch) -> Woken {
        waking_contained(async {
            // Not biased: while names change all the time, checks that have ended are begun again.
            tokio::select! {
                watched = names.next() => Woken::Names(watched),
                Some(ended) = self.tasks.join_next_with_id() => Woken::Ended(ended),
            }
        })
        .await
    }

    /// Begins a check again that has ended, unless the instance is gone or another task checks it by now.
    fn begin_again<'a>(
        &mut self,
        ended: Result<(Id, InstanceName), JoinError>,
        find: impl FnOnce(&InstanceName) -> Option<&'a InstanceRecord>,
    ) {
        if let Some(name) = self.remove_ended(ended) {
            self.follow(&name, find(&name), PAUSE);
        }
    }

    /// The instance whose check this task was, unless another one checks it by now.
    fn remove_ended(&mut self, ended: Result<(Id, InstanceName), JoinError>) -> Option<InstanceName> {
        let (task, name) = match ended {
            Ok((task, name)) => (task, Some(name)),
            Err(error) => {
                report_panic(&self.shared, self.check.name(), &error);
                (error.id(), None)
            }
        };
        let name = name.or_else(|| self.of.iter().find(|(_, it)| it.task == task).map(|(name, _)| name.clone()))?;
        self.of.get(&name).filter(|running| running.task == task)?;
        self.of.remove(&name).map(|_| name)
    }

    /// Ends all checks, and forgets what they have found.
    pub(super) async fn end(mut self) {
        for (_, running) in self.of.drain() {
            // It may have ended by itself.
            let _ = running.end.send(());
        }
        while waking_contained(self.tasks.join_next()).await.is_some() {}
    }

    /// Begins or ends the checks of an instance, as it is now; those that begin do so after this time.
    fn follow(&mut self, name: &InstanceName, record: Option<&InstanceRecord>, after: Duration) {
        let wanted = record.filter(|it| self.criteria.accepts(&it.instance, it.status()));
        let present = self.of.get(name).map(|running| running.actor);
        if present == wanted.map(|record| record.actor) {
            return;
        }
        if let Some(running) = self.of.remove(name) {
            // It may have ended by itself.
            let _ = running.end.send(());
        }
        if let Some(record) = wanted {
            let (end, ended) = oneshot::channel();
            let of = (record.name().clone(), record.actor);
            let checked = checked(self.check.clone(), Arc::clone(&self.shared), of, (after, ended));
            let task = self.tasks.spawn(checked).id();
            self.of.insert(name.clone(), RunningCheck { actor: record.actor, task, end });
        }
    }
}

/// What a run of checks has been woken by.
enum Woken {
    Names(Option<Watched>),
    Ended(Result<(Id, InstanceName), JoinError>),
}

/// Reports that a task of checks has panicked, if it has.
pub(super) fn report_panic(shared: &Shared, check: &str, error: &JoinError) {
    if error.is_panic() {
        let namespace = shared.names.namespace();
        report(|| tracing::error!(%namespace, %check, %error, "the task of a check panicked, and begins again"));
    }
}

/// Waits for the time before a task begins again.
pub(super) async fn pause(time: Duration) {
    if time > Duration::ZERO {
        wait_until(Instant::now() + time).await;
    }
}

/// Checks one incarnation until it is gone, or its checks are ended: then what they have found is forgotten, so that an
/// instance that is not checked any more does not become stale. Returns its name.
async fn checked(
    check: InstanceCheck,
    shared: Arc<Shared>,
    (name, actor): Incarnation,
    (after, ended): (Duration, oneshot::Receiver<()>),
) -> InstanceName {
    let ended = async {
        // A sender that is dropped says nothing.
        if ended.await.is_err() {
            pending::<()>().await;
        }
    };
    let (check_name, of) = (check.name().to_owned(), (name.clone(), actor));
    let checks = async {
        pause(after).await;
        run_checker(check, Arc::clone(&shared), of, FirstRuns::AtItsPhase).await;
    };
    tokio::select! {
        biased;
        () = ended => drop(shared.end_check(&name, actor, &check_name)),
        () = checks => {}
    }
    name
}

/// Checks one incarnation until it is gone: at once, and more often until the first success.
pub(super) async fn check_until_gone(check: InstanceCheck, shared: Arc<Shared>, record: InstanceRecord) {
    run_checker(check, shared, (record.name().clone(), record.actor), FirstRuns::UntilSuccess).await;
}

async fn run_checker(check: InstanceCheck, shared: Arc<Shared>, of: Incarnation, first: FirstRuns) {
    // An incarnation without one is gone.
    let Some(slot) = shared.check_slot(&of.0, of.1) else { return };
    let rules = check.current_rules();
    Checker { check, rules, shared, of, slot, first, is_refused: false }.run().await;
}

/// Checks one incarnation until that succeeds; no result is recorded.
pub(super) async fn check_until_success(check: &InstanceCheck, shared: &Shared, record: &InstanceRecord) {
    // Without recorded results there is no heartbeat to wait for.
    while matches!(check.kind(), CheckKind::Ask(_)) && !is_success(&ask_in_turn(check, shared, record).await) {
        wait_until(Instant::now() + check.cadence().until_success()).await;
    }
}

/// Asks when it is the turn of the incarnation, which need not be registered yet, and there is room for an unproven check.
async fn ask_in_turn(check: &InstanceCheck, shared: &Shared, record: &InstanceRecord) -> Health {
    let due = Instant::now();
    let turn = match shared.check_slot(record.name(), record.actor) {
        Some(slot) => slot.turn().await,
        None => None,
    };
    let _permit = shared.capacity.permit(due, false).await;
    ask(check, shared, record, turn).await
}

/// Asks once. `running` is dropped when what was asked has ended, which may be later.
async fn ask(check: &InstanceCheck, shared: &Shared, record: &InstanceRecord, running: impl Send + 'static) -> Health {
    let CheckKind::Ask(ask) = check.kind().clone() else { return Health::NotFound };
    let (names, record, limit) = (shared.names.clone(), record.clone(), check.limit());
    run_check(limit, move || {
        let asked = ask.ask(&names, record, limit);
        async move {
            // Dropped after what was asked, and only when it has ended.
            let _running = running;
            asked.await
        }
    })
    .await
}

/// When a check of an incarnation runs before its first success.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FirstRuns {
    /// At its phase within the interval, so that the checks of all instances are spread.
    AtItsPhase,
    /// At once, and ten times as often: the success is awaited.
    UntilSuccess,
}

/// The checker of one incarnation.
struct Checker {
    check: InstanceCheck,
    rules: CheckRules,
    shared: Arc<Shared>,
    of: Incarnation,
    slot: Arc<CheckSlot>,
    first: FirstRuns,
    /// Whether the instance has too many checks.
    is_refused: bool,
}

impl Checker {
    async fn run(self) {
        match *self.check.kind() {
            CheckKind::Heartbeat(ttl) => self.follow_heartbeats(ttl).await,
            CheckKind::Ask(_) => self.ask_at_intervals().await,
        }
    }

    /// Looks when the last heartbeat would be too old. While there is none, or while it is, looks at the next one.
    async fn follow_heartbeats(mut self, ttl: Duration) {
        // Those before are not missed: no check has asked for them.
        let since = Instant::now();
        let slot = Arc::clone(&self.slot);
        let pulse = slot.heartbeats.pulse();
        loop {
            let mut changed = pin!(pulse.changed());
            // Subscribe before looking: a heartbeat between the two is noticed.
            changed.as_mut().enable();
            let now = Instant::now();
            let Some(last) = slot.heartbeats.last(now) else { return };
            let look = slot.heartbeats.look(last, (ttl, since), now);
            let awaits_one = look.health.as_ref().is_none_or(|health| !is_success(health));
            if let Some(health) = look.health
                && !self.record(health)
            {
                return;
            }
            if awaits_one && !pulse.await_next(last) {
                continue;
            }
            // A silence is recorded again meanwhile, so that it does not become too old.
            let next = if look.silent_at + TICK > now { look.silent_at + TICK } else { now + ttl };
            tokio::select! {
                () = changed => {}
                () = wait_until(pulse.look_within(ttl).map_or(next, |within| next.min(now + within))) => {}
            }
        }
    }

    async fn ask_at_intervals(mut self) {
        let (mut random, mut failures) = (self.shared.random(), None::<u32>);
        let mut wait = match self.first {
            FirstRuns::AtItsPhase => self.check.cadence().first(self.of.0.as_str(), self.check.name()),
            FirstRuns::UntilSuccess => Duration::ZERO,
        };
        let mut last = Run::default();
        loop {
            let due = Instant::now() + wait;
            wait_until(due).await;
            let Some(health) = self.run_once((due, failures == Some(0)), &mut last).await else { return };
            let failed = if is_success(&health) { 0 } else { failures.unwrap_or(0).saturating_add(1) };
            failures = Some(failed);
            if !self.record(health) {
                return;
            }
            if failed == 0 {
                self.first = FirstRuns::AtItsPhase;
            }
            wait = match self.first {
                FirstRuns::AtItsPhase => self.check.cadence().next(self.rules.failures_beyond(failed), &mut random),
                FirstRuns::UntilSuccess => self.check.cadence().until_success(),
            };
        }
    }

    /// Waits for its turn, being due since then and proven or not, and asks the instance as it is then; `None` if the incarnation
    /// is gone.
    async fn run_once(&self, of: (Instant, bool), last: &mut Run) -> Option<Health> {
        let limit = self.check.limit();
        if last.is_running() {
            // Its thread is blocked: it could not be ended when its time was over.
            return Some(Health::TimedOut(limit));
        }
        let mut turn = pin!(self.turn(of));
        let (permit, turn) = match turn.as_mut().now_or_never() {
            Some(turn) => turn,
            None => {
                self.shared.await_turn((&self.of.0, self.of.1), self.check.name());
                turn.await
            }
        };
        let record = self.shared.record(&self.of.0, self.of.1)?;
        let began = Instant::now();
        let health = ask(&self.check, &self.shared, &record, last.begin(turn)).await;
        drop(permit);
        let (names, took) = (&self.shared.names, began.elapsed());
        self.shared.options.meter.check_ran(names, record.service(), self.check.name(), took);
        Some(health)
    }

    /// The turn of the incarnation first: while it waits for that, no other instance waits for it.
    async fn turn(&self, (due, is_proven): (Instant, bool)) -> (CheckPermit<'_>, Option<OwnedSemaphorePermit>) {
        let turn = self.slot.turn().await;
        (self.shared.capacity.permit(due, is_proven).await, turn)
    }

    /// Records a result; false if the incarnation is gone.
    fn record(&mut self, health: Health) -> bool {
        let recorded = self.shared.record_check((&self.of.0, self.of.1), self.check.name(), &self.rules, health);
        match recorded {
            Ok(health) => {
                self.is_refused = false;
                health.is_some()
            }
            Err(error) => {
                // Tried again at the next interval: another check may have ended. The health of the instance says so.
                if !std::mem::replace(&mut self.is_refused, true) {
                    let namespace = self.shared.names.namespace();
                    report(|| tracing::warn!(%namespace, %error, "not checked"));
                }
                true
            }
        }
    }
}

/// The last run of one check of one incarnation.
#[derive(Default)]
struct Run(Option<Weak<OwnedSemaphorePermit>>);

impl Run {
    /// Begins a run, which has the turn until the returned value is dropped.
    fn begin(&mut self, turn: Option<OwnedSemaphorePermit>) -> Option<Arc<OwnedSemaphorePermit>> {
        let turn = turn.map(Arc::new);
        self.0 = turn.as_ref().map(Arc::downgrade);
        turn
    }

    fn is_running(&self) -> bool {
        self.0.as_ref().is_some_and(|turn| turn.strong_count() > 0)
    }
}

#[cfg(test)]
mod tests {
    use foundation_kernel::names::{Namespace, ProcessRegistry, ServiceKey, ServiceName};
    use foundation_kernel::ractor::Actor;

    use super::*;
    use crate::client::options::DiscoveryOptions;
    use crate::instance::Instance;
    use crate::samples::Idle;

    struct World {
        registry: ProcessRegistry,
        shared: Arc<Shared>,
        /// No reader has seen it, so each of its checkers ends at once.
        unknown: InstanceRecord,
    }

    async fn world() -> World {
        let registry = ProcessRegistry::start().await.unwrap();
        let names = registry.namespace(Namespace::test()).await.unwrap();
        let shared = Arc::new(Shared::new(names, DiscoveryOptions::new().unread_changes(1_000)));
        let unknown = Instance::builder("orders", "unknown").build().unwrap();
        World { registry, shared, unknown: InstanceRecord::new(unknown, ActorId::Local(u64::MAX)) }
    }

    impl World {
        fn run(&self) -> CheckRun {
            let mut run = CheckRun::new(Arc::clone(&self.shared), Criteria::any(), InstanceCheck::alive());
            run.follow(self.unknown.name(), Some(&self.unknown), Duration::ZERO);
            run
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_checker_that_ends_at_once_is_begun_again_after_a_pause() {
        let world = world().await;
        let (mut run, began) = (world.run(), Instant::now());
        for turn in 0..5 {
            let ended = run.tasks.join_next_with_id().await.unwrap();
            assert_eq!(began.elapsed().as_secs(), turn, "{:?}", began.elapsed());
            run.begin_again(ended, |_| Some(&world.unknown));
        }
        world.registry.shutdown().await;
    }

    #[tokio::test]
    async fn checkers_that_have_ended_are_seen_although_names_change_all_the_time() {
        let world = world().await;
        let (actor, task) = Actor::spawn(None, Idle, ()).await.unwrap();
        let mut run = world.run();
        let mut names = world.shared.watch_names();
        for number in 0..200 {
            let key = ServiceKey::<u64>::from(format!("name-{number}").parse::<ServiceName>().unwrap());
            world.shared.names.register(&key, &actor).await.unwrap();
        }
        tokio::task::yield_now().await;
        let mut looks = 0;
        while let Woken::Names(_) = run.woken(&mut names).await {
            looks += 1;
            assert!(looks < 100, "the end of its checker is seen after the changes only");
        }
        actor.stop(None);
        task.await.unwrap();
        world.registry.shutdown().await;
    }
}
