//! Requests to supervisors: a request is carried out or not, and the supervisor goes on.

use std::time::Duration;

use foundation::supervision::{AutoShutdown, DynamicSupervisor, DynamicSupervisorSpec, HealthLimits, SupervisorSpec};
use foundation::{Strategy, Supervisor};
use foundation_testkit::{Behavior, Moment, Puppet};
use futures::FutureExt;

use super::fixture::{Fixture, comes_true, dropped_at_each_poll, unless_not_found, works_again};

const TAKES_LONG: Behavior = Behavior::Take(Duration::from_secs(1));

/// A child that starts slowly.
fn slow(fixture: &Fixture) -> Puppet {
    let slow = fixture.puppet("slow");
    slow.always(Moment::Starting, TAKES_LONG);
    slow
}

/// Every child of the supervisor runs or is stopped, and none runs twice.
async fn is_in_order(fixture: &Fixture) {
    let children = fixture.supervisor.which_children().await.unwrap();
    let _ = children;
    assert_eq!((fixture.worker.overlaps(), fixture.other.overlaps()), (0, 0));
}

// covers: Supervisor::start_child, Supervisor::start_child_with_extra
#[tokio::test(start_paused = true)]
async fn a_start_that_is_no_longer_awaited_continues_or_never_begins() {
    for extra in [false, true] {
        dropped_at_each_poll(
            async |fixture| {
                let spec = slow(fixture).spec();
                match extra {
                    true => fixture.supervisor.start_child_with_extra(spec).await.map(drop),
                    false => fixture.supervisor.start_child(spec).await.map(drop),
                }
            },
            async |fixture, _| {
                // It may be under way: then the termination awaits it and ends it.
                fixture.supervisor.terminate_child("slow").await.or_else(unless_not_found).unwrap();
                fixture.supervisor.delete_child("slow").await.or_else(unless_not_found).unwrap();
                fixture.supervisor.start_child(slow(fixture).spec()).await.unwrap();
                is_in_order(fixture).await;
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
        async |fixture| {
            fixture.worker.next(Moment::Stopping, TAKES_LONG);
            fixture.supervisor.terminate_child("worker").await
        },
        async |fixture, _| {
            fixture.supervisor.terminate_child("worker").await.unwrap();
            assert_eq!(fixture.worker.alive(), 0);
            fixture.supervisor.restart_child("worker").await.unwrap();
            is_in_order(fixture).await;
        },
    )
    .await;
    for extra in [false, true] {
        dropped_at_each_poll(
            async |fixture| {
                fixture.supervisor.terminate_child("worker").await.unwrap();
                fixture.worker.next(Moment::Starting, TAKES_LONG);
                match extra {
                    true => fixture.supervisor.restart_child_with_extra("worker").await.map(drop),
                    false => fixture.supervisor.restart_child("worker").await.map(drop),
                }
            },
            async |fixture, _| {
                fixture.supervisor.terminate_child("worker").await.unwrap();
                fixture.supervisor.restart_child("worker").await.unwrap();
                assert_eq!(fixture.worker.alive(), 1);
            },
        )
        .await;
    }
    dropped_at_each_poll(
        async |fixture| {
            fixture.supervisor.terminate_child("worker").await.unwrap();
            fixture.supervisor.delete_child("worker").await
        },
        async |fixture, _| {
            fixture.supervisor.terminate_child("worker").await.or_else(unless_not_found).unwrap();
            fixture.supervisor.delete_child("worker").await.or_else(unless_not_found).unwrap();
            fixture.supervisor.start_child(fixture.worker.spec()).await.unwrap();
        },
    )
    .await;
}

// covers: Supervisor::which_children, Supervisor::which_child, Supervisor::child_spec, Supervisor::count_children
// covers: Supervisor::child, Supervisor::supervisor, Supervisor::dynamic_supervisor, Supervisor::tree
// covers: Supervisor::task_supervisor
#[tokio::test(start_paused = true)]
async fn a_query_that_is_no_longer_awaited_changes_nothing() {
    works_again(async |fixture| fixture.supervisor.which_children().await).await;
    works_again(async |fixture| fixture.supervisor.which_child("worker").await).await;
    works_again(async |fixture| fixture.supervisor.child_spec("worker").await).await;
    works_again(async |fixture| fixture.supervisor.count_children().await).await;
    works_again(async |fixture| fixture.supervisor.child("worker").await).await;
    let application = |fixture: &Fixture| fixture.services().application().unwrap();
    works_again(async |fixture| application(fixture).supervisor("team").await).await;
    works_again(async |fixture| application(fixture).dynamic_supervisor("crowd").await).await;
    works_again(async |fixture| application(fixture).task_supervisor("tasks").await).await;
    works_again(async |fixture| Ok::<_, ()>(fixture.supervisor.tree().await)).await;
}

// covers: Supervisor::replace_child, DynamicSupervisor::replace_child
#[tokio::test(start_paused = true)]
async fn a_replacement_that_is_no_longer_awaited_continues_or_never_begins() {
    dropped_at_each_poll(
        async |fixture| {
            fixture.worker.next(Moment::Starting, TAKES_LONG);
            fixture.supervisor.replace_child(fixture.worker.spec()).await
        },
        async |fixture, _| {
            // The first successor may still be starting: it finds that its predecessor is gone, and is stopped.
            fixture.supervisor.replace_child(fixture.worker.spec()).await.unwrap();
            fixture.supervisor.terminate_child("worker").await.unwrap();
            let all_are_gone = comes_true(async || {
                tokio::time::advance(Duration::from_millis(100)).await;
                fixture.worker.alive() == 0
            });
            assert!(all_are_gone.await, "a successor whose place is gone lives on");
        },
    )
    .await;
    dropped_at_each_poll(
        async |fixture| fixture.dynamic.replace_child(fixture.other.id(), fixture.other.spec()).await,
        async |fixture, _| {
            fixture.dynamic.count_children().await.unwrap();
            fixture.dynamic.terminate_child(fixture.other.id()).await.or_else(unless_not_found).unwrap();
            fixture.dynamic.start_child(fixture.other.spec()).await.unwrap();
        },
    )
    .await;
}

// covers: Supervisor::health
#[tokio::test(start_paused = true)]
async fn a_query_of_the_health_of_children_may_be_cancelled() {
    works_again(async |fixture| fixture.supervisor.health(&HealthLimits::new()).await.ok_or(())).await;
}

// covers: Supervisor::reconfigure, Supervisor::reconfigure_child, DynamicSupervisor::reconfigure
#[tokio::test(start_paused = true)]
async fn a_cancelled_reconfiguration_is_applied_completely_or_not_at_all() {
    works_again(async |fixture| {
        let spec = SupervisorSpec::new(Strategy::OneForAll).auto_shutdown(AutoShutdown::Never);
        fixture.supervisor.reconfigure(spec.child(fixture.worker.spec())).await
    })
    .await;
    works_again(async |fixture| fixture.supervisor.reconfigure_child(fixture.worker.spec()).await).await;
    works_again(async |fixture| fixture.dynamic.reconfigure(DynamicSupervisorSpec::default().max_children(7)).await)
        .await;
}

// covers: Supervisor::start, DynamicSupervisor::start
#[tokio::test(start_paused = true)]
async fn a_supervisor_whose_start_is_cancelled_leaves_no_actor_behind() {
    dropped_at_each_poll(
        async |fixture| {
            let spec = SupervisorSpec::new(Strategy::OneForOne)
                .child(fixture.puppet("first").spec())
                .child(slow(fixture).spec());
            Supervisor::start("alone", spec).await.unwrap().shutdown().await;
        },
        async |fixture, _| {
            let spec = SupervisorSpec::new(Strategy::OneForOne).child(fixture.worker.spec());
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
        async |fixture| {
            fixture.worker.next(Moment::Stopping, TAKES_LONG);
            fixture.supervisor.shutdown().await;
        },
        async |fixture, ended| {
            let is_to_stop = ended.is_some();
            fixture.supervisor.shutdown().await;
            fixture.supervisor.wait_until_gone().await;
            assert!(!is_to_stop || fixture.worker.alive() <= 1);
        },
    )
    .await;
    dropped_at_each_poll(
        async |fixture| fixture.dynamic.shutdown().await,
        async |fixture, _| fixture.dynamic.shutdown().await,
    )
    .await;
    dropped_at_each_poll(
        async |fixture| {
            let _ = fixture.supervisor.wait_until_gone().now_or_never();
            fixture.supervisor.actor().unwrap().stop(None);
            fixture.supervisor.wait_until_gone().await;
        },
        async |fixture, _| {
            fixture.supervisor.actor().unwrap().stop(None);
            fixture.supervisor.wait_until_gone().await;
        },
    )
    .await;
}

// covers: DynamicSupervisor::start_child, DynamicSupervisor::start_child_with_extra
// covers: DynamicSupervisor::terminate_child, DynamicSupervisor::which_child, DynamicSupervisor::which_children
// covers: DynamicSupervisor::count_children, DynamicSupervisor::child_spec, DynamicSupervisor::tree
#[tokio::test(start_paused = true)]
async fn requests_to_a_dynamic_supervisor_may_be_cancelled() {
    works_again(async |fixture| fixture.dynamic.which_children().await).await;
    works_again(async |fixture| fixture.dynamic.which_child(fixture.other.id()).await).await;
    works_again(async |fixture| fixture.dynamic.child_spec(fixture.other.id()).await).await;
    works_again(async |fixture| fixture.dynamic.count_children().await).await;
    works_again(async |fixture| Ok::<_, ()>(fixture.dynamic.tree().await)).await;
    works_again(async |fixture| fixture.dynamic.start_child(slow(fixture).spec()).await).await;
    works_again(async |fixture| fixture.dynamic.start_child_with_extra(slow(fixture).spec()).await).await;
    dropped_at_each_poll(
        async |fixture| {
            fixture.other.next(Moment::Stopping, TAKES_LONG);
            fixture.dynamic.terminate_child(fixture.other.id()).await
        },
        async |fixture, _| {
            fixture.dynamic.terminate_child(fixture.other.id()).await.or_else(unless_not_found).unwrap();
            assert_eq!(fixture.other.alive(), 0);
            fixture.dynamic.start_child(fixture.other.spec()).await.unwrap();
        },
    )
    .await;
}

// covers: PartitionSupervisor::count_children, PartitionSupervisor::which_children, PartitionSupervisor::resize
// covers: PartitionSupervisor::shutdown, PartitionSupervisor::start
#[tokio::test(start_paused = true)]
async fn partitions_may_be_resized_again_after_a_cancelled_resize() {
    works_again(async |fixture| fixture.shards.count_children().await).await;
    works_again(async |fixture| fixture.shards.which_children().await).await;
    for wanted in [1, 3] {
        dropped_at_each_poll(
            async |fixture| {
                fixture.shards.resize(2).await.unwrap();
                fixture.shard.iter().for_each(|shard| shard.next(Moment::Stopping, TAKES_LONG));
                fixture.shard.iter().for_each(|shard| shard.next(Moment::Starting, TAKES_LONG));
                fixture.shards.resize(wanted).await
            },
            async |fixture, _| {
                fixture.shards.resize(3).await.unwrap();
                let alive: Vec<_> = fixture.shard.iter().map(Puppet::alive).collect();
                assert_eq!((alive, fixture.shards.running().len()), (vec![1, 1, 1], 3));
            },
        )
        .await;
    }
    dropped_at_each_poll(
        async |fixture| fixture.shards.shutdown().await,
        async |fixture, _| fixture.shards.shutdown().await,
    )
    .await;
    dropped_at_each_poll(
        async |fixture| {
            let puppet = fixture.puppet("alone");
            let spec =
                foundation::supervision::PartitionSupervisorSpec::workers(2, move |_| (puppet.actor(), ())).unwrap();
            foundation::supervision::PartitionSupervisor::start("alone", spec).await.unwrap().shutdown().await;
        },
        async |_, _| {},
    )
    .await;
}

// covers: TreeWatch::snapshot, TreeWatch::next
#[tokio::test(start_paused = true)]
async fn a_reader_that_follows_the_tree_may_be_cancelled() {
    dropped_at_each_poll(
        async |fixture| {
            let mut watch = fixture.services().watch_tree();
            watch.snapshot().await;
            fixture.worker.latest().kill();
            watch.next().await.unwrap()
        },
        async |fixture, _| {
            let mut watch = fixture.services().watch_tree();
            assert!(watch.snapshot().await.find("application/team").is_ok());
        },
    )
    .await;
}
