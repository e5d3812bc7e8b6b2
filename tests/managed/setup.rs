//! The kinds and namespaces that the tests of managed services share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use foundation::config::{ConfigServer, ConfigSources};
use foundation::events::{EventLog, EventStorage, EventStore, LogError, MemoryLog};
use foundation::names::{NameChange, Namespace, ProcessRegistry, ServiceKey, ServiceName, ServiceRegistry, Watched};
use foundation::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation::supervision::{BoxError, ChildSpec, Restart};
use foundation_discovery::health::CheckRole;
use foundation_discovery::{InstanceBuilder, InstanceCheck};
use foundation_managed::{
    LifecycleWatched, Managed, Need, ReplacementStrategy, ServiceConfig, ServiceContext, ServiceKind, ServiceStatus,
};
use foundation_testkit::{FaultyLog, soon};
use futures::FutureExt;
use futures::future::BoxFuture;
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) static DESK: ServiceName = ServiceName::from_static("desk");
pub(crate) static DOOR: ServiceName = ServiceName::from_static("door");

/// The configuration of a clerk, who answers each question with a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default)]
pub(crate) struct Desk {
    #[garde(range(min = 1))]
    pub(crate) answer: u64,
    /// `drain`, `blue_green`, the same after `patient_`, `reload` or `nothing`.
    #[garde(skip)]
    pub(crate) replaced_by: String,
    /// What is wrong with it: `start`, `slow` (its start), `pen` (its check fails), `late` (its check fails at first), `leaves`
    /// (its check fails, and it is not started again), `dead` (its liveness check fails), `refused` or `endless` (its
    /// reload), or the function of its kind that panics.
    #[garde(skip)]
    pub(crate) broken: String,
    #[garde(skip)]
    pub(crate) needs: Vec<String>,
    #[garde(skip)]
    pub(crate) provides: Vec<String>,
    /// Whether it is checked.
    #[garde(skip)]
    pub(crate) checked: bool,
    #[garde(skip)]
    pub(crate) token: Option<String>,
}

impl Default for Desk {
    fn default() -> Self {
        let (replaced_by, broken) = ("drain".to_owned(), String::new());
        let (needs, provides) = (Vec::new(), Vec::new());
        Self { answer: 1, replaced_by, broken, needs, provides, checked: false, token: None }
    }
}

pub(crate) fn desk(answer: u64) -> Desk {
    Desk { answer, ..Desk::default() }
}

pub(crate) fn broken(by: &str) -> Desk {
    Desk { broken: by.to_owned(), ..desk(9) }
}

pub(crate) fn needing(needs: &[&str]) -> Desk {
    Desk { needs: needs.iter().map(|it| (*it).to_owned()).collect(), ..desk(1) }
}

impl Desk {
    pub(crate) fn replaced_by(self, strategy: &str) -> Self {
        Self { replaced_by: strategy.to_owned(), ..self }
    }

    pub(crate) fn checked(self) -> Self {
        Self { checked: true, ..self }
    }
}

pub(crate) struct Clerk;

/// How long something slow takes.
pub(crate) const SLOW: Duration = Duration::from_secs(40);

async fn after(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}

pub(crate) enum ClerkMsg {
    Ask(RpcReplyPort<u64>),
    /// Is answered after a while.
    AskSlowly(RpcReplyPort<u64>),
    Answer(u64),
    Fail,
    /// Is never handled to its end.
    Hang(RpcReplyPort<()>),
}
foundation::local_message!(ClerkMsg);

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Clerk {
    type Msg = ClerkMsg;
    type State = u64;
    type Arguments = Desk;

    async fn pre_start(&self, _: ActorRef<ClerkMsg>, desk: Desk) -> Result<u64, ActorProcessingErr> {
        if desk.broken == "slow" {
            after(SLOW).await;
        }
        if desk.broken == "start" { Err("no pen".into()) } else { Ok(desk.answer) }
    }

    async fn handle(
        &self,
        _: ActorRef<ClerkMsg>,
        message: ClerkMsg,
        answer: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ClerkMsg::Ask(reply) => drop(reply.send(*answer)),
            ClerkMsg::AskSlowly(reply) => {
                after(SLOW).await;
                drop(reply.send(*answer));
            }
            ClerkMsg::Answer(next) => *answer = next,
            ClerkMsg::Hang(reply) => {
                drop(reply.send(()));
                std::future::pending::<()>().await;
            }
            ClerkMsg::Fail => return Err("out of ink".into()),
        }
        Ok(())
    }
}

/// Counts how often its checks ran.
#[derive(Default)]
pub(crate) struct Clerks {
    pub(crate) checks: Arc<AtomicU64>,
}

fn panics(desk: &Desk, function: &str) {
    assert_ne!(desk.broken, function, "the kind is broken");
}

