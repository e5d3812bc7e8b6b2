//! Checks by TCP and HTTP against real listeners on the loopback that misbehave. In real time: the kernel has no paused clock.

use std::time::Duration;

use foundation_discovery::health::CheckRules;
use foundation_discovery::{HttpGet, InstanceCheck, InstanceLease};
use foundation_testkit::{soon, until};
use futures::future::pending;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::setup::{World, check_each, name, orders, world};

const LIMIT: Duration = Duration::from_millis(400);

/// What a server does with each connection.
#[derive(Clone, Copy)]
enum Answer {
    /// Writes nothing.
    Hang,
    /// Writes this after a request.
    Text(&'static str),
    /// The same, and closes.
    TextAndClose(&'static str),
    /// Writes the first, and then the second each time, without an end.
    Endless(&'static str, &'static str),
    /// Writes this, a byte in this time.
    Slow(&'static str, Duration),
    /// Closes with a reset, after the request.
    Reset,
}

impl Answer {
    async fn to(self, stream: &mut TcpStream) -> std::io::Result<()> {
        // Some of the request is enough.
        let _ = stream.read_u8().await?;
        match self {
            Self::Hang => Ok(()),
            Self::Text(text) | Self::TextAndClose(text) => stream.write_all(text.as_bytes()).await,
            Self::Endless(head, text) => {
                stream.write_all(head.as_bytes()).await?;
                loop {
                    stream.write_all(text.as_bytes()).await?;
                }
            }
            Self::Slow(text, pause) => {
                for byte in text.bytes() {
                    // The server is slow by intention.
                    let _ = timeout(pause, pending::<()>()).await;
                    stream.write_all(&[byte]).await?;
                }
                Ok(())
            }
            Self::Reset => stream.set_zero_linger(),
        }
    }

    /// Answers, and returns when the client has closed the connection, unless the server does.
    async fn serve(self, mut stream: TcpStream) {
        let answered = self.to(&mut stream).await;
        if answered.is_ok() && !matches!(self, Self::TextAndClose(_) | Self::Reset) {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        }
    }
}

/// A server, and a message for each of its connections that is over.
async fn server(answer: Answer) -> (u16, UnboundedReceiver<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (closed, closings) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let closed = closed.clone();
            tokio::spawn(async move {
                answer.serve(stream).await;
                let _ = closed.send(());
            });
        }
    });
    (port, closings)
}

async fn announce(world: &World, endpoint: &str) -> InstanceLease {
    let instance = orders("a").endpoint(endpoint).build().unwrap();
    world.discovery.announce(&instance, Duration::from_secs(3_600)).await.unwrap()
}

/// Checks an instance until its health is this, or is unhealthy with this in its text: on a busy machine a run may time out
/// that otherwise would not.
async fn checked(world: &World, check: InstanceCheck, expected: &str) {
    let check = check.every(Duration::from_millis(500)).within(LIMIT).rules(CheckRules::new().rise(1).fall(1));
    let checker = check_each(world, check);
    let health = || world.discovery.instance(&name("a")).unwrap().health.to_string();
    let is_as_expected = |health: String| {
        health == expected || health.strip_prefix("unhealthy: ").is_some_and(|reason| reason.contains(expected))
    };
    until(format!("{expected:?}"), async || is_as_expected(health())).await;
    checker.abort();
}

async fn checked_at(endpoint: &str, check: InstanceCheck, expected: &str) {
    let world = world().await;
    let _lease = announce(&world, endpoint).await;
    checked(&world, check, expected).await;
}

/// Checks a server, and waits until its side of the connection is closed.
async fn checked_by(answer: Answer, check: InstanceCheck, expected: &str) {
    let (port, mut closings) = server(answer).await;
    checked_at(&format!("http://127.0.0.1:{port}"), check, expected).await;
    soon("the end of the connection", closings.recv()).await.unwrap();
}

fn get() -> HttpGet {
    HttpGet::new("/ready")
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nready";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_listener_that_accepts_is_healthy_for_tcp_even_if_it_never_answers() {
    checked_by(Answer::Hang, InstanceCheck::tcp(), "healthy").await;
}

#[tokio::test]
async fn a_port_without_a_listener_refuses() {
    let port = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap().port();
    let refused = format!("failed: cannot connect to 127.0.0.1:{port}: ");
    for check in [InstanceCheck::tcp(), InstanceCheck::http(get())] {
        checked_at(&format!("http://127.0.0.1:{port}"), check, &refused).await;
    }
}

/// Connects until the backlog is full, and keeps the connections.
#[cfg(target_os = "linux")]
async fn fill(port: u16) -> Vec<TcpStream> {
    let mut kept = Vec::new();
    while let Ok(connected) = timeout(Duration::from_millis(200), TcpStream::connect(("127.0.0.1", port))).await {
        kept.push(connected.unwrap());
    }
    kept
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_listener_that_never_accepts_and_whose_backlog_is_full_times_out() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let port = listener.local_addr().unwrap().port();
    let _kept = fill(port).await;
    checked_at(&format!("http://127.0.0.1:{port}"), InstanceCheck::tcp(), "timed out after 400ms").await;
}

