//! Following a tree from a snapshot on.

use std::sync::mpsc::channel;
use std::time::Duration;

use fastrand::Rng;
use foundation::names::{Namespace, ServiceRegistry};
use foundation::supervision::{
    ChildEvent, ChildId, ChildKind, DynamicSupervisor, DynamicSupervisorSpec, Reporter, RestartIntensity, Start,
    StartContext, StartError, SupervisorKey, SupervisorLimits, SupervisorSpec, Tree, TreeChange, TreeStatus, TreeWatch,
};
use foundation::{ChildSpec, Restart, Strategy, Supervisor};
use foundation_testkit::{Probe, soon, test_registry, until};
use futures::{FutureExt, StreamExt};

const POOL: SupervisorKey<DynamicSupervisor> = SupervisorKey::from_static("pool");
const TEAM: SupervisorKey<Supervisor> = SupervisorKey::from_static("team");

fn worker(id: &str) -> ChildSpec {
    ChildSpec::worker(id, || (Probe::default(), ()))
}

/// A team of three under a strategy, one of them a supervisor of two.
fn team(strategy: Strategy) -> SupervisorSpec {
    let inner = SupervisorSpec::new(Strategy::OneForAll).children([worker("x"), worker("y")]);
    let inner = ChildSpec::supervisor("inner", inner.intensity(RestartIntensity::UNLIMITED));
    SupervisorSpec::new(strategy).intensity(RestartIntensity::UNLIMITED).children([worker("a"), inner, worker("b")])
}

/// Without what is not followed: names, remaining delays, and how much of an intensity is used now.
fn followed(mut tree: Tree) -> Tree {
    let mut open = vec![&mut tree];
    while let Some(tree) = open.pop() {
        (tree.name, tree.backoff) = (None, None);
        if let Some(supervision) = &mut tree.supervision {
            supervision.used = 0;
        }
        open.extend(&mut tree.children);
    }
    tree
}

/// Applies all changes that are there.
fn catch_up(tree: &mut Tree, watch: &mut TreeWatch) {
    while let Some(change) = watch.next().now_or_never() {
        tree.apply(&change.expect("the reader is fast enough").expect("the namespace has not ended"));
    }
}

async fn equals_a_fresh_snapshot(tree: &mut Tree, watch: &mut TreeWatch, names: &ServiceRegistry) {
    until("the changes to lead to the present tree", async || {
        let fresh = followed(names.tree().await);
        catch_up(tree, watch);
        followed(tree.clone()) == fresh
    })
    .await;
}

/// One random thing to a random part of the tree.
async fn strike(names: &ServiceRegistry, rng: &mut Rng) {
    let team = names.supervisor(&TEAM);
    let pool = names.dynamic(&POOL);
    // Any of these may come too late, or too early.
    match rng.u8(..9) {
        0 | 1 => drop(pool.start_child(worker("job")).await),
        2 => drop(pool.start_child(worker("once").restart(Restart::Temporary)).await),
        3 => {
            if let Some(child) = rng.choice(pool.which_children().await.unwrap_or_default())
                && let foundation::supervision::ChildState::Running(actor) = child.state
            {
                drop(pool.terminate_child(actor).await);
            }
        }
        4 => drop(team.terminate_child(rng.choice(["a", "b", "inner"]).unwrap()).await),
        5 => drop(team.restart_child(rng.choice(["a", "b", "inner"]).unwrap()).await),
        6 => drop(team.delete_child("extra").await),
        7 => drop(team.start_child(worker("extra")).await),
        _ => kill_one(&names.application().unwrap(), rng).await,
    }
}

/// Kills a random actor below the application, a supervisor or a worker.
async fn kill_one(application: &Supervisor, rng: &mut Rng) {
    let team = application.supervisor("team").await.unwrap();
    let inner = match &team {
        Some(team) => team.supervisor("inner").await.ok().flatten(),
        None => None,
    };
    let supervisors = [Some(application.clone()), team, inner];
    let running: Vec<_> = supervisors.into_iter().flatten().collect();
    let Some(at) = rng.choice(running) else { return };
    let children = at.which_children().await.unwrap_or_default();
    if let Some(child) = rng.choice(children)
        && let Ok(Some(actor)) = at.child(child.id.as_str()).await
    {
        actor.kill();
    }
}

