//! Durable jobs: recorded before they are accepted, and performed whatever happens to the pool or its process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foundation::events::{
    Event, EventKind, EventStorage, EventStore, MemoryLog, NewEvent, Query, Retention, SubscriptionSpec,
};
use foundation::names::{Namespace, ProcessRegistry, ServiceName, ServiceRegistry};
use foundation::supervision::{Strategy, Supervisor, SupervisorSpec};
use foundation_pool::durable::{
    DurableJobError, DurablePool, DurableQueue, DurableRequest, DurableSpec, JobEvent, Poison, Schedule,
};
use foundation_pool::{JobContext, JobFailure, JobId, QueueSpec, Retry, SpecError, WhenFull, Worker};
use foundation_testkit::{TestDisk, soon};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

pub(crate) const QUEUE: ServiceName = ServiceName::from_static("mails");
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A job by its number; of some numbers it is known how they end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mail(pub(crate) u64);

/// Fails at each attempt.
pub(crate) const FAILS: u64 = 1_000;
/// Waits until it may end.
pub(crate) const WAITS: u64 = 2_000;

/// What the workers of a test have done, and what some of them wait for.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) begun: mpsc::UnboundedSender<(u64, JobId, u32)>,
    pub(crate) log: Arc<Mutex<Vec<u64>>>,
    pub(crate) may_end: Arc<Semaphore>,
}

pub(crate) struct Mailer(pub(crate) Desk);

impl Worker for Mailer {
    type Job = Mail;
    type Output = u64;

    async fn perform(&mut self, mail: &mut Mail, context: &JobContext<'_>) -> Result<u64, JobFailure> {
        let _ = self.0.begun.send((mail.0, context.id(), context.attempt()));
        if mail.0 >= WAITS {
            self.0.may_end.acquire().await?.forget();
        } else if mail.0 >= FAILS {
            return Err("no address".into());
        }
        self.0.log.lock().push(mail.0);
        Ok(mail.0 * 2)
    }
}

/// One process: its registry, its pool, and its workers' desk.
pub(crate) struct Life {
    pub(crate) root: ProcessRegistry,
    pub(crate) services: ServiceRegistry,
    pub(crate) pool: DurablePool<Mail, u64>,
    pub(crate) top: Supervisor,
    pub(crate) desk: Desk,
    pub(crate) begun: mpsc::UnboundedReceiver<(u64, JobId, u32)>,
}

pub(crate) async fn life(storage: EventStorage) -> Life {
    life_of(storage, |queue| queue, |spec| spec).await
}

pub(crate) async fn life_of(
    storage: EventStorage,
    queue: impl FnOnce(DurableQueue) -> DurableQueue,
    set: impl FnOnce(DurableSpec<Mailer>) -> DurableSpec<Mailer>,
) -> Life {
    let root = ProcessRegistry::builder().service(EventStore::service(storage)).start().await.unwrap();
    let services = root.namespace(Namespace::Production).await.unwrap();
    let (sender, begun) = mpsc::unbounded_channel();
    let desk = Desk { begun: sender, log: Arc::default(), may_end: Arc::new(Semaphore::new(0)) };
    let queue = queue(DurableQueue::new(&services, QUEUE));
    let of_workers = desk.clone();
    let spec = set(DurableSpec::new(queue, move |_| {
        let desk = of_workers.clone();
        async move { Ok(Mailer(desk)) }
    }));
    // It ends at once, with what is under way.
    let spec = spec.pool(|pool| Ok(pool.drain_within(Duration::ZERO).worker_shutdown(Duration::ZERO))).unwrap();
    let top = SupervisorSpec::new(Strategy::OneForOne).child(spec.child("mails"));
    let top = Supervisor::start("top", top).await.unwrap();
    Life { root, services, pool: spec.handle(), top, desk, begun }
}

impl Life {
    pub(crate) async fn begun(&mut self) -> (u64, JobId, u32) {
        soon("a job begins", self.begun.recv()).await.unwrap()
    }

    pub(crate) fn events(&self) -> EventStore {
        EventStore::of(&self.services)
    }

    pub(crate) async fn of_kind(&self, kind: EventKind) -> Vec<Arc<Event>> {
        self.events().query(Query::new().kind(kind)).await.unwrap()
    }

