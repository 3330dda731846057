//! `result-aggregator health`, as a container asks it: exit codes and output.

use tokio::net::TcpListener;

use crate::support::program::{program, run};
use crate::support::service::ServiceBuilder;

#[tokio::test]
async fn running_server_is_live_and_ready() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let base = &*service.client.base;
    // A proxy that nobody runs: the question must not go there.
    let proxy = "http://127.0.0.1:1";
    let (code, output) = run(program(&["health", "--server", base]).env("HTTP_PROXY", proxy)).await;
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("\"status\":\"healthy\""), "{output}");
    let (code, output) = run(program(&["health", "--ready", "--server", base])).await;
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("\"status\":\"ready\""), "{output}");
}

/// While it waits for its database it must not be restarted, and gets no requests.
#[tokio::test]
async fn server_that_waits_for_its_database_is_live_and_not_ready() {
    // Accepts, and says nothing.
    let database = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://u:p@{}/x", database.local_addr().unwrap());
    let serve = program(&["serve", "--listen", "127.0.0.1:0", "--database-url", &url])
        .env("RAS_INTERNAL_API_KEY", crate::support::service::KEY)
        .env("RAS_CACHE__SINGLE_PROCESS", "true")
        .start()
        .await;
    let line = serve.wait_for_line("listening; not ready", crate::support::common::TIMEOUT).await;
    let address = line.split("address=").nth(1).unwrap().split(' ').next().unwrap();
    let base = format!("http://{address}");
    let (code, output) = run(program(&["health", "--server", &base])).await;
    assert_eq!(code, 0, "{output}");
    let (code, output) = run(program(&["health", "--ready", "--server", &base])).await;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("/readyz answered 503: {"), "{output}");
    assert!(output.contains("\"status\":\"starting\""), "{output}");
}

#[tokio::test]
async fn missing_server_and_wrong_url_are_errors() {
    for (server, expected) in [
        ("http://127.0.0.1:1", "no answer from http://127.0.0.1:1"),
        ("127.0.0.1:4003", "such as http://127.0.0.1:4003"),
    ] {
        let (code, output) = run(program(&["health", "--server", server])).await;
        assert_eq!(code, 1, "{output}");
        assert!(output.contains(expected), "{output}");
    }
}
