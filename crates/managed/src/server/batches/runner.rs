//! Takes the steps of a batch by the supervisor of the managed services.
//!
//! # Invariants
//!
//! 1. A step whose effect is there is not taken: an undo can be taken after a step that was not completed, or not begun.
//! 2. The manager is notified before a step and after it which generation has the name, so that its checks are run and its
//!    end is understood.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::names::ServiceName;
use foundation_kernel::supervision::{ChildState, Shutdown};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::member::{BatchMember, Position};
use crate::batch_run::TakeSteps;
use crate::kinds::instance_name;
use crate::replacement::ServiceStep;
use crate::server::prepared::Prepared;
use crate::server::runner::StepRunner;
use crate::server::shared::Shared;
use foundation_discovery::health::InstanceStatus;
use foundation_discovery::{Criteria, InstanceCheck};

/// How long one step of an undo may take, beside what it waits for.
const UNDO_STEP: Duration = Duration::from_secs(30);
const UNSURE: u64 = Position::UNSURE;

/// Takes the steps of the services of one batch.
pub(crate) struct BatchRunner<N> {
    shared: Arc<Shared>,
    members: BTreeMap<ServiceName, Mutex<Member>>,
    notify: N,
}

struct Member {
    position: Position,
    prepared: BTreeMap<u64, Arc<Prepared>>,
    runner: StepRunner,
}

impl<N: Fn(&ServiceName, Position) + Send + Sync> BatchRunner<N> {
    /// `notify` is called with each change of a position.
    pub(crate) fn new(shared: Arc<Shared>, members: BTreeMap<ServiceName, BatchMember>, notify: N) -> Self {
        let with_runner = |(name, BatchMember { position, prepared }): (ServiceName, BatchMember)| {
            let (supervisor, discovery) = (shared.supervisor(), shared.discovery.clone());
            let runner = StepRunner::new(supervisor, discovery, &name, prepared.clone())?;
            Some((name, Mutex::new(Member { position, prepared, runner })))
        };
        let members = members.into_iter().filter_map(with_runner).collect();
        Self { shared, members, notify }
    }

    /// Takes a step unless its effect is there.
    async fn take_once(&self, step: &ServiceStep) -> Result<(), String> {
        let unknown = || format!("{} is no service of the batch", step.name());
        let mut member = self.members.get(step.name()).ok_or_else(unknown)?.lock().await;
        match *step {
            ServiceStep::Start { generation, .. } => self.start(&mut member, step.name(), generation).await,
            ServiceStep::Stop { generation, .. } => self.stop(&mut member, step.name(), generation).await,
            ServiceStep::StartBeside { generation, ready_within, .. } => {
                self.start_beside(&mut member, step, generation, ready_within).await
            }
            ServiceStep::HandOver { from, to, .. } => self.hand_over(&mut member, step, from, to).await,
            ServiceStep::StopBeside { generation, .. } => self.stop_beside(&mut member, step, generation).await,
            ServiceStep::Reload { to, .. } if member.position.generation == Some(to) => Ok(()),
            ServiceStep::Reload { from, to, .. } => {
                member.runner.run(step).await?;
                self.end_checks(&member, step.name(), from, to);
                self.moved(&mut member, step.name(), Some(to), None);
                Ok(())
            }
            // A generation that has ended already must not take its successor out of rotation.
            ServiceStep::Drain { generation, .. } | ServiceStep::Resume { generation, .. }
                if member.position.generation != Some(generation) && !member.runner.is_replacing() =>
            {
                Ok(())
            }
            ServiceStep::Drain { .. } | ServiceStep::Resume { .. } => member.runner.run(step).await,
        }
    }

    /// Ends the checks of a generation that another one has not: an earlier manager may have begun them.
    fn end_checks(&self, member: &Member, service: &ServiceName, from: u64, to: u64) {
        let checks = |generation| member.prepared.get(&generation).map(|it| &it.checks[..]).unwrap_or_default();
        let Ok(name) = instance_name(service) else { return };
        let is_kept = |check: &&InstanceCheck| checks(to).iter().any(|kept| kept.name() == check.name());
        for check in checks(from).iter().filter(|check| !is_kept(check)) {
            self.shared.discovery.end_check(&name, check.name());
        }
    }

    /// How long a step waits for the actors of its service, if they take all of their time.
    async fn waits_for(&self, step: &ServiceStep) -> Duration {
        match *step {
            ServiceStep::Drain { within, .. } => within,
            // What is started may have to be spawned, and then checked; an earlier replacement ends first.
            ServiceStep::StartBeside { ready_within, .. } => ready_within.saturating_mul(4),
            ServiceStep::Start { .. } | ServiceStep::Stop { .. } => {
                let Some(member) = self.members.get(step.name()) else { return Duration::ZERO };
                let prepared = member.lock().await.prepared.clone();
                // Any of its generations may have to be stopped.
                let rule = |(generation, it): (&u64, &Arc<Prepared>)| Some(it.child(*generation).ok()?.shutdown_rule());
                prepared.iter().filter_map(rule).map(stop_time).max().unwrap_or_default()
            }
            _ => Duration::ZERO,
        }
    }

