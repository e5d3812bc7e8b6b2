//! Durable jobs under stores that fail, logs that are pruned, pools that end, and code of users of every bad kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foundation::events::{EventId, EventStorage, EventStore, EventStoreError, Retention};
use foundation::names::{Namespace, ProcessRegistry};
use foundation::supervision::{Strategy, Supervisor, SupervisorSpec};
use foundation_pool::durable::{
    DurableJobError, DurableQueue, DurableSpec, JobEvent, NotRecordedError, Poison, Schedule,
};
use foundation_pool::{JobContext, JobFailure, PoolSpec, QueueSpec, Rate, SpecError, WhenFull, Worker};
use foundation_testkit::{TestDisk, soon, until};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use crate::durable::{FAILS, LONG, Life, Mail, Mailer, QUEUE, WAITS, disk, life, life_of};
use crate::setup::PanicsWhenDropped;

const SECOND: Duration = Duration::from_secs(1);

/// A durable pool of one worker with these settings.
async fn one_worker(
    storage: EventStorage,
    queue: impl FnOnce(DurableQueue) -> DurableQueue,
    set: impl FnOnce(
        PoolSpec<foundation_pool::durable::DurableWorker<Mailer>>,
    ) -> Result<PoolSpec<foundation_pool::durable::DurableWorker<Mailer>>, SpecError>,
) -> Life {
    life_of(storage, queue, |spec| spec.pool(|pool| set(pool.workers(1)?)).unwrap()).await
}

#[tokio::test]
async fn while_the_store_cannot_record_a_job_comes_back_and_the_end_of_an_accepted_one_is_recorded_afterwards() {
    let disk = TestDisk::default();
    let mut life = life(disk.in_memory()).await;
    let first = life.pool.send(Mail(WAITS)).await.unwrap();
    life.begun().await;
    disk.set_full(true);
    let NotRecordedError { job, source, .. } = life.pool.send(Mail(2)).await.unwrap_err();
    assert_eq!(job, Mail(2));
    assert!(matches!(
        source,
        EventStoreError::Unavailable { .. } | EventStoreError::NoAnswer { .. } | EventStoreError::Log(_)
    ));
    // The first ends while nothing can be recorded.
    life.desk.may_end.add_permits(1);
    until("the first has ended", async || life.pool.unfinished() == 0).await;
    assert!(life.of_kind(JobEvent::DONE).await.is_empty());
    disk.set_full(false);
    life.events().wait_until_up(LONG).await.unwrap();
    let third = life.pool.send(Mail(3)).await.unwrap();
    assert_eq!(life.begun().await.1, third);
    life.top.shutdown().await;
    let done = life.of_kind(JobEvent::DONE).await;
    let mut done: Vec<_> = done.iter().flat_map(|it| it.payload["ids"].as_array().unwrap().clone()).collect();
    done.sort_by_key(serde_json::Value::as_u64);
    assert_eq!(done, [first.number(), third.number()], "each end once");
    life.root.shutdown().await;
}

#[tokio::test]
async fn a_job_that_is_recorded_again_keeps_its_idempotency_key_in_the_next_process_as_well() {
    let (log, storage) = disk();
    let keep_one = || storage().retention(Retention::new().max_count(1).every(Duration::from_millis(1)));
    let mut first = one_worker(keep_one(), |queue| queue, Ok).await;
    let id = first.pool.job(Mail(WAITS)).idempotency_key("order-7").send().await.unwrap();
    first.begun().await;
    until("the event that has the key is pruned", async || {
        first.events().stats().await.unwrap().oldest.is_none_or(|oldest| oldest.get() > id.number())
    })
    .await;
    first.end().await;
    assert!(log.get(EventId::new(id.number()).unwrap()).is_none());

    let mut second = one_worker(storage(), |queue| queue, Ok).await;
    assert_eq!(second.begun().await, (WAITS, id, 2));
    let again = || second.pool.job(Mail(8)).idempotency_key("order-7");
    assert_eq!(again().send().await.unwrap(), id);
    let repeats = again().call(LONG).await.unwrap_err();
    assert!(matches!(repeats, DurableJobError::Repeats { id: of } if of == id), "{repeats}");
    // By a handle that has not read the log, the log decides.
    let other =
        DurableSpec::<Mailer>::new(DurableQueue::new(&second.services, QUEUE), |_| async { Err("none".into()) });
    let repeats = other.handle().job(Mail(9)).idempotency_key("order-7").call(LONG).await.unwrap_err();
    assert!(matches!(repeats, DurableJobError::Repeats { id: of } if of == id), "{repeats}");
    second.desk.may_end.add_permits(1);
    assert_eq!(second.pool.call(Mail(1), LONG).await.unwrap(), 2);
    assert_eq!(*second.desk.log.lock(), [WAITS, 1], "no repetition was performed");
    second.end().await;
}

