//! The runs of the declared checks.
//!
//! # Invariants
//!
//! 1. One task of a namespace runs its declared checks at a time: another one waits to take over.
//! 2. Each declared check has a run. One that ended otherwise is reported and begun again after a pause; the others go on.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::containment::waking_contained;
use foundation_kernel::names::ServiceKey;
use tokio::sync::oneshot;
use tokio::task::{Id, JoinError, JoinSet};

use super::checker::{CheckRun, PAUSE, pause, report_panic};
use super::discovery::Discovery;
use super::state::Shared;
use crate::check::{DeclaredCheck, DeclaredChecks};

impl Discovery {
    /// Runs all [declared](Self::check) checks, those to come included, until the namespace ends. If another task runs them
    /// already, waits to take over.
    pub async fn run_declared_checks(&self) {
        run_declared_checks(Arc::clone(&self.shared)).await;
    }
}

async fn run_declared_checks(shared: Arc<Shared>) {
    let declared = shared.names.extension(DeclaredChecks::new);
    let _only_one = waking_contained(declared.runner.lock()).await;
    // Subscribe before reading: a change between the two is noticed.
    // Of one name, since only its end is of interest: the registry pays nothing for a namespace without a check.
    let mut names = shared.names.watch_service(&ServiceKey::<()>::from_static("discovery"));
    let mut changes = declared.changes();
    let mut running = RunningChecks { shared, tasks: JoinSet::new(), of: HashMap::new() };
    running.follow(declared.all(), Duration::ZERO);
    loop {
        let woken = waking_contained(async {
            tokio::select! {
                watched = names.next() => watched.map(|_| WokenRuns::ByOther),
                // This task holds the sender.
                _ = changes.changed() => Some(WokenRuns::ByDeclaration),
                Some(ended) = running.tasks.join_next_with_id() => Some(WokenRuns::Ended(ended)),
            }
        });
        match woken.await {
            Some(WokenRuns::ByDeclaration) => running.follow(declared.all(), Duration::ZERO),
            Some(WokenRuns::Ended(ended)) => {
                if running.remove_ended(&ended) {
                    running.follow(declared.all(), PAUSE);
                }
            }
            Some(WokenRuns::ByOther) => {}
            None => return,
        }
    }
}

/// What the runs of the declared checks are woken by.
enum WokenRuns {
    ByDeclaration,
    Ended(Result<(Id, u64), JoinError>),
    ByOther,
}

/// The declared checks that run, each by a task that ends with its number.
struct RunningChecks {
    shared: Arc<Shared>,
    tasks: JoinSet<u64>,
    of: HashMap<u64, RunningRun>,
}

/// The task of one declared check.
struct RunningRun {
    name: String,
    task: Id,
    end: oneshot::Sender<()>,
}

impl RunningChecks {
    /// Begins those that have been declared, after this time, and ends those that have been ended.
    fn follow(&mut self, declared: BTreeMap<u64, DeclaredCheck>, after: Duration) {
        for (_, running) in self.of.extract_if(|number, _| !declared.contains_key(number)) {
            let _ = running.end.send(());
        }
        for (number, DeclaredCheck { criteria, check }) in declared {
            if let Entry::Vacant(vacant) = self.of.entry(number) {
                let ((end, ended), name) = (oneshot::channel(), check.name().to_owned());
                let run = CheckRun::new(Arc::clone(&self.shared), criteria, check);
                let task = self.tasks.spawn(run_until(number, run, (after, ended))).id();
                vacant.insert(RunningRun { name, task, end });
            }
        }
    }

    /// True if the check of this task is declared still.
    fn remove_ended(&mut self, ended: &Result<(Id, u64), JoinError>) -> bool {
        let task = ended.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
        let Some(number) = self.of.iter().find(|(_, it)| it.task == task).map(|(number, _)| *number) else {
            return false;
        };
        let removed = self.of.remove(&number);
        if let (Err(error), Some(running)) = (ended, &removed) {
            report_panic(&self.shared, &running.name, error);
        }
        removed.is_some()
    }
}

async fn run_until(number: u64, mut run: CheckRun, (after, ended): (Duration, oneshot::Receiver<()>)) -> u64 {
    let checks = async {
        pause(after).await;
        run.run().await;
    };
    tokio::select! {
        biased;
        // A sender that is dropped says nothing.
        Ok(()) = ended => {}
        () = checks => return number,
    }
    run.end().await;
    number
}

#[cfg(test)]
mod tests {
    use foundation_kernel::names::{Namespace, ProcessRegistry};

    use super::*;
    use crate::check::InstanceCheck;
    use crate::client::options::DiscoveryOptions;
    use crate::criteria::Criteria;

    #[tokio::test(start_paused = true)]
    async fn a_check_whose_task_panics_is_begun_again_and_others_go_on() {
        let registry = ProcessRegistry::start().await.unwrap();
        let names = registry.namespace(Namespace::test()).await.unwrap();
        let shared = Arc::new(Shared::new(names, DiscoveryOptions::new()));
        let mut running = RunningChecks { shared, tasks: JoinSet::new(), of: HashMap::new() };
        let declared = || {
            let check =
                |number| DeclaredCheck { criteria: Criteria::any(), check: InstanceCheck::alive().named(number) };
            BTreeMap::from([(1, check("1")), (2, check("2"))])
        };
        running.follow(declared(), Duration::ZERO);
        let panicked = running.tasks.spawn(async { panic!("it breaks") }).id();
        let (other, first) = (running.of[&2].task, running.of.get_mut(&1).unwrap());
        first.task = panicked;
        let ended = running.tasks.join_next_with_id().await.unwrap();
        assert!(running.remove_ended(&ended));
        running.follow(declared(), PAUSE);
        assert!(running.of[&1].task != panicked && running.of[&2].task == other);
        registry.shutdown().await;
    }
}
