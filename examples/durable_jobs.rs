//! Jobs that outlive their process: it is killed while it works, and its successor goes on with what is unfinished.
//!
//! ```text
//! cargo run --example durable_jobs
//! ```
//!
//! The program starts itself once more. That child accepts parcels to be sent, performs some of them, and is killed in the
//! middle (SIGKILL, where there is one). Its parent opens the same event store, and the workers begin at once with what the
//! child has left: in the order of each customer, and with the attempts counted that the child did not survive. One parcel
//! ends its process each time it is begun, and is given up after its tries.
//!
//! What to notice: `send` returns when the job is recorded, so nothing that was accepted is lost. A job may be done twice, if
//! the kill comes between the work and the record of it, at most 10 ms later. A parcel that is sent twice with the same
//! idempotency key is accepted once.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use foundation::events::{EventStorage, Query};
use foundation::names::ServiceName;
use foundation::{Foundation, ShutdownReport};
use foundation_examples::{BoxError, Table, exit, heading, shut_down};
use foundation_pool::durable::{DurablePool, DurableQueue, DurableSpec, JobEvent};
use foundation_pool::{JobContext, JobFailure, Worker};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// The argument that makes a child of this program.
const CHILD: &str = "--child";
const PARCELS: ServiceName = ServiceName::from_static("parcels");
const CUSTOMERS: u32 = 4;
const PARCELS_OF_EACH: u32 = 100;
/// How many parcels the child may send before it is killed.
const ENOUGH: usize = 60;
const TRIES: u32 = 3;
const LIMIT: Duration = Duration::from_secs(60);

/// A parcel of a customer. One without a weight breaks the scales, and the process with them.
#[derive(Debug, Serialize, Deserialize)]
struct Parcel {
    customer: u32,
    number: u32,
    grams: u32,
}

struct Carrier {
    opened: Instant,
}

impl Worker for Carrier {
    type Job = Parcel;
    type Output = u32;

    async fn perform(&mut self, parcel: &mut Parcel, context: &JobContext<'_>) -> Result<u32, JobFailure> {
        if parcel.grams == 0 {
            println!("the scales break: attempt {} at job {}", context.attempt(), context.id());
            std::process::abort();
        }
        #[expect(clippy::disallowed_methods, reason = "the work")]
        tokio::time::sleep(Duration::from_millis(2)).await;
        let after = self.opened.elapsed().as_micros();
        println!("sent {} {} {} {after}", parcel.customer, parcel.number, context.attempt());
        Ok(parcel.grams / 100)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => crash_and_go_on().await,
        [CHILD, step, directory] => work(step, Path::new(directory)).await,
        _ => Err("no argument is taken".into()),
    };
    exit(outcome)
}

async fn start(directory: &Path) -> Result<(Foundation, DurablePool<Parcel, u32>), BoxError> {
    let foundation = Foundation::builder().events(EventStorage::sqlite(directory)).start().await?;
    let (services, opened) = (foundation.production(), Instant::now());
    let queue = DurableQueue::new(services.registry(), PARCELS).tries(TRIES);
    let spec = DurableSpec::new(queue, move |_slot| async move { Ok(Carrier { opened }) });
    let spec = spec.pool(|pool| pool.workers(4))?;
    let parcels = spec.handle();
    services.supervise(spec.child("parcels")).await?;
    Ok((foundation, parcels))
}

// ---- the child ----

