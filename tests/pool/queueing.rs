//! The order of jobs, their room and their time.

use std::time::Duration;

use foundation_pool::{
    BatchSize, DeadLetters, JobError, JobRequest, PoolError, PoolEvent, PoolWatched, QueueSpec, Retry, WhenFull,
};
use futures::FutureExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::setup::{Keeper, LONG, Order, busy, gate, letters, spec, start};

const SECOND: Duration = Duration::from_secs(1);

fn small(when_full: WhenFull) -> QueueSpec {
    QueueSpec::bounded(1).unwrap().when_full(when_full)
}

#[tokio::test]
async fn a_queue_that_refuses_lets_no_send_wait() {
    let (top, pool) = start(&spec().workers(1).unwrap().queue(small(WhenFull::Refuse))).await;
    let keeper = busy(&pool).await;
    pool.send(Order::Answer(1)).await.unwrap();
    assert!(matches!(pool.send(Order::Answer(2)).await, Err(PoolError::Full { job: Order::Answer(2), .. })));
    assert!(matches!(pool.call(Order::Answer(2), LONG).await, Err(JobError::NotAccepted(PoolError::Full { .. }))));
    keeper.open(1);
    top.shutdown().await;
}

#[tokio::test]
async fn a_queue_that_drops_the_oldest_takes_the_new_job_and_tells_the_owner_of_the_old_one() {
    let (top, pool) = start(&spec().workers(1).unwrap().queue(small(WhenFull::DropOldest))).await;
    let keeper = busy(&pool).await;
    let old = pool.job(Order::Answer(1)).submit().unwrap();
    let new = pool.job(Order::Answer(2)).submit().unwrap();
    assert!(matches!(old.wait(LONG).await, Err(JobError::Dropped { job: Order::Answer(1), .. })));
    keeper.open(1);
    assert_eq!(new.wait(LONG).await.unwrap(), 2);
    top.shutdown().await;
}

#[tokio::test]
async fn a_queue_that_drops_the_newest_tells_its_owner_or_the_dead_letters() {
    let (dead_letters, mut letters) = letters();
    let spec = spec().workers(1).unwrap().queue(small(WhenFull::DropNewest)).dead_letters(dead_letters);
    let (top, pool) = start(&spec).await;
    let keeper = busy(&pool).await;
    pool.cast(Order::Answer(1)).unwrap();
    let dropped = pool.cast(Order::Answer(2)).unwrap();
    let letter = letters.recv().await.unwrap();
    assert_eq!(letter.id, dropped);
    assert!(matches!(letter.error, JobError::Dropped { job: Order::Answer(2), .. }));
    let dropped = pool.call(Order::Answer(3), LONG).await;
    assert!(matches!(dropped, Err(JobError::Dropped { job: Order::Answer(3), .. })));
    keeper.open(1);
    top.shutdown().await;
}

