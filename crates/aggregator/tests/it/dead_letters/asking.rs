//! Listing, showing and discarding dead letters, and refusals of invalid requests.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::records::{REGISTERED, SLOT, with};
use super::world::World;

const TOPIC: &str = "huleedu.batch.essays.registered.v1";

/// Three dead letters: over HTTP, from Kafka, and from an unknown topic of Kafka.
async fn three() -> World {
    let world = World::new().await;
    world.ingest("{").await;
    world.clock.advance(std::time::Duration::from_secs(60));
    world.consume(TOPIC, 7, with("\"teacher-17\"", "17").into()).await;
    world.clock.advance(std::time::Duration::from_secs(60));
    world.consume("topic/of nobody", 8, b"\xff".to_vec()).await;
    world
}

#[tokio::test]
async fn list_has_the_dead_letters_that_its_filters_select() {
    let world = three().await;
    let dead_letters = world.dead_letters().await;
    let first = json!({
        "id": 1, "source": "http", "topic": null, "partition": null, "offset": null,
        "size_bytes": 1, "received_at": "2026-11-22T11:59:59.500000Z", "code": "not_json",
        "detail": "EOF while parsing an object at line 1 column 1",
        "refused_at": "2026-11-22T12:00:00Z",
    });
    assert_eq!(dead_letters[0], first);
    assert_eq!(dead_letters[1]["topic"], TOPIC);
    assert_eq!((&dead_letters[1]["partition"], &dead_letters[1]["offset"]), (&json!(3), &json!(7)));

    let check = async |query: &str, want: &[u64]| {
        let answer = world.get(&format!("/dead-letters?{query}")).await;
        let dead_letters = answer["dead_letters"].as_array().unwrap();
        let ids: Vec<_> =
            dead_letters.iter().map(|dead_letter| dead_letter["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, want, "{query}");
        answer["next_after"].clone()
    };
    check("", &[1, 2, 3]).await;
    check("source=kafka", &[2, 3]).await;
    check(&format!("topic={TOPIC}"), &[2]).await;
    check("topic=topic%2Fof+nobody", &[3]).await;
    check("code=not_json", &[1]).await;
    check("from=2026-11-22T12:01:00Z", &[2, 3]).await;
    check("until=2026-11-22T12:01:00Z", &[1]).await;
    check("from=2026-11-22T13:01:00%2B01:00&source=kafka&code=not_utf8", &[3]).await;
    check("after=0", &[1, 2, 3]).await;
    assert_eq!(check("after=2", &[3]).await, Value::Null);
    assert_eq!(check("limit=2", &[1, 2]).await, json!(2));
    assert_eq!(check("limit=2&after=1", &[2, 3]).await, Value::Null, "there are no more");
    assert_eq!(check("limit=500&after=3", &[]).await, Value::Null);
}

#[tokio::test]
async fn invalid_request_is_refused_with_allowed_values() {
    let world = three().await;
    let check = async |method: Method, path: &str, want: &str| {
        let (status, problem) = world.send(method, &format!("/dead-letters{path}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {problem}");
        assert_eq!(problem["code"], "invalid_parameter", "{path}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(want), "{path}: {detail}");
    };
    let get = || Method::GET;
    check(
        get(),
        "?sauce=kafka",
        "query: unknown parameter, allowed: source, topic, code, from, until, after, limit",
    )
    .await;
    check(get(), "?code=not_json&code=not_utf8", "code: is given more than once").await;
    check(get(), "?source=smtp", "source: unknown value, allowed: http, kafka").await;
    check(get(), "?topic=%ff", "topic: is not percent-encoded UTF-8").await;
    check(get(), "?code=", "code: unknown value, allowed: too_large, not_utf8, not_json").await;
    check(get(), "?from=yesterday", "from: not an RFC 3339 date").await;
    check(get(), "?until=2026-13-01T00:00:00Z", "until: not an RFC 3339 date").await;
    check(get(), "?after=-1", "after: not a whole number from 0 on").await;
    for limit in ["0", "501", "+5", "", "5.0", "99999999999"] {
        let path = format!("?limit={}", limit.replace('+', "%2B"));
        check(get(), &path, "limit: not a whole number from 1 to 500").await;
    }
    for id in ["0", "x", "-1", "%ff", "99999999999999999999"] {
        check(get(), &format!("/{id}"), "id: not a whole number from 1 on").await;
        check(Method::DELETE, &format!("/{id}"), "id").await;
        check(Method::POST, &format!("/{id}/replay"), "id").await;
    }
    check(Method::DELETE, "/1?refused_at=now", "refused_at: not an RFC 3339").await;
    check(Method::DELETE, "/1?force=true", "query: unknown parameter, allowed: refused_at").await;
    assert_eq!(world.dead_letters().await.len(), 3, "none of it did anything");
}

#[tokio::test]
async fn dead_letter_is_shown_whole() {
    let world = three().await;
    let dead_letter = world.get("/dead-letters/2").await;
    let record = with("\"teacher-17\"", "17");
    let hex = hex::encode(record.as_bytes());
    assert_eq!(dead_letter["bytes_hex"], hex);
    assert_eq!(dead_letter["key_hex"], "62617463682d1b5b33316d31");
    let headers = json!([
        {"name": "trace_id", "value_hex": "3462663932663335"},
        {"name": "binary", "value_hex": "00ff1b"},
    ]);
    assert_eq!(dead_letter["headers"], headers);
    let start = record.find("17\n").or_else(|| record.find("17,")).unwrap();
    assert_eq!(dead_letter["place"], json!({"start": start, "end": start + 2}), "{record}");
    let reason = json!({"code": dead_letter["code"], "detail": dead_letter["detail"]});
    assert_eq!(dead_letter["refused_today"], reason);

    let (status, problem) = world.send(Method::GET, "/dead-letters/4").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(problem["code"], "dead_letter_not_found");
}

/// A dead letter of another build: of a newer one, or of an older one whose fault is mended.
#[tokio::test]
async fn refused_today_is_the_refusal_of_this_build() {
    let world = World::new().await;
    world.ingest("{").await;
    let id = world.only_dead_letter().await;
    world.execute("update dead_letters set code = 'of_tomorrow'").await;
    let dead_letter = world.get(&format!("/dead-letters/{id}")).await;
    assert_eq!(dead_letter["code"], "of_tomorrow");
    assert_eq!(dead_letter["refused_today"]["code"], "not_json");
    assert_eq!(dead_letter["place"], json!({"start": 1, "end": 1}), "that of today's reason");

    let bytes = hex::encode(SLOT.as_bytes());
    world.execute(&format!("update dead_letters set bytes = x'{bytes}'")).await;
    let dead_letter = world.get(&format!("/dead-letters/{id}")).await;
    assert_eq!(
        (&dead_letter["refused_today"], &dead_letter["place"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn dead_letter_is_discarded_once_and_only_as_it_was_listed() {
    let world = three().await;
    let delete = async |path: &str| {
        let (status, body) = world.send(Method::DELETE, &format!("/dead-letters/{path}")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["outcome"].as_str().unwrap().to_owned()
    };
    assert_eq!(delete("1").await, "dropped");
    assert_eq!(delete("1").await, "gone");
    assert_eq!(delete("2?refused_at=2026-11-22T12:00:59Z").await, "changed");
    assert_eq!(delete("2?refused_at=2026-11-22T12:01:00Z").await, "dropped");
    assert_eq!(delete("2?refused_at=2026-11-22T12:01:00Z").await, "gone");
    assert_eq!(world.only_dead_letter().await, 3);
}

/// Dead letters hold what was sent about persons.
#[tokio::test]
async fn answers_with_dead_letters_are_not_stored_by_caches() {
    let world = three().await;
    for path in ["", "?limit=1", "/1", "/4", "?limit=0"] {
        let response = world.response(Method::GET, &format!("/dead-letters{path}")).await;
        assert_eq!(response.headers()["cache-control"], "no-store", "{path}");
    }
}

#[tokio::test]
async fn dead_letters_need_a_key() {
    let world = three().await;
    for (method, path) in [
        (Method::GET, ""),
        (Method::GET, "/1"),
        (Method::POST, "/1/replay"),
        (Method::DELETE, "/1"),
    ] {
        let uri = format!("/internal/v1/dead-letters{path}");
        let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
        let response = world.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(world.dead_letters().await.len(), 3);
}

#[tokio::test]
async fn unavailable_database_is_503() {
    let world = three().await;
    world.repository.close().await;
    for (method, path) in [(Method::GET, ""), (Method::GET, "/1"), (Method::DELETE, "/1")] {
        let (status, problem) = world.send(method, &format!("/dead-letters{path}")).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {problem}");
    }
}

#[tokio::test]
async fn applied_record_is_no_dead_letter() {
    let world = World::new().await;
    world.ingest(REGISTERED).await;
    world.ingest(REGISTERED).await;
    assert_eq!(world.dead_letters().await, Vec::<Value>::new());
}
