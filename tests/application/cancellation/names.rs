//! Names: a cancelled claim, wait, lock or request leaves nothing in the tables.

use std::time::Duration;

use foundation::Namespace;
use foundation::names::{GroupKey, HealthCheck, Metadata, ServiceName};
use foundation::ractor::{Actor, ActorRef};
use foundation::supervision::HealthLimits;
use foundation_testkit::{Behavior, Command, Moment, Puppet};
use futures::FutureExt;

use super::fixture::{CLERK, Fixture, LONG, a_turn, dropped_at_each_poll, unless_not_found, works_again};

const TAKES_LONG: Behavior = Behavior::Take(Duration::from_secs(1));

/// A puppet with the name of the clerk.
async fn clerk(fixture: &Fixture) -> Puppet {
    let clerk = fixture.puppet("clerk");
    fixture.services().spawn(&CLERK, clerk.actor(), ()).await.unwrap();
    clerk
}

async fn foreign(puppet: &Puppet) -> ActorRef<Command> {
    Actor::spawn(None, puppet.actor(), ()).await.unwrap().0
}

/// The name is available once its holder has ended.
async fn is_to_be_had(fixture: &Fixture) {
    if let Ok(clerk) = fixture.services().lookup(&CLERK) {
        clerk.stop(None);
    }
    fixture.registry().wait_until_free(&CLERK, LONG).await.unwrap();
    clerk(fixture).await;
    assert!(fixture.registry().is_registered(&CLERK));
}

// covers: ServiceRegistry::spawn, RegistrationBuilder::spawn, ServiceRegistry::supervise
// covers: Services::spawn, Services::supervise
#[tokio::test(start_paused = true)]
async fn a_claim_whose_start_is_cancelled_is_released() {
    let slow = |fixture: &Fixture| {
        let slow = fixture.puppet("slow");
        slow.next(Moment::Starting, TAKES_LONG);
        slow
    };
    dropped_at_each_poll(
        async |fixture| fixture.services().spawn(&CLERK, slow(fixture).actor(), ()).await.map(drop),
        async |fixture, _| is_to_be_had(fixture).await,
    )
    .await;
    dropped_at_each_poll(
        async |fixture| {
            let described = fixture.registry().with_metadata(Metadata::new("a clerk").unwrap());
            described.spawn(&CLERK, slow(fixture).actor(), ()).await.map(drop)
        },
        async |fixture, _| is_to_be_had(fixture).await,
    )
    .await;
    dropped_at_each_poll(
        async |fixture| {
            let slow = slow(fixture);
            fixture.services().supervise(fixture.services().child_spec(&CLERK, move || (slow.actor(), ()))).await
        },
        async |fixture, _| {
            let application = fixture.services().application().unwrap();
            let _ = application.terminate_child("clerk").await;
            is_to_be_had(fixture).await;
        },
    )
    .await;
}

// covers: Services::register, ServiceRegistry::register, RegistrationBuilder::register
#[tokio::test(start_paused = true)]
async fn a_cancelled_registration_is_made_or_not_made() {
    for way in 0..3 {
        dropped_at_each_poll(
            async |fixture| {
                let actor = foreign(&fixture.puppet("foreign")).await;
                let services = fixture.services();
                match way {
                    0 => services.register(&CLERK, &actor).await.unwrap(),
                    1 => services
                        .registry()
                        .with_metadata(Metadata::new("a clerk").unwrap())
                        .register(&CLERK, &actor)
                        .await
                        .unwrap(),
                    _ => fixture
                        .foundation
                        .registry()
                        .namespace(Namespace::Production)
                        .await
                        .unwrap()
                        .register(&CLERK, &actor)
                        .await
                        .unwrap(),
                }
            },
            async |fixture, _| {
                is_to_be_had(fixture).await;
            },
        )
        .await;
    }
}

