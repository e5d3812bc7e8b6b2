//! A supervision tree as a value, to look at and to send away.

pub(super) mod checkup;
mod path;
mod render;
pub(super) mod snapshot;
pub(super) mod watch;
mod written;

pub use path::TreePath;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use ractor::ActorId;
use serde::Serialize;

use super::child_rules::{AutoShutdown, ChildKind, Restart};
use super::key::OrderKey;
use super::restart::{RestartIntensity, Strategy};
use crate::exit::ExitReason;
use crate::near::NearMisses;
use crate::text::excerpt;

/// The most levels of a tree that `Debug` shows, for the same reason.
const MAX_SHOWN: usize = 64;
/// The most ids that are compared with one that is not there.
const MAX_COMPARED: usize = 1_024;

/// A snapshot of one actor of a supervision tree and of all actors below it.
///
/// [`Display`](std::fmt::Display) draws it with a line for each actor, [`to_dot`](Self::to_dot) as a graph for
/// Graphviz, and serde writes it as JSON, of at most 1,024 levels: a deeper one is an error, and never an overflow of
/// the stack. `Debug` shows 64 levels, and how many are left out.
///
/// Taken by [`Supervisor::tree`](crate::supervision::Supervisor::tree), [`DynamicSupervisor::tree`](crate::supervision::DynamicSupervisor::tree),
/// [`ServiceRegistry::tree`](crate::names::ServiceRegistry::tree) and [`ProcessRegistry::tree`](crate::names::ProcessRegistry::tree);
/// only the last two know the names of services. Each supervisor is asked for its own children, all of a level at once,
/// so the parts are of slightly different moments. It costs each supervisor a message for each 2,048 of its children,
/// and a copy of its list. A supervisor has 1 s for each answer
/// ([`SupervisorLimits::tree`](crate::supervision::SupervisorLimits::tree)).
///
/// ```
/// use foundation_kernel::supervision::{ChildSpec, Restart, Strategy, Supervisor, SupervisorSpec};
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
/// # struct Clerk;
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Clerk {
/// #     type Msg = (); type State = (); type Arguments = ();
/// #     async fn pre_start(&self, _: ActorRef<()>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
/// # #[cfg(not(feature = "cluster"))]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let clerk = |id| ChildSpec::worker(id, || (Clerk, ()));
/// let desk = SupervisorSpec::new(Strategy::OneForAll).children([clerk("ann"), clerk("bob")]);
/// let spec = SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::supervisor("desk", desk));
/// let office = Supervisor::start("office", spec.child(clerk("porter").restart(Restart::Temporary))).await?;
/// let tree = office.tree().await;
/// println!("{tree}");
/// assert_eq!(tree.running(), 5);
/// assert_eq!(tree.child("desk").map(|desk| desk.children.len()), Some(2));
/// # office.shutdown().await;
/// # Ok(())
/// # }
/// # #[cfg(feature = "cluster")]
/// # fn main() {}
/// ```
///
/// prints
///
/// ```text
/// office      0.0  running             one-for-one, 3 restarts within 5s
/// ├── desk    0.1  running  permanent  one-for-all, 3 restarts within 5s
/// │   ├── ann 0.2  running  permanent
/// │   └── bob 0.3  running  permanent
/// └── porter  0.4  running  temporary
/// ```
#[derive(Eq)]
#[non_exhaustive]
pub struct Tree {
    /// Its id; of the topmost the [path](crate::supervision::Supervisor::path).
    pub id: String,
    /// The name under which it is registered; `None` also in a snapshot without names.
    pub name: Option<String>,
    /// Worker or supervisor.
    pub kind: ChildKind,
    /// Its state.
    pub status: TreeStatus,
    /// Its latest actor, unless that is known to be gone. As text in JSON.
    pub actor: Option<ActorId>,
    /// Its restart rule; `None` at the top.
    pub restart: Option<Restart>,
    /// Whether its end may be the end of its supervisor.
    pub significant: bool,
    /// The number of times that its supervisor has restarted it.
    pub restarts: u32,
    /// Why its latest life ended, unless its supervisor ended it.
    pub last_exit: Option<ExitReason>,
    /// The time until it is started again, while it is in its [`Backoff`](crate::supervision::Backoff). In JSON `backoff_ms`.
    pub backoff: Option<Duration>,
    /// Whether it was spawned past its supervisor, which only stops it.
    pub direct: bool,
    /// The rules by which it supervises, if it is a supervisor and has answered.
    pub supervision: Option<Supervision>,
    /// Its children in start order.
    pub children: Vec<Tree>,
    /// Where it is among the children of its supervisor, which knows it by the key in it.
    order_key: Option<OrderKey>,
}

/// The rules of one supervisor, as a [`Tree`] shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Supervision {
    /// Which children restart with a failed child.
    pub strategy: Strategy,
    /// Which ends of significant children end the supervisor.
    pub auto_shutdown: AutoShutdown,
    /// The restart intensity.
    pub intensity: RestartIntensity,
    /// The restarts in the window now.
    pub used: u32,
}

