//! Events that outlive their process: it is killed while it records, and no acknowledged event is missing.
//!
//! ```text
//! cargo run --example event_log [DIRECTORY]
//! ```
//!
//! The program starts itself once more. That child records what happens to the orders of eight customers, a task each,
//! and says of each event when it is acknowledged; in the middle of it the child is killed (SIGKILL, where there is
//! one). Its parent opens the same file, compares, and goes on with the work. The events are in SQLite files in the
//! directory, or in a temporary one; in a directory that is given, the next run goes on from there.
//!
//! What to notice: an append is answered when the event is on the disk. Events name their causes, so they also show
//! which work is unfinished. With an idempotency key a step can be requested again when it is unknown how far it came.
//! A reader follows under a name, and continues where it left off.

use std::collections::{BTreeMap, HashSet};
use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use foundation::events::{Event, EventId, EventKind, EventStorage, Order, Query, SubscriptionName, SubscriptionSpec};
use foundation::{EventStore, Foundation, NewEvent, ShutdownReport};
use foundation_examples::{BoxError, Table, exit, heading, shut_down};
use serde_json::json;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, BufReader, BufWriter};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long the other process, or a reader, may take for the next step.
const LIMIT: Duration = Duration::from_secs(60);
/// How many events the child may acknowledge before it is killed.
const ENOUGH: usize = 150;
const CUSTOMERS: u32 = 8;
/// Of a customer, at most: the child ends even if it is not killed.
const ORDERS: u32 = 1_000;
/// The argument that makes a child of this program.
const RECORD: &str = "--record";

const PLACED: EventKind = EventKind::from_static("order_placed");
const PAID: EventKind = EventKind::from_static("order_paid");
const CONFIRMED: EventKind = EventKind::from_static("order_confirmed");
const PACKED: EventKind = EventKind::from_static("parcel_packed");
const SENT: EventKind = EventKind::from_static("parcel_sent");
const OF_ORDERS: [EventKind; 5] = [PLACED, PAID, CONFIRMED, PACKED, SENT];
/// The name of the reader.
const BOOKS: SubscriptionName = SubscriptionName::from_static("bookkeeping");

#[tokio::main]
async fn main() -> ExitCode {
    exit(run(env::args_os().skip(1).collect()).await)
}

async fn run(arguments: Vec<OsString>) -> Result<ShutdownReport, BoxError> {
    match arguments.as_slice() {
        [] => crash_and_go_on(tempfile::tempdir()?.path()).await,
        [flag, directory] if flag == RECORD => record(Path::new(directory)).await,
        [directory] if !directory.as_encoded_bytes().starts_with(b"-") => crash_and_go_on(Path::new(directory)).await,
        _ => Err("at most one argument is taken, the directory to keep the events in: event_log [DIRECTORY]".into()),
    }
}

/// A store that is its namespace's own, in `production.db`.
async fn start(directory: &Path) -> Result<Foundation, BoxError> {
    Ok(Foundation::builder().events(EventStorage::sqlite(directory)).start().await?)
}

// ---- the events ----

async fn place(events: &EventStore, customer: u32, number: u32) -> Result<Arc<Event>, BoxError> {
    let order = NewEvent::of(PLACED).source("shop").payload(json!({ "customer": customer, "number": number }))?;
    let id = events.append(order).await?;
    get(events, id).await
}

/// Records the steps of an order, and prints each event when it is acknowledged. An event that is recorded already is
/// not recorded again: it has the same key, and its id is returned once more.
async fn fulfil(
    events: &EventStore,
    order: &Event,
    mut said: impl FnMut(&Event) -> io::Result<()>,
) -> Result<(), BoxError> {
    // Both or neither.
    let both = vec![step(PAID, "bank", order), step(CONFIRMED, "shop", order)];
    let [paid, confirmed] = events.append_batch(both).await?[..] else { return Err("two events have two ids".into()) };
    let paid = get(events, paid).await?;
    said(&paid)?;
    said(&*get(events, confirmed).await?)?;

    let mut cause = paid;
    for kind in [PACKED, SENT] {
        let id = events.append(step(kind, "warehouse", &cause)).await?;
        cause = get(events, id).await?;
        said(&cause)?;
    }
    Ok(())
}

fn step(kind: EventKind, by: &str, cause: &Event) -> NewEvent {
    // All events of an order share its correlation id.
    let key = format!("{kind} of {}", cause.correlation_id);
    NewEvent::of(kind).child_of(cause).source(by).idempotency_key(key)
}

