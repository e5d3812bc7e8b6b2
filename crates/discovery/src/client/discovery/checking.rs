//! Checking instances, and setting their status by hand.

use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::supervision::Health;
use tokio::time::Instant;

use super::Discovery;
use crate::check::{CheckHandle, CheckSlot, DeclaredCheck, DeclaredChecks, InstanceCheck, check_name};
use crate::client::checker::{CheckRun, check_until_gone, check_until_success};
use crate::client::error::DiscoveryError;
use crate::client::heartbeat::Heartbeat;
use crate::criteria::Criteria;
use crate::health::{CheckRules, InstanceHealth, InstanceStatus, ServiceHealth, StatusOverride};
use crate::instance::{InstanceName, InstanceRecord};

/// Checks, heartbeats and statuses that are set by hand.
impl Discovery {
    /// Checks one incarnation until it is gone, for a caller that awaits its first success: at once, and ten times as often until
    /// then. Results are recorded as those of [`run_check`](Self::run_check). The checks end when the future is dropped.
    pub async fn check_incarnation(&self, record: InstanceRecord, check: InstanceCheck) {
        check_until_gone(check, Arc::clone(&self.shared), record).await;
    }

    /// Checks an incarnation until the check succeeds, ten times as often as the check says. Nothing is recorded, so the
    /// instance need not be registered yet. A heartbeat check cannot be awaited: it returns at once.
    pub async fn await_success(&self, record: &InstanceRecord, check: &InstanceCheck) {
        check_until_success(check, &self.shared, record).await;
    }

    /// Checks each instance that meets the criteria, those to come included, whatever their status: for as long as the
    /// namespace lives, or until the handle [ends](CheckHandle::end) it. Dropping the handle does not end it.
    ///
    /// The [service](Self::namespace_service) of the namespace runs it; without that service, a task that runs
    /// [`run_declared_checks`](Self::run_declared_checks). At most [`MAX_DECLARED_CHECKS`](crate::limits::MAX_DECLARED_CHECKS) are declared.
    ///
    /// ```
    /// # use foundation_kernel::names::ServiceName;
    /// use std::time::Duration;
    /// use foundation_discovery::{Criteria, Discovery, InstanceCheck};
    ///
    /// # fn example(discovery: Discovery, orders: ServiceName) -> Result<(), Box<dyn std::error::Error>> {
    /// let connects = InstanceCheck::tcp().every(Duration::from_secs(5));
    /// let handle = discovery.check(Criteria::service(&orders), connects)?;
    /// handle.end();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DiscoveryError::DeclareCheck`] if there are too many, or if one of the same name is of the same service;
    /// [`DiscoveryError::NotRunning`].
    pub fn check(&self, criteria: Criteria, check: InstanceCheck) -> Result<CheckHandle, DiscoveryError> {
        if self.shared.names.has_ended() {
            return Err(DiscoveryError::NotRunning { namespace: self.shared.names.namespace() });
        }
        let name = check.name().to_owned();
        let declared = self.shared.names.extension(DeclaredChecks::new);
        let number = declared.add(DeclaredCheck { criteria, check })?;
        self.shared.begin();
        Ok(CheckHandle::new(declared, number, name))
    }

    /// Runs one check of each instance that meets the criteria, those to come included, whatever their status: the building
    /// block of [declared](Self::check) checks, for those who want a task of their own.
    ///
    /// The future ends with the namespace. When it is dropped, the runs end, and the last results count until they are too
    /// old, so that another task may go on.
    ///
    /// # How checks run
    ///
    /// Of one instance one check runs at a time, whichever tasks they belong to. Of a namespace
    /// [`MAX_RUNNING_CHECKS`](crate::limits::MAX_RUNNING_CHECKS) run at a time, the longest overdue first; half of
    /// them at most are such as failed the last time, or have not run yet. A check that hangs ends at its time limit.
    /// One that is due and has to wait keeps its last result a minute longer than usual.
    ///
    /// Code that blocks its thread cannot be ended: its run counts as timed out, again at each interval, and no other check of
    /// the instance runs meanwhile.
    ///
    /// ```
    /// # use foundation_kernel::names::ServiceName;
    /// use std::time::Duration;
    /// use foundation_discovery::{Criteria, Discovery, InstanceCheck};
    ///
    /// # async fn example(discovery: Discovery, orders: ServiceName) {
    /// let check = InstanceCheck::function("disk", |_instance| async { Ok::<(), String>(()) });
    /// let check = check.every(Duration::from_secs(5)).within(Duration::from_millis(500));
    /// tokio::spawn(async move { discovery.run_check(Criteria::service(&orders), check).await });
    /// # }
    /// ```
    pub async fn run_check(&self, criteria: Criteria, check: InstanceCheck) {
        CheckRun::new(Arc::clone(&self.shared), criteria, check).run().await;
    }

