//! A supervisor's guarantees beyond OTP's suite, because ractor's events come before an actor is gone, and because it
//! stays responsive while a child starts.

mod ending;
mod gone;
mod responsive;
mod starting;
mod strangers;

use std::time::Duration;

use foundation::supervision::SupervisorSpec;
use foundation::{ChildSpec, Strategy};
use foundation_testkit::Puppet;

use super::at_most;

const SECOND: Duration = Duration::from_secs(1);

fn family(inner: &[&Puppet]) -> (SupervisorSpec, SupervisorSpec) {
    let inner = SupervisorSpec::new(Strategy::OneForOne).children(inner.iter().map(|puppet| puppet.spec()));
    let outer = SupervisorSpec::new(Strategy::OneForOne)
        .intensity(at_most(1000))
        .child(ChildSpec::supervisor("inner", inner.clone()));
    (inner, outer)
}
