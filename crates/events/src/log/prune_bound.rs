use std::time::SystemTime;

/// Which of the oldest events are to be pruned.
///
/// ```
/// use foundation_events::PruneBound;
///
/// let at_most_a_million = PruneBound::Count(1_000_000);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PruneBound {
    /// Those that were recorded before this time.
    Before(SystemTime),
    /// Those beyond this many.
    Count(u64),
    /// As many as it takes for the rest to have no more than these bytes, counted as in
    /// [`EventStats::bytes`](crate::EventStats::bytes).
    Bytes(u64),
}
