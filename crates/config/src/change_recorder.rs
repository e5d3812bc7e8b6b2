//! The part of the config server that talks to the event store: it records and makes steps, and makes those that are
//! recorded and not made yet.

use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::containment::{CaughtPanic, catch_panic, display_text, report};
use foundation_kernel::ractor::ActorProcessingErr;
use tokio::time::timeout;
use uuid::Uuid;

use super::audit::Audit;
use super::change::ConfigChange;
use super::commit::ConfigCommit;
use super::current::Current;
use super::error::ConfigError;
use super::note::ChangeNote;
use super::outcome::{ConfigOutcome, OnOutcome};
use super::record::{
    self, CONFIG_CHECKPOINT, CONFIG_RELOAD_REFUSED, CONFIG_RELOADED, CONFIG_UPDATED, Record, Recorded, SERVER,
};
use super::replay::{Replayed, replay};
use super::server_limits::ConfigServerLimits;
use super::step::Step;
use super::transaction::Proposal;
use super::update::ConfigUpdateError;
use foundation_events::{Event, EventError, EventId, EventKind, EventRefusal, EventStore, EventStoreError, NewEvent};
use foundation_kernel::text::excerpt;

pub(super) struct ChangeRecorder {
    pub(super) current: Arc<Current>,
    pub(super) events: EventStore,
    pub(super) on_outcome: OnOutcome,
    pub(super) limits: Arc<ConfigServerLimits>,
}

/// Whether every recorded change is made.
pub(super) enum Records {
    /// Every recorded change is made, so decisions are taken on the true state.
    InSync,
    /// A recording was not answered: the store may have a change that is not made.
    Unknown,
}

/// The commits that were made, each with the correlation of its event.
type MadeAgain = Vec<(Uuid, ConfigCommit)>;

impl ChangeRecorder {
    /// Notifies the program; a panic of its code is only logged.
    pub(super) fn notify(&self, outcome: ConfigOutcome) {
        if let Err(panic) = catch_panic(|| (self.on_outcome)(outcome)) {
            report(|| tracing::error!(%panic, ?outcome, "the callback for changes of the configuration panicked"));
        }
    }

    // ---- one step ----

    /// A step is taken only when it is recorded; if it cannot be, the old values stay, unless the audit rule does not
    /// require a record.
    pub(super) async fn take(
        &self,
        records: &mut Records,
        step: Step,
        note: ChangeNote,
    ) -> Result<ConfigCommit, ConfigUpdateError> {
        if step.changes.is_empty() {
            return Ok(self.idle(step, note));
        }
        let correlation = Uuid::now_v7();
        // Before it is recorded: afterwards it might be pruned already.
        self.events.hold_from_here();
        match self.record(&step.kind, correlation, &step.changes, &note).await {
            Ok(events) => Ok(self.make(step, note, events.last().copied())),
            Err(error @ EventStoreError::NoAnswer { .. }) => {
                match self.await_outcome(records, correlation, &error).await? {
                    Some(commit) => Ok(commit),
                    None => self.unrecorded(step, note, error),
                }
            }
            Err(error) => self.unrecorded(step, note, error),
        }
    }

    /// Records changes and returns the ids of the events, of which there are several if the changes exceed the size of
    /// one. They are recorded together, and count only together. A requested change has to fit in one.
    async fn record(
        &self,
        kind: &EventKind,
        correlation: Uuid,
        changes: &[ConfigChange],
        note: &ChangeNote,
    ) -> Result<Vec<EventId>, EventStoreError> {
        let event =
            |payload: &Recorded| NewEvent::of(kind.clone()).source(SERVER).correlation(correlation).payload(payload);
        match self.events.append_batch(vec![event(&Recorded::new(changes, note))?]).await {
            Err(EventStoreError::Log(EventError::Refused {
                refusal: EventRefusal::PayloadTooLarge { limit, .. },
                ..
            })) if *kind != CONFIG_UPDATED => {
                let parts = Recorded::split(changes, note, limit);
                self.events.append_batch(parts.iter().map(event).collect::<Result<_, _>>()?).await
            }
            recorded => recorded,
        }
    }

