//! The checks of all instances of a namespace, with their states.

use std::collections::{BTreeMap, HashMap};

use foundation_kernel::ractor::ActorId;
use foundation_kernel::supervision::Health;
use tokio::time::Instant;

use super::check::{CheckRules, CheckState};
use super::status::InstanceHealth;
use crate::instance::InstanceName;
use crate::limits::MAX_CHECKS;

/// The checks of instances, by name and incarnation: a pure state, which is given results and the time.
///
/// A check begins with its first result. What is kept of an incarnation goes when it is [removed](Self::remove).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checks(HashMap<(InstanceName, ActorId), BTreeMap<String, Checked>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Checked {
    rules: CheckRules,
    state: CheckState,
}

/// An instance has as many checks as it may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("instance {name} has {limit} checks, as many as it may have; {check:?} is not one of them")]
#[non_exhaustive]
pub struct TooManyChecksError {
    /// The instance.
    pub name: InstanceName,
    /// The check that was to be the next.
    pub check: String,
    /// How many there may be.
    pub limit: usize,
}

impl Checks {
    /// Without a check.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a result of a check, by these rules from now on, and returns the health of the instance.
    ///
    /// # Errors
    /// [`TooManyChecksError`] if it is the first result of one check too many.
    pub fn record(
        &mut self,
        (name, actor): (&InstanceName, ActorId),
        check: &str,
        rules: &CheckRules,
        result: Health,
        now: Instant,
    ) -> Result<InstanceHealth, TooManyChecksError> {
        let checks = self.0.entry((name.clone(), actor)).or_default();
        if !checks.contains_key(check) && checks.len() >= MAX_CHECKS {
            return Err(TooManyChecksError { name: name.clone(), check: check.to_owned(), limit: MAX_CHECKS });
        }
        let new = || Checked { rules: rules.clone(), state: CheckState::new(now) };
        let check = checks.entry(check.to_owned()).or_insert_with(new);
        check.rules = rules.clone();
        check.state.record(rules, result, now);
        Ok(health(checks, now))
    }

    /// Ends a check: what it found is forgotten. True if there was one of this name.
    pub fn end(&mut self, name: &InstanceName, actor: ActorId, check: &str) -> bool {
        self.0.get_mut(&(name.clone(), actor)).is_some_and(|checks| checks.remove(check).is_some())
    }

    /// Forgets an incarnation.
    pub fn remove(&mut self, name: &InstanceName, actor: ActorId) {
        self.0.remove(&(name.clone(), actor));
    }

    /// Whether an incarnation has checks, or had one.
    pub fn contains(&self, name: &InstanceName, actor: ActorId) -> bool {
        self.0.contains_key(&(name.clone(), actor))
    }

    /// What the checks of an incarnation have found, at this time; unknown without a check.
    pub fn health(&self, name: &InstanceName, actor: ActorId, now: Instant) -> InstanceHealth {
        self.0.get(&(name.clone(), actor)).map_or(InstanceHealth::UNKNOWN, |checks| health(checks, now))
    }

    /// The same of each incarnation that has checks. Cost: linear in the checks.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = (&InstanceName, ActorId, InstanceHealth)> {
        self.0.iter().map(move |((name, actor), checks)| (name, *actor, health(checks, now)))
    }

    /// When the next result is too old, after this time: until then no health changes without a result.
    pub fn next_expiry(&self, now: Instant) -> Option<Instant> {
        let checks = self.0.values().flat_map(BTreeMap::values);
        checks.map(|check| check.state.expires_at(&check.rules)).filter(|expiry| *expiry >= now).min()
    }
}

fn health(checks: &BTreeMap<String, Checked>, now: Instant) -> InstanceHealth {
    let found = checks.values().map(|check| (check.rules.check_role(), check.state.health(&check.rules, now)));
    InstanceHealth::combined(found, false)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::health::{CheckRole, InstanceStatus};
    use crate::samples::ORDERS;

    const SECOND: Duration = Duration::from_secs(1);
    const ACTOR: ActorId = ActorId::Local(1);

    fn name(id: &str) -> InstanceName {
        InstanceName::new(&ORDERS, id).unwrap()
    }

    fn failed() -> Health {
        Health::Failed("no".to_owned())
    }

    #[test]
    fn the_worst_of_its_checks_is_the_health_of_an_instance() {
        let (mut checks, now, rules) = (Checks::new(), Instant::now(), CheckRules::new().fall(1));
        let of = (&name("a"), ACTOR);
        let status = |health: Result<InstanceHealth, _>| health.unwrap().status;
        assert_eq!(status(checks.record(of, "tcp", &rules, Health::Healthy, now)), InstanceStatus::Healthy);
        let advisory = rules.clone().role(CheckRole::Advisory);
        assert_eq!(status(checks.record(of, "disk", &advisory, failed(), now)), InstanceStatus::Degraded);
        assert_eq!(status(checks.record(of, "call", &rules, failed(), now)), InstanceStatus::Unhealthy);
        assert!(checks.end(of.0, ACTOR, "call") && !checks.end(of.0, ACTOR, "call"));
        assert_eq!(checks.health(of.0, ACTOR, now).status, InstanceStatus::Degraded);
    }

    #[test]
    fn another_incarnation_has_no_checks() {
        let (mut checks, now) = (Checks::new(), Instant::now());
        checks.record((&name("a"), ACTOR), "tcp", &CheckRules::new(), Health::Healthy, now).unwrap();
        assert_eq!(checks.health(&name("a"), ActorId::Local(2), now), InstanceHealth::UNKNOWN);
        checks.remove(&name("a"), ACTOR);
        assert_eq!(checks, Checks::new());
    }

    #[test]
    fn an_instance_has_a_limited_number_of_checks() {
        let (mut checks, now) = (Checks::new(), Instant::now());
        let mut record =
            |check: &str| checks.record((&name("a"), ACTOR), check, &CheckRules::new(), Health::Healthy, now);
        (0..MAX_CHECKS).for_each(|at| drop(record(&at.to_string()).unwrap()));
        assert!(record("0").is_ok());
        let error = record("more").unwrap_err().to_string();
        assert_eq!(error, r#"instance orders.a has 16 checks, as many as it may have; "more" is not one of them"#);
    }

    proptest! {
        #[test]
        fn no_health_changes_before_the_next_expiry(
            results in vec((0..3_usize, 0..3_u64, any::<bool>(), 1..60_u64), 1..20), wait in 0..100_u64,
        ) {
            let (mut checks, mut now) = (Checks::new(), Instant::now());
            for (id, check, success, expires) in results {
                now += SECOND;
                let rules = CheckRules::new().expires_after(Duration::from_secs(expires));
                let result = if success { Health::Healthy } else { failed() };
                checks.record((&name(["a", "b", "c"][id]), ACTOR), &check.to_string(), &rules, result, now).unwrap();
            }
            let statuses = |now| {
                let mut all: Vec<_> = checks.iter(now).map(|(name, _, health)| (name.clone(), health.status)).collect();
                all.sort();
                all
            };
            let later = now + Duration::from_secs(wait);
            let is_before = checks.next_expiry(now).is_none_or(|expiry| later <= expiry);
            prop_assert!(!is_before || statuses(now) == statuses(later));
            for (name, actor, health) in checks.iter(later) {
                prop_assert_eq!(checks.health(name, actor, later), health);
            }
        }
    }
}
