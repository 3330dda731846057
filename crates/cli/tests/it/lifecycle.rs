//! Starting, stopping, and the commands beside `serve`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use testkit::{Process, ProcessBuilder};

use crate::events::{registered, slot};
use crate::servers::Servers;
use crate::service::{KEY, ServiceBuilder};
use crate::tools::{PATIENCE, next_moment};

pub(crate) fn program(arguments: &[&str]) -> ProcessBuilder {
    Process::builder(env!("CARGO_BIN_EXE_result-aggregator"))
        .args(arguments)
        .env_remove("RAS_INTERNAL_API_KEY")
}

/// Runs to the end and gives the exit code and what was said.
pub(crate) async fn run(builder: ProcessBuilder) -> (i32, String) {
    let process = builder.start().await;
    let status = process.wait(PATIENCE).await;
    (status.code().unwrap_or(-1), process.lines().join("\n"))
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill_and_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    service.client.post(&[registered("teacher", "batch", 1, next_moment())]).await.unwrap();
    service.process.kill().await;
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    assert_eq!(service.client.list("teacher", "").await.total(), 1);
}

#[tokio::test]
async fn an_embedded_key_is_made_once_and_printed_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", path];
    let mut keys = Vec::new();
    for is_first in [true, false] {
        let process = program(&arguments).start().await;
        process.wait_for_line("listening on ", PATIENCE).await;
        let said = process.lines().join("\n").contains("made an internal API key");
        assert_eq!(said, is_first);
        assert_private(directory.path());
        keys.push(std::fs::read_to_string(directory.path().join("internal-api-key")).unwrap());
        process.interrupt().await;
        assert!(process.wait(PATIENCE).await.success(), "SIGINT is a graceful stop");
    }
    assert_eq!(keys[0], keys[1]);
    assert!(keys[0].trim().len() >= 32);
}

/// Nobody but its user reads what is in the data directory.
#[track_caller]
fn assert_private(data_dir: &Path) {
    for entry in std::fs::read_dir(data_dir).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
}

#[tokio::test]
async fn data_directory_that_others_can_read_is_told_with_the_command() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let service = ServiceBuilder::embedded(&path).start().await;
    let line = service.process.wait_for_line("others than its user", PATIENCE).await;
    assert!(line.contains(&format!("chmod 700 '{}'", path.display())), "{line}");
}

/// What tells the server where its files are tells its clients where its key is.
#[tokio::test]
async fn a_client_finds_the_key_of_an_embedded_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let list = async |base: &str| {
        let arguments = ["dead-letters", "list", "--server", base];
        run(program(&arguments).env("RAS_DATA_DIR", path)).await
    };
    let (code, said) = list("http://127.0.0.1:1").await;
    assert_eq!(code, 1, "{said}");
    let expected = "no key: give --api-key or RAS_INTERNAL_API_KEY, or --data-dir of an embedded \
                    server (tried ";
    assert!(said.contains(expected) && said.contains(path), "{said}");

    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", path];
    let process = program(&arguments).start().await;
    let line = process.wait_for_line("listening on ", PATIENCE).await;
    let (code, said) = list(line.rsplit(' ').next().unwrap()).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("no dead letters"), "{said}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_with_their_name() {
    let directory = tempfile::tempdir().unwrap();
    let check = async |name: &str, builder: ProcessBuilder, expected: &str| {
        let (code, said) = run(builder.env("RAS_DATA_DIR", directory.path())).await;
        assert_eq!(code, 1, "{name}: {said}");
        assert!(said.contains(expected), "{name}: {said}");
    };
    let postgres_url = "postgres://127.0.0.1/none";
    let no_key = program(&["serve", "--database-url", postgres_url]);
    check("a key is required", no_key, "RAS_INTERNAL_API_KEY").await;
    let alone =
        program(&["serve", "--database-url", postgres_url]).env("RAS_INTERNAL_API_KEY", KEY);
    check("a cache that others cannot invalidate", alone, "cache.single_process").await;
    let open = program(&["serve", "--listen", "0.0.0.0:0"]);
    check("others could reach it", open, "RAS_INTERNAL_API_KEY").await;
    let unknown = program(&["serve"]).env("RAS_CACHE__ENTRY_TTL_SECOND", "3");
    check("an unknown key", unknown, "entry_ttl_second").await;
    let wrong = program(&["serve"]).env("RAS_CACHE__ENTRY_TTL_SECONDS", "0");
    check("a value out of range", wrong, "entry_ttl_seconds").await;
    let wrong = program(&["serve"]).env("RAS_PUBLISH__DELIVERY_TIMEOUT_SECONDS", "301");
    check("a claim that would be held for long", wrong, "delivery_timeout_seconds").await;
    let wrong = program(&["serve"]).env("RAS_RETENTION__OUTBOX_HOURS", "0");
    check("records kept for no time", wrong, "retention.outbox_hours").await;
    let wrong = program(&["serve"]).env("RAS_LISTEN", "nowhere");
    check("an address", wrong, "listen").await;
    let no_file = program(&["serve", "--config", "no-such-file.toml"]);
    check("a missing file", no_file, "no-such-file.toml").await;
    let redis_url = program(&["serve", "--redis-url", "http://x"]).env("RAS_INTERNAL_API_KEY", KEY);
    check("not a redis url", redis_url, "redis_url").await;
}

