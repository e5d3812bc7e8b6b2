//! Unmanaged actors, which a namespace stops without having started them: registered actors, members of groups.

use std::collections::BTreeMap;

use super::holder::Origin;
use super::namespace_state::NamespaceState;
use super::root::Root;
use crate::supervisor;

/// Stops the unmanaged actors of a namespace whose own children are gone; returns when they are gone too.
pub(crate) async fn stop_unmanaged(state: &NamespaceState, root: &dyn Root) {
    stop_registered(state, root).await;
    stop_members(state, root).await;
}

async fn stop_registered(state: &NamespaceState, root: &dyn Root) {
    let holders = state.table.holders();
    let foreign = holders.iter().filter(|holder| holder.origin() == Origin::Foreign);
    let (foreign, actors): (Vec<_>, Vec<_>) = foreign.filter_map(|it| Some((it, it.actor()?.clone()))).unzip();
    let ends = supervisor::stop_unmanaged(&actors, state.limits.supervisor.unmanaged_stop).await;
    for ((holder, actor), how) in foreign.into_iter().zip(&actors).zip(ends) {
        // The registry would be notified, but perhaps too late to report it.
        state.table.watches().report_reason(holder, &how.reason());
        state.table.release(holder);
        root.forget(actor, holder);
        state.note_stopped(|| format!("registered/{}", holder.name()), how);
    }
}

/// Stops the members of groups that have not been stopped as children or as registered actors.
async fn stop_members(state: &NamespaceState, root: &dyn Root) {
    let members = state.groups.members();
    let living = members.iter().filter_map(|(group, member)| Some((member.live()?.get_id(), (group, member.actor()))));
    let living: BTreeMap<_, _> = living.collect();
    let (groups, actors): (Vec<_>, Vec<_>) = living.into_values().map(|(group, actor)| (group, actor.clone())).unzip();
    for (group, how) in
        groups.into_iter().zip(supervisor::stop_unmanaged(&actors, state.limits.supervisor.unmanaged_stop).await)
    {
        state.note_stopped(|| format!("joined/{group}"), how);
    }
    for (group, member) in &members {
        state.groups.take_out(group.as_str(), &[member]);
        root.forget_member(member);
    }
}
