//! The roster: which services there are to be, folded from recorded facts.
//!
//! # Invariants
//!
//! 1. A roster is the fold of its facts: the same facts give the same roster, also from a checkpoint on.
//! 2. Generations are numbered within the roster, and a new one has a number that none had before it. A change that is
//!    taken back leaves its number unused.
//! 3. The services never need each other in a circle.
//! 4. The changes of a batch count when it is done, all together. Undone, or not ended, it has changed nothing.
//! 5. A request is decided from the roster alone and changes nothing; facts that were decided can be applied.
//! 6. The changes of a batch begin one generation of a service after the one before the batch, however many they are.
//! 7. A service knows its former generation, and what that was made from, until the present one is the former.

use std::collections::BTreeMap;

use foundation_kernel::names::{NearMisses, ServiceName};
use serde::{Deserialize, Serialize};

use self::error::RosterError;
use super::fact::{
    BatchOutcome, BatchPlan, DesiredState, RosterFact, ServiceConfig, ServiceFact, ServiceGeneration, texts,
};
use super::needs::{Need, NeedGraph};
use super::replacement::ReplacementStrategy;
use crate::limits::MAX_MANAGED_SERVICES;
use foundation_discovery::Capability;

/// A service as it is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DesiredService {
    /// Its kind.
    pub kind: String,
    /// Its configuration.
    pub config: ServiceConfig,
    /// What it needs.
    pub needs: Vec<Need>,
    /// What it provides.
    #[serde(with = "texts")]
    pub provides: Vec<Capability>,
    /// Whether it is to run.
    pub state: DesiredState,
    /// Which generation of it is to run: each configuration and each restart begins a new one.
    pub generation: u64,
    /// How the former generation is replaced by this one.
    pub strategy: ReplacementStrategy,
    /// The former generation, which ran last as far as it is recorded. In a batch that is the one before the batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<ServiceGeneration>,
    /// The generation that its last restart has begun; 0 if there was none. What ran before that is not to run on.
    #[serde(default)]
    pub restarted: u64,
}

impl DesiredService {
    /// Whether it is to run.
    pub fn is_wanted(&self) -> bool {
        self.state == DesiredState::Running
    }

    /// The configuration of the desired generation, or of the former one; `None` of any other.
    pub fn config_of(&self, generation: u64) -> Option<&ServiceConfig> {
        let former = || self.former.as_ref().filter(|former| former.generation == generation);
        if self.generation == generation { Some(&self.config) } else { former().map(|former| &former.config) }
    }

    /// How this generation replaces the one that runs, if that is recorded: it is of the former one.
    pub(crate) fn strategy_from(&self, running: u64) -> Option<ReplacementStrategy> {
        let is_former = self.former.as_ref().is_some_and(|former| former.generation == running);
        is_former.then_some(self.strategy)
    }

    /// The former generation, if it runs and was made from this configuration. A section says something else each time.
    pub(crate) fn former_with(&self, config: &ServiceConfig, running: Option<u64>) -> Option<&ServiceGeneration> {
        let former = self.former.as_ref().filter(|_| matches!(config, ServiceConfig::Value(_)))?;
        let runs_on = running == Some(former.generation) && former.generation >= self.restarted;
        (runs_on && former.config == *config).then_some(former)
    }

    fn to_generation(&self) -> ServiceGeneration {
        let Self { generation, config, needs, provides, .. } = self.clone();
        ServiceGeneration { generation, config, needs, provides }
    }

    /// What the next generation takes the place of: this one, unless it is one of the same batch, or an earlier one runs.
    fn former_of_next(&self, last: u64, running: Option<u64>) -> Option<ServiceGeneration> {
        let former = self.former.as_ref();
        let runs_still = former.is_some_and(|former| running == Some(former.generation));
        if self.generation > last || runs_still { former.cloned() } else { Some(self.to_generation()) }
    }
}

