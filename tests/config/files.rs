//! Configuration files that change while the program runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use foundation::config::{
    ChangeCause, ChangeNote, ConfigError, ConfigSources, ConfigUpdateError, ConfigWatch, ExposeSecret, SecretString,
    ValueOrigin,
};
use foundation::events::{EventStorage, MemoryLog, Query};
use foundation::health::Condition;
use foundation::{ConfigServer, EventStore, Foundation, FoundationBuilder, Services};
use foundation_testkit::{
    ErrorInjector, InjectedError, Pool, SOON, assert_error, error_text, first_event, nth_event, unregister_event_store,
    until,
};
use serde_json::json;

/// A configuration file, and a foundation that has read it.
struct Fixture {
    path: PathBuf,
    _directory: tempfile::TempDir,
    foundation: Foundation,
}

impl Fixture {
    async fn start(name: &str, content: &str, with: impl FnOnce(ConfigSources) -> ConfigSources) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        let foundation = Foundation::builder().config(with(Pool::sources().file(&path))).start().await.unwrap();
        Self { path, _directory: directory, foundation }
    }

    fn config(&self) -> &ConfigServer {
        self.foundation.config()
    }

    fn write(&self, content: &str) {
        std::fs::write(&self.path, content).unwrap();
    }

    /// As many editors do it: a new file replaces the old one.
    fn replace(&self, content: &str) {
        let new = self.path.with_extension("new");
        std::fs::write(&new, content).unwrap();
        std::fs::rename(&new, &self.path).unwrap();
    }
}

async fn recorded(services: &Services, kind: &str) -> Vec<serde_json::Value> {
    let events = services.events().query(Query::new().kind(kind.parse().unwrap())).await.unwrap();
    events.iter().map(|event| event.payload.clone()).collect()
}

