//! Faults in a child's own code, where others depend on the task that would run it: each fault stays with its child.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use foundation::ractor::ActorCell;
use foundation::supervision::{
    ChildError, ChildKind, ExitReason, Report, Reporter, Shutdown, Start, StartContext, StartError, SupervisorSpec,
};
use foundation::{ChildSpec, Restart, Strategy, Supervisor};
use foundation_testkit::{Log, Moment, Puppet, Reports, assert_error, ping, reports, soon};
use tokio::task::{block_in_place, yield_now};

use super::hazard::{BadError, Carrier, Explosive, Payload, tell};
use crate::otp::{at_most, counts};

/// A supervisor with a sibling that must not be affected, and its reports.
struct Fixture {
    log: Log,
    sibling: Puppet,
    office: Supervisor,
    reports: Reports,
}

impl Fixture {
    async fn set(strategy: Strategy) -> Self {
        let log = Log::new();
        let sibling = Puppet::new("sibling", &log);
        let (reporter, reports) = reports();
        let spec = SupervisorSpec::new(strategy).intensity(at_most(100)).reporter(reporter).child(sibling.spec());
        let office = Supervisor::start("office", spec).await.unwrap();
        Self { log, sibling, office, reports }
    }

    async fn start(&self, spec: ChildSpec) -> ActorCell {
        soon("the start of a child", self.office.start_child(spec)).await.unwrap().expect("it is wanted")
    }

    /// The sibling was never affected, the supervisor serves, and its end is an orderly one.
    async fn ends_unharmed(self) {
        assert_eq!(soon("an answer", ping(&self.sibling.latest())).await, Some(1));
        soon("an answer of the supervisor", self.office.count_children()).await.unwrap();
        soon("the end of the supervisor", self.office.shutdown()).await;
        let went = self.log.of(&[Moment::Stopping, Moment::Down, Moment::StateDropped, Moment::Dropped]);
        assert_eq!(went, ["sibling stopping", "sibling down", "sibling state dropped", "sibling dropped"]);
    }
}

#[tokio::test]
async fn contained_a_killed_childs_state_that_panics_when_dropped_ends_no_other_child() {
    let mut fixture = Fixture::set(Strategy::OneForOne).await;
    for spec in [Carrier::of(|| Explosive).spec("a"), Carrier::of(|| Explosive).bare_spec("b")] {
        let id = spec.id().to_string();
        fixture.start(spec).await.kill();
        assert_eq!(fixture.reports.exited(&id).await, ExitReason::Killed);
        fixture.reports.restarted(&id).await;
    }
    fixture.ends_unharmed().await;
}

#[tokio::test]
async fn contained_a_killed_childs_state_may_own_a_runtime() {
    let owner = Carrier::of(|| tokio::runtime::Builder::new_current_thread().build().unwrap());
    let mut fixture = Fixture::set(Strategy::OneForOne).await;
    fixture.start(owner.spec("owner")).await.kill();
    fixture.reports.restarted("owner").await;
    fixture.ends_unharmed().await;
}

#[tokio::test]
async fn contained_state_and_handler_may_both_panic_whichever_way_a_child_ends() {
    let mut fixture = Fixture::set(Strategy::OneForOne).await;
    let spec = Carrier::of(|| Explosive).explosive_spec("a").restart(Restart::Temporary);
    type End = fn(&ActorCell);
    let ends: [(End, ExitReason); 4] = [
        (|actor| actor.kill(), ExitReason::Killed),
        (|actor| actor.stop(None), ExitReason::Normal),
        (|actor| tell(actor, |_| async { Err("broken".into()) }), ExitReason::Failed("broken".into())),
        (|actor| tell(actor, |_| async { panic!("broken") }), ExitReason::Failed("broken".into())),
    ];
    for (end, reason) in ends {
        end(&fixture.start(spec.clone()).await);
        assert_eq!(fixture.reports.exited("a").await, reason);
    }
    fixture.ends_unharmed().await;
}

