//! Unmanaged actors, which a namespace stops without having started them: registered actors, members of groups.

use std::collections::BTreeMap;

use super::holder::Origin;
use super::root::Root;
use super::space::Space;
use crate::supervisor;

/// Stops the unmanaged actors of a namespace whose own children are gone; returns when they are gone too.
pub(crate) async fn stop_strays(space: &Space, root: &dyn Root) {
    stop_registered(space, root).await;
    stop_members(space, root).await;
}

async fn stop_registered(space: &Space, root: &dyn Root) {
    let holders = space.table.holders();
    let foreign = holders.iter().filter(|holder| holder.origin() == Origin::Foreign);
    let (foreign, actors): (Vec<_>, Vec<_>) = foreign.filter_map(|it| Some((it, it.actor()?.clone()))).unzip();
    let ends = supervisor::stop_strays(&actors, space.limits.supervisor.unmanaged_stop).await;
    for ((holder, actor), how) in foreign.into_iter().zip(&actors).zip(ends) {
        // The registry would be notified, but perhaps too late to report it.
        space.table.watches().tell_reason(holder, &how.reason());
        space.table.release(holder);
        root.forget(actor, holder);
        space.note_stopped(|| format!("registered/{}", holder.name()), how);
    }
}

/// Stops the members of groups that have not been stopped as children or as registered actors.
async fn stop_members(space: &Space, root: &dyn Root) {
    let members = space.groups.members();
    let living = members.iter().filter_map(|(group, member)| Some((member.live()?.get_id(), (group, member.actor()))));
    let living: BTreeMap<_, _> = living.collect();
    let (groups, actors): (Vec<_>, Vec<_>) = living.into_values().map(|(group, actor)| (group, actor.clone())).unzip();
    for (group, how) in
        groups.into_iter().zip(supervisor::stop_strays(&actors, space.limits.supervisor.unmanaged_stop).await)
    {
        space.note_stopped(|| format!("joined/{group}"), how);
    }
    for (group, member) in &members {
        space.groups.take_out(group.as_str(), &[member]);
        root.forget_member(member);
    }
}
