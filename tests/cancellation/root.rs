//! Starts and ends of foundations and namespaces: a requested end continues; a cancelled start leaves nothing.

use foundation::{Foundation, Namespace, ProcessRegistry};

use super::scene::{LONG, Scene, comes_true, dropped_at_each_poll, works_again};

async fn no_test_is_up(scene: &Scene) {
    let none = comes_true(async || scene.foundation.registry().stats().test_namespaces == 0).await;
    assert!(none, "the test's namespace is still up");
}

// covers: foundation/src/root/builder.rs start, foundation/src/root/mod.rs shutdown, kernel/src/registry/root/process_registry.rs shutdown, kernel/src/registry/root/process_registry.rs wait_until_gone
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
        async |scene| scene.foundation.shutdown().await,
        async |scene, ended| {
            if ended.is_some() {
                scene.foundation.registry().wait_until_gone().await;
            }
        },
    )
    .await;
    dropped_at_each_poll(
        async |scene| {
            scene.foundation.registry().shutdown().await;
            scene.foundation.registry().wait_until_gone().await;
        },
        async |_, _| {},
    )
    .await;
}

// covers: kernel/src/registry/root/process_registry.rs start
#[tokio::test(start_paused = true)]
async fn the_start_of_a_registry_may_be_cancelled() {
    dropped_at_each_poll(
        async |_| ProcessRegistry::start().await.unwrap().shutdown().await,
        async |_, _| drop(ProcessRegistry::start().await.unwrap().shutdown().await),
    )
    .await;
}

// covers: kernel/src/registry/root/process_registry.rs namespace, kernel/src/registry/root/process_registry.rs cleanup_namespace, kernel/src/registry/client/service_registry.rs cleanup, foundation/src/root/mod.rs cleanup, foundation/src/root/mod.rs namespace
#[tokio::test(start_paused = true)]
async fn the_start_and_the_cleanup_of_a_namespace_may_be_cancelled() {
    let test = Namespace::test();
    for way in 0..3 {
        dropped_at_each_poll(
            async |scene| {
                let services = scene.foundation.namespace(test).await.unwrap();
                match way {
                    0 => services.cleanup().await,
                    1 => scene.foundation.cleanup(test).await,
                    _ => scene.foundation.registry().cleanup_namespace(test).await,
                }
                .unwrap();
            },
            async |scene, ended| {
                if ended.is_none() {
                    scene.foundation.registry().namespace(test).await.map(drop).or_else(is_ending).unwrap();
                }
                scene.foundation.cleanup(test).await.unwrap();
                no_test_is_up(scene).await;
            },
        )
        .await;
    }
}

/// A namespace that is being cleaned up is not available.
fn is_ending(error: foundation::RegistryError) -> Result<(), foundation::RegistryError> {
    match error {
        foundation::RegistryError::Child { .. } | foundation::RegistryError::NotRunning { .. } => Ok(()),
        error => Err(error),
    }
}

// covers: foundation/src/root/mod.rs test_namespace, foundation/src/root/test_namespace.rs cleanup, foundation/src/root/test_namespace.rs kill
#[tokio::test(start_paused = true)]
async fn a_test_namespace_is_cleaned_up_after_a_cancellation() {
    dropped_at_each_poll(
        async |scene| {
            let test = scene.foundation.test_namespace().await.unwrap();
            test.kill(&foundation::EventStore::NAME).await.unwrap();
            test.events().wait_until_up(LONG).await.unwrap();
            test.cleanup().await.unwrap();
        },
        async |scene, _| no_test_is_up(scene).await,
    )
    .await;
}

// covers: foundation/src/root/mod.rs tree, foundation/src/root/mod.rs health, foundation/src/root/services.rs health, kernel/src/registry/client/service_registry.rs tree, kernel/src/registry/root/process_registry.rs tree
#[tokio::test(start_paused = true)]
async fn a_query_of_a_foundation_may_be_cancelled() {
    works_again(async |scene| Ok::<_, ()>(scene.foundation.tree().await)).await;
    works_again(async |scene| Ok::<_, ()>(scene.foundation.registry().tree().await)).await;
    works_again(async |scene| Ok::<_, ()>(scene.services().tree().await)).await;
    works_again(async |scene| Ok::<_, ()>(scene.foundation.health().await)).await;
    works_again(async |scene| Ok::<_, ()>(scene.services().health().await)).await;
}

// covers: foundation/src/root/mod.rs run_until_signal
#[tokio::test(start_paused = true)]
async fn a_run_until_a_signal_may_be_cancelled_and_repeated() {
    dropped_at_each_poll(
        async |scene| {
            let run = scene.foundation.run_until_signal();
            let (report, _) = futures::join!(run, scene.foundation.shutdown());
            report.unwrap();
        },
        async |_, _| {},
    )
    .await;
}
