//! Configurations, by scenarios. Random ones are in `properties`.

mod changes;
mod declared;
mod formats;
mod layering;
mod properties;
mod reading;
mod recording;

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// Defaults with a value of each type.
fn defaults() -> Value {
    json!({
        "server": {
            "host": "localhost",
            "port": 80,
            "timeout": 1.5,
            "tls": false,
            "max-conns": 100,
            "peers": [1, 2],
            "motd": null,
        },
        "database": { "host": "localhost", "pool": { "size": 4 } },
    })
}

fn sources() -> ConfigSources {
    ConfigSources::new().defaults(defaults()).unwrap().updatable("server").unwrap().updatable("database").unwrap()
}

fn tree() -> ConfigTree {
    sources().load().unwrap()
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn with_environment(pairs: &[(&str, &str)]) -> Result<ConfigTree, ConfigError> {
    sources().environment("app", variables(pairs)).unwrap().load()
}

/// A file `app.toml` that lives as long as the directory.
fn file(content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("app.toml");
    std::fs::write(&path, content).unwrap();
    (directory, path)
}

fn with_file(content: impl AsRef<[u8]>) -> Result<ConfigTree, ConfigError> {
    let (_directory, path) = file(content);
    sources().file(path).load()
}

/// The message of an error, without the directory of the file.
fn message<T: std::fmt::Debug>(result: Result<T, ConfigError>) -> String {
    let message = result.unwrap_err().to_string();
    match message.find("app.toml") {
        None => message,
        Some(end) => {
            let start = message[..end].rfind(' ').map_or(0, |space| space + 1);
            format!("{}{}", &message[..start], &message[end..])
        }
    }
}
