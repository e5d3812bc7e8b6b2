//! The requests that wait until a service is as they want it.

use foundation_kernel::answer;
use foundation_kernel::names::ServiceName;

use super::goal::Goal;
use super::message::Answer;
use crate::error::ManagedError;
use crate::record::Records;

/// A request that waits.
pub(crate) struct Waiter {
    name: ServiceName,
    goal: Goal,
    reply: Answer,
}

/// All that wait.
#[derive(Default)]
pub(crate) struct Waiters(Vec<Waiter>);

impl Waiters {
    pub(crate) fn add(&mut self, name: ServiceName, goal: Goal, reply: Answer) {
        self.0.push(Waiter { name, goal, reply });
    }

    /// Answers each whose wait is over, as this says of a service.
    pub(crate) fn answer(
        &mut self,
        outcome: impl Fn(&ServiceName, Goal) -> Option<Result<(), ManagedError>>,
        records: &Records,
    ) {
        for waiter in std::mem::take(&mut self.0) {
            if waiter.reply.is_closed() {
                continue;
            }
            match outcome(&waiter.name, waiter.goal) {
                Some(outcome) => {
                    let record = || records.get(&waiter.name).cloned();
                    answer(waiter.reply, outcome.map(|()| record()));
                }
                None => self.0.push(waiter),
            }
        }
    }

    /// Lets the requests that wait for one generation of a service wait for another, which is made from the same.
    pub(crate) fn renumber(&mut self, name: &ServiceName, from: u64, to: u64) {
        for waiter in self.0.iter_mut().filter(|waiter| waiter.name == *name) {
            match &mut waiter.goal {
                Goal::Healthy(generation) | Goal::Configured(generation) if *generation == from => *generation = to,
                _ => {}
            }
        }
    }

    /// Answers the requests about a service that failed.
    pub(crate) fn fail(&mut self, name: &ServiceName, failed: impl Fn(Goal) -> bool, error: impl Fn() -> ManagedError) {
        for waiter in std::mem::take(&mut self.0) {
            match &waiter.name == name && failed(waiter.goal) {
                true => answer(waiter.reply, Err(error())),
                false => self.0.push(waiter),
            }
        }
    }
}