    /// Notes a heartbeat of an instance with its time, for its [heartbeat checks](InstanceCheck::heartbeat). It waits for no
    /// check and in no queue; it costs a lookup in the catalog, under its lock, and a look at the clock. For frequent heartbeats
    /// there is a [handle](Self::heartbeat_of).
    ///
    /// # Errors
    /// [`DiscoveryError::NotFound`], [`DiscoveryError::NotRunning`].
    pub fn heartbeat(&self, name: &InstanceName) -> Result<(), DiscoveryError> {
        self.slot_of(name)?.heartbeats.beat(Instant::now());
        Ok(())
    }

    /// A handle for heartbeats of the present incarnation of an instance, which asks nothing for each; see [`Heartbeat`].
    ///
    /// # Errors
    /// [`DiscoveryError::NotFound`], [`DiscoveryError::NotRunning`].
    pub fn heartbeat_of(&self, name: &InstanceName) -> Result<Heartbeat, DiscoveryError> {
        Ok(Heartbeat::new(name, self.slot_of(name)?.heartbeats.pulse()))
    }

    fn slot_of(&self, name: &InstanceName) -> Result<Arc<CheckSlot>, DiscoveryError> {
        let slot = self.instance(name).and_then(|record| self.shared.check_slot(name, record.actor));
        slot.ok_or_else(|| self.not_found(name))
    }

    /// The condition of each service that has an instance or should have one, by name: it is
    /// [expected](crate::DiscoveryOptions::expects), or an instance of it is a child, or a check of it is declared. So a service that has
    /// lost its last instance is shown, and is down.
    ///
    /// It is empty, and costs nothing, until discovery is used in the namespace or a service is expected.
    pub fn health(&self) -> Vec<ServiceHealth> {
        if !self.shared.is_used() && self.shared.options.expected.is_empty() {
            return Vec::new();
        }
        let checks = self.shared.names.extension(DeclaredChecks::new).all();
        let services = checks.values().filter_map(|declared| declared.criteria.wanted_service());
        self.shared.service_healths(services.cloned().collect())
    }

    /// Takes in a result of a check of an instance, by these rules from now on, and returns the health that follows.
    ///
    /// The check begins with its first result, and belongs to the present incarnation. The caller runs it; see
    /// [`check`](Self::check) for one at an interval. Results [expire](CheckRules::expires_after), so one that is not recorded
    /// any more makes the instance unhealthy.
    ///
    /// # Errors
    /// [`DiscoveryError::NotFound`], [`DiscoveryError::NotRunning`], [`DiscoveryError::TooManyChecks`].
    pub fn record_check(
        &self,
        name: &InstanceName,
        check: &str,
        rules: &CheckRules,
        result: Health,
    ) -> Result<InstanceHealth, DiscoveryError> {
        let health = self.shared.record_check((name, None), &check_name(check), rules, result)?;
        health.ok_or_else(|| self.not_found(name))
    }

    /// Ends a check of an instance: what it has found is forgotten. True if there was one of this name.
    pub fn end_check(&self, name: &InstanceName, check: &str) -> bool {
        self.instance(name).is_some_and(|record| self.shared.end_check(name, record.actor, &check_name(check)))
    }

    /// Sets the status of an instance, whatever its checks find: for `ttl`, a year at most, or with `None` until it is
    /// [cleared](Self::clear_status). The reason is shown with it.
    ///
    /// For an operator who takes an instance out of rotation for maintenance, or keeps it in. It belongs to the present
    /// incarnation, and replaces what was set before. An instance that drains by its own word is draining all the same.
    ///
    /// ```
    /// # use foundation_discovery::{Discovery, InstanceName};
    /// use std::time::Duration;
    /// use foundation_discovery::health::InstanceStatus;
    ///
    /// # fn example(discovery: Discovery, name: InstanceName) -> Result<(), Box<dyn std::error::Error>> {
    /// discovery.set_status(&name, InstanceStatus::Unhealthy, "a new disk", Duration::from_secs(3_600))?;
    /// assert!(discovery.clear_status(&name));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DiscoveryError::NotFound`], [`DiscoveryError::NotRunning`].
    pub fn set_status(
        &self,
        name: &InstanceName,
        status: InstanceStatus,
        reason: &str,
        ttl: impl Into<Option<Duration>>,
    ) -> Result<(), DiscoveryError> {
        let ttl = ttl.into();
        let is_set = self.shared.set_status(name, |now| StatusOverride::new(status, reason, ttl, now));
        is_set.then_some(()).ok_or_else(|| self.not_found(name))
    }

    /// Clears the status that was [set](Self::set_status): it follows from the checks again. True if one was set.
    pub fn clear_status(&self, name: &InstanceName) -> bool {
        self.shared.clear_status(name)
    }
}
