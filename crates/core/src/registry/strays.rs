//! Whoever is in a namespace without having been started by it, and is stopped with it: registered actors, members of groups.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use super::holder::Origin;
use super::root::Root;
use super::space::Space;
use super::view::Fact;
use crate::supervisor::stop_stray;

/// How long each of them is given to stop.
const STRAY_LIMIT: Duration = Duration::from_secs(5);

/// Stops the strays of a namespace whose own children are gone; returns when they are gone too.
pub(crate) async fn stop_strays(space: &Space, root: &dyn Root) {
    stop_registered(space, root).await;
    stop_members(space, root).await;
}

async fn stop_registered(space: &Space, root: &dyn Root) {
    let holders = space.table.holders();
    let foreign = holders.iter().filter(|holder| holder.origin() == Origin::Foreign);
    let stop = foreign.filter_map(|holder| Some((holder, holder.actor()?.clone()))).map(async |(holder, actor)| {
        let how = stop_stray(actor.clone(), STRAY_LIMIT).await;
        // The registry would hear of it, but perhaps too late to tell.
        space.table.watches().tell(&Fact::Reason(Arc::clone(holder), how.reason()));
        space.table.release(holder);
        root.forget(&actor, holder);
        space.note_stopped(|| format!("registered/{}", holder.name()), how);
    });
    join_all(stop).await;
}

/// Stops whoever is in a group and has not been stopped as a child or as a registered actor.
async fn stop_members(space: &Space, root: &dyn Root) {
    let members = space.groups.members();
    let living = members.iter().filter_map(|(group, member)| Some((member.live()?.get_id(), (group, member.actor()))));
    let stop = living.collect::<BTreeMap<_, _>>().into_values().map(async |(group, actor)| {
        let how = stop_stray(actor.clone(), STRAY_LIMIT).await;
        space.note_stopped(|| format!("joined/{group}"), how);
    });
    join_all(stop).await;
    for (group, member) in &members {
        space.groups.take_out(group.as_str(), &[member]);
        root.forget_member(member);
    }
}
