//! All comparisons, one file per subject.

mod discovery;
mod export;
mod messages;
mod names;
pub(crate) mod pool;
mod services;
mod supervision;

use crate::contest::BenchRow;
use crate::memory;

pub(crate) fn all() -> Vec<BenchRow> {
    let rows = names::rows().chain(messages::rows()).chain(supervision::rows()).chain(services::rows());
    rows.chain(discovery::rows()).chain(export::rows()).chain(pool::rows()).chain(memory::rows()).collect()
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
