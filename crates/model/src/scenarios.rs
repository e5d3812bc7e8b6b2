//! The races, one a function. Each explores all interleavings and panics at the first that breaks an invariant; the
//! numbers are those of the invariants at the top of `table.rs` and of `groups/table.rs`.

use std::sync::{Arc, Weak};
use std::task::{Context, Waker};

use loom::future::block_on;
use loom::sync::atomic::{Ordering, fence};
use loom::thread::spawn;

use crate::exit::ExitReason;
use crate::namespace::{Namespace, ServiceName};
use crate::registry::change::NameChange;
use crate::registry::foreign::Monitored;
use crate::registry::groups::key::Kind;
use crate::registry::groups::table::Groups;
use crate::registry::groups::{Member, Membership};
use crate::registry::holder::{Holder, Origin};
use crate::registry::inbox::Found;
use crate::registry::lease::Lease;
use crate::registry::table::{Attempt, Table};
use crate::registry::view::View;
use crate::registry::watches::{Coroner, FactInbox, Watches};
use crate::{ActorCell, ActorStatus, Guard};

const NAME: ServiceName = ServiceName::from_static("a");

struct Msg;

/// Without even a bound on preemptions: most scenarios are small enough for all of them.
fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    explore_within(None, scenario);
}

fn explore_within(preemptions: Option<usize>, scenario: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.max_branches = 20_000;
    model.check(scenario);
}

fn table() -> Arc<Table> {
    Arc::new(Table::with_coroner(Namespace, Weak::<NoCoroner>::new()))
}

/// Nobody tells why an actor ended.
struct NoCoroner;

impl Coroner for NoCoroner {
    fn inquire(&self, _: &Arc<Watches>, _: &Arc<Holder>) -> bool {
        false
    }
}

fn holder(origin: Origin) -> Holder {
    Holder::new::<Msg>(NAME, origin, 0)
}

/// A lease of the name, which somebody has; the claim cannot be refused.
fn claimed(table: &Arc<Table>, origin: Origin) -> Arc<Lease> {
    block_on(Lease::claim(table, Arc::new(holder(origin)))).unwrap_or_else(|_| panic!("the name cannot be had"))
}

fn found(table: &Table) -> Option<u8> {
    table.with::<Msg, _>("a", |actor| actor.get_id().0).ok()
}

/// `wait_for_service`, as the facade does it: first the ear, then the eye.
async fn appearance(table: &Table) -> u8 {
    let listening = table.waiters().listen(&NAME);
    loop {
        let change = listening.change();
        match found(table) {
            Some(actor) => return actor,
            None => change.await,
        }
    }
}

/// 6: whoever waits for a name is woken by its registration, whenever that comes.
pub fn a_wait_against_a_registration() {
    explore(|| {
        let table = table();
        let lease = claimed(&table, Origin::Managed);
        let registering = spawn(move || {
            lease.publish(ActorCell::running(1));
            lease
        });
        // A wake that is lost leaves this waiting for ever, which loom reports as a deadlock.
        assert_eq!(block_on(appearance(&table)), 1);
        registering.join().unwrap();
    });
}

/// 6 and 3: a claim of a name whose holder is leaving is woken when the last share of the lease is dropped.
pub fn a_claim_against_the_end_of_a_lease() {
    explore(|| {
        let table = table();
        let lease = claimed(&table, Origin::Managed);
        let old = ActorCell::running(1);
        lease.publish(old.clone());
        old.end(|_| {});
        let leaving = spawn(move || drop(lease));
        let lease = claimed(&table, Origin::Managed);
        lease.publish(ActorCell::running(2));
        leaving.join().unwrap();
        assert_eq!(found(&table), Some(2));
        assert_eq!(table.counters().balance(), 1);
    });
}

/// 7: who makes a name visible while the table is closed is told so, or is seen by whoever closes.
pub fn a_publication_against_a_close() {
    explore(|| {
        let table = table();
        let lease = claimed(&table, Origin::Foreign);
        let publishing = spawn(move || (lease.publish(ActorCell::running(1)), lease));
        table.close();
        let seen = table.holders().iter().any(|holder| holder.actor().is_some());
        let (open, _lease) = publishing.join().unwrap();
        assert!(seen || !open, "it is in a namespace that is gone, and nobody knows");
    });
}

