//! Requests of the operating system to stop.

use std::io;

use foundation_kernel::containment::{catch_panic, report};

use super::report::StopCause;

#[cfg(unix)]
pub(super) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let both =
            || Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? });
        // tokio panics on a runtime without I/O, which is only seen by trying.
        catch_panic(both).unwrap_or_else(|_| {
            Err(io::Error::other("the tokio runtime has no I/O: build it with enable_io() or enable_all()"))
        })
    }

    /// The next request; nothing is lost if the future is cancelled.
    pub(super) async fn next(&mut self) -> StopCause {
        tokio::select! {
            _ = self.interrupt.recv() => StopCause::Interrupt,
            _ = self.terminate.recv() => StopCause::Terminate,
        }
    }
}

#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    pub(super) async fn next(&mut self) -> StopCause {
        match tokio::signal::ctrl_c().await {
            Ok(()) => StopCause::Interrupt,
            // Nothing to listen to: only a collapse ends the run.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Ends the process at once, at the second request to stop.
pub(super) fn end_process(cause: StopCause) -> ! {
    // As a shell does: 128 and the number of the signal.
    let code = if cause == StopCause::Terminate { 128 + 15 } else { 128 + 2 };
    report(|| tracing::error!(signal = %cause, code, "a second signal during the shutdown: the process ends at once"));
    std::process::exit(code)
}
