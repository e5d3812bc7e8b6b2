//! How long jobs wait by the discipline of the queue, in virtual time: eight workers, arrivals and jobs by seed.
//!
//! The measure is the queue of the theory, M/M/8: one queue, first in first out, one job at a time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::keys::{Entered, Keys};
use super::priorities::Priorities;
use crate::job::key::KeySlot;
use crate::slab::Slab;

const WORKERS: usize = 8;
const JOBS: usize = 150_000;
/// Nanoseconds of virtual time.
const MEAN_JOB: f64 = 1_000_000.0;

const KEYS: u32 = 10_000;

struct Job {
    arrived: u64,
    takes: u64,
    /// 0 is the hot one.
    key: u32,
    slot: Option<KeySlot>,
}

/// What waits, and what a worker that is free claims of it.
trait Discipline {
    fn put(&mut self, job: Job);
    /// Moves jobs into the hands of a worker.
    fn claim(&mut self, claimed: &mut VecDeque<Job>);
    /// A job has left the pool.
    fn left(&mut self, _: &Job) {}
}

/// The queue of the theory.
#[derive(Default)]
struct Theory(VecDeque<Job>);

impl Discipline for Theory {
    fn put(&mut self, job: Job) {
        self.0.push_back(job);
    }

    fn claim(&mut self, claimed: &mut VecDeque<Job>) {
        claimed.extend(self.0.pop_front());
    }
}

/// Levels of priority, of which a worker claims a fair share.
struct Shared(Priorities, Slab<Job>);

fn shared() -> Shared {
    Shared(Priorities::new(&[1], None), Slab::default())
}

impl Discipline for Shared {
    fn put(&mut self, job: Job) {
        let at = self.1.insert(job);
        self.0.push_back(&mut self.1, 0, at);
    }

    fn claim(&mut self, claimed: &mut VecDeque<Job>) {
        let share = (self.0.len() / WORKERS + 1).min(64);
        for _ in 0..share {
            let at = self.0.pop(&mut self.1, |_| Duration::ZERO);
            claimed.extend(at.and_then(|at| self.1.take(at)));
        }
    }
}

/// The same, of which one job of a key is outside at a time.
struct Keyed {
    shared: Shared,
    keys: Keys<u32>,
}

impl Discipline for Keyed {
    fn put(&mut self, job: Job) {
        let (key, jobs) = (job.key, &mut self.shared.1);
        let at = jobs.insert(job);
        let (slot, is_head) = match self.keys.enter(&key, jobs, at) {
            Entered::Head(slot) => (slot, true),
            Entered::Waits(slot) => (slot, false),
        };
        jobs.get_mut(at).unwrap().slot = Some(slot);
        if is_head {
            self.shared.0.push_back(jobs, 0, at);
        }
    }

    fn claim(&mut self, claimed: &mut VecDeque<Job>) {
        self.shared.claim(claimed);
    }

    fn left(&mut self, job: &Job) {
        if let Some(next) = self.keys.leave(job.slot.unwrap(), &mut self.shared.1) {
            self.shared.0.push_back(&mut self.shared.1, 0, next);
        }
    }
}

fn exponential(rng: &mut fastrand::Rng, mean: f64) -> u64 {
    (-(1.0 - rng.f64()).ln() * mean) as u64
}

/// The times that jobs spent in the pool at this share of what the workers can, in order; of the hot ones and of the others.
fn times(mut queue: impl Discipline, load: f64, hot: f64) -> (Vec<u64>, Vec<u64>) {
    let (mut rng, mut keys) = (fastrand::Rng::with_seed(7), fastrand::Rng::with_seed(8));
    let mut arrival = |now: u64| {
        let at = now + exponential(&mut rng, MEAN_JOB / (load * WORKERS as f64));
        let takes = exponential(&mut rng, MEAN_JOB);
        let key = if rng.f64() < hot { 0 } else { keys.u32(1..=KEYS) };
        (at, Job { arrived: at, takes, key, slot: None })
    };
    let mut next = arrival(0);
    let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut hands: Vec<VecDeque<Job>> = (0..WORKERS).map(|_| VecDeque::new()).collect();
    let (mut arrived, mut hot_times, mut times) = (0, Vec::new(), Vec::new());
    while hot_times.len() + times.len() < JOBS {
        let ended = ends.peek().map(|Reverse((at, _))| *at);
        let now = if arrived < JOBS && ended.is_none_or(|ended| next.0 < ended) {
            arrived += 1;
            let after = arrival(next.0);
            let (at, job) = std::mem::replace(&mut next, after);
            queue.put(job);
            at
        } else {
            let Reverse((at, worker)) = ends.pop().unwrap();
            let job = hands[worker].pop_front().unwrap();
            queue.left(&job);
            if job.key == 0 { &mut hot_times } else { &mut times }.push(at - job.arrived);
            if let Some(job) = hands[worker].front() {
                ends.push(Reverse((at + job.takes, worker)));
            }
            at
        };
        for (worker, hand) in hands.iter_mut().enumerate().filter(|(_, hand)| hand.is_empty()) {
            queue.claim(hand);
            let Some(job) = hand.front() else { break };
            ends.push(Reverse((now + job.takes, worker)));
        }
    }
    hot_times.sort_unstable();
    times.sort_unstable();
    (hot_times, times)
}

fn p99(times: &[u64]) -> f64 {
    times[times.len() * 99 / 100] as f64 / MEAN_JOB
}

#[test]
fn the_tail_of_a_shared_queue_is_that_of_the_theory() {
    for (load, expected) in [(0.5, 4.6), (0.8, 5.1), (0.95, 15.1)] {
        let theory = p99(&times(Theory::default(), load, 0.0).1);
        let ours = p99(&times(shared(), load, 0.0).1);
        println!("at {load}: {ours:.2} beside {theory:.2}");
        assert!(ours <= theory * 1.1, "at {load}: {ours} beside {theory}");
        assert!(theory > expected * 0.6 && theory < expected * 1.6, "at {load}: the simulation shows {theory}");
    }
}

#[test]
fn a_hot_key_among_ten_thousand_costs_the_others_a_fifth_of_the_tail_at_most() {
    for load in [0.5, 0.8, 0.95] {
        let without = p99(&times(shared(), load, 0.0).1);
        let (hot, others) = times(Keyed { shared: shared(), keys: Keys::default() }, load, 1.0 / 12.0);
        println!("at {load}: others {:.2} beside {without:.2}, the hot key {:.2}", p99(&others), p99(&hot));
        assert!(p99(&others) <= without * 1.2, "at {load}: {} beside {without}", p99(&others));
        assert!(hot.len() > JOBS / 15, "there is a hot key");
    }
}
