//! Plays a script on a paused clock.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use foundation::ractor::{ActorCell, ActorStatus};
use foundation::supervision::{Backoff, RestartIntensity, Strategy, Supervisor, SupervisorSpec};
use foundation_pool::{
    BatchSize, DeadLetter, DeadLetters, JobError, JobId, JobRequest, OverRate, Pool, PoolError, PoolSpec, PoolStats,
    QueueSpec, Rate, Retry, Scaling, Stuck,
};
use foundation_testkit::alive_tasks;
use futures::FutureExt;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::record::{Outcome, Record, Seen};
use super::rules::Broken;
use super::script::{Op, Pause, Put, Script, Shape, Victim, Way};
use super::worker::{Job, Makers, Simulated, passes};

/// A time within which everything comes to rest.
const LONG: Duration = Duration::from_secs(3_600);
/// A time within which a pool without jobs has the size that it is to have.
const SIZED: Duration = Duration::from_secs(200);
const SECOND: Duration = Duration::from_secs(1);
/// The longest wait for an answer of a supervisor that is asked for its children.
const ANSWER: Duration = Duration::from_millis(10);

/// What is left of a play beside its record.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// After the shutdown.
    pub(super) stats: PoolStats,
    /// Jobs that were in the pool even then, and have come back with its end.
    pub(super) left: u64,
}

type SimulatedPool = Pool<Job, usize>;

/// Plays a script on a runtime of its own: what it leaves, or the first rule that was broken while it was played.
pub(super) fn play(script: &Script, record: impl FnOnce(&Record)) -> Result<Figures, Broken> {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    // What draws at random in the pool draws the same each time.
    fastrand::seed(script.seed);
    let played = runtime.block_on(async {
        let seen = Record::new();
        record(&seen);
        AssertUnwindSafe(Player::new(script, &seen).play(script)).catch_unwind().await
    });
    played.unwrap_or_else(|_| Err(Broken::new("nothing panics", "the script itself panicked")))
}

struct Player {
    record: Record,
    makers: Makers,
    spec: PoolSpec<Simulated>,
    pool: SimulatedPool,
    top: Option<Supervisor>,
    /// Callers that wait, and drains.
    callers: JoinSet<()>,
    /// A drain was requested in this life.
    drained: bool,
    /// Holders of the record that are no part of the play.
    readers: usize,
}

impl Player {
    fn new(script: &Script, record: &Record) -> Self {
        let (record, readers) = (record.clone(), record.writers() + 1);
        let makers = Makers::new(&record);
        let spec = spec(&script.shape, &makers);
        let pool = spec.handle();
        let (least, most) = script.shape.workers;
        record.push(Seen::Limits(least, most));
        Self { record, makers, spec, pool, top: None, callers: JoinSet::new(), drained: false, readers }
    }

    async fn play(mut self, script: &Script) -> Result<Figures, Broken> {
        let tasks = alive_tasks();
        self.start().await;
        for step in &script.steps {
            self.step(&step.op).await?;
            self.pause(step.pause).await;
            self.adds_up()?;
        }
        if script.rests {
            self.rest().await?;
        }
        self.makers.released.open();
        self.shutdown().await?;
        self.end(tasks).await
    }

    async fn start(&mut self) {
        let top = SupervisorSpec::new(Strategy::OneForOne).child(self.spec.child("pool"));
        let top = top.intensity(RestartIntensity::UNLIMITED).backoff(Backoff::Constant(SECOND / 10));
        self.drained = false;
        let started = Supervisor::start("top", top).await;
        self.record.did(format!("start: {:?}", started.as_ref().map(drop).map_err(ToString::to_string)));
        self.top = started.ok();
    }

    async fn shutdown(&mut self) -> Result<(), Broken> {
        let is_whole = self.is_whole().await;
        let Some(top) = self.top.take() else { return Ok(()) };
        self.record.did("shutdown");
        let within = timeout(LONG, top.shutdown()).await;
        self.record.did("is shut down");
        if within.is_err() {
            return Err(Broken::new("a shutdown ends", "it did not within an hour"));
        }
        // A keeper that waits for its restart cannot drain the pool: then the jobs are those of the next life.
        if is_whole { self.is_empty() } else { Ok(()) }
    }

