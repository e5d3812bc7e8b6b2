//! Requests to the supervisors of a tree, which are found from the top down at each request.

use std::sync::Arc;

use foundation::Supervisor;
use foundation::names::{RegistryError, ServiceRegistry};
use foundation::ractor::ActorCell;
use foundation::supervision::{ChildError, ChildInfo, ChildState, DynamicSupervisor};

use super::plant::spec;
use super::record::{Answer, Doing};
use super::script::Verb;
use super::shape::{TOP, Who};
use super::world::World;

pub(super) enum Found {
    Static(Supervisor),
    Dynamic(DynamicSupervisor),
}

impl Found {
    pub(super) fn actor(&self) -> ActorCell {
        let actor = match self {
            Self::Static(supervisor) => supervisor.actor(),
            Self::Dynamic(supervisor) => supervisor.actor(),
        };
        actor.expect("a handle on an incarnation has its actor")
    }

    /// Its children, with the state of each.
    pub(super) async fn children(&self, world: &World) -> Result<Vec<(Who, Doing)>, ChildError> {
        let children = match self {
            Self::Static(supervisor) => supervisor.which_children().await?,
            Self::Dynamic(supervisor) => supervisor.which_children().await?,
        };
        let known =
            children.iter().filter_map(|child| Some((world.shape.find(child.id.as_str())?, doing(world, child))));
        Ok(known.collect())
    }
}

fn doing(world: &World, child: &ChildInfo) -> Doing {
    match child.state {
        ChildState::Running(actor) => Doing::Running(world.number(actor)),
        ChildState::Stopped => Doing::Stopped,
        ChildState::NameTaken => Doing::Waiting,
        _ => Doing::Moving,
    }
}

/// The supervisor that now has this place in the tree; `None` if one on the way to it does not run.
pub(super) async fn find(world: Arc<World>, names: ServiceRegistry, who: Who) -> Result<Option<Found>, ChildError> {
    let Ok(mut at) = names.application() else { return Ok(None) };
    for step in world.shape.path(who) {
        let name = world.shape.name(step);
        if world.shape.is_dynamic(step) {
            return Ok(at.dynamic_supervisor(name).await?.map(Found::Dynamic));
        }
        match at.supervisor(name).await? {
            Some(below) => at = below,
            None => return Ok(None),
        }
    }
    Ok(Some(Found::Static(at)))
}

/// Sends a request to the supervisor of this child.
pub(super) async fn request(
    world: &Arc<World>,
    names: &ServiceRegistry,
    verb: Verb,
    who: Who,
) -> Result<Answer, ChildError> {
    let parent = world.shape.members[who].parent.unwrap_or(TOP);
    let supervisor = match find(Arc::clone(world), names.clone(), parent).await? {
        Some(Found::Static(supervisor)) => supervisor,
        Some(Found::Dynamic(supervisor)) => return on_demand(world, names, &supervisor, verb, who).await,
        None => return Ok(Answer::Refused("its supervisor does not run".to_owned())),
    };
    let name = world.shape.name(who);
    match verb {
        Verb::Start if parent == TOP => match names.supervise(spec(world, names, who)).await {
            Ok(started) => Ok(runs(world, started)),
            Err(RegistryError::Child { error, .. }) => Err(error),
            Err(other) => Ok(Answer::Refused(other.to_string())),
        },
        Verb::Start => Ok(runs(world, supervisor.start_child(spec(world, names, who)).await?)),
        Verb::Restart => Ok(runs(world, supervisor.restart_child(name).await?)),
        Verb::Terminate => supervisor.terminate_child(name).await.map(|()| Answer::Done),
        Verb::Delete => supervisor.delete_child(name).await.map(|()| Answer::Done),
    }
}

async fn on_demand(
    world: &Arc<World>,
    names: &ServiceRegistry,
    supervisor: &DynamicSupervisor,
    verb: Verb,
    who: Who,
) -> Result<Answer, ChildError> {
    match (verb, world.latest(who)) {
        (Verb::Start, _) => Ok(runs(world, supervisor.start_child(spec(world, names, who)).await?)),
        (_, Some((_, actor))) => supervisor.terminate_child(actor.get_id()).await.map(|()| Answer::Done),
        (_, None) => Ok(Answer::Refused("there is no child to terminate".to_owned())),
    }
}

fn runs(world: &World, started: Option<ActorCell>) -> Answer {
    match started {
        Some(actor) => Answer::Runs(world.number(actor.get_id())),
        None => Answer::Ignored,
    }
}

pub(super) fn refusal(error: ChildError) -> Answer {
    match error {
        ChildError::Start { error: source, .. } => Answer::StartFailed(source.to_string()),
        other => Answer::Refused(other.to_string()),
    }
}
