//! The beginning and the end of a manager.

use std::time::Duration;

use foundation_kernel::containment::report;
use foundation_kernel::ractor::{ActorCell, ActorProcessingErr, RpcReplyPort};
use tokio::time::timeout;

use super::manager::Manager;
use super::state::{Phase, State};
use crate::kinds::instance_name;
use crate::lifecycle::{ServiceState, ServiceStatus};

/// How long a manager that starts waits for the event store.
const STORE_AT_START: Duration = Duration::from_secs(10);

impl Manager {
    /// Reads what is recorded, and finds out what runs.
    pub(super) async fn begin(&self, state: &mut State) -> Result<(), ActorProcessingErr> {
        let roster = timeout(STORE_AT_START, self.read_roster()).await;
        let late = |_| format!("the event store did not show within {STORE_AT_START:?} which services are declared");
        state.table.restore(roster.map_err(late)??);
        for (name, generation) in self.shared.running.lock().iter() {
            state.table.services.entry(name.clone()).or_default().generation = Some(*generation);
        }
        let records = self.shared.published.records();
        for (name, live) in &mut state.table.services {
            let is_wanted = state.table.roster.get(name).is_some_and(|it| it.is_wanted());
            live.state = match (is_wanted, records.get(name)) {
                (true, _) => ServiceState::Initializing,
                (false, Some(record)) if record.status() == ServiceStatus::Unknown => ServiceState::Unknown,
                (false, None) => ServiceState::Unknown,
                (false, Some(_)) => ServiceState::Shutdown,
            };
        }
        Ok(())
    }

    pub(super) async fn shut_down(&self, state: &mut State, reply: RpcReplyPort<()>) {
        self.cancel_batch(state);
        match &mut state.phase {
            Phase::ShuttingDown(replies) => replies.push(reply),
            Phase::Open => state.phase = Phase::ShuttingDown(vec![reply]),
        }
        state.reconcile();
    }

    /// Kills the services that are not stopped yet.
    pub(super) fn kill_all(&self, state: &State) {
        let names = state.table.services.iter().filter(|(_, live)| live.generation.is_some()).map(|(name, _)| name);
        for name in names.filter_map(|name| instance_name(name).ok()) {
            let found = self.shared.names.lookup_any(name.registered());
            found.iter().for_each(|found| ActorCell::kill(found.cell()));
        }
    }

    /// Records what is wanted anew, so that older events can be pruned. If that fails they are kept, and the store asks again.
    pub(super) async fn checkpoint(&self, state: &mut State) {
        if !state.in_sync {
            return;
        }
        if let Err(error) = self.journal.checkpoint(&state.table.roster).await {
            report(|| tracing::warn!(%error, "the declared services are not recorded anew, and older events are kept"));
        }
    }
}
