//! The main job from start to end: a supervised service counts the words of a text file, crashes, and goes on.
//!
//! ```text
//! cargo run --example quickstart [FILE [DIRECTORY]]
//! ```
//!
//! The settings are in `examples/quickstart.toml`, and environment variables win over them:
//! `QUICKSTART__COUNTING__MIN_LETTERS=7`. The events are in a SQLite file, in the directory or in a temporary one. In a
//! directory that is given, the next run goes on from them, also with the setting that was changed at run time.
//!
//! What to notice: the handle on the service is made once and outlives the crash. The state of a service dies with it,
//! so the word count passes what it counts to an actor that has less reason to crash, the ledger. It has subscribed to
//! its setting, so a change reaches it without a restart.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use foundation::config::ConfigSources;
use foundation::events::{EventKind, EventStorage, SubscriptionSpec};
use foundation::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation::{Foundation, NewEvent, ServiceKey, Services, ShutdownReport, Via, answer, local_message};
use foundation_examples::{BoxError, Lines, Table, exit, heading, in_workspace, print_settings, shut_down};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How many lines are sent before the crash.
const BEFORE_CRASH: u64 = 30;
/// The line that the service cannot take.
const POISON: &str = "~ a line that makes the word count fail ~";
/// The setting that is changed: shorter words are not counted.
const MIN_LETTERS: &str = "counting.min_letters";
/// The event kind of a setting that the service has taken up.
const TAKEN_UP: EventKind = EventKind::from_static("setting_taken_up");

#[tokio::main]
async fn main() -> ExitCode {
    exit(run(std::env::args_os().skip(1).collect()).await)
}

async fn run(arguments: Vec<OsString>) -> Result<ShutdownReport, BoxError> {
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
    shut_down(&foundation, outcome).await
}

/// Loads the settings and starts the foundation, with the ledger and the word count as its application, in this order.
async fn start(directory: &Path) -> Result<Foundation, BoxError> {
    let settings = ConfigSources::new().file(in_workspace("examples/quickstart.toml"));
    let settings = settings.process_environment("quickstart")?.updatable(MIN_LETTERS)?;
    let builder = Foundation::builder().config(settings).events(EventStorage::sqlite(directory));
    let builder = builder.child(|services| services.child_spec(&LEDGER, || (Ledger, ()))).child(|services| {
        let own = services.clone();
        services.child_spec(&WORD_COUNT, move || (WordCount, own.clone()))
    });
    let foundation = builder.start().await?;
    if let Some(earlier) = foundation.events().position() {
        println!("Going on from the {earlier} events of earlier runs in {}.", directory.display());
    }
    heading("Started: the settings, and where each comes from");
    print_settings(foundation.config());
    Ok(foundation)
}

// ---- the ledger: keeps the counts, and does nothing that could fail ----

const LEDGER: ServiceKey<LedgerMsg> = ServiceKey::from_static("ledger");

/// How often each word was counted.
type Tally = BTreeMap<String, u64>;

enum LedgerMsg {
    Add(Vec<String>),
    Report(RpcReplyPort<Tally>),
}
local_message!(LedgerMsg);

struct Ledger;

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Ledger {
    type Msg = LedgerMsg;
    type State = Tally;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<LedgerMsg>, (): ()) -> Result<Tally, ActorProcessingErr> {
        Ok(Tally::new())
    }

    async fn handle(&self, _: ActorRef<LedgerMsg>, msg: LedgerMsg, sum: &mut Tally) -> Result<(), ActorProcessingErr> {
        match msg {
            LedgerMsg::Add(words) => words.into_iter().for_each(|word| *sum.entry(word).or_default() += 1),
            LedgerMsg::Report(reply) => answer(reply, sum.clone()),
        }
        Ok(())
    }
}

// ---- the word count: does the work, and may fail ----

const WORD_COUNT: ServiceKey<Work> = ServiceKey::from_static("word_count");

enum Work {
    /// Answered when the line is counted.
    Line(String, RpcReplyPort<()>),
    SettingChanged,
}
local_message!(Work);

struct WordCount;

