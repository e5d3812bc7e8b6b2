//! Supervisors that have a name, and handles that find them by it.

use std::any::type_name;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use foundation::names::{RegistryError, RegistryLimits, ServiceRegistry};
use foundation::ractor::{ActorCell, ActorId, ActorRef};
use foundation::supervision::{
    ChildError, DynamicSupervisor, DynamicSupervisorSpec, PartitionError, PartitionSupervisor, PartitionSupervisorSpec,
    RestartIntensity, SupervisorKey, SupervisorSpec, TaskSupervisor, TreeStatus,
};
use foundation::{ChildSpec, Namespace, Restart, ServiceKey, Strategy, Supervisor};
use foundation_testkit::{Behavior, Command, Gate, Moment, Probe, Puppet, SOON, ping, soon, test_registry, until};
use futures::{StreamExt, poll};
use tokio::time::Instant;

use crate::setup::{PROBE, names_in};

const POOL: SupervisorKey<DynamicSupervisor> = SupervisorKey::from_static("pool");
const TEAM: SupervisorKey<Supervisor> = SupervisorKey::from_static("team");
const TASKS: SupervisorKey<TaskSupervisor> = SupervisorKey::from_static("tasks");
const SHARDS: SupervisorKey<PartitionSupervisor<ActorRef<Command>>> = SupervisorKey::from_static("shards");

fn pool(names: &ServiceRegistry) -> ChildSpec {
    names.supervisor_spec(&POOL, DynamicSupervisorSpec::default())
}

fn job() -> ChildSpec {
    ChildSpec::worker("job", || (Probe::default(), ()))
}

fn lookup_error(error: ChildError) -> RegistryError {
    let ChildError::Lookup(error) = error else { panic!("{error}") };
    *error.downcast().unwrap()
}

/// Kills an actor, and returns its id when it has ended: a request before that may be taken and lost.
async fn kill(actor: ActorCell) -> ActorId {
    actor.kill_and_wait(None).await.unwrap();
    actor.get_id()
}

#[tokio::test]
async fn a_handle_by_name_is_made_before_its_supervisor_and_survives_its_restart() {
    let (_registry, names) = test_registry().await;
    let jobs = names.dynamic(&POOL);
    names.supervise(pool(&names)).await.unwrap();
    let first = jobs.start_child(job()).await.unwrap().unwrap();
    assert_eq!(jobs.count_children().await.unwrap().active, 1);

    let before = kill(jobs.actor().unwrap()).await;
    // The request waits for the next incarnation.
    let second = jobs.start_child(job()).await.unwrap().unwrap();
    assert_ne!(jobs.actor().unwrap().get_id(), before);
    assert_eq!(jobs.count_children().await.unwrap().active, 1, "the children of the first incarnation are gone");
    assert_eq!((ping(&first).await, ping(&second).await.is_some()), (None, true));
}

#[tokio::test]
async fn a_supervisor_with_children_of_its_own_is_found_by_its_name_with_all_requests() {
    let (_registry, names) = test_registry().await;
    let worker = Puppet::default();
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(worker.spec());
    names.supervise(names.supervisor_spec(&TEAM, spec)).await.unwrap();
    let team = names.supervisor(&TEAM);
    assert_eq!(team.path(), "team");
    assert_eq!(team.child("probe").await.unwrap().unwrap().get_id(), worker.id());
    assert_eq!(team.tree().await.running(), 2);
    kill(team.actor().unwrap()).await;
    worker.lived(2).await;
    assert_eq!(team.count_children().await.unwrap().active, 1);
    assert_eq!(worker.overlaps(), 0);
}

#[tokio::test]
async fn tasks_are_started_by_name_before_and_after_a_restart() {
    let (_registry, names) = test_registry().await;
    let tasks = names.tasks(&TASKS);
    names.supervise(names.supervisor_spec(&TASKS, DynamicSupervisorSpec::default())).await.unwrap();
    assert_eq!(tasks.spawn(async { 6 * 7 }).await.unwrap().await.unwrap(), 42);
    kill(tasks.actor().unwrap()).await;
    assert_eq!(tasks.spawn(async { 6 * 7 }).await.unwrap().await.unwrap(), 42);
}