#[tokio::test]
async fn a_reload_applies_all_of_the_changed_file_and_keeps_changes_at_run_time() {
    let fixture = Fixture::start("app.json", r#"{ "pool": { "max": 5 } }"#, |sources| sources).await;
    let config = fixture.config();
    config.update("server.port", 1).await.unwrap();
    let mut changes = config.subscribe_section::<Pool>().unwrap();
    fixture.write("{\n\"pool\": { \"min\": 6,\n\"max\": 7 }, \"server\": { \"port\": 2 } }");
    let commit = config.reload().await.unwrap();

    let pool = config.section::<Pool>().unwrap();
    assert_eq!((pool.min, pool.max, config.get::<u16>("server.port").unwrap()), (6, 7, 1));
    assert_eq!((commit.changes.len(), commit.generation, config.tree().generation()), (2, 3, 3));
    assert_eq!(config.origin("pool.max").unwrap(), ValueOrigin::File { path: fixture.path.clone(), line: 3 });
    assert_eq!(changes.next().await.unwrap().unwrap().new.max, 7);
    let payload = &recorded(fixture.foundation.production(), "config_reloaded").await[0];
    assert_eq!(payload["changes"][0], json!({ "path": "pool.max", "old": 5, "new": 7 }));
    let history = config.history("pool.max").await.unwrap();
    assert_eq!((history.len(), history[0].cause), (1, ChangeCause::Reload));
    config.reset("server.port").await.unwrap();
    assert_eq!(config.get::<u16>("server.port").unwrap(), 2);
    fixture.foundation.shutdown().await;
}

/// The next process, from the same file and the same events, has the final values of the one before.
#[tokio::test]
async fn changes_and_resets_at_run_time_are_the_same_in_the_next_process_whatever_the_file_contained_in_between() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.toml");
    let on = async || {
        let builder = Foundation::builder().config(Pool::sources().file(&path));
        builder.events(EventStorage::sqlite(directory.path())).start().await.unwrap()
    };
    let values = |foundation: &Foundation| {
        (foundation.config().section::<Pool>().unwrap().max, foundation.config().get::<u16>("server.port").unwrap())
    };
    std::fs::write(&path, "server.port = 8080\npool.max = 5").unwrap();
    let foundation = on().await;
    foundation.config().update("server.port", 9090).await.unwrap();
    foundation.config().update("pool.max", 6).await.unwrap();
    foundation.config().reset("pool.max").await.unwrap();
    for port in [9090, 7070] {
        std::fs::write(&path, format!("server.port = {port}\npool.max = 7")).unwrap();
        foundation.config().reload().await.unwrap();
    }
    assert_eq!(values(&foundation), (7, 9090));
    foundation.shutdown().await;

    let foundation = on().await;
    assert_eq!(values(&foundation), (7, 9090));
    // An override equal to the file's value can be dropped, and that is recorded.
    std::fs::write(&path, "server.port = 9090").unwrap();
    foundation.config().reload().await.unwrap();
    let reset = foundation.config().reset("server.port").await.unwrap();
    assert!(reset.event.is_some() && reset.change.reset);
    std::fs::write(&path, "server.port = 1").unwrap();
    foundation.config().reload().await.unwrap();
    assert_eq!(values(&foundation), (4, 1));
    foundation.shutdown().await;
    let foundation = on().await;
    assert_eq!(values(&foundation), (4, 1));
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_reload_too_large_for_one_event_is_recorded_in_several_and_counts_as_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.json");
    let content = |letter: &str| {
        let texts = (0..20).map(|number| (format!("text{number}"), letter.repeat(30_000)));
        json!({ "texts": texts.collect::<std::collections::BTreeMap<_, _>>() }).to_string()
    };
    std::fs::write(&path, content("a")).unwrap();
    let texts = || Pool::sources().file(&path).updatable("texts").unwrap();
    let events = || EventStorage::sqlite(directory.path());
    let foundation = Foundation::builder().config(texts()).events(events()).start().await.unwrap();
    let config = foundation.config();
    let mut changes = config.subscribe("texts.text7").unwrap();
    std::fs::write(&path, content("b")).unwrap();
    let commit = config.with_note(foundation::config::ChangeNote::by("alice")).reload().await.unwrap();
    assert_eq!((commit.changes.len(), commit.generation), (20, 2));
    assert_eq!(recorded(foundation.production(), "config_reloaded").await.len(), 2);
    assert_eq!(changes.next().await.unwrap().unwrap().event, commit.event);

    let history = config.history("texts").await.unwrap();
    assert_eq!(history.len(), 20);
    assert!(history.iter().all(|it| Some(it.event) == commit.event && it.note.author.as_deref() == Some("alice")));
    assert!(history.iter().all(|it| it.cause == ChangeCause::Reload));
    foundation.shutdown().await;
    let foundation = Foundation::builder().config(texts()).events(events()).start().await.unwrap();
    assert_eq!(foundation.config().history("texts").await.unwrap(), history);
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_reload_without_changes_records_nothing_and_knows_the_new_lines() {
    let fixture = Fixture::start("app.toml", "[pool]\nmax = 5\n", |sources| sources).await;
    fixture.write("# comment\n[pool]\nmax = 5\n");
    let commit = fixture.config().reload().await.unwrap();
    assert_eq!((commit.event, commit.generation), (None, 1));
    assert_eq!(fixture.config().origin("pool.max").unwrap(), ValueOrigin::File { path: fixture.path.clone(), line: 3 });
    fixture.foundation.shutdown().await;
}

#[tokio::test]
async fn an_invalid_reload_is_refused_and_recorded_and_changes_nothing() {
    let fixture = Fixture::start("app.toml", "pool.max = 5\n", |sources| sources).await;
    let config = fixture.config();
    let cases = [
        ("pool.max = ", "app.toml, line 1, column "),
        ("pool.max = 'many'", "config path pool.max wants integer, found string"),
        ("pool.max = 6\npool.min = 7", "config section pool is not valid: pool.max: lower than min"),
        ("pool.max = 6\npool.fixed = false", "config path pool.fixed may not change at run time; what may: "),
    ];
    for (content, expected) in cases {
        fixture.write(content);
        let text = error_text(config.reload().await);
        assert!(text.contains(expected), "{text}");
    }
    std::fs::remove_file(&fixture.path).unwrap();
    let error = config.reload().await.unwrap_err();
    assert!(matches!(error, ConfigUpdateError::Refused(ConfigError::MissingFile { .. })), "{error}");

    assert_eq!((config.section::<Pool>().unwrap().max, config.tree().generation()), (5, 1));
    let refusals = recorded(fixture.foundation.production(), "config_reload_refused").await;
    assert_eq!(refusals.len(), 5);
    assert!(refusals[1]["reason"].as_str().unwrap().contains("pool.max wants integer"));
    fixture.foundation.shutdown().await;
}

#[tokio::test]
async fn a_secret_changes_in_its_file_and_is_shown_nowhere() {
    let secret = |sources: ConfigSources| sources.updatable("api").unwrap().secret("api.key").unwrap();
    let fixture = Fixture::start("app.toml", "api.key = 'hunter2'\n", secret).await;
    let config = fixture.config();
    let mut changes = config.subscribe("api").unwrap();
    fixture.write("api.key = 'swordfish'\n");
    config.reload().await.unwrap();
    assert_eq!(config.get::<SecretString>("api.key").unwrap().expose_secret(), "swordfish");

    assert!(error_text(config.update("api.key", "correct horse").await).contains("api.key is a secret"));
    fixture.write("api.key = 901255504711\n");
    let refused =
        error_text(config.reload().await.map(|_| ()).and_then(|()| Ok(config.get::<String>("api.key").map(drop)?)));
    let events = fixture.foundation.events().query(Query::new()).await.unwrap();
    let shown = format!(
        "{events:?} {:?} {:?} {refused} {} {config:?}",
        changes.next().await,
        config.tree(),
        config.tree().export()
    );
    for secret in ["hunter2", "swordfish", "correct horse", "901255504711"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    assert!(shown.contains("[redacted]"));
    fixture.foundation.shutdown().await;
}

#[tokio::test]
async fn a_watched_file_is_reloaded_when_it_is_written_or_replaced_and_refused_when_it_is_invalid() {
    let quiet = Duration::from_millis(20);
    let fixture = Fixture::start("app.yaml", "pool:\n  max: 5\n", |sources| sources.watch(quiet)).await;
    let mut changes = fixture.config().subscribe_section::<Pool>().unwrap();
    // A file that is written in place may be read while it is still empty.
    let until = async |changes: &mut foundation::config::SectionSubscription<Pool>, max: u32| {
        let changed = async { while changes.next().await.unwrap().unwrap().new.max != max {} };
        tokio::time::timeout(SOON, changed).await.unwrap();
    };
    fixture.write("pool:\n  max: 6\n");
    until(&mut changes, 6).await;
    fixture.replace("pool:\n  max: 7\n");
    until(&mut changes, 7).await;

    fixture.write("pool:\n  max: [\n");
    first_event(fixture.foundation.events(), "config_reload_refused").await;
    assert_eq!(fixture.config().section::<Pool>().unwrap().max, 7);

    // A restarted server watches, too.
    let server = fixture.foundation.production().registry().lookup_any(&ConfigServer::NAME).unwrap();
    server.cell().kill_and_wait(None).await.unwrap();
    fixture.config().wait_until_up(SOON).await.unwrap();
    fixture.replace("pool:\n  max: 8\n");
    until(&mut changes, 8).await;
    fixture.foundation.shutdown().await;
}

/// A folder for the test, and a foundation that watches a file somewhere in it.
struct Watched {
    root: tempfile::TempDir,
    foundation: Foundation,
    changes: foundation::config::SectionSubscription<Pool>,
}

impl Watched {
    /// Prepares the folder, in which the file is, or will be, at `file`.
    async fn start(file: &str, prepare: impl FnOnce(&Path)) -> Self {
        Self::start_with(file, prepare, |builder, _| builder).await
    }

    async fn start_with(
        file: &str,
        prepare: impl FnOnce(&Path),
        with: impl FnOnce(FoundationBuilder, &Path) -> FoundationBuilder,
    ) -> Self {
        let root = tempfile::tempdir().unwrap();
        prepare(root.path());
        // So seldom that every change seen in time was reported by the operating system.
        let sources =
            Pool::sources().optional_file(root.path().join(file)).watch(Duration::from_millis(20)).poll(10 * SOON);
        let foundation = with(Foundation::builder().config(sources), root.path()).start().await.unwrap();
        let changes = foundation.config().subscribe_section::<Pool>().unwrap();
        let watched = Self { root, foundation, changes };
        watched.until_watched().await;
        watched
    }

    async fn until_watched(&self) {
        let watched = until("the file is watched", async || {
            self.foundation.config().status().await.unwrap().watch == ConfigWatch::Watched
        });
        tokio::time::timeout(SOON, watched).await.expect("the file is watched");
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    async fn until(&mut self, max: u32) {
        let changed = async { while self.changes.next().await.unwrap().unwrap().new.max != max {} };
        tokio::time::timeout(SOON, changed).await.unwrap_or_else(|_| panic!("pool.max = {max} was not seen"));
    }

    async fn refusals(&self) -> usize {
        recorded(self.foundation.production(), "config_reload_refused").await.len()
    }
}

/// Writes the whole file in one step.
fn put(path: impl AsRef<Path>, max: &str) {
    let new = path.as_ref().with_extension("put");
    std::fs::write(&new, format!("pool.max = {max}\n")).unwrap();
    std::fs::rename(&new, path).unwrap();
}

#[cfg(unix)]
fn link(target: impl AsRef<Path>, path: &Path) {
    let new = path.parent().unwrap().join("new-link");
    std::os::unix::fs::symlink(target, &new).unwrap();
    std::fs::rename(&new, path).unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_a_link_is_watched_where_it_points_and_so_is_the_link() {
    let mut watched = Watched::start("a/app.toml", |root| {
        ["a", "b", "c"].iter().for_each(|folder| std::fs::create_dir(root.join(folder)).unwrap());
        put(root.join("b/real.toml"), "5");
        link("../b/real.toml", &root.join("a/app.toml"));
    })
    .await;
    put(watched.at("b/real.toml"), "6");
    watched.until(6).await;
    std::fs::write(watched.at("b/real.toml"), "pool.max = 7").unwrap();
    watched.until(7).await;
    put(watched.at("c/other.toml"), "8");
    link(watched.at("c/other.toml"), &watched.at("a/app.toml"));
    watched.until(8).await;
    put(watched.at("c/other.toml"), "9");
    watched.until(9).await;
    watched.foundation.shutdown().await;
}

/// As Kubernetes mounts them: a link to the folder of the present revision is replaced, and the old one removed.
#[cfg(unix)]
#[tokio::test]
async fn a_revision_that_replaces_another_by_a_link_is_loaded_each_time() {
    let revision = |root: &Path, number: u32| {
        let folder = root.join(format!("conf/..{number}"));
        std::fs::create_dir(&folder).unwrap();
        put(folder.join("app.toml"), &number.to_string());
        link(format!("..{number}"), &root.join("conf/..data"));
        let _ = std::fs::remove_dir_all(root.join(format!("conf/..{}", number - 1)));
    };
    let mut watched = Watched::start("conf/app.toml", |root| {
        std::fs::create_dir(root.join("conf")).unwrap();
        revision(root, 5);
        link("..data/app.toml", &root.join("conf/app.toml"));
    })
    .await;
    for number in 6..12 {
        revision(watched.root.path(), number);
        watched.until(number).await;
    }
    watched.foundation.shutdown().await;
}

#[tokio::test]
async fn a_folder_stays_watched_when_it_is_removed_and_made_again_or_renamed_or_replaced() {
    let mut watched = Watched::start("deep/conf/app.toml", |root| {
        std::fs::create_dir_all(root.join("deep/conf")).unwrap();
        put(root.join("deep/conf/app.toml"), "5");
    })
    .await;
    let mut next = 6;
    for _ in 0..3 {
        std::fs::remove_dir_all(watched.at("deep/conf")).unwrap();
        std::fs::create_dir(watched.at("deep/conf")).unwrap();
        put(watched.at("deep/conf/app.toml"), &next.to_string());
        watched.until(next).await;
        // In the folder that exists now.
        put(watched.at("deep/conf/app.toml"), &(next + 1).to_string());
        watched.until(next + 1).await;

        std::fs::create_dir_all(watched.at("new/conf")).unwrap();
        put(watched.at("new/conf/app.toml"), &(next + 2).to_string());
        std::fs::rename(watched.at("deep"), watched.at("old")).unwrap();
        std::fs::rename(watched.at("new"), watched.at("deep")).unwrap();
        watched.until(next + 2).await;
        // Changes in the folder that was moved away do not matter.
        put(watched.at("old/conf/app.toml"), "1000");
        put(watched.at("deep/conf/app.toml"), &(next + 3).to_string());
        watched.until(next + 3).await;
        std::fs::remove_dir_all(watched.at("old")).unwrap();
        next += 4;
    }
    watched.foundation.shutdown().await;
}

#[tokio::test]
async fn an_optional_file_in_a_missing_folder_is_loaded_when_it_appears_and_dropped_when_it_is_removed() {
    let mut watched = Watched::start("conf/more/app.toml", |_| ()).await;
    std::fs::create_dir(watched.at("conf")).unwrap();
    std::fs::create_dir(watched.at("conf/more")).unwrap();
    put(watched.at("conf/more/app.toml"), "6");
    watched.until(6).await;
    std::fs::remove_dir_all(watched.at("conf")).unwrap();
    watched.until(4).await;
    std::fs::create_dir_all(watched.at("elsewhere/more")).unwrap();
    put(watched.at("elsewhere/more/app.toml"), "7");
    std::fs::rename(watched.at("elsewhere"), watched.at("conf")).unwrap();
    watched.until(7).await;
    watched.foundation.shutdown().await;
}

/// The events of the refusals themselves are written into the folder that is watched.
#[tokio::test]
async fn an_invalid_file_is_refused_once_whatever_else_is_written_in_its_folder() {
    let on_files = |builder: FoundationBuilder, root: &Path| builder.events(EventStorage::sqlite(root));
    let prepare = |root: &Path| put(root.join("app.toml"), "5");
    let mut watched = Watched::start_with("app.toml", prepare, on_files).await;
    for round in 1..4 {
        put(watched.at("app.toml"), "[");
        nth_event(watched.foundation.events(), "config_reload_refused", round).await;
        for number in 0..50 {
            std::fs::write(watched.at("app.log"), format!("line {number}")).unwrap();
            watched.foundation.events().append(foundation::NewEvent::new("noted").unwrap()).await.unwrap();
        }
        // Writing the same content again is no change.
        put(watched.at("app.toml"), "[");
        put(watched.at("app.toml"), &(5 + round).to_string());
        watched.until((5 + round).try_into().unwrap()).await;
        assert_eq!(watched.refusals().await, round);
    }
    watched.foundation.shutdown().await;
}

/// A namespace begins with the values that the foundation has loaded, however long ago.
#[tokio::test]
async fn a_file_that_changed_between_its_loading_and_the_start_of_a_namespace_is_loaded_by_it() {
    let quiet = Duration::from_millis(20);
    let fixture = Fixture::start("app.toml", "pool.max = 5", |sources| sources.watch(quiet)).await;
    fixture.replace("pool.max = 6");
    let namespace = fixture.foundation.test_namespace().await.unwrap();
    let mut changes = namespace.config().subscribe_section::<Pool>().unwrap();
    if namespace.config().section::<Pool>().unwrap().max != 6 {
        let changed = async { while changes.next().await.unwrap().unwrap().new.max != 6 {} };
        tokio::time::timeout(SOON, changed).await.unwrap();
    }
    namespace.cleanup().await.unwrap();
    fixture.foundation.shutdown().await;
}

/// A change that cannot be recorded for a while is not lost.
#[tokio::test]
async fn a_change_of_a_file_that_cannot_be_recorded_is_made_when_the_event_store_is_back() {
    let quiet = Duration::from_millis(20);
    let fixture = Fixture::start("app.toml", "pool.max = 5", |sources| sources.watch(quiet).poll(quiet)).await;
    let mut changes = fixture.config().subscribe_section::<Pool>().unwrap();
    let production = fixture.foundation.production();
    let store = production.registry().lookup_any(&EventStore::NAME).unwrap();
    unregister_event_store(production);
    fixture.replace("pool.max = 6");
    let refused = async {
        let counted = async || {
            let snapshot = fixture.foundation.telemetry().snapshot();
            snapshot.counter("config.updates_refused").is_some()
        };
        until("the refusal is counted", counted).await;
    };
    tokio::time::timeout(SOON, refused).await.unwrap();
    assert_eq!(fixture.config().section::<Pool>().unwrap().max, 5);

    store.cell().kill();
    fixture.foundation.events().wait_until_up(SOON).await.unwrap();
    let changed = async { while changes.next().await.unwrap().unwrap().new.max != 6 {} };
    tokio::time::timeout(SOON, changed).await.unwrap();
    // The repeated failure was recorded once at most: it could not be.
    assert_eq!(recorded(production, "config_reload_refused").await.len(), 0);
    fixture.foundation.shutdown().await;
}

#[tokio::test]
async fn a_reload_that_fails_for_another_reason_than_the_files_is_not_recorded_as_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.toml");
    std::fs::write(&path, "pool.max = 5").unwrap();
    let (log, errors) = (
        MemoryLog::new("production"),
        ErrorInjector::new(|commit| (commit == 1).then_some(InjectedError::BeforeCommit)),
    );
    let storage = EventStorage::with(move |_| Ok(errors.of(log.clone())));
    let foundation = Foundation::builder().config(Pool::sources().file(&path)).events(storage).start().await.unwrap();
    let config = foundation.config();
    std::fs::write(&path, "pool.max = 6").unwrap();

    assert_error!(config.reload().await, ConfigUpdateError::NotRecorded(_));
    foundation.events().wait_until_up(SOON).await.unwrap();
    let endless = config.with_note(ChangeNote::by("x".repeat(1_000)));
    assert_error!(endless.reload().await, ConfigUpdateError::Refused(_));
    config.reload().await.unwrap();

    assert_eq!(recorded(foundation.production(), "config_reload_refused").await.len(), 0);
    assert_eq!(recorded(foundation.production(), "config_reloaded").await.len(), 1);
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_watched_is_no_error() {
    let sources = Pool::sources().optional_file("/no/such/folder/app.toml").watch(Duration::from_millis(20));
    let foundation = Foundation::builder().config(sources).start().await.unwrap();
    foundation.config().update("pool.max", 9).await.unwrap();
    foundation.shutdown().await;
}

// ---- failures of watching ----

#[cfg(target_os = "linux")]
const WITHOUT_DESCRIPTORS: &str = "FOUNDATION_TESTS_WITHOUT_DESCRIPTORS";

/// Leaves a process two file descriptors: enough to read a file, and too few to watch one.
#[cfg(target_os = "linux")]
fn take_descriptors() -> Vec<std::fs::File> {
    let mut taken: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    taken.truncate(taken.len() - 2);
    taken
}

/// Runs in the other process; does nothing unless its environment selects it.
#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "runs in a process of its own, started by the test below"]
async fn another_process() {
    if std::env::var(WITHOUT_DESCRIPTORS).is_err() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    put(root.path().join("app.toml"), "5");
    let taken = take_descriptors();
    let quiet = Duration::from_millis(5);
    let sources = Pool::sources().file(root.path().join("app.toml")).watch(quiet).poll(quiet);
    let foundation = Foundation::builder().config(sources).start().await.unwrap();
    let until = async |is_so: fn(&ConfigWatch) -> bool| {
        until("the watch", async || is_so(&foundation.config().status().await.unwrap().watch)).await;
    };
    until(|watch| matches!(watch, ConfigWatch::Polled { .. })).await;
    let health = foundation.health().await;
    let server = health.services.iter().find(|service| service.name == "config_server").unwrap();
    assert_eq!((server.condition(), health.condition()), (Condition::Degraded, Condition::Degraded));
    println!("{health}");
    drop(taken);
    until(|watch| *watch == ConfigWatch::Watched).await;
    assert!(foundation.health().await.is_healthy());
    foundation.shutdown().await;
    println!("watched again");
}

/// Descriptors are shared by the whole process.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn files_that_cannot_be_watched_degrade_the_health_with_the_cause_until_they_can() {
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", r#"ulimit -n 64 && exec "$0" "$@""#]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "files::another_process", "--ignored", "--nocapture", "--test-threads=1"]);
    let run = command.env(WITHOUT_DESCRIPTORS, "yes").kill_on_drop(true).output();
    let output = tokio::time::timeout(SOON, run).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        text.contains("degraded: the files are looked at every 5ms only, since ") && text.contains("os error 24"),
        "{text}"
    );
    assert!(text.contains("watched again"), "{text}");
}
