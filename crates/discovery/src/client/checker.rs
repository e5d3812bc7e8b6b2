//! Checks that run at an interval.
//!
//! # Invariants
//!
//! 1. Never two checks of one incarnation run at a time, whoever has started them: each run has the turn of its incarnation.
//! 2. What a check records and the end of that check are in one task, so nothing is recorded after the end.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use foundation_kernel::containment::{report, waking_contained};
use foundation_kernel::names::ServiceKey;
use foundation_kernel::ractor::ActorId;
use foundation_kernel::supervision::{Health, run_check};
use futures::FutureExt;
use futures::future::pending;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::alarm::wait_until;
use super::state::Shared;
use crate::catalog::Catalog;
use crate::check::{CheckKind, CheckPermit, CheckSlot, DeclaredCheck, DeclaredChecks, InstanceCheck};
use crate::criteria::Criteria;
use crate::health::{CheckRules, is_success};
use crate::instance::{InstanceName, InstanceRecord};

/// A heartbeat counts up to the end of its time to live, and timers count milliseconds: it is silent with the next one.
const TICK: Duration = Duration::from_millis(1);

/// One check of all instances that meet some criteria: each instance is checked by a task. They end with this value; their
/// last results count until they are too old.
pub(super) struct CheckRun {
    check: InstanceCheck,
    criteria: Criteria,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    of: HashMap<InstanceName, (ActorId, oneshot::Sender<()>)>,
}

impl CheckRun {
    pub(super) fn new(shared: Arc<Shared>, criteria: Criteria, check: InstanceCheck) -> Self {
        let criteria = criteria.of_any_status();
        Self { check, criteria, shared, tasks: JoinSet::new(), of: HashMap::new() }
    }

    /// Checks until the namespace ends.
    pub(super) async fn run(&mut self) {
        let (mut names, mut catalog) = (self.shared.watch_names(), Catalog::new());
        while let Some(watched) = waking_contained(names.next()).await {
            for change in catalog.apply(watched) {
                self.follow(change.name(), catalog.get(change.name()));
            }
            // Those that have ended are of no interest.
            while self.tasks.try_join_next().is_some() {}
        }
    }

    /// Ends all checks, and forgets what they have found.
    pub(super) async fn end(mut self) {
        for (_, (_, end)) in self.of.drain() {
            let _ = end.send(());
        }
        while waking_contained(self.tasks.join_next()).await.is_some() {}
    }

    /// Begins or ends the checks of an instance, as it is now.
    fn follow(&mut self, name: &InstanceName, record: Option<&InstanceRecord>) {
        let wanted = record.filter(|it| self.criteria.accepts(&it.instance, it.status()));
        let present = self.of.get(name).map(|(actor, _)| *actor);
        if present == wanted.map(|record| record.actor) {
            return;
        }
        if let Some((_, end)) = self.of.remove(name) {
            // It may have ended by itself.
            let _ = end.send(());
        }
        if let Some(record) = wanted {
            let (end, ended) = oneshot::channel();
            let checked = checked(self.check.clone(), Arc::clone(&self.shared), record.clone(), ended);
            self.tasks.spawn(checked);
            self.of.insert(name.clone(), (record.actor, end));
        }
    }
}

/// Runs all declared checks, those to come included, until the namespace ends. If another task runs them, waits to take over.
pub(crate) async fn run_declared_checks(shared: Arc<Shared>) {
    let declared = shared.names.extension(DeclaredChecks::new);
    let _only_one = waking_contained(declared.runner.lock()).await;
    // Subscribe before reading: a change between the two is noticed.
    // Of one name, since only its end is of interest: the registry pays nothing for a namespace without a check.
    let mut names = shared.names.watch_service(&ServiceKey::<()>::from_static("discovery"));
    let mut changes = declared.changes();
    let mut running = RunningChecks { shared, tasks: JoinSet::new(), of: HashMap::new() };
    running.follow(declared.all());
    loop {
        let changed = waking_contained(async {
            tokio::select! {
                watched = names.next() => watched.map(|_| false),
                // This task holds the sender.
                changed = changes.changed() => Some(changed.is_ok()),
            }
        });
        match changed.await {
            Some(true) => running.follow(declared.all()),
            Some(false) => {}
            None => return,
        }
    }
}

/// The declared checks that run, each by a task.
struct RunningChecks {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    of: HashMap<u64, oneshot::Sender<()>>,
}

impl RunningChecks {
    /// Begins those that have been declared, and ends those that have been ended.
    fn follow(&mut self, declared: BTreeMap<u64, DeclaredCheck>) {
        for (_, end) in self.of.extract_if(|number, _| !declared.contains_key(number)) {
            let _ = end.send(());
        }
        for (number, DeclaredCheck { criteria, check }) in declared {
            if let Entry::Vacant(vacant) = self.of.entry(number) {
                let (end, ended) = oneshot::channel();
                self.tasks.spawn(run_until(CheckRun::new(Arc::clone(&self.shared), criteria, check), ended));
                vacant.insert(end);
            }
        }
        // Those that have ended are of no interest.
        while self.tasks.try_join_next().is_some() {}
    }
}

