//! Ten thousand malformed records: none is applied, none is lost, nothing crashes, and well-formed
//! records among them are applied.

use projection::{EventKind, Timestamp, decode};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use testkit::seed;

use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::{
    REGISTERED, REGISTERED_RECORD, RESULT_RECORDS, SLOT_RECORD, registered,
};
use crate::support::servers::Servers;
use crate::support::service::ServiceBuilder;

const RECORDS: usize = 10_000;
/// Number of malformed records for one well-formed record.
const GOOD_EVERY: usize = 1_000;

/// Damages a sample at random.
fn mutate(sample: &str, random: &mut StdRng) -> Vec<u8> {
    let mut bytes = sample.as_bytes().to_vec();
    let at = random.random_range(0..bytes.len());
    match random.random_range(0..6) {
        0 => bytes.truncate(at),
        1 => bytes[at] = random.random(),
        2 => {
            bytes.remove(at);
        }
        3 => bytes.insert(at, random.random()),
        4 => return swap_values(sample, random).into_bytes(),
        _ => {
            let end = random.random_range(at..=bytes.len());
            bytes.drain(at..end);
        }
    }
    bytes
}

/// Replaces a value by JSON that is not allowed there.
fn swap_values(sample: &str, random: &mut StdRng) -> String {
    const WRONG: [&str; 8] = ["-1", "null", "[]", "{}", "\"\"", "true", "1e400", "\"\\u0000\""];
    let colons: Vec<_> = sample.match_indices(": ").map(|(at, _)| at + 2).collect();
    let start = colons[random.random_range(0..colons.len())];
    let end = sample[start..].find([',', '\n']).map_or(sample.len(), |length| start + length);
    let wrong = WRONG[random.random_range(0..WRONG.len())];
    format!("{}{wrong}{}", &sample[..start], &sample[end..])
}

/// A malformed record and its topic. A mutation that is still well-formed, such as one in a field that
/// is ignored, is not used.
fn malformed(random: &mut StdRng) -> (&'static str, Vec<u8>) {
    loop {
        let (kind, sample) = match random.random_range(0..2 + RESULT_RECORDS.len()) {
            0 => (EventKind::BatchEssaysRegistered, REGISTERED_RECORD),
            1 => (EventKind::EssaySlotAssigned, SLOT_RECORD),
            other => RESULT_RECORDS[other - 2],
        };
        let bytes = mutate(sample, random);
        if decode(&bytes, Some(kind), Timestamp::from_unix_micros(0)).is_err() {
            return (kind.topic(), bytes);
        }
    }
}

#[tokio::test]
async fn malformed_records_over_kafka_become_dead_letters() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;

    let mut records = Vec::new();
    for number in 1..=RECORDS {
        let (topic, bytes) = malformed(&mut random);
        records.push((topic, bytes));
        if number % GOOD_EVERY == 0 {
            let batch = format!("good-{number}");
            let event = registered("teacher", &batch, 1, next_micros());
            records.push((REGISTERED, event.to_string().into_bytes()));
        }
    }
    broker.produce_all(&records).await;
    broker.wait_until_acknowledged().await;

    let good = RECORDS / GOOD_EVERY;
    let total = service.client.list("teacher", "?limit=0").await.total();
    assert_eq!(total, good as u64, "seed {seed}");
    assert_eq!(servers.count("inbox").await, good, "none applied");
    assert_eq!(servers.count("batches").await, good, "none applied");
    assert_eq!(servers.count("dead_letters").await, RECORDS, "none lost");
    let empty = records.iter().filter(|(_, bytes)| bytes.is_empty()).count();
    let kept_empty = servers.count("dead_letters where octet_length(bytes) = 0").await;
    assert_eq!(kept_empty, empty, "with their bytes");
    assert!(service.process.is_running());
}

#[tokio::test]
async fn malformed_records_over_http_are_refused() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    for _ in 0..RECORDS / 500 {
        let mut body = Vec::new();
        let mut lines = 0;
        for _ in 0..500 {
            let (_, bytes) = malformed(&mut random);
            // A record with a line end would be two lines here, and a blank record none.
            let line: Vec<u8> = bytes.into_iter().filter(|byte| !b"\r\n".contains(byte)).collect();
            let is_record = !line.trim_ascii().is_empty()
                && decode(line.trim_ascii(), None, Timestamp::from_unix_micros(0)).is_err();
            if is_record {
                body.extend(line);
                body.push(b'\n');
                lines += 1;
            }
        }
        let report = service.client.post_bytes("application/x-ndjson", body).await.unwrap();
        assert_eq!(report["refused"], lines, "seed {seed}: {report}");
        assert_eq!(report["applied"], 0, "seed {seed}");
    }
    assert_eq!(service.client.list("teacher-17", "").await.total(), 0);
    let good = registered("teacher-17", "good", 1, next_micros());
    service.client.post(&[good]).await.unwrap();
    assert_eq!(service.client.list("teacher-17", "").await.total(), 1);
    service.process.terminate().await;
    assert!(service.process.wait(TIMEOUT).await.success());
}

#[tokio::test]
async fn bad_event_requests_are_answered_with_what_is_allowed() {
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
