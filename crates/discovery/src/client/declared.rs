//! Running the checks that are declared in a namespace.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use foundation_kernel::containment::waking_contained;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::checker::CheckRun;
use super::state::Shared;
use crate::check::DeclaredCheck;

/// A check that is [declared](crate::Discovery::check) in a namespace. It goes on when this is dropped.
pub struct CheckHandle {
    shared: Arc<Shared>,
    number: u64,
    name: String,
}

impl CheckHandle {
    pub(super) fn new(shared: Arc<Shared>, number: u64, name: String) -> Self {
        Self { shared, number, name }
    }

    /// The name of the check.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends the check. What it has found of its instances is forgotten soon afterwards, by the task that runs it.
    pub fn end(self) {
        self.shared.declared.remove(self.number);
    }
}

impl fmt::Debug for CheckHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckHandle").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Runs all declared checks, those to come included, until the namespace ends. If another task runs them, waits to take over.
pub(crate) async fn run_declared_checks(shared: Arc<Shared>) {
    let _only_one = waking_contained(shared.declared.runner.lock()).await;
    // Subscribe before reading: a change between the two is noticed.
    let (mut names, mut changes) = (shared.names.watch(), shared.declared.changes());
    let mut running = RunningChecks { shared: Arc::clone(&shared), tasks: JoinSet::new(), of: HashMap::new() };
    running.follow();
    loop {
        let changed = waking_contained(async {
            tokio::select! {
                watched = names.next() => watched.map(|_| false),
                // The sender is the shared state's, which this task holds.
                changed = changes.changed() => Some(changed.is_ok()),
            }
        });
        match changed.await {
            Some(true) => running.follow(),
            Some(false) => {}
            None => return,
        }
    }
}

/// The declared checks that run, each by a task.
struct RunningChecks {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    of: HashMap<u64, oneshot::Sender<()>>,
}

impl RunningChecks {
    /// Begins those that have been declared, and ends those that have been ended.
    fn follow(&mut self) {
        let declared = self.shared.declared.all();
        for (_, end) in self.of.extract_if(|number, _| !declared.contains_key(number)) {
            let _ = end.send(());
        }
        for (number, DeclaredCheck { criteria, check }) in declared {
            if let Entry::Vacant(vacant) = self.of.entry(number) {
                let (end, ended) = oneshot::channel();
                self.tasks.spawn(run_until(CheckRun::new(Arc::clone(&self.shared), criteria, check), ended));
                vacant.insert(end);
            }
        }
        // Those that have ended are of no interest.
        while self.tasks.try_join_next().is_some() {}
    }
}

async fn run_until(mut run: CheckRun, ended: oneshot::Receiver<()>) {
    tokio::select! {
        biased;
        // A sender that is dropped says nothing.
        Ok(()) = ended => run.end().await,
        () = run.run() => {}
    }
}
