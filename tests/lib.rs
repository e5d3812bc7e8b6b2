//! Shared by the scenarios: an actor on strings, with a switch for each way to fail, a log of what such actors lived
//! through, and a reporter to await what a supervisor did.
//!
//! ```text
//! let log = Log::new();
//! let clerk = Puppet::new("clerk", &log);                  // conduct and log are shared by all its incarnations
//! clerk.next(Moment::Starting, Conduct::Fail("no desk"));  // the next start fails; the one after it does not
//! let (reporter, mut reports) = reports();
//! let spec = SupervisorSpec::new(Strategy::OneForOne).child(clerk.spec()).reporter(reporter);
//! …
//! clerk.order(Order::Panic("oh"));
//! let actor = reports.restarted("clerk").await;
//! assert_eq!(log.of(&[Moment::Up]), ["clerk up", "clerk up"]);
//! ```

mod support;

pub use support::*;
