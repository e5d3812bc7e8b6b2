//! Requests, as a server's clients make them: each is repeated with its key until it is answered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foundation::events::{EventId, EventKind};
use foundation::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation::{EventStore, NewEvent, ServiceKey, Services, local_message};

pub(crate) const ORDERED: EventKind = EventKind::from_static("ordered");

/// The requests that a worker gets.
pub(crate) enum Request {
    /// Records an order with this key.
    Order {
        key: String,
        answer: RpcReplyPort<Result<EventId, String>>,
    },
    /// Ends with an error that has no text and is its own cause.
    Fail,
    Panic,
}
local_message!(Request);

/// Takes orders, and has a state that panics when it is dropped.
pub(crate) struct Worker(pub(crate) EventStore);

pub(crate) struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("the destructor panics");
        }
    }
}

#[derive(Debug)]
struct BadError;

impl std::fmt::Display for BadError {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Err(std::fmt::Error)
    }
}

impl std::error::Error for BadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self)
    }
}

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Worker {
    type Msg = Request;
    type State = PanicsWhenDropped;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Request>, (): ()) -> Result<PanicsWhenDropped, ActorProcessingErr> {
        Ok(PanicsWhenDropped)
    }

    async fn handle(
        &self,
        _: ActorRef<Request>,
        request: Request,
        _: &mut PanicsWhenDropped,
    ) -> Result<(), ActorProcessingErr> {
        match request {
            Request::Order { key, answer } => {
                let event = NewEvent::of(ORDERED).payload(&key)?.idempotency_key(key);
                let recorded = self.0.append(event).await.map_err(|error| error.to_string());
                let _ = answer.send(recorded);
                Ok(())
            }
            Request::Fail => Err(Box::new(BadError)),
            Request::Panic => std::panic::panic_any(PanicsWhenDropped),
        }
    }
}

/// The acknowledged orders, each with its event.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    acknowledged: Arc<Mutex<HashMap<String, EventId>>>,
    refused: Arc<AtomicU64>,
    last_refusal: Arc<Mutex<String>>,
}

impl Ledger {
    pub(crate) fn acknowledged(&self) -> HashMap<String, EventId> {
        self.acknowledged.lock().unwrap().clone()
    }

    /// The last answer that was no acknowledgement.
    pub(crate) fn last_refusal(&self) -> String {
        self.last_refusal.lock().unwrap().clone()
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Places orders, one after the other, until it is asked to stop; its last order is answered then.
pub(crate) async fn orders(
    services: Services,
    worker: ServiceKey<Request>,
    name: String,
    ledger: Ledger,
    stop: tokio_util::sync::CancellationToken,
) {
    let via = services.via(&worker);
    for number in 0u64.. {
        let key = format!("{name}-{number}");
        loop {
            let ask = |answer| Request::Order { key: key.clone(), answer };
            match via.call(ask, Duration::from_secs(10)).await {
                Ok(Ok(id)) => {
                    ledger.acknowledged.lock().unwrap().insert(key.clone(), id);
                    break;
                }
                other => {
                    *ledger.last_refusal.lock().unwrap() = format!("{key}: {other:?}");
                    ledger.refused.fetch_add(1, Ordering::Relaxed);
                    pause(Duration::from_millis(20)).await;
                }
            }
        }
        if stop.is_cancelled() {
            return;
        }
        // A client has other things to do as well.
        pause(Duration::from_millis(2)).await;
    }
}

/// The time between two tries, and between two disruptions.
pub(crate) async fn pause(time: Duration) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the clients' and the disruptions' own pace, and nothing is awaited by it"
    )]
    tokio::time::sleep(time).await;
}
