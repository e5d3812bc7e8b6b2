//! A client and five instances of a service, of two versions and in two zones: one fails at once, one is slow, then most
//! are reported as unhealthy, and then a zone is lost. It prints which instances were chosen and why, in virtual time and by a seed: the same in each run.
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
use foundation_discovery::health::InstanceStatus;
use foundation_discovery::{
    CandidateReport, Criteria, Discovery, DiscoveryOptions, Instance, InstanceName, Picked, Selector,
};
use foundation_examples::{BoxError, exit, heading};
use tokio::task::JoinSet;

const ORDERS: ServiceName = ServiceName::from_static("orders");
const CALLS: u32 = 400;

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

    async fn handle(&self, _: ActorRef<Price>, Price(reply): Price, (): &mut ()) -> Result<(), ActorProcessingErr> {
        let price = match self {
            Self::Answers => after_millis(2, Ok(42)).await,
            Self::TakesItsTime => after_millis(20, Ok(42)).await,
            Self::FailsAtOnce => Err("the price list is missing"),
        };
        answer(reply, price);
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "the work of an instance takes its time")]
async fn after_millis<T>(millis: u64, value: T) -> T {
    tokio::time::sleep(Duration::from_millis(millis)).await;
    value
}

async fn start_instances(discovery: &Discovery) -> Result<(), BoxError> {
    for (id, version, zone, clerk) in [
        ("good", "1.4.0", "eu/a", Clerk::Answers),
        ("slow", "1.4.0", "eu/a", Clerk::TakesItsTime),
        ("bad", "1.4.0", "eu/a", Clerk::FailsAtOnce),
        ("near", "1.4.0", "eu/b", Clerk::Answers),
        ("old", "1.3.2", "eu/a", Clerk::Answers),
    ] {
        let instance = Instance::builder(ORDERS.as_str(), id).version(version).zone(zone).build()?;
        discovery.spawn(&instance, clerk, ()).await?;
    }
    Ok(())
}

fn list_instances(discovery: &Discovery) -> Result<(), BoxError> {
    for record in discovery.instances(&Criteria::any())? {
        let text = |part: Option<&dyn Display>| part.map_or_else(|| "–".to_owned(), ToString::to_string);
        let version = text(record.instance.version().map(|it| it as _));
        let zone = text(record.instance.zone().map(|it| it as _));
        println!("  {:<12} {version} in {zone}", record.name());
    }
    Ok(())
}

/// Asks the instance that was picked, and says how that ended.
async fn call(picked: Picked<Price>) -> (String, bool) {
    let id = picked.record().name().id().to_owned();
    let answered = matches!(ask(picked.actor(), Price).await, Ok(Ok(_)));
    if answered {
        picked.succeeded()
    } else {
        picked.failed()
    }
    (id, answered)
}

/// Makes calls, one a millisecond, says of the first ones why their instances were chosen, and which share each one got.
async fn make_calls(selector: &mut Selector<Price>) -> Result<(), BoxError> {
    let (mut calls, mut fail_open) = (JoinSet::new(), 0);
    for number in 0..CALLS {
        let picked = selector.pick()?;
        if number < 6 {
            println!("  {:<12} {}", picked.record().name(), picked.reason());
        }
        fail_open += u32::from(picked.fail_open());
        calls.spawn(call(picked));
        after_millis(1, ()).await;
    }
    let mut counts: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for (id, answered) in calls.join_all().await {
        let (all, failed) = counts.entry(id).or_default();
        (*all, *failed) = (*all + 1, *failed + u32::from(!answered));
    }
    println!("\n  instance  calls  share  failed");
    for (id, (all, failed)) in counts {
        println!("  {id:<8} {all:>6} {:>4} % {failed:>7}", all * 100 / CALLS);
    }
    if fail_open > 0 {
        println!("\n  {fail_open} of {CALLS} picks failed open: too few instances were in rotation");
    }
    Ok(())
}

fn show_candidates(selector: &mut Selector<Price>) -> Result<(), BoxError> {
    println!("\n  {}", CandidateReport::HEADING);
    for candidate in selector.candidates()? {
        println!("  {candidate}");
    }
    Ok(())
}

async fn run() -> Result<(), BoxError> {
    let registry = ProcessRegistry::start().await?;
    let names = registry.namespace(Namespace::test()).await?;
    let discovery = Discovery::with_options(&names, DiscoveryOptions::new().seed(7));
    start_instances(&discovery).await?;

    heading("Which instances are there?");
    list_instances(&discovery)?;

    heading("Version ^1.4: the one that fails at once is ejected, and the slow one gets less");
    let criteria = Criteria::service(&ORDERS).version("^1.4")?;
    let mut selector = discovery.selector::<Price>(criteria.clone());
    make_calls(&mut selector).await?;
    show_candidates(&mut selector)?;

    heading("Three of four are unhealthy: rather than to overload the one that is left, all take part again");
    for id in ["good", "slow", "near"] {
        discovery.set_status(&InstanceName::new(&ORDERS, id)?, InstanceStatus::Unhealthy, "its disk is full", None)?;
    }
    println!("  {}\n", discovery.service_health(&ORDERS).to_string().replace("; ", "\n    "));
    make_calls(&mut selector).await?;
    for id in ["good", "slow", "near"] {
        discovery.clear_status(&InstanceName::new(&ORDERS, id)?);
    }

    heading("Near zone eu/a: what is in the zone comes first");
    let mut near = selector.choice(Choice::new().near("eu/a".parse()?));
    make_calls(&mut near).await?;

    heading("Zone eu/a is lost: the other zone of the region takes over");
    for id in ["good", "slow", "bad"] {
        discovery.unregister(&InstanceName::new(&ORDERS, id)?);
    }
    make_calls(&mut near).await?;

    heading("And if none fits?");
    for asked in [criteria.capability("refund")?, Criteria::service(&"order".parse()?)] {
        if let Err(error) = discovery.instances(&asked) {
            println!("  {error}");
        }
    }
    registry.shutdown().await;
    Ok(())
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> ExitCode {
    exit(run().await)
}
