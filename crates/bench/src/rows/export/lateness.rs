//! How late seven exporters export while an eighth never ends.

use std::future::pending;
use std::time::Duration;

use foundation::Foundation;
use foundation_export::{Batch, ExportFault, ExportSchedule, Exported, Exporter, ExporterSpec, Exports, Target};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::contest::{BenchRow, Contest};
use crate::measured::{Comparison, Measured, RowLimit};
use crate::stage::{runtime, started};

const PERIOD: Duration = Duration::from_millis(100);
const OTHERS: usize = 7;
const LIMIT_NS: f64 = 1e6;

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("export_lateness_hanging", 2, lateness)]
}

/// The median over the ticks of the latest of the seven: wall times do not repeat at their maximum.
fn lateness(contest: &mut Contest<'_>) -> Vec<Measured> {
    let ticks = (contest.effort.each.as_millis() / PERIOD.as_millis()).max(10) as usize;
    let (ours, peer) = (median(run(ticks, true)), median(run(ticks, false)));
    vec![Measured {
        name: contest.row.name,
        threads: contest.row.threads,
        peer: "the same without the one that hangs".to_owned(),
        figures: Comparison::Nanoseconds { ours, peer },
        limit: Some(RowLimit::Total(LIMIT_NS)),
    }]
}

/// How late the latest exporter was at each tick.
fn run(ticks: usize, hangs: bool) -> Vec<Duration> {
    let runtime = runtime();
    runtime.block_on(async {
        let foundation = started(Foundation::builder().service(Exports::service()).start().await);
        let exports = Exports::of(foundation.production().registry());
        let every = started(ExportSchedule::every(PERIOD));
        if hangs {
            started(exports.register("hangs", ExporterSpec::new(|| Hangs).schedule(every)).await);
        }
        let mut times = Vec::new();
        for number in 0..OTHERS {
            let (sender, receiver) = mpsc::unbounded_channel();
            let spec = ExporterSpec::new(move || NotesTime(sender.clone())).schedule(every);
            started(exports.register(&format!("other-{number}"), spec).await);
            times.push(receiver);
        }
        let mut late = vec![Duration::ZERO; ticks];
        for receiver in &mut times {
            let mut exports = Vec::new();
            while exports.len() < ticks {
                exports.extend(receiver.recv().await);
            }
            late.iter_mut().zip(lateness_of(&exports)).for_each(|(latest, late)| *latest = late.max(*latest));
        }
        foundation.shutdown().await;
        late
    })
}

/// By how much each export was later than the punctual one of them has it.
fn lateness_of(exports: &[Instant]) -> Vec<Duration> {
    let Some(first) = exports.first() else { return Vec::new() };
    let due = |tick: usize| PERIOD * tick as u32;
    // Since a day before the first, so that an earlier beginning is no negative time.
    let day = Duration::from_secs(86_400);
    let since: Vec<_> = exports.iter().enumerate().map(|(tick, at)| day + (*at - *first) - due(tick)).collect();
    let punctual = since.iter().min().copied().unwrap_or_default();
    since.into_iter().map(|it| it - punctual).collect()
}

fn median(mut late: Vec<Duration>) -> f64 {
    late.sort_unstable();
    late.get(late.len() / 2).map_or(f64::NAN, |late| late.as_nanos() as f64)
}

struct NotesTime(mpsc::UnboundedSender<Instant>);

impl Exporter for NotesTime {
    const FORMAT: &'static str = "json";

    fn target(&self) -> Target {
        Target::new("a channel")
    }

    async fn export(&mut self, batch: &Batch) -> Result<Exported, ExportFault> {
        // The receiver may have seen enough.
        let _ = self.0.send(Instant::now());
        Ok(Exported::new(0, batch.series()))
    }
}

struct Hangs;

impl Exporter for Hangs {
    const FORMAT: &'static str = "json";

    fn target(&self) -> Target {
        Target::new("nowhere")
    }

    async fn export(&mut self, _: &Batch) -> Result<Exported, ExportFault> {
        pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lateness_is_that_beside_the_most_punctual_export() {
        let begun = Instant::now() + Duration::from_secs(1);
        let at = |tick: u32, late: u64| begun + PERIOD * tick + Duration::from_millis(late);
        let late = lateness_of(&[at(0, 2), at(1, 0), at(2, 7)]);
        assert_eq!(late, [2, 0, 7].map(Duration::from_millis));
        assert_eq!(median(late), 2e6);
    }
}
