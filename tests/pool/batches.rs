//! Jobs that a worker performs at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foundation::events::{EventStorage, EventStore, Query};
use foundation::names::{Namespace, ProcessRegistry};
use foundation::supervision::{Strategy, Supervisor, SupervisorSpec};
use foundation_pool::durable::{DurableJobError, DurablePool, DurableQueue, DurableSpec, JobEvent, Poison};
use foundation_pool::{
    Batch, BatchSize, JobContext, JobError, JobFailure, JobHandle, Pool, PoolSpec, Retry, Worker, WorkerState,
};
use foundation_testkit::until;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};

use crate::durable::{QUEUE, disk};
use crate::setup::{LONG, start_any, worker};

/// What a writer does with its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Row {
    Good(u64),
    /// It fails by itself, and a batch with it fails as a whole.
    Bad,
    /// It ends with an error within its batch.
    Refused,
    /// It panics by itself, and in a batch, in which those before it have ended.
    Panics,
    /// It waits until it may go on, alone and in a batch.
    Waits,
    /// It waits in a batch until it may go on, and then the batch fails as a whole.
    Delays,
}

#[derive(Clone)]
struct Desk {
    /// The jobs of each batch, and of each that was performed alone.
    log: Arc<Mutex<Vec<Vec<Row>>>>,
    waits: mpsc::UnboundedSender<()>,
    may_go_on: Arc<Semaphore>,
    /// Whether each batch panics before it begins its jobs.
    panics_early: Arc<AtomicBool>,
    /// Whether it turns the order of the jobs of a batch round.
    reverses: Arc<AtomicBool>,
}

struct Writer(Desk);

impl Writer {
    async fn wait(&self) {
        let _ = self.0.waits.send(());
        self.0.may_go_on.acquire().await.unwrap().forget();
    }
}

impl Worker for Writer {
    type Job = Row;
    type Output = u64;

    async fn perform(&mut self, row: &mut Row, context: &JobContext<'_>) -> Result<u64, JobFailure> {
        self.0.log.lock().push(vec![*row]);
        match row {
            Row::Good(number) => Ok(*number + 100 * u64::from(context.attempt())),
            Row::Panics => panic!("alone"),
            Row::Waits => {
                self.wait().await;
                Ok(0)
            }
            Row::Delays => Ok(7),
            Row::Bad | Row::Refused => Err("alone".into()),
        }
    }

    async fn perform_batch(&mut self, jobs: &mut Batch<'_, Row, u64>) {
        if self.0.panics_early.load(Ordering::Relaxed) {
            panic!("before any has begun");
        }
        let stop = jobs.stop().clone();
        let rows: Vec<_> = jobs.begin().iter_mut().map(|job| *job.job()).collect();
        self.0.log.lock().push(rows.clone());
        if self.0.reverses.load(Ordering::Relaxed) {
            jobs.begin().reverse();
        }
        if rows.contains(&Row::Delays) {
            return self.wait().await;
        }
        if rows.contains(&Row::Bad) {
            return;
        }
        for job in jobs.begin() {
            match *job.job() {
                Row::Good(number) => drop(job.end(Ok(number))),
                Row::Refused => drop(job.end(Err("in a batch".into()))),
                Row::Panics => panic!("in a batch"),
                Row::Waits => {
                    tokio::select! {
                        () = self.wait() => drop(job.end(Ok(0))),
                        () = stop.requested() => {}
                    }
                }
                Row::Bad | Row::Delays => {}
            }
        }
    }
}

struct Writing {
    top: Supervisor,
    pool: Pool<Row, u64>,
    desk: Desk,
    waits: mpsc::UnboundedReceiver<()>,
}

