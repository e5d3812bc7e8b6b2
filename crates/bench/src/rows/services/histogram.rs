//! Recording values in a histogram.

use std::time::Duration;

use foundation::telemetry::Histogram;
use metrics::histogram;

use super::metrics::{HANDLE, MACRO, recorder};
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::sample::{Batch, Sample, repeated, time};

/// The peer's recorder keeps each value until its upkeep runs. The upkeep runs after this many values and is not
/// measured.
const WINDOW: u64 = 1 << 14;

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("histogram", 1, record).at_most(25.0)]
}

fn record(contest: &mut Contest<'_>) -> Vec<Measured> {
    recorder();
    let (ours, kept) = (Histogram::new(), histogram!("kept"));
    let (mut a, mut b, mut c) = (values(), values(), values());
    let peers = [
        Peer::new(MACRO, 0.3, looked_after(move || histogram!("latency").record(a()))),
        Peer::shown(HANDLE, looked_after(move || kept.record(b()))),
    ];
    contest.between(repeated(move || ours.record(c())), peers)
}

/// Values of three octaves, in an order that no processor learns, at the price of a multiplication.
fn values() -> impl FnMut() -> f64 {
    let mut seed: u32 = 1;
    move || {
        seed = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        f64::from(100 + (seed >> 22))
    }
}

fn looked_after<'a>(mut operation: impl FnMut() + 'a) -> Batch<'a> {
    Box::new(move |operations| {
        let (mut took, mut left) = (Duration::ZERO, operations);
        while left > 0 {
            let window = left.min(WINDOW);
            took += time(window, &mut operation).length();
            recorder().run_upkeep();
            left -= window;
        }
        Sample::Took(took)
    })
}
