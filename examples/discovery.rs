//! A client and six instances of a service, of two versions and in three zones: one fails at once, one is slow, and then a
//! zone is lost. It prints which instances were chosen, and why.
//!
//! ```text
//! cargo run --example discovery
//! ```

use std::collections::BTreeMap;
use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use foundation::names::{Namespace, ProcessRegistry, ServiceName};
use foundation::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation::{answer, ask, local_message};
use foundation_discovery::choice::Choice;
use foundation_discovery::{Criteria, Discovery, Instance, InstanceName, InstanceWatched, Selector};
use foundation_examples::{BoxError, exit, heading};

const ORDERS: ServiceName = ServiceName::from_static("orders");
const CALLS: usize = 400;

/// A request for a price: the answer is one, or why there is none.
struct Price(RpcReplyPort<Result<u64, &'static str>>);
local_message!(Price);

/// How an instance behaves.
#[derive(Clone, Copy)]
enum Clerk {
    Answers,
    TakesItsTime,
    FailsAtOnce,
}

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Clerk {
    type Msg = Price;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Price>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "the work of an instance takes its time")]
    async fn handle(&self, _: ActorRef<Price>, Price(reply): Price, (): &mut ()) -> Result<(), ActorProcessingErr> {
        match self {
            Self::Answers => tokio::time::sleep(Duration::from_millis(1)).await,
            Self::TakesItsTime => tokio::time::sleep(Duration::from_millis(20)).await,
            Self::FailsAtOnce => {}
        }
        let is_broken = matches!(self, Self::FailsAtOnce);
        answer(reply, if is_broken { Err("the price list is missing") } else { Ok(42) });
        Ok(())
    }
}

async fn start_instances(discovery: &Discovery) -> Result<(), BoxError> {
    for (id, version, zone, clerk) in [
        ("good", "1.4.0", "eu/a", Clerk::Answers),
        ("slow", "1.4.0", "eu/a", Clerk::TakesItsTime),
        ("bad", "1.4.1", "eu/a", Clerk::FailsAtOnce),
        ("near", "1.4.1", "eu/b", Clerk::Answers),
        ("far", "1.4.1", "us/a", Clerk::Answers),
        ("old", "1.3.2", "eu/a", Clerk::Answers),
    ] {
        let instance = Instance::builder(ORDERS.as_str(), id).version(version).zone(zone).build()?;
        discovery.spawn(&instance, clerk, ()).await?;
    }
    Ok(())
}

/// One call: picks an instance, asks it, and says how that ended.
async fn call(selector: &mut Selector<Price>) -> Result<(String, bool), BoxError> {
    let picked = selector.pick()?;
    let id = picked.record().name().id().to_owned();
    let answered = matches!(ask(picked.actor(), Price).await, Ok(Ok(_)));
    if answered {
        picked.succeeded()
    } else {
        picked.failed()
    }
    Ok((id, answered))
}

/// Makes calls, eight at a time, and prints how many each instance got.
async fn make_calls(selector: &Selector<Price>) -> Result<(), BoxError> {
    let caller = |mut selector: Selector<Price>| async move {
        let mut calls = Vec::new();
        for _ in 0..CALLS / 8 {
            calls.push(call(&mut selector).await?);
        }
        Ok::<_, BoxError>(calls)
    };
    let callers: Vec<_> = (0..8).map(|_| tokio::spawn(caller(selector.clone()))).collect();
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for task in callers {
        for (id, answered) in task.await?? {
            let (all, failed) = counts.entry(id).or_default();
            (*all, *failed) = (*all + 1, *failed + usize::from(!answered));
        }
    }
    for (id, (all, failed)) in counts {
        println!("  {id:<5} {all:>4} calls, {failed:>2} failed");
    }
    Ok(())
}

async fn run() -> Result<(), BoxError> {
    let registry = ProcessRegistry::start().await?;
    let discovery = Discovery::of(&registry.namespace(Namespace::test()).await?);
    start_instances(&discovery).await?;

    heading("Which instances are there?");
    for record in discovery.instances(&Criteria::any())? {
        let text = |part: Option<&dyn Display>| part.map_or_else(|| "–".to_owned(), ToString::to_string);
        let version = text(record.instance.version().map(|it| it as _));
        let zone = text(record.instance.zone().map(|it| it as _));
        println!("  {:<12} {version} in {zone}", record.name());
    }

    let criteria = Criteria::service(&ORDERS).version("^1.4")?;
    heading("Version ^1.4: the one that fails at once is ejected, the slow one gets less");
    let selector = discovery.selector::<Price>(criteria.clone());
    make_calls(&selector).await?;

    heading("The same near zone eu/a, whose instances leave one after the other");
    let near = selector.choice(Choice::new().near("eu/a".parse()?));
    let mut watch = discovery.watch(criteria.clone());
    watch.next().await;
    for id in ["bad", "slow", "good"] {
        discovery.unregister(&InstanceName::new(&ORDERS, id)?);
        if let Some(InstanceWatched::Change(change)) = watch.next().await {
            println!("  {change}");
        }
    }
    make_calls(&near).await?;

    heading("And if none fits?");
    for asked in [criteria.capability("refund")?, Criteria::service(&"order".parse()?)] {
        if let Err(error) = discovery.instances(&asked) {
            println!("  {error}");
        }
    }
    registry.shutdown().await;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    exit(run().await)
}
