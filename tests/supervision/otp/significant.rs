//! 1.8: significant children, and supervisors that stop with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use foundation::supervision::{
    AutoShutdown, ChildError, ChildEvent, ChildKind, ChildState, DynamicSupervisorSpec, ExitReason, SpecError, Start,
    StartError, SupervisorSpec,
};
use foundation::{ChildSpec, Restart, Strategy, Supervisor};
use foundation_testkit::{Behavior, Command, Gate, Moment, Puppet, soon, until};

use super::{Agency, End, Office, STRATEGIES, at_most, at_rest, counts, puppets, shutdown, states};

const MODES: [AutoShutdown; 3] = [AutoShutdown::Never, AutoShutdown::AnySignificant, AutoShutdown::AllSignificant];

const STOP: End = |child| child.order(Command::Stop(None));
const STOP_WITH_TEXT: End = |child| child.order(Command::Stop(Some("done")));
const FAIL: End = |child| child.order(Command::Fail("broken"));
const KILL: End = |child| child.latest().kill();

fn spec(mode: AutoShutdown, children: impl IntoIterator<Item = ChildSpec>) -> SupervisorSpec {
    under(Strategy::OneForOne, mode, children)
}

fn under(strategy: Strategy, mode: AutoShutdown, children: impl IntoIterator<Item = ChildSpec>) -> SupervisorSpec {
    SupervisorSpec::new(strategy).intensity(at_most(9)).auto_shutdown(mode).children(children)
}

fn significant(child: &Puppet, restart: Restart) -> ChildSpec {
    child.spec().restart(restart).significant(true)
}

/// The child ends like this, and the office continues.
async fn goes_on(office: &mut Office, name: &str, child: &Puppet, end: End) {
    end(child);
    office.reports.exited(name).await;
    at_rest(&office.office).await;
}

/// The child ends like this, and the office stops with it in order and reports the reason.
async fn stops(mut office: Office, name: &str, child: &Puppet, end: End, mode: AutoShutdown) {
    end(child);
    let reported = office.reports.find("the auto-shutdown", |report| match report.happened {
        ChildEvent::AutoShutdown { mode } => Some((report.supervisor.to_string(), report.child.to_string(), mode)),
        _ => None,
    });
    assert_eq!(reported.await, ("top/office".to_owned(), name.to_owned(), mode));
    assert_eq!(office.ended().await, shutdown());
    soon("being gone", office.office.wait_until_gone()).await;
    assert!(matches!(office.office.count_children().await, Err(ChildError::NotRunning { .. })));
    office.close().await;
}

#[tokio::test]
async fn otp_58_a_temporary_child_that_is_not_significant_never_stops_its_supervisor() {
    for mode in MODES {
        for end in [STOP, STOP_WITH_TEXT, FAIL, KILL] {
            let (_, [child]) = puppets(["child"]);
            let mut office = Office::open(spec(mode, [child.spec().restart(Restart::Temporary)])).await;
            goes_on(&mut office, "child", &child, end).await;
            assert_eq!(counts(&office.office).await, [0, 0, 0, 0]);
            office.office.start_child(child.spec().restart(Restart::Temporary)).await.unwrap();
            office.office.terminate_child("child").await.unwrap();
            assert_eq!(counts(&office.office).await, [0, 0, 0, 0]);
            office.close().await;
        }
    }
}

#[tokio::test]
async fn otp_59_a_transient_child_that_is_not_significant_never_stops_its_supervisor() {
    for mode in MODES {
        let (_, [child]) = puppets(["child"]);
        let mut office = Office::open(spec(mode, [child.spec().restart(Restart::Transient)])).await;
        for end in [FAIL, KILL] {
            end(&child);
            office.reports.restarted("child").await;
        }
        for end in [STOP, STOP_WITH_TEXT] {
            goes_on(&mut office, "child", &child, end).await;
            assert_eq!(states(&at_rest(&office.office).await), ["child stopped"]);
            office.office.restart_child("child").await.unwrap();
        }
        office.office.terminate_child("child").await.unwrap();
        assert_eq!(counts(&office.office).await, [1, 0, 0, 1]);
        office.close().await;
    }
}

#[tokio::test]
async fn otp_60_any_significant_temporary_child_stops_its_supervisor_however_it_ends() {
    for end in [STOP, STOP_WITH_TEXT, FAIL, KILL] {
        let (log, [a, b]) = puppets(["a", "b"]);
        let mode = AutoShutdown::AnySignificant;
        let children = [significant(&a, Restart::Temporary), significant(&b, Restart::Temporary)];
        let office = Office::open(spec(mode, children)).await;
        stops(office, "a", &a, end, mode).await;
        // The sibling is stopped in order.
        assert_eq!((b.alive(), log.count("b", Moment::Down)), (0, 1));
    }
}

