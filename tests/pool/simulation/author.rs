//! Makes a script from a seed: the same seed gives the same script, on every machine.

use std::time::Duration;

use foundation_pool::{Routing, WhenFull};

use super::script::{Act, Op, Pause, Put, RateShape, Script, Shape, Start, Step, Victim, Way};

const ROUTINGS: [Routing; 10] = [
    Routing::shared(),
    Routing::round_robin(),
    Routing::random(),
    Routing::weighted(),
    Routing::least_in_flight(),
    Routing::power_of_two(),
    Routing::performance(),
    Routing::affinity(),
    Routing::affinity().pinned(),
    Routing::round_robin().pinned(),
];

struct Author {
    random: fastrand::Rng,
    jobs: usize,
    /// Of the shape, as the rate of things that go wrong: quiet scripts are scripts, too.
    trouble: usize,
}

impl Script {
    pub(super) fn of(seed: u64) -> Self {
        let mut author = Author { random: fastrand::Rng::with_seed(seed), jobs: 0, trouble: 0 };
        author.trouble = author.pick(&[0, 1, 2, 4]);
        let shape = author.shape();
        let steps = 20 + author.below(181);
        let steps = (0..steps).map(|_| Step { op: author.op(), pause: author.pause() }).collect();
        Self { seed, shape, steps, rests: author.percent(60) }
    }
}

impl Author {
    fn below(&mut self, limit: usize) -> usize {
        self.random.usize(..limit)
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn maybe<T>(&mut self, chance: usize, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.percent(chance).then(|| make(self))
    }

    fn millis(&mut self, of: &[u64]) -> Duration {
        Duration::from_millis(self.pick(of))
    }

    fn workers(&mut self) -> (usize, usize) {
        let least = 1 + self.below(4);
        (least, least + self.below(5))
    }

    fn shape(&mut self) -> Shape {
        Shape {
            workers: self.workers(),
            capacity: self.pick(&[1, 2, 5, 20, 10_000]),
            when_full: self.pick(&[
                WhenFull::Wait,
                WhenFull::Wait,
                WhenFull::Refuse,
                WhenFull::DropOldest,
                WhenFull::DropNewest,
            ]),
            weights: self.pick(&[vec![1], vec![4, 1], vec![4, 2, 1]]),
            aging: self.maybe(30, |author| author.millis(&[100, 5_000])),
            rate: self.maybe(25, Self::rate),
            routing: self.pick(&ROUTINGS),
            batch: self.maybe(60, |author| author.pick(&[1, 3, 10])),
            attempts: self.pick(&[1, 1, 2, 4]),
            backoff: self.millis(&[0, 0, 10, 2_000]),
            deadline: self.maybe(25, |author| author.millis(&[0, 50, 1_000, 10_000])),
            limit: self.maybe(30, |author| author.millis(&[20, 1_000, 10_000])),
            kill_after: self.maybe(30, |author| author.millis(&[1_000, 5_000])),
            down_after: self.millis(&[1_000, 30_000]),
            restarts: self.maybe(40, |author| author.pick(&[0, 1, 3])),
            drain_within: self.millis(&[0, 100, 5_000, 30_000]),
            worker_shutdown: self.millis(&[0, 100, 5_000]),
        }
    }

    fn rate(&mut self) -> RateShape {
        RateShape { per_second: self.pick(&[5, 50, 1_000]), burst: self.pick(&[1, 1, 5]), refuses: self.percent(30) }
    }

    fn pause(&mut self) -> Pause {
        match self.below(10) {
            0..=4 => Pause::Turns(self.pick(&[0, 0, 1, 3, 20])),
            5..=8 => Pause::Time(self.millis(&[1, 10, 50, 300])),
            _ => Pause::Time(self.millis(&[600, 2_000, 7_000])),
        }
    }

    fn op(&mut self) -> Op {
        let trouble = self.trouble;
        match self.below(100) {
            0..=3 => self.resize(),
            4 | 5 => Op::Pause,
            6..=9 => Op::Resume,
            10..=12 => Op::Route(self.pick(&ROUTINGS)),
            chance if chance < 13 + 3 * trouble => self.trouble(),
            _ => Op::Put(self.put()),
        }
    }

    fn resize(&mut self) -> Op {
        let (least, most) = self.workers();
        Op::Resize(least, most)
    }

    fn trouble(&mut self) -> Op {
        match self.below(24) {
            0..=11 => Op::Kill(Victim::Worker(self.below(8))),
            12 => Op::Kill(Victim::Scaler),
            13 => Op::Kill(Victim::Keeper),
            14 | 15 => Op::Kill(Victim::Workers),
            16 => Op::Kill(Victim::Pool),
            17..=20 => Op::Starts(1 + self.below(3), self.start()),
            21 | 22 => Op::Drain(
                self.millis(&[0, 100, 5_000, 60_000]),
                self.maybe(30, |author| author.millis(&[0, 50, 1_000])),
            ),
            _ => Op::Restart,
        }
    }

    fn start(&mut self) -> Start {
        match self.below(4) {
            0 | 1 => Start::Fail,
            2 => Start::Panic,
            _ => Start::Last(self.millis(&[1, 400, 3_000])),
        }
    }

    fn put(&mut self) -> Put {
        self.jobs += 1;
        Put {
            job: self.jobs,
            way: self.way(),
            key: self.maybe(40, |author| author.pick(&[0, 0, 1, 2, 3])),
            label: self.maybe(15, |author| author.pick(&[0, 1, 2])),
            unique: self.maybe(10, |author| author.pick(&[0, 1])),
            priority: self.pick(&[0, 0, 1, 2]),
            deadline: self.maybe(10, |author| author.millis(&[0, 10, 2_000])),
            delay: self.maybe(15, |author| author.millis(&[0, 5, 500, 8_000])),
            acts: (0..1 + self.below(3)).map(|_| self.act()).collect(),
        }
    }

    fn way(&mut self) -> Way {
        match self.below(10) {
            0..=3 => Way::Cast,
            4 | 5 => Way::Send(self.maybe(30, |author| author.millis(&[0, 20, 3_000]))),
            6 | 7 => {
                let limit = self.millis(&[0, 10, 1_000, 60_000]);
                Way::Call(limit, self.maybe(25, |author| author.millis(&[0, 5, 700])))
            }
            _ => Way::Submit(self.percent(40)),
        }
    }

    fn act(&mut self) -> Act {
        let time = self.millis(&[0, 0, 1, 5, 40, 200, 1_500]);
        if !self.percent(10 + 10 * self.trouble) {
            return Act::Succeed(time);
        }
        match self.below(12) {
            0..=3 => Act::Fail(time),
            4 | 5 => Act::FailFor(self.millis(&[0, 10, 4_000])),
            6 => Act::FailForGood,
            7 => Act::Break,
            8..=10 => Act::Panic(time),
            _ => Act::Hang,
        }
    }
}
