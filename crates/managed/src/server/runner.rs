//! Carries out the steps of one service, by its supervisor.
//!
//! # Invariants
//!
//! 1. A successor gets the name by the supervisor's own replacement: at no time is the name free.
//! 2. A step that is taken again finds what it would bring about, and does nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::containment::{CaughtPanic, ContainedFuture, display_text, error_text, waking_contained};
use foundation_kernel::names::{NameChange, ServiceName, Watched};
use foundation_kernel::ractor::ActorCell;
use foundation_kernel::supervision::{ChildError, Shutdown, Strategy, Supervisor, SupervisorSpec};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::prepared::{Prepared, TIMES, with_generation};
use crate::kinds::{Gate, instance_name};
use crate::replacement::{ReplacementStrategy, ServiceStep};
use foundation_discovery::Discovery;
use foundation_discovery::{InstanceBuilder, InstanceName};

/// Carries out the steps of one service.
pub(crate) struct StepRunner {
    supervisor: Supervisor,
    discovery: Discovery,
    name: InstanceName,
    /// The generations that may be started.
    prepared: BTreeMap<u64, Arc<Prepared>>,
    beside: Option<Beside>,
    /// How long the actor that is stopped next may take.
    drain: Option<Duration>,
}

/// A successor that is started beside its predecessor.
struct Beside {
    generation: u64,
    predecessor: Option<ActorCell>,
    /// Lets it have the name; `None` when it has.
    open: Option<oneshot::Sender<()>>,
    replaced: BoxFuture<'static, Result<Option<ActorCell>, ChildError>>,
}

impl StepRunner {
    /// For this service. `None` if it cannot have an instance, which is checked when it is declared.
    pub(crate) fn new(
        supervisor: Supervisor,
        discovery: Discovery,
        service: &ServiceName,
        prepared: BTreeMap<u64, Arc<Prepared>>,
    ) -> Option<Self> {
        let name = instance_name(service).ok()?;
        Some(Self { supervisor, discovery, name, prepared, beside: None, drain: None })
    }

    /// Whether a successor is there, or a predecessor that has not finished.
    pub(super) fn is_replacing(&self) -> bool {
        self.beside.is_some()
    }

    /// Takes all steps, up to the first that fails.
    pub(crate) async fn run_all(&mut self, steps: &[ServiceStep]) -> Result<(), String> {
        for step in steps {
            self.run(step).await?;
        }
        Ok(())
    }

    /// Takes one step. The error says why it is not taken.
    pub(crate) async fn run(&mut self, step: &ServiceStep) -> Result<(), String> {
        match step {
            ServiceStep::Start { generation, .. } => self.start(*generation).await,
            ServiceStep::Stop { .. } => self.stop().await,
            ServiceStep::StartBeside { generation, ready_within, .. } => {
                self.start_beside(*generation, *ready_within).await
            }
            ServiceStep::HandOver { from, to, .. } => self.hand_over(*from, *to).await,
            ServiceStep::StopBeside { .. } => self.stop_beside().await,
            ServiceStep::Drain { within, .. } => self.drain(*within).await,
            ServiceStep::Resume { .. } => {
                self.set_draining(false);
                Ok(())
            }
            ServiceStep::Reload { to, .. } => self.reload(*to).await,
        }
    }

    fn prepared(&self, generation: u64) -> Result<Arc<Prepared>, String> {
        let missing = || format!("nothing is known of generation {generation}");
        self.prepared.get(&generation).cloned().ok_or_else(missing)
    }

    fn id(&self) -> &str {
        self.name.as_str()
    }

    // ---- start and stop ----

