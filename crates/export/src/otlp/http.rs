//! Requests of OTLP by HTTP/1.1.

use std::pin::{Pin, pin};
use std::time::SystemTime;

use foundation_kernel::containment::error_text;
use futures::future::{Either, poll_fn, select};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::answer::{Accepted, MAX_ANSWER, SendError, judge};
use super::body::Pieces;
use super::encode::Otlp;
use super::endpoint::{Endpoint, Headers};
use crate::format::Format;

pub(super) const AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
/// How much of the head of an answer is read, in bytes.
const MAX_HEAD: usize = 64 * 1_024;
/// Where a receiver takes metrics, below the path of its URL.
const PATH: &str = "/v1/metrics";

/// Sends a request by a connection of its own, which is closed with this future.
pub(super) async fn post(endpoint: &Endpoint, headers: &Headers, body: Pieces) -> Result<Accepted, SendError> {
    let stream = connect(endpoint).await?;
    let request = request(endpoint, headers, body)?;
    let mut builder = http1::Builder::new();
    let handshake = builder.max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| broken(&error))?;
    let asked = async {
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        read(response).await
    };
    // The connection is polled here, on no task of its own: with this future it is closed.
    match select(pin!(asked), pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, asked)) => asked.await,
    }
}

pub(super) async fn connect(endpoint: &Endpoint) -> Result<TcpStream, SendError> {
    let stream = TcpStream::connect(endpoint.address()).await;
    let stream = stream.map_err(|error| SendError::retry(format!("no connection to {endpoint}: {error}")))?;
    // What is left of a request is not kept back until the first part of it is acknowledged.
    drop(stream.set_nodelay(true));
    Ok(stream)
}

fn request(endpoint: &Endpoint, headers: &Headers, body: Pieces) -> Result<Request<Pieces>, SendError> {
    let path = &endpoint.path;
    let path = if path.ends_with(PATH) { path.clone() } else { format!("{path}{PATH}") };
    let request = Request::post(path)
        .header(HOST, endpoint.to_string())
        .header(CONTENT_TYPE, Otlp::CONTENT_TYPE)
        .header(USER_AGENT, AGENT);
    let mut request = request.body(body).map_err(|error| SendError::fatal(error.to_string()))?;
    request.headers_mut().extend(headers.map().clone());
    Ok(request)
}

async fn read(response: Response<Incoming>) -> Result<Accepted, SendError> {
    let (head, mut body) = response.into_parts();
    let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let mut answer = Vec::new();
    while let Some(data) = next_data(&mut body).await? {
        if answer.len() + data.len() > MAX_ANSWER {
            if head.status.is_success() {
                return Err(SendError::fatal(format!("an answer of more than {MAX_ANSWER} bytes")));
            }
            // The status says what there is to know.
            answer.clear();
            break;
        }
        answer.extend_from_slice(&data);
    }
    judge(head.status, retry_after, &answer, SystemTime::now())
}

async fn next_data(body: &mut Incoming) -> Result<Option<Bytes>, SendError> {
    let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
    let frame = frame.transpose().map_err(|error| broken(&error))?;
    // Trailers are no data.
    Ok(frame.map(|frame| frame.into_data().unwrap_or_default()))
}

/// A connection that ends may be made again; a receiver that does not speak HTTP goes on not to.
fn broken(error: &hyper::Error) -> SendError {
    let reason = error_text(error);
    if error.is_parse() { SendError::fatal(reason) } else { SendError::retry(reason) }
}
