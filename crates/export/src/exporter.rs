//! The trait of exporters.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::batch::Batch;
use crate::encoded::EncodeError;
use crate::retry::RetryAfter;

/// Takes numbers somewhere else. Made anew for each life of its task, which calls it, one export after the other.
///
/// ```
/// use foundation_export::{Batch, Exported, Exporter, ExportFault, Format, Json, Target};
/// use tokio::sync::mpsc;
///
/// /// Sends the numbers through a channel, as JSON.
/// struct Channel(mpsc::Sender<Vec<u8>>);
///
/// impl Exporter for Channel {
///     const FORMAT: &'static str = "json";
///
///     fn target(&self) -> Target {
///         Target::new("a channel")
///     }
///
///     async fn export(&mut self, batch: &Batch) -> Result<Exported, ExportFault> {
///         let bytes = Json::encoded(batch)?.as_bytes().to_vec();
///         let exported = Exported::new(bytes.len(), batch.series());
///         self.0.send(bytes).await.map_err(ExportFault::fatal)?;
///         Ok(exported)
///     }
/// }
/// ```
pub trait Exporter: Send + 'static {
    /// The format, by the name under which it is registered.
    const FORMAT: &'static str;

    /// Where the numbers go, for people, and without secrets.
    fn target(&self) -> Target;

    /// Checks a batch before the first attempt to export it: names, labels, sizes. By default all is well.
    ///
    /// # Errors
    /// What is wrong. The batch is not exported, and nothing is tried again.
    fn validate(&self, _: &Batch) -> Result<(), ExportFault> {
        Ok(())
    }

    /// How long the next attempt to export may take; called before each, so that an exporter that sends many small parts may spread
    /// them. By default it is ignored.
    fn set_limit(&mut self, _: Duration) {}

    /// Exports a batch. It is dropped when its time is over.
    ///
    /// # Errors
    /// [`ExportFault`] says whether another attempt makes sense.
    fn export(&mut self, batch: &Batch) -> impl Future<Output = Result<Exported, ExportFault>> + Send;

    /// Sends what it has kept back; called once, after the last batch.
    ///
    /// # Errors
    /// As of [`export`](Self::export).
    fn flush(&mut self) -> impl Future<Output = Result<(), ExportFault>> + Send {
        async { Ok(()) }
    }
}

/// Where an exporter takes the numbers, for people: a host, a path, without query, header or password.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Target(String);

/// How many characters of a target are shown.
const MAX_TARGET: usize = 256;

impl Target {
    /// A target, shortened to 256 bytes, on one line.
    pub fn new(text: impl fmt::Display) -> Self {
        let text = foundation_kernel::containment::display_text(&text);
        Self(foundation_kernel::text::shortened_to(&foundation_kernel::text::one_line(&text), MAX_TARGET))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What an export has done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Exported {
    /// The bytes that were sent.
    pub bytes: usize,
    /// The series that were accepted.
    pub series: usize,
    /// The series that the receiver has refused, and what it says of them. They are not sent again.
    pub rejected: Option<(usize, String)>,
}

impl Exported {
    /// All of the series were accepted.
    pub fn new(bytes: usize, series: usize) -> Self {
        Self { bytes, series, rejected: None }
    }

    /// Some of the series were refused by the receiver, besides those that were refused before.
    pub fn rejected(mut self, series: usize, reason: impl Into<String>) -> Self {
        self.series = self.series.saturating_sub(series);
        self.add_rejected(series, reason.into());
        self
    }

    fn add_rejected(&mut self, series: usize, reason: String) {
        let before = self.rejected.take().map_or(0, |(before, _)| before);
        self.rejected = Some((before.saturating_add(series), reason));
    }

    /// Adds what another part of the same export has done.
    pub(crate) fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.series = self.series.saturating_add(other.series);
        if let Some((series, reason)) = other.rejected {
            self.add_rejected(series, reason);
        }
    }
}

/// Why an export failed, and whether another attempt makes sense.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct ExportFault {
    source: Box<dyn Error + Send + Sync>,
    /// `None`: no other attempt.
    retry: Option<RetryAfter>,
}

impl ExportFault {
    /// It may succeed the next time: no connection, a busy receiver.
    pub fn retry(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: source.into(), retry: Some(RetryAfter::Backoff) }
    }

    /// It may succeed after this time, as the receiver says.
    pub fn retry_after(source: impl Into<Box<dyn Error + Send + Sync>>, after: Duration) -> Self {
        Self { source: source.into(), retry: Some(RetryAfter::At(after)) }
    }

    /// It would fail again with the same batch.
    pub fn fatal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: source.into(), retry: None }
    }

    /// A text with the advice of a receiver.
    #[cfg(feature = "otlp")]
    pub(crate) fn new(text: String, retry: Option<RetryAfter>) -> Self {
        Self { source: text.into(), retry }
    }

    /// Whether another attempt makes sense.
    pub fn may_be_retried(&self) -> bool {
        self.retry.is_some()
    }

    pub(crate) fn advice(&self) -> Option<RetryAfter> {
        self.retry
    }
}

impl From<EncodeError> for ExportFault {
    fn from(error: EncodeError) -> Self {
        Self::fatal(error)
    }
}