#[tokio::test]
async fn a_task_of_an_earlier_incarnation_is_not_looked_for_in_the_next() {
    let (_registry, names) = test_registry().await;
    let tasks = names.tasks(&TASKS);
    names.supervise(names.supervisor_spec(&TASKS, DynamicSupervisorSpec::default())).await.unwrap();
    let task = tasks.spawn(std::future::pending::<()>()).await.unwrap();
    names.application().unwrap().terminate_child("tasks").await.unwrap();
    let begun = Instant::now();
    assert!(task.shutdown().await.is_err(), "it has ended with its supervisor");
    assert!(begun.elapsed() < Duration::from_secs(4), "no supervisor is waited for");
}

#[tokio::test]
async fn partitions_are_found_by_name_before_and_after_a_restart() {
    let (_registry, names) = test_registry().await;
    let shards = names.partitions(&SHARDS);
    assert_eq!(shards.partitions(), 0);
    let missing = shards.lookup("key").unwrap_err();
    assert!(matches!(missing, PartitionError::Child(ChildError::Lookup(_))), "{missing}");

    let spec = PartitionSupervisorSpec::workers(3, |_| (Probe::default(), ())).unwrap();
    names.supervise(names.supervisor_spec(&SHARDS, spec)).await.unwrap();
    assert_eq!(shards.partitions(), 3);
    let before = shards.lookup("key").unwrap().get_id();
    kill(shards.supervisor().unwrap().actor().unwrap()).await;
    assert_eq!(shards.count_children().await.unwrap().active, 3);
    assert_ne!(shards.lookup("key").unwrap().get_id(), before);
}

