//! A row of the comparison and its contestants: ours, the peers in this process, and those in processes of their own.

use crate::effort::Effort;
use crate::external::External;
use crate::measured::{Comparison, Measured, RowLimit};
use crate::sample::Batch;

/// A name for what is compared, and how.
pub(crate) struct BenchRow {
    pub(crate) name: &'static str,
    pub(crate) threads: usize,
    /// The required ratio to Elixir's, if there is one.
    pub(crate) elixir: Option<f64>,
    /// The nanoseconds that ours may take, whatever the peers take.
    pub(crate) at_most: Option<f64>,
    pub(crate) run: fn(&mut Contest<'_>) -> Vec<Measured>,
}

impl BenchRow {
    pub(crate) const fn new(name: &'static str, threads: usize, run: fn(&mut Contest<'_>) -> Vec<Measured>) -> Self {
        Self { name, threads, elixir: None, at_most: None, run }
    }

    pub(crate) const fn elixir(self, limit: f64) -> Self {
        Self { elixir: Some(limit), ..self }
    }

    pub(crate) const fn at_most(self, nanoseconds: f64) -> Self {
        Self { at_most: Some(nanoseconds), ..self }
    }
}

/// A peer that runs in this process.
pub(crate) struct Peer<'a> {
    name: &'static str,
    limit: Option<f64>,
    batch: Batch<'a>,
}

impl<'a> Peer<'a> {
    /// A peer with a limit: ours may take at most `limit` times as long.
    pub(crate) fn new(name: &'static str, limit: f64, batch: Batch<'a>) -> Self {
        Self { name, limit: Some(limit), batch }
    }

    /// A peer without a limit: ours is only shown beside it.
    pub(crate) fn shown(name: &'static str, batch: Batch<'a>) -> Self {
        Self { name, limit: None, batch }
    }
}

/// What a row needs to be measured.
pub(crate) struct Contest<'a> {
    pub(crate) row: &'a BenchRow,
    pub(crate) effort: Effort,
    pub(crate) externals: &'a mut [External],
}

impl Contest<'_> {
    /// Measures ours beside the given peers and each external peer that offers this row, in turn.
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
            let figures = Comparison::Nanoseconds { ours: *ours, peer: theirs };
            let limit = limit.map(RowLimit::Ratio);
            Some(Measured { name: self.row.name, threads: self.row.threads, peer, figures, limit })
        });
        with_total(measured.collect(), self.row.at_most)
    }
}

/// Adds a line for ours' absolute limit, with the first peer's figures once more.
fn with_total(mut measured: Vec<Measured>, at_most: Option<f64>) -> Vec<Measured> {
    if let (Some(first), Some(at_most)) = (measured.first(), at_most) {
        let total = Measured { limit: Some(RowLimit::Total(at_most)), ..first.clone() };
        measured.insert(1, total);
    }
    measured
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_in_nanoseconds_has_a_line_of_its_own() {
        let figures = Comparison::Nanoseconds { ours: 12.0, peer: 60.0 };
        let peer = |name: &str, limit| Measured { name: "row", threads: 1, peer: name.to_owned(), figures, limit };
        let measured = vec![peer("one", Some(RowLimit::Ratio(0.3))), peer("other", None)];
        assert_eq!(with_total(measured.clone(), None), measured);
        let over =
            with_total(measured, Some(10.0)).iter().map(|line| (line.peer.clone(), line.is_over())).collect::<Vec<_>>();
        assert_eq!(over, [("one".to_owned(), false), ("one".to_owned(), true), ("other".to_owned(), false)]);
    }
}
