//! What the manager of a namespace knows, and how each event changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use foundation_config_server::ConfigTree;
use foundation_kernel::names::ServiceName;
use foundation_kernel::ractor::{ActorCell, ActorRef};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::batches::queue::BatchQueue;
use super::journal::Journal;
use super::message::{ManagerMsg, ShutdownReply};
use super::service_table::{RunningService, ServiceTable};
use super::shared::Shared;
use super::waiters::Waiters;
use crate::fact::ServiceFact;
use crate::lifecycle::LifecycleFact;
use crate::reconcile::ServicePlan;

/// The dependencies of a manager.
#[derive(Clone)]
pub(crate) struct Manager {
    pub(super) shared: Arc<Shared>,
    pub(super) journal: Journal,
}

impl Manager {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let journal = Journal::of(&shared.names);
        // Before any store checks its retention.
        journal.hold_all();
        Self { shared, journal }
    }
}

/// Returns after this time.
pub(super) async fn delay(time: Duration) {
    let _ = timeout(time, std::future::pending::<()>()).await;
}

/// Whether requests are accepted.
pub(super) enum Phase {
    Open,
    ShuttingDown(Vec<ShutdownReply>),
}

/// How far a manager that starts has come. Until it is done it changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takeover {
    /// The event store does not show what is recorded.
    Unread,
    /// The supervisor is asked what runs.
    Asking,
    Done,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobKind {
    Start(u64),
    Stop,
    Replace(u64),
    /// The specification of what runs is made that of this generation.
    Settle(u64),
}

impl JobKind {
    /// Whether such a job is aborted for another one that begins by stopping the service. A replacement is not, if the
    /// other one would bring about the same.
    pub(super) fn gives_way_to(self, other: Self) -> bool {
        match (self, other) {
            (Self::Start(_) | Self::Settle(_), _) => true,
            (Self::Replace(generation), Self::Start(next)) => generation != next,
            (Self::Replace(_), _) => true,
            (Self::Stop, _) => false,
        }
    }
}

pub(super) struct Job {
    pub(super) number: u64,
    pub(super) kind: JobKind,
    pub(super) task: AbortHandle,
    /// The actor that has the name when it begins, and those of the jobs that were aborted for it: one that is being stopped
    /// is not found by its name.
    pub(super) actors: Vec<ActorCell>,
    /// Closed when its task is gone.
    pub(super) ended: watch::Receiver<()>,
}

pub(crate) struct State {
    pub(super) myself: ActorRef<ManagerMsg>,
    pub(super) table: ServiceTable,
    pub(super) waiters: Waiters,
    pub(super) phase: Phase,
    pub(super) takeover: Takeover,
    /// Whether every recorded fact is applied.
    pub(super) in_sync: bool,
    /// How often what is recorded was read in vain.
    pub(super) reads: u32,
    /// Reads it again after a pause.
    pub(super) next_read: Option<AbortHandle>,
    /// The services that could not be stopped, and are to be stopped again after a pause.
    pub(super) paused: BTreeSet<ServiceName>,
    /// The services outside that are watched since others need them.
    pub(super) watched: BTreeSet<ServiceName>,
    /// Whether a message to reconcile is on its way.
    pub(super) is_due: bool,
    pub(super) jobs: BTreeMap<ServiceName, Job>,
    pub(super) job_number: u64,
    pub(super) batches: BatchQueue,
    pub(super) followed: BTreeSet<String>,
    /// The configuration as of which sections were compared with what services were given.
    pub(super) compared: Option<Arc<ConfigTree>>,
    /// The services that a shutdown stops.
    pub(super) stopping: BTreeSet<ServiceName>,
    /// The jobs, the checks, and the watches. They end with the manager.
    pub(super) tasks: JoinSet<()>,
}

impl State {
    pub(super) fn new(myself: ActorRef<ManagerMsg>) -> Self {
        Self {
            myself,
            table: ServiceTable::default(),
            waiters: Waiters::default(),
            phase: Phase::Open,
            takeover: Takeover::Unread,
            in_sync: false,
            reads: 0,
            next_read: None,
            compared: None,
            stopping: BTreeSet::new(),
            paused: BTreeSet::new(),
            watched: BTreeSet::new(),
            is_due: false,
            jobs: BTreeMap::new(),
            job_number: 0,
            batches: BatchQueue::default(),
            followed: BTreeSet::new(),
            tasks: JoinSet::new(),
        }
    }

    /// The next message that has waited long enough: until it is known what runs, and until the end of a batch.
    pub(super) fn next_deferred(&mut self) -> Option<ManagerMsg> {
        if self.takeover == Takeover::Done { self.batches.next_deferred() } else { None }
    }

    /// Reconciles when the messages that are here are handled.
    pub(super) fn reconcile(&mut self) {
        if !self.is_due {
            // It fails only if this actor is ending.
            self.is_due = self.myself.cast(ManagerMsg::Reconcile).is_ok();
        }
    }

