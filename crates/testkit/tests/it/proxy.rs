//! The proxy in each of its modes.

use std::io::ErrorKind;
use std::time::Duration;

use testkit::{FaultProxy, Mode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{SILENCE, ping, redis_answers};

/// A proxy in front of the shared Redis, and a connection through it that is known to work.
async fn connected() -> (FaultProxy, TcpStream) {
    let proxy = FaultProxy::start(testkit::redis().await.address()).await;
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    ping(&mut stream).await.unwrap();
    (proxy, stream)
}

/// How the other side ended a connection.
async fn end_of(stream: &mut TcpStream) -> ErrorKind {
    stream.read_u8().await.unwrap_err().kind()
}

#[tokio::test]
async fn refuse_resets_connections_and_refuses_new_ones() {
    let (proxy, mut stream) = connected().await;
    proxy.set(Mode::Refuse).await;
    assert_eq!(end_of(&mut stream).await, ErrorKind::ConnectionReset);
    let refused = TcpStream::connect(proxy.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    proxy.set(Mode::Pass).await;
    assert!(redis_answers(proxy.addr()).await);
}

#[tokio::test]
async fn bytes_sent_during_a_stall_pass_after_it() {
    let (proxy, mut stream) = connected().await;
    proxy.set(Mode::Stall).await;
    assert!(timeout(SILENCE, ping(&mut stream)).await.is_err());
    assert!(!redis_answers(proxy.addr()).await);

    proxy.set(Mode::Pass).await;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}

#[tokio::test]
async fn drop_replies_lets_requests_through() {
    let redis = testkit::redis().await;
    let (proxy, mut stream) = connected().await;
    proxy.set(Mode::DropReplies).await;
    stream.write_all(b"SET proxy:replies 1\r\n").await.unwrap();
    assert!(timeout(SILENCE, stream.read_u8()).await.is_err());
    assert_eq!(redis.cli(&["get", "proxy:replies"]).await, "1");
}

#[tokio::test]
async fn drop_requests_lets_no_request_through() {
    let redis = testkit::redis().await;
    let (proxy, mut stream) = connected().await;
    proxy.set(Mode::DropRequests).await;
    stream.write_all(b"SET proxy:requests 1\r\n").await.unwrap();
    assert!(timeout(SILENCE, stream.read_u8()).await.is_err());
    assert_eq!(redis.cli(&["exists", "proxy:requests"]).await, "0");
}

#[tokio::test]
async fn reset_connections_refuses_no_new_one() {
    let (proxy, mut stream) = connected().await;
    proxy.reset_connections().await;
    assert_eq!(end_of(&mut stream).await, ErrorKind::ConnectionReset);
    assert!(redis_answers(proxy.addr()).await);
}

#[tokio::test]
async fn delay_holds_each_message_back() {
    let (proxy, mut stream) = connected().await;
    proxy.delay(SILENCE);
    assert!(timeout(SILENCE, ping(&mut stream)).await.is_err());
    proxy.delay(Duration::ZERO);
    assert!(redis_answers(proxy.addr()).await);
}

#[tokio::test]
async fn end_of_one_side_reaches_the_other() {
    let (_proxy, mut stream) = connected().await;
    stream.write_all(b"QUIT\r\n").await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"+OK\r\n");
}