async fn in_order(names: &ServiceRegistry, strategy: Strategy) {
    let supervisor = |spec: ChildSpec| spec.intensity(RestartIntensity::UNLIMITED);
    names.supervise(supervisor(names.supervisor_spec(&TEAM, team(strategy)))).await.unwrap();
    let pool = DynamicSupervisorSpec::default().intensity(RestartIntensity::UNLIMITED);
    names.supervise(supervisor(names.supervisor_spec(&POOL, pool))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_changes_lead_from_any_snapshot_to_a_fresh_one_whatever_happens() {
    for seed in 0..12 {
        let (registry, names) = test_registry().await;
        let mut rng = Rng::with_seed(seed);
        let strategy = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne][seed as usize % 3];
        in_order(&names, strategy).await;
        let mut watch = names.watch_tree().capacity(100_000);
        let mut tree = watch.snapshot().await;
        for round in 0..12 {
            for _ in 0..rng.usize(1..8) {
                strike(&names, &mut rng).await;
            }
            if round % 3 == 2 {
                // In the middle of what happens.
                tree = watch.snapshot().await;
            }
            equals_a_fresh_snapshot(&mut tree, &mut watch, &names).await;
        }
        registry.shutdown().await;
    }
}

#[tokio::test]
async fn a_change_says_what_happened_to_which_child_and_why() {
    let (_registry, names) = test_registry().await;
    in_order(&names, Strategy::OneForOne).await;
    let mut watch = names.watch_tree();
    let tree = watch.snapshot().await;
    let before = tree.find("application/team/a").unwrap().actor.unwrap();
    names.supervisor(&TEAM).child("a").await.unwrap().unwrap().kill();
    let mut said = Vec::new();
    let updated = loop {
        match watch.next().await.unwrap().unwrap() {
            TreeChange::Event { path, event, .. } => said.push((path, event.to_string())),
            TreeChange::Updated { path, child, .. } if child.status == TreeStatus::Running => break (path, child),
            _ => {}
        }
    };
    let path: Vec<_> = ["application", "team", "a"].map(ChildId::from).into();
    assert!(said.iter().all(|(at, _)| *at == path), "{said:?}");
    let texts: Vec<_> = said.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts[0], format!("exited, as actor {before}: killed"));
    assert!(texts[1].starts_with("is to be restarted, since a exited: killed"), "{texts:?}");
    assert!(texts[2].starts_with("started again"), "{texts:?}");
    assert_eq!((updated.0, updated.1.restarts), (path, 1));
}

#[tokio::test]
async fn a_supervisor_that_is_restarted_is_followed_with_its_new_children() {
    let (_registry, names) = test_registry().await;
    in_order(&names, Strategy::OneForOne).await;
    let mut watch = names.watch_tree();
    let mut tree = watch.snapshot().await;
    names.dynamic(&POOL).start_child(worker("job")).await.unwrap();
    names.supervisor(&TEAM).actor().unwrap().kill_and_wait(None).await.unwrap();
    names.dynamic(&POOL).actor().unwrap().kill_and_wait(None).await.unwrap();
    equals_a_fresh_snapshot(&mut tree, &mut watch, &names).await;
    assert_eq!(tree.find("application/team/inner").unwrap().children.len(), 2);
    assert_eq!(tree.find("application/pool").unwrap().children.len(), 0);
}

#[tokio::test]
async fn a_namespace_whose_supervisor_is_killed_is_followed_over_its_restart() {
    let registry = foundation::names::ProcessRegistry::start().await.unwrap();
    let names = registry.namespace(Namespace::Production).await.unwrap();
    let mut watch = names.watch_tree();
    let mut tree = watch.snapshot().await;
    let before = tree.actor;
    let top = names.application().unwrap().actor().unwrap().try_get_supervisor().unwrap();
    top.kill_and_wait(None).await.unwrap();
    until("its restart", async || {
        catch_up(&mut tree, &mut watch);
        tree.actor != before && tree.find("application").is_ok_and(|it| it.status == TreeStatus::Running)
    })
    .await;
    equals_a_fresh_snapshot(&mut tree, &mut watch, &names).await;
    registry.shutdown().await;
}

#[tokio::test]
async fn the_whole_registry_is_followed_and_each_namespace_sees_only_itself() {
    let (registry, names) = test_registry().await;
    let mut all = registry.watch_tree();
    let mut tree = all.snapshot().await;
    let mut mine = names.watch_tree();
    let other = registry.namespace(Namespace::test()).await.unwrap();
    other.supervise(worker("other")).await.unwrap();
    let path = format!("{}/application/other", other.namespace());
    until("the other namespace", async || {
        catch_up(&mut tree, &mut all);
        tree.find(&path).is_ok_and(|child| child.status == TreeStatus::Running)
    })
    .await;
    assert!(mine.next().now_or_never().is_none(), "nothing has happened here");
    registry.cleanup_namespace(other.namespace()).await.unwrap();
    until("its end", async || {
        catch_up(&mut tree, &mut all);
        tree.child(&other.namespace().to_string()).is_none()
    })
    .await;
}

#[tokio::test]
async fn a_slow_reader_gets_the_number_of_lost_changes_and_goes_on_from_a_new_snapshot() {
    let (_registry, names) = test_registry().await;
    in_order(&names, Strategy::OneForOne).await;
    let mut watch = names.watch_tree().capacity(3);
    let mut tree = watch.snapshot().await;
    for _ in 0..4 {
        names.dynamic(&POOL).start_child(worker("job")).await.unwrap();
    }
    let lagged = watch.next().await.unwrap_err();
    assert!(lagged.missed > 3, "{lagged}");
    assert!(
        lagged.to_string().ends_with("changes of the tree were lost, since the reader was slow; take a new snapshot")
    );
    tree.clone_from(&watch.snapshot().await);
    names.dynamic(&POOL).start_child(worker("job")).await.unwrap();
    equals_a_fresh_snapshot(&mut tree, &mut watch, &names).await;
}

