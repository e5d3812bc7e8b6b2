//! Specifications: of a child, and of a supervisor with its children.
//!
//! Both are here since one contains the other, and what a start function receives contains a supervisor's own parts.

use std::any::Any;
use std::collections::HashSet;
use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use ractor::{Actor, ActorCell, ActorId};
use uuid::Uuid;

use super::actor::{Group, Managed, Metering};
use super::backoff::Backoff;
use super::child_id::ChildId;
use super::child_rules::{AutoShutdown, ChildKind, NameTaken, Restart, Shutdown};
use super::children::rules::{ChildSet, Rules};
use super::error::{SpecError, StartError};
use super::report::{Reporter, Reporting};
use super::restart::{GivingUp, RestartIntensity, Strategy};
use super::started::{Start, Started};
use crate::containment::Contained;
use crate::exit::ExitReason;
use crate::health::{Health, HealthRule, Verdict};
use crate::limits::SupervisorLimits;
use crate::namespace::ServiceName;

/// The context that a start function receives.
pub struct StartContext {
    id: ChildId,
    supervisor: ActorCell,
    pub(super) group: Group,
    pub(super) reporting: Reporting,
    /// Whether the child, or its supervisor, has run before.
    pub(super) restart: bool,
    /// The predecessor whose place and name the child is to take.
    replaces: Option<ActorCell>,
    /// Whether the supervisor gives up, or one above it.
    pub(super) giving_up: Arc<GivingUp>,
}

impl fmt::Debug for StartContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartContext")
            .field("id", &self.id)
            .field("supervisor", &self.supervisor.get_id())
            .finish_non_exhaustive()
    }
}

impl StartContext {
    pub(super) fn new(id: ChildId, supervisor: ActorCell, group: Group, reporting: Reporting, restart: bool) -> Self {
        Self { id, supervisor, group, reporting, restart, replaces: None, giving_up: Arc::default() }
    }

    /// The same, below a supervisor that notes here that it gives up.
    pub(super) fn below(self, giving_up: Arc<GivingUp>) -> Self {
        Self { giving_up, ..self }
    }

    pub(super) fn replacing(self, replaces: Option<ActorCell>) -> Self {
        Self { replaces, ..self }
    }

    /// The same; the value is dropped when the last of the supervisor's subtree that is started here is gone.
    pub(crate) fn holding(self, held: impl Any + Send + Sync) -> Self {
        Self { group: self.group.nested_holding(Box::new(held)), ..self }
    }

    /// The running incarnation that this start is to replace, if it is a start of
    /// [`Supervisor::replace_child`](crate::supervision::Supervisor::replace_child).
    pub fn replaces(&self) -> Option<&ActorCell> {
        self.replaces.as_ref()
    }

    /// The supervisor, to which the child has to be linked.
    pub fn supervisor(&self) -> &ActorCell {
        &self.supervisor
    }

    /// The child's id.
    pub fn id(&self) -> &ChildId {
        &self.id
    }

    /// Spawns an actor as this child.
    ///
    /// # Errors
    /// [`StartError::Failed`] with what the actor's `pre_start` said.
    pub async fn spawn<A: Actor>(&self, actor: A, args: A::Arguments) -> Result<Started, StartError> {
        self.spawn_holding(actor, args, (), ()).await
    }

    /// The same; the actor holds `lease` until it is gone, and is measured by `meter`.
    // No async function: it would keep its arguments twice, once for itself and once for ractor's future.
    pub(crate) fn spawn_holding<A, L, M>(
        &self,
        actor: A,
        args: A::Arguments,
        lease: L,
        meter: M,
    ) -> impl Future<Output = Result<Started, StartError>> + Send + use<A, L, M>
    where
        A: Actor,
        L: Send + Sync + 'static,
        M: Metering,
    {
        let managed = Managed::new(actor, lease, meter, &self.group);
        let spawning = Actor::spawn_linked(None, managed, args, self.supervisor.clone());
        spawning.map(|spawned| spawned.map(|(actor, handle)| Started::new(actor, handle)).map_err(StartError::from))
    }
}

/// The future of a start and its outcome.
pub(crate) type Starting = BoxFuture<'static, Result<Start, StartError>>;