    /// The pool ends first, as with the application.
    pub(crate) async fn end(self) {
        self.top.shutdown().await;
        self.root.shutdown().await;
    }
}

/// A log that survives its process.
pub(crate) fn disk() -> (MemoryLog, impl Fn() -> EventStorage) {
    let log = MemoryLog::new("production");
    let of_storage = log.clone();
    (log, move || {
        let log = of_storage.clone();
        EventStorage::with(move |_| Ok(log.clone()))
    })
}

#[tokio::test]
async fn a_call_of_a_durable_job_returns_its_output_and_its_acceptance_and_its_end_are_recorded() {
    let life = life(EventStorage::memory()).await;
    assert_eq!(life.pool.call(Mail(7), LONG).await.unwrap(), 14);
    life.top.shutdown().await;
    let accepted = life.of_kind(JobEvent::ACCEPTED).await;
    let done = life.of_kind(JobEvent::DONE).await;
    assert_eq!((accepted.len(), &accepted[0].payload), (1, &json!({ "job": 7 })));
    let (id, from) = (accepted[0].id.get(), accepted[0].id.get() + 1);
    assert_eq!(done[0].payload, json!({ "ids": [id], "from": from }));
    assert_eq!(life.pool.unfinished(), 0);
    life.root.shutdown().await;
}

#[tokio::test]
async fn what_a_process_leaves_unfinished_is_begun_by_the_next_one_in_order_and_nothing_is_done_twice() {
    let (_, storage) = disk();
    let one_worker = |spec: DurableSpec<Mailer>| spec.pool(|pool| pool.workers(1)).unwrap();
    let mut first = life_of(storage(), |queue| queue, one_worker).await;
    first.pool.send(Mail(1)).await.unwrap();
    let waits = first.pool.send(Mail(WAITS)).await.unwrap();
    let rest = [first.pool.send(Mail(2)).await.unwrap(), first.pool.send(Mail(3)).await.unwrap()];
    assert_eq!((first.begun().await.0, first.begun().await), (1, (WAITS, waits, 1)));
    first.end().await;

    let mut second = life_of(storage(), |queue| queue, one_worker).await;
    assert_eq!(second.begun().await, (WAITS, waits, 2), "with its number, and the attempt counts");
    second.desk.may_end.add_permits(1);
    assert_eq!([second.begun().await, second.begun().await], [(2, rest[0], 1), (3, rest[1], 1)]);
    assert_eq!(second.pool.call(Mail(4), LONG).await.unwrap(), 8);
    assert_eq!(*second.desk.log.lock(), [WAITS, 2, 3, 4]);
    second.end().await;
}

#[tokio::test]
async fn a_job_is_accepted_without_a_pool_and_performed_by_a_later_one() {
    let (_, storage) = disk();
    let root = ProcessRegistry::builder().service(EventStore::service(storage())).start().await.unwrap();
    let services = root.namespace(Namespace::Production).await.unwrap();
    let spec =
        DurableSpec::<Mailer>::new(DurableQueue::new(&services, QUEUE), |_| async { Err("none is made".into()) });
    let id = spec.handle().send(Mail(5)).await.unwrap();
    root.shutdown().await;
    let mut life = life(storage()).await;
    assert_eq!(life.begun().await, (5, id, 1));
    life.end().await;
}

#[tokio::test]
async fn a_failed_job_dies_with_a_record_of_it_and_its_caller_learns_why() {
    let life = life(EventStorage::memory()).await;
    let error = life.pool.call(Mail(FAILS), LONG).await.unwrap_err();
    let DurableJobError::Died { id, error } = error else { panic!("it dies: {error}") };
    assert!(error.contains("no address"), "{error}");
    life.top.shutdown().await;
    let (failed, died) = (life.of_kind(JobEvent::FAILED).await, life.of_kind(JobEvent::DIED).await);
    assert_eq!(failed[0].payload, json!({ "id": id.number(), "attempt": 1, "error": "no address" }));
    assert_eq!(died[0].payload["id"], json!(id.number()));
    life.root.shutdown().await;
}

