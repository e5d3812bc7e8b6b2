//! Durable jobs survive the kill of their process: none is lost, and none is done twice unless the kill cut its record short.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use foundation::Foundation;
use foundation::events::EventStorage;
use foundation::names::ServiceName;
use foundation_pool::durable::{DurablePool, DurableQueue, DurableSpec};
use foundation_pool::{JobContext, JobFailure, Worker};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// The environment variable that makes this binary play the child.
const CHILD: &str = "FOUNDATION_JOBS_CHILD";
const QUEUE: ServiceName = ServiceName::from_static("numbers");
const WORKERS: usize = 4;
const TRIES: u32 = 3;
/// A job that ends its process.
const POISON: u64 = u64::MAX;
/// How many ends of jobs a kill may cut short: those of one event, and those that were under way.
const MAX_REPEATED: usize = 256 + 2 * 64 * WORKERS;

#[derive(Serialize, Deserialize)]
struct Number(u64);

struct Sayer {
    opened: Instant,
}

impl Worker for Sayer {
    type Job = Number;
    type Output = ();

    async fn perform(&mut self, job: &mut Number, context: &JobContext<'_>) -> Result<(), JobFailure> {
        say(&format!("begun {} {} {}", job.0, context.attempt(), self.opened.elapsed().as_micros()));
        if job.0 == POISON {
            std::process::abort();
        }
        if job.0.is_multiple_of(16) {
            tokio::task::yield_now().await;
        }
        say(&format!("did {}", job.0));
        Ok(())
    }
}

async fn open(directory: &Path) -> (Foundation, DurablePool<Number>) {
    let foundation = Foundation::builder().events(EventStorage::sqlite(directory)).start().await.unwrap();
    let services = foundation.production();
    let opened = Instant::now();
    let queue = DurableQueue::new(services.registry(), QUEUE).tries(TRIES);
    let spec = DurableSpec::new(queue, move |_| async move { Ok(Sayer { opened }) });
    let spec = spec.pool(|pool| pool.workers(WORKERS)).unwrap();
    let pool = spec.handle();
    services.supervise(spec.child("numbers")).await.unwrap();
    (foundation, pool)
}

/// Not a test: started by the tests. Accepts and performs jobs until it is killed.
#[test]
fn jobs_child() {
    let Ok(play) = env::var(CHILD) else { return };
    let mut play = play.splitn(3, ' ');
    let (what, first) = (play.next().unwrap().to_owned(), play.next().unwrap().parse::<u64>().unwrap());
    let directory = play.next().unwrap().to_owned();
    Runtime::new().unwrap().block_on(async {
        let (foundation, pool) = open(Path::new(&directory)).await;
        if what == "send" {
            let senders = (0..8).map(|sender| {
                let pool = pool.clone();
                async move {
                    for number in (first + sender..).step_by(8) {
                        pool.job(Number(number)).key((number % 32).to_string()).send().await.unwrap();
                        say(&format!("accepted {number}"));
                    }
                }
            });
            futures::future::join_all(senders).await;
        }
        if what == "poison" && first == 0 {
            pool.send(Number(POISON)).await.unwrap();
        }
        // A call is begun behind everything that an earlier life has left, and the shutdown waits for what other
        // workers have in hand: one of them may be about to end the process.
        pool.call(Number(0), Duration::from_secs(60)).await.unwrap();
        foundation.shutdown().await;
        say("idle");
    });
}

/// In one write, so that a kill loses whole lines only.
fn say(line: &str) {
    std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn start(what: &str, first: u64, directory: &Path) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "jobs::jobs_child", "--nocapture", "--quiet"]);
    command.env(CHILD, format!("{what} {first} {}", directory.display()));
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// What a life has said.
#[derive(Default)]
struct Said {
    accepted: Vec<u64>,
    did: Vec<u64>,
    begun: Vec<(u64, u32, u64)>,
    idle: bool,
}