impl fmt::Display for Supervision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.strategy, self.intensity)?;
        if self.used > 0 {
            write!(f, " ({} used)", self.used)?;
        }
        match self.auto_shutdown {
            AutoShutdown::Never => Ok(()),
            mode => write!(f, ", stops when {mode} children have ended"),
        }
    }
}

/// The state of an actor of a [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TreeStatus {
    /// It runs.
    Running,
    /// Its first start is under way.
    Starting,
    /// It ran before and is about to run again.
    Restarting,
    /// It is being stopped, or has ended and is not gone yet.
    Stopping,
    /// It does not run, and will not be started by itself.
    Stopped,
    /// It is a supervisor that runs, and it did not answer in time.
    Silent,
}

impl TreeStatus {
    /// In one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Starting => "starting",
            Self::Restarting => "restarting",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Silent => "silent",
        }
    }
}

/// A path that leads to no part of a [`Tree`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no child {} {}{near}{}", id(.missing), place(.within), hint(.missing))]
#[non_exhaustive]
pub struct TreePathError {
    /// The part of the path that leads somewhere; empty if not even its first child is there.
    pub within: String,
    /// The rest of it.
    pub missing: String,
    /// The ids there that are similar.
    pub near: NearMisses,
}

fn id(missing: &str) -> String {
    if missing.is_empty() { "with an empty id".to_owned() } else { format!("{missing:?}") }
}

fn hint(missing: &str) -> &'static str {
    if missing.is_empty() { "; a path has a slash only between two ids" } else { "" }
}

fn place(within: &str) -> String {
    if within.is_empty() { "at the top".to_owned() } else { format!("in {within}") }
}

impl TreePathError {
    fn new(tree: &Tree, path: &str, read: usize) -> Self {
        let missing = excerpt(path[read..].split('/').next().unwrap_or_default());
        let near = NearMisses::of(&missing, tree.children.iter().map(|child| child.id.as_str()).take(MAX_COMPARED));
        Self { within: path[..read].trim_end_matches('/').to_owned(), missing, near }
    }
}

impl Tree {
    /// The number of actors that run in it, its own included.
    pub fn running(&self) -> usize {
        let (mut running, mut further) = (0, vec![self]);
        while let Some(tree) = further.pop() {
            running += usize::from(matches!(tree.status, TreeStatus::Running | TreeStatus::Silent));
            further.extend(&tree.children);
        }
        running
    }

    /// The part below the child with this id; the first of several.
    pub fn child(&self, id: &str) -> Option<&Tree> {
        self.children.iter().find(|child| child.id == id)
    }

    /// The part at a path of ids below it, separated by `/`, such as `production/application/orders` in the tree of a
    /// whole registry; itself for an empty path. Ids may have `/` in them, too.
    ///
    /// # Errors
    /// [`TreePathError`] says how far the path leads, and which children there have a similar id.
    pub fn find(&self, path: &str) -> Result<&Tree, TreePathError> {
        if path.is_empty() {
            return Ok(self);
        }
        let (mut open, mut farthest) = (vec![(self, 0)], (self, 0));
        while let Some((tree, read)) = open.pop() {
            farthest = if read > farthest.1 { (tree, read) } else { farthest };
            for child in tree.children.iter().rev() {
                match path[read..].strip_prefix(child.id.as_str()) {
                    Some("") => return Ok(child),
                    Some(after) if after.starts_with('/') => open.push((child, path.len() - after.len() + 1)),
                    _ => {}
                }
            }
        }
        Err(TreePathError::new(farthest.0, path, farthest.1))
    }

    /// Every part with its path, itself first with an empty one: parents before their children, and children in start
    /// order. Constant cost for each.
    pub fn iter(&self) -> impl Iterator<Item = (TreePath<'_>, &Tree)> {
        let mut open = vec![(TreePath::default(), self)];
        std::iter::from_fn(move || {
            let (path, tree) = open.pop()?;
            open.extend(tree.children.iter().rev().map(|child| (path.child(&child.id), child)));
            Some((path, tree))
        })
    }

