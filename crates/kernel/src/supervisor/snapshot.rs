//! Snapshots of a whole tree: every supervisor is asked for its own part, all of a level at once.
//!
//! No supervisor is blocked, and every wait is bounded: the caller does the work, each supervisor answers between two
//! of its steps, for a part of its children at a time, and one that does not answer in time is shown as silent. Nothing
//! here recurses as deep as the tree is.

use std::collections::HashSet;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use ractor::{ActorCell, ActorId, ActorRef, ActorStatus};
use tokio::time::{Instant, timeout};

use super::child::Child;
use super::child_spec::ChildKind;
use super::children::Children;
use super::message::{ChildSnapshot, ServerMsg, SupervisorSnapshot, ask};
use super::plan::Key;
use super::requests::info;
use super::started::Started;
use super::supervision::Supervision;
use super::tree::{Tree, TreeStatus};

/// The most children in one answer, which takes a supervisor about a millisecond. No limit on what is shown: the rest
/// is requested in further answers.
const MAX_CHILDREN_PER_ANSWER: usize = 2048;

/// The tree of a supervisor, without names. Each answer may take `limit`.
pub(super) async fn snapshot(path: &str, supervisor: &ActorRef<ServerMsg>, limit: Duration) -> Tree {
    let (id, actor) = (path.to_owned(), supervisor.get_cell());
    let leaf = Tree::leaf(id, ChildKind::Supervisor, TreeStatus::Running, Some(actor.get_id()));
    let mut builder = TreeBuilder { found: vec![(leaf, 0)] };
    let mut asked = FuturesUnordered::new();
    asked.push(ask_supervisor(0, actor, limit));
    while let Some((at, answer)) = asked.next().await {
        for (below, supervisor) in builder.enter(at, answer) {
            asked.push(ask_supervisor(below, supervisor, limit));
        }
    }
    builder.into_tree()
}

/// The findings so far: each actor with the index of its parent, which comes before it.
struct TreeBuilder {
    found: Vec<(Tree, usize)>,
}

impl TreeBuilder {
    /// Adds a supervisor's answer, and returns the supervisors below it that are to be asked.
    fn enter(&mut self, at: usize, answer: SupervisorAnswer) -> Vec<(usize, ActorCell)> {
        let mut further = Vec::new();
        for child_snapshot in answer.child_snapshots {
            further.extend(child_snapshot.supervisor.map(|supervisor| (self.found.len(), supervisor)));
            self.found.push((Tree::of(child_snapshot.info, child_snapshot.last_exit), at));
        }
        self.found.extend(answer.unmanaged.into_iter().map(|actor| (Tree::direct(actor), at)));
        let (tree, _) = &mut self.found[at];
        (tree.status, tree.supervision) = (answer.status, answer.supervision);
        further
    }

    fn into_tree(mut self) -> Tree {
        // From the end: an actor that is taken already has its children, the last one first.
        loop {
            let Some((mut tree, above)) = self.found.pop() else { unreachable!("the topmost is returned") };
            tree.children.reverse();
            match self.found.get_mut(above) {
                Some((above, _)) => above.children.push(tree),
                None => return tree,
            }
        }
    }
}

/// A supervisor's answer about itself and its children, in start order.
struct SupervisorAnswer {
    status: TreeStatus,
    supervision: Option<Supervision>,
    child_snapshots: Vec<ChildSnapshot>,
    unmanaged: Vec<ActorId>,
}

/// Asks a supervisor for its children.
async fn ask_supervisor(at: usize, actor: ActorCell, limit: Duration) -> (usize, SupervisorAnswer) {
    let supervisor: ActorRef<ServerMsg> = actor.into();
    let mut answer = SupervisorAnswer {
        status: TreeStatus::Running,
        supervision: None,
        child_snapshots: Vec::new(),
        unmanaged: Vec::new(),
    };
    let mut after = None;
    loop {
        if let Some(status) = leaving(&supervisor) {
            // It no longer answers; its children are on their way out.
            return (
                at,
                SupervisorAnswer { status, supervision: None, child_snapshots: Vec::new(), unmanaged: Vec::new() },
            );
        }
        match timeout(limit, ask(&supervisor, |reply| ServerMsg::SupervisorSnapshot(after, reply))).await {
            Ok(Some(snapshot)) => after = answer.take_in(snapshot),
            Ok(None) => answer.status = leaving(&supervisor).unwrap_or(TreeStatus::Stopped),
            Err(_) => answer.status = leaving(&supervisor).unwrap_or(TreeStatus::Silent),
        }
        if after.is_none() || answer.status != TreeStatus::Running {
            return (at, answer.in_order());
        }
    }
}

fn leaving(supervisor: &ActorCell) -> Option<TreeStatus> {
    match supervisor.get_status() {
        ActorStatus::Stopped => Some(TreeStatus::Stopped),
        ActorStatus::Stopping | ActorStatus::Draining => Some(TreeStatus::Stopping),
        _ => None,
    }
}

impl SupervisorAnswer {
    fn take_in(
        &mut self,
        SupervisorSnapshot { supervision, child_snapshots, next, unmanaged }: SupervisorSnapshot,
    ) -> Option<Key> {
        self.supervision = Some(supervision);
        self.child_snapshots.extend(child_snapshots);
        self.unmanaged = unmanaged;
        next
    }

    /// With the children in start order, and none of them among the unmanaged actors.
    fn in_order(mut self) -> Self {
        self.child_snapshots.sort_by_key(|child| child.order_key);
        let ours: HashSet<ActorId> = self.child_snapshots.iter().filter_map(|child| child.latest).collect();
        self.unmanaged.retain(|actor| !ours.contains(actor));
        self
    }
}

/// The answer of a supervisor about itself and its children after this one.
pub(super) fn supervisor_snapshot(
    children: &Children<Started>,
    after: Option<Key>,
    linked: impl FnOnce() -> Vec<ActorCell>,
    now: Instant,
) -> SupervisorSnapshot {
    let mut last = None;
    let child_snapshot = |(key, child)| {
        last = Some(key);
        child_snapshot(children, key, child, now)
    };
    let child_snapshots: Vec<ChildSnapshot> =
        children.after(after).take(MAX_CHILDREN_PER_ANSWER).map(child_snapshot).collect();
    let next = last.filter(|_| child_snapshots.len() == MAX_CHILDREN_PER_ANSWER);
    let is_unmanaged =
        |cell: &ActorCell| !children.is_actor(cell.get_id()) && cell.get_status() < ActorStatus::Draining;
    let linked = if next.is_none() { linked() } else { Vec::new() };
    let unmanaged = linked.into_iter().filter(is_unmanaged).map(|cell| cell.get_id()).collect();
    SupervisorSnapshot { supervision: children.supervision(now), child_snapshots, next, unmanaged }
}

fn child_snapshot(children: &Children<Started>, key: Key, child: &Child<Started>, now: Instant) -> ChildSnapshot {
    let actor = children.running(key).map(|child| child.actor.clone());
    let supervisor = actor.filter(|actor| actor.is_message_type_of::<ServerMsg>() == Some(true));
    let (order_key, last_exit) = ((child.start_index, key), child.last_exit().cloned());
    ChildSnapshot { order_key, info: info(child, now), latest: child.latest, last_exit, supervisor }
}
