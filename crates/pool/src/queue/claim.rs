//! What a worker holds of the queue: the guard of its jobs.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::task::Waker;

use foundation_kernel::containment::wake;

use super::job_queue::JobQueue;
use super::state::State;
use super::turn::{Turn, Wait};
use super::waiters::Waiters;
use crate::job::record::JobRecord;

/// The jobs that a worker has claimed. Dropped, it puts back those that are not finished.
pub(crate) struct Claim<J, T> {
    queue: Arc<JobQueue<J, T>>,
    /// The one that has been begun.
    begun: Option<JobRecord<J, T>>,
    rest: VecDeque<JobRecord<J, T>>,
    /// Those that have gone to their owners since the lock was held last.
    finished: usize,
}

impl<J, T> Claim<J, T> {
    /// An empty claim, of a worker that counts from now on.
    pub(crate) fn new(queue: Arc<JobQueue<J, T>>) -> Self {
        queue.lock().worker_came();
        Self { queue, begun: None, rest: VecDeque::new(), finished: 0 }
    }

    /// Returns when it has jobs, at most this many, or with `false` when there will be none.
    pub(crate) async fn renew(&mut self, at_most: usize) -> bool {
        let Self { queue, rest, finished, .. } = self;
        Wait::new(queue, Jobs { rest, finished, at_most }).await
    }

    /// Begins the next job; `None` if there is none left.
    pub(crate) fn begin(&mut self) -> Option<&mut JobRecord<J, T>> {
        let mut next = self.rest.pop_front()?;
        next.attempts = next.attempts.saturating_add(1);
        Some(self.begun.insert(next))
    }

    /// Takes out the job that was begun, which is about to go to its owner.
    pub(crate) fn finish(&mut self) -> Option<JobRecord<J, T>> {
        let finished = self.begun.take()?;
        self.finished += 1;
        Some(finished)
    }
}

impl<J, T> Drop for Claim<J, T> {
    fn drop(&mut self) {
        let unfinished = self.begun.take().into_iter().chain(mem::take(&mut self.rest));
        let mut wakes = Vec::new();
        let mut state = self.queue.lock();
        state.put_back(unfinished, &mut wakes);
        state.finished(self.finished, &mut wakes);
        state.worker_went();
        drop(state);
        wakes.into_iter().for_each(wake);
    }
}

/// A worker that waits for jobs.
struct Jobs<'a, J, T> {
    rest: &'a mut VecDeque<JobRecord<J, T>>,
    finished: &'a mut usize,
    at_most: usize,
}

impl<J, T> Turn<J, T> for Jobs<'_, J, T> {
    type Output = bool;

    fn list(state: &mut State<J, T>) -> &mut Waiters {
        &mut state.sleepers
    }

    fn take(&mut self, state: &mut State<J, T>, _: bool, wakes: &mut Vec<Waker>) -> Option<bool> {
        state.finished(mem::take(self.finished), wakes);
        if state.is_closed() {
            return Some(false);
        }
        let claimed = state.claim(self.at_most, self.rest);
        state.pick_senders(wakes);
        (claimed > 0).then_some(true)
    }

    fn pass_on(state: &mut State<J, T>, wakes: &mut Vec<Waker>) {
        wakes.extend(state.pick_another());
    }
}
