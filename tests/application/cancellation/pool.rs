//! Jobs of a pool for which their caller no longer waits, and drains that are left.

use foundation_pool::{JobContext, JobFailure, Pool, PoolSpec, Worker};

use super::fixture::{Fixture, LONG, works_again};

struct Doubles;

impl Worker for Doubles {
    type Job = u64;
    type Output = u64;

    async fn perform(&mut self, job: &mut u64, _: &JobContext<'_>) -> Result<u64, JobFailure> {
        tokio::task::yield_now().await;
        Ok(*job * 2)
    }
}

/// A pool of its own for each call: one that was dropped half-way ends with the foundation.
async fn pool(fixture: &Fixture) -> Pool<u64, u64> {
    let spec = PoolSpec::new(|_| async { Ok(Doubles) });
    let pool = spec.handle();
    fixture.dynamic.start_child(spec.child("pool")).await.unwrap();
    pool
}

// covers: Pool::send, Pool::call, JobRequest::send, JobRequest::call, JobHandle::wait
#[tokio::test(start_paused = true)]
async fn a_caller_may_leave_a_pool_at_any_time() {
    works_again(async |fixture| pool(fixture).await.send(1).await).await;
    works_again(async |fixture| pool(fixture).await.job(1).key("one").send().await).await;
    works_again(async |fixture| pool(fixture).await.call(2, LONG).await).await;
    works_again(async |fixture| pool(fixture).await.job(2).call(LONG).await).await;
    works_again(async |fixture| pool(fixture).await.job(2).submit().unwrap().wait(LONG).await).await;
}

// covers: PoolWatch::next
#[tokio::test(start_paused = true)]
async fn a_reader_may_leave_a_watch_at_any_time() {
    works_again(async |fixture| {
        let pool = pool(fixture).await;
        let mut watch = pool.watch();
        pool.resize(5).map_err(|error| error.to_string())?;
        watch.next().await.ok_or_else(|| "the watch ended".to_owned())
    })
    .await;
}

// covers: Pool::stop_now
#[tokio::test(start_paused = true)]
async fn a_stop_that_is_left_keeps_no_pool_from_its_end() {
    works_again(async |fixture| {
        let pool = pool(fixture).await;
        let paused = pool.clone();
        paused.pause();
        pool.cast(1).unwrap();
        let stopped = pool.stop_now().await;
        if stopped.returned.len() == 1 { Ok(()) } else { Err(stopped) }
    })
    .await;
}

// covers: Pool::drain
#[tokio::test(start_paused = true)]
async fn a_drain_that_is_left_keeps_no_pool_from_its_end() {
    works_again(async |fixture| {
        let pool = pool(fixture).await;
        pool.cast(1).unwrap();
        let drained = pool.drain(LONG).await;
        if drained.is_complete() { Ok(()) } else { Err(drained) }
    })
    .await;
}