/// The starter of a child. Its destructor is contained: mostly it is a supervisor that drops it last.
pub(super) trait Starter: Send + Sync {
    fn start(&self, context: StartContext) -> Option<Starting>;

    /// The nested specifications, if there are any, so that those of a deep tree are dropped one after the other.
    fn take_children(&mut self) -> Vec<ChildSpec> {
        Vec::new()
    }
}

/// A start function with all that it holds, unless it has been dropped.
#[derive(Clone)]
struct StartFn(Option<Arc<dyn Starter>>);

impl StartFn {
    /// Takes out the nested specifications, and drops the rest.
    fn uncover(mut start: Arc<dyn Starter>, below: &mut Vec<Arc<dyn Starter>>) {
        if let Some(last) = Arc::get_mut(&mut start) {
            below.extend(last.take_children().into_iter().filter_map(|mut child| child.start.0.take()));
        }
    }
}

/// Drops level by level: the tree that it starts may be deeper than a stack is.
impl Drop for StartFn {
    fn drop(&mut self) {
        let (mut start, mut below) = (self.0.take(), Vec::new());
        while let Some(next) = start {
            Self::uncover(next, &mut below);
            start = below.pop();
        }
    }
}

impl<F: Fn(StartContext) -> Starting + Send + Sync> Starter for Contained<F> {
    fn start(&self, context: StartContext) -> Option<Starting> {
        Some(self.get()?(context))
    }
}

/// The start of a child within a start of its own.
struct WrappedStart<F> {
    /// `None` once its nested specifications have been taken out.
    child: Option<ChildSpec>,
    start: F,
}

impl<F: Fn(StartContext, ChildSpec) -> Starting + Send + Sync> Starter for WrappedStart<F> {
    fn start(&self, context: StartContext) -> Option<Starting> {
        Some((self.start)(context, self.child.clone()?))
    }

    fn take_children(&mut self) -> Vec<ChildSpec> {
        self.child.take().into_iter().collect()
    }
}

