//! Secrets are shown nowhere, whatever input would reveal them.

use foundation::config::{ChangeNote, ConfigSection, ConfigSources, ExposeSecret, SecretString};
use foundation::events::{Query, SubscriptionSpec};
use foundation::{ConfigServer, Foundation, NewEvent};
use foundation_testkit::crash;
use garde::Validate;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, Validate)]
#[garde(allow_unvalidated)]
struct Api {
    key: SecretString,
    #[garde(custom(even))]
    pin: u64,
    #[serde(rename = "url")]
    _url: String,
}

/// A validation whose message reveals the value.
fn even(pin: &u64, (): &()) -> garde::Result {
    if pin.is_multiple_of(2) { Ok(()) } else { Err(garde::Error::new(format!("{pin} is odd"))) }
}

impl ConfigSection for Api {
    const PATH: &'static str = "api";
    const UPDATABLE: &'static [&'static str] = &["key", "pin", "url"];
    const SECRETS: &'static [&'static str] = &["key", "pin"];

    fn defaults() -> Value {
        json!({ "key": "hunter2", "pin": 901_255_504_710_u64, "url": "localhost" })
    }
}

/// Numbers of this length occur in no id and no time by chance.
const SECRETS: [&str; 7] =
    ["hunter2", "swordfish", "901255504710", "901255504712", "901255504713", "opensesame", "tooshort"];

/// A file with secrets, the same broken in every way, and every output, read afterwards.
#[tokio::test]
async fn secrets_are_shown_in_no_event_error_export_history_number_or_subscription() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("app.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("[api]\nkey = 'swordfish'\npin = 901255504712\n");
    let sources = ConfigSources::new().section::<Api>().unwrap().file(&file);
    let sources = sources.environment("app", [("APP__API__KEY".to_owned(), "opensesame".to_owned())]).unwrap();
    let foundation = Foundation::builder().config(sources.clone()).start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let config = namespace.config().with_note(ChangeNote::by("alice"));
    let mut shown = Shown(String::new());

    let section = config.section::<Api>().unwrap();
    assert_eq!((section.key.expose_secret(), section.pin), ("opensesame", 901_255_504_712));
    shown.of(&section.key);
    let mut changes = config.subscribe("api").unwrap();
    let mut events = namespace.events().subscribe(SubscriptionSpec::from_beginning()).await.unwrap();

    // Refused values.
    for value in [json!("tooshort"), json!(901_255_504_713_u64), json!({ "a": "tooshort" })] {
        shown.of(config.update("api.key", &value).await.unwrap_err());
        shown.of(config.update("api.pin", &value).await.unwrap_err());
        shown.of(config.transaction(|it| it.set("api.url", "x").set("api.pin", &value)).await.unwrap_err());
    }
    shown.of(config.get::<bool>("api.key").unwrap_err());
    shown.of(config.get::<Vec<u8>>("api.pin").unwrap_err());
    shown.of(config.get::<std::net::IpAddr>("api.key").unwrap_err());
    let broken = [
        "[api]\npin = 901255504713\n",
        "[api]\npin = 'tooshort'\n",
        "[api]\nkey = ['tooshort']\n",
        "[api]\nkey = 'tooshort\n",
        "[api]\nkey = tooshort\n",
        "[api]\npin = 901255504713 901255504713\n",
        "api = 'tooshort'\n",
        "[api.pin]\na = 'tooshort'\n",
    ];
    for text in broken {
        write(text);
        shown.of(config.reload().await.unwrap_err());
    }
    // Accepted values.
    write("[api]\nkey = 'swordfish'\npin = 901255504710\nurl = 'there'\n");
    shown.of(config.reload().await.unwrap());
    shown.of(config.update("api.url", "elsewhere").await.unwrap());
    shown.of(config.reset("api.url").await.unwrap());
    shown.of(changes.next().await.unwrap());
    let forged = json!({ "path": "api.pin", "old": null, "new": 0 });
    let forged = NewEvent::new("config_updated").unwrap().source("config_server").payload(forged).unwrap();
    let forged = namespace.events().append(forged).await.unwrap();
    crash(&namespace, &ConfigServer::NAME).await;
    shown.of(config.rollback(forged).await);
    shown.of(config.reset_all().await);
    assert_eq!(config.section::<Api>().unwrap().pin, 901_255_504_710);

    // All outputs.
    let mut lines = Vec::new();
    let exported = namespace.events().export(Query::new(), &mut lines, |_| ()).await.unwrap();
    shown.text(&String::from_utf8(lines).unwrap());
    for _ in 0..exported {
        shown.of(events.next().await.unwrap().unwrap());
    }
    shown.of(config.history("api").await.unwrap());
    shown.of((&config, config.tree(), config.tree().export(), config.status().await.unwrap(), &sources));
    shown.of(config.tree().overrides().collect::<Vec<_>>());
    shown.text(&namespace.telemetry().prometheus());
    shown.of(namespace.health().await);
    assert!(shown.0.contains("[redacted]") && shown.0.contains("is a secret"), "{}", shown.0);
    for secret in SECRETS {
        let place = shown.0.find(secret).map(|place| &shown.0[place.saturating_sub(200)..place + 20]);
        assert_eq!(place, None, "{secret}");
    }
    namespace.cleanup().await.unwrap();
    foundation.shutdown().await;
}

/// All shown texts.
struct Shown(String);

impl Shown {
    fn of(&mut self, it: impl std::fmt::Debug) {
        self.text(&format!("{it:?} {it:#?}"));
    }

    fn text(&mut self, text: &str) {
        self.0 += text;
        self.0.push('\n');
    }
}
