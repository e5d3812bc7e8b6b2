//! The README and the pages of the guide: every example in them is compiled, and run unless it says `no_run`.

#![cfg(doctest)]

#[doc = include_str!("../README.md")]
mod readme {}

#[doc = include_str!("../crates/kernel/README.md")]
mod kernel {}

#[doc = include_str!("guide/configuration.md")]
mod configuration {}

#[doc = include_str!("guide/cookbook.md")]
mod cookbook {}

#[doc = include_str!("guide/cookbook-services.md")]
mod cookbook_services {}

#[doc = include_str!("guide/discovery.md")]
mod discovery {}

#[doc = include_str!("guide/dynamic-children.md")]
mod dynamic_children {}

#[doc = include_str!("guide/elixir-phrasebook.md")]
mod elixir_phrasebook {}

#[doc = include_str!("guide/events.md")]
mod events {}

#[doc = include_str!("guide/exporters.md")]
mod exporters {}

#[doc = include_str!("guide/getting-started.md")]
mod getting_started {}

#[doc = include_str!("guide/managed-services.md")]
mod managed_services {}

#[doc = include_str!("guide/names.md")]
mod names {}

#[doc = include_str!("guide/production.md")]
mod production {}

#[doc = include_str!("guide/supervision.md")]
mod supervision {}

#[doc = include_str!("guide/telemetry.md")]
mod telemetry {}

#[doc = include_str!("guide/testing.md")]
mod testing {}

#[doc = include_str!("guide/worker-pools.md")]
mod worker_pools {}
