//! 1.11: new rules and specifications for a supervisor that runs (88–91).

use std::time::Duration;

use foundation::supervision::{
    ChildError, ChildState, DynamicSupervisorSpec, RestartIntensity, Shutdown, SpecError, SupervisorSpec,
};
use foundation::{ChildSpec, Restart, Strategy, Supervisor};
use foundation_testkit::{Behavior, Command, Gate, Log, Moment, Puppet, eventually, soon};

use super::{Agency, Office, STRATEGIES, at_most, at_rest, counts, puppets, shutdown, states};

fn spec(strategy: Strategy, max_restarts: u32, children: &[&Puppet]) -> SupervisorSpec {
    let children = children.iter().map(|child| child.spec());
    SupervisorSpec::new(strategy).intensity(at_most(max_restarts)).children(children)
}

#[tokio::test]
async fn otp_88_a_child_that_is_new_is_known_and_stopped() {
    for strategy in STRATEGIES {
        let (log, [a, b]) = puppets(["a", "b"]);
        let office = Office::of(strategy, 2, &[&a]).await;
        let before = a.id();
        office.office.reconfigure(spec(strategy, 2, &[&b, &a])).await.unwrap();
        assert_eq!(states(&office.office.which_children().await.unwrap()), ["a running", "b stopped"]);
        assert_eq!(log.count("b", Moment::Called), 0);
        assert_eq!(a.id(), before);
        let error = office.office.start_child(b.spec()).await.unwrap_err();
        assert!(matches!(error, ChildError::AlreadyPresent { .. }), "{error}");
        office.office.restart_child("b").await.unwrap().unwrap();
        assert_eq!(counts(&office.office).await, [2, 2, 0, 2]);
        office.close().await;
    }
}

#[tokio::test]
async fn otp_88_a_child_that_is_no_longer_named_stays_behind_the_others() {
    let (log, [a, b, c, d]) = puppets(["a", "b", "c", "d"]);
    let office = Office::of(Strategy::OneForOne, 2, &[&a, &b, &c]).await;
    office.office.terminate_child("b").await.unwrap();
    office.office.reconfigure(spec(Strategy::OneForOne, 2, &[&d, &c])).await.unwrap();
    let children = states(&office.office.which_children().await.unwrap());
    assert_eq!(children, ["b stopped", "a running", "c running", "d stopped"]);
    // It can be used like any other child.
    office.office.restart_child("b").await.unwrap().unwrap();
    office.office.terminate_child("a").await.unwrap();
    office.office.delete_child("a").await.unwrap();
    office.office.restart_child("d").await.unwrap().unwrap();
    log.clear();
    office.close().await;
    assert_eq!(log.of(&[Moment::Down]), ["b down", "c down", "d down"]);
}

/// Restarts by strategy and the shutdown follow the new order.
#[tokio::test]
async fn otp_88_the_start_order_is_that_of_the_new_specification() {
    let (log, [a, b, c]) = puppets(["a", "b", "c"]);
    let mut office = Office::of(Strategy::RestForOne, 9, &[&a, &b, &c]).await;
    office.office.reconfigure(spec(Strategy::RestForOne, 9, &[&c, &a, &b])).await.unwrap();
    log.clear();
    a.order(Command::Fail("broken"));
    office.reports.restarted("b").await;
    assert_eq!(log.of(&[Moment::Down, Moment::Up]), ["b down", "a up", "b up"]);
    log.clear();
    office.close().await;
    assert_eq!(log.of(&[Moment::Down]), ["b down", "a down", "c down"]);
}

