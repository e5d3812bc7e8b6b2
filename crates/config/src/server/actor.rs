//! The config server's actor. It handles one change after the other: it decides, records, and only then applies it. It
//! also applies the changes that are recorded and not applied yet.
//!
//! 1. The current tree is the loaded one with every recorded change up to the event `seen` applied, in order, and with
//!    those that by [`Audit::BestEffort`] need no record; and with no other.
//! 2. The server is never interrupted between the tree and `seen`, since it does not wait there.

use std::mem;
use std::sync::Arc;

use foundation_events::{EventId, EventStoreError};
use foundation_kernel::containment::{CaughtPanic, catch_panic, display_text, report};
use foundation_kernel::names::{ServiceKey, ServiceRegistry};
#[cfg(feature = "reload")]
use foundation_kernel::ractor::rpc::CallResult;
use foundation_kernel::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation_kernel::text::excerpt;
use foundation_kernel::{answer, local_message};
use parking_lot::Mutex;
use tokio::time::timeout;
use uuid::Uuid;

use super::commit::ConfigCommit;
use super::current::Current;
use super::journal::{Journal, Record, RecordKind, SERVER, baseline};
use super::limits::ConfigServerLimits;
use super::note::ChangeNote;
use super::outcome::ConfigOutcome;
use super::status::ConfigStatus;
use super::step::{Step, checkpoint};
use super::transaction::{Op, Proposal};
use super::update_error::ConfigUpdateError;
use crate::values::{Audit, ConfigError, ConfigTree, Fingerprint};
use crate::watcher::ConfigWatch;
#[cfg(feature = "reload")]
use crate::watcher::Watcher;

/// The config server in each namespace.
pub(super) const CONFIG_SERVER: ServiceKey<ConfigMsg> = ServiceKey::from_static(SERVER);

type Answer = RpcReplyPort<Result<ConfigCommit, ConfigUpdateError>>;

pub(super) enum ConfigMsg {
    Change(Proposal, ChangeNote, Answer),
    Rollback(EventId, ChangeNote, Answer),
    Reload(ChangeNote, Answer),
    /// The watched files have changed; the answer is whether the change is dealt with.
    #[cfg_attr(not(feature = "reload"), expect(dead_code, reason = "nothing is watched"))]
    FilesChanged(Fingerprint, RpcReplyPort<bool>),
    /// The event store is about to prune events that hold changes at run time.
    Checkpoint,
    Status(RpcReplyPort<ConfigStatus>),
}
local_message!(ConfigMsg);

/// The server's dependencies.
#[derive(Clone)]
pub(super) struct ConfigServerActor {
    current: Arc<Current>,
    journal: Journal,
    memory: Arc<Memory>,
    on_outcome: Arc<dyn Fn(ConfigOutcome) + Send + Sync>,
    limits: Arc<ConfigServerLimits>,
}

/// What a server leaves to its successor. It belongs to the namespace.
#[derive(Default)]
struct Memory {
    /// The last recorded change that was processed.
    seen: Mutex<Option<EventId>>,
    /// Whether a server has applied the changes recorded before the namespace began. From then on the tree is up to date,
    /// except for a last recording that was not answered.
    has_begun: Mutex<bool>,
    /// How the files are watched.
    watch: Mutex<ConfigWatch>,
    /// Why the last checkpoint could not be recorded, if it could not.
    checkpoint_error: Mutex<Option<String>>,
    /// The content of the files that were refused last, and why.
    refused: Mutex<Option<(Fingerprint, String)>>,
}

/// Notes a value, and returns whether it differs from the one before.
fn note_change<T: PartialEq + Clone>(noted: &Mutex<T>, value: T) -> bool {
    mem::replace(&mut *noted.lock(), value.clone()) != value
}

/// Whether every recorded change is applied.
enum Records {
    /// Every recorded change is applied, so decisions are taken on the true state.
    InSync,
    /// A recording was not answered: the store may have a change that is not applied.
    Unknown,
}

