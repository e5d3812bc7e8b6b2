//! Lookups beside restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foundation::Restart;
use foundation::supervision::{PartitionError, PartitionSupervisor, RestartIntensity};
use foundation_testkit::{Behavior, Command, Gate, Moment, assert_error, soon, until};
use tokio::task::yield_now;

use super::{Hall, running};

#[tokio::test]
async fn part_8_a_lookup_finds_the_replacement() {
    let hall = Hall::of(2);
    let (shards, mut reports) = hall.open().await;
    let before = hall.ids();
    hall.puppets[1].order(Command::Panic("oh"));
    let replacement = reports.restarted("1").await;
    assert_eq!(running(&shards), [before[0], replacement]);
    shards.shutdown().await;
}

#[tokio::test]
async fn part_8_a_partition_that_restarts_is_down_and_the_others_are_not() {
    let hall = Hall::of(2);
    let (shards, mut reports) = hall.open().await;
    let gate = Gate::new();
    hall.puppets[1].next(Moment::Starting, Behavior::Wait(gate.clone()));
    hall.puppets[1].order(Command::Fail("broken"));
    hall.log.reached("1", Moment::Starting, 2).await;
    assert!(matches!(shards.lookup(&1).unwrap_err(), PartitionError::Down { partition: 1 }));
    assert_eq!(shards.lookup(&2).unwrap().get_id(), hall.puppets[0].id());
    gate.open();
    let replacement = reports.restarted("1").await;
    assert_eq!(shards.lookup(&1).unwrap().get_id(), replacement);
    shards.shutdown().await;
}

/// Its end has not been processed yet, and still the lookup does not find it.
#[tokio::test]
async fn part_8_an_actor_that_is_leaving_is_not_found() {
    let hall = Hall::of(1);
    let (shards, mut reports) = hall.open().await;
    let gate = Gate::new();
    hall.puppets[0].next(Moment::Stopping, Behavior::Wait(gate.clone()));
    hall.puppets[0].order(Command::Stop(None));
    hall.log.reached("0", Moment::Stopping, 1).await;
    assert!(matches!(shards.at(0).unwrap_err(), PartitionError::Down { partition: 0 }));
    gate.open();
    reports.restarted("0").await;
    assert_eq!(running(&shards), hall.ids());
    shards.shutdown().await;
}

#[tokio::test]
async fn part_8_a_partition_that_is_not_restarted_stays_down() {
    let hall = Hall::of(2);
    let shards = PartitionSupervisor::start("shards", hall.spec().restart(Restart::Transient)).await.unwrap();
    hall.puppets[0].order(Command::Stop(None));
    hall.log.reached("0", Moment::Dropped, 1).await;
    assert!(matches!(shards.at(0).unwrap_err(), PartitionError::Down { partition: 0 }));
    assert_eq!(shards.running().len(), 1);
    // The next resize starts a partition that is down.
    shards.resize(2).await.unwrap();
    assert_eq!(running(&shards), hall.ids());
    shards.shutdown().await;
}

#[tokio::test]
async fn part_8_the_reference_to_a_partitions_actor_is_dropped_when_it_has_ended() {
    let hall = Hall::of(1);
    let shards = PartitionSupervisor::start("shards", hall.spec().restart(Restart::Temporary)).await.unwrap();
    let actor = shards.at(0).unwrap();
    actor.kill();
    until("its end", async || shards.count_children().await.unwrap().specs == 0).await;
    assert_error!(shards.at(0), PartitionError::Down { .. });
    // Temporary: only a restart of the supervisor brings it back, and a resize reports that.
    assert!(matches!(shards.resize(1).await.unwrap_err(), PartitionError::Child(_)));
    shards.resize(0).await.unwrap();
    shards.shutdown().await;
}

/// A lookup returns an actor that lived at that moment, or reports that the partition is down. It never returns a
/// predecessor of an actor that it has returned before.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn part_8_lookups_beside_restarts_never_go_back_in_time() {
    let hall = Hall::of(4);
    let intensity = RestartIntensity::new(u32::MAX, Duration::from_secs(3600));
    let shards = PartitionSupervisor::start("shards", hall.spec().intensity(intensity)).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (shards, done) = (shards.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let (mut latest, mut changes) = ([0u64; 4], 0);
                while !done.load(Ordering::Relaxed) {
                    for (partition, latest) in latest.iter_mut().enumerate() {
                        let Ok(actor) = shards.lookup(&partition) else { continue };
                        let id = actor.get_id().pid();
                        assert!(id >= *latest, "{id} after {latest}");
                        changes += usize::from(id > *latest);
                        *latest = id;
                    }
                    yield_now().await;
                }
                changes
            })
        })
        .collect();
    for round in 0..500 {
        let puppet = &hall.puppets[round % 4];
        let before = puppet.id();
        match round % 3 {
            0 => puppet.latest().kill(),
            1 => puppet.order(Command::Panic("oh")),
            _ => puppet.order(Command::Stop(None)),
        }
        until("the replacement", async || shards.at(round % 4).is_ok_and(|actor| actor.get_id() != before)).await;
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(soon("a reader", reader).await.unwrap() >= 4);
    }
    assert_eq!(running(&shards), hall.ids());
    soon("the shutdown", shards.shutdown()).await;
    assert_eq!(hall.alive(), [0; 4]);
    assert!(hall.puppets.iter().all(|puppet| puppet.overlaps() == 0));
}