    /// Whether the pool and its keeper run, when all that was requested has happened.
    async fn is_whole(&self) -> bool {
        turn(20).await;
        for part in [Victim::Pool, Victim::Keeper] {
            let runs = self.find(part).await.is_some_and(|cell| cell.get_status() == ActorStatus::Running);
            if !runs {
                return false;
            }
        }
        true
    }

    fn is_empty(&self) -> Result<(), Broken> {
        let stats = self.pool.stats();
        let left = self.pool.queued() + stats.delayed + stats.in_work;
        match self.pool.cast(Job::new(0, Vec::new(), &Record::new())) {
            Err(PoolError::NotRunning { .. }) if left == 0 => Ok(()),
            other => {
                let text = format!("a cast afterwards: {other:?}, and {left} jobs are left");
                Err(Broken::new("a pool that is shut down has no jobs and takes none", text))
            }
        }
    }

    async fn pause(&self, pause: Pause) {
        match pause {
            Pause::Turns(turns) => turn(turns).await,
            Pause::Time(time) => passes(time).await,
        }
    }

    // ---- what is done ----

    async fn step(&mut self, op: &Op) -> Result<(), Broken> {
        match op {
            Op::Put(put) => self.put(put.clone()),
            Op::Kill(victim) => self.kill(*victim).await,
            Op::Starts(count, start) => {
                self.record.did(format!("the next {count} starts: {start:?}"));
                self.makers.starts.lock().extend(std::iter::repeat_n(*start, *count));
            }
            Op::Resize(least, most) => {
                self.pool.resize(*least..=*most).unwrap();
                self.record.push(Seen::Limits(*least, *most));
            }
            Op::Pause => {
                self.pool.pause();
                self.record.push(Seen::Paused(true));
            }
            Op::Resume => {
                self.record.push(Seen::Paused(false));
                self.pool.resume();
            }
            Op::Route(routing) => {
                self.record.did(format!("routing: {routing}"));
                self.pool.set_routing(*routing);
            }
            Op::Drain(within, gives_up) => self.drain(*within, *gives_up),
            Op::Restart => {
                self.shutdown().await?;
                self.start().await;
            }
        }
        Ok(())
    }

    fn drain(&mut self, within: Duration, gives_up: Option<Duration>) {
        self.drained = true;
        let (pool, record) = (self.pool.clone(), self.record.clone());
        record.did(format!("a drain within {within:?}"));
        self.callers.spawn(async move {
            let Ok(drained) = timeout(gives_up.unwrap_or(LONG), pool.drain(within)).await else {
                return record.did("a drain is dropped");
            };
            record.did(format!("drained: {drained}"));
            for unfinished in drained.returned {
                record.push(Seen::Settled { job: unfinished.job.number(), outcome: Outcome::Returned });
            }
        });
    }

    async fn kill(&self, victim: Victim) {
        let Some(victim_cell) = self.find(victim).await else { return };
        self.record.did(format!("kill {victim:?}"));
        victim_cell.kill();
    }

    async fn find(&self, victim: Victim) -> Option<ActorCell> {
        let top = self.top.as_ref()?;
        let answered = timeout(ANSWER, async {
            if victim == Victim::Pool {
                return top.child("pool").await.ok()?;
            }
            let pool = top.supervisor("pool").await.ok()??;
            let id = match victim {
                Victim::Scaler => "scaler",
                Victim::Keeper => "keeper",
                _ => "workers",
            };
            pool.child(id).await.ok()?
        });
        let found = answered.await.ok()??;
        let Victim::Worker(number) = victim else { return Some(found) };
        let mut workers = found.get_children();
        workers.sort_by_key(|worker| worker.get_id().pid());
        let at = number % workers.len().max(1);
        (at < workers.len()).then(|| workers.swap_remove(at))
    }

    // ---- jobs ----