/// As a process leaves the log that a job has ended so often.
async fn leave_begun(storage: EventStorage, attempts: u32) -> JobId {
    let root = ProcessRegistry::builder().service(EventStore::service(storage)).start().await.unwrap();
    let services = root.namespace(Namespace::Production).await.unwrap();
    let spec =
        DurableSpec::<Mailer>::new(DurableQueue::new(&services, QUEUE), |_| async { Err("none is made".into()) });
    let id = spec.handle().send(Mail(6)).await.unwrap();
    let begun =
        NewEvent::of(JobEvent::BEGUN).source("jobs.mails").payload(json!({ "jobs": [[id.number(), attempts]] }));
    EventStore::of(&services).append(begun.unwrap()).await.unwrap();
    root.shutdown().await;
    id
}

#[tokio::test]
async fn a_job_that_ends_its_process_each_time_dies_after_its_tries() {
    let (_, storage) = disk();
    let id = leave_begun(storage(), 2).await;
    let mut third = life_of(storage(), |queue| queue.tries(3), |spec| spec).await;
    assert_eq!(third.begun().await, (6, id, 3));
    let begun = third.of_kind(JobEvent::BEGUN).await;
    assert_eq!(begun[1].payload, json!({ "jobs": [[id.number(), 3]] }), "recorded before it begins");
    third.end().await;

    let (_, storage) = disk();
    let id = leave_begun(storage(), 3).await;
    let mut fourth = life_of(storage(), |queue| queue.tries(3), |spec| spec).await;
    assert_eq!(fourth.pool.call(Mail(1), LONG).await.unwrap(), 2);
    assert_eq!(fourth.begun().await.0, 1, "the other is not begun again");
    fourth.top.shutdown().await;
    let died = fourth.of_kind(JobEvent::DIED).await;
    assert_eq!((&died[0].payload["id"], &died[0].payload["attempts"]), (&json!(id.number()), &json!(3)));
    fourth.root.shutdown().await;
}

#[tokio::test]
async fn with_strict_poison_each_attempt_is_recorded_before_it_begins() {
    let mut life = life_of(EventStorage::memory(), |queue| queue.poison(Poison::Strict), |spec| spec).await;
    let id = life.pool.send(Mail(WAITS)).await.unwrap();
    life.begun().await;
    assert_eq!(life.of_kind(JobEvent::BEGUN).await[0].payload, json!({ "jobs": [[id.number(), 1]] }));
    life.desk.may_end.add_permits(1);
    life.end().await;
}