async fn get(events: &EventStore, id: EventId) -> Result<Arc<Event>, BoxError> {
    Ok(events.get(id).await?.ok_or_else(|| format!("event {id} is gone"))?)
}

// ---- the child ----

/// Takes orders until it is killed.
async fn record(directory: &Path) -> Result<ShutdownReport, BoxError> {
    let foundation = start(directory).await?;
    let mut tasks = JoinSet::new();
    for customer in 1..=CUSTOMERS {
        tasks.spawn(take_orders(foundation.events().clone(), customer));
    }
    let books = tokio::spawn(keep_books(foundation.events().clone()));
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    books.abort();
    Ok(foundation.shutdown().await)
}

async fn take_orders(events: EventStore, customer: u32) -> Result<(), BoxError> {
    for number in 1..=ORDERS {
        let order = place(&events, customer, number).await?;
        acknowledged(&order)?;
        fulfil(&events, &order, acknowledged).await?;
    }
    Ok(())
}

/// Follows the events, and has the store remember each tenth one as the last one that is booked.
async fn keep_books(events: EventStore) -> Result<(), BoxError> {
    let mut orders = events.subscribe_durable(BOOKS, SubscriptionSpec::from_beginning().kinds(OF_ORDERS)).await?;
    while let Some(event) = orders.next().await? {
        if event.id.get() % 10 == 0 {
            orders.ack(event.id).await?;
            say("booked", &event)?;
        }
    }
    Ok(())
}

fn acknowledged(event: &Event) -> io::Result<()> {
    say("acknowledged", event)
}

/// Reports to the parent, in one write: a kill leaves no half of a line.
fn say(what: &str, event: &Event) -> io::Result<()> {
    io::stdout().write_all(format!("{what} {} {}\n", event.id, event.kind).as_bytes())
}

// ---- the parent ----

/// The output of the child.
#[derive(Default)]
struct Said {
    acknowledged: BTreeMap<EventId, EventKind>,
    booked: Option<EventId>,
}

impl Said {
    fn hear(&mut self, line: &str) -> Result<(), BoxError> {
        let unheard = || format!("the child said {line:?}, which means nothing");
        let [what, id, kind] = line.split(' ').collect::<Vec<_>>()[..] else { return Err(unheard().into()) };
        let id = EventId::new(id.parse()?).ok_or_else(unheard)?;
        match what {
            "acknowledged" => drop(self.acknowledged.insert(id, kind.parse()?)),
            "booked" => self.booked = Some(id),
            _ => return Err(unheard().into()),
        }
        Ok(())
    }
}

async fn crash_and_go_on(directory: &Path) -> Result<ShutdownReport, BoxError> {
    let earlier = look_into(directory).await?;
    let said = record_and_kill(directory).await?;

    heading("The same file, opened by this process");
    let foundation = start(directory).await?;
    let outcome = go_on(&foundation, directory, earlier, &said).await;
    shut_down(&foundation, outcome).await
}

/// The last event of earlier runs. An unusable directory is noticed here, before anything is begun.
async fn look_into(directory: &Path) -> Result<Option<EventId>, BoxError> {
    let foundation = start(directory).await?;
    let last = foundation.events().position();
    foundation.shutdown().await;

    heading(format!("Events in {}", directory.display()));
    match last {
        None => println!("None yet."),
        Some(last) => println!("Earlier runs have recorded {last} events; this one goes on from there."),
    }
    Ok(last)
}

async fn record_and_kill(directory: &Path) -> Result<Said, BoxError> {
    heading("Another process records, and is killed in the middle of it");
    let mut command = Command::new(env::current_exe()?);
    command.arg(RECORD).arg(directory).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("the child has no output")?).lines();
    let mut said = Said::default();
    while said.acknowledged.len() < ENOUGH {
        let line = timeout(LIMIT, lines.next_line()).await??;
        said.hear(&line.ok_or("the child has ended by itself")?)?;
    }
    child.start_kill()?;
    // The lines that it had written by then and that were not read yet.
    while let Some(line) = lines.next_line().await? {
        said.hear(&line)?;
    }
    println!("Its end:                    {}", child.wait().await?);
    println!("Acknowledged until then:    {} events", said.acknowledged.len());
    println!("Booked by the bookkeeping:  {}", up_to(said.booked));
    Ok(said)
}

fn up_to(id: Option<EventId>) -> impl Display {
    id.map_or_else(|| "nothing".to_owned(), |id| format!("up to event {id}"))
}

