//! One process that is hit by all disruptions at once, for a while, and that never has to be restarted.
//!
//! A foundation on SQLite with a watched file, durable subscribers and clients with requests, while children panic in their
//! destructors, the disk fills and empties, rows are damaged, the database is moved away and back, the settings are broken and
//! replaced, the clock jumps, and services are killed. Afterwards every acknowledged event is there. Every subscriber
//! has seen each undamaged one, and none again that it had acknowledged. The values are those of file and records, and
//! nothing is left over.
//!
//! `cargo test -p foundation-tests --test chaos -- --ignored --nocapture` plays a minute of it.
//! `FOUNDATION_CHAOS_SECONDS` says how long, `FOUNDATION_CHAOS_SEED` repeats the disruptions of a seed, as far as a race can be
//! repeated.
#![cfg(target_os = "linux")]

mod clients;
mod disk;
mod disruptions;
mod subscribers;
mod world;

use std::env;
use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The environment variable that makes this binary play the process that is hit.
const CHILD: &str = "FOUNDATION_CHAOS_CHILD";

/// Not a test: started by the test, since a full disk is reported to a process by a signal that must be ignored.
#[test]
fn child() {
    let Ok(play) = env::var(CHILD) else { return };
    let (seed, seconds) = play.split_once(' ').unwrap();
    world::play(seed.parse().unwrap(), Duration::from_secs(seconds.parse().unwrap()));
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[test]
#[ignore = "takes a minute; `cargo test --test chaos -- --ignored --nocapture`"]
fn nothing_is_lost_and_nothing_has_to_be_restarted_whatever_fails() {
    let seed = setting("FOUNDATION_CHAOS_SEED", fastrand::u64(..));
    let seconds = setting("FOUNDATION_CHAOS_SECONDS", 60);
    println!("FOUNDATION_CHAOS_SEED={seed} FOUNDATION_CHAOS_SECONDS={seconds}");
    let mut child = Command::new("sh");
    child.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(env::current_exe().unwrap());
    child.args(["--exact", "child", "--nocapture", "--quiet"]).env(CHILD, format!("{seed} {seconds}"));
    // Through a pipe: a file that its output may go to is on the full disk too, and the test harness ends when it cannot write.
    let mut child = child.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    io::copy(&mut child.stdout.take().unwrap(), &mut io::stdout()).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "the process ended with {status}; its seed is {seed}");
}
