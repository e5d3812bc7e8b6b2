//! The beginning and the end of a manager.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foundation_discovery::{InstanceName, InstanceRecord};
use foundation_kernel::answer;
use foundation_kernel::containment::report;
use foundation_kernel::names::ServiceName;
use foundation_kernel::ractor::{ActorCell, RpcReplyPort};
use foundation_kernel::supervision::{ChildInfo, ChildState};
use tokio::time::timeout;

use super::batches::queue::Deferral;
use super::message::{ManagerMsg, ShutdownProgress, ShutdownReply};
use super::prepared::generation_of;
use super::service_table::RunningService;
use super::state::{Manager, delay};
use super::state::{Phase, State, Takeover};
use crate::batch_error::BatchError;
use crate::kinds::instance_name;
use crate::lifecycle::{ServiceState, ServiceStatus};
use crate::record::ServiceRecord;
use crate::roster::DesiredService;

/// The generation of a child of which it is not known: it is none that is wanted, since they are numbered from 1.
const UNKNOWN_GENERATION: u64 = 0;
/// The pause after what is recorded was read in vain once; it is doubled each time.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// The longest such pause.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// How long a manager that starts waits for the event store.
const STORE_AT_START: Duration = Duration::from_secs(10);

impl Manager {
    /// Reads what is recorded. A manager that cannot read it starts all the same: what runs goes on meanwhile.
    pub(super) async fn begin(&self, state: &mut State) {
        if self.shared.is_shut_down.load(Ordering::Acquire) {
            state.phase = Phase::ShuttingDown(Vec::new());
        }
        self.read(state).await;
        // What is to be stopped is stopped whether it is declared or not.
        if let (Phase::ShuttingDown(_), Takeover::Unread) = (&state.phase, state.takeover) {
            self.ask_what_runs(state);
        }
        self.read_later(state);
        // Before the start is over: a namespace that runs shows which services it has. Of those that run already an earlier
        // manager has shown more than is known now.
        if self.shared.published.records().is_empty() {
            self.show(state);
        }
    }

    async fn read(&self, state: &mut State) {
        let late = |_| Err(format!("the event store did not show it within {STORE_AT_START:?}"));
        match timeout(STORE_AT_START, self.read_roster(state.takeover)).await.unwrap_or_else(late) {
            Ok(roster) => self.synced(state, roster),
            Err(reason) => {
                report(|| tracing::warn!(%reason, "it is not known which services are declared"));
                let problem = format!("it is not known which services are declared: {reason}");
                *self.shared.problem.lock() = Some(problem);
            }
        }
    }

    /// Reads what is recorded again after a pause, unless all of it is known.
    pub(super) fn read_later(&self, state: &mut State) {
        if state.in_sync && state.table.all_to_take_back().next().is_none() {
            // The next outage begins with the shortest pause again.
            state.reads = 0;
            if let Some(next) = state.next_read.take() {
                next.abort();
                *self.shared.problem.lock() = None;
            }
            return;
        }
        if state.next_read.is_some() {
            return;
        }
        let pause = READ_AGAIN.saturating_mul(2_u32.saturating_pow(state.reads)).min(MAX_PAUSE);
        state.reads = state.reads.saturating_add(1);
        let myself = state.myself.clone();
        state.next_read = Some(state.tasks.spawn(async move {
            delay(pause).await;
            // It fails only if this manager is ending.
            let _ = myself.cast(ManagerMsg::ReadAgain);
        }));
    }

    /// Reads what is recorded, and records what could not be recorded before.
    pub(super) async fn read_again(&self, state: &mut State) {
        state.next_read = None;
        if state.in_sync {
            *self.shared.problem.lock() = None;
        }
        // A batch that runs is recorded as begun only: it reads by itself how it ended.
        if !state.in_sync && !state.batches.is_running() {
            self.read(state).await;
        }
        if state.in_sync && !state.batches.is_running() {
            self.record_all_taken_back(state).await;
        }
        state.reconcile();
    }

    /// Records what could not be recorded when it was taken back, up to the first that cannot be recorded still.
    async fn record_all_taken_back(&self, state: &mut State) {
        let names: Vec<_> = state.table.all_to_take_back().cloned().collect();
        for name in names {
            if let Err(error) = self.record_taken_back(state, &name).await {
                return state.failed(&name, &error);
            }
        }
    }

    /// Keeps what is to be decided until it is known what runs. It is given back if it need not wait.
    pub(super) async fn defer_early(&self, state: &mut State, message: ManagerMsg) -> Option<ManagerMsg> {
        match message {
            ManagerMsg::Batch(request) if state.takeover == Takeover::Unread => {
                let problem = self.shared.problem.lock().clone();
                let reason = problem.unwrap_or_else(|| "it is not known which services are declared".to_owned());
                answer(request.reply, Err(BatchError::NotRecorded { reason }));
                None
            }
            ManagerMsg::Request(request, reply) if self.has_to_read(state) => {
                match self.settle(state, request.name()).await {
                    Ok(()) => keep_or_refuse(state, ManagerMsg::Request(request, reply)),
                    Err(error) => answer(reply, Err(error)),
                }
                None
            }
            message if state.takeover == Takeover::Asking && message.is_decided() => {
                keep_or_refuse(state, message);
                None
            }
            message => Some(message),
        }
    }

    fn has_to_read(&self, state: &State) -> bool {
        state.takeover == Takeover::Unread && matches!(state.phase, Phase::Open)
    }

