//! Snapshots of a whole tree: every supervisor is asked for its own part, all of a level at once.
//!
//! No supervisor is blocked, and every wait is bounded: the caller does the work, each supervisor answers between two
//! of its steps, for a part of its children at a time, and one that does not answer in time is shown as silent. Nothing
//! here recurses as deep as the tree is.

use std::collections::HashSet;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use ractor::{ActorCell, ActorId, ActorStatus};
use tokio::time::timeout;

use super::{Supervision, Tree, TreeStatus};
use crate::exit::ExitReason;
use crate::supervisor::child_rules::ChildKind;
use crate::supervisor::info::{ChildInfo, ChildState};
use crate::supervisor::key::{Key, OrderKey};

/// A part of a supervisor's children.
pub(crate) struct SupervisorSnapshot {
    supervision: Supervision,
    child_snapshots: Vec<ChildSnapshot>,
    /// The child after which the next part begins, if there is one.
    next: Option<Key>,
    /// With the last part: actors that are linked to it and are none of its running children.
    unmanaged: Vec<ActorId>,
}

impl SupervisorSnapshot {
    /// The most children in one answer, which takes a supervisor about a millisecond. No limit on what is shown: the
    /// rest is requested in further answers.
    const MAX_CHILDREN: usize = 2048;

    /// The first of these children, in the order of their keys. The `unmanaged` actors are needed with the last part
    /// only.
    pub(crate) fn of(
        supervision: Supervision,
        children: impl Iterator<Item = ChildSnapshot>,
        unmanaged: impl FnOnce() -> Vec<ActorId>,
    ) -> Self {
        let child_snapshots: Vec<ChildSnapshot> = children.take(Self::MAX_CHILDREN).collect();
        let last = child_snapshots.last().map(|child| child.order_key.1);
        let next = last.filter(|_| child_snapshots.len() == Self::MAX_CHILDREN);
        let unmanaged = if next.is_none() { unmanaged() } else { Vec::new() };
        Self { supervision, child_snapshots, next, unmanaged }
    }
}

/// One child, which may have others below it.
pub(crate) struct ChildSnapshot {
    /// Where it is in the start order.
    order_key: OrderKey,
    info: ChildInfo,
    /// Its latest actor, which may have ended.
    latest: Option<ActorId>,
    last_exit: Option<ExitReason>,
    /// The actor, if it is one of our supervisors and runs.
    supervisor: Option<ActorCell>,
}

impl ChildSnapshot {
    pub(crate) fn new(
        order_key: OrderKey,
        info: ChildInfo,
        latest: Option<ActorId>,
        last_exit: Option<ExitReason>,
        supervisor: Option<ActorCell>,
    ) -> Self {
        Self { order_key, info, latest, last_exit, supervisor }
    }

    pub(crate) fn order_key(&self) -> OrderKey {
        self.order_key
    }

    /// The actor, if it is one of our supervisors and runs.
    pub(crate) fn supervisor(&self) -> Option<&ActorCell> {
        self.supervisor.as_ref()
    }

    pub(crate) fn into_tree(self) -> Tree {
        let (status, actor) = match self.info.state {
            ChildState::Running(actor) => (TreeStatus::Running, Some(actor)),
            ChildState::Starting => (TreeStatus::Starting, None),
            ChildState::Restarting | ChildState::NameTaken => (TreeStatus::Restarting, None),
            ChildState::Stopping => (TreeStatus::Stopping, None),
            ChildState::Stopped => (TreeStatus::Stopped, None),
        };
        let ChildInfo { id, kind, restart, significant, restarts, backoff, .. } = self.info;
        let mut tree = Tree::leaf(id.to_string(), kind, status, actor);
        (tree.restart, tree.significant, tree.restarts) = (Some(restart), significant, restarts);
        (tree.backoff, tree.last_exit, tree.order_key) = (backoff, self.last_exit, Some(self.order_key));
        tree
    }
}

/// The tree of a supervisor, without names. `ask` requests a supervisor's children after this one, and is answered with
/// nothing if it no longer runs; each answer may take `limit`.
pub(crate) async fn snapshot<F>(
    path: &str,
    actor: ActorCell,
    limit: Duration,
    ask: impl Fn(ActorCell, Option<Key>) -> F,
) -> Tree
where
    F: Future<Output = Option<SupervisorSnapshot>>,
{
    let id = path.to_owned();
    let leaf = Tree::leaf(id, ChildKind::Supervisor, TreeStatus::Running, Some(actor.get_id()));
    let mut builder = TreeBuilder { found: vec![(leaf, 0)] };
    let mut asked = FuturesUnordered::new();
    asked.push(ask_supervisor(0, actor, limit, &ask));
    while let Some((at, answer)) = asked.next().await {
        for (below, supervisor) in builder.enter(at, answer) {
            asked.push(ask_supervisor(below, supervisor, limit, &ask));
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
        for mut child_snapshot in answer.child_snapshots {
            further.extend(child_snapshot.supervisor.take().map(|supervisor| (self.found.len(), supervisor)));
            self.found.push((child_snapshot.into_tree(), at));
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
async fn ask_supervisor<F>(
    at: usize,
    supervisor: ActorCell,
    limit: Duration,
    ask: &impl Fn(ActorCell, Option<Key>) -> F,
) -> (usize, SupervisorAnswer)
where
    F: Future<Output = Option<SupervisorSnapshot>>,
{
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
        match timeout(limit, ask(supervisor.clone(), after)).await {
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
