//! The state of one watch: facts go in as they arrive, changes come out as they are to be shown.
//!
//! Facts of one name come in the order in which they happened, with three exceptions that are corrected here:
//!
//! 1. The view begins with a snapshot of the table that may be ahead of the facts: what it has already is not reported
//!    again.
//! 2. An end may be reported twice; the second is dropped, like each fact that is not of the current incarnation.
//! 3. The reason of an end may be known before the name is free or after. If it is certain to come, the end waits for
//!    it, and later facts of this name wait behind. If it was reported before this view knew the incarnation, it is not
//!    reported again: the incarnation itself has it then.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::change::{NameChange, Registration};
use super::metadata::Metadata;
use crate::exit::ExitReason;
use crate::namespace::ServiceName;

/// One incarnation of a name: a holder, and in tests a number.
pub(crate) trait Life: Clone {
    fn is(&self, other: &Self) -> bool;
    fn name(&self) -> &ServiceName;
    /// Which incarnation of the same child it replaces.
    fn previous(&self) -> Option<ractor::ActorId>;
    /// Its current metadata.
    fn stated(&self) -> Stated;
    /// Why it ended, if that has been reported.
    fn reason(&self) -> Option<ExitReason>;
    /// Its registration with this metadata; `None` if it has not begun.
    fn registration(&self, stated: Option<Metadata>) -> Option<Registration>;
}

/// Metadata with their version, which grows with each update.
pub(crate) type Stated = Option<(u64, Metadata)>;

/// What has happened to an incarnation.
#[derive(Debug, Clone)]
pub(crate) enum Fact<L> {
    /// Readers find it, with this metadata.
    Visible(L, Stated),
    /// Its metadata has changed.
    Described(L, Stated),
    /// Its name was handed over to another, which has this metadata.
    HandedOver { from: L, to: L, stated: Stated },
    /// Readers no longer find it.
    Ended(L, End),
    /// Why its actor ended.
    Reason(L, ExitReason),
}

/// How a name was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was taken away; the actor lives.
    TakenAway,
    /// Its actor has ended; the reason has been reported, or will never be.
    Died,
    /// Its actor has ended; the reason will be reported if it has not been yet.
    ReasonToCome,
}

impl<L: Life> Fact<L> {
    pub(crate) fn name(&self) -> &ServiceName {
        match self {
            Self::Visible(life, _) | Self::Described(life, _) | Self::HandedOver { to: life, .. } => life.name(),
            Self::Ended(life, _) | Self::Reason(life, _) => life.name(),
        }
    }
}

pub(crate) struct View<L> {
    names: HashMap<ServiceName, Named<L>>,
}

enum Named<L> {
    Held(Held<L>),
    /// Free, but the reason is still to come; and what has happened since.
    Mourned(Held<L>, Vec<Fact<L>>),
}

struct Held<L> {
    life: L,
    shown: Registration,
    version: Option<u64>,
    reason: Option<ExitReason>,
}

impl<L: Life> Held<L> {
    fn new(life: L, stated: Stated) -> Option<Self> {
        let (version, metadata) = stated.unzip();
        let shown = life.registration(metadata)?;
        let reason = life.reason();
        Some(Self { life, shown, version, reason })
    }

    fn is_news(&self, life: &L, version: u64) -> bool {
        life.is(&self.life) && self.version < Some(version)
    }

    fn died(self, reason: Option<ExitReason>) -> NameChange {
        NameChange::Died { name: self.shown.name, actor: self.shown.actor, reason }
    }
}

impl<L: Life> View<L> {
    /// Begins with the incarnations of a snapshot of the table.
    pub(crate) fn new(lives: impl IntoIterator<Item = L>) -> Self {
        let held = lives.into_iter().filter_map(|life| Held::new(life.clone(), life.stated()));
        Self { names: held.map(|held| (held.shown.name.clone(), Named::Held(held))).collect() }
    }

    /// What is shown, by name.
    pub(crate) fn snapshot(&self) -> Vec<Registration> {
        let mut shown: Vec<_> = self.names.values().map(|named| named.held().shown.clone()).collect();
        shown.sort_by(|a, b| a.name.cmp(&b.name));
        shown
    }

    /// Takes a fact in.
    pub(crate) fn learn(&mut self, fact: Fact<L>, tell: &mut impl FnMut(NameChange)) {
        match self.names.get_mut(fact.name()) {
            None => self.begin(fact, tell),
            Some(Named::Held(_)) => self.go_on(fact, tell),
            Some(Named::Mourned(held, later)) => match fact {
                Fact::Reason(life, reason) if life.is(&held.life) => self.explain(life.name(), Some(reason), tell),
                Fact::Ended(life, _) if life.is(&held.life) => {}
                fact => later.push(fact),
            },
        }
    }

    /// No more facts will come: ends what waits for a reason.
    pub(crate) fn close(&mut self, tell: &mut impl FnMut(NameChange)) {
        loop {
            let mourned = self.names.iter().find(|(_, named)| matches!(named, Named::Mourned(..)));
            let Some(name) = mourned.map(|(name, _)| name.clone()) else { return };
            self.explain(&name, None, tell);
        }
    }

    /// A fact of a free name: only a new holder is a change.
    fn begin(&mut self, fact: Fact<L>, tell: &mut impl FnMut(NameChange)) {
        let (Fact::Visible(life, stated) | Fact::HandedOver { to: life, stated, .. }) = fact else { return };
        let Some(held) = Held::new(life, stated) else { return };
        let by = held.shown.clone();
        tell(match held.life.previous() {
            Some(previous) => NameChange::Replaced { previous, by },
            None => NameChange::Registered(by),
        });
        self.names.insert(held.shown.name.clone(), Named::Held(held));
    }

    /// A fact of a held name: facts of other incarnations are old.
    fn go_on(&mut self, fact: Fact<L>, tell: &mut impl FnMut(NameChange)) {
        let Entry::Occupied(mut entry) = self.names.entry(fact.name().clone()) else { return };
        let Named::Held(held) = entry.get_mut() else { return };
        match fact {
            Fact::Described(life, Some((version, metadata))) if held.is_news(&life, version) => {
                held.version = Some(version);
                held.shown.metadata = Some(metadata);
                tell(NameChange::Updated(held.shown.clone()));
            }
            Fact::Reason(life, reason) if life.is(&held.life) => held.reason = Some(reason),
            Fact::HandedOver { from, to, stated } if from.is(&held.life) => {
                let Some(next) = Held::new(to, stated) else { return };
                tell(NameChange::HandedOver { from: held.shown.actor, to: next.shown.clone() });
                *held = next;
            }
            Fact::Ended(life, end) if life.is(&held.life) => {
                let (name, Named::Held(held)) = entry.remove_entry() else { return };
                match (end, held.reason.clone()) {
                    (End::TakenAway, _) => tell(NameChange::Unregistered { name, actor: held.shown.actor }),
                    (End::ReasonToCome, None) => drop(self.names.insert(name, Named::Mourned(held, Vec::new()))),
                    (_, reason) => tell(held.died(reason)),
                }
            }
            _ => {}
        }
    }

    /// Reports the end that has waited for this reason, and continues with the facts since.
    fn explain(&mut self, name: &ServiceName, reason: Option<ExitReason>, tell: &mut impl FnMut(NameChange)) {
        let Some(Named::Mourned(held, later)) = self.names.remove(name) else { return };
        tell(held.died(reason));
        for fact in later {
            self.learn(fact, tell);
        }
    }
}

impl<L> Named<L> {
    fn held(&self) -> &Held<L> {
        match self {
            Self::Held(held) | Self::Mourned(held, _) => held,
        }
    }
}
