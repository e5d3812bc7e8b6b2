//! Counting: on one thread, and on two that count the same.

use foundation::telemetry::Counter;
use metrics::counter;

use super::metrics::{HANDLE, MACRO, recorder};
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::pair::paired;
use crate::sample::repeated;

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("counter", 1, alone).at_most(10.0), BenchRow::new("counter_2t", 2, together).at_most(15.0)]
}

fn alone(contest: &mut Contest<'_>) -> Vec<Measured> {
    recorder();
    let (ours, kept) = (Counter::new(), counter!("kept"));
    let peers = [
        Peer::new(MACRO, 0.3, repeated(|| counter!("calls").increment(1))),
        Peer::shown(HANDLE, repeated(|| kept.increment(1))),
    ];
    contest.between(repeated(|| ours.increment()), peers)
}

fn together(contest: &mut Contest<'_>) -> Vec<Measured> {
    recorder();
    let (ours, kept) = (Counter::new(), counter!("kept"));
    let peers = [
        Peer::new(MACRO, 0.3, paired([(); 2].map(|()| || counter!("calls").increment(1)))),
        Peer::shown(HANDLE, paired([(); 2].map(|()| || kept.increment(1)))),
    ];
    contest.between(paired([(); 2].map(|()| || ours.increment())), peers)
}
