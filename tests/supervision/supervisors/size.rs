//! Deep trees, storms of failures and large trees.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use foundation::ractor::{Actor, ActorProcessingErr, ActorRef};
use foundation::supervision::{
    ChildKind, DynamicSupervisor, DynamicSupervisorSpec, ExitReason, RestartIntensity, StartContext, StartError,
    SupervisorLimits, SupervisorSpec, Tree, TreeStatus,
};
use foundation::{ChildSpec, Restart, Strategy, Supervisor};
use foundation_testkit::{Gate, Log, Moment, Puppet, reports, soon};
use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::otp::at_most;

const LEVELS: usize = 1_000;
/// The stack size of a tokio worker.
const STACK: usize = 2 << 20;

/// Nested supervisors, the lowest of which has this child.
fn nested(levels: usize, child: ChildSpec) -> SupervisorSpec {
    let around = |child| SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(0)).child(child);
    (1..levels).fold(around(child), |below, _| around(ChildSpec::supervisor("level", below)))
}

/// Runs a scenario on a runtime of one thread with such a stack.
fn on_a_stack<F: Future<Output = ()>>(scenario: impl FnOnce() -> F + Send + 'static) {
    let run =
        move || Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(scenario());
    thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().expect("it comes to its end");
}

#[test]
fn size_a_thousand_nested_supervisors_start_are_shown_and_stop() {
    on_a_stack(|| async {
        let log = Log::new();
        let leaf = Puppet::new("leaf", &log);
        let top = Supervisor::start("top", nested(LEVELS, leaf.spec())).await.unwrap();
        let tree = soon("the tree", top.tree()).await;
        assert_eq!(tree.running(), LEVELS + 1);
        assert_eq!(tree.to_string().lines().count(), LEVELS + 1);
        assert_eq!(tree.to_dot().matches(" -> ").count(), LEVELS);
        drop(tree);
        soon("the shutdown", top.shutdown()).await;
        assert_eq!((leaf.alive(), log.count("leaf", Moment::Down)), (0, 1));
    });
}

#[test]
fn size_a_thousand_nested_supervisors_are_started_by_request_and_killed() {
    on_a_stack(|| async {
        let leaf = Puppet::new("leaf", &Log::new());
        let top = DynamicSupervisor::start("top", DynamicSupervisorSpec::default()).await.unwrap();
        let spec = ChildSpec::supervisor("deep", nested(LEVELS, leaf.spec())).restart(Restart::Temporary);
        let deep = soon("the start", top.start_child(spec)).await.unwrap().unwrap();
        assert_eq!(soon("the tree", top.tree()).await.running(), LEVELS + 2);
        deep.kill();
        leaf.ended(1).await;
        soon("the shutdown", top.shutdown()).await;
    });
}

#[test]
fn size_a_failed_start_below_a_thousand_supervisors_undoes_them_all_and_reports_the_cause() {
    on_a_stack(|| async {
        let failing = ChildSpec::from_fn("leaf", ChildKind::Worker, |_: StartContext| async {
            Err::<foundation::supervision::Start, _>(StartError::failed("no desk"))
        });
        let error = soon("the failed start", Supervisor::start("top", nested(LEVELS, failing))).await.unwrap_err();
        assert_eq!(error.root_cause().to_string(), "no desk");
    });
}

#[test]
fn size_a_failure_propagates_through_a_thousand_supervisors_with_its_cause() {
    on_a_stack(|| async {
        let leaf = Puppet::new("leaf", &Log::new());
        let (reporter, mut seen) = reports();
        let deep = ChildSpec::supervisor("deep", nested(LEVELS, leaf.spec())).restart(Restart::Temporary);
        let spec = SupervisorSpec::new(Strategy::OneForOne).reporter(reporter).child(deep);
        let top = Supervisor::start("top", spec).await.unwrap();
        leaf.latest().kill();
        let chain = seen
            .find("the end of the topmost", |report| match &report.happened {
                foundation::supervision::ChildEvent::Exited { escalation, .. } if report.child.as_str() == "deep" => {
                    Some(escalation.clone().expect("it gave up"))
                }
                _ => None,
            })
            .await;
        assert_eq!(chain.root_cause().map(|failure| failure.child.as_str()), Some("leaf"));
        assert!(chain.to_string().contains("levels below it"), "{chain}");
        soon("the shutdown", top.shutdown()).await;
    });
}