/// How to start, restart and stop one child. OTP's child specification.
///
/// | | default | set by |
/// |---|---|---|
/// | restart | [`Restart::Permanent`] | [`restart`](ChildSpec::restart) |
/// | shutdown | 5 s for a worker ([`SupervisorLimits::worker_stop`]), infinity for a supervisor | [`shutdown`](ChildSpec::shutdown) |
/// | start time-out | 30 s for a worker ([`SupervisorLimits::worker_start`]), none for a supervisor | [`start_timeout`](ChildSpec::start_timeout) |
/// | significant | no | [`significant`](ChildSpec::significant) |
/// | backoff | the supervisor's, which by default is none | [`backoff`](ChildSpec::backoff) |
/// | name taken at a restart | [`NameTaken::Wait`] | [`on_name_taken`](ChildSpec::on_name_taken) |
/// | restart intensity | the supervisor's, for all children together | [`intensity`](ChildSpec::intensity) |
/// | health | it does not count | [`in_health`](ChildSpec::in_health), [`health_check`](ChildSpec::health_check), [`needs`](ChildSpec::needs) |
///
/// Cheap to clone: the start function is shared.
///
/// ```
/// use std::time::Duration;
/// use foundation_kernel::supervision::{ChildSpec, Restart, Shutdown};
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
/// # struct Clerk;
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Clerk {
/// #     type Msg = u64; type State = (); type Arguments = ();
/// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
/// let spec = ChildSpec::worker("clerk", || (Clerk, ()))
///     .restart(Restart::Transient)
///     .shutdown(Shutdown::Timeout(Duration::from_secs(1)));
/// assert_eq!(spec.id().as_str(), "clerk");
/// ```
#[derive(Clone)]
pub struct ChildSpec {
    id: ChildId,
    /// `None` for a temporary child that has been started: it is not started twice.
    start: StartFn,
    restart: Restart,
    /// `None` for the supervisor's default for a child of its kind.
    shutdown: Option<Shutdown>,
    /// As above.
    start_timeout: Option<Option<Duration>>,
    kind: ChildKind,
    significant: bool,
    name_taken: NameTaken,
    /// `None` for the supervisor's.
    backoff: Option<Arc<Backoff>>,
    /// `None` if its restarts count toward those of the supervisor.
    intensity: Option<Arc<RestartIntensity>>,
    health: Option<Arc<HealthRule>>,
}

impl ChildSpec {
    /// A worker: `start` gives the actor and its arguments, anew for each start.
    pub fn worker<A: Actor>(
        id: impl Into<ChildId>,
        start: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> Self {
        let start = Arc::new(start);
        Self::from_fn(id, ChildKind::Worker, move |context| {
            let start = Arc::clone(&start);
            async move {
                let (actor, args) = start();
                context.spawn(actor, args).await
            }
        })
    }

    /// A child whose start is any asynchronous function: it may take time, fail, or say [`Start::Ignore`].
    pub fn from_fn<F, Fut, S>(id: impl Into<ChildId>, kind: ChildKind, start: F) -> Self
    where
        F: Fn(StartContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<S, StartError>> + Send + 'static,
        S: Into<Start>,
    {
        let start = move |context| start(context).map(|started| started.map(Into::into)).boxed();
        Self::started_by(id, kind, Contained::new("a start function", start))
    }

    pub(super) fn started_by(id: impl Into<ChildId>, kind: ChildKind, starter: impl Starter + 'static) -> Self {
        let (start, restart) = (StartFn(Some(Arc::new(starter))), Restart::default());
        let (id, significant, name_taken, backoff) = (id.into(), false, NameTaken::default(), None);
        Self {
            id,
            start,
            restart,
            shutdown: None,
            start_timeout: None,
            kind,
            significant,
            name_taken,
            backoff,
            intensity: None,
            health: None,
        }
    }

    /// The same child, started by this function, which receives it.
    pub(crate) fn wrap_start<F, Fut>(self, start: F) -> Self
    where
        F: Fn(StartContext, ChildSpec) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Start, StartError>> + Send + 'static,
    {
        let start = move |context, child| start(context, child).boxed();
        let start = WrappedStart { child: Some(self.clone()), start };
        Self { start: StartFn(Some(Arc::new(start))), ..self }
    }

    /// When it is started again after it ended.
    pub fn restart(self, restart: Restart) -> Self {
        Self { restart, ..self }
    }

    /// How it is asked to stop.
    pub fn shutdown(self, shutdown: Shutdown) -> Self {
        Self { shutdown: Some(shutdown), ..self }
    }

    /// Fills what is unset from the limits of its supervisor.
    pub(crate) fn within(self, limits: &SupervisorLimits) -> Self {
        let (stop, start) = match self.kind {
            ChildKind::Worker => (Shutdown::Timeout(limits.worker_stop), Some(limits.worker_start)),
            ChildKind::Supervisor => (Shutdown::Infinity, None),
        };
        let (stop, start) = (self.shutdown.unwrap_or(stop), self.start_timeout.unwrap_or(start));
        Self { shutdown: Some(stop), start_timeout: Some(start), ..self }
    }

    /// How long a start may take; `None` for no limit.
    ///
    /// A start that waits does not delay others: it becomes a task of its own as soon as it is not ready. Until then it
    /// is polled on its supervisor's task. A start that *blocks* its thread, or computes for long, therefore keeps the
    /// supervisor from answering, and this limit from being enforced. Such work belongs on a thread of its own, in
    /// `pre_start` as anywhere else:
    ///
    /// ```
    /// # use foundation_kernel::ractor::ActorProcessingErr;
    /// # fn read_index() -> Vec<u8> { Vec::new() }
    /// # async fn pre_start() -> Result<Vec<u8>, ActorProcessingErr> {
    /// let index = tokio::task::spawn_blocking(read_index).await?;
    /// # Ok(index)
    /// # }
    /// ```
    ///
    /// (A task for each start would not help: a blocked thread is one thread less for all, and no limit ends it.)
    ///
    /// A child that calls its own supervisor in `pre_start` waits for an answer that cannot come while the supervisor
    /// itself is starting; this limit ends that wait.
    pub fn start_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        Self { start_timeout: Some(limit.into()), ..self }
    }

    /// Whether its end, if it is not restarted, may be the end of its supervisor: see
    /// [`AutoShutdown`]. Refused for a permanent child, and where there is no auto-shutdown.
    pub fn significant(self, significant: bool) -> Self {
        Self { significant, ..self }
    }

    /// How long its supervisor waits before it restarts this child; if unset, as long as
    /// [`SupervisorSpec::backoff`](crate::supervision::SupervisorSpec::backoff) says.
    pub fn backoff(self, backoff: impl Into<Backoff>) -> Self {
        Self { backoff: Some(Arc::new(backoff.into())), ..self }
    }

    /// What happens when another actor has its name at its restart.
    pub fn on_name_taken(self, name_taken: NameTaken) -> Self {
        Self { name_taken, ..self }
    }

    /// The restart intensity of this child alone. Its restarts then do not count toward the [intensity of its
    /// supervisor](crate::supervision::SupervisorSpec::intensity), which still gives up if they exceed this one. With
    /// [`RestartIntensity::UNLIMITED`] this child never makes its supervisor give up.
    pub fn intensity(self, intensity: RestartIntensity) -> Self {
        Self { intensity: Some(Arc::new(intensity)), ..self }
    }

    /// Makes it count in the health of its namespace: it is healthy while it runs, and while it restarts for no longer
    /// than a [grace](crate::supervision::HealthLimits::grace). A partition supervisor is healthy if each of its partitions is.
    ///
    /// A supervisor counts by itself if it is made of a specification with children that count.
    pub fn in_health(self) -> Self {
        self.with_health(|rule| HealthRule { counts: true, ..rule })
    }

    /// Makes it count in the health of its namespace, by the result of this check while it runs. Each health request
    /// calls it with the actor, on a task of its own, for at most [this time](crate::supervision::HealthLimits::answer); a panic in
    /// it is a finding, too.
    ///
    /// ```
    /// use foundation_kernel::supervision::{ChildSpec, Health};
    /// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
    /// # struct Mailer;
    /// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
    /// # impl Actor for Mailer {
    /// #     type Msg = u64; type State = (); type Arguments = ();
    /// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
    /// # }
    /// let spec = ChildSpec::worker("mailer", || (Mailer, ()))
    ///     .health_check(|_actor| async { Health::Degraded("one of two relays is away".to_owned()) });
    /// # drop(spec);
    /// ```
    pub fn health_check<F, Fut>(self, check: F) -> Self
    where
        F: Fn(ActorCell) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Verdict> + Send + 'static,
    {
        // The last owner of the specification is mostly a supervisor.
        let check = Contained::new("a health check", check);
        let check = move |actor, _| match check.get() {
            Some(check) => check(actor).map(Health::of).boxed(),
            None => ready(Health::NotFound).boxed(),
        };
        self.with_health(|rule| HealthRule { counts: true, check: Some(Arc::new(check)), ..rule })
    }

    /// Declares that it needs something else that counts in the health of its namespace, to do all of its work: a
    /// service, by its name, or a child of the application, by its id. It then counts, too, and is degraded while the
    /// needed one is not healthy, or does not count.
    ///
    /// This changes nothing else: the needed one is not started before, nor is this child stopped without it. The start
    /// order decides which is there first. A child that cannot do without should fail in its start, with a
    /// [backoff](Self::backoff).
    pub fn needs(self, name: ServiceName) -> Self {
        self.with_health(|mut rule| {
            rule.needs.push(name);
            HealthRule { counts: true, ..rule }
        })
    }

    pub(crate) fn with_health(self, change: impl FnOnce(HealthRule) -> HealthRule) -> Self {
        let rule = self.health.as_deref().cloned().unwrap_or_default();
        Self { health: Some(Arc::new(change(rule))), ..self }
    }

    /// The child's id.
    pub fn id(&self) -> &ChildId {
        &self.id
    }

    /// Whether it counts in the health of its namespace.
    pub fn counts(&self) -> bool {
        self.health_rule().is_some()
    }

    pub(crate) fn health_rule(&self) -> Option<&Arc<HealthRule>> {
        self.health.as_ref().filter(|rule| rule.counts)
    }

    /// Its own restart intensity, if it has one.
    pub fn intensity_rule(&self) -> Option<RestartIntensity> {
        self.intensity.as_deref().copied()
    }

    /// Whether it is a worker or a supervisor.
    pub fn kind(&self) -> ChildKind {
        self.kind
    }

    /// When it is started again.
    pub fn restart_rule(&self) -> Restart {
        self.restart
    }

    /// How it is asked to stop. If unset: the default, or, for a child of a running supervisor, that supervisor's
    /// default for its kind.
    pub fn shutdown_rule(&self) -> Shutdown {
        match (self.shutdown, self.kind) {
            (Some(rule), _) => rule,
            (None, ChildKind::Worker) => Shutdown::Timeout(SupervisorLimits::default().worker_stop),
            (None, ChildKind::Supervisor) => Shutdown::Infinity,
        }
    }

    /// Whether its end may be the end of its supervisor.
    pub fn is_significant(&self) -> bool {
        self.significant
    }

    /// What happens when another actor has its name at its restart.
    pub fn name_taken_rule(&self) -> NameTaken {
        self.name_taken
    }

    /// Its own backoff, if it has one.
    pub fn backoff_rule(&self) -> Option<Backoff> {
        self.backoff.as_deref().copied()
    }

    /// How long a start may take; `None` for no limit. If unset, as in [`shutdown_rule`](Self::shutdown_rule).
    pub fn start_limit(&self) -> Option<Duration> {
        match (self.start_timeout, self.kind) {
            (Some(limit), _) => limit,
            (None, ChildKind::Worker) => Some(SupervisorLimits::default().worker_start),
            (None, ChildKind::Supervisor) => None,
        }
    }

    pub(crate) fn start(&self, context: StartContext) -> Starting {
        let spent = || ready(Err(SpecError::Spent { id: self.id.clone() }.into())).boxed();
        self.start.0.as_ref().and_then(|start| start.start(context)).unwrap_or_else(spent)
    }

    /// Drops the start function and all that it holds.
    pub(crate) fn forget_start(&mut self) {
        self.start = StartFn(None);
    }

    /// Refuses an invalid specification, and a significant child where its significance could have no effect.
    pub(super) fn check(&self, rules: &Rules) -> Result<(), SpecError> {
        let id = || self.id.clone();
        if self.id.as_str().is_empty() {
            return Err(SpecError::EmptyId);
        }
        if self.start.0.is_none() {
            return Err(SpecError::Spent { id: id() });
        }
        self.intensity.as_deref().map_or(Ok(()), check_intensity)?;
        match (rules.child_set, rules.auto_shutdown, self.restart) {
            _ if !self.significant => Ok(()),
            (ChildSet::Dynamic { .. }, ..) => Err(SpecError::SignificantOnDemand { id: id() }),
            (_, AutoShutdown::Never, _) => Err(SpecError::SignificantInVain { id: id() }),
            (_, _, Restart::Permanent) => Err(SpecError::SignificantPermanent { id: id() }),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("restart", &self.restart)
            .field("shutdown", &self.shutdown_rule())
            .field("start_timeout", &self.start_limit())
            .field("significant", &self.significant)
            .finish_non_exhaustive()
    }
}

/// A supervisor's strategy, restart intensity and children, in start order. OTP's supervisor flags and child specs.
///
/// ```
/// use std::time::Duration;
/// use foundation_kernel::supervision::{RestartIntensity, Strategy, SupervisorSpec};
///
/// let spec = SupervisorSpec::new(Strategy::RestForOne)
///     .intensity(RestartIntensity::new(10, Duration::from_secs(60)));
/// # let _ = spec;
/// ```
#[derive(Clone)]
pub struct SupervisorSpec {
    pub(crate) rules: Rules,
    pub(crate) children: Vec<ChildSpec>,
    pub(crate) reporter: Option<Arc<dyn Reporter>>,
    pub(crate) order: StopOrder,
    /// `None` for the limits of the supervisor above.
    pub(crate) limits: Option<Arc<SupervisorLimits>>,
    seed: Option<u64>,
    unmanaged: Option<Arc<dyn UnmanagedExits>>,
    /// Values dropped with the supervisor's state.
    held: Option<Arc<dyn Any + Send + Sync>>,
}

impl fmt::Debug for SupervisorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SupervisorSpec").field("children", &self.children).finish_non_exhaustive()
    }
}

/// The order in which a stopping supervisor stops its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopOrder {
    /// One after the other, the last started first.
    Reverse,
    /// All together: they do not depend on each other.
    AllAtOnce,
}

