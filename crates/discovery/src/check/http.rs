//! Checks by HTTP.

use std::ops::Range;
use std::pin::{Pin, pin};

use foundation_kernel::containment::error_text;
use foundation_kernel::text::shortened_to;
use futures::future::{Either, poll_fn, select};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::instance::Endpoint;
use crate::limits::MAX_HTTP_BODY;

/// How much of a wanted text an error shows, in bytes.
const MAX_SHOWN: usize = 64;
/// How much of the head of a response is read, in bytes.
const MAX_HEAD: usize = 64 * 1_024;

/// A GET request by HTTP/1.1 to the endpoint of an instance, and which response is a yes: by default each whose status is 200
/// to 299.
///
/// Each has a connection of its own, which is closed afterwards. Redirects are not followed; TLS is not spoken: an endpoint
/// whose protocol is not `http` is a failure that says so. The body is read only for [`body_contains`](Self::body_contains),
/// and at most [`MAX_HTTP_BODY`] bytes of it.
///
/// ```
/// use foundation_discovery::{HttpGet, InstanceCheck};
///
/// let ready = HttpGet::new("/ready").header("accept", "text/plain").expect(200..300).body_contains("ok");
/// let check = InstanceCheck::http(ready);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGet {
    path: String,
    headers: Vec<(String, String)>,
    statuses: Range<u16>,
    text: Option<Vec<u8>>,
}

impl From<&str> for HttpGet {
    fn from(path: &str) -> Self {
        Self::new(path)
    }
}

impl HttpGet {
    /// Asks for this path, which begins with `/` and may have a query. What is no path is a failure of each run.
    pub fn new(path: &str) -> Self {
        Self { path: path.to_owned(), headers: Vec::new(), statuses: 200..300, text: None }
    }

    /// Which statuses are a yes.
    pub fn expect(self, statuses: Range<u16>) -> Self {
        Self { statuses, ..self }
    }

    /// Adds a header. `host` is that of the endpoint, unless it is added. What is no header is a failure of each run.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A response is a yes only if its body has this text.
    pub fn body_contains(self, text: &str) -> Self {
        Self { text: Some(text.as_bytes().to_owned()), ..self }
    }

    /// The request to this endpoint.
    pub(super) fn request(&self, endpoint: &Endpoint) -> Result<Request<String>, String> {
        match endpoint.protocol() {
            "http" => {}
            "https" => return Err(format!("{endpoint} needs TLS, which checks by HTTP do not speak")),
            _ => return Err(format!("{endpoint} is not reached by HTTP: its protocol would be http")),
        }
        if !self.path.starts_with('/') {
            return Err(format!("{:?} is no path of HTTP, which begins with /", shortened_to(&self.path, MAX_SHOWN)));
        }
        let mut request = Request::get(self.path.as_str()).header("connection", "close");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("host", endpoint.address());
        }
        request.body(String::new()).map_err(|error| format!("the request is not valid: {error}"))
    }

    /// Asks by this connection, which is closed afterwards.
    pub(super) async fn ask(&self, stream: TcpStream, request: Request<String>) -> Result<(), String> {
        self.exchange(stream, request).await.map_err(|error| format!("GET {}: {error}", self.path))
    }

    async fn exchange(&self, stream: TcpStream, request: Request<String>) -> Result<(), String> {
        let mut builder = http1::Builder::new();
        let handshake = builder.max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| error_text(&error))?;
        let asked = async {
            let response = sender.send_request(request).await.map_err(|error| error_text(&error))?;
            self.judge(response).await
        };
        // The connection is polled here, on no task of its own: with this future it is closed.
        match select(pin!(asked), pin!(connection)).await {
            Either::Left((judged, _)) => judged,
            Either::Right((_, asked)) => asked.await,
        }
    }

    async fn judge(&self, response: Response<Incoming>) -> Result<(), String> {
        let status = response.status();
        if !self.statuses.contains(&status.as_u16()) {
            let Range { start, end } = self.statuses;
            return Err(format!("{}, and not {start} to {}", described(status), end.saturating_sub(1)));
        }
        match &self.text {
            Some(text) => has_text(response.into_body(), text).await,
            None => Ok(()),
        }
    }
}

/// A status without the phrase of the server, which may be any text.
fn described(status: StatusCode) -> String {
    status
        .canonical_reason()
        .map_or_else(|| status.as_str().to_owned(), |reason| format!("{} {reason}", status.as_u16()))
}

/// Reads a body until it has this text.
async fn has_text(mut body: Incoming, text: &[u8]) -> Result<(), String> {
    let mut read = Vec::new();
    while read.len() < MAX_HTTP_BODY {
        let Some(data) = next_data(&mut body).await? else { break };
        // What was looked at before need not be looked at again, but for the last bytes of it.
        let looked_at = (read.len() + 1).saturating_sub(text.len());
        read.extend_from_slice(&data[..data.len().min(MAX_HTTP_BODY - read.len())]);
        if contains(&read[looked_at..], text) {
            return Ok(());
        }
    }
    if text.is_empty() {
        return Ok(());
    }
    let wanted = shortened_to(&String::from_utf8_lossy(text), MAX_SHOWN);
    Err(format!("{wanted:?} is not in the first {} bytes of the body", read.len()))
}

async fn next_data(body: &mut Incoming) -> Result<Option<Bytes>, String> {
    let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
    let frame = frame.transpose().map_err(|error| error_text(&error))?;
    // Trailers are no data.
    Ok(frame.map(|frame| frame.into_data().unwrap_or_default()))
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    text.is_empty() || bytes.windows(text.len()).any(|window| window == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(get: HttpGet, endpoint: &str) -> String {
        get.request(&endpoint.parse().unwrap()).unwrap_err()
    }

    #[test]
    fn what_cannot_be_asked_is_refused_with_the_reason() {
        let get = || HttpGet::new("/ready");
        assert_eq!(refused(get(), "https://a:1"), "https://a:1 needs TLS, which checks by HTTP do not speak");
        assert_eq!(refused(get(), "grpc://a:1"), "grpc://a:1 is not reached by HTTP: its protocol would be http");
        assert_eq!(refused(HttpGet::new("ready"), "http://a:1"), "\"ready\" is no path of HTTP, which begins with /");
        let invalid = "the request is not valid: invalid HTTP header name";
        assert_eq!(refused(get().header("no header", "x"), "http://a:1"), invalid);
        assert!(refused(HttpGet::new("/a b"), "http://a:1").starts_with("the request is not valid: "));
    }

    #[test]
    fn the_host_is_that_of_the_endpoint_unless_another_is_given() {
        let host = |get: HttpGet| get.request(&"http://[::1]:80".parse().unwrap()).unwrap().headers()["host"].clone();
        assert_eq!(host(HttpGet::new("/")), "[::1]:80");
        assert_eq!(host(HttpGet::new("/").header("Host", "orders")), "orders");
    }
}
