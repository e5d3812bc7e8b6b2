//! Section 8, tasks: Elixir's tests of its `Task.Supervisor`. Each `task_8_…` names the behaviour it shows.
//!
//! Its other tests cannot exist here: options of the spawn and the list of `$callers` (there is no process
//! dictionary), module-function-argument forms, and invalid shutdown values (they do not compile).

mod awaiting;
mod children;
mod contained;
mod spawning;
mod stopping;
mod streams;
mod streams_ending;
mod stress;

use std::sync::Arc;

use foundation::supervision::{DynamicSupervisorSpec, TaskSupervisor};
use foundation_testkit::{soon, until};
use tokio::sync::watch;

/// The futures of one scenario: the present, total and maximal numbers.
#[derive(Clone)]
struct Crew(Arc<watch::Sender<Attendance>>);

#[derive(Clone, Copy, Default)]
struct Attendance {
    now: usize,
    most: usize,
    ever: usize,
}

impl Crew {
    fn new() -> Self {
        Self(Arc::default())
    }

    /// Held by a future for as long as it exists.
    fn join(&self) -> Member {
        self.0.send_modify(|there| {
            there.now += 1;
            there.ever += 1;
            there.most = there.most.max(there.now);
        });
        Member(self.clone())
    }

    fn now(&self) -> usize {
        self.0.borrow().now
    }

    fn most(&self) -> usize {
        self.0.borrow().most
    }

    fn ever(&self) -> usize {
        self.0.borrow().ever
    }

    async fn ever_at_least(&self, number: usize) {
        let mut there = self.0.subscribe();
        let _ = soon(format!("{number} that have begun"), there.wait_for(|there| there.ever >= number)).await;
    }

    async fn is(&self, number: usize) {
        let mut there = self.0.subscribe();
        let _ = soon(format!("{number} at work"), there.wait_for(|there| there.now == number)).await;
    }
}

struct Member(Crew);

impl Drop for Member {
    fn drop(&mut self) {
        self.0.0.send_modify(|there| there.now -= 1);
    }
}

async fn open() -> TaskSupervisor {
    limited(usize::MAX).await
}

async fn limited(max_children: usize) -> TaskSupervisor {
    let spec = DynamicSupervisorSpec::default().max_children(max_children);
    TaskSupervisor::start("tasks", spec).await.expect("it starts")
}

/// Polls until the supervisor knows of this many tasks.
async fn known(tasks: &TaskSupervisor, number: usize) {
    until(format!("{number} tasks"), async || tasks.count_children().await.expect("it runs").specs == number).await;
}