pub(super) struct State {
    records: Records,
    /// Kept for as long as the server lives.
    #[cfg(feature = "reload")]
    _watcher: Option<Watcher>,
}

impl ConfigServerActor {
    pub(super) fn new(
        registry: &ServiceRegistry,
        current: Arc<Current>,
        journal: Journal,
        on_outcome: impl Fn(ConfigOutcome) + Send + Sync + 'static,
    ) -> Self {
        let memory = registry.extension(Memory::default);
        let limits = registry.extension(ConfigServerLimits::default);
        Self { current, journal, memory, on_outcome: Arc::new(on_outcome), limits }
    }

    // ---- requests ----

    async fn serve(&self, message: ConfigMsg, records: &mut Records) {
        match message {
            ConfigMsg::Change(proposal, note, reply) => {
                let result = self.change(records, proposal, note).await;
                answer(reply, self.counted(result));
            }
            ConfigMsg::Rollback(to, note, reply) => {
                let result = self.roll_back(records, to, note).await;
                answer(reply, self.counted(result));
            }
            ConfigMsg::Reload(note, reply) => answer(reply, self.try_reload(records, note).await),
            ConfigMsg::FilesChanged(content, reply) => answer(reply, self.take_files(records, content).await),
            ConfigMsg::Checkpoint => self.try_checkpoint(records).await,
            ConfigMsg::Status(reply) => answer(reply, self.status()),
        }
    }

    async fn change(
        &self,
        records: &mut Records,
        proposal: Proposal,
        note: ChangeNote,
    ) -> Result<ConfigCommit, ConfigUpdateError> {
        note.check()?;
        self.settle(records).await?;
        self.take(records, |tree| Step::propose(tree, &proposal), note).await
    }

    /// Restores the values changed at run time since an event.
    async fn roll_back(
        &self,
        records: &mut Records,
        to: EventId,
        mut note: ChangeNote,
    ) -> Result<ConfigCommit, ConfigUpdateError> {
        self.settle(records).await?;
        let values = self.journal.values_after(to).await?;
        note.reason.get_or_insert_with(|| format!("rolled back to event {to}"));
        let ops = values.into_iter().map(|(path, value)| (path, Op::Set(value))).collect();
        self.change(records, Proposal::These(ops), note).await
    }

    async fn reload(&self, records: &mut Records, mut note: ChangeNote) -> Result<ConfigCommit, ConfigUpdateError> {
        self.settle(records).await?;
        note.reason.get_or_insert_with(|| "the files were read again".to_owned());
        match self.read_files().await? {
            Some(loaded) => self.take(records, |tree| Step::reload(tree, &loaded), note).await,
            None => {
                let generation = self.current.load().generation();
                Ok(ConfigCommit { changes: Vec::new(), generation, event: None, note })
            }
        }
    }

    /// A reload on request, which is recorded if it is refused because of the files.
    async fn try_reload(&self, records: &mut Records, note: ChangeNote) -> Result<ConfigCommit, ConfigUpdateError> {
        if let Err(error) = note.check() {
            return self.counted(Err(error.into()));
        }
        let result = self.reload(records, note).await;
        if let Err(ConfigUpdateError::Refused(error)) = &result {
            self.refuse_files(error);
        }
        self.counted(result)
    }

    /// A reload after a change of the files. Each content is refused once; a step that could not be recorded, or was
    /// not answered, is tried again.
    async fn take_files(&self, records: &mut Records, content: Fingerprint) -> bool {
        match self.reload(records, ChangeNote::default()).await {
            Ok(_) => {
                *self.memory.refused.lock() = None;
                true
            }
            Err(error) => {
                if note_change(&self.memory.refused, Some((content, error.to_string()))) {
                    match &error {
                        ConfigUpdateError::Refused(error) => self.refuse_files(error),
                        error => report(|| tracing::warn!(%error, "changed configuration files are not applied yet")),
                    }
                    self.notify(outcome_of(&error));
                }
                matches!(error, ConfigUpdateError::Refused(_))
            }
        }
    }

