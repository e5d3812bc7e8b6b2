//! Services that are declared, configured and replaced by their names: one follows its section of a configuration file, and
//! is replaced under load without a refused call; a batch that fails is undone, and the next one takes effect as a whole.
//!
//! ```text
//! cargo run --example managed
//! ```
//!
//! What to notice: no code here starts an actor. A service is declared with a kind and a configuration, and what is wanted
//! is recorded, so a next process would bring the same services about.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use foundation::config::{ConfigSection, ConfigSources};
use foundation::events::Query;
use foundation::managed::{Batch, Managed, Need, ReplacementStrategy, ServiceContext, ServiceKind};
use foundation::names::ServiceName;
use foundation::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation::supervision::{BoxError as KindFailure, ChildSpec};
use foundation::{Foundation, Services, ShutdownReport, Via, answer, local_message};
use foundation_examples::{BoxError, Table, exit, heading, shut_down};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

static MAIL: ServiceName = ServiceName::from_static("mail");
static SHOP: ServiceName = ServiceName::from_static("shop");
static STATS: ServiceName = ServiceName::from_static("stats");
const CLIENTS: usize = 4;
/// How many answers with the new price each client waits for.
const ENOUGH: usize = 50;
/// How long anything here may take.
const LIMIT: Duration = Duration::from_secs(10);

// ---- the shop, which has a section of the configuration file ----

/// The section `shop`.
#[derive(Clone, Serialize, Deserialize, Validate)]
struct Shop {
    #[garde(range(min = 1))]
    price: u64,
}

impl ConfigSection for Shop {
    const PATH: &'static str = "shop";
    const UPDATABLE: &'static [&'static str] = &["*"];
    const SECRETS: &'static [&'static str] = &[];

    fn defaults() -> Value {
        json!({ "price": 41 })
    }
}

struct Price(RpcReplyPort<u64>);
local_message!(Price);

/// Answers with the price that it was started with.
struct Clerk;

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Clerk {
    type Msg = Price;
    type State = u64;
    type Arguments = u64;

    async fn pre_start(&self, _: ActorRef<Price>, price: u64) -> Result<u64, ActorProcessingErr> {
        Ok(price)
    }

    async fn handle(&self, _: ActorRef<Price>, Price(reply): Price, price: &mut u64) -> Result<(), ActorProcessingErr> {
        answer(reply, *price);
        Ok(())
    }
}

struct Shops;

impl ServiceKind for Shops {
    type Config = Shop;
    const NAME: &'static str = "shop";

    fn child(&self, context: &ServiceContext, shop: Arc<Shop>) -> Result<ChildSpec, KindFailure> {
        context.child_spec(move || (Clerk, shop.price))
    }

    fn needs(&self, _: &Shop) -> Vec<Need> {
        vec![Need::service(&MAIL)]
    }

    fn replacement(&self, _: &Shop, _: &Shop) -> ReplacementStrategy {
        ReplacementStrategy::BlueGreen { ready_within: LIMIT, overlap: LIMIT }
    }
}

// ---- mail and statistics, whose configurations are recorded ----

/// A service that sends to a relay.
#[derive(Serialize, Deserialize, Validate)]
struct Relay {
    #[garde(length(min = 1))]
    host: String,
}

struct Sender;

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Sender {
    type Msg = ();
    type State = ();
    type Arguments = String;

    async fn pre_start(&self, _: ActorRef<()>, host: String) -> Result<(), ActorProcessingErr> {
        if host.ends_with(".example") { Ok(()) } else { Err(format!("there is no host {host}").into()) }
    }
}

struct Senders;

impl ServiceKind for Senders {
    type Config = Relay;
    const NAME: &'static str = "sender";

    fn child(&self, context: &ServiceContext, relay: Arc<Relay>) -> Result<ChildSpec, KindFailure> {
        context.child_spec(move || (Sender, relay.host.clone()))
    }

    fn replacement(&self, _: &Relay, _: &Relay) -> ReplacementStrategy {
        ReplacementStrategy::BlueGreen { ready_within: LIMIT, overlap: LIMIT }
    }
}

fn relay(host: &str) -> Relay {
    Relay { host: host.to_owned() }
}

// ---- what is done with them ----

async fn declare_and_start(managed: &Managed) -> Result<(), BoxError> {
    managed.declare_section::<Shops>(&SHOP).await?;
    managed.declare::<Senders>(&MAIL, &relay("relay.example")).await?;
    // It waits for the mail service, which it needs.
    tokio::try_join!(managed.start(&SHOP), managed.start(&MAIL))?;
    show(managed);
    Ok(())
}

