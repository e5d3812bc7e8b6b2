//! The config server's actor, which handles one change after the other.

use std::sync::Arc;

use foundation_kernel::ractor::rpc::CallResult;
use foundation_kernel::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation_kernel::{ServiceKey, answer, local_message};

use super::change_recorder::{ChangeRecorder, Records};
use super::commit::ConfigCommit;
use super::fingerprint::Fingerprint;
use super::note::ChangeNote;
use super::outcome::ConfigOutcome;
use super::record::SERVER;
use super::step::Step;
use super::transaction::Proposal;
use super::update::{ConfigStatus, ConfigUpdateError};
use super::watcher::Watcher;
use foundation_events::EventId;

/// The config server in each namespace.
pub(super) const CONFIG_SERVER: ServiceKey<ConfigMsg> = ServiceKey::new(SERVER);

type Answer = RpcReplyPort<Result<ConfigCommit, ConfigUpdateError>>;

pub(super) enum ConfigMsg {
    Change(Proposal, ChangeNote, Answer),
    Rollback(EventId, ChangeNote, Answer),
    Reload(ChangeNote, Answer),
    /// The watched files have changed; the answer is whether the change is dealt with.
    FilesChanged(Fingerprint, RpcReplyPort<bool>),
    /// The event store is about to prune events that hold changes at run time.
    Checkpoint,
    Status(RpcReplyPort<ConfigStatus>),
}
local_message!(ConfigMsg);

/// The server's dependencies.
pub(super) struct ConfigServerActor {
    pub(super) recorder: ChangeRecorder,
}

pub(super) struct State {
    records: Records,
    /// Kept for as long as the server lives.
    _watcher: Option<Watcher>,
}

impl ConfigServerActor {
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
            ConfigMsg::FilesChanged(content, reply) => {
                answer(reply, self.take_files(records, content).await);
            }
            ConfigMsg::Checkpoint => self.recorder.try_checkpoint(records).await,
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
        self.recorder.settle(records).await?;
        let step = Step::propose(&self.recorder.current.tree(), proposal)?;
        self.recorder.take(records, step, note).await
    }

    async fn roll_back(
        &self,
        records: &mut Records,
        to: EventId,
        mut note: ChangeNote,
    ) -> Result<ConfigCommit, ConfigUpdateError> {
        self.recorder.settle(records).await?;
        let proposal = self.recorder.undo(to).await?;
        note.reason.get_or_insert_with(|| format!("rolled back to event {to}"));
        self.change(records, proposal, note).await
    }

    async fn reload(&self, records: &mut Records, mut note: ChangeNote) -> Result<ConfigCommit, ConfigUpdateError> {
        note.check()?;
        self.recorder.settle(records).await?;
        note.reason.get_or_insert_with(|| "the files were read again".to_owned());
        match self.recorder.load().await? {
            Some(step) => self.recorder.take(records, step, note).await,
            None => {
                let generation = self.recorder.current.load().generation();
                Ok(ConfigCommit { changes: Vec::new(), generation, event: None, note })
            }
        }
    }

    /// A reload on request, whose refusal is recorded.
    async fn try_reload(&self, records: &mut Records, note: ChangeNote) -> Result<ConfigCommit, ConfigUpdateError> {
        let result = self.reload(records, note).await;
        if let Err(error) = &result {
            self.recorder.refuse_reload(error);
        }
        self.counted(result)
    }

    /// A reload after a change of the files. Each content is refused once; a step that could not be recorded, or was
    /// not answered, is tried again.
    async fn take_files(&self, records: &mut Records, content: Fingerprint) -> bool {
        match self.reload(records, ChangeNote::default()).await {
            Ok(_) => {
                self.recorder.current.accept();
                true
            }
            Err(error) => {
                if !self.recorder.current.refuse(content, &error.to_string()) {
                    self.recorder.refuse_reload(&error);
                    self.recorder.notify(ConfigOutcome::Refused);
                }
                matches!(error, ConfigUpdateError::Refused(_))
            }
        }
    }

    fn counted(&self, result: Result<ConfigCommit, ConfigUpdateError>) -> Result<ConfigCommit, ConfigUpdateError> {
        if result.is_err() {
            self.recorder.notify(ConfigOutcome::Refused);
        }
        result
    }

    fn status(&self) -> ConfigStatus {
        let tree = self.recorder.current.tree();
        ConfigStatus {
            generation: tree.generation(),
            paths: tree.paths().count(),
            overrides: tree.overrides().count(),
            subscribers: self.recorder.current.subscribers(),
            watch: self.recorder.current.watch(),
            checkpoint_failure: self.recorder.current.checkpoint_failure(),
        }
    }
}

#[cfg_attr(feature = "async-trait", foundation_kernel::ractor::async_trait)]
impl Actor for ConfigServerActor {
    type Msg = ConfigMsg;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<ConfigMsg>, (): ()) -> Result<State, ActorProcessingErr> {
        let server = myself.clone();
        self.recorder.events.hold().held_by(move || drop(server.cast(ConfigMsg::Checkpoint)));
        let watch = self.recorder.current.load().source().and_then(|source| source.watch());
        // Watch before reading again: a change of a file in between is noticed.
        let current = Arc::clone(&self.recorder.current);
        let watcher = watch.map(|watch| {
            Watcher::start(watch, current, move |content| {
                let server = myself.clone();
                async move {
                    // It is no error if the server is gone: its successor watches for itself.
                    let answer = server.call(|reply| ConfigMsg::FilesChanged(content, reply), None).await;
                    matches!(answer, Ok(CallResult::Success(true)))
                }
            })
        });
        Ok(State { records: self.recorder.begin().await?, _watcher: watcher })
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
