//! Choosing one of ten instances, and saying that its call has succeeded.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::time::Duration;

use foundation_discovery::Discovery;
use foundation_discovery::choice::ScoreBy;
use futures::FutureExt;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, Load, PeakEwma, PendingRequests};
use tower::{Service, ServiceExt};

use super::{INSTANCES, echoes, selector};
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::sample::{Batch, repeated};
use crate::stage::{Stage, started};

/// A service that answers at once.
type Answers = tower::util::ServiceFn<fn(()) -> Ready<Result<(), Infallible>>>;

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("pick_in_flight_10", 1, in_flight), BenchRow::new("pick_ewma_10", 1, ewma)]
}

fn in_flight(contest: &mut Contest<'_>) -> Vec<Measured> {
    let pending = || PendingRequests::new(answers(), CompleteOnResponse::default());
    let peer = Peer::new("tower p2c PendingRequests", 0.1, balanced(pending));
    contest.between(picks(ScoreBy::InFlight), [peer])
}

fn ewma(contest: &mut Contest<'_>) -> Vec<Measured> {
    let (rtt, decay) = (Duration::from_millis(1), Duration::from_secs(10).as_nanos() as f64);
    let peak_ewma = || PeakEwma::new(answers(), rtt, decay, CompleteOnResponse::default());
    let peer = Peer::new("tower p2c PeakEwma", 0.4, balanced(peak_ewma));
    contest.between(picks(ScoreBy::PeakEwma), [peer])
}

fn picks<'a>(by: ScoreBy) -> Batch<'a> {
    let stage = Stage::set();
    let discovery = Discovery::of(&stage.registry);
    echoes(&stage, &discovery);
    let mut selector = selector(&discovery, by);
    repeated(move || {
        // The runtime of the instances lives as long as they are chosen.
        let _ = &stage;
        started(selector.pick()).succeeded();
    })
}

fn answers() -> Answers {
    tower::service_fn(|()| ready(Ok(())))
}

fn balanced<'a, S>(service: impl Fn() -> S) -> Batch<'a>
where
    S: Service<(), Response = (), Error = Infallible> + Load<Metric: std::fmt::Debug> + 'a,
{
    let services: Vec<_> = (0..INSTANCES).map(|_| service()).collect();
    let mut balance = Balance::new(ServiceList::new::<()>(services));
    repeated(move || {
        let ready = balance.ready().now_or_never().map(started);
        let called = ready.map(|balance| balance.call(()).now_or_never().map(started));
        assert_eq!(called, Some(Some(())), "all are ready and answer at once");
    })
}
