//! The task of an exporter: it waits until it is due, or until a caller asks, exports, and exports the last numbers at its end.
//!
//! 1. It waits for no other exporter, and no other one for it.
//! 2. A panic of the exporter ends the task, which its supervisor starts again after growing delays; it counts as a failure.
//! 3. An export that comes due while one is under way is not made up for: the next numbers make it superfluous.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use foundation_kernel::containment::{Contained, error_text};
use foundation_kernel::supervision::TaskStop;
use futures::future::{BoxFuture, join};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::entry::{Entry, Outcome};
use crate::error::ExportError;
use crate::event::ExportEvent;
use crate::exporter::{ExportFault, Exported};
use crate::shared::Shared;
use crate::source::Source;
use crate::spec::AnyExporter;
use crate::stats::ExporterState;

const PANICKED: &str = "the exporter panicked";
/// How long an export may be tried again, also if the next one is due in a day: callers wait behind it.
const TRIED_FOR: Duration = Duration::from_secs(5 * 60);
/// How long an exporter may take at the end with its last batch.
const LAST: Duration = Duration::from_secs(5);

/// Why the task goes on.
enum Due {
    Schedule(Instant),
    Request,
}

/// Runs until it is asked to stop, or the exporter is removed.
pub(crate) async fn run(shared: Arc<Shared>, entry: Arc<Entry>, stop: TaskStop) {
    if entry.is_removed() {
        // It was removed while it waited for its restart: the name may belong to another exporter by now.
        return;
    }
    let _life = entry.begin_life();
    if let Some(attempts) = entry.counts.take_panic() {
        failure_event(&shared, &entry, attempts, PANICKED).await;
    }
    let _panic = CountsPanic(&entry);
    let mut made = Contained::new("an exporter", (entry.spec.make)());
    let Some(exporter) = made.get_mut() else { return };
    entry.counts.set_target(exporter.target());
    let asked_to_end = async {
        tokio::select! {
            () = stop.requested() => {}
            () = entry.removed() => {}
        }
    };
    tokio::select! {
        biased;
        () = asked_to_end => {}
        () = work(&shared, &entry, &mut **exporter) => {}
    }
    end(&shared, &entry, &mut **exporter).await;
}

/// Exports whenever it is time, for ever. It may be dropped at any time.
async fn work(shared: &Shared, entry: &Entry, exporter: &mut dyn AnyExporter) {
    let mut next = first(entry);
    loop {
        match wait(entry, next).await {
            Due::Schedule(due) => {
                if !entry.is_paused() {
                    let outcome = attempts(shared, entry, exporter, due).await;
                    note(shared, entry, &outcome, false).await;
                }
                next = after(entry, due);
            }
            Due::Request => answer(shared, entry, exporter).await,
        }
        entry.counts.set_state(entry.at_rest());
    }
}

/// The first time that is due; `None` if only requests are.
fn first(entry: &Entry) -> Option<Instant> {
    entry.spec.schedule.next(SystemTime::now(), false).map(|wait| Instant::now() + wait)
}

/// The next time that is due; those that have passed meanwhile are left out.
fn after(entry: &Entry, before: Instant) -> Option<Instant> {
    let now = Instant::now();
    match entry.spec.schedule.every_so_often() {
        Some(period) if before + period >= now => Some(before + period),
        Some(period) => Some(now + period),
        None => entry.spec.schedule.next(SystemTime::now(), true).map(|wait| now + wait),
    }
}

async fn wait(entry: &Entry, next: Option<Instant>) -> Due {
    tokio::select! {
        biased;
        () = entry.requested.notified() => Due::Request,
        time = due(next) => Due::Schedule(time),
    }
}

async fn due(next: Option<Instant>) -> Instant {
    let Some(time) = next else { return pending().await };
    until(time).await;
    time
}

#[expect(clippy::disallowed_methods, reason = "a schedule is its purpose")]
async fn until(time: Instant) {
    sleep_until(time).await;
}

/// Exports for the callers that have asked, which get the outcome before it is recorded.
async fn answer(shared: &Shared, entry: &Entry, exporter: &mut dyn AnyExporter) {
    let callers = entry.take_callers();
    if callers.is_empty() {
        return;
    }
    let requested = shared.record(ExportEvent::Requested { exporter: entry.name.clone() });
    let exporting = async {
        let outcome = attempts(shared, entry, exporter, Instant::now()).await;
        for caller in callers {
            // The caller may have stopped waiting.
            drop(caller.send(outcome.clone()));
        }
        outcome
    };
    let ((), outcome) = join(requested, exporting).await;
    note(shared, entry, &outcome, true).await;
}

/// Tries to export numbers that are not older than this, or events.
async fn attempts(shared: &Shared, entry: &Entry, exporter: &mut dyn AnyExporter, not_older_than: Instant) -> Outcome {
    entry.counts.set_state(ExporterState::Exporting);
    let read = || shared.batch(not_older_than);
    let source = Source::new(&entry.name, &shared.events, &read);
    let outcome = attempts_within_period(entry, exporter, &source).await;
    count_dropped(shared, entry, &source);
    outcome
}

