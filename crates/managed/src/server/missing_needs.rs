//! Which services lack what they need.
//!
//! # Invariants
//!
//! 1. What a service lacks is what it is said to lack, also if that changes while it lacks something.
//! 2. A pass goes through the services in their start order, so that one pass shows most of what follows from each other.

use std::collections::BTreeSet;

use foundation_kernel::names::ServiceName;

use super::service_table::ServiceTable;
use super::state::Manager;
use super::state::{Phase, State};
use crate::lifecycle::{LifecycleFact, ServiceState, UnhealthyCause};
use crate::needs::{Need, NeedGraph};

impl Manager {
    /// Takes note of which services lack something, until that changes no more.
    pub(super) fn note_needs(&self, state: &mut State, met: &BTreeSet<Need>) {
        let graph = state.table.roster.needs();
        let order = graph.start_order().unwrap_or_default();
        let mut ready = ready(&state.table);
        for _ in 0..=order.len() {
            let noted = order.iter().filter(|name| self.note_needs_of(state, name, &graph, &mut ready, met));
            if noted.count() == 0 {
                return;
            }
        }
    }

    /// Takes note of what a service lacks. Returns whether others may lack something, or nothing any more, since then.
    fn note_needs_of(
        &self,
        state: &mut State,
        name: &ServiceName,
        graph: &NeedGraph,
        ready: &mut BTreeSet<ServiceName>,
        met: &BTreeSet<Need>,
    ) -> bool {
        let is_wanted = state.table.roster.get(name).is_some_and(|it| it.is_wanted());
        let missing = if is_wanted { graph.missing(name, ready, met) } else { Vec::new() };
        let Some(lacked) = state.table.services.get(name).map(|live| lacked(&live.state).to_vec()) else {
            return false;
        };
        if missing == lacked {
            return false;
        }
        match missing.is_empty() {
            true => {
                state.table.note(name, LifecycleFact::NeedsMet);
                self.observe(state, name);
            }
            false => {
                let is_at_rest = state.table.services.get(name).is_some_and(|live| is_at_rest(&live.state));
                // Its start was requested while it was being stopped. In a shutdown none is.
                if is_at_rest && matches!(state.phase, Phase::Open) {
                    state.table.note(name, LifecycleFact::StartRequested);
                }
                state.table.note(name, LifecycleFact::NeedsMissing { needs: missing });
            }
        }
        let is_ready = state.table.services.get(name).is_some_and(|live| live.is_ready());
        let was_ready = if is_ready { !ready.insert(name.clone()) } else { ready.remove(name) };
        is_ready != was_ready
    }
}

fn ready(table: &ServiceTable) -> BTreeSet<ServiceName> {
    table.services.iter().filter(|(_, live)| live.is_ready()).map(|(name, _)| name.clone()).collect()
}

fn is_at_rest(state: &ServiceState) -> bool {
    matches!(state, ServiceState::Unknown | ServiceState::Shutdown)
}

fn lacked(state: &ServiceState) -> &[Need] {
    match state.cause() {
        Some(UnhealthyCause::Lacks { needs, .. }) => needs,
        _ => &[],
    }
}
