//! `GET outbox`, on a real outbox in a file.

use std::collections::BTreeMap;

use axum::body::to_bytes;
use axum::http::{Method, StatusCode};
use database::Changes;
use projection::{
    BatchId, CorrelationId, EventId, Needs, OutgoingEvent, OutgoingEventKind, Rows, Timestamp,
};
use serde_json::Value;
use uuid::Uuid;

use crate::dead_letters::world::World;

/// The service, and its outbox.
struct Outbox {
    world: World,
}

impl Outbox {
    async fn new() -> Self {
        Self { world: World::new().await }
    }

    /// Writes outgoing events with this value.
    async fn write(&self, count: u128, value: &str) {
        let outgoing_events: Vec<_> =
            (1..=count).map(|number| outgoing_event(number, value)).collect();
        let mut unit = self.world.repository.begin().await.unwrap();
        unit.load(&[], &Needs::default()).await.unwrap();
        let changes = Changes {
            events: &BTreeMap::new(),
            redelivered: &BTreeMap::new(),
            rows: &Rows::default(),
            statuses: &Default::default(),
            outgoing_events: &outgoing_events,
            now: Timestamp::parse("2026-11-22T11:38:55Z").unwrap(),
        };
        unit.write(changes).await.unwrap();
        unit.commit().await.unwrap();
    }

    async fn get(&self, query: &str) -> (StatusCode, String) {
        let response = self.world.response(Method::GET, &format!("/outbox{query}")).await;
        assert_eq!(response.headers()["cache-control"], "no-store", "{query}");
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// The numbers of the records of an answer, and the position to continue from.
    async fn numbers(&self, query: &str) -> (Vec<u128>, i64) {
        let (status, body) = self.get(query).await;
        assert_eq!(status, 200, "{query}: {body}");
        let page: Value = serde_json::from_str(&body).unwrap();
        let records = page["records"].as_array().unwrap();
        let id = |record: &Value| record["event_id"].as_str().unwrap().parse::<Uuid>().unwrap();
        let numbers = records.iter().map(|record| id(record).as_u128()).collect();
        (numbers, page["next_after"].as_i64().unwrap())
    }
}

fn outgoing_event(number: u128, value: &str) -> OutgoingEvent {
    OutgoingEvent {
        id: EventId(Uuid::from_u128(number)),
        kind: OutgoingEventKind::BatchResultsReady,
        key: "batch/\"é\"".into(),
        batch_id: BatchId::parse("batch/\"é\"").unwrap(),
        correlation_id: CorrelationId(Uuid::from_u128(99)),
        value: value.into(),
    }
}

#[tokio::test]
async fn answer_has_the_record_byte_for_byte_with_its_metadata() {
    let world = Outbox::new().await;
    assert_eq!(world.get("").await.1, r#"{"records":[],"next_after":0}"#);
    world.write(1, r#"{"b": 1.50, "a":"é"}"#).await;
    let expected = concat!(
        r#"{"records":[{"position":1,"event_id":"00000000-0000-0000-0000-000000000001","#,
        r#""topic":"huleedu.ras.batch.results.ready.v1","key":"batch/\"é\"","headers":{"#,
        r#""event_id":"00000000-0000-0000-0000-000000000001","#,
        r#""event_type":"huleedu.ras.batch.results.ready.v1","#,
        r#""trace_id":"00000000-0000-0000-0000-000000000063","#,
        r#""source_service":"result_aggregator_service"},"#,
        r#""written_at":"2026-11-22T11:38:55Z","published_at":null,"#,
        r#""value":{"b": 1.50, "a":"é"}}],"next_after":1}"#
    );
    assert_eq!(world.get("").await, (StatusCode::OK, expected.into()));
}

#[tokio::test]
async fn reader_continues_after_its_last_position() {
    let world = Outbox::new().await;
    world.write(120, "{}").await;
    let (first, next_after) = world.numbers("").await;
    assert_eq!(first, (1..=100).collect::<Vec<_>>());
    let (second, next_after) = world.numbers(&format!("?after={next_after}")).await;
    assert_eq!(second, (101..=120).collect::<Vec<_>>());
    assert_eq!(world.numbers(&format!("?after={next_after}")).await, (vec![], next_after));
    assert_eq!(world.numbers("?limit=2&after=7").await, (vec![8, 9], 9));
    assert_eq!(world.numbers("?limit=500").await.0.len(), 120);
    let (nothing, next_after) = world.numbers(&format!("?after={}", i64::MAX)).await;
    assert_eq!((nothing, next_after), (vec![], i64::MAX));
}

#[tokio::test]
async fn invalid_parameter_is_refused_with_the_allowed_values() {
    let world = Outbox::new().await;
    let check = async |query: &str, expected: &str| {
        let (status, body) = world.get(query).await;
        assert_eq!(status, 400, "{query}: {body}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["code"], "invalid_parameter", "{query}");
        assert!(problem["detail"].as_str().unwrap().contains(expected), "{query}: {body}");
    };
    for limit in ["0", "501", "-1", "+1", "", "ten", "1.0"] {
        check(&format!("?limit={limit}"), "limit: not a whole number from 1 to 500").await;
    }
    for after in ["-1", "x", "9223372036854775808", ""] {
        check(&format!("?after={after}"), "after: not a whole number from 0 to").await;
    }
    check("?aftr=7", "allowed: after, limit").await;
    check("?after=1&offset=7", "allowed: after, limit").await;
    check("?after=1&after=2", "after: is given more than once").await;
}