#[tokio::test]
async fn a_watch_is_one_handle_on_its_namespace_and_none_after_its_end() {
    let (registry, names) = test_registry().await;
    let (remains, before) = (names.remains(), names.remains().handles());
    let mut watch = names.watch_tree();
    assert_eq!(remains.handles(), before + 1);
    registry.shutdown().await;
    drop(names);
    soon("the end", (&mut watch).map(Result::unwrap).collect::<Vec<_>>()).await;
    assert_eq!(remains.handles(), 0);
    assert_eq!(watch.snapshot().await.status, TreeStatus::Stopped);
}

#[tokio::test]
async fn a_snapshot_that_is_cancelled_loses_the_changes_that_it_has_forgotten() {
    let (_registry, names) = test_registry().await;
    in_order(&names, Strategy::OneForOne).await;
    let mut watch = names.watch_tree().capacity(3);
    let mut tree = watch.snapshot().await;
    for _ in 0..4 {
        names.dynamic(&POOL).start_child(worker("job")).await.unwrap();
    }
    assert!(watch.snapshot().now_or_never().is_none(), "supervisors have to be asked");
    names.dynamic(&POOL).start_child(worker("job")).await.unwrap();
    let lagged = watch.next().await.unwrap_err();
    assert!(lagged.missed > 3, "{lagged}");
    tree.clone_from(&watch.snapshot().await);
    equals_a_fresh_snapshot(&mut tree, &mut watch, &names).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_that_is_silent_in_a_snapshot_is_shown_with_its_children_when_it_answers_again() {
    let (release, released) = channel::<()>();
    let (arrived, mut arrival) = tokio::sync::mpsc::unbounded_channel();
    let released = std::sync::Mutex::new(Some(released));
    // A start function that blocks delays its supervisor, and no other actor.
    let blocks = ChildSpec::from_fn("blocks", ChildKind::Worker, move |_: StartContext| {
        arrived.send(()).unwrap();
        let released = released.lock().unwrap().take();
        tokio::task::block_in_place(|| released.map(|released| released.recv()));
        async { Ok::<_, StartError>(Start::Ignore) }
    });
    let inner = SupervisorSpec::new(Strategy::OneForOne).child(worker("clerk"));
    let limits = SupervisorLimits::new().tree(Duration::from_millis(50));
    let spec = SupervisorSpec::new(Strategy::OneForOne).limits(limits).child(ChildSpec::supervisor("inner", inner));
    let top = Supervisor::start("top", spec).await.unwrap();
    let inner = top.supervisor("inner").await.unwrap().unwrap();
    let starting = tokio::spawn(async move { inner.start_child(blocks).await });
    soon("the start", arrival.recv()).await.unwrap();
    let mut watch = top.watch_tree().unwrap();
    let mut tree = watch.snapshot().await;
    assert_eq!(tree.find("inner").unwrap().status, TreeStatus::Silent);
    drop(release);
    soon("the start", starting).await.unwrap().unwrap();
    until("its children", async || {
        catch_up(&mut tree, &mut watch);
        tree.find("inner/clerk").is_ok_and(|clerk| clerk.status == TreeStatus::Running)
    })
    .await;
    assert_eq!(followed(tree), followed(top.tree().await));
    top.shutdown().await;
}

#[tokio::test]
async fn a_reporter_of_an_embedder_does_not_hide_what_happens_from_those_who_follow_the_tree() {
    struct Silent;
    impl Reporter for Silent {
        fn report(&self, _: &foundation::supervision::Report) {}
    }
    let (_registry, names) = test_registry().await;
    let quiet = SupervisorSpec::new(Strategy::OneForOne).reporter(Silent).child(worker("clerk"));
    names.supervise(ChildSpec::supervisor("quiet", quiet)).await.unwrap();
    let mut watch = names.watch_tree();
    let quiet = names.application().unwrap().supervisor("quiet").await.unwrap().unwrap();
    quiet.child("clerk").await.unwrap().unwrap().kill();
    let exited = async {
        loop {
            let change = watch.next().await.unwrap().unwrap();
            if let TreeChange::Event { event: ChildEvent::Exited { .. }, path, .. } = change {
                return path;
            }
        }
    };
    let path = soon("the event", exited).await;
    assert_eq!(path, ["application", "quiet", "clerk"].map(ChildId::from));
}

#[tokio::test]
async fn the_end_of_a_namespace_ends_those_who_follow_its_tree() {
    let (registry, names) = test_registry().await;
    in_order(&names, Strategy::OneForOne).await;
    let mut watch = names.watch_tree();
    names.cleanup().await.unwrap();
    let last = soon("the end", async { (&mut watch).map(Result::unwrap).collect::<Vec<_>>().await }).await;
    assert!(!last.is_empty(), "its children were stopped");
    assert_eq!(watch.next().await, Ok(None));
    registry.shutdown().await;
    assert_eq!(names.watch_tree().next().await, Ok(None), "it has ended before");
}
