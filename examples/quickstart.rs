//! The main job from start to end: a supervised service counts the words of a text file, crashes, and continues.
//!
//! ```text
//! cargo run --example quickstart [FILE [DIRECTORY]]
//! ```
//!
//! The events are in a SQLite file, in the directory or in a temporary one. In a directory that is given, the next run
//! continues from them, also with the settings made while the program ran.
//!
//! The settings are in `examples/quickstart.toml`, and environment variables win over them:
//! `QUICKSTART__COUNTING__MIN_LETTERS=7 cargo run --example quickstart`.
//!
//! What to notice: the handle on the service is made once and outlives two crashes. The state of a service dies with
//! it, so it passes its counts to an actor that has less reason to crash, the ledger; how often, is a setting that is
//! changed while the program runs. The sender of a line keeps it until it is in the ledger, so in the end nothing is
//! lost.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ffi::OsString;
use std::mem;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use foundation::config::{ConfigSources, ConfigSubscription};
use foundation::events::EventStorage;
use foundation::names::CastError;
use foundation::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation::{ChildSpec, Foundation, NewEvent, ServiceKey, Services, ShutdownReport, Via, local_message};
use foundation_examples::{Failure, Lines, Table, exit, heading, in_workspace};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The line that the service cannot take.
const POISON: &str = "~ a line that makes the word count fail ~";

#[tokio::main]
async fn main() -> ExitCode {
    exit(run(std::env::args_os().skip(1).collect()).await)
}

async fn run(arguments: Vec<OsString>) -> Result<ShutdownReport, Failure> {
    let temporary = tempfile::tempdir()?;
    let (path, directory) = match arguments.as_slice() {
        [] => (in_workspace("README.md"), temporary.path()),
        [path] => (PathBuf::from(path), temporary.path()),
        [path, directory] => (PathBuf::from(path), Path::new(directory)),
        _ => return Err("at most two arguments are taken: quickstart [FILE [DIRECTORY]]".into()),
    };
    // The file comes first: if it cannot be read, nothing has been started.
    let lines = Lines::open(&path).await?;
    let foundation = start(directory).await?;
    let outcome = count_words(&foundation, lines).await;

    heading("Shutting down: the last started stops first");
    let report = foundation.shutdown().await;
    println!("{report}");
    outcome.map(|()| report)
}

// ---- the start ----

/// Loads the settings and starts the foundation, with the ledger and the word count as its application, in this order.
async fn start(directory: &Path) -> Result<Foundation, Failure> {
    let builder = Foundation::builder().config(settings()?).events(EventStorage::sqlite(directory));
    let foundation = builder.child(ledger).child(word_count).start().await?;
    if let Some(earlier) = foundation.events().position() {
        println!("Going on from the {earlier} events of earlier runs in {}.", directory.display());
    }

    heading("Started: the settings, and where each comes from");
    let config = foundation.config().tree();
    let mut table = Table::new(["setting", "value", "from"]);
    for path in config.paths() {
        table.row([path, config.get(path)?, &config.origin(path)?]);
    }
    print!("{table}");
    for unknown in config.unknown_variables() {
        eprintln!("warning: {unknown}");
    }
    Ok(foundation)
}

fn settings() -> Result<ConfigSources, Failure> {
    let sources = ConfigSources::new()
        .defaults(json!({ "demo": { "top_words": 5 } }))?
        .file(in_workspace("examples/quickstart.toml"))
        .process_environment("quickstart")?
        .updatable("counting")?;
    Ok(sources)
}

/// The settings of the section `counting`.
#[derive(Deserialize)]
struct Settings {
    min_letters: usize,
    hand_over_every: u64,
}

/// The settings of the section `demo`.
#[derive(Deserialize)]
struct Demo {
    crash_after: u64,
    top_words: usize,
}

// ---- the counts ----

#[derive(Default)]
struct Tally {
    lines: u64,
    words: HashMap<String, u64>,
}

impl Tally {
    fn line(&mut self, line: &str, min_letters: usize) -> u64 {
        let words = line.split(|c: char| !c.is_alphanumeric());
        let words = words.filter(|word| !word.is_empty() && word.chars().count() >= min_letters);
        let counted = words.map(|word| *self.words.entry(word.to_lowercase()).or_default() += 1).count();
        self.lines += 1;
        counted as u64
    }