#[tokio::test]
async fn of_unique_jobs_one_is_unfinished_at_a_time_and_after_it_another_one_is_taken() {
    let (_, storage) = disk();
    let mut first = life(storage()).await;
    fn report(life: &Life, number: u64) -> DurableRequest<'_, Mail, u64> {
        life.pool.job(Mail(number)).unique("report")
    }
    let id = report(&first, WAITS).send().await.unwrap();
    assert_eq!(first.begun().await.1, id);
    assert_eq!(report(&first, 1).send().await.unwrap(), id);
    let repeats = report(&first, 2).call(LONG).await.unwrap_err();
    assert!(matches!(repeats, DurableJobError::Repeats { id: of } if of == id), "{repeats}");
    first.desk.may_end.add_permits(1);
    // Its end is in the log before the next acceptance, or it would seem to repeat the first.
    soon("the first has ended", async {
        while first.pool.unfinished() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let next = report(&first, WAITS + 1).send().await.unwrap();
    assert!(next > id);
    assert_eq!(first.begun().await.1, next);
    first.end().await;

    let mut second = life(storage()).await;
    assert_eq!(second.begun().await.1, next);
    assert_eq!(report(&second, 3).send().await.unwrap(), next);
    second.desk.may_end.add_permits(1);
    second.end().await;
}

#[tokio::test]
async fn an_idempotency_key_makes_it_harmless_to_send_a_job_again_even_when_it_is_done() {
    let life = life(EventStorage::memory()).await;
    let order = |number| life.pool.job(Mail(number)).idempotency_key("order-7");
    assert_eq!(order(7).call(LONG).await.unwrap(), 14);
    let accepted = life.of_kind(JobEvent::ACCEPTED).await[0].id.get();
    assert_eq!(order(8).send().await.unwrap().number(), accepted);
    let repeats = order(9).call(LONG).await.unwrap_err();
    assert!(matches!(repeats, DurableJobError::Repeats { id } if id.number() == accepted), "{repeats}");
    assert_eq!(*life.desk.log.lock(), [7]);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_job_begins_at_its_time() {
    let mut life = life(EventStorage::memory()).await;
    let (hour, begun) = (Duration::from_secs(3_600), tokio::time::Instant::now());
    let later = life.pool.job(Mail(1)).after(hour).send().await.unwrap();
    let soon = life.pool.job(Mail(2)).after(hour / 2).send().await.unwrap();
    life.pool.call(Mail(3), LONG).await.unwrap();
    assert_eq!(life.begun.recv().await.unwrap().0, 3);
    assert_eq!(life.begun.recv().await.unwrap(), (2, soon, 1));
    assert_eq!(life.begun.recv().await.unwrap(), (1, later, 1));
    let waited = begun.elapsed();
    assert!(waited > hour - LONG && waited <= hour + LONG, "{waited:?}");
    life.end().await;
}

#[tokio::test]
async fn a_job_is_not_begun_before_its_time_by_the_next_process_either() {
    let (_, storage) = disk();
    let first = life(storage()).await;
    first.pool.job(Mail(1)).after(Duration::MAX).send().await.unwrap();
    first.end().await;
    let second = life(storage()).await;
    assert_eq!(second.pool.call(Mail(2), LONG).await.unwrap(), 4);
    assert_eq!((second.pool.unfinished(), second.desk.log.lock().clone()), (1, vec![2]));
    second.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_periodic_job_is_performed_at_each_time() {
    let periodic = |spec: DurableSpec<Mailer>| spec.periodic("tick", Schedule::every(LONG), || Mail(3));
    let mut life = life_of(EventStorage::memory(), |queue| queue, periodic).await;
    assert_eq!(life.begun.recv().await.unwrap().0, 3);
    let begun = tokio::time::Instant::now();
    for _ in 0..3 {
        assert_eq!(life.begun.recv().await.unwrap().0, 3);
    }
    let took = begun.elapsed();
    assert!(took > LONG * 2 && took < LONG * 4, "{took:?}");
    life.end().await;
}

#[tokio::test]
async fn the_job_of_a_time_is_recorded_once_however_often_the_process_starts() {
    let (log, storage) = disk();
    let century = || Schedule::every(Duration::from_secs(86_400 * 36_500));
    for _ in 0..3 {
        let life = life_of(storage(), |queue| queue, |spec| spec.periodic("rare", century(), || Mail(3))).await;
        let accepted = SubscriptionSpec::from_beginning().kind(JobEvent::ACCEPTED);
        let mut accepted = life.events().subscribe(accepted).await.unwrap();
        soon("it is recorded", accepted.next()).await.unwrap().unwrap();
        life.end().await;
    }
    assert_eq!(log.stats().held, 1);
}

#[tokio::test]
async fn a_second_pool_of_a_queue_is_refused_while_the_first_one_runs() {
    let life = life(EventStorage::memory()).await;
    life.pool.call(Mail(1), LONG).await.unwrap();
    let queue = DurableQueue::new(&life.services, QUEUE);
    let desk = life.desk.clone();
    let second = DurableSpec::new(queue, move |_| {
        let desk = desk.clone();
        async move { Ok(Mailer(desk)) }
    });
    let second = SupervisorSpec::new(Strategy::OneForOne).child(second.child("second"));
    let second = Supervisor::start("second", second).await.unwrap();
    soon("it gives up", second.wait_until_gone()).await;
    life.pool.call(Mail(2), LONG).await.unwrap();
    life.end().await;
}

#[tokio::test]
async fn a_job_that_does_not_fit_its_type_waits_and_delays_no_other() {
    let (_, storage) = disk();
    let life = life(storage()).await;
    let strange = NewEvent::of(JobEvent::ACCEPTED).source("jobs.mails").payload(json!({ "job": "a letter" })).unwrap();
    life.events().append(strange).await.unwrap();
    let others = NewEvent::of(JobEvent::ACCEPTED).source("jobs.letters").payload(json!({ "job": 5 })).unwrap();
    life.events().append(others).await.unwrap();
    assert_eq!(life.pool.call(Mail(1), LONG).await.unwrap(), 2);
    assert_eq!((life.pool.unreadable(), life.pool.unfinished(), life.desk.log.lock().clone()), (1, 1, vec![1]));
    life.end().await;
}

#[tokio::test]
async fn a_job_is_accepted_together_with_another_event_or_not_at_all() {
    let mut life = life(EventStorage::memory()).await;
    let placed = NewEvent::new("order_placed").unwrap();
    let job = life.pool.job(Mail(9)).to_event().unwrap();
    let ids = life.events().append_batch(vec![placed, job]).await.unwrap();
    assert_eq!(life.begun().await.1.number(), ids[1].get());
    life.end().await;
}

#[tokio::test]
async fn unfinished_jobs_survive_the_pruning_of_the_log_and_do_not_hold_it_back() {
    let (log, storage) = disk();
    let one_worker = |spec: DurableSpec<Mailer>| spec.pool(|pool| pool.workers(1)).unwrap();
    let keep_one = || storage().retention(Retention::new().max_count(1).every(Duration::from_millis(1)));
    let mut first = life_of(keep_one(), |queue| queue, one_worker).await;
    let waits = first.pool.send(Mail(WAITS)).await.unwrap();
    let rest = first.pool.send(Mail(1)).await.unwrap();
    first.begun().await;
    // The retention asks the holder to let go, which records both again.
    soon("the oldest events are pruned", async {
        while first.events().stats().await.unwrap().oldest.is_none_or(|oldest| oldest.get() <= rest.number()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    first.end().await;

    assert!(log.get(foundation::events::EventId::new(waits.number()).unwrap()).is_none());
    let mut second = life_of(storage(), |queue| queue, one_worker).await;
    assert_eq!(second.begun().await, (WAITS, waits, 2));
    second.desk.may_end.add_permits(1);
    assert_eq!(second.begun().await, (1, rest, 1));
    second.end().await;
}

#[tokio::test]
async fn a_caller_whose_pool_ends_learns_that_the_job_is_kept_and_one_that_waits_too_long_that_it_goes_on() {
    let mut life = life(EventStorage::memory()).await;
    let timed_out = life.pool.call(Mail(WAITS), Duration::ZERO).await.unwrap_err();
    assert!(matches!(timed_out, DurableJobError::TimedOut { .. }), "{timed_out}");
    life.begun().await;
    let call = tokio::spawn({
        let pool = life.pool.clone();
        async move { pool.call(Mail(WAITS + 1), Duration::MAX).await }
    });
    life.begun().await;
    assert_eq!(life.pool.unfinished(), 2);
    life.top.shutdown().await;
    let deferred = call.await.unwrap().unwrap_err();
    assert!(matches!(deferred, DurableJobError::Deferred { .. }), "{deferred}");
    life.root.shutdown().await;
}

#[tokio::test]
async fn jobs_of_a_key_are_done_in_the_order_of_the_log_one_at_a_time() {
    let mut life =
        life_of(EventStorage::memory(), |queue| queue, |spec| spec.pool(|pool| pool.workers(4)).unwrap()).await;
    let sends = (0..200_u64).map(|number| life.pool.job(Mail(number)).key((number % 5).to_string()).send());
    let ids = futures::future::join_all(sends).await;
    assert!(ids.iter().all(Result::is_ok));
    for _ in 0..200 {
        life.begun().await;
    }
    // It stands behind those of each key.
    for key in 0..5 {
        life.pool.job(Mail(key)).key(key.to_string()).call(LONG).await.unwrap();
    }
    let log = life.desk.log.lock().clone();
    for key in 0..5 {
        let of_key: Vec<_> = log.iter().filter(|number| *number % 5 == key).collect();
        assert!(of_key[..40].is_sorted() && of_key.len() == 41, "{of_key:?}");
    }
    life.end().await;
}

#[tokio::test]
async fn a_strict_begin_that_cannot_be_recorded_waits_for_the_store_and_the_job_is_performed() {
    let disk = TestDisk::default();
    let one_worker = |spec: DurableSpec<Mailer>| spec.pool(|pool| pool.workers(1)).unwrap();
    let mut life = life_of(disk.in_memory(), |queue| queue.poison(Poison::Strict), one_worker).await;
    life.pool.send(Mail(WAITS)).await.unwrap();
    assert_eq!(life.begun().await.0, WAITS);
    let id = life.pool.send(Mail(2)).await.unwrap();
    disk.set_full(true);
    life.desk.may_end.add_permits(1);
    soon("the store cannot record", async {
        while life.events().outage().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    disk.set_full(false);
    assert_eq!(life.begun().await, (2, id, 1));
    life.top.shutdown().await;
    assert!(life.of_kind(JobEvent::DIED).await.is_empty());
    life.root.shutdown().await;
}

#[tokio::test]
async fn a_pool_that_starts_while_its_store_records_nothing_begins_when_it_records_again() {
    let disk = TestDisk::default();
    let root = ProcessRegistry::builder().service(EventStore::service(disk.in_memory())).start().await.unwrap();
    let services = root.namespace(Namespace::Production).await.unwrap();
    disk.set_full(true);
    EventStore::of(&services).append(NewEvent::new("order_placed").unwrap()).await.unwrap_err();
    let (begun, desk_begun) = mpsc::unbounded_channel();
    let desk = Desk { begun, log: Arc::default(), may_end: Arc::new(Semaphore::new(0)) };
    let spec = DurableSpec::new(DurableQueue::new(&services, QUEUE), move |_| {
        let desk = desk.clone();
        async move { Ok(Mailer(desk)) }
    });
    let top = SupervisorSpec::new(Strategy::OneForOne).child(spec.child("mails"));
    let top = Supervisor::start("top", top).await.unwrap();
    let gone = timeout(Duration::from_millis(300), top.wait_until_gone()).await;
    assert!(gone.is_err(), "it waits for the store");
    disk.set_full(false);
    EventStore::of(&services).wait_until_up(LONG).await.unwrap();
    assert_eq!(spec.handle().call(Mail(3), LONG).await.unwrap(), 6);
    drop(desk_begun);
    top.shutdown().await;
    root.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_periodic_job_whose_function_panics_is_tried_again_and_harms_no_other() {
    let calls = AtomicU64::new(0);
    let job = move || match calls.fetch_add(1, Ordering::Relaxed) {
        0..40 => panic!("no job"),
        _ => Mail(3),
    };
    let periodic = |spec: DurableSpec<Mailer>| spec.periodic("tick", Schedule::every(LONG), job);
    let mut life = life_of(EventStorage::memory(), |queue| queue, periodic).await;
    assert_eq!(life.pool.call(Mail(1), LONG).await.unwrap(), 2);
    assert_eq!(life.begun.recv().await.unwrap().0, 1);
    let begun = timeout(LONG * 3, life.begun.recv()).await;
    assert_eq!(begun.expect("the pool goes on").unwrap().0, 3);
    life.end().await;
}

#[tokio::test]
async fn a_durable_job_is_begun_no_more_often_than_its_tries_whatever_the_retries_of_the_pool() {
    let retries = |spec: DurableSpec<Mailer>| spec.pool(|pool| Ok(pool.retry(Retry::attempts(9)))).unwrap();
    let life = life_of(EventStorage::memory(), |queue| queue.tries(2), retries).await;
    let error = life.pool.call(Mail(FAILS), LONG).await.unwrap_err();
    assert!(matches!(error, DurableJobError::Died { .. }), "{error}");
    life.top.shutdown().await;
    assert_eq!(life.of_kind(JobEvent::FAILED).await.len(), 2);
    life.root.shutdown().await;
}

#[tokio::test]
async fn a_durable_pool_that_would_lose_jobs_is_refused() {
    let life = life(EventStorage::memory()).await;
    let spec = || {
        DurableSpec::<Mailer>::new(DurableQueue::new(&life.services, QUEUE), |_| async { Err("none is made".into()) })
    };
    let queue = |rule| QueueSpec::default().when_full(rule);
    for rule in [WhenFull::DropOldest, WhenFull::DropNewest] {
        assert_eq!(spec().pool(|pool| Ok(pool.queue(queue(rule)))).unwrap_err(), SpecError::LosesJobs);
    }
    assert_eq!(spec().pool(|pool| Ok(pool.deadline(LONG))).unwrap_err(), SpecError::LosesJobs);
    assert!(spec().pool(|pool| Ok(pool.queue(queue(WhenFull::Refuse)))).is_ok());
    life.end().await;
}