impl ServiceKind for Clerks {
    type Config = Desk;
    const NAME: &'static str = "clerks";
    const SECRETS: &'static [&'static str] = &["token"];

    fn describe(&self, instance: InstanceBuilder, desk: &Desk) -> InstanceBuilder {
        panics(desk, "describe");
        desk.provides.iter().fold(instance.version("1.0.0"), InstanceBuilder::capability)
    }

    fn child(&self, context: &ServiceContext, desk: Arc<Desk>) -> Result<ChildSpec, BoxError> {
        panics(&desk, "child");
        if desk.broken == "no_child" {
            return Err("no room".into());
        }
        if desk.broken == "other_id" {
            return Ok(ChildSpec::worker("other", || (Clerk, Desk::default())));
        }
        let leaves = desk.broken == "leaves";
        let spec = context.child_spec(move || (Clerk, (*desk).clone()))?;
        Ok(if leaves { spec.restart(Restart::Temporary) } else { spec })
    }

    fn needs(&self, desk: &Desk) -> Vec<Need> {
        panics(desk, "needs");
        let need = |text: &String| match text.strip_prefix('+') {
            Some(capability) => Need::capability(capability.parse().unwrap()),
            None => Need::service(&ServiceName::new(text).unwrap()),
        };
        desk.needs.iter().map(need).collect()
    }

    fn checks(&self, desk: &Desk) -> Vec<InstanceCheck> {
        panics(desk, "checks");
        if !desk.checked {
            return Vec::new();
        }
        let (checks, broken, before) = (Arc::clone(&self.checks), desk.broken.clone(), AtomicU64::new(0));
        let check = InstanceCheck::function("pen", move |_| {
            checks.fetch_add(1, Ordering::Relaxed);
            let is_late = broken == "late" && before.fetch_add(1, Ordering::Relaxed) < 3;
            let is_broken = is_late || ["pen", "leaves", "dead"].contains(&broken.as_str());
            async move { if is_broken { Err("no pen") } else { Ok(()) } }
        });
        let role = if desk.broken == "dead" { CheckRole::Liveness } else { CheckRole::default() };
        vec![check.every(Duration::from_secs(1)).role(role)]
    }

    fn replacement(&self, old: &Desk, new: &Desk) -> ReplacementStrategy {
        panics(new, "replacement");
        if old == new {
            return ReplacementStrategy::Nothing;
        }
        let second = Duration::from_secs(1);
        match new.replaced_by.as_str() {
            "blue_green" => ReplacementStrategy::BlueGreen { ready_within: 5 * second, overlap: 5 * second },
            "patient_blue_green" => ReplacementStrategy::BlueGreen { ready_within: 5 * second, overlap: 60 * second },
            "patient_drain" => ReplacementStrategy::DrainFirst { within: 60 * second },
            "reload" => ReplacementStrategy::Reload,
            "nothing" => ReplacementStrategy::Nothing,
            _ => ReplacementStrategy::DrainFirst { within: 5 * second },
        }
    }

    fn reload(&self, context: &ServiceContext, desk: Arc<Desk>) -> BoxFuture<'static, Result<(), BoxError>> {
        let clerk = context.names().lookup(&context.key::<ClerkMsg>());
        async move {
            panics(&desk, "reload");
            if desk.broken == "refused" {
                return Err("not today".into());
            }
            if desk.broken == "endless" {
                std::future::pending::<()>().await;
            }
            Ok(clerk?.cast(ClerkMsg::Answer(desk.answer))?)
        }
        .boxed()
    }

    fn example(&self) -> Option<Desk> {
        Some(Desk { token: Some("hunter2".to_owned()), provides: vec!["stamp".to_owned()], ..desk(7) })
    }
}

/// A namespace with managed services.
pub(crate) struct World {
    pub(crate) names: ServiceRegistry,
    pub(crate) managed: Managed,
    pub(crate) events: EventStore,
    pub(crate) config: ConfigServer,
    pub(crate) registry: ProcessRegistry,
}

pub(crate) async fn world() -> World {
    world_in(EventStorage::memory()).await
}

/// A process with this storage; the next one has what this one recorded.
pub(crate) async fn world_in(storage: EventStorage) -> World {
    world_with(storage, ConfigSources::new()).await
}

pub(crate) async fn world_with(storage: EventStorage, sources: ConfigSources) -> World {
    let base = Arc::new(sources.load().unwrap());
    let registry = ProcessRegistry::builder()
        .service(EventStore::service(storage))
        .service(ConfigServer::service(Arc::clone(&base)))
        .service(Managed::service())
        .start()
        .await
        .unwrap();
    let names = registry.namespace(Namespace::Production).await.unwrap();
    let (managed, events) = (Managed::of(&names), EventStore::of(&names));
    managed.register_kind(Clerks::default()).unwrap();
    let config = ConfigServer::new(&names, &base);
    World { names, managed, events, config, registry }
}

/// A storage that outlives the processes.
pub(crate) fn kept() -> EventStorage {
    let log = MemoryLog::new("production");
    EventStorage::with(move |_| Ok(log.clone()))
}