async fn go_on(foundation: &Foundation, to: &Path, earlier: Option<EventId>, said: &Said) -> Result<(), BoxError> {
    let events = foundation.events();
    compare(events, earlier, said).await?;
    finish_orders(events).await?;
    read_on(events, said).await?;
    export(events, &to.join("events.jsonl")).await
}

/// Compares the events that were acknowledged to the child with the recorded ones.
async fn compare(events: &EventStore, earlier: Option<EventId>, said: &Said) -> Result<(), BoxError> {
    let new = earlier.map_or(Query::new(), |id| Query::new().after(id));
    let recorded = events.query(new.kinds(OF_ORDERS)).await?;
    let recorded: BTreeMap<_, _> = recorded.iter().map(|event| (event.id, event.kind.clone())).collect();
    let missing: Vec<_> = said.acknowledged.iter().filter(|(id, kind)| recorded.get(id) != Some(kind)).collect();
    let unsaid = recorded.len() + missing.len() - said.acknowledged.len();

    let mut table = Table::new(["events", ""]);
    table.row([&said.acknowledged.len(), &"were acknowledged to the child"]);
    table.row([&missing.len(), &"of them are missing"]);
    table.row([&unsaid, &"are recorded, but the child did not live to say so"]);
    print!("{table}");
    println!("\nThe store looks at every row and index: {}.", events.verify(|_| ()).await?);
    if missing.is_empty() { Ok(()) } else { Err(format!("acknowledged, and lost: {missing:?}").into()) }
}

/// Finishes all unfinished orders, which the events show.
async fn finish_orders(events: &EventStore) -> Result<(), BoxError> {
    let placed = events.query(Query::new().kind(PLACED)).await?;
    let sent: HashSet<_> = events.query(Query::new().kind(SENT)).await?.iter().map(|it| it.correlation_id).collect();
    let (done, open): (Vec<_>, Vec<_>) = placed.iter().partition(|order| sent.contains(&order.correlation_id));

    heading("What led to what: an order that went through, and one that the crash has cut short");
    let mut chains = Vec::new();
    for order in done.last().into_iter().chain(open.last()) {
        chains.push(drawn(events, order).await?);
    }
    print!("{}", chains.join("\n"));

    heading("The orders that were cut short are finished");
    let before = events.stats().await?.recorded;
    let mut asked = 0;
    for order in &open {
        let count = |_: &Event| {
            asked += 1;
            Ok(())
        };
        fulfil(events, order, count).await?;
    }
    let new = events.stats().await?.recorded - before;
    println!("{} orders, all they lead to asked for again: {} events.", open.len(), asked);
    println!("{new} of these are new; the others were recorded already, and are there once.");
    if let Some(order) = open.last() {
        print!("\n{}", drawn(events, order).await?);
    }
    Ok(())
}

/// The tree whose root is the order.
async fn drawn(events: &EventStore, order: &Event) -> Result<String, BoxError> {
    let chain = events.chain(order.id).await?.ok_or("the order is gone")?;
    Ok(format!("  {}\n", chain.to_string().replace('\n', "\n  ")))
}

/// Continues the child's subscription, whose consumer died with it.
async fn read_on(events: &EventStore, said: &Said) -> Result<(), BoxError> {
    heading("A reader continues where it left off");
    let spec = SubscriptionSpec::from_beginning().kinds(OF_ORDERS);
    let mut orders = events.subscribe_durable(BOOKS, spec).await?;
    let booked = orders.acknowledged();
    println!("Booked:              {}", up_to(booked));
    if booked < said.booked {
        return Err("the store has forgotten what was booked".into());
    }
    let all = events.recent(1).await?;
    let last = all.first().ok_or("there are no events")?.id;
    let mut shown = Vec::new();
    while shown.last().copied().or(booked) < Some(last) {
        let event = timeout(LIMIT, orders.next()).await??.ok_or("the store has ended")?;
        shown.push(event.id);
    }
    if let Some(first) = shown.first() {
        println!("Shown now:           {} events, from {first} to {last}", shown.len());
        orders.ack(last).await?;
    }
    println!("Booked:              {}", up_to(orders.acknowledged()));
    Ok(())
}

async fn export(events: &EventStore, path: &Path) -> Result<(), BoxError> {
    heading("All of it as JSON Lines, each with a checksum");
    let file = File::create(path).await.map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    let count = events.export(Query::new(), BufWriter::new(file), |_| ()).await?;
    println!("{count} events are in {}. The last of them:", path.display());
    let mut last = Vec::new();
    let newest = Query::new().order(Order::Descending).limit(1);
    events.export(newest, &mut last, |_| ()).await?;
    print!("{}", String::from_utf8_lossy(&last));
    Ok(())
}
