//! Beginning of a stop: not ready, and still answering; which signals stop, and how.

use std::os::unix::process::ExitStatusExt as _;

use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use testkit::{Process, eventually};
use tokio::signal::unix::{SignalKind, signal};

use crate::support::common::TIMEOUT;
use crate::support::service::{Client, KEY, Service, ServiceBuilder};

/// Longer than any of these tests takes.
const LONG_DELAY_SECONDS: &str = "600";

fn hang_up(process: &Process) {
    let id = Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
    kill_process(id, Signal::HUP).unwrap();
}

async fn readyz(service: &Service) -> Option<(StatusCode, String)> {
    let answer = service.client.get("/readyz").await.ok()?;
    Some((answer.status(), answer.text().await.ok()?))
}

#[tokio::test]
async fn stop_is_not_ready_and_answers_until_the_delay_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path())
        .variable("RAS_HTTP__DRAIN_DELAY_SECONDS", LONG_DELAY_SECONDS)
        .start()
        .await;
    assert_eq!(readyz(&service).await.unwrap().0, 200);
    service.process.terminate().await;
    eventually(TIMEOUT, "not ready", async || {
        let (status, body) = readyz(&service).await.unwrap();
        status == 503 && body.contains("\"status\":\"stopping\"")
    })
    .await;
    // A connection of its own: new ones are accepted, too.
    let another = Client::new(service.client.base.clone());
    assert_eq!(another.list("teacher", "").await.status, 200);
    assert_eq!(another.get("/healthz").await.unwrap().status(), 200);
    assert!(service.process.is_running());

    service.process.terminate().await;
    let ended = service.process.wait(TIMEOUT).await;
    let interrupted = Some(Signal::INT.as_raw());
    assert_eq!(ended.signal(), interrupted, "a second signal ends it at once, with 130");
}

#[tokio::test]
async fn listener_is_closed_and_process_ends_after_the_delay() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path())
        .variable("RAS_HTTP__DRAIN_DELAY_SECONDS", "1")
        .start()
        .await;
    service.process.terminate().await;
    assert!(service.process.wait(TIMEOUT).await.success());
    assert!(Client::new(service.client.base.clone()).get("/healthz").await.is_err());
}

#[tokio::test]
async fn hangup_is_a_stop() {
    // What these tests ignore, as under `nohup`, a program that they start ignores, too; what they listen
    // for, it does not.
    let _listening = signal(SignalKind::hangup()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    hang_up(&service.process);
    assert!(service.process.wait(TIMEOUT).await.success());
    assert!(service.process.lines().join("\n").contains("stopping; send the signal again"));
}

/// As `nohup` starts it.
#[tokio::test]
async fn hangup_that_is_ignored_since_the_start_is_no_stop() {
    let directory = tempfile::tempdir().unwrap();
    let binary = env!("CARGO_BIN_EXE_result-aggregator");
    let script = format!("trap '' HUP; exec '{binary}' serve --listen 127.0.0.1:0");
    let process = Process::builder("sh")
        .args(["-c", &script])
        .env("RAS_DATA_DIR", directory.path())
        .env("RAS_INTERNAL_API_KEY", KEY)
        .start()
        .await;
    let line = process.wait_for_line("listening on ", TIMEOUT).await;
    let client = Client::new(line.rsplit(' ').next().unwrap().to_owned());
    hang_up(&process);
    // Were it a stop, it would come before this one, which then were the second signal.
    assert_eq!(client.list("teacher", "").await.status, 200);
    process.terminate().await;
    assert!(process.wait(TIMEOUT).await.success(), "the first signal that counts");
}
