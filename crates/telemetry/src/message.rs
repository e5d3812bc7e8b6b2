//! The messages of the telemetry actor.

use foundation_kernel::ractor::RpcReplyPort;
use foundation_kernel::{ServiceKey, local_message};

use super::error::TelemetryError;
use super::handler::Handler;
use super::scrape::Scrape;

/// The name of the telemetry service in each namespace.
pub(crate) const TELEMETRY: ServiceKey<TelemetryMsg> = ServiceKey::new("telemetry");

pub(crate) enum TelemetryMsg {
    Attach(Handler, RpcReplyPort<Result<(), TelemetryError>>),
    Detach(String, RpcReplyPort<bool>),
    Handlers(RpcReplyPort<Vec<String>>),
    Scrape(RpcReplyPort<Scrape>),
    Tick(RpcReplyPort<()>),
}
local_message!(TelemetryMsg);
