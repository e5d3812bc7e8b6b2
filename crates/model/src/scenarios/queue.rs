//! The queue of a pool: jobs that are put in, claimed and given back, and those who wait. The numbers are those of the
//! invariants at the top of `queue/job_queue.rs`.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use loom::future::block_on;
use loom::thread::spawn;

use super::fixture::explore_within;
use crate::dead_letters::DeadLetters;
use crate::job::record::JobOptions;
use crate::queue::claim::Claim;
use crate::queue::job_queue::JobQueue;
use crate::queue::new_job::NewJob;
use crate::queue::rules::{JobRules, QueueSpec};
use crate::routing::{Router, Routing};
use crate::time::Instant;

type Queue = JobQueue<u8, ()>;

/// Three threads, and several locks in each: all interleavings with up to two preemptions.
fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    explore_within(Some(2), scenario);
}

fn queue(capacity: usize) -> Arc<Queue> {
    routed_queue(capacity, Routing::Shared)
}

fn routed_queue(capacity: usize, routing: Routing) -> Arc<Queue> {
    let rules = JobRules { retry: Default::default(), dead_letters: DeadLetters::default(), ..JobRules::default() };
    Arc::new(JobQueue::new(&QueueSpec { capacity, ..QueueSpec::default() }, rules, Router::new(routing)))
}

fn job(job: u8) -> NewJob<u8, ()> {
    NewJob { job, reply: None, level: 0, options: None }
}

/// A worker that performs one job; `false` if there is none for it. What it has claimed may be taken back before it begins.
fn work_once(queue: &Arc<Queue>) -> bool {
    work_once_at(2, queue)
}

fn work_once_at(slot: usize, queue: &Arc<Queue>) -> bool {
    let mut claim = Claim::new(Arc::clone(queue), slot);
    while block_on(claim.renew(1)) {
        if claim.begin().is_some() {
            claim.done(());
            return true;
        }
    }
    false
}

/// A worker that looks for a job, and goes away.
fn look_and_go(queue: &Arc<Queue>) {
    let mut claim = Claim::new(Arc::clone(queue), 1);
    let mut renewing = Box::pin(claim.renew(1));
    let _ = renewing.as_mut().poll(&mut Context::from_waker(Waker::noop()));
}

/// As many were done as this, and none is left anywhere.
fn all_done(queue: &Queue, jobs: u64) {
    let (waiting, delayed, claimed, accounts) = queue.counts();
    assert_eq!((waiting, delayed, claimed), (0, 0, 0));
    assert_eq!((accounts.accepted, accounts.done), (jobs, jobs));
}

/// Each of two workers gets one of two jobs: no wake is lost (2, 3).
pub fn two_workers_against_two_jobs() {
    explore(|| {
        let queue = queue(2);
        let workers = [(); 2].map(|()| {
            let queue = Arc::clone(&queue);
            spawn(move || assert!(work_once(&queue)))
        });
        queue.put(job(1)).unwrap();
        queue.put(job(2)).unwrap();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        all_done(&queue, 2);
    });
}

/// A worker that was picked and goes away passes its turn on (3), and a claim that is dropped gives its job back (4).
pub fn a_worker_that_goes_away_against_a_job() {
    explore(|| {
        let queue = queue(1);
        let [going, working] = [Arc::clone(&queue), Arc::clone(&queue)];
        let going = spawn(move || look_and_go(&going));
        let working = spawn(move || assert!(work_once(&working)));
        queue.put(job(1)).unwrap();
        going.join().unwrap();
        working.join().unwrap();
        all_done(&queue, 1);
    });
}

/// A job that is put in while the queue is closed is refused, done or returned: it is in one place (1), and the worker ends.
pub fn a_job_against_a_close() {
    explore(|| {
        let queue = queue(1);
        let [putting, working] = [Arc::clone(&queue), Arc::clone(&queue)];
        let putting = spawn(move || putting.put(job(1)).is_ok());
        let working = spawn(move || work_once(&working));
        queue.begin_close_of(0);
        let returned = queue.close_of(0).len();
        let (taken, done) = (putting.join().unwrap(), working.join().unwrap());
        assert_eq!(usize::from(taken), usize::from(done) + returned);
        let (waiting, _, claimed, accounts) = queue.counts();
        assert_eq!((waiting, claimed), (0, 0));
        assert_eq!(accounts.accepted, accounts.done + accounts.returned);
    });
}

/// A claim that comes back while the queue is closed: its job is returned, to the close or to its owner (1, 4).
pub fn a_claim_that_is_dropped_against_a_close() {
    explore(|| {
        let queue = queue(1);
        queue.put(job(1)).unwrap();
        let mut claim = Claim::new(Arc::clone(&queue), 1);
        assert!(block_on(claim.renew(1)));
        let dropping = spawn(move || {
            claim.begin();
            drop(claim);
        });
        queue.begin_close_of(0);
        let returned = queue.close_of(0).len();
        dropping.join().unwrap();
        assert_eq!(returned + queue.rules().dead_letters.delivered(), 1);
        assert_eq!(queue.counts().3.returned, 1);
    });
}