#[test]
fn size_a_runtime_may_be_dropped_with_a_thousand_nested_supervisors() {
    let run = || {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let leaf = Puppet::new("leaf", &Log::new());
        let top = runtime.block_on(Supervisor::start("top", nested(LEVELS, leaf.spec()))).unwrap();
        drop(runtime);
        drop(top);
        assert_eq!(leaf.alive(), 0);
    };
    thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().expect("it comes to its end");
}

/// An actor that fails as soon as it has started and the storm has begun.
#[derive(Clone)]
struct Failing {
    starts: watch::Sender<u64>,
    begun: Gate,
}

/// A message that is never sent.
struct Nothing;
foundation::local_message!(Nothing);

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Failing {
    type Msg = Nothing;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Nothing>, (): ()) -> Result<(), ActorProcessingErr> {
        self.starts.send_modify(|starts| *starts += 1);
        Ok(())
    }

    async fn post_start(&self, _: ActorRef<Nothing>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        self.begun.pass().await;
        Err("at once".into())
    }
}

/// A supervisor whose children all fail as fast as they are restarted, and the number of their starts.
async fn storm(children: usize) -> (DynamicSupervisor, watch::Sender<u64>) {
    struct Silent;
    impl foundation::supervision::Reporter for Silent {
        fn report(&self, _: &foundation::supervision::Report) {}
    }
    let intensity = RestartIntensity::new(u32::MAX, Duration::from_secs(1));
    let spec = DynamicSupervisorSpec::default().intensity(intensity).reporter(Silent);
    let storm = DynamicSupervisor::start("storm", spec).await.unwrap();
    let failing = Failing { starts: watch::Sender::default(), begun: Gate::new() };
    for _ in 0..children {
        let failing = failing.clone();
        storm.start_child(ChildSpec::worker("failing", move || (failing.clone(), ()))).await.unwrap();
    }
    failing.begun.open();
    let mut starts = failing.starts.subscribe();
    let _ = soon("the first restart", starts.wait_for(|starts| *starts > children as u64)).await;
    (storm, failing.starts)
}

