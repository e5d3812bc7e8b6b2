//! What a SQLite log has acknowledged is there after its process was killed, or ran into the end of its disk.
//!
//! The child is this very binary, told by its environment to play one: 16 tasks append through one writer, which records
//! what is waiting in groups, prunes and gives space back in between, and each acknowledged event is printed. `.ci/run` runs
//! the hundred rounds; `FOUNDATION_CRASH_SEED` repeats them from a seed, as far as a random moment can be repeated.

use std::collections::HashMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use foundation::{
    Append, Appended, Event, EventId, EventLog, LogFailure, NewEvent, PruneBound, Query, SqliteLog, SqliteOptions,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

const ROUNDS: u32 = 100;
const TASKS: u32 = 16;
/// The file is pruned to so many events.
const KEPT: u64 = 2000;
const GROUP: usize = 512;
const BATCH: u32 = 3;
const CHILD: &str = "FOUNDATION_CRASH_CHILD";

/// What an event of the child says: whose it is, and its place in its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Mark {
    round: u32,
    task: u32,
    append: u32,
    place: u32,
}

impl Mark {
    /// Every fourth append is a batch.
    fn batch_size(self) -> u32 {
        if self.append % 4 == 3 { BATCH } else { 1 }
    }

    fn batch(self) -> Vec<NewEvent> {
        let marks = (0..self.batch_size()).map(|place| Mark { place, ..self });
        marks.map(Mark::event).collect()
    }

    fn event(self) -> NewEvent {
        let key = format!("{}-{}-{}-{}", self.round, self.task, self.append, self.place);
        NewEvent::new("marked").unwrap().payload(self).unwrap().source("child").idempotency_key(key)
    }
}

fn open(path: &Path) -> Result<SqliteLog, LogFailure> {
    SqliteLog::open(path, "production", SqliteOptions::default())
}

// ---- the child ----

type Waiting = (Vec<NewEvent>, oneshot::Sender<Appended>);

/// Not a test: what the others start. It ends by being killed, or when its log fails.
#[test]
fn child() {
    let Ok(play) = env::var(CHILD) else { return };
    let (round, path) = play.split_once(' ').unwrap();
    let (round, log) = (round.parse().unwrap(), open(Path::new(path)).unwrap());
    let (to_writer, waiting) = mpsc::channel();
    let writer = thread::spawn(move || write(log, &waiting));
    let tasks = thread::spawn(move || append(round, &to_writer));
    let failure = writer.join().unwrap();
    println!("\nfailed {failure}");
    drop(tasks);
}

