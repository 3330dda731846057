//! `replay`: a file of envelopes sent to a server.

use std::fs;
use std::net::TcpListener;

use crate::support::common::next_micros;
use crate::support::events::{registered, slot};
use crate::support::program::{program, run};
use crate::support::service::{KEY, ServiceBuilder};

#[tokio::test]
async fn replay_reports_duplicates_and_refused_lines() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let file = directory.path().join("events.ndjson");
    let first = registered("teacher", "batch", 2, next_micros());
    let mut lines: Vec<String> = vec![first.to_string(), first.to_string(), "{broken".into()];
    lines.extend((0..1200).map(|n| slot("batch", 1, &n.to_string(), next_micros()).to_string()));
    lines.push(String::new());
    lines.push(registered("another", "batch", 2, next_micros()).to_string());
    fs::write(&file, lines.join("\n")).unwrap();

    let replay = || {
        let path = file.to_str().unwrap();
        program(&["replay", path, "--server", &service.client.base])
            .env("RAS_INTERNAL_API_KEY", KEY)
    };
    let (code, output) = run(replay()).await;
    assert_eq!(code, 1, "some lines were refused: {output}");
    assert!(output.contains("1201 applied, 1 duplicate, 2 refused"), "{output}");
    assert!(output.contains("line 3: not_json"), "{output}");
    assert!(output.contains("line 1205: conflicting_owner"), "{output}");
    assert_eq!(
        service.client.list("teacher", "").await.body["batches"][0]["essays"][0]["filename"],
        "1199"
    );

    let (_, output) = run(replay()).await;
    assert!(output.contains("0 applied, 1202 duplicate, 2 refused"), "again: {output}");
}

/// Each line of such a file would become a dead letter.
#[tokio::test]
async fn replay_sends_no_file_without_one_envelope_per_line() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let file = directory.path().join("events.json");
    let event = registered("teacher", "batch", 2, next_micros());
    let pretty = serde_json::to_string_pretty(&event).unwrap();
    let not_whole = ("the first line is no whole JSON value", "jq -c . FILE");
    let list = ("the first line begins a list", "jq -c '.[]' FILE");
    for (text, (reason, hint)) in [
        (pretty.clone(), not_whole),
        (format!("\n\n{pretty}\n"), not_whole),
        (format!("[{event}, {event}]"), list),
        (format!("[{event},\n{event}]"), list),
    ] {
        fs::write(&file, text).unwrap();
        let replay = program(&["replay", file.to_str().unwrap(), "--server", &service.client.base]);
        let (code, output) = run(replay.env("RAS_INTERNAL_API_KEY", KEY)).await;
        assert_eq!(code, 1, "{output}");
        assert!(output.contains(reason) && output.contains(hint), "{output}");
    }
    assert_eq!(service.client.metric("ras_invalid_messages_total").await, 0.0);
}

#[tokio::test]
async fn replay_to_unavailable_server_shows_attempts_and_gives_up_after_limit() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events.ndjson");
    fs::write(&file, registered("teacher", "batch", 2, next_micros()).to_string()).unwrap();
    let down = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (server, file) = (format!("http://{down}"), file.to_str().unwrap());
    let arguments = ["replay", file, "--server", &server, "--retry-seconds", "1"];
    let (code, output) = run(program(&arguments).env("RAS_INTERNAL_API_KEY", KEY)).await;
    assert_eq!(code, 1, "{output}");
    for expected in ["attempt 1 failed", "attempt 2 failed", "refused", "gave up on http://"] {
        assert!(output.contains(expected), "{expected} in {output}");
    }
}
