//! What a scenario begins with: a table, a monitor, a claim of a name; and its exploration.

use std::sync::{Arc, Weak};

use loom::future::block_on;

use crate::namespace::{Namespace, ServiceName};
use crate::registry::names::{Holder, Monitor, NameGuard, Origin, Table};

pub(super) const NAME: ServiceName = ServiceName::from_static("a");

pub(super) struct Msg;

/// Without even a bound on preemptions: most scenarios are small enough for all of them.
pub(super) fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    explore_within(None, scenario);
}

pub(super) fn explore_within(preemptions: Option<usize>, scenario: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.max_branches = 20_000;
    model.check(scenario);
}

/// No source reports why an actor of this table ended.
pub(super) fn table() -> Arc<Table> {
    Arc::new(Table::new(Namespace, Weak::<Monitor>::new()))
}

/// A monitor whose root runs.
pub(super) fn monitor() -> Arc<Monitor> {
    let monitor = Monitor::default();
    monitor.begin(crate::ActorCell::running(0));
    Arc::new(monitor)
}

pub(super) fn holder(origin: Origin) -> Arc<Holder> {
    Arc::new(Holder::new::<Msg>(NAME, origin, None))
}

/// A guard of the name, unless another has it.
pub(super) fn claim(table: &Arc<Table>, origin: Origin) -> Option<Arc<NameGuard>> {
    block_on(NameGuard::claim(table, holder(origin), std::time::Duration::from_secs(5))).ok()
}

/// A guard of the name; the claim cannot be refused.
pub(super) fn claimed(table: &Arc<Table>, origin: Origin) -> Arc<NameGuard> {
    claim(table, origin).unwrap_or_else(|| panic!("the name cannot be had"))
}

pub(super) fn found(table: &Table) -> Option<u8> {
    table.with::<Msg, _>("a", |_, actor| actor.get_id().0).ok()
}
