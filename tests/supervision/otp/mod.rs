//! What OTP tests of its own supervisor: `otp_<number>_…` is item `<number>` of its suite, as `supervisor_SUITE` has it.

mod administration;
mod backoff;
mod chain;
mod chaos;
mod counting;
mod logging;
mod loops;
mod memory;
mod protocol;
mod reconfigure;
mod significant;
mod specs;
mod start;
mod stop;
mod strategies;
mod structure;
mod termination;
mod tree;
mod wording;

use std::time::Duration;

use foundation::supervision::{
    ChildInfo, ChildState, DynamicSupervisor, DynamicSupervisorSpec, ExitReason, RestartIntensity, SupervisorSpec,
};
use foundation::{ChildSpec, Restart, Strategy, Supervisor};
use foundation_testkit::{Log, Puppet, Reports, eventually, reports, soon};

pub(super) const STRATEGIES: [Strategy; 3] = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne];

/// This many restarts in an hour: enough for each scenario, and none expires during one.
pub(super) fn at_most(max_restarts: u32) -> RestartIntensity {
    RestartIntensity::new(max_restarts, Duration::from_secs(3600))
}

pub(super) fn puppets<const N: usize>(names: [&str; N]) -> (Log, [Puppet; N]) {
    let log = Log::new();
    let puppets = names.map(|name| Puppet::new(name, &log));
    (log, puppets)
}

/// A way for a puppet to end by itself.
pub(super) type End = fn(&Puppet);

/// A supervisor under test: the temporary child `office` of another one, which reports how it ends.
pub(super) struct Office {
    pub(super) top: Supervisor,
    pub(super) office: Supervisor,
    pub(super) reports: Reports,
}

impl Office {
    pub(super) async fn open(spec: SupervisorSpec) -> Self {
        let (reporter, reports) = reports();
        let office = ChildSpec::supervisor("office", spec).restart(Restart::Temporary);
        let spec = SupervisorSpec::new(Strategy::OneForOne).child(office).reporter(reporter);
        let top = Supervisor::start("top", spec).await.expect("the office opens");
        let office = top.supervisor("office").await.expect("it is there").expect("it runs");
        Self { top, office, reports }
    }

    /// An office of puppets, each a permanent worker.
    pub(super) async fn of(strategy: Strategy, max_restarts: u32, puppets: &[&Puppet]) -> Self {
        let children = puppets.iter().map(|puppet| puppet.spec());
        Self::open(SupervisorSpec::new(strategy).intensity(at_most(max_restarts)).children(children)).await
    }

    /// How the office ends, by itself.
    pub(super) async fn ended(&mut self) -> ExitReason {
        self.reports.exited("office").await
    }

    pub(super) async fn close(self) {
        soon("closing the office", self.top.shutdown()).await;
    }
}

/// The same for a dynamic supervisor.
pub(super) struct Agency {
    pub(super) top: Supervisor,
    pub(super) agency: DynamicSupervisor,
    pub(super) reports: Reports,
}

impl Agency {
    pub(super) async fn open(spec: DynamicSupervisorSpec) -> Self {
        let (reporter, reports) = reports();
        let agency = ChildSpec::dynamic_supervisor("agency", spec).restart(Restart::Temporary);
        let spec = SupervisorSpec::new(Strategy::OneForOne).child(agency).reporter(reporter);
        let top = Supervisor::start("top", spec).await.expect("the agency opens");
        let agency = top.dynamic_supervisor("agency").await.expect("it is there").expect("it runs");
        Self { top, agency, reports }
    }

    pub(super) async fn of(max_restarts: u32, puppets: &[&Puppet]) -> Self {
        let this = Self::open(DynamicSupervisorSpec::default().intensity(at_most(max_restarts))).await;
        for puppet in puppets {
            this.agency.start_child(puppet.spec()).await.expect("it starts").expect("it is wanted");
        }
        this
    }

    pub(super) async fn ended(&mut self) -> ExitReason {
        self.reports.exited("agency").await
    }

    pub(super) async fn close(self) {
        soon("closing the agency", self.top.shutdown()).await;
    }
}

/// The reason of a supervisor that stops by its own decision, and of the children that it stops.
pub(super) fn shutdown() -> ExitReason {
    ExitReason::Shutdown("shutdown".into())
}

/// `["b running", "a stopped"]`
pub(super) fn states(children: &[ChildInfo]) -> Vec<String> {
    let state = |state| match state {
        ChildState::Running(_) => "running",
        ChildState::Starting => "starting",
        ChildState::Restarting => "restarting",
        ChildState::NameTaken => "waiting for its name",
        ChildState::Stopping => "stopping",
        ChildState::Stopped => "stopped",
        _ => "in an unknown state",
    };
    children.iter().map(|child| format!("{} {}", child.id, state(child.state))).collect()
}

/// `[specs, active, supervisors, workers]`, as OTP's suite has it.
pub(super) async fn counts(supervisor: &Supervisor) -> [usize; 4] {
    let count = supervisor.count_children().await.expect("it runs");
    [count.specs, count.active, count.supervisors, count.workers]
}

/// Polls the children until each of them either runs or is stopped.
pub(super) async fn at_rest(supervisor: &Supervisor) -> Vec<ChildInfo> {
    let resting = |child: &ChildInfo| matches!(child.state, ChildState::Running(_) | ChildState::Stopped);
    eventually("all children at rest", async || {
        let children = supervisor.which_children().await.expect("it runs");
        children.iter().all(resting).then_some(children)
    })
    .await
}
