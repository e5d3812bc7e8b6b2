//! The most jobs per time.

use std::time::Duration;

use foundation_pool::{OverRate, PoolError, QueueSpec, Rate, WhenFull};
use tokio::time::Instant;

use crate::setup::{LONG, Order, busy, spec, start};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn jobs_over_the_rate_wait_and_none_is_lost() {
    let queue = QueueSpec::default().rate(Rate::per_second(10).unwrap().burst(5));
    let (top, pool) = start(&spec().queue(queue)).await;
    let begun = Instant::now();
    for number in 0..99 {
        pool.cast(Order::Answer(number)).unwrap();
    }
    // After a burst of 5 the hundredth job comes 95 tenths of a second later.
    assert_eq!(pool.call(Order::Answer(7), LONG).await.unwrap(), 7);
    let took = begun.elapsed();
    assert!(took >= 95 * SECOND / 10 && took < 96 * SECOND / 10, "{took:?}");
    let stats = pool.stats();
    assert_eq!((stats.done, stats.refused, stats.dropped), (100, 0, 0));
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_rate_above_a_thousand_per_second_is_reached_without_a_burst() {
    for (per_second, jobs) in [(10_000, 5_000), (100_000, 50_000)] {
        let queue = QueueSpec::bounded(100_000).unwrap().rate(Rate::per_second(per_second).unwrap());
        let (top, pool) = start(&spec().queue(queue)).await;
        let begun = Instant::now();
        for number in 1..jobs {
            pool.cast(Order::Answer(number)).unwrap();
        }
        assert_eq!(pool.call(Order::Answer(7), LONG).await.unwrap(), 7);
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(499) && took <= Duration::from_millis(502), "{per_second}/s: {took:?}");
        top.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_goes_on_after_a_pause_begins_its_jobs_when_their_tokens_come() {
    let queue = QueueSpec::default().rate(Rate::new(1, 10 * SECOND).unwrap());
    let (top, pool) = start(&spec().queue(queue)).await;
    let begun = Instant::now();
    pool.call(Order::Answer(1), LONG).await.unwrap();
    pool.pause();
    let second = pool.job(Order::Answer(2)).submit().unwrap();
    tokio::time::advance(SECOND).await;
    pool.resume();
    assert_eq!(second.wait(LONG).await.unwrap(), 2);
    let took = begun.elapsed();
    assert!(took >= 10 * SECOND && took <= 10 * SECOND + Duration::from_millis(2), "{took:?}");
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_strict_rate_gives_jobs_back_with_the_time_of_the_next_place() {
    let queue = QueueSpec::default().rate(Rate::per_second(2).unwrap().over(OverRate::Refuse));
    let (top, pool) = start(&spec().queue(queue)).await;
    pool.cast(Order::Answer(1)).unwrap();
    let Err(PoolError::OverRate { job: Order::Answer(2), free_in }) = pool.cast(Order::Answer(2)) else {
        panic!("it is over the rate");
    };
    assert_eq!(free_in, SECOND / 2);
    tokio::time::advance(free_in).await;
    pool.cast(Order::Answer(2)).unwrap();
    assert_eq!(pool.stats().refused, 1);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_strict_rate_holds_while_all_workers_are_busy() {
    let rate = Rate::new(1, LONG).unwrap().burst(1).over(OverRate::Refuse);
    let (top, pool) = start(&spec().workers(1).unwrap().queue(QueueSpec::default().rate(rate))).await;
    let keeper = busy(&pool).await;
    assert!(matches!(pool.cast(Order::Answer(1)), Err(PoolError::OverRate { .. })));
    let sent = pool.send(Order::Answer(2)).await;
    assert!(matches!(sent, Err(PoolError::OverRate { .. })));
    assert_eq!(pool.stats().refused, 2);
    keeper.open(1);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_for_which_there_is_no_room_takes_nothing_of_the_rate() {
    let rate = Rate::new(1, LONG).unwrap().burst(3).over(OverRate::Refuse);
    let queue = QueueSpec::bounded(1).unwrap().when_full(WhenFull::Refuse).rate(rate);
    let (top, pool) = start(&spec().workers(1).unwrap().queue(queue)).await;
    let keeper = busy(&pool).await;
    let waiting = pool.job(Order::Answer(1)).submit().unwrap();
    assert!(matches!(pool.cast(Order::Answer(2)), Err(PoolError::Full { .. })));
    keeper.open(1);
    assert_eq!(waiting.wait(LONG).await.unwrap(), 1);
    assert_eq!(pool.call(Order::Answer(3), LONG).await.unwrap(), 3, "the third of the burst");
    top.shutdown().await;
}
