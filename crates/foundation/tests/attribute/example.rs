use std::time::Duration;

use foundation::names::RegistryError;
use foundation::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation::{Foundation, FoundationBuilder, ServiceKey, TestNamespace, local_message};

const SECOND: Duration = Duration::from_secs(1);

enum CounterMsg {
    Add(u64),
    Total(RpcReplyPort<u64>),
}
local_message!(CounterMsg);
const COUNTER: ServiceKey<CounterMsg> = ServiceKey::from_static("counter");

struct Counter;

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Counter {
    type Msg = CounterMsg;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<CounterMsg>, _: ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<CounterMsg>,
        message: CounterMsg,
        total: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            CounterMsg::Add(n) => *total += n,
            CounterMsg::Total(reply) => drop(reply.send(*total)),
        }
        Ok(())
    }
}

// Two tests that start the same named service do not meet.

#[foundation::test]
async fn a_counter_starts_at_zero(namespace: TestNamespace) {
    namespace.services().spawn(&COUNTER, Counter, ()).await.unwrap();
    assert_eq!(namespace.services().via(&COUNTER).call(CounterMsg::Total, SECOND).await.unwrap(), 0);
}

#[foundation::test]
async fn a_counter_adds(namespace: TestNamespace) {
    namespace.services().spawn(&COUNTER, Counter, ()).await.unwrap();
    let counter = namespace.services().via(&COUNTER);
    counter.cast(CounterMsg::Add(2)).unwrap();
    counter.cast(CounterMsg::Add(3)).unwrap();
    assert_eq!(counter.call(CounterMsg::Total, SECOND).await.unwrap(), 5);
}

// A test of the whole application begins with its builder.

fn application() -> FoundationBuilder {
    Foundation::builder().child(|services| services.child_spec(&COUNTER, || (Counter, ())))
}

#[foundation::test(builder = application())]
async fn a_counter_that_is_killed_starts_again(namespace: TestNamespace) -> Result<(), RegistryError> {
    let counter = namespace.services().via(&COUNTER);
    counter.cast(CounterMsg::Add(2)).unwrap();
    namespace.kill(COUNTER.name()).await?;
    namespace.services().wait_for_service(&COUNTER, None).await?;
    assert_eq!(counter.call(CounterMsg::Total, SECOND).await.unwrap(), 0);
    Ok(())
}

// With a paused clock an hour passes at once.

#[foundation::test(start_paused = true)]
async fn no_counter_comes_within_an_hour(namespace: TestNamespace) {
    let found = namespace.services().wait_for_service(&COUNTER, 3_600 * SECOND).await;
    assert!(matches!(found, Err(RegistryError::WaitTimedOut { .. })));
}