/// A sender that waits for room gets it when a job is claimed, though another one gives up at that moment (5).
pub fn two_senders_against_a_claim() {
    explore(|| {
        let queue = queue(1);
        queue.put(job(1)).unwrap();
        let [sending, giving_up] = [Arc::clone(&queue), Arc::clone(&queue)];
        let sending = spawn(move || block_on(sending.put_when_room(job(2), Instant::now())).unwrap());
        let giving_up = spawn(move || {
            let mut putting = giving_up.put_when_room(job(3), Instant::now());
            let polled = std::pin::Pin::new(&mut putting).poll(&mut Context::from_waker(Waker::noop()));
            polled.is_ready()
        });
        assert!(work_once(&queue));
        // If the one that gives up has got the room, the other one needs another.
        if giving_up.join().unwrap() {
            assert!(work_once(&queue));
        }
        sending.join().unwrap();
        assert!(work_once(&queue));
        let (waiting, _, claimed, accounts) = queue.counts();
        assert_eq!((waiting, claimed), (0, 0));
        assert_eq!(accounts.accepted, accounts.done);
    });
}

/// Who waits for the end of all jobs is woken by the last one (6), and a draining queue lets no sender wait.
pub fn a_drain_against_the_last_job() {
    explore(|| {
        let queue = queue(1);
        queue.put(job(1)).unwrap();
        let [working, sending] = [Arc::clone(&queue), Arc::clone(&queue)];
        let working = spawn(move || while work_once(&working) {});
        let sending = spawn(move || block_on(sending.put_when_room(job(2), Instant::now())).is_ok());
        queue.drain();
        block_on(queue.drained());
        queue.begin_close_of(0);
        working.join().unwrap();
        let done = 1 + u64::from(sending.join().unwrap());
        all_done(&queue, done);
    });
}

/// A pause takes back what has not been begun, and a resumption wakes the workers (2, 3).
pub fn a_pause_against_a_job() {
    explore(|| {
        let queue = queue(2);
        let [working, putting] = [Arc::clone(&queue), Arc::clone(&queue)];
        let working = spawn(move || assert!(work_once(&working)));
        let putting = spawn(move || putting.put(job(1)).unwrap());
        queue.set_paused(true);
        queue.set_paused(false);
        working.join().unwrap();
        putting.join().unwrap();
        all_done(&queue, 1);
    });
}

/// A job for the inbox of a worker that goes away, while its inbox closes: another worker steals it, or finds it in the
/// shared lane (1, 3, 4).
pub fn an_inbox_against_a_thief_and_a_retirement() {
    inbox_against_its_end(Routing::Routed);
}

/// The same without stealing: the other worker finds it in the shared lane only.
pub fn a_pinned_inbox_against_a_retirement() {
    inbox_against_its_end(Routing::Pinned);
}

fn inbox_against_its_end(routing: Routing) {
    explore(move || {
        let queue = routed_queue(1, routing);
        let [going, working] = [Arc::clone(&queue), Arc::clone(&queue)];
        let going = spawn(move || look_and_go(&going));
        let working = spawn(move || assert!(work_once_at(2, &working)));
        queue.put(job(1)).unwrap();
        queue.set_open([(1, false)]);
        going.join().unwrap();
        working.join().unwrap();
        all_done(&queue, 1);
    });
}

/// A timer that waits for no time is woken by a job for later, which it lets a worker begin (2, 3).
pub fn a_timer_against_a_job_for_later() {
    explore(|| {
        let queue = queue(1);
        let [timing, working] = [Arc::clone(&queue), Arc::clone(&queue)];
        let timing = spawn(move || {
            block_on(timing.earlier_than(None));
            timing.tick();
        });
        let working = spawn(move || assert!(work_once(&working)));
        let options = JobOptions { delay: Some(Duration::from_secs(1)), ..JobOptions::default() };
        queue.put(NewJob { options: Some(Box::new(options)), ..job(1) }).unwrap();
        timing.join().unwrap();
        working.join().unwrap();
        all_done(&queue, 1);
    });
}

/// A job in an inbox while the routing changes: its worker gets it, by the inbox or by the shared lane (1, 2, 3).
pub fn an_inbox_against_a_change_of_the_routing() {
    explore(|| {
        let queue = routed_queue(1, Routing::Pinned);
        let [working, putting] = [Arc::clone(&queue), Arc::clone(&queue)];
        let working = spawn(move || assert!(work_once_at(1, &working)));
        let putting = spawn(move || putting.put(job(1)).unwrap());
        queue.set_routing(Routing::Shared);
        working.join().unwrap();
        putting.join().unwrap();
        all_done(&queue, 1);
    });
}

/// A worker that is about to sleep does two jobs that come in with and without the lock: no wake is lost, and no number is
/// given twice (2, 3; and those of `queue/intake.rs`).
pub fn two_jobs_against_a_worker_that_falls_asleep() {
    explore(|| {
        let queue = queue(2);
        let [working, putting] = [Arc::clone(&queue), Arc::clone(&queue)];
        let worker = spawn(move || {
            let mut claim = Claim::new(Arc::clone(&working), 1);
            for _ in 0..2 {
                assert!(block_on(claim.renew(1)));
                assert!(claim.begin().is_some());
                claim.done(());
            }
        });
        let other = spawn(move || putting.put(job(1)).unwrap());
        let id = queue.put(job(2)).unwrap();
        assert_ne!(other.join().unwrap(), id);
        worker.join().unwrap();
        all_done(&queue, 2);
    });
}
