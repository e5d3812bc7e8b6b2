//! Paths, values and notes of changes at run time, and the layers below.

use foundation::config::{ChangeNote, ConfigError, ConfigSources, ConfigUpdateError};
use foundation::{ConfigServer, Foundation, FoundationBuilder, Services, TestNamespace};
use foundation_testkit::hostile::{TEXTS, long, nested, readable};
use foundation_testkit::{assert_error, crash, error_text, settings};
use serde_json::json;

fn configured() -> FoundationBuilder {
    let parts: serde_json::Map<_, _> = (0..20).map(|number| (format!("part{number}"), json!(""))).collect();
    let free = json!({ "motd": "hello", "free": null, "parts": parts });
    let free = settings().defaults(free).unwrap();
    let free = ["motd", "free", "parts"].into_iter().fold(free, |sources, path| sources.updatable(path).unwrap());
    Foundation::builder().config(free)
}

/// Nothing was changed and nothing recorded, and valid requests still work.
async fn assert_untouched(services: &Services) {
    let config = services.config();
    let status = config.status().await.unwrap();
    assert_eq!((status.generation, status.overrides), (1, 0));
    assert_eq!(services.events().stats().await.unwrap().recorded, 0);
    config.update("server.port", 1).await.unwrap();
    assert_eq!((config.get("server.port"), config.tree().generation()), (Ok(1), 2));
}