    fn refuse_files(&self, error: &ConfigError) {
        let reason = display_text(error);
        report(|| tracing::warn!(%reason, "the configuration files were read again and are refused"));
        self.journal.note_refused_reload(&reason);
    }

    fn counted(&self, result: Result<ConfigCommit, ConfigUpdateError>) -> Result<ConfigCommit, ConfigUpdateError> {
        if let Err(error) = &result {
            self.notify(outcome_of(error));
        }
        result
    }

    /// Notifies the program; a panic of its code is only logged.
    fn notify(&self, outcome: ConfigOutcome) {
        if let Err(panic) = catch_panic(|| (self.on_outcome)(outcome)) {
            report(|| tracing::error!(%panic, ?outcome, "the callback for changes of the configuration panicked"));
        }
    }

    fn status(&self) -> ConfigStatus {
        let tree = self.current.load();
        ConfigStatus {
            generation: tree.generation(),
            paths: tree.paths().count(),
            overrides: tree.overrides().count(),
            subscribers: self.current.subscribers(),
            watch: self.memory.watch.lock().clone(),
            checkpoint_error: self.memory.checkpoint_error.lock().clone(),
        }
    }

    // ---- one step ----

    /// Decides a step and takes it, but only when it is recorded; if it cannot be, the old values stay, unless the audit
    /// rule does not require a record.
    async fn take(
        &self,
        records: &mut Records,
        decide: impl Fn(&ConfigTree) -> Result<Step, ConfigError> + Send + Sync,
        note: ChangeNote,
    ) -> Result<ConfigCommit, ConfigUpdateError> {
        let step = decide(&self.current.load())?;
        let Some(kind) = step.kind else { return Ok(self.idle(step, note)) };
        let correlation = Uuid::now_v7();
        match self.journal.record(kind, correlation, &step.changes, &note).await {
            Ok(events) => Ok(self.apply(step, note, events.last().copied())),
            Err(error @ EventStoreError::NoAnswer { .. }) => {
                let new = self.records_after_no_answer(records, &error).await?;
                let ours = new.iter().rfind(|record| record.correlation == correlation).map(|record| record.event);
                match ours {
                    Some(event) => Ok(self.apply_recorded(step, note, event, new).await),
                    None => {
                        self.apply_all(&new).await;
                        self.unrecorded(decide, note, error)
                    }
                }
            }
            Err(error) => self.unrecorded(decide, note, error),
        }
    }

    /// The new records after a recording that was not answered, by which its outcome is known. The store handles one
    /// request after the other, and a request that it had not done when it ended is never done. So the next answer, of
    /// this store or of its successor, settles it.
    async fn records_after_no_answer(
        &self,
        records: &mut Records,
        error: &EventStoreError,
    ) -> Result<Vec<Record>, ConfigUpdateError> {
        *records = Records::Unknown;
        let Ok(Ok(new)) = timeout(self.limits.inquiry, self.journal.records_after(self.seen())).await else {
            return Err(ConfigUpdateError::NoAnswer { reason: error.to_string() });
        };
        *records = Records::InSync;
        Ok(new)
    }

    /// Applies a step that is recorded by this event, one of these records. The step itself is applied, not what the
    /// files say by now: they may have changed again.
    async fn apply_recorded(&self, step: Step, note: ChangeNote, event: EventId, mut new: Vec<Record>) -> ConfigCommit {
        new.retain(|record| record.event != event || record.kind != RecordKind::Reload);
        // Before anything is applied: a server that ended while it waits for the files leaves all of it to its successor.
        let files = self.files_for(&new).await;
        let commit = self.apply(step, note, Some(event));
        // In their order, with an update of its own among them: the last record about a value decides.
        self.apply_with(&new, files);
        commit
    }

