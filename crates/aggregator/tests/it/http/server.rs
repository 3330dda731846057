//! The server on a real port: its limits, and how it stops.

use std::net::SocketAddr;
use std::time::Duration;

use aggregator::http::server::tls::Tls;
use aggregator::http::server::{ServerLimits, serve};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::http::app::{App, KEY, SERVICE};
use crate::http::fakes::Mood;

/// How long a test waits for a condition. Only a failing test waits so long.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// A limit that is meant to be reached.
pub(super) const SHORT: Duration = Duration::from_millis(50);
/// The same for a head: a busy machine sends a whole one in it.
pub(super) const HEAD: Duration = Duration::from_secs(1);

/// Limits that no test reaches.
pub(super) const LIMITS: ServerLimits = ServerLimits {
    connections: 900,
    first_head: Duration::from_secs(60),
    head: Duration::from_secs(60),
    write_stall: Duration::from_secs(60),
    drain_timeout: Duration::from_secs(60),
};

pub(super) struct Server {
    pub(super) app: App,
    pub(super) address: SocketAddr,
    pub(super) stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Server {
    async fn start(limits: ServerLimits) -> Self {
        Self::start_with(None, limits).await
    }

    pub(super) async fn start_with(tls: Option<Tls>, limits: ServerLimits) -> Self {
        let app = App::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(listener, tls, app.router.clone(), limits, stop.clone()));
        Self { app, address, stop, served }
    }

    pub(super) async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap() }
    }

    /// Reads one answer, then requests more than the buffers of both sides hold, and reads none.
    pub(super) async fn stop_reading<S>(&self, client: &mut Client<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.app.repository.register("large", "teacher", 10_000);
        client.get("/internal/v1/batches/batch/status").await;
        client.answer().await;
        for _ in 0..20 {
            client.get("/internal/v1/batches/large/status").await;
        }
    }

    /// Stops the server and waits until it has returned.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.stopped().await;
    }

    pub(super) async fn stopped(self) {
        within(self.served).await.unwrap();
    }
}

pub(super) struct Client<S = TcpStream> {
    pub(super) stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(super) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    pub(super) async fn get(&mut self, path: &str) {
        let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\n");
        let auth = format!("X-Internal-API-Key: {KEY}\r\nX-Service-ID: {SERVICE}\r\n");
        self.send(&format!("{head}{auth}\r\n")).await;
    }

    /// One answer: its head, and as much of the body as its length says.
    pub(super) async fn answer(&mut self) -> String {
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            answer.push(within(self.stream.read_u8()).await.unwrap().into());
        }
        let length = answer.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        within(self.stream.read_exact(&mut body)).await.unwrap();
        answer + &String::from_utf8(body).unwrap()
    }

    /// Everything until the server closes.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A connection that was reset is closed as well.
        let _ = within(self.stream.read_to_end(&mut rest)).await;
        rest
    }
}

pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap()
}

#[tokio::test]
async fn connection_serves_one_request_after_another() {
    let server = Server::start(LIMITS).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.get("/internal/v1/batches/user/teacher").await;
        assert!(client.answer().await.starts_with("HTTP/1.1 200 OK"));
    }
    server.stop().await;
}

