//! Measurements of services that the services do not make themselves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use foundation::names::{Measurement, ProcessRegistry, ServiceMeasures, ServiceRegistry};
use foundation::{Namespace, ServiceKey};
use foundation_testkit::{Command, Gate, Probe, SOON, subscribe, test_registry};
use proptest::prelude::*;
use tracing::{Subscriber, span};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::setup::{OTHER, PROBE, foreign};

/// The measurements under a name; makes no request that would itself be measured.
fn measured(names: &ServiceRegistry, key: &ServiceKey<Command>) -> Option<ServiceMeasures> {
    let mut all = names.measures().into_iter();
    all.find(|(name, _)| name == key.name()).map(|(_, measures)| measures)
}

/// The numbers of messages, failures, and timed messages.
fn figures(names: &ServiceRegistry, key: &ServiceKey<Command>) -> (u64, u64, u64) {
    let measures = measured(names, key).unwrap();
    (measures.messages, measures.failures, measures.handling_ns.count)
}

/// Sends one more message; on return all earlier messages have been handled and measured.
async fn ask(names: &ServiceRegistry, key: &ServiceKey<Command>) {
    names.via(key).call(Command::Id, SOON).await.unwrap();
}

fn note(names: &ServiceRegistry, times: u64) {
    let via = names.via(&PROBE);
    (0..times).for_each(|_| via.cast(Command::Note("again")).unwrap());
}

// ---- counting ----

#[tokio::test]
async fn each_message_is_counted_and_one_in_eight_is_timed_the_first_among_them() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_eq!(measured(&names, &PROBE), None, "nothing handled, nothing measured");
    note(&names, 1);
    ask(&names, &PROBE).await;
    assert_eq!(figures(&names, &PROBE), (2, 0, 1));
    note(&names, 6);
    ask(&names, &PROBE).await;
    note(&names, 8);
    ask(&names, &PROBE).await;
    assert_eq!(figures(&names, &PROBE), (18, 0, 3));
}