    /// Handles a step that is certainly not recorded. Without a record it is decided again: records of others may have
    /// been applied meanwhile.
    fn unrecorded(
        &self,
        decide: impl Fn(&ConfigTree) -> Result<Step, ConfigError>,
        note: ChangeNote,
        error: EventStoreError,
    ) -> Result<ConfigCommit, ConfigUpdateError> {
        let audit = self.current.load().audit();
        if audit == Audit::Required {
            return Err(ConfigUpdateError::NotRecorded(error));
        }
        let step = decide(&self.current.load())?;
        if step.kind.is_none() {
            return Ok(self.idle(step, note));
        }
        report(|| tracing::warn!(%error, %note, "the configuration is changed without a record"));
        self.notify(ConfigOutcome::Unrecorded);
        Ok(self.apply(step, note, None))
    }

    /// A step that changes nothing; after a reload the positions of values in their files may still differ.
    fn idle(&self, step: Step, note: ChangeNote) -> ConfigCommit {
        let commit = ConfigCommit { changes: step.changes, generation: step.next.generation(), event: None, note };
        self.current.replace(step.next);
        commit
    }

    fn apply(&self, step: Step, note: ChangeNote, event: Option<EventId>) -> ConfigCommit {
        let commit = ConfigCommit { changes: step.changes, generation: step.next.generation(), event, note };
        event.into_iter().for_each(|event| self.note_seen(event));
        self.current.apply(step.next, &commit);
        self.release_if_no_overrides();
        self.notify(ConfigOutcome::Applied);
        commit
    }

    // ---- retention ----

    /// Without any change at run time no event has to be kept.
    fn release_if_no_overrides(&self) -> bool {
        let has_none = self.current.load().overrides().next().is_none();
        if has_none {
            self.journal.hold().keep_from(None);
            *self.memory.checkpoint_error.lock() = None;
        }
        has_none
    }

    /// Records a checkpoint of all changes at run time that are in force, so that the events before it can be pruned.
    /// If that fails they are kept, and the store's next retention check asks again. If the store has refused it, the
    /// server's status says so: that does not pass by itself.
    async fn try_checkpoint(&self, records: &mut Records) {
        let Err(error) = self.checkpoint(records).await else {
            *self.memory.checkpoint_error.lock() = None;
            return;
        };
        self.notify(ConfigOutcome::CheckpointFailed);
        let is_refused = matches!(error, ConfigUpdateError::NotRecorded(EventStoreError::Log(_)));
        if !is_refused || note_change(&self.memory.checkpoint_error, Some(display_text(&error))) {
            report(|| tracing::warn!(%error, "overrides are not recorded anew, and older events are kept"));
        }
    }

    async fn checkpoint(&self, records: &mut Records) -> Result<(), ConfigUpdateError> {
        self.settle(records).await?;
        if self.release_if_no_overrides() {
            return Ok(());
        }
        let (changes, note, correlation) = (checkpoint(&self.current.load()), ChangeNote::default(), Uuid::now_v7());
        let kept_from = match self.journal.record(RecordKind::Checkpoint, correlation, &changes, &note).await {
            Ok(events) => {
                events.last().into_iter().for_each(|last| self.note_seen(*last));
                events.first().copied()
            }
            Err(error @ EventStoreError::NoAnswer { .. }) => {
                let new = self.records_after_no_answer(records, &error).await?;
                self.apply_all(&new).await;
                if !new.iter().any(|record| record.correlation == correlation) {
                    return Err(ConfigUpdateError::NotRecorded(error));
                }
                baseline(&new)
            }
            Err(error) => return Err(ConfigUpdateError::NotRecorded(error)),
        };
        self.journal.hold().keep_from(kept_from);
        Ok(())
    }

    // ---- recorded changes ----