/// Group commit: the first that waits, and whoever else waits by then.
fn write(mut log: SqliteLog, waiting: &Receiver<Waiting>) -> LogFailure {
    for turn in 0.. {
        let first = waiting.recv().unwrap();
        let (batches, askers): (Vec<_>, Vec<_>) = [first].into_iter().chain(waiting.try_iter().take(GROUP - 1)).unzip();
        let group = batches.into_iter().map(Append::new).collect();
        match log.commit(group, SystemTime::now()) {
            Ok(answers) => {
                for (asker, answer) in askers.into_iter().zip(answers) {
                    asker.send(answer.unwrap()).unwrap();
                }
            }
            Err(failure) => return failure,
        }
        if turn % 8 == 7
            && let Err(failure) = log.prune(PruneBound::Count(KEPT), None, 200).and_then(|_| log.maintain())
        {
            return failure;
        }
    }
    unreachable!("the turns do not end")
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn append(round: u32, to_writer: &mpsc::Sender<Waiting>) {
    let tasks = (0..TASKS).map(|task| {
        let to_writer = to_writer.clone();
        tokio::spawn(async move {
            for append in 0.. {
                let mark = Mark { round, task, append, place: 0 };
                let (asker, answer) = oneshot::channel();
                let Ok(()) = to_writer.send((mark.batch(), asker)) else { return };
                let Ok(appended) = answer.await else { return };
                acknowledged(mark, &appended);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// Says so in one write each, so that a kill loses whole lines only.
fn acknowledged(mark: Mark, appended: &Appended) {
    for (place, id) in (0..).zip(&appended.ids) {
        let said = serde_json::to_string(&(id, Mark { place, ..mark })).unwrap();
        std::io::stdout().lock().write_all(format!("ack {said}\n").as_bytes()).unwrap();
    }
}

// ---- the parent ----

type Acknowledged = (EventId, Mark);

/// What a child has said.
#[derive(Default)]
struct Said {
    acknowledged: Vec<Acknowledged>,
    failure: Option<String>,
}

impl Said {
    fn line(&mut self, line: &str) {
        if let Some(said) = line.strip_prefix("ack ") {
            self.acknowledged.push(serde_json::from_str(said).unwrap());
        } else if let Some(failure) = line.strip_prefix("failed ") {
            self.failure = Some(failure.to_owned());
        }
    }
}

/// Starts a child, through a shell if there is one.
fn start(shell: Option<&str>, round: u32, path: &Path) -> Child {
    let this = env::current_exe().unwrap();
    let mut command = match shell {
        None => Command::new(this),
        Some(script) => {
            let mut command = Command::new("sh");
            command.args(["-c", script, "sh"]).arg(this);
            command
        }
    };
    command.args(["--exact", "child", "--nocapture", "--quiet"]).env(CHILD, format!("{round} {}", path.display()));
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn lines(child: &mut Child) -> Receiver<String> {
    let (to_parent, lines) = mpsc::channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    thread::spawn(move || {
        // The last line of a killed child may have been cut.
        for line in output.lines().map_while(Result::ok) {
            if to_parent.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// What the child says until it is killed after this time, and what it had said by then but was not read yet.
fn kill_after(mut child: Child, time: Duration) -> Said {
    let (lines, end) = (lines(&mut child), Instant::now() + time);
    let mut said = Said::default();
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => said.line(&line),
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => panic!("the child has ended by itself"),
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines.iter().for_each(|line| said.line(&line));
    said
}

/// Opens the file and checks that all is there and nothing twice; how many events are held.
fn check(path: &Path, acknowledged: &[Acknowledged]) -> u64 {
    let log = open(path).unwrap();
    let reader = log.reader().unwrap();
    let verification = reader.verify(&mut |_| ()).unwrap();
    assert!(verification.is_clean(), "{verification}");

    let stats = reader.stats().unwrap();
    assert!(stats.held >= stats.recorded.min(KEPT), "more was pruned than should be: {stats:?}");
    let oldest = stats.oldest.map_or(u64::MAX, EventId::get);
    let events = reader.query(&Query::new()).unwrap();
    let mut marks: HashMap<Mark, EventId> = HashMap::new();
    for event in &events {
        let twice = marks.insert(mark(event), event.id);
        assert_eq!(twice, None, "{event:?} is there twice");
    }
    for (id, mark) in acknowledged.iter().filter(|(id, _)| id.get() >= oldest) {
        assert_eq!(marks.get(mark), Some(id), "{mark:?} was acknowledged and is lost");
    }
    // A batch is there as a whole, unless pruning has cut it.
    for event in events.iter().filter(|event| event.id.get() >= oldest + u64::from(BATCH)) {
        let first = Mark { place: 0, ..mark(event) };
        for place in 0..first.batch_size() {
            assert!(marks.contains_key(&Mark { place, ..first }), "{first:?} has lost its part {place}");
        }
    }
    stats.held
}

fn mark(event: &Event) -> Mark {
    event.payload_as().unwrap()
}

fn seed() -> u64 {
    match env::var("FOUNDATION_CRASH_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => fastrand::u64(..),
    }
}

#[test]
#[ignore = "takes a minute; `cargo test --test crash -- --ignored`"]
fn nothing_acknowledged_is_lost_or_there_twice_after_a_hundred_kills() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.db");
    let seed = seed();
    println!("FOUNDATION_CRASH_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut acknowledged, mut in_opening) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        let time = Duration::from_micros(random.u64(1_000..250_000));
        let mut said = kill_after(start(None, round, &path), time);
        in_opening += u32::from(said.acknowledged.is_empty());
        acknowledged.append(&mut said.acknowledged);
        assert_eq!(said.failure, None, "round {round}");
        let held = check(&path, &acknowledged);
        println!("round {round}: killed after {time:?}, {} acknowledged so far, {held} held", acknowledged.len());
    }
    println!("killed before the first acknowledgement in {in_opening} rounds");
    assert!(acknowledged.len() > 1000, "only {} events were acknowledged", acknowledged.len());
    assert!(in_opening < ROUNDS / 2, "hardly any kill hit an append");
}

/// The system cuts a write short at the limit and refuses the next one, as a disk does when it is full.
#[cfg(unix)]
#[test]
fn a_disk_that_is_full_in_the_middle_of_a_write_fails_the_log_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.db");
    drop(open(&path).unwrap());
    let mut child = start(Some("trap '' XFSZ; ulimit -f 1001; exec \"$@\""), 0, &path);
    let mut said = Said::default();
    lines(&mut child).iter().for_each(|line| said.line(&line));
    child.wait().unwrap();

    let failure = said.failure.expect("the limit was reached");
    assert!(failure.contains("failed in") && failure.contains("events.db"), "{failure}");
    assert!(failure.contains("disk I/O error") || failure.contains("full"), "{failure}");
    assert!(!said.acknowledged.is_empty());
    check(&path, &said.acknowledged);
    // With space again, it goes on.
    let mut log = open(&path).unwrap();
    let more = Mark { round: 1, task: 0, append: 0, place: 0 };
    let answers = log.commit(vec![Append::new(more.batch())], SystemTime::now()).unwrap();
    let id = answers[0].as_ref().unwrap().ids[0];
    drop(log);
    said.acknowledged.push((id, more));
    check(&path, &said.acknowledged);
}
