//! How well a pool follows its load, in virtual time: arrivals and jobs by seed, workers that start at once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::demand::{Demand, LoadFigures, TICK};
use super::rules::Scaling;
use super::sizing::{Headcount, Sizing};

const SECOND: u64 = 1_000_000_000;
const JOB: f64 = 0.010;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Tick,
    Arrival,
    End,
}

/// What gives the pool its size.
enum Sizer {
    Ours(Scaling, Demand, Sizing),
    /// One worker more every 5 s while more than 0.7 of the time of the workers is used, and one less every 30 s while less
    /// than 0.35 is: the rule that the pool's are measured against.
    Thresholds {
        changed: Duration,
    },
}

impl Sizer {
    fn ours() -> Self {
        Self::Ours(Scaling::default(), Demand::default(), Sizing::default())
    }

    fn thresholds() -> Self {
        Self::Thresholds { changed: Duration::ZERO }
    }

    fn size(&mut self, limits: &RangeInclusive<usize>, size: usize, figures: &LoadFigures, now: Duration) -> usize {
        match self {
            Self::Ours(rules, demand, sizing) => {
                demand.note(figures);
                let headcount = Headcount { usable: size, idle: 0 };
                sizing.decide(rules, limits, headcount, demand.workers(rules.target), now)
            }
            Self::Thresholds { changed } => {
                let busy = figures.worked.as_secs_f64() / (size as f64 * TICK.as_secs_f64());
                let unchanged = now - *changed;
                let next = match busy {
                    busy if busy > 0.7 && unchanged >= Duration::from_secs(5) => size + 1,
                    busy if busy < 0.35 && unchanged >= Duration::from_secs(30) => size - 1,
                    _ => return size,
                };
                *changed = now;
                next.clamp(*limits.start(), *limits.end())
            }
        }
    }
}

/// A shared queue, workers, and the rules of scaling.
struct Simulation {
    rng: fastrand::Rng,
    sizer: Sizer,
    limits: RangeInclusive<usize>,
    now: u64,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    waiting: VecDeque<u64>,
    /// The times at which the jobs in work have begun; which of them ends first is of no matter to the figures.
    in_work: VecDeque<u64>,
    size: usize,
    figures: LoadFigures,
    outcome: Outcome,
}

#[derive(Default)]
struct Outcome {
    /// The time and the new size of each resize.
    resizes: Vec<(u64, usize)>,
    worst_wait: u64,
    /// The last time at which more than 40 jobs waited.
    last_backlog: u64,
    worker_nanos: u128,
}

impl Outcome {
    fn resizes_between(&self, from: u64, to: u64) -> usize {
        self.resizes.iter().filter(|(at, _)| (from * SECOND..to * SECOND).contains(at)).count()
    }

    fn worker_seconds(&self) -> u64 {
        (self.worker_nanos / u128::from(SECOND)) as u64
    }
}

impl Simulation {
    fn new(sizer: Sizer, limits: RangeInclusive<usize>, seed: u64) -> Self {
        let size = *limits.start();
        Self {
            rng: fastrand::Rng::with_seed(seed),
            sizer,
            limits,
            now: 0,
            events: BinaryHeap::from([Reverse((0, Event::Arrival)), Reverse((TICK.as_nanos() as u64, Event::Tick))]),
            waiting: VecDeque::new(),
            in_work: VecDeque::new(),
            size,
            figures: LoadFigures::default(),
            outcome: Outcome::default(),
        }
    }

    /// Runs for these seconds, with this rate of arrivals at each second.
    fn run(mut self, seconds: u64, rate: impl Fn(f64) -> f64) -> Outcome {
        while let Some(Reverse((at, event))) = self.events.pop() {
            if at > seconds * SECOND {
                break;
            }
            let workers = self.size.max(self.in_work.len());
            self.outcome.worker_nanos += u128::from(at - self.now) * workers as u128;
            self.now = at;
            match event {
                Event::Arrival => self.arrive(rate(at as f64 / SECOND as f64)),
                Event::End => self.end(),
                Event::Tick => self.tick(),
            }
            self.begin();
        }
        self.outcome
    }

    fn after(&mut self, mean_seconds: f64, event: Event) {
        let nanos = -(1.0 - self.rng.f64()).ln() * mean_seconds * SECOND as f64;
        self.events.push(Reverse((self.now + nanos as u64, event)));
    }

    fn arrive(&mut self, rate: f64) {
        self.figures.arrived += 1;
        self.waiting.push_back(self.now);
        self.after(1.0 / rate, Event::Arrival);
    }

    fn end(&mut self) {
        let begun = self.in_work.pop_front().unwrap();
        self.figures.ended += 1;
        self.figures.worked += Duration::from_nanos(self.now - begun);
    }

    fn begin(&mut self) {
        while self.in_work.len() < self.size
            && let Some(arrived) = self.waiting.pop_front()
        {
            let wait = self.now - arrived;
            self.outcome.worst_wait = self.outcome.worst_wait.max(wait);
            if self.waiting.len() > 40 {
                self.outcome.last_backlog = self.now;
            }
            self.in_work.push_back(self.now);
            self.after(JOB, Event::End);
        }
    }

