//! Starting and stopping, and refused specifications.

use foundation::ractor::ActorRef;
use foundation::supervision::{
    ChildError, DynamicSupervisorSpec, PartitionError, PartitionSupervisor, PartitionSupervisorSpec, SpecError,
    StartError, SupervisorSpec,
};
use foundation::{ChildSpec, Strategy, Supervisor};
use foundation_testkit::{Behavior, Command, Log, Moment, Puppet, reports, soon, until};

use super::{Hall, running, within};

#[tokio::test]
async fn part_8_each_partition_is_started_with_its_number() {
    let hall = Hall::of(3);
    let (shards, _reports) = hall.open().await;
    assert_eq!(hall.log.of(&[Moment::Up]), ["0 up", "1 up", "2 up"]);
    assert_eq!(running(&shards), hall.ids());
    for (partition, puppet) in hall.puppets.iter().enumerate() {
        assert_eq!(shards.at(partition).unwrap().get_id(), puppet.id());
    }
    shards.shutdown().await;
}

#[tokio::test]
async fn part_8_no_partitions_and_far_too_many_are_refused() {
    for asked in [0, 65_537, usize::MAX] {
        let puppet = Puppet::new("a", &Log::new());
        let refused = PartitionSupervisorSpec::workers(asked, move |_| (puppet.actor(), ())).err().unwrap();
        assert!(matches!(&refused, SpecError::Partitions { asked: found, .. } if *found == asked), "{refused}");
        let refused = PartitionSupervisorSpec::task_supervisors(asked, |_| DynamicSupervisorSpec::default()).err();
        assert!(matches!(refused, Some(SpecError::Partitions { .. })));
    }
}

#[tokio::test]
async fn part_8_a_partition_that_does_not_start_is_the_error_of_the_start() {
    let hall = Hall::of(3);
    hall.puppets[1].next(Moment::Starting, Behavior::Fail("no room"));
    let error = PartitionSupervisor::start("shards", hall.spec()).await.unwrap_err();
    assert!(matches!(&error, StartError::Child { id, .. } if id.as_str() == "1"), "{error}");
    assert!(error.to_string().contains("no room"), "{error}");
    assert_eq!(hall.alive(), [0, 0, 0]);
}

#[tokio::test]
async fn part_8_a_start_function_that_panics_is_the_error_of_the_start() {
    let puppet = Puppet::new("a", &Log::new());
    let spec = PartitionSupervisorSpec::workers(2, move |partition| {
        assert_ne!(partition, 1, "no such thing");
        (puppet.actor(), ())
    });
    let error = PartitionSupervisor::start("shards", spec.unwrap()).await.unwrap_err();
    assert!(matches!(error.root_cause(), StartError::Panicked(text) if text.contains("no such thing")), "{error}");
}

#[tokio::test]
async fn part_8_a_specification_is_started_once_at_a_time() {
    let hall = Hall::of(2);
    let spec = hall.spec();
    let shards = PartitionSupervisor::start("shards", spec.clone()).await.unwrap();
    let first = hall.ids();
    let error = PartitionSupervisor::start("others", spec.clone()).await.unwrap_err();
    assert!(error.to_string().contains("runs elsewhere"), "{error}");
    assert_eq!(running(&shards), first);
    shards.shutdown().await;
    let again = PartitionSupervisor::start("others", spec).await.unwrap();
    assert_eq!(running(&again), hall.ids());
    again.shutdown().await;
}

#[tokio::test]
async fn part_8_a_shutdown_stops_the_last_partition_first_and_is_over_when_all_are_gone() {
    let hall = Hall::of(3);
    let (shards, _reports) = hall.open().await;
    soon("the shutdown", shards.shutdown()).await;
    assert_eq!(hall.log.of(&[Moment::Dropped]), ["2 dropped", "1 dropped", "0 dropped"]);
    assert_eq!(running(&shards), []);
    assert!(matches!(shards.lookup("a").unwrap_err(), PartitionError::Down { .. }));
    soon("another shutdown", shards.shutdown()).await;
}

#[tokio::test]
async fn part_8_partitions_that_are_not_started_are_down_and_not_running() {
    for handle in [Hall::of(2).spec().handle(), {
        let (shards, _reports) = Hall::of(2).open().await;
        shards.shutdown().await;
        shards
    }] {
        assert_eq!(handle.partitions(), 2);
        assert!(matches!(handle.at(0).unwrap_err(), PartitionError::Down { partition: 0 }));
        assert!(matches!(handle.which_children().await.unwrap_err(), ChildError::NotRunning { .. }));
        assert!(matches!(handle.count_children().await.unwrap_err(), ChildError::NotRunning { .. }));
        let error = handle.resize(1).await.unwrap_err();
        assert!(matches!(error, PartitionError::Child(ChildError::NotRunning { .. })), "{error}");
        handle.shutdown().await;
    }
}

