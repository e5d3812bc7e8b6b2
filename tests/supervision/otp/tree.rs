//! Snapshots of whole trees: their contents, in every state of their parts, and how they are rendered.

use std::time::Duration;

use foundation::names::ProcessRegistry;
use foundation::supervision::{
    Backoff, ChildKind, DynamicSupervisorSpec, ExitReason, SupervisorSpec, Tree, TreeStatus,
};
use foundation::{ChildSpec, Namespace, Restart, ServiceKey, Strategy, Supervisor};
use foundation_testkit::{Behavior, Command, Gate, Log, Moment, Puppet, reports, soon};
use tokio::time::Instant;

use super::{at_most, puppets};

fn ids(tree: &Tree) -> Vec<&str> {
    tree.children.iter().map(|child| child.id.as_str()).collect()
}

fn part<'a>(tree: &'a Tree, path: &[&str]) -> &'a Tree {
    path.iter().fold(tree, |tree, id| tree.child(id).unwrap_or_else(|| panic!("no {id} in\n{tree}")))
}

async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_tree_shows_ids_kinds_rules_and_actors_of_all_levels_in_start_order() {
    let (_, [a, b, c]) = puppets(["a", "b", "c"]);
    let desk = SupervisorSpec::new(Strategy::RestForOne).intensity(at_most(7));
    let desk = ChildSpec::supervisor("desk", desk.children([b.spec(), c.spec().restart(Restart::Transient)]));
    let pool = ChildSpec::dynamic_supervisor("pool", DynamicSupervisorSpec::default()).restart(Restart::Temporary);
    let spec = SupervisorSpec::new(Strategy::OneForAll).children([a.spec(), desk, pool]);
    let top = Supervisor::start("top", spec).await.unwrap();
    let pooled = Puppet::new("pooled", &Log::new());
    top.dynamic_supervisor("pool").await.unwrap().unwrap().start_child(pooled.spec()).await.unwrap();

    let tree = top.tree().await;
    assert_eq!((tree.id.as_str(), tree.kind, tree.restart), ("top", ChildKind::Supervisor, None));
    assert_eq!(tree.actor, Some(top.actor().unwrap().get_id()));
    assert_eq!(tree.supervision.unwrap().strategy, Strategy::OneForAll);
    assert_eq!(ids(&tree), ["a", "desk", "pool"]);
    assert_eq!(ids(part(&tree, &["desk"])), ["b", "c"]);
    assert_eq!(part(&tree, &["desk"]).supervision.unwrap().intensity, at_most(7));
    let c_there = part(&tree, &["desk", "c"]);
    assert_eq!((c_there.kind, c_there.restart), (ChildKind::Worker, Some(Restart::Transient)));
    assert_eq!((c_there.actor, c_there.status), (Some(c.id()), TreeStatus::Running));
    assert_eq!(part(&tree, &["pool", "pooled"]).actor, Some(pooled.id()));
    assert_eq!(part(&tree, &["pool"]).restart, Some(Restart::Temporary));
    assert_eq!(tree.running(), 7);
    let desk = top.supervisor("desk").await.unwrap().unwrap().tree().await;
    assert_eq!((desk.id.as_str(), ids(&desk)), ("top/desk", vec!["b", "c"]));
    top.shutdown().await;
    let tree = top.tree().await;
    assert_eq!((tree.status, tree.running(), tree.children.len()), (TreeStatus::Stopped, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_tree_shows_restarts_the_last_exit_and_how_long_a_backoff_lasts() {
    let (_, [a, b]) = puppets(["a", "b"]);
    let (reporter, mut reports) = reports();
    let children = [a.spec().backoff(Backoff::Constant(Duration::from_secs(30))), b.spec()];
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(5)).children(children).reporter(reporter);
    let top = Supervisor::start("top", spec).await.unwrap();
    for _ in 0..2 {
        b.latest().kill();
        reports.restarted("b").await;
    }
    a.order(Command::Fail("broken"));
    reports.exited("a").await;
    settle().await;
    tokio::time::advance(Duration::from_secs(10)).await;
    let tree = top.tree().await;
    let (a, b) = (part(&tree, &["a"]), part(&tree, &["b"]));
    assert_eq!((a.status, a.actor, a.restarts), (TreeStatus::Restarting, None, 0));
    assert_eq!(a.backoff, Some(Duration::from_secs(20)));
    assert_eq!(a.last_exit, Some(ExitReason::Failed("broken".into())));
    assert_eq!((b.status, b.restarts, b.last_exit.clone()), (TreeStatus::Running, 2, Some(ExitReason::Killed)));
    assert_eq!(tree.supervision.unwrap().used, 3);

    let json = serde_json::to_value(&tree).unwrap();
    assert_eq!(json["supervision"]["strategy"], "one-for-one");
    assert_eq!(json["supervision"]["used"], 3);
    let [a, b] = [0, 1].map(|place| json["children"][place].clone());
    assert_eq!((&a["status"], &a["backoff_ms"]), (&"restarting".into(), &20_000.into()));
    assert_eq!((&a["last_exit"], &a["actor"]), (&"failed: broken".into(), &serde_json::Value::Null));
    assert_eq!((&b["kind"], &b["restart"], &b["restarts"]), (&"worker".into(), &"permanent".into(), &2.into()));
    assert_eq!(b["actor"], top.child("b").await.unwrap().unwrap().get_id().to_string());
    assert_eq!(b.get("backoff_ms"), None);
    top.shutdown().await;
}

#[tokio::test]
async fn supervisors_that_are_starting_restarting_or_stopped_are_shown_as_that_with_no_children() {
    let (_, [a]) = puppets(["a"]);
    let gate = Gate::new();
    let inner = |id| ChildSpec::supervisor(id, SupervisorSpec::new(Strategy::OneForOne).child(a.spec()));
    let (reporter, mut reports) = reports();
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(inner("inner")).reporter(reporter);
    let top = Supervisor::start("top", spec).await.unwrap();

    a.always(Moment::Called, Behavior::Wait(gate.clone()));
    top.supervisor("inner").await.unwrap().unwrap().actor().unwrap().kill();
    reports.exited("inner").await;
    let other = top.clone();
    let spec = inner("late");
    let starting = tokio::spawn(async move { other.start_child(spec).await });
    settle().await;
    let tree = top.tree().await;
    let inner = part(&tree, &["inner"]);
    assert_eq!((inner.status, inner.children.len(), inner.supervision), (TreeStatus::Restarting, 0, None), "{tree}");
    let late = part(&tree, &["late"]);
    assert_eq!((late.status, late.actor), (TreeStatus::Starting, None), "{tree}");
    assert_eq!(tree.children.len(), 2, "a start under way is in it twice:\n{tree}");

    gate.open();
    starting.await.unwrap().unwrap();
    top.terminate_child("late").await.unwrap();
    let tree = top.tree().await;
    assert_eq!((part(&tree, &["late"]).status, part(&tree, &["late"]).children.len()), (TreeStatus::Stopped, 0));
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_is_stopping_does_not_delay_the_rest_of_the_tree() {
    let (log, [a, b]) = puppets(["a", "b"]);
    let gate = Gate::new();
    a.always(Moment::Stopping, Behavior::Wait(gate.clone()));
    let slow = a.spec().shutdown(foundation::supervision::Shutdown::Infinity);
    let inner = ChildSpec::supervisor("inner", SupervisorSpec::new(Strategy::OneForOne).child(slow));
    let spec = SupervisorSpec::new(Strategy::OneForOne).children([inner, b.spec()]);
    let top = Supervisor::start("top", spec).await.unwrap();
    let inner = top.supervisor("inner").await.unwrap().unwrap();
    let stopping = tokio::spawn({
        let inner = inner.clone();
        async move { inner.shutdown().await }
    });
    log.reached("a", Moment::Stopping, 1).await;
    let begun = Instant::now();
    let tree = top.tree().await;
    let shown = part(&tree, &["inner"]);
    assert_eq!(shown.status, TreeStatus::Stopping, "{tree}");
    assert_eq!((shown.children.len(), part(&tree, &["b"]).status), (0, TreeStatus::Running));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    gate.open();
    stopping.await.unwrap();
    top.shutdown().await;
}

/// Keeps a supervisor from answering: a reporter that blocks, on a thread of its own.
#[derive(Clone)]
struct Blocking(std::sync::Arc<std::sync::Mutex<std::sync::mpsc::Receiver<()>>>);

impl foundation::supervision::Reporter for Blocking {
    fn report(&self, report: &foundation::supervision::Report) {
        if let foundation::supervision::ChildEvent::Exited { .. } = report.happened {
            let _ = tokio::task::block_in_place(|| self.0.lock().unwrap().recv());
        }
    }
}

/// Several supervisors that do not answer take as much time as one, and the others are shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn supervisors_that_do_not_answer_are_shown_as_silent_in_bounded_time_and_asked_together() {
    let names = ["a", "b", "c"];
    let (log, stuck) = puppets(names);
    let (_, [well]) = puppets(["well"]);
    let mut spec = SupervisorSpec::new(Strategy::OneForOne);
    let mut release = Vec::new();
    for puppet in &stuck {
        let (sender, receiver) = std::sync::mpsc::channel();
        release.push(sender);
        let reporter = Blocking(std::sync::Arc::new(std::sync::Mutex::new(receiver)));
        let name = format!("over {}", release.len());
        let inner = SupervisorSpec::new(Strategy::OneForOne).child(puppet.spec()).reporter(reporter);
        spec = spec.child(ChildSpec::supervisor(name, inner));
    }
    let inner = SupervisorSpec::new(Strategy::OneForOne).child(well.spec());
    let top = Supervisor::start("top", spec.child(ChildSpec::supervisor("over 4", inner))).await.unwrap();
    for (puppet, name) in stuck.iter().zip(names) {
        puppet.order(Command::Fail("broken"));
        log.reached(name, Moment::Dropped, 1).await;
    }
    let begun = Instant::now();
    let tree = loop {
        // The exits may not have been read yet.
        let tree = top.tree().await;
        if tree.children.iter().filter(|child| child.status == TreeStatus::Silent).count() == 3 {
            break tree;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{tree}");
    };
    assert_eq!(part(&tree, &["over 4", "well"]).status, TreeStatus::Running);
    assert!(tree.children[..3].iter().all(|child| child.children.is_empty() && child.actor.is_some()));
    let begun = Instant::now();
    top.tree().await;
    assert!(begun.elapsed() < Duration::from_millis(2500), "one after the other: {:?}", begun.elapsed());
    drop(release);
    soon("the end", top.shutdown()).await;
}

const DIRECT: ServiceKey<Command> = ServiceKey::from_static("direct");
const CLERK: ServiceKey<Command> = ServiceKey::from_static("clerk");
const FOREIGN: ServiceKey<Command> = ServiceKey::from_static("foreign");

#[tokio::test]
async fn the_tree_of_a_registry_has_all_namespaces_names_and_directly_spawned_actors() {
    let registry = ProcessRegistry::start().await.unwrap();
    let production = registry.namespace(Namespace::Production).await.unwrap();
    let test = Namespace::test();
    registry.namespace(test).await.unwrap();
    let (_, [direct, clerk, porter, foreign]) = puppets(["direct", "clerk", "porter", "foreign"]);
    production.spawn(&DIRECT, direct.actor(), ()).await.unwrap();
    let spec = {
        let clerk = clerk.clone();
        production.child_spec(&CLERK, move || (clerk.actor(), ()))
    };
    production.supervise(spec).await.unwrap();
    production.supervise(porter.spec()).await.unwrap();
    let (guest, _) = foundation::ractor::Actor::spawn(None, foreign.actor(), ()).await.unwrap();
    production.register(&FOREIGN, &guest).await.unwrap();

    let tree = registry.tree().await;
    assert_eq!(tree.id, "registry");
    let application = part(&tree, &["production", "application"]);
    assert_eq!(ids(application), ["clerk", "porter", "direct"], "{tree}");
    let shown = part(application, &["direct"]);
    assert_eq!((shown.name.as_deref(), shown.actor, shown.direct), (Some("direct"), Some(direct.id()), true));
    assert_eq!(shown.restart, Some(Restart::Temporary));
    assert_eq!(part(application, &["clerk"]).name.as_deref(), Some("clerk"));
    assert!(!part(application, &["clerk"]).direct);
    assert_eq!(part(application, &["porter"]).name, None);
    assert_eq!(part(&tree, &[&test.to_string(), "application"]).children.len(), 0);

    let own = production.tree().await;
    assert_eq!((own.id.as_str(), ids(&own)), ("registry/production", vec!["application"]));
    assert_eq!(ids(part(&own, &["application"])), ["clerk", "porter", "direct"]);

    registry.cleanup_namespace(test).await.unwrap();
    let tree = registry.tree().await;
    assert_eq!(ids(&tree), ["production"], "{tree}");
    registry.shutdown().await;
    assert_eq!(registry.tree().await.status, TreeStatus::Stopped);
    assert_eq!(production.tree().await.status, TreeStatus::Stopped);
    guest.stop(None);
}

/// Every snapshot has each actor at most once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_actor_is_in_a_tree_twice_while_children_start_end_and_restart() {
    let registry = ProcessRegistry::start().await.unwrap();
    let space = registry.namespace(Namespace::test()).await.unwrap();
    let puppet = Puppet::new("clerk", &Log::new());
    let spec = {
        let puppet = puppet.clone();
        space.child_spec(&CLERK, move || (puppet.actor(), ()))
    };
    let churn = tokio::spawn({
        let space = space.clone();
        async move {
            for _ in 0..100 {
                space.supervise(spec.clone()).await.unwrap();
                let application = space.application().unwrap();
                application.terminate_child("clerk").await.unwrap();
                application.delete_child("clerk").await.unwrap();
            }
        }
    });
    while !churn.is_finished() {
        let tree = space.tree().await;
        let application = part(&tree, &["application"]);
        assert!(application.children.len() <= 1, "{tree}");
        tokio::task::yield_now().await;
    }
    churn.await.unwrap();
    soon("the end", registry.shutdown()).await;
}

#[tokio::test]
async fn an_actor_that_was_linked_by_hand_is_in_the_tree_under_the_name_of_its_actor() {
    let (_, [a, guest]) = puppets(["a", "guest"]);
    let top = Supervisor::start("top", SupervisorSpec::new(Strategy::OneForOne).child(a.spec())).await.unwrap();
    let linked = foundation::ractor::Actor::spawn_linked(None, guest.actor(), (), top.actor().unwrap());
    let (guest, _) = linked.await.unwrap();
    let tree = top.tree().await;
    let id = format!("actor {}", guest.get_id());
    assert_eq!(ids(&tree), ["a", &id]);
    assert!(part(&tree, &[&id]).direct);
    top.shutdown().await;
}

#[tokio::test]
async fn a_tree_is_drawn_with_a_line_for_each_actor_and_as_a_graph_with_a_node_for_each() {
    let (_, [a, b]) = puppets(["a", "b \"quoted\"\\\n"]);
    let inner = ChildSpec::supervisor("inner", SupervisorSpec::new(Strategy::OneForAll).child(b.spec()));
    let spec = SupervisorSpec::new(Strategy::OneForOne).children([inner, a.spec()]);
    let top = Supervisor::start("top", spec).await.unwrap();
    let tree = top.tree().await;
    let drawn = tree.to_string();
    let begins: Vec<String> = drawn.lines().map(|line| line.chars().take(12).collect()).collect();
    assert_eq!(begins.len(), 4, "{drawn}");
    assert!(begins[0].starts_with("top ") && begins[1].starts_with("├── inner ") && begins[3].starts_with("└── a "));
    assert!(begins[2].starts_with("│   └── b "), "{drawn}");
    let column = |line: &str| line.chars().collect::<String>().find("running").map(|at| line[..at].chars().count());
    let columns: Vec<_> = drawn.lines().map(column).collect();
    assert!(columns.windows(2).all(|pair| pair[0] == pair[1] && pair[0].is_some()), "{drawn}");

    let dot = tree.to_dot();
    assert!(dot.starts_with("digraph supervision {\n") && dot.ends_with("}\n"), "{dot}");
    assert_eq!((dot.matches("[shape=").count(), dot.matches(" -> ").count()), (4, 3), "{dot}");
    assert!(dot.contains(r#"b \"quoted\"\\ "#), "{dot}");
    // In any quoted text, the quotes come in pairs.
    let bare = dot.replace("\\\\", "").replace("\\\"", "");
    assert_eq!(bare.matches('"').count() % 2, 0);
    top.shutdown().await;
}

#[tokio::test]
async fn of_several_children_of_one_id_the_first_is_shown() {
    let pool =
        foundation::supervision::DynamicSupervisor::start("pool", DynamicSupervisorSpec::default()).await.unwrap();
    let (_, [first, second]) = puppets(["same", "same"]);
    for puppet in [&first, &second] {
        pool.start_child(puppet.spec()).await.unwrap().unwrap();
    }
    let tree = pool.tree().await;
    assert_eq!((ids(&tree), tree.running()), (vec!["same", "same"], 3));
    assert_eq!(tree.child("same").unwrap().actor, Some(first.id()));
    assert!(tree.child("other").is_none());
    pool.shutdown().await;
}