#[tokio::test]
async fn otp_88_a_changed_specification_holds_from_the_next_end_and_start_on() {
    let log = Log::new();
    let (old, new) = (Puppet::new("child", &log), Puppet::new("child", &log));
    let mut office = Office::of(Strategy::OneForOne, 9, &[&old]).await;
    let changed = new.spec().restart(Restart::Transient).shutdown(Shutdown::BrutalKill).start_timeout(None);
    let to = SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(9)).child(changed);
    office.office.reconfigure(to).await.unwrap();
    assert_eq!((old.alive(), new.alive()), (1, 0));
    let known = office.office.child_spec("child").await.unwrap();
    assert_eq!((known.restart_rule(), known.shutdown_rule()), (Restart::Transient, Shutdown::BrutalKill));
    assert_eq!(known.start_limit(), None);
    // The next start uses the new specification.
    old.order(Command::Fail("broken"));
    office.reports.restarted("child").await;
    assert_eq!((old.alive(), new.alive()), (0, 1));
    // And it is transient, and killed when it is stopped.
    new.order(Command::Stop(None));
    office.reports.exited("child").await;
    assert_eq!(states(&at_rest(&office.office).await), ["child stopped"]);
    office.office.restart_child("child").await.unwrap();
    log.clear();
    office.office.terminate_child("child").await.unwrap();
    assert_eq!(log.count("child", Moment::Stopping), 0);
    office.close().await;
}

/// A new temporary child is kept until it has been started once.
#[tokio::test]
async fn otp_88_a_new_temporary_child_is_kept_until_it_is_started_or_terminated() {
    let (_, [a]) = puppets(["a"]);
    let temporary = || SupervisorSpec::new(Strategy::OneForOne).child(a.spec().restart(Restart::Temporary));
    let mut office = Office::of(Strategy::OneForOne, 2, &[]).await;
    office.office.reconfigure(temporary()).await.unwrap();
    a.next(Moment::Starting, Behavior::Fail("no desk"));
    office.office.restart_child("a").await.unwrap_err();
    assert_eq!(states(&at_rest(&office.office).await), ["a stopped"]);
    a.next(Moment::Called, Behavior::Ignore);
    assert!(office.office.restart_child("a").await.unwrap().is_none());
    assert_eq!(states(&at_rest(&office.office).await), ["a stopped"]);
    office.office.restart_child("a").await.unwrap().unwrap();
    a.order(Command::Stop(None));
    office.reports.exited("a").await;
    assert_eq!(at_rest(&office.office).await, []);
    // Terminating it removes it as well.
    office.office.reconfigure(temporary()).await.unwrap();
    office.office.terminate_child("a").await.unwrap();
    assert_eq!(at_rest(&office.office).await, []);
    office.close().await;
}

#[tokio::test]
async fn otp_89_strategy_and_intensity_change_while_the_children_run() {
    let (log, [a, b]) = puppets(["a", "b"]);
    let mut office = Office::of(Strategy::OneForOne, 9, &[&a, &b]).await;
    let both = [&a, &b];
    log.clear();
    office.office.reconfigure(spec(Strategy::OneForAll, 9, &both)).await.unwrap();
    a.order(Command::Fail("broken"));
    office.reports.restarted("b").await;
    assert_eq!(log.of(&[Moment::Down, Moment::Up]), ["b down", "a up", "b up"]);

    office.office.reconfigure(spec(Strategy::OneForOne, 9, &both)).await.unwrap();
    log.clear();
    a.order(Command::Fail("broken"));
    office.reports.restarted("a").await;
    assert_eq!(log.of(&[Moment::Down, Moment::Up]), ["a up"]);

    // The earlier restarts count: there were two.
    office.office.reconfigure(spec(Strategy::OneForOne, 2, &both)).await.unwrap();
    a.order(Command::Fail("broken"));
    assert_eq!(office.ended().await, shutdown());
    office.close().await;
}

#[tokio::test]
async fn otp_89_faulty_input_is_refused_and_changes_nothing() {
    let log = Log::new();
    let (a, new, nameless) = (Puppet::new("a", &log), Puppet::new("new", &log), Puppet::new("", &log));
    let mut office = Office::of(Strategy::OneForOne, 9, &[&a]).await;
    let one_for_all = || SupervisorSpec::new(Strategy::OneForAll).child(new.spec());
    let zero = RestartIntensity::new(0, Duration::ZERO);
    let faulty = [
        (one_for_all().child(nameless.spec()), SpecError::EmptyId),
        (one_for_all().child(new.spec()), SpecError::DuplicateId { id: "new".into() }),
        (one_for_all().intensity(zero), SpecError::ZeroPeriod { max_restarts: 0 }),
        (one_for_all().child(a.spec().significant(true)), SpecError::SignificantInVain { id: "a".into() }),
    ];
    for (faulty, wanted) in faulty {
        let error = office.office.reconfigure(faulty).await.unwrap_err();
        assert!(matches!(&error, ChildError::Spec(error) if *error == wanted), "{error}");
        assert_eq!(states(&office.office.which_children().await.unwrap()), ["a running"]);
    }
    // None of it holds: the intensity is the old one, and the child still restarts.
    a.order(Command::Fail("broken"));
    office.reports.restarted("a").await;
    office.close().await;
    let error = office_is_closed().await;
    assert!(matches!(error, ChildError::NotRunning { .. }), "{error}");
}