fn show(managed: &Managed) {
    let mut table = Table::new(["service", "kind", "state", "generation", "needs"]);
    for record in managed.all() {
        let needs: Vec<_> = record.needs.iter().map(ToString::to_string).collect();
        table.row([&record.name, &record.kind, &record.state, &record.generation, &needs.join(", ")]);
    }
    print!("{table}");
}

/// Edits the file while clients call the shop without a pause, until each of them has seen the new price for a while.
async fn edit_under_load(services: &Services, file: &Path) -> Result<(), BoxError> {
    let shop = services.via(&Managed::key::<Price>(&SHOP)?);
    let (begun, mut has_begun) = watch::channel(0);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(call_until(shop.clone(), 42, begun.clone()));
    }
    has_begun.wait_for(|clients| *clients == CLIENTS).await?;
    save(file, "[shop]\nprice = 42\n")?;
    let seen = tokio::time::timeout(LIMIT, clients.join_all()).await?;
    let prices: BTreeSet<_> = seen.iter().flat_map(|(prices, _)| prices).copied().collect();
    let refused: usize = seen.iter().map(|(_, refused)| refused).sum();
    println!("  {CLIENTS} clients saw the prices {prices:?}; calls that were refused: {refused}");
    Ok(())
}

/// Calls until the answer was the wanted one often enough: the prices that were seen, and how many calls were refused.
async fn call_until(shop: Via<Price>, wanted: u64, begun: watch::Sender<usize>) -> (BTreeSet<u64>, usize) {
    let (mut prices, mut refused, mut enough) = (BTreeSet::new(), 0, 0);
    while enough < ENOUGH {
        match shop.call(Price, LIMIT).await {
            Ok(price) => {
                if prices.is_empty() {
                    begun.send_modify(|clients| *clients += 1);
                }
                prices.insert(price);
                enough += usize::from(price == wanted);
            }
            Err(_) => refused += 1,
        }
    }
    (prices, refused)
}

async fn refused_configurations(managed: &Managed) {
    for host in ["", "relay.invalid"] {
        match managed.configure::<Senders>(&MAIL, &relay(host)).await {
            Ok(record) => println!("  {}", record.state),
            Err(error) => println!("  {error}"),
        }
    }
}

async fn batches(managed: &Managed) -> Result<(), BoxError> {
    let batch = |host: &str| {
        let mail = json!({ "host": "other.example" });
        Batch::new().configure(&MAIL, mail).declare(&STATS, "sender", json!({ "host": host })).start(&STATS)
    };
    heading("A batch that fails: what was done is undone");
    match managed.apply(batch("stats.invalid")).await {
        Ok(report) => println!("  {report}"),
        Err(error) => println!("  {error}"),
    }
    show(managed);

    heading("The same with a host that is there: it takes effect as a whole");
    println!("  {}", managed.apply(batch("stats.example")).await?);
    show(managed);
    Ok(())
}

async fn show_recorded(services: &Services) -> Result<(), BoxError> {
    let mut table = Table::new(["event", "payload"]);
    for event in services.events().query(Query::new().source("managed")).await? {
        // What was wanted; what became of it is recorded, too.
        if event.kind.as_str() != "service_status_changed" && !event.kind.as_str().starts_with("batch") {
            table.row([&event.kind, &event.payload]);
        }
    }
    print!("{table}");
    Ok(())
}

async fn work(foundation: &Foundation, file: &Path) -> Result<(), BoxError> {
    let (services, managed) = (foundation.production(), foundation.production().managed());
    heading("Declared and started: the shop waits for the mail service that it needs");
    declare_and_start(managed).await?;

    heading("The file is edited: the shop is replaced while it is called");
    edit_under_load(services, file).await?;
    show(managed);

    heading("A configuration that is not valid, and one with which the service does not start");
    refused_configurations(managed).await;

    batches(managed).await?;

    heading("What was recorded of what is wanted");
    show_recorded(services).await
}

async fn run() -> Result<ShutdownReport, BoxError> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("shop.toml");
    save(&file, "[shop]\nprice = 41\n")?;
    let sources = ConfigSources::new().section::<Shop>()?.file(&file).watch(Duration::from_millis(100));
    let foundation = Foundation::builder().config(sources).kind(Shops).kind(Senders).start().await?;
    let outcome = work(&foundation, &file).await;
    shut_down(&foundation, outcome).await
}

/// As many editors do it: a new file replaces the old one, so that no reader sees half of it.
fn save(file: &Path, text: &str) -> Result<(), BoxError> {
    let new = file.with_extension("new");
    std::fs::write(&new, text)?;
    Ok(std::fs::rename(&new, file)?)
}

#[tokio::main]
async fn main() -> ExitCode {
    exit(run().await)
}
