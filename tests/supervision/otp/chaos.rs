//! A tree of three levels under random faults from several tasks at once: afterwards every child is there once, and
//! after the shutdown no child is.

use fastrand::Rng;
use foundation::supervision::{ChildError, ChildState, DynamicSupervisorSpec, SupervisorSpec};
use foundation::{ChildSpec, Strategy, Supervisor};
use foundation_testkit::{Behavior, Command, Log, Moment, Puppet, soon, until, until_tasks_left};
use tokio::task::yield_now;

use super::{STRATEGIES, at_most};

const MIDDLES: [&str; 3] = ["m0", "m1", "m2"];
const LEAVES: [&str; 3] = ["l0", "l1", "l2"];

/// Three supervisors, one of each strategy; under each of them, in turn, a supervisor of three workers between two
/// workers.
fn tree(log: &Log) -> (SupervisorSpec, Vec<Puppet>) {
    let mut puppets = Vec::new();
    let mut puppet = |name: &str| {
        puppets.push(Puppet::new(name, log));
        puppets[puppets.len() - 1].spec()
    };
    let mut top = SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(u32::MAX));
    for (middle, strategy) in MIDDLES.into_iter().zip(STRATEGIES) {
        let leaves = LEAVES.map(&mut puppet);
        let inner = SupervisorSpec::new(strategy).intensity(at_most(u32::MAX)).children(leaves);
        let children = [puppet("before"), ChildSpec::supervisor("inner", inner), puppet("after")];
        let spec = SupervisorSpec::new(strategy).intensity(at_most(u32::MAX)).children(children);
        top = top.child(ChildSpec::supervisor(middle, spec));
    }
    (top, puppets)
}

/// A fault for one worker. It has no effect if the worker is down or being replaced.
fn strike(dice: &mut Rng, puppet: &Puppet) {
    let actor = puppet.latest();
    let _ = match dice.usize(..8) {
        0 => actor.cast(Command::Stop(None)),
        1 => actor.cast(Command::Stop(Some("tidied up"))),
        2 => actor.cast(Command::Fail("broken")),
        3 => actor.cast(Command::Panic("cracked")),
        4 => {
            puppet.next(Moment::Stopping, Behavior::Panic("cracked on the way out"));
            actor.cast(Command::Stop(None))
        }
        5 => {
            puppet.next(Moment::Starting, Behavior::Fail("not yet"));
            actor.cast(Command::Fail("broken"))
        }
        6 => {
            puppet.next(Moment::Started, Behavior::Fail("broken on the way in"));
            actor.cast(Command::Fail("broken"))
        }
        _ => {
            actor.kill();
            Ok(())
        }
    };
}

/// A fault for a supervisor, or a request to it. Some requests are refused, since other tasks make requests as well.
async fn meddle(dice: &mut Rng, top: &Supervisor) -> Result<(), ChildError> {
    let id = MIDDLES[dice.usize(..MIDDLES.len())];
    let Some(middle) = top.supervisor(id).await? else { return Ok(()) };
    match dice.usize(..6) {
        0 => middle.actor().unwrap().kill(),
        1 => middle.actor().unwrap().stop(Some("maintenance".into())),
        2 => {
            if let Some(inner) = middle.supervisor("inner").await? {
                inner.actor().unwrap().kill();
            }
        }
        3 => {
            middle.terminate_child("inner").await?;
            middle.restart_child("inner").await?;
        }
        4 => {
            top.terminate_child(id).await?;
            top.restart_child(id).await?;
        }
        _ => {
            if let Some(inner) = middle.supervisor("inner").await? {
                let leaf = LEAVES[dice.usize(..LEAVES.len())];
                inner.terminate_child(leaf).await?;
                inner.restart_child(leaf).await?;
            }
        }
    }
    Ok(())
}

/// Whether every child of this supervisor runs; a child that was left stopped is started again.
async fn whole(sup: &Supervisor) -> Result<bool, ChildError> {
    let mut whole = true;
    for child in sup.which_children().await? {
        whole &= matches!(child.state, ChildState::Running(_));
        if child.state == ChildState::Stopped {
            sup.restart_child(child.id.as_str()).await?;
        }
    }
    Ok(whole)
}

async fn all_whole(top: &Supervisor) -> Result<bool, ChildError> {
    let mut all = whole(top).await?;
    for id in MIDDLES {
        let Some(middle) = top.supervisor(id).await? else { return Ok(false) };
        all &= whole(&middle).await?;
        let Some(inner) = middle.supervisor("inner").await? else { return Ok(false) };
        all &= whole(&inner).await?;
    }
    Ok(all)
}

