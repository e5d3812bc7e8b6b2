//! The table of names.

use std::sync::Arc;

use loom::future::block_on;
use loom::thread::spawn;

use super::fixture::{Msg, NAME, claim, claimed, explore, found, holder, monitor, table};
use crate::exit::ExitReason;
use crate::registry::names::{NameGuard, Origin};
use crate::{ActorCell, ActorStatus};

/// 6: a waiter for a name is woken by its registration, whenever that comes.
pub fn a_wait_against_a_registration() {
    explore(|| {
        let table = table();
        let name_guard = claimed(&table, Origin::Managed);
        let registering = spawn(move || {
            name_guard.publish(ActorCell::running(1));
            name_guard
        });
        // A wake that is lost leaves this waiting for ever, which loom reports as a deadlock.
        let found = block_on(table.wait_for_live::<Msg>(&NAME));
        assert_eq!(found.map(|actor| actor.get_id().0), Ok(1));
        registering.join().unwrap();
    });
}

/// 6 and 3: a claim of a name whose holder is leaving is woken when the last share of the name guard is dropped.
pub fn a_claim_against_the_end_of_a_name_guard() {
    explore(|| {
        let table = table();
        let name_guard = claimed(&table, Origin::Managed);
        let old = ActorCell::running(1);
        name_guard.publish(old.clone());
        old.end(|_| {});
        let leaving = spawn(move || drop(name_guard));
        let name_guard = claimed(&table, Origin::Managed);
        name_guard.publish(ActorCell::running(2));
        leaving.join().unwrap();
        assert_eq!(found(&table), Some(2));
        assert_eq!(table.counters().balance(), 1);
    });
}

/// 7: a writer that makes a name visible while the table is closed sees that, or the close sees the name.
pub fn a_publication_against_a_close() {
    explore(|| {
        let table = table();
        let name_guard = claimed(&table, Origin::Foreign);
        let publishing = spawn(move || (name_guard.publish(ActorCell::running(1)), name_guard));
        table.close();
        let seen = table.holders().iter().any(|holder| holder.actor().is_some());
        let (open, _name_guard) = publishing.join().unwrap();
        assert!(seen || !open, "it is in a namespace that is gone, unnoticed");
    });
}

/// 7: a waiter for the end of the table is notified of it.
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

/// 2, 3 and 4: the name of a dead foreign actor is taken by another while its own name guard is given back.
pub fn a_replacement_against_the_reaping() {
    explore(|| {
        let table = table();
        let name_guard = claimed(&table, Origin::Foreign);
        let old = ActorCell::running(1);
        name_guard.publish(old.clone());
        let dead = Arc::clone(name_guard.holder());
        old.end(|_| {});
        let reaping = spawn(move || drop(name_guard));
        let new = claimed(&table, Origin::Foreign);
        new.publish(ActorCell::running(2));
        assert!(dead.live().is_none() && !dead.retire(), "it is retired when the next one is there");
        assert_eq!(found(&table), Some(2));
        reaping.join().unwrap();
        assert_eq!(found(&table), Some(2), "the news of the old one's end takes nothing from the new one");
        assert_eq!(table.counters().balance(), 1, "and is counted once");
    });
}

/// 1: of two claims of a free name one gets it, and does not lose it.
pub fn a_claim_against_a_claim() {
    explore(|| {
        let table = table();
        let take = |id| {
            let table = Arc::clone(&table);
            move || {
                let name_guard = claim(&table, Origin::Managed)?;
                name_guard.publish(ActorCell::running(id));
                Some(name_guard)
            }
        };
        let (other, mine) = (take(2), take(1));
        let other = spawn(other);
        let mine = mine();
        let other = other.join().unwrap();
        assert!(mine.is_some() != other.is_some(), "one of the two has it");
        assert_eq!(found(&table), Some(if mine.is_some() { 1 } else { 2 }));
    });
}

/// 3: a name that is taken away while its actor ends goes once.
pub fn an_unregistration_against_the_end_of_a_name_guard() {
    explore(|| {
        let table = table();
        let name_guard = claimed(&table, Origin::Managed);
        name_guard.publish(ActorCell::running(1));
        let holder = Arc::clone(name_guard.holder());
        let ending = spawn(move || drop(name_guard));
        table.release(&holder);
        ending.join().unwrap();
        assert!(table.holder("a").is_none());
        assert_eq!(table.counters().balance(), 0);
    });
}

/// 5: readers see an actor that takes messages at the moment of the lookup, or no actor.
pub fn a_lookup_against_a_replacement() {
    explore(|| {
        let table = table();
        let name_guard = claimed(&table, Origin::Foreign);
        let old = ActorCell::running(1);
        name_guard.publish(old.clone());
        let replacing = spawn({
            let (table, old) = (Arc::clone(&table), old.clone());
            move || {
                old.end(|_| {});
                let new = claimed(&table, Origin::Foreign);
                new.publish(ActorCell::running(2));
                new
            }
        });
        let had_ended = old.get_status() >= ActorStatus::Stopping;
        let seen = found(&table);
        assert!(!(had_ended && seen == Some(1)), "a dead actor is returned");
        let _new = replacing.join().unwrap();
        drop(name_guard);
        assert_eq!(found(&table), Some(2));
    });
}

/// 4: a name that is handed over repeatedly always has a holder.
pub fn a_lookup_against_a_hand_over() {
    explore(|| {
        let table = table();
        let name_guard = claimed(&table, Origin::Managed);
        name_guard.publish(ActorCell::running(1));
        let handing = spawn({
            let table = Arc::clone(&table);
            move || {
                let new = NameGuard::unclaimed(&table, holder(Origin::Foreign));
                assert!(new.take_over::<Msg>(None, ActorCell::running(2)).is_ok());
                new
            }
        });
        assert!(found(&table).is_some(), "for a moment the name has no holder");
        let _new = handing.join().unwrap();
        assert!(name_guard.holder().is_retired(), "the former holder is still current");
        drop(name_guard);
        assert_eq!(found(&table), Some(2), "the name guard of the former holder takes nothing away");
        assert_eq!(table.counters().balance(), 1);
    });
}

/// 3: a name that is handed over while its holder's name guard goes back is the new holder's or free.
pub fn a_hand_over_against_the_end_of_a_name_guard() {
    explore(|| {
        let table = table();
        let name_guard = claimed(&table, Origin::Managed);
        name_guard.publish(ActorCell::running(1));
        let ending = spawn(move || drop(name_guard));
        let new = NameGuard::unclaimed(&table, holder(Origin::Foreign));
        let handed = new.take_over::<Msg>(None, ActorCell::running(2)).is_ok();
        ending.join().unwrap();
        assert_eq!(found(&table), handed.then_some(2));
        assert_eq!(table.counters().balance(), isize::from(handed));
    });
}

/// A foreign actor that ends while it is registered leaves nothing behind: either its event finds the name guard, or
/// the registration sees its end.
pub fn a_registration_against_a_death() {
    explore(|| {
        let (table, monitor) = (table(), monitor());
        let actor = ActorCell::running(1);
        let dying = spawn({
            let (actor, monitor) = (actor.clone(), Arc::clone(&monitor));
            move || actor.end(|id| monitor.ended(id, &ExitReason))
        });
        // Refused if its end is seen in time.
        let _ = monitor.keep(&actor, claimed(&table, Origin::Foreign), NameGuard::publish);
        dying.join().unwrap();
        assert_eq!(found(&table), None);
        // Not the count of names: the last share of a name guard sees what all others have done, but loom does not see
        // that, for the shares are the standard library's.
        assert!(table.holder("a").is_none(), "its name is not given back");
    });
}