#[tokio::test]
async fn contained_a_childs_state_that_panics_when_its_supervisor_stops_it_affects_only_the_child() {
    for rule in [Shutdown::BrutalKill, Shutdown::Infinity, Shutdown::Timeout(Duration::from_secs(60))] {
        let fixture = Fixture::set(Strategy::OneForOne).await;
        fixture.start(Carrier::of(|| Explosive).explosive_spec("a").shutdown(rule)).await;
        fixture.start(Carrier::of(|| Explosive).bare_spec("b").shutdown(rule)).await;
        fixture.start(Carrier::of(|| Explosive).explosive_spec("c").shutdown(rule)).await;
        for id in ["a", "b"] {
            soon("the end of the child", fixture.office.terminate_child(id)).await.unwrap();
        }
        // The last one is stopped with the supervisor, which reads no exit any more.
        fixture.ends_unharmed().await;
    }
}

#[tokio::test]
async fn contained_a_group_is_restarted_past_a_state_that_panics() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        let mut fixture = Fixture::set(strategy).await;
        fixture.start(Carrier::of(|| Explosive).spec("a").shutdown(Shutdown::BrutalKill)).await;
        let last = Puppet::new("last", &fixture.log);
        fixture.start(last.spec()).await;
        fixture.office.child("a").await.unwrap().unwrap().kill();
        fixture.reports.restarted("last").await;
        assert_eq!(soon("an answer", ping(&last.latest())).await, Some(2));
        soon("the end of the supervisor", fixture.office.shutdown()).await;
        assert_eq!((fixture.sibling.alive(), last.alive()), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn contained_a_destructor_that_blocks_or_calls_its_own_supervisor_delays_no_other_child() {
    struct Blocks(mpsc::Receiver<()>, Supervisor);
    impl Drop for Blocks {
        fn drop(&mut self) {
            block_in_place(|| {
                futures::executor::block_on(self.1.count_children()).expect("the supervisor answers");
                let _ = self.0.recv();
            });
        }
    }
    let fixture = Fixture::set(Strategy::OneForOne).await;
    let (release, released) = mpsc::channel();
    let released = std::sync::Mutex::new(Some(Blocks(released, fixture.office.clone())));
    let blocks = Carrier::of(move || released.lock().unwrap().take());
    fixture.start(blocks.spec("a").restart(Restart::Temporary).shutdown(Shutdown::BrutalKill)).await;
    let office = fixture.office.clone();
    let mut end = pin!(office.terminate_child("a"));
    assert!(futures::poll!(&mut end).is_pending());
    let count = soon("an answer beside it", fixture.office.count_children()).await.unwrap();
    assert_eq!((count.specs, count.active), (2, 1));
    fixture.start(Carrier::of(|| ()).spec("b")).await;
    assert!(futures::poll!(&mut end).is_pending(), "gone is gone: its destructor has not run");
    release.send(()).unwrap();
    soon("the end of the child", end).await.unwrap();
    fixture.ends_unharmed().await;
}

#[tokio::test]
async fn contained_an_error_may_have_no_text_be_its_own_cause_or_panic() {
    let mut fixture = Fixture::set(Strategy::OneForOne).await;
    for error in BadError::ALL {
        for spec in [Carrier::of(|| ()).spec("a"), Carrier::of(|| ()).bare_spec("b")] {
            let spec = spec.restart(Restart::Temporary);
            let id = spec.id().to_string();
            tell(&fixture.start(spec).await, move |_| async move { Err(error().into()) });
            let ExitReason::Failed(text) = fixture.reports.exited(&id).await else { panic!("it failed") };
            assert!(!text.is_empty() && text.len() < 5_000, "{text}");
        }
    }
    fixture.ends_unharmed().await;
}

/// Starts that fail with this, and those that panic with a payload which panics when it is dropped.
fn failing(id: &str) -> Vec<ChildSpec> {
    let errors = BadError::ALL.map(|error| {
        ChildSpec::from_fn(id, ChildKind::Worker, move |_| async move { Err::<Start, _>(StartError::failed(error())) })
    });
    let panics = ChildSpec::from_fn(id, ChildKind::Worker, |_| {
        if true {
            std::panic::panic_any(Payload);
        }
        async { Ok(Start::Ignore) }
    });
    let panics_later = Carrier::of(|| -> () { std::panic::panic_any(Payload) }).spec(id);
    errors.into_iter().chain([panics, panics_later]).collect()
}

#[tokio::test]
async fn contained_a_start_may_fail_with_any_error_and_need_not_be_awaited() {
    let fixture = Fixture::set(Strategy::OneForOne).await;
    for spec in failing("a") {
        let error = soon("the failed start", fixture.office.start_child(spec.clone())).await.unwrap_err();
        assert!(matches!(error, ChildError::Start { .. }));
        // A panic in the caller's own task is the caller's responsibility.
        std::mem::forget(error);
        let mut unwanted = Box::pin(fixture.office.start_child(spec));
        assert!(futures::poll!(&mut unwanted).is_pending());
        drop(unwanted);
        yield_now().await;
    }
    assert_eq!(counts(&fixture.office).await, [1, 1, 0, 1]);
    fixture.ends_unharmed().await;
}

#[tokio::test]
async fn contained_a_restart_may_fail_with_any_error() {
    for (at, _) in failing("a").into_iter().enumerate() {
        let mut fixture = Fixture::set(Strategy::OneForOne).await;
        let starts = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&starts);
        // The first start succeeds, the next three fail, the one after those succeeds.
        let spec = ChildSpec::from_fn("a", ChildKind::Worker, move |context: StartContext| {
            let start = count.fetch_add(1, Ordering::Relaxed);
            async move {
                if (1..4).contains(&start) {
                    let error = BadError::ALL.get(at).map(|error| StartError::failed(error()));
                    return Err(error.unwrap_or_else(|| std::panic::panic_any(Payload)));
                }
                context.spawn(Carrier::of(|| ()), ()).await
            }
        });
        fixture.start(spec).await.kill();
        fixture.reports.restarted("a").await;
        assert_eq!(starts.load(Ordering::Relaxed), 5);
        fixture.ends_unharmed().await;
    }
}