/// A request to change the desired state of one service. Its kind has checked it already.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RosterRequest {
    /// Declare a service; it is not started by that.
    Declare {
        /// Its name.
        name: ServiceName,
        /// Its kind.
        kind: String,
        /// Its configuration.
        config: ServiceConfig,
        /// What it needs.
        needs: Vec<Need>,
        /// What it provides.
        provides: Vec<Capability>,
    },
    /// Give a service another configuration.
    Configure {
        /// Its name.
        name: ServiceName,
        /// Its configuration.
        config: ServiceConfig,
        /// What it needs with it.
        needs: Vec<Need>,
        /// What it provides with it.
        provides: Vec<Capability>,
        /// How a running service gets it.
        strategy: ReplacementStrategy,
        /// Which generation runs, if that is known.
        running: Option<u64>,
    },
    /// Let an earlier generation, which runs still, be the desired one again.
    TakeBack {
        /// Its name.
        name: ServiceName,
        /// The generation.
        to: ServiceGeneration,
    },
    /// Let a service run.
    Start(ServiceName),
    /// Let a service run no more.
    Stop(ServiceName),
    /// Let a service run anew.
    Restart(ServiceName),
    /// Forget a service, which is stopped if it runs.
    Remove(ServiceName),
}

/// Which services there are to be: their kinds, configurations and needs, and whether they are to run.
///
/// A request is decided first; the facts that it leads to are recorded and then applied. A new server applies the recorded
/// facts again. A serialized roster is a checkpoint: the facts before it are not needed any more.
///
/// Cost: a decision compares the needs of all services; an applied fact costs a look-up.
///
/// ```
/// use foundation_managed::{ActualServices, Roster, RosterRequest, ServiceConfig};
/// use foundation_kernel::names::ServiceName;
///
/// let (db, config) = (ServiceName::new("db")?, ServiceConfig::Section("db".to_owned()));
/// let (kind, needs, provides) = ("postgres".to_owned(), vec![], vec![]);
/// let declare = RosterRequest::Declare { name: db.clone(), kind, config, needs, provides };
///
/// let mut roster = Roster::new();
/// for request in [declare, RosterRequest::Start(db.clone())] {
///     let facts = roster.decide(&request)?;
///     facts.into_iter().for_each(|fact| roster.apply(&fact.into()));
/// }
/// let plans = roster.next_steps(&ActualServices::default());
/// assert_eq!(plans[0].steps[0].to_string(), "start db#1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Roster {
    services: BTreeMap<ServiceName, DesiredService>,
    /// The last generation that was begun.
    generation: u64,
    batch: Option<OpenBatch>,
    /// A setting of the server, and no fact.
    #[serde(skip, default = "default_limit")]
    limit: usize,
}

/// A batch that is begun and not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct OpenBatch {
    plan: BatchPlan,
    /// The last generation before it.
    generation: u64,
}

fn default_limit() -> usize {
    MAX_MANAGED_SERVICES
}

impl Default for Roster {
    fn default() -> Self {
        Self { services: BTreeMap::new(), generation: 0, batch: None, limit: MAX_MANAGED_SERVICES }
    }
}

impl Roster {
    /// A roster without services.
    pub fn new() -> Self {
        Self::default()
    }

    /// With at most this many services. Default: [`MAX_MANAGED_SERVICES`].
    pub fn with_limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// A service.
    pub fn get(&self, name: &ServiceName) -> Option<&DesiredService> {
        self.services.get(name)
    }

