//! How many checks run at the same time, and which is next.
//!
//! # Invariants
//!
//! 1. At most [`MAX_RUNNING_CHECKS`] run, of them at most [`MAX_RUNNING_UNPROVEN`] whose last run was no success. So checks
//!    that hang leave room for those that do not.
//! 2. Of those that wait and have room, the longest overdue is next, whenever it began to wait. So none waits for ever: those
//!    that become due later come after it.
//! 3. None waits that has room.
//! 4. A place is given back by a guard, also that of a check that is ended while it waits. No task is woken under the lock.

use std::collections::BTreeMap;

use foundation_kernel::containment::waking_contained;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::limits::{MAX_RUNNING_CHECKS, MAX_RUNNING_UNPROVEN};

/// The checks of a namespace that may run at the same time.
#[derive(Debug, Default)]
pub(crate) struct CheckCapacity(Mutex<Queue>);

/// The right to run, or to wait for that; it goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct CheckPermit<'a> {
    capacity: &'a CheckCapacity,
    class: Class,
    turn: Turn,
}

/// Whether the last run was a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Proven,
    Unproven,
}

/// Since when a check is due, and its number, which no other has.
type Turn = (Instant, u64);

#[derive(Debug, Default)]
struct Queue {
    proven: ClassQueue,
    unproven: ClassQueue,
    next_number: u64,
}

/// Those of one class.
#[derive(Debug, Default)]
struct ClassQueue {
    running: usize,
    waiting: BTreeMap<Turn, oneshot::Sender<()>>,
}

impl CheckCapacity {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Waits until one more may run that is due since then, whose last run was a success or not.
    pub(crate) async fn permit(&self, due: Instant, is_proven: bool) -> CheckPermit<'_> {
        let class = if is_proven { Class::Proven } else { Class::Unproven };
        let (turn, started) = self.0.lock().enter(due, class);
        let permit = CheckPermit { capacity: self, class, turn };
        if let Some(started) = started {
            // The sender is there until it has sent.
            let _ = waking_contained(started).await;
        }
        permit
    }
}

impl Drop for CheckPermit<'_> {
    fn drop(&mut self) {
        let next = self.capacity.0.lock().leave(self.turn, self.class);
        // One that is ended meanwhile gives its place back itself.
        if let Some(next) = next {
            let _ = next.send(());
        }
    }
}

impl Queue {
    fn of(&mut self, class: Class) -> &mut ClassQueue {
        match class {
            Class::Proven => &mut self.proven,
            Class::Unproven => &mut self.unproven,
        }
    }

    fn has_room(&self, class: Class) -> bool {
        let has_room = self.proven.running + self.unproven.running < MAX_RUNNING_CHECKS;
        has_room && (class == Class::Proven || self.unproven.running < MAX_RUNNING_UNPROVEN)
    }

    /// Lets a check run at once if there is room, or else wait.
    fn enter(&mut self, due: Instant, class: Class) -> (Turn, Option<oneshot::Receiver<()>>) {
        let turn = (due, self.next_number);
        self.next_number += 1;
        if self.has_room(class) {
            self.of(class).running += 1;
            return (turn, None);
        }
        let (start, started) = oneshot::channel();
        self.of(class).waiting.insert(turn, start);
        (turn, Some(started))
    }

    /// Ends a run or a wait; returns who runs in its place.
    fn leave(&mut self, turn: Turn, class: Class) -> Option<oneshot::Sender<()>> {
        let of = self.of(class);
        if of.waiting.remove(&turn).is_some() {
            return None;
        }
        of.running -= 1;
        let next = self.next()?;
        self.of(next).running += 1;
        self.of(next).waiting.pop_first().map(|(_, start)| start)
    }

    /// The class of the one that runs next, if one waits and has room.
    fn next(&self) -> Option<Class> {
        let first = |class: Class, of: &ClassQueue| {
            let (turn, _) = of.waiting.first_key_value()?;
            self.has_room(class).then_some((*turn, class))
        };
        let (proven, unproven) = (first(Class::Proven, &self.proven), first(Class::Unproven, &self.unproven));
        proven.into_iter().chain(unproven).min_by_key(|(turn, _)| *turn).map(|(_, class)| class)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;
    use futures::future::BoxFuture;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn those_that_fail_leave_half_of_the_room_to_the_others() {
        let (capacity, now) = (CheckCapacity::new(), Instant::now());
        let take =
            |is_proven| std::iter::from_fn(|| capacity.permit(now, is_proven).now_or_never()).collect::<Vec<_>>();
        let failing = take(false);
        assert_eq!(
            (failing.len(), take(true).len()),
            (MAX_RUNNING_UNPROVEN, MAX_RUNNING_CHECKS - MAX_RUNNING_UNPROVEN)
        );
        drop(failing);
        assert_eq!(take(true).len(), MAX_RUNNING_CHECKS);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Enter { due: u64, is_proven: bool },
        EndRun(usize),
        EndWait(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0..1_000_u64, any::<bool>()).prop_map(|(due, is_proven)| Step::Enter { due, is_proven }),
            2 => any::<usize>().prop_map(Step::EndRun),
            1 => any::<usize>().prop_map(Step::EndWait),
        ];
        vec(step, 0..400)
    }

    type Permitted<'a> = (u64, bool, BoxFuture<'a, CheckPermit<'a>>);

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_longest_overdue_that_has_room_is_next(steps in steps()) {
            let (capacity, began) = (CheckCapacity::new(), Instant::now());
            let mut running: Vec<(u64, bool, CheckPermit<'_>)> = Vec::new();
            let mut waiting: Vec<Permitted<'_>> = Vec::new();
            for step in steps {
                let is_end = matches!(step, Step::EndRun(_));
                match step {
                    Step::Enter { due, is_proven } => {
                        let permit = capacity.permit(began + Duration::from_millis(due), is_proven);
                        waiting.push((due, is_proven, permit.boxed()));
                    }
                    Step::EndRun(at) if !running.is_empty() => drop(running.swap_remove(at % running.len())),
                    Step::EndWait(at) if !waiting.is_empty() => drop(waiting.swap_remove(at % waiting.len())),
                    _ => continue,
                }
                let room_of = |running: &Vec<(u64, bool, CheckPermit<'_>)>, is_proven: bool| {
                    let unproven = running.iter().filter(|it| !it.1).count();
                    running.len() < MAX_RUNNING_CHECKS && (is_proven || unproven < MAX_RUNNING_UNPROVEN)
                };
                let expected = waiting.iter().filter(|it| room_of(&running, it.1)).map(|it| it.0).min();
                let (mut started, mut left) = (Vec::new(), Vec::new());
                for (due, is_proven, mut permit) in waiting {
                    match permit.as_mut().now_or_never() {
                        Some(permit) => started.push((due, is_proven, permit)),
                        None => left.push((due, is_proven, permit)),
                    }
                }
                waiting = left;
                prop_assert!(started.len() <= 1);
                prop_assert!(!is_end || started.first().map(|it| it.0) == expected, "{:?}", expected);
                prop_assert_eq!(started.is_empty(), expected.is_none());
                running.extend(started);
                // None waits that has room.
                prop_assert!(waiting.iter().all(|it| !room_of(&running, it.1)));
            }
        }
    }
}
