//! Messages by handle.

mod call;
mod cast;
mod managed;

pub(super) use cast::windows;

use crate::contest::BenchRow;

pub(crate) fn rows() -> impl Iterator<Item = BenchRow> {
    [cast::rows(), call::rows(), managed::rows()].into_iter().flatten()
}
