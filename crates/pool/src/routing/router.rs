//! Which worker's inbox a job goes to.

use std::fmt;
use std::sync::Arc;

use foundation_discovery::choice::{ContenderLoads, Contenders, Draw, Load, LoadReading, LoadRules, Policy};
use tokio::time::Instant;

use super::rule::Routing;
use super::timer::JobTimer;

/// The weight of a worker that says none.
pub(crate) const DEFAULT_WEIGHT: u16 = 100;

/// The workers that jobs are routed to, and how.
///
/// A decision on given figures: inboxes are the queue's, and time and chance are given. A worker is known by the number of
/// its slot, which the next life of it keeps.
pub(crate) struct Router {
    routing: Routing,
    policy: Option<Policy>,
    contenders: Contenders,
    /// Whether workers have come or gone since the contenders were set.
    is_stale: bool,
    workers: Vec<Option<Routed>>,
    /// By the number of the slot.
    weights: Vec<u16>,
    turn: u64,
    random: fastrand::Rng,
}

/// The weight of the worker on this slot.
pub(crate) fn weight_of(weights: &[u16], slot: usize) -> u16 {
    weights.get(slot).copied().unwrap_or(DEFAULT_WEIGHT).max(1)
}

/// A worker that jobs are routed to.
struct Routed {
    name: String,
    weight: u16,
    load: Arc<Load>,
}

impl Router {
    /// Without a worker. The weights are by the number of the slot.
    pub(crate) fn new(routing: Routing, weights: Vec<u16>, seed: u64) -> Self {
        Self {
            routing,
            policy: routing.policy(),
            contenders: Contenders::default(),
            is_stale: false,
            workers: Vec::new(),
            weights,
            turn: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    pub(crate) fn routing(&self) -> Routing {
        self.routing
    }

    /// Routes the jobs from now on like this.
    pub(crate) fn set_routing(&mut self, routing: Routing) {
        (self.routing, self.policy) = (routing, routing.policy());
    }

    /// The worker on this slot takes jobs.
    pub(crate) fn open(&mut self, slot: usize, now: Instant) {
        self.workers.resize_with(self.workers.len().max(slot + 1), || None);
        let weight = weight_of(&self.weights, slot);
        self.workers[slot] = Some(Routed { name: slot.to_string(), weight, load: Arc::new(Load::new(now)) });
        self.is_stale = true;
    }

    /// What measures the jobs of the worker on this slot, if it is open.
    pub(crate) fn timer(&self, slot: usize) -> Option<JobTimer> {
        let worker = self.workers.get(slot)?.as_ref()?;
        Some(JobTimer::new(Arc::clone(&worker.load)))
    }

    /// The worker on this slot takes no more jobs.
    pub(crate) fn close(&mut self, slot: usize) {
        if let Some(worker) = self.workers.get_mut(slot) {
            *worker = None;
        }
        self.is_stale = true;
    }

    /// The slot for a job with this label or key; `None` for the shared queue. `held` is the number of jobs that a worker
    /// has, in its inbox and in its claim.
    pub(crate) fn route(
        &mut self,
        label: Option<&[u8]>,
        held: impl Fn(usize) -> usize,
        now: impl FnOnce() -> Instant,
    ) -> Option<usize> {
        if std::mem::take(&mut self.is_stale) {
            self.set_contenders();
        }
        let policy = self.policy.as_ref()?;
        if self.routing.is_by_label() && label.is_none() {
            return None;
        }
        let now = self.routing.needs_times().then(now);
        let loads = &Loads { workers: &self.workers, held, now };
        let draw = Draw::new(&mut self.random).turn(self.turn);
        self.turn = self.turn.wrapping_add(1);
        let draw = label.into_iter().fold(draw, Draw::key);
        self.contenders.choose(policy, loads, draw)
    }

    fn set_contenders(&mut self) {
        let workers = self.workers.iter().enumerate();
        let known = workers.filter_map(|(slot, worker)| worker.as_ref().map(|worker| (slot, worker)));
        self.contenders.set(known.map(|(slot, worker)| (slot, worker.name.as_str(), f64::from(worker.weight))));
    }
}

/// The loads of the workers.
struct Loads<'a, H> {
    workers: &'a [Option<Routed>],
    held: H,
    now: Option<Instant>,
}

impl<H: Fn(usize) -> usize> ContenderLoads for Loads<'_, H> {
    fn in_flight(&self, at: usize) -> u32 {
        u32::try_from((self.held)(at)).unwrap_or(u32::MAX)
    }

