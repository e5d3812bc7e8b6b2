//! By what rule a job finds its worker.

use std::fmt;

use foundation_discovery::choice::{Policy, ScoreBy};

/// How a job finds its worker.
///
/// | routing | a job goes to | good for |
/// |---|---|---|
/// | [`shared`](Self::shared) | the first worker that is free | nearly everything: the default, with the shortest waits |
/// | [`round_robin`](Self::round_robin) | one worker after the other | equal jobs whose workers keep something of each |
/// | [`random`](Self::random) | any | the same, without a pattern |
/// | [`weighted`](Self::weighted) | one after the other, as often as its weight says | workers of different size |
/// | [`least_in_flight`](Self::least_in_flight) | the worker with the fewest jobs | few workers with long jobs |
/// | [`power_of_two`](Self::power_of_two) | the better of two that are drawn | many workers with long jobs |
/// | [`performance`](Self::performance) | the better of two, by how long jobs take and how many succeed | workers of unequal speed, such as connections |
/// | [`affinity`](Self::affinity) | the worker of its label, or of its key | caches and state at the worker |
///
/// All but the shared queue give each worker an inbox of its own. A worker takes from its inbox and from the shared queue in
/// turns; if both are empty, from the longest inbox of another, unless the routing is [pinned](Self::pinned). The inbox of a
/// worker that ends, or blocks its thread, goes to the shared queue. Jobs with a key are done one at a time, in the order in
/// which they were accepted, whatever the routing, and also when it is changed.
///
/// ```
/// use foundation_pool::Routing;
///
/// assert_eq!(Routing::default(), Routing::shared());
/// assert_eq!(Routing::affinity().pinned().to_string(), "affinity, pinned");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Routing {
    rule: Rule,
    pinned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Rule {
    #[default]
    Shared,
    RoundRobin,
    Random,
    Weighted,
    LeastInFlight,
    PowerOfTwo,
    Performance,
    Affinity,
}

impl Routing {
    /// One queue for all workers: the default.
    pub const fn shared() -> Self {
        Self::of(Rule::Shared)
    }

    /// One worker after the other.
    pub const fn round_robin() -> Self {
        Self::of(Rule::RoundRobin)
    }

    /// Any worker.
    pub const fn random() -> Self {
        Self::of(Rule::Random)
    }

    /// One worker after the other, each as often as its weight says, evenly spread in time.
    pub const fn weighted() -> Self {
        Self::of(Rule::Weighted)
    }

    /// The worker with the fewest jobs in its inbox and under way.
    pub const fn least_in_flight() -> Self {
        Self::of(Rule::LeastInFlight)
    }

    /// Of two workers that are drawn, the one with fewer jobs.
    pub const fn power_of_two() -> Self {
        Self::of(Rule::PowerOfTwo)
    }

    /// Of two workers that are drawn, the one with the lower product of jobs and time of a job, among those whose jobs
    /// succeed: discovery's [peak EWMA](ScoreBy::PeakEwma).
    pub const fn performance() -> Self {
        Self::of(Rule::Performance)
    }

    /// The same worker for the same label as long as it is there; a job without a label goes by its key, and one with
    /// neither to the shared queue. When a worker comes or goes, only its share of the labels moves.
    ///
    /// This is a preference: the worker of a label performs its jobs as long as it is free when they come. While it is busy,
    /// an idle worker takes what waits for it, and the cache that the label stands for is cold there. So no job waits beside
    /// an idle worker, and several jobs of a label may be in work at once. With [`pinned`](Self::pinned) it is a rule: they
    /// wait for their worker, however many others are idle, and are performed one after the other, by it alone, until it ends
    /// or blocks its thread. For an order among jobs that outlasts workers, give them a [key](crate::JobRequest::key).
    pub const fn affinity() -> Self {
        Self::of(Rule::Affinity)
    }

    /// With workers that take from no other's inbox, even if they are idle. The inbox of a worker that ends is given to the
    /// others all the same. Of no meaning for the [shared](Self::shared) queue.
    pub const fn pinned(self) -> Self {
        Self { pinned: true, ..self }
    }

    const fn of(rule: Rule) -> Self {
        Self { rule, pinned: false }
    }

    pub(crate) fn is_shared(self) -> bool {
        self.rule == Rule::Shared
    }

    pub(crate) fn is_pinned(self) -> bool {
        self.pinned && self.rule != Rule::Shared
    }

    pub(crate) fn is_by_label(self) -> bool {
        self.rule == Rule::Affinity
    }

    /// Whether it looks at how long jobs take.
    pub(crate) fn needs_times(self) -> bool {
        self.rule == Rule::Performance
    }

    /// Discovery's policy; `None` for the shared queue.
    pub(crate) fn policy(self) -> Option<Policy> {
        match self.rule {
            Rule::Shared => None,
            Rule::RoundRobin => Some(Policy::RoundRobin),
            Rule::Random => Some(Policy::Random),
            Rule::Weighted => Some(Policy::Weighted),
            Rule::LeastInFlight => Some(Policy::LeastLoaded(ScoreBy::InFlight)),
            Rule::PowerOfTwo => Some(Policy::PowerOfTwo(ScoreBy::InFlight)),
            Rule::Performance => Some(Policy::PowerOfTwo(ScoreBy::PeakEwma)),
            Rule::Affinity => Some(Policy::Rendezvous { bound_percent: None }),
        }
    }
}

impl fmt::Display for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.rule {
            Rule::Shared => "shared queue",
            Rule::RoundRobin => "round robin",
            Rule::Random => "random",
            Rule::Weighted => "weighted",
            Rule::LeastInFlight => "least in flight",
            Rule::PowerOfTwo => "power of two",
            Rule::Performance => "performance",
            Rule::Affinity => "affinity",
        })?;
        f.write_str(if self.is_pinned() { ", pinned" } else { "" })
    }
}
