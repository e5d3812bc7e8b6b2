//! The checks of all instances of a namespace, with their states.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use foldhash::fast::RandomState;
use foundation_kernel::ractor::ActorId;
use foundation_kernel::supervision::Health;
use tokio::time::Instant;

use super::check::CheckState;
use super::expiries::{Expiries, Expiry, Incarnation};
use super::restart_budget::{RestartBudget, RestartWithheld};
use super::rules::CheckRules;
use super::status::{CheckRole, InstanceHealth, StatusReason};
use super::status_override::StatusOverride;
use crate::instance::InstanceName;
use crate::limits::MAX_CHECKS;

/// The checks of instances, by name and incarnation: a pure state, which is given results and the time.
///
/// A check begins with its first result. What is kept of an incarnation goes when it is [removed](Self::remove).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checks {
    incarnations: HashMap<Incarnation, IncarnationChecks, RandomState>,
    expiries: Expiries,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct IncarnationChecks {
    checks: BTreeMap<String, Checked>,
    set: Option<(StatusOverride, Option<Expiry>)>,
    /// The last check that was one too many.
    refused: Option<String>,
    /// When its restart was last granted.
    restarting: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Checked {
    rules: CheckRules,
    state: CheckState,
    expiry: Expiry,
    withheld: Option<RestartWithheld>,
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

    // ---- results ----

    /// Takes in a result of a check, by these rules from now on, and returns the health of the instance.
    ///
    /// # Errors
    /// [`TooManyChecksError`] if it is the first result of one check too many. Until a check has ended, the reason of the
    /// instance's health says so.
    pub fn record(
        &mut self,
        (name, actor): (&InstanceName, ActorId),
        check: &str,
        rules: &CheckRules,
        result: Health,
        now: Instant,
    ) -> Result<InstanceHealth, TooManyChecksError> {
        let of = (name.clone(), actor);
        let checks = self.incarnations.entry(of).or_default();
        if !checks.checks.contains_key(check) && checks.checks.len() >= MAX_CHECKS {
            checks.refused = Some(check.to_owned());
            return Err(TooManyChecksError { name: name.clone(), check: check.to_owned(), limit: MAX_CHECKS });
        }
        checks.record(&mut self.expiries, (name, actor), check, rules, result, now);
        Ok(checks.health(now))
    }

    /// Says that the next result of a check is due and waits for its turn; see [`CheckState::wait`].
    pub fn wait(&mut self, name: &InstanceName, actor: ActorId, check: &str) {
        let checks = self.incarnations.get_mut(&(name.clone(), actor));
        if let Some(checked) = checks.and_then(|checks| checks.checks.get_mut(check)) {
            checked.state.wait();
            self.expiries.set(&mut checked.expiry, checked.state.expires_at(&checked.rules));
        }
    }

    /// Ends a check: what it found is forgotten. True if there was one of this name.
    pub fn end(&mut self, name: &InstanceName, actor: ActorId, check: &str) -> bool {
        let Some(checks) = self.incarnations.get_mut(&(name.clone(), actor)) else { return false };
        checks.refused.take_if(|refused| refused == check);
        let Some(ended) = checks.checks.remove(check) else { return false };
        self.expiries.remove(ended.expiry);
        // There is room for another one.
        checks.refused = None;
        true
    }

    /// Forgets an incarnation.
    pub fn remove(&mut self, name: &InstanceName, actor: ActorId) {
        let Some(checks) = self.incarnations.remove(&(name.clone(), actor)) else { return };
        checks.expiries().for_each(|expiry| self.expiries.remove(expiry));
    }

    // ---- what an operator sets ----

    /// Sets the status of an incarnation, whatever its checks find, instead of the one that was set before.
    pub fn set_status(&mut self, name: &InstanceName, actor: ActorId, status: StatusOverride) {
        let of = (name.clone(), actor);
        self.clear_status(name, actor);
        let expiry = status.ends_at().map(|end| self.expiries.add(&of, end));
        self.incarnations.entry(of).or_default().set = Some((status, expiry));
    }

    /// Clears it: the status follows from the checks again. True if one was set.
    pub fn clear_status(&mut self, name: &InstanceName, actor: ActorId) -> bool {
        let checks = self.incarnations.get_mut(&(name.clone(), actor));
        let Some((_, expiry)) = checks.and_then(|checks| checks.set.take()) else { return false };
        expiry.into_iter().for_each(|expiry| self.expiries.remove(expiry));
        true
    }

    // ---- restarts ----

    /// Whether an instance is to be restarted because of this check: its role is [`CheckRole::Liveness`], it fails, and no
    /// restart of the incarnation was granted within two windows of the budget. One that was, and has not ended the incarnation
    /// by then, has failed: it is wanted again, after those that were withheld.
    pub fn wants_restart(
        &self,
        (name, actor): (&InstanceName, ActorId),
        check: &str,
        budget: &RestartBudget,
        now: Instant,
    ) -> bool {
        let Some(checks) = self.incarnations.get(&(name.clone(), actor)) else { return false };
        let is_under_way =
            checks.restarting.is_some_and(|granted| now.saturating_duration_since(granted) < budget.length() * 2);
        !is_under_way && checks.checks.get(check).is_some_and(Checked::asks_for_restart)
    }

    /// Notes whether the restart was granted, which the reason of the health shows. One that is withheld is wanted again after the next
    /// failure; true if it was not withheld before.
    pub fn note_restart(
        &mut self,
        (name, actor): (&InstanceName, ActorId),
        check: &str,
        granted: Result<(), RestartWithheld>,
        now: Instant,
    ) -> bool {
        let Some(checks) = self.incarnations.get_mut(&(name.clone(), actor)) else { return false };
        checks.restarting = granted.is_ok().then_some(now);
        let Some(checked) = checks.checks.get_mut(check) else { return false };
        let before = std::mem::replace(&mut checked.withheld, granted.err());
        before.is_none() && checked.withheld.is_some()
    }

    // ---- reading ----

    /// Whether an incarnation has checks, or had one.
    pub fn contains(&self, name: &InstanceName, actor: ActorId) -> bool {
        self.incarnations.contains_key(&(name.clone(), actor))
    }

    /// The health of an incarnation, at this time: what an operator has set, or else what its checks have found; unknown
    /// without a check.
    pub fn health(&self, name: &InstanceName, actor: ActorId, now: Instant) -> InstanceHealth {
        self.incarnations.get(&(name.clone(), actor)).map_or(InstanceHealth::UNKNOWN, |checks| checks.health(now))
    }

    /// The same of each incarnation that has checks. Cost: linear in the checks.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = (&InstanceName, ActorId, InstanceHealth)> {
        self.incarnations.iter().map(move |((name, actor), checks)| (name, *actor, checks.health(now)))
    }

    /// When the next health changes without a result, at this time or after it: a result counts up to and including it.
    /// Cost: logarithmic in the checks.
    pub fn next_expiry(&self, now: Instant) -> Option<Instant> {
        self.expiries.next(now)
    }

    /// The incarnations whose health may have changed without a result: those with an expiry from the first of these times
    /// up to, and not at, the second. Cost: linear in them.
    pub fn expired(&self, from: Instant, until: Instant) -> BTreeSet<(InstanceName, ActorId)> {
        self.expiries.between(from, until)
    }
}

