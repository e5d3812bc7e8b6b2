//! Random histories of two names, reported to a view in each order that a table may report them in, and slowly.

use std::cell::{Cell, OnceCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use proptest::prelude::*;
use ractor::ActorId;

use super::View;
use crate::exit::ExitReason;
use crate::namespace::ServiceName;
use crate::registry::names::holder::NameIncarnation;
use crate::registry::names::watches::{End, Fact};
use crate::registry::names::{Metadata, NameChange, Registration};

const TWO: usize = 2;
static NAMES: [ServiceName; TWO] = [ServiceName::from_static("a"), ServiceName::from_static("b")];

#[derive(Clone, Debug)]
struct Numbered {
    number: u64,
    name: usize,
    previous: Option<u64>,
    version: Rc<Cell<u64>>,
    /// Why it ended, once that has been reported.
    reason: Rc<OnceCell<ExitReason>>,
}

impl NameIncarnation for Numbered {
    fn is(&self, other: &Self) -> bool {
        self.number == other.number
    }

    fn name(&self) -> &ServiceName {
        &NAMES[self.name]
    }

    fn previous(&self) -> Option<ActorId> {
        self.previous.map(ActorId::Local)
    }

    fn reason(&self) -> Option<ExitReason> {
        self.reason.get().cloned()
    }

    fn registration(&self, metadata: Option<Metadata>) -> Registration {
        Registration {
            name: NAMES[self.name].clone(),
            actor: ActorId::Local(self.number),
            message: "",
            restarts: 0,
            origin: crate::registry::names::Origin::Managed,
            metadata,
        }
    }
}

impl Numbered {
    fn versioned_metadata(&self) -> Option<(u64, Metadata)> {
        Some((self.version.get(), Metadata::new(&self.version.get()).ok()?))
    }

    /// As it is now: later it does not know a reason that is reported later.
    fn at_present(&self) -> Self {
        Self { reason: Rc::new((*self.reason).clone()), ..self.clone() }
    }

    fn truth(&self) -> Registration {
        self.registration(self.versioned_metadata().map(|(_, metadata)| metadata))
    }
}

#[derive(Debug, Clone)]
enum Deed {
    /// A name is taken. That is reported at once, after the reason of its actor's end, or never because it is over
    /// before that: its end is reported all the same.
    Take {
        name: usize,
        beginning: Beginning,
    },
    /// The reason of its actor's end is reported while it still has its name.
    Explain {
        name: usize,
    },
    /// Its actor ends. The reason is reported before, or this many deeds later, or never.
    Die {
        name: usize,
        reason: ReasonReport,
    },
    TakeAway {
        name: usize,
    },
    HandOver {
        name: usize,
    },
    Describe {
        name: usize,
    },
    /// An end is reported again.
    ReportAgain {
        end: usize,
    },
    /// The reader reads so many facts.
    Read(usize),
}

#[derive(Debug, Clone, Copy)]
enum Beginning {
    Reported,
    Late,
    Unreported,
}

#[derive(Debug, Clone, Copy)]
enum ReasonReport {
    Before,
    After(usize),
    Never,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let name = 0..TWO;
    let report =
        prop_oneof![Just(ReasonReport::Before), (0..6_usize).prop_map(ReasonReport::After), Just(ReasonReport::Never)];
    let beginning =
        prop_oneof![6 => Just(Beginning::Reported), 1 => Just(Beginning::Late), 1 => Just(Beginning::Unreported)];
    let deed = prop_oneof![
        6 => (name.clone(), beginning).prop_map(|(name, beginning)| Deed::Take { name, beginning }),
        1 => name.clone().prop_map(|name| Deed::Explain { name }),
        4 => (name.clone(), report).prop_map(|(name, reason)| Deed::Die { name, reason }),
        1 => name.clone().prop_map(|name| Deed::TakeAway { name }),
        2 => name.clone().prop_map(|name| Deed::HandOver { name }),
        2 => name.prop_map(|name| Deed::Describe { name }),
        1 => (0..20_usize).prop_map(|end| Deed::ReportAgain { end }),
        4 => (0..6_usize).prop_map(Deed::Read),
    ];
    proptest::collection::vec(deed, 1..60)
}

/// The true state, and the facts that are reported of it.
#[derive(Default)]
struct World {
    has: [Option<Numbered>; TWO],
    numbers: u64,
    latest: [Option<u64>; TWO],
    reported: VecDeque<Fact<Numbered>>,
    ends: Vec<Numbered>,
    /// Reasons to come: after so many deeds.
    to_come: Vec<(usize, Numbered)>,
    /// Incarnations whose reason is reported in any case.
    explained: Vec<u64>,
    /// The metadata of each incarnation, at its beginning and later.
    described: Vec<(u64, u64)>,
}

fn reason(life: &Numbered) -> ExitReason {
    ExitReason::Failed(life.number.to_string().into())
}

impl World {
    fn new_life(&mut self, name: usize) -> Numbered {
        self.numbers += 1;
        let previous = self.latest[name].replace(self.numbers);
        Numbered { number: self.numbers, name, previous, version: Rc::default(), reason: Rc::default() }
    }

    fn describe(&mut self, life: &Numbered) -> Option<(u64, Metadata)> {
        self.described.push((life.number, life.version.get()));
        life.versioned_metadata()
    }

    fn end(&mut self, name: usize, end: End) {
        if let Some(life) = self.has[name].take() {
            self.ends.push(life.clone());
            self.reported.push_back(Fact::Ended(life, end));
        }
    }

    fn report_reason(&mut self, life: &Numbered) {
        let reason = life.reason.get_or_init(|| reason(life)).clone();
        self.explained.push(life.number);
        self.reported.push_back(Fact::Reason(life.clone(), reason));
    }

    fn act(&mut self, deed: &Deed) {
        match *deed {
            Deed::Take { name, beginning } if self.has[name].is_none() => {
                let life = self.new_life(name);
                self.has[name] = Some(life.clone());
                if let Beginning::Unreported = beginning {
                    return self.end(name, End::Died);
                }
                if let Beginning::Late = beginning {
                    self.report_reason(&life);
                }
                let metadata = self.describe(&life);
                self.reported.push_back(Fact::Visible(life.at_present(), metadata));
            }
            Deed::Explain { name } => {
                let Some(life) = self.has[name].clone() else { return };
                self.report_reason(&life);
            }
            Deed::Die { name, reason: report } => {
                let Some(life) = self.has[name].clone() else { return };
                let end = match report {
                    // The reporter of an end does not know what has been reported.
                    _ if life.reason.get().is_some() => End::ReasonToCome,
                    ReasonReport::Before => {
                        self.report_reason(&life);
                        End::Died
                    }
                    ReasonReport::After(deeds) => {
                        self.explained.push(life.number);
                        self.to_come.push((deeds, life.clone()));
                        End::ReasonToCome
                    }
                    ReasonReport::Never => End::Died,
                };
                self.end(name, end);
            }
            Deed::TakeAway { name } => self.end(name, End::TakenAway),
            Deed::HandOver { name } => {
                let Some(from) = self.has[name].take() else { return };
                let to = self.new_life(name);
                self.has[name] = Some(to.clone());
                let metadata = self.describe(&to);
                self.reported.push_back(Fact::HandedOver { from, to: to.at_present(), metadata });
            }
            Deed::Describe { name } => {
                let Some(life) = self.has[name].clone() else { return };
                life.version.set(life.version.get() + 1);
                let metadata = self.describe(&life);
                self.reported.push_back(Fact::Described(life, metadata));
            }
            Deed::ReportAgain { end } => {
                let again = self.ends.get(end).map(|life| Fact::Ended(life.clone(), End::Died));
                self.reported.extend(again);
            }
            Deed::Take { .. } | Deed::Read(_) => {}
        }
    }

    fn time_passes(&mut self) {
        self.to_come.iter_mut().for_each(|(deeds, _)| *deeds = deeds.saturating_sub(1));
        let due: Vec<_> = self.to_come.extract_if(.., |(deeds, _)| *deeds == 0).collect();
        due.into_iter().for_each(|(_, life)| self.report_reason(&life));
    }
}

/// A reader that applies what a watch shows.
#[derive(Default)]
struct Reader {
    has: HashMap<ServiceName, Registration>,
    /// The highest incarnation so far, by name: none comes twice, and none comes back.
    highest: HashMap<ServiceName, u64>,
    deaths: Vec<(u64, Option<ExitReason>)>,
    seen: Vec<(u64, u64)>,
}

fn version(of: &Registration) -> u64 {
    of.metadata.as_ref().and_then(|it| it.value().as_u64()).expect("each has one")
}

impl Reader {
    fn begin(&mut self, service: Registration) {
        let number = service.actor.pid();
        self.seen.push((number, version(&service)));
        let before = self.highest.insert(service.name.clone(), number);
        assert!(before.is_none_or(|before| before < number), "{service:?} after {before:?}");
        let had = self.has.insert(service.name.clone(), service);
        assert!(had.is_none(), "it was {had:?}'s");
    }

    fn end(&mut self, name: &ServiceName, actor: ActorId) {
        assert_eq!(self.has.remove(name).map(|service| service.actor), Some(actor));
    }

    fn apply(&mut self, change: NameChange) {
        match change {
            NameChange::Registered(service) => self.begin(service),
            NameChange::Replaced { previous, by } => {
                assert!(previous.pid() < by.actor.pid());
                self.begin(by);
            }
            NameChange::HandedOver { from, to } => {
                self.end(&to.name, from);
                self.begin(to);
            }
            NameChange::Updated(service) => {
                let known = self.has.insert(service.name.clone(), service.clone());
                let known = known.expect("only a held name is described");
                assert_eq!(known.actor, service.actor);
                self.seen.push((service.actor.pid(), version(&service)));
                assert!(version(&known) < version(&service), "an update is news");
            }
            NameChange::Unregistered { name, actor } => self.end(&name, actor),
            NameChange::Died { name, actor, reason } => {
                self.end(&name, actor);
                self.deaths.push((actor.pid(), reason));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn a_view_of_ends_at_once_has_the_true_names_after_each_fact(history in deeds()) {
        let (mut world, mut reader) = (World::default(), Reader::default());
        let mut view = View { ends_at_once: true, ..View::new([]) };
        for deed in &history {
            world.act(deed);
            world.time_passes();
            world.reported.drain(..).for_each(|fact| view.apply(fact, &mut |change| reader.apply(change)));
            let has: HashMap<_, _> = world.has.iter().flatten().map(|life| (life.name().clone(), life.truth())).collect();
            prop_assert_eq!(&reader.has, &has);
        }
    }

    #[test]
    fn whatever_the_order_of_the_facts_each_name_has_a_well_formed_history(
        history in deeds(), entered in 0..30_usize, hesitation in 0..6_usize,
    ) {
        let (mut world, mut reader) = (World::default(), Reader::default());
        let mut view: Option<View<Numbered>> = None;
        for (at, deed) in history.iter().enumerate() {
            world.act(deed);
            world.time_passes();
            if at < entered {
                world.reported.clear();
            } else if at >= entered + hesitation && view.is_none() {
                let looked = View::new(world.has.iter().flatten().map(|life| (life.at_present(), life.versioned_metadata())));
                looked.snapshot().into_iter().for_each(|service| reader.begin(service));
                world.described.clear();
                view = Some(looked);
            }
            if let (Deed::Read(facts), Some(view)) = (deed, &mut view) {
                let facts = world.reported.len().min(*facts);
                world.reported.drain(..facts).for_each(|fact| view.apply(fact, &mut |change| reader.apply(change)));
            }
        }
        let Some(mut view) = view else { return Ok(()) };
        (0..6).for_each(|_| world.time_passes());
        world.reported.drain(..).for_each(|fact| view.apply(fact, &mut |change| reader.apply(change)));
        let shown = view.snapshot();
        view.close(&mut |change| reader.apply(change));

        // Its final state is the true one, and the view has the same without being closed.
        let mut truth: Vec<_> = world.has.iter().flatten().map(Numbered::truth).collect();
        truth.sort_by(|a, b| a.name.cmp(&b.name));
        let mut believed: Vec<_> = reader.has.into_values().collect();
        believed.sort_by(|a, b| a.name.cmp(&b.name));
        prop_assert_eq!(&believed, &truth);
        prop_assert_eq!(shown, truth);
        // Each beginning and each update since the snapshot is reported.
        prop_assert!(world.described.iter().all(|described| reader.seen.contains(described)), "{:?}", world.described);
        // No reported reason is missing, and none belongs to another incarnation.
        for (number, reported) in reader.deaths {
            let known = world.explained.contains(&number);
            let expected = known.then(|| ExitReason::Failed(number.to_string().into()));
            prop_assert_eq!(reported, expected, "of {}", number);
        }
    }
}