#[tokio::test]
async fn otp_60_only_the_last_of_all_significant_temporary_children_stops_its_supervisor() {
    for end in [STOP, STOP_WITH_TEXT, FAIL, KILL] {
        let (_, [a, b, plain]) = puppets(["a", "b", "plain"]);
        let mode = AutoShutdown::AllSignificant;
        let children = [significant(&a, Restart::Temporary), significant(&b, Restart::Temporary), plain.spec()];
        let mut office = Office::open(spec(mode, children)).await;
        goes_on(&mut office, "a", &a, end).await;
        assert_eq!(states(&at_rest(&office.office).await), ["plain running", "b running"]);
        stops(office, "b", &b, end, mode).await;
        assert_eq!(plain.alive(), 0);
    }
}

/// Not even the last one; but a later end is judged without the terminated children.
#[tokio::test]
async fn otp_60_the_termination_of_a_significant_child_does_not_stop_its_supervisor() {
    for mode in [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant] {
        for restart in [Restart::Temporary, Restart::Transient] {
            let (_, [a, b, c]) = puppets(["a", "b", "c"]);
            let office = Office::open(spec(mode, [&a, &b].map(|child| significant(child, restart)))).await;
            office.office.terminate_child("b").await.unwrap();
            office.office.terminate_child("a").await.unwrap();
            assert_eq!(counts(&office.office).await[1], 0);
            office.office.start_child(significant(&c, restart)).await.unwrap();
            stops(office, "c", &c, STOP, mode).await;
        }
    }
}

#[tokio::test]
async fn otp_61_a_significant_transient_child_stops_its_supervisor_by_a_normal_end_only() {
    for (mode, end) in [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant]
        .into_iter()
        .flat_map(|mode| [(mode, STOP), (mode, STOP_WITH_TEXT)])
    {
        let (_, [child]) = puppets(["child"]);
        let mut office = Office::open(spec(mode, [significant(&child, Restart::Transient)])).await;
        for abnormal in [FAIL, KILL] {
            abnormal(&child);
            office.reports.restarted("child").await;
        }
        assert_eq!(counts(&office.office).await, [1, 1, 0, 1]);
        stops(office, "child", &child, end, mode).await;
    }
}

/// A child `b` whose second start waits at the gate, and then reports that it is not wanted.
fn not_wanted_again(b: &Puppet, gate: &Gate) -> ChildSpec {
    let (b, gate, starts) = (b.clone(), gate.clone(), Arc::new(AtomicU32::new(0)));
    ChildSpec::from_fn("b", ChildKind::Worker, move |context| {
        let (b, gate, first) = (b.clone(), gate.clone(), starts.fetch_add(1, Ordering::Relaxed) == 0);
        async move {
            if first {
                return Ok(Start::Running(context.spawn(b.actor(), ()).await?));
            }
            gate.pass().await;
            Ok(Start::Ignore)
        }
    })
}

/// Whether `a` was the last one is known only when the pending start of `b` has ended.
#[tokio::test]
async fn otp_61_a_sibling_whose_restart_fails_leaves_the_other_as_the_last() {
    let (_, [a, b]) = puppets(["a", "b"]);
    let (mode, gate) = (AutoShutdown::AllSignificant, Gate::new());
    let restart = Restart::Transient;
    let again = not_wanted_again(&b, &gate).restart(restart).significant(true);
    let mut office = Office::open(spec(mode, [significant(&a, restart), again])).await;
    FAIL(&b);
    restarting(&office.office, "b").await;
    goes_on_without(&mut office, &a).await;
    gate.open();
    assert_eq!(office.ended().await, shutdown());
    office.close().await;
}

#[tokio::test]
async fn otp_61_a_sibling_that_is_terminated_in_its_restart_leaves_the_other_as_the_last() {
    let (_, [a, b]) = puppets(["a", "b"]);
    let mode = AutoShutdown::AllSignificant;
    let mut office = Office::open(spec(mode, [&a, &b].map(|child| significant(child, Restart::Transient)))).await;
    b.next(Moment::Starting, Behavior::Hang);
    FAIL(&b);
    restarting(&office.office, "b").await;
    goes_on_without(&mut office, &a).await;
    office.office.terminate_child("b").await.unwrap();
    assert_eq!(office.ended().await, shutdown());
    office.close().await;
}

