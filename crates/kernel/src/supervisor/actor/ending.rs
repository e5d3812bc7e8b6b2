//! The end of a supervisor: its children are stopped, and everything is still alive when this begins.

use foldhash::HashSet;
use ractor::{ActorCell, ActorId};

use super::Group;
use super::unmanaged::stop_unmanaged;
use crate::supervisor::child_id::ChildId;
use crate::supervisor::children::Leaving;
use crate::supervisor::report::{ChildEvent, Reporting};
use crate::supervisor::spec::StopOrder;
use crate::supervisor::started::{Incarnation, Started};

/// Stops the children, which are in reverse start order, and returns when the whole subtree is gone.
pub(super) async fn stop_children(
    leaving: Vec<Leaving<Started>>,
    order: StopOrder,
    reporting: &Reporting,
    group: &Group,
) {
    match order {
        StopOrder::AllAtOnce => stop_together(leaving, reporting).await,
        StopOrder::Reverse => {
            for child in leaving {
                stop_child(child, reporting).await;
            }
        }
    }
    // A ticket that is still held belongs to an actor linked elsewhere or not at all; waiting for ever would not end it.
    group.gone().wait_within_limit().await;
}

async fn stop_together(leaving: Vec<Leaving<Started>>, reporting: &Reporting) {
    let (mut ids, mut running, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for child in leaving {
        match child {
            Leaving::Running(spec, child) => {
                ids.push((spec.id().clone(), child.actor_id()));
                running.push((child, spec.shutdown_rule()));
            }
            Leaving::Ended(child) => ended.push(child),
        }
    }
    for ((id, actor), how) in ids.into_iter().zip(Started::stop_together(running).await) {
        reporting.send(&id, ChildEvent::Stopped { actor, how });
    }
    for child in ended {
        child.gone().await;
    }
}

async fn stop_child(child: Leaving<Started>, reporting: &Reporting) {
    let (spec, child) = match child {
        Leaving::Running(spec, child) => (spec, child),
        Leaving::Ended(child) => return child.gone().await,
    };
    let actor = child.actor_id();
    let how = child.stop(spec.shutdown_rule()).await;
    reporting.send(spec.id(), ChildEvent::Stopped { actor, how });
}

/// Stops the actors that other code linked to this supervisor, and that are none of its children: temporary ones, which
/// come first, as they were started last.
pub(super) async fn stop_linked(
    mut linked: Vec<ActorCell>,
    leaving: &[Leaving<Started>],
    reporting: &Reporting,
    group: &Group,
) {
    let actor = |child: &Leaving<Started>| match child {
        Leaving::Running(_, child) | Leaving::Ended(child) => child.actor_id(),
    };
    let ours: HashSet<ActorId> = leaving.iter().map(actor).collect();
    linked.retain(|cell| !ours.contains(&cell.get_id()));
    let ends = stop_unmanaged(&linked, group.limits().unmanaged_stop).await;
    for (actor, how) in linked.iter().map(ActorCell::get_id).zip(ends) {
        reporting.send(&ChildId::from(format!("actor {actor}")), ChildEvent::Stopped { actor, how });
    }
}
