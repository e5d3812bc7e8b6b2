/// What a reader does at a damaged event, or at one that is missing from the log. Everything before it is read in any
/// case.
///
/// | | query, export | subscription |
/// |---|---|---|
/// | [`Tell`](Self::Tell) | ends with an error that names the event | shows an error once; the next call goes on after the event |
/// | [`Skip`](Self::Skip) | goes on without it | goes on without it, and counts it |
/// | [`Stop`](Self::Stop) | as `Tell` | shows the error and ends |
///
/// Each skipped event is reported by a warning to `tracing`.
///
/// ```
/// use foundation_events::{OnDamaged, Query};
///
/// let whatever_is_left = Query::new().on_damaged(OnDamaged::Skip);
/// assert_eq!(OnDamaged::default(), OnDamaged::Tell);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnDamaged {
    /// Reports it, once.
    #[default]
    Tell,
    /// Goes on without it.
    Skip,
    /// Reports it and ends.
    Stop,
}