/// 7: who waits for the end of the table hears of it.
pub fn a_wait_for_the_close_against_the_close() {
    explore(|| {
        let table = table();
        let closing = spawn({
            let table = Arc::clone(&table);
            move || table.close()
        });
        block_on(table.closed());
        assert!(table.is_closed());
        closing.join().unwrap();
    });
}

/// 2, 3 and 4: the name of a dead foreign actor is taken by another while its own lease is given back.
pub fn a_replacement_against_the_reaping() {
    explore(|| {
        let table = table();
        let lease = claimed(&table, Origin::Foreign);
        let old = ActorCell::running(1);
        lease.publish(old.clone());
        let dead = Arc::clone(lease.holder());
        old.end(|_| {});
        let reaping = spawn(move || drop(lease));
        let new = Arc::new(holder(Origin::Foreign));
        assert!(matches!(table.attempt(&new), Attempt::Taken));
        table.publish(&new, ActorCell::running(2));
        assert!(dead.live().is_none() && !dead.retire(), "it is retired when the next one is there");
        assert_eq!(found(&table), Some(2));
        reaping.join().unwrap();
        assert_eq!(found(&table), Some(2), "the news of the old one's end takes nothing from the new one");
        assert_eq!(table.counters().balance(), 1, "and is counted once");
    });
}

/// 1: of two who claim a free name one gets it, and loses it to nobody.
pub fn a_claim_against_a_claim() {
    explore(|| {
        let table = table();
        let claim = |id| {
            let table = Arc::clone(&table);
            move || {
                let new = Arc::new(holder(Origin::Managed));
                let taken = matches!(table.attempt(&new), Attempt::Taken);
                if taken {
                    table.publish(&new, ActorCell::running(id));
                }
                taken
            }
        };
        let (other, mine) = (claim(2), claim(1));
        let other = spawn(other);
        let mine = mine();
        let other = other.join().unwrap();
        assert!(mine != other, "one of the two has it");
        assert_eq!(found(&table), Some(if mine { 1 } else { 2 }));
    });
}

/// 3: a name that is taken away while its actor ends goes once.
pub fn an_unregistration_against_the_end_of_a_lease() {
    explore(|| {
        let table = table();
        let lease = claimed(&table, Origin::Managed);
        lease.publish(ActorCell::running(1));
        let holder = Arc::clone(lease.holder());
        let ending = spawn(move || drop(lease));
        table.release(&holder);
        ending.join().unwrap();
        assert!(table.holder("a").is_none());
        assert_eq!(table.counters().balance(), 0);
    });
}

/// 5: readers see an actor that takes messages at the moment of the look, or nobody.
pub fn a_lookup_against_a_replacement() {
    explore(|| {
        let table = table();
        let lease = claimed(&table, Origin::Foreign);
        let old = ActorCell::running(1);
        lease.publish(old.clone());
        let replacing = spawn({
            let (table, old) = (Arc::clone(&table), old.clone());
            move || {
                old.end(|_| {});
                let new = Arc::new(holder(Origin::Foreign));
                assert!(matches!(table.attempt(&new), Attempt::Taken));
                table.publish(&new, ActorCell::running(2));
            }
        });
        let had_ended = old.get_status() >= ActorStatus::Stopping;
        let seen = found(&table);
        assert!(!(had_ended && seen == Some(1)), "a dead actor is returned");
        replacing.join().unwrap();
        drop(lease);
        assert_eq!(found(&table), Some(2));
    });
}

/// 4: a name that goes from hand to hand is never nobody's.
pub fn a_lookup_against_a_hand_over() {
    explore(|| {
        let table = table();
        let lease = claimed(&table, Origin::Managed);
        lease.publish(ActorCell::running(1));
        let handing = spawn({
            let table = Arc::clone(&table);
            move || {
                let new = Arc::new(holder(Origin::Foreign));
                assert!(table.hand_over::<Msg>(&new, ActorCell::running(2)).is_ok());
            }
        });
        assert!(found(&table).is_some(), "for a moment nobody has the name");
        handing.join().unwrap();
        assert!(lease.holder().is_retired(), "who had it is still believed to");
        drop(lease);
        assert_eq!(found(&table), Some(2), "the lease of the one who had it takes nothing away");
        assert_eq!(table.counters().balance(), 1);
    });
}