#[tokio::test]
async fn senders_get_room_in_the_order_in_which_they_came_and_one_that_gives_up_is_passed_over() {
    let (top, pool) = start(&spec().workers(1).unwrap().queue(small(WhenFull::Wait))).await;
    let keeper = busy(&pool).await;
    pool.cast(Order::Answer(0)).unwrap();
    let mut senders: Vec<_> = (1..=3).map(|number| Box::pin(pool.send(Order::Answer(number)))).collect();
    assert!(senders.iter_mut().all(|sender| sender.now_or_never().is_none()));
    drop(senders.remove(1));
    keeper.open(1);
    let ids = futures::future::join_all(senders).await;
    let ids: Vec<_> = ids.into_iter().map(|id| id.unwrap().number()).collect();
    assert_eq!(ids, [3, 4]);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_finds_no_room_in_its_time_gets_its_job_back() {
    let (top, pool) = start(&spec().workers(1).unwrap().queue(small(WhenFull::Wait))).await;
    let keeper = busy(&pool).await;
    pool.cast(Order::Answer(1)).unwrap();
    let refused = pool.call(Order::Answer(2), SECOND).await;
    assert!(matches!(refused, Err(JobError::NotAccepted(PoolError::Full { job: Order::Answer(2), queued: 1 }))));
    keeper.open(1);
    top.shutdown().await;
}

#[tokio::test]
async fn the_more_urgent_of_the_waiting_jobs_is_begun_first() {
    let queue = QueueSpec::default().priorities([3, 1]);
    let (top, pool) = start(&spec().workers(1).unwrap().queue(queue)).await;
    let keeper = busy(&pool).await;
    let (noted, mut order) = mpsc::unbounded_channel();
    for (number, level) in [(1, 1), (2, 1), (3, 0), (4, 0)] {
        pool.job(Order::Note(number, noted.clone())).priority(level).cast().unwrap();
    }
    keeper.open(1);
    let mut begun = Vec::new();
    for _ in 0..4 {
        begun.push(order.recv().await.unwrap());
    }
    assert_eq!(begun, [3, 4, 1, 2]);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_for_later_is_not_begun_before_its_time() {
    let (top, pool) = start(&spec()).await;
    let begun = Instant::now();
    let later = pool.job(Order::Answer(7)).after(60 * SECOND).submit().unwrap();
    let sooner = pool.job(Order::Answer(8)).after(5 * SECOND).submit().unwrap();
    assert_eq!(sooner.wait(LONG).await.unwrap(), 8);
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(later.wait(LONG).await.unwrap(), 7);
    assert_eq!(begun.elapsed().as_secs(), 60);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_for_longer_than_it_may_expires_though_no_worker_is_free() {
    let (top, pool) = start(&spec().workers(1).unwrap().deadline(5 * SECOND)).await;
    let keeper = busy(&pool).await;
    let begun = Instant::now();
    let expired = pool.job(Order::Answer(1)).submit().unwrap().wait(LONG).await;
    let Err(JobError::Expired { waited, job: Order::Answer(1), .. }) = expired else { panic!("it expires") };
    assert!(waited >= 5 * SECOND && begun.elapsed() < 6 * SECOND, "{waited:?}");
    let longer = pool.job(Order::Answer(2)).deadline(Duration::MAX).submit().unwrap();
    tokio::time::advance(100 * SECOND).await;
    keeper.open(1);
    assert_eq!(longer.wait(LONG).await.unwrap(), 2);
    top.shutdown().await;
}

/// A job that expires after 5 s, and how long that took.
async fn expires(job: JobRequest<'_, Order, u64>) -> Duration {
    let begun = Instant::now();
    let expired = job.deadline(5 * SECOND).submit().unwrap().wait(LONG).await;
    assert!(matches!(expired, Err(JobError::Expired { .. })), "{expired:?}");
    begun.elapsed()
}

/// Later than its deadline by less than the clock can tell.
fn is_at_five_seconds(took: Duration) -> bool {
    took >= 5 * SECOND && took <= 5 * SECOND + Duration::from_millis(2)
}

#[tokio::test(start_paused = true)]
async fn a_job_expires_at_its_deadline_behind_one_that_may_wait_for_longer() {
    let (top, pool) = start(&spec().workers(1).unwrap()).await;
    let keeper = busy(&pool).await;
    pool.cast(Order::Answer(1)).unwrap();
    pool.job(Order::Answer(2)).deadline(60 * SECOND).cast().unwrap();
    let took = expires(pool.job(Order::Answer(3))).await;
    assert!(is_at_five_seconds(took), "{took:?}");
    keeper.open(1);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_deadline_passes_behind_another_one_of_its_claim_is_not_begun() {
    let (top, pool) = start(&spec().workers(1).unwrap().batch_size(BatchSize::exactly(10))).await;
    pool.pause();
    let first = pool.job(Order::Last(10 * SECOND)).submit().unwrap();
    let second = pool.job(Order::Answer(2)).deadline(5 * SECOND).submit().unwrap();
    pool.resume();
    first.wait(LONG).await.unwrap();
    assert!(matches!(second.wait(LONG).await, Err(JobError::Expired { .. })));
    let stats = pool.stats();
    assert_eq!((stats.done, stats.expired, stats.in_work), (1, 1, 0));
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_expires_at_its_deadline_behind_another_one_of_its_key_and_those_after_it_go_on() {
    let (top, pool) = start(&spec().workers(1).unwrap()).await;
    let (at, mut keeper) = gate();
    pool.job(Order::Wait(at)).key("k").cast().unwrap();
    keeper.begun().await;
    let behind = pool.job(Order::Answer(1)).key("k").submit().unwrap();
    let mut expired = Box::pin(expires(pool.job(Order::Answer(2)).key("k")));
    assert!((&mut expired).now_or_never().is_none());
    let last = pool.job(Order::Answer(3)).key("k").submit().unwrap();
    let took = expired.await;
    assert!(is_at_five_seconds(took), "{took:?}");
    keeper.open(1);
    assert_eq!((behind.wait(LONG).await.unwrap(), last.wait(LONG).await.unwrap()), (1, 3));
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_expires_at_its_deadline_while_others_are_for_later() {
    let (top, pool) = start(&spec().workers(1).unwrap()).await;
    let keeper = busy(&pool).await;
    pool.job(Order::Answer(1)).after(60 * SECOND).cast().unwrap();
    let took = expires(pool.job(Order::Answer(2))).await;
    assert!(is_at_five_seconds(took), "{took:?}");
    keeper.open(1);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_job_for_later_counts_from_when_it_is_due() {
    let (top, pool) = start(&spec().workers(1).unwrap()).await;
    let keeper = busy(&pool).await;
    let took = expires(pool.job(Order::Answer(1)).after(7 * SECOND)).await;
    assert!(is_at_five_seconds(took - 7 * SECOND), "{took:?}");
    keeper.open(1);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_drops_the_oldest_drops_a_job_for_later_or_one_behind_its_key_too() {
    let queue = QueueSpec::bounded(2).unwrap().when_full(WhenFull::DropOldest).priorities([2, 1]);
    let (top, pool) = start(&spec().workers(1).unwrap().queue(queue)).await;
    let (at, mut keeper) = gate();
    pool.job(Order::Wait(at)).key("k").cast().unwrap();
    keeper.begun().await;
    let urgent = pool.job(Order::Answer(1)).after(SECOND).submit().unwrap();
    let behind = pool.job(Order::Answer(2)).key("k").priority(1).submit().unwrap();
    let later = pool.job(Order::Answer(3)).after(SECOND).priority(1).submit().unwrap();
    let dropped = behind.wait(LONG).await;
    assert!(matches!(dropped, Err(JobError::Dropped { job: Order::Answer(2), .. })), "{dropped:?}");
    let last = pool.job(Order::Answer(4)).key("k").submit().unwrap();
    let dropped = later.wait(LONG).await;
    assert!(matches!(dropped, Err(JobError::Dropped { job: Order::Answer(3), .. })), "{dropped:?}");
    keeper.open(1);
    assert_eq!((urgent.wait(LONG).await.unwrap(), last.wait(LONG).await.unwrap()), (1, 4));
    assert_eq!(pool.stats().refused, 0);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_begins_just_after_the_start_of_its_pool_is_not_undone_by_it() {
    let (top, pool) = start(&spec().workers(1).unwrap()).await;
    let (at, mut keeper) = gate();
    let last = pool.job(Order::Wait(at)).submit().unwrap();
    // No task of the pool has had a turn since its start.
    let mut drain = Box::pin(pool.drain(LONG));
    assert!((&mut drain).now_or_never().is_none());
    keeper.begun().await;
    pool.job(Order::Answer(1)).cast().unwrap_err();
    keeper.open(1);
    assert!(drain.await.is_complete());
    assert!(last.wait(LONG).await.is_ok());
    assert!(matches!(pool.cast(Order::Answer(1)), Err(PoolError::NotRunning { .. })));
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_was_drained_stays_so_when_its_workers_start_anew_and_not_when_it_does() {
    let (top, pool) = start(&spec().workers(1).unwrap()).await;
    assert!(pool.drain(LONG).await.is_complete());
    let mut watch = pool.watch();
    let of_pool = top.supervisor("pool").await.unwrap().unwrap();
    of_pool.supervisor("workers").await.unwrap().unwrap().actor().unwrap().kill();
    while !matches!(watch.next().await, Some(PoolWatched::Event(PoolEvent::WorkerStarted { .. }))) {}
    assert!(matches!(pool.cast(Order::Answer(1)), Err(PoolError::NotRunning { .. })));
    of_pool.actor().unwrap().kill();
    while !matches!(watch.next().await, Some(PoolWatched::Event(PoolEvent::WorkerStarted { .. }))) {}
    assert_eq!(pool.call(Order::Answer(1), LONG).await.unwrap(), 1);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_job_is_tried_again_after_its_delay() {
    let (top, pool) =
        start(&spec().retry(Retry::attempts(3).backoff(foundation::supervision::Backoff::Constant(SECOND)))).await;
    let begun = Instant::now();
    let Err(JobError::Failed { attempts: 3, .. }) = pool.call(Order::Fail, LONG).await else { panic!("it fails") };
    assert_eq!(begun.elapsed().as_secs(), 2);
    assert_eq!(pool.call(Order::AnswerAtAttempt(3), LONG).await.unwrap(), 3);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_can_forbid_another_attempt() {
    let (top, pool) = start(&spec().retry(Retry::attempts(9))).await;
    let Err(JobError::Failed { attempts: 1, .. }) = pool.call(Order::FailForGood, LONG).await else {
        panic!("it fails");
    };
    let stats = pool.stats();
    assert_eq!((stats.failed, stats.retried, stats.died), (1, 0, 1));
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_can_say_when_the_next_attempt_is_but_not_that_there_is_one_more() {
    let retry = Retry::attempts(2).backoff(foundation::supervision::Backoff::Constant(SECOND));
    let (top, pool) = start(&spec().retry(retry)).await;
    let begun = Instant::now();
    assert_eq!(pool.call(Order::AnswerAfter(60 * SECOND), LONG).await.unwrap(), 2, "the second attempt");
    assert_eq!(begun.elapsed().as_secs(), 60, "and not after the second of the pool's rule");
    top.shutdown().await;
    let (top, pool) = start(&spec()).await;
    let only = pool.call(Order::AnswerAfter(60 * SECOND), LONG).await;
    assert!(matches!(only, Err(JobError::Failed { attempts: 1, .. })), "{only:?}");
    assert_eq!(begun.elapsed().as_secs(), 60);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_given_up() {
    let (top, pool) = start(&spec().workers(1).unwrap().limit(SECOND)).await;
    let (at, _keeper): (_, Keeper) = gate();
    let Err(JobError::OutOfTime { limit: SECOND, attempts: 1, .. }) = pool.call(Order::Wait(at), LONG).await else {
        panic!("it takes too long");
    };
    assert_eq!(pool.call(Order::Answer(1), LONG).await.unwrap(), 1);
    top.shutdown().await;
}

#[tokio::test]
async fn a_second_job_with_an_idempotency_key_is_refused_while_the_pool_has_the_first() {
    let (top, pool) = start(&spec().workers(1).unwrap()).await;
    let keeper = busy(&pool).await;
    let first = pool.job(Order::Answer(1)).idempotency_key("bill 7").submit().unwrap();
    let second = pool.job(Order::Answer(2)).idempotency_key("bill 7").cast();
    let Err(PoolError::Duplicate { job: Order::Answer(2), id }) = second else { panic!("it is a duplicate") };
    assert_eq!((id, pool.stats().refused), (first.id(), 0), "there was room for it");
    keeper.open(1);
    assert_eq!(first.wait(LONG).await.unwrap(), 1);
    let again = pool.job(Order::Answer(2)).idempotency_key("bill 7").submit().unwrap();
    assert_eq!(again.wait(LONG).await.unwrap(), 2);
    top.shutdown().await;
}

#[tokio::test]
async fn a_paused_pool_takes_jobs_and_begins_none() {
    let (top, pool) = start(&spec()).await;
    pool.pause();
    let mut waiting = Box::pin(pool.job(Order::Answer(1)).submit().unwrap().wait(LONG));
    for _ in 0..20 {
        assert!((&mut waiting).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    assert!(pool.is_paused() && pool.queued() == 1);
    pool.resume();
    assert_eq!(waiting.await.unwrap(), 1);
    top.shutdown().await;
}

#[tokio::test]
async fn dead_letters_that_panic_harm_nothing() {
    let spec = spec().dead_letters(DeadLetters::function(|_| panic!("no letters")));
    let (top, pool) = start(&spec).await;
    pool.cast(Order::Fail).unwrap();
    assert_eq!(pool.call(Order::Answer(1), LONG).await.unwrap(), 1);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_does_not_use_its_place_leaves_it_to_the_next_one() {
    let (top, pool) = start(&spec().workers(1).unwrap().queue(QueueSpec::bounded(1).unwrap())).await;
    let (keeper, (at, mut second)) = (busy(&pool).await, gate());
    pool.cast(Order::Answer(0)).unwrap();
    let mut first = Box::pin(pool.job(Order::Wait(at)).idempotency_key("bill 7").send());
    let mut same = Box::pin(pool.job(Order::Answer(1)).idempotency_key("bill 7").send());
    assert!((&mut first).now_or_never().is_none() && (&mut same).now_or_never().is_none(), "the queue is full");
    // A task of its own: it looks only when it is woken.
    let other = tokio::spawn({
        let pool = pool.clone();
        async move { pool.send(Order::Answer(2)).await }
    });
    tokio::task::yield_now().await;
    let begun = Instant::now();
    keeper.open(1);
    first.await.unwrap();
    second.begun().await;
    assert!(matches!(same.await, Err(PoolError::Duplicate { .. })));
    other.await.unwrap().unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO, "not by a later tick");
    second.open(1);
    top.shutdown().await;
}
