//! Files that were tampered with: those of the configuration, and those of the events.

use foundation::events::{EventLog, Query, SqliteLog, SqliteOptions};
use foundation::{Foundation, Namespace, NewEvent};
use foundation_testkit::hostile::{TEXTS, readable};
use foundation_testkit::{Pool, error_text};

/// Contents that are no configuration, each with the extension of its file and the error text.
fn contents() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("toml", text("pool.max = 5\n\"'; DROP\" = 1\n"), "is no config path"),
        ("toml", text("\"a\\u001b[31m\" = 1\n"), "is no config path"),
        ("toml", text("\"../../etc\" = 1\n"), "is no config path"),
        ("toml", text("pool.max = 5\npool.max = 6\n"), "line 2"),
        ("toml", text("pool.max = 5\u{0}\n"), "line 1"),
        ("toml", text("pool.max = 5\n\u{1b}[31m = 6\n"), "line 2"),
        ("toml", text("pool.min = 99999999999999999999\n"), ""),
        ("toml", text("pool.min = -1\n"), ""),
        ("toml", text("pool.max = nan\n"), ""),
        ("toml", text(&format!("a = {}", "[".repeat(100_000))), ""),
        ("toml", text(&format!("{} = 1", "a.".repeat(100_000))), ""),
        ("toml", text(&format!("[{}]", "x".repeat(100_000))), ""),
        ("toml", vec![b'#'; (1 << 20) + 1], "has more bytes, and at most 1048576 are allowed"),
        ("toml", vec![b'a', b'=', 0xff, 0xfe], "this is not UTF-8 text"),
        ("json", text("{\"pool\": {\"max\": 5}, \"pool\": {\"max\": 6}}"), ""),
        ("json", text(&"[".repeat(100_000)), ""),
        ("json", text(&"{\"a\":".repeat(100_000)), ""),
        ("json", text("{\"a\\u0000b\": 1}"), "is no config path"),
        ("json", text("{\"pool\": null, \"max\": \"\u{1b}"), ""),
        ("json", text("{\"__proto__\": {\"max\": 5}}"), "is no config path"),
        ("json", text("[1, 2]"), ""),
        ("json", text(""), ""),
    ]
}

#[tokio::test]
async fn a_file_that_was_tampered_with_is_refused_in_one_short_line_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for ending in ["toml", "json"] {
        let file = directory.path().join(format!("app.{ending}"));
        let good = if ending == "toml" { "pool.max = 7\n" } else { "{\"pool\": {\"max\": 7}}" };
        std::fs::write(&file, good).unwrap();
        let foundation = Foundation::builder().config(Pool::sources().file(&file)).start().await.unwrap();
        let mut refused = 0;
        for (_, content, expected) in contents().into_iter().filter(|(of, ..)| *of == ending) {
            std::fs::write(&file, &content).unwrap();
            let message = readable(foundation.config().reload().await.unwrap_err());
            assert!(message.contains(expected), "{message}");
            let started = error_text(Foundation::builder().config(Pool::sources().file(&file)).start().await);
            assert_eq!(started, format!("the configuration cannot be loaded: {message}"));
            refused += 1;
        }
        assert_eq!(
            (foundation.config().section::<Pool>().unwrap().max, foundation.config().tree().generation()),
            (7, 1)
        );
        let kind = "config_reload_refused".parse().unwrap();
        assert_eq!(foundation.events().query(Query::new().kind(kind)).await.unwrap().len(), refused);
        std::fs::write(&file, good.replace('7', "8")).unwrap();
        foundation.config().reload().await.unwrap();
        assert_eq!(foundation.config().section::<Pool>().unwrap().max, 8);
        foundation.shutdown().await;
    }
}

#[test]
fn names_of_files_are_reported_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    // Joined to a directory, a path that begins with a slash would leave it.
    for name in TEXTS.map(|name| name.trim_start_matches('/')).into_iter().filter(|name| !name.is_empty()) {
        let path = directory.path().join("missing").join(name);
        let error = Pool::sources().file(path.join("app.toml")).load().unwrap_err();
        readable(error);
        std::fs::write(directory.path().join("file"), "no database").unwrap();
        let path = directory.path().join("file").join(name).join("events.db");
        readable(SqliteLog::open(path, "production", SqliteOptions::default()).unwrap_err());
    }
    readable(Pool::sources().file("app\u{1b}.toml\0").load().unwrap_err());
    readable(SqliteLog::open("events\0.db", "production", SqliteOptions::default()).unwrap_err());
}

#[test]
fn events_stay_in_the_directory_that_they_were_given() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("events");
    for namespace in [Namespace::Production, Namespace::test()] {
        let log = SqliteLog::open_in(&inner, namespace, SqliteOptions::default()).unwrap();
        assert_eq!(log.path().parent().unwrap(), inner.canonicalize().unwrap());
        // Another namespace's name for the same file is refused, and the error names the file's own namespace.
        let path = log.path().to_owned();
        drop(log);
        for text in TEXTS {
            let message = readable(SqliteLog::open(&path, text, SqliteOptions::default()).unwrap_err());
            assert!(
                message.contains(&format!("it keeps the events of namespace {:?}", namespace.to_string())),
                "{message}"
            );
        }
    }
    let names: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["events"]);
}

#[test]
fn a_log_of_a_hostile_namespace_is_its_own() {
    let directory = tempfile::tempdir().unwrap();
    for (number, namespace) in TEXTS.into_iter().enumerate() {
        let path = directory.path().join(format!("{number}.db"));
        for round in 1..3 {
            let mut log = SqliteLog::open(&path, namespace, SqliteOptions::default()).unwrap();
            let batch = vec![NewEvent::new("noted").unwrap()];
            let answers =
                log.commit(vec![foundation::events::Append::new(batch)], std::time::SystemTime::now()).unwrap();
            assert_eq!(answers[0].as_ref().unwrap().events[0].namespace, namespace);
            assert_eq!(log.reader().unwrap().stats().unwrap().held, round);
        }
    }
}