/// 3: a name that is handed over while its holder's lease goes back is the new holder's or nobody's.
pub fn a_hand_over_against_the_end_of_a_lease() {
    explore(|| {
        let table = table();
        let lease = claimed(&table, Origin::Managed);
        lease.publish(ActorCell::running(1));
        let ending = spawn(move || drop(lease));
        let new = Arc::new(holder(Origin::Foreign));
        let handed = table.hand_over::<Msg>(&new, ActorCell::running(2)).is_ok();
        ending.join().unwrap();
        assert_eq!(found(&table), handed.then_some(2));
        assert_eq!(table.counters().balance(), isize::from(handed));
    });
}

/// How the process registry takes a foreign actor in, step by step; true if the name is its own.
fn register(table: &Arc<Table>, leases: &Monitored, registry: &ActorCell, actor: &ActorCell) -> bool {
    let lease = claimed(table, Origin::Foreign);
    leases.keep(registry, actor, Arc::clone(&lease));
    if actor.get_status() < ActorStatus::Draining && lease.publish(actor.clone()) {
        return true;
    }
    leases.give_back(registry, actor, lease.holder());
    false
}

/// A foreign actor that ends while it is registered leaves nothing behind: either its event finds the lease, or the
/// registration sees its end.
pub fn a_registration_against_a_death() {
    explore(|| {
        let (table, leases) = (table(), Arc::new(Monitored::default()));
        let actor = ActorCell::running(1);
        let dying = spawn({
            let (actor, leases) = (actor.clone(), Arc::clone(&leases));
            move || actor.end(|id| leases.ended(id, &ExitReason))
        });
        register(&table, &leases, &ActorCell::running(0), &actor);
        dying.join().unwrap();
        assert_eq!(found(&table), None);
        // Not the count of names: the last share of a lease sees what all others have done, but loom does not see that, for
        // the shares are the standard library's.
        assert!(table.holder("a").is_none(), "nobody gives its name back");
    });
}

// ---- watches ----

/// The process registry, as far as it tells why actors ended.
struct Registry {
    actor: ActorCell,
    monitored: Monitored,
}

impl Registry {
    fn new() -> Arc<Self> {
        Arc::new(Self { actor: ActorCell::running(0), monitored: Monitored::default() })
    }

    fn table(self: &Arc<Self>) -> Arc<Table> {
        let coroner: Weak<Self> = Arc::downgrade(self);
        Arc::new(Table::with_coroner(Namespace, coroner))
    }

    /// An actor of ours ends: the registry hears of it before its name is given back, or after.
    fn end(&self, actor: &ActorCell, lease: Arc<Lease>, heard: Heard) {
        match heard {
            Heard::Before => {
                actor.end(|id| self.monitored.ended(id, &ExitReason));
                drop(lease);
            }
            // If nobody monitors it, the lease goes with whoever would have been told.
            Heard::After => actor.end(move |id| {
                drop(lease);
                self.monitored.ended(id, &ExitReason);
            }),
        }
    }
}

#[derive(Clone, Copy)]
enum Heard {
    Before,
    After,
}

const HEARD: [Heard; 2] = [Heard::Before, Heard::After];

/// How the process registry promises to tell why, step by step.
impl Coroner for Registry {
    fn inquire(&self, watches: &Arc<Watches>, holder: &Arc<Holder>) -> bool {
        let Some(actor) = holder.actor() else { return false };
        self.monitored.tell_why(&self.actor, actor, (Arc::clone(watches), Arc::clone(holder)));
        let will_tell = actor.get_status() < ActorStatus::Stopping;
        if !will_tell {
            self.monitored.tell_why_no_more(&self.actor, actor, holder);
        }
        will_tell
    }
}

/// A watch, as it begins: entered, then looked.
struct Watch {
    inbox: Arc<FactInbox>,
    view: View<Arc<Holder>>,
}

impl Watch {
    fn new(table: &Table) -> Self {
        let inbox = Arc::new(FactInbox::new(64));
        table.watches().enter(Some(&NAME), &inbox);
        Self { view: table.look(Some(&NAME)), inbox }
    }

    /// Reads all that is there, and says who has the name then, and which deaths were told.
    fn read(mut self) -> (Option<u8>, Vec<NameChange>) {
        let (waker, mut changes) = (Waker::noop(), Vec::new());
        while let Found::Fact(fact) = self.inbox.take(&Context::from_waker(waker)) {
            self.view.learn(fact, &mut |change| changes.push(change));
        }
        (self.view.snapshot().first().map(|it| it.actor.0), changes)
    }
}

