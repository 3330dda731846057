//! Near copies, which each process keeps of the entries in Redis: as fresh as without them, and a hit
//! moves no body.

use testkit::Redis;

use crate::support::common::next_micros;
use crate::support::events::{registered, slot};
use crate::support::servers::Servers;
use crate::support::service::Client;

const TEACHER: &str = "teacher-1";
const BATCH: &str = "batch-1";
const LIST: &str = "/internal/v1/batches/user/teacher-1";
const STATUS: &str = "/internal/v1/batches/batch-1/status";
/// Enough for a body that no reply about generations could hide.
const ESSAYS: usize = 40;
/// Reads that are measured together.
const READS: u64 = 20;
/// What Redis may send for one read that moves no body: the generations of its owners, and what other
/// commands of this time add. A body has far more.
const BYTES_WITHOUT_BODY_MAX: u64 = 512;

async fn register(client: &Client) {
    client.post(&[registered(TEACHER, BATCH, ESSAYS, next_micros())]).await.unwrap();
}

/// Bytes that Redis has sent so far.
async fn bytes_sent(redis: &Redis) -> u64 {
    let stats = redis.cli(&["INFO", "stats"]).await;
    let sent = stats.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
    sent.unwrap().trim().parse().unwrap()
}

/// Bytes that Redis sends for one conditional read, and the length of the body that it spares.
async fn bytes_of_304(path: &str, near_megabytes: &str) -> (u64, u64) {
    let servers = Servers::new().await;
    let builder = servers.builder().variable("RAS_CACHE__NEAR_MEGABYTES", near_megabytes);
    let service = builder.start().await;
    register(&service.client).await;
    let first = service.client.get(path).await.unwrap();
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    let body_bytes = first.bytes().await.unwrap().len() as u64;

    let before = bytes_sent(&servers.redis).await;
    for _ in 0..READS {
        let answer = service.client.get_with(path, "If-None-Match", &tag).await;
        assert_eq!(answer.status(), 304);
        assert_eq!(answer.headers()["cache-status"], "freshset; hit");
    }
    let counted = bytes_sent(&servers.redis).await - before;
    // Only the second count is among what it counts: a page of text.
    let count_bytes = servers.redis.cli(&["INFO", "stats"]).await.len() as u64;
    (counted.saturating_sub(count_bytes) / READS, body_bytes)
}

#[tokio::test]
async fn conditional_request_moves_no_body_from_redis() {
    for path in [LIST, STATUS] {
        let (bytes, body_bytes) = bytes_of_304(path, "32").await;
        assert!(body_bytes > 4 * BYTES_WITHOUT_BODY_MAX, "{path}: {body_bytes}");
        assert!(bytes < BYTES_WITHOUT_BODY_MAX, "{path}: {bytes} of {body_bytes} bytes");
        let (bytes, body_bytes) = bytes_of_304(path, "0").await;
        assert!(bytes > body_bytes, "{path}, without near copies: {bytes} of {body_bytes} bytes");
    }
}

#[tokio::test]
async fn invalidation_in_one_process_is_in_the_next_read_of_another() {
    let servers = Servers::new().await;
    let (one, two) = tokio::join!(servers.replica(), servers.replica());
    register(&one.client).await;
    for round in 0..20 {
        let (writer, reader) = if round % 2 == 0 { (&one, &two) } else { (&two, &one) };
        for path in [LIST, STATUS] {
            for service in [&one, &two] {
                service.client.get(path).await.unwrap();
                let again = service.client.get(path).await.unwrap();
                assert_eq!(again.headers()["cache-status"], "freshset; hit", "{path}");
            }
        }
        let file = format!("file-{round}.txt");
        writer.client.post(&[slot(BATCH, 1, &file, next_micros())]).await.unwrap();
        for path in [LIST, STATUS] {
            let read = reader.client.get(path).await.unwrap().text().await.unwrap();
            assert!(read.contains(&file), "{path}, round {round}: {read}");
        }
    }
}