async fn run_until(mut run: CheckRun, ended: oneshot::Receiver<()>) {
    tokio::select! {
        biased;
        // A sender that is dropped says nothing.
        Ok(()) = ended => run.end().await,
        () = run.run() => {}
    }
}

/// Checks one incarnation until it is gone, or its checks are ended: then what they have found is forgotten, so that an
/// instance that is not checked any more does not become stale.
async fn checked(check: InstanceCheck, shared: Arc<Shared>, record: InstanceRecord, ended: oneshot::Receiver<()>) {
    let slot = shared.check_slot(record.name(), record.actor);
    let ended = async {
        // A sender that is dropped says nothing.
        if ended.await.is_err() {
            pending::<()>().await;
        }
    };
    let (name, actor) = (record.name().clone(), record.actor);
    let (check_name, state) = (check.name().to_owned(), Arc::clone(&shared));
    let checker = Checker {
        rules: check.current_rules(),
        check,
        shared,
        record,
        slot,
        first: FirstRuns::AtItsPhase,
        is_refused: false,
    };
    tokio::select! {
        biased;
        () = ended => drop(state.end_check(&name, actor, &check_name)),
        () = checker.run() => {}
    }
}

/// Checks one incarnation until it is gone: at once, and more often until the first success.
pub(super) async fn check_until_gone(check: InstanceCheck, shared: Arc<Shared>, record: InstanceRecord) {
    let slot = shared.check_slot(record.name(), record.actor);
    let rules = check.current_rules();
    Checker { check, rules, shared, record, slot, first: FirstRuns::UntilSuccess, is_refused: false }.run().await;
}

/// Checks one incarnation until that succeeds; no result is recorded.
pub(super) async fn check_until_success(check: &InstanceCheck, shared: &Shared, record: &InstanceRecord) {
    // Without recorded results there is no heartbeat to wait for.
    let can_ask = matches!(check.kind(), CheckKind::Ask(_));
    while can_ask && !is_success(&ask(check, shared, record, ()).await) {
        wait_until(Instant::now() + check.cadence().until_success()).await;
    }
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
    record: InstanceRecord,
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
        loop {
            let (now, version) = (Instant::now(), self.slot.heartbeat.version());
            let health = self.slot.heartbeat.health(ttl, now);
            let awaits_one = health.as_ref().is_none_or(|health| !is_success(health));
            let silent_at = self.slot.heartbeat.silent_at(ttl) + TICK;
            if let Some(health) = health
                && !self.record(health)
            {
                return;
            }
            tokio::select! {
                () = self.slot.heartbeat.later_than(version), if awaits_one => {}
                // A silence is recorded again meanwhile, so that it does not become too old.
                () = wait_until(if silent_at > now { silent_at } else { now + ttl }) => {}
            }
        }
    }

    async fn ask_at_intervals(mut self) {
        let (mut random, mut failures) = (self.shared.random(), None::<u32>);
        let mut wait = match self.first {
            FirstRuns::AtItsPhase => self.check.cadence().first(self.record.name().as_str(), self.check.name()),
            FirstRuns::UntilSuccess => Duration::ZERO,
        };
        let mut last = Run::default();
        loop {
            wait_until(Instant::now() + wait).await;
            let health = self.run_once(failures == Some(0), &mut last).await;
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

    /// Waits for its turn, and asks.
    async fn run_once(&self, is_proven: bool, last: &mut Run) -> Health {
        let limit = self.check.limit();
        if last.is_running() {
            // Its thread is blocked: it could not be ended when its time was over.
            return Health::TimedOut(limit);
        }
        let mut turn = pin!(self.turn(is_proven));
        let (permit, turn) = match turn.as_mut().now_or_never() {
            Some(turn) => turn,
            None => {
                self.shared.await_turn((self.record.name(), self.record.actor), self.check.name());
                turn.await
            }
        };
        let began = Instant::now();
        let health = ask(&self.check, &self.shared, &self.record, last.begin(turn)).await;
        drop(permit);
        let (names, service, took) = (&self.shared.names, self.record.service(), began.elapsed());
        self.shared.options.meter.check_ran(names, service, self.check.name(), took);
        health
    }

    /// The turn of the incarnation first: while it waits for that, no other instance waits for it.
    async fn turn(&self, is_proven: bool) -> (CheckPermit<'_>, Option<OwnedSemaphorePermit>) {
        let turn = self.slot.turn().await;
        (self.shared.capacity.permit(is_proven).await, turn)
    }

    /// Records a result; false if the incarnation is gone.
    fn record(&mut self, health: Health) -> bool {
        let recorded =
            self.shared.record_check((self.record.name(), self.record.actor), self.check.name(), &self.rules, health);
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