impl World {
    pub(crate) async fn declared(&self, name: &ServiceName, desk: Desk) {
        self.managed.declare::<Clerks>(name, &desk).await.unwrap();
    }

    pub(crate) async fn started(&self, name: &ServiceName, desk: Desk) {
        self.declared(name, desk).await;
        self.managed.start(name).await.unwrap();
    }

    /// What the service of this name answers.
    pub(crate) async fn answer(&self, name: &ServiceName) -> Result<u64, String> {
        let clerk = self.names.via(&Managed::key::<ClerkMsg>(name).unwrap());
        clerk.call(ClerkMsg::Ask, Duration::from_secs(5)).await.map_err(|error| error.to_string())
    }

    /// Lets the service of this name handle a message for ever.
    pub(crate) async fn hang(&self, name: &ServiceName) {
        let clerk = self.names.via(&Managed::key::<ClerkMsg>(name).unwrap());
        clerk.call(ClerkMsg::Hang, Duration::from_secs(5)).await.unwrap();
    }

    /// Sends a message to the service of this name.
    pub(crate) fn send(&self, name: &ServiceName, message: ClerkMsg) {
        self.names.lookup(&Managed::key::<ClerkMsg>(name).unwrap()).unwrap().cast(message).unwrap();
    }

    /// Kills the manager, and returns when its successor is there.
    pub(crate) async fn manager_restarted(&self) {
        let manager = ServiceKey::<()>::new("managed.manager").unwrap();
        let mut watch = self.names.watch_service(&manager);
        watch.next().await;
        self.names.lookup_any(manager.name()).unwrap().cell().kill();
        while !matches!(watch.next().await, Some(Watched::Change(NameChange::Replaced { .. }))) {}
    }

    pub(crate) fn status(&self, name: &ServiceName) -> ServiceStatus {
        self.managed.status(name).unwrap().status()
    }

    /// The kinds of the events about managed services.
    pub(crate) async fn recorded(&self) -> Vec<String> {
        let events = self.events.recent(1_000).await.unwrap();
        let of_managed = events.iter().filter(|event| event.service() == Some("managed"));
        let kinds = of_managed.map(|event| event.kind.as_str().trim_start_matches("service_").to_owned());
        // The newest come first.
        kinds.collect::<Vec<_>>().into_iter().rev().collect()
    }

    /// Returns when the service has this status.
    pub(crate) async fn becomes(&self, name: &ServiceName, status: ServiceStatus) {
        let mut watch = self.managed.watch();
        let becoming = async {
            while !self.managed.status(name).is_ok_and(|record| record.status() == status) {
                watch.next().await.unwrap();
            }
        };
        soon(format!("{name} becomes {status}"), becoming).await;
    }
}

/// The statuses of a service, from its first change on, as they are seen.
pub(crate) async fn changes_until(world: &World, name: &ServiceName, last: ServiceStatus) -> Vec<String> {
    let mut watch = world.managed.watch();
    let mut seen = Vec::new();
    let watching = async {
        loop {
            let LifecycleWatched::Change(change) = watch.next().await.unwrap() else { continue };
            if change.name == *name {
                seen.push(change.change.to_string());
                if change.change.to.status() == last {
                    return;
                }
            }
        }
    };
    soon("the last change", watching).await;
    seen
}

pub(crate) fn value(value: serde_json::Value) -> ServiceConfig {
    ServiceConfig::Value(value)
}

/// The smallest configuration.
pub(crate) fn small() -> ServiceConfig {
    value(json!({}))
}

/// Lets paused time pass, in which whatever is due happens.
#[expect(clippy::disallowed_methods, reason = "the clock is paused, and its timers fire in order")]
pub(crate) async fn passes(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Returns when the desk answers so.
pub(crate) async fn answers(world: &World, answer: u64) {
    answers_of(world, &DESK, answer).await;
}

/// Returns when the service of this name answers so.
pub(crate) async fn answers_of(world: &World, name: &ServiceName, answer: u64) {
    let mut watch = world.names.watch();
    let answering = async {
        while world.answer(name).await != Ok(answer) {
            watch.next().await;
        }
    };
    soon(format!("the answer {answer}"), answering).await;
}

/// A storage in memory whose log refuses events while it is full.
pub(crate) fn filling_storage() -> (Arc<AtomicBool>, EventStorage) {
    let (is_full, log) = (Arc::new(AtomicBool::new(false)), MemoryLog::new("production"));
    let full = Arc::clone(&is_full);
    let storage = EventStorage::with(move |_| {
        let full = Arc::clone(&full);
        Ok(FaultyLog::new(log.clone(), move |log, group, now| match full.load(Ordering::SeqCst) {
            true => Err(LogError::new("recording events", "a full disk", "no room")),
            false => EventLog::commit(log, group, now),
        }))
    });
    (is_full, storage)
}
