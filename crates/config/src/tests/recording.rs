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
struct FailingDisk {
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
    disk: Arc<FailingDisk>,
}

impl FailingLog {
    fn open(log: &MemoryLog, disk: &Arc<FailingDisk>) -> Result<Self, LogError> {
        if !disk.may_open.load(Ordering::SeqCst) {
            return Err(LogError::new("opening", "the log", "not yet"));
        }
        for Append { batch, .. } in disk.unshown.lock().unwrap().drain(..) {
            log.append_batch(batch, SystemTime::now()).unwrap();
        }
        Ok(Self { log: log.clone(), disk: Arc::clone(disk) })
    }
}

impl EventLog for FailingLog {
    fn commit(&mut self, group: Vec<Append>, now: SystemTime) -> Result<Vec<Result<Appended, EventError>>, LogError> {
        let is_change =
            group.iter().flat_map(|append| &append.batch).any(|event| event.kind().as_str().starts_with("config_"));
        let stalled = self.disk.stalled.lock().unwrap().take_if(|_| is_change);
        let Some(stalled) = stalled else { return self.log.commit(group, now) };
        self.disk.begun.notify_one();
        stalled.recv().unwrap_err();
        self.disk.unshown.lock().unwrap().extend(group);
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

/// A namespace whose first change of the configuration stalls in the log until `fails` is dropped.
struct Stalling {
    root: ProcessRegistry,
    config: ConfigServer,
    events: EventStore,
    disk: Arc<FailingDisk>,
    fails: mpsc::Sender<()>,
}

impl Stalling {
    async fn start(base: ConfigTree, inquiry: Duration) -> Self {
        let (log, disk) = (MemoryLog::new("production"), Arc::new(FailingDisk::default()));
        disk.may_open.store(true, Ordering::SeqCst);
        let (fails, stalled) = mpsc::channel();
        *disk.stalled.lock().unwrap() = Some(stalled);
        let storage = EventStorage::with({
            let disk = Arc::clone(&disk);
            move |_| FailingLog::open(&log, &disk)
        });
        let base = Arc::new(base);
        let limits = move |names: &ServiceRegistry| {
            names.extension(|| EventStoreLimits::new().answer(ANSWER));
            names.extension(|| ConfigServerLimits::new().inquiry(inquiry));
        };
        let root = ProcessRegistry::builder().prepare(limits).service(EventStore::service(storage));
        let root = root.service(ConfigServer::service(Arc::clone(&base))).start().await.unwrap();
        let registry = root.namespace(Namespace::Production).await.unwrap();
        let (config, events) = (ConfigServer::new(&registry, &base), EventStore::of(&registry));
        Self { root, config, events, disk, fails }
    }
}

/// A namespace with an update that is under way.
struct Running {
    root: ProcessRegistry,
    config: ConfigServer,
    events: EventStore,
    disk: Arc<FailingDisk>,
    update: JoinHandle<Result<ConfigChanged, ConfigUpdateError>>,
}

/// A configuration whose update of `server.port` to 81 was not answered, is asked about, and is then recorded by a log
/// that fails and does not show it.
async fn failed_while_asked_about(inquiry: Duration) -> Running {
    let Stalling { root, config, events, disk, fails } = Stalling::start(tree(), inquiry).await;
    let updating = config.clone();
    let update = tokio::spawn(async move { updating.update("server.port", 81).await });
    disk.begun.notified().await;
    disk.may_open.store(false, Ordering::SeqCst);
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
    Running { root, config, events, disk, update }
}

async fn yield_often() {
    for _ in 0..1_000 {
        yield_now().await;
    }
}

#[tokio::test]
async fn a_change_is_not_taken_for_unrecorded_because_a_log_that_has_just_failed_does_not_show_it() {
    let Running { root, config, disk, update, .. } = failed_while_asked_about(Duration::from_secs(60)).await;
    assert!(!update.is_finished());
    disk.may_open.store(true, Ordering::SeqCst);
    let changed = update.await.unwrap().unwrap();
    assert_eq!((changed.change.new, changed.generation), (json!(81), 2));
    assert_eq!(config.get::<u16>("server.port").unwrap(), 81);
    assert_eq!(config.history("server.port").await.unwrap().len(), 1);
    root.shutdown().await;
}

#[tokio::test]
async fn a_change_of_which_a_failed_log_does_not_say_whether_it_is_recorded_is_made_before_the_next_one() {
    let Running { root, config, events, disk, update } = failed_while_asked_about(Duration::from_millis(500)).await;
    let unanswered = update.await.unwrap();
    assert!(matches!(unanswered, Err(ConfigUpdateError::NoAnswer { .. })), "{unanswered:?}");
    let refused = config.update("server.tls", true).await;
    assert!(matches!(refused, Err(ConfigUpdateError::NotRecorded(_))), "{refused:?}");

    disk.may_open.store(true, Ordering::SeqCst);
    events.wait_until_up(None).await.unwrap();
    let next = config.update("server.tls", true).await.unwrap();
    assert_eq!((config.get::<u16>("server.port").unwrap(), next.generation), (81, 3));
    root.shutdown().await;
}

/// Reads the files for a reload, of which the log then does not answer whether it is recorded; meanwhile the files get
/// this content.
async fn reload_that_is_recorded_and_not_answered(then: &str) {
    let (_directory, path) = file("server.port = 81");
    let base = sources().file(&path).load().unwrap();
    let Stalling { root, config, disk, fails, .. } = Stalling::start(base, Duration::from_secs(60)).await;
    std::fs::write(&path, "server.port = 82").unwrap();
    let reloading = config.clone();
    let reload = tokio::spawn(async move { reloading.reload().await });
    disk.begun.notified().await;
    std::fs::write(&path, then).unwrap();
    drop(fails);
    let commit = reload.await.unwrap().unwrap();
    assert_eq!((&commit.changes[0].new, commit.generation), (&json!(82), 2));
    assert_eq!(config.get::<u16>("server.port").unwrap(), 82);
    let history = config.history("server.port").await.unwrap();
    assert_eq!(history.iter().map(|record| Some(record.event)).collect::<Vec<_>>(), [commit.event]);

    // The change of the files since is the next one.
    std::fs::write(&path, "server.port = 83").unwrap();
    let next = config.reload().await.unwrap();
    assert_eq!((&next.changes[0].old, &next.changes[0].new, next.generation), (&json!(82), &json!(83), 3));
    root.shutdown().await;
}

#[tokio::test]
async fn a_reload_that_is_recorded_is_made_although_the_files_were_changed_back_before_that_was_known() {
    reload_that_is_recorded_and_not_answered("server.port = 81").await;
}

#[tokio::test]
async fn a_reload_that_is_recorded_is_made_although_the_files_have_become_invalid_before_that_was_known() {
    reload_that_is_recorded_and_not_answered("server.port = ").await;
}