    fn tick(&mut self) {
        self.events.push(Reverse((self.now + TICK.as_nanos() as u64, Event::Tick)));
        let in_work_for = self.in_work.iter().map(|begun| Duration::from_nanos(self.now - begun)).sum();
        let figures = LoadFigures {
            elapsed: TICK,
            in_work: self.in_work.len(),
            in_work_for,
            waiting: self.waiting.len(),
            ..std::mem::take(&mut self.figures)
        };
        let size = self.sizer.size(&self.limits, self.size, &figures, Duration::from_nanos(self.now));
        if size != self.size {
            self.size = size;
            self.outcome.resizes.push((self.now, size));
        }
    }
}

const SEEDS: std::ops::Range<u64> = 0..9;

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

fn outcomes(seconds: u64, rate: impl Fn(f64) -> f64) -> Vec<Outcome> {
    outcomes_of(Sizer::ours, seconds, rate)
}

fn outcomes_of(sizer: fn() -> Sizer, seconds: u64, rate: impl Fn(f64) -> f64) -> Vec<Outcome> {
    SEEDS.map(|seed| Simulation::new(sizer(), 2..=32, seed).run(seconds, &rate)).collect()
}

/// Four times the load from second 80 to 160.
fn step(second: f64) -> f64 {
    if (80.0..160.0).contains(&second) { 800.0 } else { 200.0 }
}

/// How long after the step jobs wait.
fn backlog_after_step(outcomes: &[Outcome]) -> u64 {
    median_of(outcomes, |it| it.last_backlog.saturating_sub(80 * SECOND))
}

fn median_of(outcomes: &[Outcome], figure: impl Fn(&Outcome) -> u64) -> u64 {
    median(outcomes.iter().map(figure).collect())
}

#[test]
fn after_a_step_to_four_times_the_load_the_backlog_is_gone_in_a_second_and_a_half() {
    let outcomes = outcomes(240, step);
    let backlog = backlog_after_step(&outcomes);
    let worst_wait = median_of(&outcomes, |it| it.worst_wait);
    let resizes = median_of(&outcomes, |it| it.resizes.len() as u64);
    let worker_seconds = median_of(&outcomes, Outcome::worker_seconds);
    println!("step: backlog {backlog} worst {worst_wait} resizes {resizes} worker s {worker_seconds}");
    assert!(backlog <= 3 * SECOND / 2, "{backlog}");
    assert!(worst_wait <= 350 * SECOND / 1_000, "{worst_wait}");
    assert!(resizes <= 8, "{resizes}");
    assert!(worker_seconds <= 1_850, "{worker_seconds}");
}

#[test]
fn after_a_step_the_backlog_is_gone_in_a_twentieth_of_the_time_that_a_worker_every_five_seconds_takes() {
    let (ours, theirs) = (outcomes(240, step), outcomes_of(Sizer::thresholds, 240, step));
    let (ours, theirs) = (backlog_after_step(&ours), backlog_after_step(&theirs));
    println!("step: backlog for {ours} beside {theirs}");
    assert!(theirs > 20 * SECOND, "{theirs}");
    assert!(ours as f64 <= 0.05 * theirs as f64, "{ours} beside {theirs}");
}

#[test]
fn at_a_steady_load_nothing_is_resized() {
    for rate in [200.0, 800.0] {
        let outcomes = outcomes(700, |_| rate);
        let resizes: Vec<_> = outcomes.iter().map(|it| it.resizes_between(100, 700)).collect();
        println!("steady at {rate}: {resizes:?}");
        // Arrivals and jobs are random: in ten minutes an extreme may come.
        assert_eq!(median(resizes.iter().map(|it| *it as u64).collect()), 0, "{rate}: {resizes:?}");
        assert!(resizes.iter().sum::<usize>() <= 3, "{rate}: {resizes:?}");
    }
}

#[test]
fn on_a_ramp_jobs_wait_for_less_than_a_tenth_of_a_second() {
    let outcomes = outcomes(300, |second| 100.0 + second * 5.0);
    let worst = median_of(&outcomes, |it| it.worst_wait);
    let resizes = median_of(&outcomes, |it| it.resizes.len() as u64);
    println!("ramp: worst {worst} resizes {resizes}");
    assert!(worst < SECOND / 10, "{worst}");
}

#[test]
fn bursts_that_return_within_the_window_find_the_workers_of_the_burst_before() {
    let burst = |second: f64| if second % 20.0 < 2.0 { 1_000.0 } else { 100.0 };
    let outcomes = outcomes(300, burst);
    let resizes = median_of(&outcomes, |it| it.resizes_between(60, 300) as u64);
    println!("bursts: {resizes}, {:?}", outcomes.iter().map(|it| it.resizes.clone().len()).collect::<Vec<_>>());
    assert!(resizes <= 2, "{resizes}");
}

#[test]
fn a_load_that_flaps_faster_than_the_window_does_not_flap_the_size() {
    let flapping = |second: f64| if second as u64 % 6 < 3 { 700.0 } else { 200.0 };
    let outcomes = outcomes(300, flapping);
    let resizes = median_of(&outcomes, |it| it.resizes_between(60, 300) as u64);
    println!("flapping: {resizes}");
    assert!(resizes <= 2, "{resizes}");
}