/// A receiver of the ends of actors that are no children: those that the supervisor only monitors.
pub(crate) trait UnmanagedExits: Send + Sync + 'static {
    fn ended(&self, actor: ActorId, reason: &ExitReason);
}

impl SupervisorSpec {
    /// No children yet, default restart intensity.
    pub fn new(strategy: Strategy) -> Self {
        let (intensity, auto_shutdown, backoff) = Default::default();
        let rules = Rules { strategy, intensity, auto_shutdown, child_set: ChildSet::Static, backoff };
        let (reporter, limits, seed, unmanaged, held) = (None, None, None, None, None);
        Self { rules, children: Vec::new(), reporter, order: StopOrder::Reverse, limits, seed, unmanaged, held }
    }

    /// Adds a child at the end of the start order.
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }

    /// Adds children at the end of the start order.
    pub fn children(mut self, children: impl IntoIterator<Item = ChildSpec>) -> Self {
        self.children.extend(children);
        self
    }

    /// The restart intensity.
    pub fn intensity(mut self, intensity: RestartIntensity) -> Self {
        self.rules.intensity = intensity;
        self
    }

    /// Whether the supervisor stops by itself when significant children have ended; never by default.
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.rules.auto_shutdown = auto_shutdown;
        self
    }

    /// The delay before the restart of a child that has no [backoff](ChildSpec::backoff) of its own.
    pub fn backoff(mut self, backoff: impl Into<Backoff>) -> Self {
        self.rules.backoff = backoff.into();
        self
    }

    /// The seed of the jitter of this supervisor's delays: the same seed and the same failures give the same delays.
    /// Without it each start of the supervisor draws a seed from the operating system.
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().1)
    }

    /// The reporter of the children's events; without it the reporter of the supervisor above, and at the top
    /// [`TracingReporter`](crate::supervision::TracingReporter).
    pub fn reporter(mut self, reporter: impl Reporter) -> Self {
        self.reporter = Some(Arc::new(Contained::new("a reporter", reporter)));
        self
    }

    /// The time limits for the steps of this supervisor, and of those below it; without it those of the supervisor
    /// above, and at the top the defaults.
    pub fn limits(mut self, limits: SupervisorLimits) -> Self {
        self.limits = Some(Arc::new(limits));
        self
    }

    /// Fills what the children leave unset from the limits.
    pub(crate) fn within(mut self, limits: &SupervisorLimits) -> Self {
        self.children = self.children.into_iter().map(|child| child.within(limits)).collect();
        self
    }

    /// Children that are started on demand, at most this many.
    pub(super) fn on_demand(mut self, max_children: usize) -> Self {
        self.rules.child_set = ChildSet::Dynamic { max_children };
        self
    }

    pub(crate) fn all_at_once(mut self) -> Self {
        self.order = StopOrder::AllAtOnce;
        self
    }

    pub(crate) fn unmanaged_exits(mut self, unmanaged: Arc<dyn UnmanagedExits>) -> Self {
        self.unmanaged = Some(unmanaged);
        self
    }

    /// Adds a value that the supervisor holds until it is gone.
    pub(crate) fn holding(mut self, held: Arc<dyn Any + Send + Sync>) -> Self {
        self.held = Some(held);
        self
    }

    pub(crate) fn report_unmanaged_exit(&self, actor: ActorId, reason: &ExitReason) {
        if let Some(unmanaged) = &self.unmanaged {
            unmanaged.ended(actor, reason);
        }
    }

    /// Refuses an invalid specification.
    pub(crate) fn check(&self) -> Result<(), SpecError> {
        check_intensity(&self.rules.intensity)?;
        let mut ids = HashSet::new();
        for child in &self.children {
            child.check(&self.rules)?;
            if !ids.insert(child.id()) {
                return Err(SpecError::DuplicateId { id: child.id().clone() });
            }
        }
        Ok(())
    }
}

/// Refuses an invalid intensity.
fn check_intensity(intensity: &RestartIntensity) -> Result<(), SpecError> {
    match intensity.within.is_zero() {
        true => Err(SpecError::ZeroPeriod { max_restarts: intensity.max_restarts }),
        false => Ok(()),
    }
}
