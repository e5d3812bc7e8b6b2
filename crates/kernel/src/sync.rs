//! The synchronisation primitives of the registry's table, under one name.
//!
//! `crates/model` compiles the files that use it with another `crate::sync`, whose atomics are a model checker's.

pub(crate) use std::sync::{OnceLock, atomic};