#[tokio::test]
async fn size_requests_are_served_between_the_restarts_of_a_thousand_children_that_fail_at_once() {
    const CHILDREN: usize = 1_000;
    let (storm, starts) = storm(CHILDREN).await;
    for _ in 0..10 {
        let (storm, starts) = (storm.clone(), starts.clone());
        // A task, as the scenario itself has its turn after 61 turns of others.
        let asking = tokio::spawn(async move {
            let before = *starts.borrow();
            let count = soon("an answer in the storm", storm.count_children()).await.unwrap();
            (count.specs, *starts.borrow() - before)
        });
        let (specs, meanwhile) = asking.await.unwrap();
        assert_eq!(specs, CHILDREN);
        assert!(meanwhile <= 600, "an answer took {meanwhile} restarts");
    }
    let sibling = Puppet::new("sibling", &Log::new());
    soon("a start in the storm", storm.start_child(sibling.spec())).await.unwrap();
    soon("the end of the storm", storm.shutdown()).await;
    assert_eq!(sibling.alive(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn size_restarts_continue_between_the_requests() {
    let (storm, starts) = storm(100).await;
    let before = *starts.borrow();
    soon("further restarts", async {
        while *starts.borrow() < before + 10_000 {
            soon("an answer in the storm", storm.count_children()).await.unwrap();
        }
    })
    .await;
    soon("the end of the storm", storm.shutdown()).await;
}

#[tokio::test]
async fn size_a_supervisor_gives_up_when_hundreds_of_children_fail() {
    let (reporter, mut seen) = reports();
    let failing = Failing { starts: watch::Sender::default(), begun: Gate::new() };
    failing.begun.open();
    let starts = failing.starts.clone();
    let failing = |id: usize| {
        let failing = failing.clone();
        ChildSpec::worker(id.to_string(), move || (failing.clone(), ()))
    };
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(1_000)).children((0..500).map(failing));
    let office = ChildSpec::supervisor("office", spec).restart(Restart::Temporary);
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(office).reporter(reporter);
    let top = Supervisor::start("top", spec).await.unwrap();
    assert_eq!(seen.exited("office").await, ExitReason::Shutdown("shutdown".into()));
    assert!(*starts.borrow() <= 1_500);
    soon("the end", top.shutdown()).await;
}

#[tokio::test]
async fn size_a_tree_shows_all_of_many_children_in_start_order() {
    const CHILDREN: usize = 10_000;
    let spec = DynamicSupervisorSpec::default().limits(SupervisorLimits::new().tree(Duration::from_secs(30)));
    let top = DynamicSupervisor::start("top", spec).await.unwrap();
    let idle = |stop: foundation::supervision::TaskStop| async move { stop.requested().await };
    for child in 0..CHILDREN {
        top.start_child(ChildSpec::task(child.to_string(), idle)).await.unwrap();
    }
    let tree = soon("the tree", top.tree()).await;
    assert_eq!((tree.status, tree.running()), (TreeStatus::Running, CHILDREN + 1));
    assert!(tree.children.iter().enumerate().all(|(at, child)| child.id == at.to_string()));
    soon("the shutdown", top.shutdown()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn size_a_supervisor_that_does_not_answer_is_shown_as_silent_with_the_others_beside_it() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(Some(released));
    // A start function that blocks delays its supervisor, and no other actor.
    let blocks = ChildSpec::from_fn("blocks", ChildKind::Worker, move |_: StartContext| {
        let released = released.lock().unwrap().take();
        tokio::task::block_in_place(|| released.map(|released| released.recv()));
        async { Ok::<_, StartError>(foundation::supervision::Start::Ignore) }
    });
    let limits = SupervisorLimits::new().tree(Duration::from_millis(200));
    let level = |id: &str| ChildSpec::supervisor(id, SupervisorSpec::new(Strategy::OneForOne));
    let spec = SupervisorSpec::new(Strategy::OneForOne).limits(limits).children([level("a"), level("b")]);
    let top = Supervisor::start("top", spec).await.unwrap();
    let a = top.supervisor("a").await.unwrap().unwrap();
    let starting = tokio::spawn(async move { a.start_child(blocks).await });
    let silent = soon("a silent supervisor", async {
        loop {
            let tree: Tree = top.tree().await;
            let status = |id| tree.child(id).map(|child| child.status);
            assert_eq!((tree.status, status("b")), (TreeStatus::Running, Some(TreeStatus::Running)));
            if status("a") == Some(TreeStatus::Silent) {
                break tree.running();
            }
        }
    });
    assert_eq!(silent.await, 3);
    release.send(()).unwrap();
    assert!(soon("the start", starting).await.unwrap().unwrap().is_none());
    soon("the shutdown", top.shutdown()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn size_a_start_that_computes_on_a_thread_of_its_own_delays_no_other_and_its_time_counts() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(std::sync::Mutex::new(released));
    let computes = ChildSpec::from_fn("computes", ChildKind::Worker, move |_: StartContext| {
        let released = Arc::clone(&released);
        async move {
            let computed = tokio::task::spawn_blocking(move || released.lock().unwrap().recv().is_ok());
            let _ = computed.await;
            Ok::<_, StartError>(foundation::supervision::Start::Ignore)
        }
    });
    let top = Supervisor::start("top", SupervisorSpec::new(Strategy::OneForOne)).await.unwrap();
    let starting = tokio::spawn({
        let (top, computes) = (top.clone(), computes.start_timeout(Duration::from_millis(100)));
        async move { top.start_child(computes).await }
    });
    soon("an answer meanwhile", top.count_children()).await.unwrap();
    let error = soon("the end of its time", starting).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("did not finish within 100ms"), "{error}");
    release.send(()).unwrap();
    soon("the shutdown", top.shutdown()).await;
}