    async fn start(&mut self, generation: u64) -> Result<(), String> {
        let child = self.prepared(generation)?.child(generation).map_err(text)?;
        let started = match self.supervisor.start_child(child.clone()).await {
            // An earlier one has ended and is not restarted.
            Err(ChildError::AlreadyPresent { .. }) => {
                self.supervisor.delete_child(self.id()).await.map_err(text)?;
                self.supervisor.start_child(child).await
            }
            started => started,
        };
        match started {
            Ok(Some(_)) | Err(ChildError::AlreadyStarted { .. }) => Ok(()),
            Ok(None) => Err("its start said that it is not wanted now".to_owned()),
            Err(ChildError::Start { error, .. }) => Err(error_text(&error)),
            Err(error) => Err(text(error)),
        }
    }

    async fn stop(&mut self) -> Result<(), String> {
        self.set_draining(true);
        let within = self.drain.take();
        if let Some(within) = within {
            self.drain_for(within).await;
        }
        let within = within.unwrap_or(Duration::MAX);
        let actor = self.supervisor.child(self.id()).await.ok().flatten();
        let stopped = {
            let mut stopping = std::pin::pin!(self.supervisor.terminate_child(self.id()));
            match timeout(within, &mut stopping).await {
                Ok(stopped) => stopped,
                Err(_) => {
                    actor.iter().for_each(ActorCell::kill);
                    stopping.await
                }
            }
        };
        match stopped {
            Ok(()) => self.supervisor.delete_child(self.id()).await.or_else(unless_gone),
            Err(error) => unless_gone(error),
        }
        .map_err(text)
    }

    /// Gives the running actor this time to finish, if it is longer than the usual one, unless its kind has set a rule.
    async fn drain_for(&mut self, within: Duration) {
        let usual = Shutdown::Drain(TIMES.overlap);
        let Ok(spec) = self.supervisor.child_spec(self.id()).await else { return };
        if within > TIMES.overlap && spec.shutdown_rule() == usual {
            // One that has ended meanwhile needs no time.
            let _ = self.supervisor.reconfigure_child(spec.shutdown(Shutdown::Drain(within))).await;
        }
    }

    /// Takes it out of rotation, or back into it. One that is not registered has no rotation.
    fn set_draining(&self, draining: bool) {
        self.update(|instance| instance.draining(draining));
    }

    /// Changes what the instance says of itself. One that is not registered says nothing.
    fn update(&self, change: impl FnMut(InstanceBuilder) -> InstanceBuilder) {
        let Ok(owner) = self.discovery.registry().lookup_any(self.name.registered()) else { return };
        if let Err(error) = self.discovery.update(&self.name, owner.cell(), change) {
            tracing::debug!(name = %self.name, %error, "its instance is not changed");
        }
    }

    // ---- replacement ----

    async fn start_beside(&mut self, generation: u64, ready: Duration) -> Result<(), String> {
        let (passed, is_passed) = oneshot::channel();
        let (open, is_open) = oneshot::channel();
        let gate = Gate { passed, open: is_open };
        let child = self.prepared(generation)?.successor(generation, ready, gate).map_err(text)?;
        let predecessor = self.supervisor.child(self.id()).await.map_err(text)?;
        let supervisor = self.supervisor.clone();
        let mut replaced = async move { supervisor.replace_child(child).await }.boxed();
        let ended = tokio::select! {
            biased;
            ended = &mut replaced => ended,
            passed = waking_contained(is_passed) => match passed {
                Ok(()) => {
                    self.beside = Some(Beside { generation, predecessor, open: Some(open), replaced });
                    return Ok(());
                }
                // Its start has failed.
                Err(_) => replaced.await,
            },
        };
        Err(match ended {
            Err(ChildError::Start { error, .. }) => error_text(&error),
            Err(error) => text(error),
            Ok(_) => "it was replaced by another one meanwhile".to_owned(),
        })
    }

