//! The requests that wait until a service is as they want it.

use std::sync::Arc;

use foundation_kernel::answer;
use foundation_kernel::names::ServiceName;
use foundation_kernel::ractor::RpcReplyPort;

use super::service_table::ServiceTable;
use crate::error::ManagedError;
use crate::lifecycle::ServiceState;
use crate::record::{Records, ServiceRecord};

/// The answer to a request about a service.
pub(crate) type Answer = RpcReplyPort<Result<Option<Arc<ServiceRecord>>, ManagedError>>;

/// What a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// It is recorded.
    Recorded,
    /// This generation is healthy.
    Healthy(u64),
    /// This generation is healthy, if the service is to run.
    Configured(u64),
    /// Nothing of it runs.
    Stopped,
}

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

    /// Answers each whose wait is over.
    pub(crate) fn answer(&mut self, table: &ServiceTable, records: &Records) {
        for waiter in std::mem::take(&mut self.0) {
            if waiter.reply.is_closed() {
                continue;
            }
            match outcome(table, &waiter.name, waiter.goal) {
                Some(outcome) => {
                    let record = || records.get(&waiter.name).cloned();
                    answer(waiter.reply, outcome.map(|()| record()));
                }
                None => self.0.push(waiter),
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

/// How a wait ended; `None` if it has not.
fn outcome(table: &ServiceTable, name: &ServiceName, goal: Goal) -> Option<Result<(), ManagedError>> {
    let superseded = || Some(Err(ManagedError::Superseded { name: name.clone() }));
    let (desired, live) = (table.roster.get(name), table.services.get(name));
    match goal {
        Goal::Recorded => Some(Ok(())),
        Goal::Stopped if live.is_none_or(|live| live.generation.is_none()) => Some(Ok(())),
        Goal::Stopped => match desired {
            Some(it) if it.is_wanted() => superseded(),
            _ => None,
        },
        Goal::Configured(_) if desired.is_some_and(|it| !it.is_wanted()) => Some(Ok(())),
        Goal::Healthy(generation) | Goal::Configured(generation) => {
            let (Some(desired), Some(live)) = (desired, live) else { return superseded() };
            if !desired.is_wanted() || desired.generation != generation {
                return superseded();
            }
            if live.generation != Some(generation) || live.replacing.is_some() {
                return None;
            }
            let reason = live.give_up_reason().map(str::to_owned);
            match (&live.state, reason) {
                (ServiceState::Healthy, _) => Some(Ok(())),
                (_, Some(reason)) => Some(Err(ManagedError::Start { name: name.clone(), reason })),
                _ => None,
            }
        }
    }
}