#[tokio::test]
async fn otp_61_a_sibling_that_is_restarted_keeps_the_supervisor_running() {
    let (_, [a, b]) = puppets(["a", "b"]);
    let (mode, gate) = (AutoShutdown::AllSignificant, Gate::new());
    let mut office = Office::open(spec(mode, [&a, &b].map(|child| significant(child, Restart::Transient)))).await;
    b.next(Moment::Starting, Behavior::Wait(gate.clone()));
    FAIL(&b);
    restarting(&office.office, "b").await;
    goes_on_without(&mut office, &a).await;
    gate.open();
    office.reports.restarted("b").await;
    assert_eq!(states(&at_rest(&office.office).await), ["b running", "a stopped"]);
    stops(office, "b", &b, STOP, mode).await;
}

async fn restarting(supervisor: &Supervisor, id: &str) {
    until("the restart", async || supervisor.which_child(id).await.unwrap().state == ChildState::Restarting).await;
}

/// `a` ends while `b` is starting.
async fn goes_on_without(office: &mut Office, a: &Puppet) {
    STOP(a);
    office.reports.exited("a").await;
    assert_eq!(counts(&office.office).await, [2, 0, 0, 2]);
}

/// What OTP refuses at the start does not compile: there is no auto-shutdown to set. The remaining cases are refused.
#[tokio::test]
async fn otp_62_a_dynamic_supervisor_takes_no_significant_child() {
    let (log, [child]) = puppets(["child"]);
    let agency = Agency::open(DynamicSupervisorSpec::default()).await;
    for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
        let error = agency.agency.start_child(significant(&child, restart)).await.unwrap_err();
        assert!(matches!(&error, ChildError::Spec(SpecError::SignificantOnDemand { id }) if id.as_str() == "child"));
    }
    assert_eq!(log.count("child", Moment::Called), 0);
    agency.close().await;
}

#[tokio::test]
async fn otp_63_a_significant_child_that_is_stopped_for_a_sibling_does_not_stop_its_supervisor() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        for mode in MODES.into_iter().skip(1) {
            for restart in [Restart::Transient, Restart::Temporary] {
                let (_, [plain, bystander]) = puppets(["plain", "bystander"]);
                let children = [plain.spec(), significant(&bystander, restart)];
                let mut office = Office::open(under(strategy, mode, children)).await;
                FAIL(&plain);
                office.reports.restarted("plain").await;
                let left = states(&at_rest(&office.office).await);
                match restart {
                    Restart::Temporary => assert_eq!(left, ["plain running"]),
                    _ => assert_eq!(left, ["bystander running", "plain running"]),
                }
                office.close().await;
            }
        }
    }
}

/// Three levels: `top`, under it `office` with its supervisor `inner`, and under that the child.
async fn three_levels(inner_is_significant: bool) -> (Puppet, Office) {
    let (_, [child]) = puppets(["child"]);
    let mode = AutoShutdown::AnySignificant;
    let inner = ChildSpec::supervisor("inner", spec(mode, [significant(&child, Restart::Transient)]));
    let inner = inner.restart(Restart::Transient).significant(inner_is_significant);
    (child, Office::open(spec(mode, [inner])).await)
}

#[tokio::test]
async fn otp_64_the_auto_shutdown_of_a_significant_supervisor_stops_its_own_supervisor() {
    let (child, mut office) = three_levels(true).await;
    STOP(&child);
    assert_eq!(office.reports.exited("inner").await, shutdown());
    assert_eq!(office.ended().await, shutdown());
    // The office is not significant.
    assert!(office.top.count_children().await.is_ok());
    office.close().await;
}

#[tokio::test]
async fn otp_64_the_auto_shutdown_of_a_supervisor_that_is_not_significant_does_not_stop_its_own_supervisor() {
    let (child, mut office) = three_levels(false).await;
    STOP(&child);
    assert_eq!(office.reports.exited("inner").await, ExitReason::Shutdown("shutdown".into()));
    assert_eq!(states(&at_rest(&office.office).await), ["inner stopped"]);
    office.close().await;
}

/// Two significant children; where a mode does not allow them they are ordinary.
fn pair(mode: AutoShutdown, children: &[Puppet; 2]) -> SupervisorSpec {
    let is_significant = mode != AutoShutdown::Never;
    spec(mode, children.each_ref().map(|child| child.spec().restart(Restart::Transient).significant(is_significant)))
}