    async fn hand_over(&mut self, from: u64, to: u64) -> Result<(), String> {
        // Before the name is handed over: the supervisor reads the rule of the predecessor then.
        let overlap = self.overlap(from, to);
        self.drain_for(overlap).await;
        let missing = || format!("there is no successor of generation {to} that could have the name");
        let beside = self.beside.as_mut().filter(|beside| beside.generation == to).ok_or_else(missing)?;
        let Some(open) = beside.open.take() else { return Ok(()) };
        let mut watch = self.discovery.registry().watch_service(&Discovery::key::<()>(&self.name));
        // A successor that has ended meanwhile is found by the end of the replacement.
        let _ = open.send(());
        loop {
            tokio::select! {
                biased;
                ended = &mut beside.replaced => {
                    self.beside = None;
                    return ended.map(drop).map_err(text);
                }
                item = waking_contained(watch.next()) => match item {
                    Some(Watched::Change(NameChange::HandedOver { .. })) | None => return Ok(()),
                    Some(_) => {}
                },
            }
        }
    }

    /// How long the predecessor may take to finish, as its kind says.
    fn overlap(&self, from: u64, to: u64) -> Duration {
        let (from, to) = (self.prepared.get(&from), self.prepared.get(&to));
        match from.zip(to).map(|(from, to)| from.strategy_to(to)) {
            Some(Ok(ReplacementStrategy::BlueGreen { overlap, .. })) => overlap,
            _ => TIMES.overlap,
        }
    }

    /// Waits until the predecessor has finished, if it has a successor. Otherwise it is taken out of rotation, and finishes
    /// when it is stopped.
    async fn drain(&mut self, within: Duration) -> Result<(), String> {
        let Some(Beside { open: None, .. }) = &self.beside else {
            if self.beside.is_none() {
                self.set_draining(true);
            }
            self.drain = Some(within);
            return Ok(());
        };
        let Some(mut beside) = self.beside.take() else { return Ok(()) };
        let ended = match timeout(within, &mut beside.replaced).await {
            Ok(ended) => ended,
            Err(_) => {
                beside.predecessor.iter().for_each(ActorCell::kill);
                beside.replaced.await
            }
        };
        ended.map_err(text)?;
        self.settle(beside.generation).await
    }

    /// Lets the next start of the running child be as any other: the limits of a successor are those of its replacement.
    pub(crate) async fn settle(&mut self, generation: u64) -> Result<(), String> {
        let child = self.prepared(generation)?.child(generation).map_err(text)?;
        self.supervisor.reconfigure_child(child).await.or_else(unless_gone).map_err(text)
    }

    /// Stops a successor that has not got the name. A predecessor is stopped when it has finished.
    async fn stop_beside(&mut self) -> Result<(), String> {
        let Some(beside) = self.beside.take() else { return Ok(()) };
        drop(beside.open);
        // It fails since the gate is closed.
        let _ = beside.replaced.await;
        Ok(())
    }

    async fn reload(&mut self, generation: u64) -> Result<(), String> {
        let prepared = self.prepared(generation)?;
        let context = prepared.context(generation).map_err(text)?;
        let reloading = prepared.kind.reload(&context, &prepared.config).map_err(text)?;
        let reloading = ContainedFuture::new("a reload", waking_contained(reloading).boxed());
        let late = |_| format!("its reload has not ended within {:?}", TIMES.ready);
        let reloaded = timeout(TIMES.ready, reloading).await.map_err(late)?;
        let reloaded = reloaded.map_err(CaughtPanic::into_text)?;
        reloaded.map_err(|error| error_text(&*error))?;
        // Before its next start bears it: the next manager reads it there.
        self.update(|instance| with_generation(instance, generation));
        // The running child stays as it is; its next start is with this.
        self.supervisor.reconfigure_child(prepared.child(generation).map_err(text)?).await.map_err(text)
    }
}

/// The supervisor of the managed services.
pub(crate) fn supervisor_spec() -> SupervisorSpec {
    SupervisorSpec::new(Strategy::OneForOne)
}

fn unless_gone(error: ChildError) -> Result<(), ChildError> {
    match error {
        ChildError::NotFound { .. } | ChildError::NotRunning { .. } => Ok(()),
        error => Err(error),
    }
}

fn text(error: impl std::fmt::Display) -> String {
    display_text(&error)
}
