//! The README and the pages of the guide: every example in them is compiled, and run unless it says `no_run`.

#![cfg(doctest)]

#[doc = include_str!("../README.md")]
mod readme {}

#[doc = include_str!("../crates/kernel/README.md")]
mod kernel {}