#[tokio::test]
async fn stop_closes_idle_connections_and_the_port() {
    let server = Server::start(LIMITS).await;
    let mut silent = server.connect().await;
    let mut idle = server.connect().await;
    idle.get("/healthz").await;
    idle.answer().await;
    let address = server.address;
    server.stop().await;
    assert!(silent.rest().await.is_empty());
    assert!(idle.rest().await.is_empty());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn stop_finishes_the_answer_under_way() {
    let server = Server::start(LIMITS).await;
    server.app.repository.set_mood(Mood::Waits);
    let mut client = server.connect().await;
    client.get("/internal/v1/batches/user/teacher").await;
    within(server.app.repository.entered.notified()).await;
    server.stop.cancel();
    // The port is closed first, while the answer is still under way.
    within(async { while TcpStream::connect(server.address).await.is_ok() {} }).await;
    assert!(!server.served.is_finished());
    server.app.repository.release.add_permits(1);
    let answer = client.answer().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(client.rest().await.is_empty());
    server.stopped().await;
}

#[tokio::test]
async fn stop_closes_busy_connections_after_the_drain_timeout() {
    let server = Server::start(ServerLimits { drain_timeout: SHORT, ..LIMITS }).await;
    server.app.repository.set_mood(Mood::Waits);
    let mut client = server.connect().await;
    client.get("/internal/v1/batches/user/teacher").await;
    within(server.app.repository.entered.notified()).await;
    server.stop().await;
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn unfinished_head_is_closed_after_its_timeout() {
    let server = Server::start(ServerLimits { head: HEAD, ..LIMITS }).await;
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    slow.send("GET /healthz HTTP/1.1\r\nHost:").await;
    let mut idle = server.connect().await;
    idle.get("/healthz").await;
    idle.answer().await;
    for client in [&mut silent, &mut slow, &mut idle] {
        assert!(!client.rest().await.starts_with(b"HTTP/1.1 200"));
    }
    server.stop().await;
}

#[tokio::test]
async fn head_larger_than_the_limit_is_refused() {
    let server = Server::start(LIMITS).await;
    let mut client = server.connect().await;
    let long = "x".repeat(40 * 1024);
    // The server may close before all is sent.
    let head = format!("GET /healthz HTTP/1.1\r\nX-Long: {long}\r\n\r\n");
    let _ = client.stream.write_all(head.as_bytes()).await;
    let mut status = [0; 12];
    within(client.stream.read_exact(&mut status)).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 431");
    server.stop().await;
}

#[tokio::test]
async fn connection_above_the_limit_waits_while_all_others_are_busy() {
    let server = Server::start(ServerLimits { connections: 1, ..LIMITS }).await;
    server.app.repository.set_mood(Mood::Waits);
    let mut first = server.connect().await;
    first.get("/internal/v1/batches/user/teacher").await;
    within(server.app.repository.entered.notified()).await;
    let mut second = server.connect().await;
    second.get("/healthz").await;
    let waits = timeout(SHORT, second.stream.readable()).await;
    assert!(waits.is_err(), "the first one is busy");
    server.app.repository.release.add_permits(1);
    assert!(first.answer().await.starts_with("HTTP/1.1 200 OK"), "it is not cut short");
    assert!(second.answer().await.starts_with("HTTP/1.1 200 OK"));
    assert!(first.rest().await.is_empty(), "it had to go once it was idle");
    server.stop().await;
}

#[tokio::test]
async fn idle_connections_are_evicted_those_without_a_request_first() {
    // So long that only an eviction closes a connection.
    let first_head = PATIENCE * 10;
    let limits = ServerLimits { connections: 3, first_head, ..LIMITS };
    let server = Server::start(limits).await;
    let mut kept = server.connect().await;
    kept.get("/healthz").await;
    kept.answer().await;
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    slow.send("GET /healthz HTTP/1.1\r\nHost:").await;
    let mut held = Vec::new();
    for gone in [&mut silent, &mut slow] {
        let mut new = server.connect().await;
        new.get("/healthz").await;
        assert!(new.answer().await.starts_with("HTTP/1.1 200 OK"));
        assert!(gone.rest().await.is_empty());
        kept.get("/healthz").await;
        assert!(kept.answer().await.starts_with("HTTP/1.1 200 OK"), "it had a request");
        held.push(new);
    }
    server.stop().await;
}

#[tokio::test]
async fn many_idle_connections_do_not_delay_a_new_client() {
    // So long that only an eviction closes a connection.
    let first_head = PATIENCE * 10;
    let limits = ServerLimits { connections: 20, first_head, ..LIMITS };
    let server = Server::start(limits).await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(server.connect().await);
        let mut client = server.connect().await;
        client.get("/healthz").await;
        assert!(client.answer().await.starts_with("HTTP/1.1 200 OK"));
        idle.push(client);
    }
    server.stop().await;
}

#[tokio::test]
async fn new_connection_without_a_request_is_closed_soon() {
    let limits = ServerLimits { first_head: HEAD, ..LIMITS };
    let server = Server::start(limits).await;
    let mut kept = server.connect().await;
    kept.get("/healthz").await;
    kept.answer().await;
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    slow.send("GET /healthz HTTP/1.1\r\nHost:").await;
    assert!(silent.rest().await.is_empty());
    assert!(slow.rest().await.is_empty());
    kept.get("/healthz").await;
    assert!(kept.answer().await.starts_with("HTTP/1.1 200 OK"), "the limit is for the first");
    server.stop().await;
}

#[tokio::test]
async fn host_is_required_once_and_must_be_one() {
    let server = Server::start(LIMITS).await;
    for (version, hosts, want) in [
        ("1.1", "", 400),
        ("1.1", "Host: a\r\nHost: a\r\n", 400),
        ("1.1", "Host: a\r\nhost: b\r\n", 400),
        ("1.1", "Host: a b\r\n", 400),
        ("1.1", "Host: user@a\r\n", 400),
        ("1.0", "Host: a\r\nHost: a\r\n", 400),
        ("1.0", "", 200),
        ("1.1", "Host:\r\n", 200),
        ("1.1", "Host: a:4003\r\n", 200),
        ("1.1", "Host: [::1]:4003\r\n", 200),
    ] {
        let mut client = server.connect().await;
        client.send(&format!("GET /healthz HTTP/{version}\r\n{hosts}\r\n")).await;
        let answer = client.answer().await;
        assert!(answer.starts_with(&format!("HTTP/{version} {want}")), "{hosts:?}: {answer}");
        assert_eq!(answer.contains(r#""code":"malformed_request""#), want == 400, "{answer}");
    }
    server.stop().await;
}

/// Requests refused before their body is read, with a body of each form.
#[tokio::test]
async fn connection_continues_or_is_closed_with_notice_after_a_refusal() {
    const SMALL: usize = 1_000;
    const LARGE: usize = 2 * 1024 * 1024;
    let server = Server::start(LIMITS).await;
    let auth = format!("X-Internal-API-Key: {KEY}\r\nX-Service-ID: {SERVICE}\r\n");
    for (target, auth, want) in [
        ("POST /internal/v1/events", "", 401),
        ("POST /nothing", "", 404),
        ("POST /healthz", "", 405),
        ("PUT /internal/v1/events", &*auth, 405),
        ("POST /internal/v1/events", &*auth, 415),
    ] {
        for length in [SMALL, LARGE] {
            let mut client = server.connect().await;
            let head = format!("{target} HTTP/1.1\r\nHost: a\r\n{auth}");
            client.send(&format!("{head}Content-Length: {length}\r\n\r\n")).await;
            client.send(&"x".repeat(length)).await;
            let answer = client.answer().await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {want}")), "{target}: {answer}");
            assert_goes_on(&mut client, &answer, length == SMALL).await;
        }
        // Chunked, without a length.
        let mut client = server.connect().await;
        let head = format!("{target} HTTP/1.1\r\nHost: a\r\n{auth}");
        client.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n")).await;
        client.send(&format!("20\r\n{}\r\n0\r\n\r\n", "x".repeat(32))).await;
        let answer = client.answer().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {want}")), "{target}: {answer}");
        assert_goes_on(&mut client, &answer, true).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn client_refused_before_100_continue_sends_no_body() {
    let server = Server::start(LIMITS).await;
    let mut client = server.connect().await;
    let head = "POST /internal/v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n";
    client.send(&format!("{head}Expect: 100-continue\r\n\r\n")).await;
    let answer = client.answer().await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_goes_on(&mut client, &answer, false).await;
    server.stop().await;
}

/// Checks that the connection of an answer can be used again, or that the answer says it cannot.
async fn assert_goes_on(client: &mut Client, answer: &str, can_go_on: bool) {
    assert_eq!(answer.contains("connection: close"), !can_go_on, "{answer}");
    if can_go_on {
        client.get("/healthz").await;
        let next = client.answer().await;
        assert!(next.starts_with("HTTP/1.1 200 OK"), "after {answer}: {next}");
    } else {
        assert!(client.rest().await.is_empty());
    }
}

#[tokio::test]
async fn client_that_reads_no_answers_is_disconnected() {
    let limits = ServerLimits { write_stall: SHORT, connections: 1, ..LIMITS };
    let server = Server::start(limits).await;
    let mut client = server.connect().await;
    server.stop_reading(&mut client).await;
    // Its place is free again: the only one.
    let mut other = server.connect().await;
    other.get("/healthz").await;
    assert!(other.answer().await.starts_with("HTTP/1.1 200 OK"));
    server.stop().await;
}
