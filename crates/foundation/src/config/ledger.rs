//! The side of the config server that meets the event store: steps are recorded and made, and what is recorded and not
//! made yet is made again.

use std::sync::Arc;

use foundation_core::containment::CaughtPanic;
use foundation_core::ractor::ActorProcessingErr;
use tokio::time::timeout;
use uuid::Uuid;

use super::audit::Audit;
use super::change::ConfigChange;
use super::commit::ConfigCommit;
use super::current::Current;
use super::error::ConfigError;
use super::note::ChangeNote;
use super::record::{self, CONFIG_CHECKPOINT, CONFIG_RELOAD_REFUSED, CONFIG_RELOADED, Recorded, SERVER};
use super::server_limits::ConfigServerLimits;
use super::step::Step;
use super::transaction::Proposal;
use super::tree::ConfigTree;
use super::update::ConfigUpdateError;
use crate::events::{Event, EventId, EventStore, EventStoreError, NewEvent};
use crate::one_line::excerpt;
use crate::telemetry::Telemetry;

pub(super) struct Ledger {
    pub(super) current: Arc<Current>,
    pub(super) events: EventStore,
    pub(super) telemetry: Telemetry,
    pub(super) limits: Arc<ConfigServerLimits>,
}

/// Whether every recorded change is made.
pub(super) enum Records {
    /// It is; a decision is taken on the truth.
    Made,
    /// A recording was not answered: the store may have a change that is not made.
    Unclear,
}

/// What was made, and the correlation of its event.
type MadeAgain = Vec<(Uuid, ConfigCommit)>;

impl Ledger {
    // ---- one step ----

    /// A step is taken only when it is recorded; if it cannot be, the old values stay, unless the embedder has said that
    /// a record is not needed.
    pub(super) async fn take(
        &self,
        records: &mut Records,
        step: Step,
        note: ChangeNote,
    ) -> Result<ConfigCommit, ConfigUpdateError> {
        if step.changes.is_empty() {
            return Ok(self.idle(step, note));
        }
        let payload = Recorded::new(&step.changes, &note);
        let event = NewEvent::of(step.kind.clone()).source(SERVER).payload(&payload);
        let event = event.map_err(|error| ConfigUpdateError::NotRecorded(error.into()))?;
        let correlation = event.correlation_id();
        // Before it is recorded: afterwards it might be forgotten already.
        self.events.hold_from_here();
        match self.events.append(event).await {
            Ok(event) => Ok(self.make(step, note, Some(event))),
            Err(error @ EventStoreError::NoAnswer { .. }) => match self.inquire(records, correlation, &error).await? {
                Some(commit) => Ok(commit),
                None => self.unrecorded(step, note, error),
            },
            Err(error) => self.unrecorded(step, note, error),
        }
    }

    /// What came of a recording that was not answered: the commit, if it was recorded. The store takes one request after
    /// the other, and what a store that ended had not done is never done: so the next answer, this one's or its
    /// successor's, settles it.
    async fn inquire(
        &self,
        records: &mut Records,
        correlation: Uuid,
        error: &EventStoreError,
    ) -> Result<Option<ConfigCommit>, ConfigUpdateError> {
        *records = Records::Unclear;
        let Ok(Ok(made)) = timeout(self.limits.inquiry, self.catch_up()).await else {
            return Err(ConfigUpdateError::NoAnswer { reason: error.to_string() });
        };
        *records = Records::Made;
        let ours = made.into_iter().find(|(recorded, _)| *recorded == correlation);
        Ok(ours.map(|(_, commit)| commit))
    }

    /// What is done with a step that is certainly not recorded.
    fn unrecorded(
        &self,
        step: Step,
        note: ChangeNote,
        error: EventStoreError,
    ) -> Result<ConfigCommit, ConfigUpdateError> {
        match self.current.look().audit() {
            Audit::Required => Err(ConfigUpdateError::NotRecorded(error)),
            Audit::BestEffort => {
                tracing::warn!(%error, %note, "the configuration is changed without a record");
                self.telemetry.count("config.updates_unrecorded");
                Ok(self.make(step, note, None))
            }
        }
    }

