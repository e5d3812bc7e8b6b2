//! The commands between two checks of an interleaved history.

use proptest::prelude::*;
use proptest::strategy::Strategy as Generator;

use super::{Came, Configuration, IDS, Nature, came, configuration, nature, reason};
use crate::exit::ExitReason;

#[derive(Debug, Clone)]
pub(super) enum Command {
    Add(usize, Nature),
    Terminate(usize),
    ManualStart(usize),
    Delete(usize),
    Exit(usize, ExitReason),
    /// The end of an actor that is no longer, or never was, a child.
    Stale(usize, ExitReason),
    /// One of the steps under way is answered. A child may end before the result of its start arrives. The exit event
    /// of a stopped child may come before or after its `stopped`.
    Answer {
        step: usize,
        came: Came,
        early: Option<ExitReason>,
        event_first: bool,
    },
    Advance(u64),
    Reconfigure(Configuration),
    /// The end of one of the delays, even if it is no longer wanted.
    Delay(usize),
}

fn answer() -> impl Generator<Value = Command> {
    let early = prop_oneof![3 => Just(None), 1 => reason().prop_map(Some)];
    let came = prop_oneof![6 => came(), 2 => Just(Came::NameTaken)];
    (0..8usize, came, early, any::<bool>()).prop_map(|(step, came, early, event_first)| Command::Answer {
        step,
        came,
        early,
        event_first,
    })
}

pub(super) fn command() -> impl Generator<Value = Command> {
    prop_oneof![
        3 => (0..IDS.len(), nature()).prop_map(|(id, nature)| Command::Add(id, nature)),
        2 => (0..8usize).prop_map(Command::Terminate),
        2 => (0..IDS.len()).prop_map(Command::ManualStart),
        1 => (0..IDS.len()).prop_map(Command::Delete),
        5 => (0..8usize, reason()).prop_map(|(n, reason)| Command::Exit(n, reason)),
        1 => (0..8usize, reason()).prop_map(|(n, reason)| Command::Stale(n, reason)),
        10 => answer(),
        1 => (0..6000u64).prop_map(Command::Advance),
        1 => configuration().prop_map(Command::Reconfigure),
        3 => (0..8usize).prop_map(Command::Delay),
    ]
}
