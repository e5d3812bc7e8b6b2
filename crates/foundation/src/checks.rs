//! Checks in the health of a namespace that belong to no child of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use foundation_kernel::containment::Contained;
use foundation_kernel::supervision::{Health, HealthLimits, Verdict, run_check};
use futures::future::{BoxFuture, FutureExt, join_all, ready};
use parking_lot::Mutex;

use super::health::ServiceHealth;

type Check = Arc<dyn Fn() -> BoxFuture<'static, Health> + Send + Sync>;

/// The checks of one namespace, by name.
#[derive(Default)]
pub(super) struct Checks(Mutex<BTreeMap<String, Check>>);

impl Checks {
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
        let before = self.0.lock().insert(name, check);
        // After the lock is released: the destructor is the caller's own code.
        drop(before);
    }

    pub(super) fn remove(&self, name: &str) -> bool {
        let removed = self.0.lock().remove(name);
        removed.is_some()
    }

    /// Runs all of them, together.
    pub(super) async fn run(&self, limits: &HealthLimits) -> Vec<ServiceHealth> {
        let checks: Vec<_> = self.0.lock().iter().map(|(name, check)| (name.clone(), Arc::clone(check))).collect();
        let one = |(name, check): (String, Check)| async move {
            ServiceHealth::new(name, run_check(limits.for_answers(), move || check()).await)
        };
        join_all(checks.into_iter().map(one)).await
    }
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.lock().keys()).finish()
    }
}