    /// Makes sure that every recorded change is applied before the next one is decided.
    async fn settle(&self, records: &mut Records) -> Result<(), ConfigUpdateError> {
        if let Records::Unknown = records {
            if let Some(outage) = self.journal.outage() {
                // The recorded changes are known when the log is open again; until then nothing can be recorded either.
                let (batch, since, cause) = (Vec::new(), outage.since, outage.cause);
                return Err(ConfigUpdateError::NotRecorded(EventStoreError::Unavailable { batch, since, cause }));
            }
            let unsettled = |reason| ConfigUpdateError::NotRecorded(EventStoreError::NoAnswer { reason });
            let limit = self.limits.inquiry;
            let caught_up = timeout(limit, self.catch_up()).await;
            let caught_up = caught_up.map_err(|_| unsettled(format!("no answer within {limit:?}")))?;
            caught_up.map_err(|error| unsettled(error.to_string()))?;
            *records = Records::InSync;
        }
        Ok(())
    }

    /// Applies the changes that an ended server left behind; fails if the event store does not come back in time.
    async fn begin(&self) -> Result<Records, ActorProcessingErr> {
        let (limit, seen, has_begun) = (self.limits.store_at_start, self.seen(), *self.memory.has_begun.lock());
        let late = |_| format!("the event store did not report within {limit:?} which changes are recorded");
        let beginning = async {
            // A server that took over knows the values in force before.
            let (recorded, is_all) = self.journal.records_at_start(seen, has_begun).await?;
            // If nothing is shown for now, nothing is known about which events may be pruned either.
            if is_all || !recorded.is_empty() {
                self.apply_all(&recorded).await;
            }
            Ok::<_, ActorProcessingErr>(if is_all { Records::InSync } else { Records::Unknown })
        };
        let records = timeout(limit, beginning).await.map_err(late)??;
        *self.memory.has_begun.lock() = true;
        Ok(records)
    }

    /// Applies every change that is recorded and not applied, in order, and waits for the store if it does not record.
    async fn catch_up(&self) -> Result<(), ActorProcessingErr> {
        let recorded = self.journal.records_after(self.seen()).await?;
        self.apply_all(&recorded).await;
        Ok(())
    }

    fn seen(&self) -> Option<EventId> {
        *self.memory.seen.lock()
    }

    fn note_seen(&self, event: EventId) {
        let mut seen = self.memory.seen.lock();
        *seen = (*seen).max(Some(event));
    }

    /// Applies the changes of all records after the last one that was seen.
    async fn apply_all(&self, new: &[Record]) {
        let files = self.files_for(new).await;
        self.apply_with(new, files);
    }