/// A watch that begins while a name is registered shows it: it has seen it or is told.
pub fn a_watch_against_a_registration() {
    explore(|| {
        let table = Registry::new().table();
        let lease = claimed(&table, Origin::Managed);
        let registering = spawn(move || {
            lease.publish(ActorCell::running(1));
            lease
        });
        let watch = Watch::new(&table);
        let _lease = registering.join().unwrap();
        assert_eq!(watch.read().0, Some(1));
    });
}

/// A name that goes while its beginning is still being told: both are told, in this order, or neither.
pub fn a_watched_registration_against_its_end() {
    explore(|| {
        let table = Registry::new().table();
        let watch = Watch::new(&table);
        let lease = claimed(&table, Origin::Managed);
        let holder = Arc::clone(lease.holder());
        let registering = spawn(move || {
            lease.publish(ActorCell::running(1));
            lease
        });
        let was_there = holder.actor().is_some();
        table.take_away(&holder);
        let _lease = registering.join().unwrap();
        let (shown, changes) = watch.read();
        assert_eq!(shown, None);
        match &changes[..] {
            [] => assert!(!was_there, "nobody is told of it"),
            [NameChange::Registered(_), NameChange::Unregistered { .. }] => {}
            other => panic!("{other:?}"),
        }
    });
}

/// A watch that begins while an actor ends does not go on showing it, nor wait for a reason that was told before.
pub fn a_watch_against_a_death() {
    for heard in HEARD {
        explore(move || {
            let registry = Registry::new();
            let table = registry.table();
            let (lease, actor) = (claimed(&table, Origin::Managed), ActorCell::running(1));
            lease.publish(actor.clone());
            let dying = spawn({
                let registry = Arc::clone(&registry);
                move || registry.end(&actor, lease, heard)
            });
            let watch = Watch::new(&table);
            dying.join().unwrap();
            assert_eq!(watch.read().0, None);
        });
    }
}

/// Who watched before an actor ends is told why, whoever else begins to watch meanwhile.
pub fn a_watch_against_a_death_that_another_watches() {
    for heard in HEARD {
        explore(move || {
            let registry = Registry::new();
            let table = registry.table();
            let (lease, actor) = (claimed(&table, Origin::Managed), ActorCell::running(1));
            lease.publish(actor.clone());
            let first = Watch::new(&table);
            let dying = spawn({
                let registry = Arc::clone(&registry);
                move || registry.end(&actor, lease, heard)
            });
            let second = Watch::new(&table);
            dying.join().unwrap();
            let (shown, changes) = first.read();
            assert_eq!(shown, None);
            assert!(matches!(&changes[..], [NameChange::Died { reason: Some(ExitReason), .. }]), "{changes:?}");
            assert_eq!(second.read().0, None);
        });
    }
}

/// Of two who begin to watch at once none takes back what the other was promised.
///
/// Three threads are too many for all interleavings: these are the ones in which a thread is interrupted twice at most.
pub fn two_watches_against_a_death() {
    for heard in HEARD {
        explore_within(Some(2), move || {
            let registry = Registry::new();
            let table = registry.table();
            let (lease, actor) = (claimed(&table, Origin::Managed), ActorCell::running(1));
            lease.publish(actor.clone());
            let watching = spawn({
                let table = Arc::clone(&table);
                move || Watch::new(&table)
            });
            let dying = spawn({
                let registry = Arc::clone(&registry);
                move || registry.end(&actor, lease, heard)
            });
            let second = Watch::new(&table);
            let first = watching.join().unwrap();
            dying.join().unwrap();
            assert_eq!((first.read().0, second.read().0), (None, None));
        });
    }
}

/// A watch is there while an actor gets a name, ends and gives it back, all at once.
pub fn a_watch_against_a_life() {
    for heard in HEARD {
        explore(move || {
            let registry = Registry::new();
            let table = registry.table();
            let lease = claimed(&table, Origin::Managed);
            let living = spawn({
                let registry = Arc::clone(&registry);
                move || {
                    let actor = ActorCell::running(1);
                    lease.publish(actor.clone());
                    registry.end(&actor, lease, heard);
                }
            });
            let watch = Watch::new(&table);
            living.join().unwrap();
            assert_eq!(watch.read().0, None);
        });
    }
}

// ---- groups ----

