//! Random histories of names against a naive model, and random interleavings against the invariants.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foundation::names::{CallError, RegistryError, ServiceRegistry};
use foundation::ractor::{ActorRef, ActorStatus};
use foundation::{ServiceKey, Via};
use foundation_testkit::{Command, Gate, Probe, Puppet, test_registry};
use proptest::prelude::*;
use tokio::task::yield_now;

use crate::ending::Ending;
use crate::setup::{foreign, key, names_in};

const NAMES: usize = 3;

fn keys() -> Vec<ServiceKey<Command>> {
    (0..NAMES).map(|n| key(format!("name_{n}"))).collect()
}

fn run(history: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(history);
}

fn endings() -> impl Strategy<Value = Ending> {
    proptest::sample::select(Ending::ALL.to_vec())
}

// ---- one after the other ----

#[derive(Debug, Clone)]
enum Deed {
    Spawn(usize, Ending),
    FailToStart(usize),
    Register(usize, usize),
    Unregister(usize),
    End(usize),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => (0..NAMES, endings()).prop_map(|(name, ending)| Deed::Spawn(name, ending)),
        1 => (0..NAMES).prop_map(Deed::FailToStart),
        3 => (0..NAMES, 0..8_usize).prop_map(|(name, actor)| Deed::Register(name, actor)),
        2 => (0..NAMES).prop_map(Deed::Unregister),
        4 => (0..8_usize).prop_map(Deed::End),
    ];
    proptest::collection::vec(deed, 1..40)
}

struct Living {
    actor: ActorRef<Command>,
    ending: Ending,
    gate: Gate,
}

/// The registry and the model side by side.
struct Sequence {
    names: ServiceRegistry,
    keys: Vec<ServiceKey<Command>>,
    vias: Vec<Via<Command>>,
    living: Vec<Living>,
    model: BTreeMap<usize, ActorRef<Command>>,
    puppet: Puppet,
}

impl Sequence {
    fn check_refusal(&self, name: usize, refused: &RegistryError) {
        let RegistryError::AlreadyRegistered { holder, .. } = refused else { panic!("{refused}") };
        assert_eq!(*holder, self.model.get(&name).map(|actor| actor.get_id()));
    }

    async fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Spawn(name, ending) => {
                let gate = Gate::new();
                match self.names.spawn(&self.keys[name], ending.probe(&Puppet::default(), &gate), ()).await {
                    Ok(actor) => {
                        assert!(self.model.insert(name, actor.clone()).is_none());
                        self.living.push(Living { actor, ending, gate });
                    }
                    Err(refused) => self.check_refusal(name, &refused),
                }
            }
            Deed::FailToStart(name) => {
                let probe = self.puppet.actor().start(foundation_testkit::Behavior::Fail("no"));
                match self.names.spawn(&self.keys[name], probe, ()).await.unwrap_err() {
                    RegistryError::Start { .. } => assert!(!self.model.contains_key(&name)),
                    refused => self.check_refusal(name, &refused),
                }
            }
            Deed::Register(name, which) => {
                let actor = match self.living.get(which) {
                    Some(living) => living.actor.clone(),
                    None => {
                        let (actor, gate) = (foreign(Probe::default()).await, Gate::new());
                        self.living.push(Living { actor: actor.clone(), ending: Ending::Kill, gate });
                        actor
                    }
                };
                match self.names.register(&self.keys[name], &actor).await {
                    Ok(()) => assert!(self.model.insert(name, actor).is_none()),
                    Err(refused) => self.check_refusal(name, &refused),
                }
            }
            Deed::Unregister(name) => {
                assert_eq!(self.names.unregister(&self.keys[name]), self.model.remove(&name).is_some());
            }
            Deed::End(which) if which < self.living.len() => {
                let Living { actor, ending, gate } = self.living.swap_remove(which);
                ending.bring_about(&actor, &gate).await;
                actor.wait(None).await.unwrap();
                self.model.retain(|_, holder| holder.get_id() != actor.get_id());
            }
            Deed::End(_) => {}
        }
        self.check();
    }

    /// No name is lost, no dead actor is found, and all kinds of queries agree.
    fn check(&self) {
        for (n, key) in self.keys.iter().enumerate() {
            let expected = self.model.get(&n).map(|actor| actor.get_id());
            assert_eq!(self.names.lookup(key).ok().map(|actor| actor.get_id()), expected);
            assert_eq!(self.vias[n].actor_ref().ok().map(|actor| actor.get_id()), expected);
            assert_eq!(self.vias[n].is_alive(), expected.is_some());
            assert_eq!(self.names.is_registered(key), expected.is_some());
        }
        let expected: Vec<_> = self.model.keys().map(|n| self.keys[*n].to_string()).collect();
        assert_eq!(names_in(&self.names), expected);
        assert_eq!(self.names.service_info().healthy(), expected.len());
    }
}