impl Writing {
    async fn start(set: impl FnOnce(PoolSpec<Writer>) -> PoolSpec<Writer>) -> Self {
        let (sender, waits) = mpsc::unbounded_channel();
        let desk = Desk {
            log: Arc::default(),
            waits: sender,
            may_go_on: Arc::new(Semaphore::new(0)),
            panics_early: Arc::default(),
            reverses: Arc::default(),
        };
        let of_workers = desk.clone();
        let spec = PoolSpec::new(move |_| {
            let desk = of_workers.clone();
            async move { Ok(Writer(desk)) }
        });
        let spec = set(spec.workers(1).unwrap().batch_size(BatchSize::exactly(16)));
        let (top, pool) = start_any(&spec).await;
        Self { top, pool, desk, waits }
    }

    /// Puts these in so that the worker claims them together.
    fn together(&self, rows: &[Row]) -> Vec<JobHandle<Row, u64>> {
        self.pool.pause();
        let handles = rows.iter().map(|row| self.pool.job(*row).submit().unwrap()).collect();
        self.pool.resume();
        handles
    }

    fn log(&self) -> Vec<Vec<Row>> {
        self.desk.log.lock().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_of_a_batch_that_fails_after_their_deadline_go_on_by_themselves_as_they_were_begun_in_time() {
    let second = Duration::from_secs(1);
    let mut writing = Writing::start(|spec| spec.deadline(second)).await;
    let [one, two] = writing.together(&[Row::Good(1), Row::Delays]).try_into().unwrap();
    writing.waits.recv().await.unwrap();
    tokio::time::advance(10 * second).await;
    writing.desk.may_go_on.add_permits(1);
    assert_eq!((one.wait(LONG).await.unwrap(), two.wait(LONG).await.unwrap()), (101, 7));
    let stats = writing.pool.stats();
    assert_eq!((stats.done, stats.expired, stats.in_work), (2, 0, 0));
    writing.top.shutdown().await;
}

#[tokio::test]
async fn jobs_of_a_batch_that_panics_before_it_begins_them_are_performed_by_themselves() {
    let writing = Writing::start(|spec| spec.retry(Retry::attempts(2))).await;
    writing.desk.panics_early.store(true, Ordering::Relaxed);
    let [one, two] = writing.together(&[Row::Good(1), Row::Good(2)]).try_into().unwrap();
    // The batch was an attempt.
    assert_eq!((one.wait(LONG).await.unwrap(), two.wait(LONG).await.unwrap()), (201, 202));
    assert_eq!(writing.log(), [[Row::Good(1)], [Row::Good(2)]]);
    writing.top.shutdown().await;
}

#[tokio::test]
async fn jobs_that_are_performed_at_once_have_an_outcome_each() {
    let writing = Writing::start(|spec| spec).await;
    let rows = [Row::Good(1), Row::Refused, Row::Good(3)];
    let [one, two, three] = writing.together(&rows).try_into().unwrap();
    assert_eq!((one.wait(LONG).await.unwrap(), three.wait(LONG).await.unwrap()), (1, 3));
    let Err(JobError::Failed { attempts: 1, source, .. }) = two.wait(LONG).await else { panic!("it fails") };
    assert_eq!((source.to_string(), writing.log()), ("in a batch".to_owned(), vec![rows.to_vec()]));
    let (stats, workers) = (writing.pool.stats(), writing.pool.workers());
    assert_eq!((stats.done, stats.failed, stats.in_work), (2, 1, 0));
    assert_eq!((workers[0].performed, workers[0].failed), (3, 1));
    writing.top.shutdown().await;
}

#[tokio::test]
async fn jobs_for_which_a_batch_has_no_outcome_are_performed_one_by_one_within_the_same_attempt() {
    let writing = Writing::start(|spec| spec).await;
    let rows = [Row::Good(1), Row::Bad, Row::Good(3)];
    let [one, two, three] = writing.together(&rows).try_into().unwrap();
    assert_eq!((one.wait(LONG).await.unwrap(), three.wait(LONG).await.unwrap()), (101, 103));
    assert!(matches!(two.wait(LONG).await, Err(JobError::Failed { attempts: 1, .. })));
    assert_eq!(writing.log(), [rows.to_vec(), vec![rows[0]], vec![rows[1]], vec![rows[2]]]);
    writing.top.shutdown().await;
}

#[tokio::test]
async fn a_panic_in_a_batch_keeps_what_has_ended_and_gives_back_the_rest_which_is_then_performed_one_by_one() {
    let writing = Writing::start(|spec| spec.retry(Retry::attempts(2))).await;
    let rows = [Row::Good(1), Row::Panics, Row::Good(3), Row::Good(4)];
    let [one, two, three, four] = writing.together(&rows).try_into().unwrap();
    assert_eq!(one.wait(LONG).await.unwrap(), 1);
    assert_eq!((three.wait(LONG).await.unwrap(), four.wait(LONG).await.unwrap()), (203, 204));
    assert!(matches!(two.wait(LONG).await, Err(JobError::Panicked { attempts: 2, .. })));
    assert_eq!(writing.log(), [rows.to_vec(), vec![rows[1]], vec![rows[2]], vec![rows[3]]]);
    let drained = writing.pool.drain(LONG).await;
    assert!(drained.is_complete(), "{drained}");
    writing.top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_killed_in_a_batch_keeps_what_has_ended_and_gives_back_the_rest_in_order() {
    let mut writing = Writing::start(|spec| spec).await;
    let rows = [Row::Good(1), Row::Waits, Row::Good(3), Row::Good(4)];
    let [one, two, three, four] = writing.together(&rows).try_into().unwrap();
    writing.waits.recv().await.unwrap();
    worker(&writing.top).await.kill();
    assert_eq!(one.wait(LONG).await.unwrap(), 1);
    writing.desk.may_go_on.add_permits(1);
    assert_eq!(two.wait(LONG).await.unwrap(), 0);
    assert_eq!((three.wait(LONG).await.unwrap(), four.wait(LONG).await.unwrap()), (203, 204));
    assert_eq!(writing.log()[1..], [vec![rows[1]], vec![rows[2]], vec![rows[3]]]);
    writing.top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_takes_too_long_fails_for_those_that_have_not_ended() {
    let limit = Duration::from_secs(1);
    let writing = Writing::start(|spec| spec.limit(limit)).await;
    let [one, two, three] = writing.together(&[Row::Good(1), Row::Waits, Row::Good(3)]).try_into().unwrap();
    assert_eq!(one.wait(LONG).await.unwrap(), 1);
    for late in [two, three] {
        assert!(matches!(late.wait(LONG).await, Err(JobError::OutOfTime { attempts: 1, .. })));
    }
    writing.top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_shows_its_first_job_and_all_of_them_are_abandoned_when_the_pool_stops_now() {
    let mut writing = Writing::start(|spec| spec.worker_shutdown(LONG)).await;
    let handles = writing.together(&[Row::Waits, Row::Good(2), Row::Good(3)]);
    writing.waits.recv().await.unwrap();
    let workers = writing.pool.workers();
    assert_eq!(workers[0].state, WorkerState::Performing);
    assert_eq!(workers[0].current.unwrap().id, handles[0].id());
    drop(handles);
    let stopped = writing.pool.stop_now().await;
    assert_eq!((stopped.returned.len(), stopped.abandoned.len()), (3, 0));
    assert!(stopped.returned.iter().all(|job| job.attempts == 1));
    writing.top.shutdown().await;
}

/// A durable pool of one writer, which takes as many jobs as there are.
struct DurableWriting {
    root: ProcessRegistry,
    events: EventStore,
    top: Supervisor,
    pool: DurablePool<Row, u64>,
    desk: Desk,
    waits: mpsc::UnboundedReceiver<()>,
}

impl DurableWriting {
    async fn start(storage: EventStorage, poison: Poison, limit: Option<Duration>) -> Self {
        let root = ProcessRegistry::builder().service(EventStore::service(storage)).start().await.unwrap();
        let services = root.namespace(Namespace::Production).await.unwrap();
        let (sender, waits) = mpsc::unbounded_channel();
        let may_go_on = Arc::new(Semaphore::new(0));
        let desk = Desk {
            log: Arc::default(),
            waits: sender,
            may_go_on,
            panics_early: Arc::default(),
            reverses: Arc::default(),
        };
        let of_workers = desk.clone();
        let queue = DurableQueue::new(&services, QUEUE).poison(poison).tries(2);
        let spec = DurableSpec::new(queue, move |_| {
            let desk = of_workers.clone();
            async move { Ok(Writer(desk)) }
        });
        let set = |pool: PoolSpec<_>| {
            let pool = pool.workers(1)?.batch_size(BatchSize::exactly(64)).retry(Retry::attempts(3));
            let pool = pool.drain_within(Duration::ZERO).worker_shutdown(Duration::ZERO);
            Ok(limit.into_iter().fold(pool, PoolSpec::limit))
        };
        let spec = spec.pool(set).unwrap();
        let top = SupervisorSpec::new(Strategy::OneForOne).child(spec.child("writers"));
        let top = Supervisor::start("top", top).await.unwrap();
        Self { root, events: EventStore::of(&services), top, pool: spec.handle(), desk, waits }
    }

    async fn put_in(&self, rows: &[Row]) {
        let jobs = rows.iter().map(|row| self.pool.job(*row).to_event().unwrap()).collect();
        self.events.append_batch(jobs).await.unwrap();
    }

    /// The writer is busy with one row, and these wait for it.
    async fn busy(&mut self, rows: &[Row]) {
        self.pool.send(Row::Waits).await.unwrap();
        self.waits.recv().await.unwrap();
        self.put_in(rows).await;
        until("all rows are in the pool", async || self.pool.unfinished() == rows.len() + 1).await;
        self.desk.log.lock().clear();
    }

    /// The outcomes of calls that wait together while the writer is busy.
    async fn called_while_busy(&mut self, rows: [Row; 2]) -> [Result<u64, DurableJobError>; 2] {
        self.busy(&[]).await;
        let calls = rows.map(|row| {
            let pool = self.pool.clone();
            tokio::spawn(async move { pool.call(row, LONG).await })
        });
        until("both are in the pool", async || self.pool.unfinished() == 3).await;
        self.desk.may_go_on.add_permits(1);
        let [first, second] = calls;
        [first.await.unwrap(), second.await.unwrap()]
    }

    async fn failures(&self) -> Vec<serde_json::Value> {
        let failed = self.events.query(Query::new().kind(JobEvent::FAILED)).await.unwrap();
        failed.iter().map(|event| event.payload["error"].clone()).collect()
    }

    async fn end(self) {
        self.top.shutdown().await;
        self.root.shutdown().await;
    }
}

#[tokio::test]
async fn a_worker_of_a_durable_pool_performs_jobs_at_once_each_with_an_outcome_of_its_own() {
    let mut writing = DurableWriting::start(EventStorage::memory(), Poison::Suspected, None).await;
    writing.busy(&[Row::Good(1), Row::Refused, Row::Good(2)]).await;
    writing.desk.may_go_on.add_permits(1);
    until("all have ended", async || writing.pool.unfinished() == 0).await;
    let log = writing.desk.log.lock().clone();
    // The one that is refused has another attempt, by itself.
    assert_eq!(log, [vec![Row::Good(1), Row::Refused, Row::Good(2)], vec![Row::Refused]]);
    writing.top.shutdown().await;
    assert_eq!(writing.failures().await, [json!("in a batch"), json!("alone")]);
    writing.root.shutdown().await;
}

#[tokio::test]
async fn durable_jobs_of_a_batch_that_panics_are_as_they_were_and_are_performed_by_themselves() {
    let mut writing = DurableWriting::start(EventStorage::memory(), Poison::Suspected, None).await;
    writing.busy(&[Row::Good(1), Row::Panics, Row::Good(2)]).await;
    writing.desk.may_go_on.add_permits(1);
    until("all have ended", async || writing.pool.unfinished() == 0).await;
    let log = writing.desk.log.lock().clone();
    assert_eq!(log[1..], [vec![Row::Panics], vec![Row::Good(2)]], "the first had ended in the batch");
    let died = writing.pool.call(Row::Bad, LONG).await.unwrap_err();
    assert!(matches!(died, DurableJobError::Died { .. }), "{died}");
    writing.end().await;
}

#[tokio::test]
async fn durable_jobs_whose_order_the_worker_changes_keep_their_own_outcomes() {
    let mut writing = DurableWriting::start(EventStorage::memory(), Poison::Suspected, None).await;
    writing.desk.reverses.store(true, Ordering::Relaxed);
    let [refused, good] = writing.called_while_busy([Row::Refused, Row::Good(5)]).await;
    assert!(matches!(refused, Err(DurableJobError::Died { .. })), "{refused:?}");
    assert_eq!(good.unwrap(), 5);
    writing.end().await;
}

#[tokio::test]
async fn durable_jobs_of_a_batch_that_panics_before_it_begins_them_have_not_been_attempted() {
    let mut writing = DurableWriting::start(EventStorage::memory(), Poison::Suspected, None).await;
    writing.desk.panics_early.store(true, Ordering::Relaxed);
    let outcomes = writing.called_while_busy([Row::Good(5), Row::Good(6)]).await;
    assert_eq!(outcomes.map(Result::unwrap), [105, 106], "each in its first attempt, by itself");
    writing.end().await;
}

#[tokio::test]
async fn durable_jobs_whose_begin_is_recorded_first_are_performed_one_by_one() {
    let mut writing = DurableWriting::start(EventStorage::memory(), Poison::Strict, None).await;
    writing.busy(&[Row::Good(1), Row::Good(2)]).await;
    writing.desk.may_go_on.add_permits(1);
    until("all have ended", async || writing.pool.unfinished() == 0).await;
    let log = writing.desk.log.lock().clone();
    assert_eq!(log, [vec![], vec![Row::Good(1)], vec![Row::Good(2)]]);
    let begun = writing.events.query(Query::new().kind(JobEvent::BEGUN)).await.unwrap();
    assert_eq!(begun.len(), 3, "each by itself");
    writing.end().await;
}

#[tokio::test]
async fn durable_jobs_of_a_batch_that_its_process_does_not_survive_count_as_begun() {
    let (_, storage) = disk();
    let mut first = DurableWriting::start(storage(), Poison::Suspected, None).await;
    first.busy(&[Row::Delays, Row::Good(1)]).await;
    first.desk.may_go_on.add_permits(1);
    first.waits.recv().await.unwrap();
    first.end().await;
    let mut second = DurableWriting::start(storage(), Poison::Suspected, None).await;
    second.desk.may_go_on.add_permits(10);
    until("all have ended", async || second.desk.log.lock().contains(&vec![Row::Good(1)])).await;
    let log = second.desk.log.lock().concat();
    assert_eq!(log, [Row::Delays, Row::Good(1)]);
    second.waits.close();
    second.end().await;
}

#[tokio::test]
async fn the_limit_of_an_attempt_ends_a_batch_of_durable_jobs_as_a_whole() {
    let limit = Duration::from_millis(50);
    let writing = DurableWriting::start(EventStorage::memory(), Poison::Suspected, Some(limit)).await;
    // What is accepted from now on was not left by an earlier process.
    writing.pool.call(Row::Good(0), LONG).await.unwrap();
    writing.desk.log.lock().clear();
    // Both are in the pool before the worker is woken: a busy one would reach the limit, too.
    writing.put_in(&[Row::Delays, Row::Good(1)]).await;
    until("both have begun", async || !writing.desk.log.lock().is_empty()).await;
    assert_eq!(*writing.desk.log.lock(), [[Row::Delays, Row::Good(1)]]);
    until("all have ended", async || writing.pool.unfinished() == 0).await;
    writing.top.shutdown().await;
    let late = json!("it was not done within 50ms");
    assert_eq!(writing.failures().await[..2], [late.clone(), late]);
    writing.root.shutdown().await;
}
