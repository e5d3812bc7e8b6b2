//! Sections whose own code misbehaves: its effects are refused, and end nothing.

use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use foundation::config::{ConfigError, ConfigSection, ConfigSources, ConfigUpdateError};
use foundation::{ConfigServer, Foundation, FoundationBuilder};
use foundation_testkit::hostile::readable;
use foundation_testkit::{error_text, pid};
use garde::Validate;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// A limit that panics when it is read as 13, checked as 14, or dropped as 15 or 16, of which the latter is not valid.
#[derive(Debug, Deserialize, Validate)]
struct Trap {
    #[serde(deserialize_with = "read")]
    #[garde(custom(check))]
    limit: u32,
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let limit = u32::deserialize(deserializer)?;
    assert_ne!(limit, 13, "no 13, neither\nhere nor there");
    Ok(limit)
}

fn check(limit: &u32, (): &()) -> garde::Result {
    assert_ne!(*limit, 14, "no 14");
    if *limit == 16 { Err(garde::Error::new("is 16")) } else { Ok(()) }
}

impl Drop for Trap {
    fn drop(&mut self) {
        // A second panic would abort the process, and proves nothing about the server.
        assert!(std::thread::panicking() || ![14, 15, 16].contains(&self.limit), "not dropped at {}", self.limit);
    }
}

impl ConfigSection for Trap {
    const PATH: &'static str = "trap";
    const UPDATABLE: &'static [&'static str] = &["*"];

    fn defaults() -> Value {
        json!({ "limit": 1 })
    }
}

fn sources() -> ConfigSources {
    ConfigSources::new().section::<Trap>().unwrap()
}

fn trapped() -> FoundationBuilder {
    Foundation::builder().config(sources())
}

