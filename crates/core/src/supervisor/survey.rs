//! Looking at a whole tree: every supervisor is asked for its own part, all of a level at once.
//!
//! Nobody is blocked, and nobody is waited for for ever: whoever asks does the work, each supervisor answers between two
//! of its steps, and one that does not answer in time is shown without its children.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, join_all};
use ractor::{ActorCell, ActorRef, ActorStatus};
use tokio::time::{Instant, timeout_at};

use super::child_spec::ChildKind;
use super::children::Children;
use super::message::{Branch, ServerMsg, Twig, ask};
use super::started::Started;
use super::tree::{Tree, TreeStatus};

/// The tree of a supervisor, without names; takes `limit` at most.
pub(super) async fn survey(path: &str, supervisor: &ActorRef<ServerMsg>, limit: Duration) -> Tree {
    let (id, actor) = (path.to_owned(), supervisor.get_cell());
    let leaf = Tree::leaf(id, ChildKind::Supervisor, TreeStatus::Running, Some(actor.get_id()));
    grow(leaf, actor, Instant::now() + limit).await
}

/// Asks a supervisor for what it has below it.
fn grow(leaf: Tree, actor: ActorCell, deadline: Instant) -> BoxFuture<'static, Tree> {
    async move {
        let supervisor: ActorRef<ServerMsg> = actor.into();
        if let Some(status) = leaving(&supervisor) {
            // It answers no more; what it has below it is on its way out.
            return Tree { status, ..leaf };
        }
        match timeout_at(deadline, ask(&supervisor, ServerMsg::Branch)).await {
            Ok(Some(Branch { supervision, twigs, strays })) => {
                let children = join_all(twigs.into_iter().map(|twig| twig.grow(deadline))).await;
                let strays = strays.into_iter().map(Tree::direct);
                Tree { supervision: Some(supervision), children: children.into_iter().chain(strays).collect(), ..leaf }
            }
            Ok(None) => Tree { status: leaving(&supervisor).unwrap_or(TreeStatus::Stopped), ..leaf },
            Err(_) => Tree { status: leaving(&supervisor).unwrap_or(TreeStatus::Silent), ..leaf },
        }
    }
    .boxed()
}

fn leaving(supervisor: &ActorCell) -> Option<TreeStatus> {
    match supervisor.get_status() {
        ActorStatus::Stopped => Some(TreeStatus::Stopped),
        ActorStatus::Stopping | ActorStatus::Draining => Some(TreeStatus::Stopping),
        _ => None,
    }
}

impl Twig {
    async fn grow(self, deadline: Instant) -> Tree {
        let leaf = Tree::of(self.info, self.last_exit);
        match self.supervisor {
            Some(supervisor) => grow(leaf, supervisor, deadline).await,
            None => leaf,
        }
    }
}

/// What a supervisor says of itself and its children, in start order.
pub(super) fn branch(children: &Children<Started>, linked: Vec<ActorCell>, now: Instant) -> Branch {
    let mut ours = children.actors();
    let twig = |(key, info, last_exit, latest): (_, _, _, Option<_>)| {
        ours.extend(latest);
        let actor = children.running(key).map(|child| child.actor.clone());
        let supervisor = actor.filter(|actor| actor.is_message_type_of::<ServerMsg>() == Some(true));
        Twig { info, last_exit, supervisor }
    };
    let twigs = children.sorted(now).map(twig).collect();
    let is_stray = |cell: &ActorCell| !ours.contains(&cell.get_id()) && cell.get_status() < ActorStatus::Draining;
    let strays = linked.into_iter().filter(is_stray).map(|cell| cell.get_id()).collect();
    Branch { supervision: children.supervision(now), twigs, strays }
}