#[tokio::test]
async fn contained_the_captures_of_a_start_function_may_panic_when_they_are_dropped() {
    let fixture = Fixture::set(Strategy::OneForOne).await;
    let spec = |id: &str| {
        let captured = Arc::new(Explosive);
        ChildSpec::worker(id, move || {
            let _captured = &captured;
            (Carrier::of(|| ()), ())
        })
    };
    // A temporary child's is dropped once it has started; another's when it is deleted, replaced, refused, or with all.
    fixture.start(spec("temporary").restart(Restart::Temporary)).await;
    fixture.start(spec("deleted")).await;
    fixture.office.terminate_child("deleted").await.unwrap();
    fixture.office.delete_child("deleted").await.unwrap();
    fixture.start(spec("kept")).await;
    assert!(matches!(fixture.office.start_child(spec("kept")).await, Err(ChildError::AlreadyStarted { .. })));
    fixture.office.reconfigure(SupervisorSpec::new(Strategy::OneForOne).child(spec("kept"))).await.unwrap();
    fixture.ends_unharmed().await;
}

#[tokio::test]
async fn contained_the_value_that_a_start_returns_may_panic_when_it_is_dropped() {
    let spec = ChildSpec::from_fn("a", ChildKind::Worker, |context: StartContext| async move {
        Ok(context.spawn(Carrier::of(|| ()), ()).await?.with_extra(Explosive))
    });
    let mut fixture = Fixture::set(Strategy::OneForOne).await;
    fixture.start(spec).await.kill();
    fixture.reports.restarted("a").await;
    fixture.ends_unharmed().await;
}

#[tokio::test]
async fn contained_a_reporter_may_panic_in_its_reports_and_in_its_destructor() {
    struct Bad(#[allow(dead_code)] Explosive);
    impl Reporter for Bad {
        fn report(&self, _: &Report) {
            std::panic::panic_any(Payload);
        }
    }
    let (log, (reporter, mut above)) = (Log::new(), reports());
    let worker = Puppet::new("worker", &log);
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(worker.spec()).reporter(Bad(Explosive));
    let inner = ChildSpec::supervisor("inner", spec).restart(Restart::Temporary);
    let top = Supervisor::start("top", SupervisorSpec::new(Strategy::OneForOne).reporter(reporter)).await.unwrap();
    let actor = top.start_child(inner).await.unwrap().unwrap();
    worker.latest().kill();
    actor.stop(None);
    assert_eq!(above.exited("inner").await, ExitReason::Normal);
    soon("the end", top.shutdown()).await;
    assert_eq!(worker.alive(), 0);
}

struct ExplosiveWaker;

impl Wake for ExplosiveWaker {
    fn wake(self: Arc<Self>) {
        std::panic::panic_any(Payload);
    }
}

#[tokio::test]
async fn contained_a_caller_may_panic_when_it_is_woken() {
    let fixture = Fixture::set(Strategy::OneForOne).await;
    let waker = Waker::from(Arc::new(ExplosiveWaker));
    let office = fixture.office.clone();
    let mut question = Box::pin(office.count_children());
    assert!(question.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let answered = soon(
        "the answer",
        std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            question.as_mut().poll(&mut Context::from_waker(&waker))
        }),
    );
    assert_eq!(answered.await.unwrap().specs, 1);
    fixture.ends_unharmed().await;
}

