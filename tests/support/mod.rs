//! The modules that the scenarios share.

use std::fmt::Display;
use std::time::Duration;

mod conduct;
mod faulty_disk;
mod faulty_log;
mod log;
mod puppet;
mod reports;
mod witness;

pub use conduct::{Conduct, Gate, Question};
pub use faulty_disk::{FaultyDisk, Written};
pub use faulty_log::{Committed, Fault, Faults, FaultyLog};
pub use log::{Log, Moment};
pub use puppet::{Costume, Order, Performer, Puppet, ping};
pub use reports::{Reports, reports};
pub use witness::Witness;

/// The time that a scenario waits for a fact before it fails. Only a failing test takes so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The future's output, or a panic that names the missing fact.
pub async fn soon<T>(what: impl Display, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: this did not happen within {PATIENCE:?}"),
    }
}
