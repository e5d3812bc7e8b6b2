//! Discovery: a cancelled registration, call or watch leaves nothing behind.

use std::future::ready;
use std::time::Duration;

use foundation::Namespace;
use foundation::ractor::{Actor, ActorRef};
use foundation_discovery::health::InstanceStatus;
use foundation_discovery::{Criteria, Discovery, Instance, InstanceCheck};
use foundation_testkit::{Behavior, Command, Moment};

use super::fixture::{Fixture, LONG, dropped_at_each_poll, works_again};

fn discovery(fixture: &Fixture) -> Discovery {
    Discovery::of(fixture.services().registry())
}

fn instance() -> Instance {
    Instance::builder("clerks", "a").build().unwrap()
}

/// The same outside of this process.
fn remote() -> Instance {
    instance().to_builder().endpoint("http://10.0.0.7:80").build().unwrap()
}

fn clerks() -> Criteria {
    Criteria::service(instance().service())
}

async fn spawn(fixture: &Fixture) -> ActorRef<Command> {
    discovery(fixture).spawn(&instance(), fixture.puppet("clerk").actor(), ()).await.unwrap()
}

/// The instance can be there once its former actor has ended.
async fn is_to_be_had(fixture: &Fixture) {
    let (discovery, instance) = (discovery(fixture), instance());
    let key = Discovery::key::<Command>(instance.name());
    if let Some(former) = fixture.foundation.registry().get_all_services(Namespace::Production).get(key.name()) {
        former.cell().stop(None);
    }
    fixture.services().registry().wait_until_free(&key, LONG).await.unwrap();
    let actor = spawn(fixture).await;
    assert_eq!(discovery.instance(instance.name()).map(|found| found.actor), Some(actor.get_id()));
}

// covers: Discovery::spawn, Discovery::register, Discovery::announce, InstanceRegistration::spawn, InstanceRegistration::register
#[tokio::test(start_paused = true)]
async fn a_cancelled_registration_of_an_instance_is_made_or_not_made() {
    dropped_at_each_poll(
        async |fixture| {
            let slow = fixture.puppet("slow");
            slow.next(Moment::Starting, Behavior::Take(Duration::from_secs(1)));
            discovery(fixture).spawn(&instance(), slow.actor(), ()).await.map(drop).unwrap();
        },
        async |fixture, _| is_to_be_had(fixture).await,
    )
    .await;
    dropped_at_each_poll(
        async |fixture| {
            let (actor, _) = Actor::spawn(None, fixture.puppet("foreign").actor(), ()).await.unwrap();
            discovery(fixture).register(&instance(), &actor).await.unwrap();
        },
        async |fixture, _| is_to_be_had(fixture).await,
    )
    .await;
    dropped_at_each_poll(
        async |fixture| discovery(fixture).announce(&remote(), LONG).await.map(drop).unwrap(),
        async |fixture, _| is_to_be_had(fixture).await,
    )
    .await;
}

// covers: InstanceLease::withdraw
#[tokio::test(start_paused = true)]
async fn an_instance_whose_withdrawal_is_cancelled_is_withdrawn() {
    dropped_at_each_poll(
        async |fixture| discovery(fixture).announce(&remote(), LONG).await.unwrap().withdraw().await,
        async |fixture, _| is_to_be_had(fixture).await,
    )
    .await;
}

// covers: HeartbeatTask::lost, HeartbeatTask::withdraw
#[tokio::test(start_paused = true)]
async fn heartbeats_whose_end_is_awaited_in_vain_go_on_and_a_withdrawal_that_is_cancelled_is_made() {
    dropped_at_each_poll(
        async |fixture| {
            let heartbeats = discovery(fixture).announce(&remote(), LONG).await.unwrap().heartbeats();
            let ended = async { heartbeats.lease().unwrap().owner().stop(None) };
            tokio::join!(heartbeats.lost(), ended).0
        },
        async |fixture, _| is_to_be_had(fixture).await,
    )
    .await;
    dropped_at_each_poll(
        async |fixture| discovery(fixture).announce(&remote(), LONG).await.unwrap().heartbeats().withdraw().await,
        async |fixture, _| is_to_be_had(fixture).await,
    )
    .await;
}

