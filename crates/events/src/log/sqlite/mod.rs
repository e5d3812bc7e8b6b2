//! The log in a SQLite file.
//!
//! 1. All changes of one call of the log are one transaction: the events, and the row `state` that counts them. So an
//!    answer that was given holds after a crash, and the two never disagree.
//! 2. `state.highest_id` never decreases, and each new event has the id after it. So ids have no gaps and none is ever
//!    given twice, also after everything was pruned.
//! 3. Events are removed from the front only, which keeps 2, and makes the number of held ones a subtraction.
//! 4. `recorded_at` never decreases from one id to the next, pruned ones included (`state.latest`). So the order by id
//!    is the order by time, and each index is in both.
//! 5. Each row has the checksum of the event it was written for, and is read only if it fits.
//! 6. Only one connection writes, in all processes together (`WriterLock`). After its first failure it is not used any
//!    more.
//! 7. No transaction of a reader outlasts the reading of one chunk, except for `verify`'s last two steps.
//! 8. An answer is given only if, after the commit, the files at the path are those that were opened (`files`).
//! 9. No value is ever part of a statement: all of them are parameters.

mod connection;
mod error;
mod events;
mod files;
mod lock;
mod log;
mod options;
mod parking;
mod path;
mod reader;
mod storage;
#[cfg(test)]
mod tests;
mod value;
mod verify;

pub use log::SqliteLog;
pub use options::{Durability, SqliteOptions};
