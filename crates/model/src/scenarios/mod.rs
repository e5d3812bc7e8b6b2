//! The races, one a function. Each explores all interleavings (one that says so, a part) and panics at the first that
//! breaks an invariant; the numbers are those of the invariants at the top of `table.rs` and of `groups/table.rs`.

mod groups;
mod names;
mod waits;
mod watches;

use std::sync::{Arc, Weak};

use loom::future::block_on;

use crate::namespace::{Namespace, ServiceName};
use crate::registry::holder::{Holder, Origin};
use crate::registry::name_guard::NameGuard;
use crate::registry::table::Table;
use crate::registry::watches::{ExitReasonSource, Watches};

pub use groups::*;
pub use names::*;
pub use waits::*;
pub use watches::*;

const NAME: ServiceName = ServiceName::from_static("a");

struct Msg;

/// Without even a bound on preemptions: most scenarios are small enough for all of them.
fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    explore_within(None, scenario);
}

fn explore_within(preemptions: Option<usize>, scenario: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.max_branches = 20_000;
    model.check(scenario);
}

fn table() -> Arc<Table> {
    Arc::new(Table::with_exit_reasons(Namespace, Weak::<NoExitReasons>::new()))
}

/// No source reports why an actor ended.
struct NoExitReasons;

impl ExitReasonSource for NoExitReasons {
    fn request(&self, _: &Arc<Watches>, _: &Arc<Holder>) -> bool {
        false
    }
}

fn holder(origin: Origin) -> Holder {
    Holder::new::<Msg>(NAME, origin, 0)
}

/// A guard of the name; the claim cannot be refused.
fn claimed(table: &Arc<Table>, origin: Origin) -> Arc<NameGuard> {
    block_on(NameGuard::claim(table, Arc::new(holder(origin)), std::time::Duration::from_secs(5)))
        .unwrap_or_else(|_| panic!("the name cannot be had"))
}

fn found(table: &Table) -> Option<u8> {
    table.with::<Msg, _>("a", |actor| actor.get_id().0).ok()
}
