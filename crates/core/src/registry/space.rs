//! What one namespace consists of, shared by all that deal with it.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use ractor::ActorStatus;

use super::cleanup::{StopLog, StoppedService};
use super::groups::Groups;
use super::locks::Locks;
use super::measures::{Measurement, Measures};
use super::root::Root;
use super::table::Table;
use crate::limits::RegistryLimits;
use crate::supervisor::{Happened, Nursery, Report, Reporter, Stopped, Supervisor};

/// One namespace: its names, its groups, what is measured of its services, its application, and the way to the registry that it belongs to.
pub(crate) struct Space {
    pub(crate) table: Arc<Table>,
    pub(crate) groups: Arc<Groups>,
    pub(crate) locks: Locks,
    pub(crate) measures: Arc<Measures>,
    pub(crate) registry: Weak<dyn Root>,
    pub(crate) limits: RegistryLimits,
    /// Set at each start of the application's supervisor.
    application: Mutex<Option<Arc<Application>>>,
    /// What the layers above keep with this namespace, one value of a type.
    extensions: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    /// Who was stopped since the shutdown began.
    pub(crate) stopped: Mutex<StopLog>,
}

/// The application's supervisor, with the place to start further actors under it.
pub(crate) struct Application {
    pub(crate) supervisor: Supervisor,
    pub(crate) nursery: Nursery,
}

impl Space {
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
            extensions: Mutex::default(),
            stopped: Mutex::default(),
        }
    }

    pub(crate) fn extension<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut extensions = self.extensions.lock();
        let known = extensions.get(&TypeId::of::<T>()).and_then(|known| Arc::clone(known).downcast().ok());
        known.unwrap_or_else(|| {
            let made = Arc::new(make());
            extensions.insert(TypeId::of::<T>(), Arc::clone(&made) as Arc<dyn Any + Send + Sync>);
            made
        })
    }

    pub(crate) fn application_started(&self, supervisor: Supervisor, nursery: Nursery) {
        *self.application.lock() = Some(Arc::new(Application { supervisor, nursery }));
    }

    /// `None` if it does not run.
    pub(crate) fn application(&self) -> Option<Arc<Application>> {
        let application = self.application.lock().clone();
        application.filter(|it| it.supervisor.actor().get_status() < ActorStatus::Draining)
    }

    /// Begins to take note; a clean-up that takes over from one that was cancelled goes on with its notes.
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

/// Counts what happens in a namespace's tree, and passes it on.
pub(crate) struct SpaceReporter {
    pub(crate) space: Arc<Space>,
    pub(crate) next: Arc<dyn Reporter>,
}

impl Reporter for SpaceReporter {
    fn report(&self, report: &Report) {
        self.note(report);
        self.next.report(report);
    }

    fn report_on_demand(&self, report: &Report) {
        self.note(report);
        self.next.report_on_demand(report);
    }
}

impl SpaceReporter {
    fn note(&self, report: &Report) {
        let counters = self.space.table.counters();
        match &report.happened {
            Happened::Started { restarts, .. } => counters.child_started(*restarts > 0),
            Happened::Exited { .. } => counters.child_exited(),
            Happened::StartFailed { .. } => counters.start_failed(),
            Happened::GaveUp { .. } => counters.gave_up(),
            Happened::Stopped { how, .. } => {
                self.space.note_stopped(|| format!("{}/{}", report.supervisor, report.child), *how);
            }
            _ => {}
        }
    }
}