/// How a group takes a member in, step by step; true if it is in.
fn join(groups: &Arc<Groups>, open: &Table, leases: &Monitored, registry: &ActorCell, actor: &ActorCell) -> bool {
    let member = Arc::new(Member::new(actor.clone(), ()));
    groups.add(&NAME, Kind::of::<Msg, ()>(), Arc::clone(&member)).unwrap_or_else(|_| panic!("they are of one kind"));
    let membership = Membership { groups: Arc::clone(groups), group: NAME, member: Arc::clone(&member) };
    leases.keep_member(registry, membership);
    fence(Ordering::SeqCst);
    if member.live().is_some() && !open.is_closed() {
        return true;
    }
    groups.take_out("a", &[&member]);
    leases.forget_member(registry, &member);
    false
}

fn members(groups: &Groups) -> usize {
    groups.read("a", Kind::of::<Msg, ()>(), |roster, _| roster.members(&Guard::new()).len()).unwrap_or(0)
}

/// 5: an actor that ends while it joins is in no group.
pub fn a_join_against_a_death() {
    explore(|| {
        let (groups, leases, table) = (Arc::new(Groups::new(Namespace)), Arc::new(Monitored::default()), table());
        let actor = ActorCell::running(1);
        let dying = spawn({
            let (actor, leases) = (actor.clone(), Arc::clone(&leases));
            move || actor.end(|id| leases.ended(id, &ExitReason))
        });
        join(&groups, &table, &leases, &ActorCell::running(0), &actor);
        dying.join().unwrap();
        assert_eq!(members(&groups), 0, "nobody takes it out");
    });
}

/// An actor that loses what it is monitored for, while it gets something else, is monitored for that: see `foreign.rs`, 1.
pub fn a_join_against_the_loss_of_all_else() {
    explore(|| {
        let (groups, leases, table) = (Arc::new(Groups::new(Namespace)), Arc::new(Monitored::default()), table());
        let (registry, actor) = (ActorCell::running(0), ActorCell::running(1));
        let first = Arc::new(Member::new(actor.clone(), ()));
        let group = ServiceName::from_static("b");
        groups.add(&group, Kind::of::<Msg, ()>(), Arc::clone(&first)).unwrap_or_else(|_| panic!("it is the first"));
        let membership = Membership { groups: Arc::clone(&groups), group, member: Arc::clone(&first) };
        leases.keep_member(&registry, membership);
        let leaving = spawn({
            let (groups, leases, registry) = (Arc::clone(&groups), Arc::clone(&leases), registry.clone());
            move || {
                groups.take_out("b", &[&first]);
                leases.forget_member(&registry, &first);
            }
        });
        assert!(join(&groups, &table, &leases, &registry, &actor));
        leaving.join().unwrap();
        actor.end(|id| leases.ended(id, &ExitReason));
        assert_eq!(members(&groups), 0, "nobody was told of its end");
    });
}

/// 5: who joins while the namespace is closed is told so, or is seen by whoever closes.
pub fn a_join_against_a_close() {
    explore(|| {
        let (groups, leases, table) = (Arc::new(Groups::new(Namespace)), Arc::new(Monitored::default()), table());
        let joining = spawn({
            let (groups, leases, table) = (Arc::clone(&groups), Arc::clone(&leases), Arc::clone(&table));
            move || join(&groups, &table, &leases, &ActorCell::running(0), &ActorCell::running(1))
        });
        table.close();
        let seen = !groups.members().is_empty();
        let is_in = joining.join().unwrap();
        assert!(seen || !is_in, "it is in a namespace that is gone, and nobody knows");
    });
}

/// 1: a group that loses its last member while it gets another one has that one.
pub fn a_join_against_the_last_leaving() {
    explore(|| {
        let groups = Arc::new(Groups::new(Namespace));
        let kind = Kind::of::<Msg, ()>();
        let [first, second] = [1, 2].map(|id| Arc::new(Member::new(ActorCell::running(id), ())));
        groups.add(&NAME, kind, Arc::clone(&first)).unwrap_or_else(|_| panic!("it is the first"));
        let leaving = spawn({
            let groups = Arc::clone(&groups);
            move || groups.take_out("a", &[&first])
        });
        groups.add(&NAME, kind, second).unwrap_or_else(|_| panic!("they are of one kind"));
        assert_eq!(leaving.join().unwrap(), 1);
        assert_eq!(members(&groups), 1);
    });
}
