//! The way to the writer: what of a store belongs to the namespace and outlives its actor.
//!
//! 1. There is at most one writer: it holds the permit of `seat` for as long as it has its log, which it drops first.
//! 2. A job is sent under the read lock of `open`, and the gate is shut under the write lock. So a writer whose gate is
//!    shut finds in its queue all that will ever be there.
//! 3. `pending` counts the jobs that were sent and whose effect is not visible to readers yet. It falls after the
//!    position is published and before the answers go out: so who has been answered reads what it was told.
//! 4. The position never goes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::RwLock;
use tokio::sync::{Semaphore, mpsc};

use super::event::Event;
use super::hold::Hold;
use super::id::EventId;
use super::job::Job;
use super::lane::{Lane, Shift};
use super::readers::Readers;
use super::store_limits::EventStoreLimits;
use super::tail::Tail;
use super::writer::Inbox;

pub(super) struct Gate {
    open: RwLock<Option<Open>>,
    /// The highest id that was ever given, 0 if none was.
    position: AtomicU64,
    pub(super) seat: Arc<Semaphore>,
    /// Those who follow read there what was recorded last.
    pub(super) tail: Arc<Tail>,
    /// What must not be forgotten yet.
    pub(super) hold: Arc<Hold>,
    pub(super) limits: EventStoreLimits,
}

struct Open {
    way: Way,
    pending: Arc<AtomicUsize>,
    readers: Arc<Readers>,
}

/// How a job comes to the writer.
pub(super) enum Way {
    /// To the thread that it has, as its log may block.
    Thread(mpsc::UnboundedSender<Job>),
    /// Where the job is sent from.
    Here(Arc<Lane>),
}

/// The writer's end of a gate.
struct Behind {
    pending: Arc<AtomicUsize>,
    gate: Arc<Gate>,
}

impl Gate {
    pub(super) fn new(limits: EventStoreLimits) -> Self {
        let seat = Arc::new(Semaphore::new(1));
        Self {
            open: RwLock::default(),
            position: AtomicU64::new(0),
            seat,
            tail: Arc::default(),
            hold: Arc::new(Hold::new()),
            limits,
        }
    }

    /// Opens the gate to the writer who has this inbox, and whose log is at this position. The gate is shut: its last writer
    /// has given up its seat.
    pub(super) fn open<T>(
        self: &Arc<Self>,
        position: Option<EventId>,
        readers: Arc<Readers>,
        way: impl FnOnce(Box<dyn Inbox>) -> (Way, T),
    ) -> T {
        let pending = Arc::new(AtomicUsize::new(0));
        self.tail.opened(position);
        self.advance(position);
        let (way, rest) = way(Box::new(Behind { pending: Arc::clone(&pending), gate: Arc::clone(self) }));
        *self.open.write() = Some(Open { way, pending, readers });
        rest
    }

    /// Lets nothing in any more; the writer does what is in its queue and ends.
    pub(super) fn shut(&self) {
        *self.open.write() = None;
    }

    /// Sends a job, or gives it back if there is no writer. If the log does not block, it is done on return, or somebody else
    /// is at it.
    pub(super) fn send(&self, job: Job) -> Result<(), Job> {
        // The work is done without the lock: a log that fails shuts the gate.
        if let Some(shift) = self.put(job)? {
            shift.work();
        }
        Ok(())
    }

    fn put(&self, job: Job) -> Result<Option<Shift>, Job> {
        let open = self.open.read();
        let Some(open) = &*open else { return Err(job) };
        open.pending.fetch_add(1, Ordering::AcqRel);
        match &open.way {
            Way::Thread(jobs) => jobs.send(job).map(|()| None).map_err(|unsent| unsent.0),
            Way::Here(lane) => Ok(lane.put(job)),
        }
    }

    /// How to read, if there is a log.
    pub(super) fn readers(&self) -> Option<Arc<Readers>> {
        self.open.read().as_ref().map(|open| Arc::clone(&open.readers))
    }

    /// Whether readers see the effect of every job that was sent.
    pub(super) fn is_settled(&self) -> bool {
        self.open.read().as_ref().is_none_or(|open| open.pending.load(Ordering::Acquire) == 0)
    }

    /// The highest id that was ever given, as far as a log was opened.
    pub(super) fn position(&self) -> Option<EventId> {
        EventId::new(self.position.load(Ordering::Acquire))
    }

    /// These events are recorded, and the log is here.
    fn publish(&self, events: &[Arc<Event>], position: Option<EventId>) {
        match position {
            _ if !events.is_empty() => self.tail.extend(events),
            // Whoever follows reads it in the log, or passes over it.
            Some(position) => self.tail.imported(position),
            None => {}
        }
        self.advance(position);
    }

    fn advance(&self, position: Option<EventId>) {
        self.position.fetch_max(position.map_or(0, EventId::get), Ordering::AcqRel);
    }
}

impl Inbox for Behind {
    fn done(&self, jobs: usize, events: &[Arc<Event>], position: Option<EventId>) {
        self.gate.publish(events, position);
        self.pending.fetch_sub(jobs, Ordering::AcqRel);
    }

    fn shut(&self) {
        self.gate.shut();
    }
}
