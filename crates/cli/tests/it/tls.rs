//! The service as it listens with TLS: its commands, its certificate, and how that is renewed.

use std::fs;
use std::path::Path;

use cli::client::http::Trust;
use serde_json::Value;
use testkit::{Certificates, eventually};

use crate::support::common::TIMEOUT;
use crate::support::events::registered;
use crate::support::http::http_client_that_trusts;
use crate::support::program::{program, run};
use crate::support::service::{KEY, Service, ServiceBuilder};

fn listening_with(data_dir: &Path, certificates: &Certificates) -> ServiceBuilder {
    let text = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    ServiceBuilder::embedded(data_dir)
        .variable("RAS_HTTP__TLS_CERTIFICATE_FILE", text(certificates.server_certificate_file()))
        .variable("RAS_HTTP__TLS_KEY_FILE", text(certificates.server_key_file()))
}

/// Its URL, with the name of the certificate.
fn url(service: &Service) -> String {
    let base = &service.client.base;
    assert!(base.starts_with("https://127.0.0.1:"), "{base}");
    base.replace("127.0.0.1", "localhost")
}

async fn command(arguments: &[&str], url: &str, ca: &Certificates) -> (i32, String) {
    let ca_file = ca.ca_file();
    let server = ["--server", url, "--ca-file", ca_file.to_str().unwrap()];
    run(program(&[arguments, &server].concat()).env("RAS_INTERNAL_API_KEY", KEY)).await
}

#[tokio::test]
async fn commands_reach_a_server_with_tls_if_they_trust_its_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::in_directory(directory.path());
    let service = listening_with(directory.path(), &certificates).start().await;
    let url = url(&service);

    let file = directory.path().join("events");
    fs::write(&file, format!("{}\n", registered("teacher", "batch", 1, 1))).unwrap();
    let replay = ["replay", file.to_str().unwrap()];
    let (code, output) = command(&replay, &url, &certificates).await;
    assert_eq!(code, 0, "{output}");
    let (code, output) = command(&["cache", "show", "user:teacher"], &url, &certificates).await;
    assert_eq!(code, 0, "{output}");
    let (code, output) = command(&["health", "--ready"], &url, &certificates).await;
    assert_eq!(code, 0, "{output}");
    let insecure = ["health", "--insecure", "--server", &service.client.base];
    let (code, output) = run(program(&insecure)).await;
    assert_eq!(code, 0, "{output}");

    let (code, output) = run(program(&["health", "--server", &url])).await;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("invalid peer certificate: UnknownIssuer"), "{output}");
    assert!(output.contains("--ca-file names a CA"), "{output}");
    let plain = url.replace("https", "http");
    let (code, output) = run(program(&["health", "--server", &plain])).await;
    assert_eq!(code, 1, "{output}");
    let refusal = "/healthz answered 400: this server listens with TLS: begin with https://";
    assert!(output.contains(refusal), "{output}");
    let (code, output) = command(&["health"], &plain, &certificates).await;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("--ca-file is for a server at https://"), "{output}");
}

#[tokio::test]
async fn renewed_certificate_is_used_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("other");
    fs::create_dir(&other).unwrap();
    let first = Certificates::in_directory(directory.path());
    let service = listening_with(directory.path(), &first).start().await;
    let url = url(&service);
    let old_client = {
        let trust = Trust { ca_file: Some(first.ca_file()) };
        http_client_that_trusts(&url, &trust)
    };
    let findings = async || -> Value {
        let answer = old_client.get(format!("{url}/readyz")).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["findings"].take()
    };
    assert_eq!(findings().await, serde_json::json!([]));

    let key = fs::read(first.server_key_file()).unwrap();
    fs::write(first.server_key_file(), "no key").unwrap();
    eventually(TIMEOUT, "a finding", || async {
        let findings = findings().await;
        findings[0]["code"] == "certificate_not_read" && findings[0]["component"] == "http"
    })
    .await;
    // The one before is used.
    assert_eq!(command(&["health"], &url, &first).await.0, 0);
    fs::write(first.server_key_file(), key).unwrap();
    let line = "the files of the certificate can be read again";
    service.process.wait_for_line(line, TIMEOUT).await;
    assert_eq!(findings().await, serde_json::json!([]));

    let second = Certificates::in_directory(&other);
    fs::copy(second.server_certificate_file(), first.server_certificate_file()).unwrap();
    fs::copy(second.server_key_file(), first.server_key_file()).unwrap();
    service.process.wait_for_line("using a new certificate for TLS", TIMEOUT).await;
    assert_eq!(command(&["health"], &url, &second).await.0, 0);
    assert_eq!(command(&["health"], &url, &first).await.0, 1);
}

#[tokio::test]
async fn certificate_that_cannot_be_read_ends_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::in_directory(directory.path());
    let key = certificates.server_key_file();
    fs::write(&key, "no key").unwrap();
    let serve = program(&["serve", "--listen", "127.0.0.1:0"])
        .env("RAS_DATA_DIR", directory.path().to_str().unwrap())
        .env(
            "RAS_HTTP__TLS_CERTIFICATE_FILE",
            certificates.server_certificate_file().to_str().unwrap(),
        )
        .env("RAS_HTTP__TLS_KEY_FILE", key.to_str().unwrap());
    let (code, output) = run(serve).await;
    assert_eq!(code, 1, "{output}");
    let expected = format!("http.tls_key_file, {}, has no private key in PEM", key.display());
    assert!(output.contains(&expected), "{output}");
}
