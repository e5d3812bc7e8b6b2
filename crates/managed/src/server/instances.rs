//! What the manager learns from discovery: which instances there are, and how they are.

use std::collections::BTreeMap;

use foundation_kernel::names::ServiceName;
use foundation_kernel::ractor::ActorId;
use foundation_kernel::supervision::{ChildError, ChildState, ExitReason};

use super::message::ManagerMsg;
use super::service_table::RunningService;
use super::state::Manager;
use super::state::State;
use crate::kinds::instance_name;
use crate::lifecycle::LifecycleFact;
use foundation_discovery::{Criteria, InstanceChange, InstanceRecord, InstanceWatched, RemovalCause};

impl Manager {
    /// Watches the instances of the namespace from now on.
    pub(super) fn watch(&self, state: &mut State) {
        let (mut watch, myself) = (self.shared.discovery.watch(Criteria::any()), state.myself.clone());
        state.tasks.spawn(async move {
            while let Some(watched) = watch.next().await {
                if myself.cast(ManagerMsg::Observed(watched)).is_err() {
                    return;
                }
            }
        });
    }

    pub(super) fn observed(&self, state: &mut State, watched: InstanceWatched) {
        match watched {
            // The first one, too: what was taken over is known already.
            InstanceWatched::Snapshot(snapshot) | InstanceWatched::Lagged { snapshot, .. } => {
                self.compare(state, &snapshot);
            }
            InstanceWatched::Change(InstanceChange::Added(record)) => self.arrived(state, &record),
            InstanceWatched::Change(InstanceChange::Removed { instance, cause }) if is_instance(&instance) => {
                self.departed(state, instance.service(), instance.actor, cause);
            }
            InstanceWatched::Change(change) => self.observe(state, change.name().service()),
            _ => {}
        }
        state.reconcile();
    }

    /// Compares what is there with what was found before.
    fn compare(&self, state: &mut State, records: &[InstanceRecord]) {
        let there: BTreeMap<_, _> =
            records.iter().filter(|it| is_instance(it)).map(|it| (it.service().clone(), it)).collect();
        let known = state.table.services.iter().filter_map(|(name, live)| Some((name.clone(), live.actor?)));
        let known: BTreeMap<_, _> = known.collect();
        for (name, actor) in &known {
            if there.get(name).is_none_or(|record| record.actor != *actor) {
                self.departed(state, name, *actor, RemovalCause::Missed);
            }
        }
        for (name, record) in there {
            match known.get(&name) {
                Some(actor) if *actor == record.actor => self.observe(state, &name),
                _ => self.arrived(state, record),
            }
        }
    }

    /// The instance of a service is there: it is checked from now on.
    fn arrived(&self, state: &mut State, record: &InstanceRecord) {
        let service = record.service();
        if !is_instance(record) {
            return;
        }
        let Some(live) = state.table.running(service) else { return };
        live.actor = Some(record.actor);
        state.table.note(service, LifecycleFact::ChildStarted);
        self.observe(state, service);
    }

    /// The instance of a service is gone: its supervisor knows whether it comes back.
    fn departed(&self, state: &mut State, name: &ServiceName, actor: ActorId, cause: RemovalCause) {
        let Some(live) = state.table.running(name).filter(|live| live.actor == Some(actor)) else { return };
        let reason = match cause {
            RemovalCause::HandedOver { .. } => return,
            RemovalCause::Ended(reason) => reason,
            _ => None,
        };
        live.actor = None;
        self.find_child(state, name, reason);
    }

    /// Takes note of what has become of a service meanwhile.
    pub(super) fn observe_again(&self, state: &mut State, name: &ServiceName) {
        self.observe(state, name);
        let is_missing = |live: &&mut RunningService| live.generation.is_some() && live.actor.is_none();
        if state.table.running(name).filter(is_missing).is_some() {
            self.find_child(state, name, None);
        }
    }

    /// Finds out from the supervisor whether a service whose actor is not there is started again.
    pub(super) fn find_child(&self, state: &mut State, name: &ServiceName, reason: Option<ExitReason>) {
        let Ok(instance) = instance_name(name) else { return };
        let (supervisor, myself, name) = (self.shared.supervisor(), state.myself.clone(), name.clone());
        state.tasks.spawn(async move {
            let is_restarted = match supervisor.which_child(&instance.to_string()).await {
                Ok(child) => child.state != ChildState::Stopped,
                Err(ChildError::NotFound { .. }) => false,
                // A supervisor that is ending restarts nothing, and has given up nothing.
                Err(_) => return,
            };
            // A manager that has ended leaves it to its successor.
            let _ = myself.cast(ManagerMsg::Ended { name, reason, is_restarted });
        });
    }

    pub(super) fn ended(&self, state: &mut State, name: &ServiceName, reason: Option<ExitReason>, is_restarted: bool) {
        let Some(live) = state.table.running(name).filter(|live| live.actor.is_none()) else { return };
        // A job of its own says how it ends.
        if live.generation.is_none() || state.jobs.contains_key(name) || state.batches.has(name) {
            return;
        }
        let reason = reason.map_or_else(|| "its actor has ended".to_owned(), |reason| reason.to_string());
        live.last_error = Some(reason.clone());
        match is_restarted {
            true => state.table.note(name, LifecycleFact::RestartDue),
            false => state.table.note(name, LifecycleFact::Gone { reason }),
        }
        state.reconcile();
    }
}

/// Whether an instance is that of a managed service, and no successor of it.
fn is_instance(record: &InstanceRecord) -> bool {
    instance_name(record.service()).is_ok_and(|name| name == *record.name())
}