    fn add(&mut self, other: Self) {
        self.lines += other.lines;
        for (word, times) in other.words {
            *self.words.entry(word).or_default() += times;
        }
    }

    /// The most frequent words; those that are equally frequent in the order of the alphabet.
    fn top(&self, many: usize) -> Vec<(&str, u64)> {
        let mut words: Vec<_> = self.words.iter().map(|(word, times)| (word.as_str(), *times)).collect();
        words.sort_by_key(|(word, times)| (Reverse(*times), *word));
        words.truncate(many);
        words
    }
}

// ---- the ledger: keeps counts, and does nothing that could fail ----

const LEDGER: ServiceKey<LedgerMsg> = ServiceKey::new("ledger");

enum LedgerMsg {
    Add(Tally),
    Lines(RpcReplyPort<u64>),
    Top(usize, RpcReplyPort<Vec<(String, u64)>>),
}
local_message!(LedgerMsg);

struct Ledger;

fn ledger(services: &Services) -> ChildSpec {
    services.child_spec(&LEDGER, || (Ledger, ()))
}

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Ledger {
    type Msg = LedgerMsg;
    type State = Tally;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<LedgerMsg>, (): ()) -> Result<Tally, ActorProcessingErr> {
        Ok(Tally::default())
    }

    async fn handle(
        &self,
        _: ActorRef<LedgerMsg>,
        message: LedgerMsg,
        total: &mut Tally,
    ) -> Result<(), ActorProcessingErr> {
        // The caller may have stopped waiting, which is no error of the ledger.
        match message {
            LedgerMsg::Add(tally) => total.add(tally),
            LedgerMsg::Lines(reply) => drop(reply.send(total.lines)),
            LedgerMsg::Top(many, reply) => {
                let top = total.top(many).into_iter().map(|(word, times)| (word.to_owned(), times));
                drop(reply.send(top.collect()));
            }
        }
        Ok(())
    }
}

// ---- the word count: does the work, and may fail ----

const WORD_COUNT: ServiceKey<WordCountMsg> = ServiceKey::new("word_count");
/// Emitted by the word count when it has applied new settings.
const SETTINGS_TAKEN_UP: &str = "word_count.settings_taken_up";

enum WordCountMsg {
    /// Answered when the line is counted.
    Line(String, RpcReplyPort<Counted>),
    /// Answered when all counts have been sent to the ledger.
    HandOver(RpcReplyPort<()>),
    SettingsChanged,
}
local_message!(WordCountMsg);

/// Where a line is counted.
enum Counted {
    /// In the service's state, and lost if that dies.
    InTheState,
    /// In the ledger, as are all lines before it.
    InTheLedger,
}

struct WordCount;

struct WordCountState {
    tally: Tally,
    settings: Settings,
    ledger: Via<LedgerMsg>,
    services: Services,
    /// Ends with the state.
    _listening: JoinSet<()>,
}

fn word_count(services: &Services) -> ChildSpec {
    let services = services.clone();
    services.clone().child_spec(&WORD_COUNT, move || (WordCount, services.clone()))
}

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for WordCount {
    type Msg = WordCountMsg;
    type State = WordCountState;
    type Arguments = Services;

    async fn pre_start(
        &self,
        myself: ActorRef<WordCountMsg>,
        services: Services,
    ) -> Result<WordCountState, ActorProcessingErr> {
        // Subscribe before reading: a change in between is received.
        let mut listening = JoinSet::new();
        listening.spawn(pass_on(services.config().subscribe("counting")?, myself));
        let settings = services.config().get("counting")?;
        let ledger = services.via(&LEDGER);
        Ok(WordCountState { tally: Tally::default(), settings, ledger, services, _listening: listening })
    }

    async fn handle(
        &self,
        _: ActorRef<WordCountMsg>,
        message: WordCountMsg,
        state: &mut WordCountState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WordCountMsg::Line(line, _) if line == POISON => return Err("it was given a poison line".into()),
            WordCountMsg::Line(line, done) => {
                let counted = state.count(&line)?;
                drop(done.send(counted));
            }
            WordCountMsg::HandOver(done) => {
                state.hand_over();
                drop(done.send(()));
            }
            WordCountMsg::SettingsChanged => state.take_up_settings()?,
        }
        Ok(())
    }
}