async fn office_is_closed() -> ChildError {
    let supervisor = Supervisor::start("closed", SupervisorSpec::new(Strategy::OneForOne)).await.unwrap();
    supervisor.shutdown().await;
    supervisor.reconfigure(SupervisorSpec::new(Strategy::OneForOne)).await.unwrap_err()
}

/// A hanging start delays a change of the strategy, but neither answers nor the end of the start.
#[tokio::test]
async fn otp_89_a_change_of_the_strategy_waits_for_pending_work() {
    let (log, [a, b]) = puppets(["a", "b"]);
    let gate = Gate::new();
    let mut office = Office::of(Strategy::OneForOne, 9, &[&a, &b]).await;
    b.next(Moment::Starting, Behavior::Wait(gate.clone()));
    b.order(Command::Fail("broken"));
    log.reached("b", Moment::Starting, 2).await;
    office.office.reconfigure(spec(Strategy::OneForAll, 9, &[&a, &b])).await.unwrap();
    a.order(Command::Fail("broken"));
    office.reports.exited("a").await;
    assert_eq!(log.count("a", Moment::Called), 1);
    log.clear();
    gate.open();
    // b starts as it was decided; then the end of a affects both.
    soon("both again", log.reached("b", Moment::Up, 2)).await;
    assert_eq!(log.of(&[Moment::Down, Moment::Up]), ["b up", "b down", "a up", "b up"]);
    assert_eq!(states(&at_rest(&office.office).await), ["b running", "a running"]);
    office.close().await;
}

/// The stop of `b` for its sibling is under way; both come back, in the new order.
#[tokio::test]
async fn otp_89_a_new_order_holds_for_the_restart_that_is_under_way() {
    let (log, [a, b]) = puppets(["a", "b"]);
    let gate = Gate::new();
    let office = Office::of(Strategy::OneForAll, 9, &[&a, &b]).await;
    b.next(Moment::Stopping, Behavior::Wait(gate.clone()));
    a.order(Command::Fail("broken"));
    log.reached("b", Moment::Stopping, 1).await;
    office.office.reconfigure(spec(Strategy::OneForAll, 9, &[&b, &a])).await.unwrap();
    log.clear();
    gate.open();
    log.reached("a", Moment::Up, 1).await;
    assert_eq!(log.of(&[Moment::Down, Moment::Up]), ["b down", "b up", "a up"]);
    assert_eq!(states(&at_rest(&office.office).await), ["a running", "b running"]);
    office.close().await;
}

/// Each retry has a plan queue of its own, and there is one queue afterwards.
#[tokio::test(start_paused = true)]
async fn otp_89_children_in_a_restart_loop_are_restarted_under_the_new_strategy() {
    for (from, to) in [(Strategy::OneForOne, Strategy::OneForAll), (Strategy::RestForOne, Strategy::OneForOne)] {
        let (_, [a, b]) = puppets(["a", "b"]);
        let mut office = Office::of(from, 100_000, &[&a, &b]).await;
        for child in [&a, &b] {
            child.always(Moment::Starting, Behavior::Fail("no desk"));
            child.order(Command::Fail("broken"));
        }
        office.reports.start_failed("a").await;
        office.office.reconfigure(spec(to, 100_000, &[&b, &a])).await.unwrap();
        office.reports.start_failed("a").await;
        for child in [&a, &b] {
            child.always(Moment::Starting, Behavior::Proceed);
        }
        let children = eventually("a again", async || {
            let children = office.office.which_children().await.unwrap();
            matches!(children[0].state, ChildState::Running(_)).then_some(children)
        });
        assert_eq!(children.await.len(), 2);
        office.close().await;
    }
}

