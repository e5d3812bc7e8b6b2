//! Configuration files that change while the program runs.

use std::path::PathBuf;
use std::time::Duration;

use foundation::{
    ChangeCause, ConfigError, ConfigServer, ConfigSources, ConfigUpdateError, EventStorage, ExposeSecret, Foundation,
    Origin, Query, SecretString, Services,
};
use serde_json::json;

use super::config_sections::{Pool, sources};
use super::support::{SOON, text};

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
        let foundation = Foundation::builder().config(with(sources().file(&path))).start().await.unwrap();
        Self { path, _directory: directory, foundation }
    }

    fn config(&self) -> &ConfigServer {
        self.foundation.config()
    }

    fn write(&self, content: &str) {
        std::fs::write(&self.path, content).unwrap();
    }

    /// As many editors do it: a new file takes the place of the old one.
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
async fn a_reload_takes_all_of_the_changed_file_and_keeps_what_was_set_at_run_time() {
    let fixture = Fixture::start("app.json", r#"{ "pool": { "max": 5 } }"#, |sources| sources).await;
    let config = fixture.config();
    config.update("server.port", 1).await.unwrap();
    let mut changes = config.subscribe_section::<Pool>().unwrap();
    fixture.write("{\n\"pool\": { \"min\": 6,\n\"max\": 7 }, \"server\": { \"port\": 2 } }");
    let commit = config.reload().await.unwrap();

    let pool = config.section::<Pool>().unwrap();
    assert_eq!((pool.min, pool.max, config.get::<u16>("server.port").unwrap()), (6, 7, 1));
    assert_eq!((commit.changes.len(), commit.generation, config.tree().generation()), (2, 3, 3));
    assert_eq!(config.origin("pool.max").unwrap(), Origin::File { path: fixture.path.clone(), line: 3 });
    assert_eq!(changes.next().await.unwrap().unwrap().new.max, 7);
    let payload = &recorded(fixture.foundation.production(), "config_reloaded").await[0];
    assert_eq!(payload["changes"][0], json!({ "path": "pool.max", "old": 5, "new": 7 }));
    let history = config.history("pool.max").await.unwrap();
    assert_eq!((history.len(), history[0].cause), (1, ChangeCause::Reload));
    config.reset("server.port").await.unwrap();
    assert_eq!(config.get::<u16>("server.port").unwrap(), 2);
    fixture.foundation.shutdown().await;
}

/// The next process, from the same file and the same events, has the values that the one before had at its end.
#[tokio::test]
async fn what_was_set_and_reset_at_run_time_is_the_same_in_the_next_process_whatever_the_file_said_in_between() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.toml");
    let on = async || {
        let builder = Foundation::builder().config(sources().file(&path));
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
    // An override that says what the file says can be dropped, and that is recorded.
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
async fn a_reload_of_more_than_one_event_takes_is_recorded_in_several_and_counts_as_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.json");
    let content = |letter: &str| {
        let texts = (0..20).map(|number| (format!("text{number}"), letter.repeat(30_000)));
        json!({ "texts": texts.collect::<std::collections::BTreeMap<_, _>>() }).to_string()
    };
    std::fs::write(&path, content("a")).unwrap();
    let sources = || sources().file(&path).updatable("texts").unwrap();
    let events = || EventStorage::sqlite(directory.path());
    let foundation = Foundation::builder().config(sources()).events(events()).start().await.unwrap();
    let config = foundation.config();
    let mut changes = config.subscribe("texts.text7").unwrap();
    std::fs::write(&path, content("b")).unwrap();
    let commit = config.with_note(foundation::ChangeNote::by("alice")).reload().await.unwrap();
    assert_eq!((commit.changes.len(), commit.generation), (20, 2));
    assert_eq!(recorded(foundation.production(), "config_reloaded").await.len(), 2);
    assert_eq!(changes.next().await.unwrap().unwrap().event, commit.event);

    let history = config.history("texts").await.unwrap();
    assert_eq!(history.len(), 20);
    assert!(history.iter().all(|it| Some(it.event) == commit.event && it.note.author.as_deref() == Some("alice")));
    assert!(history.iter().all(|it| it.cause == ChangeCause::Reload));
    foundation.shutdown().await;
    let foundation = Foundation::builder().config(sources()).events(events()).start().await.unwrap();
    assert_eq!(foundation.config().history("texts").await.unwrap(), history);
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_reload_of_what_is_the_same_records_nothing_and_still_knows_the_new_lines() {
    let fixture = Fixture::start("app.toml", "[pool]\nmax = 5\n", |sources| sources).await;
    fixture.write("# comment\n[pool]\nmax = 5\n");
    let commit = fixture.config().reload().await.unwrap();
    assert_eq!((commit.event, commit.generation), (None, 1));
    assert_eq!(fixture.config().origin("pool.max").unwrap(), Origin::File { path: fixture.path.clone(), line: 3 });
    fixture.foundation.shutdown().await;
}

#[tokio::test]
async fn a_reload_that_is_wrong_in_any_way_is_refused_and_recorded_and_everything_stays() {
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
        let said = text(config.reload().await);
        assert!(said.contains(expected), "{said}");
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
async fn a_secret_changes_in_its_file_and_shows_nowhere() {
    let secret = |sources: ConfigSources| sources.updatable("api").unwrap().secret("api.key").unwrap();
    let fixture = Fixture::start("app.toml", "api.key = 'hunter2'\n", secret).await;
    let config = fixture.config();
    let mut changes = config.subscribe("api").unwrap();
    fixture.write("api.key = 'swordfish'\n");
    config.reload().await.unwrap();
    assert_eq!(config.get::<SecretString>("api.key").unwrap().expose_secret(), "swordfish");

    assert!(text(config.update("api.key", "correct horse").await).contains("api.key is a secret"));
    fixture.write("api.key = 901255504711\n");
    let refused = text(config.reload().await.map(|_| ()).and_then(|()| Ok(config.get::<String>("api.key").map(drop)?)));
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
async fn a_watched_file_is_taken_when_it_is_written_or_replaced_and_refused_when_it_is_broken() {
    let quiet = Duration::from_millis(20);
    let fixture = Fixture::start("app.yaml", "pool:\n  max: 5\n", |sources| sources.watch(quiet)).await;
    let mut changes = fixture.config().subscribe_section::<Pool>().unwrap();
    // A file that is written in place may be seen when it is still empty.
    let until = async |changes: &mut foundation::SectionSubscription<Pool>, max: u32| {
        let heard = async { while changes.next().await.unwrap().unwrap().new.max != max {} };
        tokio::time::timeout(SOON, heard).await.unwrap();
    };
    fixture.write("pool:\n  max: 6\n");
    until(&mut changes, 6).await;
    fixture.replace("pool:\n  max: 7\n");
    until(&mut changes, 7).await;

    fixture.write("pool:\n  max: [\n");
    while recorded(fixture.foundation.production(), "config_reload_refused").await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.config().section::<Pool>().unwrap().max, 7);

    // A restarted server watches, too.
    let server = fixture.foundation.registry().get_all_services(fixture.foundation.production().namespace());
    let actor = server[&ConfigServer::NAME].clone();
    actor.kill();
    actor.wait(None).await.unwrap();
    fixture.config().wait_until_up(SOON).await.unwrap();
    fixture.replace("pool:\n  max: 8\n");
    until(&mut changes, 8).await;
    fixture.foundation.shutdown().await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_watched_is_no_error() {
    let sources = sources().optional_file("/no/such/folder/app.toml").watch(Duration::from_millis(20));
    let foundation = Foundation::builder().config(sources).start().await.unwrap();
    foundation.config().update("pool.max", 9).await.unwrap();
    foundation.shutdown().await;
}