    fn reading(&self, at: usize) -> LoadReading {
        let reading = match (self.workers.get(at).and_then(Option::as_ref), self.now) {
            (Some(worker), Some(now)) => worker.load.reading(&LoadRules::new(), now),
            _ => LoadReading::IDLE,
        };
        LoadReading { in_flight: self.in_flight(at), ..reading }
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("routing", &self.routing).field("workers", &self.contenders.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use foundation_discovery::choice::Outcome;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const ROUTINGS: [Routing; 8] = [
        Routing::shared(),
        Routing::round_robin(),
        Routing::random(),
        Routing::weighted(),
        Routing::least_in_flight(),
        Routing::power_of_two(),
        Routing::performance(),
        Routing::affinity(),
    ];

    fn router(routing: Routing, weights: &[u16]) -> (Router, Vec<Arc<Load>>) {
        let mut router = Router::new(routing, weights.to_vec(), 7);
        (0..weights.len()).for_each(|slot| router.open(slot, Instant::now()));
        let loads = router.workers.iter().flatten().map(|worker| Arc::clone(&worker.load)).collect();
        (router, loads)
    }

    /// How many of a thousand jobs each worker gets, if none of them ends.
    fn spread(router: &mut Router, label: impl Fn(u64) -> Option<Vec<u8>>) -> BTreeMap<Option<usize>, usize> {
        let mut spread = BTreeMap::new();
        for number in 0..1_000 {
            let held = |slot| spread.get(&Some(slot)).copied().unwrap_or(0);
            let slot = router.route(label(number).as_deref(), held, Instant::now);
            *spread.entry(slot).or_insert(0) += 1;
        }
        spread
    }

    #[test]
    fn each_routing_spreads_the_jobs_as_it_says() {
        let of = |routing| spread(&mut router(routing, &[100, 100, 200, 400]).0, |_| None);
        assert_eq!(of(Routing::shared()), BTreeMap::from([(None, 1_000)]));
        assert_eq!(of(Routing::affinity()), BTreeMap::from([(None, 1_000)]), "without a label the queue is shared");
        assert_eq!(of(Routing::round_robin()), (0..4).map(|slot| (Some(slot), 250)).collect());
        for (slot, jobs) in of(Routing::random()) {
            assert!((200..300).contains(&jobs), "{jobs} of 1000 to {slot:?}");
        }
        for routing in [Routing::weighted(), Routing::least_in_flight(), Routing::power_of_two()] {
            for (slot, jobs) in of(routing) {
                let share = [125, 125, 250, 500][slot.unwrap()];
                assert!(jobs.abs_diff(share) <= 25, "{routing}: {jobs} and not about {share} of 1000 to {slot:?}");
            }
        }
    }

    #[test]
    fn by_performance_a_slow_worker_and_one_that_fails_get_few_jobs() {
        let (mut router, loads) = router(Routing::performance(), &[100; 3]);
        let (now, rules) = (Instant::now(), LoadRules::new());
        let outcomes = [2, 40].map(Duration::from_millis).map(Outcome::Succeeded).into_iter().chain([Outcome::Failed]);
        for (load, outcome) in loads.iter().zip(outcomes) {
            for _ in 0..20 {
                load.begin(now);
                load.end(&rules, outcome, now);
            }
        }
        let mut spread = [0; 3];
        (0..1_000).for_each(|_| spread[router.route(None, |_| 0, || now).unwrap()] += 1);
        let [fast, slow, failing] = spread;
        assert!(fast > 600 && slow < 350 && failing < 50, "{spread:?}");
    }

    #[test]
    fn a_worker_that_goes_moves_its_labels_only() {
        let (mut router, _) = router(Routing::affinity(), &[100; 4]);
        let route = |router: &mut Router, label: u32| router.route(Some(&label.to_le_bytes()), |_| 0, Instant::now);
        let before: Vec<_> = (0..1_000).map(|label| route(&mut router, label)).collect();
        router.close(2);
        for (label, before) in (0..).zip(&before) {
            let after = route(&mut router, label);
            assert!(after != Some(2) && (*before == Some(2) || after == *before));
        }
        router.open(2, Instant::now());
        assert!((0..).zip(&before).all(|(label, before)| route(&mut router, label) == *before));
    }

    proptest! {
        #[test]
        fn jobs_go_to_open_workers_only_and_to_the_shared_queue_if_there_is_none(
            changes in vec((0..5_usize, any::<bool>(), select(&ROUTINGS[..])), 1..40), label: Option<u64>,
        ) {
            let mut router = Router::new(Routing::shared(), Vec::new(), 7);
            let mut open = [false; 5];
            for (slot, opens, routing) in changes {
                router.set_routing(routing);
                open[slot] = opens;
                if opens { router.open(slot, Instant::now()) } else { router.close(slot) }
                let label = label.map(u64::to_le_bytes);
                let routed = router.route(label.as_ref().map(|it| &it[..]), |_| 0, Instant::now);
                let is_shared = routing == Routing::shared()
                    || routing.is_by_label() && label.is_none()
                    || !open.contains(&true);
                prop_assert_eq!(routed.is_none(), is_shared);
                prop_assert!(routed.is_none_or(|slot| open[slot]));
            }
        }
    }
}