#[tokio::test]
async fn a_panic_in_the_code_of_a_section_refuses_the_change_with_its_text_and_ends_nothing() {
    let foundation = trapped().start().await.unwrap();
    let (config, server) = (foundation.config(), pid(foundation.production(), &ConfigServer::NAME));
    for _ in 0..10 {
        for (limit, expected) in [
            (13, "the check of config section trap panicked: assertion `left != right` failed: no 13"),
            (14, "the check of config section trap panicked: assertion `left != right` failed: no 14"),
            (16, "config section trap is not valid: trap.limit: is 16 (an update at run time)"),
        ] {
            let error = config.update("trap.limit", limit).await.unwrap_err();
            assert!(matches!(error, ConfigUpdateError::Refused(_)), "{error}");
            let text = readable(error);
            assert!(text.starts_with(expected), "{text}");
        }
    }
    assert_eq!((config.section::<Trap>().unwrap().limit, config.tree().generation()), (1, 1));
    config.update("trap.limit", 2).await.unwrap();
    assert_eq!(config.section::<Trap>().unwrap().limit, 2);
    assert_eq!(pid(foundation.production(), &ConfigServer::NAME), server);
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_section_whose_destructor_panics_is_replaced_and_ends_nothing() {
    let foundation = trapped().start().await.unwrap();
    let (config, server) = (foundation.config(), pid(foundation.production(), &ConfigServer::NAME));
    let mut changes = config.subscribe_section::<Trap>().unwrap();
    for limit in [15, 2, 15, 3] {
        config.update("trap.limit", limit).await.unwrap();
    }
    // This subscriber's own value may panic as it likes.
    while let Some(changed) = changes.next().await.unwrap() {
        let is_last = changed.new.limit == 3;
        std::mem::forget(changed);
        if is_last {
            break;
        }
    }
    assert_eq!(pid(foundation.production(), &ConfigServer::NAME), server);
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_file_over_which_the_code_of_a_section_panics_is_refused_at_the_start_and_when_it_changes() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("app.toml");
    let expected = "the check of config section trap panicked: assertion `left != right` failed: no 14";
    std::fs::write(&file, "trap.limit = 14").unwrap();
    let text = readable(error_text(Foundation::builder().config(sources().file(&file)).start().await));
    assert!(text.contains(expected), "{text}");

    std::fs::write(&file, "trap.limit = 2").unwrap();
    let foundation = Foundation::builder().config(sources().file(&file)).start().await.unwrap();
    std::fs::write(&file, "trap.limit = 14").unwrap();
    for _ in 0..5 {
        let text = readable(foundation.config().reload().await.unwrap_err());
        assert!(text.starts_with(expected), "{text}");
    }
    assert_eq!(foundation.config().section::<Trap>().unwrap().limit, 2);
    foundation.shutdown().await;
}

#[tokio::test]
async fn the_text_of_a_panic_about_a_secret_is_not_shown() {
    let secret = || sources().secret("trap.limit").unwrap();
    let variable =
        |limit: &str| secret().environment("app", [("APP__TRAP__LIMIT".to_owned(), limit.to_owned())]).unwrap();
    let error = variable("14").load().unwrap_err();
    assert!(matches!(error, ConfigError::Panicked { .. }));
    assert_eq!(error.to_string(), "the check of config section trap panicked: there is a secret in it");
}

/// A waker that panics whenever it is woken.
struct Hostile;

impl Wake for Hostile {
    fn wake(self: Arc<Self>) {
        panic!("this waker does not like to be woken");
    }
}

#[tokio::test]
async fn the_waker_of_a_subscriber_that_panics_ends_nothing_and_keeps_no_change_from_others() {
    let foundation = trapped().start().await.unwrap();
    let (config, server) = (foundation.config(), pid(foundation.production(), &ConfigServer::NAME));
    let (mut hostile, mut other) = (config.subscribe("trap").unwrap(), config.subscribe("trap").unwrap());
    for limit in 2..8 {
        let waker = Waker::from(Arc::new(Hostile));
        while pin!(hostile.next()).poll(&mut Context::from_waker(&waker)).is_ready() {}
        config.update("trap.limit", limit).await.unwrap();
        assert_eq!(other.next().await.unwrap().unwrap().change.new, limit);
    }
    assert_eq!(pid(foundation.production(), &ConfigServer::NAME), server);
    foundation.shutdown().await;
}

/// A section whose destructor has another thread subscribe to the configuration, and waits for it.
#[derive(Debug, Deserialize, Validate)]
struct Subscriber {
    #[garde(skip)]
    #[expect(dead_code, reason = "it is read from the configuration")]
    number: u32,
}

/// The configuration to subscribe to, and whether each subscription was made in time.
static SUBSCRIPTIONS: Mutex<(Option<ConfigServer>, Vec<bool>)> = Mutex::new((None, Vec::new()));

impl Drop for Subscriber {
    fn drop(&mut self) {
        let config = SUBSCRIPTIONS.lock().unwrap().0.clone();
        let Some(config) = config else { return };
        let (done, in_time) = mpsc::channel();
        std::thread::spawn(move || done.send(config.subscribe("subscriber").map(drop)));
        let in_time = in_time.recv_timeout(Duration::from_secs(5)).is_ok();
        SUBSCRIPTIONS.lock().unwrap().1.push(in_time);
    }
}

impl ConfigSection for Subscriber {
    const PATH: &'static str = "subscriber";
    const UPDATABLE: &'static [&'static str] = &["*"];

    fn defaults() -> Value {
        json!({ "number": 0 })
    }
}

#[tokio::test]
async fn the_destructor_of_a_section_that_a_slow_subscriber_has_missed_runs_under_no_lock() {
    let sources = ConfigSources::new().section::<Subscriber>().unwrap();
    let foundation = Foundation::builder().config(sources).start().await.unwrap();
    let config = foundation.config();
    let slow = config.subscribe_section::<Subscriber>().unwrap();
    // The slow subscriber keeps 1,024 changes, and each further one drops the section before the oldest of them.
    for number in 1..=1_025 {
        config.update("subscriber.number", number).await.unwrap();
    }
    SUBSCRIPTIONS.lock().unwrap().0 = Some(config.clone());
    for number in 1_026..=1_028 {
        config.update("subscriber.number", number).await.unwrap();
    }
    let (_, in_time) = std::mem::take(&mut *SUBSCRIPTIONS.lock().unwrap());
    assert!(in_time.len() >= 3 && in_time.iter().all(|in_time| *in_time), "{in_time:?}");
    drop(slow);
    foundation.shutdown().await;
}
