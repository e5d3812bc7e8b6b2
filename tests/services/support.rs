//! Settings, clocks and actors that the scenarios share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foundation::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation::{
    ConfigSources, EventStorage, Foundation, FoundationBuilder, MemoryLog, Namespace, ServiceKey, ServiceName,
    Services, TestNamespace,
};
use serde_json::json;
use std::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;

/// Only a failing test waits this long.
pub(super) const SOON: Duration = Duration::from_secs(30);

// ---- settings ----

pub(super) fn settings() -> ConfigSources {
    let defaults = json!({ "server": { "host": "localhost", "port": 8080 }, "limits": { "ratio": 0.5 } });
    ConfigSources::new().defaults(defaults).unwrap().updatable("server").unwrap().updatable("limits").unwrap()
}

/// A foundation that has something to configure.
pub(super) fn configured() -> FoundationBuilder {
    Foundation::builder().config(settings())
}

/// The same with a clock that can be stopped, which blocks only the writers of events: they have threads of their
/// own, since their logs, one for each namespace, are taken for ones that may block.
pub(super) fn held_up_by(clock: &StuckClock) -> FoundationBuilder {
    let logs: Arc<Mutex<HashMap<Namespace, MemoryLog>>> = Arc::default();
    let storage = EventStorage::with(move |namespace| {
        let mut logs = logs.lock().unwrap();
        Ok(logs.entry(namespace).or_insert_with(|| MemoryLog::new(namespace.to_string())).clone())
    });
    configured().events(storage.clone()).test_events(storage).clock(clock.read())
}

/// The text of the error.
pub(super) fn text<T: std::fmt::Debug>(outcome: Result<T, impl std::fmt::Display>) -> String {
    outcome.expect_err("an error").to_string()
}

// ---- time of day ----

/// A clock that stands still until it is set, in seconds since 1970.
#[derive(Clone, Default)]
pub(super) struct HandSetClock(Arc<AtomicU64>);

impl HandSetClock {
    pub(super) fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::SeqCst);
    }

    pub(super) fn read(&self) -> impl Fn() -> SystemTime + Send + Sync + 'static {
        let seconds = Arc::clone(&self.0);
        move || at(seconds.load(Ordering::SeqCst))
    }
}

pub(super) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A clock that panics on request: the event store reads it in the middle of an append.
#[derive(Clone, Default)]
pub(super) struct FaultyClock(Arc<AtomicBool>);

impl FaultyClock {
    /// The next reading panics, and no other.
    pub(super) fn fail_once(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(super) fn read(&self) -> impl Fn() -> SystemTime + Send + Sync + 'static {
        let fails = Arc::clone(&self.0);
        move || {
            assert!(!fails.swap(false, Ordering::SeqCst), "the clock is out of order");
            UNIX_EPOCH
        }
    }
}

/// A clock that blocks its reader, and with it the thread: for runtimes with several.
#[derive(Clone)]
pub(super) struct StuckClock(Arc<Mutex<Option<Hold>>>);

struct Hold {
    arrived: tokio::sync::oneshot::Sender<()>,
    released: mpsc::Receiver<()>,
}

/// A reader that is, or will be, blocked; released when this is dropped.
pub(super) struct Held {
    arrived: tokio::sync::oneshot::Receiver<()>,
    _release: mpsc::Sender<()>,
}

impl StuckClock {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// Blocks the next reader, and no other.
    pub(super) fn hold_next(&self) -> Held {
        let (arrived, arrival) = tokio::sync::oneshot::channel();
        let (release, released) = mpsc::channel();
        *self.0.lock().unwrap() = Some(Hold { arrived, released });
        Held { arrived: arrival, _release: release }
    }

    pub(super) fn read(&self) -> impl Fn() -> SystemTime + Send + Sync + 'static {
        let hold = Arc::clone(&self.0);
        move || {
            // Out of the lock first: the next reader is not blocked.
            let hold = hold.lock().unwrap().take();
            if let Some(Hold { arrived, released }) = hold {
                let _ = arrived.send(());
                let _ = released.recv();
            }
            UNIX_EPOCH
        }
    }
}

impl Held {
    /// Returns when a reader is blocked.
    pub(super) async fn arrival(&mut self) {
        (&mut self.arrived).await.unwrap();
    }
}

// ---- faults ----

/// Unregisters the event store: it lives, but no lookup finds it until it has been killed and restarted.
pub(super) fn cut_off_event_store(services: &Services) {
    let anything = ServiceKey::<()>::from(foundation::EventStore::NAME);
    assert!(services.unregister(&anything), "the event store had its name");
}

/// The actor that has a name now.
pub(super) fn pid(services: &Services, name: &ServiceName) -> u64 {
    let found = services.service_info().services.into_iter().find(|service| service.name == *name);
    found.unwrap_or_else(|| panic!("{name} is there")).actor.pid()
}

/// Kills a service of the foundation's own and returns when its successor is there.
pub(super) async fn crash(namespace: &TestNamespace, name: &ServiceName) {
    namespace.kill(name).await.unwrap();
    until_up(namespace, name).await;
}

pub(super) async fn until_up(services: &Services, name: &ServiceName) {
    let up = match name.as_str() {
        "config_server" => services.config().wait_until_up(SOON).await,
        "event_store" => services.events().wait_until_up(SOON).await,
        "telemetry" => services.telemetry().wait_until_up(SOON).await,
        other => panic!("{other} is no service of the foundation"),
    };
    up.unwrap();
}

// ---- an application's actor ----

/// The events in a clerk's life, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lived {
    Started(&'static str),
    Stopped(&'static str),
}

/// A child of the application: reports its start and its end.
#[derive(Clone)]
pub(super) struct Clerk {
    pub(super) name: &'static str,
    pub(super) diary: UnboundedSender<Lived>,
}

pub(super) enum ClerkMsg {
    Name(RpcReplyPort<&'static str>),
    Panic,
}
foundation::local_message!(ClerkMsg);

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Clerk {
    type Msg = ClerkMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<ClerkMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        let _ = self.diary.send(Lived::Started(self.name));
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<ClerkMsg>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        let _ = self.diary.send(Lived::Stopped(self.name));
        Ok(())
    }

    async fn handle(&self, _: ActorRef<ClerkMsg>, message: ClerkMsg, (): &mut ()) -> Result<(), ActorProcessingErr> {
        match message {
            ClerkMsg::Name(reply) => drop(reply.send(self.name)),
            ClerkMsg::Panic => panic!("the clerk was told to panic"),
        }
        Ok(())
    }
}

/// An actor made of two functions, which run in its start and at its end.
pub(super) struct Hooks<S, E> {
    pub(super) start: S,
    pub(super) end: E,
}

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl<S, F, E, G> Actor for Hooks<S, E>
where
    S: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), ActorProcessingErr>> + Send + 'static,
    E: Fn() -> G + Send + Sync + 'static,
    G: Future<Output = Result<(), ActorProcessingErr>> + Send + 'static,
{
    type Msg = ClerkMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<ClerkMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        (self.start)().await
    }

    async fn post_stop(&self, _: ActorRef<ClerkMsg>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        (self.end)().await
    }
}
