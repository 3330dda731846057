//! The server over TLS: the handshake has the limits of a head, and everything behind it is as without.

use std::sync::Arc;

use aggregator::config::CertificateFiles;
use aggregator::http::server::ServerLimits;
use aggregator::http::server::tls::{CertificateError, Tls};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, crypto};
use tempfile::TempDir;
use testkit::Certificates;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::http::fakes::Mood;
use crate::http::server::{Client, HEAD, LIMITS, PATIENCE, SHORT, Server, within};

struct TlsServer {
    server: Server,
    connector: TlsConnector,
    _directory: TempDir,
}

impl TlsServer {
    async fn start(limits: ServerLimits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let certificates = Certificates::in_directory(directory.path());
        let tls = Tls::new(files(&certificates)).unwrap();
        let server = Server::start_with(Some(tls), limits).await;
        Self { server, connector: connector(&certificates), _directory: directory }
    }

    async fn connect(&self) -> Client<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.server.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        Client { stream: within(self.connector.connect(name, stream)).await.unwrap() }
    }
}

fn files(certificates: &Certificates) -> CertificateFiles {
    CertificateFiles {
        chain: certificates.server_certificate_file(),
        key: certificates.server_key_file(),
    }
}

fn connector(certificates: &Certificates) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(certificates.ca_pem().as_bytes());
    roots.add(ca.unwrap()).unwrap();
    let provider = Arc::new(crypto::ring::default_provider());
    let client =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let client = client.unwrap().with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(Arc::new(client))
}

#[tokio::test]
async fn connection_over_tls_serves_one_request_after_another_and_ends_with_notice() {
    let tls = TlsServer::start(LIMITS).await;
    let mut client = tls.connect().await;
    for _ in 0..3 {
        client.get("/internal/v1/batches/user/teacher").await;
        assert!(client.answer().await.starts_with("HTTP/1.1 200 OK"));
    }
    tls.server.stop().await;
    // Without the notice (close_notify) this would be an error.
    let mut rest = Vec::new();
    let ended = tokio::io::AsyncReadExt::read_to_end(&mut client.stream, &mut rest);
    assert_eq!(within(ended).await.unwrap(), 0);
}

#[tokio::test]
async fn stop_finishes_the_answer_under_way_over_tls() {
    let tls = TlsServer::start(LIMITS).await;
    tls.server.app.repository.set_mood(Mood::Waits);
    let mut client = tls.connect().await;
    client.get("/internal/v1/batches/user/teacher").await;
    within(tls.server.app.repository.entered.notified()).await;
    tls.server.stop.cancel();
    tls.server.app.repository.release.add_permits(1);
    assert!(client.answer().await.starts_with("HTTP/1.1 200 OK"));
    tls.server.stopped().await;
}

#[tokio::test]
async fn handshake_that_is_not_finished_is_closed_after_the_time_of_a_first_head() {
    let tls = TlsServer::start(ServerLimits { first_head: HEAD, ..LIMITS }).await;
    let mut silent = tls.server.connect().await;
    let mut slow = tls.server.connect().await;
    // The beginning of a record of 512 bytes.
    slow.send("\u{16}\u{3}\u{1}\u{2}\u{0}").await;
    let mut without_request = tls.connect().await;
    assert!(silent.rest().await.is_empty());
    assert!(slow.rest().await.is_empty());
    assert!(without_request.rest().await.is_empty());
    tls.server.stop().await;
}

#[tokio::test]
async fn stop_does_not_wait_for_a_handshake() {
    let tls = TlsServer::start(LIMITS).await;
    let mut silent = tls.server.connect().await;
    // Accepted after the silent one.
    let mut client = tls.connect().await;
    client.get("/healthz").await;
    client.answer().await;
    tls.server.stop().await;
    assert!(silent.rest().await.is_empty());
}

#[tokio::test]
async fn connections_without_a_handshake_are_evicted_for_new_clients() {
    // So long that only an eviction closes a connection.
    let first_head = PATIENCE * 10;
    let tls = TlsServer::start(ServerLimits { connections: 2, first_head, ..LIMITS }).await;
    for _ in 0..10 {
        let mut silent = tls.server.connect().await;
        let mut other = tls.server.connect().await;
        let mut client = tls.connect().await;
        client.get("/healthz").await;
        assert!(client.answer().await.starts_with("HTTP/1.1 200 OK"));
        assert!(silent.rest().await.is_empty());
        drop(client);
        other.send("\u{16}").await;
    }
    tls.server.stop().await;
}

#[tokio::test]
async fn request_without_tls_is_answered_what_to_do() {
    let tls = TlsServer::start(LIMITS).await;
    let mut client = tls.server.connect().await;
    client.get("/healthz").await;
    let answer = client.answer().await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\nthis server listens with TLS: begin with https://\n"),
        "{answer}"
    );
    assert!(client.rest().await.is_empty());
    tls.server.stop().await;
}

#[tokio::test]
async fn client_that_reads_no_answers_over_tls_is_disconnected() {
    let limits = ServerLimits { write_stall: SHORT, connections: 1, ..LIMITS };
    let tls = TlsServer::start(limits).await;
    let mut client = tls.connect().await;
    tls.server.stop_reading(&mut client).await;
    // Its place is free again: the only one.
    let mut other = tls.connect().await;
    other.get("/healthz").await;
    assert!(other.answer().await.starts_with("HTTP/1.1 200 OK"));
    tls.server.stop().await;
}

#[test]
fn certificate_that_cannot_be_used_is_refused_by_the_name_of_its_setting() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (directory.path().join("one"), directory.path().join("other"));
    for directory in [&one, &other] {
        std::fs::create_dir(directory).unwrap();
    }
    let (one, other) = (Certificates::in_directory(&one), Certificates::in_directory(&other));
    let empty = directory.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let (chain, key) = (one.server_certificate_file(), one.server_key_file());
    let refused = |chain: &std::path::Path, key: &std::path::Path| {
        let files = CertificateFiles { chain: chain.to_owned(), key: key.to_owned() };
        Tls::new(files).err()
    };
    assert!(refused(&chain, &key).is_none());
    let missing = directory.path().join("missing");
    for file in [&missing, &empty, &key] {
        assert!(matches!(refused(file, &key), Some(CertificateError::Chain { .. })), "{file:?}");
    }
    for file in [&missing, &empty, &chain] {
        assert!(matches!(refused(&chain, file), Some(CertificateError::Key { .. })), "{file:?}");
    }
    let mixed = refused(&chain, &other.server_key_file());
    assert!(matches!(mixed, Some(CertificateError::Unusable(_))));
}