    /// The number of its levels, its own included.
    fn levels(&self) -> usize {
        let (mut deepest, mut further) = (0, vec![(self, 1)]);
        while let Some((tree, level)) = further.pop() {
            deepest = deepest.max(level);
            further.extend(tree.children.iter().map(|child| (child, level + 1)));
        }
        deepest
    }

    /// All but its children.
    fn own_fields(&self) -> impl PartialEq {
        let Self { id, name, kind, status, actor, restart, significant, restarts, last_exit, .. } = self;
        let Self { backoff, direct, supervision, .. } = self;
        (id, name, kind, status, actor, restart, significant, restarts, last_exit, backoff, direct, supervision)
    }

    /// The same without its children.
    fn alone(&self) -> Self {
        let (id, name, supervision) = (self.id.clone(), self.name.clone(), self.supervision);
        let Self { kind, status, actor, restart, significant, restarts, backoff, direct, .. } = *self;
        let last_exit = self.last_exit.clone();
        let children = Vec::with_capacity(self.children.len());
        Self {
            id,
            name,
            kind,
            status,
            actor,
            restart,
            significant,
            restarts,
            last_exit,
            backoff,
            direct,
            supervision,
            children,
            order_key: self.order_key,
        }
    }

    fn leaf(id: String, kind: ChildKind, status: TreeStatus, actor: Option<ActorId>) -> Self {
        Self {
            id,
            name: None,
            kind,
            status,
            actor,
            restart: None,
            significant: false,
            restarts: 0,
            last_exit: None,
            backoff: None,
            direct: false,
            supervision: None,
            children: Vec::new(),
            order_key: None,
        }
    }

    /// A supervisor without further information.
    pub(crate) fn unknown(id: String, status: TreeStatus) -> Self {
        Self::leaf(id, ChildKind::Supervisor, status, None)
    }

    /// An actor that is linked to a supervisor without being one of its children.
    fn direct(actor: ActorId) -> Self {
        let mut leaf = Self::leaf(format!("actor {actor}"), ChildKind::Worker, TreeStatus::Running, Some(actor));
        (leaf.restart, leaf.direct) = (Some(Restart::Temporary), true);
        leaf
    }

    /// Fills in the names, and removes actors that are in it twice.
    ///
    /// An actor in its start is linked to its supervisor before that knows whose start it is. So an actor that the
    /// supervisor did not start is kept only if its name is no child's, or while no child is on its way.
    pub(crate) fn named(mut self, names: &HashMap<ActorId, String>) -> Self {
        let mut further = vec![&mut self];
        while let Some(tree) = further.pop() {
            tree.name = tree.actor.and_then(|actor| names.get(&actor)).cloned();
            tree.believe(names);
            further.extend(&mut tree.children);
        }
        self
    }

    /// Removes linked actors that are in it already.
    fn believe(&mut self, names: &HashMap<ActorId, String>) {
        if !self.children.iter().any(|child| child.direct) {
            return;
        }
        let known = || self.children.iter().filter(|child| !child.direct);
        let moving = known().any(Self::is_moving);
        let mut ids: HashSet<String> = known().map(|child| child.id.clone()).collect();
        self.children.retain_mut(|child| {
            let name = child.actor.and_then(|actor| names.get(&actor)).filter(|_| child.direct);
            match name {
                Some(name) => {
                    child.id.clone_from(name);
                    ids.insert(name.clone())
                }
                None => !child.direct || !moving,
            }
        });
    }

    fn is_moving(&self) -> bool {
        let waits = self.backoff.is_some();
        matches!(self.status, TreeStatus::Starting | TreeStatus::Restarting | TreeStatus::Stopping) && !waits
    }
}

// ---- as deep as the tree, and therefore not recursive ----

impl Drop for Tree {
    fn drop(&mut self) {
        let mut further = std::mem::take(&mut self.children);
        while let Some(mut tree) = further.pop() {
            further.append(&mut tree.children);
        }
    }
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        let mut further = vec![(self, other)];
        while let Some((one, two)) = further.pop() {
            if one.own_fields() != two.own_fields() || one.children.len() != two.children.len() {
                return false;
            }
            further.extend(one.children.iter().zip(&two.children));
        }
        true
    }
}

