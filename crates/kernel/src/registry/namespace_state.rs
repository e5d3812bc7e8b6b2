//! The state of one namespace, shared by all its users.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use ractor::ActorStatus;

use super::cleanup::{StopLog, StoppedService};
use super::extensions::Extensions;
use super::groups::Groups;
use super::locks::Locks;
use super::measures::{Measurement, Measures};
use super::notifier::Latch;
use super::root::Root;
use super::table::Table;
use crate::containment::drop_contained;
use crate::limits::RegistryLimits;
use crate::supervisor::{ChildEvent, DirectSpawner, Report, Reporter, Stopped, Supervisor};

/// One namespace: its names, its groups, the measures of its services, its application, and the way to the registry
/// that it belongs to.
pub(crate) struct NamespaceState {
    pub(crate) table: Arc<Table>,
    pub(crate) groups: Arc<Groups>,
    pub(crate) locks: Locks,
    pub(crate) measures: Arc<Measures>,
    pub(crate) registry: Weak<dyn Root>,
    pub(crate) limits: RegistryLimits,
    /// Set at each start of the application's supervisor.
    application: Mutex<Option<Arc<Application>>>,
    /// Values of the layers above, one of each type.
    pub(crate) extensions: Extensions,
    /// Set by the end of the namespace.
    pub(crate) ended: Latch,
    /// The pending end of the namespace.
    ending: Mutex<Weak<NamespaceEnd>>,
    /// The actors that were stopped since the shutdown began.
    pub(crate) stopped: Mutex<StopLog>,
}

/// The application's supervisor, with the place to start further actors under it.
pub(crate) struct Application {
    pub(crate) supervisor: Supervisor,
    pub(crate) direct_spawner: DirectSpawner,
}

impl NamespaceState {
    pub(crate) fn new(
        table: Table,
        registry: Weak<dyn Root>,
        measurement: Measurement,
        limits: RegistryLimits,
    ) -> Self {
        Self {
            groups: Arc::new(Groups::new(table.namespace())),
            measures: Arc::new(Measures::new(table.namespace(), measurement)),
            table: Arc::new(table),
            locks: Locks::default(),
            registry,
            limits,
            application: Mutex::default(),
            extensions: Extensions::default(),
            ended: Latch::default(),
            ending: Mutex::default(),
            stopped: Mutex::default(),
        }
    }

    pub(crate) fn application_started(&self, supervisor: Supervisor, direct_spawner: DirectSpawner) {
        self.set_application(Some(Arc::new(Application { supervisor, direct_spawner })));
    }

    fn set_application(&self, application: Option<Arc<Application>>) {
        let before = std::mem::replace(&mut *self.application.lock(), application);
        // Dropping the last reference to a supervisor drops its unread requests, which wakes their callers.
        drop_contained("a former application supervisor", before);
    }

    /// `None` if it does not run.
    pub(crate) fn application(&self) -> Option<Arc<Application>> {
        let application = self.application.lock().clone();
        application.filter(|it| it.supervisor.actor().get_status() < ActorStatus::Draining)
    }

    /// Postpones the end of the namespace until the returned share is dropped.
    pub(crate) fn postpone_end(self: &Arc<Self>) -> Arc<NamespaceEnd> {
        let mut ending = self.ending.lock();
        ending.upgrade().unwrap_or_else(|| {
            let end = Arc::new(NamespaceEnd(Arc::clone(self)));
            *ending = Arc::downgrade(&end);
            end
        })
    }

    /// No name, lock, watch or extension from now on: waiters are notified.
    pub(super) fn end(&self) {
        self.table.close();
        self.table.watches().close();
        self.set_application(None);
        self.extensions.end();
        self.ended.set();
    }

    /// Begins the stop log; a clean-up during a shutdown continues it.
    pub(crate) fn begin_stop_log(&self) {
        let mut log = self.stopped.lock();
        if let StopLog::Off = *log {
            *log = StopLog::On(Vec::new());
        }
    }

    pub(crate) fn note_stopped(&self, path: impl FnOnce() -> String, how: Stopped) {
        if let StopLog::On(stopped) = &mut *self.stopped.lock() {
            stopped.push(StoppedService { path: path(), how });
        }
    }

    pub(crate) fn end_stop_log(&self) -> Vec<StoppedService> {
        match std::mem::take(&mut *self.stopped.lock()) {
            StopLog::Off => Vec::new(),
            StopLog::On(stopped) => stopped,
        }
    }
}

/// A share in the end of a namespace, whatever its cause: it has ended when the last share is dropped. Shares are held by
///
/// 1. each incarnation of the namespace's supervisor, in what its actor's task drops last: so a stop, a collapse, a
///    kill, a task that is aborted and a runtime that is dropped all come here;
/// 2. the root, if it starts that supervisor again after its end: the restart of production is no end of it;
/// 3. a clean-up or a shutdown under way: a namespace ends after the foreign actors that are stopped with it.
pub(crate) struct NamespaceEnd(Arc<NamespaceState>);

impl Drop for NamespaceEnd {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Counts what happens in a namespace's tree, and passes it on.
pub(crate) struct NamespaceReporter {
    pub(crate) state: Arc<NamespaceState>,
    pub(crate) next: Arc<dyn Reporter>,
}

impl Reporter for NamespaceReporter {
    fn report(&self, report: &Report) {
        self.note(report);
        self.next.report(report);
    }

    fn report_on_demand(&self, report: &Report) {
        self.note(report);
        self.next.report_on_demand(report);
    }
}

impl NamespaceReporter {
    fn note(&self, report: &Report) {
        let counters = self.state.table.counters();
        match &report.happened {
            ChildEvent::Started { restarts, .. } => counters.child_started(*restarts > 0),
            ChildEvent::Exited { .. } => counters.child_exited(),
            ChildEvent::StartFailed { .. } => counters.start_failed(),
            ChildEvent::GaveUp { .. } => counters.gave_up(),
            ChildEvent::Stopped { how, .. } => {
                self.state.note_stopped(|| format!("{}/{}", report.supervisor, report.child), *how);
            }
            _ => {}
        }
    }
}