    /// A step that changes nothing; after a reload the places of values in their files may still be others.
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
        self.let_go_if_bare();
        self.telemetry.count("config.updates");
        commit
    }

    // ---- what the event store must not forget ----

    /// Without any change at run time there is nothing to know of them.
    fn let_go_if_bare(&self) -> bool {
        let is_bare = self.current.look().overrides().next().is_none();
        if is_bare {
            self.events.hold().keep_from(None);
        }
        is_bare
    }

    /// Records anew what holds of all changes at run time, so that the events before it can be forgotten. If that fails
    /// they are kept, and the store's next look asks again.
    pub(super) async fn checkpoint(&self, records: &mut Records) -> Result<(), ConfigUpdateError> {
        self.settle(records).await?;
        if self.let_go_if_bare() {
            return Ok(());
        }
        let payload = Recorded::checkpoint(&self.current.tree());
        let event = NewEvent::of(CONFIG_CHECKPOINT).source(SERVER).payload(&payload);
        let event = event.map_err(|error| ConfigUpdateError::NotRecorded(error.into()))?;
        let recorded = self.events.append(event).await.map_err(ConfigUpdateError::NotRecorded)?;
        self.current.pass_over(recorded);
        self.events.hold().keep_from(Some(recorded));
        Ok(())
    }

    /// Records that changed files are not taken. Nobody waits for that, and nobody could do anything about a failure.
    pub(super) fn refuse_reload(&self, error: &ConfigUpdateError) {
        let reason = error.to_string();
        tracing::warn!(%reason, "the configuration files have changed and are not taken");
        let event = NewEvent::of(CONFIG_RELOAD_REFUSED).source(SERVER);
        let event = event.payload(serde_json::json!({ "reason": reason }));
        if let Err(error) = event.map_err(EventStoreError::from).and_then(|event| self.events.note(vec![event])) {
            tracing::warn!(%error, "a refused reload is not recorded");
        }
    }

    // ---- what is recorded ----

    /// Makes sure that every recorded change is made before the next one is decided.
    pub(super) async fn settle(&self, records: &mut Records) -> Result<(), ConfigUpdateError> {
        if let Records::Unclear = records {
            if let Some(outage) = self.events.outage() {
                // What is recorded is known when the log is open again; until then nothing can be recorded either.
                return Err(ConfigUpdateError::NotRecorded(EventStoreError::unavailable(Vec::new(), &outage)));
            }
            let unsettled = |reason| ConfigUpdateError::NotRecorded(EventStoreError::NoAnswer { reason });
            let limit = self.limits.inquiry;
            let caught_up = timeout(limit, self.catch_up()).await;
            let caught_up = caught_up.map_err(|_| unsettled(format!("no answer within {limit:?}")))?;
            caught_up.map_err(|error| unsettled(error.to_string()))?;
            *records = Records::Made;
        }
        Ok(())
    }

    /// Makes what a server that ended left behind; fails if the event store does not come back in time.
    pub(super) async fn begin(&self) -> Result<Records, ActorProcessingErr> {
        let limit = self.limits.store_at_start;
        let late = |_| format!("the event store did not tell within {limit:?} which changes are recorded");
        timeout(limit, self.read_up()).await.map_err(late)?
    }

    /// Makes every change that is recorded as far as the store can tell now: one whose log has failed may have recorded
    /// more than it shows.
    async fn read_up(&self) -> Result<Records, ActorProcessingErr> {
        loop {
            self.events.wait_until_readable(self.limits.store_at_start).await?;
            let records = if self.events.outage().is_none() { Records::Made } else { Records::Unclear };
            if self.try_to_catch_up().await?.is_some() {
                return Ok(records);
            }
        }
    }

    /// Makes every change that is recorded and not made, in order, and waits for the store if it does not record.
    async fn catch_up(&self) -> Result<MadeAgain, ActorProcessingErr> {
        loop {
            self.events.wait_until_up(self.limits.store_at_start).await?;
            if let Some(made) = self.try_to_catch_up().await? {
                return Ok(made);
            }
        }
    }

    /// The same of a store that is there; `None` if it ended meanwhile: its successor will answer.
    async fn try_to_catch_up(&self) -> Result<Option<MadeAgain>, ActorProcessingErr> {
        match self.events.query(record::all()).await {
            Ok(recorded) => Ok(Some(self.make_all(&recorded).await)),
            // To ask again would change nothing.
            Err(
                error @ (EventStoreError::Log(_)
                | EventStoreError::QueryLimit(_)
                | EventStoreError::Damaged { .. }
                | EventStoreError::Displaced { .. }),
            ) => Err(error.into()),
            Err(
                EventStoreError::NotDelivered { .. }
                | EventStoreError::NoAnswer { .. }
                | EventStoreError::Unavailable { .. },
            ) => Ok(None),
        }
    }

    async fn make_all(&self, recorded: &[Arc<Event>]) -> MadeAgain {
        let seen = self.current.seen();
        let new: Vec<_> = record::ours(recorded).filter(|event| Some(event.id) > seen).collect();
        // Whatever was read of the files, now they are read once, for the last of these events.
        let last_reload = new.iter().rev().find(|event| event.kind == CONFIG_RELOADED).map(|event| event.id);
        let mut made = Vec::new();
        for event in new {
            let step = match event.kind == CONFIG_RELOADED {
                true if Some(event.id) == last_reload => self.reload_again().await,
                true => Ok(None),
                false => step_again(&self.current.tree(), event),
            };
            let again = match step {
                Err(_) if event.kind == CONFIG_CHECKPOINT => self.make_one_by_one(event),
                step => self.make_again(event, step).into_iter().collect(),
            };
            made.extend(again.into_iter().map(|commit| (event.correlation_id, commit)));
        }
        if !self.let_go_if_bare() {
            self.events.hold().keep_from(record::baseline(record::ours(recorded)));
        }
        made
    }

    /// What of a checkpoint still applies: one change of many that does not must not take the others along.
    fn make_one_by_one(&self, event: &Event) -> Vec<ConfigCommit> {
        let Ok(recorded) = Recorded::read(event) else { return Vec::new() };
        let note = recorded.note.clone();
        let one = |change| self.make_again(event, step_to(&self.current.tree(), vec![change], note.clone()));
        recorded.into_changes().into_iter().filter_map(one).collect()
    }

    fn make_again(
        &self,
        event: &Event,
        step: Result<Option<(Step, ChangeNote)>, ActorProcessingErr>,
    ) -> Option<ConfigCommit> {
        match step {
            Ok(Some((step, note))) if !step.changes.is_empty() => Some(self.make(step, note, Some(event.id))),
            Ok(_) => {
                self.current.pass_over(event.id);
                None
            }
            Err(error) => {
                tracing::warn!(event = %event.id, %error, "a recorded change no longer applies");
                self.current.pass_over(event.id);
                None
            }
        }
    }

    async fn reload_again(&self) -> Result<Option<(Step, ChangeNote)>, ActorProcessingErr> {
        let step = self.load().await?;
        Ok(step.map(|step| (step, ChangeNote::default())))
    }

    /// The step to the files as they are now; `None` if the configuration was loaded from nowhere.
    pub(super) async fn load(&self) -> Result<Option<Step>, ConfigError> {
        let Some(source) = self.current.look().source() else {
            return Ok(None);
        };
        // Files are read: not on a worker thread.
        let loaded = match tokio::task::spawn_blocking(move || source.load_again()).await {
            Ok(loaded) => loaded?,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => {
                    let (what, reason) = ("reading the configuration".to_owned(), CaughtPanic::of(panic).into_text());
                    return Err(ConfigError::Panicked { what, reason: excerpt(&reason) });
                }
                // The runtime is shutting down, and whoever awaits this goes with it.
                Err(_) => std::future::pending().await,
            },
        };
        Step::reload(&self.current.tree(), loaded).map(Some)
    }

    /// What brings the values that were changed at run time since an event back.
    pub(super) async fn undo(&self, to: EventId) -> Result<Proposal, ConfigUpdateError> {
        let recorded = self.events.query(record::all()).await.map_err(ConfigUpdateError::NoHistory)?;
        let ours = || record::ours(&recorded);
        let newest_record = ours().next_back().map(|event| event.id);
        record::undo(ours(), to).ok_or(ConfigUpdateError::NoRecord { event: to, newest_record })
    }
}

/// The step that an event records, if it still leads anywhere.
fn step_again(tree: &ConfigTree, event: &Event) -> Result<Option<(Step, ChangeNote)>, ActorProcessingErr> {
    let recorded = Recorded::read(event)?;
    let note = recorded.note.clone();
    step_to(tree, recorded.into_changes(), note)
}

fn step_to(
    tree: &ConfigTree,
    changes: Vec<ConfigChange>,
    note: ChangeNote,
) -> Result<Option<(Step, ChangeNote)>, ActorProcessingErr> {
    let changes = changes.into_iter();
    let decided: Result<Vec<_>, _> =
        changes.map(|change| ConfigChange::decide(tree, change.path.as_str(), change.new)).collect();
    Ok(Some((Step::of(tree, decided?)?, note)))
}
