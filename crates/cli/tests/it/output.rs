//! A standard error, or a standard output, that takes nothing: the service does not mind.

use std::time::Duration;

use testkit::Process;

use crate::events::registered;
use crate::service::{Client, KEY};
use crate::tools::{PATIENCE, next_moment};

/// A stop with nothing under way. Far more than it needs on a busy machine, less than a shell's.
const STOP_MAX: Duration = Duration::from_secs(20);
/// Records that are refused, each with a line in the log: more than a pipe holds.
const REFUSED: usize = 1_500;

/// Where each output goes, as a shell says it. In `$P` is the path of a FIFO.
const PREPARE_NO_READER: &str = "mkfifo $P; true <$P &";
/// Somebody has it open and never reads; it is filled before the service begins.
const PREPARE_FULL: &str =
    "mkfifo $P; exec 3<>$P; dd if=/dev/zero of=$P bs=4096 count=16 2>/dev/null;";

#[tokio::test]
async fn closed_stderr_stops_neither_requests_nor_the_stop() {
    serves_and_stops("", "2>&-").await;
}

#[tokio::test]
async fn stderr_without_reader_stops_neither_requests_nor_the_stop() {
    let lost = serves_and_stops(PREPARE_NO_READER, "2>$P").await;
    assert!(lost >= REFUSED as f64, "{lost} lines counted as lost");
}

#[tokio::test]
async fn stderr_that_nobody_reads_stops_neither_requests_nor_the_stop() {
    serves_and_stops(PREPARE_FULL, "2>$P").await;
}

#[tokio::test]
async fn full_disk_behind_stderr_stops_neither_requests_nor_the_stop() {
    let lost = serves_and_stops("", "2>/dev/full").await;
    assert!(lost >= REFUSED as f64, "{lost} lines counted as lost");
}

/// Starts a service whose standard error is redirected so, uses it, and stops it; gives how many
/// lines of its log were lost.
async fn serves_and_stops(prepare: &str, redirect: &str) -> f64 {
    let directory = tempfile::tempdir().unwrap();
    let process = start(directory.path(), prepare, redirect).await;
    let line = process.wait_for_line("listening on ", PATIENCE).await;
    let client = Client::new(line.rsplit(' ').next().unwrap().to_owned());

    let mut body = registered("teacher", "batch", 2, next_moment()).to_string();
    body.push_str(&"\n{refused".repeat(REFUSED));
    client.post_bytes("application/x-ndjson", body.into_bytes()).await.unwrap();
    assert_eq!(client.list("teacher", "").await.total(), 1);
    // Shown a moment after it is counted.
    let lost = if redirect.contains("full") || prepare == PREPARE_NO_READER {
        testkit::eventually(PATIENCE, "lost lines in the metrics", || async {
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

/// Both into one pipe that is full: what is printed at the start is not waited for either.
#[tokio::test]
async fn outputs_that_nobody_reads_do_not_hold_up_a_start_that_fails() {
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

/// `replay FILE | head` and the like end quietly.
#[tokio::test]
async fn command_whose_output_nobody_reads_ends_without_a_panic() {
    let program = env!("CARGO_BIN_EXE_result-aggregator");
    for arguments in ["settings", "simulate --batches 1 --to-file /dev/null"] {
        let script =
            format!("trap '' PIPE; \"$0\" {arguments} >/dev/full 2>/dev/full; echo ended: $?");
        let process = Process::builder("sh").args(["-c", &script, program]).start().await;
        process.wait(STOP_MAX).await;
        assert_eq!(process.lines(), ["ended: 0"], "{arguments}");
    }
}