    async fn start(&self, member: &mut Member, name: &ServiceName, generation: u64) -> Result<(), String> {
        match member.position.generation {
            Some(running) if running == generation => return Ok(()),
            // It is being stopped or was not completely started.
            Some(UNSURE) => self.stop(member, name, UNSURE).await?,
            _ => {}
        }
        // Notify first: the checks of the instance are those of this generation.
        self.moved(member, name, Some(generation), None);
        let started = member.runner.run(&ServiceStep::Start { name: name.clone(), generation }).await;
        if started.is_err() {
            self.moved(member, name, Some(UNSURE), None);
        }
        started?;
        member.position.generation = Some(UNSURE);
        let is_checked = member.prepared.get(&generation).is_some_and(|it| !it.checks.is_empty());
        self.wait_until_ready(name, is_checked).await?;
        member.position.generation = Some(generation);
        Ok(())
    }

    async fn stop(&self, member: &mut Member, name: &ServiceName, generation: u64) -> Result<(), String> {
        if ![Some(generation), Some(UNSURE)].contains(&member.position.generation) {
            return Ok(());
        }
        self.moved(member, name, Some(UNSURE), None);
        member.runner.run(&ServiceStep::Stop { name: name.clone(), generation }).await?;
        self.moved(member, name, None, None);
        Ok(())
    }

    async fn start_beside(
        &self,
        member: &mut Member,
        step: &ServiceStep,
        generation: u64,
        ready_within: Duration,
    ) -> Result<(), String> {
        let name = step.name();
        match member.position.generation {
            Some(running) if running == generation => Ok(()),
            // There is no predecessor to start it beside.
            None | Some(UNSURE) => self.start(member, name, generation).await,
            Some(running) => {
                if member.runner.is_replacing() {
                    // An earlier replacement ends first.
                    let (name, within) = (name.clone(), ready_within);
                    member.runner.run(&ServiceStep::Drain { name, generation: running, within }).await?;
                }
                self.moved(member, step.name(), Some(running), Some(generation));
                member.runner.run(step).await
            }
        }
    }

    async fn hand_over(&self, member: &mut Member, step: &ServiceStep, from: u64, to: u64) -> Result<(), String> {
        if member.position.generation != Some(from) {
            return Ok(());
        }
        // Should this be dropped meanwhile, either may have the name.
        member.position.generation = Some(UNSURE);
        let handed = member.runner.run(step).await;
        let holder = if handed.is_ok() { to } else { from };
        self.moved(member, step.name(), Some(holder), None);
        handed
    }

    async fn stop_beside(&self, member: &mut Member, step: &ServiceStep, generation: u64) -> Result<(), String> {
        if member.position.generation == Some(generation) {
            return Ok(());
        }
        member.runner.run(step).await?;
        let running = member.position.generation;
        self.moved(member, step.name(), running, None);
        Ok(())
    }

    fn moved(&self, member: &mut Member, name: &ServiceName, generation: Option<u64>, successor: Option<u64>) {
        member.position = Position { generation, successor };
        (self.notify)(name, member.position);
    }

    /// Waits until the service is ready, or is not started again any more.
    async fn wait_until_ready(&self, service: &ServiceName, is_checked: bool) -> Result<(), String> {
        let name = instance_name(service).map_err(|error| error.to_string())?;
        let mut watch = self.shared.discovery.watch(Criteria::service(service));
        loop {
            match self.shared.discovery.instance(&name) {
                Some(found) if is_ready(found.status(), is_checked) => return Ok(()),
                Some(_) => {}
                None => self.check_child(name.as_str()).await?,
            }
            if watch.next().await.is_none() {
                return Err("its namespace has ended".to_owned());
            }
        }
    }

    /// A child that has ended and is not started again never gets ready.
    async fn check_child(&self, id: &str) -> Result<(), String> {
        let child = self.shared.supervisor().which_child(id).await;
        match child.is_ok_and(|child| child.state != ChildState::Stopped) {
            true => Ok(()),
            false => Err("it has ended before it was ready, and is not started again".to_owned()),
        }
    }
}

impl<N: Fn(&ServiceName, Position) + Send + Sync> TakeSteps for BatchRunner<N> {
    fn take<'a>(&'a self, step: &'a ServiceStep) -> BoxFuture<'a, Result<(), String>> {
        self.take_once(step).boxed()
    }

    /// Within the time for a step of an undo.
    fn take_back<'a>(&'a self, step: &'a ServiceStep) -> BoxFuture<'a, Result<(), String>> {
        let taking = async move {
            let within = self.waits_for(step).await.saturating_add(UNDO_STEP);
            match timeout(within, self.take_once(step)).await {
                Ok(taken) => taken,
                Err(_) => Err(format!("it has not ended within {within:?}")),
            }
        };
        taking.boxed()
    }
}

/// How long the supervisor may wait for an actor that it stops.
fn stop_time(rule: Shutdown) -> Duration {
    match rule {
        Shutdown::Timeout(within) | Shutdown::Drain(within) => within,
        _ => Duration::ZERO,
    }
}

fn is_ready(status: InstanceStatus, is_checked: bool) -> bool {
    match status {
        InstanceStatus::Healthy | InstanceStatus::Degraded => true,
        InstanceStatus::Unknown => !is_checked,
        _ => false,
    }
}