#[tokio::test]
async fn part_8_two_partition_supervisors_run_side_by_side_under_their_ids() {
    let (mail, print) = (Hall::of(2), Hall::of(3));
    let (mails, prints) = (mail.spec(), print.spec());
    let handles = (mails.handle(), prints.handle());
    let children = [ChildSpec::partition_supervisor("mail", mails), ChildSpec::partition_supervisor("print", prints)];
    let spec = SupervisorSpec::new(Strategy::OneForOne).children(children);
    let top = Supervisor::start("top", spec).await.unwrap();
    let count = top.count_children().await.unwrap();
    assert_eq!((count.specs, count.supervisors), (2, 2));
    assert_eq!((running(&handles.0), running(&handles.1)), (mail.ids(), print.ids()));
    soon("the shutdown", top.shutdown()).await;
    assert_eq!((mail.alive(), print.alive()), (vec![0; 2], vec![0; 3]));
}

#[tokio::test]
async fn part_8_partitions_are_listed_and_counted_as_children() {
    let hall = Hall::of(3);
    let (shards, _reports) = hall.open().await;
    let ids: Vec<_> = shards.which_children().await.unwrap().into_iter().map(|child| child.id.to_string()).collect();
    assert_eq!(ids, ["2", "1", "0"]);
    let count = shards.count_children().await.unwrap();
    assert_eq!([count.specs, count.active, count.workers, count.supervisors], [3, 3, 3, 0]);
    shards.shutdown().await;
}

#[tokio::test]
async fn part_8_supervisors_as_partitions_are_counted_as_such_and_spread_their_children() {
    let spec = PartitionSupervisorSpec::dynamic_supervisors(2, |partition| {
        DynamicSupervisorSpec::default().max_children(partition + 1)
    });
    let agencies = PartitionSupervisor::start("agencies", spec.unwrap()).await.unwrap();
    let count = agencies.count_children().await.unwrap();
    assert_eq!([count.specs, count.active, count.workers, count.supervisors], [2, 2, 0, 2]);
    let log = Log::new();
    let puppets: Vec<_> = (0..4).map(|n| Puppet::new(&format!("p{n}"), &log)).collect();
    let mut refused = Vec::new();
    for (key, puppet) in puppets.iter().enumerate() {
        if agencies.lookup(&key).unwrap().start_child(puppet.spec()).await.is_err() {
            refused.push(key);
        }
    }
    // One at partition 0, two at partition 1.
    assert_eq!(refused, [2]);
    soon("the shutdown", agencies.shutdown()).await;
    assert!(puppets.iter().all(|puppet| puppet.alive() == 0));
}

#[tokio::test]
async fn part_8_tasks_are_spread_over_task_supervisors() {
    let spec = PartitionSupervisorSpec::task_supervisors(2, |_| DynamicSupervisorSpec::default()).unwrap();
    let tasks = PartitionSupervisor::start("tasks", spec).await.unwrap();
    let task = tasks.lookup(&3).unwrap().spawn(async { 3 }).await.unwrap();
    assert_eq!(task.await.unwrap(), 3);
    // Its supervisor is killed and replaced; the handle stays valid.
    let before = tasks.at(1).unwrap();
    before.actor().unwrap().kill();
    until("the replacement", async || {
        tasks.at(1).is_ok_and(|now| now.actor().unwrap().get_id() != before.actor().unwrap().get_id())
    })
    .await;
    assert_eq!(tasks.lookup(&3).unwrap().spawn(async { 4 }).await.unwrap().await.unwrap(), 4);
    tasks.shutdown().await;
}

#[tokio::test]
async fn part_8_the_handle_survives_a_restart_of_the_whole_supervisor() {
    let hall = Hall::of(3);
    let (reporter, mut seen) = reports();
    let (top, shards) = within(hall.spec(), reporter).await;
    assert_eq!(running(&shards), hall.ids());
    let before = hall.ids();
    shards.resize(1).await.unwrap();
    shards.supervisor().unwrap().actor().unwrap().kill();
    seen.restarted("shards").await;
    // The report comes when it is up, with all the partitions of its specification.
    assert_eq!(shards.partitions(), 3);
    assert_eq!(running(&shards), hall.ids());
    assert!(running(&shards).iter().all(|id| !before.contains(id)));
    assert_eq!(shards.count_children().await.unwrap().active, 3);
    soon("the shutdown", top.shutdown()).await;
    assert_eq!(hall.alive(), [0, 0, 0]);
    assert!(hall.puppets.iter().all(|puppet| puppet.overlaps() == 0));
}

#[tokio::test]
async fn part_8_a_message_goes_to_the_partition_of_its_key() {
    let hall = Hall::of(4);
    let (shards, _reports) = hall.open().await;
    let actor: ActorRef<Command> = shards.lookup(&6u8).unwrap();
    assert_eq!(actor.get_id(), hall.puppets[2].id());
    assert_eq!(foundation_testkit::ping(&actor).await, Some(1));
    shards.shutdown().await;
}
