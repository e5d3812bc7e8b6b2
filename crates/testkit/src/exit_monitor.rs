use foundation::ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::mpsc;

use crate::soon;

/// Monitors actors from outside and returns how each of them ended, by the text that ractor gives.
pub struct ExitMonitor {
    actor: ActorRef<()>,
    ends: mpsc::UnboundedReceiver<(ActorId, String)>,
    seen: Vec<(ActorId, String)>,
}

struct Watching(mpsc::UnboundedSender<(ActorId, String)>);

impl ExitMonitor {
    /// A monitor of no actor yet.
    pub async fn new() -> Self {
        let (sender, ends) = mpsc::unbounded_channel();
        let (actor, _task) = Actor::spawn(None, Watching(sender), ()).await.expect("its pre_start cannot fail");
        Self { actor, ends, seen: Vec::new() }
    }

    /// Monitors this actor, which must be running.
    pub fn watch(&self, actor: &ActorCell) {
        self.actor.monitor(actor.clone());
    }

    /// How this actor ended: the reason it was stopped with, `normal` if there was none, or the error.
    pub async fn end_of(&mut self, actor: ActorId) -> String {
        loop {
            if let Some((_, reason)) = self.seen.iter().find(|(id, _)| *id == actor) {
                return reason.clone();
            }
            let end = soon(format!("the end of actor {actor}"), self.ends.recv()).await;
            self.seen.push(end.expect("the monitor lives as long as this"));
        }
    }
}

impl Drop for ExitMonitor {
    fn drop(&mut self) {
        self.actor.stop(None);
    }
}

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Watching {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let _ = match event {
            SupervisionEvent::ActorTerminated(actor, _, reason) => {
                self.0.send((actor.get_id(), reason.unwrap_or_else(|| "normal".to_owned())))
            }
            SupervisionEvent::ActorFailed(actor, error) => self.0.send((actor.get_id(), error.to_string())),
            _ => Ok(()),
        };
        Ok(())
    }
}
