//! What the integration tests share: an actor that can be ordered to misbehave, gates, logs, clocks and faults.
//!
//! A [`Puppet`] is one name with all its incarnations. It says how they behave at each [`Moment`], and its [`Log`] has
//! what happened to them. Supervisors send their reports to [`Reports`], which a test awaits.
//!
//! ```
//! use foundation::supervision::SupervisorSpec;
//! use foundation::{Strategy, Supervisor};
//! use foundation_testkit::{Behavior, Command, Log, Moment, Puppet, reports};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let log = Log::new();
//! let worker = Puppet::new("worker", &log);
//! let (reporter, mut reports) = reports();
//! let spec = SupervisorSpec::new(Strategy::OneForOne).child(worker.spec()).reporter(reporter);
//! let supervisor = Supervisor::start("top", spec).await?;
//!
//! worker.next(Moment::Starting, Behavior::Fail("no disk")); // The next start fails; the one after it does not.
//! worker.order(Command::Fail("out of ink"));
//! assert_eq!(reports.start_failed("worker").await, "no disk");
//! reports.restarted("worker").await;
//! assert_eq!(log.of(&[Moment::Up]), ["worker up", "worker up"]);
//! supervisor.shutdown().await;
//! # Ok::<(), foundation::supervision::StartError>(())
//! # }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```

mod behavior;
mod clock;
mod errors;
mod exit_monitor;
mod faulty_disk;
mod faulty_log;
mod gate;
pub mod hostile;
mod log;
mod panicking_waker;
mod pool;
mod puppet;
mod reports;
mod services;
mod test_disk;
mod trace_log;
mod waiting;

pub use behavior::{Behavior, Call};
pub use clock::{HeldRead, TestClock, at};
pub use errors::error_text;
pub use exit_monitor::ExitMonitor;
pub use faulty_disk::{FaultyDisk, WrittenPart};
pub use faulty_log::{Committed, ErrorInjector, FaultyLog, InjectedError};
pub use gate::Gate;
pub use log::{Log, Moment};
pub use panicking_waker::PanickingWaker;
pub use pool::Pool;
pub use puppet::{Command, Probe, ProbeState, Puppet, ping};
pub use reports::{Reports, reports};
pub use services::{
    configured, crash, first_event, held_up_by, nth_event, pid, settings, test_registry, unregister_event_store,
    wait_until_up,
};
pub use test_disk::TestDisk;
pub use trace_log::{TraceLog, subscribe};
pub use waiting::{SOON, alive_tasks, eventually, poll_and_drop, soon, until, until_tasks_left};