impl WordCountState {
    fn count(&mut self, line: &str) -> Result<Counted, ActorProcessingErr> {
        let words = self.tally.line(line, self.settings.min_letters);
        self.services.telemetry().counter("word_count.words")?.add(words);
        self.services.telemetry().histogram("word_count.words_a_line")?.record(words as f64);
        if self.tally.lines < self.settings.hand_over_every {
            return Ok(Counted::InTheState);
        }
        Ok(self.hand_over())
    }

    fn hand_over(&mut self) -> Counted {
        match self.ledger.cast(LedgerMsg::Add(mem::take(&mut self.tally))) {
            Ok(()) => Counted::InTheLedger,
            // An undelivered message comes back in the error: the tally is kept for the next time.
            Err(CastError { message, .. }) => {
                if let LedgerMsg::Add(tally) = message {
                    self.tally = tally;
                }
                Counted::InTheState
            }
        }
    }

    fn take_up_settings(&mut self) -> Result<(), ActorProcessingErr> {
        self.settings = self.services.config().get("counting")?;
        self.services.telemetry().execute(SETTINGS_TAKEN_UP, &[], &json!(null));
        Ok(())
    }
}

/// Turns changes of the settings into messages.
async fn pass_on(mut changes: ConfigSubscription, service: ActorRef<WordCountMsg>) {
    // After missed changes the settings are read anew nevertheless.
    while !matches!(changes.next().await, Ok(None)) {
        if service.cast(WordCountMsg::SettingsChanged).is_err() {
            break;
        }
    }
}

// ---- the run ----

async fn count_words(foundation: &Foundation, lines: Lines) -> Result<(), Failure> {
    let demo: Demo = foundation.config().get("demo")?;
    let mut run = Run::new(foundation.production(), lines);

    heading(format!("Counting {}, and a crash", run.lines.path().display()));
    run.feed(demo.crash_after).await?;
    run.crash().await?;

    heading("A setting is changed while the program runs, and a second crash");
    run.hand_over_each_line().await?;
    run.feed(demo.crash_after).await?;
    run.crash().await?;

    heading("The rest of the file, and the result");
    run.feed(u64::MAX).await?;
    run.finish(demo.top_words).await?;
    show(foundation).await
}

/// One file on its way through the service.
struct Run<'a> {
    production: &'a Services,
    /// Made once, before the first line, and used to the end.
    service: Via<WordCountMsg>,
    lines: Lines,
    /// The lines that are counted, but not in the ledger yet.
    at_risk: Vec<String>,
}

impl<'a> Run<'a> {
    fn new(production: &'a Services, lines: Lines) -> Self {
        Self { production, service: production.via(&WORD_COUNT), lines, at_risk: Vec::new() }
    }

    /// Sends this many lines, or all that are left.
    async fn feed(&mut self, many: u64) -> Result<(), Failure> {
        for _ in 0..many {
            let Some(line) = self.lines.next().await? else { break };
            self.send(line).await?;
        }
        println!(
            "Lines sent so far: {}. The service is actor {}.",
            self.lines.read(),
            self.service.actor_ref()?.get_id()
        );
        Ok(())
    }

    /// Sends a line and waits until it is counted, so that no more than one is on its way when the service crashes.
    async fn send(&mut self, line: String) -> Result<(), Failure> {
        let counted = self.service.call(|done| WordCountMsg::Line(line.clone(), done), LIMIT).await;
        match counted.map_err(|error| format!("line {} was not counted: {error}", self.lines.read()))? {
            Counted::InTheState => self.at_risk.push(line),
            Counted::InTheLedger => self.at_risk.clear(),
        }
        Ok(())
    }

