//! Workers that do as their jobs say, and a pool of them under a supervisor.

use std::future::pending;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use foundation::ractor::ActorCell;
use foundation::supervision::{Strategy, StreamOptions, Supervisor, SupervisorSpec};
use foundation_pool::{DeadLetter, DeadLetters, JobContext, JobFailure, Pool, PoolSpec, Worker};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

pub(crate) const LONG: Duration = Duration::from_secs(3_600);

/// What a worker is to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Answer with this number.
    Answer(u64),
    /// Fail.
    Fail,
    /// Panic.
    Panic,
    /// Tell that it has begun, and wait until it may go on.
    Wait(Gate),
    /// Tell that it has begun, note progress when it may go on, tell that, and wait again.
    Progress(Gate),
    /// Take so long.
    Last(Duration),
    /// Tell that it has begun, and block the thread.
    Block(Gate, Arc<Barrier>),
    /// Note this number.
    Note(u64, mpsc::UnboundedSender<u64>),
    /// Fail before this attempt.
    AnswerAtAttempt(u32),
    /// Fail, and forbid another attempt.
    FailForGood,
    /// Fail at first, and say that the next attempt is after so long.
    AnswerAfter(Duration),
    /// Fail, and be of no use any more.
    Break,
    /// Count the stop of the worker.
    CountStops(Arc<AtomicU64>),
    /// Fail, and be tried again after so long.
    FailFor(Duration),
    /// Wait until it may go on, and be dropped.
    WaitAndDrop(Gate, PanicsWhenDropped),
    /// Fail, and be dropped.
    FailAndDrop(PanicsWhenDropped),
    /// Be dropped.
    Drop(PanicsWhenDropped),
}

#[derive(Debug)]
pub(crate) struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        std::panic::panic_any("a destructor");
    }
}

/// A job that tells when it begins and ends when it may.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    begun: mpsc::UnboundedSender<()>,
    may_end: Arc<Semaphore>,
}

/// The other side of a gate.
pub(crate) struct Keeper {
    begun: mpsc::UnboundedReceiver<()>,
    may_end: Arc<Semaphore>,
}

pub(crate) fn gate() -> (Gate, Keeper) {
    let (sender, begun) = mpsc::unbounded_channel();
    let may_end = Arc::new(Semaphore::new(0));
    (Gate { begun: sender, may_end: Arc::clone(&may_end) }, Keeper { begun, may_end })
}

impl Keeper {
    /// Returns when a job at the gate has begun.
    pub(crate) async fn begun(&mut self) {
        self.begun.recv().await.unwrap();
    }

    /// Lets this many end.
    pub(crate) fn open(&self, jobs: usize) {
        self.may_end.add_permits(jobs);
    }
}

#[derive(Default)]
pub(crate) struct Obedient {
    stops: Vec<Arc<AtomicU64>>,
}

impl Worker for Obedient {
    type Job = Order;
    type Output = u64;

    async fn perform(&mut self, job: &mut Order, context: &JobContext<'_>) -> Result<u64, JobFailure> {
        match job {
            Order::Answer(number) => Ok(*number),
            Order::Fail => Err("as ordered".into()),
            Order::Panic => panic!("as ordered"),
            Order::Wait(gate) => {
                let _ = gate.begun.send(());
                gate.may_end.acquire().await?.forget();
                Ok(u64::from(context.attempt()))
            }
            Order::Progress(gate) => {
                let _ = gate.begun.send(());
                gate.may_end.acquire().await?.forget();
                context.progress();
                let _ = gate.begun.send(());
                gate.may_end.acquire().await?.forget();
                Ok(0)
            }
            Order::Last(time) => {
                last(*time).await;
                Ok(0)
            }
            Order::Block(gate, barrier) => {
                let _ = gate.begun.send(());
                barrier.wait();
                Ok(0)
            }
            Order::Note(number, notes) => {
                let _ = notes.send(*number);
                Ok(*number)
            }
            Order::AnswerAtAttempt(attempt) if context.attempt() < *attempt => Err("not yet".into()),
            Order::AnswerAtAttempt(attempt) => Ok(u64::from(*attempt)),
            Order::AnswerAfter(delay) if context.attempt() == 1 => Err(JobFailure::from("not yet").again_after(*delay)),
            Order::AnswerAfter(_) => Ok(u64::from(context.attempt())),
            Order::FailForGood => Err(JobFailure::from("as ordered").never_again()),
            Order::Break => Err(JobFailure::from("as ordered").worker_broken()),
            Order::CountStops(stops) => {
                self.stops.push(Arc::clone(stops));
                Ok(0)
            }
            Order::FailFor(time) => Err(JobFailure::from("as ordered").again_after(*time)),
            Order::WaitAndDrop(gate, _) => {
                let _ = gate.begun.send(());
                gate.may_end.acquire().await?.forget();
                Ok(0)
            }
            Order::FailAndDrop(_) => Err("as ordered".into()),
            Order::Drop(_) => Ok(0),
        }
    }

    async fn stop(self) {
        self.stops.iter().for_each(|stops| {
            stops.fetch_add(1, Ordering::Relaxed);
        });
    }
}

/// The one worker of a pool that has one.
pub(crate) async fn worker(top: &Supervisor) -> ActorCell {
    let pool = top.supervisor("pool").await.unwrap().unwrap();
    let workers = pool.supervisor("workers").await.unwrap().unwrap();
    let [worker] = workers.actor().unwrap().get_children().try_into().unwrap();
    worker
}

/// Returns after so long: for jobs and starts that take time.
async fn last(time: Duration) {
    let _ = timeout(time, pending::<()>()).await;
}

/// Workers that take so long to be made.
pub(crate) fn slow_to_start(time: Duration) -> PoolSpec<Obedient> {
    PoolSpec::new(move |_| async move {
        last(time).await;
        Ok(Obedient::default())
    })
}

/// So many jobs of a stream at a time.
pub(crate) fn at_once(jobs: usize) -> StreamOptions {
    StreamOptions::default().max_concurrency(NonZeroUsize::new(jobs).unwrap()).timeout(LONG)
}

pub(crate) fn spec() -> PoolSpec<Obedient> {
    PoolSpec::new(|_| async { Ok(Obedient::default()) })
}

/// Starts the pool under a supervisor of its own.
pub(crate) async fn start(spec: &PoolSpec<Obedient>) -> (Supervisor, Pool<Order, u64>) {
    start_any(spec).await
}

/// A job at a gate, which a worker has begun.
pub(crate) async fn busy(pool: &Pool<Order, u64>) -> Keeper {
    let (at, mut keeper) = gate();
    pool.cast(Order::Wait(at)).unwrap();
    keeper.begun().await;
    keeper
}

/// Dead letters, and where they arrive.
pub(crate) fn letters() -> (DeadLetters<Order>, mpsc::Receiver<DeadLetter<Order>>) {
    let (sender, letters) = mpsc::channel(100);
    (DeadLetters::channel(sender), letters)
}

/// The same of any workers.
pub(crate) async fn start_any<W: Worker>(spec: &PoolSpec<W>) -> (Supervisor, Pool<W::Job, W::Output>) {
    let top = SupervisorSpec::new(Strategy::OneForOne).child(spec.child("pool"));
    (Supervisor::start("top", top).await.unwrap(), spec.handle())
}