    /// All services, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&ServiceName, &DesiredService)> {
        self.services.iter()
    }

    /// The number of services.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether there is no service.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// The batch that is begun and not ended. A server that starts undoes it.
    pub fn open_batch(&self) -> Option<&BatchPlan> {
        self.batch.as_ref().map(|batch| &batch.plan)
    }

    /// The roster with the batch that is begun and not ended, as if it were done.
    pub(crate) fn with_open_batch(&self) -> Self {
        let mut done = self.clone();
        done.end_batch(&BatchOutcome::Done);
        done
    }

    /// What the services need and provide.
    pub fn needs(&self) -> NeedGraph {
        Self::graph(&self.services)
    }

    fn graph<'a>(services: impl IntoIterator<Item = (&'a ServiceName, &'a DesiredService)>) -> NeedGraph {
        let mut graph = NeedGraph::new();
        for (name, it) in services {
            graph.insert(name.clone(), it.needs.clone(), it.provides.clone());
        }
        graph
    }

    /// The facts that a request leads to; none if everything is as requested. Nothing is changed.
    ///
    /// # Errors
    /// [`RosterError`] says why the request is refused.
    pub fn decide(&self, request: &RosterRequest) -> Result<Vec<ServiceFact>, RosterError> {
        let facts = self.decide_alone(request)?;
        self.check_cycles(&facts)?;
        Ok(facts)
    }

    /// The same, without a look for circles: another request of its batch may break them.
    pub(super) fn decide_alone(&self, request: &RosterRequest) -> Result<Vec<ServiceFact>, RosterError> {
        Ok(match request.clone() {
            RosterRequest::Declare { name, kind, config, needs, provides } => {
                self.check_new(&name)?;
                vec![ServiceFact::Declared { name, kind, config, needs, provides }]
            }
            RosterRequest::Configure { name, config, needs, provides, strategy, running } => {
                let is_same = self.known(&name)?.config == config;
                let fact = ServiceFact::Configured { name, config, needs, provides, strategy, running };
                if is_same { Vec::new() } else { vec![fact] }
            }
            RosterRequest::TakeBack { name, to } => {
                let is_earlier = to.generation < self.known(&name)?.generation;
                if is_earlier { vec![ServiceFact::TakenBack { name, to }] } else { Vec::new() }
            }
            RosterRequest::Start(name) => self.decide_wanted(name, DesiredState::Running)?,
            RosterRequest::Stop(name) => self.decide_wanted(name, DesiredState::Stopped)?,
            RosterRequest::Restart(name) => {
                self.known(&name)?;
                vec![ServiceFact::Wanted { name, state: DesiredState::Running, restart: true }]
            }
            RosterRequest::Remove(name) => {
                self.known(&name)?;
                vec![ServiceFact::Removed { name }]
            }
        })
    }

    fn decide_wanted(&self, name: ServiceName, state: DesiredState) -> Result<Vec<ServiceFact>, RosterError> {
        let is_same = self.known(&name)?.state == state;
        let fact = ServiceFact::Wanted { name, state, restart: false };
        Ok(if is_same { Vec::new() } else { vec![fact] })
    }

    /// The service of this name.
    ///
    /// # Errors
    /// [`RosterError::UnknownService`], with the names that come near.
    pub fn known(&self, name: &ServiceName) -> Result<&DesiredService, RosterError> {
        let near = || NearMisses::of(name.as_str(), self.services.keys().map(ServiceName::as_str));
        self.get(name).ok_or_else(|| RosterError::UnknownService { name: name.clone(), near: near() })
    }

    fn check_new(&self, name: &ServiceName) -> Result<(), RosterError> {
        if let Some(it) = self.get(name) {
            return Err(RosterError::AlreadyDeclared { name: name.clone(), kind: it.kind.clone() });
        }
        if self.services.len() >= self.limit {
            return Err(RosterError::TooMany { name: name.clone(), limit: self.limit });
        }
        Ok(())
    }

    fn check_cycles(&self, facts: &[ServiceFact]) -> Result<(), RosterError> {
        let Some(fact) = facts.iter().find(|fact| !matches!(fact, ServiceFact::Wanted { .. })) else { return Ok(()) };
        let after = self.after(facts);
        let cycle = |source| RosterError::Cycle { name: fact.name().clone(), source };
        after.needs().start_order().map(drop).map_err(cycle)
    }

    /// The roster after these changes, which take effect together.
    pub fn after<'a>(&self, changes: impl IntoIterator<Item = &'a ServiceFact>) -> Self {
        let mut after = self.clone();
        after.change_together(changes, self.generation);
        after
    }

    /// Applies a recorded fact. A fact about a service that is not there changes nothing.
    pub fn apply(&mut self, fact: &RosterFact) {
        match fact {
            RosterFact::Service(change) => self.change(change, self.generation),
            RosterFact::BatchBegun(plan) => self.begin_batch(plan.clone()),
            RosterFact::BatchEnded(outcome) => self.end_batch(outcome),
        }
    }

    fn begin_batch(&mut self, plan: BatchPlan) {
        let (before, after) = (self.generation, self.after(&plan.changes));
        // The generations of the batch run from now on. Undone, their numbers are not used again.
        self.generation = after.generation;
        self.batch = Some(OpenBatch { plan, generation: before });
    }

    fn end_batch(&mut self, outcome: &BatchOutcome) {
        let Some(OpenBatch { plan, generation }) = self.batch.take() else { return };
        if *outcome == BatchOutcome::Done {
            // The numbers are those that the plan was made with.
            let last = std::mem::replace(&mut self.generation, generation);
            self.change_together(&plan.changes, generation);
            self.generation = self.generation.max(last);
        }
    }

    /// Makes changes, of which the last generation before them is known.
    fn change_together<'a>(&mut self, changes: impl IntoIterator<Item = &'a ServiceFact>, last: u64) {
        changes.into_iter().for_each(|change| self.change(change, last));
    }

    /// Makes one change; the generations after `last` do not run yet.
    fn change(&mut self, change: &ServiceFact, last: u64) {
        match change.clone() {
            ServiceFact::Declared { name, kind, config, needs, provides } => {
                let (generation, strategy) = (self.next_generation(), ReplacementStrategy::default());
                let state = DesiredState::Declared;
                let service = DesiredService {
                    kind,
                    config,
                    needs,
                    provides,
                    state,
                    generation,
                    strategy,
                    former: None,
                    restarted: 0,
                };
                self.services.insert(name, service);
            }
            ServiceFact::Wanted { name, state, restart } => {
                let strategy = ReplacementStrategy::default();
                let restarted = if restart { self.generation + 1 } else { 0 };
                let change = |it: &mut DesiredService| (it.state, it.restarted) = (state, it.restarted.max(restarted));
                self.change_one(&name, restart.then_some(strategy), (last, None), change);
            }
            ServiceFact::Configured { name, config, needs, provides, strategy, running } => {
                let change = |it: &mut DesiredService| {
                    (it.config, it.needs, it.provides) = (config, needs, provides);
                };
                self.change_one(&name, Some(strategy), (last, running), change);
            }
            ServiceFact::TakenBack { name, to } => self.take_back(&name, to),
            ServiceFact::Removed { name } => drop(self.services.remove(&name)),
        }
    }

    /// Changes a service; with a strategy, a new generation of it begins.
    fn change_one(
        &mut self,
        name: &ServiceName,
        strategy: Option<ReplacementStrategy>,
        (last, running): (u64, Option<u64>),
        change: impl FnOnce(&mut DesiredService),
    ) {
        let strategy = strategy.filter(|it| *it != ReplacementStrategy::Nothing);
        let generation = strategy.map(|_| self.generation + 1);
        let Some(service) = self.services.get_mut(name) else { return };
        let former = service.former_of_next(last, running);
        change(service);
        if let (Some(strategy), Some(generation)) = (strategy, generation) {
            (service.strategy, service.former) = (strategy, former);
            (service.generation, self.generation) = (generation, generation);
        }
    }

    fn take_back(&mut self, name: &ServiceName, to: ServiceGeneration) {
        let Some(service) = self.services.get_mut(name) else { return };
        let ServiceGeneration { generation, config, needs, provides } = to;
        (service.generation, service.config) = (generation, config);
        (service.needs, service.provides) = (needs, provides);
        (service.strategy, service.former) = (ReplacementStrategy::default(), None);
    }

    fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }
}

pub(crate) mod checkpoint;
pub(crate) mod error;

#[cfg(test)]
mod tests;