/// From one mode to another on a running supervisor; then `a` ends, and then `b`, which may stop the office.
async fn upgrade(from: AutoShutdown, to: AutoShutdown) {
    let (_, children) = puppets(["a", "b"]);
    let mut office = Office::open(pair(from, &children)).await;
    office.office.reconfigure(pair(to, &children)).await.unwrap();
    assert_eq!(counts(&office.office).await, [2, 2, 0, 2]);
    let [a, b] = &children;
    match to {
        AutoShutdown::AnySignificant => stops(office, "a", a, STOP, to).await,
        AutoShutdown::AllSignificant => {
            goes_on(&mut office, "a", a, STOP).await;
            stops(office, "b", b, STOP, to).await;
        }
        AutoShutdown::Never => {
            goes_on(&mut office, "a", a, STOP).await;
            goes_on(&mut office, "b", b, STOP).await;
            assert_eq!(counts(&office.office).await, [2, 0, 0, 2]);
            office.close().await;
        }
    }
}

#[tokio::test]
async fn otp_65_from_never_to_any_significant_on_a_running_supervisor() {
    upgrade(AutoShutdown::Never, AutoShutdown::AnySignificant).await;
}

#[tokio::test]
async fn otp_66_from_any_significant_to_never_on_a_running_supervisor() {
    upgrade(AutoShutdown::AnySignificant, AutoShutdown::Never).await;
}

#[tokio::test]
async fn otp_67_from_never_to_all_significant_on_a_running_supervisor() {
    upgrade(AutoShutdown::Never, AutoShutdown::AllSignificant).await;
}

#[tokio::test]
async fn otp_68_from_all_significant_to_never_on_a_running_supervisor() {
    upgrade(AutoShutdown::AllSignificant, AutoShutdown::Never).await;
}

#[tokio::test]
async fn otp_69_from_any_to_all_significant_on_a_running_supervisor() {
    upgrade(AutoShutdown::AnySignificant, AutoShutdown::AllSignificant).await;
}

#[tokio::test]
async fn otp_70_from_all_to_any_significant_on_a_running_supervisor() {
    upgrade(AutoShutdown::AllSignificant, AutoShutdown::AnySignificant).await;
}

/// A child that ended before it became significant has not ended as a significant one.
#[tokio::test]
async fn otp_71_a_child_becomes_significant_and_is_no_longer_while_it_runs() {
    let mode = AutoShutdown::AnySignificant;
    let (_, [a, b]) = puppets(["a", "b"]);
    let set = |a_is: bool, b_is: bool| {
        let child = |child: &Puppet, is| child.spec().restart(Restart::Temporary).significant(is);
        spec(mode, [child(&a, a_is), child(&b, b_is)])
    };
    let mut office = Office::open(set(true, false)).await;
    office.office.reconfigure(set(false, true)).await.unwrap();
    assert!(!office.office.child_spec("a").await.unwrap().is_significant());
    assert!(office.office.child_spec("b").await.unwrap().is_significant());
    goes_on(&mut office, "a", &a, STOP).await;
    assert_eq!(states(&at_rest(&office.office).await), ["b running"]);
    stops(office, "b", &b, STOP, mode).await;
}

#[tokio::test]
async fn otp_27_significant_children_are_refused_where_they_have_no_effect() {
    let (log, [child]) = puppets(["child"]);
    for strategy in STRATEGIES {
        for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
            for mode in MODES {
                let wanted = match (mode, restart) {
                    (AutoShutdown::Never, _) => Some(SpecError::SignificantInVain { id: "child".into() }),
                    (_, Restart::Permanent) => Some(SpecError::SignificantPermanent { id: "child".into() }),
                    _ => None,
                };
                let start = Supervisor::start("it", under(strategy, mode, [significant(&child, restart)])).await;
                let error = match start {
                    Ok(supervisor) => {
                        supervisor.shutdown().await;
                        None
                    }
                    Err(StartError::Spec(error)) => Some(error),
                    Err(other) => panic!("{other}"),
                };
                assert_eq!(error, wanted);

                let office = Office::open(under(strategy, mode, [])).await;
                let added = office.office.start_child(significant(&child, restart)).await;
                match (added, wanted) {
                    (Err(ChildError::Spec(error)), Some(wanted)) => assert_eq!(error, wanted),
                    (added, wanted) => assert!(added.is_ok() && wanted.is_none(), "{added:?}"),
                }
                office.close().await;
            }
        }
    }
    // Two modes, two restart rules and three strategies were accepted, each at the start and when added.
    assert_eq!(log.count("child", Moment::Called), 24);
}
