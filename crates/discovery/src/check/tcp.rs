//! Checks by a connection.

use tokio::net::TcpStream;

use crate::instance::Endpoint;

/// A connection to an endpoint; the error says to which one.
pub(super) async fn connect(endpoint: &Endpoint) -> Result<TcpStream, String> {
    let connected = TcpStream::connect((endpoint.host(), endpoint.port())).await;
    connected.map_err(|error| format!("cannot connect to {}: {error}", endpoint.address()))
}
