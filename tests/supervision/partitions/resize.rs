//! Reducing the number of partitions, and increasing it again.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use foundation::supervision::{ChildError, PartitionError, StartError};
use foundation_testkit::{Behavior, Gate, Moment, soon};

use super::{Hall, running};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn part_8_a_resize_stops_partitions_and_starts_them_again() {
    let hall = Hall::of(4);
    let (shards, _reports) = hall.open().await;
    let before = hall.ids();
    shards.resize(2).await.unwrap();
    assert_eq!((shards.partitions(), hall.alive()), (2, vec![1, 1, 0, 0]));
    assert_eq!(running(&shards), before[..2]);
    assert_eq!(hall.log.of(&[Moment::Down]), ["3 down", "2 down"]);
    let count = shards.count_children().await.unwrap();
    assert_eq!((count.specs, count.active), (4, 2));
    // Keys are routed among the remaining partitions.
    assert_eq!(shards.partition_of(&7).unwrap(), 1);
    assert!(matches!(shards.at(2).unwrap_err(), PartitionError::NotFound { asked: 2, partitions: 2 }));

    shards.resize(3).await.unwrap();
    assert_eq!((shards.partitions(), hall.alive()), (3, vec![1, 1, 1, 0]));
    shards.resize(4).await.unwrap();
    assert_eq!(running(&shards), hall.ids());
    // The remaining partitions are unchanged.
    assert_eq!(hall.ids()[..2], before[..2]);
    assert_eq!(shards.partition_of(&7).unwrap(), 3);
    shards.shutdown().await;
}

#[tokio::test]
async fn part_8_a_resize_to_the_same_number_changes_nothing() {
    let hall = Hall::of(2);
    let (shards, _reports) = hall.open().await;
    let before = hall.ids();
    shards.resize(2).await.unwrap();
    assert_eq!(running(&shards), before);
    shards.shutdown().await;
}

#[tokio::test]
async fn part_8_a_lookup_after_a_resize_to_zero_is_an_error() {
    let hall = Hall::of(2);
    let (shards, _reports) = hall.open().await;
    shards.resize(0).await.unwrap();
    assert_eq!((shards.partitions(), hall.alive()), (0, vec![0, 0]));
    assert!(matches!(shards.lookup(&1).unwrap_err(), PartitionError::NoPartitions { started: 2 }));
    assert!(matches!(shards.partition_of("a").unwrap_err(), PartitionError::NoPartitions { .. }));
    shards.resize(2).await.unwrap();
    assert_eq!(shards.lookup(&1).unwrap().get_id(), hall.puppets[1].id());
    shards.shutdown().await;
}

#[tokio::test]
async fn part_8_there_are_never_more_partitions_than_at_the_start() {
    let hall = Hall::of(2);
    let (shards, _reports) = hall.open().await;
    let before = hall.ids();
    shards.resize(1).await.unwrap();
    let error = shards.resize(3).await.unwrap_err();
    assert!(matches!(error, PartitionError::TooMany { asked: 3, started: 2 }), "{error}");
    assert_eq!(running(&shards), before[..1]);
    shards.shutdown().await;
}

#[tokio::test]
async fn part_8_a_resize_that_fails_leaves_as_many_as_before() {
    let hall = Hall::of(4);
    let (shards, _reports) = hall.open().await;
    shards.resize(1).await.unwrap();
    hall.puppets[2].next(Moment::Starting, Behavior::Fail("no room"));
    let error = shards.resize(4).await.unwrap_err();
    let PartitionError::Child(ChildError::Start { id, error: StartError::Failed(_) }) = &error else {
        panic!("{error}");
    };
    assert_eq!(id.as_str(), "2");
    assert_eq!((shards.partitions(), hall.alive()), (1, vec![1, 0, 0, 0]));
    shards.resize(4).await.unwrap();
    assert_eq!(hall.alive(), [1, 1, 1, 1]);
    shards.shutdown().await;
}

