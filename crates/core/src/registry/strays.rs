//! Whoever is in a namespace without having been started by it, and is stopped with it: registered actors, members of groups.

use std::collections::BTreeMap;

use super::holder::Origin;
use super::root::Root;
use super::space::Space;
use crate::supervisor;

/// Stops the strays of a namespace whose own children are gone; returns when they are gone too.
pub(crate) async fn stop_strays(space: &Space, root: &dyn Root) {
    stop_registered(space, root).await;
    stop_members(space, root).await;
}

async fn stop_registered(space: &Space, root: &dyn Root) {
    let holders = space.table.holders();
    let foreign = holders.iter().filter(|holder| holder.origin() == Origin::Foreign);
    let (foreign, actors): (Vec<_>, Vec<_>) = foreign.filter_map(|it| Some((it, it.actor()?.clone()))).unzip();
    let ends = supervisor::stop_unmanaged(&actors, space.limits.supervisor.unmanaged_stop).await;
    for ((holder, actor), how) in foreign.into_iter().zip(&actors).zip(ends) {
        // The registry would hear of it, but perhaps too late to tell.
        space.table.watches().tell_reason(holder, &how.reason());
        space.table.release(holder);
        root.forget(actor, holder);
        space.note_stopped(|| format!("registered/{}", holder.name()), how);
    }
}

/// Stops whoever is in a group and has not been stopped as a child or as a registered actor.
async fn stop_members(space: &Space, root: &dyn Root) {
    let members = space.groups.members();
    let living = members.iter().filter_map(|(group, member)| Some((member.live()?.get_id(), (group, member.actor()))));
    let living: BTreeMap<_, _> = living.collect();
    let (groups, actors): (Vec<_>, Vec<_>) = living.into_values().map(|(group, actor)| (group, actor.clone())).unzip();
    for (group, how) in
        groups.into_iter().zip(supervisor::stop_unmanaged(&actors, space.limits.supervisor.unmanaged_stop).await)
    {
        space.note_stopped(|| format!("joined/{group}"), how);
    }
    for (group, member) in &members {
        space.groups.take_out(group.as_str(), &[member]);
        root.forget_member(member);
    }
}
