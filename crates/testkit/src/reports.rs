use foundation::ractor::ActorId;
use foundation::supervision::{ChildEvent, ExitReason, Report, Reporter};
use tokio::sync::mpsc;

use crate::soon;

/// A reporter, and a receiver for its reports.
pub fn reports() -> (impl Reporter + Clone, Reports) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Sender(sender), Reports(receiver))
}

#[derive(Clone)]
struct Sender(mpsc::UnboundedSender<Report>);

impl Reporter for Sender {
    fn report(&self, report: &Report) {
        let _ = self.0.send(report.clone());
    }
}

/// The reports of supervisors, in order. Each wait consumes the reports before the one that it waits for.
pub struct Reports(mpsc::UnboundedReceiver<Report>);

impl Reports {
    /// The result of `pick` for the first report for which it returns one.
    pub async fn find<T>(&mut self, what: &str, pick: impl Fn(&Report) -> Option<T>) -> T {
        soon(what, async {
            loop {
                match self.0.recv().await {
                    Some(report) => {
                        if let Some(found) = pick(&report) {
                            return found;
                        }
                    }
                    None => panic!("{what}: no supervisor is left to report it"),
                }
            }
        })
        .await
    }

    async fn of<T>(&mut self, child: &str, what: &str, pick: impl Fn(&ChildEvent) -> Option<T>) -> T {
        self.find(&format!("{child} {what}"), |report| match &*report.child.to_string() == child {
            true => pick(&report.happened),
            false => None,
        })
        .await
    }

    /// The actor of the next start of this child, the first one included.
    pub async fn started(&mut self, child: &str) -> ActorId {
        self.of(child, "started", |happened| match happened {
            ChildEvent::Started { actor, .. } => Some(*actor),
            _ => None,
        })
        .await
    }

    /// The actor of the next restart of this child.
    pub async fn restarted(&mut self, child: &str) -> ActorId {
        self.of(child, "restarted", |happened| match happened {
            ChildEvent::Started { actor, restarts: 1.., .. } => Some(*actor),
            _ => None,
        })
        .await
    }

    /// The reason of this child's next end.
    pub async fn exited(&mut self, child: &str) -> ExitReason {
        self.of(child, "exited", |happened| match happened {
            ChildEvent::Exited { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    /// The cause of the next failed start of this child.
    pub async fn start_failed(&mut self, child: &str) -> String {
        self.of(child, "start failed", |happened| match happened {
            ChildEvent::StartFailed { cause } => Some(cause.clone()),
            _ => None,
        })
        .await
    }

    /// Returns when a supervisor has given up, with the child whose failure exceeded the intensity.
    pub async fn gave_up(&mut self) -> String {
        self.find("giving up", |report| match report.happened {
            ChildEvent::GaveUp { .. } => Some(report.child.to_string()),
            _ => None,
        })
        .await
    }

    /// The reports that have not been awaited.
    pub fn rest(&mut self) -> Vec<Report> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}
