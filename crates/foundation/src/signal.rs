//! Requests of the operating system to stop.

use std::io;

#[cfg(unix)]
use foundation_kernel::containment::catch_panic;
use foundation_kernel::containment::report;

use super::report::StopCause;

/// The requests to stop, from [`listen`](Self::listen) on.
pub(super) struct Signals(Sources);

impl Signals {
    /// Takes the place of the operating system's own reaction, until the process ends.
    pub(super) fn listen() -> io::Result<Self> {
        Sources::listen().map(Self)
    }

    /// The next request; nothing is lost if the future is cancelled.
    pub(super) async fn next(&mut self) -> StopCause {
        self.0.next().await
    }

    /// Ends the process at the next request that [does so](ends_at_once): during a shutdown.
    pub(super) async fn end_process_at_next(&mut self) -> ! {
        loop {
            let cause = self.next().await;
            if ends_at_once(cause, cfg!(windows)) {
                end_process(cause);
            }
        }
    }
}

/// Whether a request during a shutdown ends the process at once. On Windows, the end of the console or the machine does
/// not: Windows limits the time of the shutdown itself, and what is left of that time belongs to the actors.
fn ends_at_once(cause: StopCause, is_windows: bool) -> bool {
    !is_windows || cause == StopCause::Interrupt
}

fn end_process(cause: StopCause) -> ! {
    // As a shell does: 128 and the number of the signal.
    let code = if cause == StopCause::Terminate { 128 + 15 } else { 128 + 2 };
    report(|| tracing::error!(signal = %cause, code, "a second signal during the shutdown: the process ends at once"));
    std::process::exit(code)
}

#[cfg(unix)]
struct Sources {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Sources {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let both =
            || Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? });
        // tokio panics on a runtime without I/O, which is only seen by trying.
        catch_panic(both).unwrap_or_else(|_| {
            Err(io::Error::other("the tokio runtime has no I/O: build it with enable_io() or enable_all()"))
        })
    }

    async fn next(&mut self) -> StopCause {
        tokio::select! {
            _ = self.interrupt.recv() => StopCause::Interrupt,
            _ = self.terminate.recv() => StopCause::Terminate,
        }
    }
}

/// The requests of a console window and of a shutdown of the machine, beside Ctrl-C. The end of a session is none: a
/// service is notified of that of every user.
#[cfg(windows)]
struct Sources {
    interrupt: tokio::signal::windows::CtrlC,
    interrupt_key: tokio::signal::windows::CtrlBreak,
    close: tokio::signal::windows::CtrlClose,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(windows)]
impl Sources {
    fn listen() -> io::Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};
        Ok(Self {
            interrupt: ctrl_c()?,
            interrupt_key: ctrl_break()?,
            close: ctrl_close()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    /// Windows ends the process some seconds after the last two, whether the shutdown is over or not.
    async fn next(&mut self) -> StopCause {
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
struct Sources;

#[cfg(not(any(unix, windows)))]
impl Sources {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> StopCause {
        match tokio::signal::ctrl_c().await {
            Ok(()) => StopCause::Interrupt,
            // Nothing to listen to: only a collapse ends the run.
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_request_ends_the_process_at_once_unless_windows_does_so_itself() {
        let ends = |is_windows| [StopCause::Interrupt, StopCause::Terminate].map(|it| ends_at_once(it, is_windows));
        assert_eq!((ends(false), ends(true)), ([true, true], [true, false]));
    }
}