impl Clone for Tree {
    fn clone(&self) -> Self {
        // Copies, with the children still to be copied below each: never more than there are levels.
        let mut unfinished = vec![(self.alone(), self.children.iter())];
        loop {
            let Some((tree, children)) = unfinished.last_mut() else { unreachable!("the topmost is returned") };
            if let Some(child) = children.next() {
                match child.children.is_empty() {
                    true => tree.children.push(child.alone()),
                    false => unfinished.push((child.alone(), child.children.iter())),
                }
                continue;
            }
            let Some((finished, _)) = unfinished.pop() else { unreachable!("it was the last one") };
            match unfinished.last_mut() {
                Some((above, _)) => above.children.push(finished),
                None => return finished,
            }
        }
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown { tree: self, levels: MAX_SHOWN }.fmt(f)
    }
}

/// A tree, limited to this many levels.
struct Shown<'a> {
    tree: &'a Tree,
    levels: usize,
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tree { id, name, kind, status, actor, restart, significant, restarts, last_exit, .. } = self.tree;
        let Tree { backoff, direct, supervision, children, .. } = self.tree;
        let mut shown = f.debug_struct("Tree");
        shown.field("id", id).field("name", name).field("kind", kind).field("status", status);
        shown.field("actor", actor).field("restart", restart).field("significant", significant);
        shown.field("restarts", restarts).field("last_exit", last_exit).field("backoff", backoff);
        shown.field("direct", direct).field("supervision", supervision);
        match self.levels {
            1 if !children.is_empty() => {
                shown.field("children", &format_args!("[{} more levels]", self.tree.levels() - 1)).finish()
            }
            levels => shown.field("children", &ShownAll { children, levels: levels.saturating_sub(1) }).finish(),
        }
    }
}

struct ShownAll<'a> {
    children: &'a [Tree],
    levels: usize,
}

