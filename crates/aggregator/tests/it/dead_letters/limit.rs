//! The limit of dead letters in bytes, and the cost of showing one.

use axum::body::to_bytes;
use axum::http::Method;
use serde_json::{Value, json};

use super::records::REGISTERED;
use super::world::World;

const JSON: (&str, &str) = ("Content-Type", "application/json");
const LINES: (&str, &str) = ("Content-Type", "application/x-ndjson");
const TOPIC: &str = "huleedu.batch.essays.registered.v1";
/// Room for two records of [`bad`], and some more.
const ROOM: u64 = 2_500;

/// A record that is refused.
fn bad(name: char) -> Vec<u8> {
    vec![name as u8; 1_000]
}

#[tokio::test]
async fn refused_record_over_http_at_the_limit_is_not_acknowledged() {
    let world = World::with_room_for(ROOM).await;
    for (name, want) in [('a', 422), ('b', 422), ('c', 507)] {
        assert_eq!(world.post(&[JSON], bad(name)).await.status(), want, "{name}");
    }
    let lines = [REGISTERED.replace('\n', " ").into_bytes(), bad('c')].join(&b'\n');
    let response = world.post(&[LINES], lines.clone()).await;
    assert_eq!(response.status(), 507);
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["code"], "dead_letters_full");
    assert_eq!(world.dead_letters().await.len(), 2, "those that were acknowledged stay");

    assert_eq!(world.post(&[JSON], REGISTERED).await.status(), 200, "good events are applied");
    world.send(Method::DELETE, "/dead-letters/1").await;
    let response = world.post(&[LINES], lines).await;
    assert_eq!(response.status(), 200, "there is room again");
    assert_eq!(world.dead_letters().await.len(), 2);
}

#[tokio::test]
async fn record_from_kafka_at_the_limit_replaces_the_oldest() {
    let world = World::with_room_for(ROOM).await;
    for (offset, name) in ['a', 'b', 'c', 'd'].into_iter().enumerate() {
        world.consume(TOPIC, offset as i64, bad(name)).await;
        world.clock.advance(std::time::Duration::from_secs(1));
    }
    let offsets: Vec<_> =
        world.dead_letters().await.iter().map(|it| it["offset"].clone()).collect();
    assert_eq!(offsets, [json!(2), json!(3)]);
    assert_eq!(world.metric("ras_removed_total{what=\"dead_letters\"}").await, 2.0);
}

#[tokio::test]
async fn known_dead_letter_over_http_at_the_limit_is_acknowledged() {
    let world = World::with_room_for(ROOM).await;
    for (name, want) in [('a', 422), ('b', 422), ('c', 507), ('a', 422), ('b', 422)] {
        assert_eq!(world.post(&[JSON], bad(name)).await.status(), want, "{name}");
    }
    let lines = [bad('b'), bad('a'), bad('b')].join(&b'\n');
    assert_eq!(world.post(&[LINES], lines).await.status(), 200);
    let lines = [bad('a'), bad('c')].join(&b'\n');
    assert_eq!(world.post(&[LINES], lines).await.status(), 507, "one of them is new");
    assert_eq!(world.dead_letters().await.len(), 2);
}

#[tokio::test]
async fn known_dead_letter_from_kafka_at_the_limit_removes_nothing() {
    let world = World::with_room_for(ROOM).await;
    for (offset, name) in [(0, 'a'), (1, 'b'), (1, 'b'), (0, 'a')] {
        world.consume(TOPIC, offset, bad(name)).await;
        world.clock.advance(std::time::Duration::from_secs(1));
    }
    let offsets: Vec<_> =
        world.dead_letters().await.iter().map(|it| it["offset"].clone()).collect();
    assert_eq!(offsets, [json!(0), json!(1)]);
    assert_eq!(world.metric("ras_removed_total{what=\"dead_letters\"}").await, 0.0);
}

#[tokio::test]
async fn oldest_dead_letter_removed_for_its_own_group_is_stored_again() {
    let world = World::with_room_for(ROOM).await;
    for (offset, name) in [(0, 'a'), (1, 'b')] {
        world.consume(TOPIC, offset, bad(name)).await;
        world.clock.advance(std::time::Duration::from_secs(1));
    }
    world.consume_all(TOPIC, [(0, bad('a')), (2, bad('c'))]).await;
    let offsets: Vec<_> =
        world.dead_letters().await.iter().map(|it| it["offset"].clone()).collect();
    assert_eq!(offsets, [json!(0), json!(2)]);
}

#[tokio::test]
async fn record_larger_than_the_limit_is_stored_alone() {
    let world = World::with_room_for(ROOM).await;
    world.consume(TOPIC, 1, bad('a')).await;
    world.consume(TOPIC, 2, vec![b'x'; 10_000]).await;
    let dead_letters = world.dead_letters().await;
    assert_eq!(dead_letters.len(), 1);
    assert_eq!(dead_letters[0]["size_bytes"], 10_000);
}

#[tokio::test]
async fn dead_letter_of_any_length_is_shown_whole() {
    let world = World::new().await;
    for (id, length) in (1..).zip([1, 32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 3_000_000]) {
        let bytes: Vec<u8> = (0..length).map(|at: u32| (at % 251) as u8).collect();
        world.consume(TOPIC, id, bytes.clone()).await;
        let shown = world.get(&format!("/dead-letters/{id}")).await;
        let hex = shown["bytes_hex"].as_str().unwrap();
        assert!(hex::decode(hex).unwrap() == bytes, "{length} bytes");
        assert_eq!(shown["size_bytes"], length);
    }
}