#[tokio::test]
async fn a_response_as_expected_is_healthy() {
    checked_by(Answer::Text(OK), InstanceCheck::http("/ready"), "healthy").await;
    for answer in [Answer::Text(OK), Answer::TextAndClose(OK)] {
        checked_by(answer, InstanceCheck::http(get().body_contains("eady")), "healthy").await;
    }
}

#[tokio::test]
async fn another_status_is_a_failure_and_redirects_are_not_followed() {
    let answer = Answer::Text("HTTP/1.1 500 Any Phrase\r\ncontent-length: 0\r\n\r\n");
    let expected = "failed: GET /ready: 500 Internal Server Error, and not 200 to 299";
    checked_by(answer, InstanceCheck::http(get()), expected).await;
    let answer = Answer::Text("HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n");
    checked_by(answer, InstanceCheck::http(get()), "failed: GET /ready: 302 Found, and not 200 to 299").await;
    checked_by(answer, InstanceCheck::http(get().expect(300..400)), "healthy").await;
}

#[tokio::test]
async fn a_server_that_never_answers_times_out_and_its_connection_is_closed() {
    checked_by(Answer::Hang, InstanceCheck::http(get()), "timed out after 400ms").await;
}

#[tokio::test]
async fn a_slow_answer_counts_within_the_time_limit_and_not_beyond() {
    let slow = |millis| Answer::Slow(OK, Duration::from_millis(millis));
    checked_by(slow(1), InstanceCheck::http(get()), "healthy").await;
    checked_by(slow(50), InstanceCheck::http(get()), "timed out after 400ms").await;
}

#[tokio::test]
async fn a_connection_that_is_reset_or_closed_in_the_middle_is_a_failure() {
    let truncated = Answer::TextAndClose("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nhalf of it");
    let halves = [
        (Answer::Reset, get()),
        (Answer::TextAndClose(""), get()),
        (Answer::TextAndClose("HTTP/1.1 200 OK\r\ncont"), get()),
        (Answer::TextAndClose("no HTTP at all\r\n\r\n"), get()),
        (truncated, get().body_contains("the other half")),
    ];
    for (answer, get) in halves {
        checked_by(answer, InstanceCheck::http(get), "failed: GET /ready: ").await;
    }
}

#[tokio::test]
async fn of_a_response_without_an_end_a_limited_part_is_read() {
    let chunk: &str = format!("1000\r\n{}\r\n", "ready-or-not-yet".repeat(256)).leak();
    let body = Answer::Endless(CHUNKED, chunk);
    checked_by(body, InstanceCheck::http(get()), "healthy").await;
    checked_by(body, InstanceCheck::http(get().body_contains("yetready")), "healthy").await;
    let expected = r#"failed: GET /ready: "never" is not in the first 65536 bytes of the body"#;
    checked_by(body, InstanceCheck::http(get().body_contains("never")), expected).await;
    let head = Answer::Endless("HTTP/1.1 200 OK\r\n", "x-more: and more\r\n");
    checked_by(head, InstanceCheck::http(get()), "failed: GET /ready: ").await;
}

#[tokio::test]
async fn an_endpoint_that_does_not_fit_the_check_is_a_failure_that_says_so() {
    let needs_tls = "failed: https://127.0.0.1:1 needs TLS, which checks by HTTP do not speak";
    checked_at("https://127.0.0.1:1", InstanceCheck::http(get()), needs_tls).await;
    for check in [InstanceCheck::tcp(), InstanceCheck::http(get())] {
        let world = world().await;
        world.spawn("a").await;
        checked(&world, check, "failed: orders.a has no endpoint to connect to").await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes several seconds, and counts the open files of the process"]
async fn ten_thousand_checks_leak_no_file() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const CHECKS: usize = 10_000;
    let files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (hangs, mut hung) = server(Answer::Hang).await;
    let (answers, mut answered) = server(Answer::Text(OK)).await;
    let world = world().await;
    let mut leases = Vec::new();
    for id in 0..200 {
        let port = if id % 20 == 0 { hangs } else { answers };
        let instance = orders(&format!("i{id}")).endpoint(format!("http://127.0.0.1:{port}")).build().unwrap();
        leases.push(world.discovery.announce(&instance, Duration::from_secs(3_600)).await.unwrap());
    }
    let before = files();
    let over = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&over);
    let count = tokio::spawn(async move {
        while counted.fetch_add(1, Ordering::SeqCst) < CHECKS {
            tokio::select! {
                closed = hung.recv() => closed.unwrap(),
                closed = answered.recv() => closed.unwrap(),
            }
        }
    });
    let often = |check: InstanceCheck| check.every(Duration::from_millis(100)).within(Duration::from_millis(100));
    let checkers = [
        check_each(&world, often(InstanceCheck::http(get().body_contains("ready")))),
        check_each(&world, often(InstanceCheck::tcp())),
    ];
    count.await.unwrap();
    checkers.iter().for_each(tokio::task::JoinHandle::abort);
    until("all connections are closed", async || files() <= before).await;
}
