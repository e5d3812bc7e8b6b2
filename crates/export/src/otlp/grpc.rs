//! Requests of OTLP by gRPC: one call by HTTP/2, each with a connection of its own.

use std::future::{pending, poll_fn};
use std::pin::pin;

use foundation_kernel::containment::error_text;
use futures::future::{Either, select};
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, TE, USER_AGENT};
use hyper::{Request, StatusCode};

use super::answer::{Accepted, MAX_ANSWER, SendError, accepted, is_busy};
use super::body::Pieces;
use super::endpoint::{Endpoint, Headers};
use super::grpc_status::refused;
use super::http::{AGENT, connect};

const METHOD: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
/// How much of the head of an answer, and of its trailers, is read, in bytes.
const MAX_HEAD: u32 = 64 * 1_024;
/// What is before each message: whether it is compressed, and its length in four bytes.
const FRAME: usize = 5;

/// Sends a request by a connection of its own, which is closed with this future.
pub(super) async fn call(endpoint: &Endpoint, headers: &Headers, body: Pieces) -> Result<Accepted, SendError> {
    let stream = connect(endpoint).await?;
    let mut builder = Builder::new();
    let handshake = builder.max_header_list_size(MAX_HEAD).enable_push(false).handshake(stream).await;
    let (sender, connection) = handshake.map_err(|error| broken(&error))?;
    let asked = exchange(sender, request(endpoint, headers)?, framed(body));
    // The connection is polled here, on no task of its own: with this future it is closed.
    match select(pin!(asked), pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, asked)) => asked.await,
    }
}

fn request(endpoint: &Endpoint, headers: &Headers) -> Result<Request<()>, SendError> {
    let request = Request::post(format!("http://{endpoint}{METHOD}"))
        .header(TE, "trailers")
        .header(CONTENT_TYPE, "application/grpc")
        .header(USER_AGENT, AGENT);
    let mut request = request.body(()).map_err(|error| SendError::fatal(error.to_string()))?;
    request.headers_mut().extend(headers.map().clone());
    Ok(request)
}

fn framed(body: Pieces) -> Pieces {
    let length = (body.len() as u32).to_be_bytes();
    body.before([&[0][..], &length].concat().into())
}

async fn exchange(sender: SendRequest<Bytes>, request: Request<()>, body: Pieces) -> Result<Accepted, SendError> {
    let mut sender = sender.ready().await.map_err(|error| broken(&error))?;
    let (response, stream) = sender.send_request(request, false).map_err(|error| broken(&error))?;
    let sending = async {
        // If it cannot be sent, the answer says why.
        let _sent = send(stream, body).await;
        pending().await
    };
    // At the same time: a receiver may answer before it has read all, and read no more.
    match select(pin!(receive(response)), pin!(sending)).await {
        Either::Left((answer, _)) => answer,
        Either::Right((never, _)) => never,
    }
}

/// Sends the pieces as fast as the receiver makes room for them.
async fn send(mut stream: SendStream<Bytes>, mut body: Pieces) -> Result<(), h2::Error> {
    while let Some((mut piece, is_last)) = body.next() {
        while !piece.is_empty() {
            stream.reserve_capacity(piece.len());
            let Some(room) = poll_fn(|context| stream.poll_capacity(context)).await else { return Ok(()) };
            let part = piece.split_to(room?.min(piece.len()));
            stream.send_data(part, is_last && piece.is_empty())?;
        }
    }
    Ok(())
}

async fn receive(response: ResponseFuture) -> Result<Accepted, SendError> {
    let (head, mut stream) = response.await.map_err(|error| broken(&error))?.into_parts();
    if head.status != StatusCode::OK {
        let reason = format!("status {} of HTTP, and none of gRPC", head.status.as_u16());
        return Err(if is_busy(head.status) { SendError::retry(reason) } else { SendError::fatal(reason) });
    }
    // Without a message the status may be in the head.
    if let Some(ended) = status(&head.headers) {
        ended?;
    }
    let message = read(&mut stream).await?;
    let trailers = stream.trailers().await.map_err(|error| broken(&error))?.unwrap_or_default();
    status(&trailers).unwrap_or_else(|| Err(SendError::fatal("an answer without a status of gRPC")))?;
    let no_otlp = || SendError::fatal("an answer that is none of OTLP");
    message.get(FRAME..).and_then(|message| accepted(message).ok()).ok_or_else(no_otlp)
}

/// The status, if there is one.
fn status(headers: &HeaderMap) -> Option<Result<(), SendError>> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let code: u32 = text("grpc-status")?.parse().ok()?;
    let message = text("grpc-message").unwrap_or_default();
    Some(if code == 0 { Ok(()) } else { Err(refused(code, message, text("grpc-status-details-bin"))) })
}

async fn read(stream: &mut RecvStream) -> Result<Vec<u8>, SendError> {
    let mut answer = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data.map_err(|error| broken(&error))?;
        if answer.len() + data.len() > MAX_ANSWER {
            return Err(SendError::fatal(format!("an answer of more than {MAX_ANSWER} bytes")));
        }
        answer.extend_from_slice(&data);
        // An error: the stream has ended.
        drop(stream.flow_control().release_capacity(data.len()));
    }
    Ok(answer)
}

/// A connection that ends may be made again; a receiver that does not speak HTTP/2 goes on not to.
fn broken(error: &h2::Error) -> SendError {
    // Without what the receiver says besides: it is quoted there, so that a secret in it would not be found.
    let reason = match error.reason().filter(|_| error.is_remote()) {
        Some(reason) => format!("the receiver has ended it: {reason}"),
        None => error_text(error),
    };
    if error.is_io() || error.is_remote() { SendError::retry(reason) } else { SendError::fatal(reason) }
}
