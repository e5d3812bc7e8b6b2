//! One job that is put in, with what is special about it.

use std::fmt;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::id::JobId;
use super::key::{JobKey, MAX_KEY_BYTES};
use super::record::JobOptions;
use super::record::Reply;
use crate::error::{JobError, PoolError};
use crate::queue::job_queue::JobQueue;
use crate::queue::new_job::NewJob;
use crate::timetable::far;

/// One job that is put in, with what is special about it: [`Pool::job`](crate::Pool::job).
///
/// ```
/// use std::time::Duration;
/// # use foundation_pool::{Pool, PoolError};
/// # fn remind(mails: Pool<String>) -> Result<(), PoolError<String>> {
/// mails.job("pay the bill".to_owned()).priority(2).after(Duration::from_secs(60)).cast()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is put in before `cast`, `send`, `call` or `submit`"]
pub struct JobRequest<'a, J, T> {
    queue: &'a JobQueue<J, T>,
    job: J,
    level: u8,
    /// Made when something special is said.
    options: Option<Box<JobOptions>>,
    /// The length of a key that is too long.
    too_long: Option<usize>,
}

impl<J, T> fmt::Debug for JobRequest<'_, J, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobRequest").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<'a, J, T> JobRequest<'a, J, T> {
    pub(crate) fn new(queue: &'a JobQueue<J, T>, job: J) -> Self {
        Self { queue, job, level: 0, options: None, too_long: None }
    }

    /// What the job is about, up to 1,024 bytes.
    pub fn key(mut self, key: impl AsRef<str>) -> Self {
        let key = self.checked(key.as_ref());
        self.options().key = key;
        self
    }

    /// What chooses its worker under a [routing by affinity](crate::Routing::affinity), instead of its key; up to 1,024 bytes.
    /// Unlike jobs with the same key, those with the same label may be done at the same time.
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        let label = self.checked(label.as_ref());
        self.options().label = label;
        self
    }

    /// Lets the pool refuse the job while it has one with the same key, up to 1,024 bytes.
    pub fn idempotency_key(mut self, key: impl AsRef<str>) -> Self {
        let unique = self.checked(key.as_ref());
        self.options().unique = unique;
        self
    }

    fn options(&mut self) -> &mut JobOptions {
        self.options.get_or_insert_default()
    }

    fn checked(&mut self, key: &str) -> Option<JobKey> {
        JobKey::new(key).map_err(|length| self.too_long = Some(length)).ok()
    }

    /// Its priority, by the number of its [level](crate::QueueSpec::priorities); 0, the default, is the most urgent. One
    /// beyond the last is the last.
    pub fn priority(mut self, level: u8) -> Self {
        self.level = level;
        self
    }

    /// How long it may wait for its first attempt, instead of the pool's [deadline](crate::PoolSpec::deadline).
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.options().deadline = Some(deadline);
        self
    }

    /// The time before which it is not begun; at most a year.
    pub fn after(mut self, delay: Duration) -> Self {
        self.options().delay = Some(delay);
        self
    }

    fn new_job(self, reply: Option<Reply<J, T>>) -> Result<NewJob<J, T>, PoolError<J>> {
        let Self { job, level, options, .. } = self;
        match self.too_long {
            Some(length) => Err(PoolError::KeyTooLong { job, length, max: MAX_KEY_BYTES }),
            None => Ok(NewJob { job, reply, level, options }),
        }
    }

    /// Puts the job in, as [`Pool::cast`](crate::Pool::cast).
    ///
    /// # Errors
    /// As there; [`PoolError::KeyTooLong`], [`PoolError::Duplicate`].
    pub fn cast(self) -> Result<JobId, PoolError<J>> {
        let queue = self.queue;
        queue.put(self.new_job(None)?)
    }

    /// Puts the job in when there is room for it, as [`Pool::send`](crate::Pool::send).
    ///
    /// # Errors
    /// As there; [`PoolError::KeyTooLong`], [`PoolError::Duplicate`].
    pub async fn send(self) -> Result<JobId, PoolError<J>> {
        let queue = self.queue;
        queue.put_when_room(self.new_job(None)?, Instant::now()).await
    }

    /// Puts the job in without waiting, as a [cast](Self::cast), and returns a handle on its outcome.
    ///
    /// # Errors
    /// As [`cast`](Self::cast).
    pub fn submit(self) -> Result<JobHandle<J, T>, PoolError<J>> {
        let queue = self.queue;
        let (reply, outcome) = oneshot::channel();
        let id = queue.put(self.new_job(Some(Reply::Caller(reply)))?)?;
        Ok(JobHandle { id, outcome })
    }

    /// Puts the job in when there is room for it, and waits for its output, as [`Pool::call`](crate::Pool::call).
    ///
    /// # Errors
    /// As there; [`PoolError::KeyTooLong`], [`PoolError::Duplicate`].
    pub async fn call(self, limit: Duration) -> Result<T, JobError<J>> {
        let queue = self.queue;
        let (reply, outcome) = oneshot::channel();
        let new = self.new_job(Some(Reply::Caller(reply)))?;
        let until = Until::from_now(limit);
        let mut putting = queue.put_when_room(new, until.begun);
        let accepted = match timeout_at(until.end, &mut putting).await {
            Ok(accepted) => accepted,
            Err(_) => putting.give_up().await,
        };
        JobHandle { id: accepted?, outcome }.wait_until(until).await
    }
}

/// A handle on the outcome of a job. Dropped, it leaves the job to the pool.
#[must_use = "a handle that is dropped tells nothing; use `cast`"]
pub struct JobHandle<J, T> {
    id: JobId,
    outcome: oneshot::Receiver<Result<T, JobError<J>>>,
}

impl<J, T> fmt::Debug for JobHandle<J, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<J, T> JobHandle<J, T> {
    /// The number of the job.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Waits for the output, for as long as this.
    ///
    /// # Errors
    /// [`JobError::TimedOut`]; otherwise what became of the job.
    pub async fn wait(self, limit: Duration) -> Result<T, JobError<J>> {
        self.wait_until(Until::from_now(limit)).await
    }

    async fn wait_until(self, until: Until) -> Result<T, JobError<J>> {
        let Self { id, outcome } = self;
        match timeout_at(until.end, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(JobError::Gone { id }),
            Err(_) => Err(JobError::TimedOut { id, limit: until.limit }),
        }
    }
}

/// For how long a caller waits. The clock is read once for the whole of a call.
#[derive(Clone, Copy)]
struct Until {
    begun: Instant,
    limit: Duration,
    end: Instant,
}

impl Until {
    fn from_now(limit: Duration) -> Self {
        let begun = Instant::now();
        Self { begun, limit, end: far(begun, limit) }
    }
}
