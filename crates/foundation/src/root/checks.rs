//! Checks in the health of a namespace that are of no child of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use foundation_core::containment::Contained;
use foundation_core::{Health, HealthLimits, ServiceRegistry, Verdict, run_check};
use futures::future::{BoxFuture, FutureExt, join_all, ready};
use parking_lot::Mutex;

use super::health::ServiceHealth;

type Check = Arc<dyn Fn() -> BoxFuture<'static, Health> + Send + Sync>;

/// The checks of one namespace, by name; `None` after its end.
///
/// A check may hold the services that it is a check of, and these hold this. So it is emptied at the end of the namespace.
pub(super) struct Checks(Mutex<Option<BTreeMap<String, Check>>>);

/// What a namespace keeps: lets go of the checks when the namespace lets go of it.
struct KeptChecks(Arc<Checks>);

impl Drop for KeptChecks {
    fn drop(&mut self) {
        let checks = self.0.0.lock().take();
        // After the lock: they are others' code.
        drop(checks);
    }
}

impl Checks {
    /// Those of this namespace.
    pub(super) fn of(registry: &ServiceRegistry) -> Arc<Self> {
        let empty = || KeptChecks(Arc::new(Self(Mutex::new(Some(BTreeMap::new())))));
        Arc::clone(&registry.extension(empty).0)
    }

    pub(super) fn add<F, Fut>(&self, name: String, check: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Verdict> + Send + 'static,
    {
        let check = Contained::new("a health check", check);
        let check: Check = Arc::new(move || match check.get() {
            Some(check) => check().map(Health::of).boxed(),
            None => ready(Health::NotFound).boxed(),
        });
        let mut checks = self.0.lock();
        let left = match &mut *checks {
            Some(checks) => checks.insert(name, check),
            None => Some(check),
        };
        drop(checks);
        // After the lock: it is the caller's own code.
        drop(left);
    }

    pub(super) fn remove(&self, name: &str) -> bool {
        let removed = self.0.lock().as_mut().and_then(|checks| checks.remove(name));
        removed.is_some()
    }

    /// Runs all of them, together.
    pub(super) async fn run(&self, limits: &HealthLimits) -> Vec<ServiceHealth> {
        let checks: Vec<_> = {
            let checks = self.0.lock();
            checks.iter().flatten().map(|(name, check)| (name.clone(), Arc::clone(check))).collect()
        };
        let one = |(name, check): (String, Check)| async move {
            ServiceHealth::new(name, run_check(limits.for_answers(), move || check()).await)
        };
        join_all(checks.into_iter().map(one)).await
    }
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.lock().iter().flatten().map(|(name, _)| name)).finish()
    }
}
