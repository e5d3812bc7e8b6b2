//! Checks by a connection.

use tokio::net::TcpStream;

use crate::instance::{Endpoint, InstanceRecord};

/// Connects, and closes the connection.
pub(super) async fn check(record: InstanceRecord) -> Result<(), String> {
    connect(endpoint_of(&record)?).await.map(drop)
}

pub(super) fn endpoint_of(record: &InstanceRecord) -> Result<&Endpoint, String> {
    record.instance.endpoint().ok_or_else(|| format!("{} has no endpoint to connect to", record.name()))
}

/// A connection to an endpoint; the error says to which one.
pub(super) async fn connect(endpoint: &Endpoint) -> Result<TcpStream, String> {
    let connected = TcpStream::connect((endpoint.host(), endpoint.port())).await;
    connected.map_err(|error| format!("cannot connect to {}: {error}", endpoint.address()))
}
