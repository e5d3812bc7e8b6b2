//! The set-up of a scenario, and the polls of the function under test.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use foundation::config::ConfigSources;
use foundation::events::EventKind;
use foundation::names::{ServiceName, ServiceRegistry};
use foundation::ractor::{ActorId, ActorRef};
use foundation::supervision::{
    ChildError, DynamicSupervisor, DynamicSupervisorSpec, PartitionSupervisor, PartitionSupervisorSpec, SupervisorSpec,
    TaskSupervisor,
};
use foundation::{
    ChildSpec, ConfigServer, EventStore, Foundation, Namespace, NewEvent, ServiceKey, Services, Strategy, Supervisor,
    Telemetry,
};
use foundation_managed::Managed;
use foundation_testkit::{Command, Log, PanickingWaker, Pool, Puppet};
use tokio::runtime::Handle;

/// Every function ends in fewer polls than this.
const MOST_POLLS: usize = 200;
const MOST_TURNS: usize = 10_000;
/// The number of turns that others have to wake a waker that panics.
const PATIENCE: usize = 100;
/// In time of the paused clock: only a hanging future takes so long.
pub(super) const LONG: Duration = Duration::from_secs(600);

pub(super) static CLERK: ServiceKey<Command> = ServiceKey::from_static("clerk");
pub(super) const NOTED: EventKind = EventKind::from_static("noted");

/// A foundation with one of everything.
pub(super) struct Fixture {
    pub(super) foundation: Foundation,
    pub(super) log: Log,
    /// The child `worker` of [`supervisor`](Self::supervisor), and of [`dynamic`](Self::dynamic).
    pub(super) worker: Puppet,
    pub(super) other: Puppet,
    pub(super) supervisor: Supervisor,
    pub(super) dynamic: DynamicSupervisor,
    pub(super) tasks: TaskSupervisor,
    pub(super) shards: PartitionSupervisor<ActorRef<Command>>,
    pub(super) shard: Vec<Puppet>,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        let log = Log::new();
        let (worker, other) = (Puppet::new("worker", &log), Puppet::new("other", &log));
        let shard: Vec<_> = (0..3).map(|number| Puppet::new(&format!("shard_{number}"), &log)).collect();
        let played = shard.clone();
        let partitions = PartitionSupervisorSpec::workers(3, move |at| (played[at].actor(), ())).unwrap();
        let shards = partitions.handle();
        let (tree, crowd) = (worker.spec(), other.spec());
        let foundation = Foundation::builder().config(settings()).service(Managed::service()).start().await.unwrap();
        let services = foundation.production();
        let application = services.application().unwrap();
        let team = SupervisorSpec::new(Strategy::OneForOne).child(tree);
        services.supervise(ChildSpec::supervisor("team", team)).await.unwrap();
        services.supervise(ChildSpec::dynamic_supervisor("crowd", DynamicSupervisorSpec::default())).await.unwrap();
        services.supervise(ChildSpec::task_supervisor("tasks", DynamicSupervisorSpec::default())).await.unwrap();
        services.supervise(ChildSpec::partition_supervisor("shards", partitions)).await.unwrap();
        let supervisor = application.supervisor("team").await.unwrap().unwrap();
        let dynamic = application.dynamic_supervisor("crowd").await.unwrap().unwrap();
        let tasks = application.task_supervisor("tasks").await.unwrap().unwrap();
        dynamic.start_child(crowd).await.unwrap();
        for number in 0..5 {
            let event = NewEvent::of(NOTED).payload(number).unwrap();
            foundation.events().append(event).await.unwrap();
        }
        Self { foundation, log, worker, other, supervisor, dynamic, tasks, shards, shard }
    }

    pub(super) fn services(&self) -> &Services {
        self.foundation.production()
    }

    pub(super) fn registry(&self) -> &ServiceRegistry {
        self.foundation.production().registry()
    }

    /// The actors of the foundation's own services.
    fn service_ids(&self) -> BTreeMap<ServiceName, ActorId> {
        let all = self.foundation.registry().get_all_services(Namespace::Production);
        let own = [EventStore::NAME, ConfigServer::NAME, Telemetry::NAME];
        own.into_iter().filter_map(|name| Some((name.clone(), all.get(&name)?.actor_id()))).collect()
    }

    /// Another puppet, in the same log.
    pub(super) fn puppet(&self, name: &str) -> Puppet {
        Puppet::new(name, &self.log)
    }
}

fn settings() -> ConfigSources {
    let sources = ConfigSources::new().section::<Pool>().unwrap();
    sources.defaults(serde_json::json!({ "port": 1, "pace": 2 })).unwrap().updatable("port").unwrap()
}

/// What happens to a future at its last poll.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    /// It is dropped right after the poll, not when it would be woken.
    Dropped,
    /// It is polled with a waker that panics, and dropped after that is woken or after a number of turns.
    WokenByPanic,
}

/// A future that is polled at most this many times.
struct Polled<F> {
    /// `None` once it is dropped.
    future: Option<Pin<Box<F>>>,
    left: usize,
    last: Last,
    /// The number of turns since its last poll in which it was not woken.
    waited: usize,
    panics: Arc<PanickingWaker>,
}

