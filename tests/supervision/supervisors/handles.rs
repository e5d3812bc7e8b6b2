//! Handles on supervisors, and the arguments and results of start functions.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foundation::ractor::ActorId;
use foundation::supervision::{
    Backoff, ChildError, ChildKind, ChildState, DynamicSupervisorSpec, ExitReason, HealthLimits, NameTaken,
    RestartIntensity, SpecError, StartError, Started, SupervisorLimits, SupervisorSpec, TaskSupervisor, TreeStatus,
};
use foundation::{ChildSpec, Restart, Strategy, Supervisor};
use foundation_testkit::{Behavior, Command, Gate, Log, Moment, Puppet, assert_error, ping, reports, soon, until};

use crate::otp::{Office, at_most, at_rest, states};

/// Records the actor that each of its starts is to replace.
fn heir(puppet: &Puppet, seen: &Arc<Mutex<Vec<Option<ActorId>>>>) -> ChildSpec {
    let (puppet, seen) = (puppet.clone(), Arc::clone(seen));
    ChildSpec::from_fn("heir", ChildKind::Worker, move |context| {
        seen.lock().unwrap().push(context.replaces().map(|actor| actor.get_id()));
        let actor = puppet.actor();
        async move { context.spawn(actor, ()).await }
    })
}

#[tokio::test]
async fn only_the_start_of_a_successor_gets_the_actor_that_it_replaces() {
    let (puppet, seen) = (Puppet::new("heir", &Log::new()), Arc::default());
    let (reporter, mut own) = reports();
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(1)).reporter(reporter);
    let office = Supervisor::start("office", spec.child(heir(&puppet, &seen))).await.unwrap();
    puppet.order(Command::Panic("oh"));
    let second = own.restarted("heir").await;
    let third = office.replace_child(heir(&puppet, &seen)).await.unwrap().unwrap();
    assert_ne!(third.get_id(), second);
    assert_eq!(*seen.lock().unwrap(), [None, None, Some(second)]);
    office.shutdown().await;
}

#[tokio::test]
async fn a_child_whose_successor_is_not_wanted_stays_as_it_is() {
    let log = Log::new();
    let puppet = Puppet::new("child", &log);
    let office = Office::of(Strategy::OneForOne, 0, &[&puppet]).await;
    let before = puppet.id();
    puppet.next(Moment::Called, Behavior::Ignore);
    assert!(office.office.replace_child(puppet.spec().restart(Restart::Temporary)).await.unwrap().is_none());
    let child = office.office.which_child("child").await.unwrap();
    assert_eq!((child.state, child.restart), (ChildState::Running(before), Restart::Permanent));
    assert_eq!(ping(&puppet.latest()).await, Some(1));
    office.close().await;
}

#[tokio::test]
async fn a_custom_start_function_can_report_a_taken_name_and_when_it_is_free() {
    let (puppet, free) = (Puppet::new("named", &Log::new()), Gate::new());
    let (made, at, starts) = (puppet.clone(), free.clone(), AtomicU32::new(0));
    let spec = ChildSpec::from_fn("named", ChildKind::Worker, move |context| {
        let (actor, at) = (made.actor(), at.clone());
        let is_taken = starts.fetch_add(1, Ordering::Relaxed) > 0;
        async move {
            if is_taken && !is_open(&at).await {
                let free = at.clone();
                let wait = move || {
                    let free = free.clone();
                    async move { free.pass().await }
                };
                return Err(StartError::name_taken("the desk is another's", wait));
            }
            context.spawn(actor, ()).await
        }
    });
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(1)).child(spec);
    let office = Supervisor::start("office", spec).await.unwrap();
    puppet.order(Command::Panic("oh"));
    until("the wait for its name", async || office.which_child("named").await.unwrap().state == ChildState::NameTaken)
        .await;
    // A requested start is refused at once; the caller can also begin the wait itself.
    office.terminate_child("named").await.unwrap();
    let refused = office.restart_child("named").await.unwrap_err();
    let ChildError::Start { error: StartError::NameTaken { free: wait, .. }, .. } = &refused else {
        panic!("{refused}")
    };
    assert!(refused.to_string().ends_with("the desk is another's"), "{refused}");
    assert!(futures::poll!(Box::pin(wait.wait())).is_pending());
    free.open();
    soon("the name", wait.wait()).await;
    office.restart_child("named").await.unwrap().unwrap();
    assert_eq!(office.tree().await.supervision.unwrap().used, 1, "the exit counts, and the wait does not");
    office.shutdown().await;
}