struct CountState {
    services: Services,
    min_letters: usize,
    ledger: Via<LedgerMsg>,
    /// Ends with the state.
    _listening: JoinSet<()>,
}

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for WordCount {
    type Msg = Work;
    type State = CountState;
    type Arguments = Services;

    async fn pre_start(&self, me: ActorRef<Work>, services: Services) -> Result<CountState, ActorProcessingErr> {
        // Subscribe before reading: a change in between is received. After missed changes the setting is read, too.
        let mut changes = services.config().subscribe(MIN_LETTERS)?;
        let mut listening = JoinSet::new();
        listening.spawn(async move {
            while !matches!(changes.next().await, Ok(None)) && me.cast(Work::SettingChanged).is_ok() {}
        });
        let (min_letters, ledger) = (services.config().get(MIN_LETTERS)?, services.via(&LEDGER));
        Ok(CountState { services, min_letters, ledger, _listening: listening })
    }

    async fn handle(&self, _: ActorRef<Work>, msg: Work, state: &mut CountState) -> Result<(), ActorProcessingErr> {
        match msg {
            Work::Line(line, _) if line == POISON => return Err("it was given a poison line".into()),
            Work::Line(line, reply) => {
                // What is between two separators may be empty, and is no word.
                let is_long = |word: &&str| word.chars().count() >= state.min_letters.max(1);
                let words = line.split(|c: char| !c.is_alphanumeric()).filter(is_long);
                let words: Vec<_> = words.map(str::to_lowercase).collect();
                state.services.telemetry().counter("word_count.words")?.add(words.len() as u64);
                state.ledger.cast(LedgerMsg::Add(words))?;
                answer(reply, ());
            }
            Work::SettingChanged => {
                state.min_letters = state.services.config().get(MIN_LETTERS)?;
                let taken_up = NewEvent::of(TAKEN_UP).source("word_count").payload(json!(state.min_letters))?;
                state.services.events().append(taken_up).await?;
            }
        }
        Ok(())
    }
}

async fn count_words(foundation: &Foundation, mut lines: Lines) -> Result<(), BoxError> {
    let top_words = foundation.config().get("counting.top_words")?;
    // The handle is made once, before the first line, and used to the end.
    let service = foundation.production().via(&WORD_COUNT);
    heading(format!("Counting {}, and a crash", lines.path().display()));
    feed(&service, &mut lines, BEFORE_CRASH).await?;
    let first = service.actor_ref()?;
    let poison = service.call(|reply| Work::Line(POISON.to_owned(), reply), LIMIT).await;
    let Err(error) = poison else { return Err("the poison line was counted as if nothing were wrong".into()) };
    println!("Now a poison line, at which the service fails. Its sender gets this error:\n  {error}");
    first.wait(None).await?;
    foundation.production().wait_for_service(&WORD_COUNT, LIMIT).await?;

    heading("The same handle, the next actor, and a setting that is changed while the program runs");
    count_long_words(foundation).await?;
    feed(&service, &mut lines, u64::MAX).await?;
    show(foundation, lines.read(), top_words).await
}

/// Sends this many lines, or all that are left, each when the one before it is counted.
async fn feed(service: &Via<Work>, lines: &mut Lines, many: u64) -> Result<(), BoxError> {
    for _ in 0..many {
        let Some(line) = lines.next().await? else { break };
        let counted = service.call(|reply| Work::Line(line, reply), LIMIT).await;
        counted.map_err(|error| format!("line {} was not counted: {error}", lines.read()))?;
    }
    println!("Lines sent so far: {}. The service is actor {}.", lines.read(), service.actor_ref()?.get_id());
    Ok(())
}

/// Changes a setting, and returns when the service has taken it up.
async fn count_long_words(foundation: &Foundation) -> Result<(), BoxError> {
    let mut taken_up = foundation.events().subscribe(SubscriptionSpec::from_now().kind(TAKEN_UP)).await?;
    let changed = foundation.config().update(MIN_LETTERS, 6).await?;
    let (old, new) = (&changed.change.old, &changed.change.new);
    if let Some(event) = changed.event {
        timeout(LIMIT, taken_up.next()).await??;
        println!("{MIN_LETTERS} was {old}, is {new}: recorded as event {event}, and taken up by the service.");
    } else {
        println!("{MIN_LETTERS} is {new} already.");
    }
    Ok(())
}

/// Shows the result, which is recorded as an event, and the operator's view.
async fn show(foundation: &Foundation, lines: u64, top_words: usize) -> Result<(), BoxError> {
    heading("The result");
    let tally = foundation.production().via(&LEDGER).call(LedgerMsg::Report, LIMIT).await?;
    let total: u64 = tally.values().sum();
    let result = json!({ "lines": lines, "words": total });
    foundation.events().append(NewEvent::new("file_counted")?.source("word_count").payload(result)?).await?;
    let mut words: Vec<_> = tally.iter().collect();
    words.sort_by(|(_, left), (_, right)| right.cmp(left));
    let mut table = Table::new(["word", "times"]);
    for (word, times) in words.iter().take(top_words) {
        table.row([word, times]);
    }
    print!("Lines: {lines}. Words in the ledger: {total}.\n\n{table}");

    heading("The services in their tree, and their health");
    println!("{}\n\n{}", foundation.tree().await, foundation.health().await);

    heading("The latest events");
    let mut table = Table::new(["id", "event", "source", "payload"]);
    for event in foundation.events().recent(10).await?.iter().rev() {
        table.row([&event.id, &event.kind, &event.service().unwrap_or("-"), &event.payload]);
    }
    print!("{table}");

    heading("Metrics of the word count");
    let mut table = Table::new(["metric", "kind", "value"]);
    for (name, reading) in foundation.telemetry().snapshot().iter().filter(|(name, _)| name.contains("word_count")) {
        table.row([&name, &reading.kind(), reading]);
    }
    print!("{table}");
    Ok(())
}