// covers: Discovery::drain
#[tokio::test(start_paused = true)]
async fn an_instance_whose_draining_is_cancelled_can_be_resumed() {
    dropped_at_each_poll(
        async |fixture| {
            spawn(fixture).await;
            let discovery = discovery(fixture);
            let picked = discovery.selector::<Command>(clerks()).pick().unwrap();
            let instance = instance();
            let ended = async { picked.succeeded() };
            tokio::join!(discovery.drain(instance.name(), LONG), ended).0.unwrap();
        },
        async |fixture, _| {
            let discovery = discovery(fixture);
            if discovery.instance(instance().name()).is_some() {
                discovery.resume(instance().name()).unwrap();
                drop(discovery.selector::<Command>(clerks()).pick().unwrap());
            }
            is_to_be_had(fixture).await;
        },
    )
    .await;
}

// covers: Selector::call
#[tokio::test(start_paused = true)]
async fn a_call_to_an_instance_may_be_cancelled() {
    works_again(async |fixture: &Fixture| {
        let discovery = discovery(fixture);
        if discovery.instance(instance().name()).is_none() {
            spawn(fixture).await;
        }
        discovery.selector::<Command>(clerks()).call(Command::Ping, LONG).await
    })
    .await;
}

// covers: InstanceWatch::next
#[tokio::test(start_paused = true)]
async fn a_watch_of_instances_may_be_cancelled() {
    dropped_at_each_poll(
        async |fixture| {
            let mut watch = discovery(fixture).watch(clerks());
            watch.next().await;
            let added = async { tokio::join!(watch.next(), spawn(fixture)).0.is_some() };
            assert!(added.await);
        },
        async |fixture, _| is_to_be_had(fixture).await,
    )
    .await;
}

// covers: Discovery::run_check
#[tokio::test(start_paused = true)]
async fn checks_that_are_cancelled_leave_no_task() {
    dropped_at_each_poll(
        async |fixture| {
            let names = fixture.foundation.registry().namespace(Namespace::test()).await.unwrap();
            let discovery = Discovery::of(&names);
            discovery.spawn(&instance(), fixture.puppet("clerk").actor(), ()).await.unwrap();
            let check = InstanceCheck::function("ready", |_| ready(true)).every(Duration::from_secs(1));
            let checked = async {
                let mut watch = discovery.watch(clerks());
                watch.next().await;
                watch.next().await;
                names.cleanup().await.unwrap();
            };
            tokio::join!(discovery.run_check(clerks(), check), checked);
        },
        async |fixture, _| is_to_be_had(fixture).await,
    )
    .await;
}

// covers: Discovery::run_declared_checks
#[tokio::test(start_paused = true)]
async fn declared_checks_that_are_cancelled_leave_no_task() {
    dropped_at_each_poll(
        async |fixture| {
            let names = fixture.foundation.registry().namespace(Namespace::test()).await.unwrap();
            let discovery = Discovery::of(&names);
            discovery.spawn(&instance(), fixture.puppet("clerk").actor(), ()).await.unwrap();
            let check = InstanceCheck::function("ready", |_| ready(true)).every(Duration::from_secs(1));
            discovery.check(clerks(), check).unwrap();
            let checked = async {
                let mut watch = discovery.watch(clerks());
                watch.next().await;
                watch.next().await;
                names.cleanup().await.unwrap();
            };
            tokio::join!(discovery.run_declared_checks(), checked);
        },
        async |fixture, _| is_to_be_had(fixture).await,
    )
    .await;
}

// covers: Discovery::check_incarnation, Discovery::await_success
#[tokio::test(start_paused = true)]
async fn checks_of_one_incarnation_that_are_cancelled_leave_it_as_it_is() {
    let check = || InstanceCheck::function("ready", |_| ready(true)).every(Duration::from_secs(1));
    dropped_at_each_poll(
        async |fixture| {
            let actor = spawn(fixture).await;
            let discovery = discovery(fixture);
            let record = discovery.instance(instance().name()).unwrap();
            let mut watch = discovery.watch(clerks());
            let checked = async {
                while discovery.instance(instance().name()).is_none_or(|it| it.status() != InstanceStatus::Healthy) {
                    watch.next().await;
                }
                actor.stop(None);
            };
            tokio::join!(discovery.check_incarnation(record, check()), checked);
        },
        async |fixture, _| is_to_be_had(fixture).await,
    )
    .await;
    dropped_at_each_poll(
        async |fixture| {
            spawn(fixture).await;
            let discovery = discovery(fixture);
            let record = discovery.instance(instance().name()).unwrap();
            discovery.await_success(&record, &check()).await;
        },
        async |fixture, _| is_to_be_had(fixture).await,
    )
    .await;
}
