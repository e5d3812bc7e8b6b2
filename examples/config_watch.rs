//! A configuration file that is edited while the program runs: a valid edit is taken as a whole, an invalid one is
//! refused.
//!
//! ```text
//! cargo run --example config_watch [FILE]
//! ```
//!
//! Without an argument the program writes a file of its own, edits it, and ends. With one, a TOML, YAML or JSON file
//! with a section `http`, it watches that file until Ctrl-C: edit it with any editor and see what happens.
//!
//! What to notice: the section has a type and rules of its own, and no configuration that breaks them is ever in force.
//! The last good one stays, and an event says what was wrong. Values set at run time lie over the file, and a secret is
//! never shown.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use foundation::config::{ChangeNote, ConfigSection, ConfigSources, ExposeSecret, SecretString, SectionSubscription};
use foundation::events::{EventKind, EventSubscription, SubscriptionSpec};
use foundation::{Foundation, ShutdownReport};
use foundation_examples::{BoxError, Table, exit, heading, print_settings, shut_down};
use garde::Validate;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

/// How long the file must be unchanged before it is read.
const QUIET: Duration = Duration::from_millis(100);
/// How long an edit may take to be seen.
const LIMIT: Duration = Duration::from_secs(30);
/// The event kind of an edit that is refused.
const REFUSED: EventKind = EventKind::from_static("config_reload_refused");

/// The section `http`.
#[derive(Debug, Deserialize, Validate)]
#[garde(allow_unvalidated)]
struct Http {
    #[garde(length(min = 1))]
    greeting: String,
    #[garde(range(min = 1, max = 1_000))]
    workers: u16,
    token: SecretString,
}

impl ConfigSection for Http {
    const PATH: &'static str = "http";
    const UPDATABLE: &'static [&'static str] = &["*"];
    const SECRETS: &'static [&'static str] = &["token"];

    fn defaults() -> Value {
        json!({ "greeting": "hello", "workers": 4, "token": "changeme" })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    exit(run(std::env::args_os().nth(1).map(PathBuf::from)).await)
}

async fn run(file: Option<PathBuf>) -> Result<ShutdownReport, BoxError> {
    match file {
        Some(file) => watch(&file).await,
        None => {
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("http.toml");
            std::fs::write(&file, "[http]\nworkers = 8\ntoken = 'first secret'\n")?;
            edit_and_watch(&file).await
        }
    }
}

async fn start(file: &Path) -> Result<Foundation, BoxError> {
    let sources =
        ConfigSources::new().section::<Http>()?.file(file).watch(QUIET).process_environment("config-watch")?;
    let foundation = Foundation::builder().config(sources).start().await?;
    heading(format!("Watching {}", file.display()));
    let http = foundation.config().section::<Http>()?;
    println!("  {http:?}");
    println!("  the token is there, with {} letters, and shows nowhere", http.token.expose_secret().len());
    Ok(foundation)
}

// ---- a file of the user's ----

async fn watch(file: &Path) -> Result<ShutdownReport, BoxError> {
    let foundation = start(file).await?;
    let mut changes = foundation.config().subscribe_section::<Http>()?;
    let printing = async {
        while let Some(changed) = changes.next().await? {
            println!("  generation {} ({}): {:?}", changed.generation, changed.note, changed.new);
        }
        Ok::<(), BoxError>(())
    };
    // The subscription ends with its namespace; the report comes after that.
    let stopped = foundation.run_until_signal();
    let (_, report) = tokio::try_join!(printing, async { Ok(stopped.await?) })?;
    println!("{report}");
    Ok(report)
}

// ---- a file of our own ----

async fn edit_and_watch(file: &Path) -> Result<ShutdownReport, BoxError> {
    let foundation = start(file).await?;
    let outcome = edit(&foundation, file).await;
    shut_down(&foundation, outcome).await
}

async fn edit(foundation: &Foundation, file: &Path) -> Result<(), BoxError> {
    let config = foundation.config();
    let mut changes = config.subscribe_section::<Http>()?;
    let mut refusals = foundation.events().subscribe(SubscriptionSpec::from_now().kind(REFUSED)).await?;

    heading("An edit: taken as a whole");
    save(file, "[http]\ngreeting = 'good morning'\nworkers = 16\ntoken = 'second secret'\n")?;
    show(&mut changes).await?;

    heading("A broken edit: refused, with the place, and the last good one stays");
    save(file, "[http]\ngreeting = 'good night\n")?;
    println!("  {}", refusal(&mut refusals).await?);
    println!("  still: {:?}", config.section::<Http>()?);

    heading("An edit that breaks a rule of the section: refused, too");
    save(file, "[http]\ngreeting = 'good night'\nworkers = 0\n")?;
    println!("  {}", refusal(&mut refusals).await?);

    heading("A change at run time, with an author and a reason");
    let alice = config.with_note(ChangeNote::by("alice").because("the queue is long"));
    alice.update("http.workers", 32).await?;
    show(&mut changes).await?;

    heading("The next edit: what was set at run time stays over it");
    save(file, "[http]\ngreeting = 'good evening'\nworkers = 1\n")?;
    show(&mut changes).await?;

    heading("What was recorded");
    let mut table = Table::new(["event", "setting", "old", "new", "why"]);
    for record in config.history("http").await? {
        let change = &record.change;
        table.row([&record.event, &change.path, &change.old, &change.new, &record.note]);
    }
    print!("{table}");

    heading("Where each value comes from");
    print_settings(config);
    Ok(())
}

async fn show(changes: &mut SectionSubscription<Http>) -> Result<(), BoxError> {
    let changed = timeout(LIMIT, changes.next()).await??.ok_or("the configuration has ended")?;
    println!("  before: {:?}", changed.old);
    println!("  after:  {:?}", changed.new);
    Ok(())
}

/// The reason of the next refusal, as soon as it is recorded; content that is read twice is refused once.
async fn refusal(refusals: &mut EventSubscription) -> Result<String, BoxError> {
    let event = timeout(LIMIT, refusals.next()).await??.ok_or("the events have ended")?;
    Ok(event.payload["reason"].as_str().ok_or("a refusal has a reason")?.to_owned())
}

/// As many editors do it: a new file replaces the old one, so that no reader sees half of it.
fn save(file: &Path, text: &str) -> Result<(), BoxError> {
    let new = file.with_extension("new");
    std::fs::write(&new, text)?;
    Ok(std::fs::rename(&new, file)?)
}
