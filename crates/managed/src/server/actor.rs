//! The manager of a namespace: an actor that decides one request after the other, and leaves all that takes time to tasks.
//!
//! # Invariants
//!
//! 1. A change is recorded before it is made: what is not recorded has changed nothing.
//! 2. One job of a service runs at a time. What is to be done next follows from what is wanted and what is found.
//! 3. The manager waits for the event store and for nothing else.

use foundation_kernel::ractor::{Actor, ActorProcessingErr, ActorRef};

use super::message::ManagerMsg;
use super::state::Manager;
use super::state::State;

impl Manager {
    async fn serve(&self, state: &mut State, message: ManagerMsg) {
        // Those that have ended are of no interest.
        while state.tasks.try_join_next().is_some() {}
        let Some(message) = state.batches.defer(message) else { return };
        self.serve_one(state, message).await;
        // Before those that came later.
        while let Some(message) = state.next_deferred() {
            self.serve_one(state, message).await;
        }
    }

    async fn serve_one(&self, state: &mut State, message: ManagerMsg) {
        let Some(message) = self.defer_early(state, message).await else { return };
        match message {
            ManagerMsg::Request(request, reply) => self.request(state, request, reply).await,
            ManagerMsg::Batch(request) => self.batch(state, request).await,
            ManagerMsg::BatchMoved(name, position) => self.batch_moved(state, &name, position),
            ManagerMsg::BatchEnded(end) => self.batch_ended(state, end).await,
            ManagerMsg::BatchLate(number) => self.batch_late(state, number),
            ManagerMsg::Observed(watched) => self.observed(state, watched),
            ManagerMsg::Ended { name, reason, is_restarted } => self.ended(state, &name, reason, is_restarted),
            ManagerMsg::JobEnded { name, job, outcome } => self.job_ended(state, name, job, outcome).await,
            ManagerMsg::SectionChanged(path) => self.section_changed(state, &path).await,
            ManagerMsg::KindRegistered => state.try_again(),
            ManagerMsg::Found(children) => self.take_over(state, &children).await,
            ManagerMsg::ReadAgain => self.read_again(state).await,
            ManagerMsg::StopAgain(name) => {
                state.paused.remove(&name);
                state.reconcile();
            }
            ManagerMsg::Reconcile => self.reconcile(state).await,
            ManagerMsg::Shutdown(reply) => self.shut_down(state, reply).await,
            ManagerMsg::KillAll => self.kill_all(state),
            ManagerMsg::Checkpoint => self.checkpoint(state).await,
        }
        self.read_later(state);
    }
}

#[cfg_attr(feature = "async-trait", foundation_kernel::ractor::async_trait)]
impl Actor for Manager {
    type Msg = ManagerMsg;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<ManagerMsg>, (): ()) -> Result<State, ActorProcessingErr> {
        let manager = myself.clone();
        self.journal.on_pruning(move || drop(manager.cast(ManagerMsg::Checkpoint)));
        let mut state = State::new(myself);
        self.begin(&mut state).await;
        self.watch(&mut state);
        state.reconcile();
        Ok(state)
    }

    async fn handle(
        &self,
        _: ActorRef<ManagerMsg>,
        message: ManagerMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // Boxed: otherwise the actor would keep the room that a request takes for as long as it services.
        Box::pin(self.serve(state, message)).await;
        Ok(())
    }
}
