//! Random histories of one table against a naive model.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use proptest::prelude::*;
use ractor::{Actor, ActorCell, ActorStatus};

use super::{ClaimError, Table};
use crate::idle::{Idle, IdleMsg};
use crate::namespace::{Namespace, ServiceName};
use crate::registry::names::{Holder, Monitor, Origin};

const TWO: usize = 2;
static NAMES: [ServiceName; TWO] = [ServiceName::from_static("a"), ServiceName::from_static("b")];

#[derive(Debug, Clone)]
enum Deed {
    Claim { name: usize, foreign: bool },
    Publish { holder: usize },
    Leave { holder: usize },
    End { holder: usize },
    Release { holder: usize },
    Close,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let holder = 0..12_usize;
    let deed = prop_oneof![
        8 => (0..TWO, any::<bool>()).prop_map(|(name, foreign)| Deed::Claim { name, foreign }),
        6 => holder.clone().prop_map(|holder| Deed::Publish { holder }),
        3 => holder.clone().prop_map(|holder| Deed::Leave { holder }),
        3 => holder.clone().prop_map(|holder| Deed::End { holder }),
        3 => holder.prop_map(|holder| Deed::Release { holder }),
        1 => Just(Deed::Close),
    ];
    proptest::collection::vec(deed, 1..60)
}

/// The model's state of one holder.
struct Known {
    holder: Arc<Holder>,
    name: usize,
    foreign: bool,
    actor: Option<ActorCell>,
}

impl Known {
    fn status(&self) -> Option<ActorStatus> {
        Some(self.actor.as_ref()?.get_status())
    }
}

/// A list of all holders, and for each name the number of the one that has it.
#[derive(Default)]
struct Model {
    known: Vec<Known>,
    has: [Option<usize>; TWO],
    closed: bool,
    published: u64,
    released: u64,
}

impl Model {
    fn lose(&mut self, name: usize) {
        let loser = self.has[name].take();
        self.released += u64::from(loser.is_some_and(|loser| self.known[loser].actor.is_some()));
    }

    fn claim(&mut self, table: &Table, name: usize, foreign: bool) {
        let origin = if foreign { Origin::Foreign } else { Origin::Managed };
        let holder = Arc::new(Holder::new::<IdleMsg>(NAMES[name].clone(), origin, None));
        let current = self.has[name].map(|current| &self.known[current]);
        match (table.attempt(&holder), current.map(|current| (current, current.status()))) {
            (Err(ClaimError::Closed), _) => return assert!(self.closed),
            (Ok(()), None) => {}
            (Ok(()), Some((current, status))) => {
                assert!(current.foreign && status == Some(ActorStatus::Stopped), "{status:?}");
            }
            (Err(ClaimError::Held(by)), Some((current, status))) => {
                assert!(Arc::ptr_eq(&by, &current.holder) && status.is_none_or(|it| it < ActorStatus::Draining));
                return;
            }
            (Err(ClaimError::Leaving(who)), Some((current, status))) => {
                assert!(Arc::ptr_eq(&who, &current.holder) && status >= Some(ActorStatus::Draining));
                return;
            }
            (Err(ClaimError::Held(_) | ClaimError::Leaving(_)), None) => panic!("a free name is refused"),
        }
        assert!(!self.closed);
        self.lose(name);
        self.has[name] = Some(self.known.len());
        self.known.push(Known { holder, name, foreign, actor: None });
    }

    async fn act(&mut self, table: &Table, deed: Deed) {
        match deed {
            Deed::Claim { name, foreign } => self.claim(table, name, foreign),
            // A claim is filled by the holder that has it, and never by one that has lost it.
            Deed::Publish { holder } if self.is_claim(holder) => {
                let (actor, _task) = Actor::spawn(None, Idle, ()).await.expect("it starts");
                assert_eq!(table.publish(&self.known[holder].holder, actor.get_cell()), !self.closed);
                self.known[holder].actor = Some(actor.get_cell());
                self.published += 1;
            }
            Deed::Leave { holder } => {
                if let Some(actor) = self.known.get(holder).and_then(|known| known.actor.as_ref()) {
                    let _ = actor.drain();
                }
            }
            Deed::End { holder } => {
                if let Some(actor) = self.known.get(holder).and_then(|known| known.actor.as_ref()) {
                    actor.kill();
                    actor.wait(None).await.expect("no time limit");
                }
            }
            Deed::Release { holder } if holder < self.known.len() => {
                let name = self.known[holder].name;
                let has_it = self.has[name] == Some(holder);
                assert_eq!(table.release(&self.known[holder].holder), has_it);
                if has_it {
                    self.lose(name);
                }
            }
            Deed::Close => {
                table.close();
                self.closed = true;
            }
            Deed::Publish { .. } | Deed::Release { .. } => {}
        }
    }

    fn is_claim(&self, holder: usize) -> bool {
        self.known.get(holder).is_some_and(|it| it.actor.is_none() && self.has[it.name] == Some(holder))
    }

    fn check(&self, table: &Table) {
        for (name, has) in NAMES.iter().zip(self.has) {
            let live = has.and_then(|has| self.known[has].actor.as_ref());
            let live = live.filter(|actor| actor.get_status() < ActorStatus::Draining);
            let found = table.with::<IdleMsg, _>(name.as_str(), |_, actor| actor.get_id());
            assert_eq!(found.ok(), live.map(ActorCell::get_id));
            let holder = table.holder(name.as_str());
            assert_eq!(holder.map(|it| Arc::as_ptr(&it)), has.map(|has| Arc::as_ptr(&self.known[has].holder)));
        }
        let names = self.has.iter().flatten().count();
        assert_eq!((table.size().0, table.holders().len()), (names, names));
        let read = |counter: &str| table.counters().snapshot().counter(counter);
        assert_eq!(read("registry.registrations"), Some(self.published));
        assert_eq!(read("registry.releases"), Some(self.released));
    }
}

proptest! {
    #[test]
    fn a_table_is_what_a_naive_model_says(history in deeds()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (table, mut model) = (Table::new(Namespace::test(), Weak::<Monitor>::new()), Model::default());
            for deed in history {
                model.act(&table, deed).await;
                model.check(&table);
            }
        });
    }
}

#[test]
fn a_listing_shows_no_holder_twice_while_the_table_grows() {
    let table = Table::new(Namespace::test(), Weak::<Monitor>::new());
    let claim = |n: usize| {
        let name = format!("service-{n}").parse().expect("a valid name");
        assert!(table.attempt(&Arc::new(Holder::new::<IdleMsg>(name, Origin::Managed, None))).is_ok());
    };
    std::thread::scope(|scope| {
        let growing = scope.spawn(|| (0..20_000).for_each(claim));
        while !growing.is_finished() {
            let holders = table.holders();
            let names: HashSet<_> = holders.iter().map(|holder| holder.name().as_str()).collect();
            assert_eq!(names.len(), holders.len());
        }
    });
    assert_eq!(table.holders().len(), 20_000);
}