async fn is_open(gate: &Gate) -> bool {
    futures::poll!(Box::pin(gate.pass())).is_ready()
}

#[tokio::test]
async fn a_specification_shows_its_set_fields_and_no_others() {
    let puppet = Puppet::new("child", &Log::new());
    let spec = puppet.spec();
    assert_eq!((spec.intensity_rule(), spec.backoff_rule()), (None, None));
    assert_eq!((spec.name_taken_rule(), spec.counts()), (NameTaken::Wait, false));
    let backoff = Backoff::Constant(Duration::from_secs(1));
    let spec = spec.intensity(at_most(2)).backoff(backoff).on_name_taken(NameTaken::Rest).in_health();
    assert_eq!((spec.intensity_rule(), spec.backoff_rule()), (Some(at_most(2)), Some(backoff)));
    assert_eq!((spec.name_taken_rule(), spec.counts()), (NameTaken::Rest, true));
}

#[tokio::test]
async fn a_worker_is_no_supervisor_and_one_that_does_not_run_has_no_handle() {
    let puppet = Puppet::new("worker", &Log::new());
    let inner = ChildSpec::supervisor("inner", SupervisorSpec::new(Strategy::OneForOne));
    let pool = ChildSpec::dynamic_supervisor("pool", DynamicSupervisorSpec::default());
    let office = Office::open(SupervisorSpec::new(Strategy::OneForOne).children([puppet.spec(), inner, pool])).await;
    let handle = &office.office;
    assert!(handle.supervisor("worker").await.unwrap().is_none());
    assert!(handle.dynamic_supervisor("worker").await.unwrap().is_none());
    assert!(handle.task_supervisor("worker").await.unwrap().is_none());
    assert!(handle.supervisor("inner").await.unwrap().is_some());
    assert!(handle.dynamic_supervisor("pool").await.unwrap().is_some());
    for id in ["worker", "inner", "pool"] {
        handle.terminate_child(id).await.unwrap();
        assert!(handle.child(id).await.unwrap().is_none(), "{id}");
        assert!(handle.supervisor(id).await.unwrap().is_none(), "{id}");
    }
    assert_error!(handle.child("missing").await, ChildError::NotFound { .. });
    office.close().await;
}

#[tokio::test]
async fn a_fixed_supervisor_keeps_its_own_rules_behind_the_handle_of_a_dynamic_one() {
    let log = Log::new();
    let [first, second] = ["first", "second"].map(|name| Puppet::new(name, &log));
    let inner = ChildSpec::supervisor("inner", SupervisorSpec::new(Strategy::OneForOne).child(first.spec()));
    let office = Office::open(SupervisorSpec::new(Strategy::OneForOne).child(inner)).await;
    let inner = office.office.dynamic_supervisor("inner").await.unwrap().unwrap();
    inner.start_child(second.spec()).await.unwrap().unwrap();
    assert_error!(inner.start_child(second.spec()).await, ChildError::AlreadyStarted { .. }, "ids are unique");
    inner.terminate_child(first.id()).await.unwrap();
    assert_eq!(states(&inner.which_children().await.unwrap()), ["second running", "first stopped"]);
    let refused = inner.reconfigure(DynamicSupervisorSpec::default()).await.unwrap_err();
    assert!(matches!(refused, ChildError::Spec(SpecError::OtherKind { .. })), "{refused}");
    office.close().await;
}