/// Two processes would have two caches for one file.
#[tokio::test]
async fn a_data_directory_is_for_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let first = ServiceBuilder::embedded(directory.path()).start().await;
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", path];
    let (code, said) = run(program(&arguments).env("RAS_INTERNAL_API_KEY", KEY)).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("another process uses"), "{said}");
    first.process.kill().await;
    ServiceBuilder::embedded(directory.path()).start().await;
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_says_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let (code, said) = run(program(&["serve", "--listen", &address, "--data-dir", path])).await;
    assert_eq!(code, 1);
    assert!(said.contains(&address) && said.contains("--listen"), "{said}");
}

/// Settings come from the defaults, a file, variables and flags, and later wins.
#[tokio::test]
async fn a_flag_beats_a_variable_beats_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("settings.toml");
    std::fs::write(&file, "listen = \"127.0.0.1:1\"\n[http]\nconnections_max = 3\n").unwrap();
    let builder = ServiceBuilder::embedded(directory.path()).variable("RAS_LISTEN", "127.0.0.1:2");
    // `start` gives --listen 127.0.0.1:0.
    let service = builder.start().await;
    assert_eq!(service.client.list("teacher", "").await.total(), 0);
}

#[tokio::test]
async fn a_file_is_replayed_with_duplicates_and_refused_lines_told() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let file = directory.path().join("events.ndjson");
    let first = registered("teacher", "batch", 2, next_moment());
    let mut lines: Vec<String> = vec![first.to_string(), first.to_string(), "{broken".into()];
    lines.extend((0..1200).map(|n| slot("batch", 1, &n.to_string(), next_moment()).to_string()));
    lines.push(String::new());
    lines.push(registered("another", "batch", 2, next_moment()).to_string());
    std::fs::write(&file, lines.join("\n")).unwrap();

    let replay = || {
        let path = file.to_str().unwrap();
        program(&["replay", path, "--server", &service.client.base])
            .env("RAS_INTERNAL_API_KEY", KEY)
    };
    let (code, said) = run(replay()).await;
    assert_eq!(code, 1, "some lines were refused: {said}");
    assert!(said.contains("1201 applied, 1 duplicates, 2 refused"), "{said}");
    assert!(said.contains("line 3: not_json"), "{said}");
    assert!(said.contains("line 1205: conflicting_owner"), "{said}");
    assert_eq!(
        service.client.list("teacher", "").await.body["batches"][0]["essays"][0]["filename"],
        "1199"
    );

    let (_, said) = run(replay()).await;
    assert!(said.contains("0 applied, 1202 duplicates, 2 refused"), "again: {said}");
}

/// Each of its lines would become a dead letter.
#[tokio::test]
async fn file_without_an_envelope_per_line_is_not_sent() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let file = directory.path().join("events.json");
    let event = registered("teacher", "batch", 2, next_moment());
    let pretty = serde_json::to_string_pretty(&event).unwrap();
    for (text, hint) in [
        (pretty.clone(), "jq -c . FILE"),
        (format!("\n\n{pretty}\n"), "jq -c . FILE"),
        (format!("[{event}, {event}]"), "jq -c '.[]' FILE"),
        (format!("[{event},\n{event}]"), "jq -c . FILE"),
    ] {
        std::fs::write(&file, text).unwrap();
        let replay = program(&["replay", file.to_str().unwrap(), "--server", &service.client.base]);
        let (code, said) = run(replay.env("RAS_INTERNAL_API_KEY", KEY)).await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("the first line is no") && said.contains(hint), "{said}");
    }
    assert_eq!(service.client.metric("ras_invalid_messages_total").await, 0.0);
}

#[tokio::test]
async fn replay_to_a_server_that_is_down_shows_its_attempts_and_ends_after_its_limit() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events.ndjson");
    std::fs::write(&file, registered("teacher", "batch", 2, next_moment()).to_string()).unwrap();
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (server, file) = (format!("http://{down}"), file.to_str().unwrap());
    let arguments = ["replay", file, "--server", &server, "--retry-seconds", "1"];
    let (code, said) = run(program(&arguments).env("RAS_INTERNAL_API_KEY", KEY)).await;
    assert_eq!(code, 1, "{said}");
    for expected in ["attempt 1 failed", "attempt 2 failed", "refused", "gave up on http://"] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
}

