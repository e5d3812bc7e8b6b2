//! Following a tree: a snapshot, and the changes since.

use std::any::Any;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::Stream;
use futures::future::BoxFuture;
use ractor::ActorId;
use tokio::task::coop::poll_proceed;

use super::{Supervision, Tree, TreeStatus};
use crate::containment::ContainedWaking;
use crate::supervisor::child_id::ChildId;
use crate::supervisor::feed::{Feed, Reader};
use crate::supervisor::report::{ChildEvent, Followers, TreePlace};

/// How many changes are kept for a slow reader, each child of a supervisor that starts being one.
const CAPACITY: usize = 1_024;

/// A change of a tree that is followed by a [`TreeWatch`].
///
/// A path is the ids from below the top of the followed tree down to a child; that of the top itself is empty.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TreeChange {
    /// Something happened to a child: what, and why. How the child is then is said by the next `Updated` or `Removed`.
    #[non_exhaustive]
    Event {
        /// The path of the child.
        path: Vec<ChildId>,
        /// The event.
        event: ChildEvent,
    },
    /// A child was added, or its state has changed.
    #[non_exhaustive]
    Updated {
        /// The path of the child.
        path: Vec<ChildId>,
        /// The child as it is now, without its own children.
        child: Tree,
        /// The incarnation of its supervisor.
        supervisor: ActorId,
    },
    /// A child is no longer there.
    #[non_exhaustive]
    Removed {
        /// The path that it had.
        path: Vec<ChildId>,
        /// Its number among the children of its supervisor, of which several may have one id.
        key: u64,
        /// The incarnation of its supervisor.
        supervisor: ActorId,
    },
    /// A supervisor runs, with these children.
    #[non_exhaustive]
    Children {
        /// The path of the supervisor.
        path: Vec<ChildId>,
        /// Its children in start order, without those below them; shared by all readers.
        children: Arc<[Tree]>,
        /// Its rules.
        supervision: Supervision,
        /// Its incarnation.
        supervisor: ActorId,
    },
}

impl TreeChange {
    /// The path of what has changed.
    pub fn path(&self) -> &[ChildId] {
        match self {
            Self::Event { path, .. } | Self::Updated { path, .. } => path,
            Self::Removed { path, .. } | Self::Children { path, .. } => path,
        }
    }

    fn path_mut(&mut self) -> &mut Vec<ChildId> {
        match self {
            Self::Event { path, .. } | Self::Updated { path, .. } => path,
            Self::Removed { path, .. } | Self::Children { path, .. } => path,
        }
    }

    /// How much of a reader's [capacity](TreeWatch::capacity) it takes.
    fn size(&self) -> usize {
        match self {
            Self::Children { children, .. } => children.len().max(1),
            _ => 1,
        }
    }

    /// The same in the tree at this path, if it is in that.
    fn below(&self, top: &[ChildId]) -> Option<Self> {
        if !self.path().starts_with(top) {
            return None;
        }
        let mut change = self.clone();
        change.path_mut().drain(..top.len());
        Some(change)
    }
}

/// The feed of one tree.
#[derive(Clone, Default)]
pub(crate) struct TreeFeed(Arc<Feed<TreeChange>>);

impl TreeFeed {
    /// The feed of the tree of this place.
    pub(crate) fn of(place: &TreePlace) -> Self {
        (place.followers() as &dyn Any).downcast_ref().cloned().unwrap_or_default()
    }

    /// The top of a tree, with a feed of its own.
    pub(crate) fn top(path: &str) -> TreePlace {
        TreePlace::top(path, Arc::new(Self::default()))
    }

    /// Whether the tree is followed.
    pub(crate) fn is_read(&self) -> bool {
        self.0.is_read()
    }

    /// Shows a child of this incarnation of the supervisor here as it is now.
    pub(crate) fn show_child(&self, here: &TreePlace, supervisor: ActorId, child: Tree) {
        let path = here.to(&ChildId::from(&child.id));
        self.0.push(&TreeChange::Updated { path, child, supervisor });
    }

