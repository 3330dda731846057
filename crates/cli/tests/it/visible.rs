//! Events are visible in the next read of every page and filter that was cached, and of the status:
//! a registration, a file, each kind of result. Embedded, and on PostgreSQL, Redis and Kafka.

use projection::EventKind;
use serde_json::Value;

use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::{
    REGISTERED, REGISTERED_RECORD, RESULT_RECORDS, SLOT_ASSIGNED, SLOT_RECORD, registered,
};
use crate::support::servers::Servers;
use crate::support::service::{Client, ServiceBuilder};

const TEACHER: &str = "teacher-17";
const BATCH: &str = "0b5e2a44-7d1f-4c9a-9a11-000000000001";

/// Pages of every kind: limits, offsets, filters with both sets of status values, with and without
/// essays.
const PAGES: [&str; 13] = [
    "",
    "?limit=1",
    "?limit=100",
    "?limit=1&offset=1",
    "?offset=1",
    "?limit=0",
    "?status=pending_content",
    "?status=awaiting_content_validation",
    "?status=awaiting_content_validation&limit=1",
    "?status=processing",
    "?include=summary",
    "?include=summary&limit=5",
    "?include=summary&status=pending_content",
];

/// List filters for each state that results lead to.
const STATES: [&str; 4] = [
    "?status=pending_content",
    "?status=processing",
    "?status=completed_with_failures",
    "?status=completed_successfully",
];

/// Reads every page twice; the second time it must come from the cache.
async fn cache_every_page(client: &Client) {
    for page in PAGES {
        client.list(TEACHER, page).await;
        let second = client.list(TEACHER, page).await;
        assert!(second.is_hit(), "{page:?} is cached: {second:?}");
    }
}

/// The first read of every page after an acknowledgement.
async fn assert_registered_everywhere(client: &Client) {
    for page in PAGES {
        let read = client.list(TEACHER, page).await;
        assert!(!read.is_hit(), "{page:?} is not from the cache");
        let is_filtered_out = page.contains("status=processing");
        assert_eq!(read.total(), if is_filtered_out { 0 } else { 2 }, "{page:?}");
        let has_the_batch = batch_in(&read.body).is_some();
        let shows_it = !page.contains("limit=0") && !page.contains("offset=1") && !is_filtered_out;
        assert_eq!(has_the_batch, shows_it, "{page:?}: {:?}", read.body);
    }
    let status = client.status(BATCH).await;
    assert_eq!(status.status, 200);
    assert_eq!(status.body["overall_status"], "pending_content");
    assert_eq!(status.body["user_id"], TEACHER);
}

async fn assert_file_everywhere(client: &Client) {
    for page in PAGES {
        let read = client.list(TEACHER, page).await;
        assert!(!read.is_hit(), "{page:?} is not from the cache");
        if let Some(essays) = batch_in(&read.body).and_then(|batch| batch.get("essays")) {
            assert_eq!(essays[0]["filename"], "essay_anna.docx", "{page:?}");
        }
    }
    let status = client.status(BATCH).await;
    assert!(!status.is_hit());
    assert_eq!(status.body["essays"][0]["filename"], "essay_anna.docx");
}

