//! The invariants of every run. Each rule is a function of the log, and returns a text when it is broken.

mod ends;
mod intensity;
mod lives;
mod names;
mod order;
mod requests;
mod rest;
mod restarts;
mod significant;

use std::fmt;

use super::history::History;
use super::record::Record;
use super::shape::Shape;

/// A rule, and how it was broken.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Broken {
    pub(super) rule: &'static str,
    pub(super) text: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

/// The rule whose failures take too long to be shrunk.
pub(super) const TIME_GOES_ON: &str = "time goes on";

type Rule = fn(&History<'_>) -> Result<(), String>;

const RULES: [(&str, Rule); 18] = [
    (TIME_GOES_ON, ends::time_goes_on),
    ("one life per name", lives::one_at_a_time),
    ("a life goes one way", lives::in_order),
    ("an end is as it was reported", lives::ends_as_reported),
    ("a stopped actor is gone", lives::stopped_is_gone),
    ("a terminated actor is gone", lives::terminated_is_gone),
    ("start order", order::starts),
    ("stop order", order::stops),
    ("the intensity is kept", intensity::kept),
    ("giving up has its reason", intensity::given_up_for_a_reason),
    ("significant children count", significant::counted),
    ("temporary children are not restarted", restarts::temporary),
    ("every restart has a cause", restarts::caused),
    ("siblings are left alone", restarts::siblings_alone),
    ("every request is answered", requests::answered),
    ("a lookup gives the actor that is up", names::found),
    ("everything comes to rest", rest::settled),
    ("nothing is left", ends::nothing_left),
];

/// The first rule that this run breaks.
pub(super) fn check(shape: &Shape, record: &Record) -> Result<(), Broken> {
    let history = History::of(shape, record);
    RULES.iter().try_for_each(|(rule, holds)| holds(&history).map_err(|text| Broken { rule, text }))
}
