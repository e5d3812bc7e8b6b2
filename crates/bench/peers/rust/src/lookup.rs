//! Finding one of kameo's actors by its name.

use kameo::actor::ActorRef;

use crate::actors::Found;
use crate::pair::{paired, repeated};
use crate::{Batch, runtime, started};

pub(crate) fn alone() -> Batch {
    let find = finding("alone");
    repeated(find)
}

pub(crate) fn own_names() -> Batch {
    paired(["one", "other"].map(finding))
}

pub(crate) fn same_name() -> Batch {
    let find = finding("same");
    paired([find.clone(), find])
}

/// The runtime and its actor live as long as the returned function.
fn finding(name: &'static str) -> impl Fn() -> bool + Clone + Send + 'static {
    let runtime = std::sync::Arc::new(runtime());
    let actor = runtime.block_on(async { Found::spawn_named(name) });
    move || {
        let _held = (&runtime, &actor);
        started(ActorRef::<Found>::lookup(name)).is_some()
    }
}