    /// The services of which something may run, also those that are not declared any more.
    pub(super) fn running(&self) -> impl Iterator<Item = &ServiceName> {
        self.table.services.iter().filter(|(_, live)| live.generation.is_some()).map(|(name, _)| name)
    }

    /// Takes note of which services a shutdown stops.
    pub(super) fn note_stopping(&mut self) {
        if let Phase::ShuttingDown(_) = self.phase {
            let running: Vec<_> = self.running().cloned().collect();
            self.stopping.extend(running);
        }
    }

    /// Whether nothing runs and nothing is under way. The task of a batch that is given up may start a service still.
    pub(super) fn is_at_rest(&self) -> bool {
        let is_changing = !self.jobs.is_empty() || self.batches.is_running();
        self.takeover == Takeover::Done && !is_changing && self.running().next().is_none()
    }

    pub(super) fn stop_if_at_rest(&mut self, name: &ServiceName) {
        if self.table.running(name).is_some_and(|live| live.generation.is_none()) {
            self.table.note(name, LifecycleFact::StopRequested);
            self.table.note(name, LifecycleFact::Gone { reason: "it was not running".to_owned() });
        }
    }

    pub(super) fn all_stopped(&self) -> Vec<ServiceFact> {
        let stopped = |name: &ServiceName| ServiceFact::Wanted {
            name: name.clone(),
            state: crate::fact::DesiredState::Stopped,
            restart: false,
        };
        self.table.roster.iter().map(|(name, _)| stopped(name)).collect()
    }

    /// Takes note of a job that begins.
    pub(super) fn begin(&mut self, plan: &ServicePlan, kind: JobKind) {
        let Some(live) = self.table.running(&plan.name) else { return };
        // Of a replacement that is aborted.
        live.replacing = None;
        match kind {
            JobKind::Start(generation) => {
                let was_running = live.generation.is_some();
                live.generation = Some(generation);
                self.table.note(&plan.name, LifecycleFact::StartRequested);
                if was_running {
                    self.table.note(&plan.name, LifecycleFact::RestartDue);
                }
            }
            JobKind::Stop => self.table.note(&plan.name, LifecycleFact::StopRequested),
            JobKind::Replace(generation) => live.replacing = Some(generation),
            JobKind::Settle(_) => {}
        }
    }

    pub(super) fn give_up(&mut self, name: &ServiceName, generation: u64, reason: &str) {
        if let Some(live) = self.table.running(name) {
            live.generation = Some(generation);
            live.last_error = Some(reason.to_owned());
        }
        self.table.note(name, LifecycleFact::StartRequested);
        self.table.note(name, LifecycleFact::GaveUp { reason: reason.to_owned() });
        self.reconcile();
    }

    pub(super) fn stopped(&mut self, name: &ServiceName) {
        if let Some(live) = self.table.running(name) {
            (live.generation, live.actor, live.last_error, live.stop_within) = (None, None, None, None);
        }
        self.table.note(name, LifecycleFact::Gone { reason: "it was stopped".to_owned() });
    }

    /// Whether this generation of a service is the one that is to be.
    pub(super) fn is_wanted(&self, name: &ServiceName, generation: u64) -> bool {
        self.table.roster.get(name).is_some_and(|it| it.generation == generation)
    }

    /// Whether this is not to be begun, since the generation has been refused while another one runs.
    pub(super) fn is_refused(&self, name: &ServiceName, kind: JobKind) -> bool {
        let Some(live) = self.table.services.get(name) else { return false };
        match kind {
            JobKind::Replace(generation) => live.refused == Some(generation),
            JobKind::Start(generation) => live.refused == Some(generation) && live.actor.is_some(),
            _ => false,
        }
    }

    /// Takes note of why the last request about a service failed.
    pub(super) fn failed(&mut self, name: &ServiceName, reason: &impl ToString) {
        self.table.running(name).into_iter().for_each(|live| live.last_error = Some(reason.to_string()));
    }

    pub(super) fn not_replaced(&mut self, name: &ServiceName, reason: String) {
        if let Some(live) = self.table.running(name) {
            live.replacing = None;
            live.last_error = Some(reason);
        }
    }

    pub(super) fn replaced(&mut self, name: &ServiceName, generation: u64, left: Option<String>) {
        if let Some(live) = self.table.running(name) {
            live.generation = Some(generation);
            (live.replacing, live.last_error) = (None, left);
        }
    }

    /// Lets the services that could not be prepared be tried again.
    pub(super) fn try_again(&mut self) {
        for live in self.table.services.values_mut() {
            live.refused = live.refused.filter(|it| live.prepared.contains_key(it));
        }
        let is_unprepared = |live: &RunningService| live.generation.is_some_and(|it| !live.prepared.contains_key(&it));
        let unprepared = self.table.services.iter().filter(|(_, live)| live.has_given_up() && is_unprepared(live));
        for name in unprepared.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.table.running(&name).into_iter().for_each(|live| live.generation = None);
            self.table.note(&name, LifecycleFact::StartRequested);
        }
        self.reconcile();
    }
}
