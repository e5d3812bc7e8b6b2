//! Requests to supervisors: a request is carried out or not, and the supervisor goes on.

use std::time::Duration;

use foundation::{
    AutoShutdown, DynamicSupervisor, DynamicSupervisorSpec, HealthLimits, Strategy, Supervisor, SupervisorSpec,
};
use foundation_testkit::{Behavior, Moment, Puppet};
use futures::FutureExt;

use super::scene::{Scene, comes_true, dropped_at_each_poll, unless_not_found, works_again};

const TAKES_LONG: Behavior = Behavior::Take(Duration::from_secs(1));

/// A child that starts slowly.
fn slow(scene: &Scene) -> Puppet {
    let slow = scene.puppet("slow");
    slow.always(Moment::Starting, TAKES_LONG);
    slow
}

/// Every child of the supervisor runs or is stopped, and none runs twice.
async fn is_in_order(scene: &Scene) {
    let children = scene.supervisor.which_children().await.unwrap();
    let _ = children;
    assert_eq!((scene.worker.overlaps(), scene.other.overlaps()), (0, 0));
}

// covers: Supervisor::start_child, Supervisor::start_child_with_extra
#[tokio::test(start_paused = true)]
async fn a_start_that_is_no_longer_awaited_continues_or_never_begins() {
    for extra in [false, true] {
        dropped_at_each_poll(
            async |scene| {
                let spec = slow(scene).spec();
                match extra {
                    true => scene.supervisor.start_child_with_extra(spec).await.map(drop),
                    false => scene.supervisor.start_child(spec).await.map(drop),
                }
            },
            async |scene, _| {
                // It may be under way: then the termination awaits it and ends it.
                scene.supervisor.terminate_child("slow").await.or_else(unless_not_found).unwrap();
                scene.supervisor.delete_child("slow").await.or_else(unless_not_found).unwrap();
                scene.supervisor.start_child(slow(scene).spec()).await.unwrap();
                is_in_order(scene).await;
            },
        )
        .await;
    }
}

// covers: Supervisor::terminate_child, Supervisor::restart_child, Supervisor::restart_child_with_extra
// covers: Supervisor::delete_child
#[tokio::test(start_paused = true)]
async fn a_stop_that_is_no_longer_awaited_continues_or_never_begins() {
    dropped_at_each_poll(
        async |scene| {
            scene.worker.next(Moment::Stopping, TAKES_LONG);
            scene.supervisor.terminate_child("worker").await
        },
        async |scene, _| {
            scene.supervisor.terminate_child("worker").await.unwrap();
            assert_eq!(scene.worker.alive(), 0);
            scene.supervisor.restart_child("worker").await.unwrap();
            is_in_order(scene).await;
        },
    )
    .await;
    for extra in [false, true] {
        dropped_at_each_poll(
            async |scene| {
                scene.supervisor.terminate_child("worker").await.unwrap();
                scene.worker.next(Moment::Starting, TAKES_LONG);
                match extra {
                    true => scene.supervisor.restart_child_with_extra("worker").await.map(drop),
                    false => scene.supervisor.restart_child("worker").await.map(drop),
                }
            },
            async |scene, _| {
                scene.supervisor.terminate_child("worker").await.unwrap();
                scene.supervisor.restart_child("worker").await.unwrap();
                assert_eq!(scene.worker.alive(), 1);
            },
        )
        .await;
    }
    dropped_at_each_poll(
        async |scene| {
            scene.supervisor.terminate_child("worker").await.unwrap();
            scene.supervisor.delete_child("worker").await
        },
        async |scene, _| {
            scene.supervisor.terminate_child("worker").await.or_else(unless_not_found).unwrap();
            scene.supervisor.delete_child("worker").await.or_else(unless_not_found).unwrap();
            scene.supervisor.start_child(scene.worker.spec()).await.unwrap();
        },
    )
    .await;
}

