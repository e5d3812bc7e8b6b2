//! Starting and restarting children.

mod restart;
mod start;

use crate::contest::Row;

pub(crate) fn rows() -> impl Iterator<Item = Row> {
    [start::rows(), restart::rows()].into_iter().flatten()
}