#[tokio::test]
async fn a_service_can_have_each_of_its_messages_timed() {
    let (_registry, names) = test_registry().await;
    names.measured(Measurement::Full).spawn(&PROBE, Probe::default(), ()).await.unwrap();
    note(&names, 20);
    ask(&names, &PROBE).await;
    let (messages, _, timed) = figures(&names, &PROBE);
    // The last one answers before it returns.
    assert!(messages == 21 && timed >= 20, "{timed} of {messages}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_right_under_load() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 5_000;
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            tokio::spawn({
                let names = names.clone();
                async move { note(&names, EACH) }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    ask(&names, &PROBE).await;
    let messages = SENDERS * EACH + 1;
    let (counted, failures, timed) = figures(&names, &PROBE);
    assert_eq!((counted, failures), (messages, 0));
    // The request itself is the last, and is timed.
    assert!([messages / 8, messages / 8 + 1].contains(&timed), "{timed}");
}

#[tokio::test]
async fn an_error_and_a_panic_are_one_failure_each_and_the_numbers_survive_the_restarts() {
    let (_registry, names) = test_registry().await;
    let first = names.supervise(names.child_spec(&PROBE, || (Probe::default(), ()))).await.unwrap().unwrap();
    let mut actor = first.get_id();
    for (n, message) in [Command::Fail("ordered to fail"), Command::Panic("ordered to panic")].into_iter().enumerate() {
        ask(&names, &PROBE).await;
        let gone = names.lookup(&PROBE).unwrap();
        gone.cast(message).unwrap();
        gone.wait(None).await.unwrap();
        names.wait_for_service(&PROBE, SOON).await.unwrap();
        let next = names.via(&PROBE).call(Command::Id, SOON).await.unwrap();
        assert_ne!(std::mem::replace(&mut actor, next), next);
        let n = n as u64 + 1;
        assert_eq!((figures(&names, &PROBE).0, figures(&names, &PROBE).1), (3 * n, n));
    }
    let info = names.service_info();
    let [service] = &info.services[..] else { panic!("{info:?}") };
    assert_eq!(service.restarts, 2);
    assert_eq!(service.measures.as_ref().map(|measures| (measures.messages, measures.failures)), Some((6, 2)));
}

#[tokio::test]
async fn a_message_whose_handling_is_killed_has_not_failed() {
    let (_registry, names) = test_registry().await;
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let gate = Gate::new();
    actor.cast(Command::Stay(gate.clone())).unwrap();
    gate.arrival().await;
    assert_eq!(figures(&names, &PROBE), (1, 0, 0));
    actor.kill_and_wait(None).await.unwrap();
    names.wait_until_free(&PROBE, SOON).await.unwrap();
    assert_eq!(figures(&names, &PROBE), (1, 0, 0));
    // The next holder of the name continues the counts.
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    ask(&names, &PROBE).await;
    assert_eq!(figures(&names, &PROBE).0, 2);
}

// ---- time ----

#[tokio::test(start_paused = true)]
async fn a_service_is_active_until_the_handler_returns_and_that_is_its_handling_time() {
    let (_registry, names) = test_registry().await;
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let gate = Gate::new();
    actor.cast(Command::Stay(gate.clone())).unwrap();
    gate.arrival().await;
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(measured(&names, &PROBE).unwrap().idle, Duration::from_secs(3));
    gate.open();
    ask(&names, &PROBE).await;
    tokio::time::advance(Duration::from_secs(5)).await;
    let measures = measured(&names, &PROBE).unwrap();
    assert_eq!((measures.idle, measures.handling_ns.max), (Duration::from_secs(5), Some(3e9)));

    // The third is not timed; that it was active until now is recorded all the same.
    let gate = Gate::new();
    actor.cast(Command::Stay(gate.clone())).unwrap();
    gate.arrival().await;
    tokio::time::advance(Duration::from_secs(7)).await;
    gate.open();
    actor.drain_and_wait(None).await.unwrap();
    let measures = measured(&names, &PROBE).unwrap();
    assert_eq!((measures.idle, measures.handling_ns.count), (Duration::ZERO, 1));
}

// ---- to which name the numbers belong ----

#[tokio::test]
async fn two_namespaces_are_measured_independently() {
    let (registry, names) = test_registry().await;
    let others = registry.namespace(Namespace::test()).await.unwrap();
    for names in [&names, &others] {
        names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    }
    note(&names, 4);
    ask(&names, &PROBE).await;
    assert_eq!((measured(&names, &PROBE).unwrap().messages, measured(&others, &PROBE)), (5, None));
    ask(&others, &PROBE).await;
    assert_eq!((figures(&names, &PROBE).0, figures(&others, &PROBE).0), (5, 1));
}

#[tokio::test]
async fn an_actor_that_has_lost_the_name_no_longer_counts_for_it() {
    let (_registry, names) = test_registry().await;
    let former = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    ask(&names, &PROBE).await;
    names.unregister(&PROBE);
    former.cast(Command::Note("nameless")).unwrap();
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    ask(&names, &PROBE).await;
    former.cast(Command::Stop(None)).unwrap();
    former.wait(None).await.unwrap();
    assert_eq!(figures(&names, &PROBE).0, 2);
}

#[tokio::test]
async fn an_actor_that_was_started_elsewhere_is_not_measured() {
    let (_registry, names) = test_registry().await;
    let outside = foreign(Probe::default()).await;
    names.measured(Measurement::Full).register(&PROBE, &outside).await.unwrap();
    ask(&names, &PROBE).await;
    assert_eq!(names.measures(), []);
}

// ---- switching it off ----

#[tokio::test]
async fn a_service_that_is_not_measured_has_neither_figures_nor_spans() {
    let (_registry, names) = test_registry().await;
    let (spans, _listening) = Spans::listen();
    let spec = names.measured(Measurement::Off).child_spec(&PROBE, || (Probe::default(), ()));
    names.supervise(spec).await.unwrap();
    names.spawn(&OTHER, Probe::default(), ()).await.unwrap();
    ask(&names, &PROBE).await;
    assert_eq!((names.measures(), spans.read()), (vec![], vec![]));
    assert!(names.service_info().services.iter().all(|service| service.measures.is_none()));
    ask(&names, &OTHER).await;
    assert_eq!((measured(&names, &PROBE), figures(&names, &OTHER).0), (None, 1), "the others are");
}

#[tokio::test]
async fn measuring_can_be_off_as_the_default_of_a_registry() {
    let registry = ProcessRegistry::builder().measurement(Measurement::Off).start().await.unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.measured(Measurement::Sampled).spawn(&OTHER, Probe::default(), ()).await.unwrap();
    ask(&names, &PROBE).await;
    ask(&names, &OTHER).await;
    assert_eq!((measured(&names, &PROBE), figures(&names, &OTHER).0), (None, 1));
}

// ---- spans ----

/// The spans of this thread's services, as lines.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

impl Spans {
    fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let spans = Self::default();
        let guard = subscribe(spans.clone());
        (spans, guard)
    }

    fn read(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn write(&self, line: String) {
        let mut lines = self.0.lock().unwrap();
        // A future is entered at each poll, and once more to be dropped.
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        let (metadata, mut fields) = (attributes.metadata(), String::new());
        if metadata.target() == "foundation::service" {
            attributes.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                fields.push_str(&format!(" {}={value:?}", field.name()));
            });
            self.write(format!("{} {}{fields}", metadata.level(), metadata.name()));
        }
    }

    fn on_enter(&self, id: &span::Id, context: Context<'_, S>) {
        if context.metadata(id).is_some_and(|metadata| metadata.target() == "foundation::service") {
            self.write("at work".to_owned());
        }
    }

    fn on_close(&self, id: span::Id, context: Context<'_, S>) {
        if context.metadata(&id).is_some_and(|metadata| metadata.target() == "foundation::service") {
            self.write("over".to_owned());
        }
    }
}

#[tokio::test]
async fn each_message_has_a_span_of_its_own_that_is_over_before_the_next() {
    let (_registry, names) = test_registry().await;
    let (spans, _listening) = Spans::listen();
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let opened = format!("DEBUG handle namespace={} service=probe actor={}", names.namespace(), actor.get_id());
    let gate = Gate::new();
    actor.cast(Command::Stay(gate.clone())).unwrap();
    actor.cast(Command::Note("behind it")).unwrap();
    gate.arrival().await;
    assert_eq!(spans.read(), [opened.as_str(), "at work"]);
    gate.open();
    actor.cast(Command::Panic("ordered to panic")).unwrap();
    actor.wait(None).await.unwrap();
    assert_eq!(spans.read(), ["at work", "over", &opened, "at work", "over", &opened, "at work", "over"]);
}

#[tokio::test]
async fn a_span_that_the_subscriber_filters_out_is_not_made() {
    let (_registry, names) = test_registry().await;
    let spans = Spans::default();
    let wanted = tracing_subscriber::filter::Targets::new().with_target("foundation", tracing::Level::INFO);
    let _listening = subscribe(spans.clone().with_filter(wanted));
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    ask(&names, &PROBE).await;
    assert_eq!((spans.read(), figures(&names, &PROBE).0), (vec![], 1));
}

// ---- any history ----

#[derive(Debug, Clone, Copy)]
enum Step {
    Note,
    Fail,
    Panic,
    Respawn,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step =
        prop_oneof![4 => Just(Step::Note), 1 => Just(Step::Fail), 1 => Just(Step::Panic), 1 => Just(Step::Respawn)];
    prop::collection::vec(step, 0..60)
}

async fn live_through(names: &ServiceRegistry, steps: &[Step]) {
    let mut actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    for step in steps {
        let message = match step {
            Step::Note => Command::Note("one"),
            Step::Fail => Command::Fail("ordered to fail"),
            Step::Panic => Command::Panic("ordered to panic"),
            Step::Respawn => Command::Stop(None),
        };
        actor.cast(message).unwrap();
        if let Step::Note = step {
            continue;
        }
        actor.wait(None).await.unwrap();
        actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    }
    actor.drain_and_wait(None).await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_message_and_every_failure_of_every_life_is_counted_once(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let measures = runtime.block_on(async {
            let (_registry, names) = test_registry().await;
            live_through(&names, &steps).await;
            measured(&names, &PROBE)
        });
        let messages = steps.len() as u64;
        let failures = steps.iter().filter(|step| matches!(step, Step::Fail | Step::Panic)).count() as u64;
        let expected = (messages > 0).then_some((messages, failures, messages.div_ceil(Measurement::SAMPLED)));
        prop_assert_eq!(measures.map(|it| (it.messages, it.failures, it.handling_ns.count)), expected);
    }
}

/// The spans of starts and stops on this thread, as lines.
#[derive(Clone, Default)]
struct Lives(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Lives {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        let metadata = attributes.metadata();
        if metadata.target() == "foundation::lifecycle" {
            let mut line = format!("{} {}", metadata.level(), metadata.name());
            attributes.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                line.push_str(&format!(" {}={value:?}", field.name()));
            });
            self.0.lock().unwrap().push(line);
        }
    }
}