    /// Makes the service fail, waits for its next incarnation, and sends the lost lines again.
    async fn crash(&mut self) -> Result<(), Failure> {
        println!("Now a poison line, at which the service fails:");
        let old = self.service.actor_ref()?;
        match self.service.call(|done| WordCountMsg::Line(POISON.to_owned(), done), LIMIT).await {
            Ok(_) => return Err("the poison line was counted as if nothing were wrong".into()),
            Err(error) => println!("  the caller gets      {error}"),
        }
        old.wait(None).await?;
        let new = self.production.wait_for_service(&WORD_COUNT, None).await?;
        println!("  the supervisor       has started actor {} in the place of {}", new.get_id(), old.get_id());

        let lost = mem::take(&mut self.at_risk);
        match lost.len() {
            0 => println!("  the counts           are in the ledger: nothing died with the state of the service"),
            many => println!("  the counts           of {many} lines died with the state of the service; sent again"),
        }
        for line in lost {
            self.send(line).await?;
        }
        println!("  the handle           is the same as before");
        Ok(())
    }

    /// Makes the service hand over after each line, and returns when it does.
    async fn hand_over_each_line(&self) -> Result<(), Failure> {
        let (notify, mut notified) = mpsc::unbounded_channel();
        let telemetry = self.production.telemetry();
        telemetry.attach("quickstart", [SETTINGS_TAKEN_UP], move |_| _ = notify.send(()))?;

        let changed = self.production.config().update("counting.hand_over_every", 1).await?;
        match changed.event {
            Some(event) => {
                timeout(LIMIT, notified.recv()).await?;
                let (old, new) = (&changed.change.old, &changed.change.new);
                println!("{} was {old}, is {new}: recorded as event {event}.", changed.change.path);
                println!("The service, which has subscribed to its settings, has taken it up.");
            }
            // Nothing has changed, so there is no notification.
            None => println!("{} is 1 already.", changed.change.path),
        }
        telemetry.detach("quickstart");
        Ok(())
    }

    async fn finish(&self, top_words: usize) -> Result<(), Failure> {
        self.service.call(WordCountMsg::HandOver, LIMIT).await?;
        let ledger = self.production.via(&LEDGER);
        let lines = ledger.call(LedgerMsg::Lines, LIMIT).await?;
        println!("Lines in the ledger: {lines}.");
        if self.lines.not_utf8() > 0 {
            println!(
                "Lines that are not UTF-8: {}; what is unreadable in them separates words.",
                self.lines.not_utf8()
            );
        }

        let mut table = Table::new(["word", "times"]);
        for (word, times) in ledger.call(|reply| LedgerMsg::Top(top_words, reply), LIMIT).await? {
            table.row([&word, &times]);
        }
        print!("\n{table}");
        let counted = NewEvent::new("file_counted")?.source(WORD_COUNT.name().as_str());
        self.production.events().append(counted.payload(json!({ "lines": lines }))?).await?;
        Ok(())
    }
}

// ---- the operator's view ----

async fn show(foundation: &Foundation) -> Result<(), Failure> {
    heading("Services");
    let info = foundation.production().service_info();
    let mut table = Table::new(["service", "actor", "status", "restarts", "uptime"]);
    for service in &info.services {
        let (status, uptime) = (format!("{:?}", service.status), format!("{:.1?}", service.uptime));
        table.row([&service.name, &service.actor, &status, &service.restarts, &uptime]);
    }
    print!("{table}");

    heading("Health");
    let mut table = Table::new(["service", "health"]);
    for service in foundation.health().await.services {
        table.row([&service.name, &service]);
    }
    print!("{table}");

    heading("The latest events");
    let mut table = Table::new(["id", "event", "source", "payload"]);
    for event in foundation.events().recent(20).await?.iter().rev() {
        let mut payload = event.payload.clone();
        // Reported by the supervisor itself, the source says it already.
        payload.as_object_mut().map(|payload| payload.remove("supervisor"));
        table.row([&event.id, &event.kind, &event.service().unwrap_or("-"), &payload]);
    }
    print!("{table}");

    heading("Metrics: the work that was done, so a line that was sent again counts twice");
    let mut table = Table::new(["metric", "kind", "value"]);
    for (name, reading) in foundation.telemetry().snapshot().iter() {
        table.row([&name, &reading.kind(), reading]);
    }
    print!("{table}");
    Ok(())
}