#[tokio::test]
async fn the_demo_tells_its_story_and_ends() {
    let (code, said) = run(program(&["demo", "--teachers", "30", "--seconds", "2"])).await;
    assert_eq!(code, 0, "{said}");
    let steps = ["is registered", "is assigned", "is checked", "are ranked", "is completed"];
    let parts = ["read again", "hit", "committed, invalidated, acknowledged", "curl -i"];
    for part in parts.into_iter().chain(steps) {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    let last = said.lines().rfind(|line| line.contains(" stale")).unwrap();
    assert!(last.contains(" 0 stale"), "{said}");
}

/// A stop finishes what is under way: the offset of a group is committed before the process ends,
/// so nothing comes again.
#[tokio::test]
async fn a_stop_commits_what_is_done() {
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    let records: Vec<(&'static str, Vec<u8>)> = (0..500)
        .map(|n| registered("teacher", &format!("batch-{n}"), 1, next_moment()))
        .map(|event| (crate::events::REGISTERED, event.to_string().into_bytes()))
        .collect();
    broker.produce_all(&records).await;
    testkit::eventually(PATIENCE, "some of them applied", || async {
        service.client.metric("ras_messages_processed_total").await > 0.0
    })
    .await;
    service.process.terminate().await;
    assert!(service.process.wait(PATIENCE).await.success());

    let applied = servers.count("inbox").await as i64;
    assert_eq!(broker.unacknowledged().await, 500 - applied, "what is applied is acknowledged");
    let service = servers.replica().await;
    broker.wait_until_acknowledged().await;
    assert_eq!(service.client.list("teacher", "?limit=0").await.total(), 500);
}

/// Two replicas share the partitions; one is killed, the other takes over, nothing is lost.
#[tokio::test]
async fn replicas_share_the_partitions_and_take_over() {
    let (servers, broker) = Servers::with_broker().await;
    let (one, two) = tokio::join!(servers.replica(), servers.replica());
    let mut sent = 0;
    let mut produce = async |count: usize| {
        let records: Vec<(&'static str, Vec<u8>)> = (sent..sent + count)
            .map(|n| registered("teacher", &format!("batch-{n}"), 1, next_moment()))
            .map(|event| (crate::events::REGISTERED, event.to_string().into_bytes()))
            .collect();
        sent += count;
        broker.produce_all(&records).await;
    };
    produce(300).await;
    broker.wait_until_acknowledged().await;
    one.process.kill().await;
    produce(300).await;
    let three = servers.replica().await;
    produce(300).await;
    broker.wait_until_acknowledged().await;
    for service in [&two, &three] {
        assert_eq!(service.client.list("teacher", "?limit=0").await.total(), 900);
    }
}

/// The metrics keep the names that dashboards know.
#[tokio::test]
async fn metrics_keep_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    service.client.post(&[registered("teacher", "batch", 1, next_moment())]).await.unwrap();
    service.client.list("teacher", "").await;
    service.client.list("teacher", "").await;
    service.client.status("batch").await;
    let text = service.client.get("/metrics").await.unwrap().text().await.unwrap();
    let expected = [
        "ras_api_requests_total{endpoint=\"/internal/v1/batches/user/{user_id}\"",
        "ras_api_request_duration_seconds_bucket{",
        "ras_messages_processed_total{",
        "ras_cache_hits_total{cache_type=\"user_batches\"} 1",
        "ras_cache_misses_total{cache_type=\"batch_status\"} 1",
        "ras_consumer_errors_total 0",
    ];
    for part in expected {
        assert!(text.contains(part), "{part} in {text}");
    }
    let health: Value = service.client.get("/healthz").await.unwrap().json().await.unwrap();
    assert_eq!(health["status"], "healthy");
    let limit = Duration::from_secs(1);
    tokio::time::timeout(limit, service.client.get("/readyz")).await.unwrap().unwrap();
}

/// `POST events` says of each event what became of it, and of a request what is wrong with it.
#[tokio::test]
async fn bad_requests_for_events_are_told_what_is_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let check = async |media_type: &str, body: Vec<u8>, expected: &[&str]| {
        let answer = service.client.post_bytes(media_type, body).await.unwrap_err();
        for part in expected {
            assert!(answer.contains(part), "{part:?} in {answer}");
        }
    };
    let one = "application/json";
    check(one, b"{".to_vec(), &["422", "not_json", "\"error\":\"Event refused\""]).await;
    check("text/plain", b"{}".to_vec(), &["415", "application/x-ndjson"]).await;
    let long = vec![b'x'; 17 * 1024 * 1024];
    check(one, long, &["413", "16777216 bytes"]).await;
    let many = b"{}\n".repeat(10_001);
    check("application/x-ndjson", many, &["413", "10000 lines"]).await;
    let unknown = service.client.get("/internal/v1/events").await.unwrap();
    assert_eq!(unknown.status(), 405, "there is no GET");
}
