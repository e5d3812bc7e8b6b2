//! The quality of a choice in virtual time, beside tower's balancer: calls that fail, and the latencies of those that do not.
//!
//! Ten instances serve four calls at a time, in 10 ms each, exponentially distributed. Calls come at random times.

use std::convert::Infallible;
use std::future::Future;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use foundation_discovery::DiscoveryOptions;
use foundation_discovery::Selector;
use foundation_discovery::choice::{Choice, OutlierRules, Policy, ScoreBy};
use foundation_testkit::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, PeakEwma};
use tower::util::rng::HasherRng;
use tower::{Service, ServiceExt};

use crate::setup::{World, all, world_with};

const INSTANCES: usize = 10;
/// The calls that one instance serves at a time.
const SLOTS: usize = 4;
const MEAN: f64 = 0.010;
const CALLS: usize = 20_000;

/// How the first instance differs from the others.
#[derive(Clone, Copy, PartialEq)]
enum First {
    FailsAtOnce,
    TenTimesSlower,
}

/// How an instance serves.
#[derive(Clone)]
struct Server {
    slots: Arc<Semaphore>,
    first: Option<First>,
}

impl Server {
    fn all(first: First) -> Vec<Self> {
        let server = |at| Self { slots: Arc::new(Semaphore::new(SLOTS)), first: (at == 0).then_some(first) };
        (0..INSTANCES).map(server).collect()
    }

    /// Serves one call whose work is `share` of the usual; false if it fails.
    async fn serve(self, share: f64) -> bool {
        if self.first == Some(First::FailsAtOnce) {
            return false;
        }
        let factor = if self.first.is_some() { 10.0 } else { 1.0 };
        let _slot = self.slots.acquire().await.unwrap();
        sleep(MEAN * factor * share).await;
        true
    }
}

#[expect(clippy::disallowed_methods, reason = "virtual time is what is simulated")]
async fn sleep(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

/// An exponentially distributed number whose mean is 1.
fn exponential(random: &mut fastrand::Rng) -> f64 {
    -(1.0 - random.f64()).ln()
}

/// What has become of the calls of a run.
struct Run {
    failed: usize,
    latencies: Vec<Duration>,
}

impl Run {
    fn share_of_failures(&self) -> f64 {
        self.failed as f64 / CALLS as f64
    }

    fn percentile(&self, share: f64) -> Duration {
        self.latencies[((self.latencies.len() - 1) as f64 * share) as usize]
    }
}

/// Makes all calls, at so much of what ten usual instances can serve.
async fn run<F>(utilisation: f64, mut call: impl FnMut(f64) -> F) -> Run
where
    F: Future<Output = bool> + Send + 'static,
{
    let (mut random, mut calls) = (fastrand::Rng::with_seed(7), JoinSet::new());
    let rate = utilisation * (INSTANCES * SLOTS) as f64 / MEAN;
    let (start, mut due) = (Instant::now(), 0.0);
    for _ in 0..CALLS {
        // Timers count milliseconds: what one is late is not added up.
        due += exponential(&mut random) / rate;
        sleep((due - start.elapsed().as_secs_f64()).max(0.0)).await;
        let (began, call) = (Instant::now(), call(exponential(&mut random)));
        calls.spawn(async move { (call.await, began.elapsed()) });
    }
    let ended = calls.join_all().await;
    let mut latencies: Vec<_> = ended.iter().filter(|(success, _)| *success).map(|(_, latency)| *latency).collect();
    latencies.sort_unstable();
    Run { failed: CALLS - latencies.len(), latencies }
}

/// Ours, without ejections: the choice alone.
async fn ours(first: First, utilisation: f64, by: ScoreBy) -> Run {
    let rules = OutlierRules::new().max_percent(0);
    let world: World = world_with(DiscoveryOptions::new().outliers(rules)).await;
    for at in 0..INSTANCES {
        world.spawn(&format!("i{at}")).await;
    }
    let choice = Choice::new().policy(Policy::PowerOfTwo(by)).slow_start(Duration::ZERO);
    let mut selector: Selector<Command> = world.discovery.selector(all()).choice(choice);
    let servers = Server::all(first);
    run(utilisation, |share| {
        let picked = selector.pick().unwrap();
        let at: usize = picked.record().name().id()[1..].parse().unwrap();
        let served = servers[at].clone().serve(share);
        async move {
            let success = served.await;
            if success {
                picked.succeeded()
            } else {
                picked.failed()
            }
            success
        }
    })
    .await
}

/// The same chance in each run.
type Seeded = BuildHasherDefault<DefaultHasher>;

/// A server as tower's services are.
struct Tower(Server);

impl Service<f64> for Tower {
    type Response = bool;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<bool, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, share: f64) -> Self::Future {
        let served = self.0.clone().serve(share);
        Box::pin(async move { Ok(served.await) })
    }
}

async fn tower_peak_ewma(first: First, utilisation: f64) -> Run {
    let (rtt, decay) = (Duration::from_millis(10), 10e9);
    let peak_ewma = |server| PeakEwma::new(Tower(server), rtt, decay, CompleteOnResponse::default());
    let services: Vec<_> = Server::all(first).into_iter().map(peak_ewma).collect();
    let mut balance = Balance::from_rng(ServiceList::new::<f64>(services), HasherRng::with_hasher(Seeded::default()));
    // All are ready at each time.
    run(utilisation, move |share| {
        let ready = futures::FutureExt::now_or_never(balance.ready()).unwrap().unwrap();
        let called = ready.call(share);
        async move { called.await.unwrap() }
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_fails_at_once_gets_a_fiftieth_of_the_calls_that_it_gets_from_tower() {
    let ours = ours(First::FailsAtOnce, 0.5, ScoreBy::PeakEwma).await.share_of_failures();
    let theirs = tower_peak_ewma(First::FailsAtOnce, 0.5).await.share_of_failures();
    assert!(theirs > 0.1 && ours <= theirs * 0.02, "{ours} of the calls fail, and {theirs} beside");
}

#[tokio::test(start_paused = true)]
async fn beside_a_slow_instance_the_slowest_calls_take_about_half_of_what_they_take_by_calls_in_flight() {
    let ewma = ours(First::TenTimesSlower, 0.7, ScoreBy::PeakEwma).await.percentile(0.999);
    let in_flight = ours(First::TenTimesSlower, 0.7, ScoreBy::InFlight).await.percentile(0.999);
    assert!(ewma.as_secs_f64() <= in_flight.as_secs_f64() * 0.55, "{ewma:?} and {in_flight:?}");
}