#[tokio::test]
async fn any_dynamic_supervisor_can_run_tasks() {
    let pool =
        foundation::supervision::DynamicSupervisor::start("pool", DynamicSupervisorSpec::default()).await.unwrap();
    let puppet = Puppet::new("child", &Log::new());
    pool.start_child(puppet.spec()).await.unwrap().unwrap();
    let tasks = TaskSupervisor::from(pool.clone());
    let task = tasks.spawn(async { 7 }).await.unwrap();
    assert_eq!(task.await.unwrap(), 7);
    tasks.shutdown().await;
    assert_eq!(puppet.alive(), 0, "it is the same supervisor");
    assert_error!(pool.count_children().await, ChildError::NotRunning { .. });
}

#[tokio::test]
async fn a_stopped_supervisor_is_shown_as_stopped_and_has_no_health() {
    let (log, limits) = (Log::new(), HealthLimits::new());
    let [low, high] = ["low", "high"].map(|name| Puppet::new(name, &log));
    let inner = ChildSpec::supervisor("inner", SupervisorSpec::new(Strategy::OneForOne).child(low.spec().in_health()));
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(inner).child(high.spec().in_health());
    let office = Supervisor::start("office", spec).await.unwrap();
    let paths: Vec<_> = office.health(&limits).await.unwrap().into_iter().map(|child| child.path).collect();
    let at = |id: &str| paths.iter().position(|path| path.ends_with(id)).unwrap_or_else(|| panic!("{id} in {paths:?}"));
    assert!(at("high") < at("low"), "level by level: {paths:?}");
    office.shutdown().await;
    assert!(office.health(&limits).await.is_none());
    let tree = office.tree().await;
    assert_eq!((tree.status, tree.children.len()), (TreeStatus::Stopped, 0));
}

/// For the supervisors above it: a child that ended with the reason `shutdown`.
#[tokio::test]
async fn a_supervisor_that_is_shut_down_by_its_handle_is_restarted_if_it_is_permanent() {
    for (restart, comes_back) in [(Restart::Permanent, true), (Restart::Transient, false)] {
        let log = Log::new();
        let puppet = Puppet::new("child", &log);
        let inner = ChildSpec::supervisor("inner", SupervisorSpec::new(Strategy::OneForOne).child(puppet.spec()));
        let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(1)).child(inner.restart(restart));
        let mut office = Office::open(spec).await;
        let inner = office.office.supervisor("inner").await.unwrap().unwrap();
        soon("the shutdown", inner.shutdown()).await;
        assert!(matches!(office.reports.exited("inner").await, ExitReason::Shutdown(_)));
        at_rest(&office.office).await;
        if comes_back {
            log.reached("child", Moment::Up, 2).await;
        }
        assert_eq!(office.office.supervisor("inner").await.unwrap().is_some(), comes_back, "{restart:?}");
        office.close().await;
    }
}

#[tokio::test]
async fn a_restart_of_all_or_of_later_children_also_starts_children_stopped_by_request() {
    for (strategy, b_runs) in [(Strategy::OneForOne, false), (Strategy::OneForAll, true), (Strategy::RestForOne, true)]
    {
        let log = Log::new();
        let [a, b] = ["a", "b"].map(|name| Puppet::new(name, &log));
        let mut office = Office::of(strategy, 1, &[&a, &b]).await;
        office.office.terminate_child("b").await.unwrap();
        a.order(Command::Panic("oh"));
        office.reports.restarted("a").await;
        at_rest(&office.office).await;
        let state = if b_runs { "b running" } else { "b stopped" };
        assert_eq!(states(&office.office.which_children().await.unwrap()), [state, "a running"], "{strategy}");
        office.close().await;
    }
}

#[tokio::test]
async fn a_reconfiguration_replaces_no_reporter_and_is_lost_when_the_supervisor_is_restarted() {
    let log = Log::new();
    let [a, b] = ["a", "b"].map(|name| Puppet::new(name, &log));
    let inner = ChildSpec::supervisor("inner", SupervisorSpec::new(Strategy::OneForOne).child(a.spec()));
    let mut office = Office::open(SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(1)).child(inner)).await;
    let inner = office.office.supervisor("inner").await.unwrap().unwrap();
    let (other, mut never) = reports();
    let spec = SupervisorSpec::new(Strategy::OneForOne).children([a.spec(), b.spec()]).reporter(other);
    inner.reconfigure(spec).await.unwrap();
    inner.restart_child("b").await.unwrap().unwrap();
    office.reports.started("b").await;
    assert!(never.rest().is_empty(), "the old one gets reports");
    inner.shutdown().await;
    office.reports.restarted("inner").await;
    let inner = office.office.supervisor("inner").await.unwrap().unwrap();
    assert_eq!(states(&inner.which_children().await.unwrap()), ["a running"]);
    office.close().await;
}

