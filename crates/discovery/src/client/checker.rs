//! Checks that run at an interval.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::names::{HealthCheck, ServiceKey, ServiceRegistry};
use foundation_kernel::ractor::{ActorId, Message, RpcReplyPort};
use foundation_kernel::supervision::{Health, Verdict, run_check};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::alarm::wait_until;
use super::state::Shared;
use crate::catalog::Catalog;
use crate::criteria::Criteria;
use crate::health::{Cadence, CheckRules};
use crate::instance::{InstanceName, InstanceRecord};
use crate::limits::MAX_RUNNING_CHECKS;

type Run = dyn Fn(&ServiceRegistry, InstanceRecord, Duration) -> BoxFuture<'static, Health> + Send + Sync;

/// How instances are checked: by a function or a call, how often, and by which rules the results become a status.
///
/// | | default |
/// |---|---|
/// | [`every`](Self::every) | 10 s |
/// | [`within`](Self::within) | 1 s |
/// | [`rules`](Self::rules) | those of [`CheckRules::new`]; results expire after five intervals and the time limit |
///
/// Each run has a task of its own: a panic in it is a result, and so is a run that exceeds its time limit.
#[derive(Clone)]
pub struct InstanceCheck {
    name: Arc<str>,
    cadence: Cadence,
    limit: Duration,
    rules: Option<CheckRules>,
    run: Arc<Run>,
}

impl InstanceCheck {
    /// Runs any asynchronous function of the instance, for example one that connects to its endpoint: healthy if its
    /// outcome is a yes.
    pub fn function<F, Fut, V>(name: &str, check: F) -> Self
    where
        F: Fn(InstanceRecord) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = V> + Send + 'static,
        V: Verdict,
    {
        Self::new(name, move |_, record, _| check(record).map(Health::of).boxed())
    }

    /// Sends the instance a message with a reply port: healthy if the answer is a yes.
    pub fn call<M: Message, V: Verdict>(
        name: &str,
        message: impl Fn(RpcReplyPort<V>) -> M + Send + Sync + 'static,
    ) -> Self {
        let message = Arc::new(message);
        Self::new(name, move |names, record, limit| {
            let (names, message) = (names.clone(), Arc::clone(&message));
            let check = HealthCheck::call(move |reply| message(reply));
            let key = ServiceKey::<M>::from(record.name().registered().clone());
            async move { names.health_check(&key, check, limit).await }.boxed()
        })
    }

    fn new(
        name: &str,
        run: impl Fn(&ServiceRegistry, InstanceRecord, Duration) -> BoxFuture<'static, Health> + Send + Sync + 'static,
    ) -> Self {
        let cadence = Cadence::every(Duration::from_secs(10));
        Self { name: name.into(), cadence, limit: Duration::from_secs(1), rules: None, run: Arc::new(run) }
    }

    /// How often it runs: 100 ms at least, a day at most. It waits up to three times as long while it fails.
    pub fn every(self, interval: Duration) -> Self {
        Self { cadence: Cadence::every(interval), ..self }
    }

    /// How long one run may take before it is a failure.
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// By which rules the results become a status. Results expire after five intervals and the time limit, unless the rules
    /// say when.
    pub fn rules(self, rules: CheckRules) -> Self {
        Self { rules: Some(rules), ..self }
    }

    /// Runs it for all instances that meet the criteria, until the namespace ends.
    pub(super) async fn run(self, shared: Arc<Shared>, criteria: Criteria) {
        let mut names = shared.names.watch();
        let mut running = Running { check: self, criteria, shared, tasks: JoinSet::new(), of: HashMap::new() };
        let mut catalog = Catalog::new();
        let permits = Arc::new(Semaphore::new(MAX_RUNNING_CHECKS));
        while let Some(watched) = names.next().await {
            for change in catalog.apply(watched) {
                running.follow(change.name(), catalog.get(change.name()), &permits);
            }
            // Those that have ended are of no interest.
            while running.tasks.try_join_next().is_some() {}
        }
    }

