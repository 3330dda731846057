//! The server on a real port: its limits, and how it stops.

use std::net::SocketAddr;
use std::time::Duration;

use aggregator::api::server::{ServerLimits, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::app::{App, KEY, SERVICE};
use crate::fakes::Mood;

/// How long a test waits for what must happen. Only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(20);
/// A limit that is meant to be reached.
const SHORT: Duration = Duration::from_millis(50);

struct Server {
    app: App,
    address: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Server {
    async fn start(limits: ServerLimits) -> Self {
        let app = App::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(listener, app.router.clone(), limits, stop.clone()));
        Self { app, address, stop, served }
    }

    async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap() }
    }

    /// Stops the server and waits until it has returned.
    async fn stop(self) {
        self.stop.cancel();
        self.stopped().await;
    }

    async fn stopped(self) {
        within(self.served).await.unwrap();
    }
}

struct Client {
    stream: TcpStream,
}

impl Client {
    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn get(&mut self, path: &str) {
        let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\n");
        let auth = format!("X-Internal-API-Key: {KEY}\r\nX-Service-ID: {SERVICE}\r\n");
        self.send(&format!("{head}{auth}\r\n")).await;
    }

    /// One answer: its head, and as much of the body as its length says.
    async fn answer(&mut self) -> String {
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
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A connection that was reset is closed as well.
        let _ = within(self.stream.read_to_end(&mut rest)).await;
        rest
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap()
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let server = Server::start(ServerLimits::default()).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.get("/internal/v1/batches/user/teacher").await;
        assert!(client.answer().await.starts_with("HTTP/1.1 200 OK"));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_stop_closes_idle_connections_and_the_port() {
    let server = Server::start(ServerLimits::default()).await;
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
async fn a_stop_finishes_the_answer_under_way() {
    let server = Server::start(ServerLimits::default()).await;
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
async fn a_stop_does_not_wait_longer_than_the_grace() {
    let server = Server::start(ServerLimits { grace: SHORT, ..ServerLimits::default() }).await;
    server.app.repository.set_mood(Mood::Waits);
    let mut client = server.connect().await;
    client.get("/internal/v1/batches/user/teacher").await;
    within(server.app.repository.entered.notified()).await;
    server.stop().await;
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn a_head_that_does_not_end_is_given_up() {
    // Not so short that a busy machine reaches it between two lines of this test.
    let head = SHORT * 5;
    let server = Server::start(ServerLimits { head, ..ServerLimits::default() }).await;
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
async fn a_head_that_is_too_large_is_refused() {
    let server = Server::start(ServerLimits::default()).await;
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
async fn connections_above_the_limit_wait_for_a_place() {
    let server = Server::start(ServerLimits { connections: 1, ..ServerLimits::default() }).await;
    let mut first = server.connect().await;
    first.get("/healthz").await;
    first.answer().await;
    let mut second = server.connect().await;
    second.get("/healthz").await;
    let waits = timeout(SHORT, second.stream.readable()).await;
    assert!(waits.is_err(), "the first one has the only place");
    drop(first);
    assert!(second.answer().await.starts_with("HTTP/1.1 200 OK"));
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_no_answers_is_given_up() {
    let limits = ServerLimits { write_stall: SHORT, connections: 1, ..ServerLimits::default() };
    let server = Server::start(limits).await;
    server.app.repository.register("large", "teacher", 10_000);
    let mut client = server.connect().await;
    client.get("/internal/v1/batches/batch/status").await;
    client.answer().await;
    // More answers than the buffers of both sides hold, and none is read.
    for _ in 0..20 {
        client.get("/internal/v1/batches/large/status").await;
    }
    // Its place is free again: the only one.
    let mut other = server.connect().await;
    other.get("/healthz").await;
    assert!(other.answer().await.starts_with("HTTP/1.1 200 OK"));
    server.stop().await;
}
