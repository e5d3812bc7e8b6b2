//! All comparisons, one file per subject.

mod append;
mod borrow;
mod call;
mod cast;
mod churn;
mod cleanup;
mod config;
mod counter;
mod crowd;
mod histogram;
mod information;
mod live;
mod lookup;
mod managed;
mod metrics;
mod namespace;
mod reading;
mod registration;
mod resolve;
mod restart;
mod start;
mod wait;

use crate::memory;
use crate::row::Row;

pub(crate) fn all() -> Vec<Row> {
    let rows = [
        lookup::rows(),
        crowd::rows(),
        borrow::rows(),
        churn::rows(),
        resolve::rows(),
        cast::rows(),
        call::rows(),
        managed::rows(),
        registration::rows(),
        wait::rows(),
        cleanup::rows(),
        start::rows(),
        restart::rows(),
        namespace::rows(),
        information::rows(),
        counter::rows(),
        histogram::rows(),
        config::rows(),
        append::rows(),
        reading::rows(),
        live::rows(),
        memory::rows(),
    ];
    rows.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_rows_have_the_same_name() {
        let rows = all();
        let names: HashSet<_> = rows.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), rows.len());
    }
}
