//! `OtlpExporter`.

use std::collections::VecDeque;
use std::fmt;

use foundation_kernel::text::excerpt;
use secrecy::SecretString;

use super::answer::{Accepted, SendError};
use super::body::Pieces;
use super::encode::{Otlp, resource};
use super::endpoint::{Attributes, Endpoint, Headers, OtlpError};
use crate::batch::Batch;
use crate::encoded::EncodeError;
use crate::exporter::{ExportFault, Exported, Exporter, Target};
use crate::format::Format;

/// Sends the numbers to a receiver of OTLP: a collector of OpenTelemetry, or a database that takes what it takes.
///
/// Each request has a connection of its own, on no task of its own, and at most 4 MiB; more numbers go in several requests. Those
/// that were accepted are not sent again when another one is.
///
/// | | by HTTP | by gRPC |
/// |---|---|---|
/// | tried again | 429, 502, 503, 504, and connections that fail or end | the codes that OTLP's specification names, and the same |
/// | not before | `Retry-After` | `RetryInfo` |
/// | not tried again | any other status, what is no HTTP | any other code, what is no HTTP/2 |
/// | refused in part | counted in [`ExporterStats`](crate::ExporterStats), not sent again | the same |
///
/// At most 64 KiB of an answer are read. TLS is not spoken: `https://` is refused.
///
/// ```
/// use foundation_export::{ExporterSpec, OtlpExporter, SecretString};
///
/// let token = SecretString::from("Bearer 0123");
/// let exporter = OtlpExporter::http("http://127.0.0.1:4318")?
///     .attribute("service.name", "orders")?
///     .header("authorization", token)?;
/// assert!(!format!("{exporter:?}").contains("0123"));
/// let spec = ExporterSpec::new(move || exporter.clone());
/// # let _ = spec;
///
/// let refused = OtlpExporter::http("https://collector:4318").unwrap_err();
/// assert!(refused.to_string().starts_with("a receiver is not reached by https"));
/// # Ok::<(), foundation_export::OtlpError>(())
/// ```
#[derive(Clone)]
pub struct OtlpExporter {
    protocol: Protocol,
    endpoint: Endpoint,
    headers: Headers,
    attributes: Attributes,
    sending: Option<Sending>,
}

#[derive(Debug, Clone, Copy)]
enum Protocol {
    Http,
    #[cfg(feature = "otlp-grpc")]
    Grpc,
}

/// A batch that was not sent as a whole: it outlives an attempt, so that the next one goes on with what is left.
#[derive(Clone)]
struct Sending {
    batch: Batch,
    left: VecDeque<Pieces>,
    bytes: usize,
    rejected: Option<(usize, String)>,
}

impl OtlpExporter {
    /// To a receiver by HTTP/1.1, such as `http://collector:4318`. The path `/v1/metrics` is added, unless it is there.
    ///
    /// # Errors
    /// [`OtlpError`] for what is no such URL, and for one that holds a password or a query.
    pub fn http(url: &str) -> Result<Self, OtlpError> {
        Ok(Self::new(Protocol::Http, Endpoint::parse(url)?))
    }

    /// To a receiver by gRPC, such as `http://collector:4317`.
    ///
    /// # Errors
    /// [`OtlpError`] for what is no such URL, and for one that holds a password, a query or a path.
    #[cfg(feature = "otlp-grpc")]
    pub fn grpc(url: &str) -> Result<Self, OtlpError> {
        let endpoint = Endpoint::parse(url)?;
        if !endpoint.path.is_empty() {
            return Err(OtlpError::Path);
        }
        Ok(Self::new(Protocol::Grpc, endpoint))
    }

    fn new(protocol: Protocol, endpoint: Endpoint) -> Self {
        let (headers, attributes) = Default::default();
        Self { protocol, endpoint, headers, attributes, sending: None }
    }