impl<F: Future> Polled<F> {
    fn new(future: F, polls: usize, last: Last) -> Self {
        Self { future: Some(Box::pin(future)), left: polls, last, waited: 0, panics: Arc::default() }
    }

    /// Waits until the waker has panicked, if it is to panic, and drops the future.
    fn after_the_last(&mut self, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        self.waited += 1;
        let is_over = self.last == Last::Dropped || self.panics.was_woken() || self.waited > PATIENCE;
        if is_over {
            // It may wake itself once more when it is dropped.
            let future = self.future.take();
            drop(catch_unwind(AssertUnwindSafe(|| drop(future))));
            return Poll::Ready(None);
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Polls with the waker that panics. Woken within the poll, it ends only the task that it belongs to.
    fn poll_with_panic(&mut self) -> Poll<Option<F::Output>> {
        let (Some(future), panics) = (&mut self.future, Waker::from(Arc::clone(&self.panics))) else {
            return Poll::Ready(None);
        };
        let poll = || future.as_mut().poll(&mut Context::from_waker(&panics)).map(Some);
        catch_unwind(AssertUnwindSafe(poll)).unwrap_or(Poll::Pending)
    }
}

impl<F: Future> Future for Polled<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(left) = self.left.checked_sub(1) else { return self.after_the_last(context) };
        self.left = left;
        let polled = if left == 0 && self.last == Last::WokenByPanic {
            self.poll_with_panic()
        } else {
            let Some(future) = &mut self.future else { return Poll::Ready(None) };
            future.as_mut().poll(context).map(Some)
        };
        if left == 0 && polled.is_pending() { self.after_the_last(context) } else { polled }
    }
}

/// Polls the future of `ask` n times and drops it, for n from 0 until it ends by itself, in a fresh fixture each time.
/// `holds` gets its output, if it ended, and checks the fixture; then the foundation ends in order, and no task is left.
///
/// Then the same again, with a waker that panics at the last poll: no service ends by it.
pub(super) async fn dropped_at_each_poll<T>(
    ask: impl AsyncFn(&Fixture) -> T,
    holds: impl AsyncFn(&Fixture, Option<T>),
) {
    for last in [Last::Dropped, Last::WokenByPanic] {
        let ended = async |polls| after_polls(polls, last, &ask, &holds).await;
        let mut polls = 0;
        while !ended(polls).await {
            polls += 1;
            assert!(polls < MOST_POLLS, "it has not ended after {MOST_POLLS} polls");
        }
    }
}

/// Whether the future has ended by itself.
async fn after_polls<T>(
    polls: usize,
    last: Last,
    ask: &impl AsyncFn(&Fixture) -> T,
    holds: &impl AsyncFn(&Fixture, Option<T>),
) -> bool {
    let fixture = Fixture::new().await;
    let services = fixture.service_ids();
    let outcome = Polled::new(ask(&fixture), polls, last).await;
    let ended = outcome.is_some();
    let checked = tokio::time::timeout(LONG, holds(&fixture, outcome)).await;
    assert!(checked.is_ok(), "after {polls} polls, what follows hangs");
    if last == Last::WokenByPanic {
        let now = fixture.service_ids();
        let other = services.iter().find(|(name, id)| now.get(*name).is_some_and(|now| now != *id));
        assert_eq!(other, None, "after {polls} polls, a waker that panicked has ended a service");
    }
    end(fixture, polls).await;
    ended
}

/// The same for a function that returns a result, and that succeeds when called again, whatever the first call did.
pub(super) async fn works_again<T, E: std::fmt::Debug>(ask: impl AsyncFn(&Fixture) -> Result<T, E>) {
    dropped_at_each_poll(&ask, async |fixture, outcome| {
        if let Some(outcome) = outcome {
            outcome.map(drop).unwrap();
        }
        ask(fixture).await.map(drop).unwrap();
    })
    .await;
}

/// Lets others have a turn. The future wakes itself, and not the runtime, which would not survive a waker that panics.
pub(super) async fn a_turn() {
    let mut had = false;
    poll_fn(|context| {
        if std::mem::replace(&mut had, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn end(fixture: Fixture, polls: usize) {
    let stopped = tokio::time::timeout(LONG, fixture.foundation.shutdown()).await;
    assert!(stopped.is_ok(), "after {polls} polls, the foundation does not stop");
    drop(fixture);
    no_task_is_left(polls).await;
}

/// The end of a detached task is not observable, so every task gets its turns.
async fn no_task_is_left(polls: usize) {
    let left = async || Handle::current().metrics().num_alive_tasks();
    let none = comes_true(async || left().await == 0).await;
    assert!(none, "after {polls} polls, {} tasks are left", left().await);
}

/// Yields until this is so; false if it is not after a great many turns.
pub(super) async fn comes_true(is_so: impl AsyncFn() -> bool) -> bool {
    for _ in 0..MOST_TURNS {
        if is_so().await {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

/// A child that never came, or is already removed, counts as terminated.
pub(super) fn unless_not_found(error: ChildError) -> Result<(), ChildError> {
    match error {
        ChildError::NotFound { .. } => Ok(()),
        error => Err(error),
    }
}
