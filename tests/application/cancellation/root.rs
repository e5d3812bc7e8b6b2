//! Starts and ends of foundations and namespaces: a requested end continues; a cancelled start leaves nothing.

use foundation::names::ProcessRegistry;
use foundation::{Foundation, Namespace};

use super::fixture::{Fixture, LONG, comes_true, dropped_at_each_poll, works_again};

async fn no_test_is_up(fixture: &Fixture) {
    let none = comes_true(async || fixture.foundation.registry().stats().test_namespaces == 0).await;
    assert!(none, "the test's namespace is still up");
}

// covers: FoundationBuilder::start, Foundation::shutdown, ProcessRegistry::shutdown, ProcessRegistry::wait_until_gone
#[tokio::test(start_paused = true)]
async fn the_start_and_the_shutdown_of_a_foundation_may_be_cancelled() {
    dropped_at_each_poll(
        async |_| {
            let other = Foundation::builder().start().await.unwrap();
            other.shutdown().await;
        },
        async |_, _| {
            let other = Foundation::builder().start().await.unwrap();
            other.shutdown().await;
            other.registry().wait_until_gone().await;
        },
    )
    .await;
    dropped_at_each_poll(
        async |fixture| fixture.foundation.shutdown().await,
        async |fixture, ended| {
            if ended.is_some() {
                fixture.foundation.registry().wait_until_gone().await;
            }
        },
    )
    .await;
    dropped_at_each_poll(
        async |fixture| {
            fixture.foundation.registry().shutdown().await;
            fixture.foundation.registry().wait_until_gone().await;
        },
        async |_, _| {},
    )
    .await;
}

// covers: ProcessRegistryBuilder::start, ProcessRegistry::start
#[tokio::test(start_paused = true)]
async fn the_start_of_a_registry_may_be_cancelled() {
    dropped_at_each_poll(
        async |_| ProcessRegistry::start().await.unwrap().shutdown().await,
        async |_, _| drop(ProcessRegistry::start().await.unwrap().shutdown().await),
    )
    .await;
}

// covers: ProcessRegistry::namespace, ProcessRegistry::cleanup_namespace, ServiceRegistry::cleanup
// covers: Foundation::cleanup, Foundation::namespace
#[tokio::test(start_paused = true)]
async fn the_start_and_the_cleanup_of_a_namespace_may_be_cancelled() {
    let test = Namespace::test();
    for way in 0..3 {
        dropped_at_each_poll(
            async |fixture| {
                let services = fixture.foundation.namespace(test).await.unwrap();
                match way {
                    0 => services.registry().cleanup().await,
                    1 => fixture.foundation.cleanup(test).await,
                    _ => fixture.foundation.registry().cleanup_namespace(test).await,
                }
                .unwrap();
            },
            async |fixture, ended| {
                if ended.is_none() {
                    fixture.foundation.registry().namespace(test).await.map(drop).or_else(is_ending).unwrap();
                }
                fixture.foundation.cleanup(test).await.unwrap();
                no_test_is_up(fixture).await;
            },
        )
        .await;
    }
}

/// A namespace that is being cleaned up is not available.
fn is_ending(error: foundation::names::RegistryError) -> Result<(), foundation::names::RegistryError> {
    match error {
        foundation::names::RegistryError::Child { .. } | foundation::names::RegistryError::NotRunning { .. } => Ok(()),
        error => Err(error),
    }
}

// covers: Foundation::test_namespace, TestNamespace::cleanup, TestNamespace::kill
// covers: TestNamespace::health
#[tokio::test(start_paused = true)]
async fn a_test_namespace_is_cleaned_up_after_a_cancellation() {
    dropped_at_each_poll(
        async |fixture| {
            let test = fixture.foundation.test_namespace().await.unwrap();
            test.kill(&foundation::EventStore::NAME).await.unwrap();
            test.events().wait_until_up(LONG).await.unwrap();
            assert!(test.health().await.is_healthy());
            test.cleanup().await.unwrap();
        },
        async |fixture, _| no_test_is_up(fixture).await,
    )
    .await;
}

// covers: Foundation::tree, Foundation::health, Services::health, ProcessRegistry::tree, ServiceRegistry::tree
#[tokio::test(start_paused = true)]
async fn a_query_of_a_foundation_may_be_cancelled() {
    works_again(async |fixture| Ok::<_, ()>(fixture.foundation.tree().await)).await;
    works_again(async |fixture| Ok::<_, ()>(fixture.foundation.registry().tree().await)).await;
    works_again(async |fixture| Ok::<_, ()>(fixture.registry().tree().await)).await;
    works_again(async |fixture| Ok::<_, ()>(fixture.foundation.health().await)).await;
    works_again(async |fixture| Ok::<_, ()>(fixture.services().health().await)).await;
}

// covers: Foundation::run_until_signal
#[tokio::test(start_paused = true)]
async fn a_run_until_a_signal_may_be_cancelled_and_repeated() {
    dropped_at_each_poll(
        async |fixture| {
            let run = fixture.foundation.run_until_signal();
            let (report, _) = futures::join!(run, fixture.foundation.shutdown());
            report.unwrap();
        },
        async |_, _| {},
    )
    .await;
}