impl Said {
    fn of(lines: impl Iterator<Item = String>) -> Self {
        let mut said = Self::default();
        for line in lines {
            let mut words = line.split(' ');
            let what = words.next().unwrap_or_default();
            let mut numbers = words.map_while(|word| word.parse::<u64>().ok());
            match (what, numbers.next(), numbers.next(), numbers.next()) {
                ("accepted", Some(number), ..) => said.accepted.push(number),
                ("did", Some(number), ..) => said.did.push(number),
                ("begun", Some(number), Some(attempt), Some(micros)) => {
                    said.begun.push((number, u32::try_from(attempt).unwrap(), micros));
                }
                ("idle", ..) => said.idle = true,
                _ => {}
            }
        }
        said
    }

    /// Until it is killed, after this many acceptances and this time.
    fn until_killed(mut child: Child, acceptances: usize, delay: Duration) -> Self {
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let (mut first, mut count) = (Vec::new(), 0);
        while count < acceptances {
            let Some(line) = lines.next() else { break };
            count += usize::from(line.starts_with("accepted"));
            first.push(line);
        }
        // The kill is to hit any moment.
        #[expect(clippy::disallowed_methods, reason = "the moment of the kill is the test")]
        std::thread::sleep(delay);
        child.kill().unwrap();
        child.wait().unwrap();
        Self::of(first.into_iter().chain(lines))
    }

    fn until_the_end(mut child: Child) -> Self {
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said = Self::of(lines);
        child.wait().unwrap();
        said
    }
}

fn kill_jobs(rounds: u64) {
    let directory = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::new();
    let (mut accepted, mut done) = (BTreeSet::new(), BTreeMap::<u64, usize>::new());
    let (mut repeated, mut first_begins) = (0, Vec::new());
    for round in 0..rounds {
        let first = 1 + round * 1_000_000;
        let (acceptances, delay) = (random.usize(0..300), Duration::from_micros(random.u64(0..250_000)));
        let said = Said::until_killed(start("send", first, directory.path()), acceptances, delay);
        accepted.extend(&said.accepted);
        let of_this_life = said.did.iter().filter(|number| done.contains_key(number)).count();
        assert!(of_this_life <= MAX_REPEATED, "round {round}: {of_this_life} jobs were done again after one kill");
        repeated += of_this_life;
        said.did.iter().for_each(|number| *done.entry(*number).or_default() += 1);
        first_begins.extend(said.begun.first().filter(|(number, ..)| *number < first).map(|(.., micros)| *micros));
        println!("round {round}: {} accepted, {} done, {of_this_life} of them again", accepted.len(), done.len());
    }
    let last = Said::until_the_end(start("rest", 0, directory.path()));
    assert!(last.idle, "what is left is performed");
    last.did.iter().for_each(|number| *done.entry(*number).or_default() += 1);
    let lost: Vec<_> = accepted.iter().filter(|number| !done.contains_key(number)).collect();
    assert!(lost.is_empty(), "accepted and never done: {lost:?}");
    let most = done.iter().filter(|(number, _)| **number != 0).map(|(_, times)| *times).max().unwrap();
    assert!(most <= usize::try_from(rounds).unwrap() && !accepted.is_empty());
    first_begins.sort_unstable();
    let median = first_begins.get(first_begins.len() / 2);
    println!("{rounds} kills, {} accepted, {repeated} done again; first orphan after {median:?} µs", accepted.len());
}

#[test]
fn no_accepted_job_is_lost_by_a_kill() {
    kill_jobs(3);
}

#[test]
#[ignore = "takes a minute; `cargo test --test crash -- --ignored`"]
fn no_accepted_job_is_lost_by_a_hundred_kills_and_only_those_that_a_kill_cuts_short_are_done_again() {
    kill_jobs(100);
}

#[test]
fn a_job_that_ends_its_process_dies_after_its_tries_and_the_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut lives = 0;
    loop {
        let said = Said::until_the_end(start("poison", lives, directory.path()));
        let poisoned = said.begun.iter().any(|(number, ..)| *number == POISON);
        assert_eq!(said.idle, !poisoned, "life {lives}");
        if said.idle {
            break;
        }
        lives += 1;
        assert!(lives < 10, "it is begun for ever");
    }
    // A first attempt that ends its process at once leaves no record.
    assert!((u64::from(TRIES)..=u64::from(TRIES) + 1).contains(&lives), "it was begun {lives} times");
}
