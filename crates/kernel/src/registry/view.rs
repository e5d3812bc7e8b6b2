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
pub(crate) trait NameIncarnation: Clone {
    fn is(&self, other: &Self) -> bool;
    fn name(&self) -> &ServiceName;
    /// Which incarnation of the same child it replaces.
    fn previous(&self) -> Option<ractor::ActorId>;
    /// Its current metadata.
    fn versioned_metadata(&self) -> VersionedMetadata;
    /// Why it ended, if that has been reported.
    fn reason(&self) -> Option<ExitReason>;
    /// Its registration with this metadata; `None` if it has not begun.
    fn registration(&self, metadata: Option<Metadata>) -> Option<Registration>;
}

/// Metadata with their version, which grows with each update.
pub(crate) type VersionedMetadata = Option<(u64, Metadata)>;

/// What has happened to an incarnation.
#[derive(Debug, Clone)]
pub(crate) enum Fact<L> {
    /// Readers find it, with this metadata.
    Visible(L, VersionedMetadata),
    /// Its metadata has changed.
    Described(L, VersionedMetadata),
    /// Its name was handed over to another, which has this metadata.
    HandedOver { from: L, to: L, metadata: VersionedMetadata },
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

impl<L: NameIncarnation> Fact<L> {
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
    /// Free, but the reason is still to come; with the facts since.
    AwaitingReason(Held<L>, Vec<Fact<L>>),
}

struct Held<L> {
    life: L,
    shown: Registration,
    version: Option<u64>,
    reason: Option<ExitReason>,
}

impl<L: NameIncarnation> Held<L> {
    fn new(life: L, metadata: VersionedMetadata) -> Option<Self> {
        let (version, metadata) = metadata.unzip();
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

impl<L: NameIncarnation> View<L> {
    /// Begins with the incarnations of a snapshot of the table.
    pub(crate) fn new(lives: impl IntoIterator<Item = L>) -> Self {
        let held = lives.into_iter().filter_map(|life| Held::new(life.clone(), life.versioned_metadata()));
        Self { names: held.map(|held| (held.shown.name.clone(), Named::Held(held))).collect() }
    }

    /// The current registrations, sorted by name.
    pub(crate) fn snapshot(&self) -> Vec<Registration> {
        let mut shown: Vec<_> = self.names.values().map(|named| named.held().shown.clone()).collect();
        shown.sort_by(|a, b| a.name.cmp(&b.name));
        shown
    }

    /// Takes a fact in.
    pub(crate) fn apply(&mut self, fact: Fact<L>, emit: &mut impl FnMut(NameChange)) {
        match self.names.get_mut(fact.name()) {
            None => self.apply_to_free(fact, emit),
            Some(Named::Held(_)) => self.apply_to_held(fact, emit),
            Some(Named::AwaitingReason(held, later)) => match fact {
                Fact::Reason(life, reason) if life.is(&held.life) => self.report_death(life.name(), Some(reason), emit),
                Fact::Ended(life, _) if life.is(&held.life) => {}
                fact => later.push(fact),
            },
        }
    }

    /// No more facts will come: reports the ends that wait for a reason.
    pub(crate) fn close(&mut self, emit: &mut impl FnMut(NameChange)) {
        loop {
            let awaiting = self.names.iter().find(|(_, named)| matches!(named, Named::AwaitingReason(..)));
            let Some(name) = awaiting.map(|(name, _)| name.clone()) else { return };
            self.report_death(&name, None, emit);
        }
    }

    /// A fact of a free name: only a new holder is a change.
    fn apply_to_free(&mut self, fact: Fact<L>, emit: &mut impl FnMut(NameChange)) {
        let (Fact::Visible(life, metadata) | Fact::HandedOver { to: life, metadata, .. }) = fact else { return };
        let Some(held) = Held::new(life, metadata) else { return };
        let by = held.shown.clone();
        emit(match held.life.previous() {
            Some(previous) => NameChange::Replaced { previous, by },
            None => NameChange::Registered(by),
        });
        self.names.insert(held.shown.name.clone(), Named::Held(held));
    }

    /// A fact of a held name: facts of other incarnations are old.
    fn apply_to_held(&mut self, fact: Fact<L>, emit: &mut impl FnMut(NameChange)) {
        let Entry::Occupied(mut entry) = self.names.entry(fact.name().clone()) else { return };
        let Named::Held(held) = entry.get_mut() else { return };
        match fact {
            Fact::Described(life, Some((version, metadata))) if held.is_news(&life, version) => {
                held.version = Some(version);
                held.shown.metadata = Some(metadata);
                emit(NameChange::Updated(held.shown.clone()));
            }
            Fact::Reason(life, reason) if life.is(&held.life) => held.reason = Some(reason),
            Fact::HandedOver { from, to, metadata } if from.is(&held.life) => {
                let Some(next) = Held::new(to, metadata) else { return };
                emit(NameChange::HandedOver { from: held.shown.actor, to: next.shown.clone() });
                *held = next;
            }
            Fact::Ended(life, end) if life.is(&held.life) => {
                let (name, Named::Held(held)) = entry.remove_entry() else { return };
                match (end, held.reason.clone()) {
                    (End::TakenAway, _) => emit(NameChange::Unregistered { name, actor: held.shown.actor }),
                    (End::ReasonToCome, None) => drop(self.names.insert(name, Named::AwaitingReason(held, Vec::new()))),
                    (_, reason) => emit(held.died(reason)),
                }
            }
            _ => {}
        }
    }

    /// Reports the end that has waited for this reason, and continues with the facts since.
    fn report_death(&mut self, name: &ServiceName, reason: Option<ExitReason>, emit: &mut impl FnMut(NameChange)) {
        let Some(Named::AwaitingReason(held, later)) = self.names.remove(name) else { return };
        emit(held.died(reason));
        for fact in later {
            self.apply(fact, emit);
        }
    }
}

impl<L> Named<L> {
    fn held(&self) -> &Held<L> {
        match self {
            Self::Held(held) | Self::AwaitingReason(held, _) => held,
        }
    }
}