    /// Compares what runs with what is wanted, and goes on from there.
    pub(super) async fn take_over(&self, state: &mut State, children: &[ChildInfo]) {
        state.takeover = Takeover::Done;
        let records = self.shared.published.records();
        let is_open = matches!(state.phase, Phase::Open);
        for (name, live) in &mut state.table.services {
            let desired = state.table.roster.get(name).filter(|it| is_open && it.is_wanted());
            take_over_state(live, desired, records.get(name).map(Arc::as_ref));
        }
        for child in children.iter().filter(|child| child.state != ChildState::Stopped) {
            let Some(name) = service_of(child) else { continue };
            match child.state {
                ChildState::Stopping => take_over_stopping(state, name),
                _ => self.take_over_running(state, &name, records.get(&name)),
            }
        }
        let sections: Vec<_> = state.table.roster.iter().map(|(_, it)| it.config.clone()).collect();
        for source in sections {
            self.follow(&mut state.tasks, &mut state.followed, &state.myself, &source);
        }
        self.undo_open_batch(state).await;
        state.note_stopping();
        // Not later: until then it looks as if nothing were ready.
        self.reconcile(state).await;
    }

    /// Takes over a service that runs: as the generation that it bears, with the checks of that.
    fn take_over_running(&self, state: &mut State, name: &ServiceName, shown: Option<&Arc<ServiceRecord>>) {
        let found = instance_name(name).ok().and_then(|name| self.shared.discovery.instance(&name));
        let live = state.table.services.entry(name.clone()).or_default();
        // One that is about to be started again bears none: it is not one that is wanted.
        let generation = found.as_ref().and_then(|found| generation_of(&found.instance)).unwrap_or(UNKNOWN_GENERATION);
        live.generation = Some(generation);
        let desired = state.table.roster.get(name);
        let is_known = desired.is_some_and(|it| it.config_of(generation).is_some());
        let is_desired = desired.is_some_and(|it| it.generation == generation);
        let is_wanted = desired.is_some_and(|it| it.is_wanted()) && matches!(state.phase, Phase::Open);
        let actor = found.as_ref().map(|found| found.actor);
        let shown = shown.filter(|shown| is_known && shown.actor.is_some() && shown.actor == actor);
        if is_wanted {
            live.state = shown.map_or(ServiceState::Initializing, |shown| shown.state.clone());
        }
        if is_known && let Err(error) = self.make_prepared(state, name, generation) {
            report(|| tracing::warn!(service = %name, %error, "it goes on without its checks"));
        }
        if let Some(found) = found.filter(|found| is_wanted && is_desired && found.instance.is_draining()) {
            self.resume(&found);
        }
        if is_wanted {
            self.settle_child(state, name, generation);
        }
        self.observe(state, name);
    }

    /// Puts a service back into rotation whose stop was not completed and is not wanted.
    fn resume(&self, found: &InstanceRecord) {
        if let Ok(owner) = self.shared.names.lookup_any(found.name().registered()) {
            // One that has just ended is started again in rotation.
            let _ = self.shared.discovery.update(found.name(), owner.cell(), |instance| instance.draining(false));
        }
    }

    pub(super) async fn shut_down(&self, state: &mut State, reply: ShutdownReply) {
        // Before anything else: the next manager goes on with it.
        self.shared.is_shut_down.store(true, Ordering::Release);
        self.cancel_batch(state);
        match &mut state.phase {
            Phase::ShuttingDown(replies) => replies.push(reply),
            Phase::Open => state.phase = Phase::ShuttingDown(vec![reply]),
        }
        state.note_stopping();
        if state.takeover == Takeover::Unread {
            self.ask_what_runs(state);
        }
        state.reconcile();
    }

    /// Kills the services that are not stopped yet, and answers which these are.
    pub(super) fn kill_all(&self, state: &State, reply: RpcReplyPort<ShutdownProgress>) {
        let (to_stop, left) = (state.stopping.iter().cloned().collect(), state.running().cloned().collect());
        answer(reply, ShutdownProgress { to_stop, left });
        for name in state.running().filter_map(|name| instance_name(name).ok()) {
            let found = self.shared.names.lookup_any(name.registered());
            found.iter().for_each(|found| ActorCell::kill(found.cell()));
        }
        state.jobs.values().flat_map(|job| &job.actors).for_each(ActorCell::kill);
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

/// Keeps what is to be decided later, unless as many wait as may.
fn keep_or_refuse(state: &mut State, message: ManagerMsg) {
    if let Deferral::Refused(message) = state.batches.keep(message) {
        message.refuse_to_wait();
    }
}

/// Takes over a service that is being stopped: it is gone before anything else becomes of it.
fn take_over_stopping(state: &mut State, name: ServiceName) {
    let live = state.table.services.entry(name).or_default();
    (live.generation, live.state) = (Some(UNKNOWN_GENERATION), ServiceState::ShuttingDown);
}

/// The state of a service of which nothing runs, as far as it is known yet. One that was given up stays so.
fn take_over_state(live: &mut RunningService, desired: Option<&DesiredService>, shown: Option<&ServiceRecord>) {
    let gave_up = shown.filter(|shown| {
        let is_same = desired.is_some_and(|desired| desired.generation == shown.generation);
        is_same && shown.state.give_up_reason().is_some()
    });
    if let Some(shown) = gave_up {
        (live.state, live.generation) = (shown.state.clone(), shown.running);
        live.last_error = shown.last_error.clone();
        return;
    }
    live.state = match (desired, shown) {
        (Some(_), _) => ServiceState::Initializing,
        (None, Some(record)) if record.status() != ServiceStatus::Unknown => ServiceState::Shutdown,
        (None, _) => ServiceState::Unknown,
    };
}

/// The managed service whose child this is; `None` of another child.
fn service_of(child: &ChildInfo) -> Option<ServiceName> {
    let registered = ServiceName::new(child.id.as_str()).ok()?;
    let name = InstanceName::of(&registered)?;
    (instance_name(name.service()).ok()? == name).then(|| name.service().clone())
}
