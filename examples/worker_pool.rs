//! A pool of workers under a load that rises and falls: it grows and shrinks, some of its workers panic, one hangs, and the
//! way in which jobs find their workers is changed while it runs. No job is lost.
//!
//! ```text
//! cargo run --example worker_pool
//! ```
//!
//! The program takes some ten seconds. Each line of the table is what the pool's figures say at that moment; what happens to
//! the pool is printed between them, as `Pool::watch` shows it.
//!
//! What to notice: the size follows the demand, not the length of the queue, and it falls only after the demand has been low
//! for a while. A job whose worker panics or hangs is tried again by another. At the end each job is accounted for.

use std::process::ExitCode;
use std::time::Duration;

use foundation::pool::{
    JobContext, JobFailure, Pool, PoolEvent, PoolSpec, PoolWatch, PoolWatched, QueueSpec, Retry, Routing, Scaling,
    Stuck, Worker,
};
use foundation::{Foundation, ShutdownReport};
use foundation_examples::{BoxError, exit, heading, shut_down};
use tokio::time::{Instant, interval};

/// How long a picture takes: its worker mostly waits for others, such as a disk.
const WORK: Duration = Duration::from_millis(10);
const LINES_EVERY: Duration = Duration::from_millis(500);

/// A picture that is to be made smaller.
struct Picture {
    number: u64,
    fate: Fate,
}

/// What comes in the way of a picture, at its first attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    /// Its worker panics.
    Broken,
    /// Its worker waits for something that never comes.
    Endless,
}

/// Makes pictures smaller.
struct Scaler;

impl Worker for Scaler {
    type Job = Picture;
    type Output = ();

    async fn perform(&mut self, picture: &mut Picture, context: &JobContext<'_>) -> Result<(), JobFailure> {
        // The job is lent: what is changed in it here, the next attempt finds.
        match std::mem::replace(&mut picture.fate, Fate::Fine) {
            Fate::Broken => panic!("picture {} is broken at attempt {}", picture.number, context.attempt()),
            Fate::Endless => std::future::pending().await,
            Fate::Fine => {}
        }
        work().await;
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "the work")]
async fn work() {
    tokio::time::sleep(WORK).await;
}

#[tokio::main]
async fn main() -> ExitCode {
    exit(run().await)
}

fn spec() -> Result<PoolSpec<Scaler>, BoxError> {
    let scaling = Scaling::by_demand(0.7)?.down_after(Duration::from_secs(2));
    let spec = PoolSpec::new(|_slot| async { Ok(Scaler) })
        .workers(2..=16)?
        .scaling(scaling)
        .queue(QueueSpec::bounded(5_000)?)
        .retry(Retry::attempts(3))
        .stuck(Stuck::slow_after(Duration::from_millis(700)).kill_after(Duration::from_millis(1_200)));
    Ok(spec)
}

async fn run() -> Result<ShutdownReport, BoxError> {
    // A panic of a worker is part of the lesson, its backtrace is not.
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload().downcast_ref::<String>();
        println!("  ! {}", text.map_or("a panic", String::as_str));
    }));
    let foundation = Foundation::builder().start().await?;
    let (services, spec) = (foundation.production(), spec()?);
    let pictures = spec.handle();
    services.supervise(services.pool_spec("pictures", &spec)).await?;
    let shown = tokio::spawn(show(pictures.clone(), pictures.watch()));

    let mut number = 0;
    load(&pictures, "a quiet morning: 50 pictures a second", 50, 2, &mut number).await?;
    load(&pictures, "the rush: 800 a second", 800, 3, &mut number).await?;

    heading("Three pictures are broken, and one takes for ever; the others go on");
    for fate in [Fate::Broken, Fate::Broken, Fate::Broken, Fate::Endless] {
        number += 1;
        pictures.send(Picture { number, fate }).await?;
    }
    for routing in [Routing::power_of_two(), Routing::round_robin()] {
        pictures.set_routing(routing);
        load(&pictures, &format!("300 a second, now by {routing}"), 300, 1, &mut number).await?;
    }
    load(&pictures, "the evening: 20 a second", 20, 4, &mut number).await?;

    heading("What became of them");
    let drained = pictures.drain(Duration::from_secs(5)).await;
    shown.abort();
    let stats = pictures.stats();
    println!("{drained}");
    println!("{number} accepted, {} done; {} attempts failed, {} jobs died", stats.done, stats.failed, stats.died);
    let outcome = if stats.done == number { Ok(()) } else { Err("each picture is done".into()) };
    shut_down(&foundation, outcome).await
}

/// Sends so many pictures a second, for so many seconds.
async fn load(
    pictures: &Pool<Picture>,
    what: &str,
    per_second: u64,
    seconds: u64,
    number: &mut u64,
) -> Result<(), BoxError> {
    heading(what);
    println!("{}", Line::HEADINGS);
    let mut pace = interval(Duration::from_secs(1) / u32::try_from(per_second)?);
    for _ in 0..per_second * seconds {
        pace.tick().await;
        *number += 1;
        pictures.send(Picture { number: *number, fate: Fate::Fine }).await?;
    }
    Ok(())
}

/// Prints the figures now and then, and what happens to the pool.
async fn show(pictures: Pool<Picture>, mut watch: PoolWatch) {
    let (mut lines, begun) = (interval(LINES_EVERY), Instant::now());
    loop {
        tokio::select! {
            _ = lines.tick() => println!("{}", Line { pictures: &pictures, time: begun.elapsed() }),
            watched = watch.next() => match watched {
                // Workers that come and go are in the figures.
                Some(PoolWatched::Event(PoolEvent::WorkerStarted { .. } | PoolEvent::WorkerEnded { .. })) => {}
                Some(PoolWatched::Event(event)) => println!("  > {event}"),
                Some(PoolWatched::Lagged { missed }) => println!("  > {missed} events are missed"),
                Some(_) => {}
                None => return,
            },
        }
    }
}

/// A line of the table.
struct Line<'a> {
    pictures: &'a Pool<Picture>,
    time: Duration,
}

impl Line<'_> {
    const HEADINGS: &'static str = "    time  workers  busy  queued   done  failed  retried  stuck  oldest wait";
}

impl std::fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stats = self.pictures.stats();
        let oldest = stats.oldest_wait.map_or_else(|| "-".to_owned(), |wait| format!("{} ms", wait.as_millis()));
        write!(f, "{:>7.1}s  {:>7}  {:>3.0}%", self.time.as_secs_f64(), stats.workers, 100.0 * stats.busy_share)?;
        write!(f, "  {:>6}  {:>5}  {:>6}", stats.queued(), stats.done, stats.failed)?;
        write!(f, "  {:>7}  {:>5}  {oldest:>11}", stats.retried, stats.stuck)
    }
}
