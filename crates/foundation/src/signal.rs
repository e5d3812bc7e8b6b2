//! Requests of the operating system to stop.

use std::io;

#[cfg(unix)]
use foundation_kernel::containment::catch_panic;
use foundation_kernel::containment::report;

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

/// The requests of a console window and of a shutdown of the machine, beside Ctrl-C. The end of a session is none: a
/// service is notified of that of every user.
#[cfg(windows)]
pub(super) struct Signals {
    interrupt: tokio::signal::windows::CtrlC,
    interrupt_key: tokio::signal::windows::CtrlBreak,
    close: tokio::signal::windows::CtrlClose,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(windows)]
impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};
        Ok(Self {
            interrupt: ctrl_c()?,
            interrupt_key: ctrl_break()?,
            close: ctrl_close()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    /// The next request; nothing is lost if the future is cancelled. Windows ends the process some seconds after the
    /// last two, whether the shutdown is over or not.
    pub(super) async fn next(&mut self) -> StopCause {
        tokio::select! {
            _ = self.interrupt.recv() => StopCause::Interrupt,
            _ = self.interrupt_key.recv() => StopCause::Interrupt,
            _ = self.close.recv() => StopCause::Terminate,
            _ = self.shutdown.recv() => StopCause::Terminate,
        }
    }
}

/// Only Ctrl-C is known on other systems.
#[cfg(not(any(unix, windows)))]
pub(super) struct Signals;

#[cfg(not(any(unix, windows)))]
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
