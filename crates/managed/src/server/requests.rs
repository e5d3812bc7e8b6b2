//! The requests about one service: decided, recorded, and noted.

use std::time::Duration;

use foundation_kernel::answer;
use foundation_kernel::names::ServiceName;
use foundation_kernel::ractor::ActorCell;
use tokio::time::timeout;

use super::goal::Goal;
use super::message::Answer;
use super::message::Request;
use super::prepared::Prepared;
use super::service_table::ServiceTable;
use super::state::Manager;
use super::state::{JobKind, Phase, State};
use crate::error::ManagedError;
use crate::fact::ServiceFact;
use crate::kinds::instance_name;
use crate::lifecycle::LifecycleFact;
use crate::roster::RosterRequest;
use foundation_discovery::FieldError;

impl Manager {
    pub(super) async fn request(&self, state: &mut State, request: Request, reply: Answer) {
        match self.accept(state, &request).await {
            Ok(goal) => {
                state.waiters.add(request.name().clone(), goal, reply);
                state.reconcile();
            }
            Err(error) => answer(reply, Err(error)),
        }
    }

    /// Decides a request and records what follows from it. Returns what the caller waits for.
    async fn accept(&self, state: &mut State, request: &Request) -> Result<Goal, ManagedError> {
        let name = request.name();
        if let Phase::ShuttingDown(_) = state.phase {
            return Err(ManagedError::ShuttingDown { namespace: self.shared.names.namespace() });
        }
        self.settle(state, name).await?;
        let (facts, prepared) = self.decide(&state.table, request)?;
        self.record(state, name, facts).await?;
        Ok(self.requested(state, request, prepared))
    }

    /// The facts that a request leads to, with what is to be started by it. Nothing is changed.
    fn decide(
        &self,
        table: &ServiceTable,
        request: &Request,
    ) -> Result<(Vec<ServiceFact>, Option<Prepared>), ManagedError> {
        let (request, prepared) = match request {
            Request::Declare { name, kind, config } => {
                let invalid = |error: FieldError| ManagedError::Kind { name: name.clone(), source: error.into() };
                instance_name(name).map_err(invalid)?;
                let prepared = self.prepare(name, kind, config)?;
                let (name, kind, config) = (name.clone(), kind.clone(), config.clone());
                let (needs, provides) = (prepared.needs.clone(), prepared.provides());
                (RosterRequest::Declare { name, kind, config, needs, provides }, Some(prepared))
            }
            Request::Configure { name, config } => {
                let prepared = self.prepare(name, &table.roster.known(name)?.kind, config)?;
                (self.configuration(table, name, &prepared)?, Some(prepared))
            }
            Request::Start(name) => (RosterRequest::Start(name.clone()), Some(self.prepare_again(table, name)?)),
            Request::Restart(name) => (RosterRequest::Restart(name.clone()), Some(self.prepare_again(table, name)?)),
            Request::Stop { name, .. } => (RosterRequest::Stop(name.clone()), None),
            Request::Remove(name) => (RosterRequest::Remove(name.clone()), None),
        };
        Ok((table.roster.decide(&request)?, prepared))
    }

    /// The request for another configuration. One that runs still, and is not being replaced, is taken back to.
    fn configuration(
        &self,
        table: &ServiceTable,
        name: &ServiceName,
        prepared: &Prepared,
    ) -> Result<RosterRequest, ManagedError> {
        let (running, config) = (table.generation(name), prepared.source.clone());
        let is_replaced = table.services.get(name).is_some_and(|live| live.replacing.is_some());
        let former = table.roster.known(name)?.former_with(&config, running).filter(|_| !is_replaced).cloned();
        let name = name.clone();
        if let Some(to) = former {
            return Ok(RosterRequest::TakeBack { name, to });
        }
        let strategy = self.strategy(table, &name, prepared)?;
        let (needs, provides) = (prepared.needs.clone(), prepared.provides());
        Ok(RosterRequest::Configure { name, config, needs, provides, strategy, running })
    }

    /// Takes note of a request that is recorded. Returns what its caller waits for.
    fn requested(&self, state: &mut State, request: &Request, prepared: Option<Prepared>) -> Goal {
        let name = request.name();
        let generation = state.table.roster.get(name).map(|it| it.generation).unwrap_or_default();
        if let (Some(live), Some(prepared)) = (state.table.running(name), prepared) {
            live.last_error = None;
            let is_anew = matches!(request, Request::Start(_) | Request::Restart(_));
            live.generation = live.generation.filter(|_| !is_anew || !live.has_given_up());
            self.follow(&mut state.tasks, &mut state.followed, &state.myself, &prepared.source);
            // What runs, or is about to, goes on with what it was given.
            if let Some(tree) = prepared.tree.as_ref().filter(|_| !live.is_of(generation)) {
                self.shared.sections.give(name, generation, tree);
            }
            state.compared = None;
            live.prepare(generation, prepared);
        }
        match request {
            Request::Declare { .. } => Goal::Recorded,
            Request::Configure { .. } => Goal::Configured(generation),
            Request::Start(_) | Request::Restart(_) => {
                state.table.note(name, LifecycleFact::StartRequested);
                Goal::Healthy(generation)
            }
            Request::Stop { within, .. } => {
                state.paused.remove(name);
                within.iter().for_each(|within| limit_stop(state, name, *within));
                state.stop_if_at_rest(name);
                Goal::Stopped
            }
            Request::Remove(_) => {
                state.stop_if_at_rest(name);
                Goal::Stopped
            }
        }
    }
}

/// Sets how long the stop of a service may take, or the one that is under way may go on.
fn limit_stop(state: &mut State, name: &ServiceName, within: Duration) {
    let Some(job) = state.jobs.get(name).filter(|job| job.kind == JobKind::Stop) else {
        let live = state.table.running(name).filter(|live| live.generation.is_some());
        live.into_iter().for_each(|live| live.stop_within = Some(within));
        return;
    };
    let (stopping, mut ended) = (job.actors.clone(), job.ended.clone());
    state.tasks.spawn(async move {
        // The job is not over, so one of its actors is the one that is being stopped.
        if timeout(within, ended.changed()).await.is_err() {
            stopping.iter().for_each(ActorCell::kill);
        }
    });
}
