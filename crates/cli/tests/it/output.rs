//! Standard error and standard output that are closed, full or not read: nothing blocks or fails.

use std::time::Duration;

use testkit::Process;

use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::registered;
use crate::support::service::{Client, KEY};

/// How long a stop may take when nothing is in progress: far more than it needs on a busy machine.
const STOP_MAX: Duration = Duration::from_secs(20);
/// Number of refused records, each with a line in the log: more than a pipe holds.
const REFUSED: usize = 1_500;

/// Shell commands that run before the service. `$P` is the path of a FIFO. Here it has no reader.
const PREPARE_NO_READER: &str = "mkfifo $P; true <$P &";
/// Here it has a reader that never reads, and is full.
const PREPARE_FULL: &str =
    "mkfifo $P; exec 3<>$P; dd if=/dev/zero of=$P bs=4096 count=16 2>/dev/null;";

#[tokio::test]
async fn closed_stderr_blocks_neither_requests_nor_stop() {
    serves_and_stops("", "2>&-").await;
}

#[tokio::test]
async fn stderr_without_reader_blocks_neither_requests_nor_stop() {
    let lost = serves_and_stops(PREPARE_NO_READER, "2>$P").await;
    assert!(lost >= REFUSED as f64, "{lost} lines counted as lost");
}

#[tokio::test]
async fn unread_stderr_blocks_neither_requests_nor_stop() {
    serves_and_stops(PREPARE_FULL, "2>$P").await;
}

#[tokio::test]
async fn stderr_on_full_disk_blocks_neither_requests_nor_stop() {
    let lost = serves_and_stops("", "2>/dev/full").await;
    assert!(lost >= REFUSED as f64, "{lost} lines counted as lost");
}

/// Starts a service with this redirection of its standard error, uses it, and stops it. Gives the
/// number of lost log lines.
async fn serves_and_stops(prepare: &str, redirect: &str) -> f64 {
    let directory = tempfile::tempdir().unwrap();
    let process = start(directory.path(), prepare, redirect).await;
    let line = process.wait_for_line("listening on ", TIMEOUT).await;
    let client = Client::new(line.rsplit(' ').next().unwrap().to_owned());

    let mut body = registered("teacher", "batch", 2, next_micros()).to_string();
    body.push_str(&"\n{refused".repeat(REFUSED));
    client.post_bytes("application/x-ndjson", body.into_bytes()).await.unwrap();
    assert_eq!(client.list("teacher", "").await.total(), 1);
    // The metric lags a moment behind.
    let lost = if redirect.contains("full") || prepare == PREPARE_NO_READER {
        testkit::eventually(TIMEOUT, "lost lines in the metrics", || async {
            let lost = client.metric("ras_log_lines_lost_total").await;
            if lost >= REFUSED as f64 { Ok(lost) } else { Err(lost) }
        })
        .await
    } else {
        client.metric("ras_log_lines_lost_total").await
    };

    process.terminate().await;
    assert!(process.wait(STOP_MAX).await.success(), "SIGTERM is a graceful stop");
    lost
}

async fn start(directory: &std::path::Path, prepare: &str, redirect: &str) -> Process {
    let script = format!("{prepare} exec \"$0\" serve --listen 127.0.0.1:0 {redirect}");
    Process::builder("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_result-aggregator")])
        .env("P", directory.join("pipe"))
        .env("RAS_DATA_DIR", directory)
        .env("RAS_INTERNAL_API_KEY", KEY)
        .start()
        .await
}

/// Both outputs go to one full pipe, so that the first lines of the start block as well.
#[tokio::test]
async fn unread_outputs_do_not_block_failing_start() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("RAS_LISTEN={}", taken.local_addr().unwrap());
    let script =
        format!("{PREPARE_FULL} exec env -u RAS_INTERNAL_API_KEY {listen} \"$0\" serve >$P 2>&1");
    let process = Process::builder("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_result-aggregator")])
        .env("P", directory.path().join("pipe"))
        .env("RAS_DATA_DIR", directory.path())
        .start()
        .await;
    assert_eq!(process.wait(STOP_MAX).await.code(), Some(1));
}

/// As in `replay FILE | head`.
#[tokio::test]
async fn command_with_unwritable_output_ends_without_panic() {
    let program = env!("CARGO_BIN_EXE_result-aggregator");
    for arguments in ["settings", "simulate --batches 1 --to-file /dev/null"] {
        let script =
            format!("trap '' PIPE; \"$0\" {arguments} >/dev/full 2>/dev/full; echo ended: $?");
        let process = Process::builder("sh").args(["-c", &script, program]).start().await;
        process.wait(STOP_MAX).await;
        assert_eq!(process.lines(), ["ended: 0"], "{arguments}");
    }
}