    fn put(&mut self, put: Put) {
        let (record, pool) = (self.record.clone(), self.pool.clone());
        record.did(put.to_string());
        match put.way {
            Way::Cast => accepted(&record, put.job, request(&pool, &put, &record).cast()),
            Way::Submit(keeps) => match request(&pool, &put, &record).submit() {
                Err(refused) => accepted(&record, put.job, Err(refused)),
                Ok(handle) => {
                    accepted(&record, put.job, Ok(handle.id()));
                    // A job that gives way at once is in the handle that is dropped.
                    let limit = if keeps { 10 * LONG } else { Duration::ZERO };
                    let mut waiting = Box::pin(async move { answered(&record, put.job, handle.wait(limit).await) });
                    if (&mut waiting).now_or_never().is_none() && keeps {
                        self.callers.spawn(waiting);
                    }
                }
            },
            Way::Send(gives_up) => drop(self.callers.spawn(async move {
                let sent = timeout(gives_up.unwrap_or(10 * LONG), request(&pool, &put, &record).send()).await;
                if let Ok(sent) = sent {
                    accepted(&record, put.job, sent);
                }
            })),
            Way::Call(limit, gives_up) => drop(self.callers.spawn(async move {
                let called = timeout(gives_up.unwrap_or(10 * LONG), request(&pool, &put, &record).call(limit)).await;
                if let Ok(called) = called {
                    answered(&record, put.job, called);
                }
            })),
        }
    }

    // ---- rest, and the end ----

    /// Whether each accepted job is somewhere, at this moment.
    fn adds_up(&self) -> Result<(), Broken> {
        let stats = self.pool.stats();
        adds_up(&stats, stats.queued())
    }

    /// Lets everything go on that was held up, until there is nothing to do, and the pool has its size.
    async fn rest(&mut self) -> Result<(), Broken> {
        self.record.did("come to rest");
        self.makers.starts.lock().clear();
        self.makers.released.open();
        self.record.push(Seen::Paused(false));
        self.pool.resume();
        if self.drained {
            self.shutdown().await?;
        }
        if self.top.is_none() {
            self.start().await;
        }
        let idle = |stats: &PoolStats| self.pool.queued() + stats.delayed + stats.in_work == 0;
        if !self.until(LONG, idle).await {
            let (stats, workers) = (figures(&self.pool.stats()), self.pool.workers());
            return Err(Broken::new("jobs that nothing hinders are done", format!("{stats}\n{workers:?}")));
        }
        self.record.did("all jobs are done");
        let limits = self.record.limits();
        if !self.until(SIZED, |stats| limits.contains(&stats.workers)).await {
            let text = format!("{} and not {limits:?}", self.pool.stats().workers);
            return Err(Broken::new("a pool at rest has its size", text));
        }
        Ok(())
    }

    async fn until(&self, within: Duration, holds: impl Fn(&PoolStats) -> bool) -> bool {
        for _ in 0..within.as_secs() {
            if holds(&self.pool.stats()) {
                return true;
            }
            passes(SECOND).await;
        }
        false
    }

