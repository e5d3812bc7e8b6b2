//! The root: starting, running, querying and stopping a foundation.

use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use foundation::events::Query;
use foundation::health::Condition;
use foundation::ractor::ActorStatus;
use foundation::supervision::{
    AutoShutdown, ChildKind, Health, RestartIntensity, Shutdown, StartError, Started, SupervisorSpec,
};
use foundation::{
    ChildSpec, ConfigServer, EventStore, Foundation, FoundationBuilder, FoundationError, Namespace, NewEvent, Restart,
    ServiceKey, StopCause, Strategy,
};
use foundation_testkit::{
    Behavior, Command, Gate, Log, Moment, Probe, Puppet, SOON, TestClock, alive_tasks, configured, crash, held_up_by,
    soon, unregister_event_store, until_tasks_left,
};
use futures::FutureExt;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc::{self};

const CLERK: ServiceKey<Command> = ServiceKey::from_static("clerk");

/// A builder with these children, in this order, and the log of their lives.
fn staffed(names: &[&str]) -> (FoundationBuilder, Log) {
    let log = Log::new();
    let builder = names.iter().fold(configured(), |builder, name| {
        let puppet = Puppet::new(name, &log);
        let key = ServiceKey::<Command>::new(name).unwrap();
        builder.child(move |services| {
            let puppet = puppet.clone();
            services.child_spec(&key, move || (puppet.actor(), ())).in_health()
        })
    });
    (builder, log)
}

/// The starts and the regular ends since the last call, in order.
fn lives(log: &Log) -> Vec<String> {
    let lives = log.of(&[Moment::Up, Moment::Down]);
    log.clear();
    lives
}

/// A child that never starts.
fn overslept() -> ChildSpec {
    ChildSpec::from_fn("sleeper", ChildKind::Worker, |_| async {
        Err::<Started, _>(StartError::failed("the alarm did not ring"))
    })
}

// ---- start ----

#[tokio::test]
async fn children_start_in_order_and_stop_in_reverse_before_the_services() {
    let (builder, log) = staffed(&["a", "b", "c"]);
    let foundation = builder.start().await.unwrap();
    assert_eq!(lives(&log), ["a up", "b up", "c up"]);

    let report = foundation.shutdown().await;
    assert_eq!(lives(&log), ["c down", "b down", "a down"]);
    let [production] = &report.namespaces[..] else { panic!("{report}") };
    let below = |path: &str| path.split_once("production/").map(|(_, below)| below.to_owned());
    let stopped: Vec<_> = production.stopped.iter().filter_map(|service| below(&service.path)).collect();
    let services = ["application", "discovery", "config_server", "event_store", "telemetry"];
    assert_eq!(stopped[..3], ["application/c", "application/b", "application/a"]);
    assert_eq!(stopped[3..8], services);
    assert_eq!((report.cause, production.killed().count()), (StopCause::Request, 0));
    assert!(report.to_string().contains("on request\nproduction: "), "{report}");
}