#[tokio::test]
async fn a_dynamic_supervisor_keeps_its_reporter_when_it_is_reconfigured() {
    let (reporter, mut own) = reports();
    let (other, mut never) = reports();
    let pool =
        foundation::supervision::DynamicSupervisor::start("pool", DynamicSupervisorSpec::default().reporter(reporter));
    let pool = pool.await.unwrap();
    pool.reconfigure(DynamicSupervisorSpec::default().reporter(other)).await.unwrap();
    pool.start_child(Puppet::new("child", &Log::new()).spec()).await.unwrap().unwrap();
    own.started("child").await;
    assert!(never.rest().is_empty());
    pool.shutdown().await;
}

/// An actor that does not yield to its supervisor's kill is left behind when the limit is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_end_of_a_subtree_is_awaited_for_the_configured_time() {
    let log = Log::new();
    let deaf = Puppet::new("deaf", &log);
    let limits = SupervisorLimits::new().subtree_end(Duration::from_millis(20));
    let inner = ChildSpec::supervisor("inner", SupervisorSpec::new(Strategy::OneForOne).child(deaf.spec()));
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(1)).limits(limits).child(inner);
    let mut office = Office::open(spec).await;
    let (release, released) = std::sync::mpsc::channel();
    deaf.order(Command::Block(released));
    log.reached("deaf", Moment::Blocked, 1).await;
    let inner = office.office.supervisor("inner").await.unwrap().unwrap();
    inner.actor().unwrap().kill();
    office.reports.restarted("inner").await;
    assert_eq!((deaf.overlaps(), deaf.alive()), (1, 2), "one is left behind");
    drop(release);
    log.reached("deaf", Moment::Dropped, 1).await;
    office.close().await;
}

/// Dropped, the value stops its actor; the parts of the value are returned separately.
#[tokio::test]
async fn the_value_that_a_start_returns_is_taken_in_parts_by_type() {
    let puppet = Puppet::new("child", &Log::new());
    let made = puppet.clone();
    let spec = ChildSpec::from_fn("child", ChildKind::Worker, move |context| {
        let actor = made.actor();
        async move { Ok::<_, StartError>(context.spawn(actor, ()).await?.with_extra(7_u32)) }
    });
    let office = Office::of(Strategy::OneForOne, 0, &[]).await;
    let child = office.office.start_child_with_extra(spec).await.unwrap().unwrap();
    assert_eq!((child.extra::<u32>(), child.extra::<u64>()), (Some(&7), None));
    let (actor, extra) = child.into_parts::<u32>();
    assert_eq!((actor.get_id(), extra), (puppet.id(), Some(7)));
    office.close().await;

    let (actor, handle) = foundation::ractor::Actor::spawn(None, puppet.actor(), ()).await.unwrap();
    let started = Started::new(actor.clone(), handle);
    assert_eq!(started.actor().get_id(), actor.get_id());
    drop(started);
    soon("the end of what was started and not wanted", actor.wait(None)).await.unwrap();
}

#[tokio::test]
async fn an_unlimited_intensity_never_stops_the_supervisor() {
    let puppet = Puppet::new("child", &Log::new());
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(0));
    let child = puppet.spec().intensity(RestartIntensity::UNLIMITED);
    let mut office = Office::open(spec.child(child)).await;
    for _ in 0..50 {
        puppet.order(Command::Panic("oh"));
        office.reports.restarted("child").await;
    }
    assert_eq!(office.office.tree().await.supervision.unwrap().used, 0);
    office.close().await;
}