impl IncarnationChecks {
    fn record(
        &mut self,
        expiries: &mut Expiries,
        (name, actor): (&InstanceName, ActorId),
        check: &str,
        rules: &CheckRules,
        result: Health,
        now: Instant,
    ) {
        if !self.checks.contains_key(check) {
            let (expiry, rules) = (expiries.add(&(name.clone(), actor), now), rules.clone());
            let new = Checked { expiry, rules, state: CheckState::new(now), withheld: None };
            self.checks.insert(check.to_owned(), new);
        }
        let Some(checked) = self.checks.get_mut(check) else { return };
        if checked.rules != *rules {
            checked.rules = rules.clone();
        }
        checked.state.record(rules, result, now);
        if !checked.state.is_down() {
            checked.withheld = None;
        }
        expiries.set(&mut checked.expiry, checked.state.expires_at(rules));
    }

    fn health(&self, now: Instant) -> InstanceHealth {
        if let Some((set, _)) = self.set.as_ref().filter(|(set, _)| set.is_in_force(now)) {
            return set.health();
        }
        let is_restarting = self.restarting.is_some();
        let found = self.checks.values().map(|check| (check.rules.check_role(), check.health(is_restarting, now)));
        let mut health = InstanceHealth::combined(found, false);
        health.reason = health.reason.or_else(|| {
            let check = self.refused.clone()?;
            Some(StatusReason::TooManyChecks { check, limit: MAX_CHECKS })
        });
        health
    }

    fn expiries(&self) -> impl Iterator<Item = Expiry> {
        let set = self.set.as_ref().and_then(|(_, expiry)| *expiry);
        self.checks.values().map(|checked| checked.expiry).chain(set)
    }
}

impl Checked {
    fn asks_for_restart(&self) -> bool {
        self.rules.check_role() == CheckRole::Liveness && self.state.is_down()
    }

    fn health(&self, is_restarting: bool, now: Instant) -> InstanceHealth {
        let found = self.state.health(&self.rules, now);
        match (found.reason, self.withheld) {
            (Some(StatusReason::Check { health, in_a_row }), None) if is_restarting && self.asks_for_restart() => {
                InstanceHealth::because(found.status, StatusReason::Restarting { health, in_a_row })
            }
            (Some(StatusReason::Check { health, in_a_row }), Some(RestartWithheld { restarted, limit })) => {
                let reason = StatusReason::RestartWithheld { health, in_a_row, restarted, limit };
                InstanceHealth::because(found.status, reason)
            }
            (reason, _) => InstanceHealth { status: found.status, reason },
        }
    }
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
        assert_eq!((checks.iter(now).count(), checks.next_expiry(now)), (0, None));
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
        let health = checks.health(&name("a"), ACTOR, now).to_string();
        assert_eq!(health, r#"healthy: its check "more" is not run: it has 16 checks, as many as it may have"#);
        assert!(checks.end(&name("a"), ACTOR, "0"));
        assert_eq!(checks.health(&name("a"), ACTOR, now).to_string(), "healthy");
    }

