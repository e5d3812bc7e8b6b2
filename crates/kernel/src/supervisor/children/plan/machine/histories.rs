//! Random histories of a supervisor's children, without an actor.
//!
//! [`sequential`] answers each step at once, as OTP's supervisor does, and compares the table with OTP's rules in a
//! second, plain implementation. [`interleaved`] answers steps late and in any order, lets children end in between, and
//! checks the invariants that must hold then too.

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::Strategy as Generator;
use ractor::ActorId;

use super::{ChildSet, Children, Key, Leaving, Rules};
use crate::exit::ExitReason;
use crate::supervisor::backoff::{Backoff, ExponentialBackoff};
use crate::supervisor::child_rules::{AutoShutdown, ChildKind, NameTaken, Restart};
use crate::supervisor::restart::{RestartIntensity, Strategy};
use crate::supervisor::spec::ChildSpec;
use crate::supervisor::started::{Incarnation, Start};

mod commands;
mod delays;
mod early;
mod interleaved;
mod model;
mod replacing;
mod sequential;

/// A life of a child: the key and the number of the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Life(Key, u64);

impl Incarnation for Life {
    fn actor_id(&self) -> ActorId {
        ActorId::Local(self.0 * 1_000_000 + self.1)
    }
}

/// What a child is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Nature {
    restart: Restart,
    significant: bool,
}

fn spec(id: &str, nature: Nature) -> ChildSpec {
    let start = |_| async { Ok(Start::Ignore) };
    let spec = ChildSpec::from_fn(id, ChildKind::Worker, start).on_name_taken(rule_of_name(id));
    spec.restart(nature.restart).significant(nature.significant)
}

fn rule_of_name(id: &str) -> NameTaken {
    match id {
        "a" => NameTaken::Fail,
        "b" => NameTaken::Rest,
        _ => NameTaken::Wait,
    }
}

/// The outcome of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Up,
    Failed,
    Ignored,
    /// Another actor has its name; only where the shell is asked what follows.
    NameTaken,
}

fn came() -> impl Generator<Value = Came> {
    prop_oneof![4 => Just(Came::Up), 3 => Just(Came::Failed), 1 => Just(Came::Ignored)]
}

fn nature() -> impl Generator<Value = Nature> {
    let restart =
        prop_oneof![3 => Just(Restart::Permanent), 2 => Just(Restart::Transient), 1 => Just(Restart::Temporary)];
    let significant = prop_oneof![2 => Just(false), 1 => Just(true)];
    (restart, significant).prop_map(|(restart, significant)| Nature { restart, significant })
}

/// New rules, and the named children in their order: some that exist, some that do not.
type Configuration = (Rules, Vec<(usize, Nature)>);

fn configuration() -> impl Generator<Value = Configuration> {
    let named = Just((0..IDS.len()).collect::<Vec<_>>()).prop_shuffle();
    let natures = proptest::collection::vec(nature(), 0..=IDS.len());
    (rules(), named, natures).prop_map(|(rules, named, natures)| (rules, named.into_iter().zip(natures).collect()))
}

/// What the shell does with a configuration: checks it, then passes it to the table. Returns whether it was accepted.
fn reconfigure(children: &mut Children<Life>, (rules, named): &Configuration) -> bool {
    let specs: Vec<ChildSpec> = named.iter().map(|(id, nature)| spec(IDS[*id], *nature)).collect();
    let checked = specs.iter().all(|spec| spec.check(rules).is_ok());
    checked && children.reconfigure(*rules, specs).is_ok()
}

fn reason() -> impl Generator<Value = ExitReason> {
    prop_oneof![
        Just(ExitReason::Normal),
        Just(ExitReason::Shutdown("shutdown".into())),
        Just(ExitReason::Killed),
        Just(ExitReason::Failed("broken".into())),
    ]
}

/// The most ends of unknown actors that are kept.
pub(super) const MAX_EARLY_ENDS: usize = 256;

const WITHIN: Duration = Duration::from_secs(5);

fn rules() -> impl Generator<Value = Rules> {
    let strategy = prop_oneof![Just(Strategy::OneForOne), Just(Strategy::OneForAll), Just(Strategy::RestForOne)];
    let on_demand = prop_oneof![Just(usize::MAX), Just(3)].prop_map(|max_children| ChildSet::Dynamic { max_children });
    let kind = prop_oneof![
        3 => strategy.prop_map(|strategy| (strategy, ChildSet::Static)),
        1 => on_demand.prop_map(|child_set| (Strategy::OneForOne, child_set)),
    ];
    let auto_shutdown = prop_oneof![
        2 => Just(AutoShutdown::Never),
        1 => Just(AutoShutdown::AnySignificant),
        2 => Just(AutoShutdown::AllSignificant),
    ];
    let rest = (0u32..8, auto_shutdown, backoff());
    (kind, rest).prop_map(|((strategy, child_set), (max_restarts, auto_shutdown, backoff))| Rules {
        strategy,
        child_set,
        auto_shutdown: if child_set == ChildSet::Static { auto_shutdown } else { AutoShutdown::Never },
        intensity: RestartIntensity::new(max_restarts, WITHIN),
        backoff,
    })
}

/// Without jitter: the models predict each delay.
fn backoff() -> impl Generator<Value = Backoff> {
    let ms = Duration::from_millis;
    prop_oneof![
        3 => Just(Backoff::None),
        1 => (0u64..3000).prop_map(move |delay| Backoff::Constant(ms(delay))),
        1 => (1u64..3000).prop_map(move |first| {
            ExponentialBackoff::new(ms(first), 2.0, ms(10_000)).expect("it has a meaning").into()
        }),
    ]
}

const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn life_of(child: Leaving<Life>) -> Life {
    match child {
        Leaving::Running(_, life) | Leaving::Ended(life) => life,
    }
}
