//! A named actor under a supervisor: it crashes, and the same handle finds its next incarnation.
//!
//! ```text
//! cargo run --example hello
//! ```

use std::time::Duration;

use foundation::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation::{Foundation, ServiceKey, ShutdownReport, answer, local_message};
use foundation_examples::BoxError;

const GREETER: ServiceKey<Greet> = ServiceKey::from_static("greeter");

/// A name to greet, and where the greeting goes.
struct Greet(&'static str, RpcReplyPort<String>);
local_message!(Greet);

struct Greeter;

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Greeter {
    type Msg = Greet;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Greet>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, me: ActorRef<Greet>, message: Greet, (): &mut ()) -> Result<(), ActorProcessingErr> {
        match message {
            Greet("", _) => return Err("there is no name to greet".into()),
            Greet(name, reply) => answer(reply, format!("Hello, {name}! I am actor {}.", me.get_id())),
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<ShutdownReport, BoxError> {
    let builder = Foundation::builder().child(|services| services.child_spec(&GREETER, || (Greeter, ())));
    let foundation = builder.start().await?;
    let greeter = foundation.production().via(&GREETER);
    let greet = |name| greeter.call(move |reply| Greet(name, reply), Duration::from_secs(1));
    println!("{}", greet("Ada").await?);

    let first = greeter.actor_ref()?;
    if let Err(error) = greet("").await {
        println!("Without a name: {error}.");
    }
    // The name is free when the actor is gone; then its supervisor starts the next.
    first.wait(None).await?;
    foundation.production().wait_for_service(&GREETER, Duration::from_secs(5)).await?;
    println!("{}\n\n{}\n", greet("Ada").await?, foundation.tree().await);

    let report = foundation.shutdown().await;
    println!("{report}");
    Ok(report)
}
