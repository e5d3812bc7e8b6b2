//! What the registry's table synchronises with, by one name.
//!
//! `crates/model` compiles the files that use it with another `crate::sync`, whose atomics are a model checker's.

pub(crate) use std::sync::{OnceLock, atomic};
