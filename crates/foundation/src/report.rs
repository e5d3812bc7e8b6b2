//! What a shutdown did.

use std::fmt;
use std::process::{ExitCode, Termination};
use std::time::Duration;

use foundation_kernel::names::{CleanupReport, Collapse};
use foundation_kernel::supervision::Stopped;
use serde::Serialize;

/// Why a foundation was shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopCause {
    /// SIGINT, from Ctrl-C, say; on Windows Ctrl-C or Ctrl-Break.
    Interrupt,
    /// SIGTERM: a request of the system; on Windows the end of the console or the machine.
    Terminate,
    /// The tree collapsed: [`ShutdownReport::collapse`] says how.
    Collapse,
    /// A request of the program.
    Request,
}

/// What a shutdown did: the actors that were stopped in each namespace, in what order, and how long it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Why the foundation was shut down.
    pub cause: StopCause,
    /// How the tree collapsed, if that is the cause: its restarts were too many, its root was killed, or its runtime is
    /// gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collapse: Option<Collapse>,
    /// The namespaces that were up.
    pub namespaces: Vec<CleanupReport>,
    /// From the request until the last actor was gone.
    #[serde(rename = "took_ms", serialize_with = "foundation_kernel::written::millis")]
    pub took: Duration,
}

impl ShutdownReport {
    /// The exit code for the operating system: failure after a collapse, success otherwise.
    ///
    /// The report is a [`Termination`], so a `main` that returns it, by itself or in a `Result`, ends with this code.
    pub fn exit_code(&self) -> ExitCode {
        match self.cause {
            StopCause::Collapse => ExitCode::FAILURE,
            StopCause::Interrupt | StopCause::Terminate | StopCause::Request => ExitCode::SUCCESS,
        }
    }
}

impl Termination for ShutdownReport {
    fn report(self) -> ExitCode {
        self.exit_code()
    }
}

impl fmt::Display for StopCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::Collapse => "the tree collapsed",
            Self::Request => "on request",
        })
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shut down in {:?}: ", self.took)?;
        match &self.collapse {
            Some(collapse) => write!(f, "{collapse}")?,
            None => write!(f, "{}", self.cause)?,
        }
        for namespace in &self.namespaces {
            write!(f, "\n{namespace}")?;
            for service in &namespace.stopped {
                let how = match service.how {
                    Stopped::InTime => "stopped",
                    Stopped::Brutally => "killed, as its rule says",
                    Stopped::Killed => "killed, since it did not stop in time",
                    // The kernel may know more.
                    _ => "stopped in another way",
                };
                write!(f, "\n  {}: {how}", service.path)?;
            }
        }
        Ok(())
    }
}
