//! Managed services: a request that is dropped is carried out, or was never made.

use std::sync::Arc;
use std::time::Duration;

use foundation::names::ServiceName;
use foundation::supervision::{BoxError, ChildSpec};
use foundation_managed::{Batch, Managed, ServiceConfig, ServiceContext, ServiceKind};
use foundation_testkit::{Pool, Puppet};
use serde::{Deserialize, Serialize};

use super::fixture::{Fixture, LONG, dropped_at_each_poll};

static DESK: ServiceName = ServiceName::from_static("desk");

#[derive(Serialize, Deserialize, garde::Validate)]
struct Desk {
    #[garde(skip)]
    number: u16,
}

struct Clerks(Puppet);

impl ServiceKind for Clerks {
    type Config = Desk;
    const NAME: &'static str = "clerks";

    fn child(&self, context: &ServiceContext, _: Arc<Desk>) -> Result<ChildSpec, BoxError> {
        let clerk = self.0.clone();
        context.child_spec(move || (clerk.actor(), ()))
    }
}

/// The same with a section of the configuration.
struct Pools(Puppet);

impl ServiceKind for Pools {
    type Config = Pool;
    const NAME: &'static str = "pools";

    fn child(&self, context: &ServiceContext, _: Arc<Pool>) -> Result<ChildSpec, BoxError> {
        let clerk = self.0.clone();
        context.child_spec(move || (clerk.actor(), ()))
    }
}

fn managed(fixture: &Fixture) -> Managed {
    let managed = Managed::of(fixture.registry());
    // A second time it is there already.
    let _ = managed.register_kind(Clerks(fixture.puppet("clerk")));
    let _ = managed.register_kind(Pools(fixture.puppet("pool")));
    managed
}

async fn declared(fixture: &Fixture) -> Managed {
    let managed = managed(fixture);
    managed.declare::<Clerks>(&DESK, &Desk { number: 1 }).await.unwrap();
    managed
}

async fn started(fixture: &Fixture) -> Managed {
    let managed = declared(fixture).await;
    managed.start(&DESK).await.unwrap();
    managed
}

/// The service can be declared, if it is not, and started, configured and stopped.
async fn works(fixture: &Fixture) {
    let managed = managed(fixture);
    if managed.status(&DESK).is_err() {
        // It may be on its way.
        let _ = managed.declare::<Clerks>(&DESK, &Desk { number: 1 }).await;
    }
    managed.start(&DESK).await.unwrap();
    managed.stop(&DESK, None).await.unwrap();
    managed.start(&DESK).await.unwrap();
}

// covers: Managed::declare, Managed::declare_as, Managed::declare_section
#[tokio::test(start_paused = true)]
async fn a_cancelled_declaration_is_made_or_not_made() {
    dropped_at_each_poll(
        async |fixture| managed(fixture).declare::<Clerks>(&DESK, &Desk { number: 1 }).await.unwrap(),
        async |fixture, _| works(fixture).await,
    )
    .await;
    dropped_at_each_poll(
        async |fixture| managed(fixture).declare_section::<Pools>(&DESK).await.unwrap(),
        async |fixture, _| works(fixture).await,
    )
    .await;
    let config = || ServiceConfig::Value(serde_json::json!({ "number": 1 }));
    dropped_at_each_poll(
        async |fixture| managed(fixture).declare_as(&DESK, "clerks", config()).await.unwrap(),
        async |fixture, _| works(fixture).await,
    )
    .await;
}

// covers: Managed::start, Managed::start_within, Managed::stop, Managed::restart
#[tokio::test(start_paused = true)]
async fn a_cancelled_start_or_stop_goes_on() {
    dropped_at_each_poll(
        async |fixture| declared(fixture).await.start(&DESK).await.map(drop).unwrap(),
        async |fixture, _| works(fixture).await,
    )
    .await;
    dropped_at_each_poll(
        async |fixture| declared(fixture).await.start_within(&DESK, LONG).await.map(drop).unwrap(),
        async |fixture, _| works(fixture).await,
    )
    .await;
    dropped_at_each_poll(
        async |fixture| started(fixture).await.stop(&DESK, None).await.map(drop).unwrap(),
        async |fixture, _| works(fixture).await,
    )
    .await;
    dropped_at_each_poll(
        async |fixture| started(fixture).await.restart(&DESK).await.map(drop).unwrap(),
        async |fixture, _| works(fixture).await,
    )
    .await;
}

// covers: Managed::configure, Managed::configure_as, Managed::remove
#[tokio::test(start_paused = true)]
async fn a_cancelled_replacement_or_removal_goes_on() {
    dropped_at_each_poll(
        async |fixture| started(fixture).await.configure::<Clerks>(&DESK, &Desk { number: 2 }).await.map(drop).unwrap(),
        async |fixture, _| works(fixture).await,
    )
    .await;
    let config = || ServiceConfig::Value(serde_json::json!({ "number": 2 }));
    dropped_at_each_poll(
        async |fixture| started(fixture).await.configure_as(&DESK, config()).await.map(drop).unwrap(),
        async |fixture, _| works(fixture).await,
    )
    .await;
    dropped_at_each_poll(
        async |fixture| started(fixture).await.remove(&DESK).await.unwrap(),
        async |fixture, _| drop(managed(fixture).all()),
    )
    .await;
}

// covers: Managed::shutdown, LifecycleWatch::next
#[tokio::test(start_paused = true)]
async fn a_cancelled_shutdown_goes_on_and_a_watch_may_be_cancelled() {
    dropped_at_each_poll(
        async |fixture| started(fixture).await.shutdown(Duration::from_secs(5)).await.map(drop).unwrap(),
        async |fixture, _| drop(managed(fixture).all()),
    )
    .await;
    dropped_at_each_poll(
        async |fixture| {
            let mut watch = managed(fixture).watch();
            watch.next().await;
            tokio::join!(watch.next(), started(fixture));
        },
        async |fixture, _| works(fixture).await,
    )
    .await;
}

// covers: Managed::apply, Managed::apply_within
#[tokio::test(start_paused = true)]
async fn a_cancelled_batch_is_done_or_not_made() {
    let batch = || {
        let shelf = ServiceName::from_static("shelf");
        let config = serde_json::json!({ "number": 2 });
        Batch::new().declare(&shelf, "clerks", config).start(&shelf).restart(&DESK)
    };
    dropped_at_each_poll(
        async |fixture| drop(started(fixture).await.apply(batch()).await.unwrap()),
        async |fixture, _| works(fixture).await,
    )
    .await;
    dropped_at_each_poll(
        async |fixture| drop(started(fixture).await.apply_within(batch(), LONG).await.unwrap()),
        async |fixture, _| works(fixture).await,
    )
    .await;
}
