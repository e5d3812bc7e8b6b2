//! A supervision tree as a value, to look at and to send away.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use ractor::ActorId;
use serde::{Serialize, Serializer};

use super::child_spec::ChildKind;
use super::restart::Restart;
use super::roster::{ChildInfo, ChildState};
use super::supervision::Supervision;
use crate::exit::ExitReason;

/// One actor of a supervision tree with all that are below it: a snapshot.
///
/// [`Display`](std::fmt::Display) draws it with a line for each actor, [`to_dot`](Self::to_dot) as a graph for
/// Graphviz, and serde writes it as JSON.
///
/// Taken by [`Supervisor::tree`](crate::Supervisor::tree), [`DynamicSupervisor::tree`](crate::DynamicSupervisor::tree),
/// [`ServiceRegistry::tree`](crate::ServiceRegistry::tree) and [`ProcessRegistry::tree`](crate::ProcessRegistry::tree),
/// which alone know the names of services. Each supervisor is asked for its own children, all of a level at once, so the
/// parts are of slightly different moments. It costs each supervisor a message for each 2,048 of its children, and a copy of
/// its list. A supervisor has 1 s for each answer ([`SupervisorLimits::tree`](crate::SupervisorLimits::tree)).
///
/// ```
/// use foundation_core::{ChildSpec, Restart, Strategy, Supervisor, SupervisorSpec};
/// # use foundation_core::ractor::{self, Actor, ActorProcessingErr, ActorRef};
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tree {
    /// Its id; of the topmost the [path](crate::Supervisor::path).
    pub id: String,
    /// The name under which it is registered, if it is and somebody knew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Worker or supervisor.
    pub kind: ChildKind,
    /// What it is doing.
    pub status: TreeStatus,
    /// Its latest actor, unless that is known to be gone. As text in JSON.
    #[serde(serialize_with = "as_text")]
    pub actor: Option<ActorId>,
    /// Its restart rule; `None` at the top.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// Whether its end may be the end of its supervisor.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub significant: bool,
    /// How often its supervisor has restarted it.
    pub restarts: u32,
    /// Why its latest life ended that its supervisor did not end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<ExitReason>,
    /// How long until it is started again, while it is in its [`Backoff`](crate::Backoff). In JSON `backoff_ms`.
    #[serde(
        rename = "backoff_ms",
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::written::some_millis"
    )]
    pub backoff: Option<Duration>,
    /// Whether it was spawned without its supervisor's doing, and is only stopped by it.
    pub direct: bool,
    /// By which rules it supervises, if it is a supervisor and has answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervision: Option<Supervision>,
    /// Its children in start order.
    pub children: Vec<Tree>,
}

/// What an actor of a [`Tree`] is doing.
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
    /// It is a supervisor, it runs, and it did not say in time what it has below it.
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

impl Tree {
    /// How many actors run in it, its own included.
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

    pub(super) fn leaf(id: String, kind: ChildKind, status: TreeStatus, actor: Option<ActorId>) -> Self {
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
        }
    }

    /// A supervisor of which nothing else is known.
    pub(crate) fn unknown(id: String, status: TreeStatus) -> Self {
        Self::leaf(id, ChildKind::Supervisor, status, None)
    }

    pub(super) fn of(info: ChildInfo, last_exit: Option<ExitReason>) -> Self {
        let (status, actor) = match info.state {
            ChildState::Running(actor) => (TreeStatus::Running, Some(actor)),
            ChildState::Starting => (TreeStatus::Starting, None),
            ChildState::Restarting | ChildState::NameTaken => (TreeStatus::Restarting, None),
            ChildState::Stopping => (TreeStatus::Stopping, None),
            ChildState::Stopped => (TreeStatus::Stopped, None),
        };
        let ChildInfo { id, kind, restart, significant, restarts, backoff, .. } = info;
        let leaf = Self::leaf(id.to_string(), kind, status, actor);
        Self { restart: Some(restart), significant, restarts, backoff, last_exit, ..leaf }
    }

    /// An actor that is linked to a supervisor without being one of its children.
    pub(super) fn direct(actor: ActorId) -> Self {
        let leaf = Self::leaf(format!("actor {actor}"), ChildKind::Worker, TreeStatus::Running, Some(actor));
        Self { restart: Some(Restart::Temporary), direct: true, ..leaf }
    }

    /// Writes the names in, and takes out whoever is in it twice.
    ///
    /// An actor in its start is linked to its supervisor before that knows whose start it is. So one that was not
    /// started by the supervisor is believed only if its name is no child's, or while no child is on its way.
    pub(crate) fn named(mut self, names: &HashMap<ActorId, String>) -> Self {
        let mut further = vec![&mut self];
        while let Some(tree) = further.pop() {
            tree.name = tree.actor.and_then(|actor| names.get(&actor)).cloned();
            tree.believe(names);
            further.extend(&mut tree.children);
        }
        self
    }

    /// Takes out those that are linked to it and in it already.
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

fn as_text<S: Serializer>(actor: &Option<ActorId>, serializer: S) -> Result<S::Ok, S::Error> {
    match actor {
        Some(actor) => serializer.collect_str(actor),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(id: &str, status: TreeStatus) -> Tree {
        Tree::leaf(id.to_owned(), ChildKind::Worker, status, None)
    }

    /// The tree with two actors that are linked to its top, the first of which has this name.
    fn seen(name: &str, known: Tree) -> Vec<String> {
        let [named, unnamed] = [1, 2].map(ActorId::Local);
        let top = Tree::leaf("top".to_owned(), ChildKind::Supervisor, TreeStatus::Running, None);
        let top = Tree { children: vec![known, Tree::direct(named), Tree::direct(unnamed)], ..top };
        let tree = top.named(&HashMap::from([(named, name.to_owned())]));
        tree.children.into_iter().map(|child| child.id).collect()
    }

    #[test]
    fn an_actor_in_its_start_that_is_linked_already_is_not_taken_for_a_stranger() {
        let unnamed = Tree::direct(ActorId::Local(2)).id;
        assert_eq!(seen("clerk", child("porter", TreeStatus::Running)), ["porter", "clerk", &unnamed]);
        assert_eq!(seen("clerk", child("clerk", TreeStatus::Starting)), ["clerk"]);
        assert_eq!(seen("clerk", child("porter", TreeStatus::Restarting)), ["porter", "clerk"]);
        let waiting = Tree { backoff: Some(Duration::from_secs(1)), ..child("porter", TreeStatus::Restarting) };
        assert_eq!(seen("clerk", waiting), ["porter", "clerk", &unnamed]);
    }

    #[test]
    fn names_are_written_into_a_large_tree_and_into_a_deep_one() {
        let many: Vec<ActorId> = (0..100_000).map(ActorId::Local).collect();
        let names = many.iter().map(|actor| (*actor, format!("service {actor}"))).collect();
        let top = Tree::leaf("top".to_owned(), ChildKind::Supervisor, TreeStatus::Running, None);
        let wide = Tree { children: many.iter().copied().map(Tree::direct).collect(), ..top.clone() }.named(&names);
        assert_eq!(wide.children.len(), many.len());
        assert!(wide.children.iter().all(|child| child.name.as_ref() == Some(&child.id)));
        let deep = (0..1_000).fold(top.clone(), |below, _| Tree { children: vec![below], ..top.clone() });
        assert_eq!(deep.named(&names).running(), 1_001);
    }
}