#[tokio::test]
async fn each_namespace_has_children_of_its_own_which_know_their_namespace() {
    let (sender, mut received) = mpsc::unbounded_channel();
    let builder = Foundation::builder().child(move |services| {
        sender.send(services.namespace()).unwrap();
        services.child_spec(&CLERK, || (Probe::default(), ()))
    });
    let foundation = builder.start().await.unwrap();
    assert_eq!(received.try_recv(), Ok(Namespace::Production));
    let test = foundation.test_namespace().await.unwrap();
    assert_eq!(received.try_recv(), Ok(test.services().namespace()));
    let clerks = [foundation.production().lookup(&CLERK).unwrap(), test.services().lookup(&CLERK).unwrap()];
    assert_ne!(clerks[0].get_id(), clerks[1].get_id());
    test.cleanup().await.unwrap();
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_namespace_is_started_once_and_shared_afterwards() {
    let foundation = configured().start().await.unwrap();
    let id = Namespace::test();
    let (one, other) = tokio::join!(foundation.namespace(id), foundation.namespace(id));
    let (one, other) = (one.unwrap(), other.unwrap());
    one.config().update("server.port", 1).await.unwrap();
    assert_eq!(other.config().get::<u16>("server.port").unwrap(), 1);
    assert_eq!(foundation.registry().stats().test_namespaces, 1);
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_child_that_does_not_start_undoes_the_whole_start_and_the_error_has_its_own_cause() {
    let before = alive_tasks();
    let (builder, log) = staffed(&["a", "b"]);
    let error = builder.child(|_| overslept()).start().await.unwrap_err();
    let output = error.to_string();
    assert!(output.starts_with("namespace production: "), "{output}");
    assert!(output.ends_with("child sleeper did not start: the alarm did not ring"), "{output}");
    let FoundationError::Namespace(foundation::names::RegistryError::Child { error: child, .. }) = &error else {
        panic!("{error:?}")
    };
    let foundation::supervision::ChildError::Start { error: source, .. } = child else { panic!("{child:?}") };
    assert_eq!(source.root_cause().to_string(), "the alarm did not ring");

    assert_eq!(lives(&log), ["a up", "b up", "b down", "a down"]);
    assert_eq!(alive_tasks(), before, "nothing is left");
}

#[tokio::test]
async fn a_restart_intensity_of_the_root_without_a_meaning_is_refused() {
    let error =
        Foundation::builder().root_intensity(RestartIntensity::new(1, Duration::ZERO)).start().await.unwrap_err();
    let expected = "the registry did not start: a restart intensity of 1 restarts within 0 s has no meaning; give a time \
                    above zero";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_test_namespace_that_does_not_start_does_not_affect_production() {
    let (builder, _) = staffed(&["a"]);
    let builder = builder.child(|services| match services.namespace() {
        Namespace::Production | Namespace::Named(_) => {
            ChildSpec::from_fn("sleeper", ChildKind::Worker, |_| async { Ok(foundation::supervision::Start::Ignore) })
        }
        Namespace::Test(_) => overslept(),
    });
    let foundation = builder.start().await.unwrap();
    let before = alive_tasks();
    let error = foundation.test_namespace().await.unwrap_err();
    assert!(error.to_string().ends_with("the alarm did not ring"), "{error}");
    assert_eq!(alive_tasks(), before);
    assert_eq!(foundation.registry().namespaces(), [Namespace::Production]);
    assert!(foundation.health().await.is_healthy());
    foundation.shutdown().await;
}

#[tokio::test]
async fn strategy_and_intensity_are_those_of_the_application() {
    let (builder, log) = staffed(&["a", "b"]);
    let once = RestartIntensity::new(1, Duration::from_secs(5));
    let foundation = builder.strategy(Strategy::OneForAll).intensity(once).start().await.unwrap();
    lives(&log);
    let a = foundation.production().via(&ServiceKey::<Command>::from_static("a"));
    a.cast(Command::Panic("ordered to panic")).unwrap();
    log.reached("b", Moment::Up, 1).await;
    assert_eq!(lives(&log), ["b down", "a up", "b up"]);
    foundation.production().wait_for_service(a.key(), SOON).await.unwrap();
    // The second exceeds the intensity: the application gives up, and is restarted itself.
    a.cast(Command::Panic("ordered to panic")).unwrap();
    log.reached("b", Moment::Up, 1).await;
    assert_eq!(lives(&log), ["b down", "a up", "b up"]);
    let gave_up = Query::new().kind("supervisor_gave_up".parse().unwrap());
    let recorded = foundation.events().query(gave_up).await.unwrap();
    assert_eq!(recorded[0].payload["intensity"], once.to_string());
    assert_eq!(recorded[0].payload["cause"]["triggers"][1]["child"], "a");
    let output = recorded[0].payload["said"].as_str().unwrap();
    assert!(output.starts_with("more than 1 restart within 5s: a exited: failed: "), "{output}");
    // The level above knows why its child has ended, and that it was restarted for that.
    let restarted = Query::new().kind("child_restarted".parse().unwrap());
    let recorded = foundation.events().query(restarted).await.unwrap();
    let application = recorded.iter().find(|event| event.payload["child"] == "application").unwrap();
    assert_eq!(application.payload["cause"]["trigger"]["escalation"]["triggers"][0]["child"], "a");
    assert_eq!(foundation.production().registry().counters().counter("supervisor.give_ups"), Some(1));
    foundation.shutdown().await;
}

#[tokio::test]
async fn an_auto_shutdown_rule_is_shown_in_the_tree_and_its_effect_is_recorded() {
    let foundation = configured().start().await.unwrap();
    let production = foundation.production();
    let clerk = production.child_spec(&CLERK, || (Probe::default(), ())).restart(Restart::Transient).significant(true);
    let desk = SupervisorSpec::new(Strategy::OneForOne).auto_shutdown(AutoShutdown::AnySignificant).child(clerk);
    production.supervise(ChildSpec::supervisor("desk", desk).restart(Restart::Temporary)).await.unwrap();

    let tree = production.registry().tree().await;
    let desk = tree.child("application").and_then(|application| application.child("desk")).unwrap();
    assert_eq!(desk.supervision.map(|rules| rules.auto_shutdown), Some(AutoShutdown::AnySignificant));
    assert!(desk.child("clerk").unwrap().significant && !desk.significant);
    assert!(desk.to_string().contains("stops when any significant children have ended"), "{desk}");

    let desk = production.application().unwrap().supervisor("desk").await.unwrap().unwrap();
    production.lookup(&CLERK).unwrap().stop(None);
    desk.wait_until_gone().await;
    let recorded = Query::new().kind("supervisor_auto_shutdown".parse().unwrap());
    let recorded = foundation.events().query(recorded).await.unwrap();
    assert_eq!(recorded[0].payload["child"], "clerk");
    assert_eq!(recorded[0].payload["mode"], "any significant");
    foundation.shutdown().await;
}

#[tokio::test]
async fn two_foundations_in_one_process_do_not_know_of_each_other() {
    let (one, other) = (staffed(&["clerk"]).0.start().await.unwrap(), staffed(&["clerk"]).0.start().await.unwrap());
    one.config().update("server.port", 1).await.unwrap();
    one.events().append(NewEvent::new("opened").unwrap()).await.unwrap();
    assert_eq!(other.config().get::<u16>("server.port").unwrap(), 8080);
    assert_eq!(other.events().stats().await.unwrap().recorded, 0);
    assert_ne!(one.production().lookup(&CLERK).unwrap().get_id(), other.production().lookup(&CLERK).unwrap().get_id());

    let id = one.test_namespace().await.unwrap().services().namespace();
    assert_eq!(other.registry().namespaces(), [Namespace::Production]);
    assert!(other.cleanup(id).await.unwrap().stopped.is_empty());
    one.shutdown().await;
    assert!(other.health().await.is_healthy());
    assert_eq!(other.production().via(&CLERK).call(Command::Name, SOON).await.unwrap(), "clerk");
    other.shutdown().await;
}

// ---- health ----

#[tokio::test]
async fn a_foundation_is_healthy_when_all_its_services_are() {
    let (builder, _) = staffed(&["clerk"]);
    let foundation = builder.start().await.unwrap();
    let health = foundation.health().await;
    assert_eq!(health.condition(), Condition::Healthy);
    let expected = "telemetry      healthy\nevent_store    healthy\nconfig_server  healthy\ndiscovery      healthy\napplication    healthy\nclerk          healthy";
    assert_eq!(health.to_string(), expected);
    foundation.shutdown().await;
    assert_eq!(foundation.health().await.condition(), Condition::Down);
}

#[tokio::test]
async fn a_service_that_is_leaving_is_dead_until_its_successor_is_there() {
    let gate = Gate::new();
    let stopping = gate.clone();
    let builder = Foundation::builder().child(move |services| {
        let gate = stopping.clone();
        services.child_spec(&CLERK, move || (Probe::default().stop(Behavior::Wait(gate.clone())), ())).in_health()
    });
    let foundation = builder.start().await.unwrap();
    foundation.production().lookup(&CLERK).unwrap().stop(None);
    gate.arrival().await;
    let health = foundation.health().await;
    let unhealthy: Vec<_> = health.unhealthy().map(|service| (service.name.as_str(), &service.health)).collect();
    assert_eq!(unhealthy, [("clerk", &Health::Dead)]);
    assert_eq!(health.condition(), Condition::Degraded);

    gate.open();
    foundation.production().wait_for_service(&CLERK, SOON).await.unwrap();
    assert!(foundation.health().await.is_healthy());
    foundation.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_service_that_does_not_answer_is_distinguished_from_one_that_is_away() {
    let clock = TestClock::default();
    let foundation = held_up_by(&clock).start().await.unwrap();
    let mut held = clock.hold_next();
    foundation.events().note(vec![NewEvent::new("stuck").unwrap()]).unwrap();
    held.arrival().await;
    let health = foundation.health().await;
    assert_eq!(health.services[1].health, Health::TimedOut(Duration::from_secs(1)));
    assert_eq!(health.services[2].condition(), Condition::Degraded);
    drop(held);
    foundation.events().stats().await.unwrap();
    assert!(foundation.health().await.is_healthy());

    unregister_event_store(foundation.production());
    let health = foundation.health().await;
    assert_eq!(health.services[1].health, Health::Failed("no service event_store in namespace production".to_owned()));
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_service_that_was_killed_is_healthy_again_when_it_is_back() {
    let foundation = Foundation::builder().start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    crash(&namespace, &ConfigServer::NAME).await;
    assert!(namespace.health().await.is_healthy());
    assert_eq!(
        namespace.kill(CLERK.name()).await.unwrap_err().to_string(),
        format!("no service clerk in namespace {}", namespace.services().namespace())
    );
    namespace.cleanup().await.unwrap();
    foundation.shutdown().await;
}

// ---- the end of a namespace ----

#[tokio::test]
async fn a_test_namespace_is_cleaned_up_with_a_report() {
    let (builder, log) = staffed(&["clerk"]);
    let foundation = builder.start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let id = namespace.services().namespace();
    lives(&log);
    let report = namespace.cleanup().await.unwrap();
    assert_eq!(report.namespace, id);
    assert!(report.stopped[0].path.ends_with(&format!("{id}/application/clerk")), "{report}");
    assert_eq!(lives(&log), ["clerk down"]);
    // A second clean-up does no harm.
    assert!(foundation.cleanup(id).await.unwrap().stopped.is_empty());
    assert_eq!(foundation.registry().namespaces(), [Namespace::Production]);
    foundation.shutdown().await;
}

#[tokio::test]
async fn two_clean_ups_at_once_both_wait_for_the_end() {
    let foundation = Foundation::builder().start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let actor = namespace.registry().lookup_any(&EventStore::NAME).unwrap();
    let ended = || assert_eq!(actor.cell().get_status(), ActorStatus::Stopped);
    let id = namespace.services().namespace();
    tokio::join!(async { foundation.cleanup(id).await.map(|_| ended()).unwrap() }, async {
        namespace.cleanup().await.map(|_| ended()).unwrap()
    },);
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_test_namespace_that_is_only_dropped_is_cleaned_up_in_the_background() {
    let foundation = Foundation::builder().start().await.unwrap();
    let before = alive_tasks();
    let dropped_here = foundation.test_namespace().await.unwrap();
    let dropped_elsewhere = foundation.test_namespace().await.unwrap();
    let applications = [&dropped_here, &dropped_elsewhere].map(|namespace| namespace.services().application().unwrap());
    drop(dropped_here);
    // Also on a thread without a runtime.
    std::thread::spawn(move || drop(dropped_elsewhere)).join().unwrap();
    for application in applications {
        application.wait_until_gone().await;
    }
    until_tasks_left(before).await;
    assert_eq!(foundation.registry().namespaces(), [Namespace::Production]);
    foundation.shutdown().await;
}

#[tokio::test]
async fn production_is_shut_down_and_not_cleaned_up() {
    let foundation = Foundation::builder().start().await.unwrap();
    let expected = "namespace production cannot be cleaned up; to stop an application, shut the registry down";
    assert_eq!(foundation.cleanup(Namespace::Production).await.unwrap_err().to_string(), expected);
    assert!(foundation.health().await.is_healthy());
    foundation.shutdown().await;
}

// ---- the end of the foundation ----

#[tokio::test]
async fn two_shutdowns_wait_for_the_same_end_and_have_the_same_report() {
    let (builder, _) = staffed(&["clerk"]);
    let foundation = builder.start().await.unwrap();
    let (one, other) = tokio::join!(foundation.shutdown(), foundation.shutdown());
    assert_eq!(one, other);
    assert!(one.namespaces[0].stopped.len() >= 5);
    assert_eq!(foundation.shutdown().await, one);
}

#[tokio::test]
async fn a_shutdown_ends_test_namespaces() {
    let foundation = Foundation::builder().start().await.unwrap();
    let tests = [foundation.test_namespace().await.unwrap(), foundation.test_namespace().await.unwrap()];
    let report = foundation.shutdown().await;
    assert_eq!(report.namespaces.len(), 3);
    assert!(report.namespaces.iter().all(|namespace| namespace.stopped.len() >= 4));
    for test in tests {
        assert_eq!(test.health().await.condition(), Condition::Down);
    }
}

// Signals are the whole process's: once it has listened, Ctrl-C no longer ends it. So these run in processes of their own.

const SCENARIO: &str = "FOUNDATION_TESTS_SCENARIO";

/// Runs in the other process; does nothing unless its environment selects it.
#[tokio::test]
#[ignore = "runs in a process of its own, started by the tests below"]
async fn another_process() -> ExitCode {
    let Ok(scenario) = std::env::var(SCENARIO) else { return ExitCode::SUCCESS };
    let (builder, _) = staffed(&["clerk"]);
    let foundation = match scenario.as_str() {
        "collapse" => builder.child(|_| ChildSpec::worker("faulty", || (faulty(), ()))),
        "stubborn" => {
            builder.child(|_| ChildSpec::worker("stubborn", || (stubborn(), ())).shutdown(Shutdown::Infinity))
        }
        _ => builder,
    };
    let foundation = foundation.start().await.unwrap();
    let mut run = std::pin::pin!(foundation.run_until_signal());
    // Listens when it is first polled.
    assert!(futures::poll!(&mut run).is_pending());
    println!("listening");
    match scenario.as_str() {
        "request" => drop(foundation.shutdown().await),
        "given up" => assert!(foundation.shutdown().now_or_never().is_none()),
        _ => {}
    }
    let report = run.await.unwrap();
    println!("{report}");
    report.exit_code()
}

/// Never stops.
fn stubborn() -> Probe {
    Probe::default().stop(Behavior::call(async || {
        println!("stopping");
        std::future::pending().await
    }))
}

/// Starts, and then crashes, each time.
fn faulty() -> Probe {
    let puppet = Puppet::default();
    puppet.always(Moment::Started, Behavior::Fail("always"));
    puppet.actor()
}

/// The output of the other process from "listening" on, given these signals, each after its next output, and its exit
/// status.
async fn run_elsewhere(scenario: &str, signals: &[&str]) -> (String, ExitStatus) {
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "root::another_process", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(SCENARIO, scenario).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut process = command.spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut awaited = ["listening", "stopping"].into_iter();
    for signal in signals {
        let awaited = awaited.next().unwrap();
        while !lines.next_line().await.unwrap().expect("it says where it is").ends_with(awaited) {}
        let pid = process.id().unwrap();
        let sent = tokio::process::Command::new("sh").args(["-c", &format!("kill {signal} {pid}")]).status().await;
        assert!(sent.unwrap().success());
    }
    let mut output = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        output = output + &line + "\n";
    }
    (output, process.wait().await.unwrap())
}

/// The same for a process that ends successfully.
async fn runs_well(scenario: &str, signals: &[&str]) -> String {
    let (output, status) = tokio::time::timeout(SOON, run_elsewhere(scenario, signals)).await.unwrap();
    assert!(status.success(), "{status}: {output}");
    output
}

#[cfg(unix)]
#[tokio::test]
async fn sigterm_shuts_down_in_order() {
    let output = runs_well("signal", &["-TERM"]).await;
    assert!(output.contains(": SIGTERM\nproduction: "), "{output}");
    assert!(output.contains("application/clerk: stopped\n"), "{output}");
}

#[cfg(unix)]
#[tokio::test]
async fn sigint_shuts_down_in_order() {
    let output = runs_well("signal", &["-INT"]).await;
    assert!(output.contains(": SIGINT\nproduction: "), "{output}");
    assert!(output.contains("application/clerk: stopped\n"), "{output}");
}

#[tokio::test]
async fn a_run_ends_when_another_task_requests_the_shutdown() {
    for scenario in ["request", "given up"] {
        let output = runs_well(scenario, &[]).await;
        assert!(output.contains(": on request\nproduction: "), "{scenario}: {output}");
        assert!(output.contains("application/clerk: stopped\n"), "{scenario}: {output}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_signal_during_the_shutdown_ends_the_process_at_once() {
    for (signal, code) in [("-TERM", 143), ("-INT", 130)] {
        let (output, status) = soon(signal, run_elsewhere("stubborn", &["-TERM", signal])).await;
        assert_eq!(status.code(), Some(code), "{output}");
        assert!(!output.contains("shut down"), "{output}");
    }
}

#[tokio::test]
async fn a_run_ends_when_the_tree_collapses() {
    let (output, status) = soon("a collapse", run_elsewhere("collapse", &[])).await;
    assert!(output.contains(": too many restarts"), "{output}");
    assert!(!status.success(), "the exit status shows it: {output}");
}