    async fn end(mut self, tasks: usize) -> Result<Figures, Broken> {
        // With the time after which the last caller of a queue that is never drained gives up.
        let ended = timeout(20 * LONG, async { while self.callers.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            let text = format!("{} callers wait", self.callers.len());
            return Err(Broken::new("each caller has an answer", text));
        }
        self.adds_up()?;
        let stats = self.pool.stats();
        let left = (self.pool.queued() + stats.delayed + stats.in_work) as u64;
        let Self { record, makers, spec, pool, callers, readers, .. } = self;
        drop((makers, spec, pool, callers));
        for _ in 0..100 {
            if alive_tasks() > tasks || record.writers() > readers {
                turn(10).await;
                passes(SECOND).await;
            }
        }
        if alive_tasks() > tasks || record.writers() > readers {
            let text =
                format!("{} tasks, and {} writers of the record", alive_tasks() - tasks, record.writers() - readers);
            return Err(Broken::new("nothing is left", text));
        }
        Ok(Figures { stats, left })
    }
}

fn spec(shape: &Shape, makers: &Makers) -> PoolSpec<Simulated> {
    let Shape { workers: (least, most), limit, deadline, .. } = *shape;
    let (making, record) = (makers.clone(), makers.record.clone());
    let spec = PoolSpec::new(move |slot| making.clone().make(slot)).workers(least..=most).unwrap();
    let spec = spec.queue(queue(shape)).routing(shape.routing).weights([100, 300, 50]);
    let spec = spec.batch_size(shape.batch.map_or_else(BatchSize::default, BatchSize::exactly));
    let spec = spec.retry(Retry::attempts(shape.attempts).backoff(Backoff::Constant(shape.backoff)));
    let spec = spec.scaling(Scaling::default().down_after(shape.down_after));
    let spec = spec.drain_within(shape.drain_within).worker_shutdown(shape.worker_shutdown);
    let spec = spec.dead_letters(DeadLetters::function(move |dead| letter(&record, dead)));
    let spec = deadline.into_iter().fold(spec, PoolSpec::deadline);
    let spec = limit.into_iter().fold(spec, PoolSpec::limit);
    let stuck = shape.kill_after.map(|time| Stuck::slow_after(time).kill_after(time));
    let spec = stuck.into_iter().fold(spec, PoolSpec::stuck);
    let intensity = shape.restarts.map(|restarts| RestartIntensity::new(restarts, 5 * SECOND));
    intensity.into_iter().fold(spec, PoolSpec::intensity)
}

fn queue(shape: &Shape) -> QueueSpec {
    let queue = QueueSpec::bounded(shape.capacity).unwrap().when_full(shape.when_full);
    let queue = queue.priorities(shape.weights.iter().copied());
    let queue = shape.aging.into_iter().fold(queue, QueueSpec::aging);
    let rate = shape.rate.map(|rate| {
        let over = if rate.refuses { OverRate::Refuse } else { OverRate::Wait };
        Rate::per_second(rate.per_second).unwrap().burst(rate.burst).over(over)
    });
    rate.into_iter().fold(queue, QueueSpec::rate)
}

fn request<'a>(pool: &'a SimulatedPool, put: &Put, record: &Record) -> JobRequest<'a, Job, usize> {
    let request = pool.job(Job::new(put.job, put.acts.clone(), record)).priority(put.priority);
    let request = put.key.into_iter().fold(request, |request, key| request.key(format!("key {key}")));
    let request = put.label.into_iter().fold(request, |request, label| request.label(format!("label {label}")));
    let request = put.unique.into_iter().fold(request, |request, key| request.idempotency_key(format!("unique {key}")));
    let request = put.deadline.into_iter().fold(request, JobRequest::deadline);
    put.delay.into_iter().fold(request, JobRequest::after)
}

fn accepted(record: &Record, job: usize, accepted: Result<JobId, PoolError<Job>>) {
    match accepted {
        Ok(id) => record.push(Seen::Accepted { job, id: id.number() }),
        Err(refused) => record.push(Seen::Refused { job, why: refused.to_string() }),
    }
}

fn answered(record: &Record, job: usize, answer: Result<usize, JobError<Job>>) {
    match answer {
        Ok(number) => record.push(Seen::Answered { job: number }),
        Err(JobError::NotAccepted(refused)) => record.push(Seen::Refused { job, why: refused.to_string() }),
        Err(JobError::TimedOut { .. }) => record.push(Seen::TimedOut { job }),
        Err(error) => ended(record, job, error),
    }
}

/// The job has come back, to its caller or as a dead letter.
fn ended(record: &Record, job: usize, error: JobError<Job>) {
    match Outcome::of(&error) {
        Some(outcome) => record.push(Seen::Settled { job, outcome }),
        None => record.did(format!("job {job}: {error}")),
    }
}

fn letter(record: &Record, letter: DeadLetter<Job>) {
    let outcome = Outcome::of(&letter.error);
    match (letter.error.into_job(), outcome) {
        (Some(job), Some(outcome)) => record.push(Seen::Settled { job: job.number(), outcome }),
        _ => record.did(format!("a dead letter of job {} without it", letter.id)),
    }
}

fn adds_up(stats: &PoolStats, queued: usize) -> Result<(), Broken> {
    let places = queued + stats.delayed + stats.in_work;
    let outcomes = stats.done + stats.died + stats.expired + stats.dropped + stats.returned;
    if stats.accepted == places as u64 + outcomes && stats.queued() <= queued {
        return Ok(());
    }
    let text = format!("{queued} queued of {}", figures(stats));
    Err(Broken::new("accepted jobs are somewhere, or have an outcome", text))
}

/// The counts of jobs in words.
fn figures(stats: &PoolStats) -> String {
    let PoolStats { accepted, delayed, in_work, done, failed, retried, died, expired, dropped, returned, .. } = stats;
    format!(
        "{accepted} accepted: {} waiting, {delayed} delayed, {in_work} in work, {done} done, {died} dead, {expired} expired, \
         {dropped} dropped, {returned} returned; {failed} attempts failed, {retried} again",
        stats.queued()
    )
}

/// Gives the other tasks this many turns.
async fn turn(turns: usize) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}