// ---- concurrent ----

#[derive(Debug, Clone)]
enum Step {
    Spawn(usize, Ending),
    CancelSpawn(usize, usize),
    Register(usize),
    End(usize),
    Look(usize),
    Call(usize),
    Wait(usize),
}

/// The steps of one task, each with the number of yields before it.
fn scripts() -> impl Strategy<Value = Vec<Vec<(Step, usize)>>> {
    let step = prop_oneof![
        4 => (0..NAMES, endings()).prop_map(|(name, ending)| Step::Spawn(name, ending)),
        1 => (0..NAMES, 0..4_usize).prop_map(|(name, polls)| Step::CancelSpawn(name, polls)),
        2 => (0..NAMES).prop_map(Step::Register),
        4 => (0..NAMES).prop_map(Step::End),
        4 => (0..NAMES).prop_map(Step::Look),
        2 => (0..NAMES).prop_map(Step::Call),
        2 => (0..NAMES).prop_map(Step::Wait),
    ];
    proptest::collection::vec(proptest::collection::vec((step, 0..5_usize), 1..15), 2..6)
}

/// An incarnation, how it is to end, and the gate that holds its end back.
type Latest = (ActorRef<Command>, Ending, Gate);

struct Interleaving {
    names: ServiceRegistry,
    keys: Vec<ServiceKey<Command>>,
    puppets: Vec<Puppet>,
    /// The latest holder of a name, and how to end it. Written in the same poll in which the name became visible.
    last: Mutex<Vec<Option<Latest>>>,
}

impl Interleaving {
    /// One thread and no await in between: the result and the actual state can be compared exactly.
    fn check_found(&self, n: usize, found: Result<ActorRef<Command>, RegistryError>) {
        let last = self.last.lock().unwrap();
        let holder =
            last[n].as_ref().map(|(actor, ..)| actor).filter(|actor| actor.get_status() < ActorStatus::Draining);
        match found {
            Ok(found) => {
                assert!(found.get_status() < ActorStatus::Draining, "a dead actor was found");
                assert_eq!(Some(found.get_id()), holder.map(|holder| holder.get_id()));
            }
            Err(missed) => assert!(holder.is_none(), "a live name is lost: {missed}"),
        }
    }

    fn got(&self, n: usize, actor: ActorRef<Command>, ending: Ending, gate: Gate) {
        if actor.get_status() < ActorStatus::Draining {
            let mut last = self.last.lock().unwrap();
            let held = last[n].as_ref().is_some_and(|(old, ..)| old.get_status() < ActorStatus::Draining);
            assert!(!held, "two live holders of one name");
            last[n] = Some((actor, ending, gate));
        }
    }

