//! The event store's actor: one writer for one log.

use std::sync::Arc;
use std::time::SystemTime;

use foundation_core::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation_core::{ServiceKey, local_message};
use parking_lot::Mutex;

use super::error::EventError;
use super::event::Event;
use super::id::EventId;
use super::memory::MemoryLog;
use super::new_event::NewEvent;
use super::query::Query;
use super::stats::EventStats;

/// The name of the event store in each namespace.
pub(crate) const EVENT_STORE: ServiceKey<EventStoreMsg> = ServiceKey::new("event_store");

type Answer<T> = RpcReplyPort<Result<T, EventError>>;

pub(crate) enum EventStoreMsg {
    Append(Vec<NewEvent>, Answer<Vec<EventId>>),
    Note(Vec<NewEvent>),
    Get(EventId, Answer<Option<Arc<Event>>>),
    Query(Query, Answer<Vec<Arc<Event>>>),
    PruneBefore(SystemTime, Answer<u64>),
    Stats(Answer<EventStats>),
}
local_message!(EventStoreMsg);

/// Tells the time of day.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// A log that outlives the actor that writes to it, as a file would: a restart forgets nothing.
pub(crate) struct KeptLog(pub(crate) Arc<Mutex<MemoryLog>>);

pub(crate) struct EventStoreServer {
    pub(crate) clock: Clock,
}

#[cfg_attr(feature = "async-trait", foundation_core::ractor::async_trait)]
impl Actor for EventStoreServer {
    type Msg = EventStoreMsg;
    type State = Arc<Mutex<MemoryLog>>;
    type Arguments = Arc<Mutex<MemoryLog>>;

    async fn pre_start(
        &self,
        _: ActorRef<EventStoreMsg>,
        log: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(log)
    }

    async fn handle(
        &self,
        _: ActorRef<EventStoreMsg>,
        message: EventStoreMsg,
        log: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let log = log.lock();
        // Whoever asked may have stopped waiting; the log has done its work all the same.
        match message {
            EventStoreMsg::Append(batch, reply) => {
                drop(reply.send(log.append_batch(batch, (self.clock)()).map(|appended| appended.ids)));
            }
            EventStoreMsg::Note(batch) => {
                if let Err(error) = log.append_batch(batch, (self.clock)()) {
                    tracing::warn!(%error, "events were not recorded");
                }
            }
            EventStoreMsg::Get(id, reply) => drop(reply.send(Ok(log.get(id)))),
            EventStoreMsg::Query(query, reply) => drop(reply.send(Ok(log.query(&query)))),
            EventStoreMsg::PruneBefore(time, reply) => drop(reply.send(Ok(log.prune_before(time)))),
            EventStoreMsg::Stats(reply) => drop(reply.send(Ok(log.stats()))),
        }
        Ok(())
    }
}