    #[test]
    fn a_check_that_was_refused_and_is_ended_is_no_reason_any_more() {
        let (mut checks, now, of) = (Checks::new(), Instant::now(), (&name("a"), ACTOR));
        let record = |checks: &mut Checks, check: &str| {
            checks.record(of, check, &CheckRules::new(), Health::Healthy, now).map(drop)
        };
        (0..MAX_CHECKS).for_each(|at| record(&mut checks, &at.to_string()).unwrap());
        record(&mut checks, "more").unwrap_err();
        assert!(!checks.end(of.0, ACTOR, "another"));
        assert!(checks.health(of.0, ACTOR, now).reason.is_some());
        assert!(!checks.end(of.0, ACTOR, "more"), "it has found nothing");
        assert_eq!(checks.health(of.0, ACTOR, now).to_string(), "healthy");
    }

    #[test]
    fn what_an_operator_sets_counts_until_it_ends_whatever_the_checks_find() {
        let (mut checks, now, rules) = (Checks::new(), Instant::now(), CheckRules::new());
        let of = (&name("a"), ACTOR);
        let set = StatusOverride::new(InstanceStatus::Unhealthy, "a new disk", Some(SECOND * 5), now);
        checks.set_status(of.0, ACTOR, set);
        let health = checks.record(of, "tcp", &rules, Health::Healthy, now).unwrap();
        assert_eq!(health.to_string(), "unhealthy: set by an operator: a new disk");
        assert_eq!(checks.next_expiry(now), Some(now + SECOND * 5));
        assert_eq!(checks.health(of.0, ACTOR, now + SECOND * 6).status, InstanceStatus::Healthy);
        assert!(checks.clear_status(of.0, ACTOR) && !checks.clear_status(of.0, ACTOR));
        assert_eq!(checks.health(of.0, ACTOR, now).status, InstanceStatus::Healthy);
        assert_eq!(checks.next_expiry(now), Some(now + SECOND * 30));
    }

    #[test]
    fn a_restart_is_wanted_by_a_liveness_check_that_fails_until_it_is_granted() {
        let (mut checks, now, budget) = (Checks::new(), Instant::now(), RestartBudget::new());
        let (of, rules) = ((&name("a"), ACTOR), CheckRules::new().role(CheckRole::Liveness).fall(2));
        checks.record(of, "call", &rules, failed(), now).unwrap();
        assert!(!checks.wants_restart(of, "call", &budget, now), "one failure of two");
        checks.record(of, "call", &rules, failed(), now).unwrap();
        assert!(checks.wants_restart(of, "call", &budget, now));
        let withheld = RestartWithheld { restarted: 2, limit: 2 };
        assert!(checks.note_restart(of, "call", Err(withheld), now));
        assert!(!checks.note_restart(of, "call", Err(withheld), now), "it was withheld before");
        let text = "unhealthy: failed: no (2 in a row); not restarted: 2 of its service were lately, 2 may be";
        assert_eq!(checks.health(of.0, ACTOR, now).to_string(), text);
        assert!(checks.wants_restart(of, "call", &budget, now));
        checks.note_restart(of, "call", Ok(()), now);
        assert!(!checks.wants_restart(of, "call", &budget, now));
        let text = "unhealthy: failed: no (2 in a row); its restart has begun";
        assert_eq!(checks.health(of.0, ACTOR, now).to_string(), text);
        let later = now + budget.length() * 2;
        assert!(checks.wants_restart(of, "call", &budget, later), "the restart has not ended it");
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

        #[test]
        fn a_health_that_changes_without_a_result_is_among_those_that_have_expired(
            results in vec((0..3_usize, 0..3_u64, 0..4_u8, 1..60_u64), 1..20), wait in 0..100_u64,
        ) {
            let (mut checks, mut now) = (Checks::new(), Instant::now());
            for (id, check, kind, seconds) in results {
                now += SECOND;
                let (name, check) = (name(["a", "b", "c"][id]), check.to_string());
                let rules = CheckRules::new().expires_after(Duration::from_secs(seconds)).fall(1);
                match kind {
                    0 => drop(checks.record((&name, ACTOR), &check, &rules, Health::Healthy, now).unwrap()),
                    1 => drop(checks.record((&name, ACTOR), &check, &rules, failed(), now).unwrap()),
                    2 => checks.wait(&name, ACTOR, &check),
                    _ => {
                        let ttl = Some(Duration::from_secs(seconds));
                        checks.set_status(&name, ACTOR, StatusOverride::new(InstanceStatus::Degraded, "", ttl, now));
                    }
                }
            }
            let later = now + Duration::from_secs(wait);
            let expired = checks.expired(now, later);
            for (name, actor, health) in checks.iter(later) {
                let before = checks.health(name, actor, now).status;
                prop_assert!(before == health.status || expired.contains(&(name.clone(), actor)), "{} {}", name, health);
            }
        }
    }
}
