//! Changes whose recording is not answered, through a server and a store that run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use foundation_events::{
    Append, Appended, Event, EventError, EventId, EventLog, EventReader, EventStorage, EventStore, EventStoreLimits,
    LogError, MemoryLog, PruneBound, ReaderSource, SubscriptionName,
};
use foundation_kernel::names::{Namespace, ProcessRegistry, ServiceRegistry};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, yield_now};

use super::*;

const ANSWER: Duration = Duration::from_secs(5);

/// What the test and the log agree on.
#[derive(Default)]
struct Fault {
    /// Notified when the log is asked to record a change.
    begun: Notify,
    /// The log fails when the other end is dropped.
    stalled: Mutex<Option<mpsc::Receiver<()>>>,
    /// What the log has recorded and does not show before it is opened again.
    unshown: Mutex<Vec<Append>>,
    may_open: AtomicBool,
}

/// A log that stalls and then fails at the first change of the configuration, although it has recorded it.
struct FailingLog {
    log: MemoryLog,
    fault: Arc<Fault>,
}

impl FailingLog {
    fn open(log: &MemoryLog, fault: &Arc<Fault>) -> Result<Self, LogError> {
        if !fault.may_open.load(Ordering::SeqCst) {
            return Err(LogError::new("opening", "the log", "not yet"));
        }
        for Append { batch, .. } in fault.unshown.lock().unwrap().drain(..) {
            log.append_batch(batch, SystemTime::now()).unwrap();
        }
        Ok(Self { log: log.clone(), fault: Arc::clone(fault) })
    }
}

impl EventLog for FailingLog {
    fn commit(&mut self, group: Vec<Append>, now: SystemTime) -> Result<Vec<Result<Appended, EventError>>, LogError> {
        let is_change =
            group.iter().flat_map(|append| &append.batch).any(|event| event.kind().as_str() == "config_updated");
        let stalled = self.fault.stalled.lock().unwrap().take_if(|_| is_change);
        let Some(stalled) = stalled else { return self.log.commit(group, now) };
        self.fault.begun.notify_one();
        stalled.recv().unwrap_err();
        self.fault.unshown.lock().unwrap().extend(group);
        Err(LogError::new("recording", "the log", "it has failed"))
    }

    fn prune(&mut self, bound: PruneBound, keep_from: Option<EventId>, at_most: usize) -> Result<u64, LogError> {
        self.log.prune(bound, keep_from, at_most)
    }

    fn acknowledge(&mut self, subscription: &SubscriptionName, up_to: EventId) -> Result<(), LogError> {
        self.log.acknowledge(subscription, up_to)
    }

    fn forget_subscription(&mut self, subscription: &SubscriptionName) -> Result<bool, LogError> {
        self.log.forget_subscription(subscription)
    }

    fn import(&mut self, events: Vec<Event>) -> Result<Result<(), EventError>, LogError> {
        self.log.import(events)
    }

    fn reader(&self) -> Result<Box<dyn EventReader>, LogError> {
        EventLog::reader(&self.log)
    }

    fn reader_source(&self) -> Option<ReaderSource> {
        self.log.reader_source()
    }
}

/// A namespace with an update that is under way.
struct Running {
    root: ProcessRegistry,
    config: ConfigServer,
    events: EventStore,
    fault: Arc<Fault>,
    update: JoinHandle<Result<ConfigChanged, ConfigUpdateError>>,
}

/// A configuration whose update of `server.port` to 81 was not answered, is asked about, and is then recorded by a log
/// that fails and does not show it.
async fn failed_while_asked_about(inquiry: Duration) -> Running {
    let (log, fault) = (MemoryLog::new("production"), Arc::new(Fault::default()));
    fault.may_open.store(true, Ordering::SeqCst);
    let (fails, stalled) = mpsc::channel();
    *fault.stalled.lock().unwrap() = Some(stalled);
    let storage = EventStorage::with({
        let fault = Arc::clone(&fault);
        move |_| FailingLog::open(&log, &fault)
    });
    let base = Arc::new(tree());
    let limits = move |names: &ServiceRegistry| {
        names.extension(|| EventStoreLimits::new().answer(ANSWER));
        names.extension(|| ConfigServerLimits::new().inquiry(inquiry));
    };
    let root = ProcessRegistry::builder().prepare(limits).service(EventStore::service(storage));
    let root = root.service(ConfigServer::service(Arc::clone(&base))).start().await.unwrap();
    let registry = root.namespace(Namespace::Production).await.unwrap();
    let (config, events) = (ConfigServer::new(&registry, &base), EventStore::of(&registry));

    let updating = config.clone();
    let update = tokio::spawn(async move { updating.update("server.port", 81).await });
    fault.begun.notified().await;
    fault.may_open.store(false, Ordering::SeqCst);
    // The test is always ready to run, so the paused clock advances only here, and the server has asked the store about
    // its recording before the log fails.
    tokio::time::pause();
    tokio::time::advance(ANSWER + Duration::from_secs(1)).await;
    yield_often().await;
    tokio::time::resume();
    drop(fails);
    while events.outage().is_none() {
        yield_now().await;
    }
    yield_often().await;
    Running { root, config, events, fault, update }
}

async fn yield_often() {
    for _ in 0..1_000 {
        yield_now().await;
    }
}

#[tokio::test]
async fn a_change_is_not_taken_for_unrecorded_because_a_log_that_has_just_failed_does_not_show_it() {
    let Running { root, config, fault, update, .. } = failed_while_asked_about(Duration::from_secs(60)).await;
    assert!(!update.is_finished());
    fault.may_open.store(true, Ordering::SeqCst);
    let changed = update.await.unwrap().unwrap();
    assert_eq!((changed.change.new, changed.generation), (json!(81), 2));
    assert_eq!(config.get::<u16>("server.port").unwrap(), 81);
    assert_eq!(config.history("server.port").await.unwrap().len(), 1);
    root.shutdown().await;
}

#[tokio::test]
async fn a_change_of_which_a_failed_log_does_not_say_whether_it_is_recorded_is_made_before_the_next_one() {
    let Running { root, config, events, fault, update } = failed_while_asked_about(Duration::from_millis(500)).await;
    let unanswered = update.await.unwrap();
    assert!(matches!(unanswered, Err(ConfigUpdateError::NoAnswer { .. })), "{unanswered:?}");
    let refused = config.update("server.tls", true).await;
    assert!(matches!(refused, Err(ConfigUpdateError::NotRecorded(_))), "{refused:?}");

    fault.may_open.store(true, Ordering::SeqCst);
    events.wait_until_up(None).await.unwrap();
    let next = config.update("server.tls", true).await.unwrap();
    assert_eq!((config.get::<u16>("server.port").unwrap(), next.generation), (81, 3));
    root.shutdown().await;
}