#[tokio::test]
async fn a_call_by_a_handle_of_another_specification_gets_the_output_of_the_pool_that_runs() {
    let life = life(EventStorage::memory()).await;
    let other = DurableSpec::<Mailer>::new(DurableQueue::new(&life.services, QUEUE), |_| async { Err("none".into()) });
    assert_eq!(soon("the answer", other.handle().call(Mail(7), LONG)).await.unwrap(), 14);
    let died = soon("the answer", other.handle().call(Mail(FAILS), LONG)).await.unwrap_err();
    assert!(matches!(died, DurableJobError::Died { .. }), "{died}");
    life.end().await;
}

#[tokio::test]
async fn the_limit_of_an_attempt_does_not_count_the_wait_for_the_store_in_a_strict_begin() {
    let (disk, limit) = (TestDisk::default(), Duration::from_millis(100));
    let strict = |queue: DurableQueue| queue.poison(Poison::Strict).tries(1);
    let mut life = one_worker(disk.in_memory(), strict, |pool| Ok(pool.limit(limit))).await;
    let mails = life.top.supervisor("mails").await.unwrap().unwrap();
    mails.terminate_child("pool").await.unwrap();
    let id = life.pool.send(Mail(2)).await.unwrap();
    disk.set_full(true);
    mails.restart_child("pool").await.unwrap();
    assert!(timeout(3 * limit, life.begun.recv()).await.is_err(), "its begin cannot be recorded");
    disk.set_full(false);
    assert_eq!(life.begun().await, (2, id, 1));
    // The limit holds from then on.
    let late = life.pool.call(Mail(WAITS), LONG).await.unwrap_err();
    assert!(late.to_string().contains("it was not done within 100ms"), "{late}");
    life.top.shutdown().await;
    assert_eq!(life.of_kind(JobEvent::DIED).await.len(), 1);
    life.root.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_for_which_a_queue_that_refuses_has_no_room_waits_in_the_log_and_begins_as_soon_as_there_is_some() {
    let refuses = QueueSpec::bounded(1).unwrap().when_full(WhenFull::Refuse);
    let mut life = one_worker(EventStorage::memory(), |queue| queue, |pool| Ok(pool.queue(refuses))).await;
    life.pool.send(Mail(WAITS)).await.unwrap();
    life.begun().await;
    for number in 1..=5 {
        life.pool.send(Mail(number)).await.unwrap();
    }
    let begun = Instant::now();
    life.desk.may_end.add_permits(1);
    for number in 1..=5 {
        assert_eq!(life.begun.recv().await.unwrap().0, number);
    }
    assert!(begun.elapsed() < Duration::from_millis(50), "{:?}", begun.elapsed());
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_accepted_while_the_workers_are_stopped_begins_as_soon_as_they_are_started_again() {
    let mut life = one_worker(EventStorage::memory(), |queue| queue, Ok).await;
    let mails = life.top.supervisor("mails").await.unwrap().unwrap();
    mails.terminate_child("pool").await.unwrap();
    let id = life.pool.send(Mail(1)).await.unwrap();
    assert!(timeout(10 * SECOND, life.begun.recv()).await.is_err());
    mails.restart_child("pool").await.unwrap();
    let begun = Instant::now();
    assert_eq!(life.begun.recv().await.unwrap(), (1, id, 1));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    life.end().await;
}

#[tokio::test]
async fn a_periodic_job_that_cannot_be_recorded_is_recorded_when_the_store_records_again() {
    let (disk, made) = (TestDisk::default(), Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&made);
    let job = move || {
        count.fetch_add(1, Ordering::Relaxed);
        Mail(3)
    };
    let second = Schedule::every(SECOND);
    let mut life = life_of(disk.in_memory(), |queue| queue, |spec| spec.periodic("tick", second, job)).await;
    assert_eq!(life.begun().await.0, 3);
    disk.set_full(true);
    let before = made.load(Ordering::Relaxed);
    until("another one is made", async || made.load(Ordering::Relaxed) > before).await;
    until("it is not recorded", async || life.events().outage().is_some()).await;
    disk.set_full(false);
    for _ in 0..2 {
        assert_eq!(life.begun().await.0, 3);
    }
    life.end().await;
}

/// A job whose destructor panics, in whatever place.
#[derive(Serialize, Deserialize)]
struct Explosive {
    number: u64,
    #[serde(skip, default = "armed")]
    _armed: PanicsWhenDropped,
}

fn armed() -> PanicsWhenDropped {
    PanicsWhenDropped
}

fn explosive(number: u64) -> Explosive {
    Explosive { number, _armed: PanicsWhenDropped }
}

struct Careful;

impl Worker for Careful {
    type Job = Explosive;
    type Output = u64;

    async fn perform(&mut self, job: &mut Explosive, _: &JobContext<'_>) -> Result<u64, JobFailure> {
        match job.number {
            FAILS => Err("as ordered".into()),
            WAITS => std::future::pending().await,
            number => Ok(number),
        }
    }
}

#[tokio::test]
async fn a_durable_job_whose_destructor_panics_harms_no_other_wherever_it_is_dropped() {
    let disk = TestDisk::default();
    let root = ProcessRegistry::builder().service(EventStore::service(disk.in_memory())).start().await.unwrap();
    let services = root.namespace(Namespace::Production).await.unwrap();
    let queue = DurableQueue::new(&services, QUEUE).tries(2);
    let spec =
        DurableSpec::new(queue, |_| async { Ok(Careful) }).periodic("tick", Schedule::every(LONG), || explosive(5));
    let at_once =
        |pool: PoolSpec<_>| pool.workers(2).map(|it| it.drain_within(Duration::ZERO).worker_shutdown(Duration::ZERO));
    let spec = spec.pool(at_once).unwrap();
    let top = SupervisorSpec::new(Strategy::OneForOne).child(spec.child("mails"));
    let (top, pool) = (Supervisor::start("top", top).await.unwrap(), spec.handle());
    // Done, failed for good, and accepted.
    assert_eq!(pool.call(explosive(1), LONG).await.unwrap(), 1);
    assert!(matches!(pool.call(explosive(FAILS), LONG).await, Err(DurableJobError::Died { .. })));
    // Put in twice.
    let unique = |number| pool.job(explosive(number)).unique("one");
    let id = unique(WAITS).send().await.unwrap();
    // Beside the periodic one.
    until("it is known", async || pool.unfinished() > 1).await;
    assert_eq!(unique(2).send().await.unwrap(), id);
    assert!(matches!(unique(2).call(LONG).await, Err(DurableJobError::Repeats { .. })));
    // In the hand of a worker and in the queue, at the end of the pool.
    for _ in 0..3 {
        pool.send(explosive(WAITS)).await.unwrap();
    }
    assert!(matches!(pool.call(explosive(WAITS), Duration::ZERO).await, Err(DurableJobError::TimedOut { .. })));
    top.shutdown().await;
    root.shutdown().await;
}

#[tokio::test]
async fn texts_of_a_megabyte_are_refused_with_the_job_or_are_no_harm() {
    let life = life(EventStorage::memory()).await;
    let long = "k".repeat(1 << 20);
    let requests = [
        life.pool.job(Mail(1)).key(&long),
        life.pool.job(Mail(1)).unique(&long),
        life.pool.job(Mail(1)).idempotency_key(&long),
    ];
    for request in requests {
        let refused = request.send().await.unwrap_err();
        assert_eq!(refused.job, Mail(1));
        assert!(refused.to_string().contains("bytes"), "{refused}");
    }
    // As many bytes as an event may have, and more than a pool takes for a key.
    let key = &long[..5_000];
    assert_eq!(life.pool.job(Mail(2)).key(key).unique(key).call(LONG).await.unwrap(), 4);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_longest_durations_are_no_harm_to_durable_jobs() {
    let longest = Duration::MAX;
    let strict = |queue: DurableQueue| queue.poison(Poison::Strict);
    let rate = Rate::per_second(1_000).unwrap();
    let set = |pool: PoolSpec<_>| Ok(pool.limit(longest).queue(QueueSpec::default().aging(longest).rate(rate)));
    let mut life = one_worker(EventStorage::memory(), strict, set).await;
    assert_eq!(life.pool.call(Mail(1), longest).await.unwrap(), 2);
    assert_eq!(life.begun().await.0, 1);
    life.pool.job(Mail(2)).after(longest).send().await.unwrap();
    assert!(timeout(LONG, life.begun.recv()).await.is_err());
    assert_eq!(life.pool.call(Mail(3), longest).await.unwrap(), 6);
    life.end().await;
}