#[tokio::test]
async fn a_sibling_uses_a_supervisor_by_name_in_its_start() {
    let (_registry, names) = test_registry().await;
    let start = Behavior::call({
        let jobs = names.dynamic(&POOL);
        move || {
            let jobs = jobs.clone();
            async move { jobs.start_child(job()).await.map(drop).map_err(|error| error.to_string().into()) }
        }
    });
    let sibling = ChildSpec::worker("sibling", move || (Probe::default().start(start.clone()), ()));
    let spec = SupervisorSpec::new(Strategy::OneForAll).child(pool(&names)).child(sibling);
    names.supervise(ChildSpec::supervisor("office", spec)).await.unwrap();
    let jobs = names.dynamic(&POOL);
    assert_eq!(jobs.count_children().await.unwrap().active, 1);
    let before = kill(jobs.actor().unwrap()).await;
    until("both are back", async || jobs.count_children().await.unwrap().active == 1).await;
    assert_ne!(jobs.actor().unwrap().get_id(), before);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_uses_its_own_supervisor_while_that_starts_gets_an_error_that_says_so() {
    let (_registry, names) = test_registry().await;
    let start = Behavior::call({
        let team = names.supervisor(&TEAM);
        move || {
            let team = team.clone();
            async move { team.start_child(job()).await.map(drop).map_err(|error| error.to_string().into()) }
        }
    });
    let child = ChildSpec::worker("child", move || (Probe::default().start(start.clone()), ()));
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(child);
    let error = names.supervise(names.supervisor_spec(&TEAM, spec)).await.unwrap_err();
    let said = error.to_string();
    let expected = format!(
        "supervisor team in namespace {} was still starting after 5s; a child that is part of that start cannot wait for it",
        names.namespace()
    );
    assert!(said.contains(&expected), "{said}");
    assert_eq!(names_in(&names), [""; 0], "the name is free");
}

#[tokio::test]
async fn a_child_uses_its_own_supervisor_when_it_is_restarted() {
    let (_registry, names) = test_registry().await;
    let child = Puppet::default();
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(child.spec());
    names.supervise(names.supervisor_spec(&TEAM, spec)).await.unwrap();
    let team = names.supervisor(&TEAM);
    let asking = team.clone();
    let ask = Behavior::call(move || {
        let team = asking.clone();
        async move { team.count_children().await.map(drop).map_err(|error| error.to_string().into()) }
    });
    child.next(Moment::Starting, ask);
    child.latest().kill();
    child.lived(2).await;
    assert_eq!(team.count_children().await.unwrap().specs, 1);
    assert_eq!(child.lives(), 2, "its second start has succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_no_supervisor_has_is_waited_for_and_names_what_is_similar() {
    let (_registry, names) = test_registry().await;
    names.supervise(pool(&names)).await.unwrap();
    let wrong: SupervisorKey<DynamicSupervisor> = SupervisorKey::new("pol").unwrap();
    let begun = Instant::now();
    let error = names.dynamic(&wrong).start_child(job()).await.unwrap_err();
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    let expected =
        format!("service pol did not appear in namespace {} within 5s; did you mean pool?", names.namespace());
    assert_eq!(error.to_string(), expected);
    assert!(matches!(lookup_error(error), RegistryError::WaitTimedOut { .. }));
    // Without a wait:
    let error = names.dynamic(&wrong).actor().unwrap_err();
    assert!(error.to_string().ends_with("did you mean pool?"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_supervisor_is_a_limit_of_the_registry() {
    let limits = RegistryLimits::new().wait(Duration::from_millis(20));
    let registry = foundation::names::ProcessRegistry::builder().limits(limits).start().await.unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    let begun = Instant::now();
    names.dynamic(&POOL).count_children().await.unwrap_err();
    assert_eq!(begun.elapsed(), Duration::from_millis(20));
}

#[tokio::test]
async fn a_name_in_another_namespace_leads_nowhere() {
    let (registry, names) = test_registry().await;
    let others = registry.namespace(Namespace::test()).await.unwrap();
    names.supervise(pool(&names)).await.unwrap();
    assert!(names.dynamic(&POOL).actor().is_ok());
    let error = lookup_error(others.dynamic(&POOL).actor().unwrap_err());
    assert!(matches!(error, RegistryError::NotFound { .. }), "{error}");

    others.supervise(pool(&others)).await.unwrap();
    names.dynamic(&POOL).start_child(job()).await.unwrap();
    assert_eq!(others.dynamic(&POOL).count_children().await.unwrap().active, 0);
}

#[tokio::test]
async fn a_supervisor_of_another_kind_is_an_error_at_once_that_names_both_kinds() {
    let (_registry, names) = test_registry().await;
    names.supervise(pool(&names)).await.unwrap();
    names.supervise(names.child_spec(&PROBE, || (Probe::default(), ()))).await.unwrap();
    let namespace = names.namespace();
    let tasks: SupervisorKey<TaskSupervisor> = SupervisorKey::new("pool").unwrap();
    let error = lookup_error(names.tasks(&tasks).spawn(async {}).await.unwrap_err());
    assert_eq!(
        error.to_string(),
        format!("service pool in namespace {namespace} is a DynamicSupervisor, not a TaskSupervisor")
    );
    assert!(matches!(error, RegistryError::WrongKind { .. }), "{error}");
    let worker: SupervisorKey<Supervisor> = SupervisorKey::new("probe").unwrap();
    let error = lookup_error(names.supervisor(&worker).count_children().await.unwrap_err());
    let expected = format!(
        "service probe in namespace {namespace} is an actor that answers to {}, not a Supervisor",
        type_name::<Command>()
    );
    assert_eq!(error.to_string(), expected);
    assert!(matches!(error, RegistryError::WrongKind { .. }), "{error}");
    let message = ServiceKey::<u64>::new("pool").unwrap();
    let error = names.lookup(&message).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("service pool in namespace {namespace} is a DynamicSupervisor, not an actor that answers to u64")
    );
    assert_eq!(names.lookup_any(POOL.name()).unwrap().message(), "DynamicSupervisor");
}

#[tokio::test]
async fn a_kind_of_partitions_is_named_with_what_its_partitions_are() {
    let (_registry, names) = test_registry().await;
    let spec = PartitionSupervisorSpec::workers(1, |_| (Probe::default(), ())).unwrap();
    names.supervise(names.supervisor_spec(&SHARDS, spec)).await.unwrap();
    let message = names.lookup_any(SHARDS.name()).unwrap().message();
    assert_eq!(message, format!("PartitionSupervisor<{}>", type_name::<ActorRef<Command>>()));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_still_starting_under_the_name_of_a_supervisor_is_no_supervisor() {
    let (_registry, names) = test_registry().await;
    let gate = Gate::new();
    let start = Behavior::Wait(gate.clone());
    let spec = names.child_spec(&PROBE, move || (Probe::default().start(start.clone()), ()));
    let starting = tokio::spawn({
        let names = names.clone();
        async move { names.supervise(spec).await }
    });
    soon("its start", gate.arrival()).await;
    let key: SupervisorKey<Supervisor> = SupervisorKey::new("probe").unwrap();
    let error = lookup_error(names.supervisor(&key).count_children().await.unwrap_err());
    assert!(matches!(error, RegistryError::WrongKind { .. }), "{error}");
    gate.open();
    soon("its start", starting).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_name_of_a_supervisor_is_a_name_as_any_other() {
    let (_registry, names) = test_registry().await;
    names.supervise(pool(&names)).await.unwrap();
    assert_eq!(names_in(&names), ["pool"]);
    let actor = names.select(|service| service.name().as_str() == "pool")[0].actor;
    assert_eq!(names.dynamic(&POOL).actor().unwrap().get_id(), actor);
    assert_eq!(names.tree().await.find("application/pool").unwrap().name.as_deref(), Some("pool"));
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(pool(&names));
    let error = names.supervise(ChildSpec::supervisor("office", spec)).await.unwrap_err().to_string();
    assert!(error.contains("is already registered by"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_of_a_killed_supervisor_is_free_only_when_its_whole_subtree_is_gone() {
    let (_registry, names) = test_registry().await;
    let slow = Puppet::default();
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(slow.spec());
    names.supervise(names.supervisor_spec(&TEAM, spec).restart(Restart::Temporary)).await.unwrap();
    let (release, held) = channel::<()>();
    slow.hold(held);
    kill(names.supervisor(&TEAM).actor().unwrap()).await;
    let key = ServiceKey::<Command>::from(TEAM.name().clone());
    let mut free = pin!(names.wait_until_free(&key, SOON));
    assert!(poll!(&mut free).is_pending(), "its child is not gone");
    assert_eq!(slow.alive(), 1);
    drop(release);
    free.await.unwrap();
    assert_eq!(slow.alive(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_and_a_wait_by_name_return_only_when_a_stop_under_way_is_complete() {
    let (_registry, names) = test_registry().await;
    let slow = Puppet::default();
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(slow.spec());
    names.supervise(names.supervisor_spec(&TEAM, spec).restart(Restart::Temporary)).await.unwrap();
    let (release, held) = channel::<()>();
    slow.hold(held);
    let team = names.supervisor(&TEAM);
    let first = tokio::spawn({
        let team = team.clone();
        async move { team.shutdown().await }
    });
    until("it takes no more requests", async || team.actor().is_err()).await;
    assert_eq!(team.tree().await.status, TreeStatus::Stopping);
    {
        let (mut second, mut gone) = (pin!(team.shutdown()), pin!(team.wait_until_gone()));
        assert!(poll!(&mut second).is_pending() && poll!(&mut gone).is_pending(), "its child is not gone");
        assert_eq!(slow.alive(), 1);
        drop(release);
        soon("the second shutdown", second).await;
        assert_eq!(slow.alive(), 0);
        soon("the end", gone).await;
    }
    soon("the first shutdown", first).await.unwrap();
    assert_eq!(team.tree().await.status, TreeStatus::Stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_of_partitions_and_of_dynamic_supervisors_by_name_awaits_a_stop_under_way() {
    let (_registry, names) = test_registry().await;
    let slow = Puppet::default();
    let actor = {
        let slow = slow.clone();
        move |_| (slow.actor(), ())
    };
    let spec = names.supervisor_spec(&SHARDS, PartitionSupervisorSpec::workers(1, actor).unwrap());
    names.supervise(spec.restart(Restart::Temporary)).await.unwrap();
    let jobs = names.supervisor_spec(&POOL, DynamicSupervisorSpec::default());
    names.supervise(jobs.restart(Restart::Temporary)).await.unwrap();
    let job = Puppet::default();
    names.dynamic(&POOL).start_child(job.spec()).await.unwrap();

    let (shards, jobs) = (names.partitions(&SHARDS), names.dynamic(&POOL));
    let ((release, held), (release_job, held_job)) = (channel::<()>(), channel::<()>());
    slow.hold(held);
    job.hold(held_job);
    let actors = [shards.supervisor().unwrap().actor().unwrap(), jobs.actor().unwrap()];
    actors.iter().for_each(|actor| actor.stop(None));
    until("they take no more requests", async || shards.supervisor().is_err() && jobs.actor().is_err()).await;
    {
        let (mut shards, mut jobs) = (pin!(shards.shutdown()), pin!(jobs.shutdown()));
        assert!(poll!(&mut shards).is_pending() && poll!(&mut jobs).is_pending(), "their children are not gone");
        drop((release, release_job));
        soon("the shutdowns", async { tokio::join!(shards, jobs) }).await;
    }
    assert_eq!((slow.alive(), job.alive()), (0, 0));
}

#[tokio::test]
async fn the_tree_of_a_supervisor_by_name_says_whether_it_starts_or_restarts() {
    let (_registry, names) = test_registry().await;
    let team = names.supervisor(&TEAM);
    assert_eq!(team.tree().await.status, TreeStatus::Stopped, "there is none");
    let (child, first, second) = (Puppet::default(), Gate::new(), Gate::new());
    child.next(Moment::Starting, Behavior::Wait(first.clone()));
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(child.spec());
    let starting = tokio::spawn({
        let names = names.clone();
        async move { names.supervise(names.supervisor_spec(&TEAM, spec)).await }
    });
    soon("its start", first.arrival()).await;
    assert_eq!(team.tree().await.status, TreeStatus::Starting);
    first.open();
    soon("its start", starting).await.unwrap().unwrap();
    assert_eq!(team.tree().await.status, TreeStatus::Running);
    child.next(Moment::Starting, Behavior::Wait(second.clone()));
    kill(team.actor().unwrap()).await;
    soon("its restart", second.arrival()).await;
    assert_eq!(team.tree().await.status, TreeStatus::Restarting);
    second.open();
    until("it runs", async || team.tree().await.status == TreeStatus::Running).await;
}

#[tokio::test]
async fn a_watch_by_name_is_of_one_incarnation() {
    let (_registry, names) = test_registry().await;
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(job());
    names.supervise(names.supervisor_spec(&TEAM, spec)).await.unwrap();
    let team = names.supervisor(&TEAM);
    let mut watch = team.watch_tree().unwrap();
    let before = kill(team.actor().unwrap()).await;
    until("the next incarnation", async || team.actor().is_ok_and(|actor| actor.get_id() != before)).await;
    let tree = watch.snapshot().await;
    assert_eq!((tree.status, tree.children.len()), (TreeStatus::Stopped, 0));
    let rest = soon("its end", (&mut watch).map(Result::unwrap).collect::<Vec<_>>()).await;
    assert!(rest.len() < 100, "it ends with its incarnation");
}

#[tokio::test]
async fn a_replaced_supervisor_hands_its_name_to_its_successor() {
    let (_registry, names) = test_registry().await;
    names.supervise(pool(&names)).await.unwrap();
    let jobs = names.dynamic(&POOL);
    let before = jobs.actor().unwrap().get_id();
    let successor = names.replace(pool(&names)).await.unwrap().unwrap();
    assert_ne!(before, successor.get_id());
    assert_eq!(jobs.actor().unwrap().get_id(), successor.get_id());
    assert!(jobs.start_child(job()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_handle_by_name_of_a_namespace_that_has_ended_says_so_at_once() {
    let (registry, names) = test_registry().await;
    let jobs = names.dynamic(&POOL);
    registry.shutdown().await;
    let error = lookup_error(jobs.count_children().await.unwrap_err());
    assert!(matches!(error, RegistryError::NotRunning { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_by_name_succeed_while_their_supervisor_is_killed_again_and_again() {
    let (_registry, names) = test_registry().await;
    let spec = pool(&names).intensity(RestartIntensity::UNLIMITED);
    names.supervise(spec).await.unwrap();
    let (jobs, kills) = (Arc::new(names.dynamic(&POOL)), 50);
    let asking = tokio::spawn({
        let jobs = Arc::clone(&jobs);
        async move {
            let mut lost = 0;
            for _ in 0..500 {
                match jobs.count_children().await {
                    Ok(_) => {}
                    // It was taken by an incarnation that was killed.
                    Err(ChildError::NotRunning { .. }) => lost += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            lost
        }
    });
    for _ in 0..kills {
        if let Ok(actor) = jobs.actor() {
            actor.kill();
        }
        tokio::task::yield_now().await;
    }
    assert!(soon("the requests", asking).await.unwrap() <= kills);
}