    /// The files as they are now, for the last reload among these records; however many there are, they are read once.
    async fn files_for<'a>(&self, new: &'a [Record]) -> Option<(&'a Record, ConfigTree)> {
        let reload = new.iter().rfind(|record| record.kind == RecordKind::Reload)?;
        match self.read_files().await {
            Ok(files) => files.map(|files| (reload, files)),
            Err(error) => {
                report_outdated(reload.event, &error.to_string());
                None
            }
        }
    }

    /// Applies records, with the files of the last reload among them. Does not wait, see invariant 2.
    fn apply_with(&self, new: &[Record], files: Option<(&Record, ConfigTree)>) {
        let seen = self.seen();
        files.into_iter().for_each(|(reload, files)| self.reload_again(reload, &files));
        self.replay(new);
        new.last().into_iter().for_each(|last| self.note_seen(last.event));
        let hold = self.journal.hold();
        if !self.release_if_no_overrides() && (seen.is_none() || hold.kept_from().is_none()) {
            hold.keep_from(baseline(new));
        }
    }

    fn replay(&self, new: &[Record]) {
        let (step, refused) = Step::replay(&self.current.load(), new);
        refused.iter().for_each(|(event, reason)| report_outdated(*event, reason));
        let last = new.iter().rfind(|record| record.kind != RecordKind::Reload);
        if let (Some(step), Some(last)) = (step, last) {
            self.apply(step, last.note.clone(), Some(last.event));
        }
    }

    fn reload_again(&self, reload: &Record, files: &ConfigTree) {
        let step = Step::reload(&self.current.load(), files);
        match step {
            Ok(step) if step.kind.is_some() => drop(self.apply(step, reload.note.clone(), Some(reload.event))),
            Ok(_) => {}
            Err(error) => report_outdated(reload.event, &error.to_string()),
        }
    }

    /// The configuration in the files as they are now; `None` if it was loaded from no source.
    async fn read_files(&self) -> Result<Option<ConfigTree>, ConfigError> {
        let Some(source) = self.current.load().source().map(|(source, _)| Arc::clone(source)) else {
            return Ok(None);
        };
        // Reads files, so not on a worker thread.
        match tokio::task::spawn_blocking(move || source.load_again()).await {
            Ok(loaded) => loaded.map(Some),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => {
                    let (what, reason) = ("reading the configuration".to_owned(), CaughtPanic::of(panic).into_text());
                    Err(ConfigError::Panicked { what, reason: excerpt(&reason) })
                }
                // The runtime is shutting down, and the awaiting task with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    // ---- files ----

    /// Watches the files, if they are to be watched.
    #[cfg(feature = "reload")]
    fn watch(&self, myself: ActorRef<ConfigMsg>) -> Option<Watcher> {
        let tree = self.current.load();
        let (source, known) = tree.source()?;
        let memory = Arc::clone(&self.memory);
        let on_watch = move |how: ConfigWatch| {
            if note_change(&memory.watch, how.clone()) {
                report_watch(&how);
            }
        };
        Watcher::start(Arc::clone(source), known, on_watch, move |content| {
            let server = myself.clone();
            async move {
                // It is no error if the server is gone: its successor watches for itself.
                let answer = server.call(|reply| ConfigMsg::FilesChanged(content, reply), None).await;
                matches!(answer, Ok(CallResult::Success(true)))
            }
        })
    }
}

/// Reports a record that does not fit the configuration of today.
fn report_outdated(event: EventId, reason: &str) {
    report(|| tracing::warn!(%event, %reason, "a recorded change no longer applies"));
}

/// Reports that the files are watched in another way.
#[cfg(feature = "reload")]
fn report_watch(how: &ConfigWatch) {
    report(|| match how {
        ConfigWatch::Polled { every, reason } => {
            tracing::warn!(?every, %reason, "configuration files are not watched, and checked from time to time only");
        }
        _ => tracing::debug!("configuration files are watched"),
    });
}

#[cfg_attr(feature = "async-trait", foundation_kernel::ractor::async_trait)]
impl Actor for ConfigServerActor {
    type Msg = ConfigMsg;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<ConfigMsg>, (): ()) -> Result<State, ActorProcessingErr> {
        let server = myself.clone();
        self.journal.hold().held_by(move || drop(server.cast(ConfigMsg::Checkpoint)));
        // Watch before reading again: a change of a file in between is noticed.
        #[cfg(feature = "reload")]
        let _watcher = self.watch(myself);
        Ok(State {
            records: self.begin().await?,
            #[cfg(feature = "reload")]
            _watcher,
        })
    }

    async fn handle(
        &self,
        _: ActorRef<ConfigMsg>,
        message: ConfigMsg,
        State { records, .. }: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // Boxed: otherwise each actor would keep the 8 KB that a change takes for as long as it lives.
        Box::pin(self.serve(message, records)).await;
        Ok(())
    }
}

fn outcome_of(error: &ConfigUpdateError) -> ConfigOutcome {
    match error {
        ConfigUpdateError::NoAnswer { .. } => ConfigOutcome::Unanswered,
        _ => ConfigOutcome::Refused,
    }
}