// covers: Supervisor::which_children, Supervisor::which_child, Supervisor::child_spec, Supervisor::count_children
// covers: Supervisor::child, Supervisor::supervisor, Supervisor::dynamic_supervisor, Supervisor::tree
// covers: Supervisor::task_supervisor
#[tokio::test(start_paused = true)]
async fn a_query_that_is_no_longer_awaited_changes_nothing() {
    works_again(async |scene| scene.supervisor.which_children().await).await;
    works_again(async |scene| scene.supervisor.which_child("worker").await).await;
    works_again(async |scene| scene.supervisor.child_spec("worker").await).await;
    works_again(async |scene| scene.supervisor.count_children().await).await;
    works_again(async |scene| scene.supervisor.child("worker").await).await;
    let application = |scene: &Scene| scene.services().application().unwrap();
    works_again(async |scene| application(scene).supervisor("team").await).await;
    works_again(async |scene| application(scene).dynamic_supervisor("crowd").await).await;
    works_again(async |scene| application(scene).task_supervisor("tasks").await).await;
    works_again(async |scene| Ok::<_, ()>(scene.supervisor.tree().await)).await;
}

// covers: Supervisor::replace_child, DynamicSupervisor::replace_child
#[tokio::test(start_paused = true)]
async fn a_replacement_that_is_no_longer_awaited_continues_or_never_begins() {
    dropped_at_each_poll(
        async |scene| {
            scene.worker.next(Moment::Starting, TAKES_LONG);
            scene.supervisor.replace_child(scene.worker.spec()).await
        },
        async |scene, _| {
            // The first successor may still be starting: it finds that its predecessor is gone, and is stopped.
            scene.supervisor.replace_child(scene.worker.spec()).await.unwrap();
            scene.supervisor.terminate_child("worker").await.unwrap();
            let nobody_is_left = comes_true(async || {
                tokio::time::advance(Duration::from_millis(100)).await;
                scene.worker.alive() == 0
            });
            assert!(nobody_is_left.await, "a successor whose place is gone lives on");
        },
    )
    .await;
    dropped_at_each_poll(
        async |scene| scene.dynamic.replace_child(scene.other.id(), scene.other.spec()).await,
        async |scene, _| {
            scene.dynamic.count_children().await.unwrap();
            scene.dynamic.terminate_child(scene.other.id()).await.or_else(unless_not_found).unwrap();
            scene.dynamic.start_child(scene.other.spec()).await.unwrap();
        },
    )
    .await;
}

// covers: Supervisor::health
#[tokio::test(start_paused = true)]
async fn a_query_of_the_health_of_children_may_be_cancelled() {
    works_again(async |scene| scene.supervisor.health(&HealthLimits::new()).await.ok_or(())).await;
}

// covers: Supervisor::reconfigure, DynamicSupervisor::reconfigure
#[tokio::test(start_paused = true)]
async fn a_cancelled_reconfiguration_is_applied_completely_or_not_at_all() {
    works_again(async |scene| {
        let spec = SupervisorSpec::new(Strategy::OneForAll).auto_shutdown(AutoShutdown::Never);
        scene.supervisor.reconfigure(spec.child(scene.worker.spec())).await
    })
    .await;
    works_again(async |scene| scene.dynamic.reconfigure(DynamicSupervisorSpec::default().max_children(7)).await).await;
}

// covers: Supervisor::start, DynamicSupervisor::start
#[tokio::test(start_paused = true)]
async fn a_supervisor_whose_start_is_cancelled_leaves_no_actor_behind() {
    dropped_at_each_poll(
        async |scene| {
            let spec =
                SupervisorSpec::new(Strategy::OneForOne).child(scene.puppet("first").spec()).child(slow(scene).spec());
            Supervisor::start("alone", spec).await.unwrap().shutdown().await;
        },
        async |scene, _| {
            let spec = SupervisorSpec::new(Strategy::OneForOne).child(scene.worker.spec());
            Supervisor::start("alone", spec).await.unwrap().shutdown().await;
        },
    )
    .await;
    dropped_at_each_poll(
        async |_| DynamicSupervisor::start("alone", DynamicSupervisorSpec::default()).await.unwrap().shutdown().await,
        async |_, _| {
            DynamicSupervisor::start("alone", DynamicSupervisorSpec::default()).await.unwrap().shutdown().await
        },
    )
    .await;
}

