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
                self.shared.sections.has_changed(name, it.generation, path, &tree).then(|| name.clone())
            })
            .collect();
        for name in &changed {
            self.give_section(state, name, &tree).await;
        }
        if !changed.is_empty() {
            state.reconcile();
        }
    }

    /// Takes note of the section that a service was given in a batch. One that has what it had before was given it before.
    pub(super) fn give_what_runs(&self, state: &mut State, name: &ServiceName) {
        state.compared = None;
        let Some(live) = state.table.services.get(name) else { return };
        let Some((generation, prepared)) = live.generation.and_then(|it| Some((it, live.prepared.get(&it)?))) else {
            return;
        };
        self.follow(&mut state.tasks, &mut state.followed, &state.myself, &prepared.source);
        let Some(tree) = &prepared.tree else { return };
        if self.shared.sections.of(name, generation).is_none_or(|given| !Arc::ptr_eq(&given, tree)) {
            self.shared.sections.give(name, generation, tree);
        }
    }

    async fn give_section(&self, state: &mut State, name: &ServiceName, tree: &Arc<ConfigTree>) {
        match &self.reconfigure(state, name, tree).await {
            // Its kind says that nothing is to be done: what runs is made from what it was given.
            Ok(generation) if state.table.services.get(name).is_some_and(|live| live.is_of(*generation)) => {
                self.shared.sections.pass_over(name, tree);
            }
            Ok(generation) => self.shared.sections.give(name, *generation, tree),
            Err(error) => {
                report(|| tracing::warn!(service = %name, %error, "its section has changed, and it goes on as it was"));
                state.table.running(name).into_iter().for_each(|live| live.last_error = Some(error.to_string()));
                match error {
                    // It is given when the store records again.
                    ManagedError::NotRecorded { .. } | ManagedError::Unclear { .. } => {
                        (state.in_sync, state.compared) = (false, None);
                        *self.shared.problem.lock() = Some(format!("a changed section is not recorded: {error}"));
                    }
                    _ => self.shared.sections.pass_over(name, tree),
                }
            }
        }
    }

    /// Gives a service what its section says as of this configuration, and returns the generation that has it.
    async fn reconfigure(
        &self,
        state: &mut State,
        name: &ServiceName,
        tree: &Arc<ConfigTree>,
    ) -> Result<u64, ManagedError> {
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
        Ok(generation)
    }
}
