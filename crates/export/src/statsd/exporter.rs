//! Exports in datagrams.

use std::io;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use tokio::net::{UdpSocket, lookup_host};
use tokio::time::{Instant, sleep_until};

use super::format::StatsdFormat;
use super::plan::{Datagram, due, plan};
use super::sent::{Count, SentCounts, SeriesId};
use super::target::StatsdTarget;
use crate::batch::Batch;
use crate::exporter::{ExportFault, Exported, Exporter, Target};

/// Sends numbers to a receiver of [`Statsd`](crate::Statsd) or [`DogStatsd`](crate::DogStatsd), in datagrams of at most 1,432
/// bytes, which are spread over half of the time that an attempt may take
/// ([`ExporterSpec::timeout`](crate::ExporterSpec::timeout), at most the period).
///
/// Counters are sent as growth since the last datagram that left, so that an export that is skipped or fails loses nothing: the
/// next one sends that, too. A new exporter, also one that is started again after a panic, sends no totals: what was counted before
/// its first export is not sent, except for counters that began after it. A counter that begins again begins at zero.
///
/// UDP has no answers. An export fails when the receiver's host reports that the port is closed, mostly at the next datagram, whose
/// growth is sent again. A datagram that the network loses is lost.
///
/// ```
/// use std::time::Duration;
/// use foundation_export::{ExportSchedule, ExporterSpec, Statsd, StatsdExporter, StatsdTarget};
///
/// let target = StatsdTarget::new("127.0.0.1:8125")?.prefix("shop")?;
/// let spec = ExporterSpec::new(move || StatsdExporter::<Statsd>::new(target.clone()))
///     .schedule(ExportSchedule::every(Duration::from_secs(10))?);
/// # let _ = spec;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StatsdExporter<F> {
    target: StatsdTarget,
    socket: Option<UdpSocket>,
    sent: SentCounts,
    /// The counters of the last datagram, which the receiver's host may still refuse.
    unconfirmed: Vec<(SeriesId, Count)>,
    /// How long an attempt may take.
    limit: Duration,
    format: PhantomData<fn() -> F>,
}

impl<F: StatsdFormat> StatsdExporter<F> {
    /// An exporter to this receiver, which has sent nothing.
    pub fn new(target: StatsdTarget) -> Self {
        let sent = SentCounts::since(SystemTime::now());
        Self { target, socket: None, sent, unconfirmed: Vec::new(), limit: Duration::ZERO, format: PhantomData }
    }

    /// Notes that the last datagram was not refused, or that it was: the operating system reports that at the next call, if at all.
    fn confirm(&mut self, error: Option<io::Error>) -> Result<(), ExportFault> {
        let unconfirmed = std::mem::take(&mut self.unconfirmed);
        if !error.as_ref().is_some_and(is_refusal) {
            self.sent.note(unconfirmed);
        }
        let Some(error) = error else { return Ok(()) };
        // Another socket has no errors of earlier datagrams, and looks the host up again.
        self.socket = None;
        Err(ExportFault::retry(error))
    }

    async fn send(&mut self, datagram: Datagram) -> Result<usize, ExportFault> {
        if self.socket.is_none() {
            self.socket = Some(connect(&self.target).await.map_err(ExportFault::retry)?);
        }
        let Some(socket) = &self.socket else { return Ok(0) };
        let sent = socket.send(datagram.text.as_bytes()).await;
        self.confirm(sent.err())?;
        self.unconfirmed = datagram.counters;
        Ok(datagram.text.len())
    }

    fn pending_error(&self) -> Option<io::Error> {
        // An error of the question is an error, too.
        self.socket.as_ref().and_then(|socket| socket.take_error().unwrap_or_else(Some))
    }
}

impl<F: StatsdFormat> Exporter for StatsdExporter<F> {
    const FORMAT: &'static str = F::NAME;

    fn target(&self) -> Target {
        Target::new(&self.target)
    }

    fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    async fn export(&mut self, batch: &Batch) -> Result<Exported, ExportFault> {
        // Before the plan, which follows from what has left.
        let pending = self.pending_error();
        self.confirm(pending)?;
        let plan = plan(batch, F::DIALECT, self.target.name_prefix(), &self.sent);
        let left_out = plan.left_out();
        self.sent.note(plan.settled);
        self.sent.keep_only(&plan.present, batch.dropped() == 0);
        let (begun, count) = (Instant::now(), plan.datagrams.len());
        let mut bytes = 0;
        for (nth, datagram) in plan.datagrams.into_iter().enumerate() {
            until(begun + due(nth, count, self.limit / 2)).await;
            bytes += self.send(datagram).await?;
        }
        if let Some(error) = self.pending_error() {
            self.confirm(Some(error))?;
        }
        let exported = Exported::new(bytes, batch.series());
        Ok(match left_out {
            Some((series, reason)) => exported.rejected(series, reason),
            None => exported,
        })
    }
}

/// Whether an error is about a datagram that had left; others are about the one that was to leave.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
    // Windows reports a closed port as a reset.
    matches!(error.kind(), ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable)
}

#[expect(clippy::disallowed_methods, reason = "pacing is its purpose")]
async fn until(time: Instant) {
    sleep_until(time).await;
}

/// A socket whose datagrams go to the first address of the host that takes any.
async fn connect(target: &StatsdTarget) -> io::Result<UdpSocket> {
    let (host, port) = target.host_and_port();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in lookup_host((host, port)).await? {
        match connect_to(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn connect_to(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}