/// A supervisor keeps the limits of its start, and its children use them for their unset limits.
#[tokio::test(start_paused = true)]
async fn a_reconfiguration_replaces_the_backoff_and_no_limits() {
    let (second, log) = (Duration::from_secs(1), Log::new());
    let [a, b] = ["a", "b"].map(|name| Puppet::new(name, &log));
    let hasty = SupervisorLimits::new().worker_stop(second);
    let office = Office::of(Strategy::OneForOne, 9, &[&a]).await;
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(9)).child(a.spec());
    let spec = spec.backoff(Backoff::Constant(20 * second)).limits(hasty.clone());
    office.office.reconfigure(spec).await.unwrap();
    a.order(Command::Panic("oh"));
    log.reached("a", Moment::Dropped, 1).await;
    let restarting = office.office.which_child("a").await.unwrap();
    assert_eq!((restarting.state, restarting.backoff), (ChildState::Restarting, Some(20 * second)));
    let unsaid = office.office.child_spec("a").await.unwrap();
    assert_eq!(unsaid.shutdown_rule(), foundation::supervision::Shutdown::Timeout(5 * second));

    let pool = DynamicSupervisorSpec::default().intensity(at_most(9)).limits(hasty);
    let pool = foundation::supervision::DynamicSupervisor::start("pool", pool).await.unwrap();
    let spec = DynamicSupervisorSpec::default().intensity(at_most(9)).backoff(Backoff::Constant(20 * second));
    pool.reconfigure(spec).await.unwrap();
    let actor = pool.start_child(b.spec()).await.unwrap().unwrap().get_id();
    assert_eq!(
        pool.child_spec(actor).await.unwrap().shutdown_rule(),
        foundation::supervision::Shutdown::Timeout(second)
    );
    b.order(Command::Panic("oh"));
    log.reached("b", Moment::Dropped, 1).await;
    assert_eq!(pool.which_child(actor).await.unwrap().backoff, Some(20 * second));
    pool.shutdown().await;
    office.close().await;
}

/// Blocks its supervisor's thread at the first end of a child, until the sender is dropped.
struct Blocking(Mutex<std::sync::mpsc::Receiver<()>>, Gate);

impl foundation::supervision::Reporter for Blocking {
    fn report(&self, report: &foundation::supervision::Report) {
        if let foundation::supervision::ChildEvent::Exited { .. } = report.happened {
            self.1.open();
            let _ = tokio::task::block_in_place(|| self.0.lock().unwrap().recv());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_supervisor_that_does_not_answer_in_time_is_listed_in_the_health_as_timed_out() {
    let log = Log::new();
    let [stuck, well] = ["stuck", "well"].map(|name| Puppet::new(name, &log));
    let ((release, released), blocked) = (std::sync::mpsc::channel(), Gate::new());
    let deaf = SupervisorSpec::new(Strategy::OneForOne).child(stuck.spec().in_health());
    let deaf = ChildSpec::supervisor("deaf", deaf.reporter(Blocking(Mutex::new(released), blocked.clone())));
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(deaf).child(well.spec().in_health());
    let top = Supervisor::start("top", spec).await.unwrap();
    stuck.order(Command::Panic("oh"));
    soon("a reporter that blocks", blocked.pass()).await;
    let limit = Duration::from_secs(1);
    let health = top.health(&HealthLimits::new().answer(limit)).await.unwrap();
    let found: Vec<_> = health.into_iter().map(|child| (child.path, child.health)).collect();
    let timed_out = foundation::supervision::Health::TimedOut(limit);
    assert_eq!(
        found,
        [("top/deaf".to_owned(), timed_out), ("top/well".to_owned(), foundation::supervision::Health::Healthy)]
    );
    drop(release);
    soon("the end", top.shutdown()).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_without_a_time_out_takes_as_long_as_it_likes() {
    let hour = Duration::from_secs(3_600);
    let slow = Puppet::new("slow", &Log::new());
    slow.always(Moment::Starting, Behavior::Take(24 * hour));
    let begun = tokio::time::Instant::now();
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(slow.spec().start_timeout(None));
    let office = Supervisor::start("office", spec).await.unwrap();
    assert_eq!(begun.elapsed(), 24 * hour);
    office.shutdown().await;
}