    /// The outcome of a recording that was not answered: the commit, if it was recorded. The store handles one request
    /// after the other, and a request that it had not done when it ended is never done. So the next answer, of this
    /// store or of its successor, settles it.
    async fn await_outcome(
        &self,
        records: &mut Records,
        correlation: Uuid,
        error: &EventStoreError,
    ) -> Result<Option<ConfigCommit>, ConfigUpdateError> {
        *records = Records::Unknown;
        let Ok(Ok(made)) = timeout(self.limits.inquiry, self.catch_up()).await else {
            return Err(ConfigUpdateError::NoAnswer { reason: error.to_string() });
        };
        *records = Records::InSync;
        let ours = made.into_iter().find(|(recorded, _)| *recorded == correlation);
        Ok(ours.map(|(_, commit)| commit))
    }

    /// Handles a step that is certainly not recorded.
    fn unrecorded(
        &self,
        step: Step,
        note: ChangeNote,
        error: EventStoreError,
    ) -> Result<ConfigCommit, ConfigUpdateError> {
        match self.current.load().audit() {
            Audit::Required => Err(ConfigUpdateError::NotRecorded(error)),
            Audit::BestEffort => {
                report(|| tracing::warn!(%error, %note, "the configuration is changed without a record"));
                self.notify(ConfigOutcome::Unrecorded);
                Ok(self.make(step, note, None))
            }
        }
    }

    /// A step that changes nothing; after a reload the positions of values in their files may still differ.
    fn idle(&self, step: Step, note: ChangeNote) -> ConfigCommit {
        let commit = ConfigCommit { changes: step.idle, generation: step.next.generation(), event: None, note };
        if step.kind == CONFIG_RELOADED {
            self.current.replace(step.next);
        }
        commit
    }

    fn make(&self, step: Step, note: ChangeNote, event: Option<EventId>) -> ConfigCommit {
        let commit = ConfigCommit { changes: step.changes, generation: step.next.generation(), event, note };
        self.current.make(step.next, &commit);
        self.release_if_no_overrides();
        self.notify(ConfigOutcome::Made);
        commit
    }

    // ---- retention ----

    /// Without any change at run time no event has to be kept.
    fn release_if_no_overrides(&self) -> bool {
        let has_none = self.current.load().overrides().next().is_none();
        if has_none {
            self.events.hold().keep_from(None);
            self.current.set_checkpoint_failure(None);
        }
        has_none
    }

    /// Records a checkpoint of all changes at run time that are in force, so that the events before it can be pruned.
    /// If that fails they are kept, and the store's next retention check asks again. If the store has refused it, the
    /// server's status says so: a refusal does not pass by itself.
    pub(super) async fn try_checkpoint(&self, records: &mut Records) {
        let Err(error) = self.checkpoint(records).await else {
            self.current.set_checkpoint_failure(None);
            return;
        };
        self.notify(ConfigOutcome::CheckpointFailed);
        let refused = matches!(error, ConfigUpdateError::NotRecorded(EventStoreError::Log(_)));
        if !(refused && self.current.set_checkpoint_failure(Some(display_text(&error)))) {
            report(|| tracing::warn!(%error, "overrides are not recorded anew, and older events are kept"));
        }
    }

    async fn checkpoint(&self, records: &mut Records) -> Result<(), ConfigUpdateError> {
        self.settle(records).await?;
        if self.release_if_no_overrides() {
            return Ok(());
        }
        let changes = Recorded::checkpoint(&self.current.tree());
        let recorded = self.record(&CONFIG_CHECKPOINT, Uuid::now_v7(), &changes, &ChangeNote::default()).await;
        let recorded = recorded.map_err(ConfigUpdateError::NotRecorded)?;
        recorded.last().into_iter().for_each(|last| self.current.mark_seen(*last));
        self.events.hold().keep_from(recorded.first().copied());
        Ok(())
    }

