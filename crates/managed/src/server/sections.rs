//! The sections of the configuration that services are given.
//!
//! # Invariants
//!
//! 1. A service whose section is not as it was when the service was given it last is given it again: after a change,
//!    after an outage of the event store, and by the next manager.
//! 2. What its kind refuses is not given again before the section changes.

use std::sync::Arc;

use foundation_config_server::ConfigTree;
use foundation_kernel::containment::report;
use foundation_kernel::names::ServiceName;

use super::state::{Manager, Phase, State, Takeover};
use crate::error::ManagedError;
use crate::fact::{ServiceConfig, ServiceFact};

impl Manager {
    /// Gives services their sections if these have changed.
    pub(super) async fn compare_sections(&self, state: &mut State) {
        let tree = self.shared.config.tree();
        let can_change = matches!(state.phase, Phase::Open) && state.takeover == Takeover::Done && state.in_sync;
        let is_compared = state.compared.as_ref().is_some_and(|compared| Arc::ptr_eq(compared, &tree));
        // What is given during a batch would be part of it.
        if !can_change || is_compared || state.batches.is_running() {
            return;
        }
        state.compared = Some(Arc::clone(&tree));
        self.shared.sections.keep(|name| state.table.roster.get(name).is_some());
        let changed: Vec<_> = state
            .table
            .roster
            .iter()
            .filter_map(|(name, it)| {
                let ServiceConfig::Section(path) = &it.config else { return None };
                self.shared.sections.has_changed(name, path, &tree).then(|| name.clone())
            })
            .collect();
        for name in &changed {
            self.give_section(state, name, &tree).await;
        }
        if !changed.is_empty() {
            state.reconcile();
        }
    }

    /// Takes note of the section that a service was given in a batch, or has again after its undo.
    pub(super) fn give_what_runs(&self, state: &mut State, name: &ServiceName) {
        let live = state.table.services.get(name);
        let running = live.and_then(|live| live.prepared.get(&live.generation?)?.tree.clone());
        running.iter().for_each(|tree| self.shared.sections.give(name, tree));
        state.compared = None;
    }

    async fn give_section(&self, state: &mut State, name: &ServiceName, tree: &Arc<ConfigTree>) {
        let given = self.reconfigure(state, name, tree).await;
        match &given {
            Ok(()) => self.shared.sections.give(name, tree),
            Err(error) => {
                report(|| tracing::warn!(service = %name, %error, "its section has changed, and it goes on as it was"));
                state.table.running(name).into_iter().for_each(|live| live.last_error = Some(error.to_string()));
                match error {
                    // It is given when the store records again.
                    ManagedError::NotRecorded { .. } | ManagedError::Unclear { .. } => {
                        (state.in_sync, state.compared) = (false, None);
                    }
                    _ => self.shared.sections.give(name, tree),
                }
            }
        }
    }

    /// Gives a service what its section says as of this configuration.
    async fn reconfigure(
        &self,
        state: &mut State,
        name: &ServiceName,
        tree: &Arc<ConfigTree>,
    ) -> Result<(), ManagedError> {
        self.settle(state, name).await?;
        let prepared = self.prepare_again_as_of(&state.table, name, tree)?;
        let strategy = self.strategy(&state.table, name, &prepared)?;
        let (config, needs, provides) = (prepared.source.clone(), prepared.needs.clone(), prepared.provides());
        let running = state.table.generation(name);
        let fact = ServiceFact::Configured { name: name.clone(), config, needs, provides, strategy, running };
        self.record(state, name, vec![fact]).await?;
        let generation = state.table.roster.get(name).map(|it| it.generation).unwrap_or_default();
        if let Some(live) = state.table.running(name) {
            live.prepare(generation, prepared);
        }
        Ok(())
    }
}
