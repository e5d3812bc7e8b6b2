//! An actor: a status, a monitor, an end.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use loom::sync::atomic::{AtomicU8, Ordering};

use super::lock::Mutex;
use crate::registry::names::Latch;

pub(crate) trait Message: 'static {}

impl<T: 'static> Message for T {}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ActorId(pub(crate) u8);

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ActorStatus {
    Running = 2,
    Draining = 4,
    Stopping = 5,
    Stopped = 6,
}

#[derive(Clone)]
pub(crate) struct ActorCell(Arc<Actor>);

struct Actor {
    id: ActorId,
    status: AtomicU8,
    is_monitored: Mutex<bool>,
    end: Latch,
}

impl ActorCell {
    pub(crate) fn running(id: u8) -> Self {
        let status = AtomicU8::new(ActorStatus::Running as u8);
        Self(Arc::new(Actor { id: ActorId(id), status, is_monitored: Mutex::default(), end: Latch::default() }))
    }

    pub(crate) fn get_id(&self) -> ActorId {
        self.0.id
    }

    pub(crate) fn get_status(&self) -> ActorStatus {
        match self.0.status.load(Ordering::SeqCst) {
            2 => ActorStatus::Running,
            4 => ActorStatus::Draining,
            5 => ActorStatus::Stopping,
            _ => ActorStatus::Stopped,
        }
    }

    pub(crate) fn is_message_type_of<M: Message>(&self) -> Option<bool> {
        Some(true)
    }

    /// There is one monitor.
    pub(crate) fn monitor(&self, who: Self) {
        *who.0.is_monitored.lock() = true;
    }

    pub(crate) fn unmonitor(&self, who: Self) {
        *who.0.is_monitored.lock() = false;
    }

    /// Ends as ractor's do: first the status, then the event, then the end. `notify` is called if it is monitored.
    pub(crate) fn end(&self, notify: impl FnOnce(ActorId)) {
        self.0.status.store(ActorStatus::Stopping as u8, Ordering::SeqCst);
        let is_monitored = *self.0.is_monitored.lock();
        self.0.status.store(ActorStatus::Stopped as u8, Ordering::SeqCst);
        self.0.end.set();
        if is_monitored {
            notify(self.0.id);
        }
    }

    pub(crate) async fn wait(&self, _: Option<Duration>) -> Result<(), Infallible> {
        self.0.end.wait().await;
        Ok(())
    }
}