    /// Records that changed files are refused. No caller waits for that, and a failure could not be handled.
    pub(super) fn refuse_reload(&self, error: &ConfigUpdateError) {
        let reason = display_text(error);
        report(|| tracing::warn!(%reason, "the configuration files have changed and are not taken"));
        let event = NewEvent::of(CONFIG_RELOAD_REFUSED).source(SERVER);
        let event = event.payload(serde_json::json!({ "reason": reason }));
        if let Err(error) = event.map_err(EventStoreError::from).and_then(|event| self.events.note(vec![event])) {
            report(|| tracing::warn!(%error, "a refused reload is not recorded"));
        }
    }

    // ---- recorded changes ----

    /// Makes sure that every recorded change is made before the next one is decided.
    pub(super) async fn settle(&self, records: &mut Records) -> Result<(), ConfigUpdateError> {
        if let Records::Unknown = records {
            if let Some(outage) = self.events.outage() {
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

    /// Makes the changes that an ended server left behind; fails if the event store does not come back in time.
    pub(super) async fn begin(&self) -> Result<Records, ActorProcessingErr> {
        let limit = self.limits.store_at_start;
        let late = |_| format!("the event store did not report within {limit:?} which changes are recorded");
        let records = timeout(limit, self.read_up()).await.map_err(late)??;
        self.current.mark_begun();
        Ok(records)
    }

    /// Makes every recorded change that the store can show now: a store whose log has failed may have recorded more
    /// than it shows.
    async fn read_up(&self) -> Result<Records, ActorProcessingErr> {
        let mut pause = self.first_pause();
        loop {
            self.events.wait_until_readable(self.limits.store_at_start).await?;
            let records = if self.events.outage().is_none() { Records::InSync } else { Records::Unknown };
            match self.try_to_catch_up().await {
                Ok(Some(_)) => return Ok(records),
                // A store that came back without its log shows nothing for now. The namespace knows the values in force
                // before.
                _ if self.current.has_begun() && self.events.outage().is_some() => return Ok(Records::Unknown),
                Ok(None) => {}
                Err(error) => return Err(error),
            }
            pause = self.paused(pause).await;
        }
    }

    /// Makes every change that is recorded and not made, in order, and waits for the store if it does not record.
    async fn catch_up(&self) -> Result<MadeAgain, ActorProcessingErr> {
        let mut pause = self.first_pause();
        loop {
            self.events.wait_until_up(self.limits.store_at_start).await?;
            if let Some(made) = self.try_to_catch_up().await? {
                return Ok(made);
            }
            pause = self.paused(pause).await;
        }
    }

    /// The same with a store that runs; `None` if it ended meanwhile: its successor will answer.
    async fn try_to_catch_up(&self) -> Result<Option<MadeAgain>, ActorProcessingErr> {
        // Changes that were made before are not read again; their records may be damaged.
        let new = self.current.seen().map_or_else(record::all, |seen| record::all().after(seen));
        match self.events.query(new).await {
            Ok(recorded) => Ok(Some(self.make_all(&recorded).await)),
            // Asking again would change nothing; and without the damaged record the values might be wrong.
            Err(error @ EventStoreError::Damaged { .. }) => Err(damaged(&error).into()),
            Err(
                EventStoreError::NotDelivered { .. }
                | EventStoreError::NoAnswer { .. }
                | EventStoreError::Unavailable { .. },
            ) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The first pause before a store that runs and does not answer is asked again.
    fn first_pause(&self) -> Duration {
        // A pause of zero would be a busy loop.
        self.limits.ask_again_first.max(Duration::from_millis(1))
    }

    /// Waits for the pause, and returns the next one.
    async fn paused(&self, pause: Duration) -> Duration {
        #[expect(clippy::disallowed_methods, reason = "the delay is what this is for")]
        tokio::time::sleep(pause).await;
        pause.saturating_mul(2).min(self.limits.ask_again_longest.max(self.first_pause()))
    }

    async fn make_all(&self, recorded: &[Arc<Event>]) -> MadeAgain {
        let (seen, records) = (self.current.seen(), record::records(record::ours(recorded)));
        let new: Vec<_> = records.iter().filter(|record| Some(record.event) > seen).collect();
        let mut made = Vec::new();
        // However often the files were reloaded, they are read once, for the last of these records.
        if let Some(reload) = new.iter().rfind(|record| record.kind == CONFIG_RELOADED) {
            made.extend(self.reload_again(reload).await.map(|commit| (reload.correlation, commit)));
        }
        if let Some(commit) = self.replay(&new) {
            made.extend(new.iter().map(|record| (record.correlation, commit.clone())));
        }
        new.last().into_iter().for_each(|last| self.current.mark_seen(last.event));
        let hold = self.events.hold();
        if !self.release_if_no_overrides() && (seen.is_none() || hold.kept_from().is_none()) {
            hold.keep_from(record::baseline(&records));
        }
        made
    }

    /// Makes recorded changes as one: the states between them may not be valid with the files of today.
    fn replay(&self, new: &[&Record]) -> Option<ConfigCommit> {
        let tree = self.current.tree();
        let Replayed { next, refused } = replay(&tree, new);
        for (event, reason) in refused {
            report(|| tracing::warn!(%event, %reason, "a recorded change no longer applies"));
        }
        let changes = tree.differences(&next);
        if next.overrides_as_recorded() == tree.overrides_as_recorded() {
            return None;
        }
        let last = new.iter().rfind(|record| record.kind == CONFIG_UPDATED || record.kind == CONFIG_CHECKPOINT)?;
        let step = Step { kind: last.kind.clone(), changes, idle: Vec::new(), next: next.advanced() };
        Some(self.make(step, last.note.clone(), Some(last.event)))
    }

    async fn reload_again(&self, reload: &Record) -> Option<ConfigCommit> {
        match self.load().await {
            Ok(Some(step)) if !step.changes.is_empty() => {
                Some(self.make(step, reload.note.clone(), Some(reload.event)))
            }
            Ok(_) => None,
            Err(error) => {
                report(|| tracing::warn!(event = %reload.event, %error, "a recorded change no longer applies"));
                None
            }
        }
    }

    /// The step to the files as they are now; `None` if the configuration was loaded from no source.
    pub(super) async fn load(&self) -> Result<Option<Step>, ConfigError> {
        let Some(source) = self.current.load().source() else {
            return Ok(None);
        };
        // Reads files, so not on a worker thread.
        let loaded = match tokio::task::spawn_blocking(move || source.load_again()).await {
            Ok(loaded) => loaded?,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => {
                    let (what, reason) = ("reading the configuration".to_owned(), CaughtPanic::of(panic).into_text());
                    return Err(ConfigError::Panicked { what, reason: excerpt(&reason) });
                }
                // The runtime is shutting down, and the awaiting task with it.
                Err(_) => std::future::pending().await,
            },
        };
        Step::reload(&self.current.tree(), loaded).map(Some)
    }

    /// The proposal that restores the values changed at run time since an event.
    pub(super) async fn undo(&self, to: EventId) -> Result<Proposal, ConfigUpdateError> {
        let recorded = self.events.query(record::all()).await.map_err(ConfigUpdateError::NoHistory)?;
        let records = record::records(record::ours(&recorded));
        let newest_record = records.last().map(|record| record.event);
        record::undo(records, to).ok_or(ConfigUpdateError::NoRecord { event: to, newest_record })
    }
}

/// Why a configuration does not start over a damaged record, and what to do about it.
fn damaged(error: &EventStoreError) -> String {
    format!(
        "the changes of the configuration at run time cannot be read: {error}; the event store's verify lists all damaged \
         rows, and its repair moves them aside"
    )
}