    /// Adds a header to each request. Its value is shown nowhere, also if the receiver repeats it and it has at least 4 bytes.
    ///
    /// # Errors
    /// [`OtlpError`] for what is no header, for one that the exporter writes itself, and for more than 32.
    pub fn header(mut self, name: &str, value: SecretString) -> Result<Self, OtlpError> {
        self.headers.add(name, value)?;
        Ok(self)
    }

    /// Says something of this program, such as its `service.name`: an attribute of the resource, beside
    /// `foundation.namespace`.
    ///
    /// # Errors
    /// [`OtlpError`] for a key that is empty, given twice or `foundation.namespace`, for a key of more than 256 bytes or a value
    /// of more than 1,024, and for more than 32 attributes.
    pub fn attribute(mut self, key: &str, value: &str) -> Result<Self, OtlpError> {
        self.attributes.add(key, value)?;
        Ok(self)
    }

    /// Goes on with a batch, or begins with it.
    fn sending(&mut self, batch: &Batch) -> Result<&mut Sending, EncodeError> {
        let going_on = self.sending.take().filter(|sending| sending.batch.is_same(batch));
        let sending = match going_on {
            Some(sending) => sending,
            None => {
                let resource = resource(&batch.scrape().namespace.to_string(), self.attributes.iter());
                let left = Pieces::of(&Otlp::encoded(batch)?, &resource);
                Sending { batch: batch.clone(), left, bytes: 0, rejected: None }
            }
        };
        Ok(self.sending.insert(sending))
    }

    /// Sends what is left of a batch.
    async fn send(&mut self, batch: &Batch) -> Result<Exported, ExportFault> {
        let (protocol, endpoint, headers) = (self.protocol, self.endpoint.clone(), self.headers.clone());
        let sending = self.sending(batch)?;
        while let Some(pieces) = sending.left.front() {
            let answer = match protocol {
                Protocol::Http => super::http::post(&endpoint, &headers, pieces.clone()).await,
                #[cfg(feature = "otlp-grpc")]
                Protocol::Grpc => super::grpc::call(&endpoint, &headers, pieces.clone()).await,
            };
            let SendError { reason, retry } = match answer {
                Ok(accepted) => {
                    sending.accepted(accepted, &headers);
                    continue;
                }
                Err(error) => error,
            };
            return Err(ExportFault::new(excerpt(&headers.redacted(&reason)), retry));
        }
        let exported = Exported::new(sending.bytes, batch.series());
        Ok(match sending.rejected.take() {
            Some((series, reason)) => exported.rejected(series, reason),
            None => exported,
        })
    }
}

impl Sending {
    /// The first of the requests was accepted.
    fn accepted(&mut self, accepted: Accepted, headers: &Headers) {
        self.bytes += self.left.pop_front().map_or(0, |pieces| pieces.len());
        let Accepted { rejected, reason } = accepted;
        if rejected == 0 && reason.is_empty() {
            return;
        }
        let before = self.rejected.take().map_or(0, |(series, _)| series);
        let rejected = usize::try_from(rejected).unwrap_or(usize::MAX);
        let series = before.saturating_add(rejected).min(self.batch.series());
        self.rejected = Some((series, excerpt(&headers.redacted(&reason))));
    }
}

impl Exporter for OtlpExporter {
    const FORMAT: &'static str = Otlp::NAME;

    fn target(&self) -> Target {
        // Without the path, in which there may be a token.
        Target::new(format_args!("http://{} by {:?}", self.endpoint, self.protocol))
    }

    async fn export(&mut self, batch: &Batch) -> Result<Exported, ExportFault> {
        let result = self.send(batch).await;
        if !result.as_ref().is_err_and(ExportFault::may_be_retried) {
            self.sending = None;
        }
        result
    }
}

impl fmt::Debug for OtlpExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpExporter")
            .field("target", &format_args!("{}", self.target()))
            .field("headers", &self.headers)
            .field("attributes", &self.attributes)
            .finish_non_exhaustive()
    }
}
