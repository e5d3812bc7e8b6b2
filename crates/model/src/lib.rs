//! The races of the registry's tables and of a pool's queue, explored by the model checker loom.
//!
//! The code itself is checked: `registry` compiles the table of names with its guards, its watches and the monitor
//! (`registry/names`) and the table of groups (`registry/groups/table.rs`) from `crates/kernel`, unchanged. Only what
//! they stand on is replaced, by `stand_ins` under the same names: atomics and locks by loom's, the concurrent map and
//! its pointers by ones with the same guarantees, ractor's actor by one that has a status, a monitor and an end. So loom
//! sees every step that the real ones order, and tries all interleavings of them, stale reads included. Fences have to
//! be where they are: loom takes a sequentially consistent access for less than it is, and a fence for what it is.
//!
//! `pool` compiles the queue of a pool, its waits and its claims from `crates/pool`, in the same way.
//!
//! Not the code itself, but the same steps in the same order: how a group adds a member (`Group::finish_join`); it needs
//! the whole tree. See [`scenarios`].

// The files bring unit tests along, which are for the real ones.
#![cfg(not(test))]

mod containment;
mod exit;
mod namespace;
mod pool;
mod registry;
pub mod scenarios;
mod stand_ins;

// The names under which the registry's files use the replaced crates.
extern crate self as foldhash;
extern crate self as foundation_kernel;
extern crate self as parking_lot;
extern crate self as ractor;
extern crate self as scc;
extern crate self as tokio;

pub(crate) use pool::{dead_letters, error, event, job, overflow, queue, retry, routing, slab, timetable, watch};
pub(crate) use stand_ins::actor::{ActorCell, ActorId, ActorStatus};
pub(crate) use stand_ins::index::{self as hash_index, HashIndex};
pub(crate) use stand_ins::lock::{Mutex, MutexGuard};
pub(crate) use stand_ins::shared::{AtomicShared, Guard, Shared, Tag};
pub(crate) use stand_ins::{fast, supervision, sync, task, time};
pub(crate) use std::collections::HashMap;