#[tokio::test]
async fn the_start_and_the_stop_of_a_service_have_spans_that_name_it() {
    let (_registry, names) = test_registry().await;
    let lives = Lives::default();
    let _listening = subscribe(lives.clone());
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    actor.stop_and_wait(None, None).await.unwrap();
    let named = format!("namespace={} service=probe actor={}", names.namespace(), actor.get_id());
    // The start has two parts.
    let wanted = [format!("INFO start {named}"), format!("INFO start {named}"), format!("INFO stop {named}")];
    assert_eq!(*lives.0.lock().unwrap(), wanted);

    names.measured(Measurement::Off).spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_eq!(lives.0.lock().unwrap().len(), wanted.len());
}

#[tokio::test]
async fn figures_are_listed_by_name_including_names_without_an_actor_but_not_without_a_message() {
    let (_registry, names) = test_registry().await;
    let keys = ["c", "a", "b"].map(crate::setup::key::<Command>);
    for key in &keys {
        let actor = names.spawn(key, Probe::default(), ()).await.unwrap();
        if key.name().as_str() != "b" {
            names.via(key).call(Command::Id, SOON).await.unwrap();
        }
        if key.name().as_str() == "a" {
            actor.kill_and_wait(None).await.unwrap();
            names.wait_until_free(key, SOON).await.unwrap();
        }
    }
    let listed: Vec<_> = names.measures().into_iter().map(|(name, it)| (name.to_string(), it.messages)).collect();
    assert_eq!(listed, [("a".to_owned(), 1), ("c".to_owned(), 1)]);
    let info = names.service_info();
    assert_eq!(info.services.iter().map(|it| it.measures.is_some()).collect::<Vec<_>>(), [false, true], "of b and c");
}
