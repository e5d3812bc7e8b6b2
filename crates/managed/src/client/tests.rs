//! A client whose manager stops no service in time.

use std::sync::atomic::{AtomicUsize, Ordering};

use foundation_kernel::answer;
use foundation_kernel::names::{Namespace, ProcessRegistry};
use foundation_kernel::ractor::{Actor, ActorProcessingErr, ActorRef};

use super::*;
use crate::samples::name;
use crate::server::ShutdownReply;

/// Three services are to be stopped.
fn progress(left: Vec<ServiceName>) -> ShutdownProgress {
    ShutdownProgress { to_stop: vec![name("a"), name("b"), name("c")], left }
}

/// A manager of which one service ends in time, one when it is killed, and one never.
#[derive(Default)]
struct Stuck(AtomicUsize);

#[cfg_attr(feature = "async-trait", foundation_kernel::ractor::async_trait)]
impl Actor for Stuck {
    type Msg = ManagerMsg;
    type State = Vec<ShutdownReply>;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<ManagerMsg>, (): ()) -> Result<Vec<ShutdownReply>, ActorProcessingErr> {
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        _: ActorRef<ManagerMsg>,
        message: ManagerMsg,
        waiting: &mut Vec<ShutdownReply>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ManagerMsg::Shutdown(reply) => waiting.push(reply),
            ManagerMsg::KillAll(reply) => match self.0.fetch_add(1, Ordering::Relaxed) {
                0 => answer(reply, progress(vec![name("a"), name("b")])),
                _ => answer(reply, progress(vec![name("b")])),
            },
            _ => {}
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_names_the_services_that_ended_that_were_killed_and_that_are_left() {
    let registry = ProcessRegistry::builder().start().await.unwrap();
    let names = registry.namespace(Namespace::Production).await.unwrap();
    let (manager, _) = Actor::spawn(None, Stuck::default(), ()).await.unwrap();
    names.register(&manager_key(), &manager).await.unwrap();
    let ended = Managed::of(&names).shutdown(Duration::from_secs(1)).await.unwrap();
    assert_eq!(ended, ManagedShutdown { stopped: vec![name("c")], killed: vec![name("a")], left: vec![name("b")] });
    registry.shutdown().await;
}