async fn chaos(seed: u64, faults: usize) {
    let log = Log::new();
    let (spec, puppets) = tree(&log);
    let top = Supervisor::start("top", spec).await.unwrap();
    let tasks = (0..4).map(|task| {
        let (top, puppets) = (top.clone(), puppets.clone());
        let mut dice = Rng::with_seed(seed * 31 + task + 1);
        tokio::spawn(async move {
            for _ in 0..faults {
                if dice.usize(..4) == 0 {
                    let _ = soon("a request", meddle(&mut dice, &top)).await;
                } else {
                    let victim = dice.usize(..puppets.len());
                    strike(&mut dice, &puppets[victim]);
                }
                yield_now().await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    until("all running again", async || {
        matches!(all_whole(&top).await, Ok(true)) && puppets.iter().all(|puppet| puppet.alive() == 1)
    })
    .await;
    let overlaps: usize = puppets.iter().map(Puppet::overlaps).sum();
    assert_eq!(overlaps, 0);
    let count = top.count_children().await.unwrap();
    assert_eq!((count.specs, count.active), (3, 3));
    soon("the shutdown", top.shutdown()).await;
    assert!(puppets.iter().all(|puppet| puppet.alive() == 0));
    until_tasks_left(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn chaos_leaves_every_child_once_and_the_shutdown_leaves_none() {
    for seed in 1..=3 {
        chaos(seed, 150).await;
    }
}

/// The shutdown comes in the middle: pending restarts and requests come to an end as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn chaos_until_the_shutdown_leaves_no_actor() {
    for seed in 1..=20 {
        let log = Log::new();
        let (spec, puppets) = tree(&log);
        let top = Supervisor::start("top", spec).await.unwrap();
        let (victims, sup) = (puppets.clone(), top.clone());
        let striking = tokio::spawn(async move {
            let mut dice = Rng::with_seed(seed);
            loop {
                let victim = dice.usize(..victims.len());
                strike(&mut dice, &victims[victim]);
                if dice.usize(..4) == 0 && matches!(meddle(&mut dice, &sup).await, Err(ChildError::NotRunning { .. })) {
                    let down = sup.which_children().await.is_err();
                    if down {
                        break;
                    }
                }
                yield_now().await;
            }
        });
        log.reached("l1", Moment::Up, 5 + seed as usize).await;
        soon("the shutdown", top.shutdown()).await;
        assert!(puppets.iter().all(|puppet| puppet.alive() == 0));
        soon("the striker", striking).await.unwrap();
        until_tasks_left(0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn chaos_among_dynamic_children_loses_none_and_leaves_none() {
    let log = Log::new();
    let spec = DynamicSupervisorSpec::default().intensity(at_most(u32::MAX));
    let agency = foundation::supervision::DynamicSupervisor::start("agency", spec).await.unwrap();
    let puppets: Vec<_> = (0..20).map(|n| Puppet::new(&format!("p{n}"), &log)).collect();
    for puppet in &puppets {
        agency.start_child(puppet.spec()).await.unwrap();
    }
    let tasks = (0..4).map(|task| {
        let (agency, puppets) = (agency.clone(), puppets.clone());
        let mut dice = Rng::with_seed(task + 1);
        tokio::spawn(async move {
            for _ in 0..300 {
                // Each task has its own children to terminate and start again, and causes faults in all.
                let own = &puppets[dice.usize(..5) * 4 + task as usize];
                let victim = dice.usize(..puppets.len());
                match dice.usize(..4) {
                    0 => {
                        let known = agency.which_children().await.unwrap().len();
                        assert!(known <= puppets.len(), "{known} children");
                        if agency.terminate_child(own.id()).await.is_ok() {
                            // It may fail to start, which is one of the faults.
                            while agency.start_child(own.spec()).await.is_err() {}
                        }
                    }
                    _ => strike(&mut dice, &puppets[victim]),
                }
                yield_now().await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        soon("a task", task).await.unwrap();
    }
    until("all running again", async || {
        agency.count_children().await.unwrap().active >= 20 && puppets.iter().all(|puppet| puppet.alive() == 1)
    })
    .await;
    assert_eq!(puppets.iter().map(Puppet::overlaps).sum::<usize>(), 0);
    soon("the shutdown", agency.shutdown()).await;
    assert!(puppets.iter().all(|puppet| puppet.alive() == 0));
    until_tasks_left(0).await;
}
