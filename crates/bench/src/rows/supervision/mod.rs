//! Starting and restarting children.

mod restart;
mod start;

use crate::contest::BenchRow;

pub(crate) fn rows() -> impl Iterator<Item = BenchRow> {
    [start::rows(), restart::rows()].into_iter().flatten()
}