/// Counts the series that had no room in the batch.
fn count_dropped(shared: &Shared, entry: &Entry, source: &Source<'_>) {
    entry.counts.dropped(source.dropped());
    shared.count_dropped(&entry.name, source.dropped());
}

/// Tries as often as the rule says.
async fn attempts_within_period(entry: &Entry, exporter: &mut dyn AnyExporter, source: &Source<'_>) -> Outcome {
    let (begun, period) = (Instant::now(), entry.spec.schedule.period());
    let mut made = 0;
    loop {
        made += 1;
        // So that an export ends before the next one is due.
        let limit = entry.spec.timeout.min(period.saturating_sub(begun.elapsed()));
        let fault = match attempt(entry, exporter, source, made, limit).await {
            Ok(exported) => {
                entry.counts.success(&exported, begun.elapsed());
                return Ok(exported);
            }
            Err(fault) => fault,
        };
        let left = period.min(TRIED_FOR).saturating_sub(begun.elapsed());
        match entry.spec.retry.decide(made, fault.advice(), left, fastrand::f64()) {
            Some(delay) => until(Instant::now() + delay).await,
            None => return Err(failed(entry, made, error_text(&fault))),
        }
    }
}

fn failed(entry: &Entry, attempts: u32, cause: String) -> ExportError {
    ExportError::Failed { exporter: entry.name.clone(), attempts, cause }
}

async fn attempt(
    entry: &Entry,
    exporter: &mut dyn AnyExporter,
    source: &Source<'_>,
    made: u32,
    limit: Duration,
) -> Result<Exported, ExportFault> {
    entry.counts.attempt(made);
    let checked = if made == 1 { exporter.validate(source) } else { Ok(()) };
    checked?;
    match timeout(limit, contained(exporter.export(source, limit))).await {
        Ok(result) => result,
        Err(_) => Err(ExportFault::retry(format!("no end within {limit:?}"))),
    }
}

/// Polls a future of the exporter. Its destructor may panic, too, which would abort the process while the task panics.
async fn contained<T>(future: BoxFuture<'_, T>) -> T {
    let mut future = Contained::new("a future of an exporter", future);
    poll_fn(|context| future.get_mut().map_or(Poll::Pending, |future| future.as_mut().poll(context))).await
}

/// Counts the panic that ends the task; the next life records it.
struct CountsPanic<'a>(&'a Entry);

impl Drop for CountsPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.counts.panicked(PANICKED);
        }
    }
}

/// Counts what has failed, and records what has changed.
async fn note(shared: &Shared, entry: &Entry, outcome: &Outcome, on_demand: bool) {
    let exporter = entry.name.clone();
    match outcome {
        Ok(exported) => {
            let (failures, was_recorded) = entry.counts.take_failures();
            if on_demand || was_recorded {
                let Exported { series, bytes, .. } = *exported;
                shared.record(ExportEvent::Completed { exporter, series, bytes, failures }).await;
            }
        }
        Err(error) => {
            let is_first = entry.counts.failure(error.to_string());
            if let ExportError::Failed { attempts, cause, .. } = error
                && (on_demand || is_first)
            {
                failure_event(shared, entry, *attempts, cause).await;
            }
        }
    }
}

async fn failure_event(shared: &Shared, entry: &Entry, attempts: u32, cause: &str) {
    let exporter = entry.name.clone();
    entry.counts.failure_recorded();
    tracing::warn!(%exporter, attempts, cause, "an export has failed");
    shared.record(ExportEvent::Failed { exporter, attempts, cause: cause.to_owned() }).await;
}

/// The last numbers, without another attempt, and what the exporter has kept back. They fail as one export.
async fn end(shared: &Shared, entry: &Entry, exporter: &mut dyn AnyExporter) {
    entry.counts.set_state(ExporterState::Exporting);
    let deadline = Instant::now() + LAST;
    let exported = if entry.is_paused() { None } else { Some(last_attempt(shared, entry, exporter).await) };
    let flushed = match timeout_at(deadline, contained(exporter.flush())).await {
        Ok(flushed) => flushed.map_err(|fault| error_text(&fault)),
        Err(_) => Err(format!("no end of the last export within {LAST:?}")),
    };
    let outcome = match (exported, flushed) {
        (Some(Err(error)), _) => Err(error),
        (_, Err(cause)) => Err(failed(entry, 1, cause)),
        (Some(Ok(exported)), Ok(())) => Ok(exported),
        (None, Ok(())) => return,
    };
    drop(timeout_at(deadline, note(shared, entry, &outcome, false)).await);
}

async fn last_attempt(shared: &Shared, entry: &Entry, exporter: &mut dyn AnyExporter) -> Outcome {
    let begun = Instant::now();
    let read = || shared.batch(begun);
    let source = Source::new(&entry.name, &shared.events, &read);
    let result = attempt(entry, exporter, &source, 1, entry.spec.timeout.min(LAST)).await;
    count_dropped(shared, entry, &source);
    let exported = result.map_err(|fault| failed(entry, 1, error_text(&fault)))?;
    entry.counts.success(&exported, begun.elapsed());
    Ok(exported)
}