// covers: Supervisor::shutdown, Supervisor::wait_until_gone, DynamicSupervisor::shutdown
#[tokio::test(start_paused = true)]
async fn a_shutdown_of_a_supervisor_continues_when_it_is_no_longer_awaited() {
    dropped_at_each_poll(
        async |scene| {
            scene.worker.next(Moment::Stopping, TAKES_LONG);
            scene.supervisor.shutdown().await;
        },
        async |scene, ended| {
            let is_to_stop = ended.is_some();
            scene.supervisor.shutdown().await;
            scene.supervisor.wait_until_gone().await;
            assert!(!is_to_stop || scene.worker.alive() <= 1);
        },
    )
    .await;
    dropped_at_each_poll(async |scene| scene.dynamic.shutdown().await, async |scene, _| scene.dynamic.shutdown().await)
        .await;
    dropped_at_each_poll(
        async |scene| {
            let _ = scene.supervisor.wait_until_gone().now_or_never();
            scene.supervisor.actor().stop(None);
            scene.supervisor.wait_until_gone().await;
        },
        async |scene, _| {
            scene.supervisor.actor().stop(None);
            scene.supervisor.wait_until_gone().await;
        },
    )
    .await;
}

// covers: DynamicSupervisor::start_child, DynamicSupervisor::start_child_with_extra
// covers: DynamicSupervisor::terminate_child, DynamicSupervisor::which_child, DynamicSupervisor::which_children
// covers: DynamicSupervisor::count_children, DynamicSupervisor::child_spec, DynamicSupervisor::tree
#[tokio::test(start_paused = true)]
async fn requests_to_a_dynamic_supervisor_may_be_cancelled() {
    works_again(async |scene| scene.dynamic.which_children().await).await;
    works_again(async |scene| scene.dynamic.which_child(scene.other.id()).await).await;
    works_again(async |scene| scene.dynamic.child_spec(scene.other.id()).await).await;
    works_again(async |scene| scene.dynamic.count_children().await).await;
    works_again(async |scene| Ok::<_, ()>(scene.dynamic.tree().await)).await;
    works_again(async |scene| scene.dynamic.start_child(slow(scene).spec()).await).await;
    works_again(async |scene| scene.dynamic.start_child_with_extra(slow(scene).spec()).await).await;
    dropped_at_each_poll(
        async |scene| {
            scene.other.next(Moment::Stopping, TAKES_LONG);
            scene.dynamic.terminate_child(scene.other.id()).await
        },
        async |scene, _| {
            scene.dynamic.terminate_child(scene.other.id()).await.or_else(unless_not_found).unwrap();
            assert_eq!(scene.other.alive(), 0);
            scene.dynamic.start_child(scene.other.spec()).await.unwrap();
        },
    )
    .await;
}

// covers: PartitionSupervisor::count_children, PartitionSupervisor::which_children, PartitionSupervisor::resize
// covers: PartitionSupervisor::shutdown, PartitionSupervisor::start
#[tokio::test(start_paused = true)]
async fn partitions_may_be_resized_again_after_a_cancelled_resize() {
    works_again(async |scene| scene.shards.count_children().await).await;
    works_again(async |scene| scene.shards.which_children().await).await;
    for wanted in [1, 3] {
        dropped_at_each_poll(
            async |scene| {
                scene.shards.resize(2).await.unwrap();
                scene.shard.iter().for_each(|shard| shard.next(Moment::Stopping, TAKES_LONG));
                scene.shard.iter().for_each(|shard| shard.next(Moment::Starting, TAKES_LONG));
                scene.shards.resize(wanted).await
            },
            async |scene, _| {
                scene.shards.resize(3).await.unwrap();
                let alive: Vec<_> = scene.shard.iter().map(Puppet::alive).collect();
                assert_eq!((alive, scene.shards.running().len()), (vec![1, 1, 1], 3));
            },
        )
        .await;
    }
    dropped_at_each_poll(async |scene| scene.shards.shutdown().await, async |scene, _| scene.shards.shutdown().await)
        .await;
    dropped_at_each_poll(
        async |scene| {
            let puppet = scene.puppet("alone");
            let spec = foundation::PartitionSupervisorSpec::workers(2, move |_| (puppet.actor(), ())).unwrap();
            foundation::PartitionSupervisor::start("alone", spec).await.unwrap().shutdown().await;
        },
        async |_, _| {},
    )
    .await;
}
