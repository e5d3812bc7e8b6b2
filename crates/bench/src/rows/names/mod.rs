//! Names: finding, watching and registering actors.

mod borrow;
mod churn;
mod cleanup;
mod crowd;
mod information;
mod lookup;
mod namespace;
mod registration;
mod resolve;
mod wait;

use crate::contest::BenchRow;

pub(crate) fn rows() -> impl Iterator<Item = BenchRow> {
    [
        lookup::rows(),
        crowd::rows(),
        borrow::rows(),
        churn::rows(),
        resolve::rows(),
        registration::rows(),
        wait::rows(),
        cleanup::rows(),
        namespace::rows(),
        information::rows(),
    ]
    .into_iter()
    .flatten()
}
