//! One row's contestants: ours, the peers in this process, and those in processes of their own.

use crate::effort::Effort;
use crate::external::External;
use crate::measured::{Figures, Limit, Measured};
use crate::row::Row;
use crate::sample::Batch;

/// A peer that runs in this process.
pub(crate) struct Peer<'a> {
    name: &'static str,
    limit: Option<f64>,
    batch: Batch<'a>,
}

impl<'a> Peer<'a> {
    /// Ours is to take at most `limit` times as long.
    pub(crate) fn new(name: &'static str, limit: f64, batch: Batch<'a>) -> Self {
        Self { name, limit: Some(limit), batch }
    }

    /// One beside which ours is only shown.
    pub(crate) fn shown(name: &'static str, batch: Batch<'a>) -> Self {
        Self { name, limit: None, batch }
    }
}

/// What a row needs to be measured.
pub(crate) struct Contest<'a> {
    pub(crate) row: &'a Row,
    pub(crate) effort: Effort,
    pub(crate) externals: &'a mut [External],
}

impl Contest<'_> {
    /// Measures ours beside the given peers and whoever else knows this row, all in turn.
    pub(crate) fn between<'b>(
        &'b mut self,
        ours: Batch<'b>,
        peers: impl IntoIterator<Item = Peer<'b>>,
    ) -> Vec<Measured> {
        let (mut titles, mut batches) = (Vec::new(), vec![ours]);
        for peer in peers {
            titles.push((peer.name.to_owned(), peer.limit));
            batches.push(peer.batch);
        }
        for external in self.externals.iter_mut() {
            let Some((name, batch)) = external.contestant(self.row.name) else { continue };
            let limit = self.row.elixir.filter(|_| name.starts_with("Elixir"));
            titles.push((name, limit));
            batches.push(batch);
        }
        let medians = self.effort.medians(&mut batches);
        let Some((Some(ours), peers)) = medians.split_first() else { return Vec::new() };
        let measured = titles.into_iter().zip(peers).filter_map(|((peer, limit), theirs)| {
            let Some(theirs) = *theirs else {
                eprintln!("foundation-bench: {}: no repetition of {peer} counts", self.row.name);
                return None;
            };
            let figures = Figures::Nanoseconds { ours: *ours, peer: theirs };
            let limit = limit.map(Limit::Ratio);
            Some(Measured { name: self.row.name, threads: self.row.threads, peer, figures, limit })
        });
        measured.collect()
    }
}