/// A start that hangs, with a value on its stack that panics when the start is cancelled.
fn hanging(id: &str, hangs: &Arc<AtomicBool>) -> ChildSpec {
    let hangs = Arc::clone(hangs);
    ChildSpec::from_fn(id, ChildKind::Worker, move |context: StartContext| {
        let hangs = hangs.load(Ordering::Relaxed);
        async move {
            let explosive = hangs.then(|| Explosive);
            if explosive.is_some() {
                std::future::pending::<()>().await;
            }
            context.spawn(Carrier::of(|| ()), ()).await
        }
    })
    .start_timeout(Duration::from_secs(1))
}

#[tokio::test(start_paused = true)]
async fn contained_a_start_that_panics_when_it_times_out_has_ended() {
    let fixture = Fixture::set(Strategy::OneForOne).await;
    let spec = hanging("a", &Arc::new(AtomicBool::new(true)));
    let error = soon("the end of the start", fixture.office.start_child(spec)).await.unwrap_err();
    let timed_out = StartError::TimedOut(Duration::from_secs(1)).to_string();
    assert!(matches!(&error, ChildError::Start { error: source, .. } if source.to_string() == timed_out), "{error}");
    assert_eq!(counts(&fixture.office).await, [1, 1, 0, 1]);
    fixture.ends_unharmed().await;
}

#[tokio::test(start_paused = true)]
async fn contained_a_start_that_panics_when_it_is_terminated_has_ended() {
    let fixture = Fixture::set(Strategy::OneForOne).await;
    let mut starting = Box::pin(fixture.office.start_child(hanging("a", &Arc::new(AtomicBool::new(true)))));
    assert!(futures::poll!(&mut starting).is_pending());
    soon("the termination", fixture.office.terminate_child("a")).await.unwrap();
    assert_error!(soon("the end of the start", starting).await, ChildError::Start { .. });
    assert_eq!(counts(&fixture.office).await, [1, 1, 0, 1]);
    fixture.ends_unharmed().await;
}

#[tokio::test(start_paused = true)]
async fn contained_a_group_is_restarted_when_a_restart_panics_at_its_time_out() {
    let hangs = Arc::new(AtomicBool::new(false));
    let mut fixture = Fixture::set(Strategy::OneForAll).await;
    fixture.start(hanging("a", &hangs)).await;
    hangs.store(true, Ordering::Relaxed);
    fixture.sibling.latest().kill();
    assert_eq!(fixture.reports.start_failed("a").await, "the start did not finish within 1s");
    hangs.store(false, Ordering::Relaxed);
    fixture.reports.restarted("a").await;
    assert!(soon("an answer", ping(&fixture.sibling.latest())).await.is_some());
    soon("the end", fixture.office.shutdown()).await;
}

#[tokio::test(start_paused = true)]
async fn contained_the_first_start_of_a_supervisor_fails_when_a_childs_panics_at_its_time_out() {
    let log = Log::new();
    let before = Puppet::new("before", &log);
    let children = [before.spec(), hanging("a", &Arc::new(AtomicBool::new(true)))];
    let start = Supervisor::start("office", SupervisorSpec::new(Strategy::OneForOne).children(children));
    let error = soon("the failed start", start).await.unwrap_err();
    assert!(matches!(error.root_cause(), StartError::TimedOut(_)), "{error}");
    assert_eq!((before.alive(), log.count("before", Moment::Down)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn contained_a_supervisor_stops_past_a_start_that_panics() {
    let fixture = Fixture::set(Strategy::OneForOne).await;
    let office = fixture.office.clone();
    let mut starting = Box::pin(office.start_child(hanging("a", &Arc::new(AtomicBool::new(true)))));
    assert!(futures::poll!(&mut starting).is_pending());
    yield_now().await;
    fixture.ends_unharmed().await;
    assert_error!(soon("the end of the start", starting).await, ChildError::NotRunning { .. });
}