#[foundation::test(builder = configured())]
async fn an_invalid_path_is_refused_by_every_method_in_one_short_line(namespace: TestNamespace) {
    let config = namespace.config();
    let (long, deep) = (long(), "a.".repeat(100_000));
    for path in TEXTS.into_iter().chain([&*long, &*deep, "server..port", ".server", "server.", "Server"]) {
        let refused: [ConfigUpdateError; 7] = [
            config.update(path, 1).await.unwrap_err(),
            config.reset(path).await.unwrap_err(),
            config.transaction(|wishes| wishes.set("server.port", 1).set(path, 1)).await.unwrap_err(),
            config.transaction(|wishes| wishes.set("server.port", 1).reset(path)).await.unwrap_err(),
            config.history(path).await.unwrap_err(),
            config.get::<u16>(path).unwrap_err().into(),
            config.origin(path).unwrap_err().into(),
        ];
        for error in refused {
            assert!(matches!(error, ConfigUpdateError::Refused(ConfigError::InvalidPath { .. })), "{error}");
            readable(error);
        }
        readable(config.subscribe(path).unwrap_err());
    }
    let wanted = "wanted segments of [a-z0-9_-] that start with a letter, with dots between them";
    let expected = format!(r#"config path "../../etc/passwd" has an empty segment at character 1; {wanted}"#);
    assert_eq!(error_text(config.update("../../etc/passwd", 1).await), expected);
    assert_untouched(namespace.services()).await;
}

#[foundation::test(builder = configured())]
async fn values_that_are_too_large_or_of_another_type_change_nothing(namespace: TestNamespace) {
    let config = namespace.config();
    let place = "the value at config path free (an update at run time) has";
    let cases = [
        (nested(17), format!("{place} more levels, and at most 16 are allowed")),
        (json!("x".repeat(65_535)), format!("{place} 65537 bytes as JSON, and at most 65536 are allowed")),
        (json!({ "a": 1 }), "config path free wants single value, found section (an update at run time)".into()),
    ];
    for (value, expected) in cases {
        assert_eq!(error_text(config.update("free", &value).await), expected);
        let transaction = config.transaction(|wishes| wishes.set("server.port", 1).set("free", &value));
        assert_eq!(error_text(transaction.await), expected);
    }
    // Each of them may be so large, and all of them together exceed one event.
    let many = |wishes: foundation::config::Transaction| {
        (0..20).fold(wishes, |wishes, number| wishes.set(format!("parts.part{number}"), "x".repeat(65_000)))
    };
    let error = config.transaction(many).await.unwrap_err();
    let expected = "the change was not recorded: event 0 of the batch (config_updated) has a payload of 13";
    assert!(readable(&error).starts_with(expected), "{error}");
    assert_untouched(namespace.services()).await;
}

#[foundation::test(builder = configured())]
async fn texts_of_any_kind_are_set_recorded_reported_and_restored_unchanged(namespace: TestNamespace) {
    let config = namespace.config();
    let mut changes = config.subscribe("motd").unwrap();
    for text in TEXTS {
        let noted = config.with_note(ChangeNote::by(text).because(text));
        let changed = noted.update("motd", text).await.unwrap();
        assert_eq!(config.get::<String>("motd").unwrap(), text);
        assert_eq!(changes.next().await.unwrap().unwrap(), changed);
        assert!(!changed.note.to_string().contains(char::is_control));
    }
    crash(&namespace, &ConfigServer::NAME).await;
    assert_eq!(config.get::<String>("motd").unwrap(), TEXTS[TEXTS.len() - 1]);
    let history = config.history("motd").await.unwrap();
    let found: Vec<_> = history.iter().map(|it| (it.change.new.as_str(), it.note.author.as_deref())).collect();
    assert_eq!(found, TEXTS.map(|text| (Some(text), Some(text))));
    config.rollback(history[2].event).await.unwrap();
    assert_eq!(config.get::<String>("motd").unwrap(), TEXTS[2]);
}

#[foundation::test(builder = configured())]
async fn a_note_that_is_too_long_refuses_its_change(namespace: TestNamespace) {
    let config = namespace.config();
    let author = config.with_note(ChangeNote::by("x".repeat(129)));
    let reason = config.with_note(ChangeNote::by("x").because(long()));
    let of_author = "the author of the change has 129 bytes, and at most 128 are allowed";
    let of_reason = "the reason of the change has 1000000 bytes, and at most 1024 are allowed";
    for (config, expected) in [(author, of_author), (reason, of_reason)] {
        assert_eq!(error_text(config.update("motd", "x").await), expected);
        assert_eq!(error_text(config.reset("motd").await), expected);
        assert_eq!(error_text(config.reset_all().await), expected);
        assert_eq!(error_text(config.reload().await), expected);
    }
    assert_eq!(namespace.events().stats().await.unwrap().recorded, 0, "the note is refused, and not the files");
    assert_eq!(config.get::<String>("motd").unwrap(), "hello");
}

/// A refused request takes no place: neither events, nor instruments, nor values.
#[foundation::test(builder = foundation_testkit::configured())]
async fn ten_thousand_refusals_leave_nothing_behind(namespace: TestNamespace) {
    let config = namespace.config();
    config.update("server.prt", 1).await.unwrap_err();
    let before = config.status().await.unwrap();
    let families = namespace.telemetry().scrape().families.len();
    for number in 0..10_000 {
        assert_error!(config.update(format!("server.port{number}"), 1).await, ConfigUpdateError::Refused(_));
        assert_error!(config.get::<u16>(format!("'; DROP {number}")), ConfigError::InvalidPath { .. });
    }
    assert_eq!(config.status().await.unwrap(), before);
    let scrape = namespace.telemetry().scrape();
    assert_eq!(scrape.families.len(), families);
    assert_eq!(scrape.to_snapshot().counter("config.updates_refused"), Some(10_001));
    assert_untouched(namespace.services()).await;
}

// ---- the environment ----

async fn refused(sources: Result<ConfigSources, ConfigError>) -> String {
    match sources {
        Err(error) => readable(error),
        Ok(sources) => readable(error_text(Foundation::builder().config(sources).start().await)),
    }
}

#[tokio::test]
async fn names_and_texts_of_variables_are_reported_in_one_short_line() {
    let of = |name: String, text: &str| settings().environment("app", [(name, text.to_owned())]);
    let wide = "9".repeat(100_000);
    for text in TEXTS.into_iter().chain([&*long()]) {
        // Some of them are paths, in capitals.
        let found = refused(of(format!("APP__{text}A\u{1b}"), "1")).await;
        assert!(found.contains("is no config path"), "{found}");
        refused(of("APP__SERVER__PORT".to_owned(), &format!("{text}x"))).await;
        match settings().environment(text, []) {
            Ok(_) => assert!(text.is_empty() || text == long(), "{text:?}"),
            Err(error) => drop(readable(error)),
        }
    }
    let found = refused(of("APP__SERVER__PORT".to_owned(), &wide)).await;
    assert!(!found.contains("99"), "{found}");
    let twice = [("APP__A\u{130}".to_owned(), String::new())];
    refused(settings().environment("app", twice)).await;
    let deep = refused(of("APP__NEW".to_owned(), &"[".repeat(100_000))).await;
    assert!(deep.contains("config path new (environment variable APP__NEW) has 100002 bytes as JSON"), "{deep}");
}

#[tokio::test]
async fn thousands_of_unknown_variables_are_refused_at_once() {
    let variables = (0..20_000).map(|number| (format!("APP__X{number}"), "1".to_owned()));
    let found = refused(ConfigSources::new().environment("app", variables)).await;
    assert_eq!(
        found,
        "the configuration cannot be loaded: the configuration has 20000 values, and at most 10000 are allowed"
    );
}