    /// Runs it for one incarnation until that is gone: at once, and until its first success ten times as often.
    pub(super) async fn run_for(self, shared: Arc<Shared>, record: InstanceRecord) {
        let (rules, mut random, mut failures) = (self.current_rules(), shared.random(), 0_u32);
        let mut has_succeeded = false;
        loop {
            let health = self.run_once(&shared, &record).await;
            let success = is_success(&health);
            has_succeeded |= success;
            failures = if success { 0 } else { failures.saturating_add(1) };
            match shared.record_check((record.name(), record.actor), &self.name, &rules, health) {
                Ok(Some(_)) if has_succeeded => {
                    wait_until(Instant::now() + self.cadence.next(failures, &mut random)).await
                }
                Ok(Some(_)) => wait_until(Instant::now() + self.cadence.eager()).await,
                Ok(None) => return,
                Err(error) => return tracing::warn!(namespace = %shared.names.namespace(), %error, "not checked"),
            }
        }
    }

    /// Runs it for one incarnation until it succeeds.
    pub(super) async fn until_success(&self, shared: &Shared, record: &InstanceRecord) {
        while !is_success(&self.run_once(shared, record).await) {
            wait_until(Instant::now() + self.cadence.eager()).await;
        }
    }

    fn current_rules(&self) -> CheckRules {
        let expires = self.cadence.interval().saturating_mul(5).saturating_add(self.limit);
        self.rules.clone().unwrap_or_default().or_expires_after(expires)
    }

    async fn run_once(&self, shared: &Shared, record: &InstanceRecord) -> Health {
        let (check, names, record, limit) = (self.clone(), shared.names.clone(), record.clone(), self.limit);
        run_check(limit, move || (check.run)(&names, record, limit)).await
    }
}

fn is_success(health: &Health) -> bool {
    matches!(health, Health::Healthy | Health::Degraded(_))
}

/// The instances that are checked, each by a task.
struct Running {
    check: InstanceCheck,
    criteria: Criteria,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    of: HashMap<InstanceName, (ActorId, AbortHandle)>,
}

impl Running {
    /// Begins or ends the checks of an instance, as it is now.
    fn follow(&mut self, name: &InstanceName, record: Option<&InstanceRecord>, permits: &Arc<Semaphore>) {
        let wanted = record.filter(|it| self.criteria.accepts(&it.instance, it.status()));
        let present = self.of.get(name).map(|(actor, _)| *actor);
        if present == wanted.map(|record| record.actor) {
            return;
        }
        if let Some((actor, task)) = self.of.remove(name) {
            task.abort();
            // One that lives on and is not to be checked any more does not become stale.
            self.shared.end_check(name, actor, &self.check.name);
        }
        if let Some(record) = wanted {
            let checks =
                check_at_intervals(self.check.clone(), Arc::clone(&self.shared), record.clone(), Arc::clone(permits));
            self.of.insert(name.clone(), (record.actor, self.tasks.spawn(checks)));
        }
    }
}

/// Checks one incarnation until it is gone.
async fn check_at_intervals(
    check: InstanceCheck,
    shared: Arc<Shared>,
    record: InstanceRecord,
    permits: Arc<Semaphore>,
) {
    let (rules, mut random, mut failures) = (check.current_rules(), shared.random(), 0_u32);
    let mut wait = check.cadence.first(record.name().as_str(), &check.name);
    loop {
        wait_until(Instant::now() + wait).await;
        let permit = permits.acquire().await;
        let health = check.run_once(&shared, &record).await;
        drop(permit);
        failures = if is_success(&health) { 0 } else { failures.saturating_add(1) };
        match shared.record_check((record.name(), record.actor), &check.name, &rules, health) {
            Ok(Some(_)) => wait = check.cadence.next(failures, &mut random),
            Ok(None) => return,
            Err(error) => return tracing::warn!(namespace = %shared.names.namespace(), %error, "not checked"),
        }
    }
}

impl fmt::Debug for InstanceCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceCheck")
            .field("name", &self.name)
            .field("cadence", &self.cadence)
            .field("limit", &self.limit)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