/// There is no template to replace: a dynamic child brings its own specification.
#[tokio::test]
async fn otp_90_the_limits_of_a_dynamic_supervisor_change_while_its_children_run() {
    let (_, [a, b, c]) = puppets(["a", "b", "c"]);
    let mut agency = Agency::of(9, &[&a, &b]).await;
    let limits = |max_restarts, max_children| {
        DynamicSupervisorSpec::default().intensity(at_most(max_restarts)).max_children(max_children)
    };
    agency.agency.reconfigure(limits(9, 1)).await.unwrap();
    assert_eq!((a.alive(), b.alive()), (1, 1));
    let error = agency.agency.start_child(c.spec()).await.unwrap_err();
    assert!(matches!(error, ChildError::TooManyChildren { max_children: 1 }), "{error}");
    agency.agency.reconfigure(limits(9, 3)).await.unwrap();
    agency.agency.start_child(c.spec()).await.unwrap().unwrap();
    a.order(Command::Fail("broken"));
    agency.reports.restarted("a").await;
    agency.agency.reconfigure(limits(1, 3)).await.unwrap();
    b.order(Command::Fail("broken"));
    assert_eq!(agency.ended().await, shutdown());
    agency.close().await;
}

#[tokio::test]
async fn otp_91_faulty_limits_of_a_dynamic_supervisor_are_refused_and_change_nothing() {
    let (_, [a]) = puppets(["a"]);
    let agency = Agency::of(9, &[&a]).await;
    let zero = DynamicSupervisorSpec::default().intensity(RestartIntensity::new(7, Duration::ZERO)).max_children(0);
    let error = agency.agency.reconfigure(zero).await.unwrap_err();
    assert!(matches!(error, ChildError::Spec(SpecError::ZeroPeriod { max_restarts: 7 })), "{error}");
    // The limit on the children has not changed either.
    agency.agency.start_child(a.spec()).await.unwrap().unwrap();
    agency.close().await;
}

#[tokio::test]
async fn otp_91_a_supervisor_keeps_its_kind() {
    let (_, [a]) = puppets(["a"]);
    let inner = ChildSpec::dynamic_supervisor("inner", DynamicSupervisorSpec::default());
    let outer = Supervisor::start("outer", SupervisorSpec::new(Strategy::OneForOne).child(inner)).await.unwrap();
    let dynamic = outer.supervisor("inner").await.unwrap().unwrap();
    dynamic.start_child(a.spec()).await.unwrap();
    let error = dynamic.reconfigure(spec(Strategy::OneForAll, 1, &[&a])).await.unwrap_err();
    let ChildError::Spec(SpecError::OtherKind { is, asked }) = error else { panic!("{error}") };
    assert_eq!((is, asked), ("dynamic", "static"));
    assert_eq!(counts(&dynamic).await, [1, 1, 0, 1]);
    outer.shutdown().await;
}

#[tokio::test]
async fn one_child_gets_another_specification_and_keeps_its_place() {
    let (log, [a, b, c, d]) = puppets(["a", "b", "c", "d"]);
    let office = Office::of(Strategy::OneForOne, 2, &[&a, &b, &c]).await;
    let before = b.id();
    office.office.reconfigure_child(b.spec().restart(Restart::Transient)).await.unwrap();
    assert_eq!(b.id(), before);
    assert_eq!(office.office.child_spec("b").await.unwrap().restart_rule(), Restart::Transient);
    assert_eq!(states(&office.office.which_children().await.unwrap()), ["c running", "b running", "a running"]);
    for refused in [d.spec(), b.spec().significant(true)] {
        assert!(office.office.reconfigure_child(refused).await.is_err());
    }
    assert_eq!(office.office.child_spec("b").await.unwrap().restart_rule(), Restart::Transient);
    log.clear();
    office.close().await;
    assert_eq!(log.of(&[Moment::Down]), ["c down", "b down", "a down"]);
}
