//! Exporting numbers.

mod lateness;
mod text;

use crate::contest::BenchRow;

pub(crate) fn rows() -> impl Iterator<Item = BenchRow> {
    [text::rows(), lateness::rows()].into_iter().flatten()
}