/// No key is routed to a partition that is being stopped, and the next resize completes an incomplete one.
#[tokio::test]
async fn part_8_a_cancelled_resize_is_completed_by_the_next_one() {
    let hall = Hall::of(3);
    let (shards, _reports) = hall.open().await;
    let gate = Gate::new();
    hall.puppets[2].next(Moment::Stopping, Behavior::Wait(gate.clone()));
    let mut resize = Box::pin(shards.resize(1));
    assert!(futures::poll!(&mut resize).is_pending());
    hall.log.reached("2", Moment::Stopping, 1).await;
    assert_eq!((shards.partitions(), running(&shards).len()), (1, 1));
    drop(resize);
    gate.open();
    soon("a resize", shards.resize(3)).await.unwrap();
    assert_eq!(hall.alive(), [1, 1, 1]);
    assert_eq!(running(&shards), hall.ids());
    soon("a resize", shards.resize(1)).await.unwrap();
    assert_eq!(hall.alive(), [1, 0, 0]);
    shards.shutdown().await;
}

#[tokio::test]
async fn part_8_resizes_run_one_after_the_other() {
    let hall = Hall::of(8);
    let (shards, _reports) = hall.open().await;
    let resizes = (0..40usize).map(|n| {
        let shards = shards.clone();
        async move { shards.resize((n * 5) % 9).await.unwrap() }
    });
    soon("the resizes", futures::future::join_all(resizes)).await;
    let open = shards.partitions();
    assert_eq!(hall.alive().iter().sum::<usize>(), open);
    assert_eq!(running(&shards).len(), open);
    shards.shutdown().await;
    assert!(hall.puppets.iter().all(|puppet| puppet.overlaps() == 0));
}

/// Cancelled at each of its polls, with partitions that stop and start slowly: the next one completes the change.
#[tokio::test(start_paused = true)]
async fn part_8_a_resize_that_is_cancelled_at_any_poll_is_completed_by_the_next() {
    for (from, to) in [(3, 1), (1, 3), (3, 0), (0, 2)] {
        for polls in 1.. {
            let hall = Hall::of(3);
            let (shards, _reports) = hall.open().await;
            shards.resize(from).await.unwrap();
            for puppet in &*hall.puppets {
                puppet.always(Moment::Stopping, Behavior::Take(SECOND));
                puppet.always(Moment::Starting, Behavior::Take(SECOND));
            }
            let is_over = poll_and_drop(polls, shards.resize(to)).await;
            soon("the next resize", shards.resize(3)).await.unwrap();
            assert_eq!((shards.partitions(), hall.alive()), (3, vec![1; 3]), "{from} to {to}, {polls} polls");
            assert_eq!(running(&shards), hall.ids(), "{from} to {to}, {polls} polls");
            shards.shutdown().await;
            if is_over {
                break;
            }
        }
    }
}

/// Polls a future at most this many times, whenever it is woken, and drops it; returns whether it was complete by then.
async fn poll_and_drop(polls: usize, future: impl Future) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(_) => Poll::Ready(true),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(false) } else { Poll::Pending }
        }
    })
    .await
}

/// It begins as it was specified: its handle survives, and its resized number of partitions does not.
#[tokio::test]
async fn a_supervisor_that_restarts_has_as_many_partitions_as_at_its_first_start() {
    let hall = Hall::of(3);
    let (reporter, mut reports) = foundation_testkit::reports();
    let (top, shards) = super::within(hall.spec(), reporter).await;
    shards.resize(1).await.unwrap();
    let listed: Vec<_> = shards.which_children().await.unwrap().iter().map(|child| child.id.to_string()).collect();
    assert_eq!(listed, ["2", "1", "0"], "those that were resized away included, the last one first");
    assert_eq!(shards.count_children().await.unwrap().active, 1);
    shards.supervisor().unwrap().shutdown().await;
    reports.restarted("shards").await;
    assert_eq!((shards.partitions(), running(&shards)), (3, hall.ids()));
    soon("the end", top.shutdown()).await;
    assert_eq!(hall.alive(), [0; 3]);
}

/// Both after its end and after it was resized away.
#[tokio::test]
async fn a_temporary_partition_is_restarted_only_with_its_supervisor() {
    let hall = Hall::of(2);
    let (reporter, mut reports) = foundation_testkit::reports();
    let (top, shards) = super::within(hall.spec().restart(foundation::Restart::Temporary), reporter).await;
    shards.resize(1).await.unwrap();
    let refused = shards.resize(2).await.unwrap_err();
    assert!(matches!(refused, PartitionError::Child(_)), "{refused}");
    assert_eq!(shards.partitions(), 1, "there are as many as before");
    shards.supervisor().unwrap().shutdown().await;
    reports.restarted("shards").await;
    assert_eq!(running(&shards), hall.ids());
    soon("the end", top.shutdown()).await;
}
