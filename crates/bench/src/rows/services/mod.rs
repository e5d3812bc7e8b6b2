//! The services of a namespace.

mod append;
mod config;
mod counter;
mod histogram;
mod live;
mod metrics;
mod reading;

use crate::contest::BenchRow;

pub(crate) fn rows() -> impl Iterator<Item = BenchRow> {
    [counter::rows(), histogram::rows(), config::rows(), append::rows(), reading::rows(), live::rows()]
        .into_iter()
        .flatten()
}