/// Fields of the status after a result, and the state of the batch.
fn shown_after(kind: EventKind) -> (&'static [(&'static str, &'static str)], &'static str) {
    match kind {
        EventKind::BatchPhaseOutcome => (
            &[
                ("/completed_essay_count", "1"),
                ("/failed_essay_count", "1"),
                ("/essays/1/spellcheck_status", r#""failed""#),
            ],
            "processing",
        ),
        EventKind::SpellcheckResult => (
            &[
                ("/current_phase", r#""cj_assessment""#),
                ("/essays/0/spellcheck_correction_count", "8"),
            ],
            "processing",
        ),
        EventKind::AssessmentResult => (
            &[("/assignment_id", r#""assignment-42""#), ("/essays/1/cj_rank", "2")],
            "completed_with_failures",
        ),
        EventKind::BatchPipelineCompleted => (
            &[
                ("/completed_essay_count", "2"),
                ("/processing_completed_at", r#""2026-11-22T11:38:55.136192Z""#),
            ],
            "completed_successfully",
        ),
        EventKind::BatchEssaysRegistered | EventKind::EssaySlotAssigned => {
            unreachable!("no result")
        }
    }
}

/// Every page and every filter by state, without repetition.
fn every_list() -> impl Iterator<Item = &'static str> {
    PAGES.into_iter().chain(STATES.into_iter().filter(|page| !PAGES.contains(page)))
}

/// Caches every answer that a result changes.
async fn cache_every_state(client: &Client) {
    for page in every_list() {
        client.list(TEACHER, page).await;
        assert!(client.list(TEACHER, page).await.is_hit(), "{page:?} is cached");
    }
    client.status(BATCH).await;
    assert!(client.status(BATCH).await.is_hit());
}

/// The first read of the status and of every list after a result.
async fn assert_result_everywhere(client: &Client, kind: EventKind) {
    let (fields, state) = shown_after(kind);
    let status = client.status(BATCH).await;
    assert!(!status.is_hit(), "{kind}");
    assert_eq!(status.body["overall_status"], state, "{kind}");
    for (pointer, value) in fields {
        let shown = status.body.pointer(pointer).map(Value::to_string);
        assert_eq!(shown.as_deref(), Some(*value), "{kind}: {pointer}");
    }
    for page in every_list() {
        let read = client.list(TEACHER, page).await;
        assert!(!read.is_hit(), "{kind}: {page:?} is not from the cache");
        let Some(batch) = batch_in(&read.body) else { continue };
        let mut whole = status.body.clone();
        if page.contains("include=summary") {
            whole.as_object_mut().unwrap().remove("essays");
        }
        assert_eq!(*batch, whole, "{kind}: {page:?} shows what the status shows");
    }
    for page in STATES {
        let is_listed = batch_in(&client.list(TEACHER, page).await.body).is_some();
        assert_eq!(is_listed, page.ends_with(&format!("={state}")), "{kind}: {page:?}");
    }
}

fn batch_in(page: &Value) -> Option<&Value> {
    page["batches"].as_array()?.iter().find(|batch| batch["batch_id"] == BATCH)
}

/// An older batch of the same teacher, so that no list is empty at the start.
fn older_batch() -> Value {
    registered(TEACHER, "older", 1, next_micros() - 1_000_000_000_000)
}

async fn show_over_http(client: &Client) {
    client.post(&[older_batch()]).await.unwrap();
    assert_eq!(client.status(BATCH).await.status, 404);
    cache_every_page(client).await;

    let report = client.post_bytes("application/json", REGISTERED_RECORD.into()).await.unwrap();
    assert_eq!(report["applied"], 1);
    assert_registered_everywhere(client).await;

    cache_every_page(client).await;
    assert!(client.status(BATCH).await.is_hit());
    client.post_bytes("application/json", SLOT_RECORD.into()).await.unwrap();
    assert_file_everywhere(client).await;

    cache_every_page(client).await;
    let report = client.post_bytes("application/json", SLOT_RECORD.into()).await.unwrap();
    assert_eq!(report["duplicate"], 1, "the same record again");
    assert!(!client.list(TEACHER, "").await.is_hit(), "a duplicate invalidates too");

    for (kind, record) in RESULT_RECORDS {
        cache_every_state(client).await;
        let report = client.post_bytes("application/json", record.into()).await.unwrap();
        assert_eq!(report["applied"], 1, "{kind}");
        assert_result_everywhere(client, kind).await;
    }
}

#[tokio::test]
async fn events_are_visible_in_next_read_embedded() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    show_over_http(&service.client).await;
}

#[tokio::test]
async fn events_are_visible_in_next_read_over_http() {
    let servers = Servers::new().await;
    let service = servers.replica().await;
    show_over_http(&service.client).await;
}

#[tokio::test]
async fn events_are_visible_in_next_read_over_kafka() {
    let (servers, broker) = Servers::with_broker().await;
    let service = servers.replica().await;
    let client = &service.client;

    broker.produce(REGISTERED, "older", older_batch().to_string().as_bytes()).await;
    broker.wait_until_acknowledged().await;
    cache_every_page(client).await;

    broker.produce(REGISTERED, BATCH, REGISTERED_RECORD.as_bytes()).await;
    broker.wait_until_acknowledged().await;
    assert_registered_everywhere(client).await;

    cache_every_page(client).await;
    broker.produce(SLOT_ASSIGNED, BATCH, SLOT_RECORD.as_bytes()).await;
    broker.wait_until_acknowledged().await;
    assert_file_everywhere(client).await;

    for (kind, record) in RESULT_RECORDS {
        cache_every_state(client).await;
        broker.produce(kind.topic(), BATCH, record.as_bytes()).await;
        broker.wait_until_acknowledged().await;
        assert_result_everywhere(client, kind).await;
    }
    service.process.terminate().await;
    assert!(service.process.wait(TIMEOUT).await.success(), "a graceful stop");
}
