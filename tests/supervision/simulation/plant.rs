//! A shape as specifications of children.

use std::sync::Arc;
use std::time::Duration;

use foundation::ChildSpec;
use foundation::names::ServiceRegistry;
use foundation::supervision::{
    ChildKind, DynamicSupervisorSpec, Shutdown, Start, StartContext, StartError, SupervisorSpec,
};

use super::player::{Player, panic_quietly, take};
use super::record::Fact;
use super::script::{Closing, Opening};
use super::shape::{Role, TOP, Who};
use super::world::World;

/// The application of a namespace.
pub(super) fn application(world: &Arc<World>, names: &ServiceRegistry) -> SupervisorSpec {
    world.has_names(names);
    supervisor(world, names, TOP)
}

fn supervisor(world: &Arc<World>, names: &ServiceRegistry, who: Who) -> SupervisorSpec {
    let (strategy, intensity) = world.shape.rules(who).expect("it is a supervisor");
    let first = world.shape.children(who).filter(|child| !world.shape.members[*child].extra);
    let children = first.map(|child| spec(world, names, child));
    let auto = world.shape.auto(who);
    SupervisorSpec::new(strategy).intensity(intensity).auto_shutdown(auto).children(children)
}

/// One child, to be started now or later.
pub(super) fn spec(world: &Arc<World>, names: &ServiceRegistry, who: Who) -> ChildSpec {
    let member = &world.shape.members[who];
    let spec = match member.role {
        Role::Worker { named: true, start_timeout } => named(world, names, who).start_timeout(start_timeout),
        Role::Worker { named: false, start_timeout } => unnamed(world, who).start_timeout(start_timeout),
        Role::Supervisor { .. } => inner(world, names, who),
        Role::Dynamic { max_children, intensity } => {
            let spec = DynamicSupervisorSpec::default().max_children(max_children).intensity(intensity);
            ChildSpec::dynamic_supervisor(&member.name, spec)
        }
    };
    spec.restart(member.restart).shutdown(member.shutdown).significant(member.significant)
}

fn named(world: &Arc<World>, names: &ServiceRegistry, who: Who) -> ChildSpec {
    let (key, world) = (world.key(who), Arc::clone(world));
    names.child_spec(key, move || {
        let opening = world.next_opening(who);
        (Player::new(&world, who, opening), ())
    })
}

fn unnamed(world: &Arc<World>, who: Who) -> ChildSpec {
    let world = Arc::clone(world);
    ChildSpec::from_fn(&*world.shape.members[who].name.clone(), ChildKind::Worker, move |context| {
        let world = Arc::clone(&world);
        async move { start_unnamed(&world, who, &context).await }
    })
}

async fn start_unnamed(world: &Arc<World>, who: Who, context: &StartContext) -> Result<Start, StartError> {
    world.note(Fact::Called(who));
    let opening = world.next_opening(who);
    if opening == Some(Opening::Ignore) {
        return Ok(Start::Ignore);
    }
    Ok(context.spawn(Player::new(world, who, opening), ()).await?.into())
}

fn inner(world: &Arc<World>, names: &ServiceRegistry, who: Who) -> ChildSpec {
    let (world, names) = (Arc::clone(world), names.clone());
    ChildSpec::from_fn(&*world.shape.members[who].name.clone(), ChildKind::Supervisor, move |context| {
        let (world, names) = (Arc::clone(&world), names.clone());
        async move { start_inner(&world, &names, who, &context).await }
    })
}

async fn start_inner(
    world: &Arc<World>,
    names: &ServiceRegistry,
    who: Who,
    context: &StartContext,
) -> Result<Start, StartError> {
    world.note(Fact::Called(who));
    let opening = world.next_opening(who);
    match opening {
        Some(Opening::Ignore) => return Ok(Start::Ignore),
        Some(Opening::Fail(_)) => return Err(StartError::failed("it fails as the script says")),
        Some(Opening::Panic) => panic_quietly(),
        // Nothing limits the start of a supervisor, so it must not hang for ever.
        Some(Opening::Hang) => take(Duration::from_secs(3)).await,
        Some(Opening::Slow(millis)) => take(Duration::from_millis(millis)).await,
        Some(Opening::FailLate | Opening::FailAfter) | None => {}
    }
    let started = context.spawn_supervisor(supervisor(world, names, who)).await?;
    match opening {
        Some(Opening::FailLate | Opening::FailAfter) => {
            Err(StartError::failed("all of it was started, but the script says no"))
        }
        _ => Ok(started.into()),
    }
}

/// The time that a worker hangs in a message: for ever, unless its supervisor, or one above it, would wait for ever.
pub(super) fn patience(world: &World, who: Who) -> Option<Duration> {
    match world.shape.members[who].shutdown {
        Shutdown::Infinity => Some(Duration::from_secs(40)),
        _ => None,
    }
}

/// The same for a `post_stop`.
pub(super) fn bearable(world: &World, who: Who, closing: Closing) -> Closing {
    match (closing, patience(world, who)) {
        (Closing::Hang, Some(time)) => Closing::Slow(time.as_millis() as u64),
        (closing, _) => closing,
    }
}
