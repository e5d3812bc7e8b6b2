//! Messages by handle.

mod call;
mod cast;
mod managed;

use crate::contest::Row;

pub(crate) fn rows() -> impl Iterator<Item = Row> {
    [cast::rows(), call::rows(), managed::rows()].into_iter().flatten()
}