    /// Shows that a child is no longer there.
    pub(crate) fn show_removed(&self, here: &TreePlace, supervisor: ActorId, key: u64, child: &ChildId) {
        self.0.push(&TreeChange::Removed { path: here.to(child), key, supervisor });
    }

    /// Shows all children.
    pub(crate) fn show_children(
        &self,
        here: &TreePlace,
        supervisor: ActorId,
        supervision: Supervision,
        children: Arc<[Tree]>,
    ) {
        self.0.push(&TreeChange::Children { path: here.segments(), children, supervision, supervisor });
    }
}

impl Followers for TreeFeed {
    fn are_there(&self) -> bool {
        self.is_read()
    }

    fn happened(&self, path: Vec<ChildId>, event: ChildEvent) {
        self.0.push(&TreeChange::Event { path, event });
    }
}

/// A tree to follow: [`snapshot`](Self::snapshot) is the tree, and [`next`](Self::next) each change since.
///
/// Made by [`ServiceRegistry::watch_tree`](crate::names::ServiceRegistry::watch_tree),
/// [`ProcessRegistry::watch_tree`](crate::names::ProcessRegistry::watch_tree) and
/// [`Supervisor::watch_tree`](crate::supervision::Supervisor::watch_tree). It shows what supervisors tell their
/// [`Reporter`](crate::supervision::Reporter)s, whatever reporters there are. [`Tree::apply`] keeps a snapshot up to
/// date: when nothing more happens, it equals a fresh one, with the exceptions that are listed there.
///
/// The changes begin before the snapshot is taken, so none is missed. Some may be in the snapshot already; applying them
/// does no harm.
///
/// No supervisor waits for a reader. For a slow one [`capacity`](Self::capacity) changes are kept; beyond that all are
/// lost, and the next item is [`LaggedError`]. Then take a new snapshot. The stream ends with the namespace or with the
/// supervisor. This type's methods are cancel safe.
///
/// Cost: without a reader a supervisor reads one number for each event. With one it copies each child that changes, and
/// the children of each supervisor that starts.
///
/// ```
/// use foundation_kernel::names::{Namespace, ProcessRegistry};
/// use foundation_kernel::supervision::ChildSpec;
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
/// # struct Clerk;
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Clerk {
/// #     type Msg = u64; type State = (); type Arguments = ();
/// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let registry = ProcessRegistry::start().await?;
/// let names = registry.namespace(Namespace::test()).await?;
/// let mut watch = names.watch_tree();
/// let mut tree = watch.snapshot().await;
///
/// names.supervise(ChildSpec::worker("clerk", || (Clerk, ()))).await?;
/// while tree.find("application/clerk").is_err() {
///     let change = watch.next().await?.ok_or("the namespace has ended")?;
///     tree.apply(&change);
/// }
/// registry.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "a watch that is dropped sees nothing"]
pub struct TreeWatch {
    reader: Reader<TreeChange>,
    take: Box<dyn Fn() -> BoxFuture<'static, Tree> + Send + Sync>,
    /// Returns when the tree has ended.
    end: BoxFuture<'static, ()>,
    has_ended: bool,
    waking: ContainedWaking,
}

/// So many changes of a tree, or more, were lost, since the reader was slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{missed} changes of the tree were lost, since the reader was slow; take a new snapshot")]
#[non_exhaustive]
pub struct LaggedError {
    /// How many.
    pub missed: u64,
}

impl TreeWatch {
    /// Follows what is at this place and below, until the end of the tree; without a place, only that end.
    pub(crate) fn new(
        place: Option<&TreePlace>,
        take: impl Fn() -> BoxFuture<'static, Tree> + Send + Sync + 'static,
        end: BoxFuture<'static, ()>,
    ) -> Self {
        let (feed, top) = place.map(|place| (TreeFeed::of(place), place.segments())).unwrap_or_default();
        let reader = feed
            .0
            .subscribe(CAPACITY, move |change: &TreeChange| change.below(&top).map(|change| (change.size(), change)));
        Self { reader, take: Box::new(take), end, has_ended: false, waking: ContainedWaking::default() }
    }

    /// Keeps this many unread changes, at least 1, before the reader counts as slow. Default: 1,024. The start of a
    /// supervisor counts as many as it has children. A reader that has read all before gets any one change.
    pub fn capacity(self, changes: usize) -> Self {
        self.reader.set_capacity(changes);
        self
    }

    /// The tree now; the changes that follow are those since. Unread changes are forgotten. If this call is cancelled
    /// then, they count as lost.
    pub async fn snapshot(&mut self) -> Tree {
        let forgotten = self.reader.forget();
        let tree = (self.take)().await;
        forgotten.replaced();
        tree
    }

    /// The next change; `None` when the tree has ended.
    ///
    /// # Errors
    /// [`LaggedError`] if the reader was too slow. The changes go on after the gap, so a snapshot of before no longer fits.
    pub async fn next(&mut self) -> Result<Option<TreeChange>, LaggedError> {
        poll_fn(|context| self.poll(context)).await.transpose()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<TreeChange, LaggedError>>> {
        // A reader with many changes does not keep its thread from other tasks.
        let turn = ready!(poll_proceed(context));
        let Self { reader, end, has_ended, waking, .. } = self;
        let polled = waking.poll(context, |context| {
            *has_ended = *has_ended || end.as_mut().poll(context).is_ready();
            // After the end: what was reported before it is here by then.
            match reader.poll(context) {
                Poll::Ready(item) => Poll::Ready(Some(item.map_err(|missed| LaggedError { missed }))),
                Poll::Pending if *has_ended => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        if polled.is_ready() {
            turn.made_progress();
        }
        polled
    }
}

impl Stream for TreeWatch {
    type Item = Result<TreeChange, LaggedError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl fmt::Debug for TreeWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeWatch").field("has_ended", &self.has_ended).finish_non_exhaustive()
    }
}

// Here and not with the type, which knows nothing of changes.
impl Tree {
    /// Applies a change of a [`TreeWatch`] whose snapshot this is. A change that this tree has already, or that is of an
    /// earlier life of a supervisor, does no harm.
    ///
    /// The time until a restart ([`backoff`](Self::backoff)) and the [restarts used](Supervision::used) are those of the
    /// latest change of the child and of the latest start of the supervisor; names of services, and actors that were
    /// spawned past their supervisor, are those of the snapshot.
    ///
    /// A supervisor that did not answer the snapshot in time is [silent](TreeStatus::Silent) in it. When it gets to the
    /// snapshot's question after all, the next change shows it with its children.
    ///
    /// Cost: linear in the children of the supervisors on the way to the change. That of a known child is logarithmic in
    /// the number of its siblings, that of a new, moved or removed one linear, and so is the start of a supervisor.
    pub fn apply(&mut self, change: &TreeChange) {
        match change {
            TreeChange::Event { .. } => {}
            TreeChange::Updated { path, child, supervisor, .. } => match path.split_last() {
                None => self.restart_as(child),
                Some((_, above)) => {
                    if let Some(parent) = self.supervised_by(above, *supervisor) {
                        parent.put(child);
                    }
                }
            },
            TreeChange::Removed { path, key, supervisor, .. } => match path.split_last() {
                None => self.end(),
                Some((_, above)) => {
                    if let Some(parent) = self.supervised_by(above, *supervisor) {
                        parent.children.retain(|child| child.key() != Some(*key));
                    }
                }
            },
            TreeChange::Children { path, children, supervision, supervisor, .. } => {
                if let Some(parent) = self.supervised_by(path, *supervisor) {
                    parent.status = TreeStatus::Running;
                    parent.show(children, *supervision);
                }
            }
        }
    }

    fn key(&self) -> Option<u64> {
        self.order_key.map(|(_, key)| key)
    }

    /// The part at this path that is this incarnation of a supervisor.
    fn supervised_by(&mut self, path: &[ChildId], supervisor: ActorId) -> Option<&mut Tree> {
        // On demand there may be many children of one id.
        let mut found = vec![self];
        for id in path {
            let below = found.into_iter().flat_map(|tree| tree.children.iter_mut());
            found = below.filter(|tree| tree.id == id.as_str()).collect();
        }
        let runs = |tree: &Tree| matches!(tree.status, TreeStatus::Running | TreeStatus::Silent);
        found.into_iter().find(|tree| tree.actor == Some(supervisor) && runs(tree))
    }

    /// The topmost actor, as the supervisor above describes it; a snapshot shows less of it.
    fn restart_as(&mut self, child: &Tree) {
        if self.actor != child.actor || child.status != TreeStatus::Running {
            self.children.clear();
            self.supervision = None;
        }
        (self.actor, self.status) = (child.actor, child.status);
    }

    /// The topmost actor once the supervisor above has removed it: as a snapshot shows an actor that is gone.
    fn end(&mut self) {
        self.children.clear();
        (self.supervision, self.actor, self.status) = (None, None, TreeStatus::Stopped);
    }

    /// Adds or replaces a child.
    fn put(&mut self, child: &Tree) {
        match self.children.binary_search_by(|it| it.beside(child)) {
            Ok(at) => self.children[at] = child.following(&mut self.children[at]),
            Err(_) => {
                // A reconfiguration gives a child another index.
                let moved = self.children.iter().position(|it| it.order_key.is_some() && it.key() == child.key());
                let child = match moved {
                    Some(at) => child.following(&mut self.children.remove(at)),
                    None => child.alone(),
                };
                let at = self.children.partition_point(|it| it.beside(&child).is_lt());
                self.children.insert(at, child);
            }
        }
    }

    /// Shows exactly these children, which are in start order, and the rules.
    fn show(&mut self, children: &[Tree], supervision: Supervision) {
        self.supervision = Some(supervision);
        let (ours, unmanaged): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.children).into_iter().partition(|it| it.order_key.is_some());
        let mut before: HashMap<_, Tree> = ours.into_iter().map(|it| (it.key(), it)).collect();
        let shown = |child: &Tree| match before.get_mut(&child.key()) {
            Some(before) => child.following(before),
            None => child.alone(),
        };
        self.children = children.iter().map(shown).collect();
        self.children.extend(unmanaged);
    }

    /// This child as it is now; from before it keeps the name, and those below it while it is the same life.
    fn following(&self, before: &mut Tree) -> Tree {
        let mut now = self.alone();
        now.name = before.name.take();
        if before.actor == now.actor && now.status == TreeStatus::Running {
            now.children = std::mem::take(&mut before.children);
            now.supervision = before.supervision;
        }
        now
    }

    /// In start order, with actors that are no children at the end.
    fn beside(&self, other: &Tree) -> Ordering {
        match (self.order_key, other.order_key) {
            (Some(own), Some(other)) => own.cmp(&other),
            _ => Ordering::Greater,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::child_rules::{AutoShutdown, ChildKind};
    use crate::supervisor::key::OrderKey;
    use crate::supervisor::restart::{RestartIntensity, Strategy};

    fn tree(id: &str, order_key: Option<OrderKey>, actor: u64, children: Vec<Tree>) -> Tree {
        let mut tree = Tree::leaf(id.into(), ChildKind::Supervisor, TreeStatus::Running, Some(ActorId::Local(actor)));
        (tree.order_key, tree.children) = (order_key, children);
        tree
    }

    const SUPERVISION: Supervision = Supervision {
        strategy: Strategy::OneForOne,
        auto_shutdown: AutoShutdown::Never,
        intensity: RestartIntensity::UNLIMITED,
        used: 0,
    };

    fn updated(path: &[&str], child: Tree, supervisor: u64) -> TreeChange {
        let path = path.iter().map(ChildId::new).collect();
        TreeChange::Updated { path, child, supervisor: ActorId::Local(supervisor) }
    }

    fn ids(tree: &Tree) -> Vec<(&str, Option<ActorId>)> {
        tree.children.iter().map(|child| (child.id.as_str(), child.actor)).collect()
    }

    #[test]
    fn a_child_is_known_by_its_key_and_stands_in_start_order() {
        let mut top =
            tree("top", None, 1, vec![tree("a", Some((1, 1)), 2, vec![]), tree("a", Some((3, 3)), 3, vec![])]);
        top.apply(&updated(&["b"], tree("b", Some((2, 2)), 4, vec![]), 1));
        top.apply(&updated(&["a"], tree("a", Some((3, 3)), 5, vec![]), 1));
        let expected = [("a", 2), ("b", 4), ("a", 5)].map(|(id, actor)| (id, Some(ActorId::Local(actor))));
        assert_eq!(ids(&top), expected);
        top.apply(&TreeChange::Removed { path: vec!["a".into()], key: 1, supervisor: ActorId::Local(1) });
        assert_eq!(ids(&top), expected[1..]);
    }

    #[test]
    fn the_top_is_stopped_without_actor_and_children_when_it_is_removed_from_the_tree_above() {
        let mut top = tree("top", None, 1, vec![tree("a", Some((1, 1)), 2, vec![])]);
        top.apply(&TreeChange::Removed { path: vec![], key: 7, supervisor: ActorId::Local(9) });
        assert_eq!(top, Tree::unknown("top".into(), TreeStatus::Stopped));
    }

    #[test]
    fn a_supervisor_shows_its_children_in_order_with_what_is_known_below_them() {
        let before = tree("b", Some((2, 2)), 3, vec![tree("x", Some((1, 1)), 4, vec![])]);
        let mut unmanaged = tree("direct", None, 8, vec![]);
        unmanaged.direct = true;
        let mut top = tree("top", None, 1, vec![tree("a", Some((1, 1)), 2, vec![]), before, unmanaged]);
        top.apply(&TreeChange::Children {
            path: vec![],
            children: [tree("b", Some((4, 2)), 3, vec![]), tree("c", Some((5, 3)), 5, vec![])].into(),
            supervision: SUPERVISION,
            supervisor: ActorId::Local(1),
        });
        assert_eq!(ids(&top), [("b", 3), ("c", 5), ("direct", 8)].map(|(id, actor)| (id, Some(ActorId::Local(actor)))));
        assert_eq!(ids(&top.children[0]), [("x", Some(ActorId::Local(4)))]);
        top.apply(&updated(&["b"], tree("b", Some((6, 2)), 3, vec![]), 1));
        assert_eq!(ids(&top), [("c", 5), ("b", 3), ("direct", 8)].map(|(id, actor)| (id, Some(ActorId::Local(actor)))));
        assert_eq!(ids(&top.children[1]).len(), 1, "it has another index, and is the same life");
    }

    #[test]
    fn a_silent_supervisor_runs_again_once_it_shows_its_children() {
        let mut silent = tree("a", Some((1, 1)), 2, vec![]);
        silent.status = TreeStatus::Silent;
        let mut top = tree("top", None, 1, vec![silent]);
        top.apply(&TreeChange::Children {
            path: vec!["a".into()],
            children: [tree("x", Some((1, 1)), 3, vec![])].into(),
            supervision: SUPERVISION,
            supervisor: ActorId::Local(2),
        });
        assert_eq!(top.children[0].status, TreeStatus::Running);
        assert_eq!(ids(&top.children[0]), [("x", Some(ActorId::Local(3)))]);
    }

    #[test]
    fn those_below_a_supervisor_go_with_its_life_and_changes_of_an_earlier_life_do_nothing() {
        let mut top = tree("top", None, 1, vec![tree("a", Some((1, 1)), 2, vec![tree("x", Some((1, 1)), 3, vec![])])]);
        top.apply(&updated(&["a"], tree("a", Some((1, 1)), 2, vec![]), 1));
        assert_eq!(top.children[0].children.len(), 1, "it is the same life");
        top.apply(&updated(&["a"], tree("a", Some((1, 1)), 4, vec![]), 1));
        assert_eq!(top.children[0].children.len(), 0, "it is another life");
        top.apply(&updated(&["a", "x"], tree("x", Some((1, 1)), 5, vec![]), 2));
        assert_eq!(top.children[0].children.len(), 0, "the change is of the earlier life");
        top.apply(&updated(&["a", "x"], tree("x", Some((1, 1)), 5, vec![]), 4));
        assert_eq!(ids(&top.children[0]), [("x", Some(ActorId::Local(5)))]);
    }
}
