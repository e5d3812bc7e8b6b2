//! Two waiters, one of which gives up, for a notification and for a lock: with up to two preemptions, since there are
//! three threads.

use std::sync::Arc;
use std::task::{Context, Waker};

use loom::future::block_on;
use loom::thread::spawn;

use super::fixture::{NAME, explore_within};
use crate::registry::names::{Latch, Locks};

/// Begins to wait, and gives up.
fn give_up(future: impl Future) {
    let mut future = Box::pin(future);
    drop(future.as_mut().poll(&mut Context::from_waker(Waker::noop())));
}

/// A waiter is woken even if another gives up in the same moment.
pub fn two_waits_against_a_notification() {
    explore_within(Some(2), || {
        let latch = Arc::new(Latch::default());
        let [waiting, giving_up] = [Arc::clone(&latch), Arc::clone(&latch)];
        let waiting = spawn(move || block_on(waiting.wait()));
        let giving_up = spawn(move || give_up(giving_up.wait()));
        latch.set();
        // A wake that is lost leaves it waiting for ever, which loom reports as a deadlock.
        waiting.join().unwrap();
        giving_up.join().unwrap();
    });
}

/// A lock goes to the next in the queue, though the one before gives up in the moment in which it is given back.
pub fn a_lock_that_is_given_up_against_its_return() {
    explore_within(Some(2), || {
        let locks = Arc::new(Locks::default());
        let [holding, giving_up] = [Arc::clone(&locks), Arc::clone(&locks)];
        let holding = spawn(move || drop(block_on(holding.lock(&NAME))));
        let giving_up = spawn(move || give_up(giving_up.lock(&NAME)));
        drop(block_on(locks.lock(&NAME)));
        holding.join().unwrap();
        giving_up.join().unwrap();
    });
}