// covers: Via::call, ServiceRegistry::health_check, Group::call_all
#[tokio::test(start_paused = true)]
async fn a_request_to_a_service_may_be_cancelled() {
    let ask = async |fixture: &Fixture| fixture.services().via(&CLERK).call(Command::Ping, LONG).await;
    dropped_at_each_poll(
        async |fixture| {
            clerk(fixture).await;
            ask(fixture).await.unwrap();
        },
        async |fixture, _| {
            is_to_be_had(fixture).await;
            ask(fixture).await.unwrap();
        },
    )
    .await;
    works_again(async |fixture| {
        fixture.foundation.registry().namespace(Namespace::Production).await.map(|names| names.via(&CLERK))
    })
    .await;
    works_again(async |fixture| {
        let check = HealthCheck::alive();
        Ok::<_, ()>(fixture.registry().health_check(&CLERK, check, LONG).await)
    })
    .await;
    dropped_at_each_poll(
        async |fixture| {
            let group = fixture.services().group(&GroupKey::<Command>::new("clerks").unwrap());
            group.join(&foreign(&fixture.puppet("member")).await).unwrap();
            group.call_all(Command::Ping, LONG).await
        },
        async |fixture, _| {
            let group = fixture.services().group(&GroupKey::<Command>::new("clerks").unwrap());
            assert!(group.call_all(Command::Ping, LONG).await.silent.is_empty());
            group.members().iter().for_each(|member| member.stop(None));
        },
    )
    .await;
}

// covers: ask, ServiceRegistry::replace, ServiceRegistry::ended, ServiceRegistry::health
#[tokio::test(start_paused = true)]
async fn a_request_to_an_actor_or_a_namespace_may_be_cancelled() {
    works_again(async |fixture| foundation::ask(&fixture.worker.latest(), Command::Ping).await).await;
    works_again(async |fixture| Ok::<_, ()>(fixture.services().registry().health(&HealthLimits::new()).await)).await;
    let service = |fixture: &Fixture| {
        let clerk = fixture.puppet("clerk");
        fixture.services().child_spec(&CLERK, move || (clerk.actor(), ()))
    };
    dropped_at_each_poll(
        async |fixture| {
            fixture.services().supervise(service(fixture)).await.unwrap();
            fixture.registry().replace(service(fixture)).await.unwrap();
        },
        async |fixture, _| {
            let application = fixture.services().application().unwrap();
            application.terminate_child("clerk").await.or_else(unless_not_found).unwrap();
            fixture.registry().wait_until_free(&CLERK, LONG).await.unwrap();
        },
    )
    .await;
    dropped_at_each_poll(
        async |fixture| {
            let test = fixture.foundation.test_namespace().await.unwrap();
            let (ended, report) =
                futures::join!(test.registry().ended(), fixture.foundation.cleanup(test.services().namespace()));
            drop((ended, report.unwrap()));
        },
        async |_, _| {},
    )
    .await;
}

// covers: Services::wait_for_service, ServiceRegistry::wait_for_service, ServiceRegistry::wait_until_free, Watch::next
#[tokio::test(start_paused = true)]
async fn a_cancelled_wait_is_removed() {
    dropped_at_each_poll(
        async |fixture| {
            let services = fixture.services();
            let appears = services.wait_for_service(&CLERK, LONG);
            let (found, _) = futures::join!(appears, clerk(fixture));
            found.unwrap();
        },
        async |fixture, _| is_to_be_had(fixture).await,
    )
    .await;
    dropped_at_each_poll(
        async |fixture| {
            let clerk = clerk(fixture).await;
            clerk.latest().stop(None);
            fixture.registry().wait_until_free(&CLERK, LONG).await.unwrap();
        },
        async |fixture, _| is_to_be_had(fixture).await,
    )
    .await;
    // The next call returns what a watch would have shown.
    dropped_at_each_poll(
        async |fixture| {
            let mut watch = fixture.registry().watch_service(&CLERK);
            let _ = watch.next().now_or_never();
            clerk(fixture).await;
            watch.next().await
        },
        async |fixture, _| {
            let mut watch = fixture.registry().watch_service(&CLERK);
            is_to_be_had(fixture).await;
            assert!(watch.next().await.is_some());
        },
    )
    .await;
}

// covers: Services::lock, ServiceRegistry::lock
#[tokio::test(start_paused = true)]
async fn a_lock_whose_waiter_is_cancelled_goes_to_the_next_waiter() {
    let name = ServiceName::from_static("ledger");
    dropped_at_each_poll(
        async |fixture| {
            let lock = |turns: u32| {
                fixture.services().lock(&name, async move {
                    for _ in 0..turns {
                        a_turn().await;
                    }
                })
            };
            let (first, second) = futures::join!(lock(3), lock(2));
            first.and(second).unwrap();
        },
        async |fixture, _| fixture.services().lock(&name, async {}).await.unwrap(),
    )
    .await;
}