impl fmt::Debug for ShownAll<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.children.iter().map(|tree| Shown { tree, levels: self.levels })).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::written::MAX_WRITTEN;
    use super::*;

    fn child(id: &str, status: TreeStatus) -> Tree {
        Tree::leaf(id.to_owned(), ChildKind::Worker, status, None)
    }

    fn with(children: Vec<Tree>, mut tree: Tree) -> Tree {
        tree.children = children;
        tree
    }

    /// The tree with two actors that are linked to its top, the first of which has this name.
    fn seen(name: &str, known: Tree) -> Vec<String> {
        let [named, unnamed] = [1, 2].map(ActorId::Local);
        let top = Tree::leaf("top".to_owned(), ChildKind::Supervisor, TreeStatus::Running, None);
        let top = with(vec![known, Tree::direct(named), Tree::direct(unnamed)], top);
        let tree = top.named(&HashMap::from([(named, name.to_owned())]));
        tree.children.iter().map(|child| child.id.clone()).collect()
    }

    fn office() -> Tree {
        let parent = |id: &str, children: Vec<Tree>| with(children, child(id, TreeStatus::Running));
        let desk = parent("desk", vec![child("ann", TreeStatus::Running), child("a/b", TreeStatus::Running)]);
        let nested = parent("desk/a", vec![child("b", TreeStatus::Running), child("c", TreeStatus::Running)]);
        parent("office", vec![desk, nested, child("porter", TreeStatus::Running)])
    }

    #[test]
    fn a_path_finds_its_part_even_if_ids_have_slashes() {
        let office = office();
        for (path, id) in
            [("", "office"), ("desk", "desk"), ("desk/ann", "ann"), ("desk/a/b", "a/b"), ("desk/a/c", "c")]
        {
            assert_eq!(office.find(path).map(|tree| tree.id.as_str()), Ok(id), "{path}");
        }
    }

    #[test]
    fn a_path_that_leads_nowhere_is_an_error_that_says_how_far_it_leads_and_what_is_there() {
        let text = |path: &str| office().find(path).map(|tree| tree.id.clone()).unwrap_err().to_string();
        assert_eq!(text("portr"), r#"there is no child "portr" at the top; did you mean porter?"#);
        assert_eq!(text("desk/anne"), r#"there is no child "anne" in desk; did you mean ann?"#);
        assert_eq!(text("desk/a/x"), r#"there is no child "x" in desk/a"#);
    }

    #[test]
    fn a_slash_at_the_end_of_a_path_leads_nowhere_unless_it_is_part_of_an_id() {
        let text = |path: &str| office().find(path).map(|tree| tree.id.clone()).unwrap_err().to_string();
        let hint = "; a path has a slash only between two ids";
        assert_eq!(text("desk/"), format!("there is no child with an empty id in desk{hint}"));
        assert_eq!(text("/"), format!("there is no child with an empty id at the top{hint}"));
        assert_eq!(text("desk//ann"), format!("there is no child with an empty id in desk{hint}"));
        let top = with(vec![child("desk/", TreeStatus::Running)], child("top", TreeStatus::Running));
        assert_eq!(top.find("desk/").map(|tree| tree.id.as_str()), Ok("desk/"));
    }

    #[test]
    fn each_part_is_walked_with_a_path_that_finds_it() {
        let office = office();
        let walked: Vec<_> = office.iter().map(|(path, tree)| (path.to_string(), tree.id.clone())).collect();
        let paths: Vec<_> = walked.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["", "desk", "desk/ann", "desk/a/b", "desk/a", "desk/a/b", "desk/a/c", "porter"]);
        for (path, id) in &walked {
            assert!(office.find(path).is_ok_and(|found| found.id == *id || path == "desk/a/b"), "{path}");
        }
    }

    #[test]
    fn an_actor_in_its_start_that_is_linked_already_is_not_taken_for_a_stranger() {
        let unnamed = Tree::direct(ActorId::Local(2)).id.clone();
        assert_eq!(seen("clerk", child("porter", TreeStatus::Running)), ["porter", "clerk", &unnamed]);
        assert_eq!(seen("clerk", child("clerk", TreeStatus::Starting)), ["clerk"]);
        assert_eq!(seen("clerk", child("porter", TreeStatus::Restarting)), ["porter", "clerk"]);
        let mut waiting = child("porter", TreeStatus::Restarting);
        waiting.backoff = Some(Duration::from_secs(1));
        assert_eq!(seen("clerk", waiting), ["porter", "clerk", &unnamed]);
    }

    #[test]
    fn names_are_written_into_a_large_tree_and_into_a_deep_one() {
        let many: Vec<ActorId> = (0..100_000).map(ActorId::Local).collect();
        let names = many.iter().map(|actor| (*actor, format!("service {actor}"))).collect();
        let top = Tree::leaf("top".to_owned(), ChildKind::Supervisor, TreeStatus::Running, None);
        let wide = with(many.iter().copied().map(Tree::direct).collect(), top).named(&names);
        assert_eq!(wide.children.len(), many.len());
        assert!(wide.children.iter().all(|child| child.name.as_ref() == Some(&child.id)));
        assert_eq!(deep(1_000).named(&names).running(), 1_000);
    }

    fn deep(levels: usize) -> Tree {
        let top = || Tree::leaf("top".to_owned(), ChildKind::Supervisor, TreeStatus::Running, None);
        (1..levels).fold(top(), |below, _| with(vec![below], top()))
    }

    fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
        let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap();
        thread.join().unwrap();
    }

    #[test]
    fn a_tree_of_a_thousand_levels_is_copied_drawn_written_and_dropped_on_a_small_stack() {
        on_a_small_stack(|| {
            let tree = deep(1_000);
            assert!(tree.clone() == tree);
            assert_eq!(tree.to_string().lines().count(), 1_000);
            assert_eq!(tree.to_dot().matches("->").count(), 999);
            for shown in [format!("{tree:?}"), format!("{tree:#?}")] {
                assert!(shown.contains("children: [936 more levels]"), "{shown}");
            }
            let json = serde_json::to_string(&tree).unwrap();
            assert_eq!(json.matches("\"children\":[").count(), 1_000);
            assert_eq!(serde_json::to_value(&tree).unwrap()["children"][0]["children"][0]["id"], "top");
        });
    }

    #[test]
    fn a_tree_that_is_too_deep_to_be_written_is_an_error_and_can_be_copied_drawn_and_dropped() {
        on_a_small_stack(|| {
            assert!(serde_json::to_string(&deep(MAX_WRITTEN)).is_ok());
            let tree = deep(MAX_WRITTEN + 1);
            let said = serde_json::to_string(&tree).unwrap_err().to_string();
            assert_eq!(said, "the tree of top has 1025 levels, and at most 1024 are written");
            let deeper = deep(5_000);
            assert_eq!(deeper.clone().levels(), 5_000);
            assert!(format!("{deeper:?}").contains("[4936 more levels]"));
            // Dropped on a stack that has room for some thousand calls.
            drop(deep(200_000));
            assert_eq!(deep(200_000).iter().count(), 200_000);
        });
    }

    #[test]
    fn a_copy_has_all_children_in_their_order() {
        let named = |id: &str, children| with(children, child(id, TreeStatus::Running));
        let inner = named("b", vec![named("c", Vec::new()), named("d", vec![named("e", Vec::new())])]);
        let tree = named("a", vec![named("x", Vec::new()), inner, named("y", Vec::new())]);
        assert_eq!(tree.clone(), tree);
        assert_eq!(tree.levels(), 4);
    }
}