    async fn act(&self, step: Step) {
        match step {
            Step::Spawn(n, ending) => {
                let gate = Gate::new();
                match self.names.spawn(&self.keys[n], ending.probe(&self.puppets[n], &gate), ()).await {
                    Ok(actor) => self.got(n, actor, ending, gate),
                    Err(RegistryError::AlreadyRegistered { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            Step::CancelSpawn(n, polls) => {
                let never = foundation_testkit::Behavior::Wait(Gate::new());
                let hanging = self.names.spawn(&self.keys[n], self.puppets[n].actor().start(never), ());
                let patience = async {
                    for _ in 0..polls {
                        yield_now().await;
                    }
                };
                tokio::select! { biased; _ = hanging => {}, () = patience => {} }
            }
            Step::Register(n) => {
                let actor = foreign(Probe::default()).await;
                match self.names.register(&self.keys[n], &actor).await {
                    Ok(()) => self.got(n, actor, Ending::Kill, Gate::new()),
                    Err(RegistryError::AlreadyRegistered { .. }) => actor.stop(None),
                    Err(other) => panic!("{other}"),
                }
            }
            Step::End(n) => {
                let last = self.last.lock().unwrap()[n].clone();
                if let Some((actor, ending, _)) = last
                    && actor.get_status() < ActorStatus::Draining
                {
                    end(&actor, ending);
                }
            }
            Step::Look(n) => self.check_found(n, self.names.lookup(&self.keys[n])),
            Step::Call(n) => match self.names.via(&self.keys[n]).call(Command::Id, Duration::from_secs(1)).await {
                Ok(_) | Err(CallError::NotDelivered(_) | CallError::NoReply { .. }) => {}
                Err(other) => panic!("{other}"),
            },
            Step::Wait(n) => match self.names.wait_for_service(&self.keys[n], Duration::from_secs(1)).await {
                Ok(found) => self.check_found(n, Ok(found)),
                Err(RegistryError::WaitTimedOut { .. }) => {}
                Err(other) => panic!("{other}"),
            },
        }
    }
}

/// As [`Ending::bring_about`], but without waiting: others may be faster.
fn end(actor: &ActorRef<Command>, ending: Ending) {
    match ending {
        Ending::Panic => drop(actor.cast(Command::Panic("ordered to panic"))),
        Ending::Fail => drop(actor.cast(Command::Fail("ordered to fail"))),
        Ending::Leave => drop(actor.cast(Command::Stop(None))),
        Ending::Drain => drop(actor.drain()),
        Ending::Kill | Ending::KillWhileBusy => actor.kill(),
        Ending::KillInPostStop => {
            actor.stop(None);
            let actor = actor.clone();
            tokio::spawn(async move {
                yield_now().await;
                actor.kill();
            });
        }
        Ending::Stop | Ending::PostStopFails | Ending::PostStopPanics => actor.stop(None),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_history_of_names_matches_a_naive_model(history in deeds()) {
        run(async {
            let (registry, names) = test_registry().await;
            let keys = keys();
            let vias = keys.iter().map(|key| names.via(key)).collect();
            let (living, model, puppet) = (Vec::new(), BTreeMap::new(), Puppet::default());
            let mut sequence = Sequence { names, keys, vias, living, model, puppet };
            for deed in history {
                sequence.act(deed).await;
            }
            sequence.names.cleanup().await.unwrap();
            assert_eq!(registry.stats().total, 0);
        });
    }

    #[test]
    fn no_interleaving_finds_a_dead_actor_loses_a_live_one_or_has_two(scripts in scripts()) {
        run(async {
            let (registry, names) = test_registry().await;
            let keys = keys();
            let puppets: Vec<_> = (0..NAMES).map(|_| Puppet::default()).collect();
            let last = Mutex::new(vec![None; NAMES]);
            let shared = Arc::new(Interleaving { names, keys, puppets, last });
            let tasks: Vec<_> = scripts.into_iter().map(|script| {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    for (step, pauses) in script {
                        for _ in 0..pauses {
                            yield_now().await;
                        }
                        shared.act(step).await;
                    }
                })
            }).collect();
            for task in tasks {
                task.await.unwrap();
            }
            shared.names.cleanup().await.unwrap();
            assert_eq!(registry.stats().total, 0);
            for puppet in &shared.puppets {
                assert_eq!(puppet.overlaps(), 0);
                assert!(puppet.alive() == 0);
            }
        });
    }
}