/// Accepts parcels, if it is asked to, and sends all that there are.
async fn work(step: &str, directory: &Path) -> Result<ShutdownReport, BoxError> {
    let (foundation, parcels) = start(directory).await?;
    if step == "accept" {
        for number in 1..=PARCELS_OF_EACH {
            for customer in 1..=CUSTOMERS {
                let parcel = Parcel { customer, number, grams: 100 * number };
                let key = format!("{customer}/{number}");
                // A second time, as a caller does that had no answer.
                for _ in 0..2 {
                    let parcel = Parcel { ..parcel };
                    parcels.job(parcel).key(customer.to_string()).idempotency_key(&key).send().await?;
                }
            }
        }
    }
    if step == "break" {
        parcels.job(Parcel { customer: 0, number: 1, grams: 0 }).key("0").send().await?;
    }
    // With the key of the one that ends its process, so it is not begun beside that, but after it.
    let last = parcels.job(Parcel { customer: 0, number: 2, grams: 200 }).key("0");
    let outcome = last.call(LIMIT).await.map(drop);
    let rest = async {
        while parcels.unfinished() > 0 {
            #[expect(clippy::disallowed_methods, reason = "an example that looks now and then")]
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, rest).await?;
    shut_down(&foundation, outcome.map_err(BoxError::from)).await
}

// ---- the parent ----

/// Of each parcel that was sent: how often, in the order in which they were.
type Sent = Vec<(u32, u32)>;

/// Runs a child until it ends, or has sent so many parcels and is killed.
async fn child(step: &str, directory: &Path, enough: usize) -> Result<(Sent, Option<u64>, bool), BoxError> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(CHILD).arg(step).arg(directory).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut process = command.spawn()?;
    let mut lines = BufReader::new(process.stdout.take().ok_or("the child says nothing")?).lines();
    let (mut sent, mut first) = (Vec::new(), None);
    while let Some(line) = lines.next_line().await? {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["sent", customer, number, _, micros] => {
                sent.push((customer.parse()?, number.parse()?));
                first = first.or(micros.parse().ok());
            }
            ["the", "scales", ..] => println!("{line}"),
            _ => {}
        }
        if sent.len() >= enough {
            process.start_kill()?;
        }
    }
    let ended = process.wait().await?;
    Ok((sent, first, ended.success()))
}

async fn crash_and_go_on() -> Result<ShutdownReport, BoxError> {
    let directory = tempfile::tempdir()?;
    heading("A process accepts parcels, and is killed after it has sent some");
    let (before, ..) = child("accept", directory.path(), ENOUGH).await?;
    println!("{} sent", before.len());

    heading("Its successor goes on");
    let (after, first, ended) = child("go on", directory.path(), usize::MAX).await?;
    if !ended {
        return Err("the successor failed".into());
    }
    let first = first.map(Duration::from_micros).ok_or("the successor sent nothing")?;
    println!("{} sent, the first one {first:.1?} after the event store was open", after.len());
    compare(before, after)?;

    heading("A job that ends its process dies after its tries");
    let mut step = "break";
    while !child(step, directory.path(), usize::MAX).await?.2 {
        step = "go on";
    }
    let (foundation, parcels) = start(directory.path()).await?;
    let died = foundation.events().query(Query::new().kind(JobEvent::DIED)).await?;
    died.iter().for_each(|event| println!("died: {}", event.payload));
    println!("{} are unfinished", parcels.unfinished());
    let outcome = if died.len() == 1 { Ok(()) } else { Err("one job dies".into()) };
    shut_down(&foundation, outcome).await
}

/// # Errors
/// The parcels of a customer are not in order, or one is missing.
fn compare(before: Sent, after: Sent) -> Result<(), BoxError> {
    let mut numbers: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (customer, number) in before.into_iter().chain(after).filter(|(customer, _)| *customer > 0) {
        numbers.entry(customer).or_default().push(number);
    }
    let mut table = Table::new(["customer", "sent", "twice", "last"]);
    for (customer, numbers) in &numbers {
        // What the kill has cut short is done again; beside that, each follows the one before.
        let mut last = 0;
        for number in numbers {
            if *number > last + 1 {
                return Err(format!("customer {customer}: {number} follows {last}").into());
            }
            last = (*number).max(last);
        }
        let twice = numbers.len() - last as usize;
        table.row([customer, &numbers.len(), &twice, &last]);
    }
    print!("{table}");
    Ok(())
}
